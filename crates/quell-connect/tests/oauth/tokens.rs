//! The contract of access and refresh tokens, and what a revocation does not tell.

use std::time::Duration;

use quell_connect::conformance::{self, Subject};
use quell_connect::connector::IssuerOp;
use quell_core::outcome::Probe;
use quell_testkit::oidc::OnUpdate;
use serde_json::json;

use crate::outcome::{fact, failed, reason};
use crate::proxy::{Fault, Proxy};
use crate::{World, accepted, context, inconclusive, refused, retryable, through, unknown, value};

#[tokio::test]
async fn the_contract_of_an_access_token_is_kept_at_a_resource() {
    let world = World::new();
    let issuer = world.issuer(&world.access("asks"));
    let old = issuer.identify(&value(&world.server.mint(&world.orders, "").unwrap())).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert!(!world.server.is_active(old.value.expose_text().unwrap()).unwrap());
}

#[tokio::test]
async fn the_contract_of_a_refresh_token_is_kept_at_the_token_endpoint() {
    let world = World::new();
    let (refresh, access) = world.server.consent(&world.orders, "ines").unwrap();
    let issuer = world.issuer(&world.refresh(&[]));
    let old = issuer.identify(&value(&refresh)).unwrap();
    assert!(!issuer.capabilities().can_mint);
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert_eq!(world.server.enter("asks", &access).unwrap(), 401, "its access token ended with it");
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    for leaks in [
        json!({ "type": "refresh_token" }),
        json!({ "type": "access_token", "resource": "http://127.0.0.1:1/me" }),
    ] {
        conformance::hung(Duration::from_secs(20), |address| {
            let limit = Duration::from_millis(300);
            let mut ctx = context(&[("ORDERS", "s"), ("QUELL", "s")]);
            ctx.call_limit = limit;
            ctx.http = quell_connect::http::Client::new(limit, None).unwrap();
            let config = json!({
                "issuer": format!("http://{address}"),
                "client": { "id": "orders", "secret": "env:ORDERS" },
                "control": { "client": { "id": "quell", "secret": "env:QUELL" } },
                "token": leaks,
            });
            let issuer = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
            let old = issuer.identify(&value("CANARY-old-token")).unwrap();
            Subject::Issuer(issuer, old)
        })
        .await
        .unwrap();
    }
}

/// The trap: RFC 7009 answers 200 for whatever it is shown.
#[tokio::test]
async fn a_200_for_a_token_that_nobody_had_is_no_proof() {
    let world = World::new();
    for config in [world.refresh(&[]), world.access("asks")] {
        let issuer = world.issuer(&config);
        let stranger = issuer.identify(&value("CANARY-of-somewhere-else")).unwrap();
        let disabled = issuer.perform(IssuerOp::Disable { old: &stranger }).await.outcome;
        assert_eq!(fact(&disabled, "already"), &json!(true), "nothing was taken away");
        assert!(matches!(issuer.probe(&stranger).await, Probe::Refused { .. }));
    }
    // A 200 that reached nobody: the token is alive, and that is said.
    let (refresh, _) = world.server.consent(&world.orders, "ines").unwrap();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let proxy = Proxy::start(world.server.port(), "revocation", Fault::Say(answer), 1).await;
    let place = format!("{}/token/revocation", proxy.addr);
    let issuer = world.issuer(&through(world.refresh(&[]), "revocation", &place));
    let old = issuer.identify(&value(&refresh)).unwrap();
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&disabled), Some(true));
    assert!(reason(&disabled).contains("is active until"), "{disabled:?}");
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&disabled, "already"), &json!(false));
    assert!(!world.server.is_active(&refresh).unwrap());
}

#[tokio::test]
async fn a_refresh_token_is_not_used_up_by_looking_at_it() {
    let world = World::new();
    let (refresh, _) = world.server.consent(&world.orders, "ines").unwrap();
    // Introspection that says of everything what it says of the dead, as of what the client may not see.
    let wall =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"active\":false}";
    let proxy = Proxy::start(world.server.port(), "introspection", Fault::Say(wall), 1000).await;
    let place = format!("{}/token/introspection", proxy.addr);
    let blind = world.issuer(&through(world.refresh(&[]), "introspection", &place));
    let seeing = world.issuer(&world.refresh(&[]));
    let old = seeing.identify(&value(&refresh)).unwrap();
    for _ in 0..2 {
        assert!(accepted(&seeing.probe(&old).await));
        assert!(inconclusive(&blind.probe(&old).await).contains("still knows it"));
        assert!(inconclusive(&blind.control().await).contains("may not introspect"));
    }
    // It is good for one use, and that is still there.
    let (next, _) = world.server.refresh(&world.orders, &refresh).unwrap();
    assert!(world.server.is_active(&next).unwrap());
    // The one that was used up is not called dead: its successor lives.
    assert!(inconclusive(&seeing.probe(&old).await).contains("somebody has used it up"));
    let warnings = seeing.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|line| line.contains("holds its successor")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.contains("must consent again")), "{warnings:?}");
    assert!(seeing.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(refused(&seeing.probe(&old).await, "invalid_grant"));
    assert!(!world.server.is_active(&next).unwrap(), "a revocation of the used one ends the whole family");
}

