// A plain function, for as many inputs as you like: no main, no attribute, no glue.
//
//     wasmgrid run examples/collatz.rs --function steps -- 27
//     wasmgrid run examples/collatz.rs --function steps --from-json examples/starts.json
//     seq 1000000 | wasmgrid run examples/collatz.rs --function steps --from-json - > steps.ndjson

/// How many steps it takes from `n` to 1: half of an even number, three times an odd one plus one.
fn steps(n: u64) -> u32 {
    std::iter::successors(Some(n), |&n| match n {
        0 | 1 => None,
        _ if n % 2 == 0 => Some(n / 2),
        _ => Some(3 * n + 1),
    })
    .count() as u32
        - 1
}
