//! What doors and introspection do not tell, on servers that do what the RFCs leave to them.

use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::Probe;
use quell_core::secret::Credential;
use serde_json::{Value, json};

use crate::model::{Model, Scope};
use crate::outcome::{fact, failed, reason};
use crate::proxy::{Fault, Proxy};
use crate::{World, accepted, context, inconclusive, refused, retryable, through, unknown, value};

fn issuer(config: &Value) -> Box<dyn Issuer> {
    let ctx = context(&[("ORDERS", "s3cret"), ("QUELL", "s3cret")]);
    quell_connect::oauth::CONNECTOR.issuer.unwrap()(config, &ctx).unwrap()
}

/// Tokens for the resource `/me`.
fn access(model: &Model) -> Value {
    model.config("token", &json!({ "type": "access_token", "resource": model.at("/me") }))
}

fn refresh(model: &Model, family: &[String]) -> Value {
    let leaks = json!({ "type": "refresh_token", "resource": model.at("/me"), "family": family });
    model.config("token", &leaks)
}

fn leaked(issuer: &dyn Issuer, model: &Model, token: &str) -> Credential {
    model.state().live.insert(token.to_owned());
    issuer.identify(&value(token)).unwrap()
}

/// A file that holds a token, as a reference.
fn kept(folder: &tempfile::TempDir, name: &str, token: &str) -> String {
    let file = folder.path().join(name);
    std::fs::write(&file, token).unwrap();
    format!("file:{}", file.display())
}

/// The trap: the resource of the inventory refuses it because it is for another one, which looks at its signature alone.
#[tokio::test]
async fn a_token_for_another_audience_is_not_called_dead() {
    let world = World::new();
    let issuer = world.issuer(&world.access("asks"));
    let token = world.server.mint(&world.orders, "&resource=urn:local").unwrap();
    let old = issuer.identify(&value(&token)).unwrap();
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|line| line.starts_with("nothing will be proven of it")), "{warnings:?}");
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_ne!(fact(&disabled, "already"), &json!(false), "the resource never let it in");
    assert!(fact(&disabled, "expires").as_str().unwrap().starts_with('2'));
    let seen = issuer.probe(&old).await;
    assert!(inconclusive(&seen).contains("is for others than the resource"), "{seen:?}");
    assert_eq!(world.server.enter("local", &token).unwrap(), 200, "its own resource takes it");
}

#[tokio::test]
async fn a_jwt_for_the_tried_resource_alone_is_proven_by_it() {
    let model = Model::start(|_| {});
    let own = model.at("/");
    for (audience, named, dead) in [
        (json!(own), json!([]), true),
        (json!([own, "urn:orders"]), json!(["urn:orders"]), true),
        (json!([own, "urn:other"]), json!(["urn:orders"]), false),
        (json!(model.at("/elsewhere")), json!([]), false),
        (Value::Null, json!(["urn:orders"]), false),
    ] {
        let mut config = access(&model);
        config["token"]["audience"] = named;
        let issuer = issuer(&config);
        let old = issuer.identify(&value(&model.jwt(&audience))).unwrap();
        assert!(accepted(&issuer.probe(&old).await));
        let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert_eq!(fact(&disabled, "already"), &json!(false), "the resource let it in before");
        let seen = issuer.probe(&old).await;
        assert_eq!(refused(&seen, "invalid_token"), dead, "{audience}: {seen:?}");
        if let Probe::Refused { message, .. } = &seen {
            assert!(message.contains("by itself the token ends at 2096-"), "{message}");
        }
        assert!(!format!("{seen:?}").contains("urn:"), "nothing of the token is repeated: {seen:?}");
    }
}

/// The trap: introspection calls it active, and the resource refuses it all along.
#[tokio::test]
async fn what_introspection_alone_calls_active_was_not_seen_to_be_good() {
    let model = Model::start(|_| {});
    let world = World::new();
    let mut config = access(&model);
    config["token"]["resource"] = json!(world.server.resource("asks"));
    let issuer = issuer(&config);
    let old = leaked(&*issuer, &model, "of-another-api");
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&disabled, "already"), &Value::Null);
}

/// `invalid_grant` and `invalid_token` are also what another client's token gets (RFC 6749, section 5.2).
#[tokio::test]
async fn a_refusal_of_what_was_never_seen_to_be_good_says_nothing() {
    let world = World::new();
    let (theirs, _) = world.server.consent(&world.quell, "ines").unwrap();
    let wall = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"active\":false}";
    let proxy = Proxy::start(world.server.port(), "introspection", Fault::Say(wall), 1000).await;
    let place = format!("{}/token/introspection", proxy.addr);
    let issuer = world.issuer(&through(world.refresh(&[]), "introspection", &place));
    let old = issuer.identify(&value(&theirs)).unwrap();
    assert!(refused(&issuer.probe(&old).await, "invalid_grant"));
    let why = issuer.unproven(&old).await.unwrap();
    assert!(why.contains("what another client or another server issued is refused alike"), "{why}");
    assert!(world.server.is_active(&theirs).unwrap());
}

