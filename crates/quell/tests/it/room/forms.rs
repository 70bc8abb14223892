//! Forms that are not on the main path: findings, files, roles, filters.

use quell_testkit::browser::{Driver, Script};
use serde_json::json;

use super::super::world::{Roles, Servers, World};
use super::{Room, found};

#[test]
fn findings_wait_until_a_person_says_with_a_reason_what_they_are() {
    let servers = Servers::start();
    let world = World::new(&servers, "inbox", Roles::Alternating, "{}");
    for folder in ["first", "second", "third"] {
        let folder = world.path(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(
            folder.join(format!("{}.env", folder.file_name().unwrap().display())),
            format!("DATABASE_URL={}\n", world.old_url),
        )
        .unwrap();
        drop(world.run(&["scan", folder.to_str().unwrap()]));
    }
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::Off).unwrap();
    room.sign_in(&page);
    let findings = room.url("/findings");
    page.open(&findings).unwrap();
    let ids =
        found(&page, "return Array.from(document.querySelectorAll('section.card')).map((one) => one.id)");
    let ids: Vec<&str> = ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(page.text("main").unwrap().contains("3 of 3 findings wait"));

    let form = |id: &str| format!("#{id} form[action$='/triage']");
    let open = |id: &str| page.click(&format!("#{id} details:nth-of-type(2) summary")).unwrap();
    open(ids[0]);
    page.write(&format!("#r-{}", ids[0]), "an example from the manual").unwrap();
    page.click(&format!("{} button[value=not-a-leak]", form(ids[0]))).unwrap();
    page.wait("one less", |page| Ok(page.text("main")?.contains("2 of 3 findings wait"))).unwrap();
    // A duplicate of itself is none.
    open(ids[1]);
    page.write(&format!("#r-{}", ids[1]), "the same file").unwrap();
    page.write(&format!("#o-{}", ids[1]), ids[1]).unwrap();
    page.click(&format!("{} button[value=duplicate]", form(ids[1]))).unwrap();
    page.wait("the refusal", |page| page.has("[role=alert]")).unwrap();
    assert!(page.text("[role=alert]").unwrap().contains("is no other finding"));
    open(ids[1]);
    page.write(&format!("#r-{}", ids[1]), "the same file").unwrap();
    page.write(&format!("#o-{}", ids[1]), ids[2]).unwrap();
    page.click(&format!("{} button[value=duplicate]", form(ids[1]))).unwrap();
    page.wait("one less", |page| Ok(page.text("main")?.contains("1 of 3 findings wait"))).unwrap();
    page.click(&format!("#{} details summary", ids[2])).unwrap();
    page.click(&format!("#{} form[action$='/leak'] button", ids[2])).unwrap();
    page.wait("the room", |page| page.has("#needs")).unwrap();
    assert!(page.text("#secrets").unwrap().contains(&world.secret()), "its value told which secret it is");
    page.open(&room.url("/findings?show=all")).unwrap();
    let all = page.text("main").unwrap();
    for said in ["no leak", "an example from the manual", &format!("duplicate of {}", ids[2]), "leak: INC-"] {
        assert!(all.contains(said), "{said} is missing in {all}");
    }
    assert!(all.contains("0 of 3 findings wait"), "{all}");
}

#[test]
fn what_a_person_did_is_kept_with_its_file_and_never_with_a_value() {
    let servers = Servers::start();
    let world = World::new(&servers, "said", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let value = world.path("value");
    super::super::world::private(&value, &world.old_url);
    let secret = world.secret();
    let opened = [
        "incident",
        "open",
        "--secret",
        &secret,
        "--channel",
        "chat",
        "--value-file",
        value.to_str().unwrap(),
    ];
    let id = world.json(&opened)["incident"].as_str().unwrap().to_owned();
    world.ok(&["plan", &id]);
    let step = format!("{}.disable", world.secret());
    world.ok(&["step", "refuse", &id, &step, "--reason", "it is done by hand already"]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    let place = room.url(&format!("/incidents/{id}"));
    page.open(&place).unwrap();
    let resolve = |said: &str, file: &std::path::Path| {
        page.open(&place).unwrap();
        let need = format!("[id='need-{step}']");
        page.click(&format!("{need} [data-key='resolve-{step}'] summary")).unwrap();
        page.write(&format!("[id='said-{step}']"), said).unwrap();
        page.write(&format!("[id='file-{step}']"), file.to_str().unwrap()).unwrap();
        page.click(&format!("{need} form[action$='/resolve'] button")).unwrap();
    };
    let leaky = world.path("leaky.txt");
    std::fs::write(&leaky, format!("ALTER ROLE x PASSWORD '{}'", world.old_password)).unwrap();
    resolve("the role cannot log in any more", &leaky);
    page.wait("the refusal", |page| page.has("#alert")).unwrap();
    assert!(page.text("#alert").unwrap().contains("holds a value of this incident"));
    let proof = world.path("proof.txt");
    std::fs::write(&proof, b"role: NOLOGIN\x00\xff").unwrap();
    resolve("the role cannot log in any more", &proof);
    page.wait("the evidence", |page| Ok(page.text("#evidence")?.contains("proof.txt"))).unwrap();
    assert!(page.text(&format!("[id='step-{step}']")).unwrap().contains("applied"));
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"role: NOLOGIN\x00\xff"));
    assert!(page.text("#evidence").unwrap().contains(&sha256), "its hash stands beside it");
    let bytes = page
        .run_later(
            "const done = arguments[arguments.length - 1]; \
             fetch(document.querySelector('#evidence tbody a').href).then((it) => it.arrayBuffer()) \
             .then((it) => done(Array.from(new Uint8Array(it))), (error) => done(String(error)));",
            &[],
        )
        .unwrap();
    assert_eq!(bytes, json!(b"role: NOLOGIN\x00\xff"), "what comes out is what was given");
    // Another incident does not give it away, and neither does a guess.
    page.open(&room.url(&format!("/incidents/{id}/evidence/{}", "0".repeat(64)))).unwrap();
    assert!(page.text("main").unwrap().contains("no such piece of evidence"));

    page.open(&place).unwrap();
    page.click("form[action$='/role'] button").unwrap();
    page.wait("the role", |page| Ok(page.text("#people")?.contains("ines (you)"))).unwrap();
    page.click("[data-key=give-commander] summary").unwrap();
    page.write("#give-commander", "omar").unwrap();
    page.click("[data-key=give-commander] button").unwrap();
    page.wait("the hand-over", |page| {
        Ok(page.text("#people")?.contains("omar")
            && page.text("#timeline")?.contains("omar is commander now"))
    })
    .unwrap();
    page.open(&format!("{place}?show=decisions&text=commander")).unwrap();
    let lines = found(&page, "return document.querySelectorAll('#timeline li').length");
    assert_eq!(lines, json!(2), "taken, and handed over");
}
