//! `quell provider`: what comes with the binary, and files of a user's own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kill_key::{embedded, plain};
use super::world::text;

fn object(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("{}", text(bytes)))
}

#[test]
fn thirty_providers_come_with_the_binary_and_serve_kinds_that_the_scanner_knows() {
    let folder = tempfile::tempdir().unwrap();
    let listed = object(&plain(folder.path(), &["provider", "list", "--json"]).stdout);
    let all = listed["providers"].as_array().unwrap();
    assert!(all.len() >= 30, "{}", all.len());
    assert!(all.iter().filter(|one| one["self_revocable"] == true).count() >= 10);
    let rules = object(&plain(folder.path(), &["rules", "list", "--json"]).stdout);
    let kinds: BTreeSet<&str> =
        rules["rules"].as_array().unwrap().iter().map(|rule| rule["kind"].as_str().unwrap()).collect();
    let mut served = BTreeSet::new();
    for one in all {
        for kind in one["provider"]["kinds"].as_array().unwrap() {
            let kind = kind.as_str().unwrap();
            assert!(kinds.contains(kind), "{}: no rule finds a {kind}", one["id"]);
            // Two may serve one kind when keys tell by how they begin.
            let apart = one["provider"]["prefixes"].to_string();
            assert!(served.insert((kind, apart)), "{}: {kind} has another provider", one["id"]);
        }
    }
    let table = plain(folder.path(), &["provider", "list"]);
    assert!(text(&table.stdout).contains("discord-webhook") && text(&table.stderr).contains("providers;"));
}

#[test]
fn a_provider_is_shown_with_its_sources() {
    let folder = tempfile::tempdir().unwrap();
    let shown = text(&plain(folder.path(), &["provider", "show", "sendgrid"]).stdout);
    for words in [
        "DELETE /v3/api_keys/{id} as administrator",
        "needs: a key with the scope api_keys.delete",
        "https://www.twilio.com/docs/",
        "(2026-11-23)",
        "note: ",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let shown = text(&plain(folder.path(), &["provider", "show", "gitlab"]).stdout);
    for words in [
        "refused: 401 Token was revoked",
        "weak: 401 401 Unauthorized: GitLab says so to every text",
        "although it lives: a token of another server",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let missing = plain(folder.path(), &["provider", "show", "acme"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("quell provider list"), "{}", text(&missing.stderr));
}

#[test]
fn a_file_of_your_own_is_checked_and_tried_on_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    let good = embedded("fastly").replace("id: fastly", "id: acme");
    write("good.yaml", &good);
    let ok = plain(folder.path(), &["provider", "check", "good.yaml"]);
    assert_eq!(ok.status.code(), Some(0), "{}{}", text(&ok.stdout), text(&ok.stderr));
    assert!(text(&ok.stdout).contains("`acme` does on its model what it must"), "{}", text(&ok.stdout));

    write("typo.yaml", &good.replace("settle:", "setle:"));
    let typo = plain(folder.path(), &["provider", "check", "typo.yaml"]);
    assert_eq!(typo.status.code(), Some(10));
    assert!(
        text(&typo.stdout).contains("typo.yaml:") && text(&typo.stdout).contains("unknown field `setle`")
    );

    write("version.yaml", &good.replace("provider: 1", "provider: 9"));
    let version = text(&plain(folder.path(), &["provider", "check", "version.yaml"]).stdout);
    assert!(version.contains("format version 9 is not known; this Quell reads 1"), "{version}");

    // Reads well; what it takes for done is not what the API answers.
    write("wrong.yaml", &good.replace("    done: [{ status: 204 }]", "    done: [{ status: 202 }]"));
    let wrong = plain(folder.path(), &["provider", "check", "--json", "wrong.yaml"]);
    assert_eq!(wrong.status.code(), Some(10));
    let wrong = object(&wrong.stdout);
    assert_eq!(wrong["files"][0]["ok"], false);
    let failed: Vec<&Value> =
        wrong["files"][0]["tested"].as_array().unwrap().iter().filter(|one| one["ok"] == false).collect();
    assert!(!failed.is_empty(), "{wrong}");
}

#[test]
fn a_folder_of_the_inventory_goes_before_what_comes_with_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("own")).unwrap();
    let own = embedded("github").replace("GitHub personal access token or OAuth token", "GitHub at acme");
    std::fs::write(folder.path().join("own/github.yaml"), own).unwrap();
    std::fs::write(folder.path().join("quell.yaml"), "providers: [own]\n").unwrap();
    let shown = object(&plain(folder.path(), &["provider", "show", "github", "--json"]).stdout);
    assert_eq!(shown["provider"]["name"], "GitHub at acme");
    std::fs::write(folder.path().join("own/twin.yaml"), embedded("github")).unwrap();
    let twins = plain(folder.path(), &["provider", "list"]);
    assert_eq!(twins.status.code(), Some(2));
    assert!(text(&twins.stderr).contains("`github` is also in"), "{}", text(&twins.stderr));
}

#[test]
fn the_schema_knows_every_key_that_the_files_use() {
    fn used(schema: &Value, value: &Value, path: &str) {
        let (Some(map), Some(known)) =
            (value.as_object(), schema.get("properties").and_then(Value::as_object))
        else {
            return;
        };
        for (name, inner) in map {
            let inner_schema =
                known.get(name).unwrap_or_else(|| panic!("{path}.{name} is not in the schema"));
            let items = inner_schema.get("items");
            match (items, inner.as_array()) {
                (Some(items), Some(all)) => {
                    for one in all {
                        used(items, one, &format!("{path}.{name}"));
                    }
                }
                _ => used(inner_schema, inner, &format!("{path}.{name}")),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let schema = object(&plain(folder.path(), &["provider", "schema"]).stdout);
    let listed = object(&plain(folder.path(), &["provider", "list", "--json"]).stdout);
    for one in listed["providers"].as_array().unwrap() {
        used(&schema, &one["provider"], one["id"].as_str().unwrap());
    }
}
