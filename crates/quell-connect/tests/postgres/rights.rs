//! What the administrator may do, and what Quell refuses to do.

use quell_connect::connector::{Check, Issuer, IssuerOp};
use quell_connect::postgres::CONNECTOR;
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use crate::world::{
    A, B, Consumer, OLD, OWNER, World, accepted, applied, ident, inconclusive, not_applied, observe, perform,
    refused,
};

fn failing(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.ok).map(|check| check.what.as_str()).collect()
}

#[tokio::test]
async fn missing_rights_are_named_and_the_documented_ones_are_enough() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    world.sql("CREATE ROLE quell_admin LOGIN PASSWORD 'adm'");
    world.admin_url = format!("postgres://quell_admin:adm@127.0.0.1:{}/postgres", world.port());
    let issuer = world.two();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let mut consumer = Consumer::connect(&old).await;
    for (op, hint) in [
        (IssuerOp::Install { new: &new }, "ALTER ROLE \"quell_admin\" CREATEROLE"),
        (IssuerOp::Disable { old: &old }, "ALTER ROLE \"quell_admin\" CREATEROLE"),
        (IssuerOp::Sever { old: &old, cutoff: None }, "GRANT pg_signal_backend"),
        (IssuerOp::Sever { old: &old, cutoff: Some("2100-01-01T00:00:00Z") }, "GRANT pg_read_all_stats"),
    ] {
        let (reason, retryable) = not_applied(perform(issuer, op).await);
        assert!(!retryable && reason.contains(hint), "{reason}");
    }
    let checks = issuer.check().await;
    let failing_ = failing(&checks);
    for what in [
        "may change the password of `app_a`",
        "may see the sessions of `app_a`",
        "may end the sessions of `app_a`",
    ] {
        assert!(failing_.contains(&what), "{failing_:?}");
    }

    let version: u32 = world.sql("SHOW server_version_num").parse().unwrap();
    world.sql("ALTER ROLE quell_admin CREATEROLE; GRANT pg_signal_backend, pg_read_all_stats TO quell_admin");
    if version >= 160_000 {
        let (a, b) = (ident(A), ident(B));
        world.sql(&format!("GRANT {a}, {b}, {OWNER} TO quell_admin WITH ADMIN OPTION"));
    }
    applied(perform(issuer, IssuerOp::Install { new: &new }).await);
    applied(perform(issuer, IssuerOp::Disable { old: &old }).await);
    applied(perform(issuer, IssuerOp::Sever { old: &old, cutoff: Some("2100-01-01T00:00:00Z") }).await);
    assert_eq!(consumer.current_user().await, None);
    world.sql(&format!("ALTER ROLE {} SET role TO '{OWNER}'", ident(A)));
    let checks = issuer.check().await;
    assert_eq!(failing(&checks), [""; 0], "{checks:#?}");
}

#[tokio::test]
async fn a_refused_administrator_is_denied_not_lost() {
    let mut world = World::real(false);
    world.admin_url = world.admin_url.replace("postgres:", "postgres:no");
    world.admin_url = world.admin_url.replacen("postgres:no//", "postgres://", 1);
    let issuer = world.one();
    let old = Credential { principal: A.to_owned(), value: SecretValue::from_text(OLD.to_owned()) };
    let op = IssuerOp::Sever { old: &old, cutoff: None };
    let (reason, retryable) = not_applied(perform(issuer.as_ref(), op).await);
    assert!(!retryable && reason.contains("28P01"), "{reason}");
    assert_eq!(refused(&issuer.control().await), "28P01");
}

#[tokio::test]
async fn the_administrators_own_role_is_never_touched() {
    let mut world = World::real(false);
    let url = SecretValue::from_text(world.admin_url.clone());
    let issuer = world.issuer(&json!({ "admin": "env:ADMIN", "roles": ["postgres"] })).unwrap();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&url).unwrap();
    for op in [
        IssuerOp::Install { new: &old },
        IssuerOp::Disable { old: &old },
        IssuerOp::Sever { old: &old, cutoff: None },
    ] {
        let (reason, retryable) = not_applied(perform(issuer, op).await);
        assert!(!retryable && reason.contains("lock itself out"), "{reason}");
    }
    assert!(failing(&issuer.check().await).contains(&"role `postgres` is not the administrator"));
    assert_eq!(world.sql("SELECT 1"), "1");
}

