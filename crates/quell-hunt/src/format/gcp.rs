//! Google Cloud's audit logs: log entries with `protoPayload`, one JSON object a line, as a sink to Cloud Storage writes them.
//!
//! The credential is `authenticationInfo.serviceAccountKeyName`, which ends in `/keys/` and the key's id. The account's email is a
//! needle, too, which cannot tell a key from another or from a token of the metadata server. A token that the account made for
//! another account is told by `serviceAccountDelegationInfo`. Data Access logs are off by default for all but `BigQuery`: a read that
//! is not there may have happened.
//!
//! Fields: <https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog> and
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>.

use serde::Deserialize;
use serde_json::Value;

use super::{Format, Spot, has_name, has_text, parse, text};
use crate::needle::Needles;
use crate::record::{Access, Made, MadeKind, Outcome, Role};

/// A log entry of Cloud Audit.
pub(super) fn is(line: &[u8]) -> bool {
    has_name(line, "protoPayload")
        && (has_text(line, "@type", "type.googleapis.com/google.cloud.audit.AuditLog\"")
            || has_name(line, "logName") && has_name(line, "methodName"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    timestamp: Option<String>,
    receive_timestamp: Option<String>,
    insert_id: Option<String>,
    severity: Option<String>,
    resource: Option<Value>,
    proto_payload: Option<Payload>,
    http_request: Option<Http>,
}

/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest>: numbers of 64 bits are texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    response_size: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    service_name: Option<String>,
    method_name: Option<String>,
    resource_name: Option<String>,
    status: Option<Status>,
    authentication_info: Option<Caller>,
    authorization_info: Option<Vec<Value>>,
    request_metadata: Option<Metadata>,
    response: Option<Value>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Caller {
    principal_email: Option<String>,
    principal_subject: Option<String>,
    service_account_key_name: Option<String>,
    service_account_delegation_info: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    caller_ip: Option<String>,
    caller_supplied_user_agent: Option<String>,
}

/// One line. Requests are not read, and responses only for the names of what was made.
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let line: Line = parse(spot.bytes)?;
    let Some(payload) = line.proto_payload else {
        // An entry of another log in the same file.
        return Ok(Some(text(Format::Gcp, spot)));
    };
    let method = payload.method_name.as_deref().unwrap_or("a method without a name");
    let service = payload.service_name.as_deref().unwrap_or_default();
    let service = service.strip_suffix(".googleapis.com").unwrap_or(service);
    let action = if service.is_empty() { method.to_owned() } else { format!("{service}:{method}") };
    let mut access = spot.access(Format::Gcp, action);
    let time = line.timestamp.or(line.receive_timestamp);
    access.time = time.and_then(|time| time.parse().ok());
    let caller = payload.authentication_info.as_ref();
    if caller.is_some_and(|caller| caller.showed(&spot, needles)) {
        access.role = Role::Used;
    }
    access.outcome = outcome(payload.status.as_ref(), line.severity.as_deref());
    access.reads = payload.reads();
    if access.role == Role::Used && access.outcome == Outcome::Allowed {
        access.made = payload.made(method);
    }
    access.actor = caller.and_then(Caller::name);
    access.resource = payload.resource_name;
    let metadata = payload.request_metadata.unwrap_or_default();
    access.address = metadata.caller_ip;
    access.agent = metadata.caller_supplied_user_agent;
    access.request = line.insert_id;
    let size = line.http_request.and_then(|http| http.response_size);
    access.bytes = size.and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok()));
    let label = |at| line.resource.as_ref()?.pointer(at)?.as_str().map(str::to_owned);
    (access.account, access.region) = (label("/labels/project_id"), label("/labels/location"));
    Ok(Some(access))
}

impl Caller {
    fn showed(&self, spot: &Spot<'_>, needles: &Needles) -> bool {
        let delegates = self.service_account_delegation_info.iter().flatten().flat_map(|delegate| {
            ["/firstPartyPrincipal/principalEmail", "/principalSubject"]
                .map(|at| delegate.pointer(at)?.as_str())
        });
        let own = [&self.service_account_key_name, &self.principal_email, &self.principal_subject];
        spot.is_in_any(own.map(Option::as_deref).into_iter().chain(delegates), needles)
    }

    fn name(&self) -> Option<String> {
        let email = self.principal_email.clone().filter(|email| !email.is_empty());
        email.or_else(|| self.principal_subject.clone())
    }
}

/// Codes: <https://cloud.google.com/apis/design/errors#handling_errors>. The message may quote the request and is not kept.
fn outcome(status: Option<&Status>, severity: Option<&str>) -> Outcome {
    match (status.and_then(|status| status.code), severity) {
        (Some(7), _) => Outcome::Denied("PERMISSION_DENIED".to_owned()),
        (Some(16), _) => Outcome::Denied("UNAUTHENTICATED".to_owned()),
        (None | Some(0), Some(worse @ ("ERROR" | "CRITICAL" | "ALERT" | "EMERGENCY"))) => {
            Outcome::Failed(worse.to_owned())
        }
        (None | Some(0), _) => Outcome::Allowed,
        (Some(code), _) => Outcome::Failed(format!("code {code}")),
    }
}

impl Payload {
    /// By the kinds of the rights that were asked for: `ADMIN_READ`, `DATA_WRITE`.
    fn reads(&self) -> Option<bool> {
        let kinds = self.authorization_info.iter().flatten();
        let kinds: Vec<&str> = kinds.filter_map(|asked| asked.get("permissionType")?.as_str()).collect();
        if kinds.iter().any(|kind| kind.ends_with("_WRITE")) {
            return Some(false);
        }
        kinds.iter().any(|kind| kind.ends_with("_READ")).then_some(true)
    }

