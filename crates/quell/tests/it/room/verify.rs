//! "Verify in this browser": what was downloaded is compared where the person sits.

use std::path::Path;

use quell_testkit::browser::{Browser, Driver, Script};
use sha2::Digest as _;

use super::super::world::{Roles, Servers, World};
use super::{Room, found};

/// Chooses a file and gives the tone, and what is said.
fn choose(page: &Browser, file: &Path) -> (String, String) {
    page.write("#verify-file", file.to_str().unwrap()).unwrap();
    page.wait("what is said of the file", |page| page.has("#verify-said.notice")).unwrap();
    let tone = page.attribute("#verify-said", "class").unwrap().unwrap();
    let said = page.text("#verify-said").unwrap();
    // The next file is waited for anew.
    found(page, "document.querySelector('#verify-said').className = ''; return 1");
    (tone, said)
}

#[test]
fn a_downloaded_file_is_verified_in_the_browser_and_each_changed_byte_is_seen() {
    let servers = Servers::start();
    let world = World::new(&servers, "check", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let step = format!("{}.disable", world.secret());
    world.ok(&["step", "refuse", &id, &step, "--reason", "it is done by hand already"]);
    let proof = world.path("proof.txt");
    std::fs::write(&proof, "role: NOLOGIN\n").unwrap();
    let stated = ["step", "resolve", &id, &step, "--statement", "the role cannot log in any more"];
    world.ok(&[&stated[..], &["--evidence", proof.to_str().unwrap()]].concat());
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    page.open(&room.url(&format!("/incidents/{id}"))).unwrap();
    assert!(!page.text("#evidence").unwrap().contains("Scripts are off"));
    assert_eq!(page.attribute("#verify-said", "role").unwrap().as_deref(), Some("status"), "it is spoken");

    let (tone, said) = choose(&page, &proof);
    assert_eq!(tone, "notice good");
    assert!(said.starts_with("✓ This is proof.txt: its SHA-256 is the one shown"), "{said}");
    let other = world.path("other.txt");
    std::fs::write(&other, "role: NOLOGIN \n").unwrap();
    let (tone, said) = choose(&page, &other);
    assert_eq!(tone, "notice bad");
    let sum = hex::encode(sha2::Sha256::digest("role: NOLOGIN \n"));
    assert!(said.starts_with("✕ This is none of the files shown") && said.contains(&sum), "{said}");

    // A bundle that leaves while the page is open is known to it at once; what was said before stays.
    let bundle = world.path("bundle.tar");
    world.ok(&["evidence", "export", &id, "--output", bundle.to_str().unwrap()]);
    page.wait("the bundle", |page| page.has("#evidence [data-manifest]")).unwrap();
    assert_eq!(page.text("#verify-said").unwrap(), said, "the news take nothing back");
    let (tone, said) = choose(&page, &bundle);
    assert_eq!(tone, "notice good", "{said}");
    assert!(said.starts_with("✓ This is a bundle that left from here"), "{said}");
    assert!(said.contains("signed by the key that it names"), "{said}");

    let bytes = std::fs::read(&bundle).unwrap();
    let at = |needle: &[u8]| bytes.windows(needle.len()).position(|it| it == needle).unwrap();
    // Where the only line of signatures ends in the note.
    let note = at(b"quell-evidence-manifest-v1");
    let signed = note + bytes[note..].iter().position(|byte| *byte == 0).unwrap();
    for (place, why) in [
        (at(b"role: NOLOGIN"), "is not what was put there"),
        (at(b"quell-evidence\""), "its manifest has the SHA-256"),
        (at(b"quell-evidence-manifest-v1"), "is not the signature of its manifest"),
        (note + 60, "is not the signature of its manifest"),
        (signed - 20, "is not the signature of its manifest"),
        (signed - 1, "is not the signature of its manifest"),
        (at(b"ustar") + 100, "is no header of a bundle"),
        (at(b"role: NOLOGIN") + 100, "something stands behind"),
        (bytes.len() - 1, "something stands behind its end"),
    ] {
        let changed = world.path(&format!("changed-{place}.tar"));
        let mut bytes = bytes.clone();
        bytes[place] ^= 1;
        std::fs::write(&changed, bytes).unwrap();
        let (tone, said) = choose(&page, &changed);
        assert_eq!(tone, "notice bad", "byte {place}");
        assert!(said.starts_with("✕ This is no bundle that left from here") && said.contains(why), "{said}");
    }
    let changed = world.path("cut.tar");
    std::fs::write(&changed, &bytes[..bytes.len() - 512]).unwrap();
    let (_, said) = choose(&page, &changed);
    assert!(said.contains("it is cut off"), "{said}");

    // Only pages that come by a safe way may hash; elsewhere that is said.
    found(&page, "Object.defineProperty(globalThis, 'crypto', { value: {} }); return 1");
    let (tone, said) = choose(&page, &proof);
    assert_eq!(tone, "notice warn");
    assert!(said.starts_with("▲") && said.contains("https") && said.contains("by hand"), "{said}");

    let plain = driver.browser(Script::Off).unwrap();
    let code = world.json(&["person", "code", "ines"]);
    super::sign_in(&plain, &room.url("/sign-in"), code["code"].as_str().unwrap());
    plain.open(&room.url(&format!("/incidents/{id}"))).unwrap();
    assert_eq!(plain.text(".verify").unwrap(), "", "what only a script can do is not offered");
    assert!(
        plain.text("#evidence").unwrap().contains("Scripts are off here: compare the hash of a file by hand")
    );
    plain.click("[data-key=offline] summary").unwrap();
    let by_hand = plain.text("[data-key=offline]").unwrap();
    assert!(
        by_hand.contains("sha256sum FILE")
            && by_hand.contains(&format!("tar xOf {id}.tar manifest.json | sha256sum"))
    );
}
