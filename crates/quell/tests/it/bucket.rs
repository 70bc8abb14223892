//! `quell hunt` on logs in buckets, against moto.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use quell_testkit::moto::{Front, Server, Turn};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::{quell_program, text};

const ID: &str = "AKIAEXAMPLEEXAMPLE01";
const BUCKET: &str = "org-logs";

/// Objects by name: two regions, a folder a day, three objects a day; each has a use of the key.
fn days(months: &[(i32, i32)]) -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::new();
    for (year, month) in months {
        for day in [1, 2, 3] {
            for region in ["eu-west-1", "us-east-1"] {
                for hour in [1, 9, 17] {
                    let date = format!("{year}-{month:02}-{day:02}T{hour:02}:00:00Z");
                    let stamp = format!("{year}{month:02}{day:02}T{hour:02}05Z");
                    let name = format!(
                        "AWSLogs/111122223333/CloudTrail/{region}/{year}/{month:02}/{day:02}/111122223333_CloudTrail_{region}_{stamp}_x{hour}.json"
                    );
                    let record = json!({
                        "eventTime": date, "eventSource": "s3.amazonaws.com", "eventName": "ListBuckets", "awsRegion": region,
                        "sourceIPAddress": "203.0.113.9", "userAgent": "x", "eventID": format!("{region}{stamp}"),
                        "userIdentity": {"type": "IAMUser", "accessKeyId": ID, "arn": "arn:aws:iam::111122223333:user/ci"},
                    });
                    objects.insert(name, json!({ "Records": [record] }).to_string().into_bytes());
                }
            }
        }
    }
    objects
}

fn bucket(objects: &BTreeMap<String, Vec<u8>>) -> Server {
    let server = Server::start().unwrap();
    server.remote().put(&format!("/{BUCKET}"), &[]).unwrap();
    for (name, body) in objects {
        server.remote().put(&format!("/{BUCKET}/trail/{name}"), body).unwrap();
    }
    server
}

