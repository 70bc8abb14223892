//! KV v2 as a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quell_connect::connector::Store;
use quell_connect::context::Context;
use quell_connect::error::ConnectErrorKind;
use quell_connect::openbao::CONNECTOR;
use quell_connect::openbao::sandbox::Sandbox;
use quell_connect::source::SecretSource;
use quell_testkit::openbao::Server;
use serde_json::{Value, json};

use crate::proxy::{Fault, Proxy};
use crate::{context, fact, failed, policy, reason, retryable, unknown, value};

fn store_at(ctx: &Context, mount: &str) -> Box<dyn Store> {
    let config = json!({ "mount": mount, "path": "apps/orders", "key": "DATABASE_URL" });
    CONNECTOR.store.unwrap()(&config, ctx).unwrap()
}

fn store(ctx: &Context) -> Box<dyn Store> {
    store_at(ctx, "kv")
}

/// What any KV v2 must do.
async fn scenario(addr: &str, token: &str) {
    let ctx = context(addr, token);
    let store = store(&ctx);
    assert_eq!(failed(&store.check().await), Vec::<&str>::new());
    assert!(store.read().await.unwrap().is_none());
    let (old, new) = (value("postgres://orders:old-password@db/orders"), value("second-value-1"));
    assert_eq!(retryable(&store.observe_write(&old).await), Some(true));
    assert_eq!(fact(&store.observe_purge(&[&old]).await, "history"), &json!(true));

    assert_eq!(fact(&store.write(&old).await, "version"), "1");
    assert_eq!(fact(&store.write(&old).await, "version"), "1", "a repeat finds the first");
    assert_eq!(fact(&store.observe_write(&old).await, "version"), "1");
    // The compromised value is still current: it is not destroyed.
    let refused = store.purge(&[&old]).await;
    assert_eq!(retryable(&refused), Some(false));
    assert!(reason(&refused).contains("write a new version first"), "{refused:?}");

    assert_eq!(fact(&store.write(&new).await, "version"), "2");
    assert_eq!(retryable(&store.observe_write(&old).await), Some(true));
    let stored = store.read().await.unwrap().unwrap();
    assert!(stored.value.same_as(&new) && stored.version == "2");

    // The password alone finds the URL that carries it.
    let password = value("old-password");
    assert_eq!(retryable(&store.observe_purge(&[&password]).await), Some(true));
    assert_eq!(fact(&store.purge(&[&password]).await, "destroyed"), &json!(["1"]));
    assert_eq!(fact(&store.purge(&[&password]).await, "destroyed"), &json!([]), "a repeat finds it done");
    assert!(store.observe_purge(&[&old]).await.is_applied());
    assert!(store.read().await.unwrap().unwrap().value.same_as(&new));

    let reference: SecretSource = "openbao:kv/apps/orders#DATABASE_URL".parse().unwrap();
    assert!(reference.resolve(&ctx).await.unwrap().same_as(&new));
    for (reference, words) in [
        ("openbao:kv/apps/orders#NONE", "has no key `NONE`"),
        ("openbao:kv/apps/none#KEY", "there is nothing at `kv/apps/none`"),
        ("openbao:kv/../sys/health#KEY", "not a path in OpenBao"),
    ] {
        let error = reference.parse::<SecretSource>().unwrap().resolve(&ctx).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }

    // A token that nobody knows.
    let stranger = context(addr, "s.not-a-token-of-this-server");
    let error = self::store(&stranger).read().await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Denied);
    assert!(error.detail.contains("not accepted"), "{error}");
    assert!(!format!("{error:?}").contains("not-a-token-of-this-server"), "{error:?}");
}

