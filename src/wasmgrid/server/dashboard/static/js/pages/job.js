// One job: what it was given, the way it went, what it printed and left, and why it is where it is.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { call, get, post, useData } from "../api.js";
import { plain } from "../ansi.js";
import { CopyAs, stated } from "../copyas.js";
import { bytes, count, duration } from "../format.js";
import { ending, isArray, languageIn, nameOf } from "../jobtext.js";
import { complaints, labelOf, languageOf } from "../languages.js";
import { go } from "../router.js";
import { conclude, useJob } from "../run.js";
import { Timeline } from "../stages.js";
import { Terminal, follow } from "../terminal.js";
import { Age, Badge, Copy, Empty, Failure, Icon, Tabs, useTitle } from "../ui.js";
import { ArrayOf } from "./array.js";

/** `/jobs/12`, and `/jobs/last`. */
export function JobRoute({ id }) {
  const { job, problem } = useJob(id);
  useTitle(job ? `${nameOf(job)} · job ${job.id}` : `Job ${id}`);
  if (problem) return html`<${Failure} problem=${problem} /><${Empty} title="All jobs are in the list" command="wasmgrid jobs"><a href="/jobs">Jobs</a><//>`;
  if (!job) return html`<div class="page-head"><h1 class="skeleton">job ${id}</h1></div><div class="job-room"></div>`;
  return html`<${Head} job=${job} />${isArray(job) ? html`<${ArrayOf} job=${job} />` : html`<${Single} job=${job} />`}`;
}

function Head({ job }) {
  const [problem, setProblem] = useState(null);
  const [asking, setAsking] = useState(false);
  const act = async (what) => {
    setProblem(null);
    try { await what(); } catch (error) { setProblem(error); }
  };
  const rerun = () => act(async () => go(`/jobs/${(await post(`/v1/jobs/${job.id}/rerun`)).id}`));
  const rerunFailed = () => act(async () => go(`/jobs/${(await post(`/v1/jobs/${job.id}/rerun?failed=true`)).id}`));
  const forget = () => act(async () => { await call("DELETE", `/v1/jobs/${job.id}`); go("/jobs"); });
  return html`<div class="page-head job-head">
      <h1 class="anywhere"><span class="faint number">${job.id}</span> ${nameOf(job)}</h1>
      <${Badge} state=${job.state} />
      <span class="muted">${job.result ? ending(job.result) : ""}</span>
      <div class="end">
        ${!job.finished && html`<button type="button" class="button danger" onClick=${() => act(() => post(`/v1/jobs/${job.id}/cancel`))}><${Icon} name="stop" fill />Cancel</button>`}
        ${job.finished && html`<button type="button" class="button" onClick=${rerun}><${Icon} name="again" />Run again</button>`}
        ${job.finished && isArray(job) && job.task_counts.failed > 0 && html`<button type="button" class="button" onClick=${rerunFailed}>Run the failed again</button>`}
        ${job.spec.source && html`<a class="button" href=${`/new?from=${job.id}`}>Edit</a>`}
        ${job.module_sha256 && html`<a class="button" href=${`/v1/jobs/${job.id}/module`} download><${Icon} name="down" />.wasm</a>`}
        ${job.finished && html`<button type="button" class="button quiet danger" onClick=${() => setAsking(true)}>Delete</button>`}
      </div>
    </div>
    <${Failure} problem=${problem} />
    ${!job.finished && job.state_reason && job.state !== "running" && html`<${Why} job=${job} />`}
    ${job.warnings.map((warning) => html`<p class="note"><strong>Note</strong> ${plain(warning)}</p>`)}
    ${asking && html`<${Ask} title=${`Delete job ${job.id}?`} text="Its results and outputs go for good." yes="Delete" onYes=${forget} onNo=${() => setAsking(false)} />`}`;
}

