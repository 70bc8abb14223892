//! `TradePulse`'s audit records: a JSON object a line, signed one by one and, in its own file, chained.
//!
//! Three shapes hold a record: a line of its store (`{"chain_hash","record","record_hash","sequence"}`), an envelope of the spool of
//! its SIEM sink (`{"attempts","record"}`), and the record alone, as its HTTP sink sends it. Whether all lines fit together is looked
//! at by [`crate::chain`]. A record names who did it and from where, and no credential: the needle is an actor, or what stands in the
//! details, of which nothing is kept but a resource, a lease and how it ended.
//!
//! Read in `src/audit/{audit_logger,stores}.py` of <https://github.com/neuron7x/TradePulse> at commit `0a51e93`; the events are those of
//! `application/security/rbac.py`, `application/secrets/{hashicorp,manager,vault}.py` and `src/admin/remote_control.py`.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Format, Spot, has_name, has_text, parse};
use crate::needle::Needles;
use crate::record::{Access, Made, MadeKind, Outcome, Role};

/// A line of a store or a spool, or a record alone. What stands behind the details may lie beyond what was read.
pub(super) fn is(line: &[u8]) -> bool {
    let record = |line: &[u8]| has_name(line, "actor") && has_name(line, "details");
    let stored = has_text(line, "chain_hash", "") && has_name(line, "record") && record(line);
    let spooled = has_name(line, "attempts") && has_name(line, "record") && record(line);
    let alone = ["event_type", "ip_address", "timestamp", "signature"].iter().all(|it| has_name(line, it));
    stored || spooled || alone && record(line)
}

/// What holds a record.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    pub(crate) sequence: Option<u64>,
    #[serde(borrow)]
    pub(crate) record: Option<&'a RawValue>,
    pub(crate) record_hash: Option<String>,
    pub(crate) chain_hash: Option<String>,
}

/// A record.
#[derive(Deserialize)]
pub(crate) struct Record<'a> {
    #[serde(borrow)]
    pub(crate) event_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) actor: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) ip_address: Cow<'a, str>,
    pub(crate) timestamp: Timestamp,
    #[serde(borrow)]
    pub(crate) details: Option<&'a RawValue>,
    pub(crate) signature: String,
}

/// The parts of the details that are read.
#[derive(Default, Deserialize)]
struct Details {
    resource: Option<serde_json::Value>,
    path: Option<serde_json::Value>,
    lease_id: Option<serde_json::Value>,
    status: Option<serde_json::Value>,
    failure_reason: Option<serde_json::Value>,
}

/// The record of a line, as it stands there.
pub(crate) fn unwrap(line: &[u8]) -> Result<(Envelope<'_>, Record<'_>), String> {
    let envelope: Envelope<'_> = parse(line)?;
    let record = match envelope.record {
        Some(record) => parse(record.get().as_bytes())?,
        None => parse(line)?,
    };
    Ok((envelope, record))
}

/// One line.
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let (_, record) = unwrap(spot.bytes)?;
    let details: Details = match record.details {
        Some(details) => parse(details.get().as_bytes())?,
        None => Details::default(),
    };
    let text = |it: &Option<serde_json::Value>| {
        it.as_ref().and_then(|it| it.as_str()).filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let mut access = spot.access(Format::Tradepulse, record.event_type.clone().into_owned());
    access.time = Some(record.timestamp);
    if spot.is_in(&record.actor, needles) {
        access.role = Role::Used;
    }
    access.resource = text(&details.resource).or_else(|| text(&details.path));
    access.outcome = outcome(&record.event_type, text(&details.status), text(&details.failure_reason));
    access.reads = match record.event_type.rsplit(['.', '_']).next().unwrap_or_default() {
        "read" | "get" | "viewed" => Some(true),
        "write" | "delete" | "rotated" | "engaged" | "reset" | "issue" | "renew" | "revoke" => Some(false),
        _ => None,
    };
    if access.role == Role::Used && record.event_type == "vault.dynamic.issue" {
        let lease = text(&details.lease_id);
        access.made.extend(lease.map(|id| Made { kind: MadeKind::Session, id }));
    }
    access.actor = Some(record.actor.into_owned());
    access.address = Some(record.ip_address.into_owned()).filter(|it| !it.is_empty());
    Ok(Some(access))
}

