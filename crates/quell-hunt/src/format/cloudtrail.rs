//! AWS CloudTrail: an object holds `{"Records":[…]}` on one line. Tools that collect events write them as a list `[…]`, often over many
//! lines: that is read, too.
//!
//! Fields: <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Format, Spot, json, parse, without_values};
use crate::needle::Needles;
use crate::record::{Access, Made, MadeKind, Outcome, Role};

/// An object of records, by its beginning.
pub(super) fn is(head: &[u8]) -> bool {
    begins(head, b"Records")
}

/// A list of events, by names that each of them has. An empty list is one of anything.
pub(super) fn is_list(head: &[u8]) -> bool {
    let has = |name: &[u8]| memchr::memmem::find(head, name).is_some();
    let inner = head.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    inner.is_some_and(|inner| inner.starts_with(b"{")) && has(b"\"eventSource\"") && has(b"\"awsRegion\"")
}

/// A digest names the span of time that it covers and the objects in it.
pub(super) fn is_digest(head: &[u8]) -> bool {
    begins(head, b"awsAccountId") && memchr::memmem::find(head, b"\"digestStartTime\"").is_some()
}

/// Whether the first name in an object is this one.
fn begins(head: &[u8], name: &[u8]) -> bool {
    let rest = head.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    rest.and_then(|rest| rest.strip_prefix(b"\""))
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| rest.starts_with(b"\""))
}

/// Gives each record of a document to `take` as it is come to: a list of all of them would take eight times the room of a document
/// with nothing but `0,0,…` in it.
fn each<'a>(bytes: &'a [u8], take: &mut dyn FnMut(&'a RawValue)) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = if bytes.trim_ascii_start().starts_with(b"[") {
        Each(take).deserialize(&mut json)
    } else {
        File(take).deserialize(&mut json)
    };
    read.and_then(|()| json.end()).map_err(|error| json::told(&error))
}

/// A list whose members are given away one by one.
struct Each<'f, 'a>(&'f mut dyn FnMut(&'a RawValue));

impl<'a> DeserializeSeed<'a> for Each<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Each<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(record) = list.next_element()? {
            (self.0)(record);
        }
        Ok(())
    }
}

/// An object with such a list under `Records`.
struct File<'f, 'a>(&'f mut dyn FnMut(&'a RawValue));

impl<'a> DeserializeSeed<'a> for File<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for File<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with records")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(name) = object.next_key::<Cow<'a, str>>()? {
            if name != "Records" {
                object.next_value::<IgnoredAny>()?;
            } else if seen {
                return Err(A::Error::duplicate_field("Records"));
            } else {
                seen = true;
                object.next_value_seed(Each(&mut *self.0))?;
            }
        }
        if seen { Ok(()) } else { Err(A::Error::missing_field("Records")) }
    }
}

/// A larger record is no record of CloudTrail's (256 KiB are its limit).
const MAX_RECORD: usize = 1 << 20;

/// The records of an object that have a needle in them, and how many of these nobody could read: those are kept as text. What stands
/// before the place where a document is damaged is read.
pub(crate) fn records(object: &str, bytes: &[u8], needles: &Needles) -> (Vec<Access>, u64) {
    let (mut found, mut unparsed) = (Vec::new(), 0);
    let unread = |place, bytes, why: &str, found: &mut Vec<Access>| {
        for credential in needles.labels_in_json(bytes) {
            found.push(super::unparsed(Format::Cloudtrail, Spot { object, place, bytes, credential }, why));
        }
    };
    let (mut place, mut end) = (0, 0);
    let read = each(bytes, &mut |raw| {
        place += 1;
        let record = raw.get().as_bytes();
        // Where it ends in the document: it is a part of it.
        end = record.as_ptr().addr().saturating_sub(bytes.as_ptr().addr()) + record.len();
        let labels = needles.labels_in_json(record);
        if labels.is_empty() {
            return;
        }
        let read = if record.len() > MAX_RECORD { Err("it is too large".to_owned()) } else { parse(record) };
        let parsed: Record<'_> = match read {
            Ok(parsed) => parsed,
            Err(why) => {
                unparsed += 1;
                unread(place, record, &why, &mut found);
                return;
            }
        };
        for credential in labels {
            let spot = Spot { object, place, bytes: record, credential };
            found.push(without_values(parsed.access(spot, needles), needles));
        }
    });
    if let Err(why) = read {
        unparsed += 1;
        unread(0, bytes.get(end..).unwrap_or_default(), &why, &mut found);
    }
    (found, unparsed)
}

