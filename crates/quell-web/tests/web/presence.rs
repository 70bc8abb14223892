//! Two servers of one installation: whoever looks at a room at one of them is seen at the other.

use std::time::Duration;

use quell_app::clock::now;
use quell_app::{App, Lapsing};
use quell_core::inventory::Inventory;
use quell_core::person::Role;
use quell_web::{Config, serve};
use reqwest::Method;
use tokio::sync::{oneshot, watch};

use super::person::Person;
use super::world::World;

/// A second server over the same data.
async fn beside(world: &World) -> (String, watch::Sender<bool>) {
    let app = App::with_inventory(&world.options, Inventory::default(), || panic!("there is a key file"))
        .await
        .unwrap();
    let config = Config::new("127.0.0.1:0".parse().unwrap(), world.options.clone());
    let (stop, stopped) = watch::channel(false);
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        serve(app, config, stopped, |address| tell.send(address).unwrap()).await.unwrap();
    });
    (format!("http://{}", told.await.unwrap()), stop)
}

async fn until(person: &Person<'_>, place: &str, words: &str) {
    for _ in 0..600 {
        if person.page(place).await.contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{words} is never said at {place}")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_at_another_server_is_seen_until_they_leave() {
    let world = World::with_a_secret().await;
    let id = world.leaked("ines-directory").await;
    let (other, stop) = beside(&world).await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let omar = Person::of(&world, "omar", Role::Responder).await;
    let room = format!("/incidents/{id}");
    assert!(ines.page(&room).await.contains("Nobody else looks at this page."));
    let follow = |at: &str, who: &Person<'_>| {
        world.ask(Method::GET, &format!("{at}{room}/events")).header("cookie", &who.cookie).send()
    };
    // Omar has it open at the second server, in two windows.
    let first = follow(&other, &omar).await.unwrap();
    let second = follow(&other, &omar).await.unwrap();
    assert!(first.status().is_success() && second.status().is_success());
    until(&ines, &room, "<strong>Also here:</strong> omar").await;
    // And Ines at the first: each sees the other, nobody sees themselves.
    let here = follow(&world.url, &ines).await.unwrap();
    until(&omar, &format!("{other}{room}"), "<strong>Also here:</strong> ines").await;
    drop(first);
    drop(second);
    until(&ines, &room, "Nobody else looks at this page.").await;
    // A server that ends takes those who looked at it along.
    let again = follow(&other, &omar).await.unwrap();
    until(&ines, &room, "<strong>Also here:</strong> omar").await;
    stop.send(true).unwrap();
    until(&ines, &room, "Nobody else looks at this page.").await;
    drop((here, again));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looked_at_a_server_that_died_without_a_word_is_gone_after_a_while() {
    let world = World::with_a_secret().await;
    let id = world.leaked("ines-directory").await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let room = format!("/incidents/{id}");
    // What such a server leaves: its row, which nobody writes anew.
    let ends = now().checked_add(jiff::SignedDuration::from_secs(3)).unwrap();
    let row = Lapsing {
        id: "a server that died".to_owned(),
        owner: String::new(),
        body: format!("{{\"{id}\":[\"omar\"]}}"),
        expires_us: ends.as_microsecond(),
    };
    world.app.store.lapsing_put("presence", &row).await.unwrap();
    until(&ines, &room, "<strong>Also here:</strong> omar").await;
    until(&ines, &room, "Nobody else looks at this page.").await;
    assert!(now() >= ends, "not before its time");
}
