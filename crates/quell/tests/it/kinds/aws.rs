//! An access key of an IAM user, on moto with signatures and permissions checked.

use std::sync::Arc;

use quell_testkit::moto::{Aws, Caller, Keys};
use serde_json::json;

use super::{
    Around, Kept, Kind, STEPS, Session, is_answered, is_answered_in, survives_crashes_at,
    survives_lost_answers,
};

/// A key has no connection: each request is asked anew whether the key is good.
struct Bearer {
    caller: Caller,
    keys: Keys,
}

impl Session for Bearer {
    fn is_alive(&mut self) -> bool {
        self.caller.who(&self.keys).unwrap().is_ok()
    }
}

pub(crate) fn kind(aws: &Aws, name: &str, port: u16) -> Kind {
    let user = format!("orders-{name}");
    let old = aws.user(&user, &["s3:ListAllMyBuckets"]).unwrap();
    let caller = aws.caller();
    let endpoint = format!("http://127.0.0.1:{port}");
    Kind {
        name: "aws-access-key",
        issuer: json!({"aws_iam": {"admin": "file:admin.url", "user": user, "endpoint": endpoint, "settle": "100ms"}}),
        connections: json!({}),
        admin: aws.admin().json(),
        old: old.pair(),
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let mut bearer = Bearer { caller, keys: Keys::from_pair(value)? };
            bearer.is_alive().then(|| Box::new(bearer) as Box<dyn Session>)
        }),
    }
}

/// However often something was lost or killed, the leaked key is deleted and each user ends with one that is live.
#[track_caller]
fn assert_one_live_key_each(aws: &Aws) {
    let users = aws.iam(&[("Action", "ListUsers")]).unwrap();
    let names = users.split("<UserName>").skip(1).filter_map(|rest| rest.split('<').next());
    let mut seen = 0;
    for name in names.filter(|name| name.starts_with("orders-")) {
        let held = aws.keys_of(name).unwrap();
        let states: Vec<&str> = held.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(states, ["Active"], "{name}");
        seen += 1;
    }
    assert!(seen > 1);
}

#[test]
fn an_access_key_of_aws_is_replaced_and_proven() {
    let aws = Aws::start().unwrap();
    is_answered(|name| kind(&aws, name, aws.port()));
    assert_one_live_key_each(&aws);
}

#[test]
fn a_crash_leaves_one_live_access_key_of_aws() {
    let aws = Aws::start().unwrap();
    // AWS chooses: what it mints is in force at once.
    let steps: Vec<&str> = STEPS.into_iter().filter(|step| *step != "install").chain(["retire"]).collect();
    survives_crashes_at(&steps, |name| kind(&aws, name, aws.port()));
    assert_one_live_key_each(&aws);
}

#[test]
fn an_answer_of_aws_that_is_lost_is_found_again() {
    let aws = Aws::start().unwrap();
    let requests = [
        "Action=TagUser",
        "Action=CreateAccessKey",
        "Action=UpdateAccessKey",
        "Action=PutUserPolicy",
        "Action=DeleteAccessKey",
    ];
    survives_lost_answers(&requests, |name, port| kind(&aws, name, port), aws.port());
    assert_one_live_key_each(&aws);
}

/// The trap: after a rotation the leaked key is `AWSPREVIOUS`, for everybody who may read the secret.
#[test]
fn copies_in_secrets_manager_follow_and_the_previous_one_goes() {
    let aws = Aws::start().unwrap();
    is_answered_in(|name| {
        let kind = kind(&aws, name, aws.port());
        let text = json!({"theirs": "kept", "key": kind.old}).to_string();
        let secret = format!("apps/{name}");
        aws.secrets("CreateSecret", &json!({"Name": secret, "SecretString": text})).unwrap();
        let store = json!({"aws_secrets_manager": {
            "credentials": "file:admin.url", "secret": secret, "key": "key", "endpoint": aws.addr(),
        }});
        (kind, Around { stores: vec![store], ..Around::default() })
    });
    for name in ["kf", "mb"] {
        let secret = format!("apps/{name}");
        let at =
            |label: &str| aws.secrets("GetSecretValue", &json!({"SecretId": secret, "VersionStage": label}));
        let current = at("AWSCURRENT").unwrap();
        let held: serde_json::Value =
            serde_json::from_str(current["SecretString"].as_str().unwrap()).unwrap();
        assert_eq!(held["theirs"], "kept");
        let keys = Keys::from_pair(held["key"].as_str().unwrap()).unwrap();
        assert!(aws.caller().who(&keys).unwrap().is_ok(), "the store holds the live key");
        assert!(at("AWSPREVIOUS").is_err(), "the leaked value has no label any more");
    }
    assert_one_live_key_each(&aws);
}
