//! The first pass over a repository: every object is searched once, in whatever order is fastest.

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::cache::Object;
use super::database::Database;
use super::object::{self, Commit};
use super::pack::{Form, Pack};
use super::{Kind, MAX_IN_MEMORY, ObjectFormat, Oid, Trouble, loose};
use crate::collect::Collector;
use crate::hit::Hits;
use crate::stream::Searcher;
use crate::unpack::{self, Input};

/// Blobs larger than this are streamed where their storage allows it.
const STREAM_ABOVE: u64 = 8 << 20;

/// Paths inside a blob (the empty one is the blob itself), and what was found there.
pub(super) type Inside = Vec<(String, Hits)>;

/// What the first pass leaves.
#[derive(Default)]
pub(super) struct Found {
    /// What is in a blob, each part with its path inside; empty for the blob itself.
    pub(super) blobs: BTreeMap<Oid, Inside>,
    pub(super) commits: Vec<Commit>,
    pub(super) messages: Vec<(Oid, Kind, Hits)>,
}

/// Searches every object of the database once.
pub(super) fn run(database: &mut Database, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> Found {
    let mut pass = Pass {
        searcher,
        all,
        found: Found::default(),
        names: Vec::new(),
        done: Vec::new(),
        failed: BTreeMap::new(),
        format: database.format,
    };
    pass.run(database);
    pass.found
}

struct Pass<'p, 's, 'a> {
    searcher: &'p Searcher<'s>,
    all: &'p mut Collector<'a>,
    found: Found,
    /// Every object, sorted, and which have been searched: an object may be stored more than once.
    names: Vec<Oid>,
    done: Vec<bool>,
    failed: BTreeMap<Oid, String>,
    format: ObjectFormat,
}

