// Counts the words that come in on stdin, after it has said hello.
import * as std from "qjs:std";

console.log("hello from JavaScript!");
const words = std.in.readAsString().split(/\s+/).filter((word) => word);
if (words.length) console.log(`${words.length} words, ${new Set(words).size} different ones`);
