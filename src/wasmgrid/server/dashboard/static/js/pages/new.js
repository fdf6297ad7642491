// A program is written or dropped here, and runs: its output streams beside it.
import { html, useEffect, useMemo, useRef, useState } from "../../vendor/preact.js";
import { get, post, put, useData } from "../api.js";
import { CopyAs } from "../copyas.js";
import { bytes } from "../format.js";
import { LANGUAGES, complaints, guess, labelOf, languageOf } from "../languages.js";
import { RunPane } from "../run.js";
import { BLANK, Settings, formOf, read } from "../settings.js";
import { STARTERS, load } from "../starters.js";
import { Icon, Tabs, useTitle } from "../ui.js";
import { split } from "../words.js";

const DRAFT = "wasmgrid-draft";
const MAC = /Mac|iP/.test(navigator.platform);

function kept() {
  try { return JSON.parse(sessionStorage.getItem(DRAFT)); } catch { return null; }
}

/** A file of a request in the editor: its text, or bytes that are none, which go along as they are. */
const fileOf = (name, content) => (typeof content === "string" ? { name, text: content } : { name, text: "", base64: content.base64 });

const edited = (file, text) => (text === file.text ? file : { name: file.name, text });

async function opened(file) {
  const name = file.webkitRelativePath || file.name;
  const bytes = new Uint8Array(await file.arrayBuffer());
  try { return fileOf(name, new TextDecoder("utf-8", { fatal: true }).decode(bytes)); } catch { // it is no text
    return fileOf(name, { base64: btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join("")) });
  }
}

/** Where a page begins: an earlier job, a starter that the address names, what was being written, or the first starter. */
async function beginning(query) {
  const from = query.get("from");
  if (from) {
    const { job } = await get(`/jobs/${from}.json`);
    const source = await get(`/v1/jobs/${job.id}/source`);
    const names = Object.keys(source.files).sort((a, b) => (b === source.entry) - (a === source.entry));
    const files = names.map((name) => fileOf(name, source.files[name]));
    return { files, language: source.language, form: formOf(job.spec) };
  }
  const draft = kept();
  const named = STARTERS.find((starter) => starter.file === query.get("starter"));
  if (draft && !named) return draft;
  return starting(named ?? STARTERS[0]);
}

async function starting({ file, asks }) {
  return { files: [{ name: file, text: await load(file) }], language: "", form: { ...BLANK, ...asks } };
}

async function uploaded(file) {
  const body = await file.arrayBuffer();
  const digest = await crypto.subtle.digest("SHA-256", body);
  const sha256 = [...new Uint8Array(digest)].map((each) => each.toString(16).padStart(2, "0")).join("");
  await put(`/v1/modules/${sha256}`, body, "application/wasm");
  return { name: file.name, sha256, bytes: body.byteLength };
}

