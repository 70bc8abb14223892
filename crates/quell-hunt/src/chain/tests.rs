use sha2::{Digest as _, Sha256};

use super::check::{GENESIS, next};
use super::*;
use crate::gap::Strength;

/// What signs records of these tests.
const KEY: &str = "k-für-tests";

/// Three lines that its own store and logger wrote with that key, at commit `0a51e93`, on `CPython` 3.11 and pydantic 2.13.
/// The last one has a time among its details, so that `TradePulse` itself says that its signature does not fit.
const WRITTEN: [&str; 3] = [
    "{\"chain_hash\":\"7dce30341606ffed371036ad9003f07bfca6d3b21349215b010ca261924f68fa\",\"record\":{\"actor\":\"ops\",\"details\":{\"a\":[1,2.0,1e+22,1e-07,null,true,{\"a\":\"ü😀\u{7f}\\n\\\"\\\\ / \u{2028}\",\"b\":\"x\"}],\"big\":123456789012345678901234567890,\"name\":\"orders-db\",\"z\":1.5,\"é\":-0.0},\"event_type\":\"secret_read\",\"ip_address\":\"203.0.113.7\",\"signature\":\"da576f68d3137ad6d99967900ea44e80b8ce2e138a770c8dbfa4537fb345afca\",\"timestamp\":\"2026-03-02T10:01:00Z\"},\"record_hash\":\"efe238e7b0db8054e54aadd0f4746bf50836aa80cded1a4adf24c92d744283d5\",\"sequence\":0}\n",
    "{\"chain_hash\":\"675e941f48c675682e2454ac75703bb09448283d8bd97faafe034683c3cd77e1\",\"record\":{\"actor\":\"ann\",\"details\":{},\"event_type\":\"authorization.deny\",\"ip_address\":\"203.0.113.7\",\"signature\":\"8e1190f47c40cf5fbf8ac45efb54b2f7801d8533a180b59b099757da764917a0\",\"timestamp\":\"2026-03-02T10:02:00.000007Z\"},\"record_hash\":\"529f32d130ea0708af831322edfedb6581ced07492f45f3831f9ddc9914f2bf9\",\"sequence\":1}\n",
    "{\"chain_hash\":\"c7d683f2b528359e926f099607c996117cf3aaeced5f19f7733e284cdd5ea528\",\"record\":{\"actor\":\"ci\",\"details\":{\"at\":\"x\",\"secret\":{\"created_at\":\"2026-01-01T00:00:00.000005Z\"}},\"event_type\":\"secret_rotated\",\"ip_address\":\"203.0.113.9\",\"signature\":\"dbfb6d9e2bdf869b1c02cde12478eb739b84a1fa5c68cbae7d02f5530db42a29\",\"timestamp\":\"2026-03-02T10:03:00.000007Z\"},\"record_hash\":\"8c30aeaa30188e5293eb363d9ea05e574cc6bc79d65efe58c5c88999c24e2584\",\"sequence\":2}\n",
];

fn secret(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

/// A store's lines from the first to the last minute, as `TradePulse` writes them.
fn store(minutes: u64) -> Vec<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let mut chain = GENESIS.to_owned();
    let line = |sequence| {
        let head = format!(
            r#"{{"actor":"svc-{sequence}","details":{{}},"event_type":"secret_read","ip_address":"203.0.113.7","#
        );
        let time = format!("2026-03-02T{:02}:{:02}:00", sequence / 60, sequence % 60);
        let signed = hmac::sign(&key, format!("{head}\"timestamp\":\"{time}+00:00\"}}").as_bytes());
        let record = format!("{head}\"signature\":\"{}\",\"timestamp\":\"{time}Z\"}}", hex::encode(signed));
        let hash = hex::encode(Sha256::digest(&record));
        chain = next(&chain, &hash);
        format!(
            "{{\"chain_hash\":\"{chain}\",\"record\":{record},\"record_hash\":\"{hash}\",\"sequence\":{sequence}}}\n"
        )
    };
    (0..minutes).map(line).collect()
}

