// Before a JavaScript program: what programs expect of a host, and where TypeScript's lines came from.
((lines) => {
  const { std: host, os: system } = globalThis;
  delete globalThis.std;
  delete globalThis.os;
  delete globalThis.bjson;
  for (const name of ["setTimeout", "clearTimeout", "setInterval", "clearInterval"]) {
    globalThis[name] = (first, delay = 0, ...rest) =>
      system[name](typeof first === "function" && rest.length ? () => first(...rest) : first, delay);
  }
  const stream = (file) => ({ write: (text) => (file.puts(String(text)), true) });
  globalThis.process = {
    get argv() { return ["qjs", ...scriptArgs]; },
    env: host.getenviron(),
    exit: (code = 0) => host.exit(code),
    platform: "wasi",
    stdout: stream(host.out),
    stderr: stream(host.err),
  };
  const told = (value) => {
    if (value instanceof Error) return `${value}\n${value.stack}`.trimEnd();
    if (typeof value !== "object" || value === null) return String(value);
    try {
      const plain = (_key, each) => (typeof each === "bigint" ? String(each) : each instanceof Map ? [...each] : each instanceof Set ? [...each] : each);
      return JSON.stringify(value, plain);
    } catch {
      return String(value);
    }
  };
  const printer = (file) => (...values) => {
    file.puts(values.map(told).join(" ") + "\n");
    file.flush(); // whoever follows a job sees each line, and a killed one has said it
  };
  console.log = console.info = console.debug = printer(host.out);
  console.error = console.warn = printer(host.err);
  if (!lines) return;
  Error.prepareStackTrace = (_error, frames) => {
    const shown = frames.map((frame) => {
      const name = frame.getFunctionName() ?? "<anonymous>";
      const [source, line] = frame.getFileName() === lines.file ? lines.table[frame.getLineNumber() - 1] || [] : [];
      const place = source === undefined ? `${frame.getFileName()}:${frame.getLineNumber()}:${frame.getColumnNumber()}` : `/src/${lines.sources[source]}:${line}`;
      return `    at ${name} (${frame.isNative() ? "native" : place})\n`;
    });
    return shown.join("");
  };
})(null);
