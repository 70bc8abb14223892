//! vsync's `audit.csv` and the log of the bucket that its bundles are in: reads of a bundle that nobody wrote a row for.
//!
//! The client writes its row after the read, by its own clock, and the only address in it is one of its LAN: the two are joined by the
//! version of the bundle and by time. A pull asks for `audit.csv` (HEAD, GET, PUT) about a second after the bundle; whoever
//! fetches the bundle with another program does not. A row that is not there has innocent causes, which are said with it: a key
//! that may not write `audit.csv` is the commonest, as vsync says nothing when it is refused.
//!
//! Reads are those that the hunt found: of the credential, and of any caller where the version is looked for. Names of bundles:
//! `PREFIXv=VERSION`, and `PREFIXversions/VERSION.enc` of later clients. Read in `docs/architecture/storage-layout.md` and
//! `docs/architecture/audit-protocol.md` of <https://github.com/muthuishere/vsync> at commit `37b3ba2`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::audit::{Log, Row, Version};
use crate::format::Format;
use crate::object::Coverage;
use crate::record::{Access, Outcome, Role};

/// How far the clock of a client may be off.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// How soon after the bundle a client asks for `audit.csv`. The access log has whole seconds.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// Requests for one bundle by one caller that come closer than this are one read, in parts or tried again.
const TOGETHER: SignedDuration = SignedDuration::from_secs(10);

/// Clients of S3's that anybody may have. The library of vsync's for Python reads through `boto`, too.
const CLIENTS: [&str; 6] = ["aws-cli", "boto", "rclone", "s3cmd", "s5cmd", "curl"];

/// Reads that are told one by one.
const TOLD: usize = 10;

/// Why a read may be without its row.
const NO_ROW: &str = "a key that may not write audit.csv is refused with 403, and vsync says nothing then, by design; `--no-audit` or \
    `audit=off` was given; three others were faster in writing audit.csv; or the network failed. vsync's libraries for programs, of \
    which Python's reads through boto, never write a row";

/// What the two say together. Worked out again when shards are put together.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Compared {
    /// How often a bundle was read.
    pub reads: u64,
    /// Reads that have no row: first those by a client that anybody may have and that asked for no `audit.csv`, then by time.
    pub alone: Vec<Read>,
    /// Requests for bundles without a time.
    pub undated: u64,
    /// Different rows of all logs, when the last of them was written, rows that were not kept, and lines that are no row.
    pub rows: u64,
    /// See above.
    pub last_row: Option<Timestamp>,
    /// See above.
    pub more: u64,
    /// See above.
    pub unread: u64,
}

/// A read of a bundle: one request, or several that belong together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Read {
    /// When it began.
    pub from: Timestamp,
    /// When the last of its requests was made.
    pub to: Timestamp,
    /// How many requests it is.
    pub requests: u64,
    /// SHA-256 of the first one's record, by which it is found among the accesses.
    pub record: String,
    /// The bundle.
    pub resource: String,
    /// Its version.
    pub version: String,
    /// Who, as the log of the bucket says.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// With what.
    pub agent: Option<String>,
    /// Whether that is a client that anybody may have.
    pub client: bool,
    /// Whether the caller asked for `audit.csv` right after it; `None` if only the version was looked for, so that this cannot be told.
    pub followed: Option<bool>,
    /// Whether the caller could write `audit.csv`, by the try that is nearest; `None` if there is none.
    pub could_write: Option<bool>,
    /// Whether it is later than all rows.
    pub late: bool,
}

/// Compares the two, if both were given.
pub(crate) fn compare(accesses: &[Access], logs: &[Log], coverage: &Coverage) -> Option<Compared> {
    let is_given = [Format::S3, Format::Cloudtrail].iter().any(|it| coverage.formats.contains_key(it));
    if logs.is_empty() || !is_given {
        return None;
    }
    let mut all: BTreeSet<&str> = BTreeSet::new();
    let rows = logs.iter().flat_map(|log| &log.audit.rows).filter(|row| all.insert(&row.hash));
    let mut rows = Rows::new(rows);
    let sum = |what: fn(&Log) -> u64| logs.iter().map(what).fold(0, u64::saturating_add);
    let mut compared = Compared {
        last_row: rows.last,
        more: sum(|log| log.audit.more),
        unread: sum(|log| log.audit.unread),
        ..Compared::default()
    };
    let (mut reads, undated) = reads(accesses);
    (compared.undated, compared.rows) = (undated, all.len() as u64);
    let audits = Audits::new(accesses);
    for read in &mut reads {
        audits.tell(read);
        read.late = rows.last.is_none_or(|last| read.from.duration_since(last) > SKEW);
    }
    compared.reads = reads.len() as u64;
    reads.sort_by(|a, b| (a.from, &a.record, &a.resource).cmp(&(b.from, &b.record, &b.resource)));
    // A row stands for one read, of a client that did as vsync's does, if there is one.
    let (bare, others): (Vec<Read>, Vec<Read>) = reads.into_iter().partition(Read::is_bare);
    compared.alone = rows.without(others);
    compared.alone.extend(rows.without(bare));
    compared.alone.sort_by(|a, b| (!a.is_bare(), a.from, &a.record).cmp(&(!b.is_bare(), b.from, &b.record)));
    Some(compared)
}

