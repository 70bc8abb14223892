//! Pages in the states that are rare, or that only some people see: no barrier there, either.

use quell_testkit::browser::{Browser, Driver, Script};

use super::super::world::{Roles, Servers, World};
use super::Room;
use super::look::{look, look_now};

#[test]
fn people_with_few_rights_see_pages_without_barriers_and_without_what_they_may_not_do() {
    let servers = Servers::start();
    let world = World::new(&servers, "few", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();

    let viewer = driver.browser(Script::On).unwrap();
    viewer.open(&room.url("/sign-in")).unwrap();
    viewer.write("#code", "not-the-code").unwrap();
    viewer.click("form[action='/sign-in'] button").unwrap();
    viewer.wait("the refusal", |page| page.has("[role=alert]")).unwrap();
    look_now(&viewer, "sign-in-refused");
    room.sign_in_as(&world, &viewer, "vera", "viewer");
    look(&viewer, &room.url("/incidents"), "list-of-a-viewer");
    look(&viewer, &room.url(&format!("/incidents/{id}")), "room-of-a-viewer");
    assert!(!viewer.has("#room form[method=post]").unwrap(), "a viewer decides nothing");
    look(&viewer, &room.url("/incidents/new"), "turned-away");
    assert!(viewer.text("main").unwrap().contains("vera is viewer; this needs responder"));

    let reporter = driver.browser(Script::On).unwrap();
    room.sign_in_as(&world, &reporter, "rita", "reporter");
    look(&reporter, &room.url(&format!("/incidents/{id}")), "turned-away-reporter");
    assert!(reporter.text("main").unwrap().contains("rita is reporter; this needs viewer"));
    reporter.open(&room.url("/report")).unwrap();
    reporter.write("#what", "I pasted a configuration file into a chat").unwrap();
    reporter.click("form[action='/report'] button").unwrap();
    reporter.wait("the answer", |page| page.has("#done")).unwrap();
    look_now(&reporter, "report-done");
    assert!(!reporter.has("main a[href^='/incidents']").unwrap(), "no link leads where they may not go");
}

#[test]
fn rooms_that_refuse_fail_or_stand_still_and_settings_with_something_in_them_have_no_barrier() {
    let servers = Servers::start();
    let world = World::new(&servers, "rare", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let step = format!("{}.disable", world.secret());
    world.ok(&["step", "refuse", &id, &step, "--reason", "the night shift still needs it"]);
    world.ok(&["pause", &id, "--reason", "the vendor is asked first"]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    let place = room.url(&format!("/incidents/{id}"));
    look(&page, &place, "room-failed-and-paused");
    let plan = page.text("#plan").unwrap();
    assert!(plan.contains("failed") && plan.contains("Paused: the vendor is asked first"), "{plan}");
    assert!(page.text("#go").unwrap().contains("It is paused, and begins when somebody resumes it"));
    page.write("#note-text", &format!("it was {}", world.old_url)).unwrap();
    page.click("#note button").unwrap();
    page.wait("the refusal", |page| page.has("#alert")).unwrap();
    look_now(&page, "room-refused");

    let rosa = driver.browser(Script::On).unwrap();
    room.sign_in_as(&world, &rosa, "rosa", "responder");
    // Who has a room open sees it without asking, and that it is over.
    let watcher = driver.browser(Script::On).unwrap();
    room.sign_in_as(&world, &watcher, "omar", "approver");
    watcher.open(&place).unwrap();
    rosa.open(&room.url("/settings")).unwrap();
    rosa.write("#glass-reason", "nobody who approves can be reached").unwrap();
    rosa.click("form[action='/settings/break-glass'] button").unwrap();
    rosa.wait("the broken glass", |page| Ok(page.text("main")?.contains("It holds now"))).unwrap();
    look_now(&rosa, "settings-glass");
    world.ok(&["incident", "note", &id, "rosa has more rights now"]);
    let banner = |page: &Browser| Ok(page.text("#broken")?.contains("rosa broke the glass"));
    watcher.wait("the banner", banner).unwrap();
    look_now(&watcher, "room-glass");
    page.open(&room.url("/settings")).unwrap();
    page.write("#token-name", "the nightly scan").unwrap();
    page.click("form[action='/settings/tokens'] button").unwrap();
    page.wait("the token", |page| page.has(".fresh output")).unwrap();
    look_now(&page, "settings-fresh-token");
    look(&page, &room.url("/settings"), "settings-full");
    let said = page.text("main").unwrap();
    assert!(said.contains("the nightly scan") && !page.has(".fresh").unwrap(), "it is shown once: {said}");
    page.write("form[action='/settings/break-glass/review'] [name=statement]", "she paused it, rightly")
        .unwrap();
    page.click("form[action='/settings/break-glass/review'] button").unwrap();
    page.wait("the review", |page| Ok(!page.has("form[action='/settings/break-glass/review']")?)).unwrap();
    world.ok(&["incident", "note", &id, "that is over"]);
    watcher.wait("the end of the banner", |page| Ok(page.text("#broken")?.is_empty())).unwrap();
}
