//! Rows against the entries they are computed from, on both databases, with several replicas at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use quell_core::event::{Actor, Affected, Event, FindingSays};
use quell_core::exposure::{Audience, Channel, Exposure};
use quell_core::incident::{Incident, RoomRole};
use quell_core::person::Role;
use quell_core::severity::Profile;
use quell_store::{Batch, Db, KekSource, NewEntry, Store};
use quell_testkit::postgres::Server;
use serde_json::json;

use super::*;
use crate::clock::now;
use crate::{Options, finding, ledger, measure, person, scan};

fn options(folder: &Path, database: Option<String>) -> Options {
    Options {
        data: folder.join("data"),
        database,
        inventory: folder.join("quell.yaml"),
        environment: BTreeMap::new(),
        actor: "ines".to_owned(),
        call_limit: Duration::from_secs(5),
        passphrase_file: None,
        providers: Vec::new(),
    }
}

async fn replica(options: &Options) -> Arc<App> {
    App::open(options, || Err(StoreError::Kek("nobody is asked".to_owned()))).await.unwrap()
}

/// Replicas of one installation.
async fn replicas<const N: usize>(folder: &Path, database: Option<String>) -> [Arc<App>; N] {
    let options = options(folder, database);
    std::fs::write(&options.inventory, "secrets: []\n").unwrap();
    let store =
        Store::init(&options.data, options.database.as_deref(), &KekSource::File(None), now()).await.unwrap();
    store.db().close().await;
    let mut all = Vec::new();
    for _ in 0..N {
        all.push(replica(&options).await);
    }
    all.try_into().unwrap()
}

fn exposure(finding: Option<&str>) -> Exposure {
    Exposure {
        channel: Channel::PublicRepo,
        audience: Audience::Public,
        first_exposed: None,
        discovered: now(),
        still_visible: None,
        place: "a.py:1".to_owned(),
        fingerprint: None,
        sealed: None,
        finding: finding.map(str::to_owned),
        channel_name: None,
    }
}

fn opened(title: &str, secrets: &[&str], finding: Option<&str>) -> Event {
    let affected = |id: &&str| Affected { secret: id.parse().unwrap(), because: "it leaked".to_owned() };
    Event::Opened {
        title: title.to_owned(),
        secrets: secrets.iter().map(affected).collect(),
        exposures: vec![exposure(finding)],
        declared: now(),
        production: true,
        opens_others: 0,
        profile: Profile::default(),
        drill: title.contains("drill"),
    }
}

async fn write(app: &App, stream: &str, event: Event) {
    let entry = NewEntry::new(Actor::user("ines"), event);
    app.store.append_to_end(stream, entry, now()).await.unwrap();
}

/// Every incident, as its entries say.
async fn folded(app: &App) -> Vec<Summary> {
    let mut all = Vec::new();
    for stream in app.store.streams().await.unwrap() {
        if let Ok(id) = stream.parse() {
            let entries = app.store.read_stream(&stream, 0).await.unwrap();
            all.push(Summary::of(&Incident::fold(id, &entries).unwrap()));
        }
    }
    all.sort_by_key(|known| std::cmp::Reverse(known.id));
    all
}

async fn shown(app: &App) -> Vec<Summary> {
    page(app, &Wanted::default(), (usize::MAX, 0)).await.unwrap()
}

fn id(number: u32) -> String {
    format!("INC-2026-{number:04}")
}

