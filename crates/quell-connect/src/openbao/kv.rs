//! KV version 2 as an API (openbao.org/api-docs/secret/kv/kv-v2).

use quell_core::secret::SecretValue;
use serde_json::{Map, Value, json};

use super::api::{Ask, Session};
use crate::error::{ConnectError, ConnectErrorKind};

/// One secret (a map of keys) in a KV v2 mount.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) mount: String,
    pub(super) path: String,
}

/// What is current.
pub(super) struct Current {
    /// 0 when nothing was ever written.
    pub(super) version: u64,
    /// `None` when there is nothing, or when the current version is deleted or destroyed.
    pub(super) data: Option<Map<String, Value>>,
}

/// What one version holds.
pub(super) enum Version {
    Readable(Map<String, Value>),
    /// Deleted, and can be undeleted by whoever may.
    Recoverable,
    /// Gone for good.
    Destroyed,
}

impl Place {
    pub(super) fn data(&self) -> String {
        format!("{}/data/{}", self.mount, self.path)
    }

    pub(super) fn metadata(&self) -> String {
        format!("{}/metadata/{}", self.mount, self.path)
    }

    pub(super) fn destroy(&self) -> String {
        format!("{}/destroy/{}", self.mount, self.path)
    }

    /// Refuses what is not KV v2: on KV v1 a write to `data/…` would be taken as a secret of that name.
    pub(super) async fn confirm(
        &self,
        session: &Session<'_>,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let mount = &self.mount;
        let (kind, version) = session.mount(what, mount).await?;
        let refused = |words: String| Err(session.bao().error(what, ConnectErrorKind::Denied, words));
        match (kind.as_str(), version.as_str()) {
            ("kv" | "generic", "2") => Ok(()),
            ("kv" | "generic", _) => refused(format!(
                "`{mount}/` is KV version 1: it has no versions and no check-and-set; \
                 upgrade it with `bao kv enable-versioning {mount}/`"
            )),
            _ => refused(format!("`{mount}/` is a `{kind}` mount, not KV version 2")),
        }
    }

    /// The current version, with its number even when it is deleted (the next write must name it).
    pub(super) async fn current(
        &self,
        session: &Session<'_>,
        what: &'static str,
    ) -> Result<Current, ConnectError> {
        let ask = Ask::get(what, self.data());
        let mut reply = session.send(&ask).await?;
        match reply.status {
            200 | 404 => {}
            _ => return Err(session.failure(&ask, &reply)),
        }
        let version = reply.body.pointer("/data/metadata/version").and_then(Value::as_u64);
        let data = take_data(&mut reply.body);
        match (reply.status, version, data) {
            (200, Some(version), Some(data)) => Ok(Current { version, data: Some(data) }),
            (404, Some(version), None) => Ok(Current { version, data: None }),
            (404, None, None) => Ok(Current { version: 0, data: None }),
            _ => Err(unreadable(session, what)),
        }
    }

    /// One version by number.
    pub(super) async fn version(
        &self,
        session: &Session<'_>,
        what: &'static str,
        version: u64,
    ) -> Result<Version, ConnectError> {
        let ask = Ask::get(what, self.data()).query("version", version.to_string());
        let mut reply = session.send(&ask).await?;
        match reply.status {
            200 | 404 => {}
            _ => return Err(session.failure(&ask, &reply)),
        }
        let destroyed = reply.body.pointer("/data/metadata/destroyed").and_then(Value::as_bool);
        let data = take_data(&mut reply.body);
        match (reply.status, destroyed, data) {
            (200, Some(false), Some(data)) => Ok(Version::Readable(data)),
            (404, Some(false), None) => Ok(Version::Recoverable),
            (404, Some(true) | None, None) => Ok(Version::Destroyed),
            _ => Err(unreadable(session, what)),
        }
    }

    /// The current version's number and every version that is not destroyed, in order. `None`: never written.
    pub(super) async fn history(
        &self,
        session: &Session<'_>,
        what: &'static str,
    ) -> Result<Option<(u64, Vec<u64>)>, ConnectError> {
        let answer = match session.ok(&Ask::get(what, self.metadata())).await {
            Err(error) if error.kind == ConnectErrorKind::Missing => return Ok(None),
            other => other?,
        };
        let current = answer.pointer("/data/current_version").and_then(Value::as_u64);
        let versions = answer.pointer("/data/versions").and_then(Value::as_object);
        let (Some(current), Some(versions)) = (current, versions) else {
            return Err(unreadable(session, what));
        };
        let mut alive = Vec::new();
        for (number, facts) in versions {
            let number = number.parse::<u64>().map_err(|_e| unreadable(session, what))?;
            match facts.get("destroyed").and_then(Value::as_bool) {
                Some(true) => {}
                Some(false) => alive.push(number),
                None => return Err(unreadable(session, what)),
            }
        }
        alive.sort_unstable();
        Ok(Some((current, alive)))
    }

