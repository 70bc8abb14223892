use super::*;
use crate::Visibility;

#[test]
fn the_last_commit_is_the_one_before_the_removal() {
    let repo = Repo::new();
    let secret = token(1);
    repo.commit("start", &[]);
    repo.write("a/t.txt", &secret);
    let first = repo.commit("add", &[]);
    repo.write("other.txt", "x");
    let last = repo.commit("touch something else", &[]);
    repo.git(&["rm", "-q", "a/t.txt"]);
    repo.commit("remove", &[]);
    repo.git(&["branch", "later"]);
    repo.git(&["tag", "v1"]);
    let report = repo.scan();
    let finding = finding_of(&report, &secret);
    assert_eq!(finding.first_seen_commit.as_ref(), Some(&first));
    assert_eq!(finding.last_seen_commit.as_ref(), Some(&last));
    insta::assert_snapshot!(finding.place.author_time.unwrap(), @"2023-11-14T22:15:20Z");
    insta::assert_snapshot!(finding.last_seen_time.unwrap(), @"2023-11-14T22:16:20Z");
    assert_eq!(finding.refs, ["refs/heads/main", "refs/heads/later", "refs/tags/v1"]);
    assert_eq!(finding.still_visible, Visibility::Reachable);
}

#[test]
fn a_secret_that_comes_back_ends_with_its_last_removal() {
    let repo = Repo::new();
    let secret = token(2);
    repo.write("t.txt", &secret);
    let first = repo.commit("add", &[]);
    repo.git(&["rm", "-q", "t.txt"]);
    repo.commit("remove", &[]);
    // Another blob with the same secret.
    repo.write("t.txt", &format!("again {secret}\n"));
    let again = repo.commit("again", &[]);
    repo.git(&["rm", "-q", "t.txt"]);
    repo.commit("remove again", &[]);
    let report = repo.scan();
    let finding = finding_of(&report, &secret);
    assert_eq!(finding.first_seen_commit.as_ref(), Some(&first));
    assert_eq!(finding.last_seen_commit.as_ref(), Some(&again));
    assert_eq!(
        (finding.occurrences, finding.refs.as_slice()),
        (2, ["refs/heads/main".to_owned()].as_slice())
    );
    repo.git(&["revert", "--no-edit", "HEAD"]);
    let head = repo.git(&["rev-parse", "HEAD"]);
    let report = repo.scan();
    let finding = finding_of(&report, &secret);
    assert_eq!(finding.last_seen_commit.as_ref(), Some(&head));
    assert_eq!(finding.still_visible, Visibility::Current);
}

#[test]
fn a_merge_that_drops_a_secret_does_not_introduce_it() {
    let repo = Repo::new();
    let secret = token(3);
    repo.write("base.txt", "x");
    repo.commit("start", &[]);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("t.txt", &secret);
    let first = repo.commit("side", &[]);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("other.txt", "x");
    repo.commit("main", &[]);
    repo.git(&["merge", "-q", "--no-ff", "--no-commit", "side"]);
    repo.git(&["rm", "-q", "-f", "t.txt"]);
    repo.commit("merge without it", &[]);
    let report = repo.scan();
    let finding = finding_of(&report, &secret);
    assert_eq!(finding.first_seen_commit.as_ref(), Some(&first));
    assert_eq!(finding.last_seen_commit.as_ref(), Some(&first));
    assert_eq!(finding.refs, ["refs/heads/main", "refs/heads/side"]);
}

#[test]
fn a_branch_that_never_had_it_is_not_named() {
    let repo = Repo::new();
    let secret = token(4);
    repo.commit("start", &[]);
    repo.git(&["branch", "clean"]);
    repo.write("t.txt", &secret);
    let first = repo.commit("add", &[]);
    repo.git(&["mv", "t.txt", "moved.txt"]);
    let moved = repo.commit("rename", &[]);
    let report = repo.scan();
    let by_path: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.place.file.as_str(), finding.last_seen_commit.clone().unwrap()))
        .collect();
    assert_eq!(by_path, [("moved.txt", moved), ("t.txt", first)]);
    assert!(report.findings.iter().all(|finding| finding.refs == ["refs/heads/main"]), "{report:#?}");
}

#[test]
fn what_only_a_reflog_or_the_stash_reaches_says_so() {
    let repo = Repo::new();
    let [amended, older, newer, lost] = [5, 6, 7, 8].map(token);
    repo.write("base.txt", "x");
    repo.commit("start", &[]);
    repo.write("t.txt", &amended);
    let commit = repo.commit("add", &[]);
    repo.git(&["rm", "-q", "t.txt"]);
    repo.commit("amended", &["--amend"]);
    for secret in [&older, &newer] {
        repo.write("base.txt", secret);
        repo.git(&["stash", "-q"]);
    }
    let blob = repo.write_blob(&lost);
    let report = repo.scan();
    let finding = finding_of(&report, &amended);
    assert_eq!((finding.refs.as_slice(), finding.still_reachable), (["reflog".to_owned()].as_slice(), false));
    assert_eq!(finding.last_seen_commit, Some(commit));
    for secret in [&older, &newer] {
        let finding = finding_of(&report, secret);
        assert_eq!(finding.refs, ["refs/stash"]);
        assert_eq!(finding.still_visible, Visibility::Reachable);
    }
    let finding = finding_of(&report, &lost);
    assert_eq!((finding.refs.len(), finding.last_seen_commit.as_ref()), (0, None));
    assert!(finding.place.file.contains(short(&blob, 12)));
    let sources = report.sources;
    assert_eq!((sources.refs, sources.stashes, sources.tags, sources.notes), (2, 2, 0, 0));
    assert!(sources.reflog_entries >= 3 && sources.unreachable_commits == 1, "{sources:?}");
}