export function NewJob({ query }) {
  const { data } = useData("/new.json");
  const [files, setFiles] = useState([{ name: "main.rs", text: "" }]);
  const [active, setActive] = useState(0);
  const [chosen, setChosen] = useState(""); // a language; empty: guessed
  const [form, setForm] = useState(BLANK);
  const [module, setModule] = useState(null);
  const [submitted, setSubmitted] = useState(null);
  const [problem, setProblem] = useState(null);
  const [wrong, setWrong] = useState(null);
  const [busy, setBusy] = useState(false);
  const [over, setOver] = useState(false);
  const place = useRef(), editor = useRef(null), output = useRef(), picker = useRef();
  const act = useRef({});
  useTitle("New job");

  const file = files[active] ?? files[0];
  const language = chosen || (files[0] && (guessed(files[0]) ?? ""));
  act.current = { run, files, active };

  function take({ files: next, language: said, form: asked }) {
    setModule(null);
    setFiles(next);
    setActive(0);
    setChosen(said ?? "");
    setForm({ ...BLANK, ...asked });
    editor.current?.set(next[0].text);
    editor.current?.complain([]);
  }

  useEffect(() => {
    let gone = false, made = null;
    Promise.all([import("../editor.js"), beginning(query)]).then(([{ edit }, start]) => {
      if (gone) return;
      made = editor.current = edit(place.current, {
        text: start.files[0].text,
        label: "Source of the program",
        onChange: (text) => setFiles((old) => old.map((each, at) => (at === act.current.active ? edited(each, text) : each))),
        onRun: () => act.current.run(),
      });
      take(start);
    }, setProblem);
    return () => { gone = true; made?.destroy(); editor.current = null; };
  }, []);
  useEffect(() => { editor.current?.language(languageOf(file.name) ?? language); }, [language, file.name]);
  useEffect(() => {
    if (!files[0].text || module) return;
    try { sessionStorage.setItem(DRAFT, JSON.stringify({ files, language: chosen, form })); } catch { sessionStorage.removeItem(DRAFT); } // too large
  }, [files, chosen, form]);

  function show(at) {
    act.current.active = at;
    setActive(at);
    editor.current?.set(files[at].text);
  }

  async function drop(list) {
    const given = [...list];
    if (!given.length) return;
    setProblem(null);
    try {
      if (given[0].name.endsWith(".wasm")) { setModule(await uploaded(given[0])); return; }
      take({ files: await Promise.all(given.map(opened)), form });
    } catch (error) { setProblem(error); }
  }

  async function run() {
    if (busy) return;
    setWrong(null);
    setProblem(null);
    editor.current?.complain([]);
    let spec;
    try { spec = specOf({ form, files, language: chosen || language, module }); } catch (error) { setWrong(error); return; }
    setBusy(true);
    try {
      setSubmitted(await post("/v1/jobs", spec));
      if (matchMedia("(max-width: 900px)").matches) output.current?.scrollIntoView({ behavior: "smooth", block: "start" });
    } catch (error) {
      setProblem(error);
      if (error.field) setWrong(error);
    }
    setBusy(false);
  }

  function onJob(job) {
    if (job.finished && job.state === "failed" && job.build?.diagnostics) editor.current?.complain(complaints(job.build.diagnostics, file.name));
  }

  const what = module ? { files: [module.name], module: module.sha256 } : { files: files.map((each) => each.name), entry: files[0].name };
  const spec = useMemo(() => { try { return { ...read(form), source: { build_flags: split(form.build_flags) } }; } catch { return {}; } }, [form]);
  const known = data ? new Set(data.toolchains.map((each) => each.language)) : null;
  const missing = known && !module && language && language !== "wasm" && !known.has(language);
  return html`<div class="page-head">
      <h1>New job</h1>
      <div class="end">
        <${Starters} known=${known} onChoose=${async (starter) => take(await starting(starter))} />
        <button type="button" class="button primary run" onClick=${run} disabled=${busy} title="Run (Ctrl-Enter)">
          <${Icon} name="play" fill />Run<kbd>${MAC ? "⌘" : "Ctrl"} ↵</kbd></button>
      </div>
    </div>
    <div class="bench">
      <section class=${`card editor-card ${over ? "over" : ""}`} aria-label="Program"
        onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)}
        onDrop=${(event) => { event.preventDefault(); setOver(false); drop(event.dataTransfer.files); }}>
        <header>
          ${files.length > 1 && !module
            ? html`<${Tabs} label="Files" tabs=${files.map((each, at) => ({ id: String(at), label: each.name }))} chosen=${String(active)} onChoose=${(id) => show(Number(id))} />`
            : html`<${FileName} name=${module?.name ?? file.name} fixed=${module !== null} onChange=${(name) => setFiles([{ ...file, name }])} />`}
          <div class="end">
            ${!module && html`<label class="sr" for="language">Language</label>
            <select id="language" class="select language" value=${chosen} onChange=${(event) => setChosen(event.target.value)}>
              <option value="">${language ? `Auto: ${labelOf(language)}` : "Language?"}</option>
              ${Object.entries(LANGUAGES).map(([name, { label }]) => html`<option value=${name}>${label}</option>`)}
            </select>`}
            <input ref=${picker} type="file" multiple hidden onChange=${(event) => { drop(event.target.files); event.target.value = ""; }} />
            <button type="button" class="button small" onClick=${() => picker.current.click()}>Open …</button>
          </div>
        </header>
        ${missing && html`<div class="warning small">No worker here can build ${labelOf(language)}. On a worker's machine: wasmgrid toolchain install ${language}</div>`}
        ${!module && file.base64 !== undefined && html`<div class="warning small">These bytes are no text: they go along as they are, unless something is written here.</div>`}
        ${module && html`<div class="empty"><h2>${module.name}</h2><p>${bytes(module.bytes)} of WebAssembly, uploaded and checked. It runs as it is.</p>
          <button type="button" class="button small" onClick=${() => setModule(null)}>Back to the source</button></div>`}
        <div class="editor" ref=${place} hidden=${module !== null}></div>
        <div class="drop" aria-hidden="true">Drop a source file, several, or a .wasm</div>
      </section>
      <div ref=${output} class="output-place">
        <${RunPane} submitted=${submitted} problem=${problem} busy=${busy} onJob=${onJob}
          hint=${html`<p>Press <b>Run</b>: your program is compiled in a sandbox, matched to a worker, and its output streams here.</p>
            <p>Drop a file onto the editor to run it: Rust, C, C++, Go, Zig, Python, JavaScript, TypeScript, WAT, or a ready .wasm.</p>`} />
      </div>
      <${Settings} form=${form} onChange=${setForm} wrong=${wrong} workers=${data?.workers ?? []} />
      <${CopyAs} spec=${spec} what=${what} />
    </div>`;
}

const guessed = (file) => languageOf(file.name) ?? guess(file.text);

function specOf({ form, files, language, module }) {
  const spec = read(form);
  if (module) return { ...spec, module_sha256: module.sha256 };
  const source = { files: Object.fromEntries(files.map(({ name, text, base64 }) => [name, base64 === undefined ? text : { base64 }])) };
  if (language) source.language = language;
  if (files.length > 1) source.entry = files[0].name;
  if (form.build_flags.trim()) source.build_flags = split(form.build_flags);
  return { ...spec, source };
}

function FileName({ name, fixed, onChange }) {
  return html`<label class="file-name"><span class="sr">File name</span>
    <input value=${name} readonly=${fixed} spellcheck="false" autocomplete="off" size=${Math.max(8, name.length)}
      onChange=${(event) => onChange(event.target.value.trim() || name)} /></label>`;
}

function Starters({ known, onChoose }) {
  const choose = (event) => {
    const starter = STARTERS.find((each) => each.file === event.target.value);
    event.target.value = "";
    if (starter) onChoose(starter);
  };
  return html`<label class="sr" for="starters">Begin with</label>
    <select id="starters" class="select starters" onChange=${choose}>
      <option value="">Begin with …</option>
      ${STARTERS.filter((each) => !known || known.has(each.language)).map((each) => html`<option value=${each.file}>${labelOf(each.language)}: ${each.title}</option>`)}
    </select>`;
}
