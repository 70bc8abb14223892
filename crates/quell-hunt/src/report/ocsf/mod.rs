//! Accesses as events of OCSF 1.8.0 (<https://schema.ocsf.io/1.8.0>), one JSON object a line.
//!
//! Of the schema's rules those are kept that a reader can check: required attributes, "at least one of", and the ids of enums.
//! What is required and not known is said to be `unknown`, a time is 0; `unmapped.time_unknown` tells such a time from one of 1970.
//! What OCSF has no name for stands under `unmapped`. `docs/reference/access-record.md` has our names beside theirs.

mod class;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::escaped;
use crate::detect::network;
use crate::format::Format;
use crate::record::{Access, Outcome, Role};
use class::{Class, OTHER, Store};

/// The version of OCSF whose names these are.
pub const VERSION: &str = "1.8.0";

/// Stands for what OCSF requires and the log does not say.
const UNKNOWN: &str = "unknown";

/// Writes all of them.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, accesses: &[Access]) -> io::Result<()> {
    accesses.iter().try_for_each(|access| writeln!(out, "{}", escaped(&event(access).to_string())))
}

fn event(access: &Access) -> Value {
    let class = Class::of(access);
    let (uid, activity) = (class.uid(), class.activity());
    let (status_id, status) = match access.outcome {
        Outcome::Allowed => (1, "Success"),
        Outcome::Denied(_) | Outcome::Failed(_) => (2, "Failure"),
        Outcome::Unknown => (0, "Unknown"),
    };
    let cloud = provider(access.format).map(|provider| {
        json!({ "provider": provider, "account": {"uid": access.account}, "region": access.region })
    });
    let (code, message) = access.outcome.code_and_message().unzip();
    let common = json!({
        "category_uid": class.category(),
        "class_uid": uid,
        "activity_id": activity,
        // The name is the source's own where the id says no more than "other".
        "activity_name": (activity == OTHER).then(|| verb(&access.action)),
        "type_uid": u64::from(uid) * 100 + u64::from(activity),
        "severity_id": 1,
        "time": access.time.map_or(0, jiff::Timestamp::as_millisecond),
        "message": access.action,
        "status_id": status_id,
        "status": status,
        "status_code": code,
        "status_detail": message,
        "metadata": {
            "version": VERSION,
            "product": {"name": access.format.word(), "vendor_name": vendor(access.format)},
            "profiles": cloud.as_ref().map(|_| ["cloud"]),
            "log_name": access.object,
            "original_time": access.time.map(|time| time.to_string()),
        },
        "cloud": cloud,
        "actor": actor(access),
        "src_endpoint": from(access),
        "http_request": {"user_agent": access.agent},
        "raw_data_hash": {"algorithm_id": 3, "algorithm": "SHA-256", "value": access.sha256},
        "unmapped": unmapped(access),
    });
    let mut event = [common, details(access, class)].into_iter().fold(Map::new(), |mut event, part| {
        if let Value::Object(part) = part {
            event.extend(part);
        }
        event
    });
    prune(&mut event);
    Value::Object(event)
}

/// What only one class has.
fn details(access: &Access, class: Class) -> Value {
    let resource = || access.resource.as_deref().unwrap_or(UNKNOWN);
    let named = json!({ "name": resource() });
    match class {
        Class::Api(_) => {
            let service = access.action.split_once(':').map(|(service, _)| json!({ "name": service }));
            json!({
                "api": {
                    "operation": access.action,
                    "service": service,
                    "request": access.request.as_ref().map(|id| json!({ "uid": id })),
                },
                "resources": access.resource.as_ref().map(|_| [named]),
            })
        }
        Class::Authentication(_) => json!({
            "user": {"name": access.actor.as_deref().unwrap_or(UNKNOWN)},
            "service": {"name": access.format.word()},
        }),
        Class::Datastore(_, Store::Bucket(kind)) => {
            let bucket = resource().strip_prefix("s3://").and_then(|rest| rest.split('/').next());
            json!({
                "databucket": {"type_id": kind, "name": bucket.unwrap_or(resource())},
                "type_id": 2,
            })
        }
        Class::Datastore(_, Store::Database) => {
            json!({ "database": {"type_id": 1, "name": resource()}, "type_id": 1 })
        }
        Class::Datastore(_, Store::Table) => json!({ "table": named, "type_id": 3 }),
    }
}