fn log(object: &str, text: &str, keys: &[SecretValue]) -> Log {
    let mut chain = Chain::default();
    chain.look((text.as_bytes(), 0), &super::keys(keys));
    Log { object: object.to_owned(), chain }
}

/// Strength and reason of the gaps of logs.
fn told(logs: &[(&str, String)]) -> Vec<(Strength, String)> {
    let logs: Vec<Log> = logs.iter().map(|(object, text)| log(object, text, &[])).collect();
    gaps(&logs).into_iter().map(|gap| (gap.strength, gap.why)).collect()
}

#[test]
fn what_tradepulse_wrote_is_whole_and_signed() {
    let one = log("audit.jsonl", &WRITTEN.concat(), &[secret("another"), secret(KEY)]);
    assert_eq!((one.chain.signed, one.chain.unread, one.chain.runs.len()), (3, 0, 1), "{one:?}");
    assert_eq!(gaps(std::slice::from_ref(&one)), []);
    let condition = signed(&[one]).unwrap();
    assert!(condition.met, "{}", condition.text);
    assert_eq!(condition.text, "3 of 3 records of TradePulse are signed with a key that was given");
    // Somebody who ships logs may write the JSON anew.
    let spaced = WRITTEN.concat().replace("\":", "\": ").replace("ü", "\\u00fc");
    let again = log("audit.jsonl", &spaced, &[secret(KEY)]);
    assert_eq!((again.chain.signed, again.chain.altered.count, gaps(&[again])), (3, 0, Vec::new()));
}

#[test]
fn without_a_key_the_chain_is_checked_and_signatures_are_not() {
    let one = log("audit.jsonl", &WRITTEN.concat(), &[]);
    assert_eq!(gaps(std::slice::from_ref(&one)), []);
    let condition = signed(&[one]).unwrap();
    assert!(!condition.met);
    assert_eq!(
        condition.text,
        "signatures of 3 records of TradePulse not checked: no key (--record-key-file)"
    );
    assert_eq!(signed(&[]), None);
}

#[test]
fn a_record_that_was_changed_or_taken_out_is_proven() {
    let lines = store(9);
    assert_eq!(told(&[("a", lines.concat())]), []);
    let changed = lines.concat().replace("svc-4", "svc-x");
    let place = lines.iter().take(4).map(String::len).sum::<usize>();
    let why = format!(
        "1 records are not what their hash says: changed, or written anew by somebody, the first at byte {place}"
    );
    assert_eq!(told(&[("a", changed)]), [(Strength::Altered, why)]);
    let mut without = lines.clone();
    without.drain(3..6);
    let why = format!(
        "records 3 to 5 are not there, between bytes 0 and {place}",
        place = without.iter().take(3).map(String::len).sum::<usize>()
    );
    assert_eq!(told(&[("a", without.concat())]), [(Strength::Missing, why)]);
    // One with a number and a hash of its own, put in the place of another.
    let mut put = lines.clone();
    let record = r#"{"actor":"z","details":{},"event_type":"x","ip_address":"","signature":"","timestamp":"2026-03-02T00:04:00Z"}"#;
    let (hash, before) = (hex::encode(Sha256::digest(record)), "0".repeat(64));
    put[4] = format!(
        "{{\"chain_hash\":\"{}\",\"record\":{record},\"record_hash\":\"{hash}\",\"sequence\":4}}\n",
        next(&before, &hash)
    );
    let put = told(&[("a", put.concat())]);
    assert!(
        put.len() == 2
            && put
                .iter()
                .all(|(strength, why)| *strength == Strength::Altered && why.contains("does not follow")),
        "{put:?}"
    );
    // Two parts in another order are all there.
    let order = told(&[("a", [lines[5..].concat(), lines[..5].concat()].concat())]);
    assert!(
        matches!(order.as_slice(), [(Strength::Suggestive, why)] if why.contains("begins anew")),
        "{order:?}"
    );
    let anew = told(&[("a", [lines.concat(), lines.concat()].concat())]);
    assert!(
        matches!(anew.as_slice(), [(Strength::Suggestive, why)] if why.contains("begins anew")),
        "{anew:?}"
    );
}

