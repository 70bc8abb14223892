//! The log of a bucket and vsync's `audit.csv`: reads that nobody wrote a row for are told with their causes, and a file that was
//! written anew is proven.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use quell_hunt::cross::vsync::Compared;
use quell_hunt::gap::Strength;
use quell_hunt::hunt::{Question, hunt};
use quell_hunt::needle::Needle;
use quell_hunt::object;
use quell_hunt::report::Asked;
use quell_hunt::report::saved::Saved;
use serde_json::json;

use super::world::{LEAKED, as_aws_writes, at, event, judged, question, search};

const ARN: &str = "arn:aws:iam::111122223333:user/ci";
const VERSION: &str = "20260301-095500";
const HEADER: &str =
    "ts,action,version_ts,hostname,local_ip,os_user,git_email,vsync_version,bun_version,meta\n";

/// A row of S3's access log, so many seconds after ten o'clock.
fn request(second: i64, what: &str, status: &str, who: (&str, &str)) -> String {
    let time = at(600).saturating_add(jiff::SignedDuration::from_secs(second)).unwrap();
    let (time, (address, agent)) = (time.strftime("%d/%b/%Y:%H:%M:%S +0000"), who);
    let (method, key) = what.split_once(' ').unwrap();
    let id = format!("{second:08}{:08}", what.len() * 100 + address.len());
    format!(
        "owner vault [{time}] {address} {ARN} {id} REST.{method}.OBJECT shop/prod/{key} \"{method} /shop/prod/{key} HTTP/1.1\" \
         {status} 4096 4096 7 6 \"-\" \"{agent}\" - host-{second}= SigV4 - AuthHeader h TLSv1.3 - -\n"
    )
}

/// A pull as the client does it, ended by this answer to its row.
fn pull(second: i64, status: &str, address: &str) -> String {
    let who = (address, "Bun/1.3.0");
    [
        request(second, "GET manifest", "200 -", who),
        request(second, "GET v%3D20260301-095500", "200 -", who),
        request(second + 1, "HEAD audit.csv", "200 -", who),
        request(second + 1, "GET audit.csv", "200 -", who),
        request(second + 2, "PUT audit.csv", status, who),
    ]
    .concat()
}

fn row(second: i64, action: &str, version: &str) -> String {
    let time = at(600).saturating_add(jiff::SignedDuration::from_secs(second)).unwrap();
    format!("{time},{action},{version},laptop-7,192.168.1.20,ann,ann@shop.example,0.13.0,1.3.0,{{}}\n")
}

fn asked() -> Question {
    Question { needles: vec![Needle::id(ARN).unwrap()], ..question(2) }
}

fn write(folder: &Path, bucket: &[String], audit: &[String]) {
    std::fs::write(folder.join("bucket.log"), bucket.concat()).unwrap();
    std::fs::write(folder.join("audit.csv"), format!("{HEADER}{}", audit.concat())).unwrap();
}

fn compared(folder: &Path, question: Question) -> Compared {
    search(folder, question).cross.vsync.unwrap()
}

#[test]
fn reads_with_their_rows_agree_and_one_log_alone_is_compared_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The second pull's clock is four minutes slow, and it was tried in two parts; the last read is a rotation's.
    let part = request(602, "GET v%3D20260301-095500", "206 -", ("10.0.0.8", "Bun/1.3.0"));
    let rotated = request(2000, "GET v%3D20260301-095500", "200 -", ("10.0.0.7", "Bun/1.3.0"));
    let bucket = [pull(0, "200 -", "10.0.0.7"), pull(600, "200 -", "10.0.0.8"), part, rotated];
    let audit =
        [row(2, "pull", VERSION), row(600 - 240, "pull", VERSION), row(2002, "rotate", "20260301-103322")];
    write(folder.path(), &bucket, &audit);
    let found = search(folder.path(), asked());
    let compared = found.cross.vsync.as_ref().unwrap();
    assert_eq!((compared.reads, compared.rows, compared.alone.as_slice()), (3, 3, [].as_slice()));
    let told = judged(&found, true).conditions.pop().unwrap();
    assert_eq!((told.text.as_str(), told.met), ("logs that tell of the same requests agree", true));
    std::fs::remove_file(folder.path().join("bucket.log")).unwrap();
    assert!(search(folder.path(), asked()).cross.vsync.is_none());
}

