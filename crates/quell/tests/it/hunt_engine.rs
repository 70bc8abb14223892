//! Hunts in other engines: ClickHouse, as chDB, gives the records that our own hunt finds.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use quell_testkit::python;
use serde_json::{Value, json};

use super::world::{quell_program, text};

const LEAKED: &str = "AKIAEXAMPLELEAKED001";
const MADE: &str = "AKIAEXAMPLEBACKDOOR3";

fn quell(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(quell_program());
    command.args(args).current_dir(folder).env("QUELL_DATA_DIR", folder.join("data")).output().unwrap()
}

/// Runs a query in chDB, as `clickhouse-local` would.
fn clickhouse(folder: &Path, query: &[u8]) -> Vec<u8> {
    let script = "import sys, chdb\nsys.stdout.buffer.write(chdb.query(sys.stdin.read()).bytes())";
    let mut command = Command::new(python().unwrap());
    command.args(["-c", script]).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(query).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", text(query), text(&output.stderr));
    output.stdout
}

fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn event(key: &str, day: u8, name: &str, rest: &Value) -> Value {
    let mut event = json!({
        "eventVersion": "1.08", "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ci", "accessKeyId": key},
        "eventTime": format!("2026-03-{day:02}T10:00:00Z"), "eventSource": "iam.amazonaws.com", "eventName": name,
        "awsRegion": "eu-west-1", "sourceIPAddress": "203.0.113.66", "requestID": format!("{key}-{day}-{name}"),
        "userAgent": "o'brien \"q\" a/b \\ é <x> \u{202e}",
    });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    event
}

/// Documents of two regions on some days; the leaked key made another, which was used later.
fn trail(folder: &Path) {
    let made = json!({"responseElements": {"accessKey": {"accessKeyId": MADE}}});
    for region in ["eu-west-1", "us-east-1"] {
        for day in 1..=9 {
            let mut records = vec![event("AKIAEXAMPLEOTHER0009", day, "ListUsers", &json!({}))];
            if day % 2 == 0 {
                records.push(event(LEAKED, day, "GetUser", &json!({"region": region})));
            }
            if day == 4 {
                records.push(event(LEAKED, day, "CreateAccessKey", &made));
            }
            if day == 7 {
                records.push(event(MADE, day, "ListRoles", &json!({"region": region})));
            }
            let place = folder.join(format!("AWSLogs/111122223333/CloudTrail/{region}/2026/03/{day:02}"));
            std::fs::create_dir_all(&place).unwrap();
            let name = format!("111122223333_CloudTrail_{region}_202603{day:02}T1005Z_x.json.gz");
            std::fs::write(place.join(name), gz(&json!({"Records": records}).to_string())).unwrap();
        }
    }
}

/// Without the hash: an engine writes the JSON anew.
fn accesses(report: &Value) -> Vec<Value> {
    let all = report["accesses"].as_array().unwrap().iter().cloned();
    all.map(|mut access| {
        access.as_object_mut().unwrap().remove("sha256").unwrap();
        access
    })
    .collect()
}