/// Who it was, with the credential where it was shown. One that is only named says nothing about who acts.
fn actor(access: &Access) -> Value {
    let session = (access.role == Role::Used).then(|| json!({ "credential_uid": access.credential }));
    let name = match (&access.actor, &session) {
        (Some(name), _) => Some(name.as_str()),
        (None, Some(_)) => None,
        (None, None) => Some(UNKNOWN),
    };
    json!({ "user": name.map(|name| json!({ "name": name })), "session": session })
}

/// An address where it is one; a log may name a service or a host instead.
fn from(access: &Access) -> Value {
    match &access.address {
        None => json!({ "name": UNKNOWN }),
        Some(text) => match network::address(text) {
            Some(ip) => json!({ "ip": ip.to_string() }),
            None => json!({ "name": text }),
        },
    }
}

/// All that has no place in OCSF, or loses a part of its meaning there.
fn unmapped(access: &Access) -> Value {
    let made: Vec<Value> =
        access.made.iter().map(|made| json!({ "kind": made.kind.word(), "id": made.id })).collect();
    json!({
        "credential": access.credential,
        "role": match access.role {
            Role::Mentioned => "mentioned",
            Role::Used => "used",
        },
        "outcome": access.outcome.word(),
        "reads": access.reads,
        "place": access.place,
        "made": (!made.is_empty()).then_some(made),
        "time_unknown": access.time.is_none().then_some(true),
        "address": access.address,
        "resource": access.resource,
        "request": access.request,
        "account": access.account,
        "region": access.region,
        // Of these classes none has `traffic`; `http_response` asks for a status, which not every log has.
        "traffic": access.bytes.map(|bytes| json!({ "bytes_out": bytes })),
    })
}

/// Whose cloud the log is of, for the profile `cloud`, which requires a provider.
fn provider(format: Format) -> Option<&'static str> {
    match format {
        Format::Azure => Some("Azure"),
        Format::Cloudtrail | Format::CloudtrailDigest | Format::S3 => Some("AWS"),
        Format::Gcp => Some("GCP"),
        Format::Combined
        | Format::Github
        | Format::Kubernetes
        | Format::Mariadb
        | Format::PostgresCsv
        | Format::PostgresJson
        | Format::Syslog
        | Format::Tradepulse
        | Format::Vault
        | Format::Vsync
        | Format::JsonLines
        | Format::MappedCsv
        | Format::MappedJson
        | Format::Text => None,
    }
}

/// Who makes what wrote the log, where that is one.
fn vendor(format: Format) -> Option<&'static str> {
    match format {
        Format::Azure => Some("Microsoft"),
        Format::Cloudtrail | Format::CloudtrailDigest | Format::S3 => Some("AWS"),
        Format::Gcp => Some("Google"),
        Format::Github => Some("GitHub"),
        Format::Kubernetes => Some("Kubernetes"),
        Format::Mariadb => Some("MariaDB"),
        Format::PostgresCsv | Format::PostgresJson => Some("PostgreSQL"),
        Format::Combined
        | Format::Syslog
        | Format::Tradepulse
        | Format::Vault
        | Format::Vsync
        | Format::JsonLines
        | Format::MappedCsv
        | Format::MappedJson
        | Format::Text => None,
    }
}

/// The part of an action that says what was done: `GetObject` of `s3:GetObject`, `read` of `read kv/data/orders`.
fn verb(action: &str) -> &str {
    let name =
        action.rsplit_once(':').filter(|(head, _)| !head.contains(' ')).map_or(action, |(_, name)| name);
    let first = name.split([' ', '/']).next().unwrap_or(name);
    first.rsplit('.').next().unwrap_or(first)
}

/// Leaves out what is not known, and objects that hold nothing else.
fn prune(object: &mut Map<String, Value>) {
    object.values_mut().filter_map(Value::as_object_mut).for_each(prune);
    object.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|inner| !inner.is_empty()));
}
