use std::time::SystemTime;

use super::*;
use crate::Staged;

impl Repo {
    fn staged_with(&self, staged: &Staged) -> Result<Report, ScanError> {
        with_scanner(|scanner| scanner.staged(&self.path, staged, &mut |_| {}))
    }

    fn staged(&self) -> Report {
        self.staged_with(&Staged::default()).unwrap()
    }

    /// Every file below `.git`: name, content, time.
    fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
        let mut files: Vec<_> = files_below(&self.path.join(".git"))
            .into_iter()
            .map(|file| {
                let time = std::fs::metadata(&file).unwrap().modified().unwrap();
                (file.clone(), std::fs::read(&file).unwrap(), time)
            })
            .collect();
        files.sort();
        files
    }
}

fn paths(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.place.file.as_str()).collect()
}

/// A repository with a commit and some files in folders.
fn started() -> Repo {
    let repo = Repo::new();
    repo.write("a/one.txt", "one\n");
    repo.write("b/c/two.txt", "two\n");
    repo.write("old.txt", &format!("{}\n", token(90)));
    repo.commit("start", &[]);
    repo
}

#[test]
fn staged_secrets_are_found_and_nothing_is_written() {
    for version in ["2", "3", "4"] {
        let repo = started();
        let secret = token(1);
        repo.write("b/c/new.txt", &format!("line\n{secret}\n"));
        repo.write("a/unstaged.txt", &token(2));
        repo.git(&["add", "b/c/new.txt"]);
        repo.git(&["update-index", "--index-version", version]);
        // What the file says now does not matter.
        repo.write("b/c/new.txt", "harmless");
        let before = repo.snapshot();
        let report = repo.staged();
        assert_eq!(paths(&report), ["b/c/new.txt"], "version {version}");
        assert!(report.complete());
        assert_eq!((report.findings[0].place.line, report.files), (2, 1));
        assert_eq!(repo.snapshot(), before);
    }
}

#[test]
fn old_secrets_are_left_out_and_new_ones_beside_them_are_not() {
    let repo = started();
    let (old, new) = (token(90), token(3));
    repo.write("old.txt", &format!("# a comment\n{old}\nand {new}\n"));
    repo.git(&["add", "-A"]);
    let report = repo.staged();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(finding_of(&report, &new).place.line, 3);
    assert_eq!(report.notes, ["1 staged secrets are left out: HEAD has them at the same path already"]);
    // A copy under another name is a new place; a file that only moved is not.
    repo.git(&["reset", "-q", "--hard"]);
    repo.git(&["mv", "old.txt", "a/moved.txt"]);
    assert_eq!(paths(&repo.staged()), [""; 0]);
    repo.write("old.txt", &old);
    repo.git(&["add", "-A"]);
    assert_eq!(paths(&repo.staged()), ["a/moved.txt"]);
    repo.git(&["rm", "-q", "-r", "-f", "--cached", "."]);
    assert_eq!(paths(&repo.staged()), [""; 0]);
}

#[test]
fn the_first_commit_is_looked_at() {
    let repo = Repo::new();
    assert!(repo.staged().complete());
    repo.write("t.txt", &token(4));
    repo.git(&["add", "-A"]);
    assert_eq!(paths(&repo.staged()), ["t.txt"]);
    // From a folder below, too.
    repo.write("deep/er/x", "x");
    let report =
        with_scanner(|scanner| scanner.staged(&repo.path.join("deep/er"), &Staged::default(), &mut |_| {}));
    assert_eq!(paths(&report.unwrap()), ["t.txt"]);
}

#[test]
fn packed_repositories_and_sha_256_have_an_index_too() {
    for format in ["sha1", "sha256"] {
        let repo = Repo::of_format(format);
        repo.write("a/one.txt", "one\n");
        repo.commit("start", &[]);
        repo.git(&["gc", "-q"]);
        repo.git(&["pack-refs", "--all"]);
        repo.write("a/two.txt", &token(5));
        repo.git(&["add", "-A"]);
        let report = repo.staged();
        assert_eq!((paths(&report), report.files), (vec!["a/two.txt"], 1), "{format}");
    }
}

#[test]
fn all_sides_of_a_conflict_are_looked_at() {
    let repo = started();
    let (ours, theirs) = (token(6), token(7));
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("a/one.txt", &format!("{theirs}\n"));
    repo.commit("theirs", &[]);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("a/one.txt", &format!("{ours}\n"));
    repo.commit("ours", &[]);
    let output = Command::new("git").current_dir(&repo.path).args(["merge", "-q", "side"]).output().unwrap();
    assert!(!output.status.success());
    let report = repo.staged();
    assert_eq!(paths(&report), ["a/one.txt"]);
    finding_of(&report, &theirs);
    // Ours is as in HEAD, so it was not even read.
    assert_eq!((report.findings.len(), report.files), (1, 2));
}

#[test]
fn intended_files_and_submodules_are_passed_over() {
    let repo = started();
    repo.write("later.txt", &token(8));
    repo.git(&["add", "-N", "later.txt"]);
    let inner = Repo::new();
    inner.commit("inner", &[]);
    repo.git(&["submodule", "--quiet", "add", inner.path.to_str().unwrap(), "inner"]);
    let report = repo.staged();
    assert_eq!((paths(&report), report.complete()), (vec![], true));
    repo.git(&["add", "later.txt"]);
    assert_eq!(paths(&repo.staged()), ["later.txt"]);
}

