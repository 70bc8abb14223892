//! Every page in both colour schemes, wide and narrow: no barrier that axe-core knows, nothing that runs out of the window. With `QUELL_PICTURES` set to a
//! folder, pictures are left there.

use quell_testkit::browser::{Browser, Driver, Script};
use quell_web::{Kind, Verb, all};
use serde_json::json;

use super::super::world::{Roles, Servers, World, private};
use super::{Room, found};

/// Ways in by which no page is seen: files, a stream, numbers for programs, and what leads on to a page.
const NO_PAGE: [&str; 8] = [
    "/",
    "/assets/{version}/{name}",
    "/incidents/{id}/events",
    "/incidents/{id}/evidence/{sha256}",
    "/ledger/checkpoint",
    "/ledger/{seq}/proof",
    "/metrics",
    "/sign-in/back",
];

#[test]
fn every_page_is_free_of_barriers_light_and_dark_wide_and_narrow() {
    let servers = Servers::start();
    let world = World::new(&servers, "look", Roles::Alternating, "{ approvals: { destructive: 2 } }");
    let other = world.open("public-repo");
    world.ok(&["plan", &other]);
    world.ok(&["incident", "role", &other, "commander"]);
    world.ok(&["incident", "role", &other, "scribe", "omar"]);
    world.ok(&["incident", "note", &other, "The database is cut off from the outside; orders are queued."]);
    world.ok(&[
        "incident",
        "action",
        &other,
        "gate before every push",
        "--owner",
        "team-orders",
        "--due",
        "2027-01-15",
    ]);
    with_tasks(&world, &other);
    let cause = "no gate before the push\n- why: none is asked for";
    private(&world.path("cause.txt"), cause);
    world.ok(&["incident", "post-mortem", &other, "--section", "root-cause", "--file", "cause.txt"]);
    world.ok(&["notice", "draft", &other, "update"]);
    world.ok(&["notice", "draft", &other, "affected"]);
    world.ok(&["notice", "drop", &other, "N1", "--reason", "told in the call"]);
    let repository = world.leaky_repository("2026-11-01T10:00:00Z");
    drop(world.run(&["scan", repository.to_str().unwrap()]));
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    look(&page, &room.url("/sign-in"), "sign-in");
    room.sign_in(&page);
    let secret = world.secret();
    let places = [
        ("/incidents", "/incidents".to_owned(), "list"),
        ("/incidents/new", "/incidents/new".to_owned(), "new"),
        ("/incidents/{id}", format!("/incidents/{other}"), "room"),
        ("/incidents/{id}/notices", format!("/incidents/{other}/notices"), "notices"),
        ("/incidents/{id}/post-mortem", format!("/incidents/{other}/post-mortem"), "post-mortem"),
        ("/findings", "/findings".to_owned(), "findings"),
        ("/inventory", "/inventory".to_owned(), "inventory"),
        ("/inventory/{id}", format!("/inventory/{secret}"), "secret"),
        ("/drills", "/drills".to_owned(), "drills"),
        ("/numbers", "/numbers".to_owned(), "metrics"),
        ("/ledger", "/ledger".to_owned(), "ledger"),
        ("/ledger/{seq}", "/ledger/3".to_owned(), "entry"),
        ("/settings", "/settings".to_owned(), "settings"),
        ("/report", "/report".to_owned(), "report"),
        ("/sign-in/again", "/sign-in/again?next=/incidents".to_owned(), "sign-in-again"),
    ];
    let pages = all().filter(|route| route.verb == Verb::Get && route.kind == Kind::Page);
    let seen = |path: &str| path == "/sign-in" || places.iter().any(|(route, ..)| *route == path);
    let missed: Vec<&str> =
        pages.map(|route| route.path).filter(|path| !seen(path) && !NO_PAGE.contains(path)).collect();
    assert!(missed.is_empty(), "nobody looks at {missed:?}");
    for (_, place, name) in places {
        look(&page, &room.url(&place), name);
    }
    look(&page, &room.url("/nothing"), "problem");
    // With everything unfolded, every form is there.
    for (part, name) in [("", "room"), ("/notices", "notices"), ("/post-mortem", "post-mortem")] {
        let place = format!("/incidents/{other}{part}");
        page.open(&room.url(&place)).unwrap();
        found(&page, "for (const one of document.querySelectorAll('details')) one.open = true; return 1");
        look_now(&page, &format!("{name}-unfolded"));
    }
}

