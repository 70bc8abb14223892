//! The first pass over a repository: every object is searched once, in whatever order is fastest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::database::Database;
use super::descend::{Batch, Grove, Walker};
use super::forest::Forest;
use super::object::{self, Commit};
use super::pack::Pack;
use super::{Kind, MAX_IN_MEMORY, ObjectFormat, Oid, Trouble, loose};
use crate::Report;
use crate::collect::Collector;
use crate::hit::Hits;
use crate::stream::Searcher;
use crate::unpack::{self, Input};

/// Loose blobs larger than this are streamed.
const STREAM_ABOVE: u64 = 8 << 20;

/// Objects after which a thread tells what it has.
const TELL_AFTER: u64 = 512;

/// Trees of deltas with more objects than this are begun first, so that no thread is left with one at the end.
const LARGE_TREE: u32 = 300;

/// What is said of an object that is not what it is called.
pub(super) const WRONG_NAME: &str = "its content does not match its id; it was searched all the same";

/// Paths inside a blob (the empty one is the blob itself), and what was found there.
pub(super) type Inside = Vec<(String, Hits)>;

/// Where in a commit or tag something was found.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Spot {
    Message(Kind),
    Headers(Kind),
}

/// Searches a commit or tag: its message, and the headers that people write.
pub(super) fn written(kind: Kind, data: &[u8], searcher: &Searcher<'_>) -> Vec<(Spot, Hits)> {
    let message = searcher.slice(object::headers_and_message(data).1);
    let headers = searcher.slice(&object::free_headers(data));
    let all = [(Spot::Message(kind), message), (Spot::Headers(kind), headers)];
    all.into_iter().filter(|(_, hits)| !hits.is_empty()).collect()
}

/// What the first pass leaves.
#[derive(Default)]
pub(super) struct Found {
    pub(super) blobs: BTreeMap<Oid, Inside>,
    /// Blobs with matches that only count at certain paths.
    pub(super) elsewhere: BTreeSet<Oid>,
    /// By name.
    pub(super) commits: Vec<Commit>,
    pub(super) messages: Vec<(Oid, Spot, Hits)>,
    /// The deltas of each pack, with the checksum that tells which pack it is.
    pub(super) forests: Vec<(Vec<u8>, Forest)>,
}

