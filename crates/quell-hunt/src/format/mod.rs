//! Log formats: what a file is, and what one record of it says.

pub mod azure;
pub mod cloudtrail;
pub mod combined;
pub(crate) mod csv;
pub mod gcp;
pub mod github;
mod json;
pub mod kubernetes;
pub mod mariadb;
pub mod postgres;
pub mod s3;
mod spot;
mod sql;
pub mod syslog;
#[cfg(test)]
mod tests;
pub mod tradepulse;
pub mod vault;
pub mod vsync;

use serde::{Deserialize, Serialize};

use crate::hint::Hints;
use crate::needle::Needles;
use crate::record::{Access, Outcome};

pub(crate) use json::parse;
use json::{has_name, has_text, value_after};
pub(crate) use spot::HIDDEN;
pub(crate) use spot::Spot;
pub(crate) use spot::without_values;

/// What kind of log an object is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Azure's and Entra's logs, a JSON object a line (see [`azure`]).
    Azure,
    /// AWS CloudTrail: an object with `Records`
    /// (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>).
    Cloudtrail,
    /// A digest of CloudTrail's log file integrity validation.
    CloudtrailDigest,
    /// NCSA combined, as nginx and Apache write it.
    Combined,
    /// Google Cloud's audit logs, an entry a line
    /// (<https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog>).
    Gcp,
    /// GitHub's audit log, a JSON object a line (see [`github`]).
    Github,
    /// A Kubernetes API server's audit log, a JSON object a line
    /// (<https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>).
    Kubernetes,
    /// Values with a header, read as a file says (see [`crate::mapping`]).
    MappedCsv,
    /// Lines of JSON, read as a file says.
    MappedJson,
    /// MariaDB's `server_audit`, a record a line (see [`mariadb`]).
    Mariadb,
    /// PostgreSQL's `csvlog`, a record a line
    /// (<https://www.postgresql.org/docs/current/runtime-config-logging.html>).
    PostgresCsv,
    /// PostgreSQL's `jsonlog`, a JSON object a line.
    PostgresJson,
    /// S3's server access log (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>).
    S3,
    /// Lines of syslog, with OpenSSH's (see [`syslog`]).
    Syslog,
    /// `TradePulse`'s signed records, a JSON object a line (see [`tradepulse`]).
    Tradepulse,
    /// Vault's and OpenBao's audit device, a JSON object a line
    /// (<https://openbao.org/docs/audit/>).
    Vault,
    /// vsync's `audit.csv` (see [`vsync`]).
    Vsync,
    /// Lines of JSON that no format above claims.
    JsonLines,
    /// Any other text.
    Text,
}

