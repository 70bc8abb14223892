//! Keys of KMS that wrap keys: the contract, every listed key, what stops a refusal, lost answers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::SecretValue;
use quell_testkit::moto::Aws;
use serde_json::{Value, json};

use crate::{context, facts, failed, is_accepted, reason};

struct World {
    aws: Aws,
    folder: tempfile::TempDir,
}

impl World {
    /// With `alias/orders`.
    fn new() -> Self {
        let aws = Aws::start().unwrap();
        let made = aws.kms("CreateKey", &json!({ "Description": "keys of orders" })).unwrap();
        let alias = json!({ "AliasName": "alias/orders", "TargetKeyId": made["KeyMetadata"]["KeyId"] });
        aws.kms("CreateAlias", &alias).unwrap();
        Self { aws, folder: tempfile::tempdir().unwrap() }
    }

    fn wrapped(&self, context: &Value) -> String {
        let body = json!({ "KeyId": "alias/orders", "KeySpec": "AES_256", "EncryptionContext": context });
        let made = self.aws.kms("GenerateDataKeyWithoutPlaintext", &body).unwrap();
        made["CiphertextBlob"].as_str().unwrap().to_owned()
    }

    /// What is inside, as a consumer gets it; or why not.
    fn inside(&self, blob: &str, context: &Value) -> Result<String, String> {
        let body = json!({ "CiphertextBlob": blob, "EncryptionContext": context });
        let (status, answer) = self.aws.caller().kms(self.aws.admin(), "Decrypt", &body).unwrap();
        if status == 200 {
            Ok(answer["Plaintext"].as_str().unwrap().to_owned())
        } else {
            Err(answer["__type"].as_str().unwrap().to_owned())
        }
    }

    fn key(&self, id: &str) -> Value {
        self.aws.kms("DescribeKey", &json!({ "KeyId": id })).unwrap()["KeyMetadata"].clone()
    }

    fn keys(&self) -> usize {
        self.aws.kms("ListKeys", &json!({})).unwrap()["Keys"].as_array().unwrap().len()
    }

    fn file(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("dek-{n}"))
    }

    fn held(&self, n: usize) -> String {
        std::fs::read_to_string(self.file(n)).unwrap().trim().to_owned()
    }

    /// So many wrapped keys in files, and the configuration that lists them.
    fn listed(&self, count: usize, context: &Value) -> Value {
        let stores: Vec<Value> = (0..count)
            .map(|n| {
                private(&self.file(n), &self.wrapped(context));
                json!({ "file": { "path": self.file(n) } })
            })
            .collect();
        json!({
            "admin": "env:ADMIN", "alias": "alias/orders", "deks": stores, "context": context, "settle": "50ms",
            "delete_after_days": 7, "endpoint": self.aws.addr(),
        })
    }

    fn issuer(&self, config: &Value) -> Box<dyn Issuer> {
        let context = context(&self.aws.admin().json(), Duration::from_secs(10));
        quell_connect::aws_kms::CONNECTOR.issuer.unwrap()(config, &context).unwrap()
    }
}

fn private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[tokio::test]
async fn the_contract_is_kept_and_every_listed_key_moves_with_its_context() {
    let world = World::new();
    let app = json!({ "app": "orders" });
    let config = world.listed(3, &app);
    let before = world.key("alias/orders");
    let insides: Vec<_> = (0..3).map(|n| world.inside(&world.held(n), &app).unwrap()).collect();
    let issuer = world.issuer(&config);
    let leaked = world.wrapped(&app);
    let old = issuer.identify(&value(&leaked)).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
    assert_eq!(world.inside(&leaked, &app).unwrap_err(), "KMSInvalidStateException");
    for (n, inside) in insides.into_iter().enumerate() {
        assert_eq!(world.inside(&world.held(n), &app).unwrap(), inside, "the same key is inside");
    }
    let after = world.key("alias/orders");
    assert_ne!(before["KeyId"], after["KeyId"]);
    assert_eq!(before["Description"], after["Description"]);
    assert_eq!(world.key(before["KeyId"].as_str().unwrap())["KeyState"], "PendingDeletion");
    assert_eq!(world.keys(), 2, "attempts that are repeated make no further key");
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    let blob = "Q0FOQVJZ".repeat(12);
    conformance::hung(Duration::from_secs(20), |address| {
        let context = context(
            &json!({ "AccessKeyId": "AKIAXXXXXXXXXXXXXXXX", "SecretAccessKey": "s".repeat(40) }).to_string(),
            Duration::from_millis(300),
        );
        let config =
            json!({ "admin": "env:ADMIN", "alias": "alias/orders", "endpoint": format!("http://{address}") });
        let issuer = quell_connect::aws_kms::CONNECTOR.issuer.unwrap()(&config, &context).unwrap();
        let old = issuer.identify(&value(&blob)).unwrap();
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}

/// The trap: KMS's own rotation keeps what the leaked one opens with.
#[tokio::test]
async fn a_rotation_by_kms_changes_nothing_for_what_was_wrapped_before() {
    let world = World::new();
    let leaked = world.wrapped(&json!({}));
    let key = world.key("alias/orders");
    world.aws.kms("EnableKeyRotation", &json!({ "KeyId": key["KeyId"] })).unwrap();
    let issuer = world.issuer(&world.listed(1, &json!({})));
    let old = issuer.identify(&value(&leaked)).unwrap();
    assert!(is_accepted(&issuer.probe(&old).await));
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&disabled).contains("what it wrapped would be out of reach"), "{disabled:?}");
    assert!(world.inside(&leaked, &json!({})).is_ok());
}

