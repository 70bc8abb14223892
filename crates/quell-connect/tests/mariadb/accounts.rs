//! Accounts that cannot be rotated, are locked, or have a namesake at another host.

use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use serde_json::json;

use crate::{OLD, credential, fact, failed, is_refused, issuer, issuer_with, reason, server};

#[tokio::test]
async fn accounts_that_cannot_be_rotated_are_refused_with_the_reason() {
    let server = server();
    let script = "CREATE USER open@'%'; CREATE ROLE part; CREATE USER idle@'%' IDENTIFIED BY 'x-password' ACCOUNT LOCK; \
        CREATE USER near@'10.%' IDENTIFIED BY 'x-password'; CREATE USER socket@'%' IDENTIFIED VIA unix_socket OR \
        mysql_native_password USING PASSWORD('x-password'); CREATE USER two@'%' IDENTIFIED VIA mysql_native_password \
        USING PASSWORD('x-password') OR mysql_native_password USING PASSWORD('y-password')";
    server.sql(script).unwrap();
    for (user, why) in [
        ("open", "has no password"),
        ("part", "does not exist"),
        ("idle", "ACCOUNT UNLOCK"),
        ("near", "`near`@`10.%`: set `host`"),
        ("socket", "by unix_socket"),
        ("two", "2 passwords already"),
        ("absent", "does not exist"),
        ("root", "lock itself out"),
    ] {
        let config = json!({ "admin": "env:ADMIN", "user": user });
        let issuer = issuer_with(&server.admin_url(), &config);
        let new = Credential { principal: user.to_owned(), ..credential("a-new-password") };
        let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
        assert!(reason(&outcome).contains(why), "{user}: {outcome:?}");
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        assert_eq!(failed(&issuer.check().await).len(), 1, "{user}");
    }
    // What Quell does not give a second password is killed all the same, and the rest of the account stays.
    let config = json!({ "admin": "env:ADMIN", "user": "socket" });
    let socket = issuer_with(&server.admin_url(), &config);
    let old = Credential { principal: "socket".to_owned(), ..credential("x-password") };
    assert!(socket.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let left = server.sql("SHOW CREATE USER socket@'%'").unwrap();
    assert!(left.contains("unix_socket") && !left.contains(" OR "), "{left}");
    // Foreign values are refused before anything is sent.
    for value in ["mysql://other:x@h", "two\nlines", ""] {
        let outcome = issuer(&server).perform(IssuerOp::Disable { old: &credential(value) }).await.outcome;
        assert!(!outcome.is_applied(), "{value}");
    }
    assert!(issuer(&server).identify(&credential("mysql://other:x@h").value).is_err());
}

#[tokio::test]
async fn a_locked_account_still_holds_its_password_and_that_is_no_proof() {
    let server = server();
    let issuer = issuer(&server);
    let old = credential(OLD);
    server.sql("ALTER USER orders@'%' ACCOUNT LOCK").unwrap();
    let probe = issuer.probe(&old).await;
    assert!(matches!(&probe, Probe::Refused { code, .. } if code == "4151"), "{probe:?}");
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&seen).contains("still holds it"), "{seen:?}");
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    server.sql("ALTER USER orders@'%' ACCOUNT UNLOCK").unwrap();
    assert!(is_refused(&issuer.probe(&old).await));
}

#[tokio::test]
async fn a_namesake_that_takes_the_old_password_is_not_overlooked() {
    let server = server();
    let issuer = issuer(&server);
    let old = credential(OLD);
    server
        .sql(&format!(
            "CREATE USER orders@'10.%' IDENTIFIED BY '{OLD}', orders@'192.168.%' IDENTIFIED BY 'z'"
        ))
        .unwrap();
    let warnings = issuer.warnings(None).await;
    assert!(warnings.iter().any(|it| it.contains("`orders`@`10.%`, `orders`@`192.168.%`")), "{warnings:?}");
    for outcome in [
        issuer.perform(IssuerOp::Disable { old: &old }).await.outcome,
        issuer.observe(IssuerOp::Disable { old: &old }).await.outcome,
    ] {
        assert!(reason(&outcome).contains("`orders`@`10.%` takes the same password"), "{outcome:?}");
    }
    // At the configured account it is gone.
    assert!(is_refused(&issuer.probe(&old).await));
    server.sql("DROP USER orders@'10.%'").unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&outcome, "already"), true);
}

#[tokio::test]
async fn an_expired_password_still_opens_the_door() {
    let server = server();
    server.sql("ALTER USER orders@'%' PASSWORD EXPIRE").unwrap();
    for disconnects in ["OFF", "ON"] {
        server.sql(&format!("SET GLOBAL disconnect_on_expired_password = {disconnects}")).unwrap();
        let Probe::Accepted { facts } = issuer(&server).probe(&credential(OLD)).await else {
            panic!("the password is right")
        };
        assert_eq!(facts["expired"], true);
    }
}
