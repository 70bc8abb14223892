//! A new version, which is `latest` by being the last.
//!
//! There is no compare-and-set: two writers make two versions, and the last one is what is read. So it is looked at afterwards.

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::json;

use super::api::{Version, aliases};
use super::{ConnectError, ConnectErrorKind, SecretManager};

const WHAT: &str = "writing the secret";

/// "Quotas and limits": 64 KiB.
const LONGEST: usize = 64 << 10;

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
        let number = self.add(&token, WHAT, new).await?;
        // Something was made: what cannot be seen now is unknown, whatever the reason.
        let after = async {
            let version = self.access(&token, WHAT, &number.to_string()).await?;
            Ok::<_, ConnectError>((
                version,
                self.latest(&token, WHAT).await?,
                self.secret_now(&token, WHAT).await,
            ))
        };
        let (version, latest, secret) = match after.await {
            Ok(seen) => seen,
            Err(error) => return Ok(error.unseen()),
        };
        if !version.value.same_as(new) {
            let words = format!("version {number} was made, and holds another value");
            return Err(self.failed(WHAT, ConnectErrorKind::Unexpected, words));
        }
        let later = |latest: &Version| latest.number > number && !latest.value.same_as(new);
        if let Some(latest) = latest.as_ref().filter(|latest| later(latest)) {
            return Ok(Outcome::retry(format!("somebody made version {} after our {number}", latest.number)));
        }
        let lags = latest.is_none_or(|latest| latest.number < number);
        Ok(Outcome::applied([
            ("version", json!(number.to_string())),
            ("latest_lags", json!(lags)),
            // Consumers that are pinned stay where they are.
            ("aliases", json!(secret.map(|secret| aliases(&secret)).unwrap_or_default())),
        ]))
    }
}
