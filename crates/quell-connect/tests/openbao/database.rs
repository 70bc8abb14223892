//! Dynamic credentials on a real PostgreSQL, and KV where there are no leases.

use std::time::Duration;

use quell_connect::conformance;
use quell_connect::connector::{Issuer, IssuerOp};
use quell_connect::openbao::{ISSUE_TTL, issue};
use quell_core::outcome::Probe;
use quell_core::secret::Credential;
use quell_testkit::openbao::{Database, Server};
use quell_testkit::postgres;
use serde_json::{Value, json};

use crate::proxy::{Fault, Proxy};
use crate::{context, fact, failed, issuer, policy, reason, retryable, unknown, value};

const CREATE: &str = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
const END_SESSIONS: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'";
const DROP: &str = "DROP ROLE IF EXISTS \"{{name}}\"";

/// PostgreSQL behind OpenBao's role `orders`, with an account of its own for OpenBao.
fn start() -> (postgres::Server, Server) {
    let pg = postgres::Server::start(&[]).unwrap();
    pg.psql("CREATE ROLE bao SUPERUSER LOGIN PASSWORD 'bao-admin-password'").unwrap();
    let server = Server::start().unwrap();
    let url = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
        pg.port()
    );
    server
        .enable_database(&Database {
            mount: "database",
            url: &url,
            username: "bao",
            password: "bao-admin-password",
            role: "orders",
            creation: &[CREATE],
            revocation: &[END_SESSIONS, DROP],
            ttl: "1h",
        })
        .unwrap();
    (pg, server)
}

fn accounts(pg: &postgres::Server) -> String {
    pg.psql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'").unwrap().trim().to_owned()
}

fn config() -> Value {
    json!({ "database": { "mount": "database", "role": "orders" } })
}

#[tokio::test]
async fn a_prefix_is_revoked_and_the_accounts_are_really_gone() {
    let (mut pg, server) = start();
    // With the policy of the operator's page, not as root.
    let token = server.token_with("documented", &policy(2)).unwrap();
    let issuer = issuer(&context(&server.addr(), &token), &config());
    assert_eq!(failed(&issuer.check().await), Vec::<&str>::new());
    let chosen = issuer.choose(None, "tag").await.unwrap();
    let mut minted = Vec::new();
    for _ in 0..3 {
        minted.push(issuer.perform(IssuerOp::Install { new: &chosen }).await.minted.unwrap());
    }
    assert_eq!(accounts(&pg), "3");
    assert!(issuer.observe(IssuerOp::Install { new: &minted[0] }).await.outcome.is_applied());

    // One lease, then all of them.
    let outcome = issuer.perform(IssuerOp::Disable { old: &minted[0] }).await.outcome;
    assert!(outcome.is_applied(), "{outcome:?}");
    assert_eq!(accounts(&pg), "2");
    let old = issuer.identify(&minted[1].value).unwrap();
    assert_eq!(old.principal, "database/creds/orders");
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 2);
    assert_eq!(retryable(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome), Some(true));
    for _ in 0..2 {
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert_eq!(fact(&outcome, "leases"), 0);
        assert_eq!(fact(&outcome, "irrevocable"), 0);
    }
    assert_eq!(accounts(&pg), "0");
    assert!(issuer.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome.is_applied());
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }), "the database's door, not ours");
    let foreign = Credential { principal: "database/creds/orders-other".to_owned(), value: value("x") };
    assert_eq!(retryable(&issuer.perform(IssuerOp::Disable { old: &foreign }).await.outcome), Some(false));

    // The database is away: the lease cannot be revoked, and that is said.
    issuer.perform(IssuerOp::Install { new: &chosen }).await.minted.unwrap();
    pg.stop().unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("1 leases are alive under database/creds/orders"), "{outcome:?}");
    assert!(reason(&outcome).contains("connection refused"), "{outcome:?}");
    assert!(!reason(&outcome).contains("bao-admin-password"), "{outcome:?}");
}

#[tokio::test]
async fn issued_credentials_live_no_longer_than_asked() {
    let (pg, server) = start();
    let ctx = context(&server.addr(), server.root_token());
    let issued = issue(&ctx, "database", "orders", ISSUE_TTL).await.unwrap();
    assert_eq!(issued.lease_duration, 1800, "an hour was shortened");
    let ttl = server.request("PUT", "sys/leases/lookup", &json!({ "lease_id": issued.lease_id })).unwrap();
    assert!(ttl["data"]["ttl"].as_u64().unwrap() <= 1800);
    assert!(issue(&ctx, "database", "orders", Duration::from_hours(2)).await.unwrap().lease_duration == 3600);
    assert_eq!(accounts(&pg), "2");

    // May not renew: the long lease is revoked at once.
    let policy = "path \"database/creds/orders\" { capabilities = [\"read\"] }
        path \"sys/leases/renew\" { capabilities = [\"deny\"] }
        path \"sys/leases/revoke\" { capabilities = [\"update\"] }";
    let token = server.token_with("no-renew", policy).unwrap();
    let error = issue(&context(&server.addr(), &token), "database", "orders", ISSUE_TTL).await.unwrap_err();
    assert!(error.detail.contains("revoked at once; lower default_ttl"), "{error}");
    assert_eq!(accounts(&pg), "2");
    let error = issue(&ctx, "database", "absent", ISSUE_TTL).await.unwrap_err();
    assert!(error.detail.contains("unknown role"), "{error}");
}

