//! A real bare repository in which a Redis password leaked: nobody can push while the plan runs, what it shows is kept, and it is unlocked only
//! when nothing in it works.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quell_testkit::redis::{Keeps, Server};
use serde_json::{Value, json};

use super::{Place, leaky, memchr_of, redis, text};

/// The repository that people push to, and one of theirs.
struct Forge {
    bare: PathBuf,
    clone: PathBuf,
}

fn git(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=Ines", "-c", "user.email=ines@example.com"]).args(args);
    command.current_dir(folder).env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap()
}

#[track_caller]
fn git_ok(folder: &Path, args: &[&str]) -> String {
    let output = git(folder, args);
    assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

impl Forge {
    fn new(place: &Place) -> Self {
        let clone = leaky(place.folder.path(), &place.kind.old);
        let bare = place.folder.path().join("forge.git");
        git_ok(place.folder.path(), &["clone", "-q", "--bare", "repository", "forge.git"]);
        git_ok(&clone, &["remote", "add", "forge", bare.to_str().unwrap()]);
        Self { bare, clone }
    }

    /// Somebody pushes something harmless.
    fn push(&self) -> Output {
        git_ok(&self.clone, &["commit", "-q", "--allow-empty", "-m", "work goes on"]);
        git(&self.clone, &["push", "-q", "forge", "main"])
    }

    #[track_caller]
    fn assert_locked(&self) {
        let pushed = self.push();
        let said = text(&pushed.stderr);
        assert!(!pushed.status.success() && said.contains("hidden ref"), "{said}");
        assert!(git_ok(&self.clone, &["ls-remote", "forge"]).contains("refs/heads/main"), "reading goes on");
    }

    #[track_caller]
    fn assert_open(&self) {
        let pushed = self.push();
        assert!(pushed.status.success(), "{}", text(&pushed.stderr));
        let left = std::fs::read_dir(&self.bare).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(
            left.into_iter().all(|name| !name.to_string_lossy().contains("quell")),
            "nothing of ours stays"
        );
    }
}

/// An incident about a password that leaked in a forge.
fn opened(server: &Server, name: &str) -> (Place, Forge, String) {
    let place = Place::new(redis::kind(server, name, server.port()));
    let path = place.folder.path().join("quell.yaml");
    let mut inventory: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    inventory["channels"] = json!({"forge": {"git": {"path": "forge.git"}}});
    std::fs::write(&path, inventory.to_string()).unwrap();
    let forge = Forge::new(&place);
    let args =
        ["incident", "open", "--secret", "orders", "--channel", "private-repo", "--in", "forge", "--json"];
    let opened: Value = serde_json::from_str(&place.ok(&args, None)).unwrap();
    let id = opened["incident"].as_str().unwrap().to_owned();
    (place, forge, id)
}

#[test]
fn a_repository_is_locked_until_it_is_rotated_and_what_it_showed_is_kept() {
    let server = Server::start(Keeps::File).unwrap();
    let (mut place, forge, id) = opened(&server, "locked");
    // The value again, in what is shown around it.
    let password = place.kind.old.split(['@', ':']).nth(2).unwrap().to_owned();
    for args in [
        ["branch", &format!("fix-{password}")].as_slice(),
        &[
            "remote",
            "add",
            "mirror",
            &format!("https://mirror.example.com/{password}/x.git?token={password}"),
        ],
    ] {
        git_ok(&forge.bare, args);
    }
    for failpoint in ["channel.forge.preserve:after-intent", "orders.prove:after-intent"] {
        let killed = place.quell(&["respond", &id], Some(failpoint));
        assert_eq!(killed.status.code(), None, "{failpoint}: {}", text(&killed.stderr));
    }
    forge.assert_locked();
    let unproven = place.quell(&["incident", "close", &id, "--summary", "done"], None);
    assert!(text(&unproven.stderr).contains("may still be locked"), "{}", text(&unproven.stderr));
    for failpoint in ["channel.forge.unlock:after-intent", "channel.forge.unlock:after-effect"] {
        let killed = place.quell(&["respond", &id], Some(failpoint));
        assert_eq!(killed.status.code(), None, "{failpoint}: {}", text(&killed.stderr));
    }
    place.ok(&["respond", &id], None);
    forge.assert_open();
    place.assert_inert(&id);
    let bundle = std::fs::read(place.folder.path().join("bundle.tar")).unwrap();
    assert!(memchr_of(&bundle, password.as_bytes()).is_none(), "the password is in the bundle");
    for wanted in ["channel-forge.json", "settings.env", "refs/heads/main", "last_seen_commit", "blacked out"]
    {
        assert!(memchr_of(&bundle, wanted.as_bytes()).is_some(), "{wanted} is not in the bundle");
    }
}

#[test]
fn a_crash_after_the_lock_leaves_one_lock_that_is_lifted() {
    let server = Server::start(Keeps::File).unwrap();
    for (name, failpoint) in
        [("ae", "channel.forge.lock:after-effect"), ("ai", "channel.forge.lock:after-intent")]
    {
        let (place, forge, id) = opened(&server, name);
        let killed = place.quell(&["respond", &id], Some(failpoint));
        assert_eq!(killed.status.code(), None, "{failpoint}: {}", text(&killed.stderr));
        assert_eq!(forge.push().status.success(), name == "ai", "{failpoint}");
        place.ok(&["respond", &id], None);
        forge.assert_open();
    }
}

#[test]
fn a_repository_that_holds_the_successor_stays_locked() {
    let server = Server::start(Keeps::File).unwrap();
    let (place, forge, id) = opened(&server, "again");
    let killed = place.quell(&["respond", &id], Some("channel.forge.scan:after-intent"));
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    // Whoever writes the files of the repository is not stopped by a lock.
    let new = std::fs::read_to_string(place.kind.kept.file(place.folder.path())).unwrap();
    let file = place.folder.path().join("leak.env");
    std::fs::write(&file, new).unwrap();
    let blob = git_ok(&forge.bare, &["hash-object", "-w", file.to_str().unwrap()]);
    git_ok(&forge.bare, &["update-ref", "refs/quell-test/leak", blob.trim()]);
    let answered = place.quell(&["respond", &id], None);
    let said = text(&answered.stderr);
    assert!(!answered.status.success() && said.contains("a value that works now"), "{said}");
    forge.assert_locked();
    // A person who says that it is dealt with is named, and the repository opens.
    git_ok(&forge.bare, &["update-ref", "-d", "refs/quell-test/leak"]);
    place
        .ok(&["step", "skip", &id, "channel.forge.scan", "--reason", "dealt with in another incident"], None);
    place.ok(&["respond", &id], None);
    forge.assert_open();
}

/// What is not done where it leaked, or by people, keeps no other incident waiting; and no lock is forgotten.
#[test]
fn a_lock_is_remembered_over_plans_and_keeps_no_other_incident_waiting() {
    let server = Server::start(Keeps::File).unwrap();
    let (place, forge, id) = opened(&server, "kept");
    let killed = place.quell(&["respond", &id], Some("channel.forge.lock:after-effect"));
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    forge.assert_locked();
    // Another repository has the name now: the first one stays locked, and that is said.
    let path = place.folder.path().join("quell.yaml");
    let other = std::fs::read_to_string(&path).unwrap().replace("forge.git", "moved.git");
    git_ok(place.folder.path(), &["clone", "-q", "--bare", "repository", "moved.git"]);
    std::fs::write(&path, other).unwrap();
    place.ok(&["plan", &id, "--again"], None);
    place.ok(&["respond", &id], None);
    forge.assert_locked();
    let shown = place.ok(&["incident", "show", &id, "--json"], None);
    assert!(shown.contains("forge.git) may still be locked"), "{shown}");
    // What a person unlocks by hand, a person says.
    let early = place.quell(&["incident", "unlocked", &id, "elsewhere", "--reason", "no such lock"], None);
    assert!(!early.status.success());
    git_ok(&forge.bare, &["config", "--unset-all", "include.path"]);
    std::fs::remove_file(forge.bare.join(format!("quell-lock-{id}.conf"))).unwrap();
    place.ok(
        &["incident", "unlocked", &id, "forge", "--reason", "the include is gone, a push went through"],
        None,
    );
    forge.assert_open();
    let shown = place.ok(&["incident", "show", &id, "--json"], None);
    assert!(!shown.contains("may still be locked"), "{shown}");

    // A channel that nobody can use any more is a warning; an incident about the same secret does not wait for the first one's hygiene.
    let gone = std::fs::read_to_string(&path).unwrap().replace("\"forge\":", "\"renamed\":");
    std::fs::write(&path, gone).unwrap();
    let again = place.ok(&["plan", &id, "--again"], None);
    assert!(again.contains("nothing is done at the channel `forge`"), "{again}");
    place.ok(&["respond", &id], None);
    let second =
        ["incident", "open", "--secret", "orders", "--channel", "private-repo", "--in", "renamed", "--json"];
    let second: Value = serde_json::from_str(&place.ok(&second, None)).unwrap();
    let second = second["incident"].as_str().unwrap().to_owned();
    std::fs::rename(place.folder.path().join("moved.git"), place.folder.path().join("gone.git")).unwrap();
    let stuck = place.quell(&["respond", &second], None);
    assert!(text(&stuck.stderr).contains("channel.renamed"), "{}", text(&stuck.stderr));
    let third = ["incident", "open", "--secret", "orders", "--channel", "chat", "--json"];
    let third: Value = serde_json::from_str(&place.ok(&third, None)).unwrap();
    place.ok(&["respond", third["incident"].as_str().unwrap()], None);
}

#[test]
fn a_value_that_cannot_be_looked_for_is_not_called_absent() {
    let server = Server::start(Keeps::File).unwrap();
    let (place, forge, id) = opened(&server, "short");
    let path = place.folder.path().join("quell.yaml");
    let mut inventory: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    super::private(&place.folder.path().join("pin"), "abc1234\n");
    inventory["secrets"].as_array_mut().unwrap().push(json!({
        "id": "pin", "kind": "pin", "issuer": {"person": {"account": "door", "at": "the hall"}},
        "stores": [{"file": {"path": "pin"}}],
    }));
    std::fs::write(&path, inventory.to_string()).unwrap();
    let answered = place.quell(&["respond", &id], None);
    let said = text(&answered.stderr);
    assert!(!answered.status.success() && said.contains("a value of pin is not looked for"), "{said}");
    assert!(!said.contains("abc1234"));
    forge.assert_locked();
}
