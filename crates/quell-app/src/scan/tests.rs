use quell_scan::rule::template::expand;
use quell_scan::{Confidence, Visibility};

use super::*;

fn key() -> FingerprintKey {
    FingerprintKey::new([4; 32])
}

pub(super) fn scan(
    text: &str,
    baseline: Option<&Baseline>,
    ignore_file: Option<&IgnoreFile>,
) -> (Report, Ignored) {
    let (rules, key) = (RuleSet::builtin().unwrap(), key());
    let tools = Tools { rules: &rules, key: &key, baseline, ignore_file, known: None, way: Way::default() };
    run(Target::Stream("app.env", &mut text.as_bytes()), tools, &mut |_| {}).unwrap()
}

fn token(seed: u64) -> String {
    expand("ghp_{alnum:36}", seed).unwrap()
}

#[test]
fn a_url_and_its_bare_password_are_one_group() {
    let password = expand("{alnum:20}", 8).unwrap();
    let text =
        format!("URL=postgres://app:{password}@db.internal/x\nDB_PASSWORD=\"{password}\"\nT={}\n", token(1));
    let (report, _) = scan(&text, None, None);
    assert_eq!(report.findings.len(), 3, "{report:?}");
    let url = report.findings.iter().find(|finding| finding.rule == "postgres-url").unwrap();
    let known = BTreeMap::from([(url.parts[0], "orders-db".parse().unwrap())]);
    let scanned = with_secrets(report, &known);
    assert_eq!(scanned.groups.len(), 2);
    let first = &scanned.groups[0];
    assert_eq!(
        first.secret.as_ref().map(ToString::to_string).as_deref(),
        Some("orders-db"),
        "the inventory's first"
    );
    assert_eq!((first.findings.len(), first.occurrences), (2, 2));
    assert_eq!((first.confidence, first.still_visible), (Confidence::Medium, Visibility::Current));
    assert_eq!(scanned.groups[1].findings.len(), 1);
}

#[test]
fn a_group_spans_the_windows_of_its_findings() {
    let (report, _) = scan(&token(1), None, None);
    let mut finding = report.findings.into_iter().next().unwrap();
    let at = |text: &str| Some(text.parse().unwrap());
    finding.still_visible = Visibility::Unreachable;
    finding.place.author_time = at("2024-05-01T00:00:00Z");
    finding.first_seen_commit = Some("b".repeat(40));
    finding.last_seen_time = at("2024-06-01T00:00:00Z");
    finding.last_seen_commit = Some("c".repeat(40));
    finding.refs = vec!["refs/heads/z".to_owned()];
    let mut older = finding.clone();
    older.id = "F-older".to_owned();
    older.still_visible = Visibility::Reachable;
    older.place.author_time = at("2023-05-01T00:00:00Z");
    older.first_seen_commit = Some("a".repeat(40));
    older.last_seen_time = at("2023-06-01T00:00:00Z");
    older.refs = vec!["refs/heads/a".to_owned(), "refs/heads/z".to_owned()];
    let report = Report { findings: vec![finding, older.clone()], ..Report::default() };
    let group = &unmatched(report).groups[0];
    assert_eq!(group.first_seen, at("2023-05-01T00:00:00Z"));
    assert_eq!(group.first_seen_commit, Some("a".repeat(40)));
    assert_eq!(group.last_seen, at("2024-06-01T00:00:00Z"));
    assert_eq!(group.last_seen_commit, Some("c".repeat(40)));
    assert_eq!((group.still_visible, group.findings[0].as_str()), (Visibility::Reachable, "F-older"));
    assert_eq!(group.refs, ["refs/heads/a", "refs/heads/z"]);
    // While it is in the current files the window is open.
    older.still_visible = Visibility::Current;
    let group = &unmatched(Report { findings: vec![older], ..Report::default() }).groups[0];
    assert_eq!((group.last_seen, &group.last_seen_commit), (None, &None));
}