#[test]
fn sparse_indexes_are_read() {
    let repo = started();
    repo.git(&["sparse-checkout", "init", "--cone", "--sparse-index"]);
    repo.git(&["sparse-checkout", "set", "a"]);
    let listed = repo.git(&["ls-files", "--sparse"]);
    assert!(listed.contains("b/\n"), "{listed}");
    repo.write("a/one.txt", &token(9));
    repo.git(&["add", "a/one.txt"]);
    assert_eq!(paths(&repo.staged()), ["a/one.txt"]);
    // A folder that is not checked out, and changed in the index.
    repo.git(&["checkout", "-q", "-f", "HEAD"]);
    let parent = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["sparse-checkout", "disable"]);
    repo.write("b/c/two.txt", &token(10));
    repo.commit("changed", &[]);
    repo.git(&["sparse-checkout", "init", "--cone", "--sparse-index"]);
    repo.git(&["sparse-checkout", "set", "a"]);
    repo.git(&["reset", "-q", "--soft", &parent]);
    assert!(repo.git(&["ls-files", "--sparse"]).contains("b/\n"));
    assert_eq!(paths(&repo.staged()), ["b/c/two.txt"]);
}

#[test]
fn split_indexes_are_refused_with_a_way_out() {
    let repo = started();
    repo.git(&["update-index", "--split-index"]);
    repo.write("t.txt", &token(11));
    repo.git(&["add", "-A"]);
    let error = repo.staged_with(&Staged::default()).unwrap_err().to_string();
    assert!(
        error.ends_with("is split into two files; `git update-index --no-split-index` joins them"),
        "{error}"
    );
    repo.git(&["update-index", "--no-split-index"]);
    assert_eq!(paths(&repo.staged()), ["t.txt"]);
}

#[test]
fn linked_work_trees_and_other_index_files_are_read() {
    let repo = started();
    repo.git(&["worktree", "add", "-q", "../linked"]);
    let linked = repo.path.parent().unwrap().join("linked");
    std::fs::write(linked.join("t.txt"), token(12)).unwrap();
    git(&linked, 1_700_000_000, &["add", "-A"]);
    let report = with_scanner(|scanner| scanner.staged(&linked, &Staged::default(), &mut |_| {})).unwrap();
    assert_eq!(paths(&report), ["t.txt"]);
    assert_eq!(paths(&repo.staged()), [""; 0]);
    let index_file = Some(repo.path.join(".git/worktrees/linked/index"));
    assert_eq!(paths(&repo.staged_with(&Staged { index_file }).unwrap()), ["t.txt"]);
    let missing = Staged { index_file: Some(repo.path.join("nowhere")) };
    assert!(matches!(repo.staged_with(&missing), Err(ScanError::Read { .. })));
}

#[test]
fn what_cannot_be_read_is_told() {
    let repo = started();
    repo.write("t.txt", &token(13));
    repo.git(&["add", "-A"]);
    let file = repo.object_file(&repo.git(&["rev-parse", ":t.txt"]));
    make_writable(&file);
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..good.len() - 5]).unwrap();
    let report = repo.staged();
    assert_eq!(report.incomplete.len(), 1);
    assert_eq!(report.incomplete[0].what, "t.txt");
    std::fs::remove_file(&file).unwrap();
    insta::assert_snapshot!(repo.staged().incomplete[0].why, @"what is staged is not in the repository; `git add` it again");
    let index = repo.path.join(".git/index");
    let bytes = std::fs::read(&index).unwrap();
    let (rules, key) = (RuleSet::builtin().unwrap(), key());
    let scanner = Scanner::new(&rules, &key);
    let refused = |at: usize| {
        let result = scanner.staged(&repo.path, &Staged::default(), &mut |_| {});
        assert!(matches!(result, Err(ScanError::Index { .. })), "{at}: {result:?}");
    };
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0x21;
        std::fs::write(&index, &broken).unwrap();
        refused(at);
        std::fs::write(&index, &bytes[..at]).unwrap();
        refused(at);
    }
    std::fs::remove_file(&index).unwrap();
    std::fs::remove_file(repo.object_file(&repo.git(&["rev-parse", "HEAD"]))).unwrap();
    std::fs::write(&index, &bytes).unwrap();
    assert!(matches!(repo.staged_with(&Staged::default()), Err(ScanError::BrokenRepository { .. })));
}

#[test]
fn outside_a_repository_there_is_nothing_staged() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        with_scanner(|scanner| scanner.staged(folder.path(), &Staged::default(), &mut |_| {})).unwrap_err();
    assert!(
        error.to_string().contains("is no git repository; name the folder that has `.git` in it"),
        "{error}"
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_index_parser_panic(
        version in 2_u8..5,
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
    ) {
        // Twenty zeros: the checksum is skipped.
        let data = [b"DIRC\0\0\0", [version].as_slice(), &[0, 0, 0, 2], &bytes, &[0; 20]].concat();
        let parsed = crate::git::stage::parse(&data, crate::git::ObjectFormat::Sha1);
        proptest::prop_assert!(parsed.is_err() || parsed.unwrap().entries.len() == 2);
    }
}
