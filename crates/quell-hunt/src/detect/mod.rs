//! What is unlike the owner in the uses of a credential.
//!
//! Each detector is a file: what it looks at, from which number on it speaks, and whose idea it was. They see the uses of one
//! credential since the exposure; what it did before is the [`Baseline`]. A detector that compares with it says nothing while
//! it is too small: on a credential without a history everything is new. What the credential did as a habit, or from an
//! address of its owner's own, weighs one step less, and the title says so.
//!
//! A record without a time is in no burst and no order, but it still counts where one record is enough.

mod acts;
mod address;
mod agent;
mod baseline;
mod call;
mod climb;
mod denied;
mod derived;
mod enumeration;
mod evasion;
mod export;
mod fold;
mod hours;
mod instance;
pub(crate) mod network;
mod networks;
mod pagination;
mod persistence;
#[cfg(test)]
mod planted;
mod quarantine;
mod rare;
mod revocation;
mod root;
mod run;
mod sweep;
mod tool;
mod trail;
mod validation;
mod window;
mod wording;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::record::Access;
use crate::registration::Registered;

/// What is known beside the log.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// When the exposure began; uses before it are the baseline.
    pub exposed: Option<Timestamp>,
    /// When the credential was killed.
    pub revoked: Option<Timestamp>,
    /// Addresses (exact or CIDR text such as 10.0.0.0/8) that the owner says are its own. Other texts are no address and
    /// match nothing.
    pub known: &'a [String],
    /// To whom addresses are registered; `None` without data.
    pub registered: Option<&'a Registered>,
}

/// How much an anomaly says by itself.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Worth knowing, not suspicious.
    Info,
    /// Has many innocent causes.
    Low,
    /// Has few innocent causes.
    Medium,
    /// Somebody has to look at it now.
    High,
}

/// Something in the log that a person should look at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Anomaly {
    /// By which a person speaks of it: the same as long as detector, credential and first record are.
    pub id: String,
    /// Of all its records: another one when there are more of them, or others.
    pub content: String,
    /// Who says so: a stable id, such as `key-validation`.
    pub detector: &'static str,
    /// How much it says.
    pub weight: Weight,
    /// What happened, in one sentence. Names in it are from the log: show it escaped.
    pub title: String,
    /// The credential that was used.
    pub credential: String,
    /// The first of its records that has a time.
    pub from: Option<Timestamp>,
    /// The last of its records that has a time.
    pub to: Option<Timestamp>,
    /// Its records: places in the slice, sorted.
    pub records: Vec<usize>,
    /// From where, without names of services, sorted.
    pub addresses: Vec<String>,
    /// Weaker detectors that spoke about some of the same records in the same ten minutes.
    pub folded: Vec<&'static str>,
}

/// What the credential did before the exposure.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// Enough to compare with.
    Judged {
        /// Uses before the exposure.
        uses: usize,
        /// Days (UTC) with a use.
        days: u32,
    },
    /// Novelty cannot be judged.
    None {
        /// For people.
        why: String,
    },
}

/// All that the detectors found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Detection {
    /// By time, then the stronger first.
    pub anomalies: Vec<Anomaly>,
    /// Of all credentials together: judged if it is for one of them, with the uses of those and the fewest days of any. See
    /// [`baselines`] for each.
    pub baseline: Baseline,
}

/// Looks at all uses in a log, which is sorted by time.
pub fn detect(accesses: &[Access], context: &Context<'_>) -> Detection {
    let trails = trail::trails(accesses, context);
    let found = trails.iter().flat_map(|trail| run::run(trail, accesses)).collect();
    let mut anomalies = fold::fold(found, accesses);
    anomalies.sort_by(|a, b| {
        let key = |it: &Anomaly| (it.from.is_none(), it.from, std::cmp::Reverse(it.weight));
        key(a).cmp(&key(b)).then_with(|| {
            (a.detector, &a.credential, &a.records).cmp(&(b.detector, &b.credential, &b.records))
        })
    });
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for anomaly in &mut anomalies {
        name(anomaly, accesses);
        let count = taken.entry(anomaly.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            anomaly.id = format!("{}-{count}", anomaly.id);
        }
    }
    Detection { anomalies, baseline: baseline::together(&trails, context) }
}

/// Names it by what it is about.
fn name(anomaly: &mut Anomaly, accesses: &[Access]) {
    let records = anomaly.records.iter().filter_map(|at| accesses.get(*at)).map(|it| it.sha256.as_str());
    let parts: Vec<&str> = [anomaly.detector, &anomaly.credential].into_iter().chain(records).collect();
    let hash = |parts: &[&str]| hex::encode(Sha256::digest(parts.join("\n")));
    let first = hash(parts.get(..3).unwrap_or(&parts));
    (anomaly.id, anomaly.content) = (first.chars().take(8).collect(), hash(&parts));
}

/// The baseline of each credential that was used. One that was made by another is rarely old enough to have one.
pub fn baselines(accesses: &[Access], context: &Context<'_>) -> Vec<(String, Baseline)> {
    let trails = trail::trails(accesses, context);
    let used = trails.iter().filter(|trail| trail.is_used());
    used.map(|trail| (trail.credential.to_owned(), baseline::of(trail, context))).collect()
}

impl Weight {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// One step less.
    pub(crate) fn lower(self) -> Self {
        match self {
            Self::High => Self::Medium,
            Self::Medium => Self::Low,
            Self::Low | Self::Info => Self::Info,
        }
    }
}

#[cfg(test)]
mod tests;
