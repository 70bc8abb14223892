//! Logs whose lines are chained by hashes: `TradePulse`'s records. All of their lines are looked at, not only those with a hit.
//!
//! A line of its store has the SHA-256 of its record, and that of the chain up to it: a line that was changed, taken out or put in
//! shows. What does not show: lines cut off at the end, and a file of which everything from some line on was computed anew, as the
//! chain has no key. A record's own signature (HMAC-SHA256) has one; it does not say where the record stood.
//!
//! The chain goes on in the next file, so what each log gave is kept as [`Log`] and joined when all of them are known: at the end of
//! a hunt, and again when shards are put together.
//!
//! Notes on its seed runbook say that records are not chained, so that nothing shows what was deleted. That is so of a record, and not of a
//! line of the store.
//!
//! Read in `src/audit/stores.py` of <https://github.com/neuron7x/TradePulse> at commit `0a51e93`.

mod canonical;
mod check;
mod join;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};

use self::check::{Link, Signature};
use crate::gap::Gap;
use crate::verdict::Condition;

/// Runs that are kept of one log: a log with more breaks proves no more by them.
const MAX_RUNS: usize = 500;

/// What one log gave.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Log {
    /// Its name.
    pub object: String,
    /// What its lines say of each other.
    pub chain: Chain,
}

/// What the lines of a log say of each other.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Chain {
    /// Stretches in which each record follows from the one before, in the order of the lines.
    pub runs: Vec<Run>,
    /// Runs that are not kept.
    pub more: u64,
    /// Records that are not what their hash says.
    pub altered: Marks,
    /// Records that are signed with none of the keys.
    pub unsigned: Marks,
    /// Records that are signed with one of the keys.
    pub signed: u64,
    /// Records whose signature cannot be checked, as a value was taken out of them.
    pub redacted: u64,
    /// Records that nobody gave a key for.
    pub unchecked: u64,
    /// Lines that are no record.
    pub unread: u64,
}

/// Records that follow from each other.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Run {
    /// The number of the first.
    pub from: u64,
    /// The number of the last.
    pub to: u64,
    /// The byte at which the first one's line begins.
    pub place: u64,
    /// The first one's own hash, in hex.
    pub record: String,
    /// The hash of the chain up to the first, in hex.
    pub head: String,
    /// The hash of the chain up to the last, in hex.
    pub tail: String,
    /// When the first was written.
    pub first: Timestamp,
    /// When the last was written.
    pub last: Timestamp,
}

/// Records of one kind: how many, and between which.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Marks {
    /// How many.
    pub count: u64,
    /// The byte at which the first one's line begins.
    pub place: u64,
    /// The earliest and the latest of their times.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// The keys that records are signed with.
pub(crate) fn keys(values: &[SecretValue]) -> Vec<hmac::Key> {
    values.iter().map(|value| hmac::Key::new(hmac::HMAC_SHA256, value.expose())).collect()
}

impl Chain {
    /// Looks at the lines of a piece of a log that begins at `offset` with a whole line.
    pub(crate) fn look(&mut self, (text, offset): (&[u8], u64), keys: &[hmac::Key]) {
        let mut at = offset;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let bytes = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| at == 0).unwrap_or(line).trim_ascii();
            if !bytes.is_empty() {
                self.line(bytes, at, keys);
            }
            at += line.len() as u64;
        }
    }

    fn line(&mut self, bytes: &[u8], place: u64, keys: &[hmac::Key]) {
        let Some(checked) = check::line(bytes, keys) else {
            self.unread += 1;
            return;
        };
        match checked.signature {
            Signature::Fits => self.signed += 1,
            Signature::Other => self.unsigned.add(place, checked.at),
            Signature::Redacted => self.redacted += 1,
            Signature::Unchecked => self.unchecked += 1,
        }
        if !checked.is_whole {
            self.altered.add(place, checked.at);
        }
        if let Some(link) = checked.link {
            self.link(link, place, checked.at);
        }
    }

    fn link(&mut self, Link { sequence, record, chain }: Link, place: u64, at: Timestamp) {
        if let Some(run) = self.runs.last_mut()
            && run.to.checked_add(1) == Some(sequence)
            && check::next(&run.tail, &record) == chain
        {
            (run.to, run.tail, run.last) = (sequence, chain, at);
            return;
        }
        if self.runs.len() == MAX_RUNS {
            // The last one stays the last: the next log goes on from there.
            self.runs.pop();
            self.more += 1;
        }
        let (from, to, head, tail) = (sequence, sequence, chain.clone(), chain);
        self.runs.push(Run { from, to, place, record, head, tail, first: at, last: at });
    }

    fn records(&self) -> u64 {
        self.signed + self.unsigned.count + self.redacted + self.unchecked
    }
}

impl Marks {
    fn add(&mut self, place: u64, at: Timestamp) {
        if self.count == 0 {
            self.place = place;
        }
        self.count += 1;
        self.span = Some(self.span.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
    }
}

/// Where records are missing, were changed, or are signed by somebody else.
pub(crate) fn gaps(logs: &[Log]) -> Vec<Gap> {
    join::gaps(logs)
}

/// Whether every record was signed with a key that was given. Says nothing where there are no such logs.
pub(crate) fn signed(logs: &[Log]) -> Option<Condition> {
    let sum = |what: fn(&Chain) -> u64| logs.iter().map(|log| what(&log.chain)).fold(0, u64::saturating_add);
    let (all, fit) = (sum(Chain::records), sum(|it| it.signed));
    let (unread, unchecked) = (sum(|it| it.unread), sum(|it| it.unchecked));
    if logs.is_empty() {
        return None;
    }
    let mut text = match unchecked {
        0 => format!("{fit} of {all} records of TradePulse are signed with a key that was given"),
        _ if unchecked == all => {
            format!("signatures of {all} records of TradePulse not checked: no key (--record-key-file)")
        }
        _ => format!(
            "{fit} of {all} records of TradePulse are signed with a key that was given, {unchecked} were not checked: no key"
        ),
    };
    for (count, what) in [
        (sum(|it| it.unsigned.count), "are signed with none"),
        (sum(|it| it.redacted), "cannot be checked, as a value was taken out of them"),
        (unread, "lines are no records"),
    ] {
        if count > 0 {
            // Writing to a string cannot fail.
            write!(text, "; {count} {what}").unwrap_or_default();
        }
    }
    Some(Condition { met: fit == all && unread == 0, text })
}