    /// Writes the whole map if `version` is still current; gives the new version.
    pub(super) async fn put(
        &self,
        session: &Session<'_>,
        what: &'static str,
        version: u64,
        data: Map<String, Value>,
    ) -> Result<u64, ConnectError> {
        let body = json!({ "options": { "cas": version }, "data": data });
        let needs = if version == 0 { "create" } else { "update" };
        let answer = session.ok(&Ask::post(what, self.data(), body).needs(needs)).await?;
        let written = answer.pointer("/data/version").and_then(Value::as_u64);
        written.ok_or_else(|| unreadable(session, what))
    }

    /// Erases versions for good.
    pub(super) async fn erase(
        &self,
        session: &Session<'_>,
        what: &'static str,
        versions: &[u64],
    ) -> Result<(), ConnectError> {
        session.ok(&Ask::post(what, self.destroy(), json!({ "versions": versions }))).await?;
        Ok(())
    }
}

fn unreadable(session: &Session<'_>, what: &'static str) -> ConnectError {
    session.bao().error(what, ConnectErrorKind::Unexpected, "the answer is not what KV version 2 gives")
}

/// `data.data` of an answer, taken out without a copy.
fn take_data(body: &mut Value) -> Option<Map<String, Value>> {
    match body.get_mut("data")?.get_mut("data")?.take() {
        Value::Object(data) => Some(data),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// The text of one key. `None` when the key is not there.
pub(super) fn text(
    session: &Session<'_>,
    what: &'static str,
    data: &Map<String, Value>,
    key: &str,
) -> Result<Option<SecretValue>, ConnectError> {
    match data.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(SecretValue::from_text(text.clone()))),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            let words = format!("the key `{key}` holds something other than text");
            Err(session.bao().error(what, ConnectErrorKind::Denied, words))
        }
    }
}

/// Every text in a map, at any depth.
pub(super) fn leaves<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, into)),
        Value::Object(map) => map.values().for_each(|item| leaves(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Does any text of the map hold the value, as a whole or as a word in it (the password in a URL)?
pub(crate) fn holds(data: &Map<String, Value>, value: &SecretValue) -> bool {
    let Some(wanted) = value.expose_text().filter(|text| !text.is_empty()) else {
        return false;
    };
    let mut texts = Vec::new();
    data.values().for_each(|item| leaves(item, &mut texts));
    texts.into_iter().any(|text| holds_word(text, wanted))
}

/// Short values only count as a whole: a word of a few letters is found by chance.
fn holds_word(text: &str, wanted: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text == wanted
        || (wanted.len() >= 8
            && text.match_indices(wanted).any(|(at, found)| {
                let before = text.get(..at).and_then(|left| left.chars().next_back());
                let after = text.get(at + found.len()..).and_then(|right| right.chars().next());
                !before.is_some_and(of_word) && !after.is_some_and(of_word)
            }))
}

/// Can the neighbours be written back exactly as they were? Numbers beyond 2^53 with an exponent or a fraction
/// are read as floats and would change.
pub(crate) fn copies_exactly(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            !number.is_f64() || number.as_f64().is_some_and(|float| float.abs() < 9_007_199_254_740_992.0)
        }
        Value::Array(items) => items.iter().all(copies_exactly),
        Value::Object(map) => map.values().all(copies_exactly),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_whole_or_as_a_word() {
        assert!(holds_word("hunter2", "hunter2"));
        assert!(!holds_word("my hunter2", "hunter2"), "short values only as a whole");
        assert!(holds_word("postgres://u:hunter2-long@h/db", "hunter2-long"));
        assert!(!holds_word("hunter2-long-2", "hunter2-long"));
    }

    #[test]
    fn numbers_that_would_change_are_seen() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(copies_exactly(&read(r#"{"a": 18446744073709551615, "b": [1.5, -3]}"#)));
        assert!(!copies_exactly(&read(r#"{"a": [123456789012345678901234567890]}"#)));
    }
}
