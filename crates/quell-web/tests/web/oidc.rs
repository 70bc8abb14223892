//! Signing in by a real identity provider (`oidc-provider`), and everything that could be another's answer.

use std::collections::BTreeMap;
use std::net::TcpListener;

use jiff::SignedDuration;
use quell_app::clock::now;
use quell_app::person;
use quell_app::person::token::{self, NewToken};
use quell_core::event::{Actor, Event, INSTALLATION};
use quell_core::inventory::{Inventory, Oidc, Server as Settings};
use quell_core::person::Role;
use quell_testkit::oidc::{Options, Server};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::world::{Form as _, World, read};

/// A browser: its cookies by host and name, as far as these tests need them.
#[derive(Clone, Default)]
struct Browser(BTreeMap<(String, String), String>);

/// Where a browser ended.
struct Ended {
    status: StatusCode,
    url: String,
    body: String,
}

impl Browser {
    fn cookies(&self, url: &str) -> String {
        let host = host(url);
        let own = self.0.iter().filter(|((of, _), value)| *of == host && !value.is_empty());
        own.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// One request; cookies are kept. Where it leads, if anywhere.
    async fn step(
        &mut self,
        world: &World,
        request: (Method, &str, &[(&str, &str)]),
        who: &str,
    ) -> (Ended, Option<String>) {
        let (method, url, form) = request;
        let mut asked =
            world.ask(method.clone(), url).header("cookie", self.cookies(url)).header("x-sign-in-as", who);
        if method == Method::POST {
            asked = asked.form(form);
        }
        let response = asked.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.insert((host(url), name.to_owned()), value.to_owned());
        }
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let next = header("location")
            .or_else(|| header("refresh").map(|text| text.split_once("url=").unwrap().1.to_owned()));
        let next = next.map(|to| url::Url::parse(url).unwrap().join(&to).unwrap().to_string());
        let status = response.status();
        (Ended { status, url: url.to_owned(), body: response.text().await.unwrap() }, next)
    }

    /// Goes on until nothing leads further, or to the first address that begins with `stop`.
    async fn go(
        &mut self,
        world: &World,
        first: (Method, &str, &[(&str, &str)]),
        who: &str,
        stop: Option<&str>,
    ) -> Ended {
        let (mut ended, mut next) = self.step(world, first, who).await;
        for _ in 0..12 {
            let Some(to) = next else { return ended };
            if stop.is_some_and(|stop| to.starts_with(stop)) {
                return Ended { url: to, ..ended };
            }
            (ended, next) = self.step(world, (Method::GET, &to, &[]), who).await;
        }
        panic!("it leads in circles: {}", ended.url);
    }
}

fn host(url: &str) -> String {
    url::Url::parse(url).unwrap().authority().to_owned()
}

/// A server that people sign in to by the provider. The port is taken first, since the provider wants to know the address.
async fn world(provider: &Server) -> World {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let client = provider.register_web(&format!("{url}/sign-in/back")).unwrap();
    let oidc: Oidc = serde_json::from_value(json!({
        "issuer": provider.issuer(), "client_id": client.id, "client_secret": "env:OIDC_SECRET",
        "scope": "openid profile", "name_claim": "preferred_username",
        "roles": { "approver": ["sec"], "responder": ["sre"] },
    }))
    .unwrap();
    let inventory = Inventory { server: Settings { oidc: Some(oidc) }, ..Inventory::default() };
    let environment = BTreeMap::from([("OIDC_SECRET".to_owned(), client.secret)]);
    World::at(&format!("127.0.0.1:{port}"), inventory, environment).await
}

