//! A room in which much happened opens as quickly as any other: the newest lines, and a way to the rest.

use std::collections::BTreeMap;

use quell_app::incident::{self, Change};
use quell_core::event::Actor;
use quell_core::person::Role;
use reqwest::Method;

use super::world::{World, inventory, read};

const INVENTORY: &str = "
secrets:
  - { id: wiki-token, kind: api-token, env: prod, issuer: { manual: {} } }
";
/// Lines that a page has unless all are asked for.
const NEWEST: usize = 200;

async fn page(world: &World, cookie: &str, place: &str) -> String {
    let asked = world.ask(Method::GET, place).header("cookie", cookie).header("accept", "text/html");
    let (status, html) = read(asked.send().await.unwrap()).await;
    assert!(status.is_success(), "{place}: {html}");
    html
}

fn lines(html: &str) -> usize {
    html.matches("<li data-key=\"e").count()
}

/// Where "older" leads, as a browser reads it.
fn older(html: &str) -> Option<String> {
    let (before, _) = html.split_once(" older</a>")?;
    let (_, place) = before.rsplit_once("href=\"")?;
    Some(place.split_once("#timeline")?.0.replace("&#38;", "&"))
}

/// How many it says are older.
fn said(html: &str) -> String {
    let before = html.split_once(" older</a>").map_or("", |(before, _)| before);
    before.rsplit_once("Show ").map_or_else(String::new, |(_, count)| count.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_shows_the_newest_lines_and_leads_to_the_older_ones() {
    let world = World::at("127.0.0.1:0", inventory(INVENTORY), BTreeMap::new()).await;
    let app = world.app.acting_as(Actor::user("ines"));
    let id = world.leaked("wiki-token").await;
    let (cookie, _) = world.session("omar", Role::Viewer).await;
    let room = format!("/incidents/{id}");
    let few = page(&world, &cookie, &room).await;
    let opened = lines(&few);
    assert!((1..20).contains(&opened) && older(&few).is_none(), "{few}");
    for number in 0..NEWEST + 3 {
        let note = Change::Note(format!("look number {number} at the graph"));
        incident::change(&app, id, &note).await.unwrap();
    }
    let many = page(&world, &cookie, &room).await;
    assert_eq!(lines(&many), NEWEST);
    assert!(many.contains("look number 202 at") && !many.contains("look number 2 at"));
    let there = app.store.read_stream(&id.to_string(), 0).await.unwrap().len();
    assert_eq!(said(&many), (there - NEWEST).to_string(), "what is not shown is counted");
    let all = page(&world, &cookie, &older(&many).unwrap()).await;
    assert_eq!((lines(&all), older(&all)), (there, None));
    // A filter stays on the way to the older ones.
    let notes = page(&world, &cookie, &format!("{room}?text=at+the+graph")).await;
    assert!(notes.contains("Show 3 older") && notes.contains("Without the filter"), "{notes}");
    let notes = page(&world, &cookie, &older(&notes).unwrap()).await;
    assert_eq!((lines(&notes), older(&notes)), (NEWEST + 3, None));
}