/// What one record says that somebody else took out of its document.
pub(crate) fn record(spot: Spot<'_>, needles: &Needles) -> Result<Access, String> {
    let record: Record<'_> = parse(spot.bytes)?;
    Ok(without_values(record.access(spot, needles), needles))
}

/// Pairs of a key and one that was made with it, as far as they can be seen without parsing.
///
/// This only saves passes: whoever follows these learns of a credential sooner than by finding its maker's record. Every
/// record begins with its version, and names the caller's key before any other.
pub(crate) fn edges(bytes: &[u8], sink: &mut dyn FnMut(&str, &str)) {
    const START: &[u8] = b"{\"eventVersion\"";
    const KEY: &[u8] = b"\"accessKeyId\":\"";
    // In answers it comes first in its object; in the caller's identity other names come before it.
    static MADE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"{\"accessKeyId\":\""));
    for at in MADE.find_iter(bytes) {
        let (head, tail) = bytes.split_at(at);
        // Written by somebody else in another order, a record cannot be told from its neighbours.
        let Some(start) = memchr::memmem::rfind(head, START) else { continue };
        let record = head.get(start..).unwrap_or_default();
        let caller = memchr::memmem::find(record, KEY).and_then(|at| text_at(record, at + KEY.len()));
        let made = text_at(tail, 1 + KEY.len());
        if let (Some(caller), Some(made)) = (caller, made) {
            sink(caller, made);
        }
    }
}

/// A short text up to the next quote.
fn text_at(bytes: &[u8], from: usize) -> Option<&str> {
    let rest = bytes.get(from..)?;
    let end = memchr::memchr(b'"', rest.get(..130).unwrap_or(rest))?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// What is read of a record. All of it may be missing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    aws_region: Option<Cow<'a, str>>,
    #[serde(rename = "sourceIPAddress", borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error_message: Option<Cow<'a, str>>,
    read_only: Option<Value>,
    #[serde(rename = "requestID", borrow)]
    request: Option<Cow<'a, str>>,
    #[serde(borrow)]
    recipient_account_id: Option<Cow<'a, str>>,
    user_identity: Option<Identity>,
    request_parameters: Option<Value>,
    response_elements: Option<Value>,
    resources: Option<Value>,
    additional_event_data: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    arn: Option<String>,
    principal_id: Option<String>,
    account_id: Option<String>,
    access_key_id: Option<String>,
    user_name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    invoked_by: Option<String>,
}

