//! The inventory changes while the server runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use quell_core::inventory::Inventory;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use tokio::sync::watch;

use super::world::{Trust, World, read};

const HOOKS: &str = "intake:\n  org:\n    github: { secret: env:HOOK_KEY }\n";

/// The server, its inventory's file, and the way to say that files are to be read again.
async fn world() -> (World, PathBuf, watch::Sender<u64>) {
    let (ask, asked) = watch::channel(0);
    let environment = BTreeMap::from([("HOOK_KEY".to_owned(), "a-key-of-the-hook".to_owned())]);
    let change = |config: &mut quell_web::Config, _: &std::path::Path| config.reload = asked;
    let world = World::with(Inventory::default(), environment, &Trust::default(), change).await;
    let file = world.options.inventory.clone();
    (world, file, ask)
}

async fn ready(world: &World) -> String {
    let (status, said) = read(world.ask(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    said
}

/// Unknown names and wrong signatures get the same answer; a body without JSON is looked at only behind a known name and a good key.
async fn knows_the_hook(world: &World) -> bool {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"a-key-of-the-hook").unwrap();
    mac.update(b"{");
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = world.ask(Method::POST, "/hooks/org").header("x-hub-signature-256", signature).body("{");
    request.send().await.unwrap().status() == StatusCode::BAD_REQUEST
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        // Not more often: whoever knocks at an unknown hook is slowed down.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_inventory_is_taken_up_and_a_broken_one_is_not() {
    let (world, file, ask) = world().await;
    assert!(!knows_the_hook(&world).await);
    std::fs::write(&file, HOOKS).unwrap();
    // Nobody asks: the change is seen.
    until("it is not taken up", async || knows_the_hook(&world).await).await;

    std::fs::write(&file, "intake:\n  org:\n    github: { secret: 7 }\n").unwrap();
    ask.send_modify(|count| *count += 1);
    let fault = "inventory: the new one cannot be used, the old one is\n";
    until("the fault is not told", async || ready(&world).await.contains(fault)).await;
    assert!(knows_the_hook(&world).await, "the old one is used");
    let (admin, _) = world.session("ines", Role::Admin).await;
    let (viewer, _) = world.session("omar", Role::Viewer).await;
    let settings = async |cookie: &str| {
        read(world.ask(Method::GET, "/settings").header("cookie", cookie).send().await.unwrap()).await.1
    };
    let page = settings(&admin).await;
    assert!(
        page.contains("Changes that were not taken up") && page.contains("intake.org: invalid type"),
        "{page}"
    );
    assert!(!settings(&viewer).await.contains("intake.org"), "what is wrong is for those who run it");

    // Gone is broken, too: nobody takes all secrets away by renaming a file.
    std::fs::remove_file(&file).unwrap();
    ask.send_modify(|count| *count += 1);
    until("the reason is not told", async || settings(&admin).await.contains("No such file")).await;
    assert!(knows_the_hook(&world).await);

    std::fs::write(&file, HOOKS.replace("org", "other")).unwrap();
    until("what is mended is not taken up", async || ready(&world).await == "ready\n").await;
    assert!(!knows_the_hook(&world).await);
    assert!(!settings(&admin).await.contains("Changes that were not taken up"));
}
