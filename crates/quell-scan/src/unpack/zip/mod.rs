//! Zip and its kin: PKWARE's APPNOTE.TXT 6.3.10, <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>.
//!
//! A zip has two tables of contents: the directory at its end, and a header before each member. Programs differ in which
//! they believe, and people hide things in the difference. So both are read: the directory's members, then what lies
//! between them. Text before, between and after the members is searched as it is.

mod record;
mod stream;

use std::io::{Read, SeekFrom};

use super::lookahead::Lookahead;
use super::meter::Metered;
use super::{Job, Level, Place, Random, compressed, office};
use record::{Directory, LOCAL, Local};

pub(super) use record::{ends, may_follow};
pub(super) use stream::stream;

/// A stretch without members is only looked at from this length on: a data descriptor has up to 24 bytes.
const MIN_GAP: u64 = 25;
/// Members without an entry in the directory that are looked for in one zip.
const MAX_HIDDEN: usize = 10_000;

/// Reads a zip in the order of its directory.
pub(super) fn random(job: &mut Job<'_, '_>, place: &Place, source: &mut dyn Random, level: Level) {
    let directory = match Directory::read(source, job.meter.memory.get() as u64) {
        Ok(Some(directory)) => directory,
        Ok(None) => {
            job.skip(
                place,
                "it has no directory, so it may be cut off; its members were scanned in their order",
            );
            if source.seek(SeekFrom::Start(0)).is_ok() {
                stream(job, place, &mut Lookahead::new(&mut Plain(source)), level);
            }
            return;
        }
        Err(error) => return job.trouble(place, &error),
    };
    if let Some(why) = &directory.trouble {
        job.skip(place, why.clone());
    }
    let mut covered = vec![(directory.at, directory.end)];
    for entry in &directory.entries {
        if !job.count_member() {
            return;
        }
        let member = place.member(&entry.name);
        match Local::read(source, entry.header_at) {
            Ok(local) => {
                covered.push((entry.header_at, local.data_at.saturating_add(entry.compressed)));
                if local.name != entry.name {
                    let other = place.member(&local.name).path;
                    job.skip(
                        &member,
                        format!("its header calls it `{other}`; it was scanned under the first name"),
                    );
                }
                let agreed = local.agrees(entry);
                one(
                    job,
                    &member,
                    source,
                    &Local { flags: entry.flags | local.flags, ..entry.over(&local) },
                    level,
                );
                if !agreed {
                    job.skip(
                        &member,
                        "header and directory of the archive differ; both readings were scanned",
                    );
                    one(job, &member, source, &local, level);
                }
            }
            Err(error) => job.trouble(&member, &error),
        }
        if job.meter.is_stopped() {
            return;
        }
    }
    gaps(job, place, source, covered, level);
    // Names and comments.
    if source.seek(SeekFrom::Start(directory.at)).is_ok() {
        job.raw(place, &mut Plain(source));
    }
}

/// One member whose data lie at a known place.
fn one(job: &mut Job<'_, '_>, member: &Place, source: &mut dyn Random, local: &Local, level: Level) {
    if let Err(error) = source.seek(SeekFrom::Start(local.data_at)) {
        return job.trouble(member, &error);
    }
    let mut source = Plain(source);
    let mut data = (&mut source).take(local.compressed);
    let mut data = Lookahead::new(&mut data);
    data_of(job, member, local, &mut data, level);
}

/// Decompresses and scans a member; takes exactly its data from `data` when it tells where they end.
fn data_of(job: &mut Job<'_, '_>, member: &Place, local: &Local, data: &mut Lookahead<'_>, level: Level) {
    if local.is_encrypted() {
        return job.skip(member, "is encrypted and was not scanned");
    }
    let mut unpacked: Box<dyn Read + '_> = match local.method {
        0 => Box::new(data),
        8 => Box::new(flate2::bufread::DeflateDecoder::new(data)),
        12 => Box::new(bzip2::bufread::BzDecoder::new(data)),
        93 => match zstd::stream::read::Decoder::with_buffer(data) {
            Ok(decoder) => Box::new(decoder.single_frame()),
            Err(error) => return job.trouble(member, &error),
        },
        95 => match compressed::open(compressed::Form::Xz, data) {
            Ok(decoder) => decoder,
            Err(error) => return job.trouble(member, &error),
        },
        other => return job.skip(member, format!("its compression (method {other}) is not read")),
    };
    let mut counted = Counted { inner: &mut unpacked, count: 0 };
    let mut metered = Metered::new(&mut counted, job.meter);
    if office::is_text(&member.path) {
        office::scan(job, member, &mut metered);
    } else {
        job.content(member, &mut metered, level);
    }
    // A reader that stopped early leaves a rest: without it the next member would not be found.
    let rest = std::io::copy(&mut metered, &mut std::io::sink());
    let count = counted.count;
    if rest.is_ok() && !job.meter.is_stopped() && local.size.is_some_and(|size| count < size) {
        job.skip(member, format!("holds {count} bytes, fewer than it declares: it may be cut off"));
    }
}

struct Counted<'a> {
    inner: &'a mut dyn Read,
    count: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count = self.count.saturating_add(read as u64);
        Ok(read)
    }
}

/// Searches what no entry of the directory covers, and reads members that are hidden there.
fn gaps(
    job: &mut Job<'_, '_>,
    place: &Place,
    source: &mut dyn Random,
    mut covered: Vec<(u64, u64)>,
    level: Level,
) {
    covered.sort_unstable();
    let mut at = 0_u64;
    let mut hidden = 0_usize;
    for (start, end) in covered {
        if start.saturating_sub(at) >= MIN_GAP {
            if source.seek(SeekFrom::Start(at)).is_ok() {
                job.raw(place, &mut Plain(source).take(start - at));
            }
            while let Ok(Some(found)) = find(source, at, start) {
                hidden += 1;
                if hidden > MAX_HIDDEN || !job.count_member() {
                    job.skip(place, "it has more members outside of its directory than are looked at");
                    return;
                }
                at = found + LOCAL.len() as u64;
                if let Ok(local) = Local::read(source, found) {
                    let member = place.member(&local.name);
                    let end = local.data_at.saturating_add(local.compressed);
                    let known = Local {
                        compressed: if end > start || end == local.data_at {
                            start.saturating_sub(local.data_at)
                        } else {
                            local.compressed
                        },
                        ..local
                    };
                    one(job, &member, source, &known, level);
                    at = at.max(end.min(start));
                }
                if job.meter.is_stopped() {
                    return;
                }
            }
        }
        at = at.max(end);
    }
}

/// The next header of a member in a part of the source.
fn find(source: &mut dyn Random, from: u64, to: u64) -> std::io::Result<Option<u64>> {
    const CHUNK: usize = 64 << 10;
    source.seek(SeekFrom::Start(from))?;
    let mut source = Plain(source);
    let mut part = (&mut source).take(to.saturating_sub(from));
    let mut reader = Lookahead::new(&mut part);
    let mut at = from;
    loop {
        let chunk = reader.peek(CHUNK);
        if let Some(found) = memchr::memmem::find(chunk, LOCAL) {
            return Ok(Some(at + found as u64));
        }
        let step = chunk.len().saturating_sub(LOCAL.len() - 1) as u64;
        if chunk.len() < CHUNK {
            return Ok(None);
        }
        reader.skip(step)?;
        at += step;
    }
}

/// A source as a plain reader.
struct Plain<'a>(&'a mut dyn Random);

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}
