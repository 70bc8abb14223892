//! A person's own credential beside a password of Redis: people end the one, Quell the other, and both are told apart.

use quell_testkit::redis::{Keeps, Server};
use serde_json::{Value, json};

use super::{Place, redis, text};

fn opened(server: &Server) -> (Place, String) {
    let place = Place::new(redis::kind(server, "orders", server.port()));
    let path = place.folder.path().join("quell.yaml");
    let mut inventory: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    inventory["secrets"].as_array_mut().unwrap().push(json!({
        "id": "ines-directory", "kind": "directory-password", "env": "prod", "tier": "human",
        "issuer": {"person": {"account": "ines@example.com", "at": "the directory"}},
    }));
    std::fs::write(&path, inventory.to_string()).unwrap();
    let args = [
        "incident",
        "open",
        "--secret",
        "orders",
        "--secret",
        "ines-directory",
        "--channel",
        "chat",
        "--json",
    ];
    let opened: Value = serde_json::from_str(&place.ok(&args, None)).unwrap();
    let id = opened["incident"].as_str().unwrap().to_owned();
    (place, id)
}

#[test]
fn people_end_what_is_theirs_and_say_so_with_evidence() {
    let server = Server::start(Keeps::File).unwrap();
    let (place, id) = opened(&server);
    let first = place.quell(&["respond", &id], None);
    assert_eq!(first.status.code(), Some(4), "{}", text(&first.stderr));
    let said = text(&first.stderr);
    assert!(said.contains("ines-directory.force-reset") && said.contains("ines@example.com"), "{said}");
    // Nobody waited for them: the other secret is done.
    let table = place.ok(&["incident", "secrets", &id, "--json"], None);
    assert!(table.contains("\"yes\"") && table.contains("is for a person to do"), "{table}");

    let resolve = |step: &str, more: &[&str]| {
        let step = format!("ines-directory.{step}");
        let mut args = vec!["step", "resolve", &id, &step];
        args.extend(more);
        place.quell(&args, None)
    };
    let short = resolve("force-reset", &["--statement", "done"]);
    assert!(
        !short.status.success() && text(&short.stderr).contains("say in a sentence"),
        "{}",
        text(&short.stderr)
    );
    let file = place.folder.path().join("audit.txt");
    std::fs::write(&file, format!("ticket with {} pasted into it", place.kind.old)).unwrap();
    let seen = "the directory's log shows the reset at 03:10";
    let leaky = resolve("force-reset", &["--statement", seen, "--evidence", "audit.txt"]);
    assert!(!leaky.status.success(), "a value went into the ledger");
    assert!(text(&leaky.stderr).contains("holds a value of this incident"), "{}", text(&leaky.stderr));
    std::fs::write(&file, "03:10:12 password of ines@example.com reset by otto").unwrap();
    let said = format!("the old one, {}, was reset", place.kind.old);
    let pasted = resolve("force-reset", &["--statement", &said]);
    assert!(text(&pasted.stderr).contains("holds what looks like a secret"), "{}", text(&pasted.stderr));
    for step in ["force-reset", "revoke-sessions", "revoke-tokens"] {
        let table = place.ok(&["incident", "secrets", &id, "--json"], None);
        assert!(!table.contains("people say that it is ended"), "before {step}: {table}");
        let done = resolve(step, &["--statement", seen, "--evidence", "audit.txt"]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let next = place.quell(&["respond", &id], None);
        let waits = step != "revoke-tokens";
        assert_eq!(next.status.code() == Some(4), waits, "{step}: {}", text(&next.stderr));
    }
    let table = place.ok(&["incident", "secrets", &id, "--json"], None);
    assert!(table.contains("people say that it is ended"), "{table}");

    // What people did is kept by a new plan, and is no proof.
    place.ok(&["plan", &id, "--again"], None);
    place.quell(&["respond", &id], None);
    let shown = place.ok(&["plan", &id], None);
    assert!(shown.contains("ines-directory.revoke-tokens  (applied)"), "{shown}");
    place.ok(
        &["incident", "verdict", &id, "no-evidence-logs-incomplete", "--reason", "no logs of the chat"],
        None,
    );
    let owner = ["incident", "action", &id, "shorter sessions", "--owner", "ines", "--due", "2027-01-01"];
    place.ok(&owner, None);
    let early = place.quell(&["incident", "close", &id, "--summary", "ended"], None);
    assert!(text(&early.stderr).contains("a named approver records an exception"), "{}", text(&early.stderr));
    place.ok(
        &["incident", "exception", &id, "ines-directory", "--reason", "reset and sessions seen in the log"],
        None,
    );
    place.ok(&["incident", "close", &id, "--summary", "ended"], None);
    place.ok(&["evidence", "export", &id, "--output", "bundle.tar"], None);
    place.ok(&["evidence", "verify", "bundle.tar"], None);
    let bundle = std::fs::read(place.folder.path().join("bundle.tar")).unwrap();
    assert!(super::memchr_of(&bundle, b"reset by otto").is_some());
}
