//! A Kubernetes API server's audit log: one JSON object a line and stage.
//!
//! The credential is `user.extra["authentication.kubernetes.io/credential-id"]`: `JTI=…` for a token of a service account,
//! `X509SHA256=…` for a client certificate. Older servers do not write it; there, only the user's name is a needle, and it cannot
//! tell one token of a service account from another. What level `RequestResponse` adds (bodies, with secrets in them) is not read.
//!
//! Fields: <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>; annotations:
//! <https://kubernetes.io/docs/reference/labels-annotations-taints/audit-annotations/>.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::combined::shown;
use super::{Format, Spot, has_text, http, parse};
use crate::needle::Needles;
use crate::record::{Access, Made, MadeKind, Outcome, Role};

const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";
const ISSUED: &str = "authentication.kubernetes.io/issued-credential-id";
/// Members may do everything, whatever the rules say
/// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles>).
const MASTERS: &str = "system:masters";
const DECISION: &str = "authorization.k8s.io/decision";

/// A line of an audit log.
pub(super) fn is(line: &[u8]) -> bool {
    has_text(line, "kind", "Event\"") && has_text(line, "apiVersion", "audit.k8s.io/")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    id: Option<String>,
    stage: Option<String>,
    #[serde(rename = "requestURI")]
    uri: Option<String>,
    verb: Option<String>,
    user: Option<User>,
    impersonated_user: Option<User>,
    #[serde(rename = "sourceIPs")]
    sources: Option<Vec<String>>,
    user_agent: Option<String>,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    request_received_timestamp: Option<String>,
    stage_timestamp: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct User {
    username: Option<String>,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Default, Deserialize)]
struct Object {
    namespace: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

#[derive(Default, Deserialize)]
struct Status {
    reason: Option<String>,
    code: Option<u64>,
}

/// One line. A request whose answer is missing is told, too: see [`super::vault::pair`].
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let line: Line = parse(spot.bytes)?;
    let verb = line.verb.as_deref().unwrap_or("request");
    let object = line.object_ref.as_ref().map(Object::path);
    // The query of `exec` is a command; none of it is kept.
    let path = line.uri.as_deref().map(|uri| uri.split(['?', '#']).next().unwrap_or_default());
    let resource = object.or_else(|| path.map(|path| shown(path, &spot)));
    // As rules of RBAC name it: which one it was is the resource.
    let kind = line.object_ref.as_ref().and_then(Object::kind).or_else(|| resource.clone());
    let mut access =
        spot.access(Format::Kubernetes, format!("{verb} {}", kind.as_deref().unwrap_or("something")));
    let time = line.request_received_timestamp.as_ref().or(line.stage_timestamp.as_ref());
    access.time = time.and_then(|time| time.parse().ok());
    let user = line.user.as_ref();
    if user.is_some_and(|user| user.showed(&spot, needles)) {
        access.role = Role::Used;
    }
    access.actor = user.and_then(|user| user.username.clone());
    if let Some(other) = line.impersonated_user.as_ref().and_then(|user| user.username.as_ref()) {
        access.actor = Some(format!("{} as {other}", access.actor.as_deref().unwrap_or("somebody")));
    }
    if user.into_iter().chain(line.impersonated_user.as_ref()).any(User::is_master) {
        access.actor = Some(format!("{} ({MASTERS})", access.actor.as_deref().unwrap_or("somebody")));
    }
    // The last address is the one that the server saw; those before it are what the client's headers say.
    access.address = line.sources.as_ref().and_then(|sources| sources.last().cloned());
    access.reads = match verb {
        "get" | "list" | "watch" | "head" => Some(true),
        // A question is sent as a thing that is created and is never kept.
        "create" if line.object_ref.as_ref().is_some_and(Object::is_review) => Some(true),
        "create" | "update" | "patch" | "delete" | "deletecollection" | "post" | "put" => Some(false),
        _ => None,
    };
    access.outcome = line.outcome();
    if access.role == Role::Used && access.outcome == Outcome::Allowed {
        access.made = line.made(verb);
    }
    access.resource = resource;
    access.agent = line.user_agent;
    access.request = line.id;
    Ok(Some(access))
}

