//! A zip in the order of its members: too large to hold, or cut off.

use std::io::Read as _;

use super::super::lookahead::{Lookahead, cut_off};
use super::super::{Job, Level, Place};
use super::data_of;
use super::record::{LOCAL, Local};

/// Reads members until the directory begins.
pub(crate) fn stream(job: &mut Job<'_, '_>, place: &Place, reader: &mut Lookahead<'_>, level: Level) {
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
    if reader.peek(4) == b"PK\x07\x08" {
        reader.skip(4)?;
    }
    loop {
        let header = reader.peek(Local::LENGTH).to_vec();
        let Some(variable) = Local::variable(&header) else {
            let directory = header.starts_with(b"PK\x01\x02") || header.starts_with(b"PK\x05\x06");
            if header.len() < 4 {
                reader.ended()?;
                return Err(cut_off());
            }
            if !directory {
                job.skip(
                    place,
                    "no member follows where one should; from there on its bytes were searched as they are",
                );
            }
            job.raw(place, reader);
            return Ok(());
        };
        reader.skip(Local::LENGTH as u64)?;
        let names = reader.peek(variable).to_vec();
        reader.skip(variable as u64)?;
        let Some(local) = Local::parse(&header, &names) else { return Err(cut_off()) };
        if !job.count_member() {
            return Ok(());
        }
        let member = place.member(&local.name);
        if local.size.is_some() {
            let mut data = (&mut *reader).take(local.compressed);
            data_of(job, &member, &local, &mut Lookahead::new(&mut data), level);
            std::io::copy(&mut data, &mut std::io::sink())?;
            if data.limit() > 0 {
                return Err(cut_off());
            }
        } else if local.method == 0 || local.is_encrypted() {
            job.skip(
                &member,
                "its header does not say how long it is; from there on bytes were searched as they are",
            );
            job.raw(&member, reader);
            return Ok(());
        } else {
            data_of(job, &member, &local, reader, level);
        }
        if local.flags & 8 != 0 {
            descriptor(reader)?;
        }
    }
}

/// Skips a data descriptor (APPNOTE 4.3.9): 12 to 24 bytes before the next record.
fn descriptor(reader: &mut Lookahead<'_>) -> std::io::Result<()> {
    let ahead = reader.peek(28);
    let records = [LOCAL, b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06"];
    let next = (12..=24)
        .find(|at| ahead.get(*at..).is_some_and(|rest| records.iter().any(|magic| rest.starts_with(magic))));
    reader.skip(next.unwrap_or(0) as u64)
}
