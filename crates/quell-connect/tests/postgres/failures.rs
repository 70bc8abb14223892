//! Servers that are gone, hang, cut the line, or hold a lock.

use std::time::Duration;

use quell_connect::connector::IssuerOp;
use quell_connect::postgres::sandbox::{Sandbox, Setup};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::world::{
    A, B, OLD, OWNER, World, accepted, applied, inconclusive, issuer, not_applied, observe, perform, unknown,
};

#[tokio::test]
async fn a_stopped_server_is_unreachable_and_proves_nothing() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    let issuer = world.two();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    world.server().stop().unwrap();
    for op in [
        IssuerOp::Install { new: &new },
        IssuerOp::Disable { old: &old },
        IssuerOp::Sever { old: &old, cutoff: None },
    ] {
        let (reason, retryable) = not_applied(perform(issuer, op).await);
        assert!(retryable && reason.contains("connection refused"), "{reason}");
        unknown(observe(issuer, op).await);
    }
    inconclusive(issuer.probe(&old).await);
    inconclusive(issuer.control().await);
    assert!(issuer.sessions(&old, None).await.is_err());
    assert!(!issuer.check().await[0].ok);
    world.server().restart().unwrap();
    applied(perform(issuer, IssuerOp::Install { new: &new }).await);
}

#[tokio::test]
async fn a_hung_server_ends_unknown_within_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let limit = Duration::from_millis(300);
    let config = json!({ "admin": "env:ADMIN", "roles": [A, B], "group": OWNER });
    let issuer = issuer(&format!("postgres://adm:pw@127.0.0.1:{port}/x"), limit, &config).unwrap();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&World::sandbox().await.url(A, OLD)).unwrap();
    let all = async {
        for op in [
            IssuerOp::Install { new: &old },
            IssuerOp::Disable { old: &old },
            IssuerOp::Sever { old: &old, cutoff: None },
        ] {
            assert!(unknown(perform(issuer, op).await).contains("no answer within 300 ms"));
            unknown(observe(issuer, op).await);
        }
        inconclusive(issuer.probe(&old).await);
        inconclusive(issuer.control().await);
        assert!(issuer.sessions(&old, None).await.is_err());
        assert!(!issuer.check().await[0].ok);
        assert_eq!(issuer.warnings(Some(&old.value)).await.len(), 1);
    };
    // Eleven calls of 300 ms each.
    timeout(Duration::from_secs(8), all).await.unwrap();
}

