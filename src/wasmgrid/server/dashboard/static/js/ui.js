// Small parts that every page uses.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { plain } from "./ansi.js";
import { ago } from "./format.js";

const PATHS = {
  plus: "M8 3v10M3 8h10",
  play: "M5 3.5v9l7.5-4.5z",
  stop: "M4.5 4.5h7v7h-7z",
  copy: "M5.5 5.5V3h7.5v7.5h-2.5M3 5.5h7.5V13H3z",
  check: "M3.5 8.5l3 3 6-7",
  sun: "M8 5.2a2.8 2.8 0 100 5.6 2.8 2.8 0 000-5.6zM8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  moon: "M13 9.5A5.5 5.5 0 116.5 3a4.5 4.5 0 006.5 6.5z",
  auto: "M8 2.5a5.5 5.5 0 100 11zM8 2.5a5.5 5.5 0 010 11",
  out: "M6.5 3H3.5v10h3M6.5 8h6.5M10.5 5.5L13 8l-2.5 2.5",
  again: "M12.8 6A5 5 0 103 9.2M13 2.8V6H9.8",
  down: "M8 3v7M5 7.5l3 3 3-3M3.5 13h9",
  search: "M7 3a4 4 0 100 8 4 4 0 000-8zM10 10l3 3",
};

/** A small picture; what it means is said beside it, or by its button's label. */
export const Icon = ({ name, fill = false }) =>
  html`<svg viewBox="0 0 16 16" fill=${fill ? "currentColor" : "none"} stroke="currentColor" stroke-width="1.5"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

/** A state, told by colour, shape and word. */
export const Badge = ({ state }) => html`<span class=${`badge tone-${state}`}>${state}</span>`;

/** What went wrong, and what to do about it. */
export const Failure = ({ problem }) =>
  problem &&
  html`<div class="problem" role="alert">
    <strong>${plain(problem.detail || problem.message)}</strong>
    ${problem.hint && html`<p>${plain(problem.hint)}</p>`}
  </div>`;

/** A button that copies `text`, and says that it did. */
export function Copy({ text, label = "Copy", small = true }) {
  const [done, setDone] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    await copyText(typeof text === "function" ? text() : text);
    setDone(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class=${`button quiet icon ${small ? "small" : ""}`} onClick=${copy} title=${label} aria-label=${label}>
    <${Icon} name=${done ? "check" : "copy"} /><span class="sr" role="status">${done ? "copied" : ""}</span>
  </button>`;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page without TLS on another machine has no clipboard
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** A command to type. */
export const Command = ({ children }) =>
  html`<span class="command"><code>${children}</code><${Copy} text=${String(children)} label="Copy the command" /></span>`;

/** Nothing here yet, and what to type so that there is. */
export const Empty = ({ title, command, children }) =>
  html`<div class="empty"><h2>${title}</h2>${children}${command && html`<${Command}>${command}<//>`}</div>`;

/** Parts of a whole, side by side: `[{name, share, label}]`, `share` of 1. */
export const Meter = ({ parts, label }) =>
  html`<div class="meter" role="img" aria-label=${label}>
    ${parts.map((part) => html`<i class=${part.name ? `fill-${part.name}` : ""} style=${{ width: `${Math.min(100, part.share * 100)}%` }}></i>`)}
  </div>`;

/** Buttons of which one is chosen: `[{id, label}]`. */
export function Tabs({ label, tabs, chosen, onChoose }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex((tab) => tab.id === chosen);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    onChoose(next.id);
    event.currentTarget.querySelector(`[data-tab="${CSS.escape(next.id)}"]`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map((tab) => html`<button type="button" role="tab" data-tab=${tab.id} aria-selected=${tab.id === chosen}
      tabindex=${tab.id === chosen ? 0 : -1} onClick=${() => onChoose(tab.id)}>${tab.label}</button>`)}
  </div>`;
}

/** A time as its age; the exact one on hovering. */
export function Age({ time }) {
  useTick(time && Date.now() - new Date(time) < 3_600_000 ? 1000 : 60_000);
  return time ? html`<time class="number nowrap" datetime=${time} title=${new Date(time).toLocaleString()}>${ago(time)}</time>` : "–";
}

/** Renders anew every `ms`; null: not. */
export function useTick(ms) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!ms) return undefined;
    const timer = setInterval(() => { if (!document.hidden) tick((n) => n + 1); }, ms);
    return () => clearInterval(timer);
  }, [ms]);
}

/** The name of the page, for the tab and for whoever hears it. */
export function useTitle(title) {
  useEffect(() => { document.title = title ? `${title} · wasmgrid` : "wasmgrid"; }, [title]);
}

/** A label with a control in it. */
export const Field = ({ label, unit, wrong, children }) =>
  html`<label class="field"><span>${label}</span>
    ${unit ? html`<span class="unit">${children}<i aria-hidden="true">${unit}</i></span>` : children}
    ${wrong && html`<span class="wrong">${wrong}</span>`}
  </label>`;
