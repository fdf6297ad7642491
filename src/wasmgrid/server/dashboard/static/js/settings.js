// What a new job asks for: the form, and the request that it makes.
import { html } from "../vendor/preact.js";
import { Field } from "./ui.js";
import { join, pairs, split, unpairs } from "./words.js";
import { megabytes } from "./format.js";

export const BLANK = {
  name: "", args: "", stdin: "", cpus: "1", memory_mb: "1000", time_limit_s: "600", gpus: "0", disk_mb: "1000",
  env: "", require: "", array: "", function: "", build_flags: "", priority: "0",
};

/** The part of a JobSpec that the form says. Throws {field, message} where a field cannot be read. */
export function read(form) {
  const spec = {};
  const number = (key) => {
    const value = Number(form[key]);
    if (form[key].trim() === "" || !Number.isFinite(value)) throw Object.assign(new Error("this is no number"), { field: key });
    return value;
  };
  const reading = (key, parse) => {
    try { return parse(form[key]); } catch (error) { throw Object.assign(error, { field: key }); }
  };
  for (const key of ["cpus", "memory_mb", "time_limit_s"]) spec[key] = number(key);
  for (const key of ["gpus", "disk_mb", "priority"]) if (number(key) !== Number(BLANK[key])) spec[key] = number(key);
  for (const key of ["name", "array", "function"]) if (form[key].trim()) spec[key] = form[key].trim();
  const args = reading("args", split);
  if (args.length) spec.args = args;
  for (const key of ["env", "require"]) if (form[key].trim()) spec[key] = reading(key, pairs);
  if (form.stdin) spec.stdin = form.stdin;
  return spec;
}

/** The form that would make an earlier job's spec again. */
export function formOf(spec) {
  const form = { ...BLANK };
  for (const key of ["name", "array", "function"]) form[key] = spec[key] ?? "";
  for (const key of ["cpus", "memory_mb", "time_limit_s", "gpus", "disk_mb", "priority"]) form[key] = String(spec[key]);
  form.args = join(spec.args ?? []);
  form.env = unpairs(spec.env);
  form.require = unpairs(spec.require);
  form.build_flags = join(spec.source?.build_flags ?? []);
  return form;
}

/** The largest that one worker has, for hints. */
function largest(workers) {
  const most = (key) => Math.max(0, ...workers.map((worker) => worker.capacity[key] ?? 0));
  return { milli_cpus: most("milli_cpus"), memory_mb: most("memory_mb"), gpus: most("gpus") };
}

export function Settings({ form, onChange, wrong, workers }) {
  const set = (key) => (event) => onChange({ ...form, [key]: event.target.value });
  const invalid = (key) => (wrong?.field === key ? "true" : undefined);
  const said = (key) => (wrong?.field === key ? wrong.message || wrong.detail : undefined);
  const most = largest(workers);
  const input = (key, label, { unit, ...more } = {}) => html`<${Field} label=${label} unit=${unit} wrong=${said(key)}>
    <input class="input" name=${key} value=${form[key]} onInput=${set(key)} aria-invalid=${invalid(key)} autocomplete="off" spellcheck="false" ...${more} /><//>`;
  const number = (key, label, unit, min, step = "any") => input(key, label, { unit, type: "number", min, step, inputmode: "decimal" });
  return html`<section class="card settings" aria-label="What the job asks for">
    <div class="body stack">
      <div class="fields four">
        ${number("cpus", "CPUs", most.milli_cpus ? `of ${most.milli_cpus / 1000}` : "", 0)}
        ${number("memory_mb", "Memory, exact cap", most.memory_mb ? `MB of ${megabytes(most.memory_mb)}` : "MB", 1, 1)}
        ${number("time_limit_s", "Time limit", "s", 0)}
        ${input("name", "Name", { placeholder: "optional", maxlength: 200 })}
      </div>
      <div class="fields two">
        ${input("args", "Arguments", { placeholder: "as in a shell: world 'two words'", class: "input mono" })}
        <${Field} label="Standard input" wrong=${said("stdin")}>
          <textarea class="input" name="stdin" rows="1" value=${form.stdin} onInput=${set("stdin")} placeholder="what the program reads" spellcheck="false"></textarea><//>
      </div>
      <details open=${["env", "require", "array", "function", "build_flags"].some((key) => form[key]) || undefined}>
        <summary>More: arrays, functions, environment, labels, GPUs</summary>
        <div class="fields four">
          ${input("array", "Tasks (array)", { placeholder: "0-99", class: "input mono" })}
          ${input("function", "Call a function", { placeholder: "its name: add", class: "input mono" })}
          ${input("env", "Environment", { placeholder: "KEY=VALUE", class: "input mono" })}
          ${input("require", "Worker's labels", { placeholder: "arch=arm64", class: "input mono" })}
          ${input("build_flags", "Compiler flags", { placeholder: "-O2", class: "input mono" })}
          ${number("gpus", "GPUs", most.gpus ? `of ${most.gpus}` : "", 0, 1)}
          ${number("disk_mb", "Scratch", "MB", 1, 1)}
          ${number("priority", "Priority", "", -1000, 1)}
        </div>
      </details>
    </div>
  </section>`;
}
