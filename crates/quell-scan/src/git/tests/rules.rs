//! What rules and lists say about paths and commits, in a history.

use super::*;
use crate::Visibility;

fn scan(repo: &Repo, rules: &str) -> Vec<(String, String, Visibility)> {
    let rules = RuleSet::parse("gitleaks.toml", rules).unwrap();
    let key = FingerprintKey::new([9; 32]);
    let report = Scanner::new(&rules, &key).path(&repo.path, &mut |_| {}).unwrap();
    assert!(report.complete());
    let brief = |finding: Finding| (finding.rule, finding.place.file, finding.still_visible);
    report.findings.into_iter().map(brief).collect()
}

#[test]
fn a_rule_of_paths_finds_files_that_are_gone() {
    let repo = Repo::new();
    repo.write("keys/old.p12", "\0any content");
    repo.write("readme", "text");
    repo.commit("one", &[]);
    repo.git(&["rm", "-q", "keys/old.p12"]);
    repo.commit("two", &[]);
    let found = scan(&repo, "[[rules]]\nid='store'\npath='''\\.p12$'''\n");
    assert_eq!(found, [("store".to_owned(), "keys/old.p12".to_owned(), Visibility::Reachable)]);
}

#[test]
fn a_list_of_a_commit_and_a_text_needs_both() {
    let repo = Repo::new();
    repo.write("a", "key=fake1\nkey=real1\n");
    let first = repo.commit("one", &[]);
    repo.write("b", "key=fake2\n");
    repo.commit("two", &[]);
    repo.git(&["rm", "-q", "a", "b"]);
    repo.commit("three", &[]);
    let rules = format!(
        "[[rules]]\nid='key'\nregex='''key=(\\w+)'''\nkeywords=['key=']\n[[rules.allowlists]]\ncondition='AND'\ncommits=['{first}']\nregexes=['''^fake''']\n"
    );
    let files: Vec<String> = scan(&repo, &rules).into_iter().map(|(_, file, _)| file).collect();
    assert_eq!(files, ["a", "b"], "`real1` in the listed commit, `fake2` in another");
}
