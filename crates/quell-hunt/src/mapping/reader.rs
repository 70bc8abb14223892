//! Records, read as a mapping says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{Ending, Kind, Map, Place, Words};
use crate::format::{self, Spot, csv, without_values};
use crate::needle::Needles;
use crate::record::{Access, Outcome, Role};

/// A mapping and, of CSV, the header of one object.
#[derive(Debug)]
pub(crate) struct Reader {
    map: Arc<Map>,
    /// Of CSV: where its header stands, and the columns, or why the mapping does not fit them.
    header: Option<(u64, Result<Vec<String>, String>)>,
}

impl Reader {
    /// With the beginning of an object, up to the end of a line; `None` when only blanks stand there.
    pub(crate) fn new(map: &Arc<Map>, text: &[u8], offset: u64) -> Option<Self> {
        let mut start = offset;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // A byte order mark alone is blank, too.
            let shown = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            if !shown.trim_ascii().is_empty() {
                let header = match map.kind {
                    Kind::Json => None,
                    Kind::Csv { delimiter } => Some((start, map.columns(line, delimiter))),
                };
                return Some(Self { map: Arc::clone(map), header });
            }
            start += line.len() as u64;
        }
        None
    }

    /// What a record says; `None` for the header.
    pub(crate) fn line(&self, spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
        if self.header.as_ref().is_some_and(|(place, _)| *place == spot.place) {
            return Ok(None);
        }
        let record = self.record(spot.bytes)?;
        let map = &*self.map;
        let told = |place: &Option<Place>| place.as_ref().map_or(Ok(None), |place| record.text(place));
        let action =
            told(&map.action)?.unwrap_or_else(|| "an action that the record does not name".to_owned());
        let mut access = spot.access(map.format(), action);
        access.time = map.time(&record)?;
        access.actor = told(&map.actor)?;
        let mut shown =
            map.credential.iter().map(|place| record.text(place)).collect::<Result<Vec<_>, _>>()?;
        if map.credential.is_empty() {
            shown.push(access.actor.clone());
        }
        if spot.is_in_any(shown.iter().map(Option::as_deref), needles) {
            access.role = Role::Used;
        }
        access.resource = told(&map.resource)?;
        access.address = told(&map.address)?.map(without_port);
        access.agent = told(&map.agent)?;
        access.request = told(&map.request)?;
        access.account = told(&map.account)?;
        access.region = told(&map.region)?;
        if let Some((place, words)) = &map.outcome {
            access.outcome = words.outcome(record.text(place)?);
        }
        Ok(Some(without_values(access, needles)))
    }

    /// When a record was written, as far as it says.
    pub(crate) fn time(&self, line: &[u8]) -> Option<Timestamp> {
        self.map.time(&self.record(line).ok()?).ok()?
    }

    fn record<'a>(&'a self, line: &'a [u8]) -> Result<Record<'a>, String> {
        let line = line.trim_ascii_end();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        match (self.map.kind, &self.header) {
            (Kind::Csv { delimiter }, Some((_, columns))) => {
                let columns = columns.as_deref().map_err(Clone::clone)?;
                // A column that is nobody's business may be in any encoding.
                let text = String::from_utf8_lossy(line).into_owned();
                let fields: Vec<String> =
                    csv::fields_by(&text, delimiter)?.into_iter().map(Cow::into_owned).collect();
                if fields.len() != columns.len() {
                    return Err(format!("it has {} fields, and the header {}", fields.len(), columns.len()));
                }
                Ok(Record::Csv { columns, fields })
            }
            (Kind::Csv { .. }, None) => Err("its object has no header".to_owned()),
            (Kind::Json, _) => format::parse(line).map(Record::Json),
        }
    }
}

impl Map {
    /// The names of columns. That all of the mapping's are there is asked once, so that a misspelt one is not taken for an empty one.
    fn columns(&self, line: &[u8], delimiter: char) -> Result<Vec<String>, String> {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        let columns =
            csv::fields_by(&text, delimiter).map_err(|why| format!("the header of its object: {why}"))?;
        for Place(names) in self.places() {
            let Some(name) = names.first() else { continue };
            match columns.iter().filter(|column| *column == name).count() {
                1 => {}
                0 => {
                    return Err(format!(
                        "the header of its object has no column `{name}`, which the mapping names"
                    ));
                }
                _ => return Err(format!("the header of its object has several columns `{name}`")),
            }
        }
        Ok(columns.into_iter().map(Cow::into_owned).collect())
    }

    /// A time that is mapped and not there is no time of nobody: it is an error.
    fn time(&self, record: &Record<'_>) -> Result<Option<Timestamp>, String> {
        let Some((place, form)) = &self.time else { return Ok(None) };
        let text = record.text(place)?.ok_or("it has no time where the mapping says")?;
        form.read(&text).map(Some)
    }
}

enum Record<'a> {
    Csv { columns: &'a [String], fields: Vec<String> },
    Json(&'a RawValue),
}

impl Record<'_> {
    /// What stands in a place; `None` for nothing. Numbers are told digit by digit, as they stand there.
    fn text(&self, Place(names): &Place) -> Result<Option<String>, String> {
        let text = match self {
            Self::Csv { columns, fields } => {
                let at = columns.iter().position(|column| Some(column) == names.first());
                at.and_then(|at| fields.get(at)).cloned()
            }
            Self::Json(value) => inner(value, names)?,
        };
        Ok(text.filter(|text| !text.is_empty()))
    }
}

fn inner(value: &RawValue, names: &[String]) -> Result<Option<String>, String> {
    let text = value.get();
    let Some((name, rest)) = names.split_first() else { return scalar(text) };
    if text.starts_with('{') {
        let object: BTreeMap<String, &RawValue> = format::parse(text.as_bytes())?;
        object.get(name).map_or(Ok(None), |value| inner(value, rest))
    } else if text.starts_with('[') {
        let list: Vec<&RawValue> = format::parse(text.as_bytes())?;
        let at = name.parse::<usize>().ok();
        at.and_then(|at| list.get(at)).map_or(Ok(None), |value| inner(value, rest))
    } else {
        Ok(None)
    }
}

fn scalar(text: &str) -> Result<Option<String>, String> {
    if text.starts_with('"') {
        return format::parse(text.as_bytes()).map(Some);
    }
    if text.starts_with(['{', '[']) {
        return Err("an object or a list stands where the mapping looks for a text".to_owned());
    }
    Ok((text != "null").then(|| text.to_owned()))
}

/// Of `192.0.2.1:443` and `[2001:db8::1]:443` the address, which others are compared with.
fn without_port(text: String) -> String {
    text.parse::<SocketAddr>().map_or(text, |socket| socket.ip().to_string())
}

impl Words {
    /// A word that is in no list says nothing.
    fn outcome(&self, word: Option<String>) -> Outcome {
        let Some(word) = word else { return Outcome::Unknown };
        match self {
            Self::Http => match word.parse() {
                Ok(status @ 100..=599) => format::http(status, None),
                _ => Outcome::Unknown,
            },
            Self::Named(words) => match words.get(&word) {
                Some(Ending::Allowed) => Outcome::Allowed,
                Some(Ending::Denied) => Outcome::Denied(word),
                Some(Ending::Failed) => Outcome::Failed(word),
                None => Outcome::Unknown,
            },
        }
    }
}