impl Record<'_> {
    fn access(&self, spot: Spot<'_>, needles: &Needles) -> Access {
        let none = Identity::default();
        let identity = self.user_identity.as_ref().unwrap_or(&none);
        let name = self.event_name.as_deref().unwrap_or("an event without a name");
        let service = self.event_source.as_deref().unwrap_or_default();
        let service = service.strip_suffix(".amazonaws.com").unwrap_or(service);
        let action = if service.is_empty() { name.to_owned() } else { format!("{service}:{name}") };
        let mut access = spot.access(Format::Cloudtrail, action);
        access.time = self.event_time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        // The key that signed. A key id elsewhere is what was done with the key: created, listed, switched off.
        let is_it = |text: &String| {
            let all = needles.list().iter().filter(|needle| needle.label == spot.credential);
            all.into_iter().any(|needle| needle.bytes() == text.as_bytes())
        };
        let callers = [&identity.access_key_id, &identity.arn, &identity.principal_id];
        let signed = callers.into_iter().flatten().any(is_it);
        access.role = if signed { Role::Used } else { Role::Mentioned };
        let who = [
            &identity.arn,
            &identity.user_name,
            &identity.principal_id,
            &identity.invoked_by,
            &identity.kind,
        ];
        access.actor = who.into_iter().flatten().next().cloned();
        access.resource = self.resource();
        access.address = self.source.as_deref().map(str::to_owned);
        access.agent = self.user_agent.as_deref().map(str::to_owned);
        access.outcome = outcome(self.error_code.as_deref(), self.error_message.as_deref());
        access.reads = match &self.read_only {
            Some(Value::Bool(reads)) => Some(*reads),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        access.request = self.request.as_deref().map(str::to_owned);
        // Only data events of S3 have these two.
        if let Some(more) = &self.additional_event_data {
            access.host_id = text(more, &["x-amz-id-2"]);
            access.bytes = more.get("bytesTransferredOut").and_then(whole);
        }
        let account = self.recipient_account_id.as_deref().or(identity.account_id.as_deref());
        access.account = account.map(str::to_owned);
        access.region = self.aws_region.as_deref().map(str::to_owned);
        if access.role == Role::Used && access.outcome == Outcome::Allowed {
            access.made = self.made(name);
        }
        access
    }

    /// What it was about, in the words of the service.
    fn resource(&self) -> Option<String> {
        let listed = self.resources.as_ref().and_then(|list| text(list, &["0", "ARN"]));
        let asked = |name: &str| self.request_parameters.as_ref().and_then(|asked| text(asked, &[name]));
        let bucket = asked("bucketName").map(|bucket| match asked("key") {
            Some(key) => format!("s3://{bucket}/{key}"),
            None => format!("s3://{bucket}"),
        });
        let named = || {
            [
                "secretId",
                "name",
                "roleArn",
                "functionName",
                "tableName",
                "keyId",
                "accessKeyId",
                "userName",
                "roleName",
            ]
            .into_iter()
            .find_map(asked)
        };
        bucket.or(listed).or_else(named)
    }

    /// What came into being. Responses: the API references of STS and IAM.
    fn made(&self, name: &str) -> Vec<Made> {
        let asked = |path: &[&str]| self.request_parameters.as_ref().and_then(|value| text(value, path));
        let answered = |path: &[&str]| self.response_elements.as_ref().and_then(|value| text(value, path));
        let mut made = Vec::new();
        let mut add = |kind, id: Option<String>| made.extend(id.map(|id| Made { kind, id }));
        // Any service may hand out temporary credentials; STS does with each of its calls.
        add(MadeKind::Session, answered(&["credentials", "accessKeyId"]));
        let user = || asked(&["userName"]);
        match name {
            "CreateAccessKey" => add(MadeKind::Key, answered(&["accessKey", "accessKeyId"])),
            "CreateUser" => add(MadeKind::User, answered(&["user", "userName"]).or_else(user)),
            "CreateLoginProfile" | "UpdateLoginProfile" => {
                add(MadeKind::User, user().map(|user| format!("password of {user}")));
            }
            "CreateServiceSpecificCredential" => {
                add(MadeKind::Key, answered(&["serviceSpecificCredential", "serviceSpecificCredentialId"]));
            }
            "CreateRole" => add(MadeKind::User, asked(&["roleName"])),
            "AttachUserPolicy"
            | "AttachRolePolicy"
            | "AttachGroupPolicy"
            | "PutUserPolicy"
            | "PutRolePolicy"
            | "PutGroupPolicy"
            | "CreatePolicyVersion"
            | "SetDefaultPolicyVersion"
            | "UpdateAssumeRolePolicy"
            | "AddUserToGroup"
            | "AddPermission20150331v2" => {
                let to = ["userName", "roleName", "groupName", "policyArn", "functionName"];
                let to = to.into_iter().find_map(|name| asked(&[name]));
                let what = asked(&["policyArn"]).or_else(|| asked(&["policyName"]));
                let what = what.or_else(|| asked(&["groupName"])).unwrap_or_else(|| name.to_owned());
                add(MadeKind::Policy, to.map(|to| format!("{what} for {to}")));
            }
            _ => {}
        }
        made
    }
}