#[tokio::test]
async fn a_stored_or_expired_password_is_not_left_behind() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    let issuer = world.two();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    let disable = IssuerOp::Disable { old: &old };
    let revive = format!("ALTER ROLE {A} LOGIN VALID UNTIL 'infinity'");

    // Somebody only took LOGIN away: the old password would work again with LOGIN.
    world.sql(&format!("ALTER ROLE {A} NOLOGIN"));
    assert_eq!(refused(&issuer.probe(&old).await), "28000");
    let (reason, retryable) = not_applied(observe(issuer, disable).await);
    assert!(retryable && reason.contains("still has this password"), "{reason}");
    assert_eq!(applied(perform(issuer, disable).await)["already"], false);
    world.sql(&revive);
    assert_eq!(refused(&issuer.probe(&old).await), "28P01");

    // Somebody only set a date: it would work again with another date.
    world.set_password(A, OLD);
    world.sql(&format!("ALTER ROLE {A} VALID UNTIL '2001-01-01'"));
    let warnings = issuer.warnings(None).await;
    assert!(warnings.iter().any(|w| w.contains("valid until 2001-01-01T00:00:00Z")), "{warnings:?}");
    assert_eq!(refused(&issuer.probe(&old).await), "28P01");
    // Nobody knows whether this password was the one that expired.
    assert_eq!(applied(perform(issuer, disable).await)["already"], serde_json::Value::Null);
    world.sql(&revive);
    assert_eq!(refused(&issuer.probe(&old).await), "28P01");
}

#[tokio::test]
async fn missing_roles_are_named() {
    let mut world = World::real(false);
    world.sql(&format!("DROP ROLE {}", ident(B)));
    let issuer = world.two();
    let issuer = issuer.as_ref();
    let new = issuer.identify(&world.url("we%22ird%20%27%20%5Cb", OLD)).unwrap();
    let (reason, retryable) = not_applied(perform(issuer, IssuerOp::Install { new: &new }).await);
    assert!(!retryable && reason.contains("CREATE ROLE \"we\"\"ird ' \\b\" NOLOGIN"), "{reason}");
    // A role that is gone lets nobody in.
    assert_eq!(applied(perform(issuer, IssuerOp::Disable { old: &new }).await)["exists"], false);
    world.sql(&format!("CREATE ROLE {}; DROP ROLE {OWNER}", ident(B)));
    let (reason, _) = not_applied(perform(issuer, IssuerOp::Install { new: &new }).await);
    assert!(reason.contains("CREATE ROLE \"app_owner\" NOLOGIN"), "{reason}");
}

#[tokio::test]
async fn values_that_are_not_ours_are_refused_without_being_repeated() {
    let mut world = World::sandbox().await;
    world.set_password(A, OLD);
    let (two, one) = (world.two(), world.one());
    let says = |issuer: &dyn Issuer, text: &str| {
        let error = issuer.identify(&SecretValue::from_text(text.to_owned())).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    };
    assert!(says(two.as_ref(), "hunter2").contains("which of two roles"));
    let other = says(two.as_ref(), "postgres://stranger:hunter2@h/db");
    assert!(
        other.contains(&format!("another role than `{A}`, `{B}`")) && !other.contains("stranger"),
        "{other}"
    );
    assert!(says(two.as_ref(), "postgres://h/db").contains("names no user"));
    assert!(says(one.as_ref(), "mysql://app_a:hunter2@h/db").contains("a URL of another kind"));
    assert!(says(one.as_ref(), "host=h user=app_a password=hunter2").contains("a connection string"));

    let stranger = Credential { principal: "postgres".to_owned(), value: world.url("postgres", "hunter2") };
    let op = IssuerOp::Disable { old: &stranger };
    let (reason, retryable) = not_applied(perform(one.as_ref(), op).await);
    assert!(!retryable && reason.contains("not one of the configured roles"), "{reason}");
    let old = one.identify(&world.url(A, OLD)).unwrap();
    let op = IssuerOp::Sever { old: &old, cutoff: Some("'; DROP ROLE x; --") };
    let (reason, _) = not_applied(perform(one.as_ref(), op).await);
    assert!(reason.contains("RFC 3339"), "{reason}");
    let unprintable =
        Credential { principal: A.to_owned(), value: SecretValue::from_text("pässword".to_owned()) };
    let (reason, _) = not_applied(perform(one.as_ref(), IssuerOp::Install { new: &unprintable }).await);
    assert!(reason.contains("printable ASCII"), "{reason}");
    let broken = Credential { principal: A.to_owned(), value: SecretValue::from_text(format!("{OLD}\n")) };
    assert!(inconclusive(one.probe(&broken).await).contains("line break"));
    accepted(&one.probe(&old).await);
}

