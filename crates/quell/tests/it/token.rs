//! A leaked OpenBao token: the issuer chooses the successor; the old one dies with its children and leases.

use std::process::Command;

use quell_testkit::openbao;
use serde_json::{Value, json};

use super::world::{quell_program, text};

fn lookup(server: &openbao::Server, token: &str) -> u16 {
    openbao::ask(server.port(), token, "GET", "auth/token/lookup-self", &Value::Null).unwrap().0
}

fn die_and_resume(server: &openbao::Server, failpoint: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let old =
        server.request("POST", "auth/token/create", &json!({"policies": ["default"], "ttl": "1h"})).unwrap();
    let old = old["auth"]["client_token"].as_str().unwrap().to_owned();
    std::fs::write(folder.path().join("app.env"), format!("BAO_TOKEN={old}\n")).unwrap();
    std::fs::write(folder.path().join("token"), server.root_token()).unwrap();
    let file = folder.path().join("app.env");
    let inventory = json!({
        "connections": {"openbao": {"address": server.addr(), "token": "file:token"}},
        "secrets": [{
            "id": "app-token",
            "kind": "openbao-token",
            "env": "prod",
            "issuer": {"openbao": {"token": {"policies": ["default"], "ttl": "1h"}}},
            "stores": [{"env_file": {"path": "app.env", "key": "BAO_TOKEN"}}],
            "consumers": [{"name": "job", "observe": {"exec": ["stat", "-c", "inode-%i", file.to_str().unwrap()]}}],
        }],
        "policy": {"approvals": {"destructive": 0}},
    });
    std::fs::write(folder.path().join("quell.yaml"), inventory.to_string()).unwrap();
    let quell = |args: &[&str], failpoint: Option<&str>| {
        let mut command = Command::new(quell_program());
        command.args(args).current_dir(folder.path()).env("QUELL_DATA_DIR", folder.path().join("data"));
        if let Some(failpoint) = failpoint {
            command.env("QUELL_FAILPOINT", failpoint);
        }
        command.output().unwrap()
    };
    let ok = |args: &[&str]| {
        let output = quell(args, None);
        assert!(output.status.success(), "quell {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    ok(&["init"]);
    ok(&["incident", "open", "--secret", "app-token", "--channel", "chat"]);
    let listed = ok(&["incident", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed["incidents"][0]["incident"].as_str().unwrap().to_owned();
    if let Some(failpoint) = failpoint {
        assert_eq!(quell(&["respond", &id], Some(failpoint)).status.code(), None, "{failpoint}");
    }
    ok(&["respond", &id]);
    let shown: Value = serde_json::from_str(&ok(&["incident", "show", &id, "--json"])).unwrap();
    assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
    assert_eq!(lookup(server, &old), 403, "the old token is dead");
    let env_file = std::fs::read_to_string(&file).unwrap();
    let new = env_file.trim().strip_prefix("BAO_TOKEN=").unwrap();
    assert_ne!(new, old);
    assert_eq!(lookup(server, new), 200, "the new token lives");
    // Whatever was minted for this incident and is not in use must be gone: exactly one lives.
    let accessors = server.request("LIST", "auth/token/accessors", &Value::Null).unwrap();
    let ours = accessors["data"]["keys"].as_array().unwrap().iter().filter(|accessor| {
        let facts =
            server.request("POST", "auth/token/lookup-accessor", &json!({"accessor": accessor})).unwrap();
        facts["data"]["meta"]["quell"]
            .as_str()
            .is_some_and(|tag| tag.ends_with(&format!("/{id}/app-token.mint")))
    });
    assert_eq!(ours.count(), 1, "exactly one live successor");
    server.request("POST", "auth/token/revoke", &json!({"token": new})).unwrap();
}

#[test]
fn a_token_is_replaced_and_a_crash_leaves_no_stranger() {
    let server = openbao::Server::start().unwrap();
    die_and_resume(&server, None);
    for place in ["after-intent", "after-effect", "after-result"] {
        for step in ["mint", "store-0", "disable"] {
            die_and_resume(&server, Some(&format!("app-token.{step}:{place}")));
        }
    }
}
