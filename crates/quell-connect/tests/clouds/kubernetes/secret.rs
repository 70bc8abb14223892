//! A Secret as a store.

use std::process::Command;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::Store;
use quell_connect::kubernetes_secret::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::kubernetes::Cluster;
use serde_json::{Value, json};

use crate::{
    LONG, SHORT, assert_no_value_in, context, facts, failed, fresh, is_unknown, reason, refused, value,
};

const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn config(server: &str) -> Value {
    let cluster = json!({ "server": server, "token": "env:TOKEN" });
    json!({ "namespace": "shop", "name": "orders", "key": "DATABASE_URL", "cluster": cluster })
}

fn store_as(server: &str, token: &str) -> Box<dyn Store> {
    CONNECTOR.store.unwrap()(&config(server), &context(token, LONG)).unwrap()
}

fn store(cluster: &Cluster) -> Box<dyn Store> {
    store_as(&cluster.addr(), "boss")
}

/// A cluster with a Secret that has neighbours and labels.
fn holding(text: &str, more: &Value) -> Cluster {
    let cluster = Cluster::start().unwrap();
    cluster.secret("orders", "DATABASE_URL", text, more);
    cluster.edit(
        "orders",
        &json!({ "data": { "OTHER": "a2VwdA==" }, "metadata": { "labels": { "team": "a" } } }),
    );
    cluster
}

fn annotation(cluster: &Cluster) -> Value {
    cluster.secret_now("orders")["metadata"]["annotations"][APPLIED].take()
}

#[tokio::test]
async fn the_contract_is_kept_and_neighbours_stay() {
    let cluster = holding("first", &json!({}));
    conformance::store(&*store(&cluster), fresh).await.unwrap();
    let now = cluster.secret_now("orders");
    assert_eq!(
        (&now["data"]["OTHER"], &now["metadata"]["labels"]["team"]),
        (&json!("a2VwdA=="), &json!("a"))
    );
    assert_eq!(now["type"], "Opaque");
    assert_no_value_in(&cluster.lines());
    // Made before its value was known, as an empty entry or none.
    for empty in ["", "none"] {
        let cluster = holding(empty, &json!({}));
        if empty == "none" {
            cluster.edit("orders", &json!({ "data": { "DATABASE_URL": null } }));
        }
        assert!(store(&cluster).read().await.unwrap().is_none());
        conformance::store(&*store(&cluster), fresh).await.unwrap();
    }
}

#[tokio::test]
async fn what_kubectl_was_given_is_a_copy_of_the_leaked_value() {
    for manifest in [
        json!({ "kind": "Secret", "data": { "DATABASE_URL": "cG9zdGdyZXM6Ly91OkNBTkFSWS1sZWFrZWRAaC9kYg==" } }),
        // Folded, as `base64` of coreutils writes it into a file of YAML.
        json!({ "kind": "Secret", "data": { "DATABASE_URL": "cG9zdGdyZXM6Ly91OkNBTkFS\nWS1sZWFrZWRAaC9kYg==\n" } }),
        json!({ "kind": "Secret", "stringData": { "DATABASE_URL": "postgres://u:CANARY-leaked@h/db" } }),
    ] {
        let kept = json!({ "metadata": { "annotations": { (APPLIED): manifest.to_string(), "team": "a" } } });
        let cluster = holding("CANARY-leaked", &kept);
        let (store, old, new) = (store(&cluster), value("CANARY-leaked"), value("CANARY-new"));
        assert!(store.write(&new).await.is_applied());
        assert!(!annotation(&cluster).is_null(), "a write alone leaves the copy");
        let seen = store.observe_purge(&[&old]).await;
        assert!(reason(&seen).contains("last-applied-configuration holds the value"), "{seen:?}");
        let purged = store.purge(&[&old]).await;
        assert_eq!(facts(&purged)["annotations_removed"], json!([APPLIED]));
        assert_eq!(facts(&purged)["history"], json!(false));
        assert!(facts(&purged)["remarks"].to_string().contains("etcd"));
        assert!(annotation(&cluster).is_null() && store.observe_purge(&[&old]).await.is_applied());
        assert_eq!(cluster.secret_now("orders")["metadata"]["annotations"]["team"], "a");
        assert!(!format!("{seen:?}{purged:?}").contains("CANARY"));
    }
    // Of another value it is left alone, and what is somebody else's is named.
    let other =
        json!({ "metadata": { "annotations": { (APPLIED): "{\"data\":{\"DATABASE_URL\":\"eA==\"}}" } } });
    let cluster = holding("CANARY-leaked", &other);
    assert!(store(&cluster).write(&value("CANARY-new")).await.is_applied());
    assert!(store(&cluster).purge(&[&value("CANARY-leaked")]).await.is_applied());
    assert!(!annotation(&cluster).is_null());
    cluster.edit(
        "orders",
        &json!({ "metadata": { "annotations": { (APPLIED): "{\"data\":{\"x\":\"%%\"}}" } } }),
    );
    for outcome in [
        store(&cluster).purge(&[&value("CANARY-leaked")]).await,
        store(&cluster).observe_purge(&[&value("CANARY-leaked")]).await,
    ] {
        refused(&outcome, "cannot be read as base64, and may hold the value");
    }
    cluster.edit("orders", &json!({ "metadata": { "annotations": { (APPLIED): null } } }));
    cluster.edit("orders", &json!({ "metadata": { "annotations": { "note": "was CANARY-leaked" } } }));
    refused(
        &store(&cluster).purge(&[&value("CANARY-leaked")]).await,
        "the annotation `note` holds the value",
    );
    cluster.edit("orders", &json!({ "data": { "SECOND": "Q0FOQVJZLWxlYWtlZA==" } }));
    refused(&store(&cluster).purge(&[&value("CANARY-leaked")]).await, "a compromised value in `SECOND`");
}