/// Searches every object of the database once.
pub(super) fn run(database: &mut Database, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> Found {
    let mut pass = Pass { all, found: Found::default(), failed: BTreeMap::new() };
    pass.loose(database, searcher);
    for number in 0..database.packs.len() {
        pass.pack(database, number, searcher);
    }
    pass.second_copies(database, searcher);
    let Pass { mut found, failed, all } = pass;
    for (oid, (_, why)) in failed {
        all.report.skip(oid.to_string(), why);
    }
    found.commits.sort_by_cached_key(|commit| commit.oid);
    found.messages.sort_by_key(|(oid, spot, _)| (*oid, *spot));
    found
}

/// Where a copy of an object lies: in which pack, or loose.
type Place = Option<usize>;

struct Pass<'p, 'a> {
    all: &'p mut Collector<'a>,
    found: Found,
    /// Objects that could not be read, and where.
    failed: BTreeMap<Oid, (Place, String)>,
}

impl Pass<'_, '_> {
    fn loose(&mut self, database: &Database, searcher: &Searcher<'_>) {
        let list = &database.loose;
        self.all.expect(list.len());
        let format = database.format;
        let next = AtomicUsize::new(0);
        let work = |tell: &SyncSender<Batch>| {
            let mut walker = Walker::new(searcher, format);
            while let Some((oid, file)) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(trouble) = loose_object(&mut walker, *oid, file) {
                    walker.batch.objects += 1;
                    walker.batch.failed.push((*oid, trouble.to_string()));
                }
                hand_over(&mut walker, tell, TELL_AFTER);
            }
            hand_over(&mut walker, tell, 0);
        };
        self.threads(searcher.threads.min(list.len()), None, &work);
    }

    fn pack(&mut self, database: &mut Database, number: usize, searcher: &Searcher<'_>) {
        let format = database.format;
        let (earlier, later) = database.packs.split_at(number);
        let Some(pack) = later.first() else { return };
        let loose = &database.loose;
        let wanted = |oid: Oid| is_first(oid, loose, earlier);
        let mut forest = Forest::build(pack, &wanted);
        let broken = std::mem::take(&mut forest.broken);
        let grove = Grove { pack, forest: &forest, wanted: &wanted };
        let count = if earlier.is_empty() && loose.is_empty() {
            pack.index.len()
        } else {
            pack.index.in_pack_order().filter(|(oid, _)| wanted(*oid)).count()
        };
        self.all.expect(count);
        self.all.advance(0, u64::from(forest.trees));
        let (mut roots, rest): (Vec<_>, Vec<_>) =
            forest.roots.iter().partition(|(root, _)| forest.wanted(*root) > LARGE_TREE);
        roots.sort_by_key(|(root, _)| std::cmp::Reverse(forest.wanted(*root)));
        roots.extend(rest);
        let next = AtomicUsize::new(0);
        let work = |tell: &SyncSender<Batch>| {
            let mut walker = Walker::new(searcher, format);
            while let Some((root, kind)) = roots.get(next.fetch_add(1, Ordering::Relaxed)) {
                walker.tree(grove, *root, *kind);
                hand_over(&mut walker, tell, TELL_AFTER);
            }
            hand_over(&mut walker, tell, 0);
        };
        self.threads(searcher.threads, Some(number), &work);
        let mut walker = Walker::new(searcher, format);
        for (number, trouble) in broken {
            walker.fail(grove, number, &trouble.to_string());
        }
        self.take(Some(number), std::mem::take(&mut walker.batch));
        self.grafts(database, number, &forest, searcher);
        let checksum = database.packs.get(number).map(|pack| pack.index.pack_checksum.clone());
        self.found.forests.push((checksum.unwrap_or_default(), forest));
    }

    /// Deltas whose base is in another pack, or loose.
    fn grafts(&mut self, database: &mut Database, number: usize, forest: &Forest, searcher: &Searcher<'_>) {
        let mut walker = Walker::new(searcher, database.format);
        for (root, base) in &forest.foreign {
            let base = database.read(*base);
            let (earlier, later) = database.packs.split_at(number);
            let Some(pack) = later.first() else { return };
            let wanted = |oid: Oid| is_first(oid, &database.loose, earlier);
            let grove = Grove { pack, forest, wanted: &wanted };
            match base {
                Ok(Some(base)) => walker.grafted(grove, *root, base.kind, &base.data),
                Ok(None) => walker.fail(grove, *root, "its delta base is not in the pack"),
                Err(trouble) => walker.fail(grove, *root, &trouble.to_string()),
            }
        }
        self.take(Some(number), walker.batch);
    }

    /// Objects that could not be read where they come first may have a good copy elsewhere.
    fn second_copies(&mut self, database: &mut Database, searcher: &Searcher<'_>) {
        let mut walker = Walker::new(searcher, database.format);
        let Database { packs, cache, state, .. } = database;
        for (oid, (place, _)) in &self.failed {
            for (number, pack) in packs.iter().enumerate() {
                let Some(offset) = pack.index.find(*oid).filter(|_| *place != Some(number)) else { continue };
                if let Ok(object) = pack.read(number, offset, cache, state) {
                    walker.object(*oid, object.kind, &object.data);
                    walker.batch.healed.push(*oid);
                    break;
                }
            }
        }
        // They have been counted where they failed.
        walker.batch.objects = 0;
        let batch = walker.batch;
        for oid in &batch.healed {
            self.failed.remove(oid);
        }
        self.take(None, batch);
    }

    /// Runs `work` on some threads, and takes what they tell on this one.
    fn threads(&mut self, threads: usize, place: Place, work: &(dyn Fn(&SyncSender<Batch>) + Sync)) {
        let (tell, told) = mpsc::sync_channel(16);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let tell = tell.clone();
                scope.spawn(move || work(&tell));
            }
            drop(tell);
            for batch in told {
                self.take(place, batch);
            }
        });
    }

    fn take(&mut self, place: Place, batch: Batch) {
        self.found.blobs.extend(batch.blobs);
        self.found.elsewhere.extend(batch.elsewhere);
        self.found.commits.extend(batch.commits);
        self.found.messages.extend(batch.messages);
        self.failed.extend(batch.failed.into_iter().map(|(oid, why)| (oid, (place, why))));
        for (what, why) in batch.notes {
            self.all.report.skip(what, why);
        }
        self.all.report.blobs = self.all.report.blobs.saturating_add(batch.blob_count);
        self.all.advance(batch.bytes, batch.objects);
    }
}

