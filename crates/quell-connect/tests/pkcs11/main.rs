//! The `pkcs11` connector against `SoftHSM`. Each test runs in a process of its own, with a token of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

#[path = "../issuers/outcome.rs"]
mod outcome;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quell_connect::conformance;
use quell_connect::connector::{Issuer, IssuerOp};
use quell_connect::context::Context;
use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;
use quell_testkit::hsm::{Hsm, PIN, TOKEN, alone, module};
use serde_json::{Value, json};

use outcome::{fact, failed, reason};

const LABEL: &str = "orders-kek";
const FIRST: [u8; 2] = [0x0a, 0x01];
const OFF: &str = "CKR_KEY_FUNCTION_NOT_PERMITTED";

struct World {
    folder: PathBuf,
    hsm: Hsm,
}

impl World {
    fn new(folder: PathBuf) -> Self {
        let hsm = Hsm::open().unwrap();
        hsm.key(LABEL, &FIRST).unwrap();
        Self { folder, hsm }
    }

    fn wrapped(&self, inside: u8) -> String {
        let text = self.hsm.wrapped(LABEL, &FIRST, &[inside; 32]).unwrap();
        format!("{}:{}", hex::encode(FIRST), STANDARD.encode(text))
    }

    /// The byte that the key inside is made of.
    fn inside(&self, wrapped: &str) -> Option<u8> {
        let (id, text) = wrapped.trim().split_once(':').unwrap();
        let (id, text) = (hex::decode(id).unwrap(), STANDARD.decode(text).unwrap());
        self.hsm.inside(LABEL, &id, &text).unwrap().and_then(|inside| inside.first().copied())
    }

    fn file(&self, n: u8) -> PathBuf {
        self.folder.join(format!("dek-{n}"))
    }

    fn held(&self, n: u8) -> String {
        std::fs::read_to_string(self.file(n)).unwrap()
    }

    /// So many wrapped keys in files, and the configuration that lists them.
    fn listed(&self, count: u8) -> Value {
        let stores: Vec<Value> = (0..count)
            .map(|n| {
                private(&self.file(n), &self.wrapped(n));
                json!({ "file": { "path": self.file(n) } })
            })
            .collect();
        json!({
            "module": module().unwrap(), "token": TOKEN, "pin": "env:PIN", "key": LABEL, "deks": stores, "destroy": true,
            "settle": "50ms",
        })
    }
}

fn private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn issuer_with(pin: &str, config: &Value) -> Box<dyn Issuer> {
    let http = quell_connect::http::Client::new(std::time::Duration::from_secs(5), None).unwrap();
    let mut ctx = Context::new(Path::new("/nonexistent").to_owned(), http);
    ctx.environment = Arc::new(BTreeMap::from([("PIN".to_owned(), pin.to_owned())]));
    quell_connect::pkcs11::CONNECTOR.issuer.unwrap()(config, &ctx).unwrap()
}

fn issuer(config: &Value) -> Box<dyn Issuer> {
    issuer_with(PIN, config)
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

fn refused(probe: &Probe, refusal: &str) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == refusal)
}

#[tokio::test]
async fn the_contract_is_kept_and_every_listed_key_moves() {
    let Some(folder) = alone("the_contract_is_kept_and_every_listed_key_moves").unwrap() else { return };
    let world = World::new(folder);
    let issuer = issuer(&world.listed(3));
    let leaked = world.wrapped(9);
    let old = issuer.identify(&value(&leaked)).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert_eq!(world.inside(&leaked), None);
    for n in 0..3 {
        assert_eq!(world.inside(&world.held(n)), Some(n), "the same key is inside");
    }
    // The suite asks for two successors, and makes one of them.
    assert_eq!(world.hsm.count(LABEL).unwrap(), 1, "the old one is destroyed, and there is one new one");
    assert!(refused(&issuer.probe(&old).await, "no such key"));
}

