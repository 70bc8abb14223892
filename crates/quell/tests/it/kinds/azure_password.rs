//! A client secret of an application in Microsoft Entra, on a model of Graph and the token endpoint.

use std::sync::Arc;

use quell_testkit::model::azure::Azure;
use serde_json::json;

use super::{
    Kept, Kind, MAKE_BEFORE_BREAK, Session, is_answered, survives_crashes_in, survives_lost_answers,
};

/// A client secret has no connection: each grant is looked at anew.
struct Bearer {
    azure: Arc<Azure>,
    client: String,
    secret: String,
}

impl Session for Bearer {
    fn is_alive(&mut self) -> bool {
        self.azure.takes(&self.client, &self.secret)
    }
}

fn kind(azure: &Arc<Azure>, name: &str, port: u16) -> Kind {
    let at = format!("http://127.0.0.1:{port}");
    let client = format!("orders-{name}");
    let old = format!("abc8Q~canary-{name}-{}", "Zx9".repeat(6));
    azure.client_secret("quell", "boss8Q~secret-of-quell", false);
    azure.client_secret(&client, &old, false);
    let login =
        json!({"application": {"tenant": "acme.example", "client": "quell", "secret": "file:admin.url"}});
    let azure = Arc::clone(azure);
    Kind {
        name: "azure-client-secret",
        issuer: json!({"azure_app_password": {
            "tenant": "acme.example", "client": client, "settle": "100ms",
            "token_life": "50ms",
            "login": login, "login_url": at, "graph_url": at,
        }}),
        connections: json!({}),
        admin: "boss8Q~secret-of-quell".to_owned(),
        old,
        kept: Kept::Key,
        door: Arc::new(move |secret| {
            let (azure, client) = (Arc::clone(&azure), client.clone());
            let mut bearer = Bearer { azure, client, secret: secret.to_owned() };
            bearer.is_alive().then(|| Box::new(bearer) as Box<dyn Session>)
        }),
    }
}

/// However often something was lost or killed.
#[track_caller]
fn assert_one_live_secret_each<'a>(azure: &Azure, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        let held = azure.passwords(&format!("orders-{name}"));
        assert!(held.len() == 1 && held[0].0.starts_with("quell "), "{name}: {} secrets", held.len());
    }
}

#[test]
fn a_client_secret_of_entra_is_replaced_and_proven() {
    let azure = Arc::new(Azure::start().unwrap());
    is_answered(|name| kind(&azure, name, azure.port()));
    assert_one_live_secret_each(&azure, ["kf", "mb"]);
    assert!(azure.lines().iter().all(|line| !line.contains("canary") && !line.contains("eyJ0")));
}

#[test]
fn a_crash_leaves_one_live_client_secret_of_entra() {
    let azure = Arc::new(Azure::start().unwrap());
    let steps = ["mint", "probe-new", "disable", "prove"];
    survives_crashes_in(MAKE_BEFORE_BREAK, &steps, |name| kind(&azure, name, azure.port()));
    let names: Vec<String> = (0..steps.len()).flat_map(|n| (0..3).map(move |m| format!("m{n}{m}"))).collect();
    assert_one_live_secret_each(&azure, names.iter().map(String::as_str));
}

#[test]
fn an_answer_of_graph_that_is_lost_is_found_again() {
    let azure = Arc::new(Azure::start().unwrap());
    let requests = ["/addPassword", "/removePassword"];
    survives_lost_answers(&requests, |name, port| kind(&azure, name, port), azure.port());
    assert_one_live_secret_each(&azure, ["l0", "l1"]);
}
