//! A key that signs releases, two machines that trust it, and a manifest; the session is a file that a thief signed.

use std::path::PathBuf;
use std::sync::Arc;

use quell_testkit::minisign::{generate, sign, verify};
use serde_json::json;
use sha2::Digest as _;

use super::{Kept, Kind, MAKE_BEFORE_BREAK, Session, is_answered, survives_crashes_in};

/// A file that is signed with whatever key, and the places where it is verified.
struct Signed {
    file: PathBuf,
    roots: [PathBuf; 2],
    _folder: tempfile::TempDir,
}

impl Session for Signed {
    /// One machine that takes it is enough for a thief.
    fn is_alive(&mut self) -> bool {
        self.roots.iter().any(|root| verify(root, &self.file).unwrap().0)
    }
}

fn kind(folder: &tempfile::TempDir, name: &str) -> Kind {
    let place = folder.path().join(name);
    std::fs::create_dir(&place).unwrap();
    let keys = generate(&place, "old").unwrap();
    let roots = ["web.pub", "fleet.pub"].map(|root| place.join(root));
    for root in &roots {
        std::fs::copy(&keys.public, root).unwrap();
    }
    let artifact = place.join("app.tar");
    std::fs::write(&artifact, name).unwrap();
    sign(&keys.secret, &artifact).unwrap();
    let hash = hex::encode(sha2::Sha256::digest(name));
    std::fs::write(place.join("SHA256SUMS"), format!("{hash}  app.tar\n")).unwrap();
    let trusted = roots.clone().map(|path| json!({"file": {"path": path}}));
    Kind {
        name: "minisign-key",
        issuer: json!({"minisign": {
            "trust_roots": trusted, "manifest": place.join("SHA256SUMS"), "settle": "50ms",
        }}),
        connections: json!({}),
        admin: "none".to_owned(),
        old: keys.secret,
        kept: Kept::Whole,
        door: Arc::new(move |value| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file");
            std::fs::write(&file, "anything").unwrap();
            sign(value, &file).unwrap();
            let mut signed = Signed { file, roots: roots.clone(), _folder: folder };
            signed.is_alive().then(|| Box::new(signed) as Box<dyn Session>)
        }),
    }
}

/// Each place has one key, which its artifact is signed with.
#[track_caller]
fn assert_signed_anew(folder: &tempfile::TempDir) {
    let mut places = 0;
    for place in std::fs::read_dir(folder.path()).unwrap() {
        let place = place.unwrap().path();
        for root in ["web.pub", "fleet.pub"] {
            let text = std::fs::read_to_string(place.join(root)).unwrap();
            let keys = text.lines().filter(|line| line.starts_with("RW")).count();
            assert!(keys == 1 && text.contains("taken away by Quell"), "{text}");
            assert!(verify(&place.join(root), &place.join("app.tar")).unwrap().0);
        }
        assert!(!verify(&place.join("old.pub"), &place.join("app.tar")).unwrap().0);
        places += 1;
    }
    assert!(places > 1);
}

#[test]
fn a_key_of_releases_is_taken_out_and_what_is_current_is_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    is_answered(|name| kind(&folder, name));
    assert_signed_anew(&folder);
}

#[test]
fn a_crash_leaves_one_key_of_releases_in_every_trust_root() {
    let folder = tempfile::tempdir().unwrap();
    survives_crashes_in(MAKE_BEFORE_BREAK, &["disable", "mint", "install", "prove"], |name| {
        kind(&folder, name)
    });
    assert_signed_anew(&folder);
}
