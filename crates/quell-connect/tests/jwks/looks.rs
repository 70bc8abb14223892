//! Verifiers that refuse a canary for something else than its key, and what a look at them must be like.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quell_connect::connector::IssuerOp;
use serde_json::json;

use super::*;

/// A verifier that keeps its copy and cannot be told.
fn deaf(service: &Service, kind: &str) -> Value {
    let mut deaf = verifier(service.port(), kind, "edge", LONG);
    deaf.as_object_mut().unwrap().remove("refresh");
    deaf
}

/// Has the only key of the set published for another algorithm.
fn publish_for(service: &Service, algorithm: Option<&str>) {
    let mut set = service.set().unwrap();
    let entry = set["keys"][0].as_object_mut().unwrap();
    entry.remove("alg");
    entry.extend(algorithm.map(|it| ("alg".to_owned(), json!(it))));
    std::fs::write(service.set_file(), set.to_string()).unwrap();
}

#[tokio::test]
async fn canaries_are_signed_as_the_key_is_published() {
    for algorithm in ["PS256", "RS384", "RS512", "PS384", "PS512"] {
        let old = Service::key("rsa").unwrap();
        let service = start(&old, Some("2025"));
        publish_for(&service, Some(algorithm));
        let issuer = issuer(&config(
            &service,
            &[deaf(&service, "exact"), verifier(service.port(), "exact", "api", LONG)],
        ));
        assert_eq!(failed(&issuer.check().await), [""; 0]);
        let old = credential(&*issuer, &old);
        assert!(is_accepted(&issuer.probe(&old).await), "{algorithm}");
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(reason(&outcome).contains("edge still takes the key"), "{algorithm}: {outcome:?}");
        let set = service.set().unwrap();
        assert_eq!(set["quell_dropped"][0]["alg"], *algorithm);
        let new = issuer.choose(Some(&old), "tag").await.unwrap();
        issuer.perform(IssuerOp::Install { new: &new }).await;
        assert_eq!(
            service.set().unwrap()["keys"][0]["alg"],
            *algorithm,
            "services go on with what they take"
        );
        assert!(is_accepted(&issuer.probe(&new).await));
    }
}

#[tokio::test]
async fn a_key_that_does_not_say_how_it_signs_is_shown_both_ways() {
    let old = Service::key("rsa").unwrap();
    let service = start(&old, Some("2025"));
    publish_for(&service, None);
    let issuer = issuer(&config(&service, &[verifier(service.port(), "strict", "api", LONG)]));
    let old = credential(&*issuer, &old);
    let probe = issuer.probe(&old).await;
    let Probe::Accepted { facts } = &probe else { panic!("{probe:?}") };
    assert_eq!(facts["canaries"].as_array().unwrap().len(), 4, "named and nameless, RS256 and PS256");
}

#[tokio::test]
async fn an_algorithm_that_is_not_signed_with_is_said_before_the_kill() {
    let old = Service::key("rsa").unwrap();
    let service = start(&old, Some("2025"));
    publish_for(&service, Some("XS256"));
    let issuer = issuer(&usual(&service));
    let old = credential(&*issuer, &old);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(!again(&outcome) && reason(&outcome).contains("`XS256`"), "{outcome:?}");
    assert_eq!(kids(&service), ["2025"], "nothing was done");
    assert!(inconclusive(&issuer.probe(&old).await).contains("`XS256`"));
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|it| it.contains("`XS256`")), "{warnings:?}");
}

#[tokio::test]
async fn a_clock_that_is_behind_is_no_refusal_of_the_key() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let issuer = issuer(&config(&service, &[deaf(&service, "late")]));
    let old = credential(&*issuer, &old);
    assert!(is_accepted(&issuer.probe(&old).await));
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("edge still takes the key"), "{outcome:?}");
}

#[tokio::test]
async fn a_token_without_a_name_that_is_not_answered_leaves_it_unknown() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, None);
    let issuer = issuer(&config(&service, &[verifier(service.port(), "mute", "api", LONG)]));
    let old = credential(&*issuer, &old);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(
        matches!(&outcome, Outcome::Unknown { reason } if reason.contains("api: status 503")),
        "{outcome:?}"
    );
    assert!(inconclusive(&issuer.probe(&old).await).contains("status 503"));
}

/// Two replicas behind one address, in turns by connection; the second one takes every token.
fn balanced() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let number = counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                    if line.trim().is_empty() {
                        let head = if number.is_multiple_of(2) {
                            "401 Unauthorized\r\nwww-authenticate: Bearer error=\"invalid_token\""
                        } else {
                            "200 OK"
                        };
                        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 2\r\n\r\n{{}}");
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    (port, connections)
}

#[tokio::test]
async fn each_canary_has_a_connection_of_its_own() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let (port, connections) = balanced();
    let door = json!({ "name": "api", "url": format!("http://127.0.0.1:{port}/me") });
    let issuer = issuer(&config(&service, &[door]));
    let old = credential(&*issuer, &old);
    assert!(is_accepted(&issuer.probe(&old).await), "the other replica takes it");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("api still takes the key"), "{outcome:?}");
    let warned = |config: &Value| {
        let issuer = super::issuer(config);
        async move { issuer.warnings(None).await.iter().any(|it| it.contains("several replicas of api")) }
    };
    let mut config = config(&service, &[verifier(service.port(), "strict", "api", LONG)]);
    assert!(!warned(&config).await);
    config.as_object_mut().unwrap().remove("settle");
    assert!(warned(&config).await, "nobody says how long a copy is kept");
}

#[tokio::test]
async fn a_set_that_is_not_there_is_no_kill() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let typo = service.folder().join("jwsk.json");
    let mut config = usual(&service);
    config["publish"] = json!({ "file": { "path": typo } });
    let issuer = issuer(&config);
    let old = credential(&*issuer, &old);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(!outcome.is_applied() && reason(&outcome).contains("correct `publish`"), "{outcome:?}");
    assert!(failed(&issuer.check().await).iter().any(|it| it.contains("correct `publish`")));
    assert!(!typo.exists());
}

#[tokio::test]
async fn a_verifier_that_does_not_take_the_key_while_it_is_good_is_named() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let port = service.port();
    let mut stranger = verifier(port, "strict", "shop", LONG);
    stranger["claims"] = json!({ "aud": "others" });
    let doors = [verifier(port, "strict", "api", LONG), stranger, verifier(port, "scoped", "odd", LONG)];
    let issuer = issuer(&config(&service, &doors));
    let old = credential(&*issuer, &old);
    let warnings = issuer.warnings(Some(&old.value)).await;
    let named: Vec<bool> = ["api", "shop", "odd"]
        .iter()
        .map(|name| {
            warnings.iter().any(|it| it.starts_with(name) && it.contains("proves nothing about the key"))
        })
        .collect();
    assert_eq!(named, [false, true, true], "{warnings:?}");
}
