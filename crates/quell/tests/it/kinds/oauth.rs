//! An access token, a refresh token and a client's secret on a real OAuth server: tokens are tried at a resource that asks the server.

use std::sync::Arc;

use quell_testkit::oidc::{Client, OnUpdate, Options, Server, enter};
use serde_json::{Value, json};

use super::transit::is_not_believed_of_another;
use super::{
    KILL_FIRST, Kept, Kind, Place, Session, is_answered, survives_crashes_at, survives_crashes_in,
    survives_lost_answers,
};
use crate::world::{private, text};

/// An access token that somebody holds.
struct Bearer {
    resource: u16,
    token: String,
}

impl Session for Bearer {
    fn is_alive(&mut self) -> bool {
        enter(self.resource, "asks", &self.token).unwrap() == 200
    }
}

/// A secret has no connection: each request is asked anew whether it is good.
struct LoggedIn {
    port: u16,
    client: Client,
}

impl Session for LoggedIn {
    fn is_alive(&mut self) -> bool {
        self.client.logs_in(self.port).unwrap()
    }
}

fn start(rotates_registration: bool) -> Server {
    Server::start(Options { rotates_registration, ..Options::default() }).unwrap()
}

/// The issuer's part, whose endpoints are behind `port`; the client's secret is in `file:admin.url`.
fn issuer(server: &Server, client: &Client, port: u16, more: &Value) -> Value {
    let at = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    let mut config = json!({
        "issuer": server.issuer(),
        "client": {"id": client.id, "secret": "file:admin.url"},
        "endpoints": {"token": at("token"), "revocation": at("token/revocation"), "introspection": at("token/introspection")},
        "settle": "50ms",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"oauth": config})
}

fn access_token(server: &Server, name: &str, port: u16) -> Kind {
    let client = server.register(name, OnUpdate::Keeps).unwrap();
    let leaks =
        json!({"type": "access_token", "resource": server.resource("asks"), "mint": {"scope": "orders"}});
    let resource = server.resource_port();
    Kind {
        name: "oauth-access-token",
        issuer: issuer(server, &client, port, &json!({"token": leaks})),
        connections: json!({}),
        old: server.mint(&client, "").unwrap(),
        admin: client.secret,
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let mut bearer = Bearer { resource, token: value.to_owned() };
            bearer.is_alive().then(|| Box::new(bearer) as Box<dyn Session>)
        }),
    }
}

fn client_secret(server: &Server, name: &str, port: u16) -> Kind {
    let client = server.register(name, OnUpdate::Rotates).unwrap();
    let token = server.folder().join(name);
    std::fs::write(&token, &client.registration_token).unwrap();
    let uri = format!("http://127.0.0.1:{port}/reg/{}", client.id);
    let registration = json!({"uri": uri, "token": {"file": {"path": token}}});
    let more = json!({"client": {"id": client.id}, "client_secret": {"registration": registration}});
    let direct = server.port();
    Kind {
        name: "oauth-client-secret",
        issuer: issuer(server, &client, port, &more),
        connections: json!({}),
        admin: "nothing".to_owned(),
        old: client.secret.clone(),
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let client = Client { secret: value.to_owned(), ..client.clone() };
            let mut session = LoggedIn { port: direct, client };
            session.is_alive().then(|| Box::new(session) as Box<dyn Session>)
        }),
    }
}

/// A grant that somebody gave; the session is the access token that a stranger made of it.
fn refresh_token(server: &Server, name: &str, port: u16) -> Kind {
    refresh_token_of(server, name, port).1
}

