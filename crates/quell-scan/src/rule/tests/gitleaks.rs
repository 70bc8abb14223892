//! Configurations as gitleaks' users have them, read without change.

use std::path::Path;

use super::*;
use crate::{Report, Scanner};

fn key() -> quell_core::secret::FingerprintKey {
    quell_core::secret::FingerprintKey::new([5; 32])
}

/// Writes files into a folder and loads the first.
fn load(files: &[(&str, &str)]) -> Result<RuleSet, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let first = folder.path().join(files[0].0);
    let root = format!("{}/", folder.path().display());
    RuleSet::load(&[first]).map_err(|error| error.to_string().replace(&root, ""))
}

fn tree(rules: &RuleSet, files: &[(&str, &str)]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    Scanner::new(rules, &key()).tree(Path::new(folder.path()), &mut |_| {}).unwrap()
}

fn places(report: &Report) -> Vec<String> {
    let place =
        |finding: &crate::Finding| format!("{} {}:{}", finding.rule, finding.place.file, finding.place.line);
    report.findings.iter().map(place).collect()
}

#[test]
fn use_default_adds_ours_and_changes_named_fields() {
    let text = "
title = 'company rules'
minVersion = 'v8.25.0'
[extend]
useDefault = true
disabledRules = ['generic-api-key', 'github-pat', 'no-such-rule']
[[rules]]
id = 'acme'
description = 'Acme key'
regex = '''acme_[0-9a-f]{8}'''
keywords = ['acme_']
[[rules]]
id = 'gitlab-token'
description = 'our GitLab'
keywords = ['corp-']
[[rules.allowlists]]
regexes = ['''^glpat-000''']
[[rules]]
id = 'gitlab-pat'
[[rules.allowlists]]
stopwords = ['sample']
[[rules]]
id = 'unknown-one'
[[rules.allowlists]]
stopwords = ['sample']
[[allowlists]]
targetRules = ['gitlab-pat', 'nobody']
paths = ['''^vendor/''']
";
    let set = load(&[("gitleaks.toml", text)]).unwrap();
    let builtin = RuleSet::builtin().unwrap();
    assert_eq!(set.rules().len(), builtin.rules().len() - 2 + 1);
    let by_id = |set: &RuleSet, id: &str| set.rules().iter().position(|rule| rule.id == id);
    assert_eq!(by_id(&set, "generic-token"), None);
    assert!(by_id(&set, "github-token").is_some());
    let gitlab = &set.rules()[by_id(&set, "gitlab-token").unwrap()];
    let ours = &builtin.rules()[by_id(&builtin, "gitlab-token").unwrap()];
    assert_eq!(gitlab.description, "our GitLab");
    assert_eq!(gitlab.pattern.text(), ours.pattern.text());
    assert_eq!(gitlab.keywords.len(), ours.keywords.len() + 1);
    assert_eq!(gitlab.allowlists.len(), ours.allowlists.len() + 1);
    assert_eq!(gitlab.examples, ours.examples);
    let warnings: Vec<String> = set
        .warnings()
        .iter()
        .map(|text| text.split_once("gitleaks.toml").map_or(text.as_str(), |(_, t)| t).to_owned())
        .collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
, key `disabledRules`: `generic-api-key` is `generic-token` and `generic-password` here, now off
, key `disabledRules`: `github-pat` is part of `github-token` here, which stays on
, key `disabledRules`: there is no rule `no-such-rule` to switch off
, key `rules`: the exceptions of `gitlab-pat` now hold for `gitlab-token` here
, key `rules`: there is no rule `unknown-one` to extend, so this one does nothing
key `allowlists.targetRules`: there is no rule `nobody`
"#);
    let token = template::expand("glpat-{base64url:20}", 1).unwrap();
    let sample = template::expand("glpat-{alnum:12}sample{alnum:4}", 1).unwrap();
    let report = tree(&set, &[("a", &token), ("vendor/b", &token), ("c", &sample)]);
    assert_eq!(places(&report), ["gitlab-token a:1"]);
}

#[test]
fn aliases_name_rules_that_exist() {
    let set = RuleSet::builtin().unwrap();
    for theirs in [
        "aws-access-token",
        "generic-api-key",
        "gcp-api-key",
        "github-pat",
        "gitlab-pat",
        "jwt",
        "npm-access-token",
        "pypi-upload-token",
        "github-fine-grained-pat",
    ] {
        let (ours, _) = alias::ours(theirs).unwrap();
        for id in ours {
            assert!(set.rules().iter().any(|rule| rule.id == *id), "{theirs}: {id}");
        }
    }
}

