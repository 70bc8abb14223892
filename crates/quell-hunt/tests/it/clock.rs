//! What the lines of a log say of their own log: times that go back, silences, and requests without an answer.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use quell_hunt::gap::Strength;
use quell_hunt::hunt::{Hunt, Question, hunt, with_memory};
use quell_hunt::merge::merge;
use quell_hunt::needle::Needle;
use quell_hunt::object;

use super::chain::Kept;
use super::world::{at, judged, question};

const TOKEN: &str = "hmac-sha256:of-the-leaked-token";

/// A pair of lines of Vault's audit device.
fn pair(minute: i64, token: &str) -> [String; 2] {
    ["request", "response"].map(|kind| {
        format!(
            "{{\"time\":\"{}\",\"type\":\"{kind}\",\"auth\":{{\"client_token\":\"{token}\"}},\"request\":{{\"id\":\"q{minute}\",\"operation\":\
             \"read\",\"path\":\"kv/data/x\",\"client_token\":\"{token}\",\"remote_address\":\"203.0.113.7\"}}}}\n",
            at(minute)
        )
    })
}

/// Two days with a request each minute, without those of some minutes; the leaked token is used at 100 and 2000.
fn write(path: &Path, silent: std::ops::Range<i64>, unanswered: Option<i64>) {
    let mut text = String::new();
    for minute in (0..2880).filter(|minute| !silent.contains(minute)) {
        let token = if matches!(minute, 100 | 2000) { TOKEN } else { "hmac-sha256:of-another" };
        let [request, response] = pair(minute, token);
        text.push_str(&request);
        if unanswered != Some(minute) {
            text.push_str(&response);
        }
    }
    std::fs::write(path, text).unwrap();
}

fn asked() -> Question {
    Question { needles: vec![Needle::id(TOKEN).unwrap()], ..question(2) }
}

fn search(folder: &Path, question: Question) -> Hunt {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap()
}

/// The conditions that are not met and say this.
fn unmet(found: &Hunt, text: &str) -> usize {
    judged(found, true).conditions.iter().filter(|it| !it.met && it.text.contains(text)).count()
}

fn told(found: &Hunt) -> Vec<(&str, Timestamp, Timestamp)> {
    found.gaps.iter().map(|gap| (gap.stream.as_str(), gap.from, gap.to)).collect()
}

#[test]
fn a_silence_and_an_answer_that_is_missing_lower_what_a_log_proves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    write(&path, 0..0, None);
    let whole = search(folder.path(), asked());
    assert_eq!((whole.accesses.len(), told(&whole)), (2, Vec::new()));
    assert_eq!((unmet(&whole, "have no answer"), unmet(&whole, "gaps, such as")), (0, 0));
    write(&path, 1200..1700, Some(2000));
    let found = search(folder.path(), asked());
    assert_eq!(told(&found), [("audit.log", at(1199), at(1700))]);
    assert_eq!(found.gaps[0].strength, Strength::Suggestive);
    assert_eq!(
        unmet(&found, "1 requests that name it have no answer in the logs, the first in `audit.log`"),
        1
    );
    assert_eq!(unmet(&found, "1 gaps, such as"), 1);
    // What lies outside of the window is no gap of it.
    let later = search(folder.path(), Question { from: Some(at(1800)), ..asked() });
    assert_eq!(told(&later), []);
}

#[test]
fn shards_tell_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for name in 0..5 {
        write(&folder.path().join(format!("audit-{name}.log")), 1200..(1500 + name * 10), None);
    }
    let whole = search(folder.path(), asked());
    assert_eq!(whole.gaps.len(), 5);
    let parts = (0..2).map(|index| {
        let shard = Some(format!("{index}/2").parse().unwrap());
        let part = search(folder.path(), Question { shard, ..asked() });
        serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap()
    });
    assert_eq!(merge(parts.collect()).unwrap().gaps, whole.gaps);
}

#[test]
fn a_hunt_that_goes_on_tells_the_same() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("audit.log"), 1200..1700, None);
    let objects = object::list(&[folder.path().to_owned()]).unwrap();
    let kept = Kept::default();
    let run = || with_memory(asked(), &objects, Some(&kept), &|_| {}, &AtomicBool::new(false)).unwrap().gaps;
    let first = run();
    assert_eq!((first.len(), first[0].stream.as_str()), (1, "audit.log"));
    assert_eq!(run(), first);
    assert!(!kept.is_empty());
}

#[test]
fn a_clock_that_was_set_back_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    write(&path, 0..0, None);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&path, [&lines[..3000], &lines[1500..]].concat().concat()).unwrap();
    let found = search(folder.path(), asked());
    let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
    assert!(gap.why.starts_with("the clock goes back 1 times"), "{}", gap.why);
    assert!(gap.to.duration_since(gap.from) > SignedDuration::from_hours(10), "{gap:?}");
}
