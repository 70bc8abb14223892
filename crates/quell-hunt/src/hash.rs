//! SHA-256 (FIPS 180-4) in hex, of records and of objects as stored: by these others know that they have the same bytes.
//!
//! Where the processor has no instructions for it, it costs more than to unpack and search the same bytes. Objects are therefore
//! hashed only when somebody asks for it, and only those with a hit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::hunt::Hashed;
use crate::object::Object;
use crate::source::Fetch;

/// Of bytes that are here.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Of an object's first `size` bytes as stored. `None` if there are fewer, or they cannot be read, or somebody asked to stop.
fn stored(object: &Object, size: u64, stop: &AtomicBool) -> Option<String> {
    let stored: Fetch = match object.fetch() {
        Some(fetch) => fetch,
        None => Box::new(File::open(object.path().ok()?).ok()?),
    };
    let mut stored = BufReader::with_capacity(256 << 10, stored.take(size));
    let mut hash = Context::new(&SHA256);
    let mut read = 0;
    while !stop.load(Ordering::Relaxed) {
        let piece = stored.fill_buf().ok()?;
        if piece.is_empty() {
            return (read == size).then(|| hex::encode(hash.finish()));
        }
        hash.update(piece);
        let length = piece.len();
        read += length as u64;
        stored.consume(length);
    }
    None
}

/// Reads those objects once more that have no hash yet: the ones too large to be held while they were searched.
pub(crate) fn rest(hashed: &mut [Hashed], objects: &[&Object], threads: NonZero<usize>, stop: &AtomicBool) {
    let missing: BTreeMap<&str, (usize, u64)> = hashed
        .iter()
        .enumerate()
        .filter(|(_, it)| it.sha256.is_none())
        .map(|(at, it)| (it.name.as_str(), (at, it.size)))
        .collect();
    let missing: Vec<(&Object, (usize, u64))> =
        objects.iter().filter_map(|it| Some((*it, *missing.get(&*it.name)?))).collect();
    let found: Mutex<Vec<(usize, Option<String>)>> = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let (hashes, next) = (&found, &next);
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(missing.len()) {
            scope.spawn(|| {
                while let Some((object, (at, size))) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hash = stored(object, *size, stop);
                    if let Ok(mut hashes) = hashes.lock() {
                        hashes.push((*at, hash));
                    }
                }
            });
        }
    });
    for (at, hash) in found.into_inner().unwrap_or_default() {
        if let Some(slot) = hashed.get_mut(at) {
            slot.sha256 = hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grew_has_the_hash_of_what_was_searched_and_one_that_shrank_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        std::fs::write(&path, "what was searched, and what came later").unwrap();
        let [object] = crate::object::list(&[path]).unwrap().try_into().unwrap();
        let name = object.name.to_string();
        let hash = |size, stop: bool| {
            let mut hashed = [Hashed { name: name.clone(), size, sha256: None }];
            rest(&mut hashed, &[&object], NonZero::<usize>::MIN, &AtomicBool::new(stop));
            let [hashed] = hashed;
            hashed.sha256
        };
        assert_eq!(hash(17, false), Some(sha256(b"what was searched")));
        assert_eq!((hash(900, false), hash(17, true)), (None, None));
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