#[tokio::test]
async fn a_refusal_of_another_door_is_no_refusal_of_the_token() {
    let world = World::new();
    let token = value(&world.server.mint(&world.orders, "").unwrap());
    // Good, and not for this: the resource let it in far enough to say so.
    let narrow = world.issuer(&world.access("refunds"));
    let old = narrow.identify(&token).unwrap();
    assert!(accepted(&narrow.probe(&old).await));
    // The resource takes tokens of another kind, and the server says that this one is good.
    let other = world.issuer(&world.access("local"));
    assert!(inconclusive(&other.probe(&old).await).contains("may be good for another resource"));
    assert!(narrow.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(refused(&narrow.probe(&old).await, "invalid_token"));
}

#[tokio::test]
async fn a_client_logs_in_as_it_is_registered() {
    let world = World::new();
    for (auth, method) in [("post", "client_secret_post"), ("none", "none")] {
        let client = world.server.register_as("shop", OnUpdate::Keeps, method).unwrap();
        let (refresh, access) = world.server.consent(&client, "ines").unwrap();
        let mut config = world.refresh(&[]);
        config["client"] = json!({ "id": client.id, "auth": auth });
        if auth == "post" {
            config["client"]["secret"] = json!("env:SHOP");
        }
        let ctx = context(&[("SHOP", &client.secret), ("QUELL", &world.quell.secret)]);
        let issuer = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
        let old = issuer.identify(&value(&refresh)).unwrap();
        assert!(accepted(&issuer.probe(&old).await) && accepted(&issuer.control().await), "{auth}");
        let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert_eq!(fact(&disabled, "already"), &json!(false), "{auth}");
        assert!(refused(&issuer.probe(&old).await, "invalid_grant"), "{auth}");
        assert_eq!(world.server.enter("asks", &access).unwrap(), 401, "{auth}");
    }
}

/// The trap: a resource that keeps what it was told notices later.
#[tokio::test]
async fn a_resource_with_a_cache_accepts_for_a_while() {
    let world = World::new();
    let issuer = world.issuer(&world.access("caches"));
    let old = issuer.identify(&value(&world.server.mint(&world.orders, "").unwrap())).unwrap();
    assert!(accepted(&issuer.probe(&old).await));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let seen = issuer.probe(&old).await;
    assert!(matches!(&seen, Probe::Accepted { facts } if facts["asks_the_server"] == false), "{seen:?}");
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(180)).await;
    assert!(refused(&issuer.probe(&old).await, "invalid_token"));
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 0);
}

/// The trap: a JWT that is checked by its signature lives on, although the server answers 200 and `active: false`.
#[tokio::test]
async fn a_token_that_is_checked_without_the_server_lives_until_it_ends() {
    let world = World::new();
    let issuer = world.issuer(&world.access("local"));
    let token = world.server.mint(&world.orders, "&resource=urn:local").unwrap();
    let old = issuer.identify(&value(&token)).unwrap();
    assert!(!world.server.is_active(&token).unwrap());
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|line| line.contains("can be checked without the server")), "{warnings:?}");
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&disabled), Some(false), "{disabled:?}");
    assert!(reason(&disabled).contains("goes on until it ends by itself at 2"), "{disabled:?}");
    assert!(accepted(&issuer.probe(&old).await));
    let unseen = issuer.unproven(&old).await.unwrap();
    assert!(unseen.contains("nobody saw this one accepted here"), "{unseen}");
    let other = World::new();
    let there = other.issuer(&other.access("local"));
    let named = there.unproven(&there.identify(&value(&token)).unwrap()).await.unwrap();
    assert!(named.contains("another server issued it"), "{named}");
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    let world = World::new();
    let token = world.server.mint(&world.orders, "").unwrap();
    let proxy = Proxy::start(world.server.port(), "revocation", Fault::DropAnswer, 1).await;
    let place = format!("{}/token/revocation", proxy.addr);
    let issuer = world.issuer(&through(world.access("asks"), "revocation", &place));
    let old = issuer.identify(&value(&token)).unwrap();
    let disable = IssuerOp::Disable { old: &old };
    assert_eq!(retryable(&issuer.observe(disable).await.outcome), Some(true));
    assert!(unknown(&issuer.perform(disable).await.outcome));
    assert!(issuer.observe(disable).await.outcome.is_applied());
    assert!(issuer.perform(disable).await.outcome.is_applied());
    // A token whose answer was lost is nobody's, and another one is asked for.
    let proxy = Proxy::start(world.server.port(), "/token ", Fault::DropAnswer, 1).await;
    let issuer = world.issuer(&through(world.access("asks"), "token", &format!("{}/token", proxy.addr)));
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert!(unknown(&issuer.perform(install).await.outcome));
    let seen = issuer.observe(install).await.outcome;
    assert!(reason(&seen).contains("held by nobody"), "{seen:?}");
    let made = issuer.perform(install).await;
    assert!(made.outcome.is_applied());
    assert!(accepted(&issuer.probe(&made.minted.unwrap()).await));
}

#[tokio::test]
async fn the_checks_say_what_is_missing() {
    let world = World::new();
    assert_eq!(failed(&world.issuer(&world.access("asks")).check().await), [""; 0]);
    let open = world.issuer(&world.access("open"));
    assert_eq!(
        failed(&open.check().await),
        ["it lets in whoever brings no token, so that it can tell nothing of one"]
    );
    let old = open.identify(&value("CANARY-dead")).unwrap();
    assert!(accepted(&open.probe(&old).await), "such a door proves nothing");
    let wall = world.issuer(&world.access("wall"));
    assert!(inconclusive(&wall.probe(&old).await).contains("401 without `invalid_token`"));
    let mut elsewhere = world.access("asks");
    elsewhere["issuer"] = json!(format!("{}/tenant", world.server.issuer()));
    let checks = world.issuer(&elsewhere).check().await;
    assert!(failed(&checks)[0].contains("there is no metadata; correct `issuer`"), "{checks:?}");
}
