//! Every proof, the failed ones too, and whether the answer changed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use quell_core::SecretId;
use quell_core::incident::Incident;
use quell_core::outcome::Probe;
use quell_core::plan::Proof;
use serde::Serialize;

use super::exposed::SecretStanding;
use super::sentence::answer;
use super::words::{Moment, milliseconds, text, utc};

/// The proofs of one secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SecretProofs {
    /// Which.
    pub secret: String,
    /// How it stands.
    pub standing: SecretStanding,
    /// The same in words.
    pub state: String,
    /// Each time the answer changed, in a sentence.
    pub changes: Vec<String>,
    /// Oldest first.
    pub proofs: Vec<ProofView>,
}

/// One proof.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ProofView {
    /// When its last round ended.
    pub at: Moment,
    /// The verdict.
    pub inert: bool,
    /// The door that was tried.
    pub target: String,
    /// How often each credential was tried.
    pub rounds: usize,
    /// The settling time between rounds.
    pub settle: String,
    /// What the control was.
    pub control_is: String,
    /// Its answers.
    pub control: String,
    /// Every compromised value.
    pub values: Vec<OldValueView>,
    /// Why it is not inert.
    pub unmet: Vec<String>,
}

/// What was seen of one compromised value.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct OldValueView {
    /// Keyed hash.
    pub fingerprint: String,
    /// Whose it was.
    pub principal: String,
    /// The issuer's answers, round by round.
    pub answers: String,
    /// Live sessions opened with it, counted last.
    pub sessions: u64,
}

pub(super) fn proofs(incident: &Incident) -> Vec<SecretProofs> {
    let mut seen = BTreeSet::new();
    let affected = incident.secrets.iter().map(|a| &a.secret);
    affected
        .chain(incident.proofs.keys())
        .filter(|secret| seen.insert(*secret))
        .map(|secret| of_secret(incident, secret))
        .collect()
}

fn of_secret(incident: &Incident, secret: &SecretId) -> SecretProofs {
    let standing = SecretStanding::of(incident, secret);
    let all = incident.proofs.get(secret).map(Vec::as_slice).unwrap_or_default();
    SecretProofs {
        secret: secret.to_string(),
        standing,
        state: standing.words().to_owned(),
        changes: changes(all),
        proofs: all.iter().map(|p| view(p, incident.declared)).collect(),
    }
}

fn changes(proofs: &[Proof]) -> Vec<String> {
    let next = proofs.iter().skip(1);
    proofs
        .iter()
        .zip(next)
        .filter(|(before, after)| before.inert != after.inert)
        .map(|(before, after)| {
            let (was, is) = (utc(before.at), utc(after.at));
            if after.inert {
                format!("not inert at {was}, proven inert at {is}")
            } else {
                format!("proven inert at {was}, but NOT at {is}")
            }
        })
        .collect()
}

fn view(proof: &Proof, origin: Timestamp) -> ProofView {
    let values: Vec<OldValueView> = proof
        .old
        .iter()
        .map(|old| OldValueView {
            fingerprint: old.fingerprint.to_string(),
            principal: text(&old.principal),
            answers: answers(&old.probes, "ACCEPTED"),
            sessions: old.sessions,
        })
        .collect();
    ProofView {
        at: Moment::new(proof.at, origin),
        inert: proof.inert,
        target: text(&proof.target),
        rounds: proof.old.iter().map(|o| o.probes.len()).min().unwrap_or(0),
        settle: milliseconds(proof.settle_ms),
        control_is: text(&proof.control_is),
        control: answers(&proof.control, "accepted"),
        values,
        unmet: proof.unmet.iter().map(|u| text(u)).collect(),
    }
}

/// The answers, with the word for an acceptance: a good thing from the control, an alarm from an old value.
fn answers(probes: &[Probe], accepted: &str) -> String {
    let said = probes.iter().map(|p| answer(p, accepted)).collect::<Vec<_>>().join(", ");
    if said.is_empty() { "not tried".to_owned() } else { text(&said) }
}
