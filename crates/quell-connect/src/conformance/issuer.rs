//! The contract of an issuer.

use std::time::Duration;

use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;

use super::{Canaries, Violation, applied, not_applied, require};
use crate::connector::{Issuer, IssuerOp, Performed};

/// Rotates `old`, which must be live, to death: choose, install, disable, sever, and delete where it can be. Ends with `old` refused and,
/// where the issuer mints at all, its successor live.
pub async fn issuer(issuer: &dyn Issuer, old: &Credential) -> Result<(), Violation> {
    let capabilities = issuer.capabilities();
    let mut run =
        Run { issuer, old, canaries: Canaries::of(&[&old.value]), capabilities, new: None, cutoff: None };
    run.before().await?;
    if run.capabilities.can_mint {
        run.install().await?;
    }
    run.disable().await?;
    run.sever().await?;
    if issuer.retires() { run.retire().await } else { Ok(()) }
}

struct Run<'a> {
    issuer: &'a dyn Issuer,
    old: &'a Credential,
    canaries: Canaries,
    capabilities: Capabilities,
    new: Option<Credential>,
    cutoff: Option<String>,
}

impl Run<'_> {
    async fn before(&self) -> Result<(), Violation> {
        self.canaries.absent("target", &self.issuer.target())?;
        require("refusals are declared", !self.capabilities.refusals.is_empty(), String::new)?;
        for _ in 0..2 {
            let checks = self.issuer.check().await;
            self.canaries.absent_in("check", &checks)?;
            let failing = checks.iter().find(|check| !check.ok);
            require("`check` of a working issuer holds", failing.is_none(), || {
                failing.map(|check| format!("{}: {}", check.what, check.detail)).unwrap_or_default()
            })?;
            self.canaries.absent_in("warnings", &self.issuer.warnings(Some(&self.old.value)).await)?;
        }
        let known = self.issuer.identify(&self.old.value);
        self.canaries.absent_in("identify", &known)?;
        let known =
            known.map_err(|error| Violation::new("`identify` knows its own value", error.to_string()))?;
        require("`identify` finds the principal", known.principal == self.old.principal, || {
            format!("{} instead of {}", known.principal, self.old.principal)
        })?;
        self.accepted("a live value is accepted before anything is done", Some(self.old)).await?;
        self.accepted("the control is accepted", None).await
    }

    async fn install(&mut self) -> Result<(), Violation> {
        let first = self.choose("conformance-1").await?;
        let second = self.choose("conformance-2").await?;
        let chosen_here = self.capabilities.chooser == Chooser::Client;
        if chosen_here {
            let distinct = !first.value.same_as(&self.old.value)
                && !second.value.same_as(&self.old.value)
                && !first.value.same_as(&second.value);
            require("`choose` gives a fresh value each time", distinct, || {
                "the same value twice".to_owned()
            })?;
        }
        let op = IssuerOp::Install { new: &first };
        self.observed("`observe` before the installation is not applied", op, false).await?;
        let mut minted = None;
        for rule in ["`perform(Install)` is applied", "`perform(Install)` repeated is applied"] {
            let performed = self.perform(rule, op).await?;
            if let Outcome::Applied { facts } = &performed.outcome {
                self.cutoff =
                    facts.get("cutoff").and_then(|v| v.as_str()).map(str::to_owned).or(self.cutoff.take());
            }
            // An issuer that shows a value once may have to replace it when asked again: the last one counts.
            minted = performed.minted.or(minted);
        }
        let new = match (chosen_here, minted) {
            (true, _) => first.duplicate(),
            (false, Some(minted)) => minted,
            (false, None) => {
                return Err(Violation::new(
                    "an issuer that chooses returns what it minted",
                    "nothing minted",
                ));
            }
        };
        self.canaries.add(&new.value);
        require("the new value differs from the old", !new.value.same_as(&self.old.value), String::new)?;
        // What an issuer chose is looked for by itself: by its mark alone nobody could use it.
        let op = if chosen_here { op } else { IssuerOp::Install { new: &new } };
        self.observed("`observe` after the installation is applied", op, true).await?;
        self.settle().await;
        self.accepted("the new value is accepted", Some(&new)).await?;
        self.accepted("the control is accepted after the installation", None).await?;
        if self.capabilities.valid_at_once == ValidAtOnce::One {
            self.refused("with one valid value, installing kills the old one").await?;
        } else {
            self.accepted("with more than one valid value, installing leaves the old one", Some(self.old))
                .await?;
        }
        self.new = Some(new);
        Ok(())
    }

    async fn choose(&mut self, tag: &str) -> Result<Credential, Violation> {
        let chosen = self.issuer.choose(Some(self.old), tag).await;
        if let Ok(credential) = &chosen {
            self.canaries.add(&credential.value);
        }
        self.canaries.absent_in("choose", &chosen)?;
        chosen.map_err(|error| Violation::new("`choose` succeeds", error.to_string()))
    }

    async fn disable(&self) -> Result<(), Violation> {
        let op = IssuerOp::Disable { old: self.old };
        if self.capabilities.valid_at_once != ValidAtOnce::One || self.new.is_none() {
            self.observed("`observe` before disabling is not applied", op, false).await?;
        }
        for rule in ["`perform(Disable)` is applied", "`perform(Disable)` repeated is applied"] {
            self.perform(rule, op).await?;
        }
        self.observed("`observe` after disabling is applied", op, true).await?;
        self.settle().await;
        self.refused("a disabled value is refused").await?;
        self.survivors().await
    }

    async fn sever(&self) -> Result<(), Violation> {
        let op = IssuerOp::Sever { old: self.old, cutoff: self.cutoff.as_deref() };
        for rule in ["`perform(Sever)` is applied", "`perform(Sever)` repeated is applied"] {
            self.perform(rule, op).await?;
        }
        self.observed("`observe` after severing is applied", op, true).await?;
        for _ in 0..2 {
            let sessions = self.issuer.sessions(self.old, self.cutoff.as_deref()).await;
            self.canaries.absent_in("sessions", &sessions)?;
            match sessions {
                Ok(0) => {}
                Ok(n) => {
                    return Err(Violation::new("no session of the old value is left", format!("{n} left")));
                }
                Err(error) => return Err(Violation::new("`sessions` counts", error.to_string())),
            }
        }
        self.refused("a severed value is still refused").await?;
        self.survivors().await
    }

    async fn retire(&self) -> Result<(), Violation> {
        for _ in 0..2 {
            let seen = self.issuer.observe_retire(self.old).await;
            self.canaries.absent_in("observe_retire", &seen)?;
            not_applied("`observe_retire` before the deletion is not applied", &seen)?;
        }
        for rule in ["`retire` is applied", "`retire` repeated is applied"] {
            let outcome = self.issuer.retire(self.old).await;
            self.canaries.absent_in("retire", &outcome)?;
            applied(rule, &outcome)?;
        }
        applied(
            "`observe_retire` after the deletion is applied",
            &self.issuer.observe_retire(self.old).await,
        )?;
        let sever = IssuerOp::Sever { old: self.old, cutoff: self.cutoff.as_deref() };
        self.observed("a deleted value stays severed", sever, true).await?;
        self.observed("a deleted value stays disabled", IssuerOp::Disable { old: self.old }, true).await?;
        self.refused("a deleted value is still refused").await?;
        self.survivors().await
    }

    /// Killing the old value must not hurt the new one, nor the control.
    async fn survivors(&self) -> Result<(), Violation> {
        if let Some(new) = &self.new {
            self.accepted("the new value outlives the old one", Some(new)).await?;
        }
        self.accepted("the control outlives the old value", None).await
    }

    async fn perform(&self, rule: &'static str, op: IssuerOp<'_>) -> Result<Performed, Violation> {
        let performed = self.issuer.perform(op).await;
        self.canaries.absent_in("perform", &performed)?;
        applied(rule, &performed.outcome)?;
        Ok(performed)
    }

    /// Observes twice: the answer must be as expected and the same.
    async fn observed(&self, rule: &'static str, op: IssuerOp<'_>, in_force: bool) -> Result<(), Violation> {
        for _ in 0..2 {
            let seen = self.issuer.observe(op).await;
            self.canaries.absent_in("observe", &seen)?;
            if in_force {
                applied(rule, &seen.outcome)?;
            } else {
                not_applied(rule, &seen.outcome)?;
            }
        }
        Ok(())
    }

    /// Probes twice (the control when there is no credential): accepted both times.
    async fn accepted(&self, rule: &'static str, who: Option<&Credential>) -> Result<(), Violation> {
        for _ in 0..2 {
            let probe = match who {
                Some(credential) => self.issuer.probe(credential).await,
                None => self.issuer.control().await,
            };
            self.canaries.absent_in("probe", &probe)?;
            match probe {
                Probe::Accepted { .. } => {}
                Probe::Refused { code, message } => {
                    return Err(Violation::new(rule, format!("refused with {code}: {message}")));
                }
                Probe::Inconclusive { reason } => {
                    return Err(Violation::new(rule, format!("inconclusive: {reason}")));
                }
            }
        }
        Ok(())
    }

    /// Probes the old value twice: refused both times, with a declared code.
    async fn refused(&self, rule: &'static str) -> Result<(), Violation> {
        for _ in 0..2 {
            let probe = self.issuer.probe(self.old).await;
            self.canaries.absent_in("probe", &probe)?;
            match probe {
                Probe::Refused { code, .. } => {
                    let declared = self.capabilities.refusals.contains(&code);
                    require("a refusal carries a declared code", declared, || {
                        format!("{code}, declared: {}", self.capabilities.refusals.join(", "))
                    })?;
                }
                Probe::Accepted { .. } => return Err(Violation::new(rule, "accepted")),
                Probe::Inconclusive { reason } => {
                    return Err(Violation::new(rule, format!("inconclusive: {reason}")));
                }
            }
        }
        Ok(())
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(self.capabilities.settle_ms)).await;
    }
}