/** A question before what cannot be taken back. */
export function Ask({ title, text: words, yes, onYes, onNo }) {
  const dialog = useRef();
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`<dialog ref=${dialog} onClose=${onNo} aria-label=${title}>
    <div class="stack"><h2>${title}</h2><p class="muted">${words}</p>
      <div class="row"><button type="button" class="button danger" onClick=${() => { dialog.current.close(); onYes(); }}>${yes}</button>
        <button type="button" class="button" onClick=${() => dialog.current.close()}>Keep</button></div></div>
  </dialog>`;
}

function Why({ job }) {
  const { data } = useData(job.state === "queued" ? `/v1/jobs/${job.id}/why` : null, 3000);
  const reason = data?.reason ?? job.state_reason;
  return html`<div class="note why"><p><strong>${job.state === "building" ? "Building" : "Waiting"}</strong> ${plain(reason)}</p>
    ${data?.workers.length > 0 && html`<ul>${data.workers.map((worker) => html`<li><code>${worker.worker_id}</code>
      <span>${worker.mismatches.length ? plain(worker.mismatches.join("; ")) : worker.busy ? "it fits, but is busy now" : "it fits"}</span>
      ${worker.change && html`<span class="muted">would fit with <code>${plain(worker.change)}</code></span>`}</li>`)}</ul>`}
  </div>`;
}

function Single({ job }) {
  return html`<div class="job-grid">
    <div class="stack">
      <${OutputCard} job=${job} index=${0} job_end=${job} />
      <${SourceCard} job=${job} />
    </div>
    <div class="stack">
      <section class="card" aria-label="Timeline"><header><h2>Timeline</h2><div class="end muted small"><${Age} time=${job.submitted_at} /></div></header>
        <div class="body"><${Timeline} job=${job} /></div></section>
      <${StatsCard} result=${job.result} />
      <${Artifacts} job=${job} index=${0} result=${job.result} />
      <${AskedCard} job=${job} />
      <${Attempts} job=${job} />
      <${CopyAs} spec=${job.spec} what=${whatOf(job)} />
    </div>
  </div>`;
}

/** The files of a job, or its module, for the ways to copy it. */
export function whatOf(job) {
  const source = job.spec.source;
  if (!source) return { files: [`${job.module_sha256.slice(0, 12)}.wasm`], module: job.module_sha256 };
  return { files: source.paths.length ? source.paths : [source.entry], entry: source.entry };
}

/** What a task prints, as it comes. `result`: once it has ended. */
export function OutputCard({ job, index, result = job.result, title = "Output" }) {
  const element = useRef(), terminal = useRef(null);
  const [ended, setEnded] = useState(false);
  const [wrap, setWrap] = useState(true);
  const concluded = useRef(false);
  useEffect(() => {
    terminal.current = new Terminal(element.current);
    setEnded(false);
    concluded.current = false;
    return follow(job.id, index, terminal.current, (end) => {
      if (end.stdout_truncated || end.stderr_truncated) terminal.current.say("the output was cut at its limit");
      setEnded(true);
    });
  }, [job.id, index]);
  useEffect(() => {
    const known = isArray(job) ? result : job.finished;
    if (!ended || !known || concluded.current) return;
    concluded.current = true;
    if (!isArray(job) && !job.module_sha256 && job.build?.diagnostics) terminal.current.say("nothing ran: the build failed, see what the compiler says below");
    else conclude(terminal.current, isArray(job) ? { state: "", result } : job);
  }, [ended, job, result]);
  const of = `/v1/jobs/${job.id}`, which = isArray(job) ? `?index=${index}` : "";
  return html`<section class="card output" aria-label=${title}>
    <header><h2>${title}</h2>${result && html`<span class="muted small cut">${ending(result)}</span>`}
      <div class="end">
        <button type="button" class="button quiet small" aria-pressed=${!wrap} onClick=${() => setWrap(!wrap)}>${wrap ? "No wrap" : "Wrap"}</button>
        ${result?.attempt > 0 && html`<a class="button quiet small" href=${`${of}/stdout${which}`} download title="Download stdout">stdout ${bytes(result.stdout_bytes)}</a>`}
        ${result?.stderr_bytes > 0 && html`<a class="button quiet small" href=${`${of}/stderr${which}`} download title="Download stderr">stderr ${bytes(result.stderr_bytes)}</a>`}
      </div></header>
    <div ref=${element} class=${`terminal ${wrap ? "" : "plain"}`} role="log" tabindex="0" aria-label=${title}></div>
  </section>`;
}