async fn what_is_shown_is_what_was_written(database: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = replicas::<2>(folder.path(), database).await;
    assert!(shown(&one).await.is_empty());
    for number in 1..=5 {
        write(&one, &id(number), opened(&format!("leak {number}"), &["orders-db"], None)).await;
        // Whichever replica is asked, and whoever of them wrote it down: nothing is missing.
        assert_eq!(shown(&other).await.len(), usize::try_from(number).unwrap());
        assert_eq!(shown(&one).await, shown(&other).await);
    }
    let took = Event::RoleTaken { role: RoomRole::Commander, person: "ben".to_owned() };
    write(&other, &id(3), took).await;
    write(&other, &id(2), Event::Closed { summary: "done".to_owned() }).await;
    write(
        &one,
        &id(4),
        Event::ClockStarted {
            clock: "first-response".to_owned(),
            starts: now(),
            due: now().checked_add(SignedDuration::from_hours(1)).unwrap(),
            rule: "a rule".to_owned(),
        },
    )
    .await;
    let expected = folded(&one).await;
    assert_eq!(shown(&other).await, expected);
    // Kept in memory by one of them, and brought up to date: after an entry, and after a new beginning.
    let kept = async |app: &App| {
        all(app).await.unwrap().iter().rev().map(|it| Summary::clone(it)).collect::<Vec<_>>()
    };
    assert_eq!(kept(&other).await, expected);
    write(&one, &id(5), Event::RoleTaken { role: RoomRole::Commander, person: "eve".to_owned() }).await;
    assert_eq!(kept(&other).await, folded(&one).await);
    rebuild(&one).await.unwrap();
    write(&one, &id(6), opened("leak 6", &[], None)).await;
    assert_eq!(kept(&other).await, folded(&one).await);
    let expected = folded(&one).await;
    assert_eq!(expected[3].commander, "ben");
    let measured = measure::all(&one, now()).await.unwrap();
    assert_eq!((measured.open, measured.open_clocks.len(), measured.times.len()), (5, 1, 6));
    assert!(check(&one).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_replica_shows_what_any_of_them_wrote() {
    what_is_shown_is_what_was_written(None).await;
    let server = Server::start(&[]).unwrap();
    what_is_shown_is_what_was_written(Some(server.admin_url())).await;
}

/// Replicas take entries in while others write, and one of them begins anew again and again: the mark never passes an entry that is not in it.
async fn nothing_is_lost_when_many_take_in_at_once(database: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let all = replicas::<3>(folder.path(), database).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (lane, app) in (0_u32..).zip(all.clone()) {
        tasks.spawn(async move {
            for round in 0..12 {
                let number = lane * 100 + round + 1;
                write(&app, &id(number), opened("leak", &["orders-db"], None)).await;
                write(&app, &id(number), Event::NoteAdded { text: "a note".to_owned() }).await;
                catch_up(&app).await.unwrap();
                if lane == 0 && round % 4 == 3 {
                    app.store.projection_drop(FORM).await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for app in &all {
        assert_eq!(shown(app).await, folded(app).await);
        assert_eq!(shown(app).await.len(), 36);
        assert!(check(app).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_dropped_under_its_readers_is_whole_again() {
    nothing_is_lost_when_many_take_in_at_once(None).await;
    let server = Server::start(&[]).unwrap();
    nothing_is_lost_when_many_take_in_at_once(Some(server.admin_url())).await;
}

async fn lists_find_what_is_asked_for(database: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [app] = replicas::<1>(folder.path(), database).await;
    for (number, title, secret) in [
        (1, "100% of it", "orders-db"),
        (2, "a drill", "orders-db"),
        (3, "under_score", "billing-key"),
        (4, "ÄRGER mit Umlaut", "billing-key"),
        (10_000, "the ten thousandth", "orders-db"),
    ] {
        write(&app, &id(number), opened(title, &[secret], Some(&format!("F-{number}")))).await;
    }
    write(&app, &id(3), Event::Closed { summary: "done".to_owned() }).await;
    write(&app, &id(1), Event::RoleTaken { role: RoomRole::Scribe, person: "ben".to_owned() }).await;
    let numbers = async |wanted: Wanted| -> Vec<u32> {
        let found = ids(&app, &wanted, usize::MAX).await.unwrap();
        assert_eq!(count(&app, &wanted).await.unwrap(), u64::try_from(found.len()).unwrap());
        found.iter().map(|id| id.number).collect()
    };
    let text = |text: &str| Wanted { text: text.to_owned(), ..Wanted::default() };
    // The newest first: by number, not by spelling.
    assert_eq!(numbers(Wanted::default()).await, [10_000, 4, 3, 2, 1]);
    assert_eq!(numbers(text("100%")).await, [1]);
    assert_eq!(numbers(text("%")).await, [1]);
    assert_eq!(numbers(text("r_s")).await, [3]);
    assert_eq!(numbers(text(" ärger ")).await, [4]);
    assert_eq!(numbers(text("inc-2026-0002")).await, [2]);
    assert_eq!(numbers(text("BILLING")).await, [4, 3]);
    assert!(numbers(text("\\")).await.is_empty());
    assert_eq!(numbers(Wanted { status: "closed", ..Wanted::default() }).await, [3]);
    assert_eq!(numbers(Wanted { drill: Some(true), ..Wanted::default() }).await, [2]);
    assert_eq!(
        numbers(Wanted { drill: Some(false), status: "open", ..Wanted::default() }).await,
        [10_000, 4, 1]
    );
    assert_eq!(numbers(Wanted { severity: "SEV-2", ..Wanted::default() }).await, [0; 0]);
    assert_eq!(numbers(about(&"orders-db".parse().unwrap())).await, [10_000, 2, 1]);
    assert_eq!(numbers(in_a_role("ben")).await, [1]);
    assert_eq!(numbers(mentioned("exposure", "F-4")).await, [4]);
    let before = Some(before("INC-2026-0004".parse().unwrap()));
    assert_eq!(numbers(Wanted { before, ..about(&"orders-db".parse().unwrap()) }).await, [2, 1]);
    let second = page(&app, &Wanted::default(), (2, 2)).await.unwrap();
    assert_eq!(second.iter().map(|known| known.id.number).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(highest(&app, 2026).await.unwrap(), Some(10_000));
    assert_eq!(highest(&app, 2025).await.unwrap(), None);
}

#[tokio::test]
async fn filters_search_and_pages_are_the_same_on_both_databases() {
    lists_find_what_is_asked_for(None).await;
    let server = Server::start(&[]).unwrap();
    lists_find_what_is_asked_for(Some(server.admin_url())).await;
}

#[tokio::test]
async fn a_row_that_somebody_changed_is_found_and_computed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [app] = replicas::<1>(folder.path(), None).await;
    for number in 1..=3 {
        write(&app, &id(number), opened("leak", &["orders-db"], None)).await;
    }
    let recorded = json!({"id": "F-1", "fingerprint": "fp1:00"});
    write(&app, INSTALLATION, Event::FindingRecorded { finding: recorded, secret: None }).await;
    assert!(ledger::verify(&app, None, &[]).await.unwrap().ok);
    let Db::Sqlite(pool, _) = app.store.db() else { panic!("an embedded store") };
    for (broken, named) in [
        ("UPDATE projection_incident SET status = 'closed' WHERE stream = 'INC-2026-0002'", "INC-2026-0002"),
        ("UPDATE projection_incident SET next_pos = 99 WHERE stream = 'INC-2026-0002'", "INC-2026-0002"),
        ("DELETE FROM projection_incident WHERE stream = 'INC-2026-0003'", "INC-2026-0003"),
        ("DELETE FROM projection_mention WHERE place = 'INC-2026-0001'", "INC-2026-0001"),
        (
            "UPDATE projection_incident SET stream = 'INC-2026-0009' WHERE stream = 'INC-2026-0001'",
            "INC-2026-0009",
        ),
        ("DELETE FROM projection_mention WHERE place = 'installation'", "installation"),
    ] {
        sqlx::raw_sql(broken).execute(pool).await.unwrap();
        let report = ledger::verify(&app, None, &[]).await.unwrap();
        assert!(
            !report.ok && report.problems.iter().any(|words| words.contains(named)),
            "{broken}: {report:?}"
        );
        assert_eq!(rebuild(&app).await.unwrap(), 3);
        assert!(ledger::verify(&app, None, &[]).await.unwrap().ok, "{broken}");
        assert_eq!(shown(&app).await, folded(&app).await);
    }
}

/// Rows and mentions go in two statements: whoever began before must not write between them, or after.
async fn what_was_begun_before_writes_nothing(database: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [app, other] = replicas::<2>(folder.path(), database).await;
    write(&app, &id(1), opened("leak", &["orders-db"], None)).await;
    let incident = app.incident(id(1).parse().unwrap()).await.unwrap();
    let row = row::of(&incident).unwrap();
    let mention = row.1.first().unwrap().clone();
    let before = app.store.reach(FORM).await.unwrap();
    other.store.projection_drop(FORM).await.unwrap();
    app.store.projection_put(FORM, before, std::slice::from_ref(&row)).await.unwrap();
    app.store.projection_mention(FORM, before, &[mention]).await.unwrap();
    assert_eq!(app.store.incident_row(FORM, &id(1)).await.unwrap(), None);
    let about = Wanted { mentions: [Some(("secret", "orders-db".to_owned())), None], ..Wanted::default() };
    assert_eq!(app.store.incident_count(FORM, &about).await.unwrap(), 0);
    let now = app.store.reach(FORM).await.unwrap();
    app.store.projection_put(FORM, now, &[row]).await.unwrap();
    assert!(app.store.incident_row(FORM, &id(1)).await.unwrap().is_some());
    assert!(check(&other).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_begun_before_a_drop_writes_nothing_after_it() {
    what_was_begun_before_writes_nothing(None).await;
    let server = Server::start(&[]).unwrap();
    what_was_begun_before_writes_nothing(Some(server.admin_url())).await;
}

#[tokio::test]
async fn rows_of_an_older_form_go_when_the_new_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [app] = replicas::<1>(folder.path(), None).await;
    let old = app.store.reach(FORM - 1).await.unwrap();
    write(&app, &id(1), opened("leak", &[], None)).await;
    let incident = app.incident(id(1).parse().unwrap()).await.unwrap();
    app.store.projection_put(FORM - 1, old, &[row::of(&incident).unwrap()]).await.unwrap();
    assert!(app.store.projection_advance(FORM - 1, old, 2).await.unwrap());
    assert_eq!(shown(&app).await.len(), 1);
    assert_eq!(app.store.incident_row(FORM - 1, &id(1)).await.unwrap(), None);
    // An older version that still runs begins anew, and leaves ours alone.
    assert_eq!(app.store.reach(FORM - 1).await.unwrap().seq, 0);
    assert_eq!(shown(&app).await.len(), 1);
}

#[tokio::test]
async fn findings_are_looked_up_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let [app] = replicas::<1>(folder.path(), None).await;
    for number in 1..=4 {
        let finding = json!({"id": format!("F-{number}"), "fingerprint": "fp1:00", "place": {"file": "a.py", "line": number}});
        write(&app, INSTALLATION, Event::FindingRecorded { finding, secret: None }).await;
    }
    write(&app, &id(1), opened("leak", &[], Some("F-2"))).await;
    let triaged = |finding: &str, reason: &str| Event::FindingTriaged {
        finding: finding.to_owned(),
        says: FindingSays::NotALeak,
        reason: reason.to_owned(),
    };
    write(&app, INSTALLATION, triaged("F-3", "a test value")).await;
    write(&app, INSTALLATION, triaged("F-3", "looked again")).await;
    let all = finding::inbox(&app, &finding::Inbox::default(), 50).await.unwrap().found;
    assert_eq!(all.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["F-4", "F-3", "F-2", "F-1"]);
    for found in &all {
        let one = finding::one(&app, &found.id).await.unwrap().unwrap();
        assert_eq!(format!("{one:?}"), format!("{found:?}"));
    }
    assert_eq!(all.iter().filter(|found| found.is_open()).count(), 2);
    assert_eq!(all[1].said.as_ref().unwrap().reason, "looked again");
    assert_eq!(all[2].incidents, [id(1).parse().unwrap()]);
    assert!(finding::one(&app, "F-9").await.unwrap().is_none());
    assert!(is_spoken_of(&app, "finding", "F-4").await.unwrap());
    assert!(!is_spoken_of(&app, "finding", "F-5").await.unwrap());
    assert_eq!(findings_after(&app, "F-1", false, 2).await.unwrap(), ["F-2", "F-3"]);
    // A name of any length fits.
    let target = "/a/very/long/place".repeat(300);
    let run = Event::ScanRun { target: target.clone(), findings: 4, bytes: 1, incomplete: 0 };
    write(&app, INSTALLATION, run).await;
    assert!(is_spoken_of(&app, "scan", &target).await.unwrap());
    assert_eq!(scan::last_scan_of(&app, "F-4").await.unwrap().unwrap().to_str(), Some(target.as_str()));
}

#[tokio::test]
async fn people_are_known_without_reading_what_is_about_others() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = replicas::<2>(folder.path(), None).await;
    person::add(&one, "ines", Role::Admin, now()).await.unwrap();
    // More than are read one by one.
    let mut batch = Batch::new(INSTALLATION, one.store.next_pos(INSTALLATION).await.unwrap());
    for number in 0..250 {
        let run = Event::ScanRun { target: format!("t{number}"), findings: 0, bytes: 1, incomplete: 0 };
        batch.push(NewEntry::new(Actor::user("ines"), run));
    }
    one.store.append(batch, now()).await.unwrap();
    person::add(&one, "ben", Role::Viewer, now()).await.unwrap();
    let known = person::people(&other).await.unwrap();
    let whole = quell_core::person::People::fold(&one.store.read_stream(INSTALLATION, 0).await.unwrap());
    assert_eq!(format!("{known:?}"), format!("{whole:?}"));
    person::remove(&other, "ben", "left", now()).await.unwrap();
    assert!(person::people(&one).await.unwrap().is_removed("ben"));
}
