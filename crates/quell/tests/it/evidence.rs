//! Bundles and the ledger as a stranger meets them: what is whole verifies, what was touched does not.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::Connection as _;

use super::world::{quell_program, text};

/// An installation with one finished incident (a drill's).
struct Finished {
    folder: tempfile::TempDir,
    incident: String,
    bundle: PathBuf,
    vkey: String,
}

fn quell(folder: &Path, data: &str, args: &[&str]) -> Output {
    Command::new(quell_program())
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("QUELL_DATA_DIR", folder.join(data))
        .env("QUELL_ACTOR", "ines")
        .output()
        .unwrap()
}

impl Finished {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = quell(folder.path(), "data", &["drill", "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let field = |name: &str| report[name].as_str().unwrap().to_owned();
        let (incident, bundle, vkey) = (field("incident"), PathBuf::from(field("bundle")), field("vkey"));
        Self { folder, incident, bundle, vkey }
    }

    fn run(&self, args: &[&str]) -> Output {
        quell(self.folder.path(), "data", args)
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Exports anew; gives the bundle's path.
    fn export(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        self.ok(&["evidence", "export", &self.incident, "--output", path.to_str().unwrap()]);
        path
    }

    fn copy(&self, from: &str, to: &str) {
        let status =
            Command::new("cp").arg("-a").args([from, to]).current_dir(&self.folder).status().unwrap();
        assert!(status.success());
    }
}

/// The verifier that shares no code with Quell.
fn python(bundle: &Path, key: Option<&str>) -> (bool, String) {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let dev = std::env::var_os("QUELL_DEV_DIR").map_or_else(|| home.join(".cache/quell-dev"), PathBuf::from);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verify-evidence.py");
    let mut command = Command::new(dev.join("venv/bin/python"));
    command.arg(script).arg(bundle);
    if let Some(key) = key {
        command.args(["--key", key]);
    }
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(2), "{}", text(&output.stdout));
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn rust(bundle: &Path, key: Option<&str>) -> bool {
    quell_app::evidence::verify(bundle, key).is_ok_and(|report| report.ok())
}

/// Both verifiers must agree.
#[track_caller]
fn assert_verdict(bundle: &Path, key: Option<&str>, expected: bool) {
    let (verified, said) = python(bundle, key);
    assert_eq!((rust(bundle, key), verified), (expected, expected), "{said}");
}

#[test]
fn any_flipped_byte_of_a_bundle_is_detected() {
    let finished = Finished::new();
    let key = Some(finished.vkey.as_str());
    assert_verdict(&finished.bundle, key, true);
    let verified =
        finished.run(&["evidence", "verify", finished.bundle.to_str().unwrap(), "--key", &finished.vkey]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));

    let copy = finished.folder.path().join("flipped.tar");
    std::fs::copy(&finished.bundle, &copy).unwrap();
    let file = File::options().read(true).write(true).open(&copy).unwrap();
    let size = file.metadata().unwrap().len();
    const FLIPS: u64 = 2048;
    let mut undetected = Vec::new();
    for n in 0..FLIPS {
        let at = size * n / FLIPS;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (n % 8))], at).unwrap();
        if rust(&copy, key) {
            undetected.push(at);
        }
        // A few of them by the program itself, and by the other verifier.
        if n % 100 == 50 {
            let said = finished.run(&["evidence", "verify", copy.to_str().unwrap()]);
            assert!(matches!(said.status.code(), Some(1 | 10)), "byte {at}: {}", text(&said.stdout));
            assert!(!text(&said.stderr).contains("panicked"), "byte {at}: {}", text(&said.stderr));
            assert!(!python(&copy, key).0, "byte {at}");
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(undetected, Vec::<u64>::new());
    assert!(rust(&copy, key), "every flip was taken back");

    // Cut short, lengthened, emptied, or something else altogether.
    let bytes = std::fs::read(&copy).unwrap();
    for (n, wrong) in [
        bytes[..bytes.len() - 1].to_vec(),
        bytes[..bytes.len() - 512].to_vec(),
        bytes[..bytes.len() / 2].to_vec(),
        [bytes.as_slice(), &[0; 512]].concat(),
        Vec::new(),
        b"not a bundle".to_vec(),
        vec![0; 4096],
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&copy, wrong).unwrap();
        assert!(!rust(&copy, key) && !python(&copy, key).0, "wrong file {n}");
        let said = finished.run(&["evidence", "verify", copy.to_str().unwrap()]);
        assert!(matches!(said.status.code(), Some(1 | 10)), "wrong file {n}: {}", text(&said.stderr));
    }
}

