//! One thread's way through the trees of deltas: each object is made from its base once, and searched where it differs.

use std::io::Read;

use super::forest::Forest;
use super::inflate::Inflater;
use super::object::Commit;
use super::pack::{Entry, Form, Pack};
use super::search::{self, Inside, Spot};
use super::{Kind, MAX_IN_MEMORY, ObjectFormat, Oid, Trouble, delta, inflate};
use crate::engine::{Piece, Searched};
use crate::hit::Hits;
use crate::stream::{Finished, Searcher};
use crate::unpack::{self, Input};

/// Blobs larger than this are searched in blocks, without results to carry: their memory stays bounded.
const CARRY_UP_TO: usize = 8 << 20;

/// Whole blobs larger than this from which nothing is made are streamed.
const STREAM_ABOVE: u64 = 8 << 20;

/// Bytes of objects that one thread may keep for children to come; what is dropped is made again when its turn comes.
const KEPT: usize = 96 << 20;

/// Buffers that are kept for reuse, and up to which size.
const SPARE: usize = 6;
const SPARE_SIZE: usize = 4 << 20;

/// What one thread has found since it last told.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) blobs: Vec<(Oid, Inside)>,
    /// Blobs with matches that only count at certain paths, to be searched again if one of those is theirs.
    pub(super) elsewhere: Vec<Oid>,
    pub(super) commits: Vec<Commit>,
    pub(super) messages: Vec<(Oid, Spot, Hits)>,
    /// What is wrong with something that was searched all the same, or was not searched.
    pub(super) notes: Vec<(String, String)>,
    /// What could not be read from here.
    pub(super) failed: Vec<(Oid, String)>,
    /// What could not be read elsewhere, but here.
    pub(super) healed: Vec<Oid>,
    pub(super) bytes: u64,
    pub(super) objects: u64,
    pub(super) blob_count: u64,
}

/// A pack with its trees of deltas.
#[derive(Clone, Copy)]
pub(super) struct Grove<'a> {
    pub(super) pack: &'a Pack,
    pub(super) forest: &'a Forest,
    /// Whether an object is to be searched here: not when it was elsewhere.
    pub(super) wanted: &'a (dyn Fn(Oid) -> bool + Sync),
}

/// Scratch memory and settings of one thread.
pub(super) struct Walker<'a, 's> {
    pub(super) searcher: &'a Searcher<'s>,
    pub(super) format: ObjectFormat,
    state: Inflater,
    compressed: Vec<u8>,
    instructions: Vec<u8>,
    pieces: Vec<Piece>,
    spare: Vec<Vec<u8>>,
    pub(super) batch: Batch,
}

/// An object whose children are being made.
struct Frame {
    number: u32,
    /// Given up when too much is kept.
    data: Option<Vec<u8>>,
    searched: Option<Searched>,
    next_child: usize,
}

impl<'a, 's> Walker<'a, 's> {
    pub(super) fn new(searcher: &'a Searcher<'s>, format: ObjectFormat) -> Self {
        Self {
            searcher,
            format,
            state: Inflater::new(),
            compressed: Vec::new(),
            instructions: Vec::new(),
            pieces: Vec::new(),
            spare: Vec::new(),
            batch: Batch::default(),
        }
    }

    /// Searches a whole object and all that is made from it.
    pub(super) fn tree(&mut self, grove: Grove<'_>, root: u32, kind: Kind) {
        if grove.forest.wanted(root) == 0 {
            return;
        }
        let result = self.head(grove, root).and_then(|entry| {
            let leaf = grove.forest.children(root).is_empty();
            if kind == Kind::Blob && leaf && entry.size > STREAM_ABOVE {
                let oid = grove.pack.index.name(root).ok_or(Trouble::Broken("its place is unknown"))?;
                return self.stream(oid, entry.size, &mut grove.pack.stream(entry)).map(|()| None);
            }
            let mut data = self.spare.pop().unwrap_or_default();
            self.inflate(grove, entry, &mut data).map(|()| Some(data))
        });
        match result {
            Ok(Some(data)) => self.descend(grove, root, kind, data),
            Ok(None) => {}
            Err(trouble) => self.fail(grove, root, &trouble.to_string()),
        }
    }

    /// The same for a delta whose base lies elsewhere.
    pub(super) fn grafted(&mut self, grove: Grove<'_>, root: u32, kind: Kind, base: &[u8]) {
        let mut data = Vec::new();
        match self.delta(grove, root, base, &mut data) {
            Ok(()) => self.descend(grove, root, kind, data),
            Err(trouble) => self.fail(grove, root, &trouble.to_string()),
        }
    }

