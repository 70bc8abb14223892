//! Servers that are away, hang, lose answers or take no changes.

use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::IssuerOp;
use quell_connect::mariadb::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use serde_json::json;

use crate::{
    OLD, built, credential, failed, is_accepted, is_refused, issuer, issuer_with, reason, server, shown,
};

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(Duration::from_secs(5), |address| {
        let admin = format!("mysql://root:CANARY-admin@{address}");
        let config = json!({ "admin": "env:ADMIN", "user": "orders" });
        Subject::Issuer(built(&CONNECTOR, &admin, &config, Duration::from_millis(400)), credential(OLD))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let server = server();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let admin = format!("mysql://root:{}@{}", server.password(), proxy.address());
    let far = issuer_with(&admin, &json!({ "admin": "env:ADMIN", "user": "orders" }));
    let (old, new) = (credential(OLD), credential("CANARY-new-password"));
    let before = shown(&server);
    // Each answer in turn.
    for statement in ["CURRENT_USER", "lock_wait_timeout", "global_priv", "ALTER USER"] {
        let struck = proxy.struck();
        proxy.once(Fault::DropAnswerTo(statement.as_bytes().to_vec())).await;
        let outcome = far.perform(IssuerOp::Install { new: &new }).await.outcome;
        assert_eq!(proxy.struck(), struck + 1, "{statement} was not sent");
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{statement}: {outcome:?}");
        assert_eq!(shown(&server) != before, statement == "ALTER USER", "{statement}");
        assert!(!format!("{outcome:?}").contains("CANARY"), "{outcome:?}");
    }
    let two = shown(&server);
    for statement in ["CURRENT_USER", "global_priv", "ALTER USER", "UPTIME"] {
        proxy.once(Fault::DropAnswerTo(statement.as_bytes().to_vec())).await;
        let outcome = far.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{statement}: {outcome:?}");
        assert_eq!(shown(&server) != two, matches!(statement, "ALTER USER" | "UPTIME"), "{statement}");
    }
    proxy.set(Fault::Pass).await;
    assert!(far.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert!(far.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(is_accepted(&far.probe(&new).await) && is_refused(&far.probe(&old).await));
}

#[tokio::test]
async fn what_is_away_or_refuses_us_is_named_with_what_to_do() {
    let server = server();
    let near = issuer(&server);
    let old = credential(OLD);
    let config = json!({ "admin": "env:ADMIN", "user": "orders" });
    let wrong = issuer_with(&server.url("root", "CANARY-wrong"), &config);
    let outcome = wrong.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(
        reason(&outcome).contains("renew what `admin` refers to") && !reason(&outcome).contains("CANARY"),
        "{outcome:?}"
    );
    assert!(is_refused(&wrong.control().await));
    assert_eq!(failed(&wrong.check().await).len(), 1);
    // The account itself may change nobody.
    server.sql("CREATE USER small@'%' IDENTIFIED BY 'x-password'").unwrap();
    let small = issuer_with(&server.url("small", "x-password"), &config);
    let outcome = small.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("grant it to the administrator"), "{outcome:?}");
    server.sql("GRANT CREATE USER, CONNECTION ADMIN, PROCESS ON *.* TO small@'%'; GRANT SELECT ON mysql.global_priv TO small@'%'; SET GLOBAL read_only = ON").unwrap();
    let outcome = small.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("name the primary"), "{outcome:?}");
    assert!(is_accepted(&near.probe(&old).await));
    // Who may not see the sessions of others does not count them as none.
    server.sql("SET GLOBAL read_only = OFF; REVOKE PROCESS ON *.* FROM small@'%'").unwrap();
    let sever = small.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome;
    assert!(matches!(sever, Outcome::NotApplied { retryable: false, .. }), "{sever:?}");
    assert!(reason(&sever).contains("GRANT PROCESS ON *.* TO `small`@`%`"), "{sever:?}");
    assert!(small.sessions(&old, None).await.is_err());
    assert!(!small.observe(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome.is_applied());
    drop(server);
    let outcome = near.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("connection refused"), "{outcome:?}");
    assert!(matches!(near.probe(&old).await, Probe::Inconclusive { .. }));
}
