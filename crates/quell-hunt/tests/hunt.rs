//! Whole hunts through folders that are made here: what is found, followed, counted and concluded.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use quell_core::event::Verdict;
use quell_core::secret::SecretValue;
use quell_hunt::detect::{self, Context};
use quell_hunt::hint::Hints;
use quell_hunt::hunt::{Hunt, Question, hunt};
use quell_hunt::needle::Needle;
use quell_hunt::object;
use quell_hunt::record::Role;
use quell_hunt::report::Report;
use quell_hunt::verdict::{self, Judgement, Knowledge};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const LEAKED: &str = "AKIAEXAMPLELEAKED001";
const SESSION: &str = "ASIAEXAMPLESESSION02";
const BACK_DOOR: &str = "AKIAEXAMPLEBACKDOOR3";

fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_mins(minute)).unwrap()
}

fn event(minute: i64, key: &str, name: &str, address: &str, rest: &[(&str, Value)]) -> Value {
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
struct World {
    events: BTreeMap<i64, Vec<Value>>,
}

impl World {
    fn quiet() -> Self {
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

    fn add(&mut self, minute: i64, event: Value) {
        self.events.entry(minute / 5 * 5).or_default().push(event);
    }

    /// The attack: a look, a session, a back door made with it, and its use.
    fn attacked() -> Self {
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

    fn write(&self, folder: &Path, digests: bool) {
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
fn as_aws_writes(event: &Value) -> String {
    let mut rest = event.as_object().unwrap().clone();
    let (version, caller) = (rest.remove("eventVersion").unwrap(), rest.remove("userIdentity").unwrap());
    let rest = serde_json::to_string(&rest).unwrap();
    format!("{{\"eventVersion\":{version},\"userIdentity\":{caller},{}", rest.strip_prefix('{').unwrap())
}

fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn question(threads: usize) -> Question {
    Question {
        needles: vec![Needle::id(LEAKED).unwrap()],
        from: None,
        to: None,
        accounts: Vec::new(),
        regions: Vec::new(),
        hints: Hints::default(),
        threads: NonZero::new(threads).unwrap(),
    }
}

fn search(folder: &Path, question: Question) -> Hunt {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    let found = hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap();
    let it = &found.coverage;
    let sum = it.scanned + it.pruned + it.unreadable + it.corrupt + it.too_large + it.wrong_format;
    assert_eq!((it.objects, sum), (objects.len() as u64, objects.len() as u64), "every object has one fate");
    found
}

fn judged(found: &Hunt, all_logs: bool) -> Judgement {
    let known = vec!["10.0.0.0/8".to_owned()];
    let exposed = Some(at(600));
    let detection = detect::detect(&found.accesses, &Context { exposed, revoked: None, known: &known });
    verdict::judge(
        found,
        &detection,
        &Knowledge { exposed, known, until: Some(at(2 * 24 * 60)), all_logs, ..Knowledge::default() },
    )
}

#[test]
fn the_attack_is_told_in_full_in_two_passes() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), true);
    let found = search(folder.path(), question(2));
    let followed: Vec<(&str, &str, u64)> =
        found.followed.iter().map(|it| (it.id.as_str(), it.made_with.as_str(), it.uses)).collect();
    assert_eq!(followed, [(SESSION, LEAKED, 1), (BACK_DOOR, SESSION, 1)]);
    assert_eq!(found.passes, 2);
    assert!(found.closed);
    assert_eq!(found.gaps, []);
    let foreign: Vec<&str> = found
        .accesses
        .iter()
        .filter(|access| access.role == Role::Used && access.address.as_deref() != Some("10.0.0.7"))
        .map(|access| access.action.as_str())
        .collect();
    assert_eq!(foreign, ["iam:GetCallerIdentity", "iam:AssumeRole", "iam:CreateAccessKey", "iam:ListUsers"]);
    assert_eq!(judged(&found, true).verdict, Verdict::Used);
}

#[test]
fn no_evidence_is_complete_only_with_everything_proven() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), true);
    let found = search(folder.path(), question(1));
    let complete = judged(&found, true);
    assert_eq!(complete.verdict, Verdict::NoEvidenceLogsComplete, "{:?}", complete.conditions);
    assert_eq!((complete.foreign, complete.own > 30), (0, true));
    // Nobody says that these are all logs.
    assert_eq!(judged(&found, false).verdict, Verdict::NoEvidenceLogsIncomplete);
    // One log is damaged, deleted or altered.
    let one = folder.path().join("111122223333_CloudTrail_eu-west-1_20260301T1200Z_x.json.gz");
    let whole = std::fs::read(&one).unwrap();
    std::fs::write(&one, &whole[..whole.len() / 2]).unwrap();
    let found = search(folder.path(), question(1));
    assert_eq!(found.coverage.corrupt, 1);
    assert_eq!(judged(&found, true).verdict, Verdict::NoEvidenceLogsIncomplete);
    std::fs::write(&one, gz("{\"Records\":[]}")).unwrap();
    let found = search(folder.path(), question(1));
    assert!(found.gaps.iter().any(|gap| gap.why.contains("not what its digest says")), "{:?}", found.gaps);
    assert_eq!(judged(&found, true).verdict, Verdict::NoEvidenceLogsIncomplete);
    std::fs::remove_file(&one).unwrap();
    let found = search(folder.path(), question(1));
    assert!(
        found.gaps.iter().any(|gap| gap.why.contains("named by a digest and not there")),
        "{:?}",
        found.gaps
    );
    assert_eq!(judged(&found, true).verdict, Verdict::NoEvidenceLogsIncomplete);
}

