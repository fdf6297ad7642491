// What is said of a job in a line, wherever it is shown.
import { bytes, count, duration } from "./format.js";
import { plain } from "./ansi.js";

/** How a task ended, as a person says it. */
export function ending(result) {
  if (!result) return "";
  if (result.outcome === "exited") return `exit code ${result.exit_code}`;
  const kind = result.trap_kind ? `: ${result.trap_kind.replaceAll("_", " ")}` : "";
  return result.outcome.replaceAll("_", " ") + kind;
}

/** What it cost: `compile 526 ms · queue 0 ms · run 5.00 s · cpu 0.5 ms · peak 1.1 MiB · worker w1`. */
export function costs(job) {
  const said = [];
  if (job.build?.cached) said.push(["compile", "cached"]);
  else if (job.build?.build_ms) said.push(["compile", duration(job.build.build_ms)]);
  const stats = job.result?.stats;
  if (stats && job.result.attempt > 0) {
    said.push(["queue", duration(stats.queue_ms)], ["run", duration(stats.wall_ms)], ["cpu", duration(stats.cpu_ms)]);
    said.push(["peak", bytes(stats.peak_memory_bytes)]);
    if (stats.fuel_used) said.push(["fuel", count(stats.fuel_used)]);
    said.push(["worker", job.result.worker_id]);
  }
  return said;
}

/** What a person called it, or what it was made of. */
export const nameOf = (job) => plain(job.name || job.spec?.source?.entry || (job.spec?.module_sha256 ?? job.module_sha256 ?? "").slice(0, 12) || `job ${job.id}`);

export const languageIn = (job) => job.build?.language ?? job.spec?.source?.language ?? "wasm";
export const isArray = (job) => job.spec?.array !== null && job.spec?.array !== undefined;

/** States in the order of a job's life, and as parts of a whole: what has ended first. */
export const STATES = ["building", "queued", "running", "succeeded", "failed", "cancelled"];
export const ENDED_FIRST = ["succeeded", "failed", "cancelled", "running", "queued", "building"];

/** `[{name, share}]` of an array's tasks, for a meter. */
export function parts(job) {
  const total = job.task_count || 1;
  return ENDED_FIRST
    .map((name) => ({ name, share: (job.task_counts?.[name] ?? 0) / total }))
    .filter((part) => part.share > 0);
}

/** The stages that a job goes through: `[{name, tone, from, ms, state}]`, `from` in ms since its submission. */
export function stagesOf(job) {
  const stats = job.result?.attempt > 0 ? job.result.stats : null; // else nothing ran
  const built = job.spec?.source;
  const building = job.state === "building", queued = job.state === "queued", running = job.state === "running";
  const began = new Date(job.submitted_at).getTime();
  const sinceMs = (time) => (time ? new Date(time).getTime() - began : null);
  const stages = [];
  let at = 0;
  const add = (name, tone, ms, now, from = at) => {
    stages.push({ name, tone, from, ms, now });
    if (ms !== null) at = from + ms;
  };
  const buildMs = built ? (job.build?.cached ? 0 : job.build?.build_ms ?? null) : 0;
  add("Build", built && job.state === "failed" && !stats && !job.module_sha256 ? "failed" : "building", building ? Date.now() - began : buildMs, building);
  add("Queue", "queued", queued ? Math.max(0, Date.now() - began - (buildMs ?? 0)) : stats?.queue_ms ?? (running ? 0 : null), queued);
  add("Fetch", "cancelled", stats ? stats.fetch_ms : null, false);
  add("Precompile", "building", stats ? stats.precompile_ms + stats.instantiate_ms : null, false);
  const startMs = sinceMs(job.started_at);
  add("Run", job.state === "failed" ? "failed" : job.finished ? "succeeded" : "running",
    stats ? stats.wall_ms : running && startMs !== null ? Date.now() - began - startMs : null, running, running ? startMs ?? at : at);
  return stages;
}

const STAGE_TONES = { submit: "idle", build: "building", queue: "queued", match: "cancelled", run: "running", result: "succeeded" };
const STEPS = ["fetch", "precompile", "instantiate", "wall"];
const STEP_NAMES = { wall: "program" };

/** The stages of `GET /v1/jobs/{id}/timeline` in the form of `stagesOf`, the steps of the run below it. */
export function stagesOfTimeline(timeline) {
  const began = new Date(timeline.stages[0].started_at).getTime();
  const told = (each, name, sub) => {
    const skipped = each.state === "skipped", known = each.started_at !== null && !skipped && each.ms !== null;
    const tone = each.stage === "result" && timeline.state !== "succeeded" ? timeline.state : STAGE_TONES[each.stage] ?? "running";
    return { name, sub, tone, from: known ? Math.max(0, new Date(each.started_at) - began) : 0, ms: known ? each.ms : null, now: each.state === "active", detail: each.detail, skipped };
  };
  const stages = [];
  for (const stage of timeline.stages) {
    stages.push(told(stage, stage.stage, false));
    if (stage.stage !== "run") continue;
    for (const step of STEPS) {
      const found = timeline.steps.find((each) => each.stage === step);
      stages.push(found ? told(found, STEP_NAMES[step] ?? step, true) : { name: STEP_NAMES[step] ?? step, sub: true, tone: "running", from: 0, ms: null, now: false });
    }
  }
  return stages;
}
