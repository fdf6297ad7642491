// Output with escapes, made harmless: colours and weights become classes, every other escape is dropped, and what is
// left of control characters is shown as a picture of itself. Text only ever becomes text nodes.

// CSI ... final byte | OSC, DCS, PM, APC, SOS up to their end | ESC and one more | other control characters
const ESCAPES = /\x1b\[([0-?]*)[ -/]*([@-~])|\x9b([0-?]*)[ -/]*([@-~])|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|$)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|[\u202a-\u202e\u2066-\u2069]/g;
const PLAIN = { bold: false, dim: false, italic: false, under: false, struck: false, inverse: false, front: null, back: null };

/** How text looks now, and what escapes change about it; kept from chunk to chunk. */
export class Style {
  constructor() { Object.assign(this, PLAIN); }

  /** Applies the numbers of an SGR sequence. */
  apply(parameters) {
    const codes = parameters.split(/[;:]/).map((each) => (each === "" ? 0 : Number(each)));
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at];
      if (code === 0) Object.assign(this, PLAIN);
      else if (code === 1) this.bold = true;
      else if (code === 2) this.dim = true;
      else if (code === 3) this.italic = true;
      else if (code === 4) this.under = true;
      else if (code === 7) this.inverse = true;
      else if (code === 9) this.struck = true;
      else if (code === 22) this.bold = this.dim = false;
      else if (code === 23) this.italic = false;
      else if (code === 24) this.under = false;
      else if (code === 27) this.inverse = false;
      else if (code === 29) this.struck = false;
      else if (code >= 30 && code <= 37) this.front = code - 30;
      else if (code >= 90 && code <= 97) this.front = code - 82;
      else if (code === 39) this.front = null;
      else if (code >= 40 && code <= 47) this.back = code - 40;
      else if (code >= 100 && code <= 107) this.back = code - 92;
      else if (code === 49) this.back = null;
      else if (code === 38 || code === 48) {
        const [colour, used] = extended(codes, at + 1);
        this[code === 38 ? "front" : "back"] = colour;
        at += used;
      }
    }
  }

  /** A span with this text, or a bare text node where nothing is special about it. */
  node(text, extra = "") {
    const classes = [extra, this.bold && "b", this.dim && "d", this.italic && "i", this.under && "u", this.struck && "s"].filter(Boolean);
    let front = colour(this.front), back = colour(this.back);
    if (this.inverse) [front, back] = [back ?? "var(--surface)", front ?? "var(--text)"];
    if (!classes.length && front === null && back === null) return document.createTextNode(text);
    const span = document.createElement("span");
    if (classes.length) span.className = classes.join(" ");
    if (front !== null) span.style.color = front;
    if (back !== null) span.style.backgroundColor = back;
    span.textContent = text;
    return span;
  }
}

function extended(codes, at) {
  if (codes[at] === 5) return [codes[at + 1] ?? null, 2];
  if (codes[at] === 2) return [codes.slice(at + 1, at + 4), 4];
  return [null, 0];
}

function colour(kept) {
  if (kept === null) return null;
  if (Array.isArray(kept)) return kept.length === 3 && kept.every((each) => each >= 0 && each < 256) ? `rgb(${kept.join(" ")})` : null;
  if (kept < 16) return `var(--c${kept})`;
  if (kept < 232) {
    const level = (n) => (n ? 55 + n * 40 : 0), n = kept - 16;
    return `rgb(${level(Math.floor(n / 36))} ${level(Math.floor(n / 6) % 6)} ${level(n % 6)})`;
  }
  const grey = 8 + (kept - 232) * 10;
  return kept < 256 ? `rgb(${grey} ${grey} ${grey})` : null;
}

/** Calls `put(text, isControl)` for each stretch of `text` between escapes, changing `style` as they say. */
export function parse(text, style, put) {
  let at = 0;
  for (const match of text.matchAll(ESCAPES)) {
    if (match.index > at) put(text.slice(at, match.index), false);
    at = match.index + match[0].length;
    const [whole, parameters, final, parameters8, final8] = match;
    if ((final ?? final8) === "m") style.apply(parameters ?? parameters8 ?? "");
    else if (whole.length === 1 && whole !== "\x1b") put(picture(whole), true);
  }
  if (at < text.length) put(text.slice(at), false);
}

/** Where an escape begins that may go on in the next chunk; the length of the text where none does. */
export function unfinished(text) {
  const at = Math.max(text.lastIndexOf("\x1b"), text.lastIndexOf("\x9b"));
  if (at < 0 || text.length - at > 4096) return text.length;
  const rest = text.slice(at);
  const complete = /^\x1b\[[0-?]*[ -/]*[@-~]|^\x9b[0-?]*[ -/]*[@-~]|^\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\|\n)|^\x1b[^[\]PX^_]/.test(rest);
  return complete ? text.length : at;
}

function picture(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}

/** A single name or line without anything that could turn, hide or overwrite what stands around it. */
export const plain = (text) => String(text).replace(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, (each) => picture(each));
