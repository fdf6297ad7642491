// The grid at a glance, live: how much there is to do, how fast it goes, how well, and with what.
import { html, useEffect, useState } from "../../vendor/preact.js";
import { get, stream, useData } from "../api.js";
import { Chart } from "../chart.js";
import { count, duration, megabytes, rate, share } from "../format.js";
import { STATES } from "../jobtext.js";
import { Badge, Empty, Failure, useTitle } from "../ui.js";
import { Rows } from "./jobs.js";

const POINTS = 450; // 15 minutes

/** What is known now, with the newest point at the end of each series. */
function joined(old, now) {
  if (!old) return now;
  const at = now.series.times.at(-1);
  if (at === undefined || at <= (old.series.times.at(-1) ?? 0)) return { ...now, series: old.series };
  const series = { step_s: now.series.step_s };
  for (const [name, values] of Object.entries(old.series)) {
    if (Array.isArray(values)) series[name] = [...values, ...now.series[name]].slice(-POINTS);
  }
  return { ...now, series };
}

function useOverview() {
  const [state, setState] = useState({ data: null, problem: null });
  useEffect(() => {
    let gone = false;
    const load = () => get("/overview.json").then(
      (data) => !gone && setState({ data, problem: null }), (problem) => !gone && setState((old) => ({ ...old, problem })),
    );
    const seen = () => { if (!document.hidden) load(); }; // what passed while nobody looked
    load();
    document.addEventListener("visibilitychange", seen);
    const end = stream(() => "/v1/overview/events", { overview: (now) => setState((old) => (old.data ? { data: joined(old.data, now), problem: null } : old)) });
    return () => { gone = true; end(); document.removeEventListener("visibilitychange", seen); };
  }, []);
  return state;
}

export function Overview() {
  useTitle("Overview");
  const { data, problem } = useOverview();
  const { data: recent } = useData("/jobs.json?limit=8", 2000);
  const none = { times: [] };
  const series = data?.series ?? none;
  const of = (name) => series[name] ?? [];
  const windowS = (series.step_s ?? 2) * POINTS;
  const workers = data?.workers;
  return html`<div class="page-head"><h1>Overview</h1></div>
    <${Failure} problem=${problem} />
    <section class="card states" aria-label="Jobs by state">
      ${STATES.map((state) => html`<a href=${`/jobs?state=${state}`}><${Badge} state=${state} /><b class="number">${count(data?.jobs[state])}</b></a>`)}
    </section>
    <div class="tiles six">
      <${Tile} name="Tasks a second" value=${rate(of("tasks_per_s").at(-1))} more=${workers ? `${count(workers.running_tasks)} running` : ""} />
      <${Tile} name="Waiting" value=${count(data?.queue.tasks)} more=${data?.queue.oldest_s ? `the oldest for ${duration(data.queue.oldest_s * 1000)}` : "none waits"} />
      <${Tile} name="Success" value=${share(data?.success_rate)} more="of tasks, last 15 minutes" />
      <${Tile} name="Workers" value=${count(workers?.joined)} more=${workers ? others(workers) : ""} href="/workers" />
      <${Used} name="CPUs" of=${workers?.cpus} />
      <${Used} name="Memory" of=${workers?.memory_mb} show=${megabytes} />
    </div>
    <div class="charts">
      <${Chart} title="Tasks a second" times=${series.times} windowS=${windowS} format=${rate} lines=${[{ name: "ended", tone: "--good", values: of("tasks_per_s"), fill: true }]} />
      <${Chart} title="Tasks waiting and running" times=${series.times} windowS=${windowS} format=${count} most=${4}
        lines=${[{ name: "waiting", tone: "--wait", values: of("queue_tasks"), fill: true }, { name: "running", tone: "--busy", values: of("running_tasks") }]} />
      <${Chart} title="Run time of tasks" times=${series.times} windowS=${windowS} format=${duration} log=${true}
        lines=${[{ name: "p50", tone: "--good", values: of("wall_ms_p50") }, { name: "p90", tone: "--wait", values: of("wall_ms_p90") }, { name: "p99", tone: "--bad", values: of("wall_ms_p99") }]} />
      <${Chart} title="CPUs taken" times=${series.times} windowS=${windowS} format=${(n) => String(Math.round(n * 10) / 10)} most=${workers?.cpus.total ?? 1}
        lines=${[{ name: workers ? `of ${workers.cpus.total}` : "used", tone: "--accent", values: of("cpus_used"), fill: true }]} />
    </div>
    <section class="card list recent" aria-label="Newest jobs"><header><h2>Newest jobs</h2><div class="end"><a class="small" href="/jobs">All jobs</a></div></header>
      ${recent && (recent.jobs.length ? html`<${Rows} jobs=${recent.jobs} />` : html`<${Empty} title="This grid is ready" command="wasmgrid run hello.rs"><p>Write a program <a href="/new">here</a> and press Run, or type:</p><//>`)}</section>`;
}

const Tile = ({ name, value, more, href, children }) => html`<div class="card tile"><span>${href ? html`<a href=${href}>${name}</a>` : name}</span>
  <b class="number">${value}</b>${children}<i class="number">${more}</i></div>`;

function Used({ name, of, show = String }) {
  const part = of?.total ? of.used / of.total : 0;
  return html`<${Tile} name=${name} value=${of ? share(part) : "–"} more=${of ? `${show(of.used)} of ${show(of.total)}` : ""} />`;
}

function others(workers) {
  const said = ["draining", "cordoned", "quarantined", "unheard", "lost"].filter((state) => workers[state]).map((state) => `${workers[state]} ${state}`);
  if (workers.gpus.total) said.push(`${workers.gpus.used} of ${workers.gpus.total} GPUs`);
  return said.join(", ") || "all well";
}
