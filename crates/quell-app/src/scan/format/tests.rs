use quell_scan::rule::template::{expand, expand_with_secret, seed};
use quell_scan::{Confidence, Incomplete, Visibility};

use super::super::{tests::scan, unmatched};
use super::*;

const AT: &str = "2026-05-01T12:00:00Z";

fn text_of(format: Format, scanned: &Scanned) -> String {
    let rules = RuleSet::builtin().unwrap();
    let about = About { version: "0.1.0", target: "repo <b>&", at: AT.parse().unwrap(), rules: &rules };
    render(format, scanned, about).unwrap()
}

/// Two findings: one in the history with everything that a finding can have, in a file with a nasty name.
fn rich() -> Scanned {
    let text = expand("A=postgres://app:{alnum:20}@db.internal/orders\nT=ghp_{alnum:36}\n", 7).unwrap();
    let (mut report, _) = scan(&text, None, None);
    assert_eq!(report.findings.len(), 2);
    let finding = &mut report.findings[0];
    finding.place.file = "a dir/<b>:x,\u{e9}%\u{202e}.env".to_owned();
    finding.place.commit = Some("a".repeat(40));
    finding.first_seen_commit = Some("a".repeat(40));
    finding.place.author_time = Some(AT.parse().unwrap());
    finding.place.author = Some("Ines <ines@example.com>".to_owned());
    finding.last_seen_commit = Some("b".repeat(40));
    finding.last_seen_time = Some(AT.parse().unwrap());
    finding.refs = vec!["refs/heads/<script>alert(1)</script>".to_owned()];
    finding.still_visible = Visibility::Reachable;
    finding.details.insert("claims".to_owned(), "\"><img src=x>\n::error::x".to_owned());
    finding.note = Some("a\nnote".to_owned());
    report.findings[1].confidence = Confidence::Low;
    report.incomplete.push(Incomplete { what: "pack <1>".to_owned(), why: "cut off,\nreally".to_owned() });
    report.incomplete_more = 3;
    unmatched(report)
}

fn empty() -> Scanned {
    unmatched(Report::default())
}

#[test]
fn sarif_is_valid() {
    let text = include_str!("../../../tests/data/sarif-schema-2.1.0.json");
    let schema = schema::Schema(serde_json::from_str(text).unwrap());
    for scanned in [rich(), empty()] {
        let sarif: Value = serde_json::from_str(&text_of(Format::Sarif, &scanned)).unwrap();
        assert_eq!(schema.problems(&sarif), [""; 0]);
    }
    // The validator refuses what is wrong.
    let right: Value = serde_json::from_str(&text_of(Format::Sarif, &rich())).unwrap();
    for (place, wrong) in [
        ("/version", "2.2".into()),
        ("/runs/0/results/0/level", "dire".into()),
        ("/runs/0/results/0/ruleIndex", (-2).into()),
        ("/runs/0/results/0/message", Value::Object(serde_json::Map::new())),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startLine", 0.into()),
        ("/runs/0/results/0/locations/0/physicalLocation/artifactLocation/uri", "a b".into()),
        ("/runs/0/invocations/0/endTimeUtc", "today".into()),
        ("/runs/0/tool/driver/rules/0", json!({"id": "x", "more": 1})),
    ] {
        let mut sarif = right.clone();
        *sarif.pointer_mut(place).unwrap() = wrong;
        assert!(!schema.problems(&sarif).is_empty(), "{place}");
    }
}

#[test]
fn sarif_says_what_matters_and_names_nobody() {
    let text = text_of(Format::Sarif, &rich());
    assert!(!text.contains("ines") && !text.contains('@'), "{text}");
    let sarif: Value = serde_json::from_str(&text).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    assert_eq!(run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap().len(), 2);
    let results = run["results"].as_array().unwrap();
    assert_eq!((&results[0]["level"], &results[1]["level"]), (&"error".into(), &"warning".into()));
    let uri = &results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "a%20dir/%3Cb%3E%3Ax%2C%C3%A9%25%E2%80%AE.env");
    assert!(results[0]["partialFingerprints"]["quellFinding/v1"].as_str().unwrap().starts_with("F-"));
    for (result, rule) in results.iter().zip(["postgres-url", "github-token"]) {
        let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        let descriptor = &run["tool"]["driver"]["rules"][at];
        assert_eq!((&descriptor["id"], &result["ruleId"]), (&rule.into(), &rule.into()));
        assert!(descriptor["helpUri"].as_str().unwrap().starts_with("https://"), "{descriptor}");
    }
}

