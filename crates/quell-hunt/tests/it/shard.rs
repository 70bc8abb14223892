//! A hunt in shards gives the report that it gives in one, and says what is missing.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use quell_core::event::Verdict;
use quell_hunt::hunt::{Question, hunt};
use quell_hunt::merge::MergeError;
use quell_hunt::object;
use quell_hunt::report::Asked;
use quell_hunt::report::change::Changes;
use quell_hunt::report::saved::{Saved, SavedError};
use quell_hunt::verdict::Knowledge;

use super::world::{BACK_DOOR, LEAKED, SESSION, World, at, question};

fn run(folder: &Path, question: Question) -> Saved {
    let objects = object::list(&[folder.to_owned()]).unwrap();
    let found = hunt(question, &objects, &|_| {}, &AtomicBool::new(false)).unwrap();
    let knowledge = Knowledge {
        exposed: Some(at(600)),
        known: vec!["10.0.0.0/8".to_owned()],
        until: Some(at(2 * 24 * 60)),
        all_logs: true,
        ..Knowledge::default()
    };
    Saved::new(Asked { credentials: vec![LEAKED.to_owned()], knowledge, ..Asked::default() }, found)
}

/// Through the bytes that machines send each other.
fn sent(saved: &Saved) -> Saved {
    Saved::read(&bytes(saved)).unwrap()
}

fn bytes(saved: &Saved) -> Vec<u8> {
    let opinion = saved.opinion();
    serde_json::to_vec_pretty(&saved.report(&opinion)).unwrap()
}

fn shards(folder: &Path, of: u32, follow: Option<&Saved>) -> Vec<Saved> {
    let shards = (0..of).map(|index| format!("{index}/{of}").parse().unwrap());
    let follow = follow.map(|it| it.hunt.followed.clone()).unwrap_or_default();
    shards
        .map(|shard| run(folder, Question { shard: Some(shard), follow: follow.clone(), ..question(1) }))
        .map(|saved| sent(&saved))
        .collect()
}

#[test]
fn shards_give_the_same_report_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), true);
    // A log that was delivered twice, and one that is damaged: counted once, wherever they are.
    let name = |hour: &str| {
        folder.path().join(format!("111122223333_CloudTrail_eu-west-1_20260301T{hour}Z_x.json.gz"))
    };
    std::fs::copy(name("0900"), folder.path().join("again.json.gz")).unwrap();
    std::fs::write(name("1200"), b"\x1f\x8b\x08 no gzip").unwrap();
    let whole = run(folder.path(), question(2));
    assert!(whole.hunt.closed && whole.hunt.coverage.duplicates > 0 && whole.hunt.coverage.corrupt == 1);
    for count in [1, 2, 5] {
        let first = Saved::merge(shards(folder.path(), count, None)).unwrap();
        let merged = Saved::merge(shards(folder.path(), count, Some(&first))).unwrap();
        assert_eq!(merged.hunt.missing, Vec::<String>::new());
        let merged =
            Saved { hunt: quell_hunt::hunt::Hunt { passes: whole.hunt.passes, ..merged.hunt }, ..merged };
        assert_eq!(
            String::from_utf8(bytes(&merged)).unwrap(),
            String::from_utf8(bytes(&whole)).unwrap(),
            "{count} shards"
        );
    }
}

#[test]
fn what_one_shard_found_and_another_did_not_look_for_is_said() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), true);
    let first = Saved::merge(shards(folder.path(), 7, None)).unwrap();
    let ids: Vec<&str> = first.hunt.followed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.first(), Some(&SESSION), "the session is found, whichever shard its record is in");
    assert!(first.hunt.missing.iter().any(|it| it.contains("--follow")), "{:?}", first.hunt.missing);
    let mut last = first;
    for _ in 0..2 {
        last = Saved::merge(shards(folder.path(), 7, Some(&last))).unwrap();
    }
    assert_eq!(last.hunt.missing, Vec::<String>::new());
    let uses: Vec<(&str, u64)> = last.hunt.followed.iter().map(|it| (it.id.as_str(), it.uses)).collect();
    assert_eq!(uses, [(SESSION, 1), (BACK_DOOR, 1)]);
}

