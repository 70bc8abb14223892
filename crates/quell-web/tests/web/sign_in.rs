//! Signing in by codes, sessions, showing anew who one is, breaking the glass.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use quell_app::clock::now;
use quell_app::person::{self, LASTS, Source, glass};
use quell_core::event::Actor;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};

use super::world::{Form as _, World, inventory, read};

/// A code of somebody, made on the terminal beside the data folder.
async fn code(world: &World, name: &str, role: Role) -> String {
    let admin = world.app.acting_as(Actor::user("admin-of-test"));
    person::add(&admin, name, role, now()).await.unwrap();
    let people = person::people(&world.app).await.unwrap();
    let code = person::code(&admin, &people, name, person::At::Machine, now()).await.unwrap();
    code.expose_text().unwrap().to_owned()
}

async fn sign_in(world: &World, code: &str, next: &str) -> (StatusCode, Option<String>, Option<String>) {
    let request = world.ask(Method::POST, "/sign-in").form(&[("code", code), ("next", next)]);
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    (response.status(), header("location"), header("set-cookie"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_and_leads_where_one_wanted_to_go() {
    let world = World::new().await;
    let code = code(&world, "ines", Role::Viewer).await;
    let shouted = code.to_uppercase().replace('-', " ");
    let (status, location, cookie) = sign_in(&world, &shouted, "/incidents/INC-2026-0001").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(location.as_deref(), Some("/incidents/INC-2026-0001"));
    let cookie = cookie.unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let pair = cookie.split(';').next().unwrap().to_owned();
    let (status, page) =
        read(world.ask(Method::GET, "/incidents").header("cookie", &pair).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("ines <span class=\"quiet\">(viewer)</span>"), "{page}");
    assert_eq!(sign_in(&world, &code, "/").await.0, StatusCode::UNAUTHORIZED, "it was used");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_try_one_code_at_once_one_gets_in() {
    let world = World::new().await;
    let code = code(&world, "ines", Role::Viewer).await;
    let tries = (0..12).map(|_| sign_in(&world, &code, "/"));
    let all = futures_util::future::join_all(tries).await;
    let inside = all.iter().filter(|(status, ..)| *status == StatusCode::SEE_OTHER).count();
    assert_eq!(inside, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_are_wrong_or_old_and_links_that_lead_away_do_not_work() {
    let world = World::new().await;
    let good = code(&world, "ines", Role::Viewer).await;
    for wrong in ["", "00000-00000-00000-00000", &good[..10], &format!("{good}0"), &"x".repeat(100_000)] {
        assert_eq!(sign_in(&world, wrong, "/").await.0, StatusCode::UNAUTHORIZED, "{wrong:.30}");
    }
    let (_, location, _) = sign_in(&world, &good, "//evil.example/").await;
    assert_eq!(location.as_deref(), Some("/"));
    let people = person::people(&world.app).await.unwrap();
    let early = now() - SignedDuration::from_mins(11);
    let old = person::code(&world.app, &people, "ines", person::At::Machine, early).await.unwrap();
    assert_eq!(sign_in(&world, old.expose_text().unwrap(), "/").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_time_by_signing_out_and_with_the_person() {
    let world = World::new().await;
    let there = async |cookie: &str| {
        world.ask(Method::GET, "/settings").header("cookie", cookie).send().await.unwrap().status()
            == StatusCode::OK
    };
    world.session("ines", Role::Viewer).await;
    let before = now() - LASTS - SignedDuration::from_secs(1);
    let old = person::start(&world.app, "ines", Role::Viewer, Source::Local, before).await.unwrap();
    assert!(!there(&format!("quell={}", old.expose_text().unwrap())).await, "it has ended");

    let (cookie, csrf) = world.session("ines", Role::Viewer).await;
    assert!(there(&cookie).await);
    let out = world.ask(Method::POST, "/sign-out").header("cookie", &cookie).form(&[("csrf", csrf.as_str())]);
    assert_eq!(out.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    assert!(!there(&cookie).await, "signed out; a copy of the cookie opens nothing");

    let (first, _) = world.session("omar", Role::Admin).await;
    let (second, _) = world.session("ines", Role::Admin).await;
    assert!(there(&first).await && there(&second).await);
    person::remove(&world.app, "omar", "left", now()).await.unwrap();
    assert!(!there(&first).await && there(&second).await);
    let last = person::remove(&world.app, "ines", "left", now()).await.unwrap_err();
    assert!(last.to_string().contains("last admin"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_taken_away_is_gone_at_once() {
    let world = World::new().await;
    let (cookie, _) = world.session("ines", Role::Viewer).await;
    let list = async || {
        world.ask(Method::GET, "/incidents").header("cookie", &cookie).send().await.unwrap().status()
    };
    assert_eq!(list().await, StatusCode::OK);
    person::add(&world.app, "ines", Role::Reporter, now()).await.unwrap();
    assert_eq!(list().await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_glass_is_broken_with_a_reason_seen_by_all_and_looked_at_by_another() {
    let world = World::new().await;
    let (cookie, csrf) = world.session("ines", Role::Responder).await;
    let (other, other_csrf) = world.session("omar", Role::Approver).await;
    let send = async |path: &str, cookie: &str, fields: &[(&str, &str)]| {
        let request = world.ask(Method::POST, path).header("cookie", cookie).form(fields);
        request.send().await.unwrap().status()
    };
    let is_admin = async || {
        let page = world.ask(Method::GET, "/settings").header("cookie", &cookie).send().await.unwrap();
        read(page).await.1.contains("<span class=\"quiet\">(admin)</span>")
    };
    assert!(!is_admin().await);
    let short = [("csrf", csrf.as_str()), ("role", "admin"), ("reason", "why not")];
    assert_eq!(send("/settings/break-glass", &cookie, &short).await, StatusCode::UNPROCESSABLE_ENTITY);
    let good = [("csrf", csrf.as_str()), ("role", "admin"), ("reason", "sign-in is down and it burns")];
    assert_eq!(send("/settings/break-glass", &cookie, &good).await, StatusCode::SEE_OTHER);
    assert!(is_admin().await, "for an hour");
    let seen = world.ask(Method::GET, "/settings").header("cookie", &other).send().await.unwrap();
    let (_, page) = read(seen).await;
    assert!(page.contains("sign-in is down and it burns") && page.contains("Nobody has looked"), "{page}");

    let known = person::people(&world.app).await.unwrap();
    let opened = known.break_glass[0].opened.to_string();
    let own = [("csrf", csrf.as_str()), ("opened", &opened), ("statement", "I was right to do so")];
    assert_eq!(send("/settings/break-glass/review", &cookie, &own).await, StatusCode::UNPROCESSABLE_ENTITY);
    let theirs = [
        ("csrf", other_csrf.as_str()),
        ("opened", &opened),
        ("statement", "one person was added, as agreed"),
    ];
    assert_eq!(send("/settings/break-glass/review", &other, &theirs).await, StatusCode::SEE_OTHER);
    assert!(!is_admin().await, "it ended with that");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_is_loud_and_over_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.jsonl");
    let text = format!(
        "channels: {{ board: {{ log: {{ path: {} }} }}, late: {{ log: {{ path: /nowhere/at/all.jsonl }} }} }}\npolicy: {{ notify: {{ post: board, page: late }} }}\n",
        board.display()
    );
    let world = World::at("127.0.0.1:0", inventory(&text), BTreeMap::new()).await;
    let (cookie, csrf) = world.session("ines", Role::Responder).await;
    let (other, _) = world.session("omar", Role::Viewer).await;
    let fields = [("csrf", csrf.as_str()), ("role", "admin"), ("reason", "sign-in is down and it burns")];
    let request = world.ask(Method::POST, "/settings/break-glass").header("cookie", &cookie).form(&fields);
    // One channel is away: nobody is kept from acting by that.
    assert_eq!(request.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    let told = std::fs::read_to_string(&board).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("ines broke the glass and is admin until"), "{told}");
    assert!(told.contains("sign-in is down and it burns"), "{told}");
    // Whoever looks at whatever page sees it as long as it holds.
    for who in [&cookie, &other] {
        let page = world.ask(Method::GET, "/incidents").header("cookie", who).send().await.unwrap();
        let (_, page) = read(page).await;
        assert!(page.contains("ines broke the glass"), "{page}");
    }
    let people = person::people(&world.app).await.unwrap();
    let at = |minutes| now() + SignedDuration::from_mins(minutes);
    assert_eq!(people.role("ines", Role::Responder, at(59)), Role::Admin);
    assert_eq!(people.role("ines", Role::Responder, at(61)), Role::Responder);
    assert_eq!(people.broken(at(59)).count(), 1);
    assert_eq!(people.broken(at(61)).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_left_open_does_not_do_what_cannot_be_taken_back() {
    let world = World::new().await;
    world.session("ines", Role::Admin).await;
    let before = now() - SignedDuration::from_mins(16);
    let cookie = person::start(&world.app, "ines", Role::Admin, Source::Local, before).await.unwrap();
    let pair = format!("quell={}", cookie.expose_text().unwrap());
    let people = person::people(&world.app).await.unwrap();
    let found = person::find(&world.app, &people, &cookie, now()).await.unwrap().unwrap();
    let csrf = found.session.csrf.as_str();
    let add = async |pair: &str, csrf: &str| {
        let fields = [("csrf", csrf), ("name", "eve"), ("role", "viewer")];
        read(
            world
                .ask(Method::POST, "/settings/people")
                .header("cookie", pair)
                .form(&fields)
                .send()
                .await
                .unwrap(),
        )
        .await
    };
    let (status, body) = add(&pair, csrf).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("/sign-in/again"), "{body}");
    // Nor anything else about people; only that somebody is let in no longer is never too late.
    world.session("rolf", Role::Viewer).await;
    let ask = async |path: &str, fields: &[(&str, &str)]| {
        let fields = [fields, &[("csrf", csrf)]].concat();
        read(world.ask(Method::POST, path).header("cookie", &pair).form(&fields).send().await.unwrap()).await
    };
    for (path, fields) in [
        ("/settings/people/code", vec![("name", "rolf")]),
        ("/settings/people/remove", vec![("name", "rolf"), ("reason", "in the way")]),
        ("/settings/people/same", vec![("name", "rolf"), ("other", "lena"), ("reason", "one badge")]),
        ("/settings/break-glass", vec![("role", "admin"), ("reason", "it burns and it burns")]),
        ("/settings/tokens", vec![("name", "later"), ("role", "admin"), ("days", "30")]),
    ] {
        let (status, body) = ask(path, &fields).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {body}");
        assert!(body.contains("/sign-in/again"), "{path}: {body}");
    }
    assert_eq!(ask("/settings/people/sign-out", &[("name", "rolf")]).await.0, StatusCode::SEE_OTHER);
    // Another's code does not show who this is; one's own does, once, and the cookie is another one afterwards.
    let theirs = code(&world, "omar", Role::Admin).await;
    let own = code(&world, "ines", Role::Admin).await;
    let again = async |code: &str| {
        let fields = [("csrf", csrf), ("code", code), ("next", "/settings")];
        world.ask(Method::POST, "/sign-in/again").header("cookie", &pair).form(&fields).send().await.unwrap()
    };
    assert_eq!(again(&theirs).await.status(), StatusCode::UNAUTHORIZED);
    let response = again(&own).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let fresh = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_ne!(fresh, pair);
    let settings = world.ask(Method::GET, "/settings").header("cookie", &fresh).send().await.unwrap();
    let page = settings.text().await.unwrap();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(add(&fresh, csrf).await.0, StatusCode::SEE_OTHER);
    assert_eq!(add(&pair, csrf).await.0, StatusCode::UNAUTHORIZED, "the old cookie has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_glass_is_broken_once_and_said_once_for_each_person() {
    let world = World::new().await;
    let (cookie, csrf) = world.session("ines", Role::Responder).await;
    let (reporter, _) = world.session("rita", Role::Reporter).await;
    let open = async |role: &str, reason: &str| {
        let fields = [("csrf", csrf.as_str()), ("role", role), ("reason", reason)];
        let request =
            world.ask(Method::POST, "/settings/break-glass").header("cookie", &cookie).form(&fields);
        read(request.send().await.unwrap()).await
    };
    let broken = async || person::people(&world.app).await.unwrap().break_glass.len();
    let (status, said) = open("admin", &"long ".repeat(101)).await;
    assert_eq!((status, broken().await), (StatusCode::UNPROCESSABLE_ENTITY, 0), "{said}");
    assert_eq!(open("approver", "nobody who approves is awake").await.0, StatusCode::SEE_OTHER);
    assert_eq!(
        open("admin", "the provider has to be changed").await.0,
        StatusCode::SEE_OTHER,
        "more than before"
    );
    let ines = world.app.acting_as(Actor::user("ines"));
    for role in [Role::Approver, Role::Admin] {
        // Asked by a page or program that was let in a moment ago, as what they were before.
        let again = glass::open(&ines, Role::Responder, role, "and once more, to be loud", now()).await;
        assert!(again.unwrap_err().to_string().contains("you broke it already, and are admin until"));
    }
    assert_eq!(broken().await, 2);
    let page = async |cookie: &str, path: &str| {
        read(world.ask(Method::GET, path).header("cookie", cookie).send().await.unwrap()).await.1
    };
    let shown = page(&cookie, "/incidents").await;
    assert_eq!(shown.matches("Broken glass:").count(), 1, "{shown}");
    assert!(shown.contains("ines broke the glass and is admin"), "{shown}");
    assert!(!page(&reporter, "/report").await.contains("broke the glass"), "it is nothing for reporters");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_makes_nothing_that_outlasts_it() {
    let world = World::new().await;
    let (cookie, csrf) = world.session("ines", Role::Responder).await;
    world.session("omar", Role::Admin).await;
    let send = async |path: &str, fields: &[(&str, &str)]| {
        let request = world.ask(Method::POST, path).header("cookie", &cookie).form(fields);
        read(request.send().await.unwrap()).await
    };
    let reason = "sign-in is down and it burns";
    let glass = [("csrf", csrf.as_str()), ("role", "admin"), ("reason", reason)];
    assert_eq!(send("/settings/break-glass", &glass).await.0, StatusCode::SEE_OTHER);
    for (path, fields) in [
        ("/settings/people", vec![("name", "eve"), ("role", "admin")]),
        ("/settings/people/remove", vec![("name", "omar"), ("reason", "in the way")]),
        ("/settings/people/code", vec![("name", "omar")]),
        ("/settings/people/sign-out", vec![("name", "omar")]),
        ("/settings/people/same", vec![("name", "omar"), ("other", "lena"), ("reason", "one badge")]),
    ] {
        let mut fields = fields;
        fields.push(("csrf", csrf.as_str()));
        let (status, body) = send(path, &fields).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert!(body.contains("outlast"), "{path}: {body}");
    }
    let token = [("csrf", csrf.as_str()), ("name", "later"), ("role", "admin"), ("days", "300")];
    assert_eq!(send("/settings/tokens", &token).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_spellings_of_a_name_are_one_person_and_codes_are_known() {
    let world = World::new().await;
    world.session("ines", Role::Approver).await;
    let twin = person::add(&world.app, "Ines", Role::Approver, now()).await.unwrap_err();
    assert!(twin.to_string().contains("ines is known here already"), "{twin}");
    code(&world, "omar", Role::Viewer).await;
    let entries = world.app.store.read_all(0, 1000).await.unwrap();
    let made = entries.iter().filter(|entry| entry.event.kind() == "code.made");
    let by: Vec<&str> = made.map(|entry| entry.actor.id.as_str()).collect();
    assert_eq!(by, ["admin-of-test"], "who could sign in as omar is on record");
}
