//! `accept` with an installation in a folder: whatever comes in, it answers, and writes down only what was signed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use quell_store::{Db, KekSource, Store};
use serde_json::json;
use sha2::Sha256;

use super::*;
use crate::{Options, StoreError};

const KEY: &str = "a key of the sender, long enough";

fn options(folder: &Path) -> Options {
    Options {
        data: folder.join("data"),
        database: None,
        inventory: folder.join("quell.yaml"),
        environment: BTreeMap::from([("HOOK".to_owned(), KEY.to_owned())]),
        actor: "ines".to_owned(),
        call_limit: Duration::from_secs(5),
        passphrase_file: None,
        providers: Vec::new(),
    }
}

async fn installation(folder: &Path) -> Arc<App> {
    let types = json!(["gitleaks_rule_id_stripe"]);
    let inventory = json!({"intake": {
        "github": {"github": {"secret": "env:HOOK"}},
        "rotating": {"github": {"secret": "file:new.key", "previous": ["env:HOOK"]}},
        "away": {"github": {"secret": "file:missing.key"}},
        "revocation": {"gitlab_revocation": {"secret": "env:HOOK", "types": types}},
        "health": {"eventbridge": {"secret": "env:HOOK"}},
    }});
    std::fs::write(folder.join("quell.yaml"), inventory.to_string()).unwrap();
    std::fs::write(folder.join("new.key"), "the key of tomorrow, long enough").unwrap();
    let options = options(folder);
    let store = Store::init(&options.data, None, &KekSource::File(None), now()).await.unwrap();
    store.db().close().await;
    App::open(&options, || Err(StoreError::Kek("nobody is asked".to_owned()))).await.unwrap()
}

