//! Every route with every role. A route that is not listed here fails: rights are given by hand, and looked at.

use quell_core::person::Role;
use quell_web::{Access, Kind, Route, Verb, all};
use reqwest::{Method, StatusCode};

use super::world::{Form as _, World};

/// Verb, path, least role.
const RIGHTS: &str = include_str!("rights.txt");

fn line(route: &Route) -> String {
    let least = match route.access {
        Access::Public => "public",
        Access::Role(role) => role.word(),
    };
    format!("{} {} {least}", route.verb.word(), route.path)
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Delete => Method::DELETE,
    }
}

/// A place of that path that is not there.
fn place(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{id}" => "INC-2026-0001",
        part if part.starts_with('{') => "none",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_listed_with_its_least_role() {
    let mut routes: Vec<String> = all().map(line).collect();
    routes.sort();
    let listed: Vec<&str> = RIGHTS.lines().collect();
    let missing: Vec<&String> = routes.iter().filter(|line| !listed.contains(&line.as_str())).collect();
    let gone: Vec<&&str> = listed.iter().filter(|line| !routes.iter().any(|own| own == *line)).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not in tests/web/rights.txt: {missing:#?}; only there: {gone:#?}"
    );
    assert!(listed.is_sorted(), "keep tests/web/rights.txt sorted");
}

#[test]
fn what_everybody_may_use_is_known_by_name() {
    let open: Vec<&str> =
        all().filter(|route| route.access == Access::Public).map(|route| route.path).collect();
    for path in open {
        let known =
            ["/healthz", "/readyz", "/metrics", "/sign-in", "/assets/", "/hooks/", "/api/v1/openapi.json"];
        assert!(known.iter().any(|start| path.starts_with(start)), "{path} is open to everybody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_past_a_route_that_their_role_does_not_open() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for route in all() {
        let Access::Role(least) = route.access else { continue };
        let place = place(route.path);
        let nobody = world.ask(method(route.verb), &place).send().await.unwrap();
        let to_sign_in = nobody.status() == StatusCode::SEE_OTHER
            && nobody.headers()["location"].to_str().unwrap().starts_with("/sign-in?next=")
            && route.kind == Kind::Page;
        if nobody.status() != StatusCode::UNAUTHORIZED && !to_sign_in {
            wrong.push(format!("{}: nobody gets {}", line(route), nobody.status()));
        }
        for role in Role::ALL {
            let (cookie, csrf) = world.session(&format!("some-{role}"), role).await;
            let request =
                world.ask(method(route.verb), &place).header("cookie", cookie).header("x-quell-csrf", csrf);
            // The stream of something that is there would not end; this one is not.
            let status = request.send().await.unwrap().status();
            let turned_away = status == StatusCode::FORBIDDEN || status == StatusCode::UNAUTHORIZED;
            if turned_away != (role < least) || status.is_server_error() {
                wrong.push(format!("{}: {role} gets {status}", line(route)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_page_is_refused_whoever_sends_it() {
    let world = World::new().await;
    let (cookie, csrf) = world.session("ines", Role::Admin).await;
    let mut wrong = Vec::new();
    for route in all().filter(|route| route.verb != Verb::Get && route.kind != Kind::Hook) {
        if route.access == Access::Public {
            continue;
        }
        let place = place(route.path);
        let form = || world.ask(method(route.verb), &place).header("cookie", &cookie);
        let with = |token: &str| form().form(&[("csrf", token)]);
        let tries = [
            ("no token", form()),
            ("another's token", with("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
            ("an empty token", with("")),
            ("from another site", with(&csrf).header("sec-fetch-site", "cross-site")),
            ("from a neighbour", with(&csrf).header("sec-fetch-site", "same-site")),
            ("another origin", with(&csrf).header("origin", "http://evil.example")),
            ("no origin", with(&csrf).header("origin", "null")),
            (
                "the token in the URL",
                world.ask(method(route.verb), &format!("{place}?csrf={csrf}")).header("cookie", &cookie),
            ),
        ];
        for (what, request) in tries {
            let status = request.send().await.unwrap().status();
            if status != StatusCode::FORBIDDEN {
                wrong.push(format!("{} {what}: {status}", line(route)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_keep_pages_apart() {
    let world = World::new().await;
    let (cookie, _) = world.session("ines", Role::Admin).await;
    for path in ["/sign-in", "/incidents", "/nothing", "/api/v1/server", "/api/v1/nothing", "/healthz"] {
        let response = world.ask(Method::GET, path).header("cookie", &cookie).send().await.unwrap();
        let headers = response.headers();
        let csp = headers["content-security-policy"].to_str().unwrap();
        assert!(csp.starts_with("default-src 'none'") && !csp.contains("unsafe"), "{path}: {csp}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        // Not `no-referrer`: with it browsers call the origin of our own forms `null`.
        assert_eq!(headers["referrer-policy"], "same-origin", "{path}");
    }
}
