//! What a person decides about a step by the room's buttons.

use quell_testkit::browser::{Browser, Driver, Script};

use super::super::world::{Roles, Servers, World};
use super::Room;

/// Opens the fold of a decision about a step that needs somebody, writes why, and sends it.
fn decide(page: &Browser, (step, decision): (&str, &str), field: &str, why: &str) {
    let fold = format!("[id='need-{step}'] [data-key='{decision}-{step}']");
    page.click(&format!("{fold} summary")).unwrap();
    page.write(&format!("{fold} [id='{field}-{step}']"), why).unwrap();
    page.click(&format!("{fold} button")).unwrap();
}

#[test]
fn a_step_is_refused_tried_again_and_skipped_by_the_buttons_of_the_room() {
    let servers = Servers::start();
    let world = World::new(&servers, "steps", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::Off).unwrap();
    room.sign_in(&page);
    page.open(&room.url(&format!("/incidents/{id}"))).unwrap();
    let step = format!("{}.disable", world.secret());
    let listed = format!("[id='step-{step}']");
    let stands = |word: &str, line: &str| {
        page.wait(&format!("{step} {word}, and the line {line}"), |page| {
            Ok(page.text(&format!("{listed} .badge"))?.contains(word)
                && page.text("#timeline li:first-child")?.contains(line))
        })
        .unwrap();
    };
    assert!(page.text(&listed).unwrap().contains("nobody yet (0 of 1)"));

    decide(&page, (&step, "refuse"), "no", "the night shift still needs it");
    stands("failed", &format!("{step}: approval refused by ines"));
    let need = page.text(&format!("[id='need-{step}']")).unwrap();
    assert!(need.contains("the night shift still needs it"), "why stands beside it: {need}");
    assert!(page.text("#timeline li:first-child").unwrap().contains("the night shift still needs it"));
    assert!(!page.has(&format!("[id='need-{step}'] form[action$='/approve']")).unwrap(), "not as it stands");

    page.click(&format!("[id='need-{step}'] form[action$='/step/retry'] button")).unwrap();
    stands("waiting", &format!("{step}: another try asked for by ines"));
    assert!(page.has(&format!("[id='need-{step}'] form[action$='/approve']")).unwrap(), "it can be approved");

    decide(&page, (&step, "skip"), "skip-why", "   ");
    page.wait("the refusal", |page| page.has("#alert")).unwrap();
    assert!(page.text("#alert").unwrap().contains("why it is skipped must not be empty"));
    stands("waiting", "another try");
    decide(&page, (&step, "skip"), "skip-why", "the role was dropped by hand");
    stands("skipped", &format!("{step}: skipped by ines"));
    assert!(page.text("#timeline li:first-child").unwrap().contains("the role was dropped by hand"));
    assert!(!page.has(&format!("[id='need-{step}']")).unwrap(), "nothing is left to decide about it");
    assert!(!page.has(&format!("{listed} form")).unwrap());
    // What others rest on cannot be left out.
    let proof = format!("{}.prove", world.secret());
    assert!(page.has(&format!("[id='step-{proof}']")).unwrap());
    assert!(!page.has(&format!("[id='step-{proof}'] form[action$='/step/skip']")).unwrap());

    let timeline = world.json(&["incident", "timeline", &id]).to_string();
    for line in ["approval refused by ines", "another try asked for by ines", "skipped by ines"] {
        assert!(timeline.contains(&format!("{step}: {line}")), "{timeline}");
    }
}
