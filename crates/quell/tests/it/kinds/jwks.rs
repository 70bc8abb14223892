//! A key that signs tokens, and two services that verify by a published set of which each keeps a copy; the session is a token that was signed
//! before.

use std::sync::Arc;

use quell_testkit::jwks::{Service, show, sign, verifier};
use serde_json::{Value, json};

use super::{
    Kept, Kind, MAKE_BEFORE_BREAK, Place, Session, is_answered, survives_crashes_in, survives_lost_answers,
};

/// Longer than any test takes.
const LONG: u32 = 600_000;

/// The verifiers, and how each does it.
const DOORS: [(&str, &str); 2] = [("strict", "api"), ("keyless", "shop")];

struct Token {
    port: u16,
    name: String,
    signed: String,
}

impl Token {
    fn taken_by(&self) -> usize {
        let shown = DOORS.map(|(kind, door)| {
            show(self.port, kind, &format!("{door}-{}", self.name), LONG, &self.signed).unwrap()
        });
        shown.into_iter().filter(|status| *status == 200).count()
    }
}

impl Session for Token {
    /// One verifier that takes it is enough for a thief.
    fn is_alive(&mut self) -> bool {
        self.taken_by() > 0
    }
}

fn kind(service: &Service, name: &str, port: u16) -> Kind {
    let old = Service::key("P-256").unwrap().trim_end().to_owned();
    let kid = format!("kid-{name}");
    service.publish(&old, Some(&kid)).unwrap();
    let verifiers = DOORS.map(|(kind, door)| verifier(port, kind, &format!("{door}-{name}"), LONG));
    let (direct, name) = (service.port(), name.to_owned());
    Kind {
        name: "jwt-signing-key",
        issuer: json!({"jwks": {
            "publish": {"file": {"path": service.set_file()}},
            "verifiers": verifiers,
            "claims": {"iss": "https://id.test", "aud": "orders", "sub": "quell-canary"},
            "settle": "50ms",
        }}),
        connections: json!({}),
        admin: "none".to_owned(),
        old,
        kept: Kept::Whole,
        door: Arc::new(move |value| {
            let token = Token { port: direct, name: name.clone(), signed: sign(direct, value).unwrap() };
            (token.taken_by() > 0).then(|| Box::new(token) as Box<dyn Session>)
        }),
    }
}

/// No old key is in the set, and each was taken out once.
#[track_caller]
fn assert_one_each(service: &Service) {
    let set = service.set().unwrap();
    let kids = |list: &str| -> Vec<String> {
        let list = set[list].as_array().unwrap().iter();
        list.map(|it| it["kid"].as_str().unwrap().to_owned()).collect()
    };
    let (now, dropped) = (kids("keys"), kids("quell_dropped"));
    assert!(now.len() == dropped.len() && now.len() > 1, "{now:?} {dropped:?}");
    assert!(now.iter().all(|kid| !kid.starts_with("kid-")), "{now:?}");
    assert!(dropped.iter().all(|kid| kid.starts_with("kid-")), "{dropped:?}");
}

#[test]
fn a_signing_key_is_dropped_replaced_and_proven_at_every_verifier() {
    let service = Service::start().unwrap();
    is_answered(|name| kind(&service, name, service.port()));
    assert_one_each(&service);
}

#[test]
fn a_crash_leaves_one_signing_key_and_nobody_who_takes_the_old_one() {
    let service = Service::start().unwrap();
    survives_crashes_in(MAKE_BEFORE_BREAK, &["disable", "mint", "install", "prove"], |name| {
        kind(&service, name, service.port())
    });
    assert_one_each(&service);
}

#[test]
fn an_answer_of_a_verifier_that_is_lost_is_settled_by_canaries() {
    let service = Service::start().unwrap();
    survives_lost_answers(&["/refresh", "/me"], |name, port| kind(&service, name, port), service.port());
    assert_one_each(&service);
}

#[test]
fn whatever_the_strategy_the_old_key_is_dropped_first() {
    let service = Service::start().unwrap();
    let place = Place::new(kind(&service, "s", service.port()));
    let id = place.leak(MAKE_BEFORE_BREAK.1);
    let plan: Value = serde_json::from_str(&place.ok(&["plan", &id, "--json"], None)).unwrap();
    let plan = &plan["plan"];
    let steps: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
    let at = |name: &str| steps.iter().position(|step| *step == format!("orders.{name}"));
    assert!(at("disable").unwrap() < at("mint").unwrap() && at("prove-refused").is_none(), "{steps:?}");
    let reasons = plan["reasons"].to_string();
    assert!(plan["strategy"] == "make-before-break", "{plan}");
    assert!(
        reasons.contains("`orders` is killed first all the same: whoever holds a signing key"),
        "{reasons}"
    );
}
