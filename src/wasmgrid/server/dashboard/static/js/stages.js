// The way of a job, as bars on one scale of time. Its height is always the same.
import { html, useEffect } from "../vendor/preact.js";
import { useData } from "./api.js";
import { plain } from "./ansi.js";
import { duration } from "./format.js";
import { stagesOf, stagesOfTimeline } from "./jobtext.js";
import { useTick } from "./ui.js";

export function Stages({ job, stages = stagesOf(job) }) {
  useTick(job.finished ? null : 200);
  const whole = Math.max(1, ...stages.filter((stage) => stage.ms !== null).map((stage) => stage.from + stage.ms));
  return html`<ol class="stages" aria-label="The way of this job">
    ${stages.map((stage) => {
      const known = stage.ms !== null;
      const cached = stage.name.toLowerCase() === "build" && job.build?.cached;
      const style = known && { left: `${(100 * stage.from) / whole}%`, width: `${(100 * stage.ms) / whole}%` };
      const state = stage.now ? "now" : known ? "done" : "not-yet";
      return html`<li class=${`stage tone-${stage.tone} ${state} ${stage.sub ? "sub" : ""}`} title=${stage.detail ? plain(stage.detail) : undefined}>
        <span class="name">${stage.name}</span>
        <span class="track">${known && stage.ms > 0 && html`<span class="span" style=${style}></span>`}</span>
        <span class="time">${cached ? "cached" : known ? duration(stage.ms) : stage.skipped ? "skipped" : "–"}</span>
      </li>`;
    })}
  </ol>`;
}

/** The whole way, as the server knows it: all six stages, and what the run consisted of. */
export function Timeline({ job }) {
  const { data, reload } = useData(`/v1/jobs/${job.id}/timeline`, job.finished ? 0 : 1000);
  useEffect(() => { reload(); }, [job.state]);
  return html`<div class="timeline">${data && html`<${Stages} job=${job} stages=${stagesOfTimeline(data)} />`}</div>`;
}
