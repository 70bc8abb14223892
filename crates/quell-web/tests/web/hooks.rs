//! Other systems calling: what is accepted is written down and worked off; what is not leaves nothing behind.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use quell_app::clock::now;
use quell_app::plan;
use quell_core::event::Actor;
use quell_core::inventory::{ConnectorRef, Inventory};
use quell_core::person::Role;
use quell_core::plan::StepState;
use quell_core::{IncidentId, StepId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{World, inventory, read};

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

const SIGNING: &str = "a-signing-secret-of-the-app";

/// A press of a button under a message of the channel, as Slack sends it.
async fn press(
    world: &World,
    user: &str,
    action: &str,
    asked: &Value,
    at: Timestamp,
) -> (StatusCode, String) {
    let payload = json!({
        "type": "block_actions", "user": { "id": user },
        "actions": [{ "type": "button", "action_id": action, "value": asked.to_string() }],
    });
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let body = form.append_pair("payload", &payload.to_string()).finish();
    let at = at.as_second().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SIGNING.as_bytes()).unwrap();
    mac.update(format!("v0:{at}:{body}").as_bytes());
    let signature = format!("v0={}", hex::encode(mac.finalize().into_bytes()));
    let request = world.ask(Method::POST, "/hooks/chat/slack").header("x-slack-request-timestamp", at);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    read(request.header("x-slack-signature", signature).body(body).send().await.unwrap()).await
}

async fn approved_by(world: &World, id: IncidentId, step: &StepId) -> Vec<String> {
    let incident = world.app.incident(id).await.unwrap();
    let machine = incident.machine.unwrap();
    machine.approvals(step, now()).0.into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_in_slack_approves_exactly_the_plan_that_was_shown() {
    let text = "
secrets:
  - id: orders-db
    kind: postgres-password
    env: prod
    tier: service
    issuer: { postgres: { admin: env:ADMIN, roles: [orders_a, orders_b], group: orders_owner } }
    stores: [{ env_file: { path: /nowhere/app.env, key: URL } }]
channels:
  chat: { slack: { token: env:HOOK_KEY, channel: C0SECURITY, url: 'http://127.0.0.1:9/', signing_secret: env:SIGNING, users: { U0INES: ines, U0VERA: vera } } }
policy: { approvals: { destructive: 2 } }
";
    // Nobody listens there: a plan is made all the same, and warns of it.
    let admin = "postgres://admin:x@127.0.0.1:1/db";
    let environment = [("HOOK_KEY", KEY), ("SIGNING", SIGNING), ("ADMIN", admin)];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let world = World::at("127.0.0.1:0", inventory(text), environment).await;
    world.session("ines", Role::Approver).await;
    world.session("vera", Role::Viewer).await;
    let id = world.leaked("orders-db").await;
    let omar = world.app.acting_as(Actor::user("omar"));
    let machine = plan::make(&omar, id, false).await.unwrap().machine.unwrap();
    let wanting = machine.states().find(|(step, _)| step.approvals > 0).expect("a step that wants approvals");
    let (step, hash) = (wanting.0.id.clone(), machine.plan_hash().to_owned());
    let asked = |plan: &str| json!({ "incident": id.to_string(), "step": step.to_string(), "plan": plan });
    // Another plan, somebody in no table, somebody who may not, an old press: nothing is decided.
    for (what, user, plan, at) in [
        ("another plan", "U0INES", "ab".repeat(32), now()),
        ("a stranger", "U0OTTO", hash.clone(), now()),
        ("a viewer", "U0VERA", hash.clone(), now()),
        ("a replay", "U0INES", hash.clone(), now() - SignedDuration::from_mins(6)),
    ] {
        let (status, said) = press(&world, user, "quell.approve", &asked(&plan), at).await;
        assert!(status.is_client_error(), "{what}: {status} {said}");
        assert_eq!(approved_by(&world, id, &step).await, Vec::<String>::new(), "{what}");
    }
    let (status, said) = press(&world, "U0INES", "quell.approve", &asked(&hash), now()).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(approved_by(&world, id, &step).await, ["ines"]);
    // The same person again is no second one.
    press(&world, "U0INES", "quell.approve", &asked(&hash), now()).await;
    assert_eq!(approved_by(&world, id, &step).await, ["ines"]);
    let (status, said) = press(&world, "U0INES", "quell.refuse", &asked(&hash), now()).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let incident = world.app.incident(id).await.unwrap();
    let machine = incident.machine.unwrap();
    let state = machine.states().find(|(it, _)| it.id == step).unwrap().1;
    assert!(
        matches!(state, StepState::Failed { reason } if reason.contains("refused in Slack")),
        "{state:?}"
    );
}
