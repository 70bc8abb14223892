//! When is a secret proven inert, and when is a consumer confirmed? Pure, so that the rule can be tested alone.

use serde::{Deserialize, Serialize};

use crate::outcome::Probe;
use crate::secret::Fingerprint;
use crate::{SecretId, Timestamp};

/// What was seen of one compromised value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OldProof {
    /// The value's name.
    pub fingerprint: Fingerprint,
    /// Whose it was.
    pub principal: String,
    /// One answer per round, the last one after the issuer's settling time.
    pub probes: Vec<Probe>,
    /// Live sessions that were opened with it, counted last.
    pub sessions: u64,
}

/// Recorded test that the old values are refused *and* a control value is accepted, with no live session left.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Proof {
    /// The secret.
    pub secret: SecretId,
    /// When the last round ended.
    pub at: Timestamp,
    /// The door that was tried: `postgres 127.0.0.1:5432/orders`.
    pub target: String,
    /// Every compromised value.
    pub old: Vec<OldProof>,
    /// What the control was: `successor` or `other principal`.
    pub control_is: String,
    /// The control's answers, one per round.
    pub control: Vec<Probe>,
    /// The settling time between rounds, in milliseconds.
    pub settle_ms: u64,
    /// The verdict.
    pub inert: bool,
    /// Why not, when it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
}

/// Rounds that a proof needs: one at once and one after the settling time.
const ROUNDS: usize = 2;

/// Fills in the verdict. Design rule 6: a refusal counts only beside a fresh acceptance of a control by the same
/// door, with the issuer's specific code; a network error is no proof; it is repeated after settling; live
/// sessions are counted.
pub fn judge(mut proof: Proof, refusals: &[String]) -> Proof {
    let mut unmet = Vec::new();
    if proof.old.is_empty() {
        unmet.push("the old value is not known, so it cannot be tried".to_owned());
    }
    for old in &proof.old {
        let name = format!("{} ({})", old.fingerprint, old.principal);
        if old.probes.len() < ROUNDS {
            unmet.push(format!("{name} was tried {} time(s), {ROUNDS} are needed", old.probes.len()));
        }
        for probe in &old.probes {
            match probe {
                Probe::Refused { code, .. } if refusals.contains(code) => {}
                Probe::Refused { code, .. } => {
                    unmet.push(format!("{name} was turned away with {code}, which is not this issuer's refusal of a credential"));
                }
                Probe::Accepted { .. } => unmet.push(format!("{name} STILL OPENS THE DOOR")),
                Probe::Inconclusive { reason } => unmet.push(format!("{name} could not be tried: {reason}")),
            }
        }
        if old.sessions > 0 {
            unmet.push(format!("{} live session(s) opened with {name}", old.sessions));
        }
    }
    if proof.control.len() < ROUNDS {
        unmet.push("the control was not tried in every round".to_owned());
    }
    for probe in &proof.control {
        match probe {
            Probe::Accepted { .. } => {}
            Probe::Refused { code, .. } => unmet.push(format!(
                "the control was refused ({code}): the refusal of the old value proves nothing"
            )),
            Probe::Inconclusive { reason } => unmet.push(format!("the control could not be tried: {reason}")),
        }
    }
    unmet.dedup();
    proof.inert = unmet.is_empty();
    proof.unmet = unmet;
    proof
}

/// Is the consumer on the successor? `Ok` with the sign that says so, `Err` with what is missing.
///
/// A principal, when the consumer tells it and it changed with the rotation, is the strong sign. Nobody knows the principal of what people
/// made (`new_principal` is none). Else its
/// generation must differ from the one seen before (and be greater, when both are numbers).
pub fn confirmed(
    healthy: bool,
    generation: Option<&str>,
    principal: Option<&str>,
    before: Option<&str>,
    old_principal: Option<&str>,
    new_principal: Option<&str>,
) -> Result<String, String> {
    if !healthy {
        return Err("it says that it is not healthy".to_owned());
    }
    if let (Some(seen), Some(new_principal)) = (principal, new_principal) {
        if seen != new_principal {
            return Err(format!("it is logged in as {seen}, not {new_principal}"));
        }
        if old_principal.is_some_and(|old| old != new_principal) {
            return Ok(format!("it is logged in as {seen}"));
        }
    }
    match (generation, before) {
        (None, _) => Err("it tells neither a generation nor a principal that changed".to_owned()),
        (Some(_), None) => Err("its generation before the change is not known".to_owned()),
        (Some(now), Some(before)) => {
            let newer = match (now.parse::<u64>(), before.parse::<u64>()) {
                (Ok(now), Ok(before)) => now > before,
                _ => now != before,
            };
            if newer {
                Ok(format!("its generation went from {before} to {now}"))
            } else {
                Err(format!("its generation is still {now}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{FingerprintKey, SecretValue};

    fn refused(code: &str) -> Probe {
        Probe::Refused { code: code.to_owned(), message: String::new() }
    }

    fn proof(old: Vec<Probe>, sessions: u64, control: Vec<Probe>) -> Proof {
        let fingerprint = FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text("x".to_owned()));
        let proof = Proof {
            secret: "orders-db".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            target: "postgres".to_owned(),
            old: vec![OldProof { fingerprint, principal: "a".to_owned(), probes: old, sessions }],
            control_is: "successor".to_owned(),
            control,
            settle_ms: 1,
            inert: false,
            unmet: Vec::new(),
        };
        judge(proof, &["28P01".to_owned(), "28000".to_owned()])
    }

    #[test]
    fn only_the_issuers_own_refusal_beside_an_accepted_control_is_a_proof() {
        let ok = || Probe::Accepted { facts: crate::outcome::Facts::new() };
        let lost = || Probe::Inconclusive { reason: "timeout".to_owned() };
        assert!(proof(vec![refused("28P01"), refused("28000")], 0, vec![ok(), ok()]).inert);
        let bad = [
            proof(vec![refused("28P01")], 0, vec![ok(), ok()]),
            proof(vec![refused("28P01"), ok()], 0, vec![ok(), ok()]),
            proof(vec![refused("28P01"), lost()], 0, vec![ok(), ok()]),
            proof(vec![refused("53300"), refused("28P01")], 0, vec![ok(), ok()]),
            proof(vec![refused("28P01"), refused("28P01")], 1, vec![ok(), ok()]),
            proof(vec![refused("28P01"), refused("28P01")], 0, vec![ok()]),
            proof(vec![refused("28P01"), refused("28P01")], 0, vec![ok(), refused("28P01")]),
            proof(vec![refused("28P01"), refused("28P01")], 0, vec![lost(), ok()]),
        ];
        assert!(bad.iter().all(|p| !p.inert && !p.unmet.is_empty()));
    }

    #[test]
    fn a_consumer_is_confirmed_by_what_changed() {
        assert!(confirmed(true, Some("2"), Some("b"), Some("1"), Some("a"), Some("b")).is_ok());
        assert!(confirmed(true, None, Some("b"), None, Some("a"), Some("b")).is_ok());
        assert!(confirmed(true, None, Some("a"), None, Some("a"), Some("b")).is_err());
        assert!(
            confirmed(true, Some("9"), None, Some("10"), Some("a"), Some("a")).is_err(),
            "numbers, not text"
        );
        assert!(confirmed(true, Some("10"), Some("a"), Some("9"), Some("a"), Some("a")).is_ok());
        assert!(
            confirmed(true, None, Some("a"), None, Some("a"), Some("a")).is_err(),
            "same principal proves nothing"
        );
        assert!(confirmed(false, Some("2"), Some("b"), Some("1"), Some("a"), Some("b")).is_err());
    }
}
