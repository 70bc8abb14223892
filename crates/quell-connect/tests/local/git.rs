//! Real repositories: who may push, whose lock it is, and what is left alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use quell_connect::connector::{Channel, Leak};
use quell_core::outcome::Outcome;
use quell_core::plan::ChannelAct;
use serde_json::{Value, json};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.git("", &["init", "-q", "-b", "main", "work"]);
        world.git("work", &["commit", "-q", "--allow-empty", "-m", "first"]);
        world.git("", &["clone", "-q", "--bare", "work", "forge.git"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, at: &str, args: &[&str]) -> (bool, String) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ines", "-c", "user.email=ines@example.com"]).args(args);
        command.current_dir(self.path(at)).env("HOME", self.folder.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    #[track_caller]
    fn git(&self, at: &str, args: &[&str]) -> String {
        let (ok, text) = self.run(at, args);
        assert!(ok, "git {args:?}: {text}");
        text
    }

    fn pushes(&self) -> bool {
        self.git("work", &["commit", "-q", "--allow-empty", "-m", "more"]);
        let (ok, text) = self.run("work", &["push", "-q", "../forge.git", "main"]);
        assert!(ok || text.contains("hidden ref"), "{text}");
        ok
    }

    fn channel(&self, path: &str) -> Box<dyn Channel> {
        let context = super::context(self.folder.path());
        let build = quell_connect::find("git").unwrap().channel.unwrap();
        build(&json!({ "path": path }), &context).unwrap()
    }
}

fn leak(incident: &str) -> Leak<'_> {
    Leak { incident, exposures: &[] }
}

async fn act(channel: &dyn Channel, act: ChannelAct, incident: &str) -> Outcome {
    let before = channel.observe(act, &leak(incident)).await;
    let done = channel.perform(act, &leak(incident)).await;
    assert!(done.is_applied(), "{act:?} {incident}: {done:?}, before: {before:?}");
    let again = channel.perform(act, &leak(incident)).await;
    assert_eq!(again, done, "repeated");
    assert_eq!(channel.observe(act, &leak(incident)).await, done);
    before
}

const ONE: &str = "INC-2026-0001";
const TWO: &str = "INC-2026-0002";

#[tokio::test]
async fn two_incidents_do_not_unlock_each_others() {
    let world = World::new();
    let forge = world.channel("forge.git");
    let before = std::fs::read(world.path("forge.git/config")).unwrap();
    assert!(world.pushes());
    for incident in [ONE, TWO] {
        assert!(!act(forge.as_ref(), ChannelAct::Lock, incident).await.is_applied());
    }
    assert!(!world.pushes());
    act(forge.as_ref(), ChannelAct::Unlock, ONE).await;
    assert!(!world.pushes(), "the other incident's lock was lifted");
    act(forge.as_ref(), ChannelAct::Unlock, TWO).await;
    assert!(world.pushes());
    // Git may leave an empty section behind; no setting is left or lost.
    let list = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().filter(|line| *line != "[include]").map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&std::fs::read(world.path("forge.git/config")).unwrap()), list(&before));
}

