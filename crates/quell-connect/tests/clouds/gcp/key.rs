//! Keys of service accounts: the contract, lost answers, and what no proof may be taken from.

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_connect::gcp_service_account_key::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use quell_testkit::model::gcp::Gcp;
use serde_json::{Value, json};

use crate::{LONG, SHORT, context, facts, failed, is_unknown, reason, refused, value};

const EMAIL: &str = "orders@acme-prod.iam.gserviceaccount.com";
const ADMIN: &str = "quell@acme-prod.iam.gserviceaccount.com";

fn issuer_at(endpoint: &str, admin: &str, more: &Value) -> Box<dyn Issuer> {
    let mut config = json!({ "admin": "env:TOKEN", "account": EMAIL, "endpoint": endpoint, "settle": "50ms", "token_life": "0s" });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    CONNECTOR.issuer.unwrap()(&config, &context(admin, LONG)).unwrap()
}

/// Google with an administrator, and a key of the account.
struct World {
    gcp: Gcp,
    admin: String,
    old: String,
}

fn world() -> World {
    let gcp = Gcp::start().unwrap();
    let (admin, old) = (gcp.key_file(ADMIN).unwrap(), gcp.key_file(EMAIL).unwrap());
    gcp.describe(EMAIL, "The orders service");
    World { gcp, admin, old }
}

impl World {
    fn issuer(&self) -> Box<dyn Issuer> {
        issuer_at(&self.gcp.addr(), &self.admin, &json!({}))
    }

    fn credential(&self) -> Credential {
        self.issuer().identify(&value(&self.old)).unwrap()
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

#[tokio::test]
async fn the_contract_is_kept_and_the_shape_of_the_value_stays() {
    for in_base64 in [false, true] {
        let world = world();
        let text = if in_base64 { base64(&world.old) } else { world.old.clone() };
        let old = world.issuer().identify(&value(&text)).unwrap();
        conformance::issuer(&*world.issuer(), &old).await.unwrap();
        assert!(!world.gcp.takes(&world.old));
        let left = world.gcp.keys(EMAIL);
        assert_eq!((left.len(), left[0].1), (1, false), "one live key is left");
        assert_eq!(world.gcp.description(EMAIL), "The orders service", "the note went with the old key");
        let chosen = world.issuer().choose(Some(&old), "x").await.unwrap();
        let minted = world.issuer().perform(IssuerOp::Install { new: &chosen }).await.minted.unwrap();
        let text = minted.value.expose_text().unwrap();
        assert_eq!(text.starts_with('{'), !in_base64);
        assert!(world.gcp.lines().iter().all(|line| !line.contains("PRIVATE") && !line.contains("ya29")));
    }
}

#[tokio::test]
async fn a_key_whose_file_was_lost_is_disabled_and_goes_with_the_old_one_and_others_are_left_alone() {
    let world = world();
    let theirs = world.gcp.key_file(EMAIL).unwrap();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], world.gcp.port()).into()).unwrap();
    let far = issuer_at(&format!("http://{}", proxy.address()), &world.admin, &json!({}));
    let chosen = far.choose(Some(&world.credential()), "installation/INC-2026-0001/x.mint").await.unwrap();
    let op = IssuerOp::Install { new: &chosen };
    assert!(reason(&far.observe(op).await.outcome).contains("no key was asked for"));
    proxy.once(Fault::DropAnswerTo(b"privateKeyType".to_vec())).await;
    let lost = far.perform(op).await;
    assert!(is_unknown(&lost.outcome) && lost.minted.is_none(), "{lost:?}");
    assert_eq!(world.gcp.keys(EMAIL).len(), 3);
    assert!(world.gcp.description(EMAIL).starts_with("The orders service [quell-mint "));
    let seen = far.observe(op).await.outcome;
    assert!(reason(&seen).contains("its file was lost with the answer"), "{seen:?}");
    let done = far.perform(op).await;
    assert_eq!(facts(&done.outcome)["strangers_disabled"].as_array().unwrap().len(), 1);
    let keys = world.gcp.keys(EMAIL);
    assert_eq!((keys.len(), keys.iter().filter(|key| key.1).count()), (4, 1), "it could be enabled again");
    assert!(world.gcp.takes(&theirs) && world.gcp.takes(&world.old), "what was there before stays");
    assert!(world.gcp.takes(done.minted.unwrap().value.expose_text().unwrap()));
    // The other effects.
    let old = world.credential();
    for (text, op) in [(":disable", true), ("DELETE /v1", false)] {
        proxy.once(Fault::DropAnswerTo(text.as_bytes().to_vec())).await;
        let op = async || {
            if op {
                far.perform(IssuerOp::Disable { old: &old }).await.outcome
            } else {
                far.retire(&old).await
            }
        };
        assert!(is_unknown(&op().await), "{text}");
        assert!(op().await.is_applied(), "{text}");
    }
    assert_eq!(proxy.struck(), 3);
    let left = world.gcp.keys(EMAIL);
    assert!(left.len() == 2 && left.iter().all(|key| !key.1), "{left:?}");
    assert_eq!(world.gcp.description(EMAIL), "The orders service");
}

