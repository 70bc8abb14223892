//! The yardstick of `bench/hunt`: unpacks every gzip file under a folder with the library that a hunt uses, and does nothing
//! else. `inflate FOLDER THREADS` prints how many bytes came out.

#![expect(clippy::print_stdout, reason = "a tool for the benchmark")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libdeflater::Decompressor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut waiting = vec![PathBuf::from(arguments.next().ok_or("inflate FOLDER THREADS")?)];
    let threads: usize = arguments.next().ok_or("inflate FOLDER THREADS")?.parse()?;
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    let (next, total) = (AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut inflate, mut text) = (Decompressor::new(), Vec::new());
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Ok(stored) = std::fs::read(path) else { continue };
                    let size = stored.last_chunk().map_or(0, |last| u32::from_le_bytes(*last)) as usize;
                    if text.len() < size {
                        text.resize(size, 0);
                    }
                    if let Some(out) = text.get_mut(..size) {
                        let length = inflate.gzip_decompress(&stored, out).unwrap_or(0);
                        total.fetch_add(length as u64, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("{}", total.into_inner());
    Ok(())
}
