//! The list of findings, where most of many are no longer of interest.

use std::collections::{BTreeMap, BTreeSet};

use quell_app::clock::now;
use quell_app::{person, scan};
use quell_core::event::{Actor, Event, FindingSays};
use quell_core::inventory::Inventory;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::world::{World, read};

/// More than are looked through for one page.
const MANY: usize = 2050;
/// Of so many somebody has said what they are, the first by their ids.
const SETTLED: usize = 2020;

async fn page(world: &World, token: &str, query: &str) -> (Vec<String>, Option<String>) {
    let asked = world.ask(Method::GET, &format!("/api/v1/findings?{query}")).bearer_auth(token);
    let (status, said) = read(asked.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    let ids = told["findings"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
    (ids.collect(), told["next"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_what_waits_pass_over_the_rest_in_bounded_bites_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = |n: usize| format!("DATABASE_URL=postgres://orders:h7Gq2Wx{n:04}r4T@db.internal/orders\n");
    std::fs::write(folder.path().join("a.env"), (0..MANY).map(line).collect::<String>()).unwrap();
    let world = World::at("127.0.0.1:0", Inventory::default(), BTreeMap::new()).await;
    let app = world.app.acting_as(Actor::user("ines"));
    let rules = scan::rules(&[]).unwrap();
    let found = scan::path(folder.path(), &rules, &app.store.keys().fingerprint, &mut |_| {}).unwrap();
    let recorded = scan::record(&app, "a folder", found).await.unwrap();
    let ids: BTreeSet<String> = recorded.findings.iter().map(|it| it.finding.id.clone()).collect();
    assert_eq!(ids.len(), MANY);
    let said = |finding: &String| Event::FindingTriaged {
        finding: finding.clone(),
        says: FindingSays::NotALeak,
        reason: "a test value".to_owned(),
    };
    let said: Vec<Event> = ids.iter().take(SETTLED).map(said).collect();
    person::decide(&app, now(), |_| Ok((said.clone(), ()))).await.unwrap();
    let token = world.token("vera", Role::Viewer).await;

    let all = async |query: &str| {
        let (mut seen, mut next, mut pages) = (Vec::new(), Some(String::new()), 0);
        while let Some(place) = next {
            let cursor = if place.is_empty() { String::new() } else { format!("&cursor={place}") };
            let (some, more) = page(&world, &token, &format!("{query}{cursor}")).await;
            assert!(some.len() <= 20);
            seen.extend(some);
            (next, pages) = (more, pages + 1);
        }
        (seen, pages)
    };
    let open: Vec<String> = ids.iter().skip(SETTLED).cloned().collect();
    let (seen, pages) = all("open=true&limit=20").await;
    assert_eq!(seen, open);
    assert_eq!(pages, 3, "nothing among the first 2000, then twenty, then ten");
    let (seen, pages) = all("rule=no-such-rule&limit=20").await;
    assert_eq!((seen.len(), pages), (0, 2));
    let (first, next) = page(&world, &token, "limit=20").await;
    assert_eq!(first, ids.iter().take(20).cloned().collect::<Vec<_>>());
    assert_eq!(next.as_deref(), ids.iter().nth(19).map(String::as_str));
}