    fn made(&self, method: &str) -> Vec<Made> {
        let method = method.rsplit('.').next().unwrap_or_default();
        let answered = |name: &str| self.response.as_ref()?.get(name)?.as_str();
        let made = match method {
            "CreateServiceAccountKey" | "UploadServiceAccountKey" => {
                let id = answered("name").and_then(|name| name.rsplit_once("/keys/")).map(|(_, id)| id);
                id.map(|id| (MadeKind::Key, id))
            }
            "CreateServiceAccount" => answered("email").map(|email| (MadeKind::User, email)),
            "SetIamPolicy" | "SetIAMPolicy" | "setIamPermissions" => {
                self.resource_name.as_deref().map(|on| (MadeKind::Policy, on))
            }
            _ => None,
        };
        made.map(|(kind, id)| Made { kind, id: id.to_owned() }).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const KEY: &str = "0123example4567key89abcdef";
    const EMAIL: &str = "ci@shop-example.iam.gserviceaccount.com";

    fn entry(method: &str, caller: &str, rest: &str) -> String {
        format!(
            r#"{{"insertId":"i-1","logName":"projects/shop-example/logs/cloudaudit.googleapis.com%2Fdata_access","protoPayload":
            {{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","serviceName":"storage.googleapis.com","methodName":"{method}",
            "resourceName":"projects/_/buckets/b/objects/o","authenticationInfo":{{{caller}}},"authorizationInfo":[{{"permission":
            "storage.objects.get","granted":true,"permissionType":"DATA_READ"}}],"requestMetadata":{{"callerIp":"203.0.113.9",
            "callerSuppliedUserAgent":"gcloud/500"}}{rest}}},"resource":{{"type":"gcs_bucket","labels":{{"project_id":"shop-example",
            "location":"eu"}}}},"severity":"INFO","timestamp":"2026-03-02T10:00:00.5Z"}}"#
        )
    }

    fn with_key() -> String {
        format!(
            r#""principalEmail":"{EMAIL}","serviceAccountKeyName":"//iam.googleapis.com/projects/p/serviceAccounts/{EMAIL}/keys/{KEY}""#
        )
    }

    #[test]
    fn a_use_is_told_by_the_key_and_by_the_account() {
        let text = entry("storage.objects.get", &with_key(), "");
        assert!(is(text.as_bytes()));
        for id in [KEY, EMAIL] {
            let access = read(Format::Gcp, &text, id).unwrap();
            assert_eq!(
                (access.role, access.outcome, access.reads),
                (Role::Used, Outcome::Allowed, Some(true))
            );
            assert_eq!(access.action, "storage:storage.objects.get");
            assert_eq!(
                (access.actor.as_deref(), access.account.as_deref()),
                (Some(EMAIL), Some("shop-example"))
            );
        }
        let sized = text.replacen('{', r#"{"httpRequest":{"responseSize":"4711"},"#, 1);
        assert_eq!(read(Format::Gcp, &sized, KEY).unwrap().bytes, Some(4711));
        let other = text.replace(KEY, &format!("{KEY}0"));
        assert_eq!(read(Format::Gcp, &other, KEY).unwrap().role, Role::Mentioned);
    }

    #[test]
    fn acting_as_another_account_is_a_use() {
        let caller = format!(
            r#""principalEmail":"admin@x.example","serviceAccountDelegationInfo":[{{"firstPartyPrincipal":{{"principalEmail":"{EMAIL}"}}}}]"#
        );
        let access = read(Format::Gcp, &entry("m.Get", &caller, ""), EMAIL).unwrap();
        assert_eq!((access.role, access.actor.as_deref()), (Role::Used, Some("admin@x.example")));
    }

    #[test]
    fn a_key_that_was_made_is_followed_and_was_not_used_there() {
        let method = "google.iam.admin.v1.CreateServiceAccountKey";
        let rest = r#","status":{},"response":{"name":"projects/p/serviceAccounts/x/keys/child0key0id"}"#;
        let text = entry(method, &with_key(), rest);
        let made = read(Format::Gcp, &text, KEY).unwrap().made;
        assert_eq!(made, [Made { kind: MadeKind::Key, id: "child0key0id".to_owned() }]);
        assert_eq!(read(Format::Gcp, &text, "child0key0id").unwrap().role, Role::Mentioned);
    }

    #[test]
    fn refusals_are_told_from_failures() {
        for (code, expected) in [
            (7, Outcome::Denied("PERMISSION_DENIED".to_owned())),
            (16, Outcome::Denied("UNAUTHENTICATED".to_owned())),
            (5, Outcome::Failed("code 5".to_owned())),
            (0, Outcome::Allowed),
        ] {
            let rest = format!(r#","status":{{"code":{code},"message":"about s3cr3t"}}"#);
            let access = read(Format::Gcp, &entry("m.Get", &with_key(), &rest), KEY).unwrap();
            assert_eq!(access.outcome, expected);
            assert!(!format!("{access:?}").contains("s3cr3t"));
        }
        assert_eq!(outcome(None, Some("ERROR")), Outcome::Failed("ERROR".to_owned()));
    }

    #[test]
    fn another_entry_only_says_that_it_is_named() {
        let text = format!(r#"{{"textPayload":"{KEY}","timestamp":"2026-03-02T10:00:00Z"}}"#);
        assert!(!is(text.as_bytes()));
        assert_eq!(read(Format::Gcp, &text, KEY).unwrap().role, Role::Mentioned);
        assert!(read(Format::Gcp, &entry("m", r#""principalEmail":7"#, ""), KEY).is_err());
    }
}
