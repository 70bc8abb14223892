//! What a value looks like in the audit log: its HMAC under the salt of each audit device.
//!
//! Sources: openbao.org/api-docs/system/audit and openbao.org/api-docs/system/audit-hash, and 2.7.2 itself (2026-11). The value
//! travels in the body of the request only; the server writes no more of it into its own log than that same HMAC.

use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::api::{Ask, Bao, Session, checked_path};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

const LISTING: &str = "listing the audit devices";
const HASHING: &str = "asking for the HMAC of a value";

/// What the log of one device holds in place of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hashed {
    /// The path of the device: `file`.
    pub device: String,
    /// Which of the values, in the order in which they were given.
    pub value: usize,
    /// `hmac-sha256:` and 64 digits of hex.
    pub hmac: String,
}

/// The HMACs of values under the salt of each of these devices; of all devices when none is named, which needs `read` and `sudo`
/// on `sys/audit`. Each value and device is one call, which needs `update` on `sys/audit-hash/<device>` and leaves two records
/// with that HMAC in every log.
///
/// # Errors
/// When the server cannot be asked or knows no device, a value is not text, or a value is the token that asks: its own calls
/// would stand in the log as uses of it.
pub async fn audit_hashes(
    ctx: &Context,
    devices: &[String],
    values: &[&SecretValue],
) -> Result<Vec<Hashed>, ConnectError> {
    let unusable = |error: ConfigError| super::unusable(HASHING, &error);
    let bao = Bao::open(ctx).map_err(unusable)?;
    let session = bao.login().await?;
    let denied = |words: &str| bao.error(HASHING, ConnectErrorKind::Denied, words);
    let mut texts = Vec::new();
    for value in values {
        if session.is_token(value) {
            let words = "it is the token that Quell itself would ask with: set another one, so that no look-up is a use of it";
            return Err(denied(words));
        }
        texts.push(value.expose_text().ok_or_else(|| denied("the value is not text"))?);
    }
    let devices = if devices.is_empty() { all_devices(&session).await? } else { devices.to_vec() };
    let mut found = Vec::new();
    for device in &devices {
        let device = checked_path("device", device).map_err(unusable)?;
        for (value, text) in texts.iter().enumerate() {
            let hmac = hash(&session, &device, text).await?;
            found.push(Hashed { device: device.clone(), value, hmac });
        }
    }
    Ok(found)
}

async fn all_devices(session: &Session<'_>) -> Result<Vec<String>, ConnectError> {
    let answer = session.ok(&Ask::get(LISTING, "sys/audit").needs("read, sudo")).await?;
    let data = answer.get("data").and_then(Value::as_object);
    let devices: Vec<String> = data.into_iter().flat_map(|devices| devices.keys().cloned()).collect();
    if devices.is_empty() {
        let words = "no audit device is enabled, so nothing was logged";
        return Err(session.bao().error(LISTING, ConnectErrorKind::Missing, words));
    }
    Ok(devices)
}

async fn hash(session: &Session<'_>, device: &str, text: &str) -> Result<String, ConnectError> {
    let ask = Ask::post(HASHING, format!("sys/audit-hash/{device}"), json!({ "input": text }));
    let answer = session.ok(&ask).await?;
    // OpenBao answers at both places, and some proxies unwrap `data`.
    let hash = answer.pointer("/data/hash").or_else(|| answer.get("hash")).and_then(Value::as_str);
    // What is no HMAC would be looked for in every log, and found by chance or, if it were the value, shown.
    let is_hmac = |hash: &&str| {
        hash.strip_prefix("hmac-sha256:")
            .is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let words = "the answer is no HMAC-SHA256";
    let none = || session.bao().error(HASHING, ConnectErrorKind::Unexpected, words);
    hash.filter(is_hmac).map(str::to_owned).ok_or_else(none)
}
