//! The Mandelbrot set: a PNG as an artifact, and a small picture of it on stdout.
//!
//!     wasmgrid run examples/mandelbrot.rs
//!     wasmgrid artifacts last -o pictures
use std::{fs, io};

const WIDTH: usize = 720;
const HEIGHT: usize = 480;
const MOST_STEPS: u32 = 255;

/// How many steps z = z^2 + c stays within a radius of 2; `MOST_STEPS` for what never leaves it, as far as we look.
fn steps(c_re: f64, c_im: f64) -> u32 {
    let (mut re, mut im) = (0.0, 0.0);
    for step in 0..MOST_STEPS {
        if re * re + im * im > 4.0 {
            return step;
        }
        (re, im) = (re * re - im * im + c_re, 2.0 * re * im + c_im);
    }
    MOST_STEPS
}

/// The plane from -2.2 - 1.1i to 0.9 + 1.1i, `width` by `height` points, row by row.
fn plane(width: usize, height: usize) -> Vec<u32> {
    let along = |at: usize, of: usize, from: f64, to: f64| from + (to - from) * (at as f64 + 0.5) / of as f64;
    (0..height)
        .flat_map(|y| (0..width).map(move |x| steps(along(x, width, -2.2, 0.9), along(y, height, -1.1, 1.1))))
        .collect()
}

fn main() -> io::Result<()> {
    for row in plane(60, 20).chunks(60) {
        let shades = b" .:-=+*#%@";
        let line: String = row.iter().map(|&n| shades[n.min(9) as usize] as char).collect();
        println!("{}", line.trim_end());
    }
    let pixels: Vec<u8> = plane(WIDTH, HEIGHT).iter().map(|&n| n as u8).collect();
    let image = png(&pixels);
    fs::write("/out/mandelbrot.png", &image)?; // what is in /out at the end comes back
    println!("/out/mandelbrot.png: {WIDTH} x {HEIGHT} pixels, {} bytes", image.len());
    Ok(())
}

/// A PNG with a palette. Its bytes are stored, not compressed: so it needs two checksums and no library.
fn png(pixels: &[u8]) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [(WIDTH as u32).to_be_bytes(), (HEIGHT as u32).to_be_bytes()].concat();
    chunk(&mut image, b"IHDR", &[&size[..], &[8, 3, 0, 0, 0]].concat()); // 8 bits a pixel, which name a colour
    chunk(&mut image, b"PLTE", &(0..=255u8).flat_map(colour).collect::<Vec<_>>());
    let rows: Vec<u8> = pixels.chunks(WIDTH).flat_map(|row| [&[0], row].concat()).collect(); // 0: no filter
    let mut zlib = vec![0x78, 0x01];
    let blocks = rows.chunks(0xffff);
    let last = blocks.len() - 1;
    for (number, block) in blocks.enumerate() {
        let length = block.len() as u16;
        zlib.push((number == last) as u8);
        zlib.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        zlib.extend(block);
    }
    zlib.extend(adler32(&rows).to_be_bytes());
    chunk(&mut image, b"IDAT", &zlib);
    chunk(&mut image, b"IEND", &[]);
    image
}

fn colour(n: u8) -> [u8; 3] {
    let heat = |from: f64| (255.0 * (f64::from(n) / 40.0 - from).clamp(0.0, 1.0)) as u8;
    if n == 255 { [0, 0, 0] } else { [heat(0.4), heat(0.1), 40 + (heat(0.0) as f64 * 0.84) as u8] }
}

fn chunk(image: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let named = [&kind[..], data].concat();
    image.extend((data.len() as u32).to_be_bytes());
    image.extend(&named);
    image.extend(crc32(&named).to_be_bytes());
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1, 0), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}
