// The grid at a glance, live.
import { html } from "../../vendor/preact.js";
export function Overview() { return html`<div class="page-head"><h1>Overview</h1></div>`; }
