//! What a hunt found, in the room: drawn, with what its verdict rests on, and judged by people.

use quell_testkit::browser::{Driver, Script};
use serde_json::{Value, json};

use super::super::world::{Roles, Servers, World, private, text};
use super::look::look;
use super::{Room, found};

/// Records a hunt in a log of a web server: uses by day from one address, and a burst by night from another.
fn hunt(world: &World<'_>, id: &str) {
    let line = |address: &str, hour: u32, minute: u32, agent: &str| {
        format!(
            "{address} - - [20/Nov/2026:{hour:02}:{minute:02}:00 +0000] \"GET /orders?password={} HTTP/1.1\" 200 12 \"-\" \"{agent}\"\n",
            world.old_password
        )
    };
    let mut log: String = (8..18).map(|hour| line("192.0.2.7", hour, 5, "orders/1.2")).collect();
    log.extend((0..20).map(|n| line(&format!("203.0.113.{n}"), 22, n, "TruffleHog")));
    std::fs::write(world.path("access.log"), log).unwrap();
    private(&world.path("leaked"), &world.old_password);
    let hunted = world.run(&["hunt", id, "--value-file", "leaked", "--logs", "access.log", "--record"]);
    assert!(matches!(hunted.status.code(), Some(10 | 11)), "{}", text(&hunted.stderr));
}

#[test]
fn the_results_of_a_hunt_are_drawn_explained_and_judged_in_the_room() {
    let servers = Servers::start();
    let world = World::new(&servers, "hunted", Roles::Alternating, "{}");
    let id = world.open("public-repo");
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    let place = room.url(&format!("/incidents/{id}"));
    page.open(&place).unwrap();
    assert!(page.text("#used").unwrap().contains("No hunt is recorded"));
    hunt(&world, &id);
    page.wait("the hunt, by itself", |page| page.has("#used svg")).unwrap();

    let shown = world.run(&["hunt", "show", "--incident", &id, "--json"]);
    let report: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let used = report["accesses"].as_array().unwrap().iter().filter(|it| !it["time"].is_null()).count();
    assert_eq!(used, 30, "{report}");
    let count = |css: &str| found(&page, &format!("return document.querySelectorAll(\"{css}\").length"));
    let label = page.attribute("#used svg", "aria-label").unwrap().unwrap();
    assert!(label.starts_with("Uses over time: 30 in all, "), "{label}");
    assert_eq!(count("#used svg .odd, #used svg .point"), json!(used), "one mark for each use");
    let odd = count("#used svg .odd");
    assert!(odd.as_u64().unwrap() > 0 && label.contains(&format!(", {odd} of them unusual")), "{label}");

    let conditions = report["conditions"].as_array().unwrap();
    assert!(!conditions.is_empty());
    page.click("[data-key=conditions] summary").unwrap();
    let said = page.text("[data-key=conditions]").unwrap();
    for it in conditions {
        let met = if it["met"].as_bool().unwrap() { "✓ holds" } else { "✕ does not hold" };
        let line = format!("{met}: {}", it["text"].as_str().unwrap());
        assert!(said.contains(&line), "{line} is not in {said}");
    }
    look(&page, &place, "room-hunted");

    // Each that is unusual is judged, with a reason.
    let about = page.attribute("#used form[action$='/anomaly'] [name=about]", "value").unwrap().unwrap();
    let waiting = count("#used form[action$='/anomaly']").as_u64().unwrap();
    page.write(&format!("[id='anomaly-{about}']"), "a stranger's addresses, at night").unwrap();
    page.click("#used form[action$='/anomaly'] button[value=confirmed]").unwrap();
    page.wait("what was said of it", |page| {
        Ok(page.text("#used")?.contains("a stranger's addresses, at night")
            && page.text("#timeline")?.contains(&about))
    })
    .unwrap();
    assert_eq!(count("#used form[action$='/anomaly']"), json!(waiting - 1), "it is asked once");
    let said = world.json(&["incident", "timeline", &id]).to_string();
    assert!(said.contains("a stranger's addresses, at night"), "{said}");
}
