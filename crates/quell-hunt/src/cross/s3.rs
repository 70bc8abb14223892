//! S3's server access log and CloudTrail's events of S3, joined by the id of the request.
//!
//! The access log has no key id, so most of its rows are found in a pass of their own, by the ids of the requests that CloudTrail
//! says the credential made. A request that both tell of is one use: CloudTrail's record stays among the accesses with the
//! number of bytes that S3 sent, and the row is kept here. Two second ids (`x-amz-id-2`) that differ are two requests.
//!
//! Both are written at best effort, or only for what was switched on:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html#LogDeliveryBestEffort>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/logging-with-S3.html>.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::format::Format;
use crate::needle::Needle;
use crate::object::Coverage;
use crate::record::{Access, Role};

/// Requests that rows are looked for by. A thousand needles cost half as much again as one, a hundred thousand several times.
const MAX_REQUESTS: usize = 100_000;

/// Why CloudTrail's record may be without its row.
const NO_ROW: &str = "access logs are delivered at best effort: some rows come hours late, some never";

/// Why a row may be without CloudTrail's record.
const NO_RECORD: &str = "data events are off, or leave this bucket or kind of call out; an object of the trail is missing or late; \
    or the row was found by its requester, and another key of the same user made the request";

/// What the two logs say together. Worked out again when shards are put together.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Compared {
    /// Rows of requests that CloudTrail tells of, too, by time. They count as no uses of their own.
    pub joined: Vec<Joined>,
    /// Requests that CloudTrail tells of and the access log does not, though it tells of others to the same bucket.
    pub trail_only: Vec<Single>,
    /// Such requests to buckets of which no row was found: whether their access log was given cannot be told.
    pub unlogged: BTreeMap<String, u64>,
    /// Rows that show the credential, of requests that CloudTrail does not tell of.
    pub log_only: Vec<Single>,
    /// Rows that were found by a request that another shard knows of; none in a whole hunt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loose: Vec<Access>,
    /// Rows with the id of a request and another second id.
    pub disputed: u64,
    /// Requests beyond those that rows were looked for by.
    pub left_out: u64,
    /// SHA-256 of the ids of the requests that rows were looked for by, in hex, as shards must have asked the same; `None` for none.
    pub asked: Option<String>,
    /// Whether shards did not look for each other's requests.
    pub partial: bool,
}

/// A row of S3's and the record of CloudTrail's that it belongs to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Joined {
    /// SHA-256 of CloudTrail's record, by which it is found among the accesses.
    pub record: String,
    /// Whether both name the same address, where both name one.
    pub same_address: bool,
    /// The row.
    pub row: Access,
}

/// A record in one log that has none in the other.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Single {
    /// SHA-256 of the record, by which it is found among the accesses.
    pub record: String,
    /// The request, when the log has its id.
    pub request: Option<String>,
    /// `when action resource`, for people.
    pub what: String,
}

/// The ids of the requests to S3 that the credential made, as CloudTrail has them.
pub fn requests(accesses: &[Access]) -> BTreeSet<String> {
    let ids = accesses.iter().filter(|it| is_record(it)).filter_map(|it| it.request.clone());
    // Another text would be found by chance. S3's ids have 16 characters.
    ids.filter(|id| Needle::id(id).is_ok()).collect()
}

/// As needles, and how many are too many.
pub(crate) fn needles(requests: &BTreeSet<String>) -> (Vec<Needle>, u64) {
    let needles = requests.iter().take(MAX_REQUESTS).filter_map(|id| Needle::id(id).ok()).collect();
    (needles, requests.len().saturating_sub(MAX_REQUESTS) as u64)
}

/// What names a set of requests.
pub(crate) fn name(requests: &BTreeSet<String>) -> Option<String> {
    let mut digest = Sha256::new();
    for id in requests {
        digest.update(id);
        digest.update("\n");
    }
    (!requests.is_empty()).then(|| hex::encode(digest.finalize()))
}

/// Whether both logs are there to be compared.
pub(crate) fn is_possible(coverage: &Coverage) -> bool {
    [Format::S3, Format::Cloudtrail].iter().all(|format| coverage.formats.contains_key(format))
}

/// Joins rows that were found by their requests, and those among the accesses, with CloudTrail's records. A row that belongs to
/// one is taken out of the accesses.
pub(crate) fn join(accesses: &mut Vec<Access>, found: Vec<Access>, both: bool) -> Compared {
    let mut compared = Compared::default();
    let mut trail: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let (mut rows, rest): (Vec<Access>, Vec<Access>) =
        std::mem::take(accesses).into_iter().partition(|it| it.format == Format::S3);
    *accesses = rest;
    for (at, access) in accesses.iter().enumerate().filter(|(_, it)| is_record(it)) {
        if let Some(request) = &access.request {
            trail.entry(request.clone()).or_default().push(at);
        }
    }
    let alone = rows.len();
    rows.extend(found);
    let mut buckets: BTreeSet<String> = rows.iter().filter_map(bucket).map(str::to_owned).collect();
    let mut seen: BTreeSet<(String, u64)> = BTreeSet::new();
    let mut answered: BTreeSet<usize> = BTreeSet::new();
    for (place, mut row) in rows.into_iter().enumerate() {
        let records = row.request.as_ref().and_then(|id| trail.get(id)).map(Vec::as_slice);
        let records = records.unwrap_or_default();
        let same = |at: &usize| accesses.get(*at).is_some_and(|record| is_same(record, &row));
        let matching: Vec<usize> = records.iter().copied().filter(same).collect();
        let Some(record) = matching.first().and_then(|at| accesses.get(*at)) else {
            compared.disputed += u64::from(!records.is_empty());
            if place < alone {
                accesses.push(row);
            } else {
                compared.loose.push(row);
            }
            continue;
        };
        let joined = Joined {
            record: record.sha256.clone(),
            same_address: record.address.is_none() || row.address.is_none() || record.address == row.address,
            row: {
                row.credential.clone_from(&record.credential);
                row.role = record.role;
                row
            },
        };
        for at in matching {
            if let Some(record) = accesses.get_mut(at) {
                record.bytes = record.bytes.or(joined.row.bytes);
            }
            answered.insert(at);
        }
        // Found by its requester and by its request, a row is still one.
        if seen.insert((joined.row.object.clone(), joined.row.place)) {
            compared.joined.push(joined);
        }
    }
    if both {
        buckets.retain(|bucket| !bucket.is_empty());
        compared.single(accesses, &answered, &buckets);
    }
    compared.loose.retain(|row| seen.insert((row.object.clone(), row.place)));
    let key = |row: &Access| (row.time.is_none(), row.time, row.object.clone(), row.place);
    compared.joined.sort_by_cached_key(|it| key(&it.row));
    compared.loose.sort_by_cached_key(key);
    compared
}

