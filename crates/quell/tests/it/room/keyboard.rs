//! From a report to the end without a mouse; and the same where scripts are turned off.

use quell_testkit::browser::{Browser, Driver, Script, key};

use super::super::world::{Roles, Servers, World};
use super::Room;

#[test]
fn a_leak_is_answered_from_report_to_close_by_keyboard_alone() {
    respond("keys", Script::On);
}

#[test]
fn the_same_works_with_scripts_turned_off() {
    respond("plain", Script::Off);
}

fn respond(name: &str, script: Script) {
    let servers = Servers::start();
    let world = World::new(&servers, name, Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(script).unwrap();
    room.sign_in(&page);

    press(&page, "a[href='/incidents/new']");
    page.wait("the form", |page| page.has("#secret")).unwrap();
    page.tab_to("#secret").unwrap();
    page.press(&world.secret()).unwrap();
    page.tab_to("#channel").unwrap();
    page.press("pushed").unwrap();
    page.tab_to("#value").unwrap();
    page.press(&world.old_url).unwrap();
    press(&page, "form[action='/incidents'] button");
    page.wait("the room", |page| Ok(page.has("#needs")? && page.url()?.contains("/incidents/INC-"))).unwrap();
    assert!(page.text("#state").unwrap().contains("0 of 1 secrets proven inert"));
    assert!(!page.source().unwrap().contains(&world.old_password), "the value is nowhere in the page");
    let id = page.text("#state .mono").unwrap();

    press(&page, "#needs form[action$='/plan'] button");
    page.wait("a plan", |page| page.has("#needs form[action$='/approve'] button.danger")).unwrap();
    let effect = page.text("#needs .effect.destructive").unwrap();
    assert!(effect.contains("cannot be taken back"), "what a button does stands before it: {effect}");

    while page.has("#needs form[action$='/approve'] button").unwrap() {
        let step = page.attribute("#needs form[action$='/approve'] [name=step]", "value").unwrap().unwrap();
        press(&page, "#needs form[action$='/approve'] button");
        let still = format!("#needs form[action$='/approve'] [name=step][value='{step}']");
        page.wait("the approval", |page| Ok(page.has("#needs")? && !page.has(&still)?)).unwrap();
    }
    press(&page, "#go button");
    page.wait("the old value to be proven inert", |page| {
        // Without script a person looks again.
        if script == Script::Off {
            page.open(&room.url(&format!("/incidents/{id}")))?;
        }
        let state = page.text("#state")?;
        Ok(state.contains("proven inert")
            && !state.contains("0 of 1")
            && page.text("#plan .badge")?.contains("done"))
    })
    .unwrap();

    press(&page, "[data-key=verdict] summary");
    page.tab_to("#verdict-why").unwrap();
    page.press("the logs of that day are complete").unwrap();
    press(&page, "form[action$='/verdict'] button");
    page.wait("the verdict", |page| Ok(!page.text("#used")?.contains("no verdict yet"))).unwrap();
    press(&page, "[data-key=action] summary");
    page.tab_to("#action-title").unwrap();
    page.press("a gate before every push").unwrap();
    page.tab_to("#action-owner").unwrap();
    page.press("team-orders").unwrap();
    page.tab_to("#action-due").unwrap();
    page.press("12012027").unwrap();
    press(&page, "form[action$='/action'] button");
    page.wait("the action item", |page| Ok(page.text("#items")?.contains("A1"))).unwrap();
    page.tab_to("#close-text").unwrap();
    page.press("pushed by mistake, rotated, proven").unwrap();
    press(&page, "form[action$='/close'] button");
    page.wait("the end", |page| Ok(page.text("#state")?.contains("closed"))).unwrap();
    world.assert_inert(&id, Roles::Alternating);
}

/// Goes there with the tabulator and presses Enter.
fn press(page: &Browser, css: &str) {
    page.tab_to(css).unwrap();
    page.press(key::ENTER).unwrap();
}
