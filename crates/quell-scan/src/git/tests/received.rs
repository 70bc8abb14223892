use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{Known, Received, Update};

/// A bare repository whose hook records what git tells it and looks away while the test scans.
struct Server {
    repo: Repo,
    bare: PathBuf,
}

impl Server {
    fn new() -> Self {
        let repo = Repo::new();
        repo.write("start.txt", "x");
        repo.commit("start", &[]);
        let bare = repo.path.parent().unwrap().join("server.git");
        git(
            repo.path.parent().unwrap(),
            1_700_000_000,
            &["init", "-q", "--bare", "-b", "main", "server.git"],
        );
        repo.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        repo.git(&["push", "-q", "origin", "main"]);
        let server = Self { repo, bare };
        // The quarantine is gone when the hook ends, so it is copied; and the push is refused.
        let hook = "#!/bin/sh\nrm -rf ../seen && mkdir ../seen && cat > ../seen/lines\n\
            [ -n \"$GIT_OBJECT_DIRECTORY\" ] && cp -r \"$GIT_OBJECT_DIRECTORY\" ../seen/objects\n\
            printf %s \"$GIT_ALTERNATE_OBJECT_DIRECTORIES\" > ../seen/alternates\nexit 1\n";
        let file = server.bare.join("hooks/pre-receive");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, hook).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        server
    }

    /// Pushes, which the hook refuses, and scans what the hook was told.
    fn push(&self, args: &[&str]) -> Report {
        let output = Command::new("git")
            .current_dir(&self.repo.path)
            .args(["push", "-q", "origin"])
            .args(args)
            .output()
            .unwrap();
        assert!(!output.status.success());
        self.received()
    }

    fn received(&self) -> Report {
        let seen = self.bare.parent().unwrap().join("seen");
        let lines = std::fs::read_to_string(seen.join("lines")).unwrap();
        let alternates = std::fs::read_to_string(seen.join("alternates")).unwrap();
        let mut object_folders: Vec<PathBuf> =
            alternates.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
        object_folders.extend(Some(seen.join("objects")).filter(|objects| objects.exists()));
        let updates = Update::parse_lines(&lines).unwrap();
        let received = Received { updates, object_folders, known: Known::AllRefs };
        with_scanner(|scanner| scanner.received(&self.bare, &received, &mut |_| {})).unwrap()
    }

    /// Lets a push through.
    fn accept(&self, args: &[&str]) {
        let hook = self.bare.join("hooks/pre-receive");
        let aside = self.bare.join("hooks/aside");
        std::fs::rename(&hook, &aside).unwrap();
        self.repo.git(&[&["push", "-q", "origin"], args].concat());
        std::fs::rename(&aside, &hook).unwrap();
    }
}

fn paths(report: &Report) -> Vec<&str> {
    assert!(report.complete(), "{:?}", report.incomplete);
    report.findings.iter().map(|finding| finding.place.file.as_str()).collect()
}

#[test]
fn a_push_is_searched_before_its_refs_change() {
    let server = Server::new();
    let secret = token(1);
    server.repo.write("app/t.txt", &secret);
    let commit = server.repo.commit("add", &[]);
    server.repo.git(&["rm", "-q", "app/t.txt"]);
    server.repo.commit(&format!("remove, and say {}", token(2)), &[]);
    let report = server.push(&["main"]);
    assert_eq!(paths(&report), ["(commit message)", "app/t.txt"]);
    let finding = finding_of(&report, &secret);
    assert_eq!(
        (finding.first_seen_commit.as_ref(), finding.refs.as_slice()),
        (Some(&commit), ["refs/heads/main".to_owned()].as_slice())
    );
    assert_eq!((report.commits, report.blobs), (2, 1));
    // Once it is there, a second push of the same is no news.
    server.accept(&["main"]);
    server.repo.write("harmless.txt", "x");
    server.repo.commit("harmless", &[]);
    let report = server.push(&["main"]);
    assert_eq!((paths(&report), report.commits), (vec![], 1));
}

