//! Tokens: revoke by accessor, mint with a tag, lost answers.

use std::sync::atomic::Ordering;

use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use quell_testkit::openbao::Server;
use serde_json::{Value, json};

use crate::proxy::{Fault, Proxy};
use crate::{context, fact, failed, issuer, policy, reason, retryable, unknown, value};

/// A token and its accessor, made with `parent`.
fn make(server: &Server, parent: &str, body: &Value) -> (String, String) {
    let (status, answer) = server.request_as(parent, "POST", "auth/token/create", body).unwrap();
    assert_eq!(status, 200, "{answer}");
    let text = |pointer: &str| answer.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    (text("/auth/client_token"), text("/auth/accessor"))
}

fn alive(server: &Server, token: &str) -> bool {
    server.request_as(token, "GET", "auth/token/lookup-self", &Value::Null).unwrap().0 == 200
}

fn refused(probe: &Probe) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == "403")
}

fn accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

const PARENT: &str = "path \"auth/token/create\" { capabilities = [\"update\"] }";

#[tokio::test]
async fn children_die_with_their_parent_and_a_repeat_is_applied() {
    let server = Server::start().unwrap();
    let root = server.root_token().to_owned();
    server.request("PUT", "sys/policies/acl/parent", &json!({ "policy": PARENT })).unwrap();
    let (parent, accessor) = make(&server, &root, &json!({ "policies": ["parent"], "ttl": "1h" }));
    let (child, _) = make(&server, &parent, &json!({ "ttl": "30m" }));
    let issuer = issuer(&context(&server.addr(), &root), &json!({ "token": { "accessor": accessor } }));
    assert_eq!(failed(&issuer.check().await), Vec::<&str>::new());
    assert!(!issuer.capabilities().can_mint);

    let old = issuer.identify(&value(&parent)).unwrap();
    assert_eq!(old.principal, accessor);
    assert!(accepted(&issuer.probe(&old).await));
    assert!(accepted(&issuer.control().await));
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
    assert_eq!(retryable(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome), Some(true));
    assert!(alive(&server, &child), "neither probe nor observe changes anything");

    for already in [json!(false), Value::Null] {
        let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        let Outcome::Applied { facts } = &done else { panic!("{done:?}") };
        assert_eq!(facts.get("already").unwrap_or(&Value::Null), &already, "found once");
        assert!(issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
        assert!(issuer.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome.is_applied());
    }
    assert!(refused(&issuer.probe(&old).await));
    assert!(!alive(&server, &child), "the child ended too");
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 0);
    let log = std::fs::read_to_string(server.audit_log()).unwrap();
    assert!(!log.contains(&parent) && !log.contains(&child), "a token is in the audit log in clear");
}

#[tokio::test]
async fn the_accessor_alone_revokes_and_the_value_wins_over_a_stale_accessor() {
    let server = Server::start().unwrap();
    let root = server.root_token().to_owned();
    let (first, accessor) = make(&server, &root, &json!({ "policies": ["default"], "ttl": "1h" }));
    let (second, _) = make(&server, &root, &json!({ "policies": ["default"], "ttl": "1h" }));
    let issuer = issuer(&context(&server.addr(), &root), &json!({ "token": { "accessor": accessor } }));
    let by_accessor = Credential { principal: accessor.clone(), value: value("") };
    let outcome = issuer.perform(IssuerOp::Disable { old: &by_accessor }).await.outcome;
    assert_eq!(fact(&outcome, "accessor"), &json!(accessor));
    let Outcome::Applied { facts } = &outcome else { panic!("{outcome:?}") };
    assert!(!facts.contains_key("already"), "which value that was is not known");
    assert!(!alive(&server, &first) && alive(&server, &second));
    // The inventory still names the first one's accessor, which is gone; the value is another token's.
    let leaked = issuer.identify(&value(&second)).unwrap();
    assert_eq!(retryable(&issuer.observe(IssuerOp::Disable { old: &leaked }).await.outcome), Some(true));
    assert!(issuer.perform(IssuerOp::Disable { old: &leaked }).await.outcome.is_applied());
    assert!(!alive(&server, &second));
}

#[tokio::test]
async fn a_token_without_the_default_policy_is_never_proven_dead_by_mistake() {
    let server = Server::start().unwrap();
    let root = server.root_token().to_owned();
    server.request("PUT", "sys/policies/acl/parent", &json!({ "policy": PARENT })).unwrap();
    let body = json!({ "policies": ["parent"], "no_default_policy": true, "ttl": "1h" });
    let (token, _) = make(&server, &root, &body);
    let issuer = issuer(&context(&server.addr(), &root), &json!({ "token": {} }));
    let old = issuer.identify(&value(&token)).unwrap();
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
    assert!(issuer.warnings(Some(&old.value)).await.iter().any(|line| line.contains("look itself up")));
    // Nobody can see it accepted; that it was there is what shows that it was valid.
    assert_eq!(
        fact(&issuer.perform(IssuerOp::Disable { old: &old }).await.outcome, "already"),
        &json!(false)
    );
    assert!(refused(&issuer.probe(&old).await));
    let warnings = issuer.warnings(Some(&value(&root))).await;
    assert!(warnings.iter().any(|line| line.contains("locks Quell out")), "{warnings:?}");
}

