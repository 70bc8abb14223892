//! `TradePulse`'s records: the chain is joined over logs, however they are packed, in shards, and when a hunt goes on after a stop.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use quell_core::secret::SecretValue;
use quell_hunt::gap::Strength;
use quell_hunt::hint::Hints;
use quell_hunt::hunt::{Hunt, Question, hunt, with_memory};
use quell_hunt::memory::{Key, Memory, fingerprint};
use quell_hunt::merge::merge;
use quell_hunt::needle::Needle;
use quell_hunt::object;
use quell_hunt::record::Role;
use sha2::{Digest as _, Sha256};

use super::world::{judged, question};

const KEY: &str = "k-for-tests";

const ACTOR: &str = "svc-orders";

/// What `TradePulse`'s store writes; records are not signed with the key, as only the chain is looked at here.
fn lines(count: u64) -> Vec<String> {
    let mut chain = "0".repeat(64);
    let line = |sequence| {
        let time = format!("2026-03-01T{:02}:{:02}:00Z", sequence / 60, sequence % 60);
        let actor = if sequence == 7 { ACTOR } else { "somebody" };
        let record = format!(
            r#"{{"actor":"{actor}","details":{{}},"event_type":"secret_read","ip_address":"203.0.113.7","signature":"00","timestamp":"{time}"}}"#
        );
        let hash = hex::encode(Sha256::digest(&record));
        chain = hex::encode(Sha256::digest(format!("{chain}{hash}")));
        format!(
            "{{\"chain_hash\":\"{chain}\",\"record\":{record},\"record_hash\":\"{hash}\",\"sequence\":{sequence}}}\n"
        )
    };
    (0..count).map(line).collect()
}

fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

/// Four logs: plain, gzip, gzip of two members and zstd, the third without some lines.
fn write(folder: &Path, left_out: std::ops::Range<usize>) {
    let lines = lines(1000);
    let part = |range: std::ops::Range<usize>| lines[range].concat();
    std::fs::write(folder.join("audit.jsonl.3"), part(0..200)).unwrap();
    std::fs::write(folder.join("audit.jsonl.2.gz"), gz(&part(200..500))).unwrap();
    let third = [gz(&part(500..left_out.start)), gz(&part(left_out.end..800))].concat();
    std::fs::write(folder.join("audit.jsonl.1.gz"), third).unwrap();
    let last = zstd::encode_all(part(800..1000).as_bytes(), 1).unwrap();
    std::fs::write(folder.join("audit.jsonl"), last).unwrap();
}

fn asked() -> Question {
    let hints = Hints { record_keys: vec![SecretValue::from_text(KEY.to_owned())], ..Hints::default() };
    Question { needles: vec![Needle::id(ACTOR).unwrap()], hints, ..question(2) }
}

fn search(folder: &Path, question: Question) -> Hunt {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap()
}

fn proven(hunt: &Hunt) -> Vec<(&str, &str)> {
    let gaps = hunt.gaps.iter().filter(|gap| gap.strength >= Strength::Missing);
    gaps.map(|gap| (gap.stream.as_str(), gap.why.as_str())).collect()
}

#[test]
fn lines_that_were_taken_out_are_proven_missing_and_a_whole_chain_has_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 600..600);
    let whole = search(folder.path(), asked());
    assert_eq!(proven(&whole), []);
    let [access] = whole.accesses.as_slice() else { panic!("{:?}", whole.accesses) };
    assert_eq!((access.role, access.place > 0), (Role::Used, true));
    write(folder.path(), 600..603);
    let gapped = search(folder.path(), asked());
    let [(stream, why)] = proven(&gapped)[..] else { panic!("{:?}", gapped.gaps) };
    assert!(stream == "audit.jsonl.1.gz" && why.starts_with("records 600 to 602 are not there"), "{why}");
    let opinion = judged(&gapped, true);
    let texts: Vec<&str> =
        opinion.conditions.iter().filter(|it| !it.met).map(|it| it.text.as_str()).collect();
    assert!(texts.iter().any(|text| text.contains("records 600 to 602")), "{texts:?}");
    assert!(
        texts.iter().any(|text| text.starts_with("0 of 997 records of TradePulse are signed")),
        "{texts:?}"
    );
    std::fs::remove_file(folder.path().join("audit.jsonl.2.gz")).unwrap();
    let absent = search(folder.path(), asked());
    let whys: Vec<&str> = proven(&absent).into_iter().map(|(_, why)| why).collect();
    assert!(whys.contains(&"records 200 to 499 are not there: deleted, or not given"), "{whys:?}");
}

#[test]
fn shards_put_together_tell_the_same_gaps() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 600..603);
    let whole = search(folder.path(), asked());
    let parts = (0..3).map(|index| {
        let shard = Some(format!("{index}/3").parse().unwrap());
        let part = search(folder.path(), Question { shard, ..asked() });
        serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap()
    });
    let merged = merge(parts.collect()).unwrap();
    assert_eq!(merged.gaps, whole.gaps);
    assert_eq!(merged.chains, whole.chains);
    assert_eq!(merged.chains.len(), 4);
}

/// What objects gave, without any file.
#[derive(Default)]
pub(crate) struct Kept(Mutex<BTreeMap<Key, String>>);

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl Memory for Kept {
    fn salt(&self) -> &[u8] {
        b"salt"
    }

    fn recall(&self, key: &Key) -> Option<String> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn keep(&self, key: &Key, text: &str) {
        assert!(!text.contains(KEY), "the key is kept");
        self.0.lock().unwrap().insert(*key, text.to_owned());
    }
}

#[test]
fn a_hunt_that_goes_on_tells_the_same_and_belongs_to_its_key() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 600..603);
    let objects = object::list(&[folder.path().to_owned()]).unwrap();
    let kept = Kept::default();
    let run = |question| {
        let found = with_memory(question, &objects, Some(&kept), &|_| {}, &AtomicBool::new(false)).unwrap();
        serde_json::to_string(&found).unwrap()
    };
    let first = run(asked());
    let count = kept.0.lock().unwrap().len();
    assert_eq!(run(asked()), first);
    assert_eq!((count, kept.0.lock().unwrap().len()), (4, 4), "nothing was read again");
    assert!(!first.contains(KEY));
    let other = Question { hints: Hints::default(), ..asked() };
    assert_ne!(fingerprint(&asked(), b"salt"), fingerprint(&other, b"salt"));
    assert!(run(other) != first, "without a key signatures are not checked");
}