#[test]
fn a_bundle_verifies_only_with_its_own_key_through_all_rotations() {
    let finished = Finished::new();
    let stranger = quell(finished.folder.path(), "stranger", &["init", "--json"]);
    let stranger: Value = serde_json::from_slice(&stranger.stdout).unwrap();
    assert_verdict(&finished.bundle, None, true);
    assert_verdict(&finished.bundle, Some(stranger["vkey"].as_str().unwrap()), false);
    let said = finished.run(&["evidence", "verify", finished.bundle.to_str().unwrap(), "--json"]);
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((&said["outside_key"], &said["v"]), (&false.into(), &1.into()));

    let rotated: Value =
        serde_json::from_str(&finished.ok(&["keys", "rotate-ledger", "--reason", "yearly", "--json"]))
            .unwrap();
    let new_key = rotated["vkey"].as_str().unwrap();
    assert_ne!(new_key, finished.vkey);
    let bundle = finished.export("after-rotation.tar");
    assert_verdict(&bundle, Some(new_key), true);
    assert_verdict(&bundle, Some(&finished.vkey), true);
    assert_verdict(&finished.bundle, Some(&finished.vkey), true);
    assert_verdict(&finished.bundle, Some(new_key), false);

    // A key that leaked vouches for nothing any more.
    let lost = ["keys", "rotate-ledger", "--reason", "stolen laptop", "--compromised", "--json", "--since"];
    let third: Value =
        serde_json::from_str(&finished.ok(&[&lost[..], &["2001-01-01T00:00:00Z"]].concat())).unwrap();
    // The key that was in force then is suspect, as is each one since.
    let suspect = &third["suspect"];
    let sizes: Vec<u64> =
        suspect["sizes"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
    let entries: u64 = finished.ok(&["ledger", "checkpoint"]).lines().nth(1).unwrap().parse().unwrap();
    assert!(
        sizes.last() == Some(&(entries - 1)) && sizes.first().is_some_and(|it| *it < entries / 2),
        "{suspect}"
    );
    assert!(suspect["before"].is_null(), "all of it is later");
    let third = third["vkey"].as_str().unwrap();
    let bundle = finished.export("after-compromise.tar");
    assert_verdict(&bundle, Some(third), true);
    assert_verdict(&bundle, Some(new_key), false);
    assert_verdict(&bundle, Some(&finished.vkey), false);
    finished.ok(&["ledger", "verify", "--key", third]);
    assert_eq!(finished.ok(&["ledger", "key"]).trim(), third);
    // Nothing is rotated before it is said since when, or by a moment that calls nothing suspect.
    let late =
        ["keys", "rotate-ledger", "--reason", "again", "--compromised", "--since", "2100-01-01T00:00:00Z"];
    let said = finished.run(&late);
    assert_eq!(said.status.code(), Some(2), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains("is in the future"), "{}", text(&said.stderr));
    let unsaid = finished.run(&["keys", "rotate-ledger", "--reason", "again", "--compromised"]);
    assert_eq!(unsaid.status.code(), Some(2), "{}", text(&unsaid.stderr));
    assert!(text(&unsaid.stderr).contains("--since"), "{}", text(&unsaid.stderr));
    assert_eq!(finished.ok(&["ledger", "key"]).trim(), third);
    let unknown =
        ["keys", "rotate-ledger", "--reason", "again", "--compromised", "--since", "unknown", "--json"];
    let fourth: Value = serde_json::from_str(&finished.ok(&unknown)).unwrap();
    let all = fourth["suspect"]["sizes"].as_array().unwrap();
    assert_eq!((&fourth["suspect"]["since"], all.first()), (&"unknown".into(), suspect["sizes"].get(0)));
    let alone = finished.run(&["keys", "rotate-ledger", "--reason", "x", "--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(alone.status.code(), Some(2), "{}", text(&alone.stderr));
}

#[test]
fn a_kept_checkpoint_shows_a_rewrite_by_the_key_holder() {
    let finished = Finished::new();
    finished.copy("data", "before");
    finished.ok(&["incident", "note", &finished.incident, "what really happened"]);
    let kept = finished.folder.path().join("kept.txt");
    std::fs::write(&kept, finished.ok(&["ledger", "checkpoint"])).unwrap();
    let kept = kept.to_str().unwrap();
    finished.ok(&["ledger", "verify", "--checkpoint", kept, "--key", &finished.vkey]);
    finished.ok(&["incident", "note", &finished.incident, "and after that"]);
    finished.ok(&["ledger", "verify", "--checkpoint", kept, "--key", &finished.vkey]);

    // The key holder goes back and tells another story. In itself it is consistent.
    let other = |args: &[&str]| quell(finished.folder.path(), "before", args);
    let shorter = other(&["ledger", "verify", "--checkpoint", kept]);
    assert_eq!(shorter.status.code(), Some(10), "entries are missing: {}", text(&shorter.stdout));
    for note in ["nothing happened", "nothing at all"] {
        assert!(other(&["incident", "note", &finished.incident, note]).status.success());
    }
    assert!(other(&["ledger", "verify", "--key", &finished.vkey]).status.success());
    let caught = other(&["ledger", "verify", "--checkpoint", kept, "--key", &finished.vkey]);
    assert_eq!(caught.status.code(), Some(10), "{}", text(&caught.stdout));
    assert!(text(&caught.stdout).contains("PROBLEM"), "{}", text(&caught.stdout));
    let garbage = finished.folder.path().join("garbage.txt");
    std::fs::write(&garbage, "not a checkpoint\n").unwrap();
    let garbage = other(&["ledger", "verify", "--checkpoint", garbage.to_str().unwrap()]);
    assert_eq!(garbage.status.code(), Some(1), "{}", text(&garbage.stderr));
}

/// Rows of a real incident's database, each touched in turn.
#[test]
fn any_row_touched_in_the_database_is_detected() {
    let finished = Finished::new();
    let sql = |text: String| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}", finished.folder.path().join("data/quell.db").display());
        runtime.block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    };
    for table in ["event", "node", "checkpoint"] {
        sql(format!("DROP TRIGGER {table}_is_append_only_u; DROP TRIGGER {table}_is_append_only_d"));
    }
    finished.copy("data", "pristine");
    let last = finished.ok(&["ledger", "verify", "--json"]);
    let entries = serde_json::from_str::<Value>(&last).unwrap()["entries"].as_u64().unwrap();
    assert!(entries > 40, "{last}");
    let mut attacks: Vec<String> = Vec::new();
    for seq in (0..entries).step_by(7) {
        attacks.push(format!("UPDATE event SET entry = CAST(replace(CAST(entry AS TEXT), '\"kind\"', '\"kinD\"') AS BLOB) WHERE seq = {seq}"));
        attacks.push(format!("DELETE FROM event WHERE seq = {seq}"));
        attacks.push(format!("UPDATE event SET leaf = zeroblob(32) WHERE seq = {seq}"));
        attacks.push(format!(
            "UPDATE event SET seq = -1 WHERE seq = {seq}; UPDATE event SET seq = {seq} WHERE seq = {next}; UPDATE event SET seq = {next} WHERE seq = -1",
            next = if seq + 1 < entries { seq + 1 } else { seq - 1 }
        ));
    }
    attacks.push(format!("DELETE FROM event WHERE seq = {}", entries - 1));
    let (old, new) = ("id LIKE 'INC%reported'", "id LIKE 'INC%/new/%'");
    for row in ["evidence WHERE rowid = 1", &format!("sealed WHERE {old}"), &format!("sealed WHERE {new}")] {
        attacks.push(format!("DELETE FROM {row}"));
        attacks.push(format!("UPDATE {}", row.replace(" WHERE", " SET body = zeroblob(length(body)) WHERE")));
    }
    attacks.push(format!(
        "UPDATE sealed SET body = (SELECT body FROM sealed WHERE {new}), wrapped = (SELECT wrapped FROM sealed WHERE {new}) WHERE {old}"
    ));
    attacks.push("UPDATE node SET hash = zeroblob(32) WHERE rowid = 17".to_owned());
    attacks.push("DELETE FROM node WHERE rowid = 18".to_owned());
    attacks.push("UPDATE checkpoint SET note = replace(note, 'a', 'b') WHERE rowid = 9".to_owned());
    for attack in attacks {
        std::fs::remove_dir_all(finished.folder.path().join("data")).unwrap();
        finished.copy("pristine", "data");
        sql(attack.clone());
        let said = finished.run(&["ledger", "verify"]);
        assert_eq!(said.status.code(), Some(10), "{attack}: {}{}", text(&said.stdout), text(&said.stderr));
        assert!(text(&said.stdout).contains("PROBLEM"), "{attack}: {}", text(&said.stdout));
    }
}