/// A record of CloudTrail's that a row of the access log may belong to.
fn is_record(access: &Access) -> bool {
    access.format == Format::Cloudtrail && access.role == Role::Used && access.action.starts_with("s3:")
}

fn is_same(record: &Access, row: &Access) -> bool {
    record.host_id.as_ref().zip(row.host_id.as_ref()).is_none_or(|(one, other)| one == other)
}

fn bucket(access: &Access) -> Option<&str> {
    access.resource.as_deref()?.strip_prefix("s3://")?.split('/').next()
}

impl Compared {
    /// What stands in one log only. A record that is a use of two credentials is one.
    fn single(&mut self, accesses: &[Access], answered: &BTreeSet<usize>, buckets: &BTreeSet<String>) {
        let mut told: BTreeSet<(&str, u64)> = BTreeSet::new();
        let alone = accesses.iter().enumerate().filter(|(at, _)| !answered.contains(at));
        for (_, access) in alone {
            let in_trail = is_record(access);
            let in_log = access.format == Format::S3 && access.role == Role::Used;
            if !(in_trail || in_log) || !told.insert((&access.object, access.place)) {
                continue;
            }
            let bucket = bucket(access);
            if in_log {
                self.log_only.push(Single::of(access));
            } else if bucket.is_some_and(|bucket| buckets.contains(bucket)) {
                self.trail_only.push(Single::of(access));
            } else {
                *self.unlogged.entry(bucket.unwrap_or("no bucket").to_owned()).or_default() += 1;
            }
        }
        for list in [&mut self.trail_only, &mut self.log_only] {
            list.sort_by(|a, b| (&a.what, &a.record).cmp(&(&b.what, &b.record)));
        }
    }

    /// For people, a sentence a line.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut all = Vec::new();
        let bytes: u64 = self.joined.iter().filter_map(|it| it.row.bytes).fold(0, u64::saturating_add);
        all.push(format!(
            "S3 access log and CloudTrail: {} rows belong to records of CloudTrail and count once with them; S3 sent {bytes} bytes \
             for these",
            self.joined.len()
        ));
        if let Some(first) = self.joined.iter().find(|it| !it.same_address) {
            let count = self.joined.iter().filter(|it| !it.same_address).count();
            all.push(format!(
                "{count} of these name another address in the access log, such as {}: a service or an endpoint may have stood \
                 between",
                first.row.address.as_deref().unwrap_or_default()
            ));
        }
        for (list, place, causes) in [
            (&self.trail_only, "in CloudTrail only", NO_ROW),
            (&self.log_only, "in the access log only", NO_RECORD),
        ] {
            if let Some(first) = list.first() {
                all.push(format!("{} requests stand {place}, such as {}", list.len(), first.what));
                all.push(format!("  That is evidence and no proof: {causes}"));
            }
        }
        if let Some((bucket, _)) = self.unlogged.first_key_value() {
            all.push(format!(
                "{} requests went to {} buckets of which no row was found, such as {bucket}: their access log may be off, or was \
                 not given",
                self.unlogged.values().sum::<u64>(),
                self.unlogged.len()
            ));
        }
        if self.disputed > 0 {
            all.push(format!(
                "{} rows have the id of a request of CloudTrail's and another x-amz-id-2: they were not joined",
                self.disputed
            ));
        }
        all.extend(self.not_asked());
        all
    }

    /// Why the two cannot be said to agree; `None` if they do.
    pub(crate) fn unmet(&self) -> Option<String> {
        let mut all = Vec::new();
        let single = [(&self.trail_only, "in CloudTrail"), (&self.log_only, "in S3's access log")];
        for (list, place) in single {
            if !list.is_empty() {
                all.push(format!("{} requests to S3 stand only {place}", list.len()));
            }
        }
        if self.disputed > 0 {
            all.push(format!("{} rows of S3's access log contradict CloudTrail", self.disputed));
        }
        all.extend(self.not_asked());
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn not_asked(&self) -> Option<String> {
        if self.partial {
            let what = "shards did not look for each other's requests in S3's access log: run them again with --follow";
            return Some(what.to_owned());
        }
        (self.left_out > 0).then(|| {
            format!(
                "rows of {} requests were not looked for, as there are more than {MAX_REQUESTS}",
                self.left_out
            )
        })
    }
}

impl Single {
    fn of(access: &Access) -> Self {
        let time = access.time.map_or_else(|| "(no time)".to_owned(), |time| time.to_string());
        let resource = access.resource.as_deref().unwrap_or_default();
        let what = format!("{time} {} {resource}", access.action);
        Self { record: access.sha256.clone(), request: access.request.clone(), what }
    }
}
