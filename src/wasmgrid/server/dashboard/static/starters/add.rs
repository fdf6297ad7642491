// A plain function: no main, no input, no output. Its arguments are given below, its value comes back.
pub fn add(a: i64, b: i64) -> i64 {
    a + b
}
