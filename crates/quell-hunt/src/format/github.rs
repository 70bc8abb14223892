//! GitHub's audit log, as it is streamed: one JSON object a line. A file that is one array, as the API answers, is none.
//!
//! The credential is `hashed_token`, the base64 of the token's SHA-256, or `token_id`. Without streaming, events of Git are kept for
//! seven days, and requests to the API are there only if the enterprise switched them on.
//!
//! Fields: <https://docs.github.com/en/enterprise-cloud@latest/admin/monitoring-activity-in-your-enterprise/reviewing-audit-logs-for-your-enterprise/identifying-audit-log-events-performed-by-an-access-token>
//! and <https://docs.github.com/en/enterprise-cloud@latest/admin/monitoring-activity-in-your-enterprise/reviewing-audit-logs-for-your-enterprise/audit-log-events-for-your-enterprise>.

use serde::Deserialize;
use serde_json::Value;

use super::{Format, Spot, has_name, http, parse, value_after};
use crate::needle::Needles;
use crate::record::{Access, Made, MadeKind, Outcome, Role};

/// Events that are about a token, whose `token_id` may be that of another one than the caller's.
const ABOUT_TOKENS: [&str; 3] =
    ["personal_access_token.", "org_credential_authorization.", "oauth_authorization."];

/// A line of an audit log: `action` is a category and a verb, and the time is in milliseconds.
pub(super) fn is(line: &[u8]) -> bool {
    let category = |text: &[u8]| {
        let text = text.strip_prefix(b"\"").unwrap_or_default();
        let mut words = text.split(|byte| !(byte.is_ascii_lowercase() || *byte == b'_'));
        words.next().is_some_and(|word| !word.is_empty() && text.get(word.len()) == Some(&b'.'))
    };
    let millis = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count() == 13;
    value_after(line, "action").any(category)
        && ["@timestamp", "created_at"].iter().any(|name| value_after(line, name).any(millis))
        && ["actor", "org", "business", "repo", "repository"].iter().any(|name| has_name(line, name))
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "@timestamp")]
    timestamp: Option<i64>,
    created_at: Option<i64>,
    #[serde(rename = "_document_id")]
    id: Option<String>,
    request_id: Option<String>,
    action: Option<String>,
    operation_type: Option<String>,
    actor: Option<String>,
    actor_ip: Option<String>,
    user_agent: Option<String>,
    repo: Option<Value>,
    repository: Option<Value>,
    org: Option<Value>,
    business: Option<String>,
    user: Option<String>,
    team: Option<String>,
    hashed_token: Option<String>,
    token_id: Option<Value>,
    programmatic_access_type: Option<String>,
    fingerprint: Option<String>,
    request_method: Option<String>,
    status_code: Option<u64>,
}

/// One line. The URL and its query, which events of the API have, are not read.
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let line: Line = parse(spot.bytes)?;
    let action = line.action.clone().unwrap_or_else(|| "an event without a name".to_owned());
    let method = line.request_method.as_deref().unwrap_or_default();
    let words = if method.is_empty() { action.clone() } else { format!("{action} {method}") };
    let mut access = spot.access(Format::Github, words);
    let time = line.timestamp.or(line.created_at);
    access.time = time.and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    if line.showed(&action, &spot, needles) {
        access.role = Role::Used;
    }
    access.outcome = match line.status_code {
        Some(status) => http(status, None),
        None if action.contains("failed_login") => Outcome::Denied(action.clone()),
        // What else is in the log was done.
        None => Outcome::Allowed,
    };
    access.reads = line.reads(&action, method);
    if access.role == Role::Used && access.outcome == Outcome::Allowed {
        access.made = line.made(&action);
    }
    access.actor = line.actor;
    if let Some(kind) = &line.programmatic_access_type {
        access.actor = Some(format!("{} ({kind})", access.actor.as_deref().unwrap_or("somebody")));
    }
    let org = line.org.as_ref().and_then(words_of);
    let repository = [line.repo, line.repository].iter().flatten().find_map(words_of);
    access.resource = repository.or_else(|| org.clone());
    access.account = org.or(line.business);
    access.address = line.actor_ip;
    access.agent = line.user_agent;
    access.request = line.request_id.or(line.id);
    Ok(Some(access))
}

/// A name; for an event about several, GitHub lists them.
fn words_of(value: &Value) -> Option<String> {
    if let Some(list) = value.as_array() {
        let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        return (!names.is_empty()).then(|| names.join(", "));
    }
    value.as_str().map(str::to_owned)
}

impl Line {
    /// The hash is that of what the caller authenticated with, in every event; the number is, too, except in events about tokens.
    fn showed(&self, action: &str, spot: &Spot<'_>, needles: &Needles) -> bool {
        let about = ABOUT_TOKENS.iter().any(|category| action.starts_with(category));
        let number = self.token_id.as_ref().filter(|_| !about).map(|id| match id.as_str() {
            Some(text) => text.to_owned(),
            None => id.to_string(),
        });
        // Base64 has characters that no word has: it is compared whole.
        let hash = self.hashed_token.as_deref().unwrap_or_default().as_bytes();
        let ours = |text: &[u8]| {
            needles.list().iter().any(|needle| needle.label == spot.credential && needle.bytes() == text)
        };
        ours(hash) || number.is_some_and(|number| ours(number.as_bytes()))
    }

