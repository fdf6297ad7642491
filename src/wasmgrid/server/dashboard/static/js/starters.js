// Programs to begin with: real files, which the tests run. `asks` is what they change about the form.
import { text } from "./api.js";

export const STARTERS = [
  { file: "mandelbrot.rs", language: "rust", title: "Mandelbrot, in colour" },
  { file: "pi.cpp", language: "cpp", title: "Pi by throwing darts" },
  { file: "queens.c", language: "c", title: "Queens on a board", asks: { args: "10" } },
  { file: "words.go", language: "go", title: "Most frequent words" },
  { file: "life.zig", language: "zig", title: "Game of life" },
  { file: "primes.py", language: "python", title: "Sieve of primes" },
  { file: "hanoi.js", language: "javascript", title: "Towers of Hanoi" },
  { file: "temperature.ts", language: "typescript", title: "A small table" },
  { file: "hello.wat", language: "wat", title: "Hello, by hand" },
  { file: "add.rs", language: "rust", title: "A plain function", asks: { function: "add", args: "2 3" } },
];

/** The text of one. */
export function load(file) {
  const kept = file.endsWith(".py") ? `${file}.txt` : file; // so that nobody takes it for a module of the server
  return text(new URL(`../starters/${kept}`, import.meta.url).pathname);
}
