//! Tokens for programs, over HTTP.

use quell_app::clock::now;
use quell_app::person;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{World, read};

async fn make(world: &World, role: &str) -> (String, String) {
    let (cookie, csrf) = world.session("ines", Role::Approver).await;
    let request =
        world.ask(Method::POST, "/api/v1/tokens").header("cookie", cookie).header("x-quell-csrf", csrf);
    let response = request.json(&json!({ "name": "ci", "role": role, "days": 30 })).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let made: Value = response.json().await.unwrap();
    (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
}

async fn server(world: &World, token: &str) -> (StatusCode, String) {
    read(world.ask(Method::GET, "/api/v1/server").bearer_auth(token).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in_until_it_is_revoked_and_is_kept_nowhere() {
    let world = World::new().await;
    let (id, token) = make(&world, "responder").await;
    let (status, body) = server(&world, &token).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let about: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((about["person"].as_str(), about["role"].as_str()), (Some("ines"), Some("responder")));
    let (_, list) =
        read(world.ask(Method::GET, "/api/v1/tokens").bearer_auth(&token).send().await.unwrap()).await;
    assert!(list.contains(&id) && !list.contains(&token) && list.contains("\"used\":\"2"), "{list}");
    // Not in the ledger either, nor in what lies beside it.
    for entry in world.app.store.read_all(0, 1000).await.unwrap() {
        assert!(!format!("{entry:?}").contains(&token[14..]), "{}", entry.seq);
    }
    let revoked = world.ask(Method::POST, &format!("/api/v1/tokens/{id}/revoke")).bearer_auth(&token);
    let revoked = revoked.json(&json!({ "reason": "not needed any more" })).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    assert_eq!(server(&world, &token).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_a_token_ends_it_with_nothing_else() {
    let world = World::new().await;
    let (_, token) = make(&world, "reporter").await;
    let ended = world.ask(Method::POST, "/api/v1/tokens/revoke").bearer_auth(&token).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::OK);
    assert_eq!(server(&world, &token).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_never_gives_more_than_its_maker_has() {
    let world = World::new().await;
    let (cookie, csrf) = world.session("ines", Role::Viewer).await;
    for (role, days) in [("responder", 30), ("admin", 30), ("viewer", 0), ("viewer", 9999), ("viewer", -1)] {
        let request =
            world.ask(Method::POST, "/api/v1/tokens").header("cookie", &cookie).header("x-quell-csrf", &csrf);
        let response =
            request.json(&json!({ "name": "ci", "role": role, "days": days })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{role} for {days}");
    }
    let (_, token) = make(&world, "approver").await;
    let more = world.ask(Method::POST, "/api/v1/tokens").bearer_auth(&token);
    let more = more.json(&json!({ "name": "ci", "role": "viewer", "days": 1 })).send().await.unwrap();
    assert_eq!(more.status(), StatusCode::FORBIDDEN, "a token that leaks would never end");
    world.session("ines", Role::Reporter).await;
    let status = world.ask(Method::GET, "/api/v1/tokens").bearer_auth(&token).send().await.unwrap().status();
    assert_eq!(status, StatusCode::FORBIDDEN, "its maker is a reporter now");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_cut_off_tokens_and_other_schemes_are_turned_away_alike() {
    let world = World::new().await;
    let (id, token) = make(&world, "responder").await;
    let (cookie, _) = world.session("omar", Role::Admin).await;
    let other: String = token[14..].chars().rev().collect();
    let long = format!("Bearer {}", "q".repeat(20_000));
    let cut = format!("Bearer {}", &token[..79]);
    let swapped = format!("Bearer qll_{id}{other}");
    let basic = format!("Basic {token}");
    let bare = token.clone();
    for header in ["", "Bearer", "Bearer ", "Bearer qll_", &long, &cut, &swapped, &basic, &bare] {
        // A cookie that is good does not make up for it.
        let request = world
            .ask(Method::GET, "/api/v1/server")
            .header("cookie", &cookie)
            .header("authorization", header);
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{header:.20}: {body}");
        assert!(!body.contains(&token[14..40]), "nothing of it is repeated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_removed_or_signed_out_everywhere_has_no_token_left() {
    let world = World::new().await;
    world.session("omar", Role::Admin).await;
    let (_, token) = make(&world, "responder").await;
    assert_eq!(server(&world, &token).await.0, StatusCode::OK);
    person::remove(&world.app, "ines", "left", now()).await.unwrap();
    assert_eq!(server(&world, &token).await.0, StatusCode::UNAUTHORIZED, "removed");
    // Let in again, the old token stays dead; a new one ends with being signed out everywhere.
    let (_, again) = make(&world, "responder").await;
    assert_eq!(server(&world, &token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server(&world, &again).await.0, StatusCode::OK);
    person::sign_out(&world.app, "ines", now()).await.unwrap();
    assert_eq!(server(&world, &again).await.0, StatusCode::UNAUTHORIZED, "signed out");
}
