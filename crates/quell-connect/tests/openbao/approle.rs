//! `AppRole` secret ids: the contract, tokens of logins, lockout, limited uses, lost answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use quell_connect::conformance::{self, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::Probe;
use quell_core::secret::Credential;
use quell_testkit::openbao::{Server, ask};
use serde_json::{Value, json};

use crate::proxy::{Fault, Proxy};
use crate::{context, fact, failed, issuer, policy, reason, retryable, unknown, value};

const OLD: &str = "CANARY-old-secret-id";
const CONTROL: &str = "CANARY-control-secret-id";

/// Roles `orders` and `quell-control`, with a secret id each.
fn start() -> Server {
    let server = Server::start().unwrap();
    server.request("POST", "sys/auth/approle", &json!({ "type": "approle" })).unwrap();
    role(&server, "orders", &json!({ "token_policies": ["default"], "token_ttl": "20m" }));
    register(&server, "orders", &json!({ "secret_id": OLD }));
    role(&server, "quell-control", &json!({ "token_policies": ["default"] }));
    register(&server, "quell-control", &json!({ "secret_id": CONTROL }));
    server
}

fn role(server: &Server, name: &str, body: &Value) {
    server.request("POST", &format!("auth/approle/role/{name}"), body).unwrap();
    let id = json!({ "role_id": format!("{name}-id") });
    server.request("POST", &format!("auth/approle/role/{name}/role-id"), &id).unwrap();
}

/// The accessor.
fn register(server: &Server, role: &str, body: &Value) -> String {
    let path = format!("auth/approle/role/{role}/custom-secret-id");
    let made = server.request("POST", &path, body).unwrap();
    made["data"]["secret_id_accessor"].as_str().unwrap().to_owned()
}

fn login(server: &Server, role: &str, secret_id: &str) -> (u16, Value) {
    let body = json!({ "role_id": format!("{role}-id"), "secret_id": secret_id });
    server.request_as("", "POST", "auth/approle/login", &body).unwrap()
}

/// The token of a login.
fn token(server: &Server, role: &str, secret_id: &str) -> String {
    let (status, answer) = login(server, role, secret_id);
    assert_eq!(status, 200, "{answer}");
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}

fn alive(server: &Server, token: &str) -> bool {
    server.request_as(token, "GET", "auth/token/lookup-self", &Value::Null).unwrap().0 == 200
}

/// How many tokens there are.
fn tokens(server: &Server) -> usize {
    let list = server.request("GET", "auth/token/accessors?list=true", &Value::Null).unwrap();
    list["data"]["keys"].as_array().unwrap().len()
}

fn config() -> Value {
    json!({ "approle": { "role": "orders", "settle": "50ms", "control": { "role": "quell-control", "secret_id": "env:CONTROL" } } })
}

/// With a control in the environment.
fn with_control(addr: &str, token: &str, config: &Value) -> Box<dyn Issuer> {
    let mut ctx = context(addr, token);
    let mut environment = (*ctx.environment).clone();
    environment.insert("CONTROL".to_owned(), CONTROL.to_owned());
    ctx.environment = environment.into();
    issuer(&ctx, config)
}

fn accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

fn refused(probe: &Probe) -> bool {
    matches!(probe, Probe::Refused { code, message } if code == "invalid role or secret ID" && message == code)
}

fn inconclusive(probe: &Probe) -> &str {
    match probe {
        Probe::Inconclusive { reason } => reason,
        Probe::Accepted { .. } | Probe::Refused { .. } => panic!("{probe:?}"),
    }
}

