use std::collections::BTreeSet;

use super::*;
use crate::engine::Engine as _;
use crate::rule::template::expand;
use crate::{Finding, Report, Scanner};

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
    let searcher = Searcher { sizes, ..Searcher::new(&engine, &key, Keep::Nothing) };
    let outcome = searcher.reader(&mut &*text, &mut |_| {});
    assert!(outcome.error.is_none());
    assert_eq!(outcome.bytes, wide(text.len()));
    outcome.hits.iter().map(|hit| (hit.line, hit.column, hit.count)).collect()
}

#[test]
fn a_token_is_found_once_at_every_offset_around_a_border() {
    let rules = RuleSet::builtin().unwrap();
    let sizes = Sizes { block: 4096, overlap: 1024 };
    let token = expand("ghp_{alnum:30}{checksum}", 3).unwrap();
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
fn encoded_secrets_are_found_where_their_run_begins() {
    let token = expand("ghp_{alnum:36}", 3).unwrap();
    let report = scan(format!("one\nb: {}\nx npm\n", hex::encode(format!("t={token}"))).as_bytes());
    assert_eq!(rules_of(&report), ["github-token"]);
    let finding = &report.findings[0];
    assert_eq!((finding.place.line, finding.place.column), (2, 4));
    assert_eq!(finding.encoding, Some(Encoding::Hex));
    assert_eq!(finding.fingerprint, key().fingerprint_bytes(token.as_bytes()));
}

#[test]
fn a_url_that_json_escapes_is_found_where_it_stands() {
    let password = expand("{alnum:10}", 9).unwrap();
    let url = format!("postgres://app:{password}&x=1@db/orders");
    let php = url.replace('/', "\\/");
    let go = url.replace('/', "\\u002F").replace('&', "\\u0026").replace('=', "\\u003d");
    let nested = url.replace('/', "\\\\\\/");
    for written in [php, go, nested] {
        let report = scan(format!("[]\n{{\"at\": 1, \"url\":\"{written}\"}}\n").as_bytes());
        assert_eq!(rules_of(&report), ["postgres-url"]);
        let finding = &report.findings[0];
        assert_eq!((finding.place.line, finding.place.column, finding.occurrences), (2, 18, 1));
        assert_eq!(finding.encoding, Some(Encoding::Json));
        assert_eq!(finding.preview, "postgres://app:…");
        assert_eq!(finding.fingerprint, key().fingerprint_bytes(url.as_bytes()));
        assert_eq!(finding.parts, [key().fingerprint_bytes(format!("{password}&x=1").as_bytes())]);
        assert_eq!(finding.details.get("host").map(String::as_str), Some("db"));
    }
}

#[test]
fn a_value_with_escapes_is_known_by_its_name() {
    let secret = expand("{alnum:13}/{alnum:12}/{alnum:13}", 12).unwrap();
    let written = secret.replace('/', "\\/");
    for between in [":", ": "] {
        let text = format!("{{\"aws_secret_access_key\"{between}\"{written}\"}}\n");
        let report = scan(text.as_bytes());
        assert_eq!(rules_of(&report), ["aws-secret-access-key"], "{between:?}");
        assert_eq!(report.findings[0].fingerprint, key().fingerprint_bytes(secret.as_bytes()));
        assert_eq!(report.findings[0].place.column, wide(text.find(&written).unwrap()) + 1);
    }
}

#[test]
fn what_stands_between_escapes_is_found_once() {
    let token = expand("ghp_{alnum:30}{checksum}", 3).unwrap();
    let password = expand("{alnum:14}7", 4).unwrap();
    for (text, encoding) in [
        (format!("\"https:\\/\\/me:{token}@example.com\\/x\""), None),
        (format!("\"https:\\/\\/example.com\\/x?token\\u003d{token}\\u0026y\""), Some(Encoding::Json)),
        (format!("\"x\\/y\": \"{token}\""), None),
        (format!("\"a=b\\u0026db_password\\u003d{password}\\u0026c=d\""), Some(Encoding::Json)),
        (format!("\"a=b&db_password={password}\\u0026c=d\""), None),
        (format!("\"path\": \"a\\/b\", \"db_password\": \"{password}\""), None),
    ] {
        let report = scan(text.as_bytes());
        assert_eq!(report.findings.len(), 1, "{:?}", rules_of(&report));
        let finding = &report.findings[0];
        assert_eq!((finding.encoding, finding.occurrences), (encoding, 1), "{}", finding.rule);
        let secret = if finding.rule == "github-token" { &token } else { &password };
        assert_eq!(finding.fingerprint, key().fingerprint_bytes(secret.as_bytes()));
    }
}

#[test]
fn a_url_that_json_escapes_is_found_once_around_a_border() {
    let rules = RuleSet::builtin().unwrap();
    let sizes = Sizes { block: 4096, overlap: 1024 };
    let url = expand(r"postgres:\/\/app:{alnum:20}@db\/orders", 5).unwrap();
    let border = 4096 + 1024;
    for at in border - 80..border + 80 {
        let mut text = b"some words here\n".repeat(900);
        text.splice(at..at, format!(" \"url\":\"{url}\"").into_bytes());
        let line = wide(text[..=at].split(|byte| *byte == b'\n').count());
        let column = wide(text[..=at].iter().rev().position(|byte| *byte == b'\n').unwrap()) + 8;
        assert_eq!(hits(&rules, &text, sizes), [(line, column, 1)], "offset {at}");
    }
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
    let token = expand("ghs_{alnum:30}{checksum}", 2).unwrap();
    let report = scan(format!("https://x-access-token:{token}@github.com/acme/orders\n").as_bytes());
    assert_eq!(rules_of(&report), ["github-token"]);
    assert_eq!(report.findings[0].preview, "ghs_…");
}

#[test]
fn generic_rules_keep_out_of_binaries() {
    let text = expand("\0\0 DB_PASSWORD=\"{alnum:15}7\" ghp_{alnum:30}{checksum} ", 4).unwrap();
    assert_eq!(rules_of(&scan(text.as_bytes())), ["github-token"]);
    assert_eq!(rules_of(&scan(text.replace('\0', " ").as_bytes())), ["generic-password", "github-token"]);
}

#[test]
fn allow_comments_need_a_reason() {
    let text = expand("a = npm_{alnum:30}{checksum} # quell:allow revoked in 2024\nb = npm_{alnum:30}{checksum} # quell:allow\nc = npm_{alnum:30}{checksum} # gitleaks:allow fixture\n", 6).unwrap();
    let report = scan(text.as_bytes());
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].place.line, 2);
    insta::assert_snapshot!(report.findings[0].note.as_deref().unwrap(), @"`quell:allow` without a reason does not count");
}

