//! A key that an HSM wrapped, in `SoftHSM`; consumers have it unwrapped when they start.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quell_testkit::hsm::{Hsm, PIN, TOKEN, alone, module};
use serde_json::json;

use super::{KILL_FIRST, Kept, Kind, Session, is_answered, survives_crashes_in};

/// A wrapped key has no connection: each time the token is asked anew.
struct Unwraps {
    label: String,
    value: String,
}

impl Session for Unwraps {
    fn is_alive(&mut self) -> bool {
        let (id, text) = self.value.split_once(':').unwrap();
        let (id, text) = (hex::decode(id).unwrap(), STANDARD.decode(text).unwrap());
        Hsm::open().unwrap().inside(&self.label, &id, &text).unwrap().is_some()
    }
}

fn kind(folder: &Path, name: &str) -> Kind {
    let hsm = Hsm::open().unwrap();
    let id = [1, 2];
    hsm.key(name, &id).unwrap();
    let wrapped = |inside: u8| {
        let text = hsm.wrapped(name, &id, &[inside; 32]).unwrap();
        format!("{}:{}", hex::encode(id), STANDARD.encode(text))
    };
    let dek = folder.join(format!("dek-{name}"));
    std::fs::write(&dek, wrapped(7)).unwrap();
    let label = name.to_owned();
    Kind {
        name: "key-encryption-key",
        issuer: json!({"pkcs11": {
            "module": module().unwrap(), "token": TOKEN, "pin": "file:admin.url", "key": name, "destroy": true,
            "deks": [{"file": {"path": dek}}], "settle": "50ms",
        }}),
        connections: json!({}),
        admin: PIN.to_owned(),
        old: wrapped(9),
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let mut session = Unwraps { label: label.clone(), value: value.to_owned() };
            session.is_alive().then(|| Box::new(session) as Box<dyn Session>)
        }),
    }
}

/// However often something was killed: one key of each label, and the listed one opens with it.
#[track_caller]
fn assert_one_key_each(folder: &Path) {
    let hsm = Hsm::open().unwrap();
    let mut labels = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let Some(label) = path.file_name().and_then(|name| name.to_str()?.strip_prefix("dek-")) else {
            continue;
        };
        assert_eq!(hsm.count(label).unwrap(), 1, "{label}");
        let value = std::fs::read_to_string(&path).unwrap().trim().to_owned();
        assert!(Unwraps { label: label.to_owned(), value }.is_alive(), "{label}");
        labels += 1;
    }
    assert!(labels > 1);
}

#[test]
fn a_key_that_an_hsm_wrapped_is_wrapped_anew_and_proven() {
    let name = "kinds::pkcs11::a_key_that_an_hsm_wrapped_is_wrapped_anew_and_proven";
    let Some(folder) = alone(name).unwrap() else { return };
    is_answered(|name| kind(&folder, name));
    assert_one_key_each(&folder);
}

#[test]
fn a_crash_leaves_one_new_key_in_the_hsm_and_every_wrapped_one_whole() {
    let name = "kinds::pkcs11::a_crash_leaves_one_new_key_in_the_hsm_and_every_wrapped_one_whole";
    let Some(folder) = alone(name).unwrap() else { return };
    let steps = ["mint", "probe-new", "store-0", "disable", "prove", "retire"];
    // Both orders are one here: there is another key first.
    survives_crashes_in(KILL_FIRST, &steps, |name| kind(&folder, name));
    assert_one_key_each(&folder);
}