impl Line {
    /// A request that was received may never have been carried out; one whose answer has begun may still fail.
    fn outcome(&self) -> Outcome {
        let status = self.response_status.as_ref();
        let reason = status.and_then(|status| status.reason.clone()).filter(|reason| !reason.is_empty());
        let forbidden = self.annotation(DECISION) == Some("forbid");
        match (self.stage.as_deref(), status.and_then(|status| status.code)) {
            (Some("Panic"), _) => Outcome::Failed("Panic".to_owned()),
            (Some("ResponseComplete"), _) if forbidden => {
                Outcome::Denied(reason.unwrap_or_else(|| "forbid".to_owned()))
            }
            (Some("ResponseComplete"), Some(code)) => http(code, reason),
            _ => Outcome::Unknown,
        }
    }

    /// What came into being: a token by the id that its uses have, rights, accounts, and client certificates that were signed.
    fn made(&self, verb: &str) -> Vec<Made> {
        let mut made = Vec::new();
        let issued = self.annotation(ISSUED).map(str::to_owned);
        made.extend(issued.map(|id| Made { kind: MadeKind::Token, id }));
        let Some(object) = &self.object_ref else { return made };
        let kind = match (object.resource.as_deref().unwrap_or_default(), object.subresource.as_deref()) {
            ("roles" | "clusterroles" | "rolebindings" | "clusterrolebindings", None) => MadeKind::Policy,
            ("serviceaccounts", None) => MadeKind::User,
            ("certificatesigningrequests", Some("approval")) => MadeKind::Key,
            _ => return made,
        };
        if matches!(verb, "create" | "update" | "patch") {
            // What a hunt follows must be as the log has it elsewhere.
            let name = object.name.clone().filter(|_| kind.is_credential());
            made.push(Made { kind, id: name.unwrap_or_else(|| object.path()) });
        }
        made
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

impl User {
    fn is_master(&self) -> bool {
        self.groups.iter().flatten().any(|group| group == MASTERS)
    }

    fn showed(&self, spot: &Spot<'_>, needles: &Needles) -> bool {
        let ids = self.extra.as_ref().and_then(|extra| extra.get(CREDENTIAL));
        ids.is_some_and(|ids| ids.iter().any(|id| spot.is_in(id, needles)))
            || self.username.as_deref() == Some(spot.credential)
    }
}

impl Object {
    fn is_review(&self) -> bool {
        self.resource.as_deref().is_some_and(|resource| resource.ends_with("reviews"))
    }

    /// `resource/subresource`.
    fn kind(&self) -> Option<String> {
        let resource = self.resource.clone()?;
        Some(match &self.subresource {
            Some(sub) => format!("{resource}/{sub}"),
            None => resource,
        })
    }

    /// `namespace/resource/name/subresource`, as far as there is one.
    fn path(&self) -> String {
        let parts = [&self.namespace, &self.resource, &self.name, &self.subresource];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const JTI: &str = "JTI=0f1e2d3c-1111-4222-8333-444455556666";

    fn event(stage: &str, rest: &str) -> String {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a-1","stage":"{stage}",
            "requestURI":"/api/v1/namespaces/shop/secrets/db?fieldManager=x","verb":"get","user":{{"username":
            "system:serviceaccount:shop:ci","uid":"u","groups":["system:authenticated"],"extra":{{"{CREDENTIAL}":["{JTI}"]}}}},
            "sourceIPs":["198.51.100.1","203.0.113.7"],"userAgent":"kubectl/v1.33.0","objectRef":{{"resource":"secrets",
            "namespace":"shop","name":"db","apiVersion":"v1"}},"requestReceivedTimestamp":"2026-03-02T10:00:00.123456Z",
            "stageTimestamp":"2026-03-02T10:00:00.200000Z"{rest}}}"#
        )
    }

