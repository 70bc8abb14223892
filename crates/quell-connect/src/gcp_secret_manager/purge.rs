//! Versions that still hold a compromised value are destroyed.

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::api::Listed;
use super::{ConnectError, ConnectErrorKind, SecretManager};
use crate::kept::keeps;

/// What is there of a value.
#[derive(Default)]
struct Find {
    /// The last one that is not destroyed: what `latest` is.
    current: u64,
    current_is_bad: bool,
    bad: Vec<Listed>,
    /// Nobody can read these without enabling them.
    unread: Vec<Listed>,
    /// Enabled, and Google does not give them now.
    withheld: Vec<u64>,
}

impl SecretManager {
    async fn find(
        &self,
        token: &SecretValue,
        what: &'static str,
        compromised: &[&SecretValue],
    ) -> Result<Find, ConnectError> {
        let mut find = Find::default();
        let all = self.list(token, what).await?;
        find.current = all.iter().map(|one| one.number).max().unwrap_or_default();
        for version in all {
            match version.state.as_str() {
                "DESTROYED" => continue,
                "ENABLED" => {}
                _ => {
                    find.unread.push(version);
                    continue;
                }
            }
            let held = match self.access(token, what, &version.number.to_string()).await {
                Ok(held) => held.value,
                // Destroyed or disabled since it was listed, or the key that it is encrypted with is away: that is looked at below.
                Err(error)
                    if matches!(error.kind, ConnectErrorKind::Missing | ConnectErrorKind::Conflict) =>
                {
                    find.withheld.push(version.number);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !compromised.iter().any(|value| keeps(held.expose(), value)) {
                continue;
            }
            if version.number == find.current {
                find.current_is_bad = true;
            } else {
                find.bad.push(version);
            }
        }
        if !find.withheld.is_empty() {
            let now = self.list(token, what).await?;
            let enabled =
                |number: &u64| now.iter().any(|one| one.number == *number && one.state == "ENABLED");
            find.withheld.retain(enabled);
        }
        Ok(find)
    }

    pub(super) async fn try_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "destroying old versions";
        let token = self.cloud.token(&self.credentials).await?;
        let find = self.find(&token, WHAT, compromised).await?;
        if find.current_is_bad {
            return Ok(current_refused(find.current));
        }
        for version in &find.bad {
            match self.destroy(&token, WHAT, version).await {
                Ok(()) => {}
                // Somebody changed it meanwhile; it is looked at again below.
                Err(error) if error.kind == ConnectErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        // Something was sent: what cannot be seen now is unknown, whatever the reason.
        let after = match self.find(&token, WHAT, compromised).await {
            Ok(after) => after,
            Err(error) => return Ok(error.unseen()),
        };
        let destroyed = find.bad.iter().filter(|one| !after.bad.iter().any(|left| left.number == one.number));
        let destroyed: Vec<String> = destroyed.map(|one| one.number.to_string()).collect();
        Ok(done(&after, Some(destroyed)))
    }

    pub(super) async fn try_observe_purge(
        &self,
        compromised: &[&SecretValue],
    ) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for old versions";
        let token = self.cloud.token(&self.credentials).await?;
        Ok(done(&self.find(&token, WHAT, compromised).await?, None))
    }
}

fn done(find: &Find, destroyed: Option<Vec<String>>) -> Outcome {
    if find.current_is_bad {
        return current_refused(find.current);
    }
    if !find.bad.is_empty() {
        let numbers: Vec<String> = find.bad.iter().map(|one| one.number.to_string()).collect();
        return Outcome::retry(format!("versions hold the value: {}", numbers.join(", ")));
    }
    if !find.withheld.is_empty() {
        let numbers: Vec<String> = find.withheld.iter().map(u64::to_string).collect();
        return Outcome::retry(format!(
            "versions are enabled and cannot be read now, so they may hold the value: {}; see why (`gcloud secrets versions access`), or destroy them",
            numbers.join(", ")
        ));
    }
    let unread = |scheduled: bool| -> Vec<Value> {
        let some = find.unread.iter().filter(|one| one.scheduled.is_some() == scheduled);
        some.map(|one| json!({ "version": one.number.to_string(), "destroyed_at": one.scheduled })).collect()
    };
    let mut facts = quell_core::outcome::Facts::new();
    facts.insert("current".to_owned(), json!(find.current.to_string()));
    facts.insert("history".to_owned(), json!(true));
    // Until then they are disabled, and can be enabled by who may.
    facts.insert("destruction_delayed".to_owned(), json!(unread(true)));
    facts.insert("disabled_and_unread".to_owned(), json!(unread(false)));
    if let Some(destroyed) = destroyed {
        facts.insert("destroyed".to_owned(), json!(destroyed));
    }
    Outcome::Applied { facts }
}

fn current_refused(version: u64) -> Outcome {
    Outcome::refused(format!(
        "the latest version {version} still holds a compromised value; write a new version first"
    ))
}
