//! "Nothing found" is said of what was read only, and what git has is read.

use super::*;

#[test]
fn objects_that_are_missing_are_told_although_nothing_was_found() {
    let repo = Repo::new();
    repo.write("in/gone.txt", "this file was removed");
    repo.write("other/gone.txt", "and so was this one");
    repo.commit("one", &[]);
    let blob = repo.git(&["rev-parse", "HEAD:in/gone.txt"]);
    let tree = repo.git(&["rev-parse", "HEAD:other"]);
    repo.git(&["rm", "-q", "-r", "in", "other"]);
    repo.commit("two", &[]);
    assert_eq!(repo.scan().incomplete, []);
    for oid in [&blob, &tree] {
        std::fs::remove_file(repo.object_file(oid)).unwrap();
    }
    let report = repo.scan();
    let told: Vec<&str> = report.incomplete.iter().map(|part| part.what.as_str()).collect();
    assert!(told.contains(&blob.as_str()) && told.contains(&tree.as_str()), "{:?}", report.incomplete);
    assert_eq!(report.findings, []);
}

#[test]
fn repositories_further_down_are_told() {
    let inner = Repo::new();
    inner.write("a.txt", "a");
    inner.commit("one", &[]);
    let folder = inner.path.parent().unwrap().to_owned();
    git(&folder, 1_700_000_000, &["clone", "-q", "--bare", "orders", "bare/orders.git"]);
    let told = |report: &Report| {
        report.incomplete.iter().map(|part| part.what.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let wanted = ["bare/orders.git".to_owned(), "orders".to_owned()].into();
    assert_eq!(told(&scan(&folder).unwrap()), wanted);
    // Whoever asks for files only misses nothing.
    let files = with_scanner(|scanner| scanner.tree(&folder, &mut |_| {}).unwrap());
    assert_eq!(told(&files), std::collections::BTreeSet::new());
}

#[test]
fn a_tracked_file_counts_although_an_ignore_rule_names_it() {
    let repo = Repo::new();
    repo.write("app.conf", "mode = fast\n");
    repo.commit("one", &[]);
    repo.write(".gitignore", "*.conf\n");
    repo.commit("two", &[]);
    let (changed, other) = (token(1), token(2));
    repo.write("app.conf", &format!("token = {changed}\n"));
    repo.write("other.conf", &format!("token = {other}\n"));
    let report = repo.scan();
    assert_eq!(finding_of(&report, &changed).place.file, "app.conf");
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn an_index_leads_to_no_file_outside() {
    let repo = Repo::new();
    let outside = repo.path.parent().unwrap().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("a.txt"), token(1)).unwrap();
    repo.write("in/a.txt", "nothing");
    repo.commit("one", &[]);
    std::fs::remove_dir_all(repo.path.join("in")).unwrap();
    std::os::unix::fs::symlink(&outside, repo.path.join("in")).unwrap();
    assert_eq!(repo.scan().findings, []);
}

#[test]
fn environment_files_in_ignored_folders_are_read() {
    let repo = Repo::new();
    repo.write(".gitignore", "config/\nnode_modules/\n");
    repo.commit("one", &[]);
    let (secret, other) = (token(1), token(2));
    repo.write("config/prod/.env", &format!("NPM_TOKEN={secret}\n"));
    repo.write("config/prod/notes.txt", &other);
    repo.write("node_modules/x/.env", &format!("NPM_TOKEN={other}\n"));
    let report = repo.scan();
    assert_eq!(finding_of(&report, &secret).place.file, "config/prod/.env");
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn headers_of_commits_and_the_configuration_are_read() {
    let repo = Repo::new();
    let [author, merged, remote] = [1, 2, 3].map(token);
    repo.write("a.txt", "a");
    repo.commit("one", &[&format!("--author=deploy <{author}@example.com>")]);
    let (tree, parent) = (repo.git(&["rev-parse", "HEAD^{tree}"]), repo.git(&["rev-parse", "HEAD"]));
    let commit = format!(
        "tree {tree}\nparent {parent}\nauthor A <a@example.com> 1700000000 +0000\n\
         committer A <a@example.com> 1700000000 +0000\nmergetag object {parent}\n type commit\n tag v1\n\
         \x20tagger A <a@example.com> 1700000000 +0000\n \n release {merged}\n\nmerge\n"
    );
    std::fs::write(repo.path.join(".git/commit"), commit).unwrap();
    let commit = repo.git(&["hash-object", "-t", "commit", "-w", ".git/commit"]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
    repo.git(&["remote", "add", "origin", &format!("https://bob:{remote}@git.example.com/orders.git")]);
    let report = repo.scan();
    for secret in [&author, &merged] {
        assert_eq!(finding_of(&report, secret).place.file, "(commit headers)");
    }
    assert_eq!(finding_of(&report, &remote).place.file, ".git/config");
    let selected = with_scanner(|scanner| {
        let selection = crate::Selection { branches: vec!["main".to_owned()], ..crate::Selection::default() };
        scanner.selected(&repo.path, &selection, &mut |_| {}).unwrap()
    });
    assert_eq!(finding_of(&selected, &merged).place.file, "(commit headers)");
}

#[test]
fn a_split_index_is_called_so() {
    let repo = Repo::new();
    repo.write("a.txt", "a");
    repo.commit("one", &[]);
    repo.git(&["update-index", "--split-index"]);
    repo.write("a.txt", "b");
    repo.write("b.txt", "b");
    repo.git(&["add", "-A"]);
    let said = with_scanner(|scanner| {
        scanner.staged(&repo.path, &crate::Staged::default(), &mut |_| {}).unwrap_err().to_string()
    });
    assert!(said.contains("--no-split-index") && !said.contains("read-tree"), "{said}");
    let report = repo.scan();
    assert!(report.notes.iter().any(|note| note.contains("tracked")), "{:?}", report.notes);
}
