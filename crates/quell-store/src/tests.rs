//! One story, told on SQLite and on PostgreSQL.

use std::path::Path;

use quell_core::event::{Actor, Event};
use quell_core::secret::SecretValue;

use super::*;

fn now() -> jiff::Timestamp {
    "2026-11-22T03:00:00Z".parse().unwrap()
}

fn note(text: &str) -> NewEntry {
    NewEntry::new(Actor::user("ines"), Event::NoteAdded { text: text.to_owned() })
}

fn no_passphrase() -> Result<SecretValue, StoreError> {
    Err(StoreError::Kek("no passphrase in this test".to_owned()))
}

async fn story(folder: &Path, url: Option<&str>) {
    let store = Store::init(folder, url, &KekSource::File(None), now()).await.unwrap();
    let mut batch = Batch::new("INC-2026-0001", 0);
    batch.push(note("one"));
    batch.push(NewEntry { evidence: vec![("a.json".to_owned(), b"{}".to_vec())], ..note("two") });
    let value = SecretValue::from_text("hunter2-hunter2".to_owned());
    batch.sealed = vec![store.seal("v1", &value).unwrap()];
    let written = store.append(batch, now()).await.unwrap();
    assert_eq!(written.iter().map(|e| (e.seq, e.pos)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);

    let mut stale = Batch::new("INC-2026-0001", 1);
    stale.push(note("too late"));
    let refused = store.append(stale, now()).await;
    assert!(matches!(refused, Err(StoreError::Conflict { expected: 1, found: 2, .. })), "{refused:?}");

    // The clock jumps back; the ledger does not.
    let back = now() - jiff::SignedDuration::from_hours(5);
    assert_eq!(store.append_to_end("INC-2026-0001", note("three"), back).await.unwrap().at, now());

    let worker = store.become_worker().await.unwrap();
    assert!(store.is_alive(&worker.id).await.unwrap());
    let id = worker.id.clone();
    drop(worker);
    for _ in 0..200 {
        if !store.is_alive(&id).await.unwrap() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(!store.is_alive(&id).await.unwrap());

    let first_key = store.signing_key().verifier().to_string();
    let (store, rewrapped) = store
        .rotate_kek(folder, &KekSource::Passphrase(SecretValue::from_text("correct horse".to_owned())), now())
        .await
        .unwrap();
    assert_eq!(rewrapped, 3);
    let store = store.rotate_signing_key("routine", false, now()).await.unwrap();
    store.append_to_end("INC-2026-0001", note("four"), now()).await.unwrap();
    assert!(store.unseal("v1").await.unwrap().same_as(&value));
    store.db().close().await;

    assert!(matches!(
        Store::open(folder, url, || Ok(SecretValue::from_text("wrong".to_owned()))).await,
        Err(StoreError::Kek(_))
    ));
    let store =
        Store::open(folder, url, || Ok(SecretValue::from_text("correct horse".to_owned()))).await.unwrap();
    assert!(store.unseal("v1").await.unwrap().same_as(&value));
    assert_ne!(store.signing_key().verifier().to_string(), first_key);
    let report = store.verify(None, &[]).await.unwrap();
    assert!(report.ok, "{report:?}");
    let outside = store.signing_key().verifier().clone();
    assert!(store.verify(Some(outside), &[]).await.unwrap().ok);
    let stranger = SigningKey::from_seed(store.origin(), &[7; 32]).unwrap();
    assert!(!store.verify(Some(stranger.verifier().clone()), &[]).await.unwrap().ok);

    let (size, checkpoint) = store.checkpoint().await.unwrap().unwrap();
    let proof = store.inclusion(2, size, &checkpoint).await.unwrap();
    let (_, bytes) = store.raw_stream("INC-2026-0001").await.unwrap().remove(1);
    let key = store.signing_key().verifier();
    proof.verify(&quell_ledger::leaf_hash(&bytes), store.origin(), &[key]).unwrap();
    store.db().close().await;
}

#[tokio::test]
async fn the_story_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    story(&folder.path().join("data"), None).await;
}

#[tokio::test]
async fn the_story_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let server = quell_testkit::postgres::Server::start(&[]).unwrap();
    story(&folder.path().join("data"), Some(&server.admin_url())).await;
}

