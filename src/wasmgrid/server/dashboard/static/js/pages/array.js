// A job of many tasks: a heat map of them, how long they took, what went wrong, and the output of any.
import { html, useEffect, useState } from "../../vendor/preact.js";
import { get, useData } from "../api.js";
import { plain } from "../ansi.js";
import { bytes, count, duration } from "../format.js";
import { HeatMap, MOST_CELLS } from "../heatmap.js";
import { ENDED_FIRST, parts } from "../jobtext.js";
import { CopyAs } from "../copyas.js";
import { Field, Meter } from "../ui.js";
import { Artifacts, AskedCard, Attempts, OutputCard, SourceCard, whatOf } from "./job.js";

export function ArrayOf({ job }) {
  const first = job.spec.array ? Number.parseInt(job.spec.array, 10) || 0 : 0;
  const [index, setIndex] = useState(null);
  const { data: map, problem, reload } = useData(`/v1/jobs/${job.id}/tasks/map?cells=${MOST_CELLS}`, job.finished ? 0 : 1000);
  useEffect(() => { if (job.finished) reload(); }, [job.finished]);
  const shown = index ?? first;
  const done = (job.task_counts.succeeded ?? 0) + (job.task_counts.failed ?? 0) + (job.task_counts.cancelled ?? 0);
  return html`<div class="stack">
    <section class="card" aria-label="Tasks"><header><h2>${count(job.task_count)} tasks</h2>
        <span class="muted small number">${count(done)} ended</span>
        <div class="end legend">${ENDED_FIRST.filter((name) => job.task_counts[name]).map((name) => html`<span><i class=${`fill-${name}`}></i>${name} <b class="number">${count(job.task_counts[name])}</b></span>`)}</div></header>
      <div class="body stack">
        <${Meter} parts=${parts(job)} label=${`${count(done)} of ${count(job.task_count)} tasks have ended`} />
        <${HeatMap} map=${map} count=${job.task_count} chosen=${shown} onChoose=${setIndex} />
        ${problem && html`<p class="muted small">${plain(problem.detail)}</p>`}
      </div></section>
    <div class="array-grid">
      <div class="stack">
        <${Task} job=${job} index=${shown} onChoose=${setIndex} map=${map} />
        <${SourceCard} job=${job} />
      </div>
      <div class="stack">
        <${Durations} job=${job} histogram=${map?.histogram} />
        ${(map || problem) && html`<${Failures} failures=${map?.failures} failed=${job.task_counts.failed ?? 0} onChoose=${setIndex} />
        <${AskedCard} job=${job} />
        <${Attempts} job=${job} />
        <${CopyAs} spec=${job.spec} what=${whatOf(job)} />`}
      </div>
    </div>
  </div>`;
}

function Task({ job, index, onChoose, map }) {
  const [result, setResult] = useState(null);
  useEffect(() => {
    let gone = false, timer = 0;
    setResult(null);
    const look = () => get(`/v1/jobs/${job.id}/tasks/${index}`).then((found) => !gone && setResult(found), (problem) => {
      if (!gone && !job.finished && problem.status === 404) timer = setTimeout(look, 1000);
    });
    look();
    return () => { gone = true; clearTimeout(timer); };
  }, [job.id, index, job.finished]);
  return html`<div class="stack">
    <div class="task-head">
      <${Field} label="Task"><input class="input" type="number" min="0" value=${index} onChange=${(event) => onChoose(Math.max(0, Number(event.target.value) || 0))} /><//>
      ${result ? html`<dl class="facts inline"><dt>Run</dt><dd>${duration(result.stats.wall_ms)}</dd><dt>Queue</dt><dd>${duration(result.stats.queue_ms)}</dd>
        <dt>Peak</dt><dd>${bytes(result.stats.peak_memory_bytes)}</dd><dt>Worker</dt><dd>${plain(result.worker_id)}</dd></dl>` : html`<span class="muted small">it has not ended</span>`}
    </div>
    <${OutputCard} key=${index} job=${job} index=${index} result=${result} title=${`Output of task ${index}`} />
    <${Artifacts} job=${job} index=${index} result=${result} />
  </div>`;
}

function Durations({ job, histogram }) {
  const wall = job.stats?.wall_ms;
  const most = Math.max(1, ...(histogram?.counts ?? []));
  return html`<section class="card" aria-label="Durations"><header><h2>Durations</h2>
      <span class="muted small number">${wall ? `p50 ${duration(wall.p50)} · p90 ${duration(wall.p90)} · max ${duration(wall.max)}` : ""}</span></header>
    <div class="body"><div class="histogram" role="img" aria-label="Histogram of durations">
      ${(histogram?.counts ?? []).map((n, at) => html`<div title=${`${duration(histogram.edges_ms[at])} – ${duration(histogram.edges_ms[at + 1])}: ${count(n)} tasks`}>
        <i style=${{ height: `${n ? Math.max(2, (100 * n) / most) : 0}%` }}></i></div>`)}
    </div>
    <div class="histogram-ends small muted number"><span>${histogram?.counts.length ? duration(histogram.edges_ms[0]) : ""}</span><span>${histogram?.counts.length ? duration(histogram.edges_ms.at(-1)) : ""}</span></div></div></section>`;
}

function Failures({ failures, failed, onChoose }) {
  if (!failures?.length) return failed ? null : html`<section class="card" aria-label="Failures"><header><h2>Failures</h2></header><div class="body muted">None.</div></section>`;
  return html`<section class="card" aria-label="Failures"><header><h2>Failures</h2><span class="muted small">by outcome</span></header>
    <ul class="body stack">${failures.map((group) => html`<li class="failure">
      <p><b class="number">${count(group.count)}</b> <span class="bad">${group.outcome.replaceAll("_", " ")}</span> <span class="muted anywhere">${plain(group.detail ?? "")}</span></p>
      <p class="row">${group.indexes.slice(0, 12).map((index) => html`<button type="button" class="button small number" onClick=${() => onChoose(index)}>${index}</button>`)}
        ${group.count > Math.min(12, group.indexes.length) && html`<span class="muted small">and ${count(group.count - Math.min(12, group.indexes.length))} more</span>`}</p></li>`)}</ul></section>`;
}
