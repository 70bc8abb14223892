//! Logs for the tests: ten days of ordinary work, an exposure, and what is planted after it.

use jiff::{SignedDuration, Timestamp};

use super::{Anomaly, Context, detect};
use crate::format::Format;
use crate::record::{Access, Made, MadeKind, Outcome, Role};
use crate::registration::{Registered, Registration};

/// Where the owner works.
pub(super) const HOME: &str = "198.51.100.7";
/// Where somebody else does.
pub(super) const AWAY: &str = "203.0.113.9";

/// Midnight, in UTC, of a day on which the ordinary work begins at eight.
pub(super) fn exposed() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

pub(super) fn context() -> Context<'static> {
    Context { exposed: Some(exposed()), revoked: None, known: &[], registered: None }
}

/// A use so many seconds after the exposure.
pub(super) fn used(seconds: i64, action: &str, address: &str) -> Access {
    Access {
        time: Some(exposed() + SignedDuration::from_secs(seconds)),
        format: Format::Cloudtrail,
        object: "log".to_owned(),
        place: 1,
        credential: "AKIAPLANTED".to_owned(),
        role: Role::Used,
        actor: None,
        action: action.to_owned(),
        resource: None,
        address: Some(address.to_owned()),
        agent: Some("Boto3/1.34 md/Botocore#1.34 ua/2.0".to_owned()),
        outcome: Outcome::Allowed,
        reads: None,
        request: None,
        account: None,
        region: None,
        made: Vec::new(),
        bytes: None,
        host_id: None,
        sha256: String::new(),
    }
}

/// The same of Vault's log.
pub(super) fn vault(seconds: i64, action: &str, address: &str) -> Access {
    Access { format: Format::Vault, ..used(seconds, action, address) }
}

pub(super) fn denied(access: Access) -> Access {
    Access { outcome: Outcome::Denied("AccessDenied".to_owned()), ..access }
}

pub(super) fn on(access: Access, resource: &str) -> Access {
    Access { resource: Some(resource.to_owned()), ..access }
}

pub(super) fn by(access: Access, agent: &str) -> Access {
    Access { agent: Some(agent.to_owned()), ..access }
}

pub(super) fn reads(access: Access, reads: bool) -> Access {
    Access { reads: Some(reads), ..access }
}

pub(super) fn made(access: Access, kind: MadeKind, id: &str) -> Access {
    Access { made: vec![Made { kind, id: id.to_owned() }], ..access }
}

/// Ten days of work before the exposure and two after it, from eight to nineteen, with more records put in by time.
pub(super) fn ordinary(more: &[Access]) -> Vec<Access> {
    let mut log: Vec<Access> = Vec::new();
    for day in -10..2 {
        for hour in 8..20 {
            let action = if hour % 3 == 0 { "s3:PutObject" } else { "s3:GetObject" };
            let access = used(day * 86_400 + hour * 3_600, action, HOME);
            log.push(on(reads(access, hour % 3 != 0), &format!("s3://data/{day}/{hour}")));
        }
    }
    log.extend(more.iter().cloned());
    log.sort_by_key(|access| access.time);
    log
}

/// What one detector said about a log.
pub(super) fn said(detector: &str, log: &[Access], context: &Context<'_>) -> Vec<Anomaly> {
    let all = detect(log, context).anomalies;
    all.into_iter().filter(|it| it.detector == detector || it.folded.contains(&detector)).collect()
}

/// What a detector says in the planted log, and that it is silent about ordinary work.
pub(super) fn fires(detector: &str, more: &[Access]) -> Vec<Anomaly> {
    assert_eq!(said(detector, &ordinary(&[]), &context()), [], "ordinary work");
    let said = said(detector, &ordinary(more), &context());
    assert!(!said.is_empty(), "{detector} said nothing about {more:#?}");
    said
}

/// That a detector says nothing.
pub(super) fn silent(detector: &str, more: &[Access]) {
    assert_eq!(said(detector, &ordinary(more), &context()), []);
}

/// Addresses in a cloud of AWS's.
pub(super) const CLOUD: &str = "198.18.0.9";

/// To whom the addresses of these logs are registered: HOME and another block to the same provider, AWAY to another one abroad.
pub(super) fn registered() -> Registered {
    let of = |address: &str, asn: u32, name: &str, country: &str| {
        let registration =
            Registration { asn: Some(asn), name: Some(name.to_owned()), country: Some(country.to_owned()) };
        (address.parse().unwrap(), registration)
    };
    let addresses = [
        of(HOME, 64_496, "Owner's Provider", "NL"),
        of("192.0.2.80", 64_496, "Owner's Provider", "NL"),
        of(AWAY, 64_500, "Example Net", "BR"),
        of(CLOUD, 16_509, "Amazon.com, Inc.", "US"),
    ];
    Registered { sets: Vec::new(), addresses: addresses.into() }
}