    const DONE: &str = r#","responseStatus":{"metadata":{},"code":200}"#;

    #[test]
    fn a_use_is_told_by_the_credential_id() {
        let text = event("ResponseComplete", DONE);
        assert!(is(text.as_bytes()));
        let access = read(Format::Kubernetes, &text, JTI).unwrap();
        assert_eq!((access.role, access.outcome, access.reads), (Role::Used, Outcome::Allowed, Some(true)));
        assert_eq!(
            (access.action.as_str(), access.resource.as_deref()),
            ("get secrets", Some("shop/secrets/db"))
        );
        assert_eq!(access.address.as_deref(), Some("203.0.113.7"));
        assert_eq!(access.actor.as_deref(), Some("system:serviceaccount:shop:ci"));
        assert_eq!(access.time, Some("2026-03-02T10:00:00.123456Z".parse().unwrap()));
        let master = text.replace("system:authenticated", MASTERS);
        let access = read(Format::Kubernetes, &master, JTI).unwrap();
        assert_eq!(access.actor.as_deref(), Some("system:serviceaccount:shop:ci (system:masters)"));
    }

    #[test]
    fn only_the_end_of_a_request_tells_the_outcome() {
        for stage in ["RequestReceived", "ResponseStarted"] {
            let access = read(Format::Kubernetes, &event(stage, DONE), JTI).unwrap();
            assert_eq!((access.role, access.outcome), (Role::Used, Outcome::Unknown), "{stage}");
        }
        let panic = read(Format::Kubernetes, &event("Panic", DONE), JTI).unwrap();
        assert_eq!(panic.outcome, Outcome::Failed("Panic".to_owned()));
        let mut all: Vec<Access> = ["RequestReceived", "ResponseStarted", "ResponseComplete"]
            .map(|stage| read(Format::Kubernetes, &event(stage, DONE), JTI).unwrap())
            .into();
        super::super::vault::pair(&mut all);
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(one.outcome, Outcome::Allowed);
    }

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let denied = r#","responseStatus":{"status":"Failure","reason":"Forbidden","code":403}"#;
        let missing = r#","responseStatus":{"status":"Failure","reason":"NotFound","code":404}"#;
        let decided = r#","annotations":{"authorization.k8s.io/decision":"forbid"}"#;
        for (rest, outcome) in [
            (denied, Outcome::Denied("Forbidden".to_owned())),
            (missing, Outcome::Failed("NotFound".to_owned())),
            (decided, Outcome::Denied("forbid".to_owned())),
            ("", Outcome::Unknown),
        ] {
            assert_eq!(
                read(Format::Kubernetes, &event("ResponseComplete", rest), JTI).unwrap().outcome,
                outcome
            );
        }
    }

    #[test]
    fn a_token_that_was_issued_is_followed_and_was_not_used_there() {
        let rest = format!(r#"{DONE},"annotations":{{"{ISSUED}":"JTI=child-of-the-first"}}"#);
        let text = event("ResponseComplete", &rest).replace("\"get\"", "\"create\"");
        let access = read(Format::Kubernetes, &text, JTI).unwrap();
        assert_eq!(access.made, [Made { kind: MadeKind::Token, id: "JTI=child-of-the-first".to_owned() }]);
        let child = read(Format::Kubernetes, &text, "JTI=child-of-the-first").unwrap();
        assert_eq!((child.role, child.made), (Role::Mentioned, Vec::new()));
    }

    #[test]
    fn wrong_types_are_errors_and_other_events_are_not_of_this_format() {
        let wrong = event("ResponseComplete", DONE).replace("\"code\":200", "\"code\":\"s3cr3t\"");
        let error = read(Format::Kubernetes, &wrong, JTI).unwrap_err();
        insta::assert_snapshot!(error, @"a field has another type than the format says, at column 106");
        assert!(!is(br#"{"kind":"Event","apiVersion":"v1","reason":"Pulled"}"#));
        assert!(!is(br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}"#));
        assert!(!is(br#"{"message":"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}"}"#));
    }
}