/// The message may be long: EC2's holds what it decided in base64.
const MAX_MESSAGE: usize = 512;

fn outcome(error: Option<&str>, message: Option<&str>) -> Outcome {
    // Services spell refusals in many ways; EC2 says `Client.UnauthorizedOperation`.
    const REFUSALS: [&str; 8] = [
        "AccessDenied",
        "Unauthorized",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "SignatureDoesNotMatch",
        "AuthFailure",
        "ExpiredToken",
        "InvalidAccessKeyId",
    ];
    let message = message.map(|text| text.get(..text.floor_char_boundary(MAX_MESSAGE)).unwrap_or_default());
    let told = |code: &str| match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    };
    match (error, message) {
        // Sign-ins to the console say only this.
        (None, Some(message)) if message.starts_with("Failed authentication") => {
            Outcome::Denied(message.to_owned())
        }
        (None, Some(message)) if !message.is_empty() => Outcome::Failed(message.to_owned()),
        (None, _) => Outcome::Allowed,
        (Some(code), _) if REFUSALS.iter().any(|refusal| code.contains(refusal)) => {
            Outcome::Denied(told(code))
        }
        (Some(code), _) => Outcome::Failed(told(code)),
    }
}

/// A count of bytes, which CloudTrail also writes with a fraction of zero.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.to_string().strip_suffix(".0")?.parse().ok())
}