/** The source with its colours, file by file, and what the compiler said of it. */
export function SourceCard({ job }) {
  const ref = job.spec.source;
  const place = useRef(), editor = useRef(null);
  const [source, setSource] = useState(null);
  const [chosen, setChosen] = useState(ref?.entry ?? null);
  const [problem, setProblem] = useState(null);
  const diagnostics = job.build?.diagnostics ?? "";
  useEffect(() => { if (ref) get(`/v1/jobs/${job.id}/source`).then(setSource, setProblem); }, [job.id]);
  const content = source?.files[chosen];
  const shown = typeof content === "string" ? content : content ? "(these bytes are no text)" : "";
  useEffect(() => {
    if (!source) return undefined;
    let gone = false;
    import("../editor.js").then(({ edit }) => {
      if (gone) return;
      editor.current = edit(place.current, { text: shown, language: languageOf(chosen) ?? source.language, readOnly: true, label: `Source: ${chosen}` });
      editor.current.complain(complaints(diagnostics, chosen));
    });
    return () => { gone = true; editor.current?.destroy(); editor.current = null; };
  }, [source, chosen]);
  useEffect(() => { editor.current?.complain(complaints(diagnostics, chosen)); }, [diagnostics]);
  if (!ref) return null;
  const names = source ? Object.keys(source.files) : [ref.entry];
  return html`<section class="card source" aria-label="Source">
    <header>${names.length > 1 ? html`<${Tabs} label="Files" tabs=${names.map((name) => ({ id: name, label: plain(name) }))} chosen=${chosen} onChoose=${setChosen} />` : html`<h2 class="mono cut">${plain(ref.entry)}</h2>`}
      <div class="end"><span class="muted small">${labelOf(ref.language)}</span>${source && html`<${Copy} text=${() => shown} label="Copy the source" />`}</div></header>
    <${Failure} problem=${problem} />
    ${diagnostics && html`<${Diagnostics} text=${diagnostics} cut=${job.build.diagnostics_truncated} />`}
    <div class="viewer" ref=${place}></div>
  </section>`;
}

function Diagnostics({ text: words, cut }) {
  const element = useRef();
  useEffect(() => {
    const terminal = new Terminal(element.current);
    terminal.write(words);
    terminal.flush();
    if (cut) terminal.say("the compiler said more");
    element.current.scrollTop = 0;
  }, [words]);
  return html`<div class="diagnostics"><h3>Diagnostics</h3><div ref=${element} class="terminal" tabindex="0" role="region" aria-label="Diagnostics"></div></div>`;
}

/** What one attempt cost. */
export function StatsCard({ result }) {
  const stats = result?.attempt > 0 ? result.stats : null;
  const rows = stats ? [
    ["Wall time", duration(stats.wall_ms)], ["CPU time", duration(stats.cpu_ms)], ["Peak memory", bytes(stats.peak_memory_bytes)],
    ["Output", bytes(stats.output_bytes)], ...(stats.fuel_used ? [["Fuel", count(stats.fuel_used)]] : []),
    ["Worker", html`<a href="/workers">${plain(result.worker_id)}</a>`],
    ["Module", stats.precompile_cached ? "precompiled before" : stats.module_cached ? "cached" : "fetched"],
  ] : [["Wall time", "–"], ["CPU time", "–"], ["Peak memory", "–"], ["Output", "–"], ["Worker", "–"], ["Module", "–"]];
  return html`<section class="card" aria-label="Statistics"><header><h2>Statistics</h2></header>
    <div class="body"><dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></div></section>`;
}

