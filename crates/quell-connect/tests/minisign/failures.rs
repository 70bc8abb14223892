//! Trust roots that differ or are not there, and artifacts that are not what they must be.

use quell_connect::connector::IssuerOp;

use super::*;

#[tokio::test]
async fn an_artifact_that_was_replaced_is_not_signed() {
    let place = Place::new();
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old.secret);
    // With the leaked key a thief's file verifies.
    std::fs::write(place.artifact("two.tar"), "a thief's").unwrap();
    sign(&place.old.secret, &place.artifact("two.tar")).unwrap();
    assert_eq!(place.taken("two.tar"), [true, true]);
    let said = failed(&issuer.check().await).join(" ");
    assert!(said.contains("two.tar: it is not what the manifest says"), "{said}");
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    let outcome = issuer.perform(install).await.outcome;
    let Outcome::NotApplied { reason, retryable: false, facts, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(
        reason.contains("two.tar: it is not what the manifest says") && reason.contains("restore it"),
        "{reason}"
    );
    assert_eq!(facts["signed"], json!(["one.tar"]));
    assert_eq!((place.taken("one.tar"), place.taken("two.tar")), ([true, true], [false, false]));
    // It is restored, and the step is tried again.
    std::fs::remove_file(place.artifact("two.tar")).unwrap();
    assert!(outcome::reason(&issuer.perform(install).await.outcome).contains("two.tar: "));
    std::fs::write(place.artifact("two.tar"), "two").unwrap();
    assert!(matches!(issuer.observe(install).await.outcome, Outcome::NotApplied { retryable: true, .. }));
    assert!(issuer.perform(install).await.outcome.is_applied());
    assert_eq!(place.taken("two.tar"), [true, true]);
}

#[tokio::test]
async fn a_trust_root_that_is_not_there_is_no_refusal() {
    let place = Place::new();
    let mut config = place.config();
    config["trust_roots"][1] = json!({ "file": { "path": place.path("typo.pub") } });
    let issuer = built(&CONNECTOR, "", &config, Duration::from_secs(10));
    let old = credential(&*issuer, &place.old.secret);
    let probe = issuer.probe(&old).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.contains("correct the place")),
        "{probe:?}"
    );
    assert!(failed(&issuer.check().await).iter().any(|it| it.contains("correct the place")));
    // The other one is changed all the same: it is not known to be done.
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(
        matches!(&outcome, Outcome::Unknown { reason } if reason.contains("done on file ") && reason.contains("typo.pub")),
        "{outcome:?}"
    );
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
    assert!(issuer.sessions(&old, None).await.is_err());
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    assert!(!issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert!(!place.path("typo.pub").exists(), "nobody is made to trust a key");

    std::fs::write(place.path("typo.pub"), "<html>not found</html>\n").unwrap();
    let probe = issuer.probe(&old).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.contains("no file of public keys")),
        "{probe:?}"
    );
}

#[tokio::test]
async fn one_root_that_still_trusts_it_is_enough() {
    let place = Place::new();
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old.secret);
    let [web, fleet] = place.roots();
    let before = read(&fleet);
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    // A machine's backup is played back.
    std::fs::write(&fleet, before).unwrap();
    assert!(is_accepted(&issuer.probe(&old).await));
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&seen).contains("fleet.pub still trusts the key"), "{seen:?}");
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    // Only one of them ever trusted a key: neither accepted nor refused.
    let other = generate(place.folder.path(), "other").unwrap();
    std::fs::write(&web, read(&web) + &read(&other.public)).unwrap();
    let other = credential(&*issuer, &other.secret);
    let probe = issuer.probe(&other).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.contains("trust roots differ")),
        "{probe:?}"
    );
}

#[tokio::test]
async fn a_manifest_that_cannot_be_used_stops_before_anything_is_trusted() {
    let place = Place::new();
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old.secret);
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    std::fs::write(place.path("releases/SHA256SUMS"), "one.tar\n").unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(
        matches!(&outcome, Outcome::NotApplied { reason, retryable: false, .. } if reason.contains("line 1 of the manifest")),
        "{outcome:?}"
    );
    assert!(!read(&place.roots()[0]).contains(&new.principal));
    // The kill needs no manifest.
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
}

