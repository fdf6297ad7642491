// The Mandelbrot set in colour, line by line as it is computed.
// Press Run: it is compiled in a sandbox, matched to a worker, and runs.
use std::io::{stdout, Write};

const WIDTH: usize = 64;
const HEIGHT: usize = 44;
const DEPTH: u32 = 400;

fn steps(re: f64, im: f64) -> u32 {
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..DEPTH {
        if x * x + y * y > 4.0 {
            return step;
        }
        (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
    }
    DEPTH
}

fn colour(row: usize, column: usize) -> (u8, u8, u8) {
    let re = -2.2 + 3.0 * column as f64 / WIDTH as f64;
    let im = -1.25 + 2.5 * row as f64 / HEIGHT as f64;
    let n = steps(re, im);
    if n == DEPTH {
        return (16, 14, 34);
    }
    let t = (n as f64 / 60.0).sqrt().min(1.0);
    let u = 1.0 - t;
    let part = |x: f64| (255.0 * x) as u8;
    (part(9.0 * u * t * t * t), part(15.0 * u * u * t * t), part(8.5 * u * u * u * t))
}

fn main() {
    for row in (0..HEIGHT).step_by(2) {
        let mut line = String::new();
        for column in 0..WIDTH {
            let ((r, g, b), (x, y, z)) = (colour(row, column), colour(row + 1, column));
            line += &format!("\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m▀");
        }
        println!("{line}\x1b[0m");
        stdout().flush().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    println!("{} points in WebAssembly", WIDTH * HEIGHT);
}
