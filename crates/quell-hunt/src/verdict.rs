//! The verdict: closed words, with every condition that is not met. Missing logs are never "clean".

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use quell_core::event::{Decision, Triage, Verdict};
use serde::{Deserialize, Serialize};

use crate::chain;
use crate::cross;
use crate::detect::{Anomaly, Baseline, Detection, Weight, network};
use crate::format::Format;
use crate::gap::Strength;
use crate::hunt::Hunt;
use crate::record::{Access, Outcome, Role};
use crate::signature::Signatures;

/// A margin for clocks that differ.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What people know and logs do not tell.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Knowledge {
    /// When the exposure began.
    pub exposed: Option<Timestamp>,
    /// When the credential was killed.
    pub revoked: Option<Timestamp>,
    /// Addresses of the owner's: exact, or with a prefix length.
    pub known: Vec<String>,
    /// Until when the logs must reach: the end of what was asked for, when the credential was killed, or now.
    pub until: Option<Timestamp>,
    /// Credentials of the incident that nothing was known of to look for.
    pub left_out: usize,
    /// Somebody says that every log that could tell of a use was given, with reads of data where they are logged apart.
    pub all_logs: bool,
    /// What people said of anomalies, and who said it.
    #[serde(default)]
    pub triaged: Vec<(Triage, String)>,
}

/// How an anomaly stands with people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing<'a> {
    /// Nobody looked at it.
    Open,
    /// Somebody did, and it is as it was then: what was said, and by whom.
    Said(&'a Triage, &'a str),
    /// Somebody called it benign, and it has other records now.
    Changed(&'a Triage, &'a str),
}

impl<'a> Standing<'a> {
    /// What was said in a word, and why; `None` if nothing was.
    pub fn words(self) -> Option<(&'static str, &'a str)> {
        match self {
            Self::Open => None,
            Self::Said(said, _) => Some((said.decision.word(), &said.reason)),
            Self::Changed(said, _) => Some(("look again", &said.reason)),
        }
    }
}

impl Knowledge {
    /// How an anomaly stands. What was confirmed stays so, whatever is added to it.
    pub fn standing(&self, anomaly: &Anomaly) -> Standing<'_> {
        let said = self.triaged.iter().rev().find(|(triage, _)| triage.anomaly == anomaly.id);
        match said {
            None => Standing::Open,
            Some((triage, by))
                if triage.decision == Decision::Benign && triage.content != anomaly.content =>
            {
                Standing::Changed(triage, by)
            }
            Some((triage, by)) => Standing::Said(triage, by),
        }
    }

    fn said(&self, anomaly: &Anomaly, decision: Decision) -> bool {
        matches!(self.standing(anomaly), Standing::Said(triage, _) if triage.decision == decision)
    }
}

/// A condition for "no evidence, logs complete".
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Condition {
    /// Whether it is met.
    pub met: bool,
    /// What is, or is not, the case.
    pub text: String,
}

/// The verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// In the closed vocabulary.
    pub verdict: Verdict,
    /// Why this one, in a sentence.
    pub because: String,
    /// All conditions for completeness.
    pub conditions: Vec<Condition>,
    /// Uses after the exposure began, from places that the owner did not claim.
    pub foreign: u64,
    /// Uses after the exposure began, from the owner's addresses.
    pub own: u64,
}