/// The trap: a colleague makes a key just after an answer was lost.
#[tokio::test]
async fn of_several_keys_that_were_made_since_none_is_touched() {
    let world = world();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], world.gcp.port()).into()).unwrap();
    let far = issuer_at(&format!("http://{}", proxy.address()), &world.admin, &json!({}));
    let chosen = far.choose(Some(&world.credential()), "installation/INC-2026-0001/x.mint").await.unwrap();
    proxy.once(Fault::DropAnswerTo(b"privateKeyType".to_vec())).await;
    assert!(is_unknown(&far.perform(IssuerOp::Install { new: &chosen }).await.outcome));
    let theirs = world.gcp.key_file(EMAIL).unwrap();
    let outcome = far.perform(IssuerOp::Install { new: &chosen }).await.outcome;
    let words = refused(&outcome, "one of them may be a colleague's");
    let id = serde_json::from_str::<Value>(&theirs).unwrap()["private_key_id"].as_str().unwrap().to_owned();
    assert!(words.contains(&id), "{words}");
    assert!(world.gcp.takes(&theirs) && world.gcp.keys(EMAIL).iter().all(|key| !key.1));
}

/// The trap: ids of keys are public, so anybody can write a file that names one.
#[tokio::test]
async fn a_forged_file_with_the_id_of_a_live_key_ends_nothing() {
    let world = world();
    let mut forged: Value = serde_json::from_str(&world.old).unwrap();
    let other: Value = serde_json::from_str(&world.admin).unwrap();
    forged["private_key"] = other["private_key"].clone();
    let issuer = world.issuer();
    let forged = issuer.identify(&value(&forged.to_string())).unwrap();
    // Made in this second, as IAM tells it: until it settles a refusal says nothing.
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let outcome = issuer.perform(IssuerOp::Disable { old: &forged }).await.outcome;
    assert_eq!((&facts(&outcome)["already"], &facts(&outcome)["there"]), (&json!(true), &json!(false)));
    assert!(issuer.observe(IssuerOp::Disable { old: &forged }).await.outcome.is_applied());
    assert!(issuer.retire(&forged).await.is_applied() && issuer.observe_retire(&forged).await.is_applied());
    assert!(world.gcp.takes(&world.old), "the key itself lives");
    let slow = issuer_at(&world.gcp.addr(), &world.admin, &json!({ "settle": "10m" }));
    let outcome = slow.perform(IssuerOp::Disable { old: &forged }).await.outcome;
    assert!(reason(&outcome).contains("was just made"), "{outcome:?}");
    assert!(world.gcp.takes(&world.old));
}

/// The trap: the key is refused, and what was issued with it is not.
#[tokio::test]
async fn nothing_is_proven_while_access_tokens_may_live() {
    let world = world();
    let issuer = issuer_at(&world.gcp.addr(), &world.admin, &json!({ "token_life": "400ms" }));
    let old = world.credential();
    let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let cutoff = facts(&done)["cutoff"].as_str().unwrap().to_owned();
    assert!(issuer.severs_by_time(), "the cutoff is given back");
    let error = issuer.sessions(&old, None).await.unwrap_err();
    assert!(error.detail.contains("when the credential was disabled is not known"), "{error}");
    let hour = issuer_at(&world.gcp.addr(), &world.admin, &json!({ "token_life": "1h" }));
    let error = hour.sessions(&old, Some(&cutoff)).await.unwrap_err();
    assert!(error.detail.contains("may live until"), "{error}");
    tokio::time::sleep(std::time::Duration::from_millis(450)).await;
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 0);
}

/// As `base64` of coreutils writes it.
#[tokio::test]
async fn a_file_in_wrapped_base64_is_read() {
    let world = world();
    let letters: Vec<char> = base64(&world.old).chars().collect();
    let lines: Vec<String> = letters.chunks(76).map(|line| line.iter().collect()).collect();
    let old = world.issuer().identify(&value(&lines.join("\n"))).unwrap();
    assert!(matches!(world.issuer().probe(&old).await, Probe::Accepted { .. }));
}

