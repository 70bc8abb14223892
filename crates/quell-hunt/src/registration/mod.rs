//! To whom addresses are registered: autonomous systems and countries, from data sets that people give.
//!
//! None is built in: such data is old after weeks, and each has a licence of its own. What a registry says of an address is who
//! answers for it. Where the machine stands, nobody knows from that: the words are "registered to", never "located in".

mod database;
mod ranges;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::detect::network;
use crate::record::Access;

/// What is known of an address.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Registration {
    /// The number of the autonomous system that announces it (RFC 4271, RFC 6793).
    pub asn: Option<u32>,
    /// The system's name.
    pub name: Option<String>,
    /// The country of registration, in the two letters of ISO 3166-1.
    pub country: Option<String>,
}

/// What is known of all addresses of a hunt, and from which data.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Registered {
    /// The data sets, in the order in which they are asked.
    pub sets: Vec<DataSet>,
    /// Addresses that are in one of them.
    pub addresses: BTreeMap<IpAddr, Registration>,
}

/// A file that was loaded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DataSet {
    /// As it calls itself: by the `package.json` beside it, or by the type of a `MaxMind` DB; or else the file's name.
    pub name: String,
    /// The version of that package.
    pub version: Option<String>,
    /// When a `MaxMind` DB was built.
    pub built: Option<Timestamp>,
    /// The file's name.
    pub file: String,
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// Ranges of addresses in it; unknown for a `MaxMind` DB.
    pub ranges: Option<usize>,
    /// Ranges that overlap others: the narrowest counts. With the lines of the first two.
    pub overlaps: Option<Overlaps>,
    /// Texts about its use that lie beside it.
    pub licences: Vec<Licence>,
}

/// Ranges of one file that overlap.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Overlaps {
    /// How many ranges begin before one that was before them ends.
    pub count: usize,
    /// The lines of the first two, from 1.
    pub lines: (u32, u32),
}

/// A text about the use of a data set, which has to stay with what was made with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Licence {
    /// The file's name.
    pub file: String,
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// What it says; `None` for one of more than 64 KiB, which the hash names.
    pub text: Option<String>,
}

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or folder cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// Of it.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("`{file}` cannot be used: {why}")]
    Content {
        /// Its name.
        file: String,
        /// What is wrong and where.
        why: String,
    },
}

/// Data sets that are loaded.
#[derive(Debug)]
pub struct Data(Vec<(DataSet, Body)>);

#[derive(Debug)]
enum Body {
    Database(database::Database),
    Ranges(ranges::Ranges),
}

/// A larger file is no data set about addresses.
const MAX_FILE: u64 = 1 << 30;

/// A longer text is not kept.
const MAX_LICENCE: usize = 64 << 10;

impl Data {
    /// Loads files, and of folders all files that end in `.csv` or `.mmdb`.
    ///
    /// CSV has no header: first and last address (in words or as a number) and a country, or a number of an autonomous system and
    /// its name, as in <https://github.com/sapics/ip-location-db>. `MaxMind` DB: <https://maxmind.github.io/MaxMind-DB/>.
    ///
    /// # Errors
    /// When one cannot be read, and for every line that is no range: data with holes would call addresses unknown that are not.
    pub fn load(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Vec::new();
        for path in paths {
            if std::fs::metadata(path).map_err(|source| unread(path, source))?.is_dir() {
                files.extend(within(path)?);
            } else {
                files.push(path.clone());
            }
        }
        let mut seen = BTreeSet::new();
        files.retain(|file| seen.insert(file.clone()));
        files.iter().map(|file| one(file)).collect::<Result<_, _>>().map(Self)
    }

    /// What is known of one address: of each kind what the first data set has that has any.
    ///
    /// # Errors
    /// When a `MaxMind` DB turns out to be damaged.
    pub fn of(&self, address: IpAddr) -> Result<Option<Registration>, Error> {
        let address = address.to_canonical();
        let mut all = Registration::default();
        for (set, body) in &self.0 {
            let found = match body {
                Body::Database(database) => {
                    database.find(address).map_err(|why| Error::Content { file: set.file.clone(), why })?
                }
                Body::Ranges(ranges) => ranges.find(address).cloned(),
            };
            let Some(found) = found else { continue };
            if all.asn.is_none() && found.asn.is_some() {
                (all.asn, all.name) = (found.asn, found.name);
            }
            all.country = all.country.or(found.country);
        }
        Ok((all != Registration::default()).then_some(all))
    }