#[test]
fn reads_without_a_row_are_told_with_their_causes_and_bare_ones_first() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = [
        pull(0, "200 -", "10.0.0.7"),
        // Within the time of a row that stands for another read.
        request(100, "GET v%3D20260301-095500", "200 -", ("203.0.113.66", "aws-cli/2.15 \u{1b}[2J")),
        pull(1000, "200 -", "10.0.0.9"),
        request(4000, "GET v%3D20260301-095500", "200 -", ("203.0.113.67", "Boto3/1.34")),
        // Refused, so nothing was read; and no bundle.
        request(5000, "GET v%3D20260301-095500", "403 AccessDenied", ("203.0.113.67", "aws-cli/2")),
        request(5001, "GET manifest", "200 -", ("203.0.113.67", "aws-cli/2")),
    ];
    // A row of another version is near, and one of this version is not.
    let audit = [row(2, "pull", VERSION), row(1002, "pull", "20260301-095501"), row(3000, "pull", VERSION)];
    write(folder.path(), &bucket, &audit);
    let found = search(folder.path(), asked());
    let told = found.cross.sentences();
    assert!(
        told[0].contains("bundles were read 4 times, and audit.csv has 3 rows; 3 reads have no row"),
        "{told:?}"
    );
    let reads: Vec<(&str, &str)> =
        told[1..4].iter().filter_map(|it| it.trim_start().split_once(' ')).collect();
    let times: Vec<&str> = reads.iter().map(|it| it.0).collect();
    assert_eq!(times, ["2026-03-01T10:01:40Z", "2026-03-01T11:06:40Z", "2026-03-01T10:16:40Z"]);
    assert!(
        reads[0].1.ends_with("with aws-cli/2.15 \u{1b}[2J: audit.csv was not asked for after it"),
        "{told:?}"
    );
    assert!(reads[2].1.ends_with("with Bun/1.3.0: audit.csv was asked for after it"), "{told:?}");
    assert!(told[4].contains("evidence and no proof") && told[4].contains("refused with 403"), "{told:?}");
    for count in [
        "  2 of them are by a client",
        "  3 of them are by a caller who could write",
        "  1 of them are later",
    ] {
        assert!(told.iter().any(|it| it.starts_with(count)), "{count}: {told:?}");
    }
    let unmet: Vec<String> =
        judged(&found, true).conditions.into_iter().filter(|it| !it.met).map(|it| it.text).collect();
    assert!(unmet.iter().any(|it| it == "3 reads of vsync's bundles have no row in audit.csv"), "{unmet:?}");
    // Only the version is known: what else the caller did is not looked at.
    let version = Question { needles: vec![Needle::id(VERSION).unwrap()], ..question(1) };
    let found = compared(folder.path(), version);
    assert_eq!(found.alone.iter().map(|it| it.followed).collect::<Vec<_>>(), [None; 3]);
}

#[test]
fn a_key_that_may_not_write_leaves_no_row_and_that_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[pull(0, "403 AccessDenied", "10.0.0.7")], &[row(-9000, "push", VERSION)]);
    let found = search(folder.path(), asked());
    let compared = found.cross.vsync.as_ref().unwrap();
    let [read] = compared.alone.as_slice() else { panic!("{compared:?}") };
    assert_eq!((read.could_write, read.followed, read.late), (Some(false), Some(true), true));
    assert!(found.cross.sentences().iter().any(|it| it.contains("was refused (403)")));
    assert!(
        judged(&found, true).conditions.pop().unwrap().met,
        "no row is missing where none could be written"
    );
    // Refused for another cause than its rights: it had the right.
    write(folder.path(), &[pull(0, "412 PreconditionFailed", "10.0.0.7")], &[row(-9000, "push", VERSION)]);
    assert_eq!(self::compared(folder.path(), asked()).alone[0].could_write, Some(true));
}

