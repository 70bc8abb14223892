use super::*;
use crate::engine::KeywordEngine;
use crate::rule::template::expand;
use crate::{Report, Scanner};

fn key() -> FingerprintKey {
    FingerprintKey::new([7; 32])
}

fn scan(text: &[u8]) -> Report {
    let rules = RuleSet::builtin().unwrap();
    let mut reader = text;
    Scanner::new(&rules, &key()).reader("stdin", &mut reader, &mut |_| {}).unwrap()
}

fn rules_of(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

/// Lines and columns of all hits, with the count of each.
fn hits(rules: &RuleSet, text: &[u8], sizes: Sizes) -> Vec<(u64, u64, u64)> {
    let key = key();
    let engine = KeywordEngine::new(rules);
    let searcher =
        Searcher { rules, engine: &engine, key: &key, keep: Keep::Nothing, sizes, also: Also::default() };
    let outcome = searcher.reader(&mut &*text, &mut |_| {});
    assert!(outcome.error.is_none());
    assert_eq!(outcome.bytes, wide(text.len()));
    outcome.hits.iter().map(|hit| (hit.line, hit.column, hit.count)).collect()
}

#[test]
fn a_token_is_found_once_at_every_offset_around_a_border() {
    let rules = RuleSet::builtin().unwrap();
    let sizes = Sizes { block: 4096, overlap: 1024 };
    let token = expand("ghp_{alnum:36}", 3).unwrap();
    // The first border lies at block + overlap, the second one block further.
    for border in [4096 + 1024, 4096 + 1024 + 4096] {
        for at in border - 60..border + 60 {
            let mut text = b"some words here\n".repeat(900);
            text.splice(at..at, format!(" {token} ").into_bytes());
            let line = wide(text[..=at].split(|byte| *byte == b'\n').count());
            let column = wide(text[..=at].iter().rev().position(|byte| *byte == b'\n').unwrap()) + 1;
            assert_eq!(hits(&rules, &text, sizes), [(line, column, 1)], "offset {at}");
        }
    }
}

#[test]
fn blocks_do_not_change_what_is_found() {
    let rules = RuleSet::builtin().unwrap();
    let mut text = String::new();
    for seed in 1..200 {
        text.push_str(
            &expand("filler {lower:60}\nDATABASE_URL=postgres://app:{alnum:20}@db.internal/x\n", seed)
                .unwrap(),
        );
    }
    let whole = hits(&rules, text.as_bytes(), Sizes::default());
    assert_eq!(whole.len(), 199);
    let mut cut = hits(&rules, text.as_bytes(), Sizes { block: 700, overlap: 600 });
    let mut whole = whole;
    whole.sort_unstable();
    cut.sort_unstable();
    assert_eq!(whole, cut);
}

#[test]
fn a_line_of_megabytes_is_searched_in_blocks() {
    let token = expand("glpat-{alnum:20}", 5).unwrap();
    let mut text = vec![b'x'; 9 << 20];
    text.extend_from_slice(format!(" {token} ").as_bytes());
    text.extend(vec![b'y'; 1 << 20]);
    let report = scan(&text);
    assert_eq!(rules_of(&report), ["gitlab-token"]);
    assert_eq!(report.findings[0].place.line, 1);
    assert_eq!(report.findings[0].place.column, (9 << 20) + 2);
    assert_eq!(report.bytes_scanned, wide(text.len()));
}

#[test]
fn a_url_gives_user_password_and_kind() {
    let password = expand("{alnum:10}%2F{alnum:5}", 9).unwrap();
    let report = scan(format!("A=1\nDATABASE_URL=postgres://app:{password}@db.internal/orders\n").as_bytes());
    assert_eq!(rules_of(&report), ["postgres-url"]);
    let finding = &report.findings[0];
    assert_eq!(finding.kind, "postgres-password");
    assert_eq!(finding.principal.as_deref(), Some("app"));
    assert_eq!(finding.preview, "postgres://app:…");
    assert_eq!((finding.place.line, finding.place.column), (2, 14));
    assert_eq!(finding.parts, [key().fingerprint_bytes(password.replace("%2F", "/").as_bytes())]);
    assert!(finding.concerns(
        &key().fingerprint_bytes(format!("postgres://app:{password}@db.internal/orders").as_bytes())
    ));
}

#[test]
fn a_token_given_as_password_is_a_token() {
    let token = expand("ghs_{alnum:36}", 2).unwrap();
    let report = scan(format!("https://x-access-token:{token}@github.com/acme/orders\n").as_bytes());
    assert_eq!(rules_of(&report), ["github-token"]);
    assert_eq!(report.findings[0].preview, "ghs_…");
}

#[test]
fn generic_rules_keep_out_of_binaries() {
    let text = expand("\0\0 DB_PASSWORD=\"{alnum:15}7\" ghp_{alnum:36} ", 4).unwrap();
    assert_eq!(rules_of(&scan(text.as_bytes())), ["github-token"]);
    assert_eq!(rules_of(&scan(text.replace('\0', " ").as_bytes())), ["generic-password", "github-token"]);
}

#[test]
fn allow_comments_need_a_reason() {
    let text = expand("a = npm_{alnum:36} # quell:allow revoked in 2024\nb = npm_{alnum:36} # quell:allow\nc = npm_{alnum:36} # gitleaks:allow\n", 6).unwrap();
    let report = scan(text.as_bytes());
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].place.line, 2);
    insta::assert_snapshot!(report.findings[0].note.as_deref().unwrap(), @"`quell:allow` without a reason does not count");
}

