//! Does not compile, to show what that looks like.
fn main() {
    let answer: u32 = "forty-two";
    println!("the answer is {answer}");
}