/// Forwards connections, and cuts one as soon as the server answered a message that holds `word`.
async fn cutting_proxy(to: u16, word: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            tokio::spawn(async move {
                let (mut up, mut down) = ([0; 8192], [0; 8192]);
                let mut cut = false;
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => match read {
                            Ok(n) if n > 0 => {
                                cut |= String::from_utf8_lossy(&up[..n]).contains(word);
                                server.write_all(&up[..n]).await.unwrap();
                            }
                            _ => return,
                        },
                        read = server.read(&mut down) => match read {
                            Ok(n) if n > 0 && !cut => client.write_all(&down[..n]).await.unwrap(),
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_observation_finds_the_effect() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    let port = cutting_proxy(world.port(), "ALTER ROLE").await;
    let through = world.admin_url.replace(&format!(":{}/", world.port()), &format!(":{port}/"));
    let config = json!({ "admin": "env:ADMIN", "roles": [A, B], "group": OWNER });
    let cut = issuer(&through, world.limit, &config).unwrap();
    let direct = world.two();
    let old = cut.identify(&world.url(A, OLD)).unwrap();
    let new = cut.choose(Some(&old), "tag").await.unwrap();
    for op in [IssuerOp::Install { new: &new }, IssuerOp::Disable { old: &old }] {
        unknown(perform(cut.as_ref(), op).await);
        applied(observe(cut.as_ref(), op).await);
        assert_eq!(applied(perform(direct.as_ref(), op).await)["already"], true);
    }
    // The whole script was one transaction: the membership came with the password.
    let member = world.sql(&format!("SELECT pg_has_role('{}', '{OWNER}', 'MEMBER')", B.replace('\'', "''")));
    assert_eq!(member, "t");

    let sever = IssuerOp::Sever { old: &old, cutoff: None };
    let port = cutting_proxy(world.port(), "pg_terminate_backend").await;
    let through = world.admin_url.replace(&format!(":{}/", world.port()), &format!(":{port}/"));
    let cut = issuer(&through, world.limit, &config).unwrap();
    unknown(perform(cut.as_ref(), sever).await);
    applied(observe(cut.as_ref(), sever).await);
}

#[tokio::test]
async fn a_lock_ends_the_statement_before_the_call() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    world.limit = Duration::from_secs(2);
    let issuer = world.two();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    let mut other = PgConnection::connect(&world.admin_url).await.unwrap();
    other.execute(sqlx::raw_sql("BEGIN; LOCK TABLE pg_authid IN SHARE MODE")).await.unwrap();
    let (reason, retryable) = not_applied(perform(issuer, IssuerOp::Disable { old: &old }).await);
    assert!(retryable && reason.contains("57014"), "{reason}");
    other.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
    // The statement did not wait to bind later.
    accepted(&issuer.probe(&old).await);
    applied(perform(issuer, IssuerOp::Disable { old: &old }).await);
}

#[tokio::test]
async fn what_pg_hba_says_is_not_a_refusal() {
    let mut world = World::real(false);
    world.set_password(A, OLD);
    let issuer = world.two();
    let issuer = issuer.as_ref();
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    let file = world.sql("SHOW hba_file");
    let rules = std::fs::read_to_string(&file).unwrap();

    std::fs::write(&file, format!("host all {A} all reject\n{rules}")).unwrap();
    world.sql("SELECT pg_reload_conf(), pg_sleep(0.3)");
    let reason = inconclusive(issuer.probe(&old).await);
    assert!(reason.contains("28000"), "{reason}");
    unknown(observe(issuer, IssuerOp::Disable { old: &old }).await);

    std::fs::write(&file, format!("host all {A} all trust\n{rules}")).unwrap();
    world.sql("SELECT pg_reload_conf(), pg_sleep(0.3)");
    let checks = issuer.check().await;
    let trusted = checks.iter().find(|c| c.what.contains("wrong password of `app_a`")).unwrap();
    assert!(!trusted.ok && trusted.detail.contains("pg_hba.conf"), "{trusted:?}");
}

#[tokio::test]
async fn a_database_that_is_missing_is_not_a_refusal() {
    let world = World::sandbox().await;
    let config = json!({ "admin": "env:ADMIN", "roles": [A], "database": "elsewhere" });
    let issuer = world.issuer(&config).unwrap();
    let reason = inconclusive(issuer.control().await);
    assert!(reason.contains("3D000"), "{reason}");
}

#[tokio::test]
async fn a_pooler_is_noticed() {
    let mut world = World::sandbox().await;
    world.set_password(A, OLD);
    let issuer = world.two();
    let quiet = issuer.warnings(Some(&world.url(A, OLD))).await;
    assert!(quiet.is_empty(), "{quiet:?}");
    // What sets PgBouncer apart here: it lets the user into a database called `pgbouncer`.
    let pooler = Sandbox::start(Setup { database: "pgbouncer", group: None, roles: &[A] }).await.unwrap();
    pooler.set_password(A, &quell_core::secret::SecretValue::from_text(OLD.to_owned())).unwrap();
    let warnings = issuer.warnings(Some(&pooler.url(A, OLD))).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("consumers connect to"), "{warnings:?}");
    assert!(warnings[1].contains("looks like a pooler"), "{warnings:?}");
    assert!(!format!("{warnings:?}").contains(OLD));
}

#[tokio::test]
async fn demanded_tls_is_not_waived() {
    let mut world = World::sandbox().await;
    world.set_password(A, OLD);
    world.admin_url.push_str("?sslmode=verify-full");
    let issuer = world.two();
    let old = issuer.identify(&world.url(A, OLD)).unwrap();
    let (reason, retryable) =
        not_applied(perform(issuer.as_ref(), IssuerOp::Sever { old: &old, cutoff: None }).await);
    assert!(!retryable && reason.contains("TLS"), "{reason}");
    assert!(inconclusive(issuer.probe(&old).await).contains("TLS"));
}

#[tokio::test]
async fn the_sandbox_survives_strangers() {
    let world = World::sandbox().await;
    let startup = b"\0\0\0\x14\0\x03\0\0user\0app_a\0\0";
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[0; 64],
        startup,
        &[startup.as_slice(), b"p\0\0\0\x05x"].concat(),
        &[startup.as_slice(), b"p\x7f\xff\xff\xff"].concat(),
        &[startup.as_slice(), b"Q\0\0\0\x0dSELECT 1\0"].concat(),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port())).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // It may reset the connection when it did not read all.
        drop(stream.read_to_end(&mut answer).await);
        // `AuthenticationOk`.
        assert!(!answer.windows(9).any(|w| w == b"R\0\0\0\x08\0\0\0\0"), "a stranger was let in");
    }
    accepted(&world.one().control().await);
}

#[tokio::test]
async fn the_sandbox_says_what_it_does_not_know() {
    let world = World::sandbox().await;
    let mut connection = PgConnection::connect(&world.admin_url).await.unwrap();
    let error = connection.execute(sqlx::raw_sql("DROP ROLE app_a")).await.unwrap_err().to_string();
    assert!(error.contains("does not know this statement: DROP ROLE app_a"), "{error}");
    connection.execute(sqlx::raw_sql("SELECT 1")).await.unwrap();
}
