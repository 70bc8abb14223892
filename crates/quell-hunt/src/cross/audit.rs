//! The rows of vsync's `audit.csv`, all of them and not only those with a hit, and whether one version of it follows from another.
//!
//! Rows are only ever added at the end, so that each version of an `audit.csv` begins with all of the one before; with versioning on,
//! a bucket has them all. Nothing in the file says so: whoever may write it may write it anew, and only an earlier copy shows that. What
//! does not show: rows taken off the end, as the shorter copy may be the earlier one.
//!
//! What is kept of a row holds nothing that people wrote: its time, what was done and with which version of the bundle, and a hash.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::format::vsync;
use crate::gap::{Gap, Strength};

/// Rows that are kept of one log. Its makers do not expect it to reach a hundred thousand.
const MAX_ROWS: usize = 20_000;

/// One `audit.csv`, or a version of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Log {
    /// Its name.
    pub object: String,
    /// What its rows say.
    pub audit: Audit,
}

/// What the rows of a log say.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Audit {
    /// In the order of its lines.
    pub rows: Vec<Row>,
    /// Rows that are not kept.
    pub more: u64,
    /// Lines that are no row.
    pub unread: u64,
}

/// A row. It is kept as a text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct Row {
    /// When, by the clock of whoever did it.
    pub at: Option<Timestamp>,
    /// Whether it is of a rotation, which reads the version before the one that it names.
    pub rotates: bool,
    /// The version of the bundle.
    pub version: Option<Version>,
    /// The first half of the line's SHA-256, in hex.
    pub hash: String,
}

/// `version_ts`: when a bundle was made, to the second, as `20260302-095500`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(String);

/// Another text stands where one of ours should.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a row or version of vsync's")]
pub struct Other;

impl Version {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = Other;

    fn from_str(text: &str) -> Result<Self, Other> {
        let fits = text.len() == 15
            && text.bytes().enumerate().all(
                |(at, byte)| {
                    if at == 8 { byte == b'-' } else { byte.is_ascii_digit() }
                },
            );
        if fits { Ok(Self(text.to_owned())) } else { Err(Other) }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{at}")?,
            None => f.write_str("-")?,
        }
        let what = if self.rotates { "rotate" } else { "other" };
        write!(f, " {what} {} {}", self.version.as_ref().map_or("-", Version::as_str), self.hash)
    }
}

impl From<Row> for String {
    fn from(row: Row) -> Self {
        row.to_string()
    }
}

impl TryFrom<String> for Row {
    type Error = Other;

    fn try_from(text: String) -> Result<Self, Other> {
        let mut words = text.split(' ');
        let [Some(at), Some(what), Some(version), Some(hash), None] =
            [words.next(), words.next(), words.next(), words.next(), words.next()]
        else {
            return Err(Other);
        };
        let there = |text: &str| text != "-";
        Ok(Self {
            at: Some(at).filter(|at| there(at)).map(str::parse).transpose().map_err(|_error| Other)?,
            rotates: what == "rotate",
            version: Some(version).filter(|it| there(it)).map(str::parse).transpose()?,
            hash: hash.to_owned(),
        })
    }
}

impl Audit {
    /// Looks at the lines of a piece of a log, which begins with a whole line.
    pub(crate) fn look(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            if !line.is_empty() && !vsync::is(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)) {
                self.line(line);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let row = vsync::row(line);
        self.unread += u64::from(row.is_none());
        if self.rows.len() == MAX_ROWS {
            self.more += 1;
            return;
        }
        let mut hash = hex::encode(Sha256::digest(line));
        hash.truncate(32);
        let (at, rotates, version) = row.unwrap_or_default();
        self.rows.push(Row { at, rotates, version: version.and_then(|it| it.parse().ok()), hash });
    }

    fn span<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<(Timestamp, Timestamp)> {
        rows.filter_map(|row| row.at).fold(None, |span: Option<(Timestamp, Timestamp)>, at| {
            Some(span.map_or((at, at), |(from, to)| (from.min(at), to.max(at))))
        })
    }
}

/// Where a version does not begin with the one before it. Logs that share no row are of different environments.
pub(crate) fn gaps(logs: &[Log]) -> Vec<Gap> {
    let mut order: Vec<&Log> = logs.iter().collect();
    order.sort_by_key(|log| {
        let last = Audit::span(log.audit.rows.iter()).map(|(_, last)| last);
        (log.audit.rows.len() as u64 + log.audit.more, last, &log.object)
    });
    // In which log of the order each row was seen last.
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut gaps = Vec::new();
    for (place, log) in order.iter().enumerate() {
        let rows = &log.audit.rows;
        let before = rows.iter().filter_map(|row| seen.get(row.hash.as_str())).max();
        if let Some(before) = before.and_then(|before| order.get(*before)) {
            gaps.extend(follows(before, log));
        }
        for row in rows {
            seen.insert(&row.hash, place);
        }
    }
    gaps
}