#[test]
fn the_same_secret_twice_is_one_finding() {
    let token = expand("npm_{alnum:36}", 8).unwrap();
    let report = scan(format!("{token}\n\n{token}\n").as_bytes());
    assert_eq!(report.findings.len(), 1);
    assert_eq!((report.findings[0].occurrences, report.findings[0].place.line), (2, 1));
    assert!(report.findings[0].id.starts_with("F-") && report.findings[0].id.len() == 14);
}

#[test]
fn nothing_of_a_value_is_in_a_report() {
    let rules = RuleSet::builtin().unwrap();
    let mut text = String::new();
    for rule in rules.rules() {
        for (index, example) in rule.examples.iter().enumerate() {
            text.push_str(&expand(example, crate::rule::template::seed(&rule.id, index)).unwrap());
            text.push_str("\n\n");
        }
    }
    let report = scan(text.as_bytes());
    assert!(report.findings.len() > 40);
    let shown = format!("{}{report:?}", serde_json::to_string(&report).unwrap());
    // Any run of eight characters that only a value has would give it away; words of rules and names are shorter or known.
    let engine = KeywordEngine::new(&rules);
    engine.scan(text.as_bytes(), &mut |found| {
        let range = found.password.unwrap_or(found.secret);
        let prefix = rules.rules()[found.rule].prefix;
        let hidden = text.get(range.start + prefix.min(range.len())..range.end).unwrap();
        assert!(!shown.contains(hidden), "{}", rules.rules()[found.rule].id);
        for part in hidden.as_bytes().windows(10).filter(|part| part.iter().any(u8::is_ascii_digit)) {
            assert!(!shown.contains(std::str::from_utf8(part).unwrap()), "{}", rules.rules()[found.rule].id);
        }
    });
}

/// Gives some text, then fails.
struct Failing(Vec<u8>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::other("the cable was pulled"));
        }
        let length = buffer.len().min(self.0.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        Ok(length)
    }
}

#[test]
fn a_stream_that_breaks_is_incomplete() {
    let rules = RuleSet::builtin().unwrap();
    let key = key();
    let scanner = Scanner::new(&rules, &key);
    let text = expand("npm_{alnum:36} and more\n", 8).unwrap();
    let report = scanner.reader("stdin", &mut Failing(text.into_bytes()), &mut |_| {}).unwrap();
    assert_eq!(rules_of(&report), ["npm-token"]);
    assert!(!report.complete());
    insta::assert_snapshot!(report.incomplete[0].why, @"reading stopped after 50 bytes: the cable was pulled");
    assert!(scanner.reader("stdin", &mut Failing(Vec::new()), &mut |_| {}).is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_searched(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
        static RULES: std::sync::LazyLock<RuleSet> = std::sync::LazyLock::new(|| RuleSet::builtin().unwrap());
        let key = key();
        let report = Scanner::new(&RULES, &key).reader("stdin", &mut bytes.as_slice(), &mut |_| {}).unwrap();
        proptest::prop_assert!(report.complete());
    }
}