/// Any row changed, deleted or swapped is detected and named.
#[tokio::test]
async fn tampering_with_any_row_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let pristine = folder.path().join("pristine");
    let store = Store::init(&pristine, None, &KekSource::File(None), now()).await.unwrap();
    for n in 0..6 {
        let entry = NewEntry { evidence: vec![(format!("{n}.txt"), vec![n])], ..note(&format!("note {n}")) };
        store.append_to_end("INC-2026-0001", entry, now()).await.unwrap();
    }
    store.db().close().await;
    let attacks = [
        "UPDATE event SET entry = replace(entry, 'note 2', 'note 9') WHERE seq = 3",
        "UPDATE event SET leaf = zeroblob(32) WHERE seq = 3",
        "UPDATE event SET stream = 'INC-2026-0002' WHERE seq = 3",
        "UPDATE event SET kind = 'genesis' WHERE seq = 3",
        "UPDATE event SET at_us = at_us + 1 WHERE seq = 3",
        "DELETE FROM event WHERE seq = 3",
        "DELETE FROM event WHERE seq = 6",
        "DELETE FROM event WHERE seq = 0",
        "UPDATE event SET seq = 100 WHERE seq = 3; UPDATE event SET seq = 3 WHERE seq = 4; UPDATE event SET seq = 4 WHERE seq = 100",
        "INSERT INTO event SELECT seq + 4, stream, pos + 4, kind, at_us, entry, leaf FROM event WHERE seq = 3",
        "UPDATE node SET hash = zeroblob(32) WHERE level = 1 AND idx = 0",
        "DELETE FROM node WHERE level = 0 AND idx = 2",
        "INSERT INTO node VALUES (9, 9, zeroblob(32))",
        "UPDATE checkpoint SET note = replace(note, char(10) || '4' || char(10), char(10) || '5' || char(10)) WHERE size = 4",
        "DELETE FROM checkpoint WHERE size = 7",
        "UPDATE evidence SET body = zeroblob(1) WHERE rowid = 3",
        "DELETE FROM evidence WHERE rowid = 3",
    ];
    for (n, attack) in attacks.into_iter().enumerate() {
        let copy = folder.path().join(n.to_string());
        std::process::Command::new("cp").arg("-a").arg(&pristine).arg(&copy).status().unwrap();
        let store = Store::open(&copy, None, no_passphrase).await.unwrap();
        let Db::Sqlite(pool, _) = store.db() else { panic!("an embedded store") };
        for trigger in [
            "event_is_append_only_u",
            "event_is_append_only_d",
            "node_is_append_only_u",
            "node_is_append_only_d",
            "checkpoint_is_append_only_u",
            "checkpoint_is_append_only_d",
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}")))
                .execute(pool)
                .await
                .unwrap();
        }
        let changed = sqlx::raw_sql(attack).execute(pool).await.unwrap();
        assert!(changed.rows_affected() > 0, "it changes nothing: {attack}");
        let report = store.verify(None, &[]).await.unwrap();
        assert!(!report.ok && !report.problems.is_empty(), "not detected: {attack}");
        if attack.contains("seq = 3") {
            assert!(report.problems.iter().any(|p| p.contains('3')), "{attack}: {:?}", report.problems);
        }
        store.db().close().await;
    }
}

#[tokio::test]
async fn updates_are_refused_by_the_database_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::init(&folder.path().join("d"), None, &KekSource::File(None), now()).await.unwrap();
    let Db::Sqlite(pool, _) = store.db() else { panic!("an embedded store") };
    let refused = sqlx::raw_sql("DELETE FROM event").execute(pool).await.unwrap_err();
    assert!(refused.to_string().contains("append-only"));
    assert!(matches!(
        Store::init(&folder.path().join("d"), None, &KekSource::File(None), now()).await,
        Err(StoreError::AlreadyInitialised(_))
    ));
    assert!(matches!(
        Store::open(&folder.path().join("none"), None, no_passphrase).await,
        Err(StoreError::NotInitialised(_))
    ));
}

#[tokio::test]
async fn a_process_with_rotated_keys_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d");
    let first = Store::init(&data, None, &KekSource::File(None), now()).await.unwrap();
    let second = Store::open(&data, None, no_passphrase).await.unwrap();
    let third = Store::open(&data, None, no_passphrase).await.unwrap();
    let first = first.rotate_signing_key("routine", false, now()).await.unwrap();
    let stale = second.append_to_end("INC-2026-0001", note("signed with a retired key"), now()).await;
    assert!(matches!(stale, Err(StoreError::KeysRotated)), "{stale:?}");
    let (first, _) = first.rotate_kek(&data, &KekSource::File(None), now()).await.unwrap();
    let stale = third.append_to_end("INC-2026-0001", note("sealed under a lost key"), now()).await;
    assert!(matches!(stale, Err(StoreError::KeysRotated)), "{stale:?}");
    assert!(first.verify(None, &[]).await.unwrap().ok);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(data.join("quell.db")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "nobody else may read the state");
    let keys = std::fs::read_dir(data.join("keys")).unwrap().count();
    assert_eq!(keys, 1, "the old key file is gone");
}

