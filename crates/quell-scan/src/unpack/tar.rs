//! Tar, as POSIX (ustar, pax), GNU and old Unix write it: <https://www.gnu.org/software/tar/manual/html_node/Standard.html>
//! and the `pax` page of POSIX.1-2017. Members are read as they come.

use std::io::Read as _;

use super::lookahead::{Lookahead, cut_off};
use super::{Job, Level, Place, image};
use crate::hit::Hits;

const BLOCK: usize = 512;
/// Longest extended header that is read; its names are shorter.
const MAX_EXTENDED: u64 = 1 << 20;

/// True when this begins with the header of a member.
pub(super) fn begins(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>()
        .is_some_and(|block| block.first() != Some(&0) && Header::parse(block).is_some())
}

/// Scans all members.
pub(super) fn scan(job: &mut Job<'_, '_>, place: &Place, reader: &mut Lookahead<'_>, level: Level) {
    let mut image = image::Watch::new(&mut *job.sink);
    let mut inside = Job { searcher: job.searcher, limits: job.limits, meter: job.meter, sink: &mut image };
    if let Err(error) = members(&mut inside, place, reader, level) {
        inside.trouble(place, &error);
    }
    image.finish();
}

fn members(
    job: &mut Job<'_, '_>,
    place: &Place,
    reader: &mut Lookahead<'_>,
    level: Level,
) -> std::io::Result<()> {
    let mut named = Named::default();
    let mut ended = false;
    loop {
        let Some(block) = reader.peek(BLOCK).first_chunk::<BLOCK>().copied() else {
            // What is left is shorter than a block; an error comes out here, too.
            let left = reader.peek(BLOCK).len();
            std::io::copy(reader, &mut std::io::sink())?;
            return if ended && left == 0 { Ok(()) } else { Err(cut_off()) };
        };
        if block == [0; BLOCK] {
            ended = true;
            reader.skip(BLOCK as u64)?;
            continue;
        }
        let Some(header) = Header::parse(&block) else {
            let why =
                if ended { "something follows the archive" } else { "the header of a member is damaged" };
            job.skip(place, format!("{why}; from there on its bytes were searched as they are"));
            job.raw(place, reader);
            return Ok(());
        };
        ended = false;
        reader.skip(BLOCK as u64)?;
        if let b'L' | b'x' | b'g' | b'K' = header.kind {
            named.extend(&header, reader)?;
            continue;
        }
        let names = std::mem::take(&mut named);
        let size = names.size.unwrap_or(header.size);
        let size = if header.has_data() { size } else { 0 };
        if header.kind == b'S' {
            sparse(&block, reader)?;
        }
        if !job.count_member() {
            return Ok(());
        }
        let member = member(place, &names.name.unwrap_or(header.name));
        if names.cut_off {
            job.skip(&member, "its name is longer than 1 MiB and was cut");
        }
        let mut data = (&mut *reader).take(size);
        if size > 0 {
            job.content(&member, &mut data, level);
        } else if member.path.contains("/.wh.") {
            // An image that this layer belongs to has to hear of it.
            job.sink.hits(&member.path, Hits::default());
        }
        // Nearly always nothing.
        std::io::copy(&mut data, &mut std::io::sink())?;
        if data.limit() > 0 {
            return Err(cut_off());
        }
        reader.skip(padding(size))?;
    }
}

fn member(place: &Place, name: &[u8]) -> Place {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let mut member = place.member(name);
    member.layer = image::layer(name).map(|digest| place.part(digest).path);
    member
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64).saturating_sub(size)
}

/// What headers before a member say about it.
#[derive(Default)]
struct Named {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    cut_off: bool,
}

impl Named {
    fn extend(&mut self, header: &Header, reader: &mut Lookahead<'_>) -> std::io::Result<()> {
        let mut data = Vec::new();
        let mut part = (&mut *reader).take(header.size);
        (&mut part).take(MAX_EXTENDED).read_to_end(&mut data)?;
        std::io::copy(&mut part, &mut std::io::sink())?;
        if part.limit() > 0 {
            return Err(cut_off());
        }
        reader.skip(padding(header.size))?;
        self.cut_off |= header.size > MAX_EXTENDED;
        match header.kind {
            b'L' => self.name = Some(until_nul(&data).to_vec()),
            b'x' => self.records(&data),
            _ => {}
        }
        Ok(())
    }

    /// `<length> <key>=<value>\n`, the length in decimal and counting itself.
    fn records(&mut self, mut data: &[u8]) {
        while let Some(space) = data.iter().position(|byte| *byte == b' ') {
            let length = data.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            let Some((record, rest)) = length.and_then(|length| data.split_at_checked(length)) else {
                return;
            };
            data = rest;
            let record = record.get(space + 1..).unwrap_or_default();
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            match key {
                b"path" | b"GNU.sparse.name" => self.name = Some(value.to_vec()),
                b"size" => self.size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
            if record.is_empty() {
                return;
            }
        }
    }
}

/// Skips the further blocks of an old GNU sparse map; the data are its parts without the holes.
fn sparse(header: &[u8; BLOCK], reader: &mut Lookahead<'_>) -> std::io::Result<()> {
    let mut more = header.get(482) == Some(&1);
    while more {
        more = reader.peek(BLOCK).get(504) == Some(&1);
        reader.skip(BLOCK as u64)?;
    }
    Ok(())
}

struct Header {
    name: Vec<u8>,
    size: u64,
    kind: u8,
}

impl Header {
    /// Reads a header whose checksum is right.
    fn parse(block: &[u8; BLOCK]) -> Option<Self> {
        let sum = number(block.get(148..156)?)?;
        let counted = |byte: (usize, &u8)| if (148..156).contains(&byte.0) { b' ' } else { *byte.1 };
        let unsigned: u64 = block.iter().enumerate().map(|byte| u64::from(counted(byte))).sum();
        // Some old programs added signed characters.
        let signed: i64 = block.iter().enumerate().map(|byte| i64::from(counted(byte).cast_signed())).sum();
        if sum != unsigned && i64::try_from(sum) != Ok(signed) {
            return None;
        }
        let mut name = until_nul(block.get(..100)?).to_vec();
        let prefix = until_nul(block.get(345..500)?);
        if block.get(257..263)? == b"ustar\0" && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        Some(Self { name, size: number(block.get(124..136)?)?, kind: *block.get(156)? })
    }

    /// Links, devices and folders have none, whatever the size says.
    fn has_data(&self) -> bool {
        !(b'1'..=b'6').contains(&self.kind)
    }
}

/// Octal digits, or GNU's binary form with the upper bit set.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        return rest
            .iter()
            .try_fold(0_u64, |value, byte| value.checked_mul(256).map(|value| value | u64::from(*byte)));
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
