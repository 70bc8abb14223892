//! A lock that is lost while its process lives.

use quell_core::event::{Actor, Event};
use quell_testkit::postgres::Server;
use tokio::time::sleep;

use super::*;
use crate::{KekSource, NewEntry};

const LEASE: Lease = Lease {
    held: Duration::from_millis(800),
    ping: Duration::from_millis(50),
    margin: Duration::from_millis(200),
};
const PAUSE: Duration = Duration::from_millis(20);

/// An installation whose database user is not the superuser.
async fn start(server: &Server, folder: &tempfile::TempDir) -> Store {
    server
        .psql("CREATE ROLE quell LOGIN PASSWORD 'state-of-quell'; CREATE DATABASE quell OWNER quell")
        .unwrap();
    let url = server.url("quell", "state-of-quell", "quell");
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let store =
        Store::init(&folder.path().join("data"), Some(&url), &KekSource::File(None), now).await.unwrap();
    Store { lease: LEASE, ..store }
}

fn cut_worker(server: &Server) {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    assert_eq!(server.psql(cut).unwrap(), "1");
}

/// Whoever looks from now on needs no new connection: the pool has as many as it may.
async fn open_all_connections(store: &Store) {
    let Db::Postgres(pool) = store.db() else { panic!("a shared store") };
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        held.push(pool.acquire().await.unwrap());
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        sleep(PAUSE).await;
    }
    panic!("it did not come to it that {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_session_is_cut_takes_its_lock_again_in_time() {
    let (server, folder) = (Server::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let store = start(&server, &folder).await;
    let worker = store.become_worker().await.unwrap();
    let (right, mut watch) = (worker.right(), Watch::default());
    cut_worker(&server);
    until("the lock is held again", async || store.is_alive(&worker.id).await.unwrap()).await;
    // Longer than the lease: it goes on because the new session is looked at, too.
    for _ in 0..60 {
        assert!(right.holds(), "it was the same worker all the time");
        assert!(!watch.is_gone(&store, &worker.id).await.unwrap());
        sleep(PAUSE).await;
    }
    drop(worker);
    assert!(!right.holds(), "who gave the lock back does not act");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_counted_as_gone_who_may_still_act() {
    let (server, folder) = (Server::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let store = start(&server, &folder).await;
    let worker = store.become_worker().await.unwrap();
    let (right, mut watch) = (worker.right(), Watch::default());
    open_all_connections(&store).await;
    server.psql("ALTER ROLE quell NOLOGIN").unwrap();
    cut_worker(&server);
    let mut free = 0;
    until("it is counted as gone", async || {
        free += u32::from(!store.is_alive(&worker.id).await.unwrap());
        // Asked before: whoever acts after this look has asked after it, too.
        let may_act = right.holds();
        let gone = watch.is_gone(&store, &worker.id).await.unwrap();
        assert!(!(gone && may_act), "counted as gone while it may act");
        gone
    })
    .await;
    assert!(free > 10, "the lock was free for as long as its worker might act: {free} looks");
    // The door opens again, and it does not come back as who it was.
    server.psql("ALTER ROLE quell LOGIN").unwrap();
    sleep(LEASE.ping * 4).await;
    assert!(!right.holds() && !store.is_alive(&worker.id).await.unwrap());
    let next = store.become_worker().await.unwrap();
    assert!(next.right().holds() && store.is_alive(&next.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_away_and_then_answers_again() {
    let (mut server, folder) = (Server::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let store = start(&server, &folder).await;
    server.stop().unwrap();
    let away = store.next_pos("INC-2026-0001").await.unwrap_err();
    assert!(away.is_away(), "{away:?}");
    server.restart().unwrap();
    until("it answers", async || store.db().answers().await.is_ok()).await;
    assert_eq!(store.next_pos("INC-2026-0001").await.unwrap(), 0);
    let behind = "2020-01-01T00:00:00Z".parse().unwrap();
    assert!(store.db().clock_offset(behind).await.unwrap() > jiff::SignedDuration::from_hours(24 * 365));
    let real = sqlx::query("SELECT nonsense");
    let Db::Postgres(pool) = store.db() else { panic!("a shared store") };
    let real = StoreError::from(real.execute(pool).await.unwrap_err());
    assert!(!real.is_away(), "{real:?}");
}

/// A replica that is stopped in the middle of a write holds the lock that every writer needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stands_still_does_not_hold_up_the_others_for_long() {
    let (server, folder) = (Server::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let store = start(&server, &folder).await;
    let Db::Postgres(pool) = store.db() else { panic!("a shared store") };
    let mut stopped = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7020094)").execute(&mut *stopped).await.unwrap();
    let note = NewEntry::new(Actor::user("ines"), Event::NoteAdded { text: "after it".to_owned() });
    let now = "2026-11-23T12:00:01Z".parse().unwrap();
    store.append_to_end("INC-2026-0001", note, now).await.unwrap();
    let woke = sqlx::query("SELECT 1").execute(&mut *stopped).await.unwrap_err();
    assert!(StoreError::from(woke).is_away());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_all_in_use_hold_up_nobodys_lock() {
    let (server, folder) = (Server::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let store = start(&server, &folder).await;
    let worker = store.become_worker().await.unwrap();
    let Db::Postgres(pool) = store.db() else { panic!("a shared store") };
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        held.push(pool.acquire().await.unwrap());
    }
    let waited = store.next_pos("INC-2026-0001").await.unwrap_err();
    assert!(waited.is_away(), "{waited:?}");
    assert!(worker.right().holds(), "the wait was longer than the lease, and it is looked at all the same");
    drop(held);
    assert_eq!(store.next_pos("INC-2026-0001").await.unwrap(), 0);
}
