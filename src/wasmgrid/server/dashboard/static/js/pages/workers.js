// Who runs what: capacity and what of it is taken, labels, and what a person wants of a worker.
import { html, useState } from "../../vendor/preact.js";
import { post, useData } from "../api.js";
import { plain } from "../ansi.js";
import { bytes, duration, megabytes } from "../format.js";
import { labelOf } from "../languages.js";
import { Badge, Command, Empty, Failure, useTitle } from "../ui.js";
import { Ask } from "./job.js";

export function Workers() {
  useTitle("Workers");
  const { data, problem, reload } = useData("/workers.json", 2000);
  const [failed, setFailed] = useState(null);
  const [asking, setAsking] = useState(null);
  const act = async (worker, action) => {
    setFailed(null);
    try { await post(`/v1/workers/${encodeURIComponent(worker.id)}/${action}`); } catch (error) { setFailed(error); }
    reload();
  };
  return html`<div class="page-head"><h1>Workers</h1>${data && html`<span class="muted number">${data.workers.length}</span>`}
      <div class="end small muted">Another machine joins with what this prints: <${Command}>wasmgrid join-command<//></div></div>
    <${Failure} problem=${problem ?? failed} />
    ${data && !data.workers.length && html`<div class="card"><${Empty} title="No worker has joined" command="wasmgrid worker"><p>Jobs wait until one does. On this machine, type:</p><//></div>`}
    <div class="workers">${data?.workers.map((worker) => html`<${Worker} key=${worker.id} worker=${worker} onAct=${(action) => (action === "drain" ? setAsking(worker) : act(worker, action))} />`)}</div>
    ${asking && html`<${Ask} title=${`Drain ${asking.id}?`} text="It finishes what it holds, takes nothing more, and ends. To pause it only, cordon it." yes="Drain" onYes=${() => act(asking, "drain")} onNo=${() => setAsking(null)} />`}`;
}

function Worker({ worker, onAct }) {
  const { capacity, used } = worker;
  const held = ["cordoned", "quarantined"].includes(worker.state);
  const gone = worker.state === "unheard";
  const ready = worker.toolchains.filter((each) => each.ready).map((each) => labelOf(each.language));
  return html`<section class="card worker" aria-label=${`Worker ${worker.id}`}>
    <header><h2 class="mono cut">${worker.id}</h2><${Badge} state=${worker.state} />
      <div class="end">
        ${held ? html`<button type="button" class="button small" onClick=${() => onAct("uncordon")}>Uncordon</button>`
          : html`<button type="button" class="button small" disabled=${worker.state !== "joined"} onClick=${() => onAct("cordon")}>Cordon</button>`}
        <button type="button" class="button small danger" disabled=${gone || worker.state === "draining"} onClick=${() => onAct("drain")}>Drain</button>
      </div></header>
    <div class="body stack">
      ${worker.note && html`<p class="note small">${plain(worker.note)}</p>`}
      <div class="gauges">
        <${Gauge} name="CPUs" used=${used.milli_cpus / 1000} total=${capacity.milli_cpus / 1000} />
        <${Gauge} name="Memory" used=${used.memory_mb} total=${capacity.memory_mb} show=${megabytes} />
        <${Gauge} name="Slots" used=${used.slots} total=${capacity.slots} />
        <${Gauge} name="GPUs" used=${used.gpus} total=${capacity.gpus} />
      </div>
      <div class="running"><h3>Running</h3>${worker.running.length ? html`<p class="row">${worker.running.slice(0, 16).map((task) => html`<${Running} task=${task} />`)}
        ${worker.running.length > 16 && html`<span class="muted small">and ${worker.running.length - 16} more</span>`}</p>` : html`<p class="muted small">nothing</p>`}</div>
      <dl class="facts">
        <dt>Host</dt><dd>${plain(worker.hostname)} <span class="faint">${plain(worker.version)}</span></dd>
        <dt>Labels</dt><dd class="chips">${Object.entries(worker.labels).map(([key, value]) => html`<span class="label">${key}=${value}</span>`)}${!Object.keys(worker.labels).length && html`<span class="faint">none</span>`}</dd>
        <dt>Builds</dt><dd>${ready.join(", ") || html`<span class="faint">nothing yet</span>`}</dd>
        <dt>Cached</dt><dd>${worker.cache.modules} modules, ${bytes(worker.cache.bytes)}</dd>
        ${worker.gpus.length > 0 && html`<dt>GPUs</dt><dd>${worker.gpus.map((gpu) => html`<div>${plain(gpu.model)} <span class="muted">${megabytes(gpu.memory_mb)}${gpu.simulated ? ", simulated" : ""}${worker.gpus_used.includes(gpu.index) ? ", taken" : ""}</span></div>`)}</dd>`}
        <dt>Heard</dt><dd>${worker.silent_s === null ? "never" : worker.silent_s < 3 ? "now" : `${duration(worker.silent_s * 1000)} ago`}${worker.remaining_s !== null ? html` <span class="muted">stays ${duration(worker.remaining_s * 1000)}</span>` : ""}</dd>
      </dl>
    </div>
  </section>`;
}

function Gauge({ name, used, total, show = String }) {
  const part = total ? used / total : 0;
  return html`<div class="gauge"><span class="small muted">${name}</span><span class="small number">${total ? html`${show(used)} <span class="faint">of ${show(total)}</span>` : html`<span class="faint">none</span>`}</span>
    <div class="meter" role="meter" aria-label=${name} aria-valuemin="0" aria-valuemax=${total} aria-valuenow=${used}><i class=${part > 0.9 ? "fill-queued" : ""} style=${{ width: `${Math.min(100, part * 100)}%` }}></i></div></div>`;
}

function Running({ task }) {
  const job = /^job (\d+)$/.exec(task)?.[1];
  return job ? html`<a class="label" href=${`/jobs/${job}`}>${plain(task)}</a>` : html`<span class="label">${plain(task)}</span>`;
}