#[test]
fn data_events_tell_of_reads_and_one_in_both_logs_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let record = |minute, request: &str| {
        let rest = [
            ("eventSource", json!("s3.amazonaws.com")),
            ("requestID", json!(request)),
            ("userAgent", json!("[aws-cli/2.15]")),
            (
                "requestParameters",
                json!({"bucketName": "vault", "key": format!("shop/prod/versions/{VERSION}.enc")}),
            ),
        ];
        as_aws_writes(&event(minute, LEAKED, "GetObject", "203.0.113.66", &rest))
    };
    let records = [record(600, "AAAAAAAAAAAAAAA1"), record(660, "AAAAAAAAAAAAAAA2")].join(",");
    std::fs::write(folder.path().join("trail.json"), format!("{{\"Records\":[{records}]}}")).unwrap();
    std::fs::write(folder.path().join("audit.csv"), format!("{HEADER}{}", row(30, "pull", VERSION))).unwrap();
    let again = format!(
        "owner vault [01/Mar/2026:11:00:00 +0000] 203.0.113.66 {ARN} AAAAAAAAAAAAAAA2 REST.GET.OBJECT \
         shop/prod/versions/{VERSION}.enc \"GET / HTTP/1.1\" 200 - 1 1 7 6 \"-\" \"x\" - h= SigV4 - AuthHeader h TLSv1.3 - -\n"
    );
    std::fs::write(folder.path().join("bucket.log"), again).unwrap();
    for id in [LEAKED, VERSION] {
        let found =
            compared(folder.path(), Question { needles: vec![Needle::id(id).unwrap()], ..question(1) });
        assert_eq!((found.reads, found.alone.len()), (2, 1), "{id}");
        assert_eq!((found.alone[0].from, found.alone[0].client), (at(660), true), "{id}");
    }
}

#[test]
fn an_audit_that_was_written_anew_is_proven_and_lines_that_are_no_rows_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..9).map(|n| row(n * 60, "push", VERSION)).collect();
    write(folder.path(), &[pull(0, "200 -", "10.0.0.7")], &rows[..6]);
    std::fs::write(folder.path().join("audit-2.csv"), format!("{HEADER}{}", rows.concat())).unwrap();
    let found = search(folder.path(), asked());
    assert_eq!((found.audits.len(), found.cross.vsync.as_ref().unwrap().rows), (2, 9));
    assert!(!found.gaps.iter().any(|gap| gap.strength == Strength::Altered), "{:?}", found.gaps);
    let taken_out = [&rows[..2], &rows[3..]].concat().concat();
    std::fs::write(folder.path().join("audit-2.csv"), format!("{HEADER}{taken_out}no row\n")).unwrap();
    let found = search(folder.path(), asked());
    let altered: Vec<_> = found.gaps.iter().filter(|gap| gap.strength == Strength::Altered).collect();
    assert_eq!(altered.len(), 1, "{:?}", found.gaps);
    assert!(altered[0].why.contains("differ from row 3 on"), "{}", altered[0].why);
    assert!(!judged(&found, true).conditions.iter().all(|it| it.met));
    assert!(found.cross.sentences().iter().any(|it| it == "1 lines of audit.csv are no rows"));
}

fn saved(folder: &Path, question: Question) -> Saved {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    let mut found = hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap();
    found.passes = 0;
    Saved::read(&bytes(&Saved::new(Asked::default(), found))).unwrap()
}

fn bytes(saved: &Saved) -> Vec<u8> {
    let opinion = saved.opinion();
    serde_json::to_vec_pretty(&saved.report(&opinion)).unwrap()
}

#[test]
fn shards_give_the_same_report_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..9).map(|n| row(n * 600 + 2, "pull", VERSION)).collect();
    let bare = request(700, "GET v%3D20260301-095500", "200 -", ("203.0.113.66", "aws-cli/2"));
    write(folder.path(), &[pull(0, "200 -", "10.0.0.7"), bare], &rows[..4]);
    std::fs::write(folder.path().join("bucket-2.log"), pull(1200, "200 -", "10.0.0.8")).unwrap();
    for (name, rows) in [("audit-2.csv", rows.clone()), ("audit-3.csv", [&rows[..2], &rows[3..]].concat())] {
        std::fs::write(folder.path().join(name), format!("{HEADER}{}", rows.concat())).unwrap();
    }
    let whole = saved(folder.path(), asked());
    assert_eq!(whole.hunt.cross.vsync.as_ref().unwrap().reads, 3);
    assert!(whole.hunt.gaps.iter().any(|gap| gap.strength == Strength::Altered));
    for of in 2..5 {
        let parts = (0..of).map(|index| {
            let shard = format!("{index}/{of}").parse().unwrap();
            saved(folder.path(), Question { shard: Some(shard), ..asked() })
        });
        let merged = Saved::merge(parts.collect()).unwrap();
        assert_eq!(
            String::from_utf8(bytes(&merged)).unwrap(),
            String::from_utf8(bytes(&whole)).unwrap(),
            "{of} shards"
        );
    }
}