#[tokio::test]
async fn irrevocable_leases_are_a_refusal_and_a_lost_answer_is_unknown() {
    const LIST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":{\"lease_count\":2,\"leases\":[\
        {\"lease_id\":\"database/creds/orders/abc\",\"error\":\"x\"},\
        {\"lease_id\":\"database/creds/orders-other/def\",\"error\":\"x\"}]}}";
    let server = Server::start().unwrap();
    server.request("POST", "sys/mounts/database", &json!({ "type": "database" })).unwrap();
    let proxy = Proxy::start(server.port(), "GET /v1/sys/leases?", Fault::Say(LIST), usize::MAX).await;
    let issuer = issuer(&context(&proxy.addr, server.root_token()), &config());
    let old = issuer.identify(&value("x")).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("1 leases are irrevocable"), "{outcome:?}");
    assert!(reason(&outcome).contains("database/creds/orders/abc"), "{outcome:?}");
    assert_eq!(retryable(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome), Some(false));

    let proxy = Proxy::start(server.port(), "revoke-prefix", Fault::DropAnswer, 1).await;
    let issuer = crate::issuer(&context(&proxy.addr, server.root_token()), &config());
    assert!(unknown(&issuer.perform(IssuerOp::Disable { old: &old }).await.outcome));
    assert!(issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
}

#[tokio::test]
async fn kv_has_no_leases_to_revoke() {
    let server = Server::start().unwrap();
    let ctx = context(&server.addr(), server.root_token());
    let issuer = issuer(&ctx, &json!({ "database": { "mount": "kv", "role": "orders" } }));
    let old = issuer.identify(&value("x")).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("KV issues no leases"), "{outcome:?}");
    assert!(issue(&ctx, "kv", "orders", ISSUE_TTL).await.unwrap_err().detail.contains("KV issues no leases"));
    assert!(failed(&issuer.check().await)[0].contains("KV issues no leases"));
}

/// An account that sees and ends sessions and nothing else, as the operator's page says.
fn watch(pg: &postgres::Server) -> String {
    pg.psql("CREATE ROLE watch LOGIN PASSWORD 'watch-password'; GRANT pg_signal_backend, pg_read_all_stats TO watch")
        .unwrap();
    pg.url("watch", "watch-password", "postgres")
}

/// Without statements that end sessions: those outlive their account.
fn start_with_a_door() -> (postgres::Server, Server, Box<dyn Issuer>) {
    let (pg, server) = start();
    let role = json!({
        "db_name": "main",
        "creation_statements": [CREATE],
        "revocation_statements": [DROP],
        "default_ttl": "1h",
    });
    server.request("POST", "database/roles/orders", &role).unwrap();
    let token = server.token_with("documented", &policy(2)).unwrap();
    let mut ctx = context(&server.addr(), &token);
    let mut environment = (*ctx.environment).clone();
    environment.insert("WATCH".to_owned(), watch(&pg));
    ctx.environment = environment.into();
    let config = json!({ "database": { "mount": "database", "role": "orders", "postgres": "env:WATCH" } });
    let issuer = issuer(&ctx, &config);
    (pg, server, issuer)
}

/// A credential of the role: its account, its URL, its lease.
fn lease(pg: &postgres::Server, server: &Server) -> (String, String, String) {
    let given = server.request("GET", "database/creds/orders", &Value::Null).unwrap();
    let text = |pointer: &str| given.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let user = text("/data/username");
    let url = pg.url(&user, &text("/data/password"), "postgres");
    (user, url, text("/lease_id"))
}

#[tokio::test]
async fn the_contract_is_kept_where_the_database_can_be_asked() {
    let (pg, server, issuer) = start_with_a_door();
    let (_, url, _) = lease(&pg, &server);
    let old = issuer.identify(&value(&url)).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert_eq!(accounts(&pg), "0");
    // The JSON of the vault is read alike, and what is neither is no proof.
    let given = server.request("GET", "database/creds/orders", &Value::Null).unwrap();
    let json = issuer.identify(&value(&given["data"].to_string())).unwrap();
    assert!(matches!(issuer.probe(&json).await, Probe::Accepted { .. }));
    let bare = issuer.identify(&value("hunter2-hunter2")).unwrap();
    let Probe::Inconclusive { reason } = issuer.probe(&bare).await else { panic!("a bare password") };
    assert!(reason.contains("neither a postgres:// URL nor JSON") && !reason.contains("hunter2"), "{reason}");
}

#[tokio::test]
async fn a_session_that_outlives_its_account_is_counted_and_ended_and_leases_are_named() {
    let (pg, server, issuer) = start_with_a_door();
    let (user, url, leaked) = lease(&pg, &server);
    let (_, _, other) = lease(&pg, &server);
    let mut stranger = std::process::Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c", "SELECT pg_sleep(120)"])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let old = issuer.identify(&value(&url)).unwrap();
    assert_eq!(old.principal, format!("database/creds/orders ({user})"));
    let names = || {
        pg.psql("SELECT coalesce(usename, '-') FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)' AND pid <> pg_backend_pid()").unwrap()
    };
    for _ in 0..100 {
        if names().trim() == user {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let mut retired: Vec<_> = fact(&outcome, "retired").as_array().unwrap().clone();
    let mut leases = vec![json!(leaked), json!(other)];
    for list in [&mut retired, &mut leases] {
        list.sort_by_key(ToString::to_string);
    }
    assert_eq!(retired, leases);
    assert_eq!(fact(&outcome, "retired_accounts"), &json!([user]));
    assert_eq!(names().trim(), "-", "the trap: the session lives on and has no name");
    assert!(stranger.try_wait().unwrap().is_none());

    let sever = IssuerOp::Sever { old: &old, cutoff: None };
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
    assert_eq!(retryable(&issuer.observe(sever).await.outcome), Some(true));
    let severed = issuer.perform(sever).await.outcome;
    assert_eq!(fact(&severed, "ended"), 1);
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 0);
    assert!(!stranger.wait().unwrap().success(), "it was cut off");
    assert!(issuer.observe(sever).await.outcome.is_applied());
}
