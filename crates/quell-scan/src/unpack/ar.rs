//! `ar` archives, and so Debian packages: `ar(5)` of the BSDs and GNU binutils' variant of long names.

use std::io::Read;

use super::lookahead::{Lookahead, cut_off};
use super::{Job, Level, Place};

const HEADER: usize = 60;
/// Longest table of names that is read.
const MAX_NAMES: u64 = 1 << 20;

pub(super) fn scan(job: &mut Job<'_, '_>, place: &Place, reader: &mut Lookahead<'_>, level: Level) {
    if let Err(error) = members(job, place, reader, level) {
        job.trouble(place, &error);
    }
}

fn members(
    job: &mut Job<'_, '_>,
    place: &Place,
    reader: &mut Lookahead<'_>,
    level: Level,
) -> std::io::Result<()> {
    reader.skip(8)?;
    let mut names = Vec::new();
    loop {
        let Some(header) = reader.peek(HEADER).first_chunk::<HEADER>().copied() else {
            let left = reader.peek(HEADER).len();
            reader.ended()?;
            // One byte may be left: members begin at even offsets.
            return if left <= 1 { Ok(()) } else { Err(cut_off()) };
        };
        let field = |from: usize, to: usize| header.get(from..to).unwrap_or_default().trim_ascii_end();
        let size = std::str::from_utf8(field(48, 58)).ok().and_then(|size| size.parse::<u64>().ok());
        let Some(size) = size.filter(|_| header.ends_with(b"`\n")) else {
            job.skip(
                place,
                "the header of a member is damaged; from there on its bytes were searched as they are",
            );
            job.raw(place, reader);
            return Ok(());
        };
        reader.skip(HEADER as u64)?;
        if !job.count_member() {
            return Ok(());
        }
        let mut data = (&mut *reader).take(size);
        let name = field(0, 16);
        if name == b"//" {
            (&mut data).take(MAX_NAMES).read_to_end(&mut names)?;
        } else {
            let name = long_name(name, &names, &mut data)?;
            job.content(&place.member(&name), &mut data, level);
        }
        std::io::copy(&mut data, &mut std::io::sink())?;
        if data.limit() > 0 {
            return Err(cut_off());
        }
        if size % 2 == 1 && !reader.peek(1).is_empty() {
            reader.skip(1)?;
        }
    }
}

/// `name/`, `/offset` into the table, or `#1/length` with the name before the data.
fn long_name(name: &[u8], names: &[u8], data: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let digits = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
    if let Some(length) = name.strip_prefix(b"#1/").and_then(digits) {
        let mut own = Vec::new();
        data.take(length as u64).take(MAX_NAMES).read_to_end(&mut own)?;
        return Ok(own.split(|byte| *byte == 0).next().unwrap_or_default().to_vec());
    }
    if let Some(offset) = name.strip_prefix(b"/").and_then(digits) {
        let rest = names.get(offset..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'/' || *byte == b'\n').unwrap_or(rest.len());
        return Ok(rest.get(..end).unwrap_or_default().to_vec());
    }
    Ok(name.strip_suffix(b"/").unwrap_or(name).to_vec())
}
