// The server's API as pages use it: one way to ask, one kind of error, streams that rest while nobody looks.
import { useCallback, useEffect, useRef, useState } from "../vendor/preact.js";

/** What went wrong, as the server tells it (RFC 9457): `hint` says what to do next. */
export class Problem extends Error {
  constructor({ status = 0, code = "", detail = "", hint = null, field = null }) {
    super(detail);
    Object.assign(this, { status, code, detail, hint, field });
  }
}

/** Asks, and gives the text of the answer. Throws a `Problem`; a 401 also brings up the sign-in. */
async function ask(method, path, body, type) {
  let answer;
  try {
    answer = await fetch(path, { method, headers: type ? { "Content-Type": type } : {}, body, credentials: "same-origin" });
  } catch {
    throw new Problem({ code: "unreachable", detail: "the server does not answer", hint: "is it running? wasmgrid up" });
  }
  const said = await answer.text();
  if (answer.ok) return said;
  let told = {};
  try { told = JSON.parse(said); } catch { told = { detail: said.slice(0, 300) }; }
  if (answer.status === 401) dispatchEvent(new CustomEvent("signed-out"));
  throw new Problem({ ...told, status: answer.status });
}

/** What is sent becomes JSON, and what is answered was JSON; null where that is nothing. */
export async function call(method, path, body) {
  const said = await (body === undefined ? ask(method, path) : ask(method, path, JSON.stringify(body), "application/json"));
  return said ? JSON.parse(said) : null;
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);

/** A file's text, as it is. */
export const text = (path) => ask("GET", path);

/** Sends bytes, as they are. */
export const put = (path, bytes, type) => ask("PUT", path, bytes, type);

/** {data, problem, reload}: what is at `path`, asked again every `every` ms while the page is seen. Old data stays until new comes. */
export function useData(path, every = 0) {
  const [state, setState] = useState({ data: null, problem: null, path: null });
  const current = useRef(path);
  current.current = path;
  const load = useCallback(async () => {
    if (path === null) return;
    try {
      const data = await get(path);
      if (current.current === path) setState({ data, problem: null, path });
    } catch (problem) {
      if (current.current === path) setState((old) => ({ ...old, problem, path }));
    }
  }, [path]);
  useEffect(() => {
    let timer = 0, over = false;
    const turn = async () => {
      if (!document.hidden) await load();
      if (!over && every) timer = setTimeout(turn, every);
    };
    const seen = () => { if (!document.hidden && every) { clearTimeout(timer); turn(); } };
    turn();
    document.addEventListener("visibilitychange", seen);
    return () => { over = true; clearTimeout(timer); document.removeEventListener("visibilitychange", seen); };
  }, [load, every]);
  return { data: state.data, problem: state.problem, stale: state.path !== path, reload: load };
}

/**
 * Follows server-sent events: `address()` gives the URL to (re)connect to, or null to rest; `events` are handlers by name,
 * given the parsed data. A handler that returns `stream.END` ends it. Hidden tabs close theirs: a browser has six
 * connections to a server, and ten open tabs must not starve the eleventh. Returns what ends it.
 */
export function stream(address, events) {
  let source = null, over = false, timer = 0;
  const close = () => { source?.close(); source = null; clearTimeout(timer); };
  const end = () => { over = true; close(); document.removeEventListener("visibilitychange", look); };
  const open = () => {
    const url = over || document.hidden ? null : address();
    if (url === null) return;
    source = new EventSource(url);
    for (const [name, handle] of Object.entries(events)) {
      source.addEventListener(name, (event) => {
        if (handle(JSON.parse(event.data)) === stream.END) end();
      });
    }
    source.onerror = () => {
      close();
      if (over) return;
      timer = setTimeout(open, 1000);
      get("/v1/version").catch(() => {}); // a session that is over shows itself here
    };
  };
  const look = () => { if (document.hidden) close(); else if (source === null) open(); };
  document.addEventListener("visibilitychange", look);
  open();
  return end;
}
stream.END = Symbol("end");
