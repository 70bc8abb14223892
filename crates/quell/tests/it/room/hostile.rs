//! What strangers write is text on every page, wherever it comes in.

use quell_testkit::browser::{Driver, Script};
use serde_json::json;

use super::super::world::{Roles, Servers, World, private, text};
use super::{Room, found};

/// Markup, a way out of an attribute, colours of a terminal, letters that turn the line around.
const EVIL: &str = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1><b class=planted>\"onx='1' \u{1b}[31mred\u{202e}live\u{200b}";

/// Uses of the value by somebody who knows that people will read of it; and a hunt that finds them.
fn hunt(world: &World<'_>, id: &str) {
    let evil = EVIL.replace('"', "'");
    let used = |hour: u32| {
        let (address, value) = (format!("203.0.113.{hour}"), &world.old_password);
        let user = evil.replace(' ', "_");
        format!(
            "{address} - {user} [20/Nov/2026:{hour:02}:00:00 +0000] \"GET /{user}?password={value} HTTP/1.1\" 200 12 \"{evil}\" \"{evil}\"\n"
        )
    };
    std::fs::write(world.path("access.log"), (0..20).map(used).collect::<String>()).unwrap();
    private(&world.path("leaked"), &world.old_password);
    let hunted = world.run(&["hunt", id, "--value-file", "leaked", "--logs", "access.log", "--record"]);
    assert!(matches!(hunted.status.code(), Some(10 | 11)), "{}", text(&hunted.stderr));
    let uses = text(&world.run(&["hunt", "show", "--incident", id, "--json"]).stdout);
    assert!(uses.contains("window.pwned"), "{uses}");
}