/// Deleted versions can be undeleted, so a purge destroys them; neighbours and other versions stay.
async fn exactness(addr: &str, token: &str, ask: &dyn Fn(&str, &str, &Value)) {
    let store = store(&context(addr, token));
    let path = "kv/data/apps/orders";
    let put = |data: Value| ask("POST", path, &json!({ "data": data }));
    put(json!({ "DATABASE_URL": "the-first-value", "other": "kept", "n": 1, "deep": { "x": [true] } }));
    put(json!({ "DATABASE_URL": "an-unrelated-value", "other": "kept" }));
    put(json!({ "DATABASE_URL": "another-value", "copy": "the-first-value" }));
    put(json!({ "DATABASE_URL": "deleted-later", "other": "kept", "n": 1, "deep": { "x": [true] } }));
    put(json!({ "DATABASE_URL": "the-first-value", "other": "kept", "n": 1, "deep": { "x": [true] } }));
    ask("POST", "kv/delete/apps/orders", &json!({ "versions": [4] }));

    let old = value("the-first-value");
    assert_eq!(fact(&store.write(&value("brand-new-value")).await, "version"), "6");
    assert_eq!(fact(&store.purge(&[&old]).await, "destroyed"), &json!(["1", "3", "4", "5"]));
    assert!(store.observe_purge(&[&old]).await.is_applied());
    assert_eq!(retryable(&store.observe_purge(&[&value("an-unrelated-value")]).await), Some(true));
    let neighbours: SecretSource = "openbao:kv/apps/orders#other".parse().unwrap();
    assert!(neighbours.resolve(&context(addr, token)).await.unwrap().same_as(&value("kept")));

    // A deleted current version: nothing to read, the next write still finds its number, and a purge waits.
    ask("DELETE", path, &Value::Null);
    assert!(store.read().await.unwrap().is_none());
    let refused = store.purge(&[&old]).await;
    assert!(reason(&refused).contains("can be undeleted"), "{refused:?}");
    assert_eq!(fact(&store.write(&value("after-delete")).await, "version"), "7");
    assert_eq!(fact(&store.purge(&[&old]).await, "destroyed"), &json!(["6"]));
}

#[tokio::test]
async fn the_scenario_holds_on_the_real_server_and_no_value_is_in_its_audit_log() {
    let server = Server::start().unwrap();
    scenario(&server.addr(), server.root_token()).await;
    let log = std::fs::read_to_string(server.audit_log()).unwrap();
    assert!(log.contains("kv/destroy/apps/orders"), "the destroy is in the audit log");
    for secret in ["old-password", "second-value-1", server.root_token()] {
        assert!(!log.contains(secret), "a value is in the audit log in clear");
    }
}

#[tokio::test]
async fn the_scenario_holds_on_the_sandbox() {
    let sandbox = Sandbox::start().await.unwrap();
    scenario(sandbox.addr(), sandbox.token()).await;
}