fn signature(key: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn github(key: &str, body: &[u8]) -> Headers {
    Headers::new([("X-Hub-Signature-256", signature(key, body).as_str()), ("X-GitHub-Event", "ping")])
}

async fn count(app: &App) -> usize {
    list(app, Deliveries::All, None, 1000).await.unwrap().len()
}

#[tokio::test]
async fn a_delivery_is_accepted_once_with_either_key() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let body = br#"{"zen":"Design for failure."}"#;
    let first = accept(&app, "github", &github(KEY, body), body, now()).await;
    assert_eq!(first.status, 202, "{first:?}");
    // Another delivery id on the same body, which GitHub's signature does not cover.
    let signed = signature(KEY, body);
    let replayed = Headers::new([("X-Hub-Signature-256", signed.as_str()), ("X-GitHub-Delivery", "another")]);
    assert_eq!(accept(&app, "github", &replayed, body, now()).await.status, 200);
    assert_eq!(count(&app).await, 1);
    for (n, key) in [KEY, "the key of tomorrow, long enough"].into_iter().enumerate() {
        let body = format!("{{\"n\":{n}}}");
        let answer = accept(&app, "rotating", &github(key, body.as_bytes()), body.as_bytes(), now()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let denied = accept(&app, "rotating", &github("neither of the two keys", body), body, now()).await;
    let unknown = accept(&app, "nobody", &github(KEY, body), body, now()).await;
    assert_eq!((denied.status, &denied), (401, &unknown));
    // A key that cannot be had is no reason to lose the delivery: the sender comes again.
    assert_eq!(accept(&app, "away", &github(KEY, body), body, now()).await.status, 503);
    assert_eq!(count(&app).await, 3);
}

#[tokio::test]
async fn a_changed_key_is_taken_up_and_one_that_is_gone_goes_on_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let at = |seconds: i64| now() + jiff::SignedDuration::from_secs(seconds);
    let body = |n: u8| format!("{{\"n\":{n}}}").into_bytes();
    let old = "the key of tomorrow, long enough";
    assert_eq!(accept(&app, "rotating", &github(old, &body(1)), &body(1), at(0)).await.status, 202);
    std::fs::write(folder.path().join("new.key"), "the key of next week, long enough").unwrap();
    let new = "the key of next week, long enough";
    assert_eq!(
        accept(&app, "rotating", &github(new, &body(2)), &body(2), at(3)).await.status,
        202,
        "fetched again"
    );
    assert_eq!(accept(&app, "rotating", &github(old, &body(3)), &body(3), at(6)).await.status, 401);
    std::fs::remove_file(folder.path().join("new.key")).unwrap();
    assert_eq!(
        accept(&app, "rotating", &github(new, &body(4)), &body(4), at(8)).await.status,
        202,
        "in memory"
    );
    // The source answers, and the key is not there any more: what it signed is not taken, and may come again.
    assert_eq!(
        accept(&app, "rotating", &github(new, &body(5)), &body(5), at(40)).await.status,
        503,
        "taken back"
    );
    assert_eq!(
        accept(&app, "rotating", &github(KEY, &body(6)), &body(6), at(41)).await.status,
        202,
        "the other one"
    );
    std::fs::write(folder.path().join("new.key"), new).unwrap();
    let answer = accept(&app, "rotating", &github(new, &body(5)), &body(5), at(41)).await;
    assert_eq!(answer.status, 503, "not asked for again within two seconds");
    assert_eq!(accept(&app, "rotating", &github(new, &body(5)), &body(5), at(43)).await.status, 202);
}

/// A vault that counts how often it is asked, and can be away.
#[tokio::test]
async fn strangers_do_not_become_requests_to_the_vault_and_an_outage_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let vault = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = vault.local_addr().unwrap();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = vault.accept().await.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut head = [0; 4096];
            drop(tokio::io::AsyncReadExt::read(&mut stream, &mut head).await);
            let body = json!({"data": {"data": {"hook": KEY}, "metadata": {"version": 1}}}).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await);
        }
    });
    let inventory = json!({
        "connections": {"openbao": {"address": format!("http://{address}"), "token": "env:HOOK"}},
        "intake": {"vault": {"github": {"secret": "openbao:kv/hooks#hook"}}},
    });
    std::fs::write(folder.path().join("quell.yaml"), inventory.to_string()).unwrap();
    drop(app);
    let app = App::open(&options(folder.path()), || Err(StoreError::Kek("nobody is asked".to_owned())))
        .await
        .unwrap();
    let start = now();
    let at = |seconds: i64| start + jiff::SignedDuration::from_secs(seconds);
    let body = |n: u16| format!("{{\"n\":{n}}}").into_bytes();
    assert_eq!(accept(&app, "vault", &github(KEY, &body(0)), &body(0), at(0)).await.status, 202);
    let before = asked.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..50 {
        assert_eq!(accept(&app, "vault", &github("some other key", b"{}"), b"{}", at(1)).await.status, 401);
    }
    assert_eq!(
        asked.load(std::sync::atomic::Ordering::SeqCst),
        before,
        "fifty forgeries, and the vault was not asked"
    );
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    assert_eq!(
        accept(&app, "vault", &github(KEY, &body(1)), &body(1), at(600)).await.status,
        202,
        "it is away"
    );
    assert_eq!(
        accept(&app, "vault", &github(KEY, &body(2)), &body(2), at(1000)).await.status,
        503,
        "for too long"
    );
}