#[test]
fn clickhouse_gives_the_records_that_our_own_hunt_finds() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trail(&here.join("logs"));
    let logs = here.join("logs");
    let logs = logs.to_str().unwrap();
    let window = ["--from", "2026-03-02", "--to", "2026-03-07T23:00:00Z", "--region", "eu-west-1"];
    let own = quell(here, &[&["hunt", "--json", "--id", LEAKED, "--logs", logs], &window[..]].concat());
    let own: Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!(own["followed"][0]["id"], MADE);

    let asked = ["--engine", "clickhouse", "--id", LEAKED, "--logs", logs];
    let round = |follow: &[&str]| -> Value {
        let written =
            quell(here, &[&["hunt", "query", "-o", "q.sql"], &asked[..], &window[..], follow].concat());
        assert!(written.status.success(), "{}", text(&written.stderr));
        let query = std::fs::read(here.join("q.sql")).unwrap();
        std::fs::write(here.join("rows.jsonl"), clickhouse(here, &query)).unwrap();
        let read = ["hunt", "result", "rows.jsonl", "--json", "--query-id", "run-1", "--query", "q.sql"];
        let read = quell(here, &[&read[..], &asked[..], follow].concat());
        assert_eq!(read.status.code(), Some(10), "{}", text(&read.stderr));
        std::fs::write(here.join("round.json"), &read.stdout).unwrap();
        serde_json::from_slice(&read.stdout).unwrap()
    };
    let first = round(&[]);
    assert_eq!(first["closed"], false, "what it made was not asked for");
    assert_eq!(first["source"]["query_id"], "run-1");
    let second = round(&["--follow", "round.json"]);
    assert_eq!(second["closed"], true);
    assert_eq!(second["followed"], own["followed"]);
    // The engine is asked for whole days of delivery: the slop of the window is in its answer, too.
    let within = |access: &Value| {
        access["time"].as_str().unwrap() >= "2026-03-02" && access["time"].as_str().unwrap() < "2026-03-08"
    };
    let theirs: Vec<Value> = accesses(&second).into_iter().filter(within).collect();
    assert_eq!(theirs, accesses(&own));
    assert!(theirs.iter().any(|access| access["action"] == "iam:ListRoles"));
    // Nobody can tell what it did not read.
    let conditions = second["conditions"].as_array().unwrap();
    let unknown =
        conditions.iter().find(|it| it["text"].as_str().unwrap().contains("which objects it read")).unwrap();
    assert_eq!(unknown["met"], false);
}

#[test]
fn lines_of_a_log_are_asked_for_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir(here.join("logs")).unwrap();
    let line = |id: &str, day: u8| {
        format!(
            "203.0.113.9 - o'brien [{day:02}/Mar/2026:10:00:00 +0000] \"GET /?k={id} HTTP/1.1\" 200 5 \"-\" \"a\\b\"\n"
        )
    };
    let lines: String = (1..9).map(|day| line(if day % 3 == 0 { LEAKED } else { "nothing" }, day)).collect();
    std::fs::write(here.join("logs/access.log.gz"), gz(&lines)).unwrap();
    let logs = here.join("logs");
    let asked = ["--engine", "clickhouse", "--id", LEAKED, "--logs", logs.to_str().unwrap()];
    let written = quell(here, &[&["hunt", "query", "--lines"], &asked[..]].concat());
    std::fs::write(here.join("rows"), clickhouse(here, &written.stdout)).unwrap();
    let read = ["hunt", "result", "rows", "--json", "--query-id", "run-2"];
    let read: Value = serde_json::from_slice(&quell(here, &[&read[..], &asked[..]].concat()).stdout).unwrap();
    let own = quell(here, &["hunt", "--json", "--id", LEAKED, "--logs", "logs"]);
    let own: Value = serde_json::from_slice(&own.stdout).unwrap();
    let bare = |report: &Value| -> Vec<Value> {
        let all = report["accesses"].as_array().unwrap().iter().cloned();
        all.map(|mut access| {
            access.as_object_mut().unwrap().remove("place").unwrap();
            access
        })
        .collect()
    };
    assert_eq!(bare(&read), bare(&own), "the lines are the same bytes, so also their hashes");
    assert_eq!(bare(&own).len(), 2);
}

#[test]
fn what_is_no_answer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("rows"), "object,place,record\na,1,nothing of ours\n").unwrap();
    let read = [
        "hunt",
        "result",
        "rows",
        "--engine",
        "athena",
        "--query-id",
        "q",
        "--id",
        LEAKED,
        "--logs",
        "s3://b",
    ];
    let said = quell(here, &read);
    assert_eq!(said.status.code(), Some(2));
    assert!(text(&said.stderr).contains("row 1"), "{}", text(&said.stderr));
    let query = quell(here, &["hunt", "query", "--engine", "athena", "--id", LEAKED, "--logs", "s3://b"]);
    assert!(text(&query.stderr).contains("--account"), "{}", text(&query.stderr));
}