fn refresh_token_of(server: &Server, name: &str, port: u16) -> (Client, Kind) {
    let client = server.register(name, OnUpdate::Keeps).unwrap();
    let control = server.register("quell", OnUpdate::Keeps).unwrap();
    let secret = server.folder().join(format!("control-{name}"));
    std::fs::write(&secret, &control.secret).unwrap();
    let (refresh, access) = server.consent(&client, "ines").unwrap();
    let kept = server.folder().join(format!("access-{name}"));
    std::fs::write(&kept, &access).unwrap();
    let more = json!({
        "control": {"client": {"id": control.id, "secret": format!("file:{}", secret.display())}},
        "token": {
            "type": "refresh_token",
            "resource": server.resource("asks"),
            "family": [format!("file:{}", kept.display())],
        },
    });
    let (direct, resource, owner) = (server.port(), server.resource_port(), client.clone());
    let kind = Kind {
        name: "oauth-refresh-token",
        issuer: issuer(server, &client, port, &more),
        connections: json!({}),
        admin: client.secret.clone(),
        old: refresh,
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let known = owner.introspects(direct, value).unwrap();
            known.then(|| Box::new(Bearer { resource, token: access.clone() }) as Box<dyn Session>)
        }),
    };
    (client, kind)
}

/// Nothing takes the place of a refresh token: it is dead, proven so, and people are told what they must do.
#[track_caller]
fn assert_only_dead(place: &mut Place, id: &str) {
    assert!((place.kind.door)(&place.kind.old).is_none() && !place.stranger.is_alive());
    let shown: Value = serde_json::from_str(&place.ok(&["incident", "show", id, "--json"], None)).unwrap();
    assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
    let plan = place.ok(&["plan", id, "--json"], None);
    assert!(plan.contains("must consent again"), "{plan}");
    place.ok(&["ledger", "verify"], None);
    place.ok(&["evidence", "export", id, "--output", "bundle.tar"], None);
    place.ok(&["evidence", "verify", "bundle.tar"], None);
}

#[test]
fn an_access_token_is_replaced_and_proven() {
    let server = start(true);
    is_answered(|name| access_token(&server, name, server.port()));
}

#[test]
fn a_crash_leaves_no_access_token_of_the_leak() {
    let server = start(true);
    survives_crashes_at(&["mint", "probe-new", "store-0", "disable", "prove"], |name| {
        access_token(&server, name, server.port())
    });
}

#[test]
fn an_answer_about_an_access_token_that_is_lost_is_found_again() {
    let server = start(true);
    let requests = ["grant_type=client_credentials", "token/revocation"];
    survives_lost_answers(&requests, |name, port| access_token(&server, name, port), server.port());
}

#[test]
fn a_client_secret_is_replaced_and_proven() {
    let server = start(true);
    is_answered(|name| client_secret(&server, name, server.port()));
}

/// Also where each answer carries the token for the next request. Both orders are one here: the successor ends the old one.
#[test]
fn a_crash_leaves_one_client_secret() {
    let server = start(true);
    let steps = ["mint", "probe-new", "store-0", "prove"];
    survives_crashes_in(KILL_FIRST, &steps, |name| client_secret(&server, name, server.port()));
}

#[test]
fn an_answer_with_a_client_secret_that_is_lost_is_asked_for_again() {
    let server = start(false);
    survives_lost_answers(&["PUT /reg"], |name, port| client_secret(&server, name, port), server.port());
}

#[test]
fn a_refresh_token_dies_with_its_family_whatever_is_killed_meanwhile() {
    let server = start(true);
    let mut places = vec![None];
    for step in ["disable", "sever", "prove"] {
        places.extend(
            ["after-intent", "after-effect", "after-result"].map(|at| Some(format!("orders.{step}:{at}"))),
        );
    }
    for (n, failpoint) in places.into_iter().enumerate() {
        let mut place = Place::new(refresh_token(&server, &format!("c{n}"), server.port()));
        let id = place.leak(KILL_FIRST.1);
        if let Some(failpoint) = &failpoint {
            let killed = place.quell(&["respond", &id], Some(failpoint));
            assert_eq!(killed.status.code(), None, "{failpoint} was not reached: {}", text(&killed.stderr));
        }
        let answered = place.quell(&["respond", &id], None);
        assert_eq!(answered.status.code(), Some(4), "{}", text(&answered.stderr));
        assert_only_dead(&mut place, &id);
    }
}

