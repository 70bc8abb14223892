//! Trying the old value for real, beside a control; now and at any later time.

use std::collections::BTreeSet;
use std::time::Duration;

use quell_core::event::{Event, SealedRef};
use quell_core::incident::Incident;
use quell_core::outcome::Probe;
use quell_core::plan::{OldProof, Proof, judge};
use quell_core::secret::{Credential, Fingerprint};
use quell_core::{IncidentId, SecretId};
use quell_store::NewEntry;

use crate::clock::now;
use crate::systems::Systems;
use crate::{App, AppError, projection};

/// A compromised value, unsealed, with its name.
#[derive(Debug)]
pub struct Old {
    /// What the ledger calls it.
    pub sealed: SealedRef,
    /// The value.
    pub credential: Credential,
}

/// Unseals one value.
pub async fn unseal(app: &App, sealed: &SealedRef) -> Result<Credential, AppError> {
    Ok(Credential { principal: sealed.principal.clone(), value: app.store.unseal(&sealed.sealed).await? })
}

/// Unseals the compromised values of a secret.
pub async fn unseal_old(app: &App, refs: &[SealedRef]) -> Result<Vec<Old>, AppError> {
    let mut out = Vec::new();
    for sealed in refs {
        out.push(Old { sealed: sealed.clone(), credential: unseal(app, sealed).await? });
    }
    Ok(out)
}

/// The moment that separates old sessions from new ones, when both share a principal, or the issuer goes by time alone.
pub fn cutoff_for<'a>(
    systems: &Systems,
    old: &Credential,
    new: Option<&SealedRef>,
    cutoff: Option<&'a str>,
) -> Option<&'a str> {
    let shared = new.is_some_and(|new| new.principal == old.principal);
    cutoff.filter(|_| shared || systems.issuer.severs_by_time())
}

/// Two rounds with the issuer's settling time in between; then sessions are counted; then the pure judge decides. Where no value is among
/// `seen_valid`, nothing is proven: what was never let in is refused as well.
pub async fn prove(
    secret: &SecretId,
    systems: &Systems,
    old: &[Old],
    successor: Option<(&SealedRef, &Credential)>,
    cutoff: Option<&str>,
    seen_valid: &BTreeSet<Fingerprint>,
) -> Proof {
    let capabilities = systems.issuer.capabilities();
    let mut rows: Vec<OldProof> = old
        .iter()
        .map(|o| OldProof {
            fingerprint: o.sealed.fingerprint,
            principal: o.credential.principal.clone(),
            probes: Vec::new(),
            sessions: 0,
        })
        .collect();
    let mut control = Vec::new();
    let mut unseen = Vec::new();
    for round in 0..2 {
        if round > 0 {
            tokio::time::sleep(Duration::from_millis(capabilities.settle_ms)).await;
        }
        for (row, o) in rows.iter_mut().zip(old) {
            row.probes.push(systems.issuer.probe(&o.credential).await);
        }
        match successor {
            Some((_, credential)) => control.push(systems.issuer.probe(credential).await),
            None if systems.issuer.has_control() => control.push(systems.issuer.control().await),
            // Nothing is tried in its place: the judge says that the control is missing.
            None => {}
        }
    }
    for (row, o) in rows.iter_mut().zip(old) {
        let cutoff = cutoff_for(systems, &o.credential, successor.map(|(sealed, _)| sealed), cutoff);
        match systems.issuer.sessions(&o.credential, cutoff).await {
            Ok(count) => row.sessions = count,
            Err(error) => unseen.push(format!("live sessions could not be counted: {error}")),
        }
    }
    let proof = Proof {
        secret: secret.clone(),
        at: now(),
        target: systems.issuer.target(),
        old: rows,
        control_is: match successor {
            Some(_) => "successor",
            None if systems.issuer.has_control() => "other principal",
            None => "none",
        }
        .to_owned(),
        control,
        settle_ms: capabilities.settle_ms,
        inert: false,
        unmet: Vec::new(),
    };
    let mut proof = judge(proof, &capabilities.refusals);
    if seen_valid.is_empty() {
        unseen.push(quell_core::incident::never_valid(secret));
    }
    for o in old.iter().filter(|o| !seen_valid.contains(&o.sealed.fingerprint)) {
        if let Some(why) = systems.issuer.unproven(&o.credential).await {
            unseen.push(format!("{} ({}): {why}", o.sealed.fingerprint, o.credential.principal));
        }
    }
    if !unseen.is_empty() {
        proof.inert = false;
        proof.unmet.extend(unseen);
    }
    proof
}

