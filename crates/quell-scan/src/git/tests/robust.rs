use std::os::unix::ffi::OsStrExt as _;

use super::*;

#[test]
fn partial_clones_say_what_is_missing() {
    let repo = Repo::new();
    repo.write("old.txt", &token(1));
    repo.commit("one", &[]);
    let blob = repo.git(&["rev-parse", "HEAD:old.txt"]);
    repo.git(&["rm", "-q", "old.txt"]);
    repo.write("new.txt", "new");
    repo.commit("two", &[]);
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let above = repo.path.parent().unwrap().to_owned();
    let url = format!("file://{}", repo.path.display());
    git(&above, 1_700_000_000, &["clone", "-q", "--filter=blob:none", &url, "partial"]);
    let report = scan(&above.join("partial")).unwrap();
    assert_eq!(report.findings, []);
    let parts: Vec<String> = report
        .incomplete
        .iter()
        .map(|part| format!("{}: {}", part.what.replace(&blob, "OLD"), part.why))
        .collect();
    insta::assert_snapshot!(parts.join("\n"), @r"
    OLD: `old.txt` is not here; `git fetch --refetch --no-filter` gets it
    history: this is a partial clone: objects that its trees name and that were never fetched: 1; `git fetch --refetch --no-filter` gets them
    ");
}

#[test]
fn missing_objects_are_told() {
    let repo = Repo::new();
    let secret = token(2);
    repo.write("t.txt", &secret);
    repo.write("in/history.txt", "x");
    let first = repo.commit("one", &[]);
    let history = repo.git(&["rev-parse", "HEAD:in/history.txt"]);
    repo.git(&["rm", "-q", "-r", "in"]);
    repo.write("here.txt", "here");
    repo.commit("two", &[]);
    let here = repo.git(&["rev-parse", "HEAD:here.txt"]);
    for blob in [&here, &history] {
        std::fs::remove_file(repo.object_file(blob)).unwrap();
    }
    let report = repo.scan();
    finding_of(&report, &secret);
    let missing: Vec<_> = report.incomplete.iter().map(|part| part.what.clone()).collect();
    let mut expected = vec![here, history];
    expected.sort();
    assert_eq!(missing, expected);
    std::fs::remove_file(repo.object_file(&first)).unwrap();
    assert!(repo.scan().incomplete.iter().any(|part| part.what == first && part.why.contains("parent")));
}

#[test]
fn names_that_are_no_text_stay_apart() {
    let repo = Repo::new();
    let secret = token(3);
    for name in [b"a\xff.txt".as_slice(), b"a\xfe.txt", b"a\n.txt"] {
        std::fs::write(repo.path.join(std::ffi::OsStr::from_bytes(name)), &secret).unwrap();
    }
    let commit = repo.commit("odd names", &[]);
    for name in [b"a\xff.txt".as_slice(), b"a\xfe.txt", b"a\n.txt"] {
        std::fs::remove_file(repo.path.join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    let heads = repo.path.join(".git/refs/heads");
    std::fs::write(heads.join(std::ffi::OsStr::from_bytes(b"b\xff")), format!("{commit}\n")).unwrap();
    let report = repo.scan();
    let files: Vec<_> = report.findings.iter().map(|finding| finding.place.file.as_str()).collect();
    assert_eq!(files, ["a\\n.txt", "a\\xfe.txt", "a\\xff.txt"]);
    assert_eq!(report.findings[0].refs, ["refs/heads/main", "refs/heads/b\\xff"]);
    assert_eq!(repo.scan().findings, report.findings);
}

#[test]
fn files_of_git_that_point_in_circles_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let scan_with = |content: &str| {
        std::fs::write(folder.path().join(".git"), content).unwrap();
        scan(folder.path()).unwrap_err().to_string()
    };
    assert!(scan_with("gitdir: .\n").contains("has no `objects` folder"));
    assert!(scan_with("gitdir: .git\n").contains("does not exist"));
    assert!(scan_with("nonsense").contains("does not start with `gitdir:`"));
    std::fs::write(folder.path().join("commondir"), ".\n").unwrap();
    assert!(scan_with("gitdir: .\n").contains("has no `objects` folder"));
}

#[test]
fn reftables_are_refused_with_a_way_out() {
    let repo = Repo::new();
    let config = std::fs::read_to_string(repo.path.join(".git/config")).unwrap();
    std::fs::write(repo.path.join(".git/config"), config + "[extensions]\n\trefStorage = reftable\n")
        .unwrap();
    let error = scan(&repo.path).unwrap_err().to_string();
    assert!(error.contains("git refs migrate --ref-format=files"), "{error}");
}

#[test]
fn graphs_and_indexes_over_packs_change_nothing() {
    let repo = Repo::new();
    let secret = token(4);
    repo.write("t.txt", &secret);
    repo.commit("one", &[]);
    let plain = repo.scan();
    repo.git(&["repack", "-q", "-a", "-d"]);
    repo.git(&["multi-pack-index", "write"]);
    repo.git(&["commit-graph", "write"]);
    let report = repo.scan();
    assert_eq!((&report.findings, report.complete()), (&plain.findings, true));
    std::fs::write(repo.path.join(".git/objects/info/commit-graph"), "broken").unwrap_or_default();
    assert_eq!(repo.scan().findings, plain.findings);
}

#[test]
fn relative_alternates_are_read() {
    let repo = Repo::new();
    let secret = token(5);
    repo.write("t.txt", &secret);
    repo.commit("one", &[]);
    let above = repo.path.parent().unwrap().to_owned();
    git(&above, 1_700_000_000, &["clone", "-q", "--shared", "--no-checkout", "orders", "shared"]);
    let alternates = above.join("shared/.git/objects/info/alternates");
    std::fs::write(&alternates, "# a comment\n../../../orders/.git/objects\n").unwrap();
    let report = scan(&above.join("shared")).unwrap();
    assert_eq!(finding_of(&report, &secret).place.file, "t.txt");
    assert!(report.complete(), "{:?}", report.incomplete);
}

#[test]
fn objects_that_git_moves_meanwhile_are_found_again() {
    let repo = Repo::new();
    let secret = token(6);
    repo.write("t.txt", &secret);
    repo.commit("one", &[]);
    let blob = crate::git::Oid::from_hex(&repo.git(&["rev-parse", "HEAD:t.txt"])).unwrap();
    let repository = crate::git::discover(&repo.path).unwrap().unwrap();
    let mut database = crate::git::database::Database::open(&repository, &mut Report::default()).unwrap();
    repo.git(&["gc", "-q", "--prune=now"]);
    assert!(!repo.object_file(&blob.to_string()).exists());
    assert!(database.read(blob).unwrap().is_some());
    // In the middle of a scan: the first bytes come, and then git packs everything.
    let other = Repo::new();
    other.write("t.txt", &secret);
    other.commit("one", &[]);
    std::fs::remove_file(other.path.join("t.txt")).unwrap();
    let mut packed = false;
    let report = with_scanner(|scanner| {
        scanner.path(&other.path, &mut |progress| {
            if !packed && progress.total.is_some_and(|total| total >= 3) {
                packed = true;
                other.git(&["gc", "-q", "--prune=now"]);
            }
        })
    });
    let report = report.unwrap();
    assert!(packed);
    assert_eq!(finding_of(&report, &secret).place.file, "t.txt");
    assert!(report.complete(), "{:?}", report.incomplete);
}

#[test]
fn settings_in_the_scanned_tree_are_not_loaded() {
    let repo = Repo::new();
    let secret = token(7);
    repo.write("t.txt", &secret);
    let allow = "[allowlist]\npaths = ['.*']\nregexes = ['.*']\n[extend]\nuseDefault = false\n";
    for file in [".gitleaks.toml", ".quell.toml", "quell.toml", ".gitleaksignore", ".ignore"] {
        repo.write(file, if file == ".ignore" { "*\n" } else { allow });
    }
    repo.commit("one", &[]);
    assert_eq!(finding_of(&repo.scan(), &secret).place.file, "t.txt");
}
