//! Two logs that tell of the same requests: what both say counts once, what one says alone is told with its causes.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use quell_hunt::format::Format;
use quell_hunt::hunt::{Hunt, Question, hunt};
use quell_hunt::object;
use quell_hunt::record::{Access, Role};
use quell_hunt::report::Asked;
use quell_hunt::report::saved::Saved;
use serde_json::json;

use super::world::{LEAKED, as_aws_writes, at, event, judged, question, search};

/// CloudTrail's record of a read of an object.
fn record(minute: i64, request: &str, host_id: &str, bucket: &str) -> String {
    let rest = [
        ("eventSource", json!("s3.amazonaws.com")),
        ("requestID", json!(request)),
        ("requestParameters", json!({"bucketName": bucket, "key": "dump.sql"})),
        ("additionalEventData", json!({"x-amz-id-2": host_id})),
    ];
    as_aws_writes(&event(minute, LEAKED, "GetObject", "203.0.113.66", &rest))
}

/// A row of S3's access log.
fn row(minute: i64, request: &str, host_id: &str, query: &str, agent: &str) -> String {
    let time = at(minute).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    format!(
        "owner shop-backups [{time}] 203.0.113.66 arn:aws:iam::111122223333:user/ci {request} REST.GET.OBJECT dump.sql \
         \"GET /dump.sql{query} HTTP/1.1\" 200 - 4096 4096 7 6 \"-\" \"{agent}\" - {host_id} SigV4 - AuthHeader h TLSv1.3 - -\n"
    )
}

/// A request that both tell of, one of each log alone, one to a bucket without a log, and rows that only look as if they belonged.
fn write(folder: &Path) {
    let records = [
        record(600, "AAAAAAAAAAAAAAA1", "host-1=", "shop-backups"),
        record(601, "AAAAAAAAAAAAAAA2", "host-2=", "shop-backups"),
        record(602, "AAAAAAAAAAAAAAA3", "host-3=", "shop-backups"),
        record(603, "AAAAAAAAAAAAAAA4", "host-4=", "other-bucket"),
    ];
    std::fs::write(folder.join("trail.json"), format!("{{\"Records\":[{}]}}", records.join(","))).unwrap();
    let signed = format!("?X-Amz-Credential={LEAKED}%2F20260301&X-Amz-Signature=x");
    let first = row(600, "AAAAAAAAAAAAAAA1", "host-1=", "", "aws-cli/2");
    std::fs::write(folder.join("access-1.log"), first).unwrap();
    let rows = [
        row(602, "AAAAAAAAAAAAAAA3", "host-9=", "", "aws-cli/2"),
        row(604, "BBBBBBBBBBBBBBB5", "host-5=", &signed, "curl"),
        row(605, "BBBBBBBBBBBBBBB6", "host-6=", "", "AAAAAAAAAAAAAAA2"),
    ];
    std::fs::write(folder.join("access-2.log"), rows.concat()).unwrap();
}

fn used(found: &Hunt, format: Format) -> Vec<&Access> {
    found.accesses.iter().filter(|it| it.format == format && it.role == Role::Used).collect()
}

#[test]
fn a_request_in_both_logs_counts_once_with_what_s3_sent() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let found = search(folder.path(), question(2));
    let compared = found.cross.s3.as_ref().unwrap();
    let [joined] = compared.joined.as_slice() else { panic!("{compared:?}") };
    assert_eq!((joined.row.request.as_deref(), joined.row.bytes), (Some("AAAAAAAAAAAAAAA1"), Some(4096)));
    assert_eq!(
        (joined.row.actor.as_deref(), joined.same_address),
        (Some("arn:aws:iam::111122223333:user/ci"), true)
    );
    let of = found.accesses.iter().find(|it| it.sha256 == joined.record).unwrap();
    assert_eq!(
        (of.format, of.bytes, of.request.as_deref()),
        (Format::Cloudtrail, Some(4096), Some("AAAAAAAAAAAAAAA1"))
    );
    assert_eq!((used(&found, Format::Cloudtrail).len(), used(&found, Format::S3).len()), (4, 1));
}

