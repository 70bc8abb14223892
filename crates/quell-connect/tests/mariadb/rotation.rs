//! The contract, sessions, and what the server's logs see.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use quell_connect::conformance;
use quell_connect::connector::IssuerOp;
use quell_core::outcome::Probe;
use quell_testkit::mariadb::Server;
use sqlx::{Connection as _, MySqlConnection};

use crate::{OLD, credential, fact, is_accepted, is_refused, issuer, issuer_with, server, shown};

#[tokio::test]
async fn the_contract_is_kept_and_no_log_sees_a_value() {
    let server = server();
    server.sql("SET GLOBAL general_log_file = 'general.log', general_log = ON").unwrap();
    let url = server.url("orders", OLD) + "/?charset=utf8mb4";
    conformance::issuer(&*issuer(&server), &credential(&url)).await.unwrap();
    assert!(!shown(&server).contains(" OR "), "{}", shown(&server));
    server.sql(&format!("CREATE OR REPLACE USER orders@'%' IDENTIFIED BY '{OLD}'")).unwrap();
    let near = issuer(&server);
    let new = near.choose(Some(&credential(OLD)), "tag").await.unwrap();
    conformance::issuer(&*near, &credential(OLD)).await.unwrap();
    server.sql(&format!("CREATE OR REPLACE USER orders@'%' IDENTIFIED BY '{OLD}'")).unwrap();
    assert!(near.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    let folder = server.audit_log().parent().unwrap().to_owned();
    for log in [server.audit_log(), folder.join("data/general.log")] {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains("ALTER USER `orders`@`%`"), "{}", log.display());
        assert!(!text.contains(new.value.expose_text().unwrap()), "{}", log.display());
    }
}

#[tokio::test]
async fn the_page_grants_what_is_needed_and_not_less() {
    let server = server();
    let page = quell_connect::mariadb::CONNECTOR.readme;
    let (_, block) = page.split_once("```sql\n").unwrap();
    let (script, _) = block.split_once("```").unwrap();
    server.sql(&script.replace('…', "admin-password").replace("10.%", "127.%")).unwrap();
    let config = serde_json::json!({ "admin": "env:ADMIN", "user": "orders", "settle": "50ms" });
    let least = issuer_with(&server.url("quell", "admin-password"), &config);
    assert_eq!(crate::failed(&least.check().await), Vec::<&str>::new());
    conformance::issuer(&*least, &credential(OLD)).await.unwrap();
    for right in
        ["CREATE USER ON *.*", "CONNECTION ADMIN ON *.*", "PROCESS ON *.*", "SELECT ON mysql.global_priv"]
    {
        server.sql(&format!("REVOKE {right} FROM quell@'127.%'")).unwrap();
        let checks = least.check().await;
        let named = right.split(" ON ").next().unwrap();
        assert!(crate::failed(&checks).iter().any(|it| it.contains(named)), "{right}: {checks:?}");
        server.sql(&format!("GRANT {right} TO quell@'127.%'")).unwrap();
    }
}

#[tokio::test]
async fn a_session_outlives_its_password_until_it_is_severed_and_later_ones_are_spared() {
    let server = server();
    let issuer = issuer(&server);
    let open =
        async |password: &str| MySqlConnection::connect(&server.url("orders", password)).await.unwrap();
    let (old, new) = (credential(OLD), issuer.choose(Some(&credential(OLD)), "tag").await.unwrap());
    let mut stranger = open(OLD).await;
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    let mut early = open(new.value.expose_text().unwrap()).await;
    // A login that has begun and tells its name later.
    let mut slow = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    assert!(slow.read(&mut [0; 256]).unwrap() > 0);
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let cutoff = fact(&disabled, "cutoff").as_str().unwrap().to_owned();
    assert!(is_refused(&issuer.probe(&old).await) && is_accepted(&issuer.probe(&new).await));
    // The trap: nobody asks an open connection again.
    assert!(stranger.ping().await.is_ok());
    let mut later = open(new.value.expose_text().unwrap()).await;
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 3);
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 3);
    let severed = issuer.perform(IssuerOp::Sever { old: &old, cutoff: Some(&cutoff) }).await.outcome;
    assert_eq!(fact(&severed, "killed"), 3);
    assert!(stranger.ping().await.is_err() && early.ping().await.is_err() && later.ping().await.is_ok());
    drop(slow.write(&[0; 8]));
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 0);
    // What an observation says is a cutoff as good.
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    let cutoff = fact(&seen, "cutoff").as_str().unwrap().to_owned();
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 1);
    assert!(issuer.sessions(&old, Some("yesterday")).await.is_err());
    assert!(issuer.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome.is_applied());
    assert!(later.ping().await.is_err());
}

#[tokio::test]
async fn killed_first_the_account_takes_nothing_until_a_new_password_is_there() {
    let server = server();
    let issuer = issuer(&server);
    let (old, new) = (credential(OLD), issuer.choose(Some(&credential(OLD)), "tag").await.unwrap());
    let killed = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!((fact(&killed, "methods_left"), fact(&killed, "already")), (&0.into(), &false.into()));
    // No unlocking brings it back.
    server.sql("ALTER USER orders@'%' ACCOUNT UNLOCK").unwrap();
    for value in [OLD, "invalid"] {
        assert!(is_refused(&issuer.probe(&credential(value)).await), "{value}");
    }
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert!(is_accepted(&issuer.probe(&new).await) && is_refused(&issuer.probe(&old).await));
    // Again: the good one is left alone.
    let again = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!((fact(&again, "methods_left"), fact(&again, "already")), (&1.into(), &true.into()));
    assert!(is_accepted(&issuer.probe(&new).await));
}

#[tokio::test]
async fn a_replica_that_filters_the_change_out_is_told_and_the_proof_says_that_none_was_asked() {
    let primary = Server::start_with(&["--log-bin=log", "--server-id=1"]).unwrap();
    let replica = Server::start_with(&["--server-id=2", "--replicate-do-db=shop"]).unwrap();
    let account = format!("CREATE USER orders@'%' IDENTIFIED BY '{OLD}'");
    primary
        .sql(&format!("{account}; CREATE USER copy@'%' IDENTIFIED BY 'c-password'; GRANT REPLICATION SLAVE ON *.* TO copy@'%'"))
        .unwrap();
    replica
        .sql(&format!(
            "{account}; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'copy', MASTER_PASSWORD = 'c-password', \
             MASTER_USE_GTID = no, MASTER_LOG_FILE = 'log.000001', MASTER_LOG_POS = 4; START SLAVE",
            primary.port()
        ))
        .unwrap();
    let near = issuer(&primary);
    let mut warnings = near.warnings(None).await;
    for _ in 0..100 {
        if !warnings.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        warnings = near.warnings(None).await;
    }
    assert!(
        warnings.iter().any(|it| it.contains("1 replicas: unless a filter keeps the change")),
        "{warnings:?}"
    );
    let old = credential(OLD);
    assert!(near.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let Probe::Refused { message, .. } = near.probe(&old).await else { panic!("it was taken away") };
    assert!(message.contains("of 1 replicas none"), "{message}");
    // A change in the database that is not filtered arrives, and the one of the account before it does not.
    primary.sql("CREATE DATABASE shop; USE shop; CREATE TABLE sold (id INT)").unwrap();
    for _ in 0..100 {
        if replica.sql("SHOW TABLES FROM shop").is_ok_and(|tables| tables.contains("sold")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(replica.sql("SHOW TABLES FROM shop").unwrap().contains("sold"));
    assert!(is_accepted(&issuer(&replica).probe(&old).await), "this is why it is told");
}
