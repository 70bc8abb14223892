//! A new version, which is `latest` by being the last.
//!
//! There is no compare-and-set: two writers make two versions, and the last one is what is read. So it is looked at afterwards.

use std::time::Duration;

use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::SecretValue;
use serde_json::json;

use super::api::aliases;
use super::{ConnectError, ConnectErrorKind, SecretManager};

const WHAT: &str = "writing the secret";

/// "Quotas and limits": 64 KiB.
const LONGEST: usize = 64 << 10;

/// Between looks at `latest`, which follows within seconds as a rule.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

impl SecretManager {
    pub(super) async fn try_write(&self, new: &SecretValue) -> Result<Outcome, ConnectError> {
        if new.expose().len() > LONGEST {
            return Ok(Outcome::refused("the value is longer than 64 KiB, which Secret Manager takes"));
        }
        let token = self.cloud.token(&self.credentials).await?;
        match self.latest(&token, WHAT).await {
            Ok(Some(version)) if version.value.same_as(new) => {
                return Ok(Outcome::applied([("version", json!(version.number.to_string()))]));
            }
            Ok(_) => {}
            // A disabled one is no obstacle: the new one takes its place.
            Err(error)
                if error.kind == ConnectErrorKind::Denied && error.detail.contains("FAILED_PRECONDITION") => {
            }
            Err(error) => return Err(error),
        }
        // An earlier attempt's version may be there before `latest` leads to it.
        let newest = self.list(&token, WHAT).await?.into_iter().max_by_key(|one| one.number);
        let made = match newest.filter(|one| one.state == "ENABLED") {
            Some(one) => match self.access(&token, WHAT, &one.number.to_string()).await {
                Ok(held) => held.value.same_as(new).then_some(one.number),
                // It cannot be read, so it is not known to be ours.
                Err(error)
                    if matches!(error.kind, ConnectErrorKind::Missing | ConnectErrorKind::Conflict) =>
                {
                    None
                }
                Err(error) => return Err(error),
            },
            None => None,
        };
        let number = match made {
            Some(number) => number,
            None => self.add(&token, WHAT, new).await?,
        };
        Ok(self.followed(&token, number, new).await)
    }

    /// What was made is what consumers read only once `latest` leads to it.
    async fn followed(&self, token: &SecretValue, number: u64, new: &SecretValue) -> Outcome {
        // Something was made: what cannot be seen now is unknown, whatever the reason.
        let version = match self.access(token, WHAT, &number.to_string()).await {
            Ok(version) => version,
            Err(error) => return error.unseen(),
        };
        if !version.value.same_as(new) {
            return Outcome::unknown(format!("version {number} was made, and holds another value"));
        }
        for pause in PAUSES {
            let latest = match self.latest(token, WHAT).await {
                Ok(latest) => latest,
                Err(error) => return error.unseen(),
            };
            match latest.filter(|latest| latest.number >= number) {
                Some(latest) if latest.number > number && !latest.value.same_as(new) => {
                    let words = format!("somebody made version {} after our {number}", latest.number);
                    return Outcome::retry(words);
                }
                Some(_) => {
                    let secret = self.secret_now(token, WHAT).await;
                    return Outcome::applied([
                        ("version", json!(number.to_string())),
                        // Consumers that are pinned stay where they are.
                        ("aliases", json!(secret.map(|secret| aliases(&secret)).unwrap_or_default())),
                    ]);
                }
                None => tokio::time::sleep(pause).await,
            }
        }
        Outcome::NotApplied {
            reason: format!(
                "version {number} was made, and `latest` does not lead to it yet: consumers still read an older one"
            ),
            retryable: true,
            retry_after_ms: Some(5_000),
            facts: Facts::new(),
        }
    }
}
