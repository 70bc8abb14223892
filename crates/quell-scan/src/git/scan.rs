//! The passes over a repository: search every object once, then attribute what was found.

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest as _, Sha1};

use super::attribute::{Attribution, Sight};
use super::cache::Object;
use super::commits::History;
use super::database::Database;
use super::object::{self, Commit};
use super::pack::{Form, Pack};
use super::refs::{self, Refs};
use super::{Kind, MAX_IN_MEMORY, Oid, Repository, Trouble, loose};
use crate::collect::{Collector, Origin, Sighting};
use crate::hit::Hits;
use crate::stream::Searcher;
use crate::{ScanError, Visibility};

/// Blobs larger than this are streamed where their storage allows it.
const STREAM_ABOVE: u64 = 8 << 20;

/// A tag of a tag of a tag is followed this far.
const MAX_TAGS: usize = 16;

/// Scans all objects of a repository.
pub(crate) fn scan(
    repository: &Repository,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> Result<(), ScanError> {
    let refs = refs::read(repository, &mut all.report)?;
    let mut database = Database::open(repository, &mut all.report)?;
    let mut pass = Pass {
        searcher,
        all,
        found: Found::default(),
        names: Vec::new(),
        done: Vec::new(),
        failed: BTreeMap::new(),
    };
    pass.run(&mut database);
    let found = pass.found;
    all.report.commits = u64::try_from(found.commits.len()).unwrap_or(u64::MAX);
    attribute(&mut database, &refs, found, all);
    Ok(())
}

/// What the first pass leaves.
#[derive(Default)]
struct Found {
    blobs: BTreeMap<Oid, Hits>,
    commits: Vec<Commit>,
    messages: Vec<(Oid, Kind, Hits)>,
}

struct Pass<'p, 's, 'a> {
    searcher: &'p Searcher<'s>,
    all: &'p mut Collector<'a>,
    found: Found,
    /// Every object, sorted, and which have been searched: an object may be stored more than once.
    names: Vec<Oid>,
    done: Vec<bool>,
    failed: BTreeMap<Oid, String>,
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
        let all = &mut *self.all;
        let outcome = self.searcher.reader(reader, &mut |bytes| all.advance(bytes, 0));
        self.keep_blob(oid, outcome.hits);
        match outcome.error {
            Some(error) => Err(Trouble::Io(error)),
            None if outcome.bytes < size => Err(Trouble::Broken("its compressed data is cut off")),
            None => Ok(()),
        }
    }

    fn object(&mut self, oid: Oid, object: &Object) {
        if object_id(object) != oid {
            self.all
                .report
                .skip(oid.to_string(), "its content does not match its id; it was searched all the same");
        }
        match object.kind {
            Kind::Tree => return,
            Kind::Blob => {
                let hits = self.searcher.slice(&object.data);
                self.keep_blob(oid, hits);
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

    fn keep_blob(&mut self, oid: Oid, hits: Hits) {
        self.all.report.blobs = self.all.report.blobs.saturating_add(1);
        if !hits.is_empty() {
            self.found.blobs.insert(oid, hits);
        }
    }
}

/// SHA-1 over `<kind> <size>\0<content>`: <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>.
fn object_id(object: &Object) -> Oid {
    let mut hash = Sha1::new();
    hash.update(format!("{} {}\0", object.kind.name(), object.data.len()));
    hash.update(&object.data);
    Oid(hash.finalize().into())
}

fn attribute(database: &mut Database, refs: &Refs, found: Found, all: &mut Collector<'_>) {
    if found.blobs.is_empty() && found.messages.is_empty() {
        return;
    }
    let mut history = History::new(found.commits);
    let mut reached = BTreeSet::new();
    let mut bare_tips = Vec::new();
    for tip in &refs.tips {
        peel(*tip, database, &mut history, &mut reached, &mut bare_tips, all);
    }
    let interest = found.blobs.keys().copied().collect();
    let sights = Attribution::new(database, &mut all.report, interest).run(&history, refs.head, &bare_tips);
    for (blob, hits) in &found.blobs {
        let Some(places) = sights.get(blob) else {
            let visibility =
                if reached.contains(blob) { Visibility::Reachable } else { Visibility::Unreachable };
            let name = blob.to_string();
            let path = format!("(blob {})", name.get(..12).unwrap_or(&name));
            all.add_all(hits, &Sighting { path: &path, commit: None, visibility });
            continue;
        };
        for (path, sight) in places {
            place(hits, &String::from_utf8_lossy(path), *sight, &history, all);
        }
    }
    for (oid, kind, hits) in &found.messages {
        let reachable = history.contains_reachable(*oid) || reached.contains(oid);
        let sight = Sight { first: history.find(*oid).map(|(at, _)| at), reachable, current: false };
        let path = if *kind == Kind::Tag { "(tag message)" } else { "(commit message)" };
        place(hits, path, sight, &history, all);
    }
}

fn place(hits: &Hits, path: &str, sight: Sight, history: &History, all: &mut Collector<'_>) {
    let visibility = match sight {
        Sight { current: true, .. } => Visibility::Current,
        Sight { reachable: true, .. } => Visibility::Reachable,
        Sight { .. } => Visibility::Unreachable,
    };
    let commit = sight.first.and_then(|at| history.commits.get(at).map(|commit| (at, commit)));
    let id = commit.map(|(_, commit)| commit.oid.to_string()).unwrap_or_default();
    let origin = commit.map(|(order, commit)| Origin {
        order,
        id: &id,
        author: &commit.author,
        author_time: commit.authored_at,
    });
    all.add_all(hits, &Sighting { path, commit: origin, visibility });
}

/// Follows a ref's tip through tags to a commit, or to the odd tree or blob.
fn peel(
    tip: Oid,
    database: &mut Database,
    history: &mut History,
    reached: &mut BTreeSet<Oid>,
    bare_tips: &mut Vec<Object>,
    all: &mut Collector<'_>,
) {
    let mut at = tip;
    for _ in 0..MAX_TAGS {
        if history.find(at).is_some() {
            history.reach(at);
            return;
        }
        if !reached.insert(at) {
            return;
        }
        match database.read(at) {
            Ok(Some(object)) if object.kind == Kind::Tag => match object::tag_target(&object.data) {
                Some(target) => at = target,
                None => return all.report.skip(at.to_string(), "the tag names no object"),
            },
            Ok(Some(object)) => return bare_tips.push(object),
            Ok(None) => return all.report.skip(at.to_string(), "a ref points to it, and it is not here"),
            Err(trouble) => return all.report.skip(at.to_string(), trouble.to_string()),
        }
    }
    all.report.skip(tip.to_string(), "a ref points to a tag that is nested too deep");
}
