//! What strangers and people write is text on every page, for every role, wherever it came in.

use std::collections::{BTreeMap, BTreeSet};

use quell_app::incident::{self, Change, Report};
use quell_app::{notice, plan, scan};
use quell_core::IncidentId;
use quell_core::event::Actor;
use quell_core::exposure::Channel;
use quell_core::incident::TaskEnd;
use quell_core::person::Role;
use quell_web::{Kind, Verb, all};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::form::forms;
use super::world::{World, inventory, read};

/// An element, a way out of an attribute in either kind of quotes, a link that runs, and what a terminal or an eye is deceived by.
const PLANT: &str = "</textarea></title><script>planted</script><img src=x onerror=planted><b class=planted>\"onplant=\"1' onplant='1 javascript:planted \u{1b}[31m\u{202e}\u{200b}planted";

/// What an HTML parser would see of it, were it not escaped.
const MARKUP: [&str; 7] = [
    "<script>planted",
    "<img src=x",
    "<b class=planted",
    "\"onplant=",
    "'onplant=",
    "' onplant='",
    "</textarea></title>",
];

const KEY: &str = "a-key-of-the-hook";

fn world_text() -> String {
    json!({
        "secrets": [{
            "id": "ines-directory", "kind": PLANT, "env": "prod", "tier": "human", "owners": [PLANT],
            "issuer": { "person": { "account": "ines@example.com", "at": "the directory" } },
            "grants": [{ "resource": PLANT, "access": "read", "data": [PLANT] }],
        }],
        "channels": { "board": { "log": {} } },
        "policy": { "approvals": { "destructive": 1 } },
        "intake": { "org": { "json": {
            "secret": "env:HOOK_KEY", "header": "x-hook-key",
            "map": { "rule": "/rule", "description": "/what", "place": "/where", "link": "/link", "reference": "/id", "secret": "/secret" },
        } } },
    })
    .to_string()
}