impl Read {
    /// Whether a client that anybody may have fetched the bundle and nothing else.
    fn is_bare(&self) -> bool {
        self.client && self.followed != Some(true)
    }

    fn sentence(&self) -> String {
        let times = if self.requests > 1 { format!(" ({} requests)", self.requests) } else { String::new() };
        let followed = match self.followed {
            Some(true) => "audit.csv was asked for after it",
            Some(false) => "audit.csv was not asked for after it",
            None => "whether audit.csv was asked for after it was not looked for",
        };
        format!(
            "  {}{times} {} by {} from {} with {}: {followed}",
            self.from,
            self.resource,
            self.actor,
            self.address.as_deref().unwrap_or("(no address)"),
            self.agent.as_deref().unwrap_or("(no agent)")
        )
    }
}

/// Rows by version and time, each of which stands for one read.
struct Rows {
    versions: BTreeMap<String, Vec<Timestamp>>,
    /// Of rotations: these read the version before the one that they name.
    rotations: Vec<Timestamp>,
    last: Option<Timestamp>,
}

impl Rows {
    fn new<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut all = Self { versions: BTreeMap::new(), rotations: Vec::new(), last: None };
        for row in rows {
            let Some(at) = row.at else { continue };
            all.last = all.last.max(Some(at));
            if row.rotates {
                all.rotations.push(at);
            } else if let Some(version) = &row.version {
                all.versions.entry(version.as_str().to_owned()).or_default().push(at);
            }
        }
        all.rotations.sort_unstable();
        all.versions.values_mut().for_each(|times| times.sort_unstable());
        all
    }

    /// Those of these reads, in the order of time, that no row is left for. Rows are used up.
    fn without(&mut self, reads: Vec<Read>) -> Vec<Read> {
        let mut versions: BTreeMap<String, Vec<Read>> = BTreeMap::new();
        for read in reads {
            versions.entry(read.version.clone()).or_default().push(read);
        }
        let mut alone = Vec::new();
        for (version, reads) in versions {
            match self.versions.get_mut(&version) {
                Some(times) => alone.extend(take(times, reads)),
                None => alone.extend(reads),
            }
        }
        alone.sort_by(|a, b| (a.from, &a.record, &a.resource).cmp(&(b.from, &b.record, &b.resource)));
        take(&mut self.rotations, alone)
    }
}

/// Gives each read the earliest time that is near it and not taken; both come in the order of time. As all of them reach equally far, no
/// other way gives a time to more reads.
fn take(times: &mut Vec<Timestamp>, reads: Vec<Read>) -> Vec<Read> {
    let mut left = Vec::new();
    let mut alone = Vec::new();
    let mut waiting = std::mem::take(times).into_iter().peekable();
    for read in reads {
        while let Some(early) = waiting.next_if(|at| read.from.duration_since(*at) > SKEW) {
            left.push(early);
        }
        if waiting.next_if(|at| at.duration_since(read.from) <= SKEW).is_none() {
            alone.push(read);
        }
    }
    left.extend(waiting);
    *times = left;
    alone
}

/// Requests for `audit.csv`, by caller and by what its name begins with.
struct Audits<'a> {
    /// All of them.
    asked: BTreeMap<(&'a str, &'a str), BTreeSet<Timestamp>>,
    /// Tries to write it, and whether the caller was allowed to.
    wrote: BTreeMap<(&'a str, &'a str), BTreeMap<Timestamp, bool>>,
}

impl<'a> Audits<'a> {
    fn new(accesses: &'a [Access]) -> Self {
        let mut all = Self { asked: BTreeMap::new(), wrote: BTreeMap::new() };
        let named = accesses.iter().filter(|it| is_of_bucket(it) && it.role == Role::Used);
        for access in named {
            let prefix = access.resource.as_deref().and_then(|it| it.strip_suffix("audit.csv"));
            let Some((prefix, at)) = prefix.filter(|it| it.ends_with('/')).zip(access.time) else { continue };
            let key = (caller(access), prefix);
            all.asked.entry(key).or_default().insert(at);
            if ["REST.PUT.OBJECT", "s3:PutObject"].contains(&access.action.as_str()) {
                let allowed = match &access.outcome {
                    Outcome::Allowed => Some(true),
                    Outcome::Denied(_) => Some(false),
                    // 412: another one was faster, and the key had the right.
                    Outcome::Failed(why) => why.starts_with("PreconditionFailed").then_some(true),
                    Outcome::Unknown => None,
                };
                if let Some(allowed) = allowed {
                    all.wrote.entry(key).or_default().insert(at, allowed);
                }
            }
        }
        all
    }