#[test]
fn a_baseline_ignores_values_wherever_they_move() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("baseline.json");
    let at = "2026-05-01T12:00:00Z".parse().unwrap();
    let mut baseline = Baseline::load_or_new(&file).unwrap();
    let (report, _) = scan(&token(1), Some(&baseline), None);
    assert!(baseline.accept(&report.findings, " - ", at).is_err(), "a reason is required");
    assert_eq!(baseline.accept(&report.findings, "revoked in 2024", at).unwrap(), 1);
    baseline.save(&file).unwrap();

    let loaded = Baseline::load(&file).unwrap();
    let moved = format!("# more\n\nother = \"{}\"\nfresh = {}\n", token(1), token(2));
    let (report, ignored) = scan(&moved, Some(&loaded), None);
    assert_eq!((report.findings.len(), ignored.baseline), (1, 1));
    assert_eq!(report.findings[0].place.line, 4, "another value in the file is still found");

    // A second acceptance keeps the first one's date and reason, and the order.
    let mut again = loaded;
    let later = "2027-05-01T12:00:00Z".parse().unwrap();
    assert_eq!(again.accept(&report.findings, "test fixture", later).unwrap(), 1);
    again.save(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"added\": \"2026-05-01\"") && text.contains("revoked in 2024"), "{text}");
    assert!(text.contains("\"added\": \"2027-05-01\"") && text.contains("\"path\": \"app.env\""), "{text}");
    // Neither the values nor their fingerprints under the installation's key are in it, and it looks like no secret.
    assert!(!text.contains(&token(1)) && !text.contains(&report.findings[0].fingerprint.to_string()));
    assert_eq!(scan(&text, None, None).0.findings, []);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_baseline_is_an_error_that_quotes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("baseline.json");
    Baseline::new().unwrap().save(&file).unwrap();
    let good = std::fs::read_to_string(&file).unwrap();
    let entry = r#"{"fingerprint": "fp:00000000000000000000000000000000", "rule": "r", "path": "p", "added": "2026-01-01", "reason": ""}"#;
    for (bad, why) in [
        (good.replace("\"quell_baseline\": 1", "\"quell_baseline\": 2"), "version"),
        (good.replacen("\"seed\": \"", "\"seed\": \"zz", 1), "seed"),
        (good.replace("\"entries\": []", &format!("\"entries\": [{entry}]")), "no reason"),
        (good.replace("\"entries\"", "\"entires\""), "line 4"),
        (good.get(..good.len() / 2).unwrap().to_owned(), "no baseline"),
        (format!("{{\"password\": \"{}\"}}", token(3)), "no baseline"),
        (String::new(), "no baseline"),
    ] {
        std::fs::write(&file, &bad).unwrap();
        let said = Baseline::load(&file).unwrap_err().to_string();
        assert!(said.contains(why) && !said.contains(&token(3)), "{why}: {said}");
    }
    assert!(matches!(Baseline::load(&folder.path().join("none")), Err(AppError::Io { .. })));
}

#[test]
fn an_ignore_file_ignores_exact_places() {
    let rules = RuleSet::builtin().unwrap();
    let parse = |text: &str| IgnoreFile::parse("i", text, &rules);
    let text = format!("a\n{}\n", token(1));
    let found = |file: &IgnoreFile| scan(&text, None, Some(file)).0.findings.len();
    let file = parse("# comment\n\napp.env:github-token:2\n");
    assert_eq!((found(&file), file.warnings().len()), (0, 0));
    assert_eq!(scan(&text, None, Some(&file)).1, Ignored { ignore_file: 1, ..Ignored::default() });
    for other in ["app.env:github-token:3", "b.env:github-token:2", "app.env:npm-token:2"] {
        assert_eq!(found(&parse(other)), 1, "{other}");
    }
    // A commit narrows; this finding has none.
    assert_eq!(found(&parse(&format!("{}:app.env:github-token:2", "a".repeat(40)))), 1);
    let mut finding = scan(&text, None, None).0.findings.remove(0);
    finding.place.commit = Some("a".repeat(40));
    finding.place.file = "a:b.env".to_owned();
    assert!(parse(&format!("{}:a:b.env:github-token:2", "A".repeat(40))).has(&finding));
    assert!(!parse(&format!("{}:a:b.env:github-token:2", "b".repeat(40))).has(&finding));
    let odd = parse("app.env\napp.env:no-such-rule:2\n:github-token:2\n");
    assert_eq!(odd.warnings().len(), 3, "{:?}", odd.warnings());
    assert_eq!(found(&odd), 1);
}

#[test]
fn rule_files_are_checked_against_their_examples() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let rule = "[[rules]]\nid = \"acme\"\nregex = '''acme_[a-z]{10}'''\nkeywords = [\"acme_\"]\n";
    std::fs::write(
        &file,
        format!("{rule}examples = [\"acme_{{lower:10}}\"]\nnon_examples = [\"acme_{{lower:4}}\"]\n"),
    )
    .unwrap();
    let checked = check_rules(std::slice::from_ref(&file)).unwrap();
    assert_eq!((checked.rules, checked.examples, checked.problems.len()), (1, 2, 0), "{checked:?}");
    std::fs::write(
        &file,
        format!("{rule}examples = [\"acme_{{lower:4}}\"]\nnon_examples = [\"acme_{{lower:10}}\"]\n"),
    )
    .unwrap();
    let checked = check_rules(&[file]).unwrap();
    insta::assert_snapshot!(checked.problems.join("\n"), @r#"
    acme does not match its example "acme_{lower:4}"
    acme matches its non-example "acme_{lower:10}"
    "#);
}
