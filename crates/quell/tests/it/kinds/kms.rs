//! A key that KMS wrapped, on moto with signatures and permissions checked; consumers unwrap it when they start.

use std::sync::Arc;

use quell_testkit::moto::{Aws, Caller, Keys};
use serde_json::json;

use super::{KILL_FIRST, Kept, Kind, Session, is_answered, survives_crashes_in, survives_lost_answers};

/// A wrapped key has no connection: each time KMS is asked anew.
struct Unwraps {
    caller: Caller,
    keys: Keys,
    blob: String,
}

impl Session for Unwraps {
    fn is_alive(&mut self) -> bool {
        let body = json!({"CiphertextBlob": self.blob});
        self.caller.kms(&self.keys, "Decrypt", &body).unwrap().0 == 200
    }
}

fn wrapped(aws: &Aws, alias: &str) -> String {
    let body = json!({"KeyId": alias, "KeySpec": "AES_256"});
    let made = aws.kms("GenerateDataKeyWithoutPlaintext", &body).unwrap();
    made["CiphertextBlob"].as_str().unwrap().to_owned()
}

fn kind(aws: &Aws, folder: &std::path::Path, name: &str, port: u16) -> Kind {
    let alias = format!("alias/{name}");
    let made = aws.kms("CreateKey", &json!({})).unwrap();
    let named = json!({"AliasName": alias, "TargetKeyId": made["KeyMetadata"]["KeyId"]});
    aws.kms("CreateAlias", &named).unwrap();
    let dek = folder.join(name);
    std::fs::write(&dek, wrapped(aws, &alias)).unwrap();
    let (caller, keys) = (aws.caller(), aws.admin().clone());
    Kind {
        name: "key-encryption-key",
        issuer: json!({"aws_kms": {
            "admin": "file:admin.url", "alias": alias, "deks": [{"file": {"path": dek}}], "settle": "50ms",
            "delete_after_days": 7, "endpoint": format!("http://127.0.0.1:{port}"),
        }}),
        connections: json!({}),
        admin: aws.admin().json(),
        old: wrapped(aws, &alias),
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let mut session = Unwraps { caller, keys: keys.clone(), blob: value.to_owned() };
            session.is_alive().then(|| Box::new(session) as Box<dyn Session>)
        }),
    }
}

/// However often something was lost or killed: each alias names one new key, the old one is about to be deleted, and the listed key opens.
#[track_caller]
fn assert_one_new_key_each(aws: &Aws, folder: &std::path::Path) {
    let mut names = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let blob = std::fs::read_to_string(file.unwrap().path()).unwrap();
        aws.kms("Decrypt", &json!({"CiphertextBlob": blob.trim()})).unwrap();
        names += 1;
    }
    assert!(names > 1);
    let listed = aws.kms("ListKeys", &json!({"Limit": 1000})).unwrap();
    let states: Vec<String> = listed["Keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| aws.kms("DescribeKey", &json!({"KeyId": key["KeyId"]})).unwrap())
        .map(|key| key["KeyMetadata"]["KeyState"].as_str().unwrap().to_owned())
        .collect();
    let count = |state: &str| states.iter().filter(|it| *it == state).count();
    assert_eq!((count("Enabled"), count("PendingDeletion"), states.len()), (names, names, 2 * names));
}

#[test]
fn a_key_that_kms_wrapped_is_wrapped_anew_and_proven() {
    let (aws, folder) = (Aws::start().unwrap(), tempfile::tempdir().unwrap());
    is_answered(|name| kind(&aws, folder.path(), name, aws.port()));
    assert_one_new_key_each(&aws, folder.path());
}

#[test]
fn a_crash_leaves_one_new_key_of_kms_and_every_wrapped_one_whole() {
    let (aws, folder) = (Aws::start().unwrap(), tempfile::tempdir().unwrap());
    let steps = ["mint", "probe-new", "store-0", "disable", "prove", "retire"];
    // Both orders are one here: there is another key first.
    survives_crashes_in(KILL_FIRST, &steps, |name| kind(&aws, folder.path(), name, aws.port()));
    assert_one_new_key_each(&aws, folder.path());
}

#[test]
fn an_answer_of_kms_that_is_lost_is_found_again() {
    let (aws, folder) = (Aws::start().unwrap(), tempfile::tempdir().unwrap());
    let requests = [
        "TrentService.CreateKey",
        "TrentService.UpdateAlias",
        "TrentService.ReEncrypt",
        "TrentService.DisableKey",
        "TrentService.ScheduleKeyDeletion",
    ];
    survives_lost_answers(&requests, |name, port| kind(&aws, folder.path(), name, port), aws.port());
    assert_one_new_key_each(&aws, folder.path());
}