#[tokio::test]
async fn a_batch_token_is_refused_with_words() {
    let server = Server::start().unwrap();
    let root = server.root_token().to_owned();
    let (token, _) = make(&server, &root, &json!({ "type": "batch", "policies": ["default"], "ttl": "1h" }));
    let issuer = issuer(&context(&server.addr(), &root), &json!({ "token": {} }));
    let old = issuer.identify(&value(&token)).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("batch token"), "{outcome:?}");
}

#[tokio::test]
async fn a_successor_is_minted_once_and_a_lost_one_is_found_and_revoked() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(server.port(), "auth/token/create", Fault::DropAnswer, 1).await;
    let config = json!({ "token": { "policies": ["default"], "ttl": "20m" } });
    // With the policy of the operator's page, not as root.
    let token = server.token_with("documented", &policy(1)).unwrap();
    let issuer = issuer(&context(&proxy.addr, &token), &config);
    assert_eq!(failed(&issuer.check().await), Vec::<&str>::new());
    let tag = "INC-2026-0001/mint";
    let chosen = issuer.choose(None, tag).await.unwrap();
    assert!(chosen.value.is_empty());
    let install = || IssuerOp::Install { new: &chosen };

    assert_eq!(reason(&issuer.observe(install()).await.outcome), "no token carries the tag");
    let lost = issuer.perform(install()).await;
    assert!(unknown(&lost.outcome), "{lost:?}");
    assert_eq!(proxy.hits.load(Ordering::SeqCst), 1);
    let seen = issuer.observe(install()).await.outcome;
    assert_eq!(retryable(&seen), Some(true));
    assert!(reason(&seen).contains("lost with the answer"), "{seen:?}");

    let performed = issuer.perform(install()).await;
    let strangers = fact(&performed.outcome, "strangers_revoked").as_array().unwrap().clone();
    assert_eq!(strangers.len(), 1);
    assert_eq!(fact(&performed.outcome, "ttl_seconds"), 1200);
    let minted = performed.minted.unwrap();
    assert!(!format!("{:?}", performed.outcome).contains(minted.value.expose_text().unwrap()));
    assert!(accepted(&issuer.probe(&minted).await));
    assert!(issuer.observe(IssuerOp::Install { new: &minted }).await.outcome.is_applied());
    assert!(issuer.perform(IssuerOp::Install { new: &minted }).await.minted.is_none(), "no second one");

    // Exactly one token carries the tag.
    let list = server.request("GET", "auth/token/accessors?list=true", &Value::Null).unwrap();
    let accessors = list["data"]["keys"].as_array().unwrap();
    let tagged = accessors.iter().filter(|accessor| {
        let body = json!({ "accessor": accessor });
        let facts = server.request("POST", "auth/token/lookup-accessor", &body).unwrap();
        facts["data"]["meta"]["quell"] == tag
    });
    assert_eq!(tagged.collect::<Vec<_>>(), [&json!(minted.principal)]);
}

#[tokio::test]
async fn an_orphan_successor_outlives_our_own_token() {
    let server = Server::start().unwrap();
    let create = policy(1).replace("auth/token/create\"", "auth/token/create-orphan\"");
    let token = server.token_with("documented", &create).unwrap();
    let config = json!({ "token": { "policies": ["default"], "orphan": true } });
    let issuer = issuer(&context(&server.addr(), &token), &config);
    assert_eq!(failed(&issuer.check().await), Vec::<&str>::new());
    let chosen = issuer.choose(None, "tag").await.unwrap();
    let minted = issuer.perform(IssuerOp::Install { new: &chosen }).await.minted.unwrap();
    server.request("POST", "auth/token/revoke", &json!({ "token": token })).unwrap();
    assert!(alive(&server, minted.value.expose_text().unwrap()));
}

#[tokio::test]
async fn a_missing_permission_names_what_to_grant() {
    let server = Server::start().unwrap();
    let token = server.token_with("nothing", "path \"kv/*\" { capabilities = [\"read\"] }").unwrap();
    let config = json!({ "token": { "policies": ["default"] } });
    let issuer = issuer(&context(&server.addr(), &token), &config);
    insta::assert_debug_snapshot!(failed(&issuer.check().await), @r#"
    [
        "missing: update; a policy must give it on `auth/token/lookup-accessor`",
        "missing: update; a policy must give it on `auth/token/revoke-accessor`",
        "missing: update; a policy must give it on `auth/token/create`",
        "missing: list, sudo; a policy must give it on `auth/token/accessors/`",
    ]
    "#);
    let chosen = issuer.choose(None, "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &chosen }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("`list, sudo` on `auth/token/accessors`"), "{outcome:?}");
    let old = Credential { principal: "an-accessor".to_owned(), value: value("") };
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("`update` on `auth/token/revoke-accessor`"), "{outcome:?}");
}

#[test]
fn a_token_or_root_in_the_configuration_is_refused() {
    let ctx = context("https://bao.test:8200", "t");
    let build =
        |config: Value| quell_connect::openbao::CONNECTOR.issuer.unwrap()(&config, &ctx).err().unwrap();
    let error = build(json!({ "token": { "accessor": "s.pasted-token-by-mistake" } }));
    assert!(!format!("{error:?}").contains("pasted-token"), "{error:?}");
    assert_eq!(error.key.as_deref(), Some("accessor"));
    assert_eq!(build(json!({ "token": { "policies": ["root"] } })).key.as_deref(), Some("policies"));
    assert!(build(json!({ "kv": {} })).message.contains("unknown variant"));
    assert!(build(json!({ "token": {}, "database": {} })).message.contains("single"));
}