#[test]
fn without_digests_completeness_is_not_proven() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), false);
    let judgement = judged(&search(folder.path(), question(2)), true);
    assert_eq!(judgement.verdict, Verdict::NoEvidenceLogsIncomplete);
    let unmet: Vec<&str> =
        judgement.conditions.iter().filter(|it| !it.met).map(|it| it.text.as_str()).collect();
    assert_eq!(unmet, ["that no object is missing is not proven: not every account and region has digests"]);
}

#[test]
fn nothing_that_was_searched_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let found = search(folder.path(), question(2));
    assert_eq!(judged(&found, true).verdict, Verdict::CannotTell);
    std::fs::write(folder.path().join("image.bin"), [0, 1, 2, 3]).unwrap();
    let found = search(folder.path(), question(2));
    assert_eq!(judged(&found, true).verdict, Verdict::CannotTell);
}

#[test]
fn a_line_in_an_unknown_log_is_not_taken_for_no_use() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.log"), format!("2026-03-02T00:00:00Z proxy key={LEAKED} ok\n"))
        .unwrap();
    let found = search(folder.path(), question(2));
    assert_eq!(found.accesses.len(), 1);
    assert_eq!(judged(&found, true).verdict, Verdict::CannotTell);
}

#[test]
fn a_window_prunes_by_name_and_filters_by_time() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), false);
    let found = search(folder.path(), Question { from: Some(at(1495)), to: Some(at(1600)), ..question(2) });
    assert!(found.coverage.pruned > 200, "{:?}", found.coverage);
    assert!(
        found.accesses.iter().all(|access| access.time >= Some(at(1495)) && access.time <= Some(at(1600)))
    );
    assert_eq!(found.accesses.iter().filter(|it| it.role == Role::Used).count(), 5);
    let none = search(folder.path(), Question { regions: vec!["us-east-1".to_owned()], ..question(2) });
    assert_eq!((none.coverage.scanned, none.accesses.len()), (0, 0));
}

#[test]
fn a_record_that_is_delivered_twice_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), false);
    let once = search(folder.path(), question(2));
    let copy = "111122223333_CloudTrail_eu-west-1_20260302T0100Z_copy.json.gz";
    std::fs::copy(
        folder.path().join("111122223333_CloudTrail_eu-west-1_20260302T0100Z_x.json.gz"),
        folder.path().join(copy),
    )
    .unwrap();
    let twice = search(folder.path(), question(2));
    assert_eq!(twice.accesses.len(), once.accesses.len());
    assert!(twice.coverage.duplicates > once.coverage.duplicates);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), true);
    let report = |threads: usize| {
        let found = search(folder.path(), question(threads));
        let detection =
            detect::detect(&found.accesses, &Context { exposed: Some(at(600)), revoked: None, known: &[] });
        let judgement = verdict::judge(&found, &detection, &Knowledge::default());
        serde_json::to_string(&Report::new(&[LEAKED.to_owned()], &found, &detection, &judgement, &[]))
            .unwrap()
    };
    let one = report(1);
    assert_eq!(one, report(7));
    assert_eq!(one, report(2));
}

#[test]
fn a_hunt_that_is_stopped_says_so() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), true);
    let objects = object::list(&[folder.path().to_owned()]).unwrap();
    let stop = AtomicBool::new(false);
    let found = hunt(
        question(1),
        &objects,
        &|at| {
            if at.objects == 10 {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        },
        &stop,
    )
    .unwrap();
    assert!(found.stopped);
    assert_eq!(found.coverage.scanned, 10);
    assert_eq!(judged(&found, true).verdict, Verdict::NoEvidenceLogsIncomplete);
}