#[tokio::test]
async fn gitlab_is_told_the_types_and_gets_the_answers_that_it_expects() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let headers = Headers::new([("Authorization", KEY)]);
    let types = revocable_types(&app, "revocation", &headers, now()).await;
    assert_eq!((types.status, types.body.as_str()), (200, r#"{"types":["gitleaks_rule_id_stripe"]}"#));
    let body = |kind: &str| {
        json!([{"type": kind, "token": "made-up-at-run-time", "location": "https://example.com/x"}])
            .to_string()
    };
    let good = body("gitleaks_rule_id_stripe");
    let accepted = accept(&app, "revocation", &headers, good.as_bytes(), now()).await;
    assert_eq!((accepted.status, accepted.body.as_str()), (204, ""));
    assert_eq!(accept(&app, "revocation", &headers, good.as_bytes(), now()).await.status, 204, "idempotent");
    assert_eq!(count(&app).await, 1);
    let other = body("gitleaks_rule_id_other");
    let refused = accept(&app, "revocation", &headers, other.as_bytes(), now()).await;
    assert!(refused.status == 400 && !refused.body.contains("made-up"), "{refused:?}");
    let stranger = Headers::new([("Authorization", "Bearer of bad news, long enough")]);
    assert_eq!(revocable_types(&app, "revocation", &stranger, now()).await.status, 401);
    assert_eq!(revocable_types(&app, "health", &Headers::new([("x-api-key", KEY)]), now()).await.status, 405);
}

#[tokio::test]
async fn from_a_sender_without_marks_the_same_is_news_again_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let options = options(folder.path());
    let headers = Headers::new([("x-api-key", KEY)]);
    let at = |minutes: i64| now() + jiff::SignedDuration::from_mins(minutes);
    let deliver = async |minutes: i64| {
        accept(&app, "health", &headers, br#"{"source":"other"}"#, at(minutes)).await.status
    };
    assert_eq!(deliver(0).await, 202);
    assert_eq!(deliver(90).await, 200, "what is not worked off yet is not forgotten");
    let ended = work_off(&app, &options).await.unwrap();
    assert_eq!(ended.iter().map(|one| one.state).collect::<Vec<_>>(), ["done"]);
    assert_eq!(deliver(30).await, 200);
    assert_eq!(deliver(90).await, 202);
}

/// Waits until nothing is left to do; each delivery, with how often it was begun.
async fn worked_off(app: &App) -> Vec<(DeliveryState, u64)> {
    for _ in 0..400 {
        let all = list(app, Deliveries::All, None, 1000).await.unwrap();
        if all.iter().all(|one| one.state == DeliveryState::Done) {
            return all.iter().map(|one| (one.state, one.tries)).collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the deliveries are not worked off: {:?}", list(app, Deliveries::All, None, 1000).await.unwrap());
}

#[tokio::test]
async fn workers_take_up_what_comes_in_until_they_are_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (_apps, current) = tokio::sync::watch::channel(Arc::clone(&app));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..LANES {
        workers.spawn(work(current.clone(), options(folder.path()), stopped.clone()));
    }
    for n in 0..6_u8 {
        let body = format!("{{\"n\":{n}}}").into_bytes();
        assert_eq!(accept(&app, "github", &github(KEY, &body), &body, now()).await.status, 202);
    }
    assert_eq!(worked_off(&app).await, [(DeliveryState::Done, 1); 6], "each once");
    stop.send(true).unwrap();
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_panics_is_seen_and_leaves_its_delivery_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let body = b"{}".to_vec();
    assert_eq!(accept(&app, "github", &github(KEY, &body), &body, now()).await.status, 202);
    let mut panics = options(folder.path());
    panics.environment.insert("QUELL_FAILPOINT".to_owned(), "intake-panic:after-reading".to_owned());
    let broken = App::open(&panics, || Err(StoreError::Kek("nobody is asked".to_owned()))).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let ((_a, broken), (_b, whole)) =
        (tokio::sync::watch::channel(broken), tokio::sync::watch::channel(Arc::clone(&app)));
    let ended = tokio::spawn(work(broken, panics, stopped.clone())).await;
    assert!(ended.is_err_and(|error| error.is_panic()), "whoever keeps it going must see it");
    let next = tokio::spawn(work(whole, options(folder.path()), stopped));
    assert_eq!(worked_off(&app).await, [(DeliveryState::Done, 2)]);
    stop.send(true).unwrap();
    next.await.unwrap();
}

#[tokio::test]
async fn a_delivery_whose_end_could_not_be_written_is_not_held_by_a_worker_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let body = b"{}".to_vec();
    assert_eq!(accept(&app, "github", &github(KEY, &body), &body, now()).await.status, 202);
    let Db::Sqlite(pool, _) = app.store.db() else { panic!("an embedded store") };
    let lost = "CREATE TRIGGER lost BEFORE UPDATE ON inbox WHEN NEW.state = 'done' BEGIN SELECT RAISE(ABORT, 'away'); END";
    sqlx::raw_sql(lost).execute(pool).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (_apps, current) = tokio::sync::watch::channel(Arc::clone(&app));
    let worker = tokio::spawn(work(current, options(folder.path()), stopped));
    for _ in 0..400 {
        // Begun again while it could not be ended: it was let go.
        if list(&app, Deliveries::All, None, 1).await.unwrap()[0].tries > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sqlx::raw_sql("DROP TRIGGER lost").execute(pool).await.unwrap();
    assert!(worked_off(&app).await[0].1 > 1);
    stop.send(true).unwrap();
    worker.await.unwrap();
}

/// A server has to be able to answer on any of its threads.
#[tokio::test]
async fn accepting_can_move_between_threads() {
    fn sendable<T: Send>(one: T) -> T {
        one
    }
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    let headers = Headers::default();
    assert_eq!(sendable(accept(&app, "github", &headers, b"", now())).await.status, 401);
}

#[test]
fn whatever_is_sent_is_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let app = runtime.block_on(installation(folder.path()));
    let header = ("[ -~]{0,30}", "(sha256=|v1=|Bearer |)[ -~]{0,80}");
    let name = prop_oneof![
        Just("github".to_owned()),
        Just("revocation".to_owned()),
        Just("health".to_owned()),
        "[ -~]{0,20}",
    ];
    let known = prop_oneof![
        Just("x-hub-signature-256".to_owned()),
        Just("authorization".to_owned()),
        Just("x-api-key".to_owned()),
    ];
    let request = (
        name,
        proptest::collection::vec(header, 0..4),
        known,
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), 0..300),
    );
    proptest!(ProptestConfig::with_cases(300), |((name, others, which, signed, body) in request)| {
        let value = match (signed, which.as_str()) {
            (true, "x-hub-signature-256") => signature(KEY, &body),
            (true, _) => KEY.to_owned(),
            (false, _) => "sha256=00".to_owned(),
        };
        let all = others.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = Headers::new(all.chain([(which.as_str(), value.as_str())]));
        let before = runtime.block_on(count(&app));
        let answer = runtime.block_on(accept(&app, &name, &headers, &body, now()));
        prop_assert!([200, 202, 204, 400, 401, 413].contains(&answer.status), "{:?}", answer);
        let after = runtime.block_on(count(&app));
        prop_assert!(signed || (after == before && answer.status == 401), "{:?}", answer);
        prop_assert_eq!(after > before, matches!(answer.status, 202) || (answer.status == 204 && after > before));
    });
}

