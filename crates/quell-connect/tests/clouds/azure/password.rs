//! Client secrets of applications: the contract, lost answers, and what no proof may be taken from.

use quell_connect::azure_app_password::CONNECTOR;
use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use quell_testkit::model::azure::Azure;
use serde_json::{Value, json};

use crate::{LONG, SHORT, context, facts, failed, is_unknown, reason, refused, value};

const OLD: &str = "abc8Q~CANARY-leaked";

fn config(at: &str, more: &Value) -> Value {
    let login =
        json!({ "application": { "tenant": "acme.example", "client": "quell", "secret": "env:TOKEN" } });
    let mut config = json!({
        "tenant": "acme.example", "client": "orders", "settle": "50ms", "token_life": "0s",
        "login": login, "login_url": at, "graph_url": at,
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn issuer_at(at: &str, more: &Value) -> Box<dyn Issuer> {
    CONNECTOR.issuer.unwrap()(&config(at, more), &context("CANARY-admin", LONG)).unwrap()
}

fn issuer(azure: &Azure) -> Box<dyn Issuer> {
    issuer_at(&azure.addr(), &json!({}))
}

fn azure() -> Azure {
    let azure = Azure::start().unwrap();
    azure.client_secret("quell", "CANARY-admin", false);
    azure.client_secret("orders", OLD, false);
    azure
}

fn old() -> Credential {
    Credential { principal: "orders".to_owned(), value: value(OLD) }
}

#[tokio::test]
async fn the_contract_is_kept() {
    let azure = azure();
    conformance::issuer(&*issuer(&azure), &old()).await.unwrap();
    let left = azure.passwords("orders");
    assert_eq!(left.len(), 1, "one live client secret is left");
    assert!(left[0].0.starts_with("quell ") && !azure.takes("orders", OLD));
    assert!(azure.lines().iter().all(|line| !line.contains("CANARY") && !line.contains("canary")));
}

/// The trap: a password of the service principal is good as well, and is not in the application's list.
#[tokio::test]
async fn a_password_of_the_service_principal_is_removed_too() {
    let azure = azure();
    let other = Credential { principal: "orders".to_owned(), value: value("xyz8Q~CANARY-principal") };
    azure.principal_secret("orders", "xyz8Q~CANARY-principal");
    let done = issuer(&azure).perform(IssuerOp::Disable { old: &other }).await.outcome;
    assert_eq!((&facts(&done)["already"], &facts(&done)["of"]), (&json!(false), &json!("servicePrincipals")));
    assert!(azure.takes("orders", OLD) && !azure.takes("orders", "xyz8Q~CANARY-principal"));
    assert!(facts(&done)["access_tokens"].as_str().unwrap().contains("60 to 90 minutes"));
    let again = issuer(&azure).perform(IssuerOp::Disable { old: &other }).await.outcome;
    assert_eq!(facts(&again)["already"], true);
}

/// The trap: Graph tells three characters of each.
#[tokio::test]
async fn of_two_that_begin_alike_none_is_removed_by_guessing() {
    let azure = azure();
    azure.client_secret("orders", "abc8Q~CANARY-theirs", false);
    let outcome = issuer(&azure).perform(IssuerOp::Disable { old: &old() }).await.outcome;
    let words = refused(&outcome, "begin with the same three characters");
    assert!(words.contains("00000000-0000-0000-0000-000000000002") && !words.contains("CANARY"), "{words}");
    assert!(azure.takes("orders", OLD) && azure.takes("orders", "abc8Q~CANARY-theirs"));
    // Both of those are somebody else's: this one is refused already.
    let gone = Credential { principal: "orders".to_owned(), value: value("abc8Q~CANARY-gone") };
    let outcome = issuer(&azure).perform(IssuerOp::Disable { old: &gone }).await.outcome;
    assert_eq!(facts(&outcome)["already"], true);
    assert_eq!(azure.passwords("orders").len(), 2);
}

#[tokio::test]
async fn a_secret_whose_text_was_lost_is_removed_and_others_are_left_alone() {
    let azure = azure();
    azure.client_secret("orders", "xyz8Q~CANARY-theirs", false);
    let proxy = FlakyProxy::start(([127, 0, 0, 1], azure.port()).into()).unwrap();
    let far = issuer_at(&format!("http://{}", proxy.address()), &json!({}));
    let chosen = far.choose(Some(&old()), "installation/INC-2026-0001/x.mint").await.unwrap();
    let op = IssuerOp::Install { new: &chosen };
    assert!(reason(&far.observe(op).await.outcome).contains("no client secret was made"));
    proxy.once(Fault::DropAnswerTo(b"/addPassword".to_vec())).await;
    let lost = far.perform(op).await;
    assert!(is_unknown(&lost.outcome) && lost.minted.is_none(), "{lost:?}");
    assert_eq!(azure.passwords("orders").len(), 3);
    assert!(reason(&far.observe(op).await.outcome).contains("its text was lost with the answer"));
    let done = far.perform(op).await;
    assert_eq!(facts(&done.outcome)["strangers_removed"].as_array().unwrap().len(), 1);
    assert_eq!(azure.passwords("orders").len(), 3);
    assert!(azure.takes("orders", OLD) && azure.takes("orders", "xyz8Q~CANARY-theirs"));
    assert!(azure.takes("orders", done.minted.unwrap().value.expose_text().unwrap()));
    proxy.once(Fault::DropAnswerTo(b"/removePassword".to_vec())).await;
    let outcome = far.perform(IssuerOp::Disable { old: &old() }).await.outcome;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(far.observe(IssuerOp::Disable { old: &old() }).await.outcome.is_applied());
    assert_eq!(proxy.struck(), 2);
}

/// The traps: replicas that lag, and what Entra says when the secret is not the reason.
#[tokio::test]
async fn only_entras_own_refusals_are_some() {
    let azure = azure();
    let issuer = issuer(&azure);
    azure.let_removals_lag(1);
    assert!(issuer.perform(IssuerOp::Disable { old: &old() }).await.outcome.is_applied());
    assert!(matches!(issuer.probe(&old()).await, Probe::Accepted { .. }), "it is removed, and still good");
    let probe = issuer.probe(&old()).await;
    assert!(matches!(&probe, Probe::Refused { code, .. } if code == "AADSTS7000215"), "{probe:?}");
    azure.client_secret("orders", "exp8Q~CANARY", true);
    let expired = Credential { principal: "orders".to_owned(), value: value("exp8Q~CANARY") };
    let probe = issuer.probe(&expired).await;
    assert!(matches!(&probe, Probe::Refused { code, .. } if code == "AADSTS7000222"), "{probe:?}");
    assert!(!format!("{probe:?}").contains("CANARY"));
    for (more, code) in
        [(json!({ "client": "gone" }), "AADSTS700016"), (json!({ "tenant": "other.example" }), "AADSTS90002")]
    {
        let away = issuer_at(&azure.addr(), &more);
        let probe = away.probe(&Credential { principal: "x".to_owned(), value: value(OLD) }).await;
        assert!(matches!(&probe, Probe::Inconclusive { reason } if reason.contains(code)), "{probe:?}");
    }
    for status in [200, 302, 400, 401, 403, 404, 500, 503] {
        let page = quell_testkit::model::Listener::start(move |_| {
            quell_testkit::model::Reply::page(status, "<html>AADSTS7000215</html>")
        })
        .unwrap();
        let away = issuer_at(&format!("http://127.0.0.1:{}", page.port()), &json!({}));
        let probe = away.probe(&old()).await;
        assert!(matches!(probe, Probe::Inconclusive { .. }), "{status}: {probe:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let azure = azure();
    azure.allow("less", &["get"]);
    let token = json!({ "login": { "token": "env:TOKEN" } });
    let with = |token_text: &str, more: &Value| {
        CONNECTOR.issuer.unwrap()(&config(&azure.addr(), more), &context(token_text, LONG)).unwrap()
    };
    let less = with("less", &token);
    let chosen = less.choose(Some(&old()), "x").await.unwrap();
    for op in [IssuerOp::Install { new: &chosen }, IssuerOp::Disable { old: &old() }] {
        refused(&less.perform(op).await.outcome, "grant `Application.ReadWrite.OwnedBy`");
    }
    let control = less.control().await;
    assert!(
        matches!(&control, Probe::Inconclusive { reason } if reason.contains("login: { application")),
        "{control:?}"
    );
    let none = issuer_at(&azure.addr(), &json!({ "client": "gone" }));
    refused(&none.perform(IssuerOp::Disable { old: &old() }).await.outcome, "correct `client` or `login`");
    let own = issuer_at(&azure.addr(), &json!({ "client": "quell" }));
    for op in [IssuerOp::Install { new: &chosen }, IssuerOp::Disable { old: &old() }] {
        refused(&own.perform(op).await.outcome, "would stop Quell");
    }
    assert_eq!(azure.passwords("quell").len(), 1);
    assert!(failed(&own.check().await).concat().contains("use another one"));
    azure.limit(1);
    let outcome = issuer(&azure).perform(IssuerOp::Disable { old: &old() }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(10_000), .. }), "{outcome:?}");
    let wrong = with("CANARY-wrong", &json!({}));
    let outcome = wrong.perform(IssuerOp::Disable { old: &old() }).await.outcome;
    assert!(!refused(&outcome, "renew what `secret` refers to").contains("CANARY"));
    // A text that is more than a client secret.
    for bad in ["AZURE_CLIENT_SECRET=CANARY-x", r#"{"clientSecret":"CANARY-x"}"#, "orders:CANARY-x"] {
        let error = issuer(&azure).identify(&value(bad)).unwrap_err();
        assert!(
            error.detail.contains("not a client secret alone") && !error.detail.contains("CANARY"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(LONG, |address| {
        let config = config(&format!("http://{address}"), &json!({}));
        let issuer = CONNECTOR.issuer.unwrap()(&config, &context("CANARY-admin", SHORT)).unwrap();
        Subject::Issuer(issuer, old())
    })
    .await
    .unwrap();
}

/// The trap: three characters are easily the same, and what was never good is not what is there.
#[tokio::test]
async fn a_value_that_only_begins_like_a_live_one_removes_nothing() {
    let azure = azure();
    let other = Credential { principal: "orders".to_owned(), value: value("abc8Q~CANARY-never-valid") };
    let outcome = issuer(&azure).perform(IssuerOp::Disable { old: &other }).await.outcome;
    assert_eq!(facts(&outcome)["already"], true);
    assert!(issuer(&azure).observe(IssuerOp::Disable { old: &other }).await.outcome.is_applied());
    assert!(azure.takes("orders", OLD), "the live one lives");
    // Whether it is good cannot be said: nothing is removed either.
    let away = issuer_at(&azure.addr(), &json!({ "tenant": "other.example" }));
    let outcome = away.perform(IssuerOp::Disable { old: &old() }).await.outcome;
    assert!(is_unknown(&outcome) && reason(&outcome).contains("AADSTS90002"), "{outcome:?}");
    assert!(azure.takes("orders", OLD));
}

/// The trap: of those that other tools made Graph may tell nothing.
#[tokio::test]
async fn a_live_value_among_secrets_without_hints_is_not_taken_for_removed() {
    let azure = azure();
    azure.hide_hints("orders");
    for outcome in [
        issuer(&azure).perform(IssuerOp::Disable { old: &old() }).await.outcome,
        issuer(&azure).observe(IssuerOp::Disable { old: &old() }).await.outcome,
    ] {
        let words = refused(&outcome, "Graph does not tell how every client secret begins");
        assert!(words.contains("00000000-0000-0000-0000-000000000002"), "{words}");
    }
    assert!(azure.takes("orders", OLD));
}

/// The trap: the secret is refused, and what was issued with it is not.
#[tokio::test]
async fn nothing_is_proven_while_access_tokens_may_live() {
    let azure = azure();
    let issuer = issuer_at(&azure.addr(), &json!({ "token_life": "400ms" }));
    let done = issuer.perform(IssuerOp::Disable { old: &old() }).await.outcome;
    let cutoff = facts(&done)["cutoff"].as_str().unwrap().to_owned();
    assert!(issuer.severs_by_time(), "the cutoff is given back");
    assert!(issuer.sessions(&old(), None).await.is_err());
    let longer = issuer_at(&azure.addr(), &json!({ "token_life": "90m" }));
    let error = longer.sessions(&old(), Some(&cutoff)).await.unwrap_err();
    assert!(error.detail.contains("may live until"), "{error}");
    tokio::time::sleep(std::time::Duration::from_millis(450)).await;
    assert_eq!(issuer.sessions(&old(), Some(&cutoff)).await.unwrap(), 0);
}
