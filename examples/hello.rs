//! Sleeps for five seconds and says so. It waits without using a cpu: look at `cpu` in its statistics.
use std::{thread, time::Duration};

fn main() {
    thread::sleep(Duration::from_secs(5));
    println!("job done, hello!");
}
