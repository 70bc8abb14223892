//! `quell hunt` on logs that are damaged, or that somebody wrote to mislead: all is counted, nothing is dropped, nothing is obeyed. And
//! the files that people give beside logs.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::world::{quell_program, text};

const ID: &str = "AKIAEXAMPLELEAKED001";

/// A folder with a folder of logs in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        Self { folder }
    }

    fn log(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join("logs").join(name), content).unwrap();
    }

    fn hunt(&self, args: &[&str]) -> Output {
        let mut command = Command::new(quell_program());
        command.args(["hunt", "--id", ID, "--logs", "logs"]).args(args).current_dir(&self.folder);
        command.env("QUELL_DATA_DIR", self.folder.path().join("data")).output().unwrap()
    }

    fn report(&self, args: &[&str]) -> Value {
        let output = self.hunt(&[args, &["--json"]].concat());
        assert!(matches!(output.status.code(), Some(0 | 10 | 11)), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A request to a web server with the id in its address.
fn line(minute: u32) -> String {
    format!(
        "203.0.113.9 - - [02/Mar/2026:10:{minute:02}:00 +0000] \"GET /{ID} HTTP/1.1\" 200 12 \"-\" \"curl\"\n"
    )
}

/// An event of CloudTrail that is a use.
fn event(time: &str) -> String {
    format!(
        r#"{{"eventTime":"{time}","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","userIdentity":{{"accessKeyId":"{ID}"}}}}"#
    )
}

fn gz(pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for piece in pieces {
        out.write_all(piece).unwrap();
    }
    out.finish().unwrap()
}

fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|it| it[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_damage_is_counted_and_none_hides_what_came_before_it() {
    let place = Place::new();
    let good = line(1);
    // What does not repeat cannot be cut off without being missed.
    let rest: Vec<String> = (0..5_000_u32).map(|n| hex::encode(Sha256::digest(n.to_be_bytes()))).collect();
    let mut cut = gz(&[line(2).as_bytes(), rest.join("\n").as_bytes()]);
    cut.truncate(cut.len() / 2);
    place.log("a-cut.log.gz", cut);
    place.log("b-members.log.gz", [gz(&[good.as_bytes()]), gz(&[line(3).as_bytes()])].concat());
    let (mega, spaces) = (vec![b'x'; 1 << 20], vec![b' '; 1 << 20]);
    place.log("c-bomb.log.gz", gz(&vec![spaces.as_slice(); 130]));
    let wide: Vec<u8> = format!("\u{feff}{good}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.log("d-wide.log", wide);
    let mut long = vec![mega.as_slice(); 104];
    let end = format!(" {ID} 2026-03-02T10:04:00Z\n");
    long.push(end.as_bytes());
    place.log("e-long.log.gz", gz(&long));
    place.log(OsStr::from_bytes(b"f-\xff\xfe.log"), line(5));
    place.log("g-empty.log", "");
    place.log("h-binary.log", [0x7f, b'E', b'L', b'F', 0, 0, 0, 0]);
    place.log("i-half.json", format!("{{\"Records\":[{},", event("2026-03-02T10:06:00Z")));
    std::os::unix::fs::symlink("nowhere", place.folder.path().join("logs/j-dangling.log")).unwrap();

    let report = place.report(&[]);
    let coverage = &report["coverage"];
    let count = |name: &str| coverage[name].as_u64().unwrap();
    assert_eq!(
        ["objects", "scanned", "unreadable", "corrupt", "too_large", "wrong_format", "pruned"].map(count),
        [10, 4, 1, 2, 1, 2, 0],
        "{coverage}"
    );
    assert_eq!(count("unparsed"), 1, "{coverage}");
    let problems = coverage["problems"].as_array().unwrap();
    let told: Vec<String> = problems
        .iter()
        .map(|it| format!("{} {}", it["object"].as_str().unwrap(), it["fate"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "a-cut.log.gz corrupt",
            "c-bomb.log.gz too-large",
            "d-wide.log wrong-format",
            "h-binary.log wrong-format",
            "i-half.json corrupt",
            "j-dangling.log unreadable"
        ]
    );
    let mut found = names(&report["accesses"], "object");
    found.sort();
    assert_eq!(
        found,
        [
            "a-cut.log.gz",
            "b-members.log.gz",
            "b-members.log.gz",
            "e-long.log.gz",
            "f-\u{fffd}\u{fffd}.log",
            "i-half.json"
        ]
    );
    let conditions = report["conditions"].as_array().unwrap();
    let unmet = |part: &str| {
        conditions.iter().any(|it| it["met"] == false && it["text"].as_str().unwrap().contains(part))
    };
    assert!(unmet("6 of 10 objects"), "{conditions:#?}");
    // A person is told the same.
    let shown = text(&place.hunt(&[]).stdout);
    for problem in problems {
        assert!(shown.contains(problem["object"].as_str().unwrap()), "{shown}");
    }
    assert!(
        shown.contains("10 objects = 4 scanned + 0 pruned + 1 unreadable + 2 corrupt + 1 too large + 2"),
        "{shown}"
    );
}

#[test]
fn no_use_in_damaged_logs_is_never_no_use() {
    let place = Place::new();
    place.log("whole.json", "{\"Records\":[]}");
    assert_eq!(place.report(&[])["verdict"], "no-evidence-logs-incomplete");
    place.log("half.json", "{\"Records\":[{\"a\":1},");
    let report = place.report(&[]);
    let unmet: Vec<&str> = report["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["met"] == false)
        .map(|it| it["text"].as_str().unwrap())
        .collect();
    assert!(unmet.iter().any(|text| text.contains("1 of 2 objects")), "{unmet:#?}");
}

#[test]
fn bounds_that_are_no_times_are_errors() {
    let place = Place::new();
    place.log("a.log", line(1));
    for flag in ["--from", "--to", "--exposed"] {
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-03-02T10:00:00",
            "10:00",
            "2026-03-02T10:00:00+99:00",
            "=1+1",
            "\u{1b}[31m",
        ] {
            let output = place.hunt(&[&format!("{flag}={wrong}")]);
            assert_eq!(output.status.code(), Some(2), "{flag}={wrong}: {}", text(&output.stderr));
            assert!(output.stdout.is_empty(), "{flag}={wrong}: {}", text(&output.stdout));
            let said = text(&output.stderr);
            assert!(said.contains(flag) && !said.contains('\u{1b}'), "{flag}={wrong}: {said}");
        }
    }
}

#[test]
fn records_without_a_zone_are_kept_and_told_until_somebody_says_which() {
    let place = Place::new();
    place.log("server_audit.log", format!("20260302 10:00:00,db1,{ID},203.0.113.9,4,0,CONNECT,orders,,0\n"));
    let window = ["--from", "2026-03-02", "--to", "2026-03-03"];
    let report = place.report(&window);
    assert_eq!(report["accesses"][0]["time"], Value::Null);
    let unmet = report["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|it| it["met"] == false && it["text"].as_str().unwrap().contains("no time"));
    assert!(unmet, "{:#}", report["conditions"]);
    let report = place.report(&[&window[..], &["--zone", "Asia/Tokyo"]].concat());
    assert_eq!(report["accesses"][0]["time"], "2026-03-02T01:00:00Z");
    assert_eq!(report["asked"]["zone"], "Asia/Tokyo");
    let shown = text(&place.hunt(&["--zone", "Asia/Tokyo"]).stdout);
    assert!(shown.contains("times without a zone were read as of Asia/Tokyo"), "{shown}");
    let wrong = place.hunt(&["--zone", "Nowhere/At_All"]);
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(2), true), "{}", text(&wrong.stderr));
}

#[test]
fn what_was_delivered_twice_counts_once_and_clocks_that_go_back_lose_nothing() {
    let place = Place::new();
    let records = |times: &[&str]| {
        let events: Vec<String> = times.iter().map(|time| event(time)).collect();
        format!("{{\"Records\":[{}]}}", events.join(","))
    };
    place.log("one.json", records(&["2026-03-02T10:00:00Z"]));
    place.log("two.json", records(&["2026-03-02T12:00:00Z", "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"]));
    place.log("clock.log", format!("{}{}{}", line(30), line(10), line(20)));
    let report = place.report(&[]);
    assert_eq!(report["coverage"]["duplicates"], 1);
    let times = names(&report["accesses"], "time");
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.len(), 6);
}

#[test]
fn no_output_obeys_what_a_log_says() {
    let place = Place::new();
    let hostile = "=HYPERLINK(1)\u{1b}[31m\u{202e}\u{9b}2J<script>alert(1)</script>";
    place.log("a.log", format!(
        "203.0.113.9 - {hostile} [02/Mar/2026:10:00:00 +0000] \"GET /{ID} HTTP/1.1\" 200 1 \"-\" \"{hostile}\"\n"
    ));
    place.log(
        "b.json",
        format!(
            "{{\"Records\":[{}]}}",
            event("2026-03-02T10:00:00Z").replace("GetObject", &hostile.replace('\u{1b}', "\\u001b"))
        ),
    );
    for name in ["text", "json", "csv", "html", "ocsf"] {
        let output = place.hunt(&["--format", name]);
        let shown = text(&output.stdout);
        assert!(shown.contains("alert(1)"), "{name} does not tell it: {shown}");
        let obeyed = |c: char| c.is_control() && c != '\n' && !(name == "csv" && c == '\r');
        assert!(!shown.contains(obeyed), "{name}: {shown:?}");
        assert!(!shown.contains('\u{202e}'), "{name}: {shown:?}");
        assert!(name != "html" || !shown.contains("<script"), "{shown}");
        assert!(!text(&output.stderr).contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{name}");
        if name == "csv" {
            let starts_formula =
                |row: &str| row.contains(",=") || row.contains(",\"=") || row.starts_with('=');
            assert!(!shown.lines().any(starts_formula), "{shown}");
        }
    }
    let parquet = place.hunt(&["--format", "parquet"]).stdout;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[test]
fn registrations_of_addresses_come_from_files_that_people_give() {
    let place = Place::new();
    place.log("a.log", line(1));
    let data = place.folder.path().join("asn");
    std::fs::create_dir(&data).unwrap();
    let ranges = "203.0.113.0,203.0.113.255,64500,Example Net\n";
    std::fs::write(data.join("asn-ipv4.csv"), ranges).unwrap();
    std::fs::write(data.join("LICENSE"), "Give attribution to the example.\n").unwrap();
    let report = place.report(&["--geo", "asn"]);
    let set = &report["registered"]["sets"][0];
    assert_eq!(set["sha256"], hex::encode(Sha256::digest(ranges)));
    assert_eq!(report["registered"]["addresses"]["203.0.113.9"]["asn"], 64_500);
    let shown = text(&place.hunt(&["--geo", "asn"]).stdout);
    assert!(
        shown.contains("registered to AS64500 Example Net") && shown.contains("Give attribution"),
        "{shown}"
    );
    assert!(!shown.contains("located"), "{shown}");
    std::fs::write(data.join("asn-ipv4.csv"), "203.0.113.0,nonsense,64500,Example Net\n").unwrap();
    let wrong = place.hunt(&["--geo", "asn"]);
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(2), true), "{}", text(&wrong.stderr));
    assert!(text(&wrong.stderr).contains("line 1"), "{}", text(&wrong.stderr));
}

#[test]
fn a_mapping_makes_lines_of_nobodys_format_uses() {
    let place = Place::new();
    let record = |key: &str| {
        format!(
            "{{\"ts\":1772445600123,\"auth\":{{\"key_id\":\"{key}\"}},\"op\":\"export\",\"client\":{{\"ip\":\"203.0.113.9\"}},\"note\":\"{ID}\",\"result\":\"ok\"}}\n"
        )
    };
    place.log("api.jsonl", [record(ID), record("other-key-0001")].concat());
    assert_eq!(place.report(&[])["accesses"][0]["role"], "mentioned");
    let map = "[[map]]\nobjects = \"api*.jsonl\"\nkind = \"jsonl\"\ntime = { from = \"ts\", form = \"epoch-milliseconds\" }\n\
        credential = [\"auth.key_id\"]\naction = \"op\"\naddress = \"client.ip\"\noutcome = { from = \"result\", allowed = [\"ok\"] }\n";
    std::fs::write(place.folder.path().join("map.toml"), map).unwrap();
    let report = place.report(&["--map", "map.toml"]);
    assert_eq!(report["asked"]["mapping"], hex::encode(Sha256::digest(map)));
    let all = report["accesses"].as_array().unwrap();
    let roles: Vec<&Value> = all.iter().map(|it| &it["role"]).collect();
    assert_eq!(roles, ["used", "mentioned"]);
    assert_eq!(
        (&all[0]["time"], &all[0]["address"], &all[0]["outcome"]),
        (&json!("2026-03-02T10:00:00.123Z"), &json!("203.0.113.9"), &json!("allowed"))
    );
    let shown = text(&place.hunt(&["--map", "map.toml"]).stdout);
    assert!(shown.contains(&hex::encode(Sha256::digest(map))), "{shown}");
    std::fs::write(place.folder.path().join("map.toml"), "[[map]]\nobjects = \"*\"\nkind = \"xml\"\n")
        .unwrap();
    let wrong = place.hunt(&["--map", "map.toml"]);
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(2), true), "{}", text(&wrong.stderr));
}

/// Three hours of digests of nothing, each with the signature of the one before it, and the key.
fn digests(place: &Place) -> String {
    const PRINT: &str = "0123456789abcdef0123456789abcdef";
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut before: Option<(String, String, String)> = None;
    for hour in 11..14 {
        let name = format!("111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260302T{hour}0000Z.json");
        let object = format!("AWSLogs/{name}");
        let end = format!("2026-03-02T{hour}:00:00Z");
        let body = json!({
            "awsAccountId": "111122223333", "digestStartTime": format!("2026-03-02T{}:00:00Z", hour - 1), "digestEndTime": end,
            "digestS3Bucket": "trail-bucket", "digestS3Object": object,
            "digestPublicKeyFingerprint": PRINT, "digestSignatureAlgorithm": "SHA256withRSA",
            "previousDigestS3Bucket": before.as_ref().map(|_| "trail-bucket"),
            "previousDigestS3Object": before.as_ref().map(|it| &it.0),
            "previousDigestHashValue": before.as_ref().map(|it| &it.1),
            "previousDigestSignature": before.as_ref().map(|it| &it.2), "logFiles": [],
        })
        .to_string();
        let hash = hex::encode(Sha256::digest(&body));
        let text = format!(
            "{end}\ntrail-bucket/{object}\n{hash}\n{}",
            before.as_ref().map_or("null", |it| it.2.as_str())
        );
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        let signature = hex::encode(signature);
        place.log(&name, &body);
        place.log(format!("{name}.signature"), &signature);
        before = Some((object, hash, signature));
    }
    json!({"PublicKeyList": [{"Fingerprint": PRINT, "Value": STANDARD.encode(key.public_key().as_ref())}]})
        .to_string()
}

#[test]
fn signatures_of_digests_are_checked_with_keys_that_people_give() {
    let place = Place::new();
    let keys = digests(&place);
    std::fs::write(place.folder.path().join("keys.json"), keys).unwrap();
    let report = place.report(&["--digest-keys", "keys.json"]);
    assert_eq!(
        (&report["signatures"]["verified"], &report["signatures"]["of"]),
        (&json!(3), &json!(3)),
        "{report:#}"
    );
    // Somebody who can write to the bucket shortens an hour.
    let name = "111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260302T130000Z.json";
    let path = place.folder.path().join("logs").join(name);
    let body = std::fs::read_to_string(&path).unwrap();
    place.log(name, body.replace("\"logFiles\":[]", "\"logFiles\": []"));
    let report = place.report(&["--digest-keys", "keys.json"]);
    assert_eq!((&report["signatures"]["verified"], &report["signatures"]["wrong"]), (&json!(2), &json!(1)));
    assert!(names(&report["gaps"], "strength").contains(&"altered".to_owned()), "{:#}", report["gaps"]);
    let shown = text(&place.hunt(&["--digest-keys", "keys.json"]).stdout);
    assert!(shown.contains("not AWS's"), "{shown}");
    std::fs::write(place.folder.path().join("keys.json"), "{}").unwrap();
    let wrong = place.hunt(&["--digest-keys", "keys.json"]);
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(2), true), "{}", text(&wrong.stderr));
}
