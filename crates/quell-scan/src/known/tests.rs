use proptest::prelude::*;

use super::*;
use crate::rule::template::expand;
use crate::{Report, RuleSet, Scanner};

fn key() -> FingerprintKey {
    FingerprintKey::new([9; 32])
}

fn known(value: &[u8]) -> Known {
    let values =
        [KnownValue { secret: "orders-db".parse().unwrap(), value: SecretValue::new(value.to_vec()) }];
    Known::new(&key(), &values, BTreeSet::new()).unwrap()
}

fn seen(known: &Known, text: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    known.find(text, &key(), &mut |seen| all.push(seen));
    all
}

fn scan(known: &Known, text: &[u8]) -> Report {
    let (rules, key) = (RuleSet::none().unwrap(), key());
    let scanner = Scanner::new(&rules, &key).with_known(known);
    scanner.reader("stdin", &mut &*text, &mut |_| {}).unwrap()
}

#[test]
fn every_spelling_is_found_and_named() {
    let value = format!("p@/\"{}\u{e9}", expand("{alnum:14}", 3).unwrap());
    let (bytes, known) = (value.as_bytes(), known(value.as_bytes()));
    let standard = base64::engine::general_purpose::STANDARD;
    let json = serde_json::to_string(&value).unwrap();
    let percent: String = bytes.iter().flat_map(|byte| ["%".to_owned(), hex::encode([*byte])]).collect();
    let spellings = [
        (value.clone(), None),
        (json, Some(Encoding::Json)),
        (percent, Some(Encoding::Percent)),
        (hex::encode(bytes), Some(Encoding::Hex)),
        (hex::encode_upper(bytes), Some(Encoding::Hex)),
        (standard.encode(bytes), Some(Encoding::Base64)),
        (standard.encode([b"u:", bytes].concat()), Some(Encoding::Base64)),
        (standard.encode([b"user:", bytes, b"@x"].concat()), Some(Encoding::Base64)),
        (URL_SAFE_NO_PAD.encode([b"x", bytes].concat()), Some(Encoding::Base64)),
    ];
    for (text, encoding) in spellings {
        let all = seen(&known, format!("before {text} after").as_bytes());
        assert_eq!(all.len(), 1, "{encoding:?}");
        assert_eq!((all[0].encoding, all[0].fingerprint), (encoding, key().fingerprint_bytes(bytes)));
    }
    assert_eq!(seen(&known, b"p@/ and nothing else"), []);
}

#[test]
fn short_and_even_values_are_refused() {
    for value in [&b"short"[..], b"00000000000000", &[b'x', b'y'].repeat(5000)] {
        let known = known(value);
        assert_eq!(known.refused().len(), 1);
        assert_eq!(seen(&known, value), []);
    }
}

#[test]
fn a_finding_says_where_and_nothing_of_the_value() {
    let value = expand("{alnum:20}", 5).unwrap();
    let known = known(value.as_bytes());
    let report = scan(&known, format!("one\ntwo {value} # quell:allow a reason\n{value}\n").as_bytes());
    assert_eq!(report.findings.len(), 1, "an allow comment hides no value of the inventory");
    let finding = &report.findings[0];
    assert_eq!((finding.rule.as_str(), finding.place.line, finding.place.column), (RULE, 2, 5));
    assert_eq!(finding.occurrences, 2);
    assert!(finding.concerns(&key().fingerprint_bytes(value.as_bytes())));
    assert!(!format!("{report:?}{known:?}").contains(value.get(2..10).unwrap()));
    // Also where git would see a binary.
    assert_eq!(scan(&known, format!("\0\0{value}\0").as_bytes()).findings.len(), 1);
}

#[test]
fn a_value_across_the_border_of_blocks_is_found_once() {
    let value = expand("{alnum:40}", 6).unwrap();
    let known = known(value.as_bytes());
    let block = (4 << 20) + crate::engine::MAX_MATCH;
    for at in [block - 41, block - 40, block - 20, block - 1, block, block + 1] {
        let mut text = vec![b'.'; block + 4096];
        text.splice(at..at, value.bytes());
        let report = scan(&known, &text);
        assert_eq!(report.findings.len(), 1, "offset {at}");
        assert_eq!((report.findings[0].place.column, report.findings[0].occurrences), (at as u64 + 1, 1));
    }
}

#[test]
fn earlier_values_are_found_by_their_fingerprint() {
    let password = expand("{alnum:9}/{alnum:9}", 7).unwrap();
    let earlier = BTreeSet::from([key().fingerprint_bytes(password.as_bytes())]);
    let known = Known::new(&key(), &[], earlier).unwrap();
    for text in [
        format!("password: \"{password}\""),
        format!("PASSWORD={password}\n"),
        format!("x='{password}';"),
        format!("postgres://app:{}@db/x", password.replace('/', "%2F")),
    ] {
        assert_eq!(seen(&known, text.as_bytes()).len(), 1, "{}", text.replace(&password, "…"));
    }
    assert_eq!(seen(&known, &password.as_bytes()[1..]), []);
}

proptest! {
    #[test]
    fn base64_of_anything_around_a_value_holds_one_of_its_spellings(
        before in prop::collection::vec(any::<u8>(), 0..9),
        value in prop::collection::vec(any::<u8>(), 8..40),
        after in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        prop_assume!(value.iter().any(|byte| *byte != value[0]));
        let known = known(&value);
        let text = URL_SAFE_NO_PAD.encode([before, value, after].concat());
        prop_assert_eq!(seen(&known, text.as_bytes()).len(), 1);
    }
}