#[tokio::test]
async fn the_contract_is_kept_with_the_policy_of_the_page_and_no_token_is_left() {
    let server = start();
    let admin = server.token_with("documented", &policy(3)).unwrap();
    let issuer = with_control(&server.addr(), &admin, &config());
    let old = issuer.identify(&value(OLD)).unwrap();
    let before = tokens(&server);
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert_eq!(tokens(&server), before, "a probe left a token");
    let log = std::fs::read_to_string(server.audit_log()).unwrap();
    assert!(!log.contains(OLD) && !log.contains(CONTROL));
    // Quell's own refusals do not count towards a lockout of the role.
    for _ in 0..12 {
        assert!(refused(&issuer.probe(&old).await));
    }
    assert_eq!(login(&server, "orders", "wrong").0, 400, "the role is not locked");
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(Duration::from_secs(20), |address| {
        let mut ctx = context(&format!("http://{address}"), "t");
        ctx.call_limit = Duration::from_millis(300);
        ctx.environment = std::sync::Arc::new(
            [("TOKEN".to_owned(), "t".to_owned()), ("CONTROL".to_owned(), CONTROL.to_owned())].into(),
        );
        let issuer = issuer(&ctx, &config());
        let old = issuer.identify(&value(OLD)).unwrap();
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn tokens_of_the_leaked_one_die_and_those_of_its_successor_live() {
    let server = start();
    let issuer = with_control(&server.addr(), server.root_token(), &config());
    let old = issuer.identify(&value(OLD)).unwrap();
    let stolen = token(&server, "orders", OLD);
    let other_role = token(&server, "quell-control", CONTROL);
    // A replica's secret id that Quell did not make: its tokens look just like the leaked one's.
    register(&server, "orders", &json!({ "secret_id": "replica" }));
    let replica = token(&server, "orders", "replica");
    let new = issuer.choose(Some(&old), "INSTALL/INC-1/orders.mint").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    let moved = token(&server, "orders", new.value.expose_text().unwrap());

    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 2);
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(disabled.is_applied(), "{disabled:?}");
    assert!(alive(&server, &stolen), "the trap: tokens outlive the secret id that they came from");
    let sever = IssuerOp::Sever { old: &old, cutoff: None };
    assert_eq!(retryable(&issuer.observe(sever).await.outcome), Some(true));
    assert!(alive(&server, &stolen), "observing changes nothing");
    let severed = issuer.perform(sever).await.outcome;
    assert_eq!((fact(&severed, "ended"), fact(&severed, "spared")), (&json!(2), &json!(1)));
    assert!(!alive(&server, &stolen) && !alive(&server, &replica));
    assert!(alive(&server, &moved) && alive(&server, &other_role));
    assert_eq!(login(&server, "orders", "replica").0, 200, "the replica may log in again");

    // The successor leaks: now the tokens are told apart by its tag, and the next one's live.
    let old = issuer.identify(&new.value).unwrap();
    let next = issuer.choose(Some(&old), "INSTALL/INC-2/orders.mint").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &next }).await.outcome.is_applied());
    let next = token(&server, "orders", next.value.expose_text().unwrap());
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let sever = IssuerOp::Sever { old: &old, cutoff: None };
    assert!(issuer.perform(sever).await.outcome.is_applied());
    assert!(!alive(&server, &moved) && alive(&server, &next));
}

