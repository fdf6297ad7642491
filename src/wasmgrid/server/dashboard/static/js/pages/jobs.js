// All jobs: searched, filtered, sorted, a page at a time. Everything that was chosen is in the address.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { useData } from "../api.js";
import { count, duration, between } from "../format.js";
import { LANGUAGES, labelOf } from "../languages.js";
import { STATES, isArray, languageIn, nameOf, parts } from "../jobtext.js";
import { go } from "../router.js";
import { Age, Badge, Empty, Failure, Icon, Meter, useTitle } from "../ui.js";

const SORTS = [["", "newest first"], ["oldest", "oldest first"], ["finished", "ended last first"]];
const LIMIT = 25;
const ASKED = ["search", "state", "language", "worker", "since", "until", "sort", "cursor"];

export function Jobs({ query }) {
  useTitle("Jobs");
  const asked = new URLSearchParams();
  for (const key of ASKED) for (const value of query.getAll(key)) asked.append(key, value);
  asked.set("limit", LIMIT);
  const costly = query.get("search") || query.get("worker") || query.get("cursor"); // or of the past: looked at now and then
  const { data, problem, stale } = useData(`/jobs.json?${asked}`, costly ? 15_000 : 2000);
  const { data: pool } = useData("/workers.json");
  const filtered = ASKED.some((key) => key !== "sort" && query.get(key));
  const change = (key, value) => {
    const next = new URLSearchParams(query);
    next.delete(key);
    next.delete("cursor");
    for (const each of [value].flat()) if (each) next.append(key, each);
    go(`/jobs${next.size ? `?${next}` : ""}`, { replace: key === "search" });
  };
  const toggle = (state) => {
    const states = query.getAll("state");
    change("state", states.includes(state) ? states.filter((each) => each !== state) : [...states, state]);
  };
  const select = (key, label, options) => html`<label class="sr" for=${key}>${label}</label>
    <select id=${key} class="select" value=${query.get(key) ?? ""} onChange=${(event) => change(key, event.target.value)}>
      ${options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select>`;
  return html`<div class="page-head"><h1>Jobs</h1></div>
    <div class="filters">
      <${Search} value=${query.get("search") ?? ""} onChange=${(text) => change("search", text)} />
      ${select("language", "Language", [["", "any language"], ...Object.entries(LANGUAGES).map(([name, { label }]) => [name, label])])}
      ${select("worker", "Worker", [["", "any worker"], ...(pool?.workers ?? []).map((worker) => [worker.id, worker.id])])}
      ${select("sort", "Order", SORTS)}
      <div class="chips" role="group" aria-label="States">
        ${STATES.map((state) => html`<button type="button" class=${`chip tone-${state}`} aria-pressed=${query.getAll("state").includes(state)} onClick=${() => toggle(state)}>${state}</button>`)}
      </div>
    </div>
    <${Failure} problem=${problem} />
    <section class=${`card list ${stale && data ? "loading" : ""}`} aria-label="Jobs" aria-busy=${stale}>
      ${data && (data.jobs.length ? html`<${Rows} jobs=${data.jobs} />`
        : filtered ? html`<${Empty} title="No job is like that"><p>Fewer filters show more.</p><a href="/jobs">All jobs</a><//>`
        : html`<${Empty} title="No jobs yet" command="wasmgrid run hello.rs"><p>Write one <a href="/new">here</a>, or type:</p><//>`)}
      ${!data && !problem && html`<div class="rows-room"></div>`}
    </section>
    ${data?.cut && html`<p class="muted small">The search went through part of the jobs: More jobs goes on.</p>`}
    <nav class="pager" aria-label="Pages of the list">
      ${query.get("cursor") && html`<button type="button" class="button" onClick=${() => history.back()}>Back</button>`}
      ${data?.next_cursor && html`<a class="button" href=${next(query, data.next_cursor)}>More jobs</a>`}
    </nav>`;
}

function next(query, cursor) {
  const to = new URLSearchParams(query);
  to.set("cursor", cursor);
  return `/jobs?${to}`;
}

/** Asks once the typing rests. */
function Search({ value, onChange }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => { setText(value); }, [value]);
  const type = (event) => {
    const typed = event.target.value;
    setText(typed);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(typed.trim()), 250);
  };
  return html`<label class="search"><span class="sr">Search by name or number</span><${Icon} name="search" />
    <input class="input" type="search" placeholder="Search by name or number" value=${text} onInput=${type} /></label>`;
}

export function Rows({ jobs }) {
  return html`<div class="rows" role="table" aria-label="Jobs">
    <div class="job-row head" role="row">
      ${["Job", "State", "Language", "Tasks", "Run", "Submitted"].map((title, at) => html`<span role="columnheader" class=${`c${at}`}>${title}</span>`)}
    </div>
    ${jobs.map((job) => html`<${Row} key=${job.id} job=${job} />`)}
  </div>`;
}

function Row({ job }) {
  const runMs = job.result?.attempt ? job.result.stats.wall_ms : between(job.started_at, job.finished_at);
  return html`<div class="job-row" role="row">
    <span class="c0 name" role="cell"><a href=${`/jobs/${job.id}`}><span class="faint number">${job.id}</span> ${nameOf(job)}</a></span>
    <span class="c1" role="cell"><${Badge} state=${job.state} /></span>
    <span class="c2 muted" role="cell">${labelOf(languageIn(job))}</span>
    <span class="c3 number" role="cell">${isArray(job)
      ? html`<span class="tasks">${count(job.task_count)}<${Meter} parts=${parts(job)} label=${`${job.task_counts.succeeded ?? 0} of ${job.task_count} succeeded`} /></span>` : ""}</span>
    <span class="c4 number" role="cell">${duration(runMs)}</span>
    <span class="c5 muted" role="cell"><${Age} time=${job.submitted_at} /></span>
  </div>`;
}