#[tokio::test]
async fn a_value_in_a_note_or_in_a_senders_mark_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path()).await;
    for number in 0..3 {
        let body = json!({ "zen": number }).to_string();
        let answer = accept(&app, "github", &github(KEY, body.as_bytes()), body.as_bytes(), now()).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let all = list(&app, Deliveries::All, None, 9).await.unwrap();
    let value = format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T");
    let Db::Sqlite(pool, _) = app.store.db() else { panic!("an embedded store") };
    for (id, column, text) in [
        (&all[0].id, "note", format!("line 1: `{value}` is no list")),
        (&all[1].id, "delivery", value.clone()),
        // Longer than anything that is looked at: what nobody has looked at is not shown either.
        (&all[2].id, "note", "a word ".repeat(20_000)),
    ] {
        let sql = format!("UPDATE inbox SET {column} = $1 WHERE id = $2");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(text).bind(id).execute(pool).await.unwrap();
    }
    let shown = list(&app, Deliveries::All, None, 9).await.unwrap();
    assert!(!format!("{shown:?}").contains("h7Gq2Wx9Lr4T"), "{shown:?}");
    let hidden = |text: &str| text == "(not shown: it may hold a value)";
    assert!(hidden(&shown[0].note) && hidden(&shown[1].delivery) && hidden(&shown[2].note), "{shown:?}");
    assert_eq!((shown[1].topic.as_str(), shown[0].topic.as_str()), ("ping", "ping"), "the rest is shown");
    assert!(hidden(&show(&app, &all[0].id).await.unwrap().note));
}
