use super::*;

/// A repository with one token in its history.
fn with_token(seed: u64) -> (Repo, String) {
    let repo = Repo::new();
    let token = text("npm_{alnum:30}{checksum}", seed);
    repo.write("t.txt", &token);
    repo.commit("one", &[]);
    repo.git(&["rm", "-q", "t.txt"]);
    repo.commit("two", &[]);
    (repo, token)
}

#[test]
fn bare_repositories_and_alternates_are_read() {
    let (repo, token) = with_token(1);
    let above = repo.path.parent().unwrap().to_owned();
    git(&above, 1_700_000_000, &["clone", "-q", "--bare", "orders", "bare.git"]);
    let bare = scan(&above.join("bare.git")).unwrap();
    assert_eq!(finding_of(&bare, &token).place.file, "t.txt");
    git(&above, 1_700_000_000, &["clone", "-q", "--shared", "orders", "shared"]);
    let shared = scan(&above.join("shared")).unwrap();
    assert_eq!(finding_of(&shared, &token).place.file, "t.txt");
    assert_eq!(shared.incomplete, []);
    // Alternates that point at each other end.
    let alternates = repo.path.join(".git/objects/info/alternates");
    std::fs::write(alternates, format!("{}\n", above.join("shared/.git/objects").display())).unwrap();
    assert_eq!(scan(&above.join("shared")).unwrap().findings, shared.findings);
    std::fs::write(above.join("shared/.git/objects/info/alternates"), "/nowhere/objects\n").unwrap();
    assert!(!scan(&above.join("shared")).unwrap().complete());
}

#[test]
fn linked_work_trees_are_read() {
    let (repo, token) = with_token(2);
    repo.git(&["worktree", "add", "-q", "../linked"]);
    let report = scan(&repo.path.parent().unwrap().join("linked")).unwrap();
    assert_eq!(finding_of(&report, &token).place.file, "t.txt");
    std::fs::write(repo.path.parent().unwrap().join("linked/.git"), "gitdir: /nowhere\n").unwrap();
    let error = scan(&repo.path.parent().unwrap().join("linked")).unwrap_err();
    assert!(error.to_string().ends_with("does not exist; scan a complete clone"), "{error}");
}

#[test]
fn shallow_clones_say_so() {
    let (repo, _token) = with_token(3);
    let above = repo.path.parent().unwrap().to_owned();
    let url = format!("file://{}", repo.path.display());
    git(&above, 1_700_000_000, &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let report = scan(&above.join("shallow")).unwrap();
    assert_eq!(report.findings, []);
    insta::assert_snapshot!(report.incomplete[0].why, @"this is a shallow clone: older commits are not here; fetch with `--unshallow`");
}

#[test]
fn sha_256_repositories_are_scanned_loose_and_packed() {
    let repo = Repo::of_format("sha256");
    let token = text("npm_{alnum:30}{checksum}", 9);
    repo.write(".npmrc", &format!("//registry.example.com/:_authToken={token}\n"));
    let first = repo.commit("token", &[]);
    repo.write(
        ".npmrc",
        &format!("//registry.example.com/:_authToken={token}\n# more\n{}", "x\n".repeat(900)),
    );
    repo.commit("more", &[]);
    assert_eq!(first.len(), 64);
    for packed in [false, true] {
        if packed {
            repo.git(&["repack", "-adfq"]);
        }
        let report = repo.scan();
        assert!(report.complete(), "{:?}", report.incomplete);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].first_seen_commit.as_deref(), Some(first.as_str()));
    }
}

#[test]
fn object_ids_of_an_unknown_hash_are_refused() {
    let repo = Repo::new();
    let config = std::fs::read_to_string(repo.path.join(".git/config")).unwrap();
    let config = config.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
    std::fs::write(repo.path.join(".git/config"), config + "[extensions]\n\tobjectformat = sha512\n")
        .unwrap();
    let error = scan(&repo.path).unwrap_err().to_string();
    assert!(error.ends_with("uses object ids of an unknown hash, which is not supported yet"), "{error}");
}

#[test]
fn folders_and_files_without_git_are_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let token = text("npm_{alnum:30}{checksum}", 4);
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join("a/b/.npmrc"), &token).unwrap();
    std::os::unix::fs::symlink("b/.npmrc", folder.path().join("a/link")).unwrap();
    let report = scan(folder.path()).unwrap();
    assert_eq!(finding_of(&report, &token).place.file, "a/b/.npmrc");
    assert_eq!(report.files, 1);
    let report = scan(&folder.path().join("a/b/.npmrc")).unwrap();
    assert_eq!(finding_of(&report, &token).place.file, ".npmrc");
    assert!(scan(&folder.path().join("missing")).is_err());
}

#[test]
fn ignored_files_are_left_out_except_env() {
    let repo = Repo::new();
    let [one, two] = [5, 6].map(|seed| text("npm_{alnum:30}{checksum}", seed));
    repo.write(".gitignore", "*.log\n.env*\n");
    repo.write("x.log", &one);
    repo.write("sub/.env.production", &two);
    let report = repo.scan();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(finding_of(&report, &two).place.file, "sub/.env.production");
}

#[test]
fn corrupt_objects_are_named_and_the_rest_is_searched() {
    let (repo, token) = with_token(7);
    let other = text("npm_{alnum:30}{checksum}", 8);
    repo.write("other.txt", &other);
    repo.commit("three", &[]);
    let blob = repo.git(&["rev-parse", "HEAD:other.txt"]);
    std::fs::remove_file(repo.path.join("other.txt")).unwrap();
    let file = repo.object_file(&blob);
    make_writable(&file);
    let good = std::fs::read(&file).unwrap();
    for bad in
        [&good[..good.len() / 2], b"", b"no zlib at all", &[&good[..20], b"garbage", &good[27..]].concat()]
    {
        std::fs::write(&file, bad).unwrap();
        let report = repo.scan();
        assert_eq!(finding_of(&report, &token).place.file, "t.txt");
        assert!(report.incomplete.iter().any(|part| part.what == blob), "{:?}", report.incomplete);
    }
    // An object under a wrong name is searched, and told.
    let wrong = repo.git(&["rev-parse", "HEAD~2:t.txt"]);
    std::fs::copy(repo.object_file(&wrong), &file).unwrap();
    let report = repo.scan();
    insta::assert_snapshot!(report.incomplete[0].why, @"its content does not match its id; it was searched all the same");
}

#[test]
fn cut_packs_are_named() {
    let (repo, _token) = with_token(9);
    repo.git(&["gc", "-q"]);
    let pack = files_below(&repo.path.join(".git/objects/pack"))
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "pack"))
        .unwrap();
    make_writable(&pack);
    let bytes = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &bytes[..bytes.len() - 7]).unwrap();
    let report = repo.scan();
    assert!(report.incomplete.iter().any(|part| part.why.contains("cut off")), "{:?}", report.incomplete);
    // Every byte of the pack flipped in turn: an answer, never a panic.
    let (rules, key) = (RuleSet::builtin().unwrap(), key());
    let scanner = Scanner::new(&rules, &key);
    for at in (0..bytes.len()).step_by(5) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        std::fs::write(&pack, &flipped).unwrap();
        drop(scanner.path(&repo.path, &mut |_| {}));
    }
}