#[test]
fn no_text_of_a_stranger_becomes_markup_on_any_page() {
    let servers = Servers::start();
    let world = World::new(&servers, "evil", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    // A finding in a file whose name is an attack, and beside it text that is one.
    let folder = world.path("scanned");
    std::fs::create_dir(&folder).unwrap();
    let name = "<img src=x onerror=window.pwned=1>\u{202e}.env";
    std::fs::write(folder.join(name), format!("# {EVIL}\nDATABASE_URL={}\n", world.old_url)).unwrap();
    drop(world.run(&["scan", folder.to_str().unwrap()]));
    let opened = world.json(&[
        "incident",
        "open",
        "--secret",
        &world.secret(),
        "--channel",
        "chat",
        "--title",
        EVIL,
        "--place",
        EVIL,
    ]);
    let id = opened["incident"].as_str().unwrap();
    world.ok(&["incident", "note", id, EVIL]);
    world.ok(&["incident", "cleaned", id, EVIL]);
    world.ok(&["incident", "signal", id, "live", "--reason", EVIL]);
    world.ok(&["incident", "verdict", id, "cannot-tell", "--reason", EVIL]);
    world.ok(&["incident", "strategy", id, "kill-first", "--reason", EVIL]);
    world.ok(&["incident", "exception", id, &world.secret(), "--reason", EVIL]);
    world.ok(&["incident", "role", id, "scribe", EVIL]);
    world.ok(&["incident", "action", id, EVIL, "--owner", EVIL, "--due", "2027-12-01"]);
    world.ok(&["incident", "action-done", id, "A1", "--evidence", EVIL]);
    hunt(&world, id);
    world.ok(&["plan", id]);
    let steps = world.json(&["plan", id]);
    let disable = format!("{}.disable", world.secret());
    assert!(steps.to_string().contains(&disable));
    world.ok(&["step", "refuse", id, &disable, "--reason", EVIL]);
    world.ok(&["pause", id, "--reason", EVIL]);

    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    let query = "%3Cscript%3Ewindow.pwned=1%3C/script%3E%22onx=%271%27";
    let secret = world.secret();
    let newest = world.json(&["incident", "timeline", id])["timeline"].as_array().unwrap().len();
    let mut places = vec![
        format!("/incidents?q={query}"),
        "/incidents".to_owned(),
        format!("/incidents/new?secret={query}&place={query}&title={query}"),
        format!("/incidents/{id}?text={query}&who={query}&step={query}&show={query}"),
        format!("/incidents/{id}"),
        format!("/incidents/{id}/post-mortem"),
        format!("/findings?show=all&q={query}"),
        "/findings?show=all".to_owned(),
        format!("/inventory?q={query}"),
        format!("/inventory/{secret}"),
        "/drills".to_owned(),
        "/numbers".to_owned(),
        "/ledger".to_owned(),
        format!("/report?done={query}"),
        format!("/{query}"),
        format!("/incidents/{query}"),
    ];
    places.extend((0..newest).map(|seq| format!("/ledger/{seq}")));
    let mut texts = 0;
    for place in places {
        page.open(&room.url(&place)).unwrap();
        let bad = found(
            &page,
            "return { pwned: window.pwned || null, \
             own: Array.from(document.scripts).every((one) => new URL(one.src).pathname.startsWith('/assets/') && !one.text), \
             planted: document.querySelectorAll('img, b.planted, [onx], [onerror], [style], style, iframe, object').length, \
             hidden: /[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069]/.test(document.documentElement.outerHTML) }",
        );
        assert_eq!(bad, json!({ "pwned": null, "own": true, "planted": 0, "hidden": false }), "{place}");
        texts += usize::from(page.text("main").unwrap().contains("<script>window.pwned=1"));
    }
    assert!(texts >= 12, "what was planted is shown, as text, on {texts} pages only");
}

#[test]
fn a_value_that_somebody_tells_stays_nowhere() {
    let servers = Servers::start();
    let world = World::new(&servers, "tell", Roles::Alternating, "{}");
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in_as(&world, &page, "rita", "reporter");
    page.wait("the form", |page| page.has("#what")).unwrap();
    assert!(!page.has("a[href='/incidents']").unwrap(), "reporters report");
    // In the wrong field it is said before it is sent, and not sent.
    page.write("#what", &format!("I pasted {} into a chat", world.old_url)).unwrap();
    page.wait("the warning", |page| Ok(page.text("#what-found")?.contains("a URL with a password"))).unwrap();
    page.click("form[action='/report'] button").unwrap();
    assert!(!page.has("#done").unwrap());
    // Where the script does not run, the server sees it.
    let plain = driver.browser(Script::Off).unwrap();
    room.sign_in_as(&world, &plain, "rolf", "reporter");
    plain.open(&room.url("/report")).unwrap();
    plain.write("#what", &format!("I pasted {} into a chat", world.old_url)).unwrap();
    plain.click("form[action='/report'] button").unwrap();
    plain.wait("the refusal", |page| page.has("[role=alert]")).unwrap();
    assert!(plain.text("[role=alert]").unwrap().contains("looks like a secret"));
    assert!(!plain.source().unwrap().contains(&world.old_password), "it is not sent back");
    // In the right field it becomes a fingerprint, by which the secret is found.
    plain.write("#what", "I pasted it into a chat").unwrap();
    plain.write("#value", &world.old_url).unwrap();
    plain.click("form[action='/report'] button").unwrap();
    plain.wait("the answer", |page| page.has("#done")).unwrap();
    let done = plain.text("#done").unwrap();
    assert!(
        done.contains(&world.secret()) && done.contains("fp:") && done.contains("stored nowhere"),
        "{done}"
    );
    let shown = world.json(&["incident", "show", "INC-2026-0001"]).to_string()
        + &world.json(&["incident", "list"]).to_string();
    assert!(!shown.contains("INC-2026-0002"), "one report, one incident: {shown}");
    for file in super::super::world::files_below(&world.path("data")) {
        let bytes = std::fs::read(&file).unwrap();
        let held = bytes.windows(world.old_password.len()).any(|it| it == world.old_password.as_bytes());
        assert!(!held, "{} holds the value", file.display());
    }
}