#[tokio::test]
async fn a_key_that_does_not_open_stops_the_refusal_and_the_next_attempt_goes_on() {
    let name = "a_key_that_does_not_open_stops_the_refusal_and_the_next_attempt_goes_on";
    let Some(folder) = alone(name).unwrap() else { return };
    let world = World::new(folder);
    let issuer = issuer(&world.listed(3));
    let old = issuer.identify(&value(&world.wrapped(9))).unwrap();
    let disable = IssuerOp::Disable { old: &old };
    let early = issuer.perform(disable).await.outcome;
    assert!(reason(&early).contains("no other key of the label may unwrap"), "{early:?}");
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert!(reason(&issuer.observe(install).await.outcome).contains("no other key was made"));

    let good = world.held(1);
    private(&world.file(1), &format!("0a01:{}", STANDARD.encode([7; 40])));
    let stopped = issuer.perform(install).await.outcome;
    assert!(reason(&stopped).contains("dek-1 cannot be wrapped anew: GeneralError"), "{stopped:?}");
    assert!(reason(&issuer.observe(install).await.outcome).contains("the key is there"));
    let first = world.held(0);
    assert!(!first.starts_with("0a01:") && world.held(2).starts_with("0a01:"));

    private(&world.file(1), &good);
    let made = issuer.perform(install).await;
    assert_eq!(
        (fact(&made.outcome, "rewrapped"), fact(&made.outcome, "made_before")),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        (world.held(0), world.hsm.count(LABEL).unwrap()),
        (first, 2),
        "what is done is not done again"
    );
    assert_eq!(
        world.inside(old.value.expose_text().unwrap()),
        Some(9),
        "both open until consumers have moved"
    );
    // Somebody wrapped one more with the old key since.
    private(&world.file(2), &world.wrapped(2));
    let disabled = issuer.perform(disable).await.outcome;
    assert_eq!((fact(&disabled, "rewrapped"), fact(&disabled, "already")), (&json!(1), &json!(false)));
    assert_eq!(world.inside(&world.held(2)), Some(2));
    assert!(refused(&issuer.probe(&old).await, OFF));
    assert_eq!(fact(&issuer.perform(disable).await.outcome, "already"), &json!(true));
    // It is off and not gone: the trap is that somebody turns it on again.
    assert!(!issuer.observe_retire(&old).await.is_applied());
    assert!(issuer.retire(&old).await.is_applied() && issuer.observe_retire(&old).await.is_applied());
}

#[tokio::test]
async fn a_wrong_pin_token_label_or_value_is_named_and_proves_nothing() {
    let name = "a_wrong_pin_token_label_or_value_is_named_and_proves_nothing";
    let Some(folder) = alone(name).unwrap() else { return };
    let world = World::new(folder);
    let config = world.listed(1);
    let leaked = world.wrapped(9);
    // A module in which somebody is logged in asks for no PIN: this one is tried alone.
    drop(world.hsm);
    let wrong = issuer_with("0000", &config);
    let old = wrong.identify(&value(&leaked)).unwrap();
    for outcome in [
        wrong.perform(IssuerOp::Disable { old: &old }).await.outcome,
        wrong
            .perform(IssuerOp::Install { new: &wrong.choose(Some(&old), "tag").await.unwrap() })
            .await
            .outcome,
    ] {
        assert!(reason(&outcome).contains("the PIN is wrong: correct what `pin` refers to"), "{outcome:?}");
    }
    assert!(matches!(wrong.probe(&old).await, Probe::Inconclusive { .. }));
    assert!(wrong.sessions(&old, None).await.is_err());
    for (key, given, words) in [
        ("token", "another", "there is no token with the label `another`"),
        ("module", "/nonexistent/module.so", "the module cannot be loaded"),
        ("key", "other-kek", "correct `key`"),
    ] {
        let mut config = config.clone();
        config.as_object_mut().unwrap().insert(key.to_owned(), json!(given));
        let other = issuer(&config);
        let seen = other.probe(&old).await;
        assert!(matches!(&seen, Probe::Inconclusive { reason } if reason.contains(words)), "{seen:?}");
        assert!(!other.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied(), "{key}");
        assert!(!failed(&other.check().await).is_empty(), "{key}");
        assert!(matches!(other.control().await, Probe::Inconclusive { .. }), "{key}");
    }
    let right = issuer(&config);
    assert!(failed(&right.check().await).is_empty());
    let damaged = right.identify(&value(&format!("0a01:{}", STANDARD.encode([7; 40])))).unwrap();
    let seen = right.probe(&damaged).await;
    assert!(
        matches!(&seen, Probe::Inconclusive { reason } if reason.contains("another key wrapped it")),
        "{seen:?}"
    );
    for bad in ["", "vault:v1:AAAA", "0a01", "{\"key\":\"0a01:AAAA\"}"] {
        assert!(right.identify(&value(bad)).unwrap_err().detail.contains("not a wrapped key"), "{bad}");
    }
}