#[test]
fn new_branches_forced_pushes_and_deletions() {
    let server = Server::new();
    server.repo.git(&["checkout", "-q", "-b", "work"]);
    server.repo.write("t.txt", &token(3));
    server.repo.commit("add", &[]);
    assert_eq!(paths(&server.push(&["work"])), ["t.txt"]);
    server.accept(&["work"]);
    server.repo.write("u.txt", &token(4));
    server.repo.commit("rewritten", &["--amend"]);
    assert_eq!(paths(&server.push(&["--force", "work"])), ["t.txt", "u.txt"]);
    let report = server.push(&["--delete", "work"]);
    assert_eq!((paths(&report), report.commits), (vec![], 0));
    // A branch at a commit that is there brings nothing.
    let report = server.push(&["main:refs/heads/same"]);
    assert_eq!((paths(&report), report.commits), (vec![], 0));
}

#[test]
fn tags_and_odd_refs_are_searched() {
    let server = Server::new();
    server.repo.git(&["tag", "-a", "v1", "-m", &token(5)]);
    let report = server.push(&["v1"]);
    assert_eq!(paths(&report), ["(tag message)"]);
    assert_eq!(report.findings[0].refs, ["refs/tags/v1"]);
    let blob = server.repo.write_blob(&token(6));
    server.repo.git(&["tag", "odd", &blob]);
    assert_eq!(paths(&server.push(&["odd"])), [format!("(blob {blob})")]);
}

#[test]
fn what_was_not_received_stops_a_push() {
    let server = Server::new();
    server.repo.write("t.txt", &token(7));
    server.repo.commit("add", &[]);
    server.push(&["main"]);
    let seen = server.bare.parent().unwrap().join("seen");
    let blob = server.repo.git(&["rev-parse", "HEAD:t.txt"]);
    let file = seen.join("objects").join(short(&blob, 2)).join(blob.split_at(2).1);
    let good = std::fs::read(&file).unwrap();
    make_writable(&file);
    std::fs::write(&file, &good[..good.len() / 2]).unwrap();
    let report = server.received();
    assert!(report.incomplete.iter().any(|part| part.what == blob), "{:?}", report.incomplete);
    std::fs::remove_dir_all(seen.join("objects")).unwrap();
    let report = server.received();
    assert!(!report.complete());
    // Ids of another hash are an error.
    let received = Received {
        updates: Update::parse_lines(&format!("{} {} refs/heads/main", "0".repeat(64), "1".repeat(64)))
            .unwrap(),
        ..Received::default()
    };
    let error = with_scanner(|scanner| scanner.received(&server.bare, &received, &mut |_| {})).unwrap_err();
    assert!(error.to_string().contains("is no full id of this repository"), "{error}");
}

#[test]
fn a_pre_push_hook_leaves_out_what_the_remote_has() {
    let server = Server::new();
    server.repo.write("t.txt", &token(8));
    server.repo.commit("add", &[]);
    let new = server.repo.git(&["rev-parse", "HEAD"]);
    let update = |old: Option<&String>| Received {
        updates: vec![Update {
            old: old.cloned(),
            new: Some(new.clone()),
            name: "refs/heads/main".to_owned(),
        }],
        known: Known::Remote("origin".to_owned()),
        ..Received::default()
    };
    let run = |received: &Received| {
        with_scanner(|scanner| scanner.received(&server.repo.path, received, &mut |_| {})).unwrap()
    };
    let report = run(&update(None));
    assert_eq!((paths(&report), report.commits), (vec!["t.txt"], 1));
    // An old id that is not here hides nothing and is no trouble.
    assert_eq!(paths(&run(&update(Some(&"1".repeat(40))))), ["t.txt"]);
    assert_eq!(run(&update(Some(&new))).commits, 0);
}
