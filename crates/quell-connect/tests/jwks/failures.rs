//! Sets that cannot be written or read, writers that come in between, answers that are lost.

use std::os::unix::fs::PermissionsExt as _;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::IssuerOp;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_hung_verifier_leaves_it_unknown() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    conformance::hung(Duration::from_secs(3), |address| {
        let mut config = config(&service, &[verifier(address.port(), "strict", "api", LONG)]);
        config["control"] = json!("env:ADMIN");
        let issuer = built(&CONNECTOR, &old, &config, Duration::from_millis(300));
        let old = credential(&*issuer, &old);
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_refresh_whose_answer_is_lost_is_settled_by_canaries() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], service.port()));
    let proxy = FlakyProxy::start(upstream).unwrap();
    let issuer = issuer(&config(&service, &[verifier(proxy.address().port(), "strict", "api", LONG)]));
    let old = credential(&*issuer, &old);
    assert!(is_accepted(&issuer.probe(&old).await));
    proxy.once(Fault::DropAnswerTo(b"/refresh".to_vec())).await;
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!((proxy.struck(), fact(&outcome, "already")), (1, &json!(false)));
    // A verifier that did not get it goes by its copy, which is said with the reason.
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    proxy.once(Fault::CutBefore(b"/refresh".to_vec())).await;
    let outcome = issuer.perform(IssuerOp::Disable { old: &new }).await.outcome;
    let said = reason(&outcome);
    assert!(
        again(&outcome)
            && said.contains("api still takes the key")
            && said.contains("could not be refreshed"),
        "{said}"
    );
    assert!(issuer.perform(IssuerOp::Disable { old: &new }).await.outcome.is_applied());
    // A canary whose answer is lost is no answer.
    proxy.once(Fault::DropAnswerTo(b"/me".to_vec())).await;
    assert!(inconclusive(&issuer.probe(&old).await).starts_with("api: "));
}

#[tokio::test]
async fn a_writer_in_between_is_not_overwritten() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let store = built_store(&service);
    let read = store.read().await.unwrap().unwrap();
    service.publish(&Service::key("rsa").unwrap(), Some("neighbor")).unwrap();
    let stale = SecretValue::from_text("{\"keys\":[]}".to_owned());
    let outcome = store.swap(&read.version, &stale).await;
    assert!(again(&outcome) && reason(&outcome).contains("meanwhile"), "{outcome:?}");
    assert_eq!(kids(&service), ["2025", "neighbor"]);
    let now = store.read().await.unwrap().unwrap();
    assert!(store.swap(&now.version, &stale).await.is_applied() && kids(&service).is_empty());
}