#[tokio::test]
async fn what_somebody_else_writes_meanwhile_is_not_overwritten() {
    let cluster = holding("CANARY-0", &json!({}));
    let theirs = json!({ "data": { "OTHER": "dGhlaXJz" } });
    cluster.edit_before_next_patch("orders", &theirs);
    let outcome = store(&cluster).write(&value("CANARY-new")).await;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("somebody made version"), "{outcome:?}");
    assert_eq!(cluster.value("orders", "DATABASE_URL"), "CANARY-0");
    assert!(store(&cluster).write(&value("CANARY-new")).await.is_applied());
    assert_eq!(
        (cluster.value("orders", "DATABASE_URL"), cluster.value("orders", "OTHER")),
        ("CANARY-new".to_owned(), "theirs".to_owned())
    );
    // It was an earlier attempt of ours.
    cluster.edit_before_next_patch("orders", &json!({ "data": { "DATABASE_URL": "Q0FOQVJZLWxhc3Q=" } }));
    assert!(store(&cluster).write(&value("CANARY-last")).await.is_applied());
    assert_eq!(cluster.value("orders", "DATABASE_URL"), "CANARY-last");
}

#[tokio::test]
async fn what_cannot_be_changed_is_named_before_anything_is_sent() {
    for (more, words) in [
        (json!({ "immutable": true }), "make a Secret of another name"),
        (json!({ "type": "kubernetes.io/tls" }), "must change together"),
        (json!({ "type": "kubernetes.io/service-account-token" }), "delete it to revoke the token"),
    ] {
        let cluster = holding("CANARY-0", &more);
        refused(&store(&cluster).write(&value("CANARY-new")).await, words);
        assert!(!cluster.lines().iter().any(|line| line.starts_with("PATCH")));
        assert!(failed(&store(&cluster).check().await).concat().contains(words));
    }
    let owner = json!([{ "kind": "ExternalSecret", "name": "orders", "controller": true }]);
    let owned = holding("CANARY-0", &json!({ "metadata": { "ownerReferences": owner } }));
    let said = failed(&store(&owned).check().await).concat();
    assert!(said.contains("ExternalSecret `orders` owns it"), "{said}");
    let helm = holding("x", &json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "Helm" } } }));
    let checks = store(&helm).check().await;
    assert!(failed(&checks).is_empty() && format!("{checks:?}").contains("the next upgrade"), "{checks:?}");
    // A webhook that rewrites Secrets.
    let cluster = holding("CANARY-0", &json!({}));
    cluster.admit("CANARY-webhook");
    let outcome = store(&cluster).write(&value("CANARY-new")).await;
    assert!(is_unknown(&outcome) && reason(&outcome).contains("admission webhook"), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("CANARY"));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let kept =
        json!({ "metadata": { "annotations": { (APPLIED): "{\"stringData\":{\"x\":\"CANARY-0\"}}" } } });
    let cluster = holding("CANARY-0", &kept);
    let proxy = FlakyProxy::start(([127, 0, 0, 1], cluster.port()).into()).unwrap();
    let far = store_as(&format!("http://{}", proxy.address()), "boss");
    for (n, method) in ["GET /api", "PATCH /api"].iter().enumerate() {
        let new = value(&format!("CANARY-new-{n}"));
        proxy.once(Fault::DropAnswerTo(method.as_bytes().to_vec())).await;
        let outcome = far.write(&new).await;
        assert!(is_unknown(&outcome), "{method}: {outcome:?}");
        assert_eq!(far.observe_write(&new).await.is_applied(), *method == "PATCH /api");
        let before = cluster.secret_now("orders")["metadata"]["resourceVersion"].clone();
        assert!(far.write(&new).await.is_applied());
        let after = cluster.secret_now("orders")["metadata"]["resourceVersion"].clone();
        assert_eq!(before == after, *method == "PATCH /api", "the repeat changed nothing");
    }
    proxy.once(Fault::DropAnswerTo(b"PATCH /api".to_vec())).await;
    let outcome = far.purge(&[&value("CANARY-0")]).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(far.purge(&[&value("CANARY-0")]).await.is_applied() && annotation(&cluster).is_null());
    assert_eq!(proxy.struck(), 3);
    proxy.set(Fault::Refuse).await;
    assert!(matches!(far.write(&fresh()).await, Outcome::NotApplied { retryable: true, .. }));
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let cluster = holding("CANARY-0", &json!({}));
    let page = CONNECTOR.readme;
    assert!(page.contains("verbs: [get, patch]") && page.contains("resources: [secrets]"));
    cluster.allow("least", &["get secrets", "patch secrets"]);
    conformance::store(&*store_as(&cluster.addr(), "least"), fresh).await.unwrap();
    for (may, verb) in [("patch secrets", "get"), ("get secrets", "patch")] {
        cluster.allow("less", &[may]);
        let less = store_as(&cluster.addr(), "less");
        let outcome = less.write(&fresh()).await;
        let words = refused(&outcome, "is forbidden: User \"system:serviceaccount:shop:quell\" cannot");
        assert!(words.contains(&format!("give `{verb}` on secrets `orders` in `shop`")), "{words}");
        assert!(failed(&less.check().await).concat().contains(&format!("give `{verb}` on secrets")));
    }
    cluster.expire("less");
    let outcome = store_as(&cluster.addr(), "less").write(&fresh()).await;
    refused(&outcome, "renew what `token` refers to");
    // Flow control: how long is said, and kept.
    cluster.hold_back(1);
    let outcome = store(&cluster).write(&fresh()).await;
    assert!(
        matches!(outcome, Outcome::NotApplied { retryable: true, retry_after_ms: Some(7000), .. }),
        "{outcome:?}"
    );
    let empty = Cluster::start().unwrap();
    refused(&store(&empty).write(&fresh()).await, "secrets \"orders\" not found; make it first");
    assert!(
        store(&empty).observe_purge(&[&fresh()]).await.is_applied(),
        "nothing is kept in what is not there"
    );
}