#[tokio::test]
async fn the_accessor_alone_destroys_and_an_absent_mount_or_role_is_not_gone() {
    let server = start();
    let accessor = register(&server, "orders", &json!({ "secret_id": "second" }));
    let config = json!({ "approle": { "role": "orders", "accessor": accessor } });
    let by_accessor = issuer(&context(&server.addr(), server.root_token()), &config);
    let old = Credential { principal: accessor.clone(), value: value("") };
    assert_eq!(by_accessor.identify(&value("x")).unwrap().principal, accessor);
    for _ in 0..2 {
        assert!(by_accessor.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    }
    assert_eq!(login(&server, "orders", "second").0, 400);
    assert_eq!(login(&server, "orders", OLD).0, 200);

    for (config, words) in [
        (json!({ "role": "absent" }), "there is no role `absent` at `auth/approle`"),
        (json!({ "role": "orders", "mount": "absent" }), "there is nothing at"),
        (json!({ "role": "orders", "mount": "token" }), "there is nothing at"),
    ] {
        let issuer =
            issuer(&context(&server.addr(), server.root_token()), &json!({ "approle": config.clone() }));
        for old in [issuer.identify(&value(OLD)).unwrap(), old.duplicate()] {
            let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
            assert!(!outcome.is_applied(), "{config}: {outcome:?}");
            assert!(reason(&outcome).contains(words), "{config}: {outcome:?}");
            inconclusive(&issuer.probe(&Credential { principal: String::new(), value: value("x") }).await);
        }
        assert!(issuer.sessions(&old, None).await.is_err());
        assert!(!failed(&issuer.check().await).is_empty());
    }
}

#[tokio::test]
async fn a_locked_role_proves_nothing_and_says_why() {
    let server = start();
    let issuer = with_control(&server.addr(), server.root_token(), &config());
    let old = issuer.identify(&value(OLD)).unwrap();
    assert!(issuer.warnings(None).await.iter().any(|line| line.contains("lock `orders`")));
    // A consumer that goes on with a dead one.
    for _ in 0..5 {
        assert_eq!(login(&server, "orders", "dead").0, 400);
    }
    assert_eq!(login(&server, "orders", OLD).0, 403, "the trap: a good one is refused, too");
    let dead = Credential { principal: "x".to_owned(), value: value("dead") };
    for credential in [&old, &dead] {
        assert!(inconclusive(&issuer.probe(credential).await).contains("five refused logins"));
    }
    assert!(accepted(&issuer.control().await), "another role is not locked");

    let tune = json!({ "user_lockout_config": { "lockout_disable": true } });
    server.request("POST", "sys/auth/approle/tune", &tune).unwrap();
    assert!(refused(&issuer.probe(&dead).await) && accepted(&issuer.probe(&old).await));
    assert!(!issuer.warnings(None).await.iter().any(|line| line.contains("lock `orders`")));
}

#[tokio::test]
async fn a_limited_one_is_not_used_up_by_a_probe() {
    let server = start();
    let body = json!({ "secret_id": "limited", "num_uses": 2, "cidr_list": ["127.0.0.0/8"] });
    register(&server, "orders", &body);
    let issuer = with_control(&server.addr(), server.root_token(), &config());
    let old = issuer.identify(&value("limited")).unwrap();
    for _ in 0..3 {
        assert!(inconclusive(&issuer.probe(&old).await).contains("good for 2 more logins"));
    }
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|line| line.contains("good for 2 more logins")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.contains("bound to 127.0.0.0/8")), "{warnings:?}");
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(refused(&issuer.probe(&old).await));

    // Refused for where it comes from: no proof that it is dead.
    register(&server, "orders", &json!({ "secret_id": "elsewhere", "cidr_list": ["10.0.0.0/8"] }));
    let elsewhere = issuer.identify(&value("elsewhere")).unwrap();
    assert!(inconclusive(&issuer.probe(&elsewhere).await).contains("unauthorized through CIDR"));
    // What it is bound to is kept for the successor when the inventory says so.
    let config = json!({ "approle": { "role": "orders", "ttl": "5m", "cidrs": ["127.0.0.0/8"] } });
    let bound = crate::issuer(&context(&server.addr(), server.root_token()), &config);
    let new = bound.choose(None, "tag").await.unwrap();
    let installed = bound.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert_eq!(fact(&installed, "ttl_seconds"), 300);
    let lookup = json!({ "secret_id": new.value.expose_text().unwrap() });
    let seen = server.request("POST", "auth/approle/role/orders/secret-id/lookup", &lookup).unwrap();
    assert_eq!(seen["data"]["cidr_list"], json!(["127.0.0.0/8"]));
    assert_eq!(seen["data"]["metadata"], json!({ "quell": "tag" }));
}

