//! A key is taken out of every trust root, and what is current is signed anew.

use std::os::unix::fs::PermissionsExt as _;

use quell_connect::conformance;
use quell_connect::connector::IssuerOp;
use quell_core::issuer::Overlap;

use super::*;

#[tokio::test]
async fn it_keeps_the_contract() {
    let place = Place::new();
    let issuer = place.with_control();
    conformance::issuer(&*issuer, &credential(&*issuer, &place.old.secret)).await.unwrap();
}

#[tokio::test]
async fn a_leaked_key_is_taken_out_before_its_successor_is_put_in() {
    let place = Place::new();
    let issuer = place.issuer();
    assert!(matches!(issuer.overlap(), Overlap::Never { .. }) && !issuer.has_control());
    let old = credential(&*issuer, &place.old.secret);
    assert!(read(&place.old.public).contains(&old.principal), "it has the name that minisign gave it");
    assert!(is_accepted(&issuer.probe(&old).await));
    assert_eq!(place.taken("one.tar"), [true, true]);
    // An older release, which is not current, and a signature that a thief made.
    std::fs::write(place.artifact("zero.tar"), "zero").unwrap();
    sign(&place.old.secret, &place.artifact("zero.tar")).unwrap();
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|it| it.starts_with("3 signatures of ")), "{warnings:?}");

    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let suspect = fact(&disabled, "suspect").as_array().unwrap();
    let current: Vec<bool> = suspect.iter().map(|it| it["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [true, true, false]);
    assert!(suspect[2]["file"].as_str().unwrap().ends_with("/zero.tar.minisig"));
    assert!(suspect[2]["said_at"].as_str().unwrap().starts_with("20"), "{suspect:?}");
    assert!(quell_core::outcome::took_away(match &disabled {
        Outcome::Applied { facts } => facts,
        other @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => panic!("{other:?}"),
    }));
    assert_eq!(place.taken("one.tar"), [false, false], "minisign takes nothing any more");
    assert!(is_refused(&issuer.probe(&old).await) && issuer.elsewhere(&old).await.is_none());
    let again = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let name = format!("file {}", place.roots()[0].display());
    assert_eq!(fact(&again, "trust_roots")[name.as_str()]["already"], true);

    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(place.artifact("one.tar.minisig"), mode).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert!(matches!(issuer.observe(install).await.outcome, Outcome::NotApplied { .. }));
    let installed = issuer.perform(install).await.outcome;
    assert_eq!(fact(&installed, "signed"), &json!(["one.tar", "two.tar"]));
    assert_eq!((place.taken("one.tar"), place.taken("two.tar")), ([true, true], [true, true]));
    assert_eq!(place.taken("zero.tar"), [false, false], "what is not current stays as it is");
    let (_, said) = verify(&place.roots()[0], &place.artifact("one.tar")).unwrap();
    assert!(said.contains("file:one.tar\thashed"), "{said}");
    let mode = std::fs::metadata(place.artifact("one.tar.minisig")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let signature = read(&place.artifact("one.tar.minisig"));
    assert_eq!(fact(&issuer.perform(install).await.outcome, "signed"), &json!([]));
    assert_eq!(read(&place.artifact("one.tar.minisig")), signature);
    assert!(is_accepted(&issuer.probe(&new).await) && is_refused(&issuer.probe(&old).await));
    // What the successor signs, minisign takes; the old key has no way back.
    std::fs::write(place.artifact("three.tar"), "three").unwrap();
    sign(new.value.expose_text().unwrap(), &place.artifact("three.tar")).unwrap();
    assert_eq!(place.taken("three.tar"), [true, true]);
    let back = issuer.perform(IssuerOp::Install { new: &old }).await.outcome;
    assert!(reason(&back).contains("no way back"), "{back:?}");
}

#[tokio::test]
async fn a_key_of_somebody_else_is_not_taken_for_a_dead_one() {
    let place = Place::new();
    let issuer = place.issuer();
    let stranger = generate(place.folder.path(), "stranger").unwrap();
    let stranger = credential(&*issuer, &stranger.secret);
    assert!(is_refused(&issuer.probe(&stranger).await));
    assert!(issuer.elsewhere(&stranger).await.unwrap().contains("signs for somebody else"));
    for value in ["hunter2", &read(&place.old.public)] {
        let error = issuer.identify(&SecretValue::from_text(value.to_owned())).unwrap_err().to_string();
        assert!(error.contains("no secret") && !error.contains("hunter2"), "{error}");
    }
}
