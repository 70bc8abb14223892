//! Whole hunts through folders that are made here: what is found, followed, counted and concluded.

use std::sync::atomic::AtomicBool;

use quell_core::event::Verdict;
use quell_core::secret::SecretValue;
use quell_hunt::detect::{self, Context};
use quell_hunt::hunt::{Hunt, Question, hunt};
use quell_hunt::needle::Needle;
use quell_hunt::object;
use quell_hunt::record::Role;
use quell_hunt::registration::Data;
use quell_hunt::report::{self, Asked, Report};
use quell_hunt::verdict::{self, Knowledge};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::world::*;

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
        let detection = detect::detect(
            &found.accesses,
            &Context { exposed: Some(at(600)), revoked: None, known: &[], registered: None },
        );
        let judgement = verdict::judge(&found, &detection, &Knowledge::default());
        serde_json::to_string(&Report::new(&Asked::default(), &found, &detection, &judgement)).unwrap()
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
    let detection = detect::detect(
        &found.accesses,
        &Context { exposed: None, revoked: None, known: &[], registered: None },
    );
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

#[test]
fn the_report_says_to_whom_addresses_are_registered() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), false);
    let found = search(folder.path(), question(2));
    let data = tempfile::tempdir().unwrap();
    // Whoever wrote the data is a stranger, too.
    let rows = "203.0.113.0,203.0.113.66,64500,\"=Example\u{1b}[2J, Net\"\n";
    std::fs::write(data.path().join("asn.csv"), rows).unwrap();
    std::fs::write(data.path().join("LICENSE"), "Name the example.\n").unwrap();
    let registered = Data::load(&[data.path().to_owned()]).unwrap().register(&found.accesses).unwrap();
    let judgement = judged(&found, false);
    let detection = detect::detect(
        &found.accesses,
        &Context { exposed: None, revoked: None, known: &[], registered: Some(&registered) },
    );
    let asked = Asked::default();
    let known = Hunt { registered: Some(registered.clone()), ..found.clone() };
    let report = |hunt| Report::new(&asked, hunt, &detection, &judgement);
    let text = report::text::text(&report(&known));
    assert!(text.contains("    registered to AS64500 =Example\\u{1b}[2J, Net\n"), "{text}");
    assert!(text.contains("Registrations by asn.csv of an unknown version (asn.csv, SHA-256 "), "{text}");
    assert!(text.contains("LICENSE: Name the example.\n") && !text.contains("located"), "{text}");
    let json = serde_json::to_value(report(&known)).unwrap();
    assert_eq!(json["registered"]["addresses"]["203.0.113.66"]["asn"], 64_500);
    assert_eq!(json["registered"]["addresses"].get("203.0.113.67"), None);
    assert_eq!(json["registered"]["sets"][0]["sha256"], hex::encode(Sha256::digest(rows)));
    let csv = |registered| {
        let mut out = Vec::new();
        report::csv::write(&mut out, &found.accesses, registered).unwrap();
        String::from_utf8(out).unwrap()
    };
    let rows = csv(Some(&registered));
    assert!(
        rows.lines().next().unwrap().ends_with(",sha256,registered_asn,registered_name,registered_country")
    );
    let row = rows.lines().find(|row| row.contains("203.0.113.66")).unwrap();
    assert!(row.ends_with(",64500,\"'=Example\\u{1b}[2J, Net\","), "{row}");
    // Without data one line says so, and nothing else is different.
    let text = report::text::text(&report(&found));
    assert!(text.contains("No registration data") && !text.contains("registered to"), "{text}");
    assert!(csv(None).lines().next().unwrap().ends_with(",sha256"));
}

#[test]
fn a_signature_beside_a_digest_is_no_log_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), true);
    let digest = "111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260301T010000Z.json.gz";
    std::fs::write(folder.path().join(format!("{digest}.signature")), "00ff").unwrap();
    let judgement = judged(&search(folder.path(), question(2)), true);
    assert_eq!(judgement.verdict, Verdict::NoEvidenceLogsComplete, "{:?}", judgement.conditions);
    let vouched = judgement.conditions.iter().find(|it| it.text.starts_with("digests vouch")).unwrap();
    assert!(vouched.text.contains("their signatures were not checked"), "{}", vouched.text);
    // With keys the condition says how many of them were verified.
    let answer = r#"{"PublicKeyList":[{"Fingerprint":"ab","Value":"AAAA"}]}"#;
    let keys = Some(quell_hunt::signature::Keys::parse(answer.as_bytes()).unwrap());
    let found = search(folder.path(), Question { digest_keys: keys, ..question(2) });
    let judgement = judged(&found, true);
    let vouched = judgement.conditions.iter().find(|it| it.text.starts_with("digests vouch")).unwrap();
    assert!(
        vouched.text.contains("signatures verified: 0 of 48, the others not, such as `"),
        "{}",
        vouched.text
    );
}

#[test]
fn objects_with_a_hit_are_named_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), false);
    // One that is read as a stream, and one whose hits lie outside of the window.
    let large = format!("2026-03-01T12:00:00Z {LEAKED}\n").into_bytes();
    let large = [large, "0123456789abcdef\n".repeat(600_000).into_bytes()].concat();
    std::fs::write(folder.path().join("large.log"), &large).unwrap();
    std::fs::write(folder.path().join("old.log"), format!("2020-01-01T00:00:00Z {LEAKED}\n")).unwrap();
    let found = search(folder.path(), Question { from: Some(at(0)), ..question(2) });
    assert!(found.objects.iter().any(|it| it.name == "large.log"));
    assert!(found.objects.iter().all(|it| it.name != "old.log"));
    for object in &found.objects {
        let bytes = std::fs::read(folder.path().join(&object.name)).unwrap();
        assert_eq!(object.size, bytes.len() as u64);
        assert_eq!(object.sha256, Some(hex::encode(Sha256::digest(&bytes))), "{}", object.name);
    }
    let told: std::collections::BTreeSet<&str> = found.accesses.iter().map(|it| it.object.as_str()).collect();
    assert_eq!(told.len(), found.objects.len(), "each object with a record is there, once");
}
