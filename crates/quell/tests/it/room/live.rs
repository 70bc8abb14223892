//! Two people at once, and a line that is cut.

use quell_testkit::browser::{Driver, Proxy, Script};
use serde_json::{Value, json};

use super::super::world::{Roles, Servers, World};
use super::{Room, found, sign_in};

#[test]
fn two_people_see_each_other_and_cannot_both_decide() {
    let servers = Servers::start();
    let world = World::new(&servers, "both", Roles::Alternating, "{ approvals: { destructive: 2 } }");
    let id = world.open("chat");
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let (ines, omar) = (driver.browser(Script::On).unwrap(), driver.browser(Script::On).unwrap());
    let place = room.url(&format!("/incidents/{id}"));
    room.sign_in(&ines);
    ines.open(&place).unwrap();
    room.sign_in_as(&world, &omar, "omar", "approver");
    omar.open(&place).unwrap();
    omar.wait("that ines is here", |page| Ok(page.text("#here")?.contains("ines"))).unwrap();

    // Half a sentence survives what others do, and so does the focus.
    ines.click("#note-text").unwrap();
    ines.write("#note-text", "half a sent").unwrap();
    omar.write("#note-text", "omar looks at the logs").unwrap();
    omar.click("#note button").unwrap();
    ines.wait("the note", |page| Ok(page.text("#timeline")?.contains("omar looks at the logs"))).unwrap();
    assert_eq!(found(&ines, "return document.activeElement.value"), json!("half a sent"));
    ines.wait("that omar is here", |page| Ok(page.text("#here")?.contains("omar"))).unwrap();

    // A page that stood still: what it shows is not what holds.
    let late = driver.browser(Script::Off).unwrap();
    room.sign_in_as(&world, &late, "lena", "responder");
    late.open(&place).unwrap();
    late.click("[data-key=verdict] summary").unwrap();
    world.ok(&["incident", "verdict", &id, "used", "--reason", "a login from elsewhere", "--as", "omar"]);
    late.write("#verdict-why", "nothing in the logs").unwrap();
    late.click("form[action$='/verdict'] button").unwrap();
    late.wait("the refusal", |page| page.has("#alert")).unwrap();
    let alert = late.text("#alert").unwrap();
    assert!(alert.contains("omar was faster, at ") && alert.contains("verdict used"), "{alert}");
    assert!(alert.contains("nothing in the logs"), "nobody types twice: {alert}");
    assert!(late.text("#used").unwrap().contains("used by an unknown party"), "the page shows what holds");
    // Who has seen it may decide otherwise.
    late.click("[data-key=verdict] summary").unwrap();
    late.write("#verdict-why", "it was the owner").unwrap();
    late.click("form[action$='/verdict'] button").unwrap();
    late.wait("the verdict", |page| Ok(page.text("#used")?.contains("it was the owner"))).unwrap();
}

#[test]
fn a_cut_line_is_said_and_nothing_is_lost_or_doubled() {
    let servers = Servers::start();
    let world = World::new(&servers, "cut", Roles::Alternating, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    let line = Proxy::start(room.port()).unwrap();
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    let through = |path: &str| format!("http://127.0.0.1:{}{path}", line.port());
    let code = world.json(&["person", "code", "ines"]);
    sign_in(&page, &through("/sign-in"), code["code"].as_str().unwrap());
    page.open(&through(&format!("/incidents/{id}"))).unwrap();
    let before = entries(&world, &id);
    page.wait("that the news are heard", |_| {
        world.ok(&["incident", "note", &id, "before the cut"]);
        Ok(found(&page, "return document.documentElement.dataset.heard || null") != Value::Null)
    })
    .unwrap();

    page.write("#note-text", "half a sent").unwrap();
    line.cut();
    page.wait("the word of the cut", |page| Ok(page.text("#connection")?.contains("Connection lost")))
        .unwrap();
    for n in 0..3 {
        world.ok(&["incident", "note", &id, &format!("while it was cut {n}")]);
    }
    assert!(!page.text("#timeline").unwrap().contains("while it was cut"), "nothing comes through");
    line.mend();
    page.wait("the news", |page| Ok(page.text("#timeline")?.contains("while it was cut 2"))).unwrap();
    page.wait("the end of the cut", |page| Ok(page.text("#connection")?.is_empty())).unwrap();
    world.ok(&["incident", "note", &id, "after the cut"]);
    page.wait("the news", |page| Ok(page.text("#timeline")?.contains("after the cut"))).unwrap();

    let after = entries(&world, &id);
    let shown = found(
        &page,
        "return Array.from(document.querySelectorAll('#timeline li[data-key]')).map((line) => line.dataset.key)",
    );
    let mut shown: Vec<&str> = shown.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(shown.len(), after, "every entry stands there");
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), after, "and each once");
    page.wait("each of the news, once", |page| {
        Ok(page.run("return Number(document.documentElement.dataset.heard)", &[])? == json!(after - before))
    })
    .unwrap();
    let typed = found(&page, "return document.querySelector('#note-text').value");
    assert_eq!(typed, json!("half a sent"));
}

fn entries(world: &World<'_>, id: &str) -> usize {
    world.json(&["incident", "timeline", id])["timeline"].as_array().unwrap().len()
}