/// What is wrong with a log that has rows of a shorter one.
fn follows(before: &Log, log: &Log) -> Option<Gap> {
    let (old, new) = (&before.audit.rows, &log.audit.rows);
    let common = old.iter().zip(new).take_while(|(one, other)| one.hash == other.hash).count();
    let end = Audit::span(old.iter().chain(new)).unwrap_or((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
    let gap = |strength, why| {
        let from = old.iter().take(common).rev().find_map(|row| row.at).unwrap_or(end.0);
        Some(Gap { stream: log.object.clone(), from: from.min(end.1), to: end.1, strength, why })
    };
    if common == old.len() {
        let cut = before.audit.more > 0;
        let why = || {
            format!(
                "it and `{}` have the same first {common} rows: whether the others are the same was not looked at",
                before.object
            )
        };
        return if cut { gap(Strength::Suggestive, why()) } else { None };
    }
    if is_part(old, new.iter()) || is_part(old, new.iter().rev()) {
        let why = format!(
            "`{}` has some of its rows and not the first ones: a part that was exported, or rows before them were written in later",
            before.object
        );
        return gap(Strength::Suggestive, why);
    }
    let (count, of) = (old.len() as u64 + before.audit.more, new.len() as u64 + log.audit.more);
    let why = format!(
        "it has {of} rows and `{}` has {count}; they have rows in common and differ from row {} on. Rows are only added at the end, so \
         one of them was rewritten",
        before.object,
        common + 1
    );
    gap(Strength::Altered, why)
}

/// Whether rows stand one behind the other among these.
fn is_part<'a>(part: &[Row], rows: impl Iterator<Item = &'a Row>) -> bool {
    let Some(first) = part.first() else { return true };
    let mut rows = rows.skip_while(|row| row.hash != first.hash);
    part.iter().all(|row| rows.next().is_some_and(|it| it.hash == row.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "ts,action,version_ts,hostname,local_ip,os_user,git_email,vsync_version,bun_version,meta";

    fn row(minute: usize) -> String {
        format!(
            "2026-03-02T10:{minute:02}:00.{minute:03}Z,pull,20260302-095500,h,192.168.1.2,ann,a@x.example,0.13.0,1.3.0,{{}}\n"
        )
    }

    fn log(object: &str, minutes: impl IntoIterator<Item = usize>) -> Log {
        let text: String = minutes.into_iter().map(row).collect();
        let mut audit = Audit::default();
        audit.look(format!("{HEADER}\n{text}").as_bytes());
        assert_eq!((audit.more, audit.unread), (0, 0));
        Log { object: object.to_owned(), audit }
    }

    #[test]
    fn a_row_is_kept_as_a_text_that_holds_nothing_that_people_wrote() {
        let mut audit = Audit::default();
        let hostile = "2026-03-02T10:00:00Z,rotate,\u{1b}[2Jsecret,secret,secret,secret,secret,1,1,secret\r\nno row\n\n";
        audit.look(format!("\u{feff}{HEADER},more\r\n{hostile}{}", row(1)).as_bytes());
        assert_eq!((audit.rows.len(), audit.unread), (3, 1));
        let text = serde_json::to_string(&audit).unwrap();
        assert!(!text.contains("secret") && text.contains("2026-03-02T10:00:00Z rotate - "), "{text}");
        assert_eq!(serde_json::from_str::<Audit>(&text).unwrap(), audit);
        for other in ["\"\"", "\"a b c\"", "\"- - x y\"", "\"x - - y\"", "\"- - - y z\"", "1"] {
            assert!(serde_json::from_str::<Row>(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_version_that_goes_on_from_the_one_before_has_no_gap() {
        let versions =
            [log("c", 0..9), log("a", 0..3), log("b", 0..5), log("again", 0..5), log("other", 20..40)];
        assert_eq!(gaps(&versions), []);
        assert_eq!(gaps(&[]), []);
        assert_eq!(gaps(&[log("empty", []), log("a", 0..3)]), []);
    }

    #[test]
    fn a_version_that_was_written_anew_is_proven() {
        let taken_out = log("new", (0..12).filter(|n| *n != 4));
        let found = gaps(&[log("old", 0..9), taken_out]);
        let [gap] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((gap.strength, gap.stream.as_str()), (Strength::Altered, "new"));
        assert!(gap.why.contains("differ from row 5 on"), "{}", gap.why);
        assert_eq!(gap.from, "2026-03-02T10:03:00.003Z".parse().unwrap());
        // Also when it is the shorter one, and when a row was put in.
        assert_eq!(gaps(&[log("old", 0..9), log("new", [0, 1, 2, 5, 6, 7, 8])]).len(), 1);
        assert_eq!(gaps(&[log("old", 0..5), log("new", [0, 1, 40, 2, 3, 4])])[0].strength, Strength::Altered);
    }

    #[test]
    fn an_export_of_some_rows_proves_nothing() {
        for part in [log("part", 5..9), log("turned", (2..9).rev())] {
            let found = gaps(&[log("whole", 0..9), part]);
            assert_eq!(found.iter().map(|gap| gap.strength).collect::<Vec<_>>(), [Strength::Suggestive]);
        }
    }

    #[test]
    fn rows_beyond_those_that_are_kept_are_counted() {
        let mut audit = Audit::default();
        audit.look("a\n".repeat(MAX_ROWS + 7).as_bytes());
        assert_eq!((audit.rows.len(), audit.more, audit.unread), (MAX_ROWS, 7, MAX_ROWS as u64 + 7));
        let logs = ["a", "b"].map(|object| Log { object: object.to_owned(), audit: audit.clone() });
        assert_eq!(gaps(&logs)[0].strength, Strength::Suggestive);
    }
}