#[tokio::test]
async fn configurations_are_checked() {
    let world = World::sandbox().await;
    let full = json!({
        "admin": "env:ADMIN", "roles": [A, "app_b"], "group": OWNER, "settle_ms": 5,
        "host": "db", "port": 5433, "database": "orders",
    });
    assert_eq!(world.issuer(&full).unwrap().target(), "postgres db:5433/orders (app_a, app_b)");
    let (role, schema) = (CONNECTOR.schemas)().remove(0);
    assert_eq!(role, "issuer");
    for key in full.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    for (config, words) in [
        (json!({ "admin": "env:ADMIN", "roles": [] }), "one or two roles"),
        (json!({ "admin": "env:ADMIN", "roles": ["a", "b", "c"], "group": "g" }), "one or two roles"),
        (json!({ "admin": "env:ADMIN", "roles": ["a", "b"] }), "need a group"),
        (json!({ "admin": "env:ADMIN", "roles": ["a", "a"], "group": "g" }), "the same"),
        (json!({ "admin": "env:ADMIN", "roles": ["a", "b"], "group": "b" }), "one of the roles"),
        (json!({ "admin": "env:ADMIN", "roles": ["a".repeat(64)] }), "1 to 63 bytes"),
        (json!({ "admin": "env:ADMIN", "roles": ["a,b"] }), "comma"),
        (json!({ "admin": "env:ADMIN", "roles": ["a"], "settle": "2s", "settle_ms": 1 }), "twice"),
        (json!({ "admin": "env:ADMIN", "roles": ["a"], "settle": "-2s" }), "negative"),
        (json!({ "admin": "env:ADMIN", "roles": ["a"], "role": "b" }), "unknown field"),
        (json!({ "admin": "postgres://u:hunter2@h/db", "roles": ["a"] }), "not a reference"),
    ] {
        let error = world.issuer(&config).err().unwrap();
        assert!(error.message.contains(words), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn what_is_no_password_as_a_whole_is_refused_and_not_repeated() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    let port = world.port();
    let one = world.one();
    let value = |text: String| SecretValue::from_text(text);
    for text in [
        format!("host=127.0.0.1 port={port} user={A} password={OLD}"),
        format!("Host=127.0.0.1;Username={A};Pwd={OLD}"),
        format!("127.0.0.1:{port}:*:{A}:{OLD}"),
        format!("{A}:{OLD}"),
        format!("PGPASSWORD={OLD}"),
        // A password that stands where a user does.
        format!("postgres://{OLD}@127.0.0.1:{port}"),
    ] {
        let told = one.identify(&value(text.clone())).unwrap_err().to_string();
        assert!(!told.contains(OLD), "{told}");
        let old = Credential { principal: A.to_owned(), value: value(text) };
        let (reason, retryable) = not_applied(one.perform(IssuerOp::Disable { old: &old }).await.outcome);
        assert!(!retryable && !reason.contains(OLD), "{reason}");
        assert!(!inconclusive(one.probe(&old).await).contains(OLD));
    }
    let old = one.identify(&world.url(A, OLD)).unwrap();
    accepted(&one.probe(&old).await);
    assert_eq!(one.elsewhere(&old).await, None);
    // Another server's, by the look of it, unless it is another name of this one.
    let there = one.identify(&value(format!("postgres://{A}:{OLD}@db.internal/orders"))).unwrap();
    let why = one.elsewhere(&there).await.unwrap();
    assert!(why.contains("`aliases`") && !why.contains("db.internal"), "{why}");
    let named =
        world.issuer(&json!({ "admin": "env:ADMIN", "roles": [A], "aliases": ["db.internal"] })).unwrap();
    assert_eq!(named.elsewhere(&there).await, None);
    // It is said to have been there only where that was seen.
    assert_eq!(applied(perform(one.as_ref(), IssuerOp::Disable { old: &old }).await)["already"], false);
    assert_eq!(applied(perform(one.as_ref(), IssuerOp::Disable { old: &old }).await)["already"], true);
}