#[test]
fn a_value_is_not_shown_by_a_record_that_was_found_by_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let value = "a-secret-value-of-somebody";
    let mut world = World::attacked();
    let agent = json!(format!("curl {value}"));
    world.add(1991, event(1991, BACK_DOOR, "ListUsers", "203.0.113.67", &[("userAgent", agent)]));
    world.write(folder.path(), false);
    let mut question = question(2);
    question
        .needles
        .append(&mut Needle::value("the value", &SecretValue::from_text(value.to_owned())).unwrap());
    let found = search(folder.path(), question);
    assert!(found.accesses.iter().any(|access| access.credential == BACK_DOOR));
    assert!(!format!("{:?}", found.accesses).contains(value), "the value is shown");
}

#[test]
fn logs_that_end_before_the_exposure_are_not_complete() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), true);
    let found = search(folder.path(), question(2));
    let detection = detect::detect(&found.accesses, &Context { exposed: None, revoked: None, known: &[] });
    let knowledge = |exposed, until| Knowledge {
        exposed: Some(exposed),
        until: Some(until),
        known: vec!["10.0.0.0/8".to_owned()],
        all_logs: true,
        ..Knowledge::default()
    };
    let judged = |knowledge: &Knowledge| verdict::judge(&found, &detection, knowledge).verdict;
    assert_eq!(judged(&knowledge(at(600), at(2880))), Verdict::NoEvidenceLogsComplete);
    assert_eq!(judged(&knowledge(at(90_000), at(100_000))), Verdict::NoEvidenceLogsIncomplete);
    assert_eq!(judged(&knowledge(at(600), at(2881))), Verdict::NoEvidenceLogsIncomplete);
    let late = search(folder.path(), Question { to: Some(at(5000)), ..question(2) });
    assert!(late.gaps.iter().any(|gap| gap.why.contains("end of the window")), "{:?}", late.gaps);
}

#[test]
fn an_emptied_log_and_a_region_without_digests_are_told() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), true);
    let elsewhere = folder.path().join("111122223333_CloudTrail_us-east-1_20260301T1200Z_x.json.gz");
    std::fs::write(&elsewhere, gz("{\"Records\":[]}")).unwrap();
    assert_eq!(judged(&search(folder.path(), question(1)), true).verdict, Verdict::NoEvidenceLogsIncomplete);
    std::fs::remove_file(&elsewhere).unwrap();
    let one = folder.path().join("111122223333_CloudTrail_eu-west-1_20260301T1200Z_x.json.gz");
    std::fs::write(&one, b"").unwrap();
    let found = search(folder.path(), question(1));
    assert_eq!(found.coverage.corrupt, 1);
    assert!(found.gaps.iter().any(|gap| gap.why.contains("not what its digest says")), "{:?}", found.gaps);
}

#[test]
fn a_name_that_was_not_shown_to_be_used_is_not_taken_for_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::quiet();
    let listed = json!({"accessKeyId": LEAKED});
    world.add(
        1500,
        event(
            1500,
            "AKIAEXAMPLEADMIN0005",
            "UpdateAccessKey",
            "203.0.113.5",
            &[("requestParameters", listed)],
        ),
    );
    world.write(folder.path(), true);
    assert_eq!(judged(&search(folder.path(), question(1)), true).verdict, Verdict::CannotTell);
}

#[test]
fn lines_that_are_alike_are_so_many_uses() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "203.0.113.5 - - [02/Mar/2026:10:00:00 +0000] \"GET /x?k={LEAKED} HTTP/1.1\" 200 1 \"-\" \"curl\"\n"
    );
    std::fs::write(folder.path().join("access.log"), line.repeat(50)).unwrap();
    assert_eq!(search(folder.path(), question(1)).accesses.len(), 50);
    let stages = |code: u16, path: &str| {
        format!(
            "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"stage\":\"ResponseComplete\",\"auditID\":\"same\",\"verb\":\"get\",\"requestURI\":\"/{path}\",\"user\":{{\"username\":\"{LEAKED}\"}},\"responseStatus\":{{\"code\":{code}}}}}\n"
        )
    };
    std::fs::write(
        folder.path().join("access.log"),
        [stages(200, "a"), stages(200, "b"), stages(403, "c")].concat(),
    )
    .unwrap();
    assert_eq!(
        search(folder.path(), question(1)).accesses.len(),
        3,
        "callers choose the id of their requests"
    );
}