#[tokio::test]
async fn a_set_in_a_vault_survives_lost_answers_and_refusals() {
    let vault = quell_testkit::openbao::Server::start().unwrap();
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let set = std::fs::read_to_string(service.set_file()).unwrap();
    vault.request("POST", "kv/data/id", &json!({ "data": { "jwks": set, "neighbor": "kept" } })).unwrap();
    let url = format!("{}/v1/kv/data/id", vault.addr());
    service.publish_from(&url, vault.root_token(), "jwks").unwrap();
    let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], vault.port()));
    let proxy = FlakyProxy::start(upstream).unwrap();
    let issuer = |token: &str| {
        let mut config = usual(&service);
        config["publish"] = json!({ "openbao": { "mount": "kv", "path": "id", "key": "jwks" } });
        let http = quell_connect::http::Client::new(Duration::from_secs(5), None).unwrap();
        let mut context = quell_connect::context::Context::new("/".into(), http);
        context.environment = std::sync::Arc::new(std::collections::BTreeMap::from([
            ("BAO_ADDR".to_owned(), format!("http://{}", proxy.address())),
            ("BAO_TOKEN".to_owned(), token.to_owned()),
        ]));
        CONNECTOR.issuer.unwrap()(&config, &context).unwrap()
    };
    // A token that may only read.
    let reader = vault.token_with("reader", "path \"kv/data/id\" { capabilities = [\"read\"] }").unwrap();
    let limited = issuer(&reader);
    let old = credential(&*limited, &old);
    assert!(is_accepted(&limited.probe(&old).await));
    let outcome = limited.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(!again(&outcome) && reason(&outcome).contains("kv/data/id"), "{outcome:?}");
    assert!(
        failed(&limited.check().await).iter().any(|it| it.contains("update") && it.contains("kv/data/id"))
    );
    assert!(is_accepted(&limited.probe(&old).await), "nothing was done");

    let issuer = issuer(vault.root_token());
    proxy.once(Fault::DropAnswerTo(b"\"cas\"".to_vec())).await;
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::Unknown { .. }) && proxy.struck() == 1, "{outcome:?}");
    // It was written, and nobody was told: that is seen, and a repeat tells them.
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(again(&seen) && reason(&seen).contains("still takes the key"), "{seen:?}");
    let repeated = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&repeated, "already"), true);
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    proxy.once(Fault::DropAnswerTo(b"\"cas\"".to_vec())).await;
    let install = IssuerOp::Install { new: &new };
    assert!(matches!(issuer.perform(install).await.outcome, Outcome::Unknown { .. }));
    assert!(issuer.perform(install).await.outcome.is_applied() && is_accepted(&issuer.probe(&new).await));
    let held = vault.request("GET", "kv/data/id", &Value::Null).unwrap();
    assert_eq!(held["data"]["data"]["neighbor"], "kept");
    let set: Value = serde_json::from_str(held["data"]["data"]["jwks"].as_str().unwrap()).unwrap();
    assert_eq!((set["keys"].as_array().unwrap().len(), &set["keys"][0]["kid"]), (1, &json!(new.principal)));
}

fn built_store(service: &Service) -> Box<dyn quell_connect::connector::Store> {
    let http = quell_connect::http::Client::new(Duration::from_secs(1), None).unwrap();
    let context = quell_connect::context::Context::new("/".into(), http);
    quell_connect::file::CONNECTOR.store.unwrap()(&json!({ "path": service.set_file() }), &context).unwrap()
}

#[tokio::test]
async fn a_set_that_is_damaged_or_shows_too_much_is_not_added_to() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let issuer = issuer(&usual(&service));
    let old = credential(&*issuer, &old);
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let mut set = service.set().unwrap();
    let mut shown = service.public(&Service::key("ed25519").unwrap()).unwrap();
    shown["kid"] = json!("oops");
    shown["d"] = json!("CANARY-d");
    set["keys"].as_array_mut().unwrap().push(shown);
    set["keys"].as_array_mut().unwrap().push(service.public(&Service::key("P-256").unwrap()).unwrap());
    std::fs::write(service.set_file(), set.to_string()).unwrap();
    let checks = issuer.check().await;
    let said = failed(&checks).join(" ");
    assert!(
        said.contains("the private part of `oops` is published")
            && said.contains("key number 3 has no `kid`"),
        "{said}"
    );
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(!again(&outcome) && reason(&outcome).contains("treat that key as leaked"), "{outcome:?}");
    assert!(!format!("{outcome:?}{checks:?}").contains("CANARY-d"));
    // The leaked key goes all the same.
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert_eq!(kids(&service), ["oops", "-"]);

    std::fs::write(service.set_file(), "<html>maintenance</html>").unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(
        matches!(outcome, Outcome::Unknown { .. }) && reason(&outcome).contains("no JSON"),
        "{outcome:?}"
    );
    assert!(issuer.elsewhere(&old).await.unwrap().contains("not known"));
    assert!(inconclusive(&issuer.probe(&old).await).contains("no JSON"));
}

#[tokio::test]
async fn a_set_that_may_not_be_read_says_so() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let folder = service.folder().join("gone/jwks.json");
    let mut config = usual(&service);
    config["publish"] = json!({ "file": { "path": folder } });
    let issuer = issuer(&config);
    let old = credential(&*issuer, &old);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(!again(&outcome) && reason(&outcome).contains("folder"), "{outcome:?}");
    assert!(failed(&issuer.check().await).iter().any(|it| it.contains("folder")));
    let mode = std::fs::metadata(service.set_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "what is published is for everybody, and its mode is kept");
}
