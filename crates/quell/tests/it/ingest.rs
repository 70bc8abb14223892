//! `quell ingest`: other tools' findings become incidents, once.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::{files_below, quell_program, text};

const PASSWORD: &str = "mR7-kx0Lw4Tz9-Qe2bVh";

/// An installation with one secret in an env file. Its issuer is never called.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let url = format!("postgres://orders_a:{PASSWORD}@127.0.0.1:1/orders");
        place.write("app.env", &format!("DATABASE_URL={url}\n"));
        place.write("admin.url", "postgres://admin:admin-of-nothing@127.0.0.1:1/postgres");
        let inventory = json!({
            "secrets": [{
                "id": "orders-db",
                "kind": "postgres-password",
                "env": "prod",
                "issuer": {"postgres": {"admin": "file:admin.url", "roles": ["orders_a"]}},
                "stores": [{"env_file": {"path": "app.env", "key": "DATABASE_URL"}}],
                "consumers": [],
            }],
        });
        place.write("quell.yaml", &inventory.to_string());
        assert!(place.quell(&["init"]).status.success());
        place
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn quell(&self, args: &[&str]) -> Output {
        let data = self.folder.path().join("data");
        Command::new(quell_program())
            .args(args)
            .current_dir(&self.folder)
            .env("QUELL_DATA_DIR", data)
            .output()
            .unwrap()
    }

    fn ingest(&self, args: &[&str]) -> Value {
        let output = self.quell(&[&["ingest", "--json"], args].concat());
        assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(!said.contains(PASSWORD), "{said}");
        serde_json::from_str(&said).unwrap()
    }

    fn incidents(&self) -> Vec<Value> {
        let listed = self.quell(&["incident", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        listed["incidents"].as_array().unwrap().clone()
    }

    fn incident(&self, id: &str) -> Value {
        serde_json::from_slice(&self.quell(&["incident", "show", id, "--json"]).stdout).unwrap()
    }
}

fn gitleaks(findings: &[(&str, &str, u64)]) -> String {
    let all: Vec<Value> = findings
        .iter()
        .map(|(secret, file, line)| {
            json!({"RuleID": "generic-api-key", "Description": "Generic", "Secret": secret, "Match": secret, "File": file,
                "StartLine": line, "Commit": "0123abcd0123abcd", "Date": "2026-03-01T08:00:00Z", "Fingerprint": format!("{file}:{line}")})
        })
        .collect();
    Value::from(all).to_string()
}

#[test]
fn findings_of_one_secret_open_one_incident_and_later_ones_join_it() {
    let place = Place::new();
    let other = "Zz81-other-value-Kq";
    place.write("first.json", &gitleaks(&[(PASSWORD, "a.py", 1), (other, "x.py", 9), (PASSWORD, "b.py", 2)]));
    let first = place.ingest(&["first.json", "--channel", "private-repo"]);
    let secrets = first["reports"][0]["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2, "two values, two secrets: {first}");
    assert_eq!(
        (&secrets[0]["group"]["secret"], &secrets[0]["done"]["what"]),
        (&"orders-db".into(), &"opened".into())
    );
    assert_eq!(
        (&secrets[1]["group"]["secret"], &secrets[1]["done"]["what"]),
        (&Value::Null, &"unmatched".into())
    );
    let id = secrets[0]["done"]["incident"].as_str().unwrap().to_owned();
    let shown = place.incident(&id);
    let exposures = shown["exposures"].as_array().unwrap();
    assert_eq!(exposures.len(), 2, "one exposure per place: {shown}");
    assert!(exposures[0]["sealed"].is_string(), "the leaked value is sealed for the proof: {shown}");
    assert_eq!(
        (&exposures[1]["place"], &shown["first_exposed"]),
        (&"b.py:2 @0123abcd0123".into(), &"2026-03-01T08:00:00Z".into())
    );

    // The same again changes nothing.
    let again = place.ingest(&["first.json", "--channel", "private-repo"]);
    assert_eq!(
        (&again["reports"][0]["new"], &again["reports"][0]["secrets"][0]["done"]["what"]),
        (&0.into(), &"known".into())
    );
    assert_eq!(place.incident(&id)["exposures"].as_array().unwrap().len(), 2);

    // Another tool, the same secret, a public place: it joins, and the severity follows.
    let hub = json!([{"number": 4, "created_at": "2026-11-01T00:00:00Z", "state": "open", "secret_type": "password",
        "secret": PASSWORD, "publicly_leaked": true, "locations": [{"type": "commit", "details": {"path": "c.py", "start_line": 3}}]}]);
    place.write("hub.json", &hub.to_string());
    let joined = place.ingest(&["hub.json"]);
    assert_eq!(joined["reports"][0]["secrets"][0]["done"], json!({"what": "joined", "incident": id}));
    let shown = place.incident(&id);
    assert_eq!(
        (shown["exposures"].as_array().unwrap().len(), &shown["exposures"][2]["audience"]),
        (3, &"public".into())
    );
    assert_eq!(place.incidents().len(), 1);
    let timeline = text(&place.quell(&["incident", "timeline", &id]).stdout);
    assert!(timeline.contains("SEV-1"), "a public place makes it SEV-1: {timeline}");

    for file in files_below(&place.folder.path().join("data")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()), "{}", file.display());
    }
}

#[test]
fn a_hash_is_enough_to_know_a_secret_and_audited_findings_open_nothing() {
    use sha1::{Digest as _, Sha1};
    let place = Place::new();
    let hash = hex::encode(Sha1::digest(PASSWORD));
    let entry = |hash: &str, secret: Value| {
        json!({"type": "Secret Keyword", "filename": "a.env", "hashed_secret": hash,
        "is_verified": false, "line_number": 5, "is_secret": secret})
    };
    let baseline = json!({"version": "1.5.0", "plugins_used": [], "generated_at": "2026-11-01T00:00:00Z",
        "results": {"a.env": [entry(&hash, Value::Null), entry("aa", json!(false))]}});
    place.write("baseline.json", &baseline.to_string());
    let found = place.ingest(&["baseline.json"]);
    let secrets = &found["reports"][0]["secrets"];
    assert_eq!(
        (&secrets[0]["group"]["secret"], &secrets[0]["done"]["what"]),
        (&"orders-db".into(), &"opened".into())
    );
    assert_eq!(secrets[1]["done"]["what"], "resolved");
    assert_eq!(place.incidents().len(), 1);
}

#[test]
fn a_broken_report_leaves_nothing_half_done() {
    let place = Place::new();
    place.write("good.json", &gitleaks(&[(PASSWORD, "a.py", 1)]));
    place.write("bad.json", &format!("[{{\"RuleID\":\"{PASSWORD}\",\"File\":5}}]"));
    let output = place.quell(&["ingest", "good.json", "bad.json"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("bad.json") && !said.contains(PASSWORD), "{said}");
    assert!(place.incidents().is_empty(), "the good one was not taken over either");
    let unopened = place.ingest(&["good.json", "--no-open"]);
    assert_eq!(unopened["reports"][0]["secrets"][0]["done"], Value::Null);
    assert!(place.incidents().is_empty());
}