#[test]
fn notes_tags_and_odd_refs_are_sources() {
    let repo = Repo::new();
    let [noted, tagged, tree, direct] = [9, 10, 11, 12].map(token);
    repo.write("base.txt", "x");
    repo.commit("start", &[]);
    repo.git(&["notes", "add", "-m", &noted]);
    repo.git(&["tag", "-a", "v1", "-m", &tagged]);
    repo.git(&["tag", "-a", "v2", "-m", "tag of a tag", "v1"]);
    repo.write("in/tree.txt", &tree);
    repo.git(&["add", "-A"]);
    let written = repo.git(&["write-tree"]);
    repo.git(&["rm", "-q", "-f", "--cached", "in/tree.txt"]);
    std::fs::remove_dir_all(repo.path.join("in")).unwrap();
    repo.git(&["update-ref", "refs/odd/tree", &written]);
    let blob = repo.write_blob(&direct);
    repo.git(&["update-ref", "refs/odd/blob", &blob]);
    let report = repo.scan();
    assert!(report.complete(), "{:?}", report.incomplete);
    assert_eq!(finding_of(&report, &noted).refs, ["refs/notes/commits"]);
    assert_eq!(finding_of(&report, &tagged).refs, ["refs/tags/v1", "refs/tags/v2"]);
    let finding = finding_of(&report, &tree);
    assert_eq!(
        (finding.place.file.as_str(), finding.refs.as_slice()),
        ("in/tree.txt", ["refs/odd/tree".to_owned()].as_slice())
    );
    assert!(finding.still_reachable);
    assert_eq!(finding_of(&report, &direct).refs, ["refs/odd/blob"]);
    let sources = report.sources;
    assert_eq!((sources.refs, sources.tags, sources.notes, sources.unreachable_commits), (6, 2, 1, 0));
}

#[test]
fn ten_thousand_refs_are_counted_and_twenty_are_named() {
    let repo = Repo::new();
    let secret = token(13);
    repo.write("t.txt", &secret);
    let commit = repo.commit("add", &[]);
    let lines: Vec<String> = (0..10_000).map(|number| format!("{commit} refs/tags/t{number:05}\n")).collect();
    std::fs::write(repo.path.join(".git/packed-refs"), lines.concat()).unwrap();
    let report = repo.scan();
    let finding = finding_of(&report, &secret);
    assert_eq!((report.sources.refs, finding.refs.len()), (10_001, Finding::MAX_REFS));
    assert_eq!(
        (finding.refs[0].as_str(), finding.refs[19].as_str()),
        ("refs/heads/main", "refs/tags/t00018")
    );
}

#[test]
fn refs_beyond_the_first_sixty_four_are_told_apart() {
    let repo = Repo::new();
    let secret = token(14);
    repo.commit("start", &[]);
    for number in 0..100 {
        repo.git(&["branch", &format!("b{number:03}")]);
    }
    repo.git(&["checkout", "-q", "b090"]);
    repo.write("t.txt", &secret);
    repo.commit("add", &[]);
    repo.git(&["checkout", "-q", "main"]);
    assert_eq!(finding_of(&repo.scan(), &secret).refs, ["refs/heads/b090"]);
}

#[test]
fn submodules_and_lfs_pointers_are_notes() {
    let repo = Repo::new();
    let (inner, secret) = (Repo::new(), token(15));
    inner.write("t.txt", &secret);
    inner.commit("inner", &[]);
    repo.git(&["submodule", "--quiet", "add", inner.path.to_str().unwrap(), "lib/inner"]);
    std::fs::remove_dir_all(repo.path.join("lib/inner")).unwrap();
    std::fs::create_dir(repo.path.join("lib/inner")).unwrap();
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\nplain.bin -filter\n");
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12\n", text("{hex:64}", 1));
    for file in ["big.bin", "deep/er.bin", "plain.bin", "not.txt"] {
        repo.write(file, &pointer);
    }
    repo.write("real.bin", "no pointer");
    repo.commit("all", &[]);
    let report = repo.scan();
    insta::assert_snapshot!(report.notes.join("\n"), @r"
    submodule at lib/inner is not entered
    2 git-lfs pointers: their content is not in the repository
    ");
    assert!(report.complete(), "{:?}", report.incomplete);
}
