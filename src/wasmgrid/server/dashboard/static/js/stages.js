// The way of a job, as bars on one scale of time. Its height is always the same.
import { html } from "../vendor/preact.js";
import { duration } from "./format.js";
import { stagesOf } from "./jobtext.js";
import { useTick } from "./ui.js";

export function Stages({ job, stages = stagesOf(job) }) {
  useTick(job.finished ? null : 200);
  const whole = Math.max(1, ...stages.filter((stage) => stage.ms !== null).map((stage) => stage.from + stage.ms));
  return html`<ol class="stages" aria-label="The way of this job">
    ${stages.map((stage) => {
      const known = stage.ms !== null;
      const cached = stage.name === "Build" && job.build?.cached;
      const style = known && { left: `${(100 * stage.from) / whole}%`, width: `${(100 * stage.ms) / whole}%` };
      const state = stage.now ? "now" : known ? "done" : "not-yet";
      return html`<li class=${`stage tone-${stage.tone} ${state}`}>
        <span class="name">${stage.name}</span>
        <span class="track">${known && stage.ms > 0 && html`<span class="span" style=${style}></span>`}</span>
        <span class="time">${cached ? "cached" : known ? duration(stage.ms) : "–"}</span>
      </li>`;
    })}
  </ol>`;
}