fn folder(objects: &BTreeMap<String, Vec<u8>>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in objects {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
    folder
}

/// A hunt that gets its credentials and the endpoint as programs for S3 do.
fn command(addr: &str, logs: &str, args: &[&str]) -> Command {
    let mut command = Command::new(quell_program());
    command
        .args(["hunt", "--json", "--id", ID, "--logs", logs])
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_ENDPOINT_URL", addr)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "someone")
        .env("AWS_SECRET_ACCESS_KEY", "nothing-that-is-checked")
        .env("GOOGLE_BASE_URL", addr)
        .env("GOOGLE_SKIP_SIGNATURE", "true")
        .env("GOOGLE_ALLOW_HTTP", "true")
        .stdin(Stdio::null());
    command
}

fn run(addr: &str, logs: &str, args: &[&str]) -> Output {
    command(addr, logs, args).output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

fn at_disk(folder: &Path, args: &[&str]) -> Value {
    report(&run("http://127.0.0.1:1", &folder.display().to_string(), args))
}

/// Requests for objects, or for listings below a prefix.
fn count(front: &Front, what: impl Fn(&str) -> bool) -> usize {
    front.lines().iter().filter(|line| what(line)).count()
}

fn is_list(line: &str) -> bool {
    line.contains("list-type=2")
}

#[test]
fn a_bucket_gives_what_the_same_files_on_a_disk_give() {
    let mut objects = days(&[(2026, 3)]);
    objects.insert("nginx/access.log".to_owned(), b"nothing here\n".to_vec());
    // One that is too large to be held: it is read as it comes, across pieces.
    let large = format!("{}key {ID} seen\n", "0123456789abcde\n".repeat(700 << 10));
    objects.insert("large.log".to_owned(), large.into_bytes());
    let (server, folder) = (bucket(&objects), folder(&objects));
    for args in [&[][..], &["--from", "2026-03-02", "--region", "eu-west-1", "--to", "2026-03-02"]] {
        let disk = at_disk(folder.path(), args);
        for scheme in ["s3", "gs"] {
            let output = run(&server.addr(), &format!("{scheme}://{BUCKET}/trail"), args);
            let found = report(&output);
            assert_eq!(found["accesses"], disk["accesses"], "{scheme}");
            assert_eq!(found["verdict"], disk["verdict"], "{scheme}");
            assert_eq!(found["coverage"]["scanned"], disk["coverage"]["scanned"], "{scheme}");
            assert_eq!(found["coverage"]["bytes_read"], disk["coverage"]["bytes_read"], "{scheme}");
            assert!(!found["accesses"].as_array().unwrap().is_empty());
            assert!(!text(&output.stderr).contains("nothing-that-is-checked"));
        }
    }
    // An address may name one object.
    let one = run(&server.addr(), &format!("s3://{BUCKET}/trail/large.log"), &[]);
    assert_eq!(report(&one)["accesses"].as_array().unwrap().len(), 1);
}

#[test]
fn days_outside_of_the_window_are_not_even_listed() {
    let server = bucket(&days(&[(2025, 12), (2026, 1), (2026, 3)]));
    let front = server.front(|_| Turn::Pass).unwrap();
    let logs = format!("s3://{BUCKET}/trail");
    let window = ["--from", "2026-03-03T12:00:00Z", "--to", "2026-03-04", "--region", "eu-west-1"];
    let found = report(&run(&front.addr(), &logs, &window));
    assert_eq!(found["accesses"].as_array().unwrap().len(), 1, "{found}");
    let lines = front.lines();
    for outside in ["2025", "2026%2F01", "2026%2F03%2F01", "2026%2F03%2F02", "us-east-1%2F"] {
        assert!(!lines.iter().any(|line| is_list(line) && line.contains(outside)), "{outside}: {lines:?}");
    }
    let told = found["coverage"]["not_listed_folders"].as_array().unwrap();
    let base = "trail/AWSLogs/111122223333/CloudTrail";
    let expected =
        ["eu-west-1/2025", "eu-west-1/2026/01", "eu-west-1/2026/03/01", "eu-west-1/2026/03/02", "us-east-1"];
    assert_eq!(told, &expected.map(|it| Value::from(format!("{base}/{it}"))));
    assert_eq!(found["coverage"]["not_listed"], 5);
    assert_eq!(count(&front, |line| !is_list(line)), 1, "of three objects of the day one may hold it");
    // The estimate asks for no object at all.
    let before = count(&front, |line| !is_list(line));
    let estimate = report(&run(&front.addr(), &logs, &[&window[..], &["--estimate"]].concat()));
    assert_eq!(count(&front, |line| !is_list(line)), before);
    let lists = count(&front, is_list) as u64;
    assert_eq!(estimate["buckets"]["lists"].as_u64().unwrap() * 2, lists, "the hunt listed as much");
    assert_eq!(estimate["buckets"]["gets"], estimate["objects"]);
    assert!(estimate["buckets"]["prices"][0]["source"].as_str().unwrap().contains("us-east-1"));
}

#[test]
fn objects_that_vanish_or_change_after_listing_are_told_and_the_rest_is_read() {
    let server = bucket(&days(&[(2026, 3)]));
    let inner = server.remote();
    let front = server
        .front(move |line| {
            if !is_list(line) && line.contains("eu-west-1/2026/03/01") && line.contains("_x1.json") {
                inner.delete(key_of(line)).unwrap();
            }
            if !is_list(line) && line.contains("eu-west-1/2026/03/02") && line.contains("_x9.json") {
                inner.put(key_of(line), b"{\"Records\":[]}").unwrap();
            }
            Turn::Pass
        })
        .unwrap();
    let found = report(&run(&front.addr(), &format!("s3://{BUCKET}/trail"), &[]));
    let coverage = &found["coverage"];
    assert_eq!((&coverage["scanned"], &coverage["unreadable"]), (&json!(16), &json!(2)), "{coverage}");
    let problems = coverage["problems"].as_array().unwrap();
    let whys: Vec<&str> = problems.iter().map(|it| it["why"].as_str().unwrap()).collect();
    assert_eq!(whys, ["it vanished after it was listed", "it changed after it was listed"]);
    assert_eq!(found["accesses"].as_array().unwrap().len(), 16);
    let whole = found["conditions"].as_array().unwrap();
    assert!(whole.iter().any(|condition| condition["met"] == false), "{whole:?}");
}

#[test]
fn a_store_that_says_slow_down_is_asked_again_and_gives_up_in_the_end() {
    let server = bucket(&days(&[(2026, 3)]));
    let seen = AtomicUsize::new(0);
    let front = server
        .front(move |line| {
            let third = !is_list(line) && seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
            if third { Turn::SlowDown } else { Turn::Pass }
        })
        .unwrap();
    let logs = format!("s3://{BUCKET}/trail");
    let output = run(&front.addr(), &logs, &[]);
    let found = report(&output);
    assert_eq!(found["accesses"].as_array().unwrap().len(), 18);
    let told = text(&output.stderr);
    let asked = front.lines().len() - count(&front, is_list);
    assert!(asked > 18 && told.contains(&format!("{asked} other requests")), "{asked}: {told}");
    assert!(told.contains("were told to slow down") && !told.contains("; 0 were told"), "{told}");

    let never = server
        .front(|line| {
            if line.contains("_x1.json") && line.contains("us-east-1/2026/03/02") {
                Turn::SlowDown
            } else {
                Turn::Pass
            }
        })
        .unwrap();
    let found = report(&run(&never.addr(), &logs, &[]));
    let problems = found["coverage"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0]["why"].as_str().unwrap().contains("503"), "{problems:?}");
    assert_eq!(found["accesses"].as_array().unwrap().len(), 17);
    assert!(count(&never, |line| line.contains("_x1.json") && line.contains("us-east-1/2026/03/02")) <= 7);
}

#[test]
fn what_cannot_be_listed_or_is_not_there_ends_the_hunt_with_a_reason() {
    let server = bucket(&days(&[(2026, 3)]));
    let refused = |logs: &str| {
        let output = run(&server.addr(), logs, &[]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    assert!(refused(&format!("s3://{BUCKET}/trial")).contains("has no objects"));
    assert!(refused("s3://no-such-bucket/x").contains("could not list"));
    let secret = "of-nobody".to_owned() + "-77";
    let told = refused(&format!("s3://me:{secret}@{BUCKET}/trail"));
    assert!(told.contains("user or a password") && !told.contains(&secret), "{told}");
}

/// `/bucket/key` of `GET /bucket/key HTTP/1.1`.
fn key_of(line: &str) -> &str {
    line.split(' ').nth(1).unwrap()
}