/// The trap: where the scope is ignored, a try is a use.
#[tokio::test]
async fn a_refresh_token_of_a_blind_server_is_tried_only_once_it_is_ended() {
    let model = Model::start(|state| {
        state.introspects = false;
        state.scope = Scope::Never;
    });
    let issuer = issuer(&refresh(&model, &[]));
    let old = leaked(&*issuer, &model, "R1");
    let disable = IssuerOp::Disable { old: &old };
    for _ in 0..2 {
        let seen = issuer.probe(&old).await;
        assert!(inconclusive(&seen).contains("could use it up"), "{seen:?}");
        assert_eq!(retryable(&issuer.observe(disable).await.outcome), Some(true));
    }
    assert!(model.state().live.contains("R1"), "looking at it changes nothing");
    let disabled = issuer.perform(disable).await.outcome;
    assert_eq!(fact(&disabled, "already"), &json!(false));
    assert!(model.state().live.is_empty(), "what the try gave is ended, too");
    assert!(refused(&issuer.probe(&old).await, "invalid_grant"));
    assert!(issuer.observe(disable).await.outcome.is_applied());
}

/// The trap: a server that looks at the scope first says the same of every token.
#[tokio::test]
async fn a_token_endpoint_that_looks_at_the_scope_first_says_nothing() {
    let model = Model::start(|state| state.scope = Scope::BeforeToken);
    let issuer = issuer(&refresh(&model, &[]));
    let old = leaked(&*issuer, &model, "R1");
    let words = "does not tell a refresh token that nobody has from one that is good";
    assert!(failed(&issuer.check().await).iter().any(|line| line.contains(words)));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let seen = issuer.probe(&old).await;
    assert!(inconclusive(&seen).contains(words), "{seen:?}");
}

/// A resource keeps for a moment what it was told of a JWT, and that is not called the last word.
#[tokio::test]
async fn a_resource_that_notices_late_is_waited_for() {
    let model = Model::start(|state| state.notices_after = 3);
    let issuer = issuer(&access(&model));
    let old = issuer.identify(&value(&model.jwt(&json!(model.at("/"))))).unwrap();
    let disable = IssuerOp::Disable { old: &old };
    let disabled = issuer.perform(disable).await.outcome;
    assert!(disabled.is_applied(), "{disabled:?}");
    model.state().notices_after = 1;
    let seen = issuer.observe(disable).await.outcome;
    assert_eq!(retryable(&seen), Some(true), "{seen:?}");
    model.state().notices_after = 1000;
    let last = issuer.perform(disable).await.outcome;
    assert!(reason(&last).contains("goes on until it ends by itself"), "{last:?}");
    assert_eq!(retryable(&last), Some(false));
}

#[tokio::test]
async fn the_token_of_a_control_is_revoked_whatever_becomes_of_it() {
    let model = Model::start(|state| state.breaks = true);
    let issuer = issuer(&access(&model));
    assert!(inconclusive(&issuer.control().await).contains("it answered 500"));
    let state = model.state();
    assert_eq!(state.minted.len(), 1);
    assert!(state.live.is_empty() && state.revoked == ["made-0"], "{:?}", state.revoked);
}

/// A 503 may come from something before the server, which has done it.
#[tokio::test]
async fn a_503_is_no_word_of_the_server_about_a_mint() {
    let world = World::new();
    let busy = "HTTP/1.1 503 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let proxy = Proxy::start(world.server.port(), "/token ", Fault::Say(busy), 1).await;
    let issuer = world.issuer(&through(world.access("asks"), "token", &format!("{}/token", proxy.addr)));
    let new = issuer.choose(None, "tag").await.unwrap();
    let made = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(unknown(&made), "{made:?}");
}

/// What a server says is bounded, and nothing that was sent comes back in it.
#[tokio::test]
async fn what_a_server_repeats_is_taken_out() {
    let token = "canary_token_1";
    let model = Model::start(|state| {
        state.client = Some(format!("{token} {}", "x".repeat(5000)));
        state.echoes = true;
    });
    let config = access(&model);
    let tokens = issuer(&config);
    let old = leaked(&*tokens, &model, token);
    let seen = format!("{:?}", tokens.probe(&old).await);
    assert!(seen.contains("… xxx") && !seen.contains(token) && seen.len() < 500, "{seen}");
    let outcome = tokens.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let said = reason(&outcome);
    assert!(said.contains("alone may revoke it") && !said.contains(token) && said.len() < 600, "{said}");
    model.state().live.clear();
    let grants = issuer(&refresh(&model, &[]));
    let seen = grants.probe(&old).await;
    assert!(!inconclusive(&seen).contains("canary"), "{seen:?}");
}