/// The old values are refused, and only a control is missing to make a proof of it: to try again would change nothing.
pub fn lacks_only_a_control(proof: &Proof, systems: &Systems) -> bool {
    proof.control_is == "none" && all_refused(proof, systems)
}

/// Every old value is refused with the issuer's own refusal, and has no session.
pub fn all_refused(proof: &Proof, systems: &Systems) -> bool {
    let refusals = systems.issuer.capabilities().refusals;
    let refused = |probe: &Probe| matches!(probe, Probe::Refused { code, .. } if refusals.contains(code));
    !proof.old.is_empty() && proof.old.iter().all(|old| old.sessions == 0 && old.probes.iter().all(refused))
}

/// The entry that records a proof, with the full transcript as evidence.
pub fn entry(actor: &quell_core::event::Actor, proof: &Proof) -> Result<NewEntry, AppError> {
    let body = quell_core::json::canonical(proof).map_err(|e| AppError::Evidence(e.to_string()))?;
    Ok(NewEntry {
        actor: actor.clone(),
        event: Event::ProofRecorded { proof: proof.clone() },
        evidence: vec![(format!("proof-{}.json", proof.secret), body)],
    })
}

/// What a later verification found for one secret.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Verified {
    /// The new proof.
    pub proof: Proof,
    /// What the newest earlier proof said, if there is one.
    pub before: Option<bool>,
    /// True when the answer is another than before.
    pub changed: bool,
}

/// Proves again, for every secret of an incident, and records it.
pub async fn verify(app: &App, id: IncidentId) -> Result<Vec<Verified>, AppError> {
    let incident = app.incident(id).await?;
    let mut out = Vec::new();
    for affected in &incident.secrets {
        let secret = &affected.secret;
        let entry_of = app
            .inventory
            .secrets
            .get(secret)
            .ok_or_else(|| AppError::NotFound { what: "secret", id: secret.to_string() })?;
        let systems = Systems::build(entry_of, &app.context)?;
        let old: Vec<SealedRef> = incident.old_values(secret).into_iter().cloned().collect();
        let old = unseal_old(app, &old).await?;
        // A later incident may have rotated it again: then its successor is the good value, and its sessions too.
        let holder = newest_holder(app, &incident, secret).await?;
        let new_ref = holder.as_ref().and_then(|h| h.new_value(secret)).cloned();
        let new = match &new_ref {
            Some(sealed) => Some(unseal(app, sealed).await?),
            None => None,
        };
        let cutoff = holder.as_ref().and_then(|h| session_cutoff(h, secret));
        let cutoff = cutoff.or_else(|| session_cutoff(&incident, secret));
        let seen = incident.seen_valid(secret);
        let proof =
            prove(secret, &systems, &old, new_ref.as_ref().zip(new.as_ref()), cutoff.as_deref(), &seen).await;
        let before = incident.proof(secret).map(|p| p.inert);
        app.store.append_to_end(&id.to_string(), entry(&app.actor, &proof)?, now()).await?;
        out.push(Verified { changed: before.is_some_and(|b| b != proof.inert), before, proof });
    }
    Ok(out)
}

/// The newest incident whose successor of this secret was installed.
async fn newest_holder(app: &App, this: &Incident, secret: &SecretId) -> Result<Option<Incident>, AppError> {
    let about = projection::about(secret);
    let mut others = projection::incidents(app, &about).await?;
    others.retain(|o| o.declared >= this.declared && installed(o, secret));
    Ok(others.into_iter().max_by_key(|o| (o.declared, o.id)))
}

/// The successor is valid at the issuer: its install (or mint, when the issuer chooses) was applied.
fn installed(incident: &Incident, secret: &SecretId) -> bool {
    use quell_core::plan::{StepAction, StepState};
    incident.machine.as_ref().is_some_and(|m| {
        m.states().any(|(step, state)| {
            step.secret.as_ref() == Some(secret)
                && step.action == StepAction::ProbeNew
                && matches!(state, StepState::Applied)
        })
    })
}

/// The server's time after which no session can have been opened with the old value: when it was disabled, or, where a new value
/// replaces the old one in the same instant, when that was installed.
pub fn session_cutoff(incident: &Incident, secret: &SecretId) -> Option<String> {
    let facts = |step: &str| incident.facts.get(&format!("{secret}.{step}").parse().ok()?);
    // Old values are disabled one by one, and the facts of each stand under its principal: the last one was later than the others.
    let mut disabled =
        facts("disable").into_iter().flat_map(|facts| facts.values()).filter_map(|one| one.get("cutoff"));
    let cutoff = disabled.next_back().or_else(|| facts("install")?.get("cutoff"));
    cutoff?.as_str().map(str::to_owned)
}