/// A worker that begins and never ends, hour after hour.
async fn begin_until_given_up(store: &Store, worker: &str, from: jiff::Timestamp) {
    use jiff::SignedDuration;
    let (mut rounds, mut waiting) = (0, store.inbox_open().await.unwrap().0);
    while waiting > 0 && rounds < 400 {
        let at = from + SignedDuration::from_hours(rounds);
        store.inbox_claim(worker, at, SignedDuration::from_mins(20), 3).await.unwrap();
        waiting = store.inbox_open().await.unwrap().0;
        rounds += 1;
    }
}

/// Deliveries: taken in once, worked on by one, done or given up where it is seen.
async fn deliveries(folder: &Path, url: Option<&str>) {
    use jiff::SignedDuration;
    let lease = SignedDuration::from_mins(20);
    let store = Store::init(folder, url, &KekSource::File(None), now()).await.unwrap();
    let other = Store::open(folder, url, no_passphrase).await.unwrap();
    let body = SecretValue::from_text("a body with a value in it".to_owned());
    let arrival = |digest: &'static str| Arrival {
        source: "hook",
        kind: "github",
        delivery: "72d3162e",
        topic: "secret_scanning_alert",
        digest,
        body: &body,
    };
    let Put::New(id) = store.inbox_put(&arrival("one"), now(), None).await.unwrap() else {
        panic!("it is new")
    };
    assert_eq!(store.inbox_put(&arrival("one"), now(), None).await.unwrap(), Put::Replay(id.clone()));
    assert!(other.inbox_body(&id).await.unwrap().same_as(&body));
    let same_elsewhere = Arrival { source: "other", ..arrival("one") };
    assert!(matches!(store.inbox_put(&same_elsewhere, now(), None).await.unwrap(), Put::New(_)));

    // Two workers at once, twenty deliveries: each is begun by one.
    for n in 0..18_u8 {
        let digest = format!("many {n}");
        let arrival = Arrival { digest: &digest, ..arrival("") };
        assert!(matches!(store.inbox_put(&arrival, now(), None).await.unwrap(), Put::New(_)));
    }
    let (first, second) = (store.become_worker().await.unwrap(), other.become_worker().await.unwrap());
    let all = async |store: &Store, worker: &str| {
        let mut taken = Vec::new();
        while let Some(one) = store.inbox_claim(worker, now(), lease, 3).await.unwrap() {
            taken.push(one.id);
            tokio::task::yield_now().await;
        }
        taken
    };
    let (mut one, mut two) = tokio::join!(all(&store, &first.id), all(&other, &second.id));
    let (both, counts) = (one.len() + two.len(), (one.len(), two.len()));
    one.append(&mut two);
    one.sort();
    one.dedup();
    assert_eq!((one.len(), both), (20, 20), "each by one worker: {counts:?}");

    // A live worker keeps what it has; a dead one does not, and one that is at it for too long neither.
    let holder = if store.inbox_end(&id, &first.id, TryEnded::Again(now()), "later", now()).await.unwrap() {
        &first
    } else {
        &second
    };
    store.inbox_end(&id, &holder.id, TryEnded::Again(now()), "later", now()).await.unwrap();
    let again = store.inbox_claim(&first.id, now(), lease, 3).await.unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.tries, again.note.as_str()), (id.as_str(), 2, "later"));
    assert!(store.inbox_claim(&second.id, now(), lease, 3).await.unwrap().is_none());
    let much_later = now() + SignedDuration::from_mins(30);
    let taken = store.inbox_claim(&second.id, much_later, lease, 3).await.unwrap().unwrap();
    let mine = store.inbox_end(&taken.id, &first.id, TryEnded::Done, "late", now()).await.unwrap();
    assert!(!mine, "what was taken over is not ended by the one who had it");

    // Begun as often as may be: given up, and seen.
    drop((first, second));
    let third = store.become_worker().await.unwrap();
    begin_until_given_up(&store, &third.id, much_later).await;
    assert_eq!(store.inbox_open().await.unwrap(), (0, 20), "all were given up after three tries");
    let given_up = store.inbox_get(&id).await.unwrap().unwrap();
    assert_eq!(given_up.state, DeliveryState::Failed);
    assert!(given_up.note.contains("workers ended in the middle"), "{}", given_up.note);

    // A person has it tried again; done, its body is gone, and it stays known.
    assert!(store.inbox_retry(&id, now()).await.unwrap());
    // Rotating the key re-wraps bodies, too.
    let (store, _) = store.rotate_kek(folder, &KekSource::File(None), now()).await.unwrap();
    assert!(store.inbox_body(&id).await.unwrap().same_as(&body));
    assert!(matches!(other.inbox_put(&arrival("stale"), now(), None).await, Err(StoreError::KeysRotated)));
    let worker = store.become_worker().await.unwrap();
    assert_eq!(store.inbox_claim(&worker.id, now(), lease, 3).await.unwrap().unwrap().id, id);
    assert!(store.inbox_end(&id, &worker.id, TryEnded::Done, "opened INC-2026-0001", now()).await.unwrap());
    assert!(!store.inbox_retry(&id, now()).await.unwrap());
    assert!(matches!(store.inbox_body(&id).await, Err(StoreError::NoSuchValue(_))));
    assert_eq!(store.inbox_put(&arrival("one"), much_later, None).await.unwrap(), Put::Replay(id.clone()));
    let forget = Some(SignedDuration::from_mins(10));
    assert!(matches!(store.inbox_put(&arrival("one"), much_later, forget).await.unwrap(), Put::New(_)));
    // They hold connections, and closing waits for those.
    drop((third, worker));
    assert!(store.verify(None, &[]).await.unwrap().ok);
    store.db().close().await;
}