#[test]
fn without_use_default_it_is_said_that_ours_are_off() {
    let set = load(&[("gitleaks.toml", "[[rules]]\nid='a'\nregex='x'\nkeywords=['x']\n")]).unwrap();
    assert_eq!(set.warnings(), ["0 built-in rules are active; 1 rule of yours"]);
    let only_lists = load(&[("gitleaks.toml", "[allowlist]\npaths=['x']\n")]).unwrap_err();
    insta::assert_snapshot!(only_lists, @r#"gitleaks.toml: there is no rule in it; a scan without rules would always find nothing; add `[[rules]]`, or `[extend]` with `useDefault = true`"#);
}

#[test]
fn files_build_on_each_other() {
    let files = [
        ("main.toml", "[extend]\npath='sub/base.toml'\n[[rules]]\nid='base'\nentropy=2\n"),
        ("sub/base.toml", "[extend]\npath='deep.toml'\n[[rules]]\nid='base'\nregex='b+'\n"),
        ("sub/deep.toml", "[[rules]]\nid='deep'\nregex='d+'\n"),
    ];
    let set = load(&files).unwrap();
    assert_eq!(set.rules().iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["deep", "base"]);
    assert_eq!(set.rules()[1].entropy, Some(2.0));
    let circle = [("a.toml", "[extend]\npath='b.toml'\n"), ("b.toml", "[extend]\npath='a.toml'\n")];
    insta::assert_snapshot!(load(&circle).unwrap_err(), @r#"a.toml, key `extend.path`: it extends itself, through other files or directly; put the rules into fewer files"#);
    let deep = [
        ("a.toml", "[extend]\npath='b.toml'\n"),
        ("b.toml", "[extend]\npath='c.toml'\n"),
        ("c.toml", "[extend]\npath='d.toml'\n"),
        ("d.toml", "[[rules]]\nid='d'\nregex='d+'\n"),
    ];
    insta::assert_snapshot!(load(&deep).unwrap_err(), @r#"d.toml, key `extend.path`: more than two files extend each other; put the rules into fewer files"#);
    insta::assert_snapshot!(load(&[("a.toml", "[extend]\nurl='https://x.test/r.toml'\n")]).unwrap_err(), @r#"a.toml, key `extend.url`: rules are not fetched over the network; download the file once and name it with `path`"#);
    assert!(load(&[("a.toml", "[extend]\npath='missing.toml'\n")]).unwrap_err().contains("missing.toml"));
    insta::assert_snapshot!(error("[extend]\npath='x.toml'\n"), @r#"mine.toml, key `extend.path`: this text has no folder that a path could start from; load the rules from a file"#);
}

#[test]
fn lists_of_text_and_place_need_both() {
    let text = "
[[rules]]
id = 'a'
regex = '''key=(\\w+)'''
keywords = ['key=']
[[rules.allowlists]]
condition = 'AND'
paths = ['''^tests/''']
regexes = ['''fake''']
[[allowlists]]
condition = '&&'
targetRules = ['a']
paths = ['''^docs/''']
stopwords = ['Sample']
regexTarget = 'line'
regexes = ['''# doc$''']
";
    let rules = RuleSet::parse("gitleaks.toml", text).unwrap();
    let content = "key=fake1\nkey=real1\nkey=sample1 # doc\nkey=sample1\n";
    let report = tree(&rules, &[("tests/x", content), ("docs/x", content), ("src/x", content)]);
    assert_eq!(
        places(&report),
        [
            "a docs/x:1",
            "a docs/x:2",
            "a docs/x:4", // The same value on line 3 is allowed there only.
            "a src/x:1",
            "a src/x:2",
            "a src/x:3",
            "a tests/x:2",
            "a tests/x:3",
        ]
    );
}

#[test]
fn rules_of_paths_find_files() {
    let text = "[[rules]]\nid='p12'\ndescription='key store'\npath='''\\.(?:p12|pfx)$'''\n[allowlist]\npaths=['''^ok/''']\n";
    let rules = RuleSet::parse("gitleaks.toml", text).unwrap();
    let report = tree(&rules, &[("a/store.p12", "\0"), ("ok/b.pfx", "x"), ("c.txt", "x")]);
    assert_eq!(places(&report), ["p12 a/store.p12:1"]);
    assert_eq!(report.findings[0].preview, "store.p12");
    assert!(report.findings[0].note.is_some());
}

#[test]
fn required_rules_must_be_near() {
    let text = "
[[rules]]
id = 'secret'
regex = '''secret=(\\w+)'''
keywords = ['secret=']
[[rules.required]]
id = 'user'
withinLines = 2
[[rules.required]]
id = 'host'
[[rules]]
id = 'user'
regex = '''user=(\\w+)'''
keywords = ['user=']
skipReport = true
[[rules]]
id = 'host'
regex = '''host=(\\w+)'''
keywords = ['host=']
[[rules]]
id = 'narrow'
regex = '''pin=(\\d+)'''
keywords = ['pin=']
[[rules.required]]
id = 'user'
withinColumns = 5
";
    let rules = RuleSet::parse("gitleaks.toml", text).unwrap();
    assert_eq!(rules.warnings().len(), 1, "{:?}", rules.warnings());
    let far = "user=a\n\n\n\nsecret=b\nhost=c\n";
    let near = "user=a\n\n\n\nuser=a\nsecret=b\nhost=c\n";
    let report = tree(
        &rules,
        &[
            ("far", far),
            ("near", near),
            ("half", "user=a secret=b\n"),
            ("pin", "user=a\npin=1\n     pin=22222\n            pin=3\n"),
        ],
    );
    assert_eq!(
        places(&report),
        ["host far:6", "secret near:6", "host near:7", "narrow pin:2", "narrow pin:3"]
    );
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\n[[rules.required]]\nid='b'\n"), @r#"mine.toml, rule `a`, key `required.id`: there is no rule `b`, so this one could never be found; add that rule (with `skipReport = true` if it is none by itself)"#);
}

#[test]
fn keywords_may_be_anywhere_in_the_file() {
    let text = "[[rules]]\nid='a'\nregex='''[0-9a-f]{32}'''\nkeywords=['Acme']\n[[rules]]\nid='b'\nregex='''acme-(\\d+)'''\nkeywords=['acme']\n";
    let rules = RuleSet::parse("gitleaks.toml", text).unwrap();
    let flags: Vec<_> = rules.rules().iter().map(|rule| (rule.keywords_inside, rule.anywhere)).collect();
    assert_eq!(flags, [(false, true), (true, false)]);
    let value = template::expand("{hex:32}", 3).unwrap();
    let file = format!("# acme\n{}\n{value}\n", "filler ".repeat(3000));
    assert_eq!(places(&tree(&rules, &[("x", &file), ("y", &value)])), ["a x:3"]);
}

#[test]
fn comments_suppress_and_are_listed() {
    let set = RuleSet::builtin().unwrap();
    let text = template::expand(
        "a = npm_{alnum:30}{checksum} # quell:allow revoked in May\nb = npm_{alnum:30}{checksum} # gitleaks:allow a test of ours\n",
        4,
    )
    .unwrap();
    let report = tree(&set, &[("x", &text)]);
    assert_eq!(report.findings, []);
    assert_eq!(report.suppressed, 2);
    let listed: Vec<_> = report
        .suppressions
        .iter()
        .map(|one| (one.rule.as_str(), one.place.line, one.marker.as_str(), one.reason.as_deref()))
        .collect();
    assert_eq!(
        listed,
        [
            ("npm-token", 1, "quell:allow", Some("revoked in May")),
            ("npm-token", 2, "gitleaks:allow", Some("a test of ours"))
        ]
    );
    let all = Scanner::new(&set, &key())
        .ignore_allow_comments(true)
        .reader("x", &mut text.as_bytes(), &mut |_| {})
        .unwrap();
    assert_eq!((all.findings.len(), all.suppressed), (2, 0));
    assert_eq!(all.findings[1].note.as_deref(), Some("allowed by a `gitleaks:allow` comment"));
}

#[test]
fn a_regex_that_takes_too_much_memory_is_refused_clearly() {
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='''(?:\\pL{1000}){1000}'''\n"), @r#"mine.toml, rule `a`, key `regex`: the compiled regex would take more than 16 MiB; lower its `{n,m}` counts, or leave out classes of Unicode"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='''(?<=x)y'''\n"), @r#"mine.toml, rule `a`, key `regex`: `(?<=` is look-around; look-around and backreferences do not exist here: matching is linear in time"#);
}
