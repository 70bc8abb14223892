//! Keys that wrap keys: the contract, every listed key, resumption, what stops a refusal, lost answers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use quell_connect::conformance::{self, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::Probe;
use quell_testkit::openbao::Server;
use serde_json::{Value, json};

use crate::proxy::{Fault, Proxy};
use crate::{context, fact, failed, issuer, policy, reason, retryable, unknown, value};

const TOO_OLD: &str = "ciphertext or signature version is disallowed by policy (too old)";

/// A server with the key `orders`, and a folder for wrapped keys.
struct World {
    server: Server,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let server = Server::start().unwrap();
        server.request("POST", "sys/mounts/transit", &json!({ "type": "transit" })).unwrap();
        server.request("POST", "transit/keys/orders", &json!({})).unwrap();
        Self { server, folder: tempfile::tempdir().unwrap() }
    }

    fn wrapped(&self) -> String {
        let made = self.server.request("POST", "transit/datakey/wrapped/orders", &json!({})).unwrap();
        made["data"]["ciphertext"].as_str().unwrap().to_owned()
    }

    /// What is inside, as a consumer gets it.
    fn inside(&self, wrapped: &str) -> Option<String> {
        let body = json!({ "ciphertext": wrapped });
        let (status, answer) = self
            .server
            .request_as(self.server.root_token(), "POST", "transit/decrypt/orders", &body)
            .unwrap();
        (status == 200).then(|| answer["data"]["plaintext"].as_str().unwrap().to_owned())
    }

    fn file(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("dek-{n}"))
    }

    /// So many wrapped keys in files, and the configuration that lists them.
    fn listed(&self, count: usize, trim: bool) -> (Vec<String>, Value) {
        let keys: Vec<String> = (0..count).map(|_| self.wrapped()).collect();
        for (n, key) in keys.iter().enumerate() {
            private(&self.file(n), key);
        }
        let stores: Vec<Value> = (0..count).map(|n| json!({ "file": { "path": self.file(n) } })).collect();
        (keys, json!({ "transit": { "key": "orders", "deks": stores, "trim": trim, "settle": "50ms" } }))
    }

    fn held(&self, n: usize) -> String {
        std::fs::read_to_string(self.file(n)).unwrap().trim().to_owned()
    }

    fn key(&self) -> Value {
        self.server.request("GET", "transit/keys/orders", &Value::Null).unwrap()["data"].clone()
    }

    fn issuer(&self, config: &Value) -> Box<dyn Issuer> {
        issuer(&context(&self.server.addr(), self.server.root_token()), config)
    }
}