/// A delivery of another system, with the plant in everything that it says.
async fn deliver(world: &World) {
    let body = json!({ "rule": PLANT, "what": PLANT, "where": PLANT, "link": "javascript:planted", "id": PLANT, "secret": "ines-directory" }).to_string();
    let request = world.ask(Method::POST, "/hooks/org").header("content-type", "application/json");
    let (status, said) = read(request.header("x-hook-key", KEY).body(body).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    for _ in 0..600 {
        if world.app.store.inbox_open().await.unwrap() == (0, 0) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the delivery is not worked off");
}

/// By the use cases that need more than a form: a file's name, evidence, a plan, a notice.
async fn plant(world: &World) -> IncidentId {
    let app = world.app.acting_as(Actor::user("ines"));
    let folder = tempfile::tempdir().unwrap();
    let name = PLANT.replace(['/', '\u{1b}'], "_");
    let url = format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T");
    std::fs::write(folder.path().join(format!("{name}.env")), format!("DATABASE_URL={url}\n")).unwrap();
    let rules = scan::rules(&[]).unwrap();
    let found = scan::path(folder.path(), &rules, &app.store.keys().fingerprint, &mut |_| {}).unwrap();
    assert_eq!(scan::record(&app, PLANT, found).await.unwrap().findings.len(), 1);
    let report = Report {
        secrets: vec!["ines-directory".parse().unwrap()],
        channel: Some(Channel::Chat),
        title: Some(PLANT.to_owned()),
        place: PLANT.to_owned(),
        ..Report::default()
    };
    let id = incident::open(&app, report).await.unwrap().id;
    plan::make(&app, id, false).await.unwrap();
    let item = Change::ActionItem(PLANT.to_owned(), PLANT.to_owned(), "2031-12-01".to_owned(), None);
    incident::change(&app, id, &item).await.unwrap();
    // A line of people's words holds no control characters.
    let words = PLANT.replace('\u{1b}', "");
    let task = Change::Task(words.clone(), Some(words.clone()), None);
    incident::change(&app, id, &task).await.unwrap();
    let ended = Change::TaskEnded("T1".to_owned(), TaskEnd::Dropped, words.clone());
    incident::change(&app, id, &ended).await.unwrap();
    incident::change(&app, id, &Change::Task(words, Some("ines".to_owned()), None)).await.unwrap();
    notice::draft(&app, id, "update").await.unwrap();
    id
}

/// Every page with the ids of what is there.
async fn places(world: &World, id: IncidentId) -> BTreeSet<String> {
    let entries = world.app.store.read_all(0, 10_000).await.unwrap();
    let mut places = BTreeSet::new();
    for route in all().filter(|route| route.verb == Verb::Get && route.kind == Kind::Page) {
        // A stream does not end, and is no page.
        if route.path.ends_with("/events") || route.path.starts_with("/sign-in/oidc") {
            continue;
        }
        let path = route.path.replace("{sha256}", &"0".repeat(64));
        match path.as_str() {
            path if path.contains("{seq}") => {
                places.extend(entries.iter().map(|entry| path.replace("{seq}", &entry.seq.to_string())));
            }
            path if path.starts_with("/inventory/") => {
                places.insert(path.split('{').next().unwrap().to_owned() + "ines-directory");
            }
            path => {
                let path = path.replace("{id}", &id.to_string());
                let query = "%3Cscript%3Eplanted%3C%2Fscript%3E%22onplant%3D%271";
                places.insert(format!("{path}?q={query}&text={query}&who={query}&show=all&title={query}&place={query}&secret={query}&next={query}&done={query}"));
                places.insert(path);
            }
        }
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plant_is_text_on_every_page_for_every_role() {
    let environment = BTreeMap::from([("HOOK_KEY".to_owned(), KEY.to_owned())]);
    let world = World::at("127.0.0.1:0", inventory(&world_text()), environment).await;
    let id = plant(&world).await;
    deliver(&world).await;
    // Through every field of every form that an admin sees.
    let (admin, _) = world.session("ines", Role::Admin).await;
    let mut written = 0;
    for place in [
        format!("/incidents/{id}"),
        format!("/incidents/{id}/notices"),
        format!("/incidents/{id}/post-mortem"),
        "/incidents/new".to_owned(),
        "/report".to_owned(),
        "/findings".to_owned(),
        "/settings".to_owned(),
    ] {
        let (_, html) =
            read(world.ask(Method::GET, &place).header("cookie", &admin).send().await.unwrap()).await;
        for form in forms(&html) {
            for field in
                form.fields.iter().filter(|field| ["text", "textarea"].contains(&field.kind.as_str()))
            {
                let (status, said) = read(form.send(&world, &admin, &field.name, PLANT).await).await;
                assert!(!status.is_server_error(), "{} {}: {said}", form.action, field.name);
                clean(&said, &format!("the answer of {} {}", form.action, field.name));
                written += usize::from(status.is_redirection());
            }
        }
    }
    assert!(written >= 12, "only {written} forms took it");
    let mut shown = 0;
    for role in Role::ALL {
        let (cookie, _) = world.session(&format!("some-{role}"), role).await;
        for place in places(&world, id).await {
            let request =
                world.ask(Method::GET, &place).header("cookie", &cookie).header("accept", "text/html");
            let response = request.send().await.unwrap();
            let kind =
                response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
            let (status, html) = read(response).await;
            assert!(!status.is_server_error(), "{role} {place}: {html}");
            if kind.starts_with("text/html") {
                clean(&html, &format!("{role} {place}"));
                shown += usize::from(html.contains("&#60;script&#62;planted"));
            }
        }
    }
    assert!(shown >= 40, "it is shown, as text, on {shown} pages only");
}

#[track_caller]
fn clean(html: &str, at: &str) {
    for markup in MARKUP {
        assert!(!html.contains(markup), "{at}: {markup} in {}", near(html, markup));
    }
    for link in ["href=\"javascript:", "action=\"javascript:", "src=\"javascript:"] {
        assert!(!html.to_lowercase().contains(link), "{at}: {link}");
    }
    let hidden = html
        .find(|c: char| (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202e}' | '\u{200b}'));
    assert_eq!(
        hidden,
        None,
        "{at}: something hides in {}",
        html.get(hidden.unwrap_or(0)..).map_or("", |rest| &rest[..rest.len().min(120)])
    );
}

fn near(html: &str, needle: &str) -> String {
    let at = html.find(needle).unwrap_or_default();
    let before: String = html[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
    format!("{before}{}", html[at..].chars().take(120).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_through_the_door_leads_to_another_site() {
    let world = World::new().await;
    let (cookie, _) = world.session("ines", Role::Admin).await;
    for away in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%5cevil.example/..",
        "javascript:planted",
        "/\t/evil.example",
        "\u{200b}//evil.example",
        "/..//evil.example",
    ] {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("next", away), ("done", away), ("cursor", away)])
            .finish();
        for place in ["/sign-in", "/sign-in/again", "/", "/report", "/incidents", "/nothing"] {
            let response = world
                .ask(Method::GET, &format!("{place}?{query}"))
                .header("cookie", &cookie)
                .send()
                .await
                .unwrap();
            if let Some(to) = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned()) {
                let joined = url::Url::parse(&world.url).unwrap().join(&to).unwrap();
                assert_eq!(
                    joined.origin(),
                    url::Url::parse(&world.url).unwrap().origin(),
                    "{place} {away}: {to}"
                );
            }
            let html = response.text().await.unwrap();
            // A field gives back only a place of our own.
            let next = html.split("name=\"next\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
            if let Some(next) = next {
                let joined = url::Url::parse(&world.url).unwrap().join(&next.replace("&#38;", "&")).unwrap();
                assert_eq!(
                    joined.origin(),
                    url::Url::parse(&world.url).unwrap().origin(),
                    "{place} {away}: {next}"
                );
            }
        }
    }
}
