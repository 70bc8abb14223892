//! `quell drill`: the whole job on a machine that has nothing, and on a secret of one's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::world::{Roles, Servers, World, files_below, quell_program, text};

/// No environment at all but what names the data folder: nothing is found on a path, nothing is configured.
fn drill(home: &Path, args: &[&str]) -> Output {
    Command::new(quell_program())
        .args(["drill", "--json"])
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("PATH", "")
        .env("HOME", home)
        .env("TMPDIR", home.join("tmp"))
        .env("QUELL_DATA_DIR", home.join("data"))
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}\n{}", text(&output.stderr), text(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn assert_shows_everything(report: &Value) {
    assert_eq!(report["v"], 1, "{report}");
    for field in ["inert", "bundle_verified", "ledger_verified"] {
        assert_eq!(report[field], true, "{field}: {report}");
    }
    assert!(report["incident"].as_str().unwrap().starts_with("INC-"));
    let steps = report["steps"].as_array().unwrap();
    assert!(steps.len() > 10, "{report}");
    assert!(
        steps.iter().all(|s| s["id"].is_string() && s["ms"].is_u64() && s["attempts"].as_u64() >= Some(1))
    );
    assert!(!report["slowest"].as_array().unwrap().is_empty());
    for secret in report["secrets"].as_array().unwrap() {
        assert_eq!(secret["inert"], true, "{secret}");
        let proof = &secret["proof"];
        let old = proof["old"].as_array().unwrap();
        assert!(!old.is_empty(), "{proof}");
        for value in old {
            assert!(value["probes"].as_array().unwrap().len() >= 2 && value["sessions"] == 0, "{value}");
            let code = value.to_string();
            assert!(code.contains("28P01") || code.contains("28000"), "{value}");
        }
        assert!(proof["control"].to_string().contains("accepted"), "{proof}");
    }
    for file in ["bundle", "report"] {
        assert!(Path::new(report[file].as_str().unwrap()).is_file(), "{file}: {report}");
    }
}

#[test]
fn a_drill_needs_nothing_and_leaves_nothing_outside_its_data_folder() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("tmp")).unwrap();
    std::fs::write(home.path().join("mine.txt"), "mine").unwrap();

    let first = report(&drill(home.path(), &[]));
    assert_shows_everything(&first);
    assert_eq!(first["earlier"], Value::Null);
    let second = report(&drill(home.path(), &[]));
    assert_shows_everything(&second);
    assert_eq!(second["earlier"]["incident"], first["incident"], "{second}");
    assert_eq!(second["earlier"]["inert_ms"], first["inert_ms"]);
    let other = report(&drill(home.path(), &["--strategy", "kill-first"]));
    assert_eq!((&first["strategy"], &other["strategy"]), (&"make-before-break".into(), &"kill-first".into()));
    assert_eq!(other["earlier"], Value::Null, "other steps are no comparison");

    // A stranger verifies the bundle, with the key that was printed and nothing else.
    let elsewhere = tempfile::tempdir().unwrap();
    let bundle = first["bundle"].as_str().unwrap();
    let verified = Command::new(quell_program())
        .args(["evidence", "verify", bundle, "--key", first["vkey"].as_str().unwrap()])
        .current_dir(elsewhere.path())
        .env_clear()
        .env("HOME", elsewhere.path())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    assert_eq!(files_below(elsewhere.path()), Vec::<PathBuf>::new());

    let outside: Vec<PathBuf> =
        files_below(home.path()).into_iter().filter(|f| !f.starts_with(home.path().join("data"))).collect();
    assert_eq!(outside, [home.path().join("mine.txt")], "everything lies in the data folder");
    let worlds: Vec<PathBuf> = std::fs::read_dir(home.path().join("data/drills"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    assert_eq!(worlds, Vec::<PathBuf>::new(), "the sandbox holds decoy values in clear: it must go");
    assert_eq!(processes_of(home.path()), Vec::<String>::new(), "nothing runs on");
}

/// Command lines that name the folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|bytes| text(&bytes).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

#[test]
fn people_see_progress_and_a_table() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(quell_program())
        .arg("drill")
        .current_dir(home.path())
        .env_clear()
        .env("QUELL_DATA_DIR", home.path().join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    for word in ["STEP", "TOOK", "slow", "decoy-db proven inert", "from declaration to proof", "bundle"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(told.contains("applied decoy-db.disable") && told.contains("quell evidence verify"), "{told}");
}

#[test]
fn a_drill_on_ones_own_secret_spares_production_unless_told_twice() {
    let servers = Servers::start();
    let world = World::new(&servers, "own", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let refused = |args: &[&str]| {
        let args: Vec<&str> = ["drill", "--secret", "own-db"].iter().chain(args).copied().collect();
        let output = world.run(&args);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("not for drills"), "{}", text(&output.stderr));
    };
    refused(&[]);
    refused(&["--even-production", "own-db"]);
    refused(&["--even-production", "other-db", "--really"]);
    world.edit("env: prod", "env: staging\n    tier: infrastructure");
    refused(&[]);
    assert_eq!(
        world.json(&["incident", "list"])["incidents"].as_array().unwrap().len(),
        0,
        "nothing was opened"
    );
    assert_eq!(World::login(&world.old_url).as_deref(), Ok("own_a"));

    world.edit("tier: infrastructure", "tier: service");
    let drilled = world.json(&["drill", "--secret", "own-db"]);
    assert_shows_everything(&drilled);
    let id = drilled["incident"].as_str().unwrap();
    world.assert_inert(id, Roles::Alternating);
    let shown = world.json(&["incident", "show", id]);
    assert_eq!((&shown["drill"], &shown["status"]), (&true.into(), &"closed".into()));
}

#[test]
fn told_twice_it_drills_on_production() {
    let servers = Servers::start();
    let world = World::new(&servers, "twi", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let drilled = world.json(&["drill", "--secret", "twi-db", "--even-production", "twi-db", "--really"]);
    assert_shows_everything(&drilled);
    world.assert_inert(drilled["incident"].as_str().unwrap(), Roles::Alternating);
}