#[tokio::test]
async fn what_the_operator_had_set_stays_and_what_shows_refs_again_is_named() {
    let world = World::new();
    let forge = world.channel("forge.git");
    world.git("forge.git", &["config", "receive.hideRefs", "refs/"]);
    act(forge.as_ref(), ChannelAct::Lock, ONE).await;
    act(forge.as_ref(), ChannelAct::Unlock, ONE).await;
    assert_eq!(world.git("forge.git", &["config", "--get-all", "receive.hideRefs"]), "refs/\n");
    assert!(!world.pushes(), "the operator's own lock was lifted");
    world.git("forge.git", &["config", "--unset-all", "receive.hideRefs"]);
    act(forge.as_ref(), ChannelAct::Lock, ONE).await;
    world.git("forge.git", &["config", "--add", "receive.hideRefs", "!refs/heads/main"]);
    assert!(world.pushes());
    let seen = forge.observe(ChannelAct::Lock, &leak(ONE)).await;
    assert!(
        matches!(&seen, Outcome::NotApplied { reason, .. } if reason.contains("shows refs again")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_configuration_that_somebody_writes_is_tried_again_and_nothing_is_left_half() {
    let world = World::new();
    let forge = world.channel("forge.git");
    std::fs::write(world.path("forge.git/config.lock"), "").unwrap();
    let refused = forge.perform(ChannelAct::Lock, &leak(ONE)).await;
    assert!(
        matches!(&refused, Outcome::NotApplied { retryable: true, reason, .. } if reason.contains("config.lock")),
        "{refused:?}"
    );
    assert!(!forge.observe(ChannelAct::Lock, &leak(ONE)).await.is_applied());
    std::fs::remove_file(world.path("forge.git/config.lock")).unwrap();
    assert!(world.pushes(), "a file that nothing includes locks nothing");
    act(forge.as_ref(), ChannelAct::Lock, ONE).await;
    assert!(!world.pushes());
    let mode = std::fs::metadata(world.path(&format!("forge.git/quell-lock-{ONE}.conf")))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644, "whoever serves the repository must be able to read it");
}

#[tokio::test]
async fn what_is_no_repository_is_named_and_never_called_locked() {
    let world = World::new();
    std::fs::create_dir(world.path("empty")).unwrap();
    std::fs::create_dir(world.path("work/below")).unwrap();
    for path in ["empty", "missing", "work/file", "work/below"] {
        let channel = world.channel(path);
        let refused = channel.perform(ChannelAct::Lock, &leak(ONE)).await;
        assert!(matches!(&refused, Outcome::NotApplied { .. }), "{path}: {refused:?}");
        let seen = channel.observe(ChannelAct::Unlock, &leak(ONE)).await;
        assert!(matches!(&seen, Outcome::Unknown { .. }), "{path}: {seen:?}");
        assert!(channel.preserve(&leak(ONE)).await.is_err(), "{path}");
        assert!(channel.check().await.iter().any(|check| !check.ok), "{path}");
    }
    assert!(world.channel("forge.git").check().await.iter().all(|check| check.ok));
}

#[tokio::test]
async fn a_linked_work_tree_locks_the_repository_that_it_belongs_to() {
    let world = World::new();
    world.git("forge.git", &["worktree", "add", "-q", "../linked", "main", "--force", "--detach"]);
    let linked = world.channel("linked");
    act(linked.as_ref(), ChannelAct::Lock, ONE).await;
    assert!(!world.pushes());
    act(linked.as_ref(), ChannelAct::Unlock, ONE).await;
    assert!(world.pushes());
}

#[tokio::test]
async fn many_long_names_are_cut_off_and_stop_nothing() {
    let world = World::new();
    let tip = world.git("forge.git", &["rev-parse", "main"]);
    let name =
        |n: u32| format!("{} refs/heads/dependabot/npm_and_yarn/{}-{n:04}", tip.trim(), "x".repeat(150));
    let packed = (0..600).map(name).collect::<Vec<_>>().join("\n") + "\n";
    std::fs::write(world.path("forge.git/packed-refs"), packed).unwrap();
    let seen = world.channel("forge.git").preserve(&leak(ONE)).await.unwrap();
    assert_eq!((seen["refs"].as_array().unwrap().len(), &seen["more_refs"]), (500, &json!(true)));
}

#[tokio::test]
async fn a_lock_that_does_not_hold_leaves_nothing_behind() {
    let world = World::new();
    world.git("forge.git", &["config", "receive.hideRefs", "refs/tags"]);
    std::fs::write(world.path("shown.conf"), "[receive]\n\thideRefs = !refs/heads/main\n").unwrap();
    // Read behind everything that the repository says.
    let forge = world.channel("forge.git");
    act(forge.as_ref(), ChannelAct::Lock, TWO).await;
    world.git("forge.git", &["config", "--add", "include.path", "../shown.conf"]);
    let refused = forge.perform(ChannelAct::Lock, &leak(TWO)).await;
    assert!(matches!(&refused, Outcome::NotApplied { retryable: false, .. }), "{refused:?}");
    assert!(!world.path(&format!("forge.git/quell-lock-{TWO}.conf")).exists());
    assert!(!std::fs::read_to_string(world.path("forge.git/config")).unwrap().contains("quell-lock"));
}

#[tokio::test]
async fn a_working_copy_is_locked_in_its_git_folder_and_remotes_are_kept_without_passwords() {
    let world = World::new();
    world.git("work", &["remote", "add", "origin", "https://ines:canary-Zx9Zx9@git.example.com/orders.git"]);
    world.git("work", &["tag", "v1"]);
    let work = world.channel("work");
    act(work.as_ref(), ChannelAct::Lock, ONE).await;
    assert!(world.path(&format!("work/.git/quell-lock-{ONE}.conf")).is_file());
    let seen = work.preserve(&leak(ONE)).await.unwrap();
    assert!(!seen.to_string().contains("canary"), "{seen}");
    assert_eq!(seen["remotes"][0]["place"], "git.example.com/orders.git");
    let names: Vec<&Value> = seen["refs"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert!(
        names.contains(&&json!("refs/heads/main")) && names.contains(&&json!("refs/tags/v1")),
        "{names:?}"
    );
    assert_eq!(seen["more_refs"], false);
    let path: &Path = &work.repository().unwrap();
    assert!(path.ends_with("work"));
    for foreign in [ChannelAct::Remove, ChannelAct::Scan, ChannelAct::Preserve] {
        assert!(!work.perform(foreign, &leak(ONE)).await.is_applied(), "{foreign:?}");
    }
}