    /// Says what the caller of a read did with `audit.csv`.
    fn tell(&self, read: &mut Read) {
        let Some((prefix, _)) = bundle(&read.resource) else { return };
        let key = (read.actor.as_str(), prefix);
        if read.followed.is_some() {
            let until = read.to.saturating_add(SOON).unwrap_or(Timestamp::MAX);
            let after = self.asked.get(&key).and_then(|times| times.range(read.from..=until).next());
            read.followed = Some(after.is_some());
        }
        let Some(tries) = self.wrote.get(&key) else { return };
        let (before, after) = (tries.range(..=read.from).next_back(), tries.range(read.from..).next());
        let nearest =
            before.into_iter().chain(after).min_by_key(|(at, _)| at.duration_since(read.from).abs());
        read.could_write = nearest.map(|(_, allowed)| *allowed);
    }
}

fn is_of_bucket(access: &Access) -> bool {
    [Format::S3, Format::Cloudtrail].contains(&access.format)
}

fn caller(access: &Access) -> &str {
    access.actor.as_deref().unwrap_or(&access.credential)
}

/// What the name of a bundle begins with, and its version. S3's access log has names as they stand in URLs.
fn bundle(resource: &str) -> Option<(&str, Version)> {
    let (folder, last) = resource.strip_prefix("s3://").and_then(|_| resource.rsplit_once('/'))?;
    let prefix = |length: usize| resource.get(..length);
    if let Some(version) = last.strip_suffix(".enc") {
        let before = folder.strip_suffix("versions").filter(|it| it.ends_with('/'))?;
        return prefix(before.len()).zip(version.parse().ok());
    }
    let version = ["v=", "v%3D", "v%3d", "v%253D", "v%253d"].iter().find_map(|it| last.strip_prefix(it))?;
    prefix(folder.len() + 1).zip(version.parse().ok())
}

/// Every read of a bundle that succeeded, and how many requests have no time.
fn reads(accesses: &[Access]) -> (Vec<Read>, u64) {
    const READS: [&str; 4] =
        ["REST.GET.OBJECT", "REST.COPY.OBJECT_GET", "WEBSITE.GET.OBJECT", "s3:GetObject"];
    let read = |it: &&Access| {
        is_of_bucket(it) && it.outcome == Outcome::Allowed && READS.contains(&it.action.as_str())
    };
    let mut found: Vec<(&Access, Version)> = accesses
        .iter()
        .filter(read)
        .filter_map(|it| Some((it, bundle(it.resource.as_deref()?)?.1)))
        .collect();
    // Found by several needles, or in both logs, a request is one.
    found.sort_by_key(|(it, _)| (it.role, it.format != Format::Cloudtrail, it.time, &it.object, it.place));
    let (mut places, mut requests) = (BTreeSet::new(), BTreeSet::new());
    found.retain(|(it, _)| {
        let is_new = it.request.as_ref().is_none_or(|id| requests.insert(id));
        places.insert((&it.object, it.place)) && is_new
    });
    found.sort_by_key(|(it, _)| (it.time, &it.object, it.place));
    let mut reads: Vec<Read> = Vec::new();
    // The read that a caller is in.
    let mut open: BTreeMap<[Option<&str>; 4], usize> = BTreeMap::new();
    let mut undated = 0;
    for (access, version) in found {
        let Some(at) = access.time else {
            undated += 1;
            continue;
        };
        let (address, agent) = (access.address.as_deref(), access.agent.as_deref());
        let key = [Some(caller(access)), address, agent, access.resource.as_deref()];
        if let Some(read) = open.get(&key).and_then(|place| reads.get_mut(*place))
            && at.duration_since(read.to) <= TOGETHER
        {
            (read.to, read.requests) = (at, read.requests + 1);
            continue;
        }
        open.insert(key, reads.len());
        let lower = agent.unwrap_or_default().to_ascii_lowercase();
        reads.push(Read {
            from: at,
            to: at,
            requests: 1,
            record: access.sha256.clone(),
            resource: access.resource.clone().unwrap_or_default(),
            version: version.as_str().to_owned(),
            actor: caller(access).to_owned(),
            address: access.address.clone(),
            agent: access.agent.clone(),
            client: CLIENTS.iter().any(|client| lower.contains(client)),
            followed: (access.role == Role::Used).then_some(false),
            could_write: None,
            late: false,
        });
    }
    (reads, undated)
}

