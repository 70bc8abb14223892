//! A search that carries results along deltas finds what a full search finds.

use proptest::prelude::*;

use super::*;
use crate::engine::{KeywordEngine, Match, Searched};
use crate::git::delta;

/// Rules of every sort: short, long, with look-around, with bytes in front of the literal, with a keyword that is not in
/// the match, without any, with an exception that depends on the line.
const RULES: &str = r#"
[[rules]]
id = "token"
regex = '''\bghp_([A-Za-z0-9]{20})\b'''
keywords = ["ghp_"]
[[rules]]
id = "pem"
regex = '''-----BEGIN KEY-----(?s:.*?)-----END KEY-----'''
keywords = ["begin key"]
window = 700
[[rules]]
id = "grows"
regex = '''k=[a-z]{3,}\b'''
keywords = ["k="]
window = 8
[[rules]]
id = "assigned"
name = "acme"
value = "[0-9a-f]{8}"
keywords = ["acme"]
[[rules]]
id = "start"
regex = '''^head=[a-z]{4}'''
keywords = ["head="]
[[rules]]
id = "end"
regex = '''tail=[a-z]+$'''
keywords = ["tail="]
[[rules]]
id = "elsewhere"
regex = '''zz[0-9]{6}'''
keywords = ["stripe"]
[[rules]]
id = "everywhere"
regex = '''[0-9]{12}'''
[[rules]]
id = "inner"
regex = '''[a-z]{0,30}mid[0-9]{3}'''
keywords = ["mid"]
[[rules]]
id = "line"
regex = '''pw=[a-z]{6}'''
keywords = ["pw="]
[[rules.allowlists]]
regexTarget = "line"
regexes = ['''nosecret''']
[[rules]]
id = "lines"
regex = '''wide=\s{0,5}[a-z]{4}'''
keywords = ["wide="]
[[rules]]
id = "closed"
regex = '''(?i)[a-z_]{0,12}gate[ _]{0,4}[:=] ?([a-z0-9]{6})(?:["\s]|$)'''
keywords = ["gate"]
[[rules]]
id = "after-break"
regex = '''pin=([0-9]{6})\s'''
keywords = ["pin="]
[[rules.allowlists]]
regexTarget = "line"
regexes = ['''nosecret''']
[[rules]]
id = "url"
regex = '''db://[a-z]{2,9}:(?P<password>[a-z]{6})@'''
keywords = ["db://"]
"#;

const PARTS: &[&str] = &[
    "ghp_",
    "{alnum:20}",
    "{alnum:7}",
    " ",
    "\n",
    "-----BEGIN KEY-----",
    "-----END KEY-----",
    "k=",
    "{lower:12}",
    "acme_key: \"",
    "{hex:8}",
    "\" ",
    "head=",
    "abcd",
    "tail=",
    "stripe",
    "zz",
    "123456",
    "mid",
    "nosecret",
    "pw=",
    "wide=",
    "\n\n",
    "pin=",
    "pin=123456\n",
    "my_gate",
    "gate_: ",
    "gate=\"abc123\"",
    "lorem ipsum dolor sit amet, ",
    "{lower:90}\n",
    "{lower:600}",
    "ghp_{alnum:20} ",
    "-----BEGIN KEY-----{base64:300}-----END KEY-----",
    "db:",
    "\\/",
    "\\u002f",
    "user:",
    "{lower:6}@",
    "\"",
    ":",
    "\"acme\":\"\\u0030",
    "\"acme\": \"db:\\/\\/user:{lower:6}@host\"",
];

fn part() -> impl Strategy<Value = Vec<u8>> {
    (proptest::sample::select(PARTS), 0..50_u64).prop_map(|(part, seed)| text(part, seed).into_bytes())
}

