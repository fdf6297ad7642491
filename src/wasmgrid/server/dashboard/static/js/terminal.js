// Output as it comes, as a terminal would show it, in as little work as that takes.
import { html, useEffect, useRef } from "../vendor/preact.js";
import { stream } from "./api.js";
import { Style, parse, unfinished } from "./ansi.js";

const MOST_LINES = 5000; // in the page; all of it is a click away
const LONGEST = 20_000; // characters of one line

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
    this.lines = 0;
    this.dropped = null;
    this.line = null;
    this.from = "";
    this.returned = false;
    this.element.replaceChildren();
  }

  /** More text of a stream. */
  write(text, from = "stdout") {
    const follow = this.atEnd();
    const whole = this.rests[from] + text;
    const good = unfinished(whole);
    this.rests[from] = whole.slice(good);
    parse(whole.slice(0, good), this.styles[from], (part, isControl) => this.put(part, from, isControl));
    this.trim();
    if (follow) this.element.scrollTop = this.element.scrollHeight;
  }

  /** A remark of ours. */
  say(text) {
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
        if (line.textContent.length < LONGEST) {
          line.append(this.styles[from].node(part, [from === "stderr" && "err", isControl && "ctl"].filter(Boolean).join(" ")));
        }
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
    if (this.lines <= MOST_LINES) return;
    if (!this.dropped) {
      this.dropped = document.createElement("div");
      this.dropped.className = "line meta";
      this.element.prepend(this.dropped);
      this.count = 0;
    }
    while (this.lines > MOST_LINES) {
      this.dropped.nextSibling.remove();
      this.lines -= 1;
      this.count += 1;
    }
    this.dropped.textContent = `… ${this.count.toLocaleString("en-US")} lines before these: download the output to see them`;
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

/** The output of one task, live. `children` is shown while there is none. */
export function Output({ jobId, index = 0, className = "", empty, onEnd }) {
  const element = useRef();
  useEffect(() => {
    if (jobId === null) return undefined;
    const terminal = new Terminal(element.current);
    return follow(jobId, index, terminal, (end) => {
      if (end.stdout_truncated || end.stderr_truncated) terminal.say("the output was cut at its limit");
      if (!terminal.lines && empty) terminal.say(empty);
      onEnd?.(end);
    });
  }, [jobId, index]);
  return html`<div ref=${element} class=${`terminal ${className}`} role="log" tabindex="0" aria-label="Output"></div>`;
}