impl Compared {
    fn count(&self, is: impl Fn(&Read) -> bool) -> usize {
        self.alone.iter().filter(|read| is(read)).count()
    }

    /// For people, a sentence a line.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut all = vec![format!(
            "Log of the bucket and vsync's audit.csv: bundles were read {} times, and audit.csv has {} rows; {} reads have no row of that \
             version within {} minutes",
            self.reads,
            self.rows,
            self.alone.len(),
            SKEW.as_mins()
        )];
        all.extend(self.alone.iter().take(TOLD).map(Read::sentence));
        if self.alone.len() > TOLD {
            all.push(format!("  … and {} more (all of them: --format json)", self.alone.len() - TOLD));
        }
        if !self.alone.is_empty() {
            all.push(format!("  That is evidence and no proof: {NO_ROW}"));
        }
        for (count, what) in [
            (
                self.count(Read::is_bare),
                "are by a client of S3's that anybody may have, without a request for audit.csv right after",
            ),
            (
                self.count(|it| it.could_write == Some(false)),
                "are by a caller whose try to write audit.csv was refused (403): that these have no row says nothing",
            ),
            (
                self.count(|it| it.could_write.is_none()),
                "are by a caller of whom no try to write audit.csv was found: find out whether that key could write it; if not, that \
                 there is no row says nothing",
            ),
            (
                self.count(|it| it.could_write == Some(true)),
                "are by a caller who could write audit.csv: a clock that is off by more, or a row that was taken out, are causes, too",
            ),
            (
                self.count(|it| it.late),
                "are later than every row that was given: the copy of audit.csv may be older than they are",
            ),
        ] {
            if count > 0 {
                all.push(format!("  {count} of them {what}"));
            }
        }
        all.extend(self.not_read());
        all
    }

    /// Why the two cannot be said to agree; `None` if they do. Where no row could be written, none is missing.
    pub(crate) fn unmet(&self) -> Option<String> {
        let count = self.count(|it| it.could_write != Some(false));
        let alone = (count > 0).then(|| format!("{count} reads of vsync's bundles have no row in audit.csv"));
        let all: Vec<String> = alone.into_iter().chain(self.not_read()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn not_read(&self) -> Vec<String> {
        let counts = [
            (self.undated, "requests for vsync's bundles have no time"),
            (self.more, "rows of audit.csv were not kept, as there are too many"),
            (self.unread, "lines of audit.csv are no rows"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_known_by_their_names() {
        for (name, prefix) in [
            ("s3://b/shop/prod/v=20260302-095500", "s3://b/shop/prod/"),
            ("s3://b/shop/prod/v%3D20260302-095500", "s3://b/shop/prod/"),
            ("s3://b/v%253d20260302-095500", "s3://b/"),
            ("s3://b/shop/prod/versions/20260302-095500.enc", "s3://b/shop/prod/"),
        ] {
            let (before, version) = bundle(name).unwrap();
            assert_eq!((before, version.as_str()), (prefix, "20260302-095500"), "{name}");
        }
        for other in [
            "",
            "s3://b",
            "/v=20260302-095500",
            "s3://b/v=20260302-09550",
            "s3://b/v=2026030209550\u{e9}",
            "s3://b/20260302-095500.enc",
            "s3://b/xversions/20260302-095500.enc",
            "s3://b/audit.csv",
        ] {
            assert!(bundle(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_row_stands_for_one_read_and_for_as_many_reads_as_there_are_rows() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let read = |second: i64| Read {
            from: at(second),
            to: at(second),
            requests: 1,
            record: String::new(),
            resource: String::new(),
            version: String::new(),
            actor: String::new(),
            address: None,
            agent: None,
            client: false,
            followed: None,
            could_write: None,
            late: false,
        };
        for (times, reads, alone, left) in [
            (vec![], vec![5], vec![5], vec![]),
            (vec![300], vec![0], vec![], vec![]),
            (vec![301], vec![0], vec![0], vec![301]),
            (vec![-300], vec![0], vec![], vec![]),
            (vec![0], vec![0, 1], vec![1], vec![]),
            (vec![-200, 200], vec![-400, 0], vec![], vec![]),
            (vec![-900, 10, 20, 900], vec![0, 1, 2], vec![2], vec![-900, 900]),
        ] {
            let mut times: Vec<Timestamp> = times.into_iter().map(at).collect();
            let found = take(&mut times, reads.into_iter().map(read).collect());
            assert_eq!(
                found.iter().map(|it| it.from).collect::<Vec<_>>(),
                alone.into_iter().map(at).collect::<Vec<_>>()
            );
            assert_eq!(times, left.into_iter().map(at).collect::<Vec<_>>());
        }
    }
}
