//! The `blob_key` connector; what it writes is verified by openssl, and what openssl writes by it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

#[path = "../issuers/login.rs"]
mod login;
#[path = "../issuers/outcome.rs"]
mod outcome;

use std::path::PathBuf;
use std::time::Duration;

use quell_connect::blob_key::CONNECTOR;
use quell_connect::conformance;
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::issuer::Overlap;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::openssl::{key, public, public_as, sign, verify};
use serde_json::{Value, json};
use sha2::Digest as _;

use login::{built, is_accepted, is_refused_by};
use outcome::{fact, failed, reason};

/// Two machines that trust a key, and an artifact that is signed with it.
struct Place {
    folder: tempfile::TempDir,
    old: String,
}

impl Place {
    fn new(kind: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), old: key(kind).unwrap() };
        for root in place.roots() {
            std::fs::write(root, public(&place.old).unwrap()).unwrap();
        }
        std::fs::write(place.path("one.tar"), "one").unwrap();
        sign(&place.old, &place.path("one.tar")).unwrap();
        let hash = hex::encode(sha2::Sha256::digest("one"));
        std::fs::write(place.path("SHA256SUMS"), format!("{hash}  one.tar\n")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn roots(&self) -> [PathBuf; 2] {
        [self.path("web.pub"), self.path("fleet.pub")]
    }

    fn config(&self) -> Value {
        let roots = self.roots().map(|path| json!({ "file": { "path": path } }));
        json!({ "trust_roots": roots, "manifest": self.path("SHA256SUMS"), "settle": "50ms" })
    }

    fn issuer(&self) -> Box<dyn Issuer> {
        built(&CONNECTOR, "", &self.config(), Duration::from_secs(10))
    }

    /// Whether openssl takes a file on each machine.
    fn taken(&self, name: &str) -> [bool; 2] {
        self.roots().map(|root| verify(&root, &self.path(name)).unwrap())
    }
}

fn credential(issuer: &dyn Issuer, private: &str) -> Credential {
    issuer.identify(&SecretValue::from_text(private.trim_end().to_owned())).unwrap()
}

fn is_refused(probe: &Probe) -> bool {
    is_refused_by(probe, "not trusted")
}

#[tokio::test]
async fn it_keeps_the_contract_with_every_kind_of_key() {
    for kind in ["P-256", "rsa"] {
        let place = Place::new(kind);
        let control = key("P-256").unwrap();
        for root in place.roots() {
            let text = std::fs::read_to_string(&root).unwrap();
            std::fs::write(root, text + &public(&control).unwrap()).unwrap();
        }
        let mut config = place.config();
        config["control"] = json!("env:ADMIN");
        let issuer = built(&CONNECTOR, &control, &config, Duration::from_secs(10));
        conformance::issuer(&*issuer, &credential(&*issuer, &place.old)).await.unwrap();
    }
}

