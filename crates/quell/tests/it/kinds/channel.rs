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
    for failpoint in ["channel.forge.preserve:after-intent", "orders.prove:after-intent"] {
        let killed = place.quell(&["respond", &id], Some(failpoint));
        assert_eq!(killed.status.code(), None, "{failpoint}: {}", text(&killed.stderr));
    }
    forge.assert_locked();
    let unproven = place.quell(&["incident", "close", &id, "--summary", "done"], None);
    assert!(text(&unproven.stderr).contains("`forge` is still locked"), "{}", text(&unproven.stderr));
    for failpoint in ["channel.forge.unlock:after-intent", "channel.forge.unlock:after-effect"] {
        let killed = place.quell(&["respond", &id], Some(failpoint));
        assert_eq!(killed.status.code(), None, "{failpoint}: {}", text(&killed.stderr));
    }
    place.ok(&["respond", &id], None);
    forge.assert_open();
    place.assert_inert(&id);
    let bundle = std::fs::read(place.folder.path().join("bundle.tar")).unwrap();
    for wanted in ["channel-forge.json", "settings.env", "refs/heads/main", "last_seen_commit"] {
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