/// Records are written when it is done; the few that tell of what was not done say so.
fn outcome(event: &str, status: Option<String>, reason: Option<String>) -> Outcome {
    if event == "authorization.deny" {
        return Outcome::Denied(reason.unwrap_or_else(|| event.to_owned()));
    }
    let done = ["authorization.allow", "kill_switch_", "secret_", "vault."];
    match status {
        Some(status) if matches!(status.as_str(), "error" | "missing") => Outcome::Failed(status),
        _ if done.iter().any(|start| event.starts_with(start)) => Outcome::Allowed,
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const SIGNATURE: &str = "00000000";

    fn record(event: &str, actor: &str, details: &str) -> String {
        format!(
            r#"{{"actor":"{actor}","details":{details},"event_type":"{event}","ip_address":"203.0.113.7","signature":"{SIGNATURE}","timestamp":"2026-03-02T10:00:00Z"}}"#
        )
    }

    #[test]
    fn every_shape_of_a_record_is_read() {
        let record = record("vault.kv.read", "svc-orders", r#"{"mount":"kv","path":"orders/db"}"#);
        let stored = format!(r#"{{"chain_hash":"aa","record":{record},"record_hash":"bb","sequence":0}}"#);
        let spooled = format!(r#"{{"attempts": 2, "record": {record}}}"#);
        for text in [record, stored, spooled] {
            assert_eq!(Format::detect(text.as_bytes()), Some(Format::Tradepulse), "{text}");
            let access = read(Format::Tradepulse, &text, "svc-orders").unwrap();
            assert_eq!((access.role, &access.outcome), (Role::Used, &Outcome::Allowed));
            assert_eq!((access.action.as_str(), access.reads), ("vault.kv.read", Some(true)));
            let texts = [access.resource, access.address, access.actor].map(Option::unwrap);
            assert_eq!(texts, ["orders/db", "203.0.113.7", "svc-orders"]);
            assert_eq!(access.time, Some("2026-03-02T10:00:00Z".parse().unwrap()));
        }
    }

    #[test]
    fn refusals_failures_and_leases_are_told() {
        let deny = record(
            "authorization.deny",
            "ann-of-ops",
            r#"{"failure_reason":"missing_role","resource":"risk"}"#,
        );
        let access = read(Format::Tradepulse, &deny, "ann-of-ops").unwrap();
        assert_eq!(access.outcome, Outcome::Denied("missing_role".to_owned()));
        let missing = record("secret_get", "ann-of-ops", r#"{"status":"missing"}"#);
        let access = read(Format::Tradepulse, &missing, "ann-of-ops").unwrap();
        assert_eq!((access.outcome, access.reads), (Outcome::Failed("missing".to_owned()), Some(true)));
        let issued = record("vault.dynamic.issue", "ann-of-ops", r#"{"lease_id":"database/creds/x/1"}"#);
        let access = read(Format::Tradepulse, &issued, "ann-of-ops").unwrap();
        assert_eq!(access.made, [Made { kind: MadeKind::Session, id: "database/creds/x/1".to_owned() }]);
        assert_eq!(
            read(Format::Tradepulse, &record("x", "ann-of-ops", "{}"), "ann-of-ops").unwrap().outcome,
            Outcome::Unknown
        );
    }

    #[test]
    fn what_stands_in_details_is_a_mention_and_is_not_kept() {
        let text = record("secret_write", "ann-of-ops", r#"{"note":"svc-orders s3cr3t","resource":7}"#);
        let access = read(Format::Tradepulse, &text, "svc-orders").unwrap();
        assert_eq!((access.role, access.resource.as_deref()), (Role::Mentioned, None));
        assert!(!format!("{access:?}").contains("s3cr3t"));
        assert!(read(Format::Tradepulse, &text.replace("\"203.0.113.7\"", "7"), "svc-orders").is_err());
        assert!(!is(br#"{"event_type":"x","actor":"a","timestamp":"t","details":{}}"#), "no signature");
    }
}
