//! Other systems calling: what is accepted is written down and worked off; what is not leaves nothing behind.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use quell_core::inventory::{ConnectorRef, Inventory};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::world::{World, read};

const KEY: &str = "a-key-of-the-hook";

async fn world() -> World {
    let config = json!({ "secret": "env:HOOK_KEY" });
    let intake =
        BTreeMap::from([("org".to_owned(), ConnectorRef { connector: "github".to_owned(), config })]);
    let inventory = Inventory { intake, ..Inventory::default() };
    World::at("127.0.0.1:0", inventory, BTreeMap::from([("HOOK_KEY".to_owned(), KEY.to_owned())])).await
}

async fn send(world: &World, path: &str, key: &str, body: &[u8]) -> (StatusCode, String) {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = world
        .ask(Method::POST, path)
        .header("content-type", "application/json")
        .header("x-github-event", "ping")
        .header("x-hub-signature-256", signature);
    read(request.body(body.to_vec()).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_delivery_is_taken_once_and_a_forged_one_never() {
    let world = world().await;
    let body = br#"{"zen":"Keep it logically awesome.","hook_id":1}"#;
    for (what, path, key) in [("another key", "/hooks/org", "wrong"), ("no such name", "/hooks/nobody", KEY)]
    {
        let (status, said) = send(&world, path, key, body).await;
        assert_eq!(
            (status, said.as_str()),
            (StatusCode::UNAUTHORIZED, r#"{"error":"not accepted"}"#),
            "{what}"
        );
    }
    assert_eq!(world.app.store.inbox_open().await.unwrap(), (0, 0));
    let (status, _) = send(&world, "/hooks/org", KEY, body).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, said) = send(&world, "/hooks/org", KEY, body).await;
    assert_eq!(status, StatusCode::OK, "a replay: {said}");
    let (status, _) = send(&world, "/hooks/org", KEY, b"{").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_let_go() {
    let world = world().await;
    let body = vec![b' '; quell_app::intake::MAX_BODY + 1];
    let (status, _) = send(&world, "/hooks/org", KEY, &body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_that_slack_did_not_sign_decides_nothing() {
    let world = world().await;
    for name in ["org", "nobody", "..%2f..%2fetc"] {
        let request = world.ask(Method::POST, &format!("/hooks/{name}/slack"));
        let request = request.header("x-slack-request-timestamp", "1").header("x-slack-signature", "v0=00");
        let (status, said) = read(request.body("payload={}").send().await.unwrap()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(said.contains("not accepted"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_called_with_a_key_in_authorization_reaches_its_own_check() {
    let config = json!({ "secret": "env:HOOK_KEY", "types": ["gitleaks_rule_id_stripe"] });
    let kind = ConnectorRef { connector: "gitlab_revocation".to_owned(), config };
    let intake = BTreeMap::from([("rev".to_owned(), kind)]);
    let inventory = Inventory { intake, ..Inventory::default() };
    let environment = BTreeMap::from([("HOOK_KEY".to_owned(), KEY.to_owned())]);
    let world = World::at("127.0.0.1:0", inventory, environment).await;
    let ask = async |key: &str| {
        let request = world.ask(Method::GET, "/hooks/rev").header("authorization", key);
        read(request.send().await.unwrap()).await
    };
    let (status, said) = ask(KEY).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert!(said.contains("types"), "{said}");
    let (status, said) = ask("wrong").await;
    assert_eq!((status, said.as_str()), (StatusCode::UNAUTHORIZED, r#"{"error":"not accepted"}"#));
    // Whoever stands before the server may use the header for themselves.
    let health = world.ask(Method::GET, "/healthz").header("authorization", "Basic eDp5");
    assert_eq!(health.send().await.unwrap().status(), StatusCode::OK);
}
