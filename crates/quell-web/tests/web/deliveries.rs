//! Deliveries that are not worked off: seen by those who may look, tried again by those who run the server.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use quell_app::intake::{Deliveries, Delivery, DeliveryState};
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::person::Person;
use super::world::{World, inventory, read};

const KEY: &str = "a-key-of-the-hook";

/// A server with one sender.
async fn world() -> World {
    let intake = json!({ "org": { "github": { "secret": "env:HOOK_KEY" } } });
    let inventory = inventory(&json!({ "secrets": [], "intake": intake }).to_string());
    let environment = [("HOOK_KEY".to_owned(), KEY.to_owned())].into();
    World::at("127.0.0.1:0", inventory, environment).await
}

/// What is about nothing, so that it is done at once.
const NOTHING: &str = "ping";
/// What should be about an alert, and holds none.
const BROKEN: &str = "secret_scanning_alert";

/// A value, where the sender's own words are expected.
fn canary() -> String {
    format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_the_words_of_a_sender_is_shown_to_nobody() {
    let world = world().await;
    let harmless = delivered(&world, NOTHING, 1).await;
    let planted = delivered(&world, &canary(), 2).await;
    assert!(format!("{planted:?}").contains(&canary()), "it was written down: {planted:?}");
    for (name, role) in [("vera", Role::Viewer), ("ada", Role::Admin)] {
        let person = Person::of(&world, name, role).await;
        let retry = format!("/intake/{}", planted.id);
        let mut said = vec![get(&person, "/intake").await.1, get(&person, &retry).await.1];
        if role == Role::Admin {
            said.push(person.post(&format!("{retry}/retry"), &json!({})).await.1);
        }
        let page = person.page("/settings").await;
        for text in said.iter().map(ToString::to_string).chain([page]) {
            assert!(!text.contains(&canary()) && !text.contains("h7Gq2Wx9Lr4T"), "{name}: {text}");
        }
        let told = &said[1]["delivery"];
        assert_eq!(told["topic"], "(not shown: it may hold a value)", "{told}");
        let other =
            said[0]["deliveries"].as_array().unwrap().iter().find(|it| it["id"] == json!(harmless.id));
        assert_eq!(other.unwrap()["topic"], NOTHING, "what holds none is shown as it is");
    }
}

/// Delivered, and worked on by the server until it ended.
async fn delivered(world: &World, topic: &str, number: usize) -> Delivery {
    let known: Vec<String> = all(world).await.into_iter().map(|it| it.id).collect();
    let body = json!({ "hook_id": number }).to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let request = world
        .ask(Method::POST, "/hooks/org")
        .header("content-type", "application/json")
        .header("x-github-event", topic)
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())));
    assert_eq!(request.body(body).send().await.unwrap().status(), StatusCode::ACCEPTED);
    settled(world, |it| !known.contains(&it.id) && it.state != DeliveryState::Waiting).await
}

async fn all(world: &World) -> Vec<Delivery> {
    world.app.store.inbox_list(Deliveries::All, None, 100).await.unwrap()
}

async fn settled(world: &World, is_it: impl Fn(&Delivery) -> bool) -> Delivery {
    for _ in 0..600 {
        if let Some(found) = all(world).await.into_iter().find(&is_it) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no delivery came to what was waited for: {:?}", all(world).await);
}

async fn get(person: &Person<'_>, place: &str) -> (StatusCode, Value) {
    let request = person.world.ask(Method::GET, &format!("/api/v1{place}")).header("cookie", &person.cookie);
    let (status, text) = read(request.send().await.unwrap()).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_on_the_page_and_an_admin_has_it_tried_again() {
    let world = world().await;
    let done = delivered(&world, NOTHING, 1).await;
    let failed = delivered(&world, BROKEN, 2).await;
    assert_eq!((done.state, failed.state), (DeliveryState::Done, DeliveryState::Failed), "{}", done.note);
    let viewer = Person::of(&world, "vera", Role::Viewer).await;
    let page = viewer.page("/settings").await;
    assert!(page.contains(&failed.id) && page.contains("given up"), "{page}");
    assert!(page.contains("the body has no alert"), "why it was given up: {page}");
    assert!(!page.contains(&done.id), "it is worked off");
    assert!(!page.contains("/settings/deliveries/retry"), "who may not retry has no button");
    let reporter = Person::of(&world, "rita", Role::Reporter).await;
    assert!(!reporter.page("/settings").await.contains(&failed.id));

    let admin = Person::of(&world, "ada", Role::Admin).await;
    assert!(admin.page("/settings").await.contains("/settings/deliveries/retry"));
    let (status, _) = admin.form("/settings/deliveries/retry", "", &[("id", &failed.id)]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let again =
        settled(&world, |it| it.id == failed.id && it.state == DeliveryState::Failed && it.due > failed.due);
    again.await;
    let (status, said) = admin.form("/settings/deliveries/retry", "", &[("id", &done.id)]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(said.contains("is done, and its body is gone"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_come_in_pages_and_each_is_on_one_of_them() {
    let world = world().await;
    for number in 0..3 {
        delivered(&world, NOTHING, number).await;
    }
    let open = delivered(&world, BROKEN, 3).await;
    let admin = Person::of(&world, "ada", Role::Admin).await;
    let (mut seen, mut place) = (Vec::new(), "/intake?limit=3".to_owned());
    loop {
        let (status, page) = get(&admin, &place).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        seen.extend(page["deliveries"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        place = format!("/intake?limit=3&cursor={next}");
    }
    let received: Vec<&str> = seen.iter().map(|it| it["received"].as_str().unwrap()).collect();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(received.windows(2).all(|two| two[0] >= two[1]), "newest first: {received:?}");
    assert!(!seen.iter().any(|it| it.to_string().contains("hook_id")), "what they say is not shown");
    let (_, page) = get(&admin, "/intake?open=true").await;
    let ids: Vec<&Value> = page["deliveries"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&json!(open.id)]);
    let (status, shown) = get(&admin, &format!("/intake/{}", open.id)).await;
    assert_eq!((status, &shown["delivery"]["state"]), (StatusCode::OK, &json!("failed")));
    assert_eq!(get(&admin, "/intake/d-0").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&admin, "/intake?cursor=d-0").await.0, StatusCode::NOT_FOUND);
    let (status, again) = admin.post(&format!("/intake/{}/retry", open.id), &json!({})).await;
    assert_eq!((status, &again["delivery"]["id"]), (StatusCode::OK, &json!(open.id)), "{again}");
}
