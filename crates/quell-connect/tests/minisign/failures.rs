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