impl Format {
    /// Every format that an object tells by itself.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) const ALL: [Self; 17] = [
        Self::Azure,
        Self::Cloudtrail,
        Self::CloudtrailDigest,
        Self::Combined,
        Self::Gcp,
        Self::Github,
        Self::Kubernetes,
        Self::Mariadb,
        Self::PostgresCsv,
        Self::PostgresJson,
        Self::S3,
        Self::Syslog,
        Self::Tradepulse,
        Self::Vault,
        Self::Vsync,
        Self::JsonLines,
        Self::Text,
    ];

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Azure => "Azure and Entra",
            Self::Cloudtrail => "CloudTrail",
            Self::CloudtrailDigest => "CloudTrail digest",
            Self::Combined => "access log",
            Self::Gcp => "Google Cloud audit",
            Self::Github => "GitHub audit",
            Self::Kubernetes => "Kubernetes audit",
            Self::MappedCsv => "CSV, as mapped",
            Self::MappedJson => "JSON lines, as mapped",
            Self::Mariadb => "MariaDB audit",
            Self::PostgresCsv => "PostgreSQL csvlog",
            Self::PostgresJson => "PostgreSQL jsonlog",
            Self::S3 => "S3 access log",
            Self::Syslog => "syslog",
            Self::Tradepulse => "TradePulse records",
            Self::Vault => "Vault audit",
            Self::Vsync => "vsync audit",
            Self::JsonLines => "JSON lines",
            Self::Text => "text",
        }
    }

    /// Whether an object is one document instead of lines.
    pub(crate) fn is_document(self) -> bool {
        matches!(self, Self::Cloudtrail | Self::CloudtrailDigest)
    }

    /// Whether its lines are objects of JSON.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Self::Azure
            | Self::Gcp
            | Self::Github
            | Self::JsonLines
            | Self::Kubernetes
            | Self::MappedJson
            | Self::PostgresJson
            | Self::Tradepulse
            | Self::Vault => true,
            Self::Cloudtrail
            | Self::CloudtrailDigest
            | Self::Combined
            | Self::MappedCsv
            | Self::Mariadb
            | Self::PostgresCsv
            | Self::S3
            | Self::Syslog
            | Self::Vsync
            | Self::Text => false,
        }
    }

    /// Whether a request and its answer are records of their own, which [`vault::pair`] joins.
    pub(crate) fn answers_apart(self) -> bool {
        match self {
            Self::Kubernetes | Self::Vault => true,
            Self::Azure
            | Self::Cloudtrail
            | Self::CloudtrailDigest
            | Self::Combined
            | Self::Gcp
            | Self::Github
            | Self::MappedCsv
            | Self::MappedJson
            | Self::Mariadb
            | Self::PostgresCsv
            | Self::PostgresJson
            | Self::S3
            | Self::Syslog
            | Self::Tradepulse
            | Self::Vsync
            | Self::JsonLines
            | Self::Text => false,
        }
    }

    /// What an object is, by its first bytes; `None` for what is no text at all.
    pub fn detect(head: &[u8]) -> Option<Self> {
        let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        if memchr::memchr(0, start.get(..4096).unwrap_or(start)).is_some() {
            return None;
        }
        let line = start.get(..memchr::memchr(b'\n', start).unwrap_or(start.len())).unwrap_or_default();
        if start.first() == Some(&b'{') {
            return Some(if cloudtrail::is(start) {
                Self::Cloudtrail
            } else if cloudtrail::is_digest(start) {
                Self::CloudtrailDigest
            } else if kubernetes::is(line) {
                Self::Kubernetes
            } else if github::is(line) {
                Self::Github
            } else if gcp::is(line) {
                Self::Gcp
            } else if postgres::is_json(line) {
                Self::PostgresJson
            } else if azure::is(line) {
                Self::Azure
            } else if tradepulse::is(line) {
                Self::Tradepulse
            } else if vault::is(line) {
                Self::Vault
            } else {
                Self::JsonLines
            });
        }
        Some(if cloudtrail::is_list(start) {
            Self::Cloudtrail
        } else if vsync::is(line) {
            Self::Vsync
        } else if postgres::is_csv(line) {
            Self::PostgresCsv
        } else if mariadb::is(line) {
            Self::Mariadb
        } else if s3::is(line) {
            Self::S3
        } else if combined::is(line) {
            Self::Combined
        } else if syslog::is(line) {
            Self::Syslog
        } else {
            Self::Text
        })
    }
}

/// What a line of a log says; the error tells why nothing could be made of it.
///
/// `Ok(None)` is a record that is no evidence, such as Quell's own look-up.
pub(crate) fn line(
    format: Format,
    spot: Spot<'_>,
    needles: &Needles,
    hints: &Hints,
) -> Result<Option<Access>, String> {
    let access = match format {
        Format::Azure => azure::line(spot, needles),
        Format::Cloudtrail | Format::CloudtrailDigest => Err("a record outside of `Records`".to_owned()),
        Format::Combined => combined::line(spot),
        Format::Gcp => gcp::line(spot, needles),
        Format::Github => github::line(spot, needles),
        Format::Kubernetes => kubernetes::line(spot, needles),
        Format::MappedCsv | Format::MappedJson => Err("no mapping says how to read it".to_owned()),
        Format::Mariadb => mariadb::line(spot, hints.zone.as_ref()),
        Format::PostgresCsv => postgres::csv(spot),
        Format::PostgresJson => postgres::json(spot),
        Format::S3 => s3::line(spot, needles),
        Format::Syslog => syslog::line(spot),
        Format::Tradepulse => tradepulse::line(spot, needles),
        Format::Vault => vault::line(spot, needles),
        Format::Vsync => vsync::line(spot),
        Format::JsonLines | Format::Text => Ok(Some(text(format, spot))),
    };
    Ok(access?.map(|access| without_values(access, needles)))
}

