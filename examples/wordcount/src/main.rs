//! Prints the most frequent words of its standard input, and leaves all of them in /out as an artifact. `words` is a
//! library of this project, by path.
//!
//!     wasmgrid run examples/wordcount --stdin examples/wordcount/poem.txt
use std::io::{self, Read};

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let counted = words::count(&text);
    for (word, times) in counted.iter().take(3) {
        println!("{times:4} {word}");
    }
    let table: String = counted.iter().map(|(word, times)| format!("{word},{times}\n")).collect();
    std::fs::write("/out/words.csv", table)
}
