//! Every page in both colour schemes, wide and narrow: no barrier that axe-core knows, nothing that runs out of the window. With `QUELL_PICTURES` set to a
//! folder, pictures are left there.

use quell_testkit::browser::{Browser, Driver, Script};
use serde_json::json;

use super::super::world::{Roles, Servers, World};
use super::{Room, found};

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
    let repository = world.leaky_repository("2026-11-01T10:00:00Z");
    drop(world.run(&["scan", repository.to_str().unwrap()]));
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    look(&page, &room.url("/sign-in"), "sign-in");
    room.sign_in(&page);
    let secret = world.secret();
    for (place, name) in [
        ("/incidents".to_owned(), "list"),
        ("/incidents/new".to_owned(), "new"),
        (format!("/incidents/{other}"), "room"),
        (format!("/incidents/{other}/post-mortem"), "post-mortem"),
        ("/findings".to_owned(), "findings"),
        ("/inventory".to_owned(), "inventory"),
        (format!("/inventory/{secret}"), "secret"),
        ("/drills".to_owned(), "drills"),
        ("/numbers".to_owned(), "metrics"),
        ("/ledger".to_owned(), "ledger"),
        ("/ledger/3".to_owned(), "entry"),
        ("/report".to_owned(), "report"),
        ("/nothing".to_owned(), "problem"),
    ] {
        look(&page, &room.url(&place), name);
    }
    // With everything unfolded, every form is there.
    page.open(&room.url(&format!("/incidents/{other}"))).unwrap();
    found(&page, "for (const one of document.querySelectorAll('details')) one.open = true; return 1");
    let barriers = page.barriers().unwrap();
    assert!(barriers.is_empty(), "the room unfolded:\n{}", barriers.join("\n"));
}

fn look(page: &Browser, url: &str, name: &str) {
    page.open(url).unwrap();
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
    assert_eq!(found(page, "return document.querySelectorAll('h1').length"), json!(1), "{name}");
}
