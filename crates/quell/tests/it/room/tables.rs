//! What is drawn, counted and handed out by the smaller pages is what the tables, the API and the ledger say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use quell_testkit::browser::{Browser, Driver, Script};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::world::{Roles, Servers, World};
use super::{Room, found};

/// What the page itself gets from an address of its server.
fn fetch(page: &Browser, path: &str) -> String {
    let script = "const done = arguments[arguments.length - 1]; \
        fetch(arguments[0]).then((it) => it.text()).then(done, (error) => done(String(error)));";
    page.run_later(script, &[json!(path)]).unwrap().as_str().unwrap().to_owned()
}

/// The texts of all elements that fit.
fn texts(page: &Browser, css: &str) -> Vec<String> {
    let script =
        "return Array.from(document.querySelectorAll(arguments[0])).map((it) => it.textContent.trim())";
    serde_json::from_value(page.run(script, &[json!(css)]).unwrap()).unwrap()
}

#[test]
fn the_drawing_of_what_a_leak_reaches_is_its_table_and_leads_on() {
    let servers = Servers::start();
    let world = World::bare(&servers, "graph", Roles::Alternating, "{}");
    let grants = "grants:\n      - { secret: vault-admin, access: read }\n      - { resource: \"postgres:orders\", access: write, data: [personal, payment] }\n    consumers:\n";
    world.edit("consumers:\n", grants);
    let other = "  - id: vault-admin\n    kind: password\n    env: prod\n    issuer: { person: { account: vault, at: the vault } }\n    \
        grants: [{ resource: \"s3:backups\", access: read }]\n    consumers: [{ name: nightly, observe: { http: \"http://127.0.0.1:1/healthz\", generation: .gen } }]\npolicy:";
    world.edit("policy:", other);
    world.ok(&["init"]);
    world.ok(&["inventory", "check", "--offline"]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    let secret = world.secret();
    page.open(&room.url(&format!("/inventory/{secret}"))).unwrap();
    let mut rows = texts(&page, "#reached tbody th");
    assert_eq!(rows.len(), 6, "two consumers, a resource, a secret, and what that one reaches: {rows:?}");
    let mut drawn = texts(&page, "#reached svg [role=listitem] text:not(.sub)");
    assert_eq!(drawn.remove(0), secret, "it begins with the secret itself");
    rows.sort();
    drawn.sort();
    assert_eq!(drawn, rows, "each row is drawn, and nothing else");
    assert_eq!(texts(&page, "#reached svg .edge").len(), rows.len(), "and is reached by something");
    let far = page.text("#reached").unwrap();
    assert!(
        far.contains("s3:backups") && far.contains("personal, payment") && far.contains("nightly"),
        "{far}"
    );

    page.click("#reached svg a[href='/inventory/vault-admin']").unwrap();
    page.wait("the other secret", |page| Ok(page.text("h1")? == "vault-admin")).unwrap();
    assert!(page.text("#reached").unwrap().contains("nightly"));
    page.open(&room.url(&format!("/inventory/{secret}"))).unwrap();
    page.click("#reached tbody a[href='/inventory/vault-admin']").unwrap();
    page.wait("the other secret", |page| Ok(page.text("h1")? == "vault-admin")).unwrap();
}

/// As the page says a time.
fn said(ms: &Value) -> String {
    ms.as_i64()
        .map_or_else(|| "–".to_owned(), |ms| quell_app::report::duration(SignedDuration::from_millis(ms)))
}

#[test]
fn the_page_of_numbers_says_what_the_api_says() {
    let servers = Servers::start();
    let world = World::new(&servers, "numbers", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let first = world.open("chat");
    let plan = world.json(&["plan", &first]);
    world.ok(&["approve", &first, "--plan", plan["hash"].as_str().unwrap()]);
    world.ok(&["respond", &first]);
    let second = world.open("chat");
    assert_ne!(first, second);
    world.ok(&["drill"]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::Off).unwrap();
    room.sign_in(&page);
    let script = driver.browser(Script::On).unwrap();
    let code = world.json(&["person", "code", "ines"]);
    super::sign_in(&script, &room.url("/sign-in"), code["code"].as_str().unwrap());
    page.open(&room.url("/numbers")).unwrap();
    let told: Value = serde_json::from_str(&fetch(&script, "/api/v1/numbers")).unwrap();

    let shown = texts_plain(&page, ".numbers dd");
    assert!(shown[0].starts_with(&format!("{} of 2 in all", told["open"])), "{shown:?}");
    assert!(shown[1].starts_with(&told["not_contained"].to_string()), "{shown:?}");
    assert_eq!(told["not_contained"], 1, "the first is contained, the drill is none of them");
    let spreads = ["response", "contain", "proof"].map(|name| &told[name]);
    assert_eq!(spreads[0]["count"], 1, "{told}");
    for (n, spread) in spreads.into_iter().enumerate() {
        let row = format!("section:nth-of-type(1) tbody tr:nth-child({})", n + 1);
        let cells = texts_plain(&page, &format!("{row} td"));
        let count = spread["count"].to_string();
        assert_eq!(
            cells,
            [count, said(&spread["median_ms"]), said(&spread["p90_ms"]), said(&spread["most_ms"])]
        );
    }
    let incidents = told["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 3);
    for (n, it) in incidents.iter().rev().enumerate() {
        let row = format!("section:nth-of-type(3) tbody tr:nth-child({})", n + 1);
        let name = page.text(&format!("{row} th")).unwrap();
        assert!(name.starts_with(it["incident"].as_str().unwrap()), "newest first: {name}");
        assert_eq!(name.contains("drill"), it["drill"].as_bool().unwrap());
        let cells = texts_plain(&page, &format!("{row} td.num"));
        assert_eq!(cells, [said(&it["response_ms"]), said(&it["contain_ms"]), said(&it["proof_ms"])]);
    }
    assert!(incidents[2]["proof_ms"].as_i64().is_some_and(|ms| ms > 0), "the drill was proven: {told}");
    let clocks = told["clocks"].as_array().unwrap();
    let shown = texts_plain(&page, ".clocks li");
    assert!(!clocks.is_empty() && shown.len() == clocks.len(), "{shown:?}");
    for (shown, clock) in shown.iter().zip(clocks) {
        let name = clock["clock"].as_str().unwrap().replace('-', " ");
        assert!(shown.contains(&name) && shown.contains(clock["incident"].as_str().unwrap()), "{shown}");
    }
}

/// The same, read from a page that runs no script of its own.
fn texts_plain(page: &Browser, css: &str) -> Vec<String> {
    texts(page, css).into_iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// RFC 6962, section 2.1.1: the root that an audit path leads to.
fn root(leaf: Vec<u8>, index: u64, size: u64, path: &[Vec<u8>]) -> Vec<u8> {
    let pair = |left: &[u8], right: &[u8]| Sha256::digest([&[1], left, right].concat()).to_vec();
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if at % 2 == 1 || at == last {
            hash = pair(sibling, &hash);
            while at % 2 == 0 && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            hash = pair(&hash, sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    assert_eq!(last, 0, "the path is as long as the tree is high");
    hash
}

#[test]
fn a_proof_taken_from_the_ledger_shows_that_the_entry_is_in_the_signed_tree() {
    let servers = Servers::start();
    let world = World::new(&servers, "proof", Roles::Alternating, "{}");
    let id = world.open("chat");
    for n in 0..6 {
        world.ok(&["incident", "note", &id, &format!("note {n}")]);
    }
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    page.open(&room.url(&format!("/incidents/{id}?text=note+3"))).unwrap();
    page.click("#timeline li .small a").unwrap();
    page.wait("the entry", |page| Ok(page.text("h1")?.starts_with("Entry "))).unwrap();
    let stored = found(&page, "return document.querySelector('pre').textContent");
    let stored = stored.as_str().unwrap();
    assert!(stored.contains("note 3"), "{stored}");
    let href = page.attribute("main a.button", "href").unwrap().unwrap();
    let proof = fetch(&page, &href);
    let (head, checkpoint) = proof.split_once("\n\n").unwrap();
    let mut head = head.lines();
    assert_eq!(head.next(), Some("c2sp.org/tlog-proof@v1"));
    let index: u64 = head.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
    assert_eq!(href, format!("/ledger/{index}/proof"));
    let path: Vec<Vec<u8>> = head.map(|line| STANDARD.decode(line).unwrap()).collect();
    let mut lines = checkpoint.lines().skip(1);
    let size: u64 = lines.next().unwrap().parse().unwrap();
    let signed = STANDARD.decode(lines.next().unwrap()).unwrap();
    let leaf = |text: &str| Sha256::digest([&[0], text.as_bytes()].concat()).to_vec();
    assert_eq!(root(leaf(stored), index, size, &path), signed);
    assert_ne!(root(leaf(&stored.replace("note 3", "note 4")), index, size, &path), signed);
    // The checkpoint is signed by the key that the page names, and the ledger still has that tree.
    let kept = world.path("checkpoint");
    std::fs::write(&kept, checkpoint).unwrap();
    page.open(&room.url("/ledger")).unwrap();
    let key = page.text("dl.facts dd").unwrap();
    world.ok(&["ledger", "verify", "--key", &key, "--checkpoint", kept.to_str().unwrap()]);
    let size_plus = checkpoint.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size - 1), 1);
    std::fs::write(&kept, size_plus).unwrap();
    let forged = world.run(&["ledger", "verify", "--key", &key, "--checkpoint", kept.to_str().unwrap()]);
    assert!(!forged.status.success(), "a checkpoint that nobody signed is none");
    page.open(&room.url("/ledger/999999/proof")).unwrap();
    assert_eq!(page.text("h1").unwrap(), "Not Found", "what is not there is said");
}