/// How a request over HTTP ended, by its status.
pub(crate) fn http(status: u64, detail: Option<String>) -> Outcome {
    let detail = || detail.unwrap_or_else(|| status.to_string());
    match status {
        401 | 403 | 407 => Outcome::Denied(detail()),
        100..=399 => Outcome::Allowed,
        _ => Outcome::Failed(detail()),
    }
}

/// A record that holds the credential and that no parser understood: told all the same.
pub(crate) fn unparsed(format: Format, spot: Spot<'_>, why: &str) -> Access {
    let mut access = text(format, spot);
    access.action = format!("a record that could not be read ({why})");
    access
}

/// A piece of a log that is larger than this is cut at a line, though that may be within a record.
const MAX_RECORD: usize = 4 << 20;

/// Where the record around a place of a text begins and ends; `from` is the end of the one before.
pub(crate) fn bounds(format: Format, text: &[u8], from: usize, place: usize) -> (usize, usize) {
    if format == Format::PostgresCsv {
        return postgres::bounds(text, from, place);
    }
    let start =
        text.get(..place).and_then(|head| memchr::memrchr(b'\n', head)).map_or(0, |newline| newline + 1);
    let stop =
        text.get(place..).and_then(|rest| memchr::memchr(b'\n', rest)).map_or(text.len(), |to| place + to);
    (start, stop)
}

/// Up to where a piece of a log holds whole records: the rest is read again with what follows. Before `fresh` stands what was kept so
/// from the piece before.
pub(crate) fn complete(format: Format, text: &[u8], fresh: usize) -> usize {
    let line_from = |from: usize| {
        let newline = memchr::memrchr(b'\n', text.get(from..).unwrap_or_default());
        newline.map_or(0, |newline| from + newline + 1)
    };
    match format == Format::PostgresCsv {
        true if text.len() > MAX_RECORD => line_from(0),
        true => postgres::last_record(text).unwrap_or(0),
        // A line that was kept has no end yet: to look for one again in each piece of a very long line would take for ever.
        false => line_from(fresh),
    }
}

/// When a line was written, as far as it says.
pub(crate) fn time_of(format: Format, line: &[u8], hints: &Hints) -> Option<jiff::Timestamp> {
    if format == Format::Mariadb {
        mariadb::time(std::str::from_utf8(line).ok()?, hints.zone.as_ref())
    } else if matches!(format, Format::PostgresCsv | Format::PostgresJson) {
        postgres::time_of(line)
    } else if format == Format::Combined {
        combined::time(line)
    } else {
        time_in(line)
    }
}

/// A line that only says that the credential stands in it, and perhaps when.
fn text(format: Format, spot: Spot<'_>) -> Access {
    let mut access = spot.access(format, "named in a line".to_owned());
    access.time = time_in(spot.bytes);
    access
}

/// The first RFC 3339 time with a zone in a line, which is its own in every log that has one.
fn time_in(line: &[u8]) -> Option<jiff::Timestamp> {
    let line = std::str::from_utf8(line).ok()?;
    let starts = line.match_indices("20").map(|(at, _)| at);
    starts.take(16).find_map(|at| {
        let rest = line.get(at..)?;
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-:+.".contains(c))).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}