/** Files that a task left; pictures are shown. */
export function Artifacts({ job, index, result }) {
  const files = result?.artifacts ?? [];
  if (!files.length) return null;
  const which = isArray(job) ? `?index=${index}` : "";
  const address = (path) => `/v1/jobs/${job.id}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}${which}`;
  return html`<section class="card" aria-label="Artifacts"><header><h2>Artifacts</h2><span class="muted small">${files.length}</span></header>
    <ul class="body stack">${files.slice(0, 50).map((file) => html`<li class="artifact">
      <a class="mono anywhere" href=${address(file.path)} download>${plain(file.path)}</a> <span class="muted small">${bytes(file.bytes)}</span>
      ${/\.(png|jpe?g|gif|webp|bmp)$/i.test(file.path) && file.bytes < 8_000_000 && html`<img class="thumb" loading="lazy" src=${address(file.path)} alt=${plain(file.path)} />`}
    </li>`)}</ul></section>`;
}

/** What the job asked for, where it is not the usual. */
export function AskedCard({ job }) {
  const spec = job.spec;
  const said = stated({ ...spec, name: "" });
  const text_ = (value) => (typeof value === "object" ? (Array.isArray(value) ? value.join(" ") : Object.entries(value).map((pair) => pair.join("=")).join(" ")) : String(value));
  const rows = [["cpus", spec.cpus], ["memory_mb", spec.memory_mb], ["time_limit_s", spec.time_limit_s],
    ...Object.entries(said).filter(([key]) => !["cpus", "memory_mb", "time_limit_s"].includes(key))];
  return html`<section class="card" aria-label="What it asked for"><header><h2>Asked for</h2></header>
    <div class="body"><dl class="facts">
      ${rows.map(([name, value]) => html`<dt class="mono">${name}</dt><dd class="mono">${plain(text_(value))}</dd>`)}
      <dt>Language</dt><dd>${labelOf(languageIn(job))}${job.build?.toolchain && html` <span class="faint small anywhere">${plain(job.build.toolchain)}</span>`}</dd>
      ${job.module_sha256 && html`<dt>Module</dt><dd class="row"><code class="cut" title=${job.module_sha256}>${job.module_sha256.slice(0, 16)}…</code><span class="muted small">${bytes(job.module_bytes)}</span><${Copy} text=${job.module_sha256} label="Copy the digest" /></dd>`}
      ${spec.stdin && html`<dt>Stdin</dt><dd><a href=${`/v1/jobs/${job.id}/stdin`} download>download</a></dd>`}
      ${spec.inputs.map((input, at) => html`<dt>Input</dt><dd><a class="mono" href=${`/v1/jobs/${job.id}/inputs/${at}`} download>${plain(input.path)}</a></dd>`)}
    </dl></div></section>`;
}

/** Every attempt that ended; shown where there was more than the one that went well. */
export function Attempts({ job }) {
  const { data, reload } = useData(`/v1/jobs/${job.id}/attempts`);
  useEffect(() => { reload(); }, [job.state]);
  const attempts = data?.attempts ?? [];
  if (attempts.length < 2 && !attempts.some((each) => each.outcome === null)) return null;
  return html`<section class="card" aria-label="Attempts"><header><h2>Attempts</h2><span class="muted small">${attempts.length}${data?.next_cursor ? "+" : ""}</span></header>
    <ol class="body attempts">${attempts.slice(-50).map((each) => html`<li>
      <span class="mono">${plain(each.worker_id)}</span><span class=${each.outcome === "exited" ? "" : "bad"}>${(each.outcome ?? "ended without a result").replaceAll("_", " ")}</span>
      <span class="muted anywhere">${plain(each.reason ?? "")}</span><span class="faint"><${Age} time=${each.ended_at} /></span></li>`)}</ol></section>`;
}
