//! Vault's and OpenBao's audit device: one JSON object a line, a `request` before and a `response` after each operation.
//!
//! Values are `hmac-sha256:…` under the device's salt. The needle is what `POST sys/audit-hash/<device>` answers for the value;
//! asking that writes audit lines with the same HMAC in them, which are our own look-ups and are left out. A look-up that the
//! credential itself was shown for is a use: Quell asks with no token that it hunts.
//!
//! Fields: <https://openbao.org/docs/audit/>, measured on OpenBao 2.7.2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Format, Spot};
use crate::needle::Needles;
use crate::record::{Access, Made, MadeKind, Outcome, Role};

/// Our own look-ups.
const LOOK_UP: &str = "sys/audit-hash/";

/// A line of an audit device, by its names.
pub(super) fn is(line: &[u8]) -> bool {
    let has = |text: &str| memchr::memmem::find(line, text.as_bytes()).is_some();
    has("\"request\":{") && (has("\"type\":\"request\"") || has("\"type\":\"response\""))
}

#[derive(Deserialize)]
struct Line {
    time: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    auth: Option<Auth>,
    request: Option<Request>,
    response: Option<Response>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    client_token: Option<String>,
    accessor: Option<String>,
    display_name: Option<String>,
    entity_id: Option<String>,
    #[serde(default)]
    policies: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct Request {
    id: Option<String>,
    operation: Option<String>,
    path: Option<String>,
    client_token: Option<String>,
    client_token_accessor: Option<String>,
    remote_address: Option<String>,
    namespace: Option<Namespace>,
    headers: Option<Value>,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Namespace {
    path: Option<String>,
}

#[derive(Default, Deserialize)]
struct Response {
    auth: Option<Auth>,
    wrap_info: Option<Wrapped>,
    secret: Option<Value>,
}

/// An answer that was put into a token of its own (<https://openbao.org/docs/concepts/response-wrapping/>).
#[derive(Deserialize)]
struct Wrapped {
    token: Option<String>,
    accessor: Option<String>,
    /// Of the token that is in it, if that is what is in it.
    #[serde(rename = "wrapped_accessor")]
    inner: Option<String>,
}

/// One line. A response is told; a request is told, too, as the engine may never have answered: see [`pair`].
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let line: Line = super::parse(spot.bytes)?;
    let request = line.request.unwrap_or_default();
    let path = request.path.unwrap_or_default();
    let operation = request.operation.as_deref().unwrap_or("operation");
    let mut access = spot.access(Format::Vault, format!("{operation} {path}"));
    access.time = line.time.as_deref().and_then(|time| time.parse().ok());
    let auth = line.auth.unwrap_or_default();
    // Shown by the caller, or handed to the caller, or in the data of a write or an answer.
    let shown = [&request.client_token, &request.client_token_accessor, &auth.client_token, &auth.accessor];
    let is_login =
        request.client_token.is_none() && line.response.as_ref().is_some_and(|it| it.auth.is_some());
    let is_ours =
        |text: &str| needles.within(text.as_bytes()).is_some_and(|needle| needle.label == spot.credential);
    // What a login shows stands in its data: a secret id, a password, a signed token.
    let logs_in = path.starts_with("auth/")
        && path.contains("login")
        && request.data.as_ref().is_some_and(|data| data.to_string().contains(spot.credential));
    let used = logs_in || !is_login && shown.into_iter().flatten().any(|text| is_ours(text));
    if !used && path.starts_with(LOOK_UP) {
        return Ok(None);
    }
    access.role = if used { Role::Used } else { Role::Mentioned };
    access.actor = auth.display_name.filter(|name| !name.is_empty()).or(auth.entity_id);
    let namespace = request.namespace.and_then(|namespace| namespace.path).unwrap_or_default();
    access.resource = Some(format!("{namespace}{path}"));
    access.address = request.remote_address;
    access.agent = request.headers.as_ref().and_then(|headers| {
        let agent = headers.get("user-agent").or_else(|| headers.get("User-Agent"))?;
        agent.get(0).unwrap_or(agent).as_str().map(str::to_owned)
    });
    access.reads = match operation {
        "read" | "list" | "scan" | "help" => Some(true),
        "create" | "update" | "patch" | "delete" | "revoke" => Some(false),
        _ => None,
    };
    access.outcome = match (line.kind.as_deref(), line.error.filter(|error| !error.is_empty())) {
        (_, Some(error)) if error.contains("permission denied") || error.contains("invalid token") => {
            Outcome::Denied(error)
        }
        (_, Some(error)) => Outcome::Failed(error),
        (Some("response"), None) => Outcome::Allowed,
        (_, None) => Outcome::Unknown,
    };
    access.request = request.id;
    if access.role == Role::Used && access.outcome == Outcome::Allowed {
        access.made = made(&path, operation, line.response.unwrap_or_default());
    }
    if auth.policies.is_some_and(|policies| policies.iter().any(|policy| policy == "root")) {
        access.actor = Some(format!("{} (root)", access.actor.as_deref().unwrap_or("a token")));
    }
    Ok(Some(access))
}

/// A token that was made is followed by its accessor, which is plain unless the device hashes accessors, too.
fn made(path: &str, operation: &str, response: Response) -> Vec<Made> {
    let mut made = Vec::new();
    if let Some(accessor) = response.auth.and_then(|auth| auth.accessor) {
        made.push(Made { kind: MadeKind::Token, id: accessor });
    }
    if let Some(Wrapped { token, accessor, inner }) = response.wrap_info {
        let ids = [token, accessor, inner].into_iter().flatten().filter(|id| !id.is_empty());
        made.extend(ids.map(|id| Made { kind: MadeKind::Token, id }));
    }
    let lease = response.secret.as_ref().and_then(|secret| secret.get("lease_id")).and_then(Value::as_str);
    made.extend(
        lease.filter(|id| !id.is_empty()).map(|id| Made { kind: MadeKind::Session, id: id.to_owned() }),
    );
    let writes = matches!(operation, "create" | "update");
    if writes && (path.starts_with("sys/policies/") || path.starts_with("sys/policy/")) {
        made.push(Made { kind: MadeKind::Policy, id: path.to_owned() });
    }
    if writes && (path.starts_with("sys/auth/") || path.contains("/role/") || path.contains("/users/")) {
        made.push(Made { kind: MadeKind::User, id: path.to_owned() });
    }
    made
}

/// Joins requests with their responses: a request that was answered is dropped, one that was not stays, as it may have been carried
/// out. OpenBao 2.7 writes the refusal of a token into both lines: such a pair is one. Other answers are never joined: callers of
/// Kubernetes choose the id of their requests, and could hide one behind another.
pub(crate) fn pair(all: &mut Vec<Access>) {
    let key = |access: &Access| {
        let request = access.request.clone().filter(|_| access.format.answers_apart())?;
        Some((
            access.format,
            request,
            access.credential.clone(),
            access.action.clone(),
            access.resource.clone(),
            access.address.clone(),
        ))
    };
    let mut answers: BTreeMap<_, (bool, usize)> = BTreeMap::new();
    for (at, access) in all.iter().enumerate().filter(|(_, access)| access.outcome != Outcome::Unknown) {
        if let Some(key) = key(access) {
            let refused = access.format == Format::Vault && access.outcome != Outcome::Allowed;
            answers.insert(key, (refused, at));
        }
    }
    let mut at = 0..;
    all.retain(|access| {
        let at = at.next();
        let Some((refused, last)) = key(access).and_then(|key| answers.get(&key).copied()) else {
            return true;
        };
        if access.outcome == Outcome::Unknown { false } else { !refused || Some(last) == at }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needle::Needle;

    const TOKEN: &str = "hmac-sha256:5f9c0d6e";

    fn read(text: &str) -> Option<Access> {
        let needles = Needles::new(vec![Needle::id(TOKEN).unwrap()]).unwrap();
        line(Spot { object: "audit.log", place: 1, bytes: text.as_bytes(), credential: TOKEN }, &needles)
            .unwrap()
    }

    fn entry(kind: &str, path: &str, rest: &str) -> String {
        format!(
            r#"{{"time":"2026-03-02T10:00:00.1Z","type":"{kind}","auth":{{"client_token":"{TOKEN}","display_name":"token-ci",
            "policies":["default"]}},"request":{{"id":"q1","operation":"read","path":"{path}","client_token":"{TOKEN}",
            "remote_address":"203.0.113.7"}}{rest}}}"#
        )
    }

    #[test]
    fn a_response_is_a_use_and_swallows_its_request() {
        let request = read(&entry("request", "kv/data/orders", "")).unwrap();
        assert_eq!((request.outcome.clone(), request.role), (Outcome::Unknown, Role::Used));
        let response = read(&entry("response", "kv/data/orders", "")).unwrap();
        assert_eq!(response.outcome, Outcome::Allowed);
        assert_eq!(response.action, "read kv/data/orders");
        let mut all = vec![request.clone(), response.clone()];
        pair(&mut all);
        assert_eq!(all, [response]);
        let refusal = r#","error":"permission denied""#;
        let both =
            [read(&entry("request", "kv/data/x", refusal)), read(&entry("response", "kv/data/x", refusal))];
        let mut both: Vec<Access> = both.into_iter().flatten().collect();
        pair(&mut both);
        assert_eq!(both.len(), 1, "one refusal is one");
        let mut alone = vec![request.clone()];
        pair(&mut alone);
        assert_eq!(alone, [request], "a request without a response may have been carried out");
    }

    #[test]
    fn our_own_look_up_is_no_evidence() {
        let look_up = entry("response", "sys/audit-hash/file", "");
        let of_others = look_up
            .replace(&format!(r#""client_token":"{TOKEN}""#), r#""client_token":"hmac-sha256:of-quell""#);
        assert_eq!(read(&of_others.replace("}}", &format!(r#","data":{{"input":"{TOKEN}"}}}}}}"#))), None);
        assert_eq!(read(&look_up).unwrap().role, Role::Used, "somebody asked with the leaked token itself");
    }

    #[test]
    fn a_refusal_is_told() {
        let refused =
            read(&entry("response", "kv/data/x", r#","error":"1 error occurred: permission denied""#))
                .unwrap();
        assert!(matches!(refused.outcome, Outcome::Denied(_)), "{refused:?}");
    }

    #[test]
    fn a_token_in_the_answer_was_handed_out_not_used() {
        let login = format!(
            r#"{{"type":"response","auth":{{"client_token":"{TOKEN}"}},"request":{{"id":"q","operation":"update","path":"auth/approle/login"}},
            "response":{{"auth":{{"client_token":"{TOKEN}","accessor":"a1"}}}}}}"#
        );
        assert_eq!(read(&login).unwrap().role, Role::Mentioned);
        let child = entry(
            "response",
            "auth/token/create",
            r#","response":{"auth":{"client_token":"hmac-sha256:other","accessor":"AccessorOfChild"}}"#,
        );
        let made = read(&child).unwrap();
        assert_eq!(made.role, Role::Used);
        assert_eq!(made.made, [Made { kind: MadeKind::Token, id: "AccessorOfChild".to_owned() }]);
        let wrapped = entry(
            "response",
            "auth/token/create",
            r#","response":{"wrap_info":{"ttl":60,"token":"hmac-sha256:wrapping","accessor":"hmac-sha256:accessor","wrapped_accessor":"AccessorInside"}}"#,
        );
        let ids: Vec<String> = read(&wrapped).unwrap().made.into_iter().map(|made| made.id).collect();
        assert_eq!(ids, ["hmac-sha256:wrapping", "hmac-sha256:accessor", "AccessorInside"]);
        // Whoever unwraps it shows it.
        let unwrap = entry("response", "sys/wrapping/unwrap", "").replace(TOKEN, "hmac-sha256:wrapping");
        let needles = Needles::new(vec![Needle::id("hmac-sha256:wrapping").unwrap()]).unwrap();
        let spot =
            Spot { object: "o", place: 1, bytes: unwrap.as_bytes(), credential: "hmac-sha256:wrapping" };
        assert_eq!(line(spot, &needles).unwrap().unwrap().role, Role::Used);
    }
}
