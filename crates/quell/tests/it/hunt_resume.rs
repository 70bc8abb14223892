//! Hunts that are killed, and go on where they were.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use quell_testkit::moto::{Server, Turn};
use serde_json::json;
use tempfile::TempDir;

use super::world::{quell_program, text, wait_for};

const OBJECTS: usize = 400;

/// Made at run time: nothing that looks like a credential lies in the repository.
fn value() -> String {
    format!("tok-{}", "4Zr8mQ".repeat(4))
}

/// Access logs in which the value stands in the address, the agent and the referrer, also in base64; and one damaged object.
fn logs() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let value = value();
    std::fs::write(folder.path().join("leaked"), &value).unwrap();
    for number in 0..OBJECTS {
        let minute = number % 60;
        let line = format!(
            "203.0.113.{} - - [02/Mar/2026:10:{minute:02}:00 +0000] \"GET /export?key={value}&n={number} HTTP/1.1\" 200 12 \"{value}\" \"curl {value}\"\n",
            number % 7
        );
        let rest = "198.51.100.1 - - [02/Mar/2026:11:00:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"x\"\n";
        std::fs::write(logs.join(format!("{number:04}.log")), format!("{line}{}", rest.repeat(2000)))
            .unwrap();
    }
    std::fs::write(logs.join("damaged.json"), "{\"Records\":[{\"a\":1},").unwrap();
    (folder, logs)
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(quell_program());
    command.args(["hunt", "--json", "--value-file", "leaked", "--logs", "logs", "--threads", "1"]).args(args);
    command.current_dir(folder).env("QUELL_DATA_DIR", folder.join("data")).stdin(Stdio::null());
    command.args(["--to", "2026-04-01"]);
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

/// `N` of "N of M objects, over all passes, were done before".
fn before(output: &Output) -> usize {
    let told = text(&output.stderr);
    let line =
        told.lines().find(|line| line.contains("were done before")).unwrap_or_else(|| panic!("{told}"));
    line.split(' ').find_map(|word| word.parse().ok()).unwrap()
}

#[test]
fn a_hunt_that_was_killed_goes_on_and_tells_the_same() {
    let (folder, logs) = logs();
    let folder = folder.path();
    let file = folder.join("answers");
    let whole = run(folder, &[]);
    assert!(matches!(whole.status.code(), Some(10 | 11)), "{}", text(&whole.stderr));
    let lines = || std::fs::read(&file).unwrap_or_default().split(|byte| *byte == b'\n').count() - 1;
    let mut killed = command(folder, &["--resume", "answers"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| lines() > 1, "nothing was kept");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let kept = lines() - 1;
    assert!(kept > 0 && kept < OBJECTS, "{kept}: killed too late");

    let resumed = run(folder, &["--resume", "answers"]);
    assert!(resumed.stdout == whole.stdout, "another report: {}", text(&resumed.stderr));
    assert_eq!(resumed.status.code(), whole.status.code());
    assert_eq!(before(&resumed), kept);
    // All is known now; what changed is read again, and a changed object tells something else.
    let again = run(folder, &["--resume", "answers"]);
    assert!(again.stdout == whole.stdout);
    assert_eq!(before(&again), OBJECTS + 1);
    std::fs::write(logs.join("0007.log"), "nothing\n").unwrap();
    let changed = run(folder, &["--resume", "answers"]);
    assert_eq!(before(&changed), OBJECTS);
    assert!(changed.stdout == run(folder, &[]).stdout && changed.stdout != whole.stdout);
    // Neither the value nor a name of an object lies in the file.
    let content = std::fs::read_to_string(&file).unwrap();
    assert!(content.contains("/export") || content.contains("may hold the credential"), "nothing was found");
    assert!(!content.contains(&value()) && !content.contains(".log"));
    // Another question is refused, and the file stays.
    std::fs::write(folder.join("leaked"), "another-of-nobody-7").unwrap();
    let refused = run(folder, &["--resume", "answers"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("another question"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn objects_of_a_bucket_are_not_fetched_twice() {
    let server = Server::start().unwrap();
    let remote = server.remote();
    remote.put("/org-logs", &[]).unwrap();
    let id = "AKIAEXAMPLEEXAMPLE01";
    for number in 0..12 {
        let record = json!({
            "eventTime": format!("2026-03-02T10:{number:02}:00Z"), "eventSource": "s3.amazonaws.com", "eventName": "ListBuckets",
            "sourceIPAddress": "203.0.113.9", "eventID": number.to_string(), "userIdentity": {"type": "IAMUser", "accessKeyId": id},
        });
        let body = json!({ "Records": [record] }).to_string();
        remote.put(&format!("/org-logs/trail/{number}.json"), body.as_bytes()).unwrap();
    }
    let front = server.front(|_| Turn::Pass).unwrap();
    let gets = || front.lines().iter().filter(|line| !line.contains("list-type=2")).count();
    let folder = tempfile::tempdir().unwrap();
    let hunt = || {
        let mut command = Command::new(quell_program());
        command.args(["hunt", "--json", "--id", id, "--logs", "s3://org-logs/trail", "--resume", "answers"]);
        command.args(["--to", "2026-04-01"]).current_dir(&folder).env_clear().env("HOME", "/nonexistent");
        command
            .env("AWS_ENDPOINT_URL", front.addr())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "someone").env("AWS_SECRET_ACCESS_KEY", "nothing-that-is-checked");
        command.stdin(Stdio::null()).output().unwrap()
    };
    let first = hunt();
    assert_eq!((gets(), before(&first)), (12, 0), "{}", text(&first.stderr));
    remote.put("/org-logs/trail/3.json", b"{\"Records\":[]}").unwrap();
    let second = hunt();
    assert_eq!((gets(), before(&second)), (13, 11), "only the one that changed is fetched");
    assert!(first.stdout != second.stdout);
    assert!(hunt().stdout == second.stdout);
    assert_eq!(gets(), 13);
}
