//! A request that is sent again: what is done once, what is under way, and what was cut off.

use std::collections::BTreeMap;

use quell_app::clock::now;
use quell_app::person::hash;
use quell_app::{Asked, Lapsing};
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{World, inventory, read};

const KIND: &str = "answer";
const INVENTORY: &str = "
secrets:
  - { id: wiki-token, kind: api-token, env: prod, issuer: { manual: {} } }
";

/// Sends the same note under the same key; the status, how long to wait, and whether it is the answer from before.
async fn note(
    world: &World,
    session: &(String, String),
    id: &str,
) -> (StatusCode, Option<u64>, bool, String) {
    let asked = world.ask(Method::POST, &format!("/api/v1/incidents/{id}/note"));
    let asked = asked.header("cookie", &session.0).header("x-quell-csrf", &session.1);
    let asked = asked.header("idempotency-key", "the-note").json(&json!({"text": "seen by ines"}));
    let answer = asked.send().await.unwrap();
    let head = answer.headers().clone();
    let wait = head.get("retry-after").map(|wait| wait.to_str().unwrap().parse().unwrap());
    let (status, text) = read(answer).await;
    (status, wait, head.contains_key("idempotency-replayed"), text)
}

async fn notes(world: &World) -> usize {
    let entries = world.app.store.read_all(0, 1000).await.unwrap();
    entries.iter().filter(|entry| format!("{:?}", entry.event).contains("seen by ines")).count()
}

/// The row of that request, with its answer taken out, as it stands while the request is carried out.
async fn without_its_answer(world: &World) -> Lapsing {
    let store = &world.app.store;
    let mut row = store.lapsing(KIND, &hash(b"ines\nthe-note"), now()).await.unwrap().unwrap();
    let mut kept: Value = serde_json::from_str(&row.body).unwrap();
    kept["answer"] = Value::Null;
    row.body = kept.to_string();
    assert!(store.lapsing_set(KIND, &row).await.unwrap());
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_cut_off_says_so_and_one_that_is_under_way_says_when_to_ask() {
    let world = World::at("127.0.0.1:0", inventory(INVENTORY), BTreeMap::new()).await;
    let session = world.session("ines", Role::Responder).await;
    let id = &world.leaked("wiki-token").await.to_string();

    let first = note(&world, &session, id).await;
    assert!(first.0.is_success() && !first.2, "{first:?}");
    let second = note(&world, &session, id).await;
    assert_eq!((second.0, second.2, &second.3), (first.0, true, &first.3));
    assert_eq!(notes(&world).await, 1);

    // Its worker lives, and has not answered.
    let row = without_its_answer(&world).await;
    assert!(world.app.store.is_alive(&row.owner).await.unwrap(), "the server's own name: {row:?}");
    let (status, wait, _, text) = note(&world, &session, id).await;
    assert_eq!((status, wait), (StatusCode::CONFLICT, Some(1)), "{text}");
    assert!(text.contains("under way"), "{text}");

    // Its worker gave it up, as it does when the database goes away in the middle.
    let held = Asked { kind: KIND, id: row.id.clone(), worker: row.owner.clone() };
    assert!(world.app.store.take_from(&held).await.unwrap());
    let (status, wait, _, text) = note(&world, &session, id).await;
    assert_eq!((status, wait), (StatusCode::CONFLICT, None), "{text}");
    assert!(text.contains("cut off") && text.contains("another key"), "{text}");

    // Its worker is gone: a process that was killed leaves a name that nobody holds.
    world.app.store.lapsing_drop(KIND, "").await.unwrap();
    let dead = Lapsing { owner: "w-0123456789abcdef".to_owned(), ..row };
    assert!(world.app.store.lapsing_add(KIND, &dead, now()).await.unwrap());
    let (status, wait, _, text) = note(&world, &session, id).await;
    assert_eq!((status, wait), (StatusCode::CONFLICT, None), "{text}");
    assert!(text.contains("cut off"), "{text}");
    let row = world.app.store.lapsing(KIND, &dead.id, now()).await.unwrap().unwrap();
    assert_eq!(row.owner, "", "from here on nothing more comes of it");
    assert_eq!(notes(&world).await, 1);
}
