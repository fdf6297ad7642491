// A job as it is typed: for a terminal, for curl, for Python. What people and programs named is quoted, never trusted.
import { html, useState } from "../vendor/preact.js";
import { Copy, Tabs } from "./ui.js";

/** A word for a POSIX shell. */
export const shell = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`);

const python = (value) => {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${python(each)}`).join(", ")}}`;
  return typeof value === "string" ? JSON.stringify(value).replace(/[\u007f-\uffff]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`) : String(value);
};

const DEFAULTS = {
  cpus: 1, memory_mb: 1000, disk_mb: 1000, gpus: 0, time_limit_s: 600, output_limit_bytes: 16777216, output_overflow: "stop",
  retries: 0, priority: 0, gpu_memory_mb: 0,
};
const FLAGS = {
  cpus: "--cpus", memory_mb: "--memory-mb", disk_mb: "--disk-mb", gpus: "--gpus", gpu_model: "--gpu-model",
  gpu_memory_mb: "--gpu-memory-mb", output_limit_bytes: "--output-limit", output_overflow: "--output-overflow", fuel: "--fuel",
  retries: "--retries", priority: "--priority", array: "--array", concurrency: "--concurrency", max_fails: "--max-fails",
  function: "--function", name: "--job-name",
};
const TIMES = {
  time_limit_s: "--time-limit", queue_timeout_s: "--queue-timeout", total_timeout_s: "--total-timeout", cpu_time_limit_s: "--cpu-time-limit",
};

/** What of a spec is not as it would be anyway. */
export function stated(spec) {
  const kept = {};
  for (const key of [...Object.keys(FLAGS), ...Object.keys(TIMES), "env", "require", "prefer", "args", "fail_fast", "isolate"]) {
    const value = spec[key];
    if (value === undefined || value === null || value === "" || value === false || value === DEFAULTS[key]) continue;
    if (typeof value === "object" && !Object.keys(value).length) continue;
    kept[key] = value;
  }
  return kept;
}

/** `files`: the names of the source's files, the entry first; or `module`: the digest of a ready one. */
export function asCli(spec, { files, entry }) {
  const own = stated(spec);
  const words = ["wasmgrid", "run", files.length === 1 ? files[0] : ".", ...(files.length > 1 ? ["--entry", entry] : [])];
  for (const [key, flag] of Object.entries(FLAGS)) if (key in own) words.push(flag, String(own[key]));
  for (const [key, flag] of Object.entries(TIMES)) if (key in own) words.push(flag, `${own[key]}s`);
  for (const [key, flag] of [["env", "--env"], ["require", "--require"], ["prefer", "--prefer"]]) {
    for (const [name, value] of Object.entries(own[key] ?? {})) words.push(flag, `${name}=${value}`);
  }
  if (own.fail_fast) words.push("--fail-fast");
  if (own.isolate) words.push("--isolate");
  if (own.args) words.push("--", ...own.args);
  return words.map(shell).join(" ");
}

export function asCurl(spec, { files, module }) {
  const asked = stated(spec);
  const token = '-H "Authorization: Bearer $(cat $WASMGRID_HOME/token)"';
  const head = `curl -sS ${token} \\\n  ${shell(`${location.origin}/v1/jobs?wait=60`)}`;
  if (module) return `${head} \\\n  --json ${shell(JSON.stringify({ module_sha256: module, ...asked }))}`;
  const parts = files.map((file) => `-F ${shell(`file=@${file};filename=${file}`)}`);
  return [head, `-F ${shell(`spec=${JSON.stringify(asked)}`)}`, ...parts].join(" \\\n  ");
}

/** Keywords of the SDK that are not the keys of a request: their values may say a unit. */
const WORDS = {
  time_limit_s: "time_limit", queue_timeout_s: "queue_timeout", total_timeout_s: "total_timeout", cpu_time_limit_s: "cpu_time_limit",
  output_limit_bytes: "output_limit",
};

export function asPython(spec, { files, entry, module }) {
  const { args, function: name, array, ...asked } = stated(spec);
  const many = array !== undefined && !name;
  const words = [python(module ?? (files.length === 1 ? files[0] : "."))];
  if (name) words.push(...(array === undefined ? [python(name)] : ["inputs", `function=${python(name)}`]));
  else if (args) words.push(`args=${python(args)}`);
  if (many) words.push(`array=${python(array)}`);
  if (!module && files.length > 1) words.push(`entry=${python(entry)}`);
  for (const [key, value] of Object.entries(asked)) words.push(`${WORDS[key] ?? key}=${python(value)}`);
  const [before, made, shown] = !name
    ? ["", "result = grid.run", many ? "print(result.counts, [task.stdout for task in result.tasks()])" : "print(result.stdout)"]
    : array === undefined
      ? ["", "call = grid.function", `print(call(${(args ?? []).map(python).join(", ")}))`]
      : ["inputs = [[2, 3]]  # the arguments of each call\n\n", "values = grid.map", "print(list(values))"];
  const one = `${made}(${words.join(", ")})`;
  const line = one.length < 80 ? one : `${made}(\n        ${words.join(",\n        ")},\n    )`;
  return `from wasmgrid import Client\n\n${before}with Client() as grid:\n    ${line}\n    ${shown}`;
}

const WAYS = [
  { id: "cli", label: "Terminal", make: asCli },
  { id: "curl", label: "curl", make: asCurl },
  { id: "python", label: "Python", make: asPython },
];

/** The job in each of these ways, to be copied. */
export function CopyAs({ spec, what }) {
  const [chosen, setChosen] = useState("cli");
  const made = WAYS.find((way) => way.id === chosen).make(spec, what);
  return html`<section class="card copyas" aria-label="Copy as">
    <header><h2>Copy as</h2><${Tabs} label="Copy as" tabs=${WAYS} chosen=${chosen} onChoose=${setChosen} />
      <div class="end"><${Copy} text=${made} label="Copy it" /></div></header>
    <pre tabindex="0" class="mono">${made}</pre>
  </section>`;
}