    fn descend(&mut self, grove: Grove<'_>, root: u32, kind: Kind, data: Vec<u8>) {
        let searched = self.look(grove, root, kind, &data, None);
        let mut stack = vec![Frame { number: root, data: Some(data), searched, next_child: 0 }];
        while let Some(frame) = stack.last_mut() {
            let children = grove.forest.children(frame.number);
            // Those with most to do come last, so those with nothing to do come first.
            let idle = children.iter().skip(frame.next_child);
            frame.next_child += idle.take_while(|child| grove.forest.wanted(**child) == 0).count();
            let Some(child) = children.get(frame.next_child).copied() else {
                self.recycle(stack.pop().and_then(|frame| frame.data));
                continue;
            };
            frame.next_child += 1;
            let last = frame.next_child >= children.len();
            if frame.data.is_none() {
                let number = frame.number;
                match self.again(grove, number, &stack) {
                    Ok(data) => {
                        if let Some(frame) = stack.last_mut() {
                            frame.data = Some(data);
                        }
                    }
                    Err(trouble) => {
                        self.fail(grove, child, &trouble.to_string());
                        continue;
                    }
                }
            }
            let Some(frame) = stack.last() else { break };
            let mut data = self.spare.pop().unwrap_or_default();
            let made = self.delta(grove, child, frame.data.as_deref().unwrap_or_default(), &mut data);
            if let Err(trouble) = made {
                self.recycle(Some(data));
                self.fail(grove, child, &trouble.to_string());
                continue;
            }
            let searched = self.look(grove, child, kind, &data, frame.searched.as_ref());
            if last {
                self.recycle(stack.pop().and_then(|frame| frame.data));
            }
            if grove.forest.children(child).is_empty() {
                self.recycle(Some(data));
            } else {
                stack.push(Frame { number: child, data: Some(data), searched, next_child: 0 });
                trim(&mut stack);
            }
        }
    }

    /// Searches an object, or what is new in it.
    fn look(
        &mut self,
        grove: Grove<'_>,
        number: u32,
        kind: Kind,
        data: &[u8],
        base: Option<&Searched>,
    ) -> Option<Searched> {
        let oid = grove.pack.index.name(number)?;
        let wanted = (grove.wanted)(oid);
        // Archives and documents are searched for what is inside them, known values everywhere.
        let plain = kind == Kind::Blob && data.len() <= CARRY_UP_TO && unpack::is_plain(data);
        if !plain || self.searcher.also.known.is_some() {
            if wanted {
                self.object(oid, kind, data);
            }
            return None;
        }
        let engine = self.searcher.engine;
        let searched = match base.filter(|_| self.searcher.incremental) {
            Some(base) => engine.carried(base, data, &self.pieces),
            None => engine.full(data),
        };
        if wanted {
            self.settle(oid, data, &searched);
        }
        Some(searched)
    }

    /// Keeps what was found in a blob. Matches that depend on its path are many, and nearly none of them count: what they
    /// are worth is asked when its paths are known.
    fn settle(&mut self, oid: Oid, data: &[u8], searched: &Searched) {
        let parts = match self.searcher.finish_if(data, searched) {
            Finished::Nothing => Inside::new(),
            Finished::Hits(hits) => vec![(String::new(), hits)],
            Finished::Elsewhere => {
                self.batch.elsewhere.push(oid);
                Inside::new()
            }
        };
        self.blob(oid, data, parts);
    }

    /// Searches an object by itself.
    pub(super) fn object(&mut self, oid: Oid, kind: Kind, data: &[u8]) {
        if kind == Kind::Blob {
            let (_, parts) = self.inside(oid, Input::Bytes(data));
            return self.blob(oid, data, parts);
        }
        self.batch.objects += 1;
        self.batch.bytes = self.batch.bytes.saturating_add(size(data));
        if kind == Kind::Tree {
            return;
        }
        self.check(oid, kind, data);
        let written = search::written(kind, data, self.searcher);
        self.batch.messages.extend(written.into_iter().map(|(spot, hits)| (oid, spot, hits)));
        if kind == Kind::Commit {
            match Commit::parse(oid, data) {
                Some(commit) => self.batch.commits.push(commit),
                None => self.batch.notes.push((oid.to_string(), "the commit names no tree".to_owned())),
            }
        }
    }

    fn blob(&mut self, oid: Oid, data: &[u8], parts: Inside) {
        if !parts.is_empty() {
            self.check(oid, Kind::Blob, data);
        }
        self.batch.bytes = self.batch.bytes.saturating_add(size(data));
        self.keep(oid, parts);
    }

    /// Searches a blob and all that is inside it.
    fn inside(&mut self, oid: Oid, input: Input<'_>) -> (unpack::Outcome, Inside) {
        let mut parts = unpack::Parts::default();
        let outcome = unpack::scan(input, self.searcher, &self.searcher.limits, &mut parts);
        for (inner, why) in parts.skipped {
            self.batch.notes.push((unpack::place(&oid.to_string(), &inner), why));
        }
        (outcome, parts.hits)
    }

    /// Counts a blob, and keeps what was found in it.
    pub(super) fn keep(&mut self, oid: Oid, parts: Inside) {
        self.batch.objects += 1;
        self.batch.blob_count += 1;
        let kept = search::worth_keeping(parts, self.searcher);
        self.batch.blobs.extend(kept.map(|parts| (oid, parts)));
    }