#[tokio::test]
async fn batch_tokens_cannot_be_severed_and_that_is_said() {
    let server = start();
    for body in [json!({ "token_type": "batch" }), json!({ "token_type": "default" })] {
        role(&server, "orders", &body);
        let batch = json!({ "token_type": "default-batch" });
        server.request("POST", "sys/auth/approle/tune", &batch).unwrap();
        let stolen = token(&server, "orders", OLD);
        assert!(stolen.starts_with("b."), "the role gives batch tokens");
        let issuer = with_control(&server.addr(), server.root_token(), &config());
        let old = issuer.identify(&value(OLD)).unwrap();
        let sever = IssuerOp::Sever { old: &old, cutoff: None };
        let outcome = issuer.perform(sever).await.outcome;
        assert_eq!(retryable(&outcome), Some(false));
        assert!(reason(&outcome).contains("batch tokens"), "{outcome:?}");
        assert!(issuer.sessions(&old, None).await.unwrap_err().detail.contains("batch tokens"));
        assert!(failed(&issuer.check().await).iter().any(|line| line.contains("batch tokens")));
        let probe = issuer.probe(&old).await;
        assert!(matches!(&probe, Probe::Accepted { facts } if facts.contains_key("token_left")), "{probe:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_by_what_was_chosen() {
    let server = start();
    let lost = Proxy::start(server.port(), "custom-secret-id", Fault::DropAnswer, 1).await;
    let issuer = with_control(&lost.addr, server.root_token(), &config());
    let old = issuer.identify(&value(OLD)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert_eq!(retryable(&issuer.observe(install).await.outcome), Some(true));
    assert!(unknown(&issuer.perform(install).await.outcome));
    assert_eq!(lost.hits.load(Ordering::SeqCst), 1);
    assert!(issuer.observe(install).await.outcome.is_applied());
    assert!(issuer.perform(install).await.outcome.is_applied());
    let list = server.request("GET", "auth/approle/role/orders/secret-id?list=true", &Value::Null).unwrap();
    assert_eq!(list["data"]["keys"].as_array().unwrap().len(), 2, "the old one and one new one");

    let stolen = token(&server, "orders", OLD);
    let lost = Proxy::start(server.port(), "secret-id-accessor/destroy", Fault::DropAnswer, 1).await;
    let issuer = with_control(&lost.addr, server.root_token(), &config());
    assert!(unknown(&issuer.perform(IssuerOp::Disable { old: &old }).await.outcome));
    assert!(issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let lost = Proxy::start(server.port(), "revoke-accessor", Fault::DropAnswer, 1).await;
    let issuer = with_control(&lost.addr, server.root_token(), &config());
    let sever = IssuerOp::Sever { old: &old, cutoff: None };
    assert!(unknown(&issuer.perform(sever).await.outcome));
    assert!(issuer.observe(sever).await.outcome.is_applied());
    assert!(!alive(&server, &stolen));
    // The token of a probe is ended by its accessor when it could not end itself.
    let before = tokens(&server);
    let lost = Proxy::start(server.port(), "revoke-self", Fault::Say("HTTP/1.1 503 x\r\n\r\n"), 1).await;
    let issuer = with_control(&lost.addr, server.root_token(), &config());
    assert!(accepted(&issuer.probe(&new).await));
    assert_eq!((lost.hits.load(Ordering::SeqCst), tokens(&server)), (1, before));
}

#[tokio::test]
async fn a_missing_permission_names_what_to_grant() {
    let server = start();
    let admin = server.token_with("less", "path \"auth/approle/role/orders\" { capabilities = [\"read\"] }");
    let issuer = with_control(&server.addr(), &admin.unwrap(), &config());
    insta::assert_debug_snapshot!(failed(&issuer.check().await), @r#"
    [
        "missing: read; a policy must give it on `auth/approle/role/orders/role-id`",
        "missing: list; a policy must give it on `auth/approle/role/orders/secret-id/`",
        "missing: update; a policy must give it on `auth/approle/role/orders/secret-id/lookup`",
        "missing: update; a policy must give it on `auth/approle/role/orders/secret-id-accessor/lookup`",
        "missing: update; a policy must give it on `auth/approle/role/orders/secret-id-accessor/destroy`",
        "missing: update; a policy must give it on `auth/approle/role/orders/custom-secret-id`",
        "missing: list, sudo; a policy must give it on `auth/token/accessors/`",
        "missing: update; a policy must give it on `auth/token/lookup-accessor`",
        "missing: update; a policy must give it on `auth/token/revoke-accessor`",
        "missing: read; a policy must give it on `auth/approle/role/quell-control/role-id`",
    ]
    "#);
    let old = issuer.identify(&value(OLD)).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(
        reason(&outcome).contains("`update` on `auth/approle/role/orders/secret-id/lookup`"),
        "{outcome:?}"
    );
    assert!(inconclusive(&issuer.probe(&old).await).contains("secret-id/lookup"));
}

#[test]
fn a_control_of_the_role_itself_is_refused() {
    let ctx = context("https://bao.test:8200", "t");
    let build =
        |config: Value| quell_connect::openbao::CONNECTOR.issuer.unwrap()(&config, &ctx).err().unwrap();
    let own = json!({ "role": "orders", "control": { "role": "Orders", "secret_id": "env:X" } });
    assert_eq!(build(json!({ "approle": own })).key.as_deref(), Some("control"));
    assert_eq!(build(json!({ "approle": { "role": "a/b" } })).key.as_deref(), Some("role"));
    let pasted = json!({ "role": "orders", "control": { "role": "c", "secret_id": "pasted-value" } });
    let error = build(json!({ "approle": pasted }));
    assert!(!error.message.contains("pasted-value"), "{error:?}");
}

/// A token that is being revoked is looked up as if a policy were missing.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_meanwhile_are_no_missing_policy() {
    let server = start();
    let issuer = with_control(&server.addr(), server.root_token(), &config());
    let old = issuer.identify(&value(OLD)).unwrap();
    let stolen = token(&server, "orders", OLD);
    let accessors: Vec<Value> = (0..150)
        .map(|_| {
            let made = server.request("POST", "auth/token/create", &json!({ "ttl": "1h" })).unwrap();
            made["auth"]["accessor"].clone()
        })
        .collect();
    let (port, root) = (server.port(), server.root_token().to_owned());
    let ending = std::thread::spawn(move || {
        for accessor in accessors {
            let body = json!({ "accessor": accessor });
            ask(port, &root, "POST", "auth/token/revoke-accessor", &body).unwrap();
        }
    });
    let mut counted = 0;
    while !ending.is_finished() {
        assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
        counted += 1;
    }
    ending.join().unwrap();
    assert!(counted > 1 && alive(&server, &stolen));
}