/// An object that is stored twice is searched where it comes first: loose, then in the order of the packs.
fn is_first(oid: Oid, loose: &[(Oid, PathBuf)], earlier: &[Pack]) -> bool {
    loose.binary_search_by(|(name, _)| name.cmp(&oid)).is_err()
        && earlier.iter().all(|pack| pack.index.find(oid).is_none())
}

/// Tells what a thread has, if that is enough. Nobody listens only when the receiving thread has given up.
fn hand_over(walker: &mut Walker<'_, '_>, tell: &SyncSender<Batch>, least: u64) {
    if walker.batch.objects >= least {
        drop(tell.send(std::mem::take(&mut walker.batch)));
    }
}

fn loose_object(walker: &mut Walker<'_, '_>, oid: Oid, file: &std::path::Path) -> Result<(), Trouble> {
    let opened = loose::open(file)?;
    let (kind, size) = (opened.kind, opened.size);
    if kind != Kind::Blob || size <= STREAM_ABOVE {
        let data = opened.read(MAX_IN_MEMORY)?;
        walker.object(oid, kind, &data);
        return Ok(());
    }
    walker.stream(oid, size, &mut opened.into_reader())
}

/// Searches a blob and all that is inside it.
pub(super) fn inside(
    oid: Oid,
    input: Input<'_>,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> (unpack::Outcome, Inside) {
    let mut parts = unpack::Parts::default();
    let outcome = unpack::scan(input, searcher, &searcher.limits, &mut parts);
    for (inner, why) in parts.skipped {
        all.report.skip(unpack::place(&oid.to_string(), &inner), why);
    }
    (outcome, parts.hits)
}

impl Found {
    pub(super) fn keep(&mut self, oid: Oid, parts: Inside, searcher: &Searcher<'_>) {
        if let Some(parts) = worth_keeping(parts, searcher) {
            self.blobs.insert(oid, parts);
        }
    }
}

/// Searches blobs again whose matches count where they lie, now that this is known.
pub(super) fn again(
    blobs: &[Oid],
    database: &mut Database,
    searcher: &Searcher<'_>,
    found: &mut Found,
    report: &mut Report,
) {
    for oid in blobs {
        match database.read(*oid) {
            Ok(Some(object)) => {
                if object_id(object.kind, &object.data, database.format) != Some(*oid) {
                    report.skip(oid.to_string(), WRONG_NAME);
                }
                let hits = searcher.slice(&object.data);
                found.keep(*oid, vec![(String::new(), hits)], searcher);
            }
            Ok(None) => report.skip(oid.to_string(), "it was here and is no more"),
            Err(trouble) => report.skip(oid.to_string(), trouble.to_string()),
        }
    }
}

/// Blobs without hits are forgotten, unless there are rules that only look at paths: those must see every blob's.
pub(super) fn worth_keeping(mut parts: Inside, searcher: &Searcher<'_>) -> Option<Inside> {
    if parts.is_empty() && !searcher.rules.path_rules().is_empty() {
        parts.push((String::new(), Hits::default()));
    }
    (!parts.is_empty()).then_some(parts)
}

/// The hash over `<kind> <size>\0<content>`: <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>.
pub(super) fn object_id(kind: Kind, data: &[u8], format: ObjectFormat) -> Option<Oid> {
    let header = format!("{} {}\0", kind.name(), data.len());
    match format {
        ObjectFormat::Sha1 => {
            Oid::from_bytes(&Sha1::new().chain_update(header).chain_update(data).finalize())
        }
        ObjectFormat::Sha256 => {
            Oid::from_bytes(&Sha256::new().chain_update(header).chain_update(data).finalize())
        }
    }
}