#[test]
fn what_one_log_says_alone_is_told_with_its_causes_and_is_unmet() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let found = search(folder.path(), question(1));
    let compared = found.cross.s3.as_ref().unwrap();
    let requests = |list: &[quell_hunt::cross::s3::Single]| -> Vec<String> {
        list.iter().filter_map(|it| it.request.clone()).collect()
    };
    assert_eq!(requests(&compared.trail_only), ["AAAAAAAAAAAAAAA2", "AAAAAAAAAAAAAAA3"]);
    assert_eq!(requests(&compared.log_only), ["BBBBBBBBBBBBBBB5"]);
    assert_eq!(compared.unlogged.get("other-bucket"), Some(&1));
    assert_eq!(compared.disputed, 1, "the second id is another one");
    insta::assert_snapshot!(found.cross.sentences().join("\n"), @r"
    S3 access log and CloudTrail: 1 rows belong to records of CloudTrail and count once with them; S3 sent 4096 bytes for these
    2 requests stand in CloudTrail only, such as 2026-03-01T10:01:00Z s3:GetObject s3://shop-backups/dump.sql
      That is evidence and no proof: access logs are delivered at best effort: some rows come hours late, some never
    1 requests stand in the access log only, such as 2026-03-01T10:04:00Z REST.GET.OBJECT s3://shop-backups/dump.sql
      That is evidence and no proof: data events are off, or leave this bucket or kind of call out; an object of the trail is missing or late; or the row was found by its requester, and another key of the same user made the request
    1 requests went to 1 buckets of which no row was found, such as other-bucket: their access log may be off, or was not given
    1 rows have the id of a request of CloudTrail's and another x-amz-id-2: they were not joined
    ");
    let unmet: Vec<String> =
        judged(&found, true).conditions.into_iter().filter(|it| !it.met).map(|it| it.text).collect();
    assert!(unmet.iter().any(|it| it.contains("2 requests to S3 stand only in CloudTrail")), "{unmet:?}");
}

#[test]
fn logs_that_agree_are_said_to_and_one_alone_is_compared_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let records = record(600, "AAAAAAAAAAAAAAA1", "host-1=", "shop-backups");
    std::fs::write(folder.path().join("trail.json"), format!("{{\"Records\":[{records}]}}")).unwrap();
    let told = |found: &Hunt| judged(found, true).conditions.pop().unwrap();
    let alone = search(folder.path(), question(1));
    assert_eq!((alone.cross.s3.is_none(), told(&alone).met, alone.passes), (true, true, 1));
    std::fs::write(folder.path().join("s3.log"), row(600, "AAAAAAAAAAAAAAA1", "host-1=", "", "x")).unwrap();
    let both = search(folder.path(), question(1));
    assert_eq!(
        (told(&both).text.as_str(), told(&both).met),
        ("logs that tell of the same requests agree", true)
    );
}

fn saved(folder: &Path, question: Question) -> Saved {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    let mut found = hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap();
    found.passes = 0;
    let saved = Saved::new(Asked::default(), found);
    Saved::read(&bytes(&saved)).unwrap()
}

fn bytes(saved: &Saved) -> Vec<u8> {
    let opinion = saved.opinion();
    serde_json::to_vec_pretty(&saved.report(&opinion)).unwrap()
}

#[test]
fn shards_join_each_others_rows_or_say_that_they_did_not() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let whole = saved(folder.path(), question(1));
    let mut apart = false;
    for of in 2..5 {
        let run = |requests: &std::collections::BTreeSet<String>| {
            let parts = (0..of).map(|index| {
                let shard = format!("{index}/{of}").parse().unwrap();
                saved(
                    folder.path(),
                    Question { shard: Some(shard), requests: requests.clone(), ..question(1) },
                )
            });
            Saved::merge(parts.collect()).unwrap()
        };
        let first = run(&std::collections::BTreeSet::new());
        apart |= first.hunt.cross.s3.as_ref().unwrap().partial;
        let second = run(&quell_hunt::cross::s3::requests(&first.hunt.accesses));
        assert_eq!(
            String::from_utf8(bytes(&second)).unwrap(),
            String::from_utf8(bytes(&whole)).unwrap(),
            "{of} shards"
        );
    }
    assert!(apart, "no cut put the logs into different shards");
}
