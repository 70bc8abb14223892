//! A ledger is verified while others write to it: what is written meanwhile is no sign of tampering.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quell_app::clock::now;
use quell_app::incident::{self, Change, Report};
use quell_app::{App, KekSource, Options, Store, ledger};
use quell_core::event::Actor;
use quell_core::exposure::Channel;
use quell_core::inventory::Inventory;
use quell_testkit::postgres;

/// How often it is verified.
const TIMES: usize = 5;
/// Who writes meanwhile.
const WRITERS: usize = 3;
/// Between two notes of a writer.
const PAUSE: Duration = Duration::from_millis(5);

async fn verified_beside_writers(database: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = Store::init(&data, database, &KekSource::File(None), now()).await.unwrap();
    store.db().close().await;
    let options = Options {
        data,
        database: database.map(str::to_owned),
        inventory: folder.path().join("quell.yaml"),
        environment: BTreeMap::new(),
        actor: "ines".to_owned(),
        call_limit: Duration::from_secs(5),
        passphrase_file: None,
        providers: Vec::new(),
    };
    let app = App::with_inventory(&options, Inventory::default(), || panic!("there is a key file")).await;
    let app = app.unwrap();
    let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        let (app, over, written) =
            (app.acting_as(Actor::user(format!("writer-{n}"))), Arc::clone(&over), Arc::clone(&written));
        writers.spawn(async move {
            let report = Report {
                channel: Some(Channel::Chat),
                title: Some("a leak".to_owned()),
                ..Report::default()
            };
            let id = incident::open(&app, report).await.unwrap().id;
            while !over.load(Ordering::SeqCst) {
                let note = Change::Note(format!("seen by {n}"));
                incident::change(&app, id, &note).await.unwrap();
                written.fetch_add(1, Ordering::SeqCst);
                // A ledger that grows faster than it is read is never read to its end.
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let mut last = 0;
    for _ in 0..TIMES {
        let before = written.load(Ordering::SeqCst);
        while written.load(Ordering::SeqCst) == before {
            tokio::time::sleep(PAUSE).await;
        }
        let report = ledger::verify(&app, None, &[]).await.unwrap();
        assert!(report.ok, "it cries wolf at {} entries: {:?}", report.entries, report.problems);
        assert!(report.entries >= last, "it looked at less than before");
        let size = format!("\n{}\n", report.entries);
        assert!(report.checkpoint.contains(&size), "of what was verified: {}", report.checkpoint);
        last = report.entries;
    }
    over.store(true, Ordering::SeqCst);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert!(last >= u64::try_from(TIMES).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_others_write_to_is_right_in_sqlite() {
    verified_beside_writers(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_others_write_to_is_right_in_postgresql() {
    let server = postgres::Server::start(&[]).unwrap();
    verified_beside_writers(Some(&server.admin_url())).await;
}
