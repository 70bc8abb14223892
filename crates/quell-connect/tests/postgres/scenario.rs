//! Whole rotations, the same for a real server and for the sandbox.

use jiff::Timestamp;
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::issuer::ValidAtOnce;
use quell_core::secret::{Credential, SecretValue};

use crate::world::{
    A, B, Consumer, OLD, OWNER, World, accepted, applied, not_applied, observe, password, perform, refused,
    text,
};

pub(crate) async fn two_roles(mut world: World) {
    world.set_password(A, OLD);
    let issuer = world.two();
    let issuer = issuer.as_ref();
    assert_eq!(issuer.capabilities().valid_at_once, ValidAtOnce::AlternatePrincipals);
    assert_eq!(issuer.capabilities().settle_ms, 2000);
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    assert_eq!(old.principal, A);
    let mut on_old = Consumer::connect(&old).await;
    assert_eq!(accepted(&issuer.probe(&old).await)["role"], A);
    accepted(&issuer.control().await);

    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    assert_eq!(new.principal, B);
    assert_eq!(password(&new).len(), 64);
    let expected = text(&old).replace(OLD, &password(&new)).replace(A, "we%22ird%20%27%20%5Cb");
    assert_eq!(text(&new), expected);
    assert_eq!(issuer.identify(&new.value).unwrap().principal, B);

    let install = IssuerOp::Install { new: &new };
    assert!(not_applied(observe(issuer, install).await).1);
    assert_eq!(refused(&issuer.probe(&new).await), "28P01");
    let facts = applied(perform(issuer, install).await);
    assert_eq!((&facts["role"], &facts["already"]), (&B.into(), &false.into()));
    assert_eq!(applied(perform(issuer, install).await)["already"], true);
    applied(observe(issuer, install).await);
    assert_eq!(accepted(&issuer.probe(&new).await)["role"], B);
    let mut on_new = Consumer::connect(&new).await;
    assert_eq!(on_new.current_user().await.as_deref(), Some(OWNER));

    let disable = IssuerOp::Disable { old: &old };
    assert!(not_applied(observe(issuer, disable).await).1);
    assert_eq!(applied(perform(issuer, disable).await)["already"], false);
    assert_eq!(applied(perform(issuer, disable).await)["already"], true);
    assert_eq!(applied(observe(issuer, disable).await)["code"], "28P01");
    assert_eq!(refused(&issuer.probe(&old).await), "28P01");

    assert!(on_old.current_user().await.is_some(), "a live session outlives the change");
    severed(issuer, &old, None, 1).await;
    assert_eq!(on_old.current_user().await, None);
    assert_eq!(on_new.current_user().await.as_deref(), Some(OWNER));
    accepted(&issuer.control().await);

    // And back again.
    let next = issuer.choose(Some(&new), "tag").await.unwrap();
    assert_eq!(next.principal, A);
    applied(perform(issuer, IssuerOp::Install { new: &next }).await);
    applied(perform(issuer, IssuerOp::Disable { old: &new }).await);
    severed(issuer, &new, None, 1).await;
    accepted(&issuer.probe(&next).await);
    // The value that leaked first belongs to the role in use: it stays refused, and the role stays.
    let facts = applied(perform(issuer, disable).await);
    assert_eq!((&facts["already"], &facts["role_can_login"]), (&true.into(), &true.into()));
    accepted(&issuer.probe(&next).await);

    // Without an old value the idle role is chosen.
    let first = issuer.choose(None, "tag").await.unwrap();
    assert_eq!(first.principal, B);
    applied(perform(issuer, IssuerOp::Install { new: &first }).await);
    drop(Consumer::connect(&first).await);
    nothing_logged(&world, &[OLD, &password(&new), &password(&next), &password(&first)]);
}

pub(crate) async fn one_role(mut world: World) {
    world.set_password(A, OLD);
    let issuer = world.one();
    let issuer = issuer.as_ref();
    assert_eq!(issuer.capabilities().valid_at_once, ValidAtOnce::One);
    let old = issuer.identify(&SecretValue::from_text(OLD.to_owned())).unwrap();
    assert_eq!(old.principal, A);
    let mut on_old = Consumer::connect(&issuer.identify(&world.url(A, OLD)).unwrap()).await;

    // A bare password gives a bare password.
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    assert_eq!((new.principal.as_str(), text(&new)), (A, password(&new).as_str()));
    let facts = applied(perform(issuer, IssuerOp::Install { new: &new }).await);
    let cutoff = facts["cutoff"].as_str().unwrap().to_owned();
    cutoff.parse::<Timestamp>().unwrap();
    assert_eq!(refused(&issuer.probe(&old).await), "28P01");
    accepted(&issuer.probe(&new).await);
    let mut on_new = Consumer::connect(&issuer.identify(&world.url(A, &password(&new))).unwrap()).await;

    // The old value died with the change; disabling it must not touch the new one.
    let disable = IssuerOp::Disable { old: &old };
    let facts = applied(perform(issuer, disable).await);
    assert_eq!((&facts["already"], &facts["role_can_login"]), (&true.into(), &true.into()));
    assert_eq!(applied(observe(issuer, disable).await)["code"], "28P01");
    accepted(&issuer.probe(&new).await);

    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 2);
    severed(issuer, &old, Some(&cutoff), 1).await;
    assert_eq!(on_old.current_user().await, None);
    assert_eq!(on_new.current_user().await.as_deref(), Some(A), "a session after the cutoff is spared");

    // Kill first: disable the only value, then bring the role back with another.
    let disable = IssuerOp::Disable { old: &new };
    assert_eq!(applied(perform(issuer, disable).await)["already"], false);
    assert_eq!(applied(perform(issuer, disable).await)["already"], true);
    assert_eq!(refused(&issuer.probe(&new).await), "28P01");
    severed(issuer, &new, None, 1).await;
    let next = issuer.choose(Some(&new), "tag").await.unwrap();
    applied(perform(issuer, IssuerOp::Install { new: &next }).await);
    accepted(&issuer.probe(&next).await);
    assert_eq!(refused(&issuer.probe(&new).await), "28P01");
    nothing_logged(&world, &[OLD, &password(&new), &password(&next)]);
}

/// Ends sessions, and makes sure of the count before and after, and that a repeat is harmless.
async fn severed(issuer: &dyn Issuer, old: &Credential, cutoff: Option<&str>, live: u64) {
    let sever = IssuerOp::Sever { old, cutoff };
    assert_eq!(issuer.sessions(old, cutoff).await.unwrap(), live);
    assert!(not_applied(observe(issuer, sever).await).1);
    let facts = applied(perform(issuer, sever).await);
    assert_eq!((&facts["terminated"], &facts["remaining"]), (&live.into(), &0.into()));
    assert_eq!(issuer.sessions(old, cutoff).await.unwrap(), 0);
    assert_eq!(applied(perform(issuer, sever).await)["terminated"], 0);
    applied(observe(issuer, sever).await);
}

fn nothing_logged(world: &World, values: &[&str]) {
    let log = world.log();
    if matches!(world.system, crate::world::System::Real(_)) {
        assert!(log.contains("SCRAM-SHA-256$4096:"), "the log holds what was sent");
    }
    for value in values {
        assert!(!log.contains(value), "a value is in the server's log");
    }
}
