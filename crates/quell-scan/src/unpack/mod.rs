//! Content inside content: archives, compressed files, images of containers, documents, text in other encodings.
//!
//! Bytes go in once and are unpacked as they come; only a zip that cannot be read out of order, a notebook and a document
//! are held in memory, within a budget. Nothing is written to disk: the names of members are names, whatever they hold.
//! Everything that is not read is said, with the place and the reason.

mod ar;
mod compressed;
mod image;
mod kind;
mod lookahead;
mod meter;
mod notebook;
mod office;
mod pdf;
mod tar;
#[cfg(test)]
pub(crate) mod tests;
mod wide;
mod zip;

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use crate::hit::Hits;
use crate::stream::Searcher;
use kind::{Container, HEAD};
use lookahead::Lookahead;
use meter::{Meter, Metered};

pub(crate) use kind::kind;

/// How far unpacking goes. What lies beyond is said, not read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Archives in archives. Compression alone counts apart, twice as deep.
    pub(crate) depth: u32,
    /// Bytes that come out of all decompressors for one input.
    pub(crate) unpacked: u64,
    /// Bytes that may come out for each byte that goes in, beyond [`Limits::free`].
    pub(crate) ratio: u64,
    /// Bytes that may come out whatever the ratio.
    pub(crate) free: u64,
    /// Members of all archives in one input.
    pub(crate) members: u64,
    /// Bytes held in memory for one input: a zip inside another archive, a document, a notebook.
    pub(crate) memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 4,
            unpacked: 4 << 30,
            ratio: 1000,
            free: 100 << 20,
            members: 1_000_000,
            memory: 64 << 20,
        }
    }
}

/// What is to be scanned.
pub(crate) enum Input<'a> {
    Bytes(&'a [u8]),
    File(&'a mut File),
    Reader(&'a mut dyn Read),
}

/// Hears what comes out. `inner` is the path inside the input, with `!/` between archives; empty for the input itself.
pub(crate) trait Sink {
    /// Secrets of one member.
    fn hits(&mut self, inner: &str, hits: Hits);
    /// Something was not scanned.
    fn skipped(&mut self, inner: &str, why: String);
    /// So many bytes more went through the engine.
    fn bytes(&mut self, count: u64);
}

/// A sink that keeps everything, for inputs that get their names later.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Paths inside the input, and what was found there.
    pub(crate) hits: Vec<(String, Hits)>,
    /// Paths inside the input, and why they were not scanned; at most [`crate::Report::MAX_INCOMPLETE`].
    pub(crate) skipped: Vec<(String, String)>,
    pub(crate) bytes: u64,
}

impl Sink for Parts {
    fn hits(&mut self, inner: &str, hits: Hits) {
        if !hits.is_empty() {
            self.hits.push((inner.to_owned(), hits));
        }
    }

    fn skipped(&mut self, inner: &str, why: String) {
        if self.skipped.len() <= crate::Report::MAX_INCOMPLETE {
            self.skipped.push((inner.to_owned(), why));
        }
    }

    fn bytes(&mut self, count: u64) {
        self.bytes = self.bytes.saturating_add(count);
    }
}

/// How far the input itself was read.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    /// Why reading it stopped; has not been said to the sink.
    pub(crate) error: Option<io::Error>,
}

/// The name of a member with the input around it: `outer.zip!/inner/path`.
pub(crate) fn place(outer: &str, inner: &str) -> String {
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}!/{inner}") }
}

/// Whether there is nothing inside: the bytes are searched as they are.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    kind(bytes.get(..HEAD).unwrap_or(bytes)).is_none() && !zip::may_follow(bytes)
}

/// Scans an input and all that is inside it.
pub(crate) fn scan(
    input: Input<'_>,
    searcher: &Searcher<'_>,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Outcome {
    let meter = Meter::new(limits);
    let mut job = Job { searcher, limits, meter: &meter, sink };
    match input {
        Input::Bytes(bytes) if is_plain(bytes) => {
            job.text(&Place::default(), bytes, &Hits::default());
            return Outcome { bytes: bytes.len() as u64, error: None };
        }
        Input::Bytes(bytes) => job.random(&mut Cursor::new(bytes)),
        Input::File(file) => job.random(file),
        Input::Reader(reader) => {
            job.content(&Place::default(), &mut meter::Root::new(reader, &meter), Level::default())
        }
    }
    meter.outcome()
}

/// Readers that can go back.
trait Random: Read + Seek {}
impl<R: Read + Seek> Random for R {}

/// Where in the input something is.
#[derive(Clone, Debug, Default)]
struct Place {
    path: String,
    /// The digest, for something that may be a layer of a container image: what it holds is named after that.
    layer: Option<String>,
}

/// Longer names of members are cut.
const MAX_NAME: usize = 4096;

impl Place {
    fn member(&self, name: &[u8]) -> Self {
        let shown = String::from_utf8_lossy(name.get(..MAX_NAME).unwrap_or(name));
        let mark = if name.len() > MAX_NAME { "…" } else { "" };
        let path = match (&self.layer, self.path.is_empty()) {
            (Some(layer), _) => format!("{layer}/{shown}{mark}"),
            (None, true) => format!("{shown}{mark}"),
            (None, false) => format!("{}!/{shown}{mark}", self.path),
        };
        Self { path, layer: None }
    }

    fn part(&self, name: &str) -> Self {
        self.member(name.as_bytes())
    }
}

/// How deep something is nested.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    archives: u32,
    layers: u32,
}

/// One input being unpacked.
struct Job<'j, 's> {
    searcher: &'j Searcher<'s>,
    limits: &'j Limits,
    meter: &'j Meter<'j>,
    sink: &'j mut dyn Sink,
}

