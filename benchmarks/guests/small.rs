//! The small one: says hello to its argument, which is the task's number.

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    println!("hello {name}");
}