/// The traps: what Google says of a grant when the key is not the reason.
#[tokio::test]
async fn only_googles_own_refusal_is_one() {
    let world = world();
    let issuer = world.issuer();
    assert!(matches!(issuer.probe(&world.credential()).await, Probe::Accepted { .. }));
    world.gcp.disable_keys(EMAIL, "SERVICE_ACCOUNT_KEY_DISABLE_REASON_EXPOSED");
    let probe = issuer.probe(&world.credential()).await;
    assert!(
        matches!(&probe, Probe::Refused { code, message } if code == "invalid_grant" && message == "Invalid JWT Signature."),
        "{probe:?}"
    );
    // Google disabled it by itself: the reason is evidence, and nothing was taken away by us.
    let seen = issuer.perform(IssuerOp::Disable { old: &world.credential() }).await.outcome;
    assert_eq!(facts(&seen)["disable_reason"], "SERVICE_ACCOUNT_KEY_DISABLE_REASON_EXPOSED");
    assert_eq!(facts(&seen)["already"], true);
    assert!(facts(&seen)["access_tokens"].as_str().unwrap().contains("live on for an hour"));
    assert!(issuer.warnings(None).await.concat().contains("Google revokes none of them"));
    // An account that is gone says something else, and proves nothing of the key.
    let gone = "gone@acme-prod.iam.gserviceaccount.com";
    let mut file: Value = serde_json::from_str(&world.old).unwrap();
    file["client_email"] = json!(gone);
    let away = issuer_at(&world.gcp.addr(), &world.admin, &json!({ "account": gone }));
    let probe = away.probe(&away.identify(&value(&file.to_string())).unwrap()).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.contains("account not found")),
        "{probe:?}"
    );
    for status in [200, 302, 400, 401, 403, 404, 500, 503] {
        let page = quell_testkit::model::Listener::start(move |_| {
            quell_testkit::model::Reply::page(status, "<html>Invalid JWT Signature.</html>")
        })
        .unwrap();
        let away = issuer_at(&format!("http://127.0.0.1:{}", page.port()), &world.admin, &json!({}));
        let probe = away.probe(&world.credential()).await;
        assert!(matches!(probe, Probe::Inconclusive { .. }), "{status}: {probe:?}");
    }
}

#[tokio::test]
async fn a_value_of_another_account_or_shape_is_not_taken_for_one() {
    let world = world();
    let issuer = world.issuer();
    let mut cut: Value = serde_json::from_str(&world.old).unwrap();
    cut["private_key"] = json!("CANARY");
    for (bad, words) in [
        (world.admin.clone(), "the key is of quell@acme-prod.iam.gserviceaccount.com, and not of orders@"),
        (cut.to_string(), "the private key in the key file cannot be read"),
        (r#"{"type":"authorized_user","client_id":"CANARY"}"#.to_owned(), "not of a service account's key"),
        ("CANARY-no-json".to_owned(), "no JSON file of a service account's key"),
    ] {
        let error = issuer.identify(&value(&bad)).unwrap_err();
        assert!(error.detail.contains(words) && !format!("{error:?}").contains("CANARY"), "{error}");
        let probe = issuer.probe(&Credential { principal: "x".to_owned(), value: value(&bad) }).await;
        assert!(matches!(probe, Probe::Inconclusive { .. }), "{probe:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let world = world();
    let old = world.credential();
    let named = CONNECTOR.readme.split("## What it needs").nth(1).unwrap().split("## ").next().unwrap();
    let all: Vec<&str> = named.split('`').filter(|text| text.starts_with("iam.serviceAccount")).collect();
    assert_eq!(all.len(), 6);
    for missing in &all {
        let world = self::world();
        let rest: Vec<&str> = all.iter().filter(|it| *it != missing).copied().collect();
        world.gcp.allow("less", &rest);
        let control = json!({ "control": "env:NONE" });
        let less = issuer_at(&world.gcp.addr(), "less", &control);
        let old = world.credential();
        let chosen = less.choose(Some(&old), "x").await.unwrap();
        let made = less.perform(IssuerOp::Install { new: &chosen }).await.outcome;
        let disabled = less.perform(IssuerOp::Disable { old: &old }).await.outcome;
        let told = format!("{made:?} {disabled:?} {:?}", less.retire(&old).await);
        assert!(told.contains(&format!("grant `{missing}` (roles/iam.serviceAccount")), "{missing}: {told}");
        assert!(matches!(less.control().await, Probe::Inconclusive { .. }));
    }
    let token = issuer_at(&world.gcp.addr(), "boss", &json!({}));
    let control = token.control().await;
    assert!(
        matches!(&control, Probe::Inconclusive { reason } if reason.contains("set `control`")),
        "{control:?}"
    );
    let own = issuer_at(&world.gcp.addr(), &world.old, &json!({}));
    refused(&own.perform(IssuerOp::Disable { old: &old }).await.outcome, "use another account");
    let issuer = world.issuer();
    let chosen = issuer.choose(Some(&old), "x").await.unwrap();
    let install = async || issuer.perform(IssuerOp::Install { new: &chosen }).await.outcome;
    world.gcp.forbid_keys(EMAIL);
    refused(&install().await, "iam.disableServiceAccountKeyCreation");
    world.gcp.describe(EMAIL, &"x".repeat(250));
    refused(&install().await, "shorten it to");
    for _ in 0..9 {
        world.gcp.key_file(EMAIL).unwrap();
    }
    refused(&install().await, "has 10 keys, as many as Google allows");
    assert!(failed(&issuer.check().await).concat().contains("it has 10 keys"));
    let gcp = &world.gcp;
    gcp.limit(1);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(30_000), .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    let world = world();
    conformance::hung(LONG, |address| {
        let config = json!({
            "admin": "env:TOKEN", "account": EMAIL, "endpoint": format!("http://{address}"), "settle": "50ms", "token_life": "0s",
        });
        let issuer = CONNECTOR.issuer.unwrap()(&config, &context(&world.admin, SHORT)).unwrap();
        Subject::Issuer(issuer, world.credential())
    })
    .await
    .unwrap();
}
