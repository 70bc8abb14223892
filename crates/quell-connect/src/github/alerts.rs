//! One alert of secret scanning with its value and its places.
//!
//! <https://docs.github.com/en/rest/secret-scanning/secret-scanning> (2026-11). A webhook's alert has neither.

use quell_core::secret::SecretValue;
use serde_json::Value;

use super::api::GitHub;
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::rest::{Access, Ask};

/// Looks at alerts.
#[derive(Debug)]
pub struct Alerts(GitHub);

/// An alert and its places as GitHub writes them: the first holds the leaked value.
#[derive(Debug)]
pub struct Alert {
    /// An object.
    pub alert: SecretValue,
    /// A list, at most 100 places.
    pub locations: SecretValue,
}

impl Alerts {
    /// `config` is `{ url, token }`. Contacts nobody.
    pub fn open(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let access: Access = ConfigError::parse(config)?;
        Ok(Self(GitHub::open(context, Some(access))?))
    }

    /// Reads one. [`ConnectErrorKind::Missing`] and [`ConnectErrorKind::Denied`] do not change by asking again.
    pub async fn read(&self, owner: &str, name: &str, number: u64) -> Result<Alert, ConnectError> {
        const NEEDS: &str = "`Secret scanning alerts: read`";
        let number = number.to_string();
        let path = ["repos", owner, name, "secret-scanning", "alerts", &number];
        let mut alert = self.0.ask(&Ask::get("reading an alert", &path), NEEDS).await?.body;
        let text = SecretValue::from_text(alert.to_string());
        if let Some(Value::String(value)) = alert.get_mut("secret") {
            drop(SecretValue::from_text(std::mem::take(value)));
        }
        let path = ["repos", owner, name, "secret-scanning", "alerts", &number, "locations"];
        let ask = Ask::get("reading the places of an alert", &path).query("per_page", "100");
        let places = match self.0.ask(&ask, NEEDS).await {
            Ok(said) => said.body,
            // The alert is worth more than its places.
            Err(error) if error.kind == ConnectErrorKind::Missing => Value::Array(Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(Alert { alert: text, locations: SecretValue::from_text(places.to_string()) })
    }
}
