//! The contract of a store.

use quell_core::secret::SecretValue;

use super::{Canaries, Violation, applied, not_applied, require, shape};
use crate::connector::{Store, Stored};
use crate::error::ConnectError;

/// Writes, reads and purges values from `fresh` (each call must give another one). Ends with a fresh value in
/// the place.
pub async fn store(store: &dyn Store, fresh: impl Fn() -> SecretValue) -> Result<(), Violation> {
    let (old, new, never) = (fresh(), fresh(), fresh());
    require("`fresh` gives a new value each time", !old.same_as(&new) && !new.same_as(&never), String::new)?;
    let check = Checked { store, canaries: Canaries::of(&[&old, &new, &never]) };
    check.canaries.absent("target", &store.target())?;
    let checks = store.check().await;
    check.canaries.absent_in("check", &checks)?;
    require("`check` of a working store holds", checks.iter().all(|c| c.ok), || format_checks(&checks))?;

    check.writes(&old, &never).await?;
    check.current_survives_purge(&old).await?;
    check.writes(&new, &never).await?;
    not_applied("`observe_write` of a superseded value is not applied", &store.observe_write(&old).await)?;
    check.purges(&old, &new, &never).await
}

/// The same for a store that only takes values. Ends with a fresh value in the place.
pub async fn write_only_store(store: &dyn Store, fresh: impl Fn() -> SecretValue) -> Result<(), Violation> {
    let (old, new) = (fresh(), fresh());
    let canaries = Canaries::of(&[&old, &new]);
    require("a store that only takes values says so", !store.readable(), String::new)?;
    canaries.absent("target", &store.target())?;
    let checks = store.check().await;
    canaries.absent_in("check", &checks)?;
    require("`check` of a working store holds", checks.iter().all(|c| c.ok), || format_checks(&checks))?;
    for value in [&old, &new, &new] {
        let before = store.observe_write(value).await;
        canaries.absent_in("observe_write", &before)?;
        require("what cannot be read is never seen", !before.is_applied(), || "applied".to_owned())?;
        let written = store.write(value).await;
        canaries.absent_in("write", &written)?;
        let facts = applied("`write` is applied, and repeated it is as well", &written)?;
        require("`write` tells when", facts.contains_key("version"), || format!("{facts:?}"))?;
    }
    let read = store.read().await;
    canaries.absent_in("read", &read)?;
    require("`read` fails", read.is_err(), || "it gave an answer".to_owned())?;
    for rule in ["`purge` is applied", "`purge` repeated is applied"] {
        let purged = store.purge(&[&old]).await;
        canaries.absent_in("purge", &purged)?;
        let facts = applied(rule, &purged)?;
        require(
            "it claims no history",
            facts.get("history") == Some(&serde_json::Value::Bool(false)),
            || format!("{facts:?}"),
        )?;
    }
    let seen = store.observe_purge(&[&old]).await;
    canaries.absent_in("observe_purge", &seen)?;
    applied("`observe_purge` is applied", &seen).map(drop)
}

struct Checked<'a> {
    store: &'a dyn Store,
    canaries: Canaries,
}

