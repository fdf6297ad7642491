// Serves calls of one function of a JavaScript file: `FILE NAME`. The way of a call: wasmgrid/runner/serving.py.
import * as os from "qjs:os";
import * as std from "qjs:std";

const AT_MS = 7309; // a time that no file has
const SPECIAL = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);
const [path, name] = scriptArgs.slice(1);

class Unfit extends Error {}

/** The parts of a list of parameters: `a`, `b: number = 2`, `...rest`. */
function split(text) {
  const parts = [];
  let depth = 0, part = "", quote = "";
  for (const char of text) {
    if (quote) quote = char === quote ? "" : quote;
    else if ("\"'`".includes(char)) quote = char;
    else if ("([{<".includes(char)) depth++;
    else if (")]}".includes(char) || (char === ">" && !part.endsWith("="))) depth--;
    if (char === "," && depth === 0 && !quote) { parts.push(part.trim()); part = ""; } else part += char;
  }
  return part.trim() ? [...parts, part.trim()] : parts;
}

/** What stands between the first parenthesis and the one that closes it; null where there is none. */
function inside(text) {
  const from = text.indexOf("(");
  let depth = 0;
  for (let at = from; at >= 0 && at < text.length; at++) {
    if (text[at] === "(") depth++;
    else if (text[at] === ")" && --depth === 0) return text.slice(from + 1, at);
  }
  return null;
}

function signature(given, written) {
  const text = written ?? String(given).replace(/\/\*[^]*?\*\/|\/\/[^\n]*/g, "");
  const arrow = written === undefined && /^(async\s+)?[\w$]+\s*=>/.exec(text);
  const list = arrow ? text.replace(/^async\s+/, "").split("=>")[0] : inside(text);
  if (list === null || /\[native code\]|^class\b/.test(text)) return { text: `${name}(...)`, known: false };
  const parameters = split(list.replace(/\s+/g, " ")).map((part) => {
    const rest = part.startsWith("...");
    const [, label, optional, type, value] = /^([^:=?]+)(\?)?(?::\s*((?:=>|[^=])+))?(=.*)?$/.exec(part.replace(/^\.\.\./, "")) ?? [null, part];
    return { label: label.trim(), type: type?.trim(), rest, optional: Boolean(optional || value || rest) };
  });
  const result = written === undefined ? "" : (/^\s*:\s*([^{]+)/.exec(text.slice(text.indexOf(list) + list.length + 1))?.[1] ?? "").trim();
  return {
    text: `${name}(${split(list.replace(/\s+/g, " ")).join(", ")})${result && ": " + result}`,
    known: true,
    parameters,
    least: parameters.findLastIndex((each) => !each.optional) + 1,
    open: parameters.some((each) => each.rest) || (written === undefined && /\barguments\b/.test(text)),
  };
}

const shown = (value) => { const text = JSON.stringify(value); return text.length > 40 ? text.slice(0, 40) + "..." : text; };

/** `value`, out of JSON, as a parameter of this type gets it; throws Unfit. What is no plain type takes all. */
function fit(value, type) {
  if (type === undefined) return value;
  for (const each of type.split("|").map((part) => part.trim())) {
    const element = /^(?:readonly )?(.+)\[\]$/.exec(each)?.[1] ?? /^(?:Readonly)?Array<(.+)>$/.exec(each)?.[1];
    if (element !== undefined) {
      if (Array.isArray(value)) return value.map((item) => fit(item, element.replace(/^\((.*)\)$/, "$1")));
    } else if (each === "number") {
      if (typeof value === "number") return value;
      if (SPECIAL.has(value)) return SPECIAL.get(value);
    } else if (each === "bigint") {
      if (Number.isInteger(value)) return BigInt(value);
    } else if (each === "string" || each === "boolean") {
      if (typeof value === each) return value;
    } else if (each === "null" || each === "undefined") {
      if (value === null) return each === "null" ? null : undefined;
    } else return value;
  }
  throw new Unfit(`${type} is wanted, not ${shown(value)}`);
}

/** A word of the command line, read as the type of its parameter; where that is open, as JSON, else as it is. */
function word(text, type) {
  if (type === "string") return text;
  let value;
  try {
    value = type === "bigint" && /^-?\d+$/.test(text) ? undefined : JSON.parse(text);
  } catch {
    value = text;
  }
  if (value === undefined) return BigInt(text);
  try {
    return fit(value, type);
  } catch (error) {
    if (type.split("|").some((part) => part.trim() === "string")) return text;
    throw new Unfit(`${type} is wanted, not ${text.slice(0, 40)}`);
  }
}

function read(given, each) {
  if (!wanted.known) return given.map((value) => each(value, undefined));
  const { parameters, least } = wanted;
  if (given.length < least) throw new Unfit(`arguments: ${least} wanted, ${given.length} given`);
  if (!wanted.open && given.length > parameters.length) throw new Unfit(`arguments: ${parameters.length} wanted, more given`);
  return given.map((value, place) => {
    const parameter = parameters[Math.min(place, parameters.length - 1)];
    const type = parameter?.rest ? parameter.type?.replace(/\[\]$/, "") : parameter?.type;
    try {
      return each(value, type);
    } catch (error) {
      throw error instanceof Unfit ? new Unfit(`argument ${place + 1} (${parameter.label}): ${error.message}`) : error;
    }
  });
}

/** A value as JSON: numbers that have none are strings, big integers are exact. */
function encode(value) {
  if (value === undefined || value === null) return "null";
  if (typeof value === "number") return Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`;
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string" || typeof value === "boolean") return JSON.stringify(value);
  if (typeof value !== "object") throw new TypeError(`it returned a ${typeof value}, which has no JSON`);
  if (typeof value.toJSON === "function") return encode(value.toJSON());
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${Array.from(value, encode).join(",")}]`;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries.filter(([, each]) => each !== undefined && typeof each !== "function").map(([key, each]) => `${JSON.stringify(String(key))}:${encode(each)}`).join(",")}}`;
}

async function call(text) {
  let values;
  try {
    const given = JSON.parse(text);
    values = Array.isArray(given) ? read(given, fit) : read(given.argv, word);
  } catch (error) {
    return `?${error.message}; it is ${wanted.text}`;
  }
  try {
    return "=" + encode(await offered(...values));
  } catch (error) {
    const isError = error instanceof Error;
    const words = isError ? `${error.name}: ${error.message}` : String(error);
    const frames = isError ? error.stack.split("\n").filter((line) => line && !line.includes("/wasmgrid_serve.js")) : [];
    std.err.puts([words, ...frames, ""].join("\n"));
    if (words === "InternalError: out of memory") std.exit(1);
    return "!" + words;
  }
}

const module = await import(path);
const offered = module.wasmgrid_offered ?? module[name];
if (typeof offered !== "function") {
  std.err.puts(`${path.replace(/.*\//, "")} has no function ${name}\n`);
  std.exit(1);
}
const wanted = signature(offered, module.wasmgrid_signature);
let text = "";
for (;;) {
  std.out.flush();
  std.err.flush();
  os.utimes("/" + text, AT_MS, 0); // hands the answer over, and returns when there is another call
  text = await call(std.loadFile("/wasmgrid/call").slice(16));
}