/// Judges what was found.
pub fn judge(hunt: &Hunt, detection: &Detection, knowledge: &Knowledge) -> Judgement {
    let conditions = conditions(hunt, knowledge);
    let owner = Owner::new(&knowledge.known);
    let complete = conditions.iter().all(|condition| condition.met);
    let since = knowledge.exposed.map(|at| at.saturating_sub(SKEW).unwrap_or(Timestamp::MIN));
    let exposed = |access: &&Access| access.time.zip(since).is_none_or(|(at, since)| at >= since);
    let uses: Vec<&Access> =
        hunt.accesses.iter().filter(|access| access.role == Role::Used).filter(exposed).collect();
    let (own, foreign): (Vec<&Access>, Vec<&Access>) = uses.iter().partition(|access| owner.owns(access));
    let served = foreign.iter().filter(|access| access.outcome == Outcome::Allowed).count();
    let said = |decision| detection.anomalies.iter().filter(move |it| knowledge.said(it, decision));
    let confirmed = said(Decision::Confirmed).count();
    let heavy = detection.anomalies.iter().filter(|anomaly| anomaly.weight >= Weight::Medium);
    let heavy = heavy.filter(|anomaly| !knowledge.said(anomaly, Decision::Benign)).count();
    let used: BTreeSet<&str> = uses.iter().map(|access| access.sha256.as_str()).collect();
    // A record that is also a use of another credential is told as that; what the owner did with it is no use of a stranger.
    let unclear = hunt.accesses.iter().filter(|access| access.role == Role::Mentioned).filter(exposed);
    let unclear =
        unclear.filter(|access| !used.contains(access.sha256.as_str()) && !owner.owns(access)).count();
    let rest = if complete { Verdict::NoEvidenceLogsComplete } else { Verdict::NoEvidenceLogsIncomplete };
    let (verdict, because) = if confirmed > 0 {
        (Verdict::Used, format!("{confirmed} findings in how it was used, confirmed by a person"))
    } else if served > 0 && !knowledge.known.is_empty() {
        (Verdict::Used, format!("{served} uses from addresses that are not the owner's succeeded"))
    } else if !foreign.is_empty() && !knowledge.known.is_empty() {
        let count = foreign.len();
        (
            Verdict::Likely,
            format!(
                "{count} attempts from addresses that are not the owner's; none is known to have succeeded"
            ),
        )
    } else if heavy > 0 {
        (
            Verdict::Likely,
            format!("{heavy} findings in how it was used, none of them confirmed by a person yet"),
        )
    } else if !foreign.is_empty() {
        let alike = match &detection.baseline {
            Baseline::Judged { .. } => "nothing unusual compared with before the exposure".to_owned(),
            Baseline::None { why } => why.clone(),
        };
        let count = foreign.len();
        (
            Verdict::CannotTell,
            format!("{count} uses, and nobody said whose addresses these are ({alike}): give --known"),
        )
    } else if unclear > 0 {
        (
            Verdict::CannotTell,
            format!("{unclear} records name it, and it cannot be told whether that was a use: look at them"),
        )
    } else if hunt.coverage.scanned == 0 && hunt.source.is_none() {
        (Verdict::CannotTell, "no log was searched".to_owned())
    } else if own.is_empty() {
        (rest, "no use in what was searched".to_owned())
    } else {
        (rest, format!("{} uses, all of them from the owner's addresses", own.len()))
    };
    Judgement { verdict, because, conditions, foreign: foreign.len() as u64, own: own.len() as u64 }
}

/// What must be so before "no evidence" means that there was none.
fn conditions(hunt: &Hunt, knowledge: &Knowledge) -> Vec<Condition> {
    let coverage = &hunt.coverage;
    let mut all = vec![searched(hunt)];
    let mut add = |met, text: String| all.push(Condition { met, text });
    add(
        coverage.unparsed == 0,
        match coverage.unparsed {
            0 => "every record that names it could be read".to_owned(),
            count => format!("{count} records that name it could not be read"),
        },
    );
    add(
        coverage.cut_off.is_empty(),
        match coverage.cut_off.first() {
            None => "no log ends in the middle of a line".to_owned(),
            Some(first) => {
                format!("{} logs end in the middle of a line, such as `{first}`", coverage.cut_off.len())
            }
        },
    );
    add(
        hunt.closed,
        if hunt.closed {
            format!("everything that it made was followed ({} credentials)", hunt.followed.len())
        } else {
            "not everything that it made was followed to its end".to_owned()
        },
    );
    add(
        reaches_back(hunt, knowledge),
        match (knowledge.exposed, hunt.span) {
            (None, _) => "it is not known when the exposure began".to_owned(),
            (Some(_), None) => "the logs do not tell what time they are of".to_owned(),
            (Some(exposed), Some((first, _))) => {
                format!("the logs begin at {first}, the exposure at {exposed}")
            }
        },
    );
    add(
        knowledge.left_out == 0,
        match knowledge.left_out {
            0 => "everything that leaked could be looked for".to_owned(),
            count => format!("{count} of the leaked credentials could not be looked for"),
        },
    );
    all.extend(undated(hunt));
    all.extend([unbroken(hunt), vouched(hunt, knowledge)]);
    all.extend(whole(hunt));
    let said = if knowledge.all_logs { "somebody says" } else { "nobody said" };
    let text =
        format!("{said} that all logs that could tell of a use were given, with data events (--all-logs)");
    all.push(Condition { met: knowledge.all_logs, text });
    all.extend([chain::signed(&hunt.chains), answered(hunt)].into_iter().flatten());
    all.push(cross::agree(hunt));
    all
}