    fn reads(&self, action: &str, method: &str) -> Option<bool> {
        match (self.operation_type.as_deref(), action, method) {
            (_, "git.clone" | "git.fetch", _) | (_, _, "GET" | "HEAD") | (Some("access"), _, "") => {
                Some(true)
            }
            (_, "git.push", _) | (_, _, "POST" | "PUT" | "PATCH" | "DELETE") => Some(false),
            (Some("create" | "modify" | "remove" | "restore" | "transfer"), ..) => Some(false),
            _ => None,
        }
    }

    /// What came into being: keys that let somebody in, and members.
    fn made(&self, action: &str) -> Vec<Made> {
        let place = [&self.repo, &self.repository, &self.org].into_iter().flatten().find_map(words_of);
        let place = place.as_deref().unwrap_or("GitHub");
        let made = match action {
            "public_key.create" | "deploy_key.create" => {
                self.fingerprint.clone().map(|id| Made { kind: MadeKind::Key, id })
            }
            "repo.add_member" | "org.add_member" | "org.invite_member" | "org.update_member"
            | "team.add_member" => {
                let who = self.user.as_ref().or(self.team.as_ref());
                who.map(|who| Made { kind: MadeKind::Policy, id: format!("{action} of {who} for {place}") })
            }
            _ => None,
        };
        made.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use quell_core::secret::SecretValue;

    use super::super::tests::read;
    use super::*;
    use crate::needle::Needle;

    const HASH: &str = "5v8f+q1mCkYzExampleExampleExample/ExampleHA=";

    fn event(action: &str, rest: &str) -> String {
        format!(
            r#"{{"@timestamp":1772445600123,"_document_id":"doc-1","action":"{action}","actor":"octo-ci","actor_id":7,
            "actor_ip":"203.0.113.9","user_agent":"git/2.50","repo":"octo/shop","org":"octo","created_at":1772445600123,
            "programmatic_access_type":"Personal access token (classic)","token_id":123456789,"hashed_token":"{HASH}"{rest}}}"#
        )
    }

    #[test]
    fn a_use_is_told_by_the_hash_and_by_the_number() {
        let text = event("git.clone", "");
        assert!(is(text.as_bytes()));
        for id in [HASH, "123456789"] {
            let access = read(Format::Github, &text, id).unwrap();
            assert_eq!(
                (access.role, access.outcome, access.reads),
                (Role::Used, Outcome::Allowed, Some(true))
            );
            assert_eq!(access.time, Some("2026-03-02T10:00:00.123Z".parse().unwrap()));
            assert_eq!(access.actor.as_deref(), Some("octo-ci (Personal access token (classic))"));
            assert_eq!(
                (access.resource.as_deref(), access.address.as_deref()),
                (Some("octo/shop"), Some("203.0.113.9"))
            );
        }
    }

    #[test]
    fn the_hash_is_worked_out_from_the_token() {
        let token = SecretValue::from_text("not-a-token-of-anybody".to_owned());
        let needles = Needles::new(Needle::value("the value", &token).unwrap()).unwrap();
        let hash = "v11Emjf9mNrWjgx+ckvRo0KKePyZWOm0S24d0Zvw28w=";
        let text = event("git.push", "").replace(HASH, hash);
        let spot = Spot { object: "o", place: 1, bytes: text.as_bytes(), credential: "the value" };
        let access = line(spot, &needles).unwrap().unwrap();
        assert_eq!((access.role, access.reads), (Role::Used, Some(false)));
    }

    #[test]
    fn an_event_about_a_token_is_no_use_of_it() {
        let text = event("personal_access_token.access_granted", "");
        assert_eq!(read(Format::Github, &text, "123456789").unwrap().role, Role::Mentioned);
        assert_eq!(read(Format::Github, &text, HASH).unwrap().role, Role::Used);
        assert_eq!(read(Format::Github, &text, "doc-1-and-more").unwrap().role, Role::Mentioned);
    }

    #[test]
    fn a_status_tells_refusals_from_failures_and_no_query_is_kept() {
        let rest = |status: u16| {
            format!(
                r#","request_method":"GET","url_path":"/hook/s3cr3t","query_string":"?t=s3cr3t","status_code":{status}"#
            )
        };
        for (status, outcome) in [
            (200, Outcome::Allowed),
            (403, Outcome::Denied("403".to_owned())),
            (404, Outcome::Failed("404".to_owned())),
        ] {
            let access = read(Format::Github, &event("api.request", &rest(status)), HASH).unwrap();
            assert_eq!(access.outcome, outcome);
            assert_eq!(access.action, "api.request GET");
            assert!(!format!("{access:?}").contains("s3cr3t"), "{access:?}");
        }
    }

    #[test]
    fn a_key_that_it_added_is_told() {
        let text = event("public_key.create", r#","fingerprint":"SHA256:ExampleFingerprint""#);
        let made = read(Format::Github, &text, HASH).unwrap().made;
        assert_eq!(made, [Made { kind: MadeKind::Key, id: "SHA256:ExampleFingerprint".to_owned() }]);
    }

    #[test]
    fn other_json_is_not_of_this_format() {
        for text in [
            r#"{"@timestamp":"2026-03-02T10:00:00Z","message":"hello","user":"x"}"#,
            r#"{"created_at":1,"action":"pull","user":"x"}"#,
            r#"{"action":"opened","repository":{"id":1}}"#,
            "{",
        ] {
            assert!(!is(text.as_bytes()), "{text}");
        }
        assert!(read(Format::Github, &event("git.clone", r#","status_code":"x""#), HASH).is_err());
    }
}