#[tokio::test]
async fn the_checks_log_in_as_whoever_must_act() {
    let world = World::new();
    let mut config = world.refresh(&[]);
    config["client"]["secret"] = json!("env:STALE");
    let ctx = context(&[("STALE", "CANARY-stale"), ("QUELL", &world.quell.secret)]);
    let stale = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
    let checks = stale.check().await;
    let lines = failed(&checks);
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("invalid_client")), "{lines:?}");
    for nowhere in ["absent", "open"] {
        let checks = world.issuer(&world.access(nowhere)).check().await;
        assert_eq!(failed(&checks).len(), 1, "{checks:?}");
    }
    let checks = world.issuer(&world.access("absent")).check().await;
    assert!(failed(&checks)[0].contains("the resource answered 404"), "{checks:?}");
}

/// Tokens of which neither introspection nor anything else tells the age.
#[tokio::test]
async fn tokens_that_cannot_be_told_from_a_new_grants_are_left_alone_and_said() {
    let model = Model::start(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let family = kept(&folder, "access", "A1");
    let issuer = issuer(&refresh(&model, std::slice::from_ref(&family)));
    let old = leaked(&*issuer, &model, "R1");
    model.state().live.insert("A1".to_owned());
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 2);
    // While the grant is good, so is what it gave.
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!((fact(&disabled, "already"), fact(&disabled, "undated_ended")), (&json!(false), &json!(1)));
    let cutoff = fact(&disabled, "cutoff").as_str().unwrap().to_owned();
    let sever = IssuerOp::Sever { old: &old, cutoff: Some(&cutoff) };
    assert!(issuer.perform(sever).await.outcome.is_applied());
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 0);

    kept(&folder, "access", "A2");
    model.state().live.insert("A2".to_owned());
    let error = issuer.sessions(&old, Some(&cutoff)).await.unwrap_err();
    assert!(error.detail.contains("cannot be told apart from one of a new grant"), "{error:?}");
    let severed = issuer.perform(sever).await.outcome;
    assert!(unknown(&severed) && model.state().live.contains("A2"), "{severed:?}");
    // A second look at what is dead gives no moment by which others are told, and ends none of them.
    let again = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&again, "already"), &json!(true));
    assert!(!format!("{again:?}").contains("cutoff"), "{again:?}");
    assert!(model.state().live.contains("A2"));
    // One that says when it was issued is told apart.
    model.state().says_iat = true;
    assert_eq!(issuer.sessions(&old, Some("2026-01-01T00:00:00Z")).await.unwrap(), 0);
    assert_eq!(issuer.sessions(&old, Some("2026-11-23T23:00:00Z")).await.unwrap(), 1);
}

#[tokio::test]
async fn a_family_that_cannot_be_looked_at_is_not_counted_as_gone() {
    let world = World::new();
    let (refresh, access) = world.server.consent(&world.orders, "ines").unwrap();
    let file = world.server.folder().join("access");
    std::fs::write(&file, &access).unwrap();
    let reference = format!("file:{}", file.display());
    let mut config = world.refresh(&[&reference, "file:/nonexistent/none"]);
    let issuer = world.issuer(&config);
    let old = issuer.identify(&value(&refresh)).unwrap();
    let checks = issuer.check().await;
    let lines = failed(&checks);
    assert!(lines.len() == 1 && lines[0].starts_with("file:/nonexistent/none holds none"), "{lines:?}");
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let severed = issuer.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome;
    assert_eq!((fact(&severed, "absent"), fact(&severed, "remaining")), (&json!(1), &json!(0)));
    // Introspection says inactive, and the resource says nothing of it.
    config["token"]["resource"] = json!(world.server.resource("wall"));
    let walled = world.issuer(&config);
    let error = walled.sessions(&old, None).await.unwrap_err();
    assert!(error.detail.starts_with("sessions could not be counted: file:"), "{error:?}");
    assert!(!walled.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome.is_applied());
    // Without a door nobody could tell.
    config["token"].as_object_mut().unwrap().remove("resource");
    let error = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &world.context()).err().unwrap();
    assert_eq!(error.key.as_deref(), Some("token.family"));
}

#[tokio::test]
async fn people_are_told_who_is_cut_off() {
    let model = Model::start(|_| {});
    let warnings = issuer(&refresh(&model, &[])).warnings(None).await;
    assert!(warnings.iter().any(|line| line.contains("is cut off from the moment")), "{warnings:?}");
}