impl Checked<'_> {
    async fn read(&self) -> Result<Option<Stored>, Violation> {
        let stored = self.store.read().await;
        self.canaries.absent_in("read", &stored)?;
        stored.map_err(|error| failed(&error))
    }

    async fn current(&self, expected: &SecretValue) -> Result<String, Violation> {
        const RULE: &str = "`read` returns the value last written";
        let Some(stored) = self.read().await? else { return Err(Violation::new(RULE, "the place is empty")) };
        require(RULE, stored.value.same_as(expected), || "another value".to_owned())?;
        Ok(stored.version)
    }

    /// From anything else to `value`, twice.
    async fn writes(&self, value: &SecretValue, never: &SecretValue) -> Result<(), Violation> {
        let before = self.read().await?.map(|stored| stored.version);
        for _ in 0..2 {
            let seen = self.store.observe_write(value).await;
            self.canaries.absent_in("observe_write", &seen)?;
            not_applied("`observe_write` before the write is not applied", &seen)?;
        }
        let after = self.read().await?.map(|stored| stored.version);
        require("`observe_write` changes nothing", before == after, || "another version".to_owned())?;

        let first = self.store.write(value).await;
        self.canaries.absent_in("write", &first)?;
        let facts = applied("`write` of a new value is applied", &first)?;
        let version = self.current(value).await?;
        require("`write` makes a new version", before.as_deref() != Some(version.as_str()), || {
            version.clone()
        })?;
        let told =
            facts.get("version").map(|told| told.as_str().map_or_else(|| told.to_string(), str::to_owned));
        require(
            "`write` tells the `version` that `read` returns",
            told.as_deref() == Some(&version),
            || format!("told {told:?}, read {version}"),
        )?;

        let again = self.store.write(value).await;
        self.canaries.absent_in("second write", &again)?;
        applied("`write` repeated is applied", &again)?;
        let same = self.current(value).await?;
        require("`write` repeated makes no new version", same == version, || format!("{version} → {same}"))?;
        for _ in 0..2 {
            let seen = self.store.observe_write(value).await;
            self.canaries.absent_in("observe_write", &seen)?;
            applied("`observe_write` after the write is applied", &seen)?;
        }
        not_applied(
            "`observe_write` of a value never written is not applied",
            &self.store.observe_write(never).await,
        )
    }

    /// A compromised value that is still current stays, and nobody claims that it is gone.
    async fn current_survives_purge(&self, current: &SecretValue) -> Result<(), Violation> {
        const RULE: &str = "a purge is not applied while the compromised value is current";
        let version = self.current(current).await?;
        let outcome = self.store.purge(&[current]).await;
        self.canaries.absent_in("purge of the current value", &outcome)?;
        require(RULE, !outcome.is_applied(), || "`purge` said applied".to_owned())?;
        let seen = self.store.observe_purge(&[current]).await;
        require(RULE, !seen.is_applied(), || "`observe_purge` said applied".to_owned())?;
        let after = self.current(current).await?;
        require("`purge` never destroys the current version", after == version, || {
            format!("{version} → {after}")
        })
    }

    async fn purges(
        &self,
        old: &SecretValue,
        new: &SecretValue,
        never: &SecretValue,
    ) -> Result<(), Violation> {
        let version = self.current(new).await?;
        let (one, two) = (self.store.observe_purge(&[old]).await, self.store.observe_purge(&[old]).await);
        self.canaries.absent_in("observe_purge", &one)?;
        require("`observe_purge` repeated gives the same answer", shape(&one) == shape(&two), || {
            format!("{} → {}", shape(&one), shape(&two))
        })?;
        for rule in ["`purge` of a superseded value is applied", "`purge` repeated is applied"] {
            let outcome = self.store.purge(&[old, never]).await;
            self.canaries.absent_in("purge", &outcome)?;
            applied(rule, &outcome)?;
        }
        let seen = self.store.observe_purge(&[old, never]).await;
        self.canaries.absent_in("observe_purge", &seen)?;
        applied("`observe_purge` after the purge is applied", &seen)?;
        applied("`purge` of nothing is applied", &self.store.purge(&[]).await)?;
        let after = self.current(new).await?;
        require("`purge` leaves the current version alone", after == version, || {
            format!("{version} → {after}")
        })
    }
}

fn failed(error: &ConnectError) -> Violation {
    Violation::new("`read` of a working store succeeds", error.to_string())
}

fn format_checks(checks: &[crate::connector::Check]) -> String {
    let failing: Vec<_> =
        checks.iter().filter(|c| !c.ok).map(|c| format!("{}: {}", c.what, c.detail)).collect();
    failing.join("; ")
}
