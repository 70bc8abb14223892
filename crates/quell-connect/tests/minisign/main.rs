//! The `minisign` connector; what it writes is verified by minisign itself, and what minisign writes by it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod failures;
#[path = "../issuers/login.rs"]
mod login;
#[path = "../issuers/outcome.rs"]
mod outcome;
mod rotation;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::minisign::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::minisign::{Keys, generate, sign, verify};
use serde_json::{Value, json};
use sha2::Digest as _;

use login::{built, is_accepted, is_refused_by};
use outcome::{fact, failed, reason};

/// Two machines that trust a key, and two artifacts that are signed with it.
struct Place {
    folder: tempfile::TempDir,
    old: Keys,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let old = generate(folder.path(), "old").unwrap();
        let place = Self { folder, old };
        for root in place.roots() {
            std::fs::copy(&place.old.public, root).unwrap();
        }
        std::fs::create_dir(place.path("releases")).unwrap();
        for (name, content) in [("one.tar", "one"), ("two.tar", "two")] {
            std::fs::write(place.artifact(name), content).unwrap();
            sign(&place.old.secret, &place.artifact(name)).unwrap();
        }
        place.list(&["one.tar", "two.tar"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn roots(&self) -> [PathBuf; 2] {
        [self.path("web.pub"), self.path("fleet.pub")]
    }

    fn artifact(&self, name: &str) -> PathBuf {
        self.path("releases").join(name)
    }

    /// Writes the manifest of what is there now.
    fn list(&self, names: &[&str]) {
        let mut text = String::new();
        for name in names {
            let hash = sha2::Sha256::digest(std::fs::read(self.artifact(name)).unwrap());
            writeln!(text, "{}  {name}", hex::encode(hash)).unwrap();
        }
        std::fs::write(self.path("releases/SHA256SUMS"), text).unwrap();
    }

    fn config(&self) -> Value {
        let roots = self.roots().map(|path| json!({ "file": { "path": path } }));
        json!({ "trust_roots": roots, "manifest": self.path("releases/SHA256SUMS"), "settle": "50ms" })
    }

    fn issuer(&self) -> Box<dyn Issuer> {
        built(&CONNECTOR, "", &self.config(), Duration::from_secs(10))
    }

    /// With one more key that both machines trust.
    fn with_control(&self) -> Box<dyn Issuer> {
        let control = generate(self.folder.path(), "control").unwrap();
        for root in self.roots() {
            let text = std::fs::read_to_string(&root).unwrap();
            std::fs::write(root, text + &std::fs::read_to_string(&control.public).unwrap()).unwrap();
        }
        let mut config = self.config();
        config["control"] = json!("env:ADMIN");
        built(&CONNECTOR, &control.secret, &config, Duration::from_secs(10))
    }

    /// Whether minisign itself takes an artifact on each machine.
    fn taken(&self, name: &str) -> [bool; 2] {
        self.roots().map(|root| verify(&root, &self.artifact(name)).unwrap().0)
    }
}

fn credential(issuer: &dyn Issuer, secret: &str) -> Credential {
    issuer.identify(&SecretValue::from_text(secret.to_owned())).unwrap()
}

fn is_refused(probe: &Probe) -> bool {
    is_refused_by(probe, "not trusted")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