    /// The same for all addresses in these records.
    ///
    /// # Errors
    /// See [`Self::of`].
    pub fn register(&self, accesses: &[Access]) -> Result<Registered, Error> {
        let texts: BTreeSet<&str> = accesses.iter().filter_map(|access| access.address.as_deref()).collect();
        let mut addresses = BTreeMap::new();
        for address in texts.into_iter().filter_map(network::address) {
            if let Some(found) = self.of(address)? {
                addresses.insert(address, found);
            }
        }
        Ok(Registered { sets: self.0.iter().map(|(set, _)| set.clone()).collect(), addresses })
    }
}

impl Registered {
    /// What is known of an address as a log has it; `None` for the name of a service, too.
    pub fn of(&self, text: &str) -> Option<&Registration> {
        self.addresses.get(&network::address(text)?)
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        match (self.asn, &self.country) {
            (Some(asn), Some(country)) if name.is_empty() => write!(f, "AS{asn}, {country}"),
            (Some(asn), Some(country)) => write!(f, "AS{asn} {name}, {country}"),
            (Some(asn), None) if name.is_empty() => write!(f, "AS{asn}"),
            (Some(asn), None) => write!(f, "AS{asn} {name}"),
            (None, Some(country)) => f.write_str(country),
            (None, None) => f.write_str("nobody known"),
        }
    }
}

fn unread(path: &Path, source: std::io::Error) -> Error {
    Error::Read { path: path.display().to_string(), source }
}

/// The data in a folder. Packages hold the same ranges twice, with addresses as words and as numbers: the words are enough.
fn within(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| unread(folder, source))? {
        let path = entry.map_err(|source| unread(folder, source))?.path();
        if path.extension().is_some_and(|it| it == "csv" || it == "mmdb") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let words: BTreeSet<String> = files.iter().map(|file| name(file)).collect();
    files.retain(|file| {
        let name = name(file);
        name.strip_suffix("-num.csv").is_none_or(|stem| !words.contains(&format!("{stem}.csv")))
    });
    if files.is_empty() {
        let why = "no file in it ends in `.csv` or `.mmdb`".to_owned();
        return Err(Error::Content { file: folder.display().to_string(), why });
    }
    Ok(files)
}

fn one(path: &Path) -> Result<(DataSet, Body), Error> {
    let file = name(path);
    let content = |why: String| Error::Content { file: file.clone(), why };
    let bytes = read(path)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let package = package(folder);
    let (named, version) = package.map_or((None, None), |it| (Some(it.name), it.version));
    let mut set = DataSet {
        name: named.unwrap_or_else(|| file.clone()),
        version,
        built: None,
        file: file.clone(),
        sha256,
        ranges: None,
        overlaps: None,
        licences: licences(folder)?,
    };
    let body = if database::is(&bytes) {
        let database = database::Database::open(bytes).map_err(content)?;
        set.built = database.built();
        if set.version.is_none() {
            database.name().clone_into(&mut set.name);
        }
        Body::Database(database)
    } else {
        let (ranges, overlaps) = ranges::Ranges::read(&bytes).map_err(content)?;
        (set.ranges, set.overlaps) = (Some(ranges.len()), overlaps);
        Body::Ranges(ranges)
    };
    Ok((set, body))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|source| unread(path, source))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|source| unread(path, source))?;
    if bytes.len() as u64 > MAX_FILE {
        let why = format!("it has more than {} MiB", MAX_FILE >> 20);
        return Err(Error::Content { file: name(path), why });
    }
    Ok(bytes)
}

/// What npm's packages say of themselves (<https://docs.npmjs.com/cli/configuring-npm/package-json>).
#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
}

/// It only names the data: one that cannot be read is none.
fn package(folder: &Path) -> Option<Package> {
    let path = folder.join("package.json");
    let size = std::fs::metadata(&path).ok()?.len();
    let text = (size <= MAX_LICENCE as u64).then(|| std::fs::read(&path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Texts about use, by their customary names.
fn licences(folder: &Path) -> Result<Vec<Licence>, Error> {
    let mut licences = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| unread(folder, source))? {
        let path = entry.map_err(|source| unread(folder, source))?.path();
        let file = name(&path);
        let upper = file.to_ascii_uppercase();
        let customary = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];
        if !customary.iter().any(|word| upper.contains(word)) || !path.is_file() {
            continue;
        }
        let bytes = read(&path)?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let text = (bytes.len() <= MAX_LICENCE).then(|| String::from_utf8_lossy(&bytes).into_owned());
        licences.push(Licence { file, sha256, text });
    }
    licences.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(licences)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
