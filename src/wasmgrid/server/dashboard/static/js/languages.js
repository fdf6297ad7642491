// What the editor knows of languages: their names, files, how to tell them, where their compilers say that it hurts.

/** name -> {label, file, guess}: `guess` finds it in a text that has no name. */
export const LANGUAGES = {
  rust: { label: "Rust", file: "main.rs", guess: /\bfn\s+\w+\s*\(|\bprintln!|\buse std::/ },
  cpp: { label: "C++", file: "main.cpp", guess: /#include\s*<(iostream|vector|string|cstdio|algorithm|random|format|print)>|\bstd::/ },
  c: { label: "C", file: "main.c", guess: /#include\s*[<"]/ },
  go: { label: "Go", file: "main.go", guess: /^package\s+\w+/m },
  zig: { label: "Zig", file: "main.zig", guess: /@import\("std"\)|\bpub fn main\b/ },
  python: { label: "Python", file: "main.py", guess: /^(import|from)\s+\w+|^def \w+\(.*\):|^print\(/m },
  typescript: { label: "TypeScript", file: "main.ts", guess: /^(interface|type)\s+\w+|:\s*(number|string|boolean)\b/m },
  javascript: { label: "JavaScript", file: "main.js", guess: /\bconsole\.log\(|^(const|let|function)\s/m },
  wat: { label: "WAT", file: "main.wat", guess: /^\s*(;;.*\n\s*)*\(module\b/ },
};

const ENDINGS = {
  rs: "rust", cpp: "cpp", cc: "cpp", cxx: "cpp", hpp: "cpp", c: "c", h: "c", go: "go", zig: "zig", py: "python",
  ts: "typescript", mts: "typescript", js: "javascript", mjs: "javascript", wat: "wat",
};

/** The language of a file by its name; null where that says nothing. */
export const languageOf = (name) => ENDINGS[name.split(".").pop().toLowerCase()] ?? null;

/** The language of a text by what stands in it; null where nothing tells. */
export function guess(text) {
  const order = ["wat", "zig", "rust", "go", "cpp", "c", "typescript", "javascript", "python"];
  return order.find((name) => LANGUAGES[name].guess.test(text)) ?? null;
}

export const labelOf = (language) => LANGUAGES[language]?.label ?? language ?? "–";

/** `[{line, column, severity, message}]` of a compiler's words about the file `name`. */
export function complaints(diagnostics, name) {
  const found = [];
  const text = diagnostics.replace(/\x1b\[[0-9;]*m/g, "");
  const base = name.split("/").pop().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  // clang, zig: FILE:LINE:COLUMN: error: MESSAGE · go: FILE:LINE:COLUMN: MESSAGE
  for (const [, line, column, kind, message] of text.matchAll(new RegExp(`^\\S*?${base}:(\\d+):(\\d+):\\s*(?:(?:fatal )?(error|warning|note):\\s*)?(.+)$`, "gm"))) {
    if (kind !== "note") found.push({ line: +line, column: +column, severity: kind ?? "error", message });
  }
  // rustc: error[E0425]: MESSAGE, then --> FILE:LINE:COLUMN
  for (const [, kind, message, line, column] of text.matchAll(new RegExp(`^(error|warning)(?:\\[\\w+\\])?: (.+)\\n\\s*--> \\S*?${base}:(\\d+):(\\d+)`, "gm"))) {
    found.push({ line: +line, column: +column, severity: kind, message });
  }
  return found.slice(0, 100);
}
