//! Mapping files: where the records of a log that no format knows say who did what, and when.
//!
//! TOML, a table `[[map]]` for each kind of object; `docs/reference/hunt-mapping.md` has all keys. What is not known, or cannot be,
//! is an error with its line: a mapping that is read wrongly would make a log say what it does not. Directives of times are
//! those of jiff: <https://docs.rs/jiff/latest/jiff/fmt/strtime/index.html>.

mod file;
mod moment;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use globset::GlobMatcher;
use sha2::{Digest as _, Sha256};

use self::moment::Form;
pub(crate) use self::reader::Reader;
use crate::format::Format;

/// A file of mappings.
#[derive(Debug)]
pub struct Mapping {
    maps: Vec<Arc<Map>>,
    sha256: String,
}

/// Why a mapping cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadMapping {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// How the records of some objects are read.
#[derive(Debug)]
pub(crate) struct Map {
    /// As it is written.
    objects: String,
    glob: GlobMatcher,
    kind: Kind,
    time: Option<(Place, Form)>,
    /// Where a credential stands that was shown; without any, the actor's name is one.
    credential: Vec<Place>,
    actor: Option<Place>,
    action: Option<Place>,
    resource: Option<Place>,
    address: Option<Place>,
    agent: Option<Place>,
    request: Option<Place>,
    account: Option<Place>,
    region: Option<Place>,
    outcome: Option<(Place, Words)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Comma-separated values with a header, or with this instead of the comma.
    Csv { delimiter: char },
    /// An object of JSON a line.
    Json,
}

/// Names of objects within objects, or one name of a column.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place(Vec<String>);

/// What an outcome is called.
#[derive(Debug)]
enum Words {
    /// Statuses of HTTP.
    Http,
    /// These words.
    Named(BTreeMap<String, Ending>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Allowed,
    Denied,
    Failed,
}

impl Mapping {
    /// Reads a file.
    ///
    /// # Errors
    /// What cannot be used, with its line.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadMapping> {
        let maps = file::parse(bytes)?.into_iter().map(Arc::new).collect();
        Ok(Self { maps, sha256: hex::encode(Sha256::digest(bytes)) })
    }

    /// SHA-256 of the file's bytes, in hex: who has a file with it can ask the same again.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Globs that no name fits: most likely they are misspelt, and objects would be read as what they are not.
    pub fn idle<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<&str> {
        let mut idle: Vec<&Arc<Map>> = self.maps.iter().collect();
        for name in names {
            if idle.is_empty() {
                break;
            }
            if let Some(map) = self.of(name) {
                idle.retain(|it| !Arc::ptr_eq(it, map));
            }
        }
        idle.into_iter().map(|map| map.objects.as_str()).collect()
    }

    /// The first mapping that an object's name fits.
    pub(crate) fn of(&self, name: &str) -> Option<&Arc<Map>> {
        self.maps.iter().find(|map| map.fits(name))
    }
}

impl Map {
    /// A glob without a slash is about the last part of a name.
    fn fits(&self, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or(name);
        self.glob.is_match(if self.objects.contains('/') { name } else { last })
    }

    /// What its objects are told as.
    pub(crate) fn format(&self) -> Format {
        match self.kind {
            Kind::Csv { .. } => Format::MappedCsv,
            Kind::Json => Format::MappedJson,
        }
    }

    /// Every place that it names.
    fn places(&self) -> impl Iterator<Item = &Place> {
        let Self { actor, action, resource, address, agent, request, account, region, .. } = self;
        let plain = [actor, action, resource, address, agent, request, account, region];
        let time = self.time.as_ref().map(|(place, _)| place);
        let outcome = self.outcome.as_ref().map(|(place, _)| place);
        plain.into_iter().flatten().chain(time).chain(outcome).chain(&self.credential)
    }
}