#[tokio::test]
async fn a_leaked_key_is_taken_out_before_its_successor_is_put_in() {
    for kind in ["P-256", "rsa"] {
        let place = Place::new(kind);
        let issuer = place.issuer();
        assert!(matches!(issuer.overlap(), Overlap::Never { .. }) && !issuer.has_control());
        let old = credential(&*issuer, &place.old);
        assert!(is_accepted(&issuer.probe(&old).await));
        assert_eq!(place.taken("one.tar"), [true, true]);
        // An older release of ours, and one of somebody else's.
        let other = key("P-256").unwrap();
        for (name, private) in [("zero.tar", &place.old), ("theirs.tar", &other)] {
            std::fs::write(place.path(name), name).unwrap();
            sign(private, &place.path(name)).unwrap();
        }
        let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        let suspect = fact(&disabled, "suspect").as_array().unwrap();
        let named: Vec<(bool, bool)> = suspect
            .iter()
            .map(|it| (it["file"].as_str().unwrap().ends_with("/one.tar.sig"), it["current"] == true))
            .collect();
        assert_eq!(named, [(true, true), (false, false)], "{suspect:?}");
        assert_eq!(place.taken("one.tar"), [false, false]);
        assert!(is_refused(&issuer.probe(&old).await) && issuer.elsewhere(&old).await.is_none());

        let new = issuer.choose(Some(&old), "tag").await.unwrap();
        let install = IssuerOp::Install { new: &new };
        let installed = issuer.perform(install).await.outcome;
        assert_eq!(fact(&installed, "signed"), &json!(["one.tar"]));
        assert_eq!((place.taken("one.tar"), place.taken("zero.tar")), ([true, true], [false, false]));
        assert_eq!(fact(&issuer.perform(install).await.outcome, "signed"), &json!([]));
        // What the successor signs, openssl takes.
        std::fs::write(place.path("two.tar"), "two").unwrap();
        sign(new.value.expose_text().unwrap(), &place.path("two.tar")).unwrap();
        assert_eq!(place.taken("two.tar"), [true, true]);
        assert!(is_accepted(&issuer.probe(&new).await) && is_refused(&issuer.probe(&old).await));
        let back = issuer.perform(IssuerOp::Install { new: &old }).await.outcome;
        assert!(reason(&back).contains("no way back"), "{back:?}");
    }
}

#[tokio::test]
async fn what_was_replaced_is_not_signed_and_what_is_no_trust_root_is_no_refusal() {
    let place = Place::new("P-256");
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old);
    std::fs::write(place.path("one.tar"), "a thief's").unwrap();
    sign(&place.old, &place.path("one.tar")).unwrap();
    assert!(failed(&issuer.check().await).join(" ").contains("one.tar: it is not what the manifest says"));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(matches!(&outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("restore it") && place.taken("one.tar") == [false, false]);
    std::fs::write(&place.roots()[1], "<html>maintenance</html>\n").unwrap();
    let probe = issuer.probe(&old).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.contains("no text with public keys")),
        "{probe:?}"
    );
    let stranger = credential(&*issuer, &key("P-256").unwrap());
    assert!(issuer.elsewhere(&stranger).await.unwrap().contains("not known"));
    let error = issuer.identify(&SecretValue::from_text(key("ed25519").unwrap())).unwrap_err();
    assert!(error.detail.contains("see `minisign`"), "{error}");
}

#[tokio::test]
async fn another_spelling_of_the_old_key_goes_with_it() {
    for form in [["-ec_conv_form", "compressed"], ["-ec_param_enc", "explicit"]] {
        let place = Place::new("P-256");
        let [web, _] = place.roots();
        let alias = public_as(&place.old, &form).unwrap();
        let other = public(&key("P-256").unwrap()).unwrap();
        std::fs::write(&web, format!("{}{alias}{other}", public(&place.old).unwrap())).unwrap();
        let issuer = place.issuer();
        let old = credential(&*issuer, &place.old);
        assert!(is_accepted(&issuer.probe(&old).await));
        assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied(), "{form:?}");
        let left = std::fs::read_to_string(&web).unwrap();
        assert!(!left.contains(&alias) && left.contains(other.trim_end()), "{form:?}: {left}");
        assert!(is_refused(&issuer.probe(&old).await));
    }
}

#[tokio::test]
async fn a_key_inside_another_document_is_left_alone() {
    let place = Place::new("P-256");
    let [web, _] = place.roots();
    let indented =
        public(&place.old).unwrap().replace("-----BEGIN", "    -----BEGIN").replace('\n', "\n    ");
    let policy = format!("authorities:\n- key: |\n{indented}\n  name: releases\n");
    std::fs::write(&web, &policy).unwrap();
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(
        !outcome.is_applied() && reason(&outcome).contains("it is no text with public keys"),
        "{outcome:?}"
    );
    assert_eq!(std::fs::read_to_string(&web).unwrap(), policy);
}
