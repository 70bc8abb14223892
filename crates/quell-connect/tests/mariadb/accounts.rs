//! Accounts that cannot be rotated, are locked, or have a namesake at another host.

use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use serde_json::json;

use crate::{OLD, credential, fact, failed, is_accepted, is_refused, issuer, issuer_with, reason, server};

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
    // What is left asks for no password; that is a refusal, as the account was read.
    let probe = socket.probe(&old).await;
    assert!(crate::login::is_refused_by(&probe, "1698"), "{probe:?}");
    assert!(socket.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert_eq!(fact(&socket.perform(IssuerOp::Disable { old: &old }).await.outcome, "already"), true);
    // Foreign values are refused before anything is sent.
    for value in ["mysql://other:x@h", "two\nlines", ""] {
        let outcome = issuer(&server).perform(IssuerOp::Disable { old: &credential(value) }).await.outcome;
        assert!(!outcome.is_applied(), "{value}");
    }
}

#[tokio::test]
async fn what_is_no_password_as_a_whole_is_refused_and_not_repeated() {
    let server = server();
    let near = issuer(&server);
    for value in [
        format!("orders:{OLD}@tcp(127.0.0.1:{})/shop", server.port()),
        format!("Server=127.0.0.1;Port={};Uid=orders;Pwd={OLD};", server.port()),
        format!("orders:{OLD}"),
        format!("MYSQL_PWD={OLD}"),
        format!("mysql -u orders -p{OLD}"),
        // A password that stands where a user does.
        format!("mysql://{OLD}@127.0.0.1:{}", server.port()),
    ] {
        let old = credential(&value);
        let outcome = near.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{value}: {outcome:?}");
        let told = near.identify(&old.value).unwrap_err().to_string();
        assert!(!format!("{outcome:?} {told}").contains("CANARY"), "{outcome:?} {told}");
        assert!(matches!(near.probe(&old).await, Probe::Inconclusive { .. }), "{value}");
    }
    assert!(is_accepted(&near.probe(&credential(OLD)).await));
    let there = credential(&format!("mysql://orders:{OLD}@db.internal/shop"));
    let why = near.elsewhere(&there).await.unwrap();
    assert!(why.contains("`aliases`") && !why.contains("db.internal"), "{why}");
    assert_eq!(near.elsewhere(&credential(&server.url("orders", OLD))).await, None);
}

#[tokio::test]
async fn a_locked_account_still_holds_its_password_and_that_is_no_proof() {
    let server = server();
    let issuer = issuer(&server);
    let old = credential(OLD);
    server.sql("ALTER USER orders@'%' ACCOUNT LOCK").unwrap();
    let Probe::Inconclusive { reason: why } = issuer.probe(&old).await else { panic!("it is kept") };
    assert!(why.contains("4151") && why.contains("still holds it"), "{why}");
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
    let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    for outcome in [&done, &seen] {
        assert!(reason(outcome).contains("`orders`@`10.%` takes the same password"), "{outcome:?}");
    }
    // What was taken away at the configured account is a fact all the same.
    let Outcome::NotApplied { facts, .. } = done else { panic!("{done:?}") };
    assert!(facts["already"] == false && facts["cutoff"].is_string(), "{facts:?}");
    assert!(crate::shown(&server).contains("invalid"));
    let Probe::Inconclusive { reason: why } = issuer.probe(&old).await else { panic!("a namesake takes it") };
    assert!(why.contains("`orders`@`10.%`"), "{why}");
    server.sql("DROP USER orders@'10.%'").unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&outcome, "already"), true);
    assert!(is_refused(&issuer.probe(&old).await));
    // After the proof somebody brings it back by another door.
    server.sql(&format!("CREATE USER orders@localhost IDENTIFIED BY '{OLD}'")).unwrap();
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
}

#[tokio::test]
async fn a_method_that_compares_in_its_own_way_is_never_taken_for_a_refusal() {
    let server = server();
    let issuer = issuer(&server);
    let old = credential(OLD);
    // As the server writes it; the plugin itself need not be there.
    let plugin = r#"{"access":0,"plugin":"ed25519","authentication_string":"4LH+dBF+G5W2CKTyId8xR3SyDqZoQjUNUVNxx8aWbG4"}"#;
    server
        .sql(&format!(
            "INSERT INTO mysql.global_priv VALUES ('localhost', 'orders', '{plugin}'); FLUSH PRIVILEGES"
        ))
        .unwrap();
    let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(
        reason(&done).contains("whether `orders`@`localhost` (by ed25519) takes the same password"),
        "{done:?}"
    );
    assert!(
        reason(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome).contains("cannot be told")
    );
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
    // At the account itself.
    let script = format!(
        "DELETE FROM mysql.global_priv WHERE User = 'orders' AND Host = 'localhost'; \
         UPDATE mysql.global_priv SET Priv = '{plugin}' WHERE User = 'orders'; FLUSH PRIVILEGES"
    );
    server.sql(&script).unwrap();
    let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&done).contains("`orders`@`%` (by ed25519)"), "{done:?}");
    assert!(!issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
}

#[tokio::test]
async fn what_goes_on_by_itself_is_told() {
    let server = server();
    let near = issuer(&server);
    let told = async || near.warnings(None).await.join("\n");
    assert!(!told().await.contains("events run") && !told().await.contains("XA RECOVER"));
    let script = "CREATE DATABASE shop; CREATE DEFINER = orders@'%' EVENT shop.nightly ON SCHEDULE EVERY 1 DAY DO SELECT 1; \
        CREATE TABLE shop.sold (id INT PRIMARY KEY) ENGINE = InnoDB; XA START 'x'; INSERT INTO shop.sold VALUES (1); XA END 'x'; XA PREPARE 'x'";
    server.sql(script).unwrap();
    assert!(told().await.contains("1 events run by themselves as `orders`"), "{}", told().await);
    assert!(told().await.contains("1 prepared transactions outlive"), "{}", told().await);
}

#[tokio::test]
async fn a_plugin_that_judges_passwords_is_told_before_and_after() {
    let server = server();
    let near = issuer(&server);
    server.sql("INSTALL SONAME 'simple_password_check'").unwrap();
    let checks = near.check().await;
    assert!(failed(&checks).iter().any(|it| it.contains("strict_password_validation = OFF")), "{checks:?}");
    let old = credential(OLD);
    for op in [IssuerOp::Install { new: &credential("CANARY-new-password") }, IssuerOp::Disable { old: &old }]
    {
        let outcome = near.perform(op).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        assert!(reason(&outcome).contains("strict_password_validation = OFF"), "{outcome:?}");
    }
    server.sql("SET GLOBAL strict_password_validation = OFF").unwrap();
    assert_eq!(failed(&near.check().await), Vec::<&str>::new());
    assert!(near.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
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