fn private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_contract_is_kept_with_the_policy_of_the_page_and_every_key_moves() {
    let world = World::new();
    // More than one call's worth.
    let (keys, config) = world.listed(103, true);
    let insides: Vec<_> = keys.iter().map(|key| world.inside(key).unwrap()).collect();
    let admin = world.server.token_with("documented", &policy(6)).unwrap();
    let issuer = issuer(&context(&world.server.addr(), &admin), &config);
    let leaked = world.wrapped();
    let inside = world.inside(&leaked);
    let old = issuer.identify(&value(&leaked)).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert!(inside.is_some() && world.inside(&leaked).is_none());
    for (n, (before, inside)) in keys.iter().zip(insides).enumerate() {
        assert!(world.inside(before).is_none(), "the old wrapping opens nothing");
        assert_eq!(world.inside(&world.held(n)), Some(inside), "the same key is inside the new one");
    }
    let key = world.key();
    assert_eq!((&key["min_decryption_version"], &key["min_available_version"]), (&json!(2), &json!(2)));
    assert_eq!(key["latest_version"], 2, "an attempt that is repeated makes no further version");
    let body = json!({ "ciphertext": world.held(0) });
    let (status, _) = world.server.request_as(&admin, "POST", "transit/decrypt/orders", &body).unwrap();
    assert_eq!(status, 403, "Quell may not see what is inside");
    // It cannot be taken back.
    let (status, _) = world
        .server
        .request_as(
            world.server.root_token(),
            "POST",
            "transit/keys/orders/config",
            &json!({ "min_decryption_version": 1 }),
        )
        .unwrap();
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(Duration::from_secs(20), |address| {
        let mut ctx = context(&format!("http://{address}"), "t");
        ctx.call_limit = Duration::from_millis(300);
        let issuer = issuer(&ctx, &json!({ "transit": { "key": "orders" } }));
        let old = issuer.identify(&value("vault:v1:CANARYoldwrappedkey")).unwrap();
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}

/// Both open until the older one is refused, and nothing is refused while a listed key is left behind.
#[tokio::test]
async fn a_key_that_is_missing_or_damaged_stops_the_refusal_and_the_next_attempt_goes_on() {
    let world = World::new();
    let (_, config) = world.listed(3, false);
    let issuer = world.issuer(&config);
    let old = issuer.identify(&value(&world.wrapped())).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    let disable = IssuerOp::Disable { old: &old };
    assert!(reason(&issuer.perform(disable).await.outcome).contains("version 1 is the latest"));

    let good = world.held(1);
    private(&world.file(1), "vault:v1:AAAA");
    let stopped = issuer.perform(install).await.outcome;
    assert!(reason(&stopped).contains("dek-1 cannot be wrapped anew: invalid ciphertext"), "{stopped:?}");
    assert!(unknown(&stopped), "the version is there: the next attempt finds it");
    assert!(world.held(0).starts_with("vault:v2:") && world.held(2).starts_with("vault:v1:"));
    std::fs::remove_file(world.file(1)).unwrap();
    assert!(
        failed(&issuer.check().await).iter().any(|line| line.contains("nothing") || line.contains("dek-1"))
    );
    assert!(!issuer.perform(install).await.outcome.is_applied());

    private(&world.file(1), &good);
    let first = world.held(0);
    let made = issuer.perform(install).await;
    assert_eq!(
        (fact(&made.outcome, "rewrapped"), fact(&made.outcome, "made_before")),
        (&json!(2), &json!(true))
    );
    assert_eq!(world.held(0), first, "what is done is not done again");
    assert_eq!(world.key()["latest_version"], 2);
    assert!(world.inside(old.value.expose_text().unwrap()).is_some(), "both open until consumers have moved");

    // Somebody wrapped one more with the old version since, as with a cached key version.
    private(&world.file(2), &good);
    let disabled = issuer.perform(disable).await.outcome;
    assert_eq!((fact(&disabled, "rewrapped"), fact(&disabled, "already")), (&json!(1), &json!(false)));
    assert!(world.held(2).starts_with("vault:v2:") && world.inside(&world.held(2)).is_some());
    let again = issuer.perform(disable).await.outcome;
    assert_eq!(fact(&again, "already"), &Value::Null, "its number alone is refused");
    assert!(issuer.warnings(None).await.iter().any(|line| line.contains("`trim: true` deletes them")));
    assert!(!issuer.retires());
}

/// The trap: once a version is refused, the server says the same of whatever carries its number.
#[tokio::test]
async fn what_another_key_wrapped_is_refused_alike_and_so_must_have_been_seen_to_open() {
    let world = World::new();
    world.server.request("POST", "transit/keys/mail", &json!({})).unwrap();
    let made = world.server.request("POST", "transit/datakey/wrapped/mail", &json!({})).unwrap();
    let foreign = made["data"]["ciphertext"].as_str().unwrap();
    let (_, config) = world.listed(1, false);
    let issuer = world.issuer(&config);
    let stranger = issuer.identify(&value(foreign)).unwrap();
    let seen = issuer.probe(&stranger).await;
    assert!(
        matches!(&seen, Probe::Inconclusive { reason } if reason.contains("message authentication failed")),
        "{seen:?}"
    );
    let new = issuer.choose(Some(&stranger), "tag").await.unwrap();
    let refused = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(reason(&refused).contains("is it another key's?"), "{refused:?}");
    assert_eq!(retryable(&refused), Some(false));
    assert_eq!(world.key()["latest_version"], 1, "nothing was done");
    let own = issuer.identify(&value(&world.wrapped())).unwrap();
    let new = issuer.choose(Some(&own), "tag").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    let disabled = issuer.perform(IssuerOp::Disable { old: &stranger }).await.outcome;
    assert_eq!(fact(&disabled, "already"), &Value::Null, "it was never seen to open");
    let seen = issuer.probe(&stranger).await;
    assert!(matches!(&seen, Probe::Refused { code, .. } if code == TOO_OLD), "{seen:?}");
    let why = issuer.unproven(&stranger).await.unwrap();
    assert!(why.contains("whichever key wrapped it"), "{why}");
    let later = issuer.identify(&value("vault:v9:AAAA")).unwrap();
    let disabled = issuer.perform(IssuerOp::Disable { old: &later }).await.outcome;
    assert!(reason(&disabled).contains("there is no version 9 of this key"), "{disabled:?}");
    for bad in ["", "plain", "vault:v0:a", "aws:kms:1", "{\"key\":\"vault:v1:a\"}"] {
        assert!(issuer.identify(&value(bad)).unwrap_err().detail.contains("not what transit wrapped"));
    }
}

/// The trap: `min_decryption_version` counts versions, and the latest need not be the one that the successor was wrapped with.
#[tokio::test]
async fn a_key_that_is_rotated_meanwhile_leaves_the_successor_open() {
    let world = World::new();
    let (_, config) = world.listed(1, true);
    let issuer = world.issuer(&config);
    let old = issuer.identify(&value(&world.wrapped())).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let made = issuer.perform(IssuerOp::Install { new: &new }).await.minted.unwrap();
    let made = made.value.expose_text().unwrap();
    assert!(made.starts_with("vault:v2:"));
    // `auto_rotate_period`, an operator, another incident.
    world.server.request("POST", "transit/keys/orders/rotate", &json!({})).unwrap();
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(world.inside(made).is_some(), "consumers hold it");
    assert!(world.inside(old.value.expose_text().unwrap()).is_none());
    assert!(world.held(0).starts_with("vault:v3:") && world.inside(&world.held(0)).is_some());
    assert!(issuer.retire(&old).await.is_applied());
    assert!(world.inside(made).is_some());
    let key = world.key();
    assert_eq!((&key["min_decryption_version"], &key["min_available_version"]), (&json!(2), &json!(2)));
}

/// It would take the place of the only copy.
#[tokio::test]
async fn what_is_no_wrapped_key_is_written_nowhere() {
    let world = World::new();
    let (keys, config) = world.listed(1, false);
    let old = value(&world.wrapped());
    for answer in ["", "plain", "vault:v1:AAAA"] {
        let body = json!({ "data": { "batch_results": [{ "ciphertext": answer }] } }).to_string();
        let answer: &str = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).leak();
        let proxy = Proxy::start(world.server.port(), "rewrap/orders", Fault::Say(answer), 9).await;
        let through = |config: &Value| issuer(&context(&proxy.addr, world.server.root_token()), config);
        for (config, place) in
            [(&config, "dek-0"), (&json!({ "transit": { "key": "orders" } }), "wrapped key")]
        {
            let issuer = through(config);
            let old = issuer.identify(&old).unwrap();
            let new = issuer.choose(Some(&old), "tag").await.unwrap();
            let made = issuer.perform(IssuerOp::Install { new: &new }).await;
            assert!(unknown(&made.outcome) && made.minted.is_none(), "{made:?}");
            let words =
                format!("{place} cannot be wrapped anew: the answer is no key that version 2 wrapped");
            assert!(reason(&made.outcome).contains(&words), "{made:?}");
            assert!(reason(&made.outcome).contains("version 2 is there"), "{made:?}");
        }
        assert_eq!(world.held(0), keys[0]);
    }
}

#[tokio::test]
async fn a_lost_answer_makes_no_further_version() {
    let world = World::new();
    let (_, config) = world.listed(2, true);
    let through = |proxy: &Proxy| issuer(&context(&proxy.addr, world.server.root_token()), &config);
    let lost = Proxy::start(world.server.port(), "orders/rotate", Fault::DropAnswer, 1).await;
    let issuer = through(&lost);
    let old = issuer.identify(&value(&world.wrapped())).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert!(reason(&issuer.observe(install).await.outcome).contains("no new version was made"));
    assert!(unknown(&issuer.perform(install).await.outcome));
    assert_eq!(lost.hits.load(Ordering::SeqCst), 1);
    assert!(reason(&issuer.observe(install).await.outcome).contains("version 2 is there"));
    let lost = Proxy::start(world.server.port(), "rewrap/orders", Fault::DropAnswer, 1).await;
    assert!(unknown(&through(&lost).perform(install).await.outcome) || lost.hits.load(Ordering::SeqCst) == 1);
    let made = issuer.perform(install).await;
    assert!(made.outcome.is_applied() && made.minted.is_some());
    assert_eq!(world.key()["latest_version"], 2, "one version, whatever was lost");

    let lost = Proxy::start(world.server.port(), "orders/config", Fault::DropAnswer, 1).await;
    let disable = IssuerOp::Disable { old: &old };
    assert!(unknown(&through(&lost).perform(disable).await.outcome));
    assert!(issuer.observe(disable).await.outcome.is_applied());
    let lost = Proxy::start(world.server.port(), "orders/trim", Fault::DropAnswer, 1).await;
    assert!(unknown(&through(&lost).retire(&old).await));
    assert!(issuer.observe_retire(&old).await.is_applied() && issuer.retire(&old).await.is_applied());
}

#[tokio::test]
async fn a_missing_permission_and_a_key_that_does_not_fit_are_named() {
    let world = World::new();
    let (_, config) = world.listed(1, true);
    let less = world.server.token_with("less", "path \"transit/keys/orders\" { capabilities = [\"read\"] }");
    let issuer = issuer(&context(&world.server.addr(), &less.unwrap()), &config);
    insta::assert_debug_snapshot!(failed(&issuer.check().await), @r#"
    [
        "missing: update; a policy must give it on `transit/keys/orders/rotate`",
        "missing: update; a policy must give it on `transit/keys/orders/config`",
        "missing: update; a policy must give it on `transit/rewrap/orders`",
        "missing: update; a policy must give it on `transit/datakey/wrapped/orders`",
        "missing: update; a policy must give it on `transit/keys/orders/trim`",
    ]
    "#);
    let old = issuer.identify(&value(&world.wrapped())).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("`update` on `transit/rewrap/orders`"), "{outcome:?}");
    for (name, body, words) in [
        ("derived", json!({ "derived": true }), "needs a context of its own"),
        ("signing", json!({ "type": "ed25519" }), "it only signs"),
        ("absent", Value::Null, "there is nothing at"),
    ] {
        if !body.is_null() {
            world.server.request("POST", &format!("transit/keys/{name}"), &body).unwrap();
        }
        let other = world.issuer(&json!({ "transit": { "key": name } }));
        let outcome = other.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(reason(&outcome).contains(words), "{name}: {outcome:?}");
        assert!(failed(&other.check().await).iter().any(|line| line.contains(words)), "{name}");
    }
    assert!(issuer.choose(None, "tag").await.unwrap_err().detail.contains("a store must hold"));
}