/// Tasks: one that is late, one of somebody else, one done and one dropped.
fn with_tasks(world: &World<'_>, id: &str) {
    let ask = [
        "incident",
        "task",
        "add",
        id,
        "Ask the vendor of the mirror for their access logs, and until when they keep them",
    ];
    world.ok(&[&ask[..], &["--due", "2020-01-15T04:00:00Z"]].concat());
    world.ok(&[
        "incident",
        "task",
        "add",
        id,
        "Watch the queue of orders",
        "--owner",
        "omar",
        "--due",
        "2031-01-15T04:00:00Z",
    ]);
    for title in ["Tell the support desk", "Look for a copy in the wiki"] {
        world.ok(&["incident", "task", "add", id, title]);
    }
    world.ok(&["incident", "task", "give", id, "T1"]);
    world.ok(&["incident", "task", "done", id, "T3", "--reason", "they have the text of the status page"]);
    world.ok(&["incident", "task", "drop", id, "T4", "--reason", "the wiki was never connected"]);
}

#[test]
fn drills_are_drawn_and_compared_and_a_closed_room_is_calm() {
    let servers = Servers::start();
    let world = World::new(&servers, "drills", Roles::Alternating, "{}");
    for _ in 0..2 {
        world.ok(&["drill"]);
    }
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    look(&page, &room.url("/drills"), "drills-two");
    let count = |css: &str| found(&page, &format!("return document.querySelectorAll('{css}').length"));
    assert_eq!(count("svg circle.point"), json!(2), "to proof");
    assert_eq!(count("svg rect.point"), json!(2), "to cut off");
    assert_eq!(count("#main > div.card tbody tr"), json!(2), "each drill has its row");
    let change = page.text("#main > div.card tbody tr td:last-child").unwrap();
    assert!(["faster", "slower", "as before"].iter().any(|word| change.contains(word)), "{change}");
    // Step by step against the one before.
    assert!(page.text("#steps h2").unwrap().ends_with("INC-2026-0002"));
    assert!(page.text("#steps caption").unwrap().contains("against INC-2026-0001"));
    let steps = world.json(&["plan", "INC-2026-0002"]);
    let performed = count("#steps tbody tr");
    let all = steps["plan"]["steps"].as_array().unwrap().len();
    assert_eq!(performed, json!(all), "every step of the plan was performed, and stands there");
    let times = found(
        &page,
        "return Array.from(document.querySelectorAll('#steps tbody tr')).map((row) => \
         [...row.querySelectorAll('td')].map((it) => it.textContent))",
    );
    for row in times.as_array().unwrap() {
        let [took, before, change] = [0, 1, 2].map(|n| row[n].as_str().unwrap());
        assert!(took.ends_with('s') && before.ends_with('s'), "both were timed: {row}");
        let is_said = ["faster", "slower", "as before"].iter().any(|word| change.contains(word));
        assert!(is_said && (took == before || change != "as before"), "{row}");
    }
    look(&page, &room.url("/incidents/INC-2026-0001"), "room-closed");
    let state = page.text("#state").unwrap();
    assert!(state.contains("closed") && state.contains("proven inert") && state.contains("drill"), "{state}");
    assert!(page.text("#needs").unwrap().contains("This incident is closed"));
    assert!(!page.has("#needs form").unwrap(), "nothing is left to decide");
    let drawn = found(&page, "return document.querySelectorAll('#plan svg [role=listitem]').length");
    let listed = found(&page, "return document.querySelectorAll('#plan ol.steps > li').length");
    assert_eq!(drawn, listed, "the drawing and the list are the same plan");
}

pub(super) fn look(page: &Browser, url: &str, name: &str) {
    page.open(url).unwrap();
    look_now(page, name);
    assert_eq!(found(page, "return document.querySelectorAll('h1').length"), json!(1), "{name}");
}

/// The page as it stands: after a form, or with something unfolded.
pub(super) fn look_now(page: &Browser, name: &str) {
    for scheme in ["light", "dark"] {
        page.scheme(scheme).unwrap();
        for width in [1280, 390] {
            page.size(width, 900).unwrap();
            let barriers = page.barriers().unwrap();
            assert!(barriers.is_empty(), "{name}, {scheme}, {width}:\n{}", barriers.join("\n"));
            let wide = found(page, "return document.documentElement.scrollWidth - window.innerWidth");
            assert!(wide.as_i64().unwrap() <= 0, "{name} is {wide} pixels wider than a window of {width}");
            if let Some(folder) = std::env::var_os("QUELL_PICTURES") {
                let file = std::path::Path::new(&folder).join(format!("{name}-{scheme}-{width}.png"));
                std::fs::write(file, page.picture().unwrap()).unwrap();
            }
        }
    }
}
