// A job as it is typed: for a terminal, for curl, for Python. What people and programs named is quoted, never trusted.
import { html, useState } from "../vendor/preact.js";
import { Copy, Tabs } from "./ui.js";

const CONTROLS = /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

/**
 * A word for a shell. What a terminal would take for a key (a paste that holds ^C ends the line, and types the next) goes in
 * as its escape, which bash, zsh and ksh read back.
 */
export function shell(word) {
  const text = String(word);
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (!CONTROLS.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escape = (each) => ({ "\n": "\\n", "\t": "\\t" })[each] ?? `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const escaped = text.replace(/[\\']/g, "\\$&").replace(new RegExp(CONTROLS, "g"), escape);
  return `$'${escaped}'`;
}

/** A file's name that no command takes for a flag. */
const file_ = (name) => (name.startsWith("-") ? `./${name}` : name);

const python = (value) => {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, each]) => `${python(key)}: ${python(each)}`).join(", ")}}`;
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

/**
 * `files`: the names of the source's files, the entry first; or `module`: the digest of a ready one. Input that a job kept is
 * named as the file that its page gives.
 */
export function asCli(spec, { files, entry }) {
  const own = stated(spec);
  const words = ["wasmgrid", "run", files.length === 1 ? file_(files[0]) : ".", ...(files.length > 1 ? ["--entry", entry] : [])];
  for (const [key, flag] of Object.entries(FLAGS)) if (key in own) words.push(flag, String(own[key]));
  for (const [key, flag] of Object.entries(TIMES)) if (key in own) words.push(flag, `${own[key]}s`);
  for (const [key, flag] of [["env", "--env"], ["require", "--require"], ["prefer", "--prefer"]]) {
    for (const [name, value] of Object.entries(own[key] ?? {})) words.push(flag, `${name}=${value}`);
  }
  for (const flag of flagsOf(spec)) words.push("--build-flag", flag);
  if (own.fail_fast) words.push("--fail-fast");
  if (own.isolate) words.push("--isolate");
  const typed = typeof spec.stdin === "string" && spec.stdin;
  if (spec.stdin) words.push("--stdin", typed ? "-" : "stdin");
  for (const input of spec.inputs ?? []) words.push("--input", `${input.path.split("/").pop()}:${input.path}${input.writable ? ":rw" : ""}`);
  if (spec.lines) words.push("--each-line", "lines", ...(spec.lines.use === "args" ? ["--as-args"] : []));
  if (own.args) words.push("--", ...own.args);
  const line = words.map(shell).join(" ");
  return typed ? `printf %s ${shell(spec.stdin)} | ${line}` : line;
}

export function asCurl(spec, { files, module }) {
  const asked = stated(spec);
  if (typeof spec.stdin === "string" && spec.stdin) asked.stdin = spec.stdin;
  for (const key of ["inputs", "lines"]) if (spec[key] && (key === "lines" || spec.inputs.length)) asked[key] = spec[key];
  const token = '-H "Authorization: Bearer $(cat $WASMGRID_HOME/token)"';
  const head = `curl -sS ${token} \\\n  ${shell(`${location.origin}/v1/jobs?wait=60`)}`;
  if (module) return `${head} \\\n  --json ${shell(JSON.stringify({ module_sha256: module, ...asked }))}`;
  if (flagsOf(spec).length) asked.source = { build_flags: flagsOf(spec) };
  const parts = files.map((file) => `-F ${shell(`file=@${form(file)};filename=${form(file)}`)}`);
  return [head, `-F ${shell(`spec=${JSON.stringify(asked)}`)}`, ...parts].join(" \\\n  ");
}

const flagsOf = (spec) => spec.source?.build_flags ?? [];

/** A file's name in a form of curl's, where `;` and `,` mean something. */
const form = (name) => (/[;,"\\]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name);

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
  if (flagsOf(spec).length) asked.build_flags = flagsOf(spec);
  if (typeof spec.stdin === "string" && spec.stdin) asked.stdin = spec.stdin;
  for (const [key, value] of Object.entries(asked)) words.push(`${WORDS[key] ?? key}=${python(value)}`);
  const [before, made, shown] = !name
    ? ["", "result = grid.run", many ? "print(result.counts, [task.stdout for task in result.tasks()])" : "print(result.stdout)"]
    : array === undefined
      ? ["", "call = grid.function", `print(call(${(args ?? []).map(value).join(", ")}))`]
      : ["inputs = [[2, 3]]  # the arguments of each call\n\n", "values = grid.map", "print(list(values))"];
  const one = `${made}(${words.join(", ")})`;
  const line = one.length < 80 ? one : `${made}(\n        ${words.join(",\n        ")},\n    )`;
  return `from wasmgrid import Client\n\n${before}with Client() as grid:\n    ${line}\n    ${shown}`;
}

/** A word that a function is given: what JSON knows as that, else text. */
function value(word) {
  try { return python(JSON.parse(word)); } catch { return python(word); }
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