#[test]
fn github_annotations_are_escaped() {
    let said = text_of(Format::GitHub, &rich());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "a newline in data starts no command: {said}");
    // What the files do not have any more is not pinned to a line of today.
    assert!(lines[0].starts_with("::error title=PostgreSQL"), "{said}");
    assert!(lines[0].contains("::In the history, a dir/<b>:x,"), "{said}");
    assert!(lines[1].starts_with("::warning file=app.env,line=2,col=3,title=GitHub"), "{said}");
    assert_eq!(lines[2], "::warning title=Not scanned::pack <1>: cut off,%0Areally");
    assert!(lines[3].contains("and 3 more"), "{said}");
    let mut scanned = rich();
    scanned.findings[0].finding.still_visible = Visibility::Current;
    let said = text_of(Format::GitHub, &scanned);
    assert!(said.starts_with("::error file=a dir/<b>%3Ax%2C\u{e9}%25\u{202e}.env,line=1,col="), "{said}");
    assert_eq!(text_of(Format::GitHub, &empty()), "");
}

#[test]
fn the_gitleaks_report_has_exactly_its_fields() {
    let report: Value = serde_json::from_str(&text_of(Format::Gitleaks, &rich())).unwrap();
    let first = &report[0];
    let mut fields: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let mut wanted: Vec<&str> =
        "RuleID Description StartLine EndLine StartColumn EndColumn Match Secret File SymlinkFile \
                                 Commit Entropy Author Email Date Message Tags Fingerprint"
            .split_whitespace()
            .collect();
    wanted.sort_unstable();
    assert_eq!(fields, wanted);
    assert_eq!((&first["Author"], &first["Email"]), (&"Ines".into(), &"ines@example.com".into()));
    assert_eq!(first["Secret"], "postgres://app:…");
    assert_eq!(
        first["Fingerprint"],
        format!("{}:a dir/<b>:x,\u{e9}%\u{202e}.env:postgres-url:1", "a".repeat(40))
    );
    assert_eq!(report[1]["Fingerprint"], "app.env:github-token:2");
    assert_eq!(text_of(Format::Gitleaks, &empty()), "[]\n");
}

#[test]
fn json_says_whether_everything_was_read() {
    let all: Value = serde_json::from_str(&text_of(Format::Json, &rich())).unwrap();
    assert_eq!((&all["v"], &all["complete"], &all["incomplete_more"]), (&1.into(), &false.into(), &3.into()));
    assert_eq!((all["findings"].as_array().unwrap().len(), all["groups"].as_array().unwrap().len()), (2, 2));
    assert_eq!(all["groups"][0]["findings"][0], all["findings"][1]["id"], "what is in the files comes first");
    let lines = text_of(Format::JsonLines, &rich());
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["finding", "finding", "summary"]);
    assert_eq!((&lines[2]["complete"], &lines[2]["findings"]), (&false.into(), &2.into()));
}

#[test]
fn the_page_escapes_and_loads_nothing() {
    let page = text_of(Format::Html, &rich());
    for bad in ["<script", "<img", "<b>:x", "src=x>", "http://", "https://", "url(", " onload", "@import"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert!(page.contains("Scan of repo &lt;b&gt;&amp;"), "{page}");
    assert!(page.contains("Not everything was read") && page.contains("and 3 more were not read"));
    // The policy names the one style that is there.
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        <sha2::Sha256 as sha2::Digest>::digest(style),
    );
    assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'")), "{hash}");
    let clean = text_of(Format::Html, &empty());
    assert!(clean.contains("Nothing was found, and everything was read."));
    let mut gaps = empty();
    gaps.complete = false;
    let page = text_of(Format::Html, &gaps);
    assert!(
        page.contains("Nothing was found in what was read.") && !page.contains("and everything was read")
    );
}

#[test]
fn no_format_shows_a_value() {
    let rules = RuleSet::builtin().unwrap();
    let (mut text, mut secrets) = (String::new(), Vec::new());
    for rule in rules.rules() {
        for (at, example) in rule.examples.iter().enumerate() {
            let (line, secret) = expand_with_secret(example, seed(&rule.id, at)).unwrap();
            secrets.push(line.get(secret).unwrap().to_owned());
            text += &(line + "\n\n");
        }
    }
    // Shorter runs are in other words by chance.
    secrets.retain(|secret| secret.len() >= 16 && secret.is_ascii());
    let (report, _) = scan(&text, None, None);
    assert!(
        report.findings.len() > 400 && secrets.len() > 400,
        "{} {}",
        report.findings.len(),
        secrets.len()
    );
    let scanned = unmatched(report);
    let mut forms = Vec::new();
    for secret in &secrets {
        for piece in [secret.get(..12).unwrap(), secret.get(secret.len() - 12..).unwrap()] {
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, piece);
            forms.extend([piece.to_owned(), hex::encode(piece), base64]);
        }
    }
    let forms = aho_corasick::AhoCorasick::new(&forms).unwrap();
    for format in Format::ALL {
        assert!(!forms.is_match(&text_of(format, &scanned)), "{format:?} shows a part of a value");
    }
}