/// What nobody but people can do is a step of its own, with what they saw.
#[test]
fn consent_is_asked_for_again_and_recorded() {
    let server = start(true);
    let (client, kind) = refresh_token_of(&server, "consent", server.port());
    let mut place = Place::new(kind);
    let path = place.folder.path().join("quell.yaml");
    let mut inventory: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    inventory["secrets"][0]["consumers"] = json!([]);
    std::fs::write(&path, inventory.to_string()).unwrap();
    let id = place.leak(KILL_FIRST.1);
    let answered = place.quell(&["respond", &id], None);
    assert_eq!(answered.status.code(), Some(4), "{}", text(&answered.stderr));
    assert!(text(&answered.stderr).contains("consent again"), "{}", text(&answered.stderr));
    assert_only_dead(&mut place, &id);
    let open = place.quell(&["incident", "close", &id, "--summary", "done"], None);
    assert!(text(&open.stderr).contains("orders.re-consent is for a person to do"), "{}", text(&open.stderr));
    std::fs::write(place.folder.path().join("log.txt"), "03:20 consent of ines for the client").unwrap();
    let seen = "the server's log shows the new consent";
    let resolve = ["step", "resolve", &id, "orders.re-consent", "--statement", seen, "--evidence", "log.txt"];
    place.ok(&resolve, None);
    // The new grant is theirs: a new plan does not kill it for standing in the store.
    let (refresh, _) = server.consent(&client, "ines").unwrap();
    let file = place.kind.kept.file(place.folder.path());
    private(&file, &place.kind.kept.text(&refresh));
    place.ok(&["respond", &id], None);
    place.ok(&["plan", &id, "--again"], None);
    let again = place.quell(&["respond", &id], None);
    assert_eq!(again.status.code(), Some(4), "{}", text(&again.stderr));
    assert!((place.kind.door)(&refresh).is_some(), "the new grant was killed");
    assert_only_dead(&mut place, &id);
}

#[test]
fn an_answer_about_a_refresh_token_that_is_lost_is_found_again() {
    use quell_connect::conformance::Fault;
    let server = start(true);
    let proxy = crate::fault::Proxy::to(server.port());
    let mut place = Place::new(refresh_token(&server, "lost", proxy.port()));
    let id = place.leak(KILL_FIRST.1);
    proxy.once(Fault::DropAnswerTo(b"token/revocation".to_vec()));
    let first = place.quell(&["respond", &id], None);
    assert_eq!(proxy.struck(), 1, "{}", text(&first.stderr));
    if first.status.code() != Some(4) {
        let again = place.quell(&["respond", &id], None);
        assert_eq!(again.status.code(), Some(4), "{}", text(&again.stderr));
    }
    assert_only_dead(&mut place, &id);
}

/// A token that another server issued, and that its own resource takes: here it gets the refusal of what nobody ever had.
#[test]
fn a_token_of_another_server_is_not_believed_dead() {
    let (server, other) = (start(true), start(true));
    let place = Place::new(access_token(&server, "orders", server.port()));
    let theirs = other.register("orders", OnUpdate::Keeps).unwrap();
    let foreign = other.mint(&theirs, "").unwrap();
    let opens = || other.enter("asks", &foreign).unwrap() == 200;
    is_not_believed_of_another(place, &foreign, "nobody saw this one accepted here", opens);
}

/// A token of the same server for a resource that looks at its signature alone, while the one in the inventory refuses it.
#[test]
fn a_token_for_another_resource_is_not_believed_dead() {
    let server = start(true);
    let place = Place::new(access_token(&server, "orders", server.port()));
    let theirs = server.register("mail", OnUpdate::Keeps).unwrap();
    let foreign = server.mint(&theirs, "&resource=urn:local").unwrap();
    let opens = || server.enter("local", &foreign).unwrap() == 200;
    is_not_believed_of_another(place, &foreign, "is for others than the resource", opens);
}