fn begin(world: &World) -> String {
    format!("{}/sign-in/provider", world.url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_gives_the_role_and_everybody_else_may_report() {
    let provider = Server::start(Options::default()).unwrap();
    let world = world(&provider).await;
    for (who, name, role) in [
        ("ines+sre,sec", "ines", "approver"),
        ("omar+sre", "omar", "responder"),
        ("eve+Sec", "eve", "reporter"),
    ] {
        let mut browser = Browser::default();
        let place = begin(&world);
        let first = (Method::POST, place.as_str(), [("next", "/settings")].as_slice());
        let ended = browser.go(&world, first, who, None).await;
        assert_eq!(
            (ended.status, ended.url),
            (StatusCode::OK, format!("{}/settings", world.url)),
            "{}",
            ended.body
        );
        assert!(
            ended.body.contains(&format!("{name} <span class=\"quiet\">({role})</span>")),
            "{}",
            ended.body
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_good_once_and_in_the_browser_that_asked() {
    let provider = Server::start(Options::default()).unwrap();
    let world = world(&provider).await;
    let (mut browser, mut other) = (Browser::default(), Browser::default());
    let (place, back) = (begin(&world), format!("{}/sign-in/back", world.url));
    let first = || (Method::POST, place.as_str(), [("next", "/settings")].as_slice());
    // The thief signs in as themselves, and has somebody else open the answer: they would report under the thief's name.
    let stopped = browser.go(&world, first(), "eve+sre", Some(&back)).await;
    let (seen, _) = other.step(&world, (Method::GET, &stopped.url, &[]), "").await;
    assert_eq!(seen.status, StatusCode::BAD_GATEWAY, "{}", seen.body);
    assert!(seen.body.contains("not begun in this browser"), "{}", seen.body);
    let (own, _) = browser.step(&world, (Method::GET, &stopped.url, &[]), "").await;
    assert_eq!(own.status, StatusCode::BAD_GATEWAY, "it was used up by the try");

    let again = browser.go(&world, first(), "eve+sre", Some(&back)).await;
    for (what, url) in [
        ("another state", format!("{back}?code=x&state=AAAA&iss={}", provider.issuer())),
        ("no state", format!("{back}?code=x")),
        ("nothing", back.clone()),
    ] {
        let (seen, _) = browser.step(&world, (Method::GET, &url, &[]), "").await;
        assert_eq!(seen.status, StatusCode::BAD_GATEWAY, "{what}");
    }
    let foreign = again.url.replace("iss=http", "iss=https");
    assert_ne!(foreign, again.url);
    let (seen, _) = browser.step(&world, (Method::GET, &foreign, &[]), "").await;
    assert!(seen.body.contains("another provider"), "{}", seen.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_the_provider_s_name_is_not_repeated_as_it_stands() {
    let provider = Server::start(Options::default()).unwrap();
    let world = world(&provider).await;
    let mut browser = Browser::default();
    let (place, back) = (begin(&world), format!("{}/sign-in/back", world.url));
    let first = (Method::POST, place.as_str(), [("next", "/")].as_slice());
    let stopped = browser.go(&world, first, "eve", Some(&back)).await;
    let state = stopped.url.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let url = format!("{back}?error=%3Cscript%3E%1b[2J&state={state}");
    let request =
        world.ask(Method::GET, &url).header("cookie", browser.cookies(&back)).header("accept", "text/html");
    let page = request.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("it refused") && !page.contains("<script>") && !page.contains('\u{1b}'), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_anew_who_they_are_is_asked_by_the_provider() {
    let provider = Server::start(Options::default()).unwrap();
    let world = world(&provider).await;
    let mut browser = Browser::default();
    let place = begin(&world);
    browser.go(&world, (Method::POST, &place, [("next", "/settings")].as_slice()), "ines+sec", None).await;
    let form = [("next", "/settings"), ("again", "yes")];
    // Without the token of a form of ours, nobody who is signed in is sent away.
    let (refused, _) = browser.step(&world, (Method::POST, &place, &form), "ines+sec").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let (page, _) =
        browser.step(&world, (Method::GET, &format!("{}/sign-in/again", world.url), &[]), "").await;
    let csrf =
        page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let before = now();
    let form = [("next", "/settings"), ("again", "yes"), ("csrf", csrf.as_str())];
    let ended = browser.go(&world, (Method::POST, &place, &form), "ines+sec", None).await;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.body);
    let sessions = person::of(&world.app, "ines", now()).await.unwrap();
    assert!(sessions.iter().any(|(_, session)| session.confirmed.as_second() >= before.as_second() - 1
        && session.role == Role::Approver));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_no_more_than_the_provider_said_last_and_does_not_last_for_ever() {
    let provider = Server::start(Options::default()).unwrap();
    let world = world(&provider).await;
    let place = begin(&world);
    let sign_in = async |who: &str| {
        let mut browser = Browser::default();
        let first = (Method::POST, place.as_str(), [("next", "/settings")].as_slice());
        assert_eq!(browser.go(&world, first, who, None).await.status, StatusCode::OK);
    };
    sign_in("ines+sec").await;
    let ines = world.app.acting_as(Actor::user("ines"));
    let new = |days: i64| NewToken {
        name: "ci".to_owned(),
        role: Role::Approver,
        lasts: SignedDuration::from_hours(days * 24),
        made_with: None,
    };
    let refused = token::make(&ines, Role::Approver, &new(32), now()).await.unwrap_err();
    assert!(refused.to_string().contains("at most 31 days"), "{refused}");
    let (_, value) = token::make(&ines, Role::Approver, &new(31), now()).await.unwrap();
    let role = async || {
        let bearer = format!("Bearer {}", value.expose_text().unwrap());
        let asked = world.ask(Method::GET, "/api/v1/tokens/own").header("authorization", bearer);
        let (status, body) = read(asked.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["role"].as_str().unwrap().to_owned()
    };
    assert_eq!(role().await, "approver");
    sign_in("ines+sre").await;
    assert_eq!(role().await, "responder", "the group was taken away");
    sign_in("ines").await;
    assert_eq!(role().await, "reporter");
    // What was said is an entry, once for each change.
    sign_in("ines").await;
    let entries = world.app.store.read_stream(INSTALLATION, 0).await.unwrap();
    let said = entries.iter().filter(|entry| matches!(entry.event, Event::PersonProvided { .. }));
    assert_eq!(said.count(), 3);
}