/// The public key under another key id, as anybody can write it.
fn alias(place: &Place) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let text = read(&place.old.public);
    let mut bytes = STANDARD.decode(text.lines().nth(1).unwrap()).unwrap();
    bytes[2..10].copy_from_slice(b"another!");
    format!("untrusted comment: alias\n{}\n", STANDARD.encode(bytes))
}

#[tokio::test]
async fn the_same_key_under_another_name_goes_with_it() {
    let place = Place::new();
    let [web, fleet] = place.roots();
    std::fs::write(&web, alias(&place)).unwrap();
    std::fs::write(&fleet, read(&place.old.public) + &alias(&place)).unwrap();
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old.secret);
    let checks = issuer.check().await;
    assert!(checks.iter().any(|it| it.detail.contains("they die together")), "{checks:?}");
    assert!(is_accepted(&issuer.probe(&old).await));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let line = alias(&place).lines().nth(1).unwrap().to_owned();
    assert!(!read(&web).contains(&line) && !read(&fleet).contains(&line), "{}", read(&web));
    assert!(is_refused(&issuer.probe(&old).await) && issuer.elsewhere(&old).await.is_none());
}

#[tokio::test]
async fn what_a_thief_links_to_is_not_overwritten() {
    let place = Place::new();
    let precious = place.path("precious");
    std::fs::write(&precious, "precious\n").unwrap();
    std::fs::create_dir(place.path("outside")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), place.artifact("sub")).unwrap();
    std::fs::write(place.artifact("sub/three.tar"), "three").unwrap();
    place.list(&["one.tar", "two.tar", "sub/three.tar"]);
    let signature = place.artifact("two.tar.minisig");
    std::fs::remove_file(&signature).unwrap();
    std::os::unix::fs::symlink(&precious, &signature).unwrap();
    let issuer = place.issuer();
    let said = failed(&issuer.check().await).join(" ");
    assert!(
        said.contains("two.tar.minisig, is no regular file") && said.contains("sub/three.tar: its folder"),
        "{said}"
    );
    let old = credential(&*issuer, &place.old.secret);
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(reason(&outcome).contains("two.tar.minisig, is no regular file"), "{outcome:?}");
    let Outcome::NotApplied { facts, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(facts["signed"], json!(["one.tar"]));
    assert_eq!(read(&precious), "precious\n");
    assert!(!place.path("outside/three.tar.minisig").exists());
}

#[test]
fn a_pipe_beside_the_artifacts_does_not_stop_the_kill() {
    let place = Place::new();
    for name in ["trap.minisig", "trap"] {
        let made = std::process::Command::new("mkfifo").arg(place.artifact(name)).status().unwrap();
        assert!(made.success());
    }
    let issuer = place.issuer();
    let old = credential(&*issuer, &place.old.secret);
    let whole = async {
        let warnings = issuer.warnings(Some(&old.value)).await;
        (warnings, issuer.perform(IssuerOp::Disable { old: &old }).await.outcome)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(4), whole).await });
    // A thread that waits for a writer would keep it from its end.
    runtime.shutdown_background();
    let (warnings, outcome) = done.unwrap();
    assert!(warnings.iter().any(|it| it.starts_with("2 signatures of")), "{warnings:?}");
    assert!(fact(&outcome, "suspect").as_array().unwrap().len() == 2, "{outcome:?}");
}

#[tokio::test]
async fn a_manifest_that_is_signed_is_named() {
    let place = Place::new();
    let issuer = place.issuer();
    let said = |warnings: Vec<String>| warnings.iter().any(|it| it.contains("the manifest's own signature"));
    assert!(!said(issuer.warnings(None).await));
    sign(&place.old.secret, &place.artifact("SHA256SUMS")).unwrap();
    assert!(said(issuer.warnings(None).await));
}