/// How a version is made from the one before.
#[derive(Clone, Debug)]
enum Step {
    /// Where, and how much, in thousandths of the base.
    Copy(usize, usize),
    Insert(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let copy = (0..=1000_usize, 0..=1000_usize).prop_map(|(from, length)| Step::Copy(from, length));
    let rest = prop_oneof![Just(0_usize), Just(500), Just(900)].prop_map(|from| Step::Copy(from, 1000));
    proptest::collection::vec(prop_oneof![3 => copy, 2 => rest, 3 => part().prop_map(Step::Insert)], 0..7)
}

/// The same as a delta of git.
fn delta_of(base: &[u8], steps: &[Step]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut length = 0;
    for step in steps {
        match step {
            Step::Copy(from, share) => {
                let from = base.len() * from / 1000;
                let size = ((base.len() - from) * share / 1000).min(0xff_ffff);
                if size > 0 {
                    body.push(0xff);
                    body.extend(u32::try_from(from).unwrap().to_le_bytes());
                    body.extend(&u32::try_from(size).unwrap().to_le_bytes()[..3]);
                    length += size;
                }
            }
            Step::Insert(bytes) => {
                for chunk in bytes.chunks(127) {
                    body.push(u8::try_from(chunk.len()).unwrap());
                    body.extend(chunk);
                }
                length += bytes.len();
            }
        }
    }
    let mut delta = Vec::new();
    for mut size in [base.len(), length] {
        while size >= 0x80 {
            delta.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
            size >>= 7;
        }
        delta.push(u8::try_from(size).unwrap());
    }
    delta.extend(body);
    delta
}

/// Makes each version from the last one, carries the results along, and compares them to a full search.
fn compare(engine: &KeywordEngine<'_>, base: Vec<u8>, versions: &[Vec<Step>]) -> Vec<Vec<Match>> {
    let mut all = Vec::new();
    let mut old: Vec<u8> = base;
    let mut searched: Searched = engine.full(&old);
    for steps in versions {
        let (mut new, mut pieces) = (Vec::new(), Vec::new());
        delta::apply_into(&old, &delta_of(&old, steps), 1 << 24, &mut new, &mut pieces).unwrap();
        searched = engine.carried(&searched, &new, &pieces);
        let full = engine.full(&new);
        let found = engine.matches(&new, &searched);
        assert_eq!(found, engine.matches(&new, &full), "matches");
        assert_eq!(searched, full, "what is carried on");
        all.push(found);
        old = new;
    }
    all
}

fn rules_of(set: &RuleSet, found: &[Match]) -> Vec<String> {
    found.iter().map(|found| set.rules()[found.rule].id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_family_of_deltas_is_searched_as_if_in_full(
        base in proptest::collection::vec(part(), 0..30),
        versions in proptest::collection::vec(steps(), 1..5),
    ) {
        static RULE_SET: std::sync::LazyLock<RuleSet> = std::sync::LazyLock::new(|| RuleSet::parse("t.toml", RULES).unwrap());
        static ENGINE: std::sync::LazyLock<KeywordEngine<'static>> =
            std::sync::LazyLock::new(|| KeywordEngine::new(&RULE_SET));
        compare(&ENGINE, base.concat(), &versions);
    }
}

/// A secret is cut at every byte, and each half is a copy or an insert, at the start, in the middle and at the end.
#[test]
fn secrets_at_every_kind_of_seam() {
    let set = RuleSet::parse("t.toml", RULES).unwrap();
    let engine = KeywordEngine::new(&set);
    let secrets = [
        ("token", text("ghp_{alnum:20}", 1)),
        ("pem", text("-----BEGIN KEY-----\n{base64:64}\n-----END KEY-----", 2)),
        ("grows", text("k={lower:60}", 3)),
        ("assigned", text("acme_key: '{hex:8}'", 4)),
        ("inner", text("{lower:20}mid", 5) + "123"),
        ("line", text("pw={lower:6}", 6)),
    ];
    let filler = "some words in a line, more than a short copy has\n";
    for (rule, secret) in &secrets {
        for cut in 1..secret.len() {
            let (left, right) = secret.split_at(cut);
            // The base has both halves apart, each with enough around it to be a piece of its own.
            let base = format!("{right}\n{}{filler}{left}", filler.repeat(2));
            for (left_new, right_new) in [(true, true), (true, false), (false, true), (false, false)] {
                let head = base.len() - left.len() - filler.len();
                let found = spliced(
                    &engine,
                    &base,
                    &[(left_new, head..base.len()), (right_new, 0..right.len() + 1 + filler.len())],
                );
                assert!(rules_of(&set, &found).iter().any(|found| found == rule), "{rule} cut at {cut}");
            }
        }
        // Bytes that go away can make a secret, at the start and at the end of the text, too.
        let (left, right) = secret.split_at(secret.len() / 2);
        let base = format!("{filler}{left}!!!!{right}\n{filler}");
        let middle = filler.len() + left.len();
        let found = spliced(&engine, &base, &[(false, 0..middle), (false, middle + 4..base.len())]);
        assert!(rules_of(&set, &found).iter().any(|found| found == rule), "{rule} joined");
        // And bytes that come in can break one (two of them take what comes in as a part).
        let whole = format!("{filler}{secret}\n{filler}");
        let middle = filler.len() + secret.len() - 2;
        let found =
            spliced(&engine, &whole, &[(false, 0..middle), (true, 0..9), (false, middle..whole.len())]);
        assert!(
            ["grows", "line"].contains(rule) || !rules_of(&set, &found).iter().any(|found| found == rule),
            "{rule} broken"
        );
    }
}

/// The same for a secret between escapes of JSON, whose run begins with a name.
#[test]
fn escaped_secrets_at_every_kind_of_seam() {
    let set = RuleSet::parse("t.toml", RULES).unwrap();
    let engine = KeywordEngine::new(&set);
    let filler = "some words in a line, more than a short copy has\n";
    for secret in [
        text("x \"acme\": \"db:\\/\\/user:{lower:6}@host\" y", 1),
        format!("{{{}}}", text("\"acme\":\"db:\\/\\/user:{lower:6}@host\"", 2)),
        text("[\"\\u0030{hex:7}\",acme\":\"\\u0030{hex:7}\"]", 3),
    ] {
        let whole = format!("{filler}{secret}\n{filler}");
        for cut in 0..=secret.len() {
            let at = filler.len() + cut;
            let (start, rest) = whole.split_at(at);
            let base = format!("{rest}{filler}{start}");
            let second = whole.len() - at;
            let left = second + filler.len()..base.len();
            for ranges in [
                [(false, left.clone()), (false, 0..second)],
                [(true, left.clone()), (false, 0..second)],
                [(false, left.clone()), (true, 0..second)],
            ] {
                assert_eq!(decoded(&engine, &base, &ranges), 1, "cut at {cut}");
            }
            // What begins or ends in the middle of it, and what is taken out of it or put into it.
            decoded(&engine, &whole, &[(false, at..whole.len())]);
            decoded(&engine, &whole, &[(false, 0..at)]);
            decoded(&engine, &whole, &[(false, 0..at), (false, at + 1..whole.len())]);
            decoded(&engine, &whole, &[(false, 0..at), (true, 0..1), (false, at..whole.len())]);
        }
    }
}

/// How many encoded runs with secrets a text has that is put together from ranges of a base, as new bytes or as copies.
fn decoded(engine: &KeywordEngine<'_>, base: &str, ranges: &[(bool, std::ops::Range<usize>)]) -> usize {
    spliced(engine, base, ranges);
    let text: Vec<_> = ranges.iter().map(|(_, range)| &base.as_bytes()[range.clone()]).collect();
    engine.full(&text.concat()).decoded().len()
}

/// Searches a text that is put together from ranges of a base, as new bytes or as copies.
fn spliced(engine: &KeywordEngine<'_>, base: &str, ranges: &[(bool, std::ops::Range<usize>)]) -> Vec<Match> {
    let mut new = Vec::new();
    let mut pieces = Vec::new();
    for (fresh, range) in ranges {
        if !fresh {
            pieces.push(crate::engine::Piece { to: new.len(), from: range.start, length: range.len() });
        }
        new.extend_from_slice(&base.as_bytes()[range.clone()]);
    }
    let carried = engine.carried(&engine.full(base.as_bytes()), &new, &pieces);
    assert_eq!(carried, engine.full(&new));
    engine.matches(&new, &carried)
}

/// Real packs of the real git, with secrets that come, move, change and go.
#[test]
fn real_packs_give_the_same_report_either_way() {
    let repo = Repo::new();
    let filler = |seed: u64| text("line {lower:30} {alnum:12}\n", seed);
    let mut lines: Vec<String> = (0..300).map(filler).collect();
    for version in 0..60_u64 {
        let at = usize::try_from(version * 37 % 290).unwrap().min(lines.len() - 6);
        match version % 6 {
            0 => lines.insert(at, text("token = npm_{alnum:36}\n", version)),
            1 => lines.insert(
                at,
                text(
                    "-----BEGIN PRIVATE KEY-----\n{base64:64}\n{base64:64}\n-----END PRIVATE KEY-----\n",
                    version,
                ),
            ),
            2 => lines[at] = text("DATABASE_URL=postgres://app:{alnum:20}@db.internal/x\n", version),
            3 => drop(lines.drain(at..at + 5)),
            4 => lines.rotate_left(at),
            _ => lines.insert(at, text("export ADMIN_PASSWORD={alnum:15}1\n", version)),
        }
        repo.write("config.txt", &lines.concat());
        repo.commit(&text("change npm_{alnum:36}", 1000 + version / 20), &[]);
    }
    repo.git(&["repack", "-adfq", "--depth=50", "--window=20"]);
    let pack = files_below(&repo.path.join(".git/objects/pack"));
    let index =
        pack.iter().find(|file| file.extension().is_some_and(|extension| extension == "idx")).unwrap();
    let listing = repo.git(&["verify-pack", "-v", index.to_str().unwrap()]);
    assert!(
        listing.lines().filter(|line| line.split(' ').count() > 6 && line.contains(" blob ")).count() > 30,
        "no deltas"
    );
    let rules = RuleSet::builtin().unwrap();
    let key = key();
    let report = |incremental: bool, threads: usize| {
        Scanner::new(&rules, &key)
            .incremental(incremental)
            .threads(threads)
            .path(&repo.path, &mut |_| {})
            .unwrap()
    };
    let full = report(false, 1);
    assert!(full.complete(), "{:?}", full.incomplete);
    assert!(full.findings.len() > 30, "{}", full.findings.len());
    for other in [report(true, 1), report(true, 2), report(false, 2)] {
        assert_eq!(other.findings, full.findings);
        assert_eq!((other.blobs, other.bytes_scanned), (full.blobs, full.bytes_scanned));
        assert_eq!(other.incomplete, full.incomplete);
    }
}