#[tokio::test]
async fn a_key_that_does_not_open_stops_the_refusal_and_another_context_is_no_refusal() {
    let world = World::new();
    let config = world.listed(2, &json!({}));
    let issuer = world.issuer(&config);
    let old = issuer.identify(&value(&world.wrapped(&json!({})))).unwrap();
    let good = world.held(1);
    private(&world.file(1), &world.wrapped(&json!({ "app": "mail" })));
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let stopped = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(
        reason(&stopped).contains("dek-1 cannot be wrapped anew: InvalidCiphertextException"),
        "{stopped:?}"
    );
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&disabled).contains("dek-1"), "{disabled:?}");
    assert!(is_accepted(&issuer.probe(&old).await), "nothing is refused while one is left behind");
    let foreign = issuer.identify(&value(&world.held(1))).unwrap();
    let seen = issuer.probe(&foreign).await;
    assert!(
        matches!(&seen, Probe::Inconclusive { reason } if reason.contains("another encryption context")),
        "{seen:?}"
    );

    private(&world.file(1), &good);
    let made = issuer.perform(IssuerOp::Install { new: &new }).await;
    assert_eq!(facts(&made.outcome)["rewrapped"], 1, "what is done is not done again");
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(facts(&disabled)["already"], false);
    assert_eq!(world.inside(old.value.expose_text().unwrap(), &json!({})).unwrap_err(), "DisabledException");
    assert!(world.inside(&world.held(1), &json!({})).is_ok());
    // The key behind the alias is off: then everything is refused, and that proves nothing.
    let current = world.key("alias/orders");
    world.aws.kms("DisableKey", &json!({ "KeyId": current["KeyId"] })).unwrap();
    let seen = issuer.probe(&old).await;
    assert!(matches!(&seen, Probe::Inconclusive { reason } if reason.contains("is Disabled")), "{seen:?}");
    assert!(is_unknown(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome));
    for bad in
        ["", "vault:v1:AAAA", "AAAA", "not base64 at all, but long enough to be one of them, is it not?"]
    {
        assert!(issuer.identify(&value(bad)).unwrap_err().detail.contains("not what KMS wrapped"), "{bad}");
    }
}

#[tokio::test]
async fn a_lost_answer_makes_no_further_key() {
    let world = World::new();
    let config = world.listed(1, &json!({}));
    let proxy = FlakyProxy::start(([127, 0, 0, 1], world.aws.port()).into()).unwrap();
    let mut behind = config.clone();
    behind["endpoint"] = json!(format!("http://{}", proxy.address()));
    let (issuer, direct) = (world.issuer(&behind), world.issuer(&config));
    let old = issuer.identify(&value(&world.wrapped(&json!({})))).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    for (n, operation) in ["CreateKey", "UpdateAlias"].into_iter().enumerate() {
        proxy.once(Fault::DropAnswerTo(format!("TrentService.{operation}").into_bytes())).await;
        assert!(is_unknown(&issuer.perform(install).await.outcome), "{operation}");
        assert_eq!((proxy.struck(), world.keys()), (n + 1, 2), "{operation}");
    }
    assert!(reason(&direct.observe(install).await.outcome).contains("the alias names another key"));
    let made = issuer.perform(install).await;
    assert!(made.outcome.is_applied() && world.keys() == 2);
    let made = made.minted.unwrap();
    assert!(direct.observe(IssuerOp::Install { new: &made }).await.outcome.is_applied());
    let disable = IssuerOp::Disable { old: &old };
    assert!(!direct.observe(disable).await.outcome.is_applied());
    proxy.once(Fault::DropAnswerTo(b"TrentService.DisableKey".to_vec())).await;
    assert!(is_unknown(&issuer.perform(disable).await.outcome));
    assert!(direct.observe(disable).await.outcome.is_applied());
    proxy.once(Fault::DropAnswerTo(b"TrentService.ScheduleKeyDeletion".to_vec())).await;
    assert!(is_unknown(&issuer.retire(&old).await));
    assert!(direct.observe_retire(&old).await.is_applied() && issuer.retire(&old).await.is_applied());
}

#[tokio::test]
async fn a_missing_permission_and_a_key_that_cannot_be_copied_are_named() {
    let world = World::new();
    let config = world.listed(1, &json!({}));
    let poor = world.aws.user("poor", &["kms:DescribeKey"]).unwrap();
    let context = context(&poor.json(), Duration::from_secs(10));
    let issuer = quell_connect::aws_kms::CONNECTOR.issuer.unwrap()(&config, &context).unwrap();
    let lines = issuer.check().await;
    for operation in ["GetKeyPolicy", "ListResourceTags", "ListKeys"] {
        let said = failed(&lines)
            .into_iter()
            .any(|line| line.contains(operation) && line.contains("give `admin` the policy"));
        assert!(said, "{operation}: {lines:?}");
    }
    let old = issuer.identify(&value(&world.wrapped(&json!({})))).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(&outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("give `admin` the policy"), "{outcome:?}");

    let made = world.aws.kms("CreateKey", &json!({ "MultiRegion": true })).unwrap();
    let alias = json!({ "AliasName": "alias/orders", "TargetKeyId": made["KeyMetadata"]["KeyId"] });
    world.aws.kms("UpdateAlias", &alias).unwrap();
    let lines = world.issuer(&config).check().await;
    assert_eq!(failed(&lines), ["it is asymmetric, of several regions or of imported material"]);
}
