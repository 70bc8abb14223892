//! The inbox of findings, a page at a time: by the page without script, and by the API.

use std::collections::BTreeSet;

use quell_app::scan;
use quell_core::event::Actor;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::person::Person;
use super::world::{World, read};

const MANY: usize = 60;

/// As many findings as two pages hold, each in a file of its own.
async fn world() -> World {
    let world = World::new().await;
    let app = world.app.acting_as(Actor::user("ines"));
    let folder = tempfile::tempdir().unwrap();
    for number in 0..MANY {
        let value = format!("postgres://orders:{}{number:02}@db.internal/orders", "h7Gq2Wx9Lr4T");
        let name = folder.path().join(format!("f{number:02}.env"));
        std::fs::write(name, format!("DATABASE_URL={value}\n")).unwrap();
    }
    let rules = scan::rules(&[]).unwrap();
    let found = scan::path(folder.path(), &rules, &app.store.keys().fingerprint, &mut |_| {}).unwrap();
    assert_eq!(scan::record(&app, "a folder", found).await.unwrap().findings.len(), MANY);
    world
}

/// The ids of the findings on a page, as they stand there.
fn cards(page: &str) -> Vec<&str> {
    let parts = page.split("<section class=\"card\" id=\"").skip(1);
    parts.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Where a link leads.
fn link(page: &str, rel: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!("\" rel=\"{rel}\""))?;
    Some(before.rsplit_once("href=\"")?.1.replace("&#38;", "&").replace("&amp;", "&"))
}

async fn get(person: &Person<'_>, place: &str) -> Value {
    let request = person.world.ask(Method::GET, &format!("/api/v1{place}")).header("cookie", &person.cookie);
    let (status, text) = read(request.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Every page of a list.
async fn listed(person: &Person<'_>, query: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(person, &format!("/findings?{query}{cursor}")).await;
        let found = page["findings"].as_array().unwrap().iter();
        all.extend(found.map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_come_in_pages_and_what_is_judged_waits_no_more() {
    let world = world().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let first = ines.page("/findings").await;
    assert!(first.contains(&format!("{MANY} of {MANY} findings wait")), "{first}");
    assert!(link(&first, "first").is_none());
    let second = ines.page(&link(&first, "next").unwrap()).await;
    assert!(link(&second, "next").is_none() && link(&second, "first").is_some());
    assert_eq!((cards(&first).len(), cards(&second).len()), (50, 10));
    let shown: BTreeSet<&str> = cards(&first).into_iter().chain(cards(&second)).collect();
    let api = listed(&ines, "limit=25&open=true").await;
    assert!(api.is_sorted() && shown.iter().eq(api.iter()), "the API and the page show the same");

    let judged = cards(&first)[0].to_owned();
    let body = json!({ "says": "not-a-leak", "reason": "an example" });
    assert_eq!(ines.post(&format!("/findings/{judged}/triage"), &body).await.0, StatusCode::OK);
    let page = ines.page("/findings").await;
    assert!(page.contains(&format!("{} of {MANY} findings wait", MANY - 1)) && !page.contains(&judged));
    assert!(ines.page("/findings?show=all").await.contains(&judged));
    assert!(!listed(&ines, "limit=200&open=true").await.contains(&judged));
    assert_eq!(listed(&ines, "limit=7").await.len(), MANY);
    assert_eq!(listed(&ines, "limit=200&rule=nothing").await.len(), 0);

    let one = ines.page("/findings?q=F07.env").await;
    assert_eq!(cards(&one).len(), 1, "one file is called so");
    assert!(ines.page("/findings?q=nowhere&show=all").await.contains("Nothing waits here"));
    assert_eq!(cards(&ines.page("/findings?before=nonsense").await).len(), 50);
}
