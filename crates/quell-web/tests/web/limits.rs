//! How much and how often: whoever sends too much is told when to come again, and keeps nobody else out.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use quell_core::inventory::{ConnectorRef, Inventory};
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::world::{Form as _, Trust, World, read};

/// A server with a hook, behind a proxy.
async fn world() -> World {
    let config = json!({ "secret": "env:HOOK_KEY" });
    let entry = ConnectorRef { connector: "github".to_owned(), config };
    let inventory = Inventory { intake: BTreeMap::from([("org".to_owned(), entry)]), ..Inventory::default() };
    let environment = BTreeMap::from([("HOOK_KEY".to_owned(), "a-key-of-the-hook".to_owned())]);
    World::with(inventory, environment, &Trust::default(), |config, _| {
        config.url = Some("http://quell.example.test".parse().unwrap());
    })
    .await
}

/// Status and how long to wait.
async fn ask(request: reqwest::RequestBuilder) -> (StatusCode, Option<u64>, String) {
    let answer = request.send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().parse().unwrap());
    let (status, text) = read(answer).await;
    (status, wait, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_codes_has_to_wait_and_others_have_not() {
    let world = world().await;
    let guess = |from: &str| {
        let request = world.ask(Method::POST, "/sign-in").header("x-forwarded-for", from);
        request.header("accept", "text/html").form(&[("code", "guessed")])
    };
    let mut last = ask(guess("192.0.2.7")).await;
    let mut tries = 1;
    while last.0 == StatusCode::UNAUTHORIZED && tries < 100 {
        last = ask(guess("192.0.2.7")).await;
        tries += 1;
    }
    let (status, wait, page) = last;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(tries > 20, "people may mistype: {tries}");
    assert!((1..=3).contains(&wait.unwrap()), "{wait:?}");
    assert!(page.contains("<!doctype html>") || page.contains("<html"), "a page for people: {page}");
    // What stands before the last address was said by whoever asked.
    assert_eq!(ask(guess("198.51.100.1, 192.0.2.7")).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask(guess("192.0.2.7, 192.0.2.8")).await.0, StatusCode::UNAUTHORIZED);
    // A proxy that does not say who it is for must not make all of them one.
    for _ in 0..40 {
        let silent = world.ask(Method::POST, "/sign-in").form(&[("code", "guessed")]);
        assert_eq!(ask(silent).await.0, StatusCode::UNAUTHORIZED);
    }
    // One network of IPv6 is one caller.
    for n in 0..30 {
        ask(guess(&format!("2001:db8::{n:x}"))).await;
    }
    assert_eq!(ask(guess("2001:db8::ffff")).await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_tokens_has_to_wait_and_whoever_has_one_has_not() {
    let world = world().await;
    let good = world.token("ines", Role::Viewer).await;
    let with = |path: &str, from: &str, token: &str| {
        let request = world.ask(Method::GET, path).header("x-forwarded-for", from);
        ask(request.header("authorization", format!("Bearer {token}")))
    };
    let mut tries = 0;
    let (status, wait, said) = loop {
        let path = if tries % 2 == 0 { "/api/v1/incidents" } else { "/incidents" };
        let answer = with(path, "192.0.2.7", &format!("qll_{tries:052}")).await;
        if answer.0 != StatusCode::UNAUTHORIZED {
            break answer;
        }
        tries += 1;
        assert!(tries < 100, "nobody said stop");
    };
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        tries >= 20 && (1..=3).contains(&wait.unwrap()) && said.contains("ask again after"),
        "{tries} {said}"
    );
    assert_eq!(with("/api/v1/incidents", "192.0.2.7", &good).await.0, StatusCode::OK, "at the same address");
    assert_eq!(with("/api/v1/incidents", "192.0.2.8", "qll_x").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_forges_deliveries_has_to_wait() {
    let world = world().await;
    let forge = |from: &str| {
        let request = world.ask(Method::POST, "/hooks/org").header("x-forwarded-for", from);
        request.header("x-hub-signature-256", format!("sha256={}", "0".repeat(64))).body("{}")
    };
    for _ in 0..30 {
        assert_eq!(ask(forge("192.0.2.7")).await.0, StatusCode::UNAUTHORIZED);
    }
    // The bucket fills while we ask.
    let mut last = ask(forge("192.0.2.7")).await;
    while last.0 == StatusCode::UNAUTHORIZED {
        last = ask(forge("192.0.2.7")).await;
    }
    assert_eq!((last.0, last.1), (StatusCode::TOO_MANY_REQUESTS, Some(1)));
    assert!(last.2.contains("ask again after"), "{}", last.2);
    assert_eq!(ask(forge("192.0.2.8")).await.0, StatusCode::UNAUTHORIZED, "another sender");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_reports_only_so_often() {
    let world = world().await;
    let (cookie, csrf) = world.session("ines", Role::Reporter).await;
    let (other, csrf_of_other) = world.session("omar", Role::Reporter).await;
    let report = |cookie: &str, csrf: &str| {
        let request = world.ask(Method::POST, "/report").header("cookie", cookie);
        request.form(&[("csrf", csrf), ("what", ""), ("place", "")])
    };
    let mut reports = 0;
    while ask(report(&cookie, &csrf)).await.0 != StatusCode::TOO_MANY_REQUESTS {
        reports += 1;
        assert!(reports < 100, "nobody said stop");
    }
    assert!(reports >= 20, "{reports}");
    let (status, wait, said) = ask(report(&cookie, &csrf)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=6).contains(&wait.unwrap()) && said.contains("ask again after"), "{said}");
    assert_ne!(ask(report(&other, &csrf_of_other)).await.0, StatusCode::TOO_MANY_REQUESTS);
}

/// Everything that ends the right to watch ends the stream, long before it is looked at by itself.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_look_any_more_hears_nothing_more() {
    use quell_app::clock::now;
    use quell_app::person::{self, token};
    let world = world().await;
    let id = quell_app::tell::tell(&world.app, told()).await.unwrap().id;
    let admin = world.app.acting_as(quell_core::event::Actor::user("admin-of-test"));
    world.session("somebody-else", Role::Admin).await;
    for what in ["signed out", "removed", "a lesser role", "token revoked"] {
        let name = what.replace(' ', "-");
        let (cookie, csrf) = world.session(&name, Role::Responder).await;
        let request = world.ask(Method::GET, &format!("/incidents/{id}/events?after=0"));
        let own = admin.acting_as(quell_core::event::Actor::user(&name));
        let new = token::NewToken {
            name: "ci".to_owned(),
            role: Role::Viewer,
            lasts: jiff::SignedDuration::from_hours(24),
            made_with: None,
        };
        let (made, value) = token::make(&own, Role::Responder, &new, now()).await.unwrap();
        let bearer = format!("Bearer {}", value.expose_text().unwrap());
        let request = match what {
            "token revoked" => request.header("authorization", bearer),
            _ => request.header("cookie", &cookie),
        };
        let mut stream = request.send().await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK, "{what}");
        assert!(stream.chunk().await.unwrap().is_some(), "{what}: what happened so far");
        match what {
            "signed out" => {
                let form =
                    world.ask(Method::POST, "/sign-out").header("cookie", &cookie).form(&[("csrf", &csrf)]);
                assert_eq!(form.send().await.unwrap().status(), StatusCode::SEE_OTHER);
            }
            "removed" => person::remove(&admin, &name, "left", now()).await.unwrap(),
            "a lesser role" => person::add(&admin, &name, Role::Reporter, now()).await.unwrap(),
            _ => {
                let leaked = token::Revoke { id: &made.id, of: None, reason: "leaked", made: false };
                token::revoke(&admin, &leaked, now()).await.unwrap();
            }
        }
        let rest = async { while let Ok(Some(_)) = stream.chunk().await {} };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(8), rest).await;
        assert!(ended.is_ok(), "{what}: the stream goes on");
    }
}

fn told() -> quell_app::tell::Told {
    let (what, place) = ("a key".to_owned(), "a chat".to_owned());
    quell_app::tell::Told { what, place, channel: None, secret: None, value: None }
}

/// Only the head is sent, and a body is promised.
fn promise(world: &World, path: &str, length: usize) -> String {
    let address = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = [0; 12];
    stream.read_exact(&mut said).unwrap();
    String::from_utf8(said.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_for_nobody() {
    let world = std::sync::Arc::new(world().await);
    let asked = std::sync::Arc::clone(&world);
    let said = tokio::task::spawn_blocking(move || {
        ["/hooks/nobody", "/hooks/nobody/slack"].map(|path| promise(&asked, path, 20 << 20))
    });
    assert_eq!(said.await.unwrap(), ["HTTP/1.1 401", "HTTP/1.1 422"]);
    let (cookie, _) = world.session("ines", Role::Responder).await;
    let long = "x".repeat((1 << 20) + 1);
    let form = world.ask(Method::POST, "/report").header("cookie", cookie).form(&[("what", &long)]);
    assert_eq!(ask(form).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}