#[tokio::test]
async fn deliveries_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    deliveries(&folder.path().join("data"), None).await;
}

#[tokio::test]
async fn deliveries_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let server = quell_testkit::postgres::Server::start(&[]).unwrap();
    deliveries(&folder.path().join("data"), Some(&server.admin_url())).await;
}

/// A request that is to be carried out once appends while it is held, and not any more once it was taken away.
async fn carried_out_once(folder: &Path, url: Option<&str>) {
    let store = Store::init(folder, url, &KekSource::File(None), now()).await.unwrap();
    let asked = |worker: &str| Asked { kind: "answer", id: "one".to_owned(), worker: worker.to_owned() };
    let row = Lapsing {
        id: "one".to_owned(),
        owner: "w-1".to_owned(),
        body: "{}".to_owned(),
        expires_us: i64::MAX,
    };
    assert!(store.lapsing_add("answer", &row, now()).await.unwrap());
    let append = |worker: &str, text: &str| {
        asked(worker).while_held(store.append_to_end("INC-2026-0001", note(text), now()))
    };
    append("w-1", "held").await.unwrap();
    let other = append("w-2", "of somebody else").await;
    assert!(matches!(other, Err(StoreError::CutOff)), "{other:?}");

    // Whoever takes it away while an append goes on comes after it, or before it, and is never in the middle.
    let first = asked("w-1");
    let (taken, appended) = tokio::join!(store.take_from(&first), append("w-1", "at the same time"));
    assert!(taken.unwrap());
    let before = store.read_stream("INC-2026-0001", 0).await.unwrap().len();
    assert_eq!(before, 1 + usize::from(appended.is_ok()), "{appended:?}");
    let late = append("w-1", "late").await;
    assert!(matches!(late, Err(StoreError::CutOff)), "{late:?}");
    assert_eq!(store.read_stream("INC-2026-0001", 0).await.unwrap().len(), before);
    assert!(!store.take_from(&asked("w-1")).await.unwrap(), "it is taken once");
    // What nobody asked for in this way is not held up.
    store.append_to_end("INC-2026-0001", note("by itself"), now()).await.unwrap();
    store.db().close().await;
}

#[tokio::test]
async fn a_request_that_was_taken_away_appends_nothing_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    carried_out_once(&folder.path().join("state"), None).await;
}

#[tokio::test]
async fn a_request_that_was_taken_away_appends_nothing_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let server = quell_testkit::postgres::Server::start(&[]).unwrap();
    carried_out_once(&folder.path().join("data"), Some(&server.admin_url())).await;
}
