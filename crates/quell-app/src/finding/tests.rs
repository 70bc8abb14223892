//! Lists of many findings, on both databases: what is on which page, and how often the database is asked for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quell_core::exposure::Exposure;
use quell_store::{KekSource, Store};
use quell_testkit::postgres::Server;
use serde_json::json;
use tracing::span::{Attributes, Id, Record};

use super::*;
use crate::Options;

/// Statements that were sent to a database by this process. Each test has a process of its own.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Hears of every statement.
struct Ear;

impl tracing::Subscriber for Ear {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        ASKED.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

async fn installation(folder: &Path, database: Option<String>) -> Arc<App> {
    let options = Options {
        data: folder.join("data"),
        database,
        inventory: folder.join("quell.yaml"),
        environment: BTreeMap::new(),
        actor: "ines".to_owned(),
        call_limit: Duration::from_secs(5),
        passphrase_file: None,
        providers: Vec::new(),
    };
    std::fs::write(&options.inventory, "secrets: []\n").unwrap();
    let store =
        Store::init(&options.data, options.database.as_deref(), &KekSource::File(None), now()).await.unwrap();
    store.db().close().await;
    App::open(&options, || Err(StoreError::Kek("nobody is asked".to_owned()))).await.unwrap()
}

fn name(number: usize) -> String {
    format!("F-{number:06}")
}

/// As a scan writes it.
fn recorded(number: usize) -> Event {
    let finding = json!({
        "id": name(number),
        "fingerprint": format!("fp:{}", "0".repeat(32)),
        "parts": [],
        "rule": if number.is_multiple_of(100) { "private-key" } else { "generic-api-key" },
        "description": "a key",
        "preview": "",
        "kind": "api-key",
        "place": { "file": format!("{number}.env"), "line": 1, "column": 1 },
        "occurrences": 1,
        "still_visible": "current",
        "still_reachable": true,
    });
    Event::FindingRecorded { finding, secret: None }
}

async fn write(app: &App, stream: &str, events: impl Iterator<Item = Event>) {
    let mut batch = Batch::new(stream, app.store.next_pos(stream).await.unwrap());
    events.for_each(|event| batch.push(NewEntry::new(app.actor.clone(), event)));
    app.store.append(batch, now()).await.unwrap();
}

fn said(number: usize, reason: &str) -> Event {
    let (finding, reason) = (name(number), reason.to_owned());
    Event::FindingTriaged { finding, says: FindingSays::NotALeak, reason }
}

/// What it takes: statements, and what was found.
async fn counted<T>(what: impl Future<Output = Result<T, AppError>>) -> (usize, T) {
    let before = ASKED.load(Ordering::SeqCst);
    let found = what.await.unwrap();
    (ASKED.load(Ordering::SeqCst) - before, found)
}

/// Every page of what is wanted: the ids, and the most statements that one of them took.
async fn pages(app: &App, wanted: &Wanted, most: usize) -> (Vec<String>, usize) {
    let (mut all, mut after, mut dearest) = (Vec::new(), String::new(), 0);
    loop {
        let (asked, (found, next)) = counted(list(app, wanted, &after, most)).await;
        assert!(found.len() <= most, "{}", found.len());
        dearest = dearest.max(asked);
        all.extend(found.into_iter().map(|it| it.matched.finding.id));
        let Some(next) = next else { return (all, dearest) };
        assert!(next > after, "{next} after {after}");
        after = next;
    }
}

async fn inbox_pages(app: &App, open: bool, text: &str) -> (Vec<String>, usize) {
    let mut wanted = Inbox { open, text: text.to_owned(), before: None };
    let (mut all, mut dearest) = (Vec::new(), 0);
    loop {
        let (asked, page) = counted(inbox(app, &wanted, 50)).await;
        assert!(page.found.len() <= 50);
        dearest = dearest.max(asked);
        all.extend(page.found.into_iter().map(|it| it.id));
        let Some(next) = page.next else { return (all, dearest) };
        assert!(wanted.before.is_none_or(|before| next < before));
        wanted.before = Some(next);
    }
}

/// `many` findings, of which only the seventh from the end waits.
async fn lists_stay_cheap(database: Option<String>, many: usize) {
    drop(tracing::subscriber::set_global_default(Ear));
    let folder = tempfile::tempdir().unwrap();
    let app = installation(folder.path(), database).await;
    for from in (1..=many).step_by(1000) {
        write(&app, INSTALLATION, (from..=many.min(from + 999)).map(recorded)).await;
    }
    let waits = many - 7;
    let done: Vec<usize> = (2..=many).filter(|number| *number != waits).collect();
    for some in done.chunks(1000) {
        write(&app, INSTALLATION, some.iter().map(|number| said(*number, "an example"))).await;
    }
    write(&app, INSTALLATION, [recorded(3), said(3, "looked again")].into_iter()).await;
    let exposure = Exposure {
        channel: Channel::PublicRepo,
        audience: Audience::Public,
        first_exposed: None,
        discovered: now(),
        still_visible: None,
        place: "1.env:1".to_owned(),
        fingerprint: None,
        sealed: None,
        finding: Some(name(1)),
        channel_name: None,
    };
    let opened = Event::Opened {
        title: "leak".to_owned(),
        secrets: Vec::new(),
        exposures: vec![exposure],
        declared: now(),
        production: true,
        opens_others: 0,
        profile: quell_core::severity::Profile::default(),
        drill: false,
    };
    write(&app, "INC-2026-0001", std::iter::once(opened)).await;
    assert_eq!(count(&app).await.unwrap(), (many as u64, 1));
    assert!(ASKED.load(Ordering::SeqCst) > 0, "nobody heard a statement");

    let every: Vec<String> = (1..=many).map(name).collect();
    let newest_first: Vec<String> = every.iter().rev().cloned().collect();
    let (found, dearest) = pages(&app, &Wanted::default(), 200).await;
    assert_eq!(found, every);
    assert!(dearest <= 12, "{dearest} statements for a page");
    let (found, dearest) = pages(&app, &Wanted { open: true, ..Wanted::default() }, 50).await;
    assert_eq!(found, [name(waits)]);
    assert!(dearest <= 12, "{dearest} statements for those that wait");
    let rule = Wanted { rule: Some("private-key".to_owned()), ..Wanted::default() };
    let (found, dearest) = pages(&app, &rule, 50).await;
    assert_eq!(found, (1..=many / 100).map(|number| name(number * 100)).collect::<Vec<_>>());
    assert!(dearest <= 40, "{dearest} statements for those of a rule");
    let none = Wanted { secret: Some("orders-db".to_owned()), ..Wanted::default() };
    let (asked, (found, next)) = counted(list(&app, &none, "", 50)).await;
    assert!(found.is_empty() && next.is_some() == (many > 2_000), "a look comes to an end: {next:?}");
    assert!(asked <= 40, "{asked} statements for those of a secret");

    let (found, dearest) = inbox_pages(&app, false, "").await;
    assert_eq!(found, newest_first);
    assert!(dearest <= 12, "{dearest} statements for a page of the inbox");
    assert_eq!(inbox_pages(&app, true, "").await.0, [name(waits)]);
    let (found, dearest) = inbox_pages(&app, false, "PRIVATE-key").await;
    assert_eq!(found.len(), many / 100);
    assert!(dearest <= 40, "{dearest} statements for a search");
    let (third, first) = (show(&app, &name(3)).await.unwrap(), show(&app, &name(1)).await.unwrap());
    let (both, _) = list(&app, &Wanted::default(), "", 3).await.unwrap();
    assert_eq!(format!("{:?}", [&both[2], &both[0]]), format!("{:?}", [&third, &first]));
    assert_eq!(third.said.unwrap().reason, "looked again");
    assert_eq!(first.incidents.len(), 1);
}

#[tokio::test]
async fn ten_thousand_findings_are_listed_with_a_handful_of_statements() {
    lists_stay_cheap(None, 10_000).await;
}

#[tokio::test]
async fn a_shared_database_is_asked_no_more_often() {
    let server = Server::start(&[]).unwrap();
    lists_stay_cheap(Some(server.admin_url()), 2_500).await;
}