#[tokio::test]
async fn a_hung_server_is_unknown_and_so_is_a_page_of_a_proxy() {
    conformance::hung(LONG, |address| {
        let context = context("boss", SHORT);
        let config = config(&format!("http://{address}"));
        Subject::Store(CONNECTOR.store.unwrap()(&config, &context).unwrap(), value("CANARY-value"))
    })
    .await
    .unwrap();
    for status in [200, 302, 403, 404, 500, 503] {
        let page = quell_testkit::model::Listener::start(move |_| {
            quell_testkit::model::Reply::page(status, "<html>Sign in</html>")
        })
        .unwrap();
        let away = store_as(&format!("http://127.0.0.1:{}", page.port()), "boss");
        assert!(is_unknown(&away.write(&fresh()).await), "{status}");
        assert!(is_unknown(&away.observe_purge(&[&fresh()]).await), "{status}");
    }
}

#[tokio::test]
async fn tls_is_checked_against_the_given_authority() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["ours", "other"] {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(at(&format!("{name}.key")))
            .arg("-out")
            .arg(at(&format!("{name}.pem")))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let cluster = Cluster::start_tls(&at("ours.pem"), &at("ours.key")).unwrap();
    cluster.secret("orders", "DATABASE_URL", "CANARY-0", &json!({}));
    let with = |ca: Option<&str>| {
        let mut config = config(&format!("https://127.0.0.1:{}", cluster.port()));
        if let Some(ca) = ca {
            config["cluster"]["ca_file"] = json!(at(ca));
        }
        CONNECTOR.store.unwrap()(&config, &context("boss", LONG)).unwrap()
    };
    assert!(with(Some("ours.pem")).write(&value("CANARY-new")).await.is_applied());
    for ca in [None, Some("other.pem")] {
        let outcome = with(ca).write(&value("CANARY-other")).await;
        assert!(!outcome.is_applied(), "{ca:?}");
    }
    assert_eq!(cluster.value("orders", "DATABASE_URL"), "CANARY-new");
}
