// Output as it comes, as a terminal would show it, in as little work as that takes.
import { stream } from "./api.js";
import { Style, parse, unfinished } from "./ansi.js";

const MOST_LINES = 5000; // in the page; all of it is a click away
const LONGEST = 20_000; // characters of one line
const MOST_AT_ONCE = 400_000; // characters of a stream, in one frame
const FRAME_MS = 30;
const BLOCKS = /[\u2500-\u259f]/; // pictures made of letters: their lines must touch

/** Writes into a <div>; knows nothing of where output comes from. */
export class Terminal {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  /** Empty again. */
  clear() {
    this.styles = { stdout: new Style(), stderr: new Style() };
    this.rests = { stdout: "", stderr: "" };
    clearTimeout(this.timer);
    this.timer = null;
    this.waiting = [];
    this.lines = 0;
    this.passed = 0; // lines that are not in the page any more, or never were
    this.dropped = null;
    this.line = null;
    this.from = "";
    this.returned = false;
    this.element.replaceChildren();
  }

  /** More text of a stream; it shows with the next frame, together with all else that came until then. */
  write(text, from = "stdout") {
    const last = this.waiting.at(-1);
    if (last?.from === from) last.text += text;
    else this.waiting.push({ from, text });
    this.timer ??= setTimeout(() => this.flush(), FRAME_MS);
  }

  /** Show what came. */
  flush() {
    clearTimeout(this.timer);
    this.timer = null;
    if (!this.waiting.length) return;
    const follow = this.atEnd();
    for (const { from, text } of this.waiting.splice(0)) {
      const whole = this.rests[from] + this.passOver(text, from);
      const good = unfinished(whole);
      this.rests[from] = whole.slice(good);
      parse(whole.slice(0, good), this.styles[from], (part, isControl) => this.put(part, from, isControl));
    }
    this.trim();
    if (follow) this.element.scrollTop = this.element.scrollHeight;
  }

  /** The end of a text that is too long to be drawn before it is gone again; the lines before it are counted. */
  passOver(text, from) {
    if (text.length <= MOST_AT_ONCE) return text;
    const at = text.indexOf("\n", text.length - MOST_AT_ONCE) + 1 || text.length - MOST_AT_ONCE;
    for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", end + 1)) this.passed += 1;
    this.rests[from] = "";
    this.end();
    return text.slice(at);
  }

  /** A remark of ours. */
  say(text) {
    this.flush();
    const follow = this.atEnd();
    this.end();
    const line = this.begin();
    line.className = "line meta";
    line.textContent = text;
    this.end();
    if (follow) this.element.scrollTop = this.element.scrollHeight;
  }

  atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  put(text, from, isControl) {
    if (this.line && this.from !== from) this.end();
    this.from = from;
    for (const part of text.split(/(\r?\n|\r)/)) {
      if (part === "\n" || part === "\r\n") {
        if (!this.line) this.begin();
        this.end();
      } else if (part === "\r") this.returned = true; // whatever comes next overwrites the line
      else if (part) {
        if (this.returned && this.line) this.line.replaceChildren();
        this.returned = false;
        const line = this.line ?? this.begin();
        if (BLOCKS.test(part)) line.classList.add("blocks");
        const room = LONGEST - line.textContent.length;
        if (room > 0) line.append(this.styles[from].node(part.slice(0, room), [from === "stderr" && "err", isControl && "ctl"].filter(Boolean).join(" ")));
        if (room > 0 && part.length >= room) line.append(" …");
      }
    }
  }

  begin() {
    this.line = document.createElement("div");
    this.line.className = "line";
    this.element.append(this.line);
    this.lines += 1;
    return this.line;
  }

  end() {
    this.line = null;
    this.returned = false;
  }

  trim() {
    for (; this.lines > MOST_LINES; this.lines -= 1, this.passed += 1) {
      (this.dropped ? this.dropped.nextSibling : this.element.firstChild).remove();
    }
    if (!this.passed) return;
    if (!this.dropped) {
      this.dropped = document.createElement("div");
      this.dropped.className = "line meta";
      this.element.prepend(this.dropped);
    }
    this.dropped.textContent = `… ${this.passed.toLocaleString("en-US")} lines before these: download the output to see them`;
  }
}

/** Follows the output of a task into a terminal. Returns what ends it. */
export function follow(jobId, index, terminal, onEnd = () => {}) {
  const offsets = { stdout: 0, stderr: 0 };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const take = (from) => ({ offset, data, base64 }) => {
    const raw = base64 === undefined ? null : Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
    const size = raw ? raw.length : new TextEncoder().encode(data).length;
    if (offset + size <= offsets[from]) return;
    offsets[from] = offset + size;
    terminal.write(raw ? decoders[from].decode(raw, { stream: true }) : data, from);
  };
  return stream(
    () => `/v1/jobs/${jobId}/logs?index=${index}&stdout_offset=${offsets.stdout}&stderr_offset=${offsets.stderr}`,
    {
      stdout: take("stdout"),
      stderr: take("stderr"),
      restart: () => {
        offsets.stdout = offsets.stderr = 0;
        terminal.say("the worker was lost; it runs again");
      },
      end: (data) => { onEnd(data); return stream.END; },
    },
  );
}