#[tokio::test]
async fn a_purge_destroys_exactly_what_may_hold_the_value() {
    let server = Server::start().unwrap();
    let ask = |method: &str, path: &str, body: &Value| drop(server.request(method, path, body).unwrap());
    exactness(&server.addr(), server.root_token(), &ask).await;
    let kept = server.request("GET", "kv/data/apps/orders?version=2", &Value::Null).unwrap();
    assert_eq!(kept["data"]["data"]["DATABASE_URL"], "an-unrelated-value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_as_exact_on_the_sandbox() {
    let sandbox = Sandbox::start().await.unwrap();
    let (addr, token) = (sandbox.addr().to_owned(), sandbox.token().to_owned());
    let ask = |method: &str, path: &str, body: &Value| {
        let port = addr.rsplit(':').next().unwrap().parse().unwrap();
        let (status, answer) = quell_testkit::openbao::ask(port, &token, method, path, body).unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    };
    exactness(&addr, &token, &ask).await;
}

#[tokio::test]
async fn neighbours_are_kept_and_inexact_ones_refused() {
    let server = Server::start().unwrap();
    let store = store(&context(&server.addr(), server.root_token()));
    let neighbours = json!({ "a": "x", "n": [1, 2.5, null], "m": { "k": true } });
    server.request("POST", "kv/data/apps/orders", &json!({ "data": neighbours })).unwrap();
    assert_eq!(fact(&store.write(&value("new-value")).await, "version"), "2");
    let answer = server.request("GET", "kv/data/apps/orders", &Value::Null).unwrap();
    let expected = json!({ "a": "x", "n": [1, 2.5, null], "m": { "k": true }, "DATABASE_URL": "new-value" });
    assert_eq!(answer["data"]["data"], expected);

    let huge: Value = serde_json::from_str("1e300").unwrap();
    server.request("POST", "kv/data/apps/orders", &json!({ "data": { "big": huge } })).unwrap();
    let refused = store.write(&value("new-value")).await;
    assert_eq!(retryable(&refused), Some(false));
    assert!(reason(&refused).contains("cannot be copied exactly"), "{refused:?}");

    server.request("POST", "kv/data/apps/orders", &json!({ "data": { "DATABASE_URL": 5 } })).unwrap();
    assert!(store.read().await.unwrap_err().detail.contains("something other than text"));
}

#[tokio::test]
async fn a_concurrent_writer_is_a_conflict_and_is_not_overwritten() {
    let server = Server::start().unwrap();
    let ctx = context(&server.addr(), server.root_token());
    store(&ctx).write(&value("start")).await;
    let texts = ["one-of-four", "two-of-four", "three-of-four", "four-of-four"];
    let stores = texts.map(|_| store(&ctx));
    let values = texts.map(value);
    let [a, b, c, d] = &stores;
    let (a, b, c, d) =
        tokio::join!(a.write(&values[0]), b.write(&values[1]), c.write(&values[2]), d.write(&values[3]));
    let outcomes = [a, b, c, d];
    let applied = outcomes.iter().filter(|outcome| outcome.is_applied()).count();
    let versions = server.request("GET", "kv/metadata/apps/orders", &Value::Null).unwrap();
    let written = versions["data"]["current_version"].as_u64().unwrap();
    assert_eq!(usize::try_from(written).unwrap(), applied + 1, "each version was written by who says so");
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_applied()) {
        assert_eq!(retryable(outcome), Some(true), "{outcome:?}");
        assert!(reason(outcome).contains("somebody wrote version"), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_write_is_unknown_and_the_repeat_finds_it() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(server.port(), "POST /v1/kv/data", Fault::DropAnswer, 1).await;
    let store = store(&context(&proxy.addr, server.root_token()));
    let outcome = store.write(&value("new-value")).await;
    assert!(unknown(&outcome), "{outcome:?}");
    assert_eq!(proxy.hits.load(Ordering::SeqCst), 1);
    assert!(store.observe_write(&value("new-value")).await.is_applied());
    assert_eq!(fact(&store.write(&value("new-value")).await, "version"), "1");
}

#[tokio::test]
async fn a_conflict_with_our_own_earlier_write_is_applied() {
    let server = Server::start().unwrap();
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{\"errors\":[]}";
    server.request("POST", "kv/data/apps/orders", &json!({ "data": { "DATABASE_URL": "ours" } })).unwrap();
    // The first read says that there is nothing; the write with cas=0 meets version 1.
    let proxy = Proxy::start(server.port(), "GET /v1/kv/data", Fault::Say(answer), 1).await;
    let store = store(&context(&proxy.addr, server.root_token()));
    assert_eq!(fact(&store.write(&value("ours")).await, "version"), "1");
}

#[tokio::test]
async fn a_hung_server_is_unknown_within_the_limit() {
    let proxy = Proxy::start(1, "", Fault::Hang, usize::MAX).await;
    let mut ctx = context(&proxy.addr, "s.token");
    ctx.call_limit = Duration::from_millis(300);
    let store = store(&ctx);
    let began = started();
    assert!(unknown(&store.write(&value("new-value")).await));
    assert!(unknown(&store.observe_purge(&[&value("new-value")]).await));
    assert_eq!(store.read().await.unwrap_err().kind, ConnectErrorKind::Lost);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[expect(clippy::disallowed_methods, reason = "the test measures")]
fn started() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn hostile_answers_are_clear_errors() {
    for (answer, words) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "the answer does not say what the mount is"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "the answer does not say what the mount is"),
        ("HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "302"),
        ("HTTP/1.1 307 T\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "active node"),
        ("HTTP/1.1 501 N\r\nContent-Length: 0\r\n\r\n", "not initialised"),
        ("HTTP/1.1 473 N\r\nContent-Length: 0\r\n\r\n", "standby"),
        ("HTTP/1.1 502 N\r\nContent-Length: 0\r\n\r\n", "502"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "reading the secret"),
    ] {
        let proxy = Proxy::start(1, "", Fault::Say(answer), usize::MAX).await;
        let error = store(&context(&proxy.addr, "s.token")).read().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    // Words that quote what was sent, and our token.
    let echo = "HTTP/1.1 500 E\r\nContent-Length: 66\r\n\r\n{\"errors\":[\"cannot store the-new-value for s.token-of-ours \\u001b[2J\"]}";
    let server = Server::start().unwrap();
    let proxy = Proxy::start(server.port(), "POST /v1/kv/data", Fault::Say(echo), usize::MAX).await;
    let policy = "path \"kv/*\" { capabilities = [\"read\", \"create\", \"update\"] }";
    let token = server.token_with("writer", policy).unwrap();
    let outcome = store(&context(&proxy.addr, &token)).write(&value("the-new-value")).await;
    assert!(unknown(&outcome), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("the-new-value"), "{outcome:?}");
    assert!(!reason(&outcome).contains('\u{1b}'), "{outcome:?}");
}

#[tokio::test]
async fn a_sealed_or_absent_server_is_worth_another_try() {
    let mut server = Server::start().unwrap();
    let ctx = context(&server.addr(), server.root_token());
    server.request("PUT", "sys/seal", &Value::Null).unwrap();
    let outcome = store(&ctx).write(&value("new-value")).await;
    assert_eq!(retryable(&outcome), Some(true));
    assert!(reason(&outcome).contains("sealed"), "{outcome:?}");
    assert!(failed(&store(&ctx).check().await)[0].contains("sealed"));
    server.stop().unwrap();
    // Another pool: a connection that breaks in use is another matter (nobody knows what had arrived).
    let ctx = context(&server.addr(), server.root_token());
    let outcome = store(&ctx).write(&value("new-value")).await;
    assert_eq!(retryable(&outcome), Some(true), "{outcome:?}");
}

#[tokio::test]
async fn a_missing_permission_is_named_with_path_and_capability() {
    let server = Server::start().unwrap();
    server.request("POST", "kv/data/apps/orders", &json!({ "data": { "DATABASE_URL": "x" } })).unwrap();
    let policy = "path \"kv/data/apps/orders\" { capabilities = [\"read\"] }";
    let token = server.token_with("reader", policy).unwrap();
    let store = store(&context(&server.addr(), &token));
    let outcome = store.write(&value("new-value")).await;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("`update` on `kv/data/apps/orders`"), "{outcome:?}");
    let checks = store.check().await;
    insta::assert_debug_snapshot!(failed(&checks), @r#"
    [
        "missing: create, update; a policy must give it on `kv/data/apps/orders`",
        "missing: read; a policy must give it on `kv/metadata/apps/orders`",
        "missing: update; a policy must give it on `kv/destroy/apps/orders`",
    ]
    "#);
}

/// The policy in the operator's page is enough.
#[tokio::test]
async fn the_documented_policy_suffices() {
    let server = Server::start().unwrap();
    // The scenario also looks at a place that is empty.
    let more = "path \"kv/data/apps/none\" { capabilities = [\"read\"] }";
    let token = server.token_with("documented", &format!("{}{more}", policy(0))).unwrap();
    scenario(&server.addr(), &token).await;
}

#[tokio::test]
async fn other_mounts_are_refused_with_a_hint() {
    let server = Server::start().unwrap();
    let v1 = json!({ "type": "kv", "options": { "version": "1" } });
    server.request("POST", "sys/mounts/old", &v1).unwrap();
    server.request("POST", "sys/mounts/transit", &json!({ "type": "transit" })).unwrap();
    let ctx = context(&server.addr(), server.root_token());
    for (mount, words) in [
        ("old", "bao kv enable-versioning old/"),
        ("transit", "`transit` mount, not KV"),
        ("absent", "there is no mount `absent/`"),
    ] {
        let outcome = store_at(&ctx, mount).write(&value("new-value")).await;
        assert_eq!(retryable(&outcome), Some(false), "{outcome:?}");
        assert!(reason(&outcome).contains(words), "{outcome:?}");
    }
    let nothing =
        server.request_as(server.root_token(), "GET", "old/data/apps/orders", &Value::Null).unwrap();
    assert_eq!(nothing.0, 404, "nothing was written");
}

#[tokio::test]
async fn odd_names_reach_the_right_place() {
    let (server, sandbox) = (Server::start().unwrap(), Sandbox::start().await.unwrap());
    for (addr, token) in [(server.addr(), server.root_token()), (sandbox.addr().to_owned(), sandbox.token())]
    {
        let ctx = context(&addr, token);
        for path in ["a b/c+d", "per%41cent", "q?x=1#y", "münze/&"] {
            let config = json!({ "mount": "kv", "path": path, "key": "a key" });
            let store = CONNECTOR.store.unwrap()(&config, &ctx).unwrap();
            assert_eq!(fact(&store.write(&value(path)).await, "version"), "1", "{path}");
            assert!(store.read().await.unwrap().unwrap().value.same_as(&value(path)), "{path}");
        }
    }
}

#[tokio::test]
async fn what_the_bao_program_uses_is_enough_and_the_inventory_wins() {
    let server = Server::start().unwrap();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".vault-token"), format!("{}\n", server.root_token())).unwrap();
    let home = home.path().to_str().unwrap();
    let with = |pairs: &[(&str, &str)]| {
        let mut ctx = context("https://bao.test", "t");
        ctx.connections = Arc::default();
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ctx.environment = Arc::new(pairs.collect());
        ctx
    };
    let addr = server.addr();
    for pairs in [
        &[("BAO_ADDR", addr.as_str()), ("VAULT_ADDR", "http://127.0.0.1:1"), ("HOME", home)][..],
        &[("VAULT_ADDR", &addr), ("VAULT_TOKEN", server.root_token()), ("HOME", "/nonexistent")],
        &[("VAULT_ADDR", &addr), ("BAO_TOKEN", server.root_token()), ("VAULT_TOKEN", "s.wrong")],
    ] {
        assert!(store(&with(pairs)).read().await.unwrap().is_none());
    }
    let mut ctx = with(&[("BAO_ADDR", "http://127.0.0.1:1"), ("HOME", home)]);
    let connection = json!({ "address": addr });
    ctx.connections = Arc::new(BTreeMap::from([("openbao".to_owned(), connection)]));
    assert!(store(&ctx).read().await.unwrap().is_none());
    ctx.environment = Arc::new(BTreeMap::from([("BAO_NAMESPACE".to_owned(), "absent/".to_owned())]));
    let build =
        |ctx: &Context| CONNECTOR.store.unwrap()(&json!({ "mount": "kv", "path": "a", "key": "K" }), ctx);
    assert_eq!(build(&ctx).err().unwrap().key.as_deref(), Some("token"));
    assert_eq!(build(&with(&[("HOME", home)])).err().unwrap().key.as_deref(), Some("address"));
    for (connection, key) in [
        (json!({ "address": "https://h", "token": "openbao:kv/a#b" }), "token"),
        (json!({ "address": "https://h", "token": "env:T", "ca_file": "/nonexistent/ca.pem" }), "ca_file"),
        (json!({ "address": "https://h", "token": "env:T", "namespace": "a\nb" }), "namespace"),
    ] {
        ctx.connections = Arc::new(BTreeMap::from([("openbao".to_owned(), connection)]));
        assert_eq!(build(&ctx).err().unwrap().key.as_deref(), Some(key));
    }
}

#[test]
fn a_bad_configuration_is_told_with_its_key() {
    let ctx = context("https://bao.test:8200", "t");
    let store = |config: Value| CONNECTOR.store.unwrap()(&config, &ctx).err().unwrap().to_string();
    assert!(store(json!({ "mount": "kv", "path": "a", "key": "K", "extra": 1 })).contains("extra"));
    assert!(store(json!({ "mount": "kv", "path": "../sys", "key": "K" })).contains("not a path"));
    assert!(store(json!({ "mount": "", "path": "a", "key": "K" })).contains("not a path"));
    assert!(store(json!({ "mount": "kv", "path": "a", "key": "" })).contains("the key is empty"));
    for bad in ["ftp://h", "hunter2", "https://u:hunter2@h", "https://h/?t=hunter2"] {
        let ctx = context(bad, "t");
        let config = json!({ "mount": "kv", "path": "a", "key": "K" });
        let error = CONNECTOR.store.unwrap()(&config, &ctx).err().unwrap();
        assert_eq!(error.key.as_deref(), Some("address"));
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
