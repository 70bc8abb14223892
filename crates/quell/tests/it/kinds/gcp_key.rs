//! A key of a service account of Google Cloud, on a model that checks signatures.

use std::sync::Arc;

use quell_testkit::model::gcp::Gcp;
use serde_json::json;

use super::{
    Kept, Kind, MAKE_BEFORE_BREAK, Session, is_answered, survives_crashes_in, survives_lost_answers,
};

/// A key has no connection: each grant is looked at anew.
struct Bearer {
    gcp: Arc<Gcp>,
    file: String,
}

impl Session for Bearer {
    fn is_alive(&mut self) -> bool {
        self.gcp.takes(&self.file)
    }
}

fn account(name: &str) -> String {
    format!("orders-{name}@acme-prod.iam.gserviceaccount.com")
}

fn kind(gcp: &Arc<Gcp>, admin: &str, name: &str, port: u16) -> Kind {
    let endpoint = format!("http://127.0.0.1:{port}");
    let issuer = json!({"gcp_service_account_key": {
        "admin": "file:admin.url", "account": account(name), "endpoint": endpoint, "settle": "100ms",
        "token_life": "50ms",
    }});
    let gcp = Arc::clone(gcp);
    Kind {
        name: "gcp-service-account-key",
        issuer,
        connections: json!({}),
        admin: admin.to_owned(),
        old: gcp.key_file(&account(name)).unwrap(),
        kept: Kept::Whole,
        door: Arc::new(move |file| {
            let mut bearer = Bearer { gcp: Arc::clone(&gcp), file: file.to_owned() };
            bearer.is_alive().then(|| Box::new(bearer) as Box<dyn Session>)
        }),
    }
}

fn google() -> (Arc<Gcp>, String) {
    let gcp = Arc::new(Gcp::start().unwrap());
    let admin = gcp.key_file("quell@acme-prod.iam.gserviceaccount.com").unwrap();
    (gcp, admin)
}

/// However often something was lost or killed: one live key, and no note.
#[track_caller]
fn assert_one_live_key_each<'a>(gcp: &Gcp, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        let keys = gcp.keys(&account(name));
        assert_eq!((keys.len(), keys[0].1), (1, false), "{name}: {keys:?}");
        assert_eq!(gcp.description(&account(name)), "", "{name}");
    }
}

#[test]
fn a_key_of_a_service_account_is_replaced_and_proven() {
    let (gcp, admin) = google();
    is_answered(|name| kind(&gcp, &admin, name, gcp.port()));
    assert_one_live_key_each(&gcp, ["kf", "mb"]);
    assert!(gcp.lines().iter().all(|line| !line.contains("PRIVATE") && !line.contains("ya29")));
}

#[test]
fn a_crash_leaves_one_live_key_of_a_service_account() {
    let (gcp, admin) = google();
    let steps = ["mint", "probe-new", "disable", "prove", "retire"];
    survives_crashes_in(MAKE_BEFORE_BREAK, &steps, |name| kind(&gcp, &admin, name, gcp.port()));
    let names: Vec<String> = (0..steps.len()).flat_map(|n| (0..3).map(move |m| format!("m{n}{m}"))).collect();
    assert_one_live_key_each(&gcp, names.iter().map(String::as_str));
}

#[test]
fn an_answer_of_iam_that_is_lost_is_found_again() {
    let (gcp, admin) = google();
    let requests = ["updateMask", "privateKeyType", ":disable", "DELETE /v1"];
    survives_lost_answers(&requests, |name, port| kind(&gcp, &admin, name, port), gcp.port());
    assert_one_live_key_each(&gcp, ["l0", "l1", "l2", "l3"]);
}
