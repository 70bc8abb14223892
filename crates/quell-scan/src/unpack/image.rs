//! Images of containers: archives whose members are the layers of a file system.
//!
//! `docker save` names a layer `<id>/layer.tar`, the OCI image layout `blobs/sha256/<digest>`. A file `.wh.<name>` in a layer
//! deletes `<name>` of the layers below (OCI image specification, `layer.md`, whiteouts): from what a container sees,
//! not from the image.

use std::collections::BTreeSet;

use super::Sink;
use crate::hit::Hits;

/// Hits that are held back until all layers are known.
const MAX_HELD: usize = 10_000;
/// Whiteouts that are remembered.
const MAX_DELETED: usize = 100_000;
const NOTE: &str = "another layer of the image deletes this file; whoever has the image can still read it";

/// The digest or id in the name of a member that may be a layer.
pub(super) fn layer(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let digest = match name.strip_prefix("blobs/") {
        Some(blob) => blob.split_once('/')?.1,
        None => name.strip_suffix("/layer.tar").or_else(|| name.strip_suffix(".tar"))?,
    };
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}

/// Stands between an archive and its sink, and adds to hits in layers that another layer deletes the file.
pub(super) struct Watch<'s> {
    sink: &'s mut dyn Sink,
    held: Vec<(String, Hits)>,
    /// Layer and path.
    deleted: BTreeSet<(String, String)>,
}

impl<'s> Watch<'s> {
    pub(super) fn new(sink: &'s mut dyn Sink) -> Self {
        Self { sink, held: Vec::new(), deleted: BTreeSet::new() }
    }

    pub(super) fn finish(self) {
        for (inner, mut hits) in self.held {
            if split(&inner).is_some_and(|(layer, path)| deletes(&self.deleted, layer, path)) {
                hits.note_all(NOTE);
            }
            self.sink.hits(&inner, hits);
        }
    }
}

fn deletes(deleted: &BTreeSet<(String, String)>, layer: &str, path: &str) -> bool {
    deleted.iter().any(|(by, gone)| {
        by != layer
            && path.strip_prefix(gone.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The layer and the path in it, of a place such as `a.tar!/<digest>/etc/app.env`.
fn split(inner: &str) -> Option<(&str, &str)> {
    let start = inner.find("!/").map_or(0, |at| at + 2);
    let candidates = [inner, inner.get(start..)?];
    candidates.into_iter().find_map(|text| {
        let (digest, path) = text.split_once('/')?;
        let named = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        named.then_some((digest, path))
    })
}

/// What a whiteout deletes.
fn whiteout(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = name.strip_prefix(".wh.")?;
    let joined = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    // `.wh..wh..opq` hides all that the folder had.
    Some(if name == ".wh..opq" { folder.to_owned() } else { joined(name) })
}

impl Sink for Watch<'_> {
    fn hits(&mut self, inner: &str, hits: Hits) {
        if let Some((layer, path)) = split(inner) {
            if let Some(gone) = whiteout(path).filter(|_| self.deleted.len() < MAX_DELETED) {
                self.deleted.insert((layer.to_owned(), gone));
            }
            if !hits.is_empty() && self.held.len() < MAX_HELD {
                self.held.push((inner.to_owned(), hits));
                return;
            }
        }
        self.sink.hits(inner, hits);
    }

    fn skipped(&mut self, inner: &str, why: String) {
        self.sink.skipped(inner, why);
    }

    fn bytes(&mut self, count: u64) {
        self.sink.bytes(count);
    }
}
