//! Logs of two days, with and without an attack in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use quell_hunt::detect::{self, Context};
use quell_hunt::hint::Hints;
use quell_hunt::hunt::{Hunt, Question, hunt};
use quell_hunt::needle::Needle;
use quell_hunt::object;
use quell_hunt::verdict::{self, Judgement, Knowledge};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const LEAKED: &str = "AKIAEXAMPLELEAKED001";
pub(crate) const SESSION: &str = "ASIAEXAMPLESESSION02";
pub(crate) const BACK_DOOR: &str = "AKIAEXAMPLEBACKDOOR3";

pub(crate) fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_mins(minute)).unwrap()
}

pub(crate) fn event(minute: i64, key: &str, name: &str, address: &str, rest: &[(&str, Value)]) -> Value {
    let mut event = json!({
        "eventVersion": "1.08", "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ci", "accessKeyId": key},
        "eventTime": at(minute).to_string(), "eventSource": "iam.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
        "sourceIPAddress": address, "userAgent": "test", "requestID": format!("{key}-{minute}-{name}"),
    });
    for (name, value) in rest {
        event[*name] = value.clone();
    }
    event
}

/// A log of two days with an object every five minutes, uses by its owner each hour, and digests. Keys keep their order as AWS has it.
pub(crate) struct World {
    events: BTreeMap<i64, Vec<Value>>,
}

impl World {
    pub(crate) fn quiet() -> Self {
        let mut events: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        for minute in (0..2 * 24 * 60).step_by(5) {
            let other = event(minute, "AKIAEXAMPLEOTHER0009", "ListUsers", "10.0.0.1", &[]);
            events.entry(minute).or_default().push(other);
        }
        for minute in (0..2 * 24 * 60).step_by(60) {
            events.entry(minute).or_default().push(event(minute, LEAKED, "GetUser", "10.0.0.7", &[]));
        }
        Self { events }
    }

    pub(crate) fn add(&mut self, minute: i64, event: Value) {
        self.events.entry(minute / 5 * 5).or_default().push(event);
    }

    /// The attack: a look, a session, a back door made with it, and its use.
    pub(crate) fn attacked() -> Self {
        let mut world = Self::quiet();
        let session = json!({"credentials": {"accessKeyId": SESSION, "sessionToken": "t"}});
        let key = json!({"accessKey": {"accessKeyId": BACK_DOOR}});
        world.add(1500, event(1500, LEAKED, "GetCallerIdentity", "203.0.113.66", &[]));
        world.add(1501, event(1501, LEAKED, "AssumeRole", "203.0.113.66", &[("responseElements", session)]));
        world
            .add(1502, event(1502, SESSION, "CreateAccessKey", "203.0.113.66", &[("responseElements", key)]));
        world.add(1990, event(1990, BACK_DOOR, "ListUsers", "203.0.113.67", &[]));
        world
    }

    pub(crate) fn write(&self, folder: &Path, digests: bool) {
        let mut hours: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        for (minute, events) in &self.events {
            let records: Vec<String> = events.iter().map(as_aws_writes).collect();
            let text = format!("{{\"Records\":[{}]}}", records.join(","));
            let stamp = at(*minute).strftime("%Y%m%dT%H%MZ").to_string();
            let name = format!("111122223333_CloudTrail_eu-west-1_{stamp}_x.json.gz");
            hours.entry(minute / 60).or_default().push(json!({"s3Object": format!("AWSLogs/{name}"), "hashValue": hex::encode(Sha256::digest(&text))}));
            std::fs::write(folder.join(name), gz(&text)).unwrap();
        }
        let mut before: Option<(String, String)> = None;
        for (hour, logs) in hours.into_iter().filter(|_| digests) {
            let stamp = at(60 * (hour + 1)).strftime("%Y%m%dT%H%M%SZ").to_string();
            let name = format!("111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_{stamp}.json.gz");
            let (previous, hash) = before.clone().unzip();
            let body = json!({
                "awsAccountId": "111122223333", "digestStartTime": at(60 * hour).to_string(), "digestEndTime": at(60 * (hour + 1)).to_string(),
                "digestS3Object": name, "previousDigestS3Object": previous, "previousDigestHashValue": hash, "logFiles": logs,
            })
            .to_string();
            std::fs::write(folder.join(&name), gz(&body)).unwrap();
            before = Some((name, hex::encode(Sha256::digest(&body))));
        }
    }
}

/// AWS writes the version and the caller before all else.
pub(crate) fn as_aws_writes(event: &Value) -> String {
    let mut rest = event.as_object().unwrap().clone();
    let (version, caller) = (rest.remove("eventVersion").unwrap(), rest.remove("userIdentity").unwrap());
    let rest = serde_json::to_string(&rest).unwrap();
    format!("{{\"eventVersion\":{version},\"userIdentity\":{caller},{}", rest.strip_prefix('{').unwrap())
}

pub(crate) fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

pub(crate) fn question(threads: usize) -> Question {
    Question {
        needles: vec![Needle::id(LEAKED).unwrap()],
        from: None,
        to: None,
        accounts: Vec::new(),
        regions: Vec::new(),
        shard: None,
        follow: Vec::new(),
        requests: BTreeSet::new(),
        digest_keys: None,
        hints: Hints::default(),
        hash: true,
        threads: NonZero::new(threads).unwrap(),
    }
}

pub(crate) fn search(folder: &Path, question: Question) -> Hunt {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    let found = hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap();
    let it = &found.coverage;
    let sum = it.scanned + it.pruned + it.unreadable + it.corrupt + it.too_large + it.wrong_format;
    assert_eq!((it.objects, sum), (objects.len() as u64, objects.len() as u64), "every object has one fate");
    found
}

pub(crate) fn judged(found: &Hunt, all_logs: bool) -> Judgement {
    let known = vec!["10.0.0.0/8".to_owned()];
    let exposed = Some(at(600));
    let detection =
        detect::detect(&found.accesses, &Context { exposed, revoked: None, known: &known, registered: None });
    verdict::judge(
        found,
        &detection,
        &Knowledge { exposed, known, until: Some(at(2 * 24 * 60)), all_logs, ..Knowledge::default() },
    )
}