#[test]
fn a_shard_alone_or_with_others_missing_proves_no_absence() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), true);
    let verdict = |saved: &Saved| saved.opinion().judgement.verdict;
    assert_eq!(verdict(&run(folder.path(), question(1))), Verdict::NoEvidenceLogsComplete);
    let mut all = shards(folder.path(), 3, None);
    assert_eq!(verdict(&all[1]), Verdict::NoEvidenceLogsIncomplete);
    assert_eq!(verdict(&Saved::merge(all.clone()).unwrap()), Verdict::NoEvidenceLogsComplete);
    all.remove(1);
    let partial = Saved::merge(all).unwrap();
    assert_eq!(verdict(&partial), Verdict::NoEvidenceLogsIncomplete);
    assert_eq!(partial.hunt.missing, ["shard 1/3 was not given"]);
}

#[test]
fn what_is_no_set_of_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    World::quiet().write(folder.path(), false);
    let (two, three) = (shards(folder.path(), 2, None), shards(folder.path(), 3, None));
    let error = |parts: Vec<Saved>| Saved::merge(parts).unwrap_err();
    assert!(matches!(error(Vec::new()), MergeError::None));
    assert!(matches!(error(vec![two[0].clone(), two[0].clone()]), MergeError::Twice(_)));
    assert!(matches!(error(vec![two[0].clone(), three[1].clone()]), MergeError::Counts(..)));
    assert!(matches!(error(vec![run(folder.path(), question(1))]), MergeError::Whole(1)));
    let mut other = two[1].clone();
    other.asked.credentials = vec!["AKIAEXAMPLEANOTHER01".to_owned()];
    assert!(matches!(error(vec![two[0].clone(), other]), MergeError::Asked(2)));
    assert!(matches!(Saved::read(b"{}"), Err(SavedError::Other(_))));
    assert!(matches!(Saved::read(b"{\"version\":99}"), Err(SavedError::Newer(99))));
    assert!(matches!(Saved::read(&vec![b'['; 100_000]), Err(SavedError::Other(_))));
}

#[test]
fn later_logs_show_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    World::attacked().write(folder.path(), true);
    let late = folder.path().join("111122223333_CloudTrail_eu-west-1_20260302T0100Z_x.json.gz");
    let kept = std::fs::read(&late).unwrap();
    std::fs::remove_file(&late).unwrap();
    let before = run(folder.path(), question(2));
    std::fs::write(&late, kept).unwrap();
    let now = run(folder.path(), question(2));
    let opinion = now.opinion();
    let changes = Changes::between(&sent(&before), &now.report(&opinion));
    assert_eq!(changes.verdict_before, before.opinion().judgement.verdict);
    let new: Vec<&str> =
        changes.new_records.iter().map(|place| now.hunt.accesses[*place].action.as_str()).collect();
    assert!(new.contains(&"iam:CreateAccessKey"), "{new:?}");
    assert_eq!((changes.lost_records, changes.closed_gaps.len(), changes.new_gaps.len()), (0, 1, 0));
    assert!(!changes.new_anomalies.is_empty());
    assert!(changes.now_met.iter().any(|it| it.contains("no gap")), "{changes:?}");
    let opinion = before.opinion();
    let back = Changes::between(&now, &before.report(&opinion));
    assert_eq!((back.new_records.len(), back.lost_records), (0, changes.new_records.len()));
    let opinion = now.opinion();
    let same = Changes::between(&now, &now.report(&opinion));
    assert_eq!(
        (same.new_records.len(), same.lost_records, same.now_met.len(), same.now_unmet.len()),
        (0, 0, 0, 0)
    );
}