/// A text by the names on the way to it; numbers count in lists.
fn text(value: &Value, path: &[&str]) -> Option<String> {
    let mut at = value;
    for name in path {
        at = match at {
            Value::Array(list) => list.get(name.parse::<usize>().ok()?)?,
            Value::Object(names) => names.get(*name)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    at.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needle::Needle;

    fn found(text: &str, ids: &[&str]) -> (Vec<Access>, u64) {
        let needles = Needles::new(ids.iter().map(|id| Needle::id(id).unwrap()).collect()).unwrap();
        records("o.json", text.as_bytes(), &needles)
    }

    const USE: &str = r#"{"eventTime":"2026-03-02T10:11:12Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole",
        "awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2","readOnly":true,"requestID":"r-1",
        "recipientAccountId":"111122223333","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ci",
        "accountId":"111122223333","accessKeyId":"AKIAEXAMPLEEXAMPLE01"},"requestParameters":{"roleArn":"arn:aws:iam::1:role/x"},
        "responseElements":{"credentials":{"accessKeyId":"ASIAEXAMPLEEXAMPLE02","expiration":"…"}}}"#;

    #[test]
    fn a_use_is_told_with_what_it_made() {
        let all =
            found(&format!("{{\"Records\":[{{\"eventName\":\"Other\"}},{USE}]}}"), &["AKIAEXAMPLEEXAMPLE01"])
                .0;
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((one.place, one.role, one.action.as_str()), (2, Role::Used, "sts:AssumeRole"));
        assert_eq!(one.made, [Made { kind: MadeKind::Session, id: "ASIAEXAMPLEEXAMPLE02".to_owned() }]);
        assert_eq!(one.time, Some("2026-03-02T10:11:12Z".parse().unwrap()));
        assert_eq!(one.outcome, Outcome::Allowed);
        assert_eq!(one.reads, Some(true));
        assert_eq!(one.resource.as_deref(), Some("arn:aws:iam::1:role/x"));
    }

    #[test]
    fn a_refusal_comes_with_its_message_and_a_value_in_it_is_hidden() {
        use quell_core::secret::SecretValue;
        let id = "AKIAEXAMPLEEXAMPLE01";
        let told = |code: &str, message: &str, needles: &Needles| {
            let text = format!(
                "{{\"Records\":[{}]}}",
                USE.replacen('{', &format!("{{{code}\"errorMessage\":\"{message}\","), 1)
            );
            let (mut all, _) = records("o.json", text.as_bytes(), needles);
            all.retain(|access| access.credential == id);
            all.remove(0).outcome
        };
        let only = Needles::new(vec![Needle::id(id).unwrap()]).unwrap();
        let denied = told("\"errorCode\":\"AccessDenied\",", "User: x is not authorized", &only);
        assert_eq!(denied, Outcome::Denied("AccessDenied: User: x is not authorized".to_owned()));
        assert_eq!(denied.code_and_message(), Some(("AccessDenied", Some("User: x is not authorized"))));
        let long = told("\"errorCode\":\"X\",", &"é".repeat(4_000), &only);
        assert_eq!(long.detail().map(|it| it.chars().count()), Some(3 + MAX_MESSAGE / 2));
        // Sign-ins have no code.
        assert_eq!(
            told("", "Failed authentication", &only),
            Outcome::Denied("Failed authentication".to_owned())
        );
        assert_eq!(told("", "Other", &only), Outcome::Failed("Other".to_owned()));
        assert_eq!(told("", "", &only), Outcome::Allowed);
        let mut both =
            Needle::value("the value", &SecretValue::from_text("s3cr3t-value".to_owned())).unwrap();
        both.push(Needle::id(id).unwrap());
        let both = Needles::new(both).unwrap();
        let hidden = told("\"errorCode\":\"AccessDenied\",", "for s3cr3t-value", &both);
        assert_eq!(hidden, Outcome::Denied(super::super::HIDDEN.to_owned()));
    }

    /// What this process held at most so far, in KiB (`proc(5)`).
    fn peak() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn records_that_are_nothing_take_no_room() {
        let count = 4 << 20;
        let text = format!("{{\"Records\":[{}{USE}]}}", "0,".repeat(count));
        let before = peak();
        let (all, unparsed) = found(&text, &["AKIAEXAMPLEEXAMPLE01"]);
        assert_eq!((all.len(), unparsed, all[0].place), (1, 0, count as u64 + 1));
        // A list of where they are would take 16 bytes for each.
        let more = peak() - before;
        assert!(more < 24 << 10, "{more} KiB");
    }

    #[test]
    fn what_stands_before_the_damage_is_read_and_what_stands_behind_is_told() {
        let id = "AKIAEXAMPLEEXAMPLE01";
        let (all, unparsed) = found(&format!("{{\"Records\":[{USE},{{\"x\":\"{id}\""), &[id]);
        let told: Vec<(u64, Role)> = all.iter().map(|it| (it.place, it.role)).collect();
        assert_eq!((told, unparsed), (vec![(1, Role::Used), (0, Role::Mentioned)], 1));
        for (text, why) in [
            (format!("{{\"Records\":[{USE}],\"Records\":[]}}"), 1),
            (format!("{{\"Records\":[{USE}]}} x"), 1),
            (format!("{{\"Records\":[{USE}],\"more\":{{\"a\":[1]}}}}"), 0),
        ] {
            let (all, unparsed) = found(&text, &[id]);
            assert_eq!((all.len(), unparsed), (1, why), "{text}");
        }
        assert_eq!(found(&format!("{{\"other\":\"{id}\"}}"), &[id]).1, 1, "no records at all");
    }

    #[test]
    fn a_list_of_events_is_read_as_the_document_that_it_came_from() {
        let events: Value = serde_json::from_str(&format!("[{{\"eventName\":\"Other\"}},{USE}]")).unwrap();
        for text in [events.to_string(), serde_json::to_string_pretty(&events).unwrap()] {
            assert_eq!(Format::detect(text.as_bytes()), Some(Format::Cloudtrail), "{text}");
            let (all, unparsed) = found(&text, &["AKIAEXAMPLEEXAMPLE01"]);
            let [one] = all.as_slice() else { panic!("{all:?}") };
            assert_eq!((one.place, one.action.as_str(), unparsed), (2, "sts:AssumeRole", 0));
        }
        for other in ["[]", "[1,2]", "[{\"a\":1}]"] {
            assert_ne!(Format::detect(other.as_bytes()), Some(Format::Cloudtrail), "{other}");
        }
    }

    #[test]
    fn a_key_in_an_answer_was_not_used_there() {
        let all = found(&format!("{{\"Records\":[{USE}]}}"), &["ASIAEXAMPLEEXAMPLE02"]).0;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].role, Role::Mentioned);
        assert!(all[0].made.is_empty(), "what another credential made is not its doing");
    }

    #[test]
    fn one_record_may_be_about_two_credentials() {
        let all =
            found(&format!("{{\"Records\":[{USE}]}}"), &["ASIAEXAMPLEEXAMPLE02", "AKIAEXAMPLEEXAMPLE01"]).0;
        let roles: Vec<(&str, Role)> = all.iter().map(|a| (a.credential.as_str(), a.role)).collect();
        assert_eq!(roles, [("AKIAEXAMPLEEXAMPLE01", Role::Used), ("ASIAEXAMPLEEXAMPLE02", Role::Mentioned)]);
    }

    #[test]
    fn refusals_are_told_from_failures() {
        for (code, refused) in [
            ("AccessDenied", true),
            ("Client.UnauthorizedOperation", true),
            ("InvalidClientTokenId", true),
            ("AccessDeniedException", true),
            ("ThrottlingException", false),
            ("NoSuchBucket", false),
        ] {
            assert_eq!(matches!(outcome(Some(code), None), Outcome::Denied(_)), refused, "{code}");
        }
    }

    #[test]
    fn edges_join_a_caller_with_what_it_made() {
        let record = |caller: &str, rest: &str| {
            format!("{{\"eventVersion\":\"1\",\"userIdentity\":{{\"accessKeyId\":\"{caller}\"}},{rest}}}")
        };
        let text = format!(
            "{{\"Records\":[{},{},{}]}}",
            record(
                "A1",
                "\"responseElements\":{\"credentials\":{\"accessKeyId\":\"S1\",\"sessionToken\":\"x\"}}"
            ),
            record("A2", "\"eventName\":\"GetObject\""),
            record(
                "S1",
                "\"eventName\":\"CreateAccessKey\",\"responseElements\":{\"accessKey\":{\"accessKeyId\":\"B1\"}}"
            ),
        );
        let mut seen = Vec::new();
        edges(text.as_bytes(), &mut |from, to| seen.push(format!("{from}>{to}")));
        assert_eq!(seen, ["A1>S1", "S1>B1"]);
        edges(b"{\"accessKeyId\":\"A {\"accessKeyId\":\"", &mut |_, _| panic!("nothing is there"));
    }

    #[test]
    fn what_cannot_be_read_is_kept_as_text_and_the_rest_is_read() {
        let (all, unparsed) = found(&format!("{{\"Records\":[{USE},"), &["AKIAEXAMPLEEXAMPLE01"]);
        assert_eq!((all.len(), unparsed), (1, 1));
        let wrong = USE.replace("\"AssumeRole\"", "7");
        let (all, unparsed) = found(&format!("{{\"Records\":[{wrong},{USE}]}}"), &["AKIAEXAMPLEEXAMPLE01"]);
        assert_eq!((all.len(), unparsed, all[1].role), (2, 1, Role::Used));
        insta::assert_snapshot!(
            all[0].action,
            @"a record that could not be read (a field has another type than the format says, at column 83)"
        );
    }

    #[test]
    fn a_callers_arn_is_a_use() {
        let (all, _) = found(&format!("{{\"Records\":[{USE}]}}"), &["arn:aws:iam::111122223333:user/ci"]);
        assert_eq!(all[0].role, Role::Used);
    }
}