impl Job<'_, '_> {
    /// The input itself, when it can be read in any order.
    fn random(&mut self, source: &mut dyn Random) {
        let place = Place::default();
        let mut source = meter::Root::new(source, self.meter);
        let mut head = Vec::new();
        // An error comes again when the whole is read.
        let _error = (&mut source).take(HEAD as u64).read_to_end(&mut head).err();
        let found = kind(&head);
        let zipped = found == Some(Container::Zip)
            || (found.is_none() && zip::may_follow(&head) && zip::ends(&mut source));
        match source.seek(SeekFrom::Start(0)) {
            Err(_pipe) => self.content(&place, &mut Cursor::new(head).chain(source), Level::default()),
            // Plain content goes the straight way.
            Ok(_) if found.is_none() && !zipped => self.raw(&place, &mut source),
            Ok(_) if zipped => zip::random(self, &place, &mut source, Level { archives: 1, layers: 0 }),
            Ok(_) => self.content(&place, &mut source, Level::default()),
        }
    }

    /// Anything, told by its first bytes.
    fn content(&mut self, place: &Place, reader: &mut dyn Read, level: Level) {
        let mut reader = Lookahead::new(reader);
        let Some(container) = kind(reader.peek(HEAD)) else { return self.raw(place, &mut reader) };
        let inside = Level { archives: level.archives + 1, ..level };
        let deeper = Level { layers: level.layers + 1, ..level };
        match container {
            Container::Unread(what) => {
                self.sink.skipped(
                    &place.path,
                    format!("{what} is not unpacked; its bytes were searched as they are"),
                );
                self.raw(place, &mut reader);
            }
            Container::Wide(order) => self.raw(place, &mut wide::Reader::new(&mut reader, order)),
            Container::Notebook => notebook::scan(self, place, &mut reader),
            Container::Pdf => pdf::scan(self, place, &mut reader),
            Container::Compressed(form) if level.layers < self.limits.depth.saturating_mul(2) => {
                match compressed::open(form, &mut reader) {
                    Ok(mut unpacked) => {
                        self.content(place, &mut Metered::new(&mut unpacked, self.meter), deeper)
                    }
                    Err(error) => self.trouble(place, &error),
                }
            }
            Container::Tar if level.archives < self.limits.depth => {
                tar::scan(self, place, &mut reader, inside)
            }
            Container::Ar if level.archives < self.limits.depth => ar::scan(self, place, &mut reader, inside),
            Container::Zip if level.archives < self.limits.depth => {
                self.buffered_zip(place, &mut reader, inside)
            }
            Container::Compressed(_) | Container::Tar | Container::Ar | Container::Zip => {
                let why = match self.limits.depth {
                    0 => "was not unpacked, as was asked for; its bytes were searched as they are".to_owned(),
                    depth => format!("is nested more than {depth} archives deep and was not unpacked"),
                };
                self.sink.skipped(&place.path, why);
                self.raw(place, &mut reader);
            }
        }
    }

    /// A zip in a stream: in any order if it fits into memory, else in the order of its members.
    fn buffered_zip(&mut self, place: &Place, reader: &mut Lookahead<'_>, level: Level) {
        self.with_buffer(place, reader, |job, bytes, rest| match rest {
            None => zip::random(job, place, &mut Cursor::new(bytes), level),
            Some(rest) => zip::stream(job, place, &mut Lookahead::new(&mut bytes.chain(rest)), level),
        });
    }

    /// Reads as much as the budget bears; `then` gets the rest of the stream if that was not all.
    fn with_buffer(
        &mut self,
        place: &Place,
        reader: &mut Lookahead<'_>,
        then: impl FnOnce(&mut Self, &[u8], Option<&mut dyn Read>),
    ) {
        let budget = self.meter.memory.get();
        let mut bytes = Vec::new();
        if let Err(error) = (&mut *reader).take(budget as u64).read_to_end(&mut bytes) {
            self.trouble(place, &error);
        }
        let whole = bytes.len() < budget;
        self.meter.memory.set(budget.saturating_sub(bytes.len()));
        then(self, &bytes, if whole { None } else { Some(reader) });
        self.meter.memory.set(budget);
    }

    /// Bytes as they are.
    fn raw(&mut self, place: &Place, reader: &mut dyn Read) {
        let sink = &mut *self.sink;
        let outcome = self.searcher.reader(reader, &mut |bytes| sink.bytes(bytes));
        if !outcome.hits.is_empty() {
            self.sink.hits(&place.path, outcome.hits);
        }
        if let Some(error) = outcome.error {
            self.trouble(place, &error);
        }
    }

    /// Bytes in memory, without the secrets that were found already.
    fn text(&mut self, place: &Place, text: &[u8], known: &Hits) {
        self.sink.bytes(text.len() as u64);
        let mut hits = self.searcher.slice(text);
        hits.forget(known);
        if !hits.is_empty() {
            self.sink.hits(&place.path, hits);
        }
    }

    /// One member of an archive; false when there have been too many.
    fn count_member(&mut self) -> bool {
        self.meter.count_member().map_err(|error| self.trouble(&Place::default(), &error)).is_ok()
    }

    fn skip(&mut self, place: &Place, why: impl Into<String>) {
        self.sink.skipped(&place.path, why.into());
    }

    /// Says an error where it was met; a limit is said once.
    fn trouble(&mut self, place: &Place, error: &io::Error) {
        if self.meter.is_news(place.path.is_empty()) {
            self.sink.skipped(&place.path, format!("the rest was not scanned: {error}"));
        }
    }
}