#[test]
fn the_chain_goes_on_in_the_next_log() {
    let lines = store(12);
    let part = |range: std::ops::Range<usize>| lines[range].concat();
    assert_eq!(told(&[("a.1", part(0..4)), ("a.2", part(4..9)), ("a.3", part(9..12))]), []);
    // By whatever names, and with a copy of all of it beside.
    assert_eq!(told(&[("a", part(8..12)), ("b", part(0..8)), ("c", part(0..12))]), []);
    let missing = told(&[("a.1", part(0..4)), ("a.3", part(9..12))]);
    assert_eq!(
        missing,
        [(Strength::Missing, "records 4 to 8 are not there: deleted, or not given".to_owned())]
    );
    let late = told(&[("a.3", part(9..12))]);
    assert_eq!(late, [(Strength::Missing, "records 0 to 8 are not there: deleted, or not given".to_owned())]);
    // The last record of a log that was written anew, with hashes that fit.
    let record = r#"{"actor":"z","details":{},"event_type":"x","ip_address":"","signature":"","timestamp":"2026-03-02T00:03:00Z"}"#;
    let hash = hex::encode(Sha256::digest(record));
    let tail = &log("a", &part(0..3), &[]).chain.runs[0].tail;
    let anew = format!(
        "{{\"chain_hash\":\"{}\",\"record\":{record},\"record_hash\":\"{hash}\",\"sequence\":3}}\n",
        next(tail, &hash)
    );
    let anew = told(&[("a.1", part(0..3) + &anew), ("a.2", part(4..9))]);
    assert!(
        matches!(anew.as_slice(), [(Strength::Missing, why)] if why.contains("no log ends with")),
        "{anew:?}"
    );
    let overlap = told(&[("a.1", part(0..6)), ("a.2", part(4..9))]);
    assert!(
        matches!(overlap.as_slice(), [(Strength::Suggestive, why)] if why.contains("which `a.1` has, too")),
        "{overlap:?}"
    );
}

#[test]
fn what_is_signed_by_somebody_else_or_redacted_is_told() {
    let lines = store(3);
    let of = |text: String, keys: &[SecretValue]| {
        let log = log("a", &text, keys);
        (gaps(std::slice::from_ref(&log)), signed(&[log]).unwrap())
    };
    let (gaps, condition) = of(lines.concat(), &[secret("another")]);
    assert!(matches!(gaps.as_slice(), [gap] if gap.strength == Strength::Suggestive), "{gaps:?}");
    assert_eq!(
        condition.text,
        "0 of 3 records of TradePulse are signed with a key that was given; 3 are signed with none"
    );
    let redacted = lines[1].replace("\"details\":{}", "\"details\":{\"password\":\"[REDACTED]\"}");
    let (_, condition) = of(redacted + "{\"half\":", &[secret(KEY)]);
    assert!(!condition.met);
    assert!(
        condition
            .text
            .ends_with("; 1 cannot be checked, as a value was taken out of them; 1 lines are no records"),
        "{}",
        condition.text
    );
    let shown = format!("{:?}", log("a", &lines.concat(), &[secret(KEY)]));
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn a_log_with_a_break_at_each_line_is_kept_in_little_room() {
    let lines = store(1400);
    let broken: String = lines.iter().step_by(2).map(String::as_str).collect();
    let one = log("a", &broken, &[]);
    assert_eq!((one.chain.runs.len(), one.chain.more), (MAX_RUNS, 200));
    assert_eq!(one.chain.runs.last().unwrap().to, 1398);
    assert!(gaps(&[one]).iter().any(|gap| gap.why == "its chain has 200 more breaks than are told"));
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let text = store(50).concat();
    let whole = log("a", &text, &[secret(KEY)]);
    let mut chain = Chain::default();
    let mut at = 0;
    for line in text.split_inclusive('\n').collect::<Vec<_>>().chunks(7) {
        let piece = line.concat();
        chain.look((piece.as_bytes(), at), &keys(&[secret(KEY)]));
        at += piece.len() as u64;
    }
    assert_eq!(chain, whole.chain);
}
