// A job that this page submitted, followed to its end: its state, its output, what came of it.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { get, post, stream } from "./api.js";
import { plain } from "./ansi.js";
import { count } from "./format.js";
import { costs, ending, isArray, parts } from "./jobtext.js";
import { Stages } from "./stages.js";
import { Terminal, follow } from "./terminal.js";
import { Badge, Failure, Icon, Meter } from "./ui.js";

/** The job as it changes: {job, problem}. */
export function useJob(id) {
  const [state, setState] = useState({ job: null, problem: null });
  useEffect(() => {
    setState({ job: null, problem: null });
    if (id === null) return undefined;
    get(`/v1/jobs/${id}`).then((job) => setState((old) => (old.job ? old : { job, problem: null })), (problem) => setState({ job: null, problem }));
    return stream(() => `/v1/jobs/${id}/events`, {
      job: (job) => setState({ job, problem: null }),
      end: () => stream.END,
    });
  }, [id]);
  return state.job && id !== null && state.job.id !== Number(id) && id !== "last" ? { job: null, problem: null } : state;
}

/** What is written below a task's output once it has ended: a value, or why there is none. */
export function conclude(terminal, job) {
  const { result, build } = job;
  terminal.flush();
  if (job.state === "failed" && !result?.attempt && build?.diagnostics) {
    terminal.write(build.diagnostics);
    terminal.flush();
    terminal.element.scrollTop = 0;
    if (build.diagnostics_truncated) terminal.say("the compiler said more");
    return;
  }
  if (!result) { if (job.state !== "succeeded" && job.state_reason) terminal.say(plain(job.state_reason)); return; }
  if (result.return_value !== null && result.return_value !== undefined) terminal.write(`${JSON.stringify(result.return_value)}\n`);
  if (result.message) terminal.say(plain(result.message));
  if (result.backtrace) terminal.say(result.backtrace.split("\n").map(plain).join("\n"));
  if (!terminal.lines) terminal.say("it printed nothing");
}

/** The pane beside the editor. `submitted`: the job as it was answered; null before the first run. */
export function RunPane({ submitted, problem, busy, hint, onJob }) {
  const { job: followed } = useJob(submitted?.id ?? null);
  const job = followed ?? submitted;
  const element = useRef(), terminal = useRef(null);
  const [ended, setEnded] = useState(false);
  const [refused, setRefused] = useState(null);
  useEffect(() => { terminal.current = new Terminal(element.current); }, []);
  useEffect(() => {
    setEnded(false);
    setRefused(null);
    terminal.current.clear();
    if (!submitted || isArray(submitted)) return undefined;
    return follow(submitted.id, 0, terminal.current, () => setEnded(true));
  }, [submitted?.id]);
  useEffect(() => {
    if (!job) return;
    onJob?.(job);
    if (job.finished && ended) conclude(terminal.current, job);
  }, [job, ended]);
  const cancel = () => post(`/v1/jobs/${job.id}/cancel`).catch(setRefused);
  const array = job && isArray(job);
  return html`<section class="card output-card" aria-label="Run">
    <header>
      ${job ? html`<${Badge} state=${job.state} /><a class="number" href=${`/jobs/${job.id}`}>job ${job.id}</a>
          <span class="muted cut small">${job.result ? ending(job.result) : !job.finished && plain(job.state_reason ?? "")}</span>`
        : html`<h2>Output</h2>`}
      <div class="end">${job && !job.finished && html`<button type="button" class="button small danger" onClick=${cancel}><${Icon} name="stop" fill />Cancel</button>`}</div>
    </header>
    ${(problem ?? refused) && html`<div class="body"><${Failure} problem=${problem ?? refused} /></div>`}
    ${job?.warnings?.map((warning) => html`<div class="warning small">${plain(warning)}</div>`)}
    ${array && html`<div class="body stack">
      <${Meter} parts=${parts(job)} label=${`${job.task_counts.succeeded ?? 0} of ${job.task_count} tasks succeeded`} />
      <p class="number">${count(job.task_counts.succeeded ?? 0)} of ${count(job.task_count)} tasks succeeded${job.task_counts.failed ? `, ${count(job.task_counts.failed)} failed` : ""}.
        <a href=${`/jobs/${job.id}`}>Heat map and output of each task</a></p></div>`}
    <div class="terminal-frame" hidden=${array}>
      <div ref=${element} class="terminal" role="log" tabindex="0" aria-label="Output of the program"></div>
      ${!job && !busy && html`<div class="terminal-hint">${hint}</div>`}
    </div>
    <footer class="run-foot">
      ${job ? html`<${Stages} job=${job} />` : html`<div class="stages-room faint small">The way of the job shows here: build, queue, fetch, precompile, run.</div>`}
      <div class="costs small muted number">${job && costs(job).map(([what, much]) => html`<span>${what} <b>${plain(much)}</b></span>`)}</div>
    </footer>
  </section>`;
}
