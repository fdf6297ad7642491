// The editor: CodeMirror 6, loaded by the pages that show source. Its style goes in by the page's nonce.
import { EditorState, EditorView, Compartment, HighlightStyle, StreamLanguage, basicSetup, cpp, go, indentWithTab, javascript,
  keymap, lintGutter, python, rust, setDiagnostics, syntaxHighlighting, tags, wast } from "../vendor/codemirror.js";

const zig = StreamLanguage.define({
  name: "zig",
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match("//")) { stream.skipToEnd(); return "comment"; }
    if (stream.match("\\\\")) { stream.skipToEnd(); return "string"; }
    if (stream.match(/^"(?:[^"\\]|\\.)*"?/) || stream.match(/^'(?:[^'\\]|\\.)*'?/)) return "string";
    if (stream.match(/^@\w+/)) return "variableName.standard";
    if (stream.match(/^\d[\w.]*/)) return "number";
    if (stream.match(/^(?:addrspace|align|allowzero|and|anyframe|anytype|asm|async|await|break|callconv|catch|comptime|const|continue|defer|else|enum|errdefer|error|export|extern|fn|for|if|inline|linksection|noalias|noinline|nosuspend|opaque|or|orelse|packed|pub|resume|return|struct|suspend|switch|test|threadlocal|try|union|unreachable|usingnamespace|var|volatile|while)\b/)) return "keyword";
    if (stream.match(/^(?:true|false|null|undefined)\b/)) return "atom";
    if (stream.match(/^(?:[iu]\d+|f\d+|bool|void|noreturn|type|anyerror|usize|isize|comptime_int|comptime_float)\b/)) return "typeName";
    if (stream.match(/^\w+(?=\s*\()/)) return "variableName.function";
    if (stream.match(/^\w+/)) return "variableName";
    stream.next();
    return null;
  },
  languageData: { commentTokens: { line: "//" } },
});

const MODES = {
  rust, cpp, c: cpp, go, zig: () => zig, python, javascript, wat: wast,
  typescript: () => javascript({ typescript: true }),
};

const look = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", backgroundColor: "transparent", color: "var(--text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", fontVariantLigatures: "none" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--accent)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--faint)", border: "0" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 6px 0 14px", minWidth: "36px" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 5%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 22%, transparent)" },
  ".cm-selectionMatch": { backgroundColor: "color-mix(in srgb, var(--accent) 14%, transparent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 20%, transparent)", color: "inherit" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", border: "1px solid var(--line)", color: "var(--muted)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line-strong)", borderRadius: "6px", color: "var(--text)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-soft)", color: "var(--text)" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-textfield, .cm-button": { background: "var(--raised)", border: "1px solid var(--line-strong)", borderRadius: "4px" },
  ".cm-diagnostic": { fontFamily: "var(--mono)", fontSize: "12px" },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.controlKeyword, tags.operatorKeyword], color: "var(--c5)" },
  { tag: [tags.string, tags.special(tags.string), tags.character], color: "var(--c2)" },
  { tag: [tags.number, tags.bool, tags.atom, tags.null], color: "var(--c3)" },
  { tag: [tags.comment, tags.meta], color: "var(--faint)", fontStyle: "italic" },
  { tag: [tags.typeName, tags.className, tags.namespace], color: "var(--c6)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName), tags.macroName, tags.standard(tags.variableName)], color: "var(--c4)" },
  { tag: [tags.processingInstruction, tags.attributeName, tags.annotation], color: "var(--c3)" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

const nonce = () => document.querySelector("meta[name=csp-nonce]").nonce;

/**
 * An editor in `parent`. `onChange(text)` after every change; `onRun()` at Ctrl-Enter. `readOnly`: to look at.
 * It gives {text(), set(text), language(name), complain(list), focus(), destroy()}.
 */
export function edit(parent, { text = "", language = null, readOnly = false, label = "Source", onChange, onRun } = {}) {
  const mode = new Compartment();
  const modeOf = (name) => MODES[name]?.() ?? [];
  const run = { key: "Mod-Enter", preventDefault: true, run: () => { onRun?.(); return true; } };
  // Tab moves on from a text that is only read; in one that is written it indents, and Escape then Tab moves on.
  const writing = [keymap.of([run, indentWithTab]), lintGutter(), EditorView.updateListener.of((update) => update.docChanged && onChange?.(update.state.doc.toString()))];
  const view = new EditorView({
    parent,
    doc: text,
    extensions: [
      EditorView.cspNonce.of(nonce()),
      readOnly ? [EditorState.readOnly.of(true), EditorView.editable.of(false)] : writing,
      basicSetup, look, syntaxHighlighting(colours), mode.of(modeOf(language)),
      EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    ],
  });
  document.fonts.ready.then(() => view.requestMeasure()); // lines are as high as their letters
  return {
    text: () => view.state.doc.toString(),
    set: (next) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    language: (name) => view.dispatch({ effects: mode.reconfigure(modeOf(name)) }),
    complain: (list) => view.dispatch(setDiagnostics(view.state, list.map((each) => place(view.state.doc, each)))),
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

function place(doc, { line, column, severity, message }) {
  const at = doc.line(Math.min(Math.max(line, 1), doc.lines));
  const from = Math.min(at.from + Math.max(column - 1, 0), at.to);
  const word = /^\w+/.exec(doc.sliceString(from, at.to))?.[0].length ?? 1;
  return { from, to: Math.min(from + word, at.to), severity, message };
}