#[test]
fn the_same_secret_twice_is_one_finding() {
    let token = expand("npm_{alnum:30}{checksum}", 8).unwrap();
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
    // Any run of ten characters with a digit in it that only a value has would give it away; words of rules and names
    // are shorter or known.
    let runs: BTreeSet<_> = shown.as_bytes().windows(10).collect();
    let mut found = Vec::new();
    KeywordEngine::new(&rules).scan(text.as_bytes(), &mut |one| found.push(one));
    // The rule that wins decides what is public; others may match the same value and know no prefix.
    let mut public = BTreeMap::new();
    for one in &found {
        let end = one.secret.start + rules.rules()[one.rule].prefix.min(one.secret.len());
        public.entry(one.secret.start).and_modify(|most: &mut usize| *most = end.max(*most)).or_insert(end);
    }
    for one in found {
        let range = one.password.clone().unwrap_or(one.secret.clone());
        let start = public.get(&range.start).map_or(range.start, |end| *end.min(&range.end));
        // The id of a key is shown where it was joined to its secret.
        let id = text.get(one.secret.clone());
        let joined = |finding: &Finding| finding.joined.iter().any(|part| part.text.as_deref() == id);
        if report.findings.iter().any(joined) {
            continue;
        }
        let hidden = text.get(start..range.end).unwrap();
        assert!(!shown.contains(hidden), "{}", rules.rules()[one.rule].id);
        // The dates of a shared access signature and the hosts of URLs stand in them and are no secret.
        if rules.rules()[one.rule].id.starts_with("azure-")
            || text.get(one.secret.clone()).unwrap().starts_with("https://")
        {
            continue;
        }
        for part in hidden.as_bytes().windows(10).filter(|part| part.iter().any(u8::is_ascii_digit)) {
            assert!(!runs.contains(part), "{}", rules.rules()[one.rule].id);
        }
    }
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
    let text = expand("npm_{alnum:30}{checksum} and more\n", 8).unwrap();
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