impl Pass<'_, '_, '_> {
    fn run(&mut self, database: &mut Database) {
        self.names = database.loose.iter().map(|(oid, _)| *oid).collect();
        for pack in &database.packs {
            self.names.extend(pack.index.names());
        }
        self.names.sort_unstable();
        self.names.dedup();
        self.done = vec![false; self.names.len()];
        self.all.expect(self.names.len());
        for (oid, file) in &database.loose {
            if let Some(at) = self.pending(*oid) {
                let result = self.loose(*oid, file);
                self.settle(at, *oid, result);
            }
        }
        let Database { packs, cache, state, .. } = database;
        for (number, pack) in packs.iter().enumerate() {
            for (oid, offset) in pack.index.in_pack_order() {
                let Some(at) = self.pending(oid) else { continue };
                let result = match self.shortcut(pack, oid, offset) {
                    Ok(true) => Ok(()),
                    Ok(false) => {
                        pack.read(number, offset, cache, state).map(|object| self.object(oid, &object))
                    }
                    Err(trouble) => Err(trouble),
                };
                self.settle(at, oid, result);
            }
        }
        for (oid, why) in std::mem::take(&mut self.failed) {
            self.all.report.skip(oid.to_string(), why);
        }
    }

    /// The position of an object that has not been searched yet.
    fn pending(&self, oid: Oid) -> Option<usize> {
        let at = self.names.binary_search(&oid).ok()?;
        (self.done.get(at) == Some(&false)).then_some(at)
    }

    /// An object that failed stays pending: another pack may have a good copy.
    fn settle(&mut self, at: usize, oid: Oid, result: Result<(), Trouble>) {
        match result {
            Ok(()) => {
                self.failed.remove(&oid);
                if let Some(done) = self.done.get_mut(at) {
                    *done = true;
                }
            }
            Err(trouble) => drop(self.failed.insert(oid, trouble.to_string())),
        }
        self.all.advance(0, 1);
    }

    fn loose(&mut self, oid: Oid, file: &std::path::Path) -> Result<(), Trouble> {
        let opened = loose::open(file)?;
        if opened.kind == Kind::Blob && opened.size > STREAM_ABOVE {
            let size = opened.size;
            return self.stream(oid, size, &mut opened.into_reader());
        }
        let object = Object { kind: opened.kind, data: opened.read(MAX_IN_MEMORY)?.into() };
        self.object(oid, &object);
        Ok(())
    }

    /// Trees are not searched, and large blobs are streamed: neither has to be rebuilt in memory.
    fn shortcut(&mut self, pack: &Pack, oid: Oid, offset: u64) -> Result<bool, Trouble> {
        let entry = pack.entry(offset)?;
        match entry.form {
            Form::Whole(Kind::Tree) => Ok(true),
            Form::Whole(Kind::Blob) if entry.size > STREAM_ABOVE => {
                self.stream(oid, entry.size, &mut pack.stream(entry))?;
                Ok(true)
            }
            Form::Whole(_) | Form::Delta { .. } => Ok(false),
        }
    }

    fn stream(&mut self, oid: Oid, size: u64, reader: &mut dyn std::io::Read) -> Result<(), Trouble> {
        let outcome = self.blob(oid, Input::Reader(reader));
        match outcome.error {
            Some(error) => Err(Trouble::Io(error)),
            None if outcome.bytes < size => Err(Trouble::Broken("its compressed data is cut off")),
            None => Ok(()),
        }
    }

    fn object(&mut self, oid: Oid, object: &Object) {
        if object_id(object, self.format) != Some(oid) {
            self.all
                .report
                .skip(oid.to_string(), "its content does not match its id; it was searched all the same");
        }
        match object.kind {
            Kind::Tree => return,
            Kind::Blob => {
                self.blob(oid, Input::Bytes(&object.data));
            }
            Kind::Commit | Kind::Tag => {
                let hits = self.searcher.slice(object::headers_and_message(&object.data).1);
                if !hits.is_empty() {
                    self.found.messages.push((oid, object.kind, hits));
                }
                if object.kind == Kind::Commit {
                    match Commit::parse(oid, &object.data) {
                        Some(commit) => self.found.commits.push(commit),
                        None => self.all.report.skip(oid.to_string(), "the commit names no tree"),
                    }
                }
            }
        }
        self.all.advance(u64::try_from(object.data.len()).unwrap_or(0), 0);
    }

    fn blob(&mut self, oid: Oid, input: Input<'_>) -> unpack::Outcome {
        self.all.report.blobs = self.all.report.blobs.saturating_add(1);
        let (outcome, parts) = inside(oid, input, self.searcher, self.all);
        self.found.keep(oid, parts, self.searcher);
        outcome
    }
}

/// Searches a blob and all that is inside it.
pub(super) fn inside(
    oid: Oid,
    input: Input<'_>,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> (unpack::Outcome, Inside) {
    let mut parts = unpack::Parts::default();
    let outcome = unpack::scan(input, searcher, &unpack::Limits::default(), &mut parts);
    for (inner, why) in parts.skipped {
        all.report.skip(unpack::place(&oid.to_string(), &inner), why);
    }
    (outcome, parts.hits)
}

impl Found {
    pub(super) fn keep(&mut self, oid: Oid, mut parts: Inside, searcher: &Searcher<'_>) {
        // Rules that only look at paths must see every blob's.
        if parts.is_empty() && !searcher.rules.path_rules().is_empty() {
            parts.push((String::new(), Hits::default()));
        }
        if !parts.is_empty() {
            self.blobs.insert(oid, parts);
        }
    }
}

/// The hash over `<kind> <size>\0<content>`: <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>.
fn object_id(object: &Object, format: ObjectFormat) -> Option<Oid> {
    let header = format!("{} {}\0", object.kind.name(), object.data.len());
    match format {
        ObjectFormat::Sha1 => {
            Oid::from_bytes(&Sha1::new().chain_update(header).chain_update(&object.data).finalize())
        }
        ObjectFormat::Sha256 => {
            Oid::from_bytes(&Sha256::new().chain_update(header).chain_update(&object.data).finalize())
        }
    }
}
