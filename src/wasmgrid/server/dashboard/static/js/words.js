// Text of a form as a request wants it.

/** Words as a shell splits them: quotes and backslashes, nothing else. Throws where a quote is not closed. */
export function split(text) {
  const words = [];
  let word = null, quote = null;
  for (let at = 0; at < text.length; at += 1) {
    const each = text[at];
    if (quote) {
      if (each === quote) quote = null;
      else if (each === "\\" && quote === '"' && '"\\'.includes(text[at + 1])) word += text[++at];
      else word += each;
    } else if (each === '"' || each === "'") {
      quote = each;
      word ??= "";
    } else if (each === "\\" && at + 1 < text.length) word = (word ?? "") + text[++at];
    else if (/\s/.test(each)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + each;
  }
  if (quote) throw new Error(`a ${quote} is not closed`);
  if (word !== null) words.push(word);
  return words;
}

/** The inverse of `split`. */
export const join = (words) => words.map((word) => (/^[^\s'"\\]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");

/** `KEY=VALUE` per line or space, as an object. Throws where there is no `=`. */
export function pairs(text) {
  const found = {};
  for (const word of split(text)) {
    const at = word.indexOf("=");
    if (at < 1) throw new Error(`${word} is not KEY=VALUE`);
    found[word.slice(0, at)] = word.slice(at + 1);
  }
  return found;
}

export const unpairs = (object) => join(Object.entries(object ?? {}).map(([key, value]) => `${key}=${value}`));