/// Every object was searched to its end.
fn searched(hunt: &Hunt) -> Condition {
    let (coverage, not) = (&hunt.coverage, hunt.coverage.not_searched());
    if let Some(source) = &hunt.source {
        let text = format!("all {} rows that {} gave were read", source.rows, source.engine.word());
        return Condition { met: coverage.unparsed == 0, text };
    }
    let text = match coverage.problems.first() {
        None if hunt.stopped => "the hunt was stopped before its end".to_owned(),
        None => format!("all {} objects of the window were searched to their end", coverage.scanned),
        Some(first) => format!(
            "{not} of {} objects were not searched to their end, such as `{}` ({}: {})",
            coverage.objects - coverage.pruned,
            first.object,
            first.fate.word(),
            first.fate.why().unwrap_or_default()
        ),
    };
    Condition { met: not == 0 && !hunt.stopped, text }
}

/// All shards are there, and looked for the same. Says nothing of a hunt that never was in shards.
fn whole(hunt: &Hunt) -> Option<Condition> {
    if let Some(shard) = hunt.shard {
        let text =
            format!("this is shard {shard} of the objects: put all of them together (quell hunt merge)");
        return Some(Condition { met: false, text });
    }
    (!hunt.missing.is_empty()).then(|| Condition { met: false, text: hunt.missing.join("; ") })
}

/// A record without a time may be of any. Says nothing where each has one.
fn undated(hunt: &Hunt) -> Option<Condition> {
    let count = hunt.accesses.iter().filter(|access| access.time.is_none()).count();
    let text = format!(
        "{count} records that name it have no time, or none with a zone (--zone): they may lie outside of what is asked for"
    );
    (count > 0).then_some(Condition { met: false, text })
}

/// No gap was seen.
fn unbroken(hunt: &Hunt) -> Condition {
    let mut gaps = hunt.gaps.iter().filter(|gap| gap.strength > Strength::TooQuiet);
    let text = match (gaps.next(), hunt.gaps.len()) {
        (Some(gap), _) => format!(
            "{} gaps, such as {} to {} in {} ({})",
            1 + gaps.count(),
            gap.from,
            gap.to,
            gap.stream,
            gap.why
        ),
        (None, 0) => "no gap in the delivery of logs was seen".to_owned(),
        (None, quiet) => format!("{quiet} streams are too quiet to see gaps in them"),
    };
    Condition { met: hunt.gaps.is_empty(), text }
}

/// Requests have their answers, in logs that write both. Says nothing of other logs.
fn answered(hunt: &Hunt) -> Option<Condition> {
    let all = hunt.accesses.iter().filter(|access| access.format.answers_apart());
    let open: BTreeSet<(&str, u64)> = all
        .clone()
        .filter(|access| access.outcome == Outcome::Unknown)
        .map(|access| (access.object.as_str(), access.place))
        .collect();
    let text = match open.first() {
        None => "every request that names it has its answer in the log".to_owned(),
        Some((object, place)) => format!(
            "{} requests that name it have no answer in the logs, the first in `{object}` at byte {place}: lines are missing, the \
             answer came after the window or in a log that was not given, or the server stopped or still answers (as it does a watch)",
            open.len()
        ),
    };
    all.clone().next().map(|_| Condition { met: open.is_empty(), text })
}