    /// Compares content and name: for commits, tags, and blobs that a finding will name. To hash all blobs would take
    /// longer than to search them. What a disk or a transfer breaks is caught for all of them by zlib's checksum over
    /// each entry and by the sizes that deltas declare; only a forged pack passes both.
    fn check(&mut self, oid: Oid, kind: Kind, data: &[u8]) {
        if search::object_id(kind, data, self.format) != Some(oid) {
            self.batch.notes.push((oid.to_string(), search::WRONG_NAME.to_owned()));
        }
    }

    /// Searches a large blob from which nothing is made: it need not be in memory.
    pub(super) fn stream(&mut self, oid: Oid, size: u64, reader: &mut dyn Read) -> Result<(), Trouble> {
        let (outcome, parts) = self.inside(oid, Input::Reader(reader));
        self.batch.bytes = self.batch.bytes.saturating_add(outcome.bytes);
        if outcome.error.is_none() && outcome.bytes >= size {
            self.keep(oid, parts);
            return Ok(());
        }
        // What was found before it broke off counts; the object is counted where it is told that it failed.
        let kept = search::worth_keeping(parts, self.searcher);
        self.batch.blobs.extend(kept.map(|parts| (oid, parts)));
        Err(outcome.error.map_or(Trouble::Broken("its compressed data is cut off"), Trouble::Io))
    }

    /// Reads the header of an object and what follows it.
    fn head(&mut self, grove: Grove<'_>, number: u32) -> Result<Entry, Trouble> {
        let offset = grove.pack.index.place(number).ok_or(Trouble::Broken("its place is unknown"))?;
        grove.pack.head(offset, &mut self.compressed)
    }

    /// Inflates the object or delta whose header was just read.
    fn inflate(&mut self, grove: Grove<'_>, entry: Entry, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let compressed = grove.pack.body(entry, &mut self.compressed)?;
        inflate::into(&mut self.state, compressed, entry.size, out)
    }

    /// Makes an object from its base; [`Walker::pieces`] then says which parts of it are the base's.
    fn delta(
        &mut self,
        grove: Grove<'_>,
        number: u32,
        base: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        let entry = self.head(grove, number)?;
        let mut instructions = std::mem::take(&mut self.instructions);
        let result = self
            .inflate(grove, entry, &mut instructions)
            .and_then(|()| delta::apply_into(base, &instructions, MAX_IN_MEMORY, data, &mut self.pieces));
        self.instructions = instructions;
        result
    }

    /// Makes an object again from the nearest one that is still there.
    fn again(&mut self, grove: Grove<'_>, number: u32, stack: &[Frame]) -> Result<Vec<u8>, Trouble> {
        let mut chain = Vec::new();
        let mut at = number;
        let mut data = Vec::new();
        loop {
            let kept = stack.iter().find(|frame| frame.number == at).and_then(|frame| frame.data.as_ref());
            if let Some(kept) = kept {
                data.extend_from_slice(kept);
                break;
            }
            chain.push(at);
            let Some(base) = grove.forest.base(at) else { break };
            at = base;
        }
        for number in chain.into_iter().rev() {
            let base = std::mem::take(&mut data);
            if grove.forest.base(number).is_some() {
                self.delta(grove, number, &base, &mut data)?;
                continue;
            }
            let entry = self.head(grove, number)?;
            if !matches!(entry.form, Form::Whole(_)) {
                return Err(Trouble::Broken("its delta base is not in the pack"));
            }
            self.inflate(grove, entry, &mut data)?;
        }
        Ok(data)
    }

    /// Nothing below an object that cannot be made can be made.
    pub(super) fn fail(&mut self, grove: Grove<'_>, number: u32, why: &str) {
        let mut stack = vec![(number, why)];
        while let Some((number, why)) = stack.pop() {
            let Some(oid) = grove.pack.index.name(number) else { continue };
            if (grove.wanted)(oid) {
                self.batch.objects += 1;
                self.batch.failed.push((oid, why.to_owned()));
            }
            let children = grove.forest.children(number);
            stack.extend(children.iter().map(|child| (*child, "what it is a delta of cannot be read")));
        }
    }

    fn recycle(&mut self, data: Option<Vec<u8>>) {
        if let Some(mut data) = data.filter(|data| data.capacity() <= SPARE_SIZE && self.spare.len() < SPARE)
        {
            data.clear();
            self.spare.push(data);
        }
    }
}

/// Gives up the oldest objects while too much is kept. The last one is about to be used.
fn trim(stack: &mut [Frame]) {
    let weight = |frame: &Frame| {
        frame.data.as_ref().map_or(0, Vec::capacity) + frame.searched.as_ref().map_or(0, Searched::weight)
    };
    let mut kept: usize = stack.iter().map(weight).sum();
    let before_last = stack.len().saturating_sub(1);
    for frame in stack.iter_mut().take(before_last) {
        if kept <= KEPT {
            break;
        }
        kept = kept.saturating_sub(frame.data.take().map_or(0, |data| data.capacity()));
    }
}

fn size(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