/// Digests prove that nothing is missing: of CloudTrail alone, as no other log has anything of the kind.
fn vouched(hunt: &Hunt, knowledge: &Knowledge) -> Condition {
    let trails = [Format::Cloudtrail, Format::CloudtrailDigest];
    let only =
        !hunt.coverage.formats.is_empty() && hunt.coverage.formats.keys().all(|it| trails.contains(it));
    let covered = hunt.digests.zip(knowledge.exposed).zip(knowledge.until);
    let covered = covered.is_some_and(|(((from, to), exposed), until)| from <= exposed && to >= until);
    let text = match hunt.digests {
        _ if !only => "that no line is missing cannot be proven for logs other than CloudTrail's".to_owned(),
        None => {
            "that no object is missing is not proven: not every account and region has digests".to_owned()
        }
        Some((from, to)) => {
            format!("digests vouch for {from} to {to} ({})", signatures(hunt))
        }
    };
    Condition { met: only && covered, text }
}

/// Whether AWS made the digests, as far as that was checked.
fn signatures(hunt: &Hunt) -> String {
    let Some(Signatures { verified, of, unchecked, .. }) = &hunt.signatures else {
        return "their signatures were not checked: --digest-keys".to_owned();
    };
    let rest = match unchecked.first() {
        Some(first) => format!(", the others not, such as {first}"),
        None => String::new(),
    };
    format!("signatures verified: {verified} of {of}{rest}")
}

fn reaches_back(hunt: &Hunt, knowledge: &Knowledge) -> bool {
    knowledge.exposed.zip(hunt.span).is_some_and(|(exposed, (first, _))| first <= exposed)
}

/// What the owner calls its own.
#[derive(Debug)]
pub struct Owner<'a> {
    blocks: network::Known,
    texts: &'a [String],
}

impl<'a> Owner<'a> {
    /// From addresses, networks (`10.0.0.0/8`) and names of services as logs write them.
    pub fn new(texts: &'a [String]) -> Self {
        Self { blocks: network::Known::new(texts), texts }
    }

    /// Whether an access came from there.
    pub fn owns(&self, access: &Access) -> bool {
        access.address.as_deref().is_some_and(|text| match network::address(text) {
            Some(address) => self.blocks.contains(address),
            None => self.texts.iter().any(|one| one == text),
        })
    }

    /// Whether a text can be compared with addresses in logs.
    ///
    /// # Errors
    /// For what looks like an address or a network and is none: it would silently match nothing.
    pub fn check(text: &str) -> Result<(), String> {
        let numeric = text.contains(['/', ':']) || text.starts_with(|first: char| first.is_ascii_digit());
        if text.trim().is_empty() || (numeric && !network::is_block(text)) {
            return Err("an address or a network, such as 198.51.100.7 or 198.51.100.0/24".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Spot;

    #[test]
    fn the_owner_has_addresses_networks_and_names_of_services() {
        let texts =
            ["203.0.113.9", "10.0.0.0/8", "2001:db8::/32", "cloudtrail.amazonaws.com"].map(str::to_owned);
        let owner = Owner::new(&texts);
        let from = |address: &str| {
            let spot = Spot { object: "o", place: 1, bytes: b"", credential: "c" };
            Access { address: Some(address.to_owned()), ..spot.access(Format::Text, String::new()) }
        };
        for own in
            ["203.0.113.9", "10.255.1.2", "2001:db8:1::2", "::ffff:10.1.1.1", "cloudtrail.amazonaws.com"]
        {
            assert!(owner.owns(&from(own)), "{own}");
        }
        for foreign in ["203.0.113.90", "11.0.0.1", "2001:db9::1", "", "s3.amazonaws.com"] {
            assert!(!owner.owns(&from(foreign)), "{foreign}");
        }
        for good in ["10.0.0.0/8", "::1", "AWS Internal", "config.amazonaws.com"] {
            assert_eq!(Owner::check(good), Ok(()), "{good}");
        }
        for bad in ["10.0.0.0/33", "10.0.0", "1.2.3.4/x", "", "fe80::/200"] {
            assert!(Owner::check(bad).is_err(), "{bad}");
        }
    }
}
