//! Servers that are away, hang, lose answers, ask for patience or talk nonsense.

use std::time::Duration;

use axum::http::StatusCode;
use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::moto::Keys;
use serde_json::{Value, json};

use crate::{context, credential, facts, failed, is_refused, issuer_at, prepared, reason};

fn some_key(n: u8) -> Keys {
    Keys { id: format!("AKIA{n:016}"), secret: "CANARY0secret0".repeat(3), token: None }
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(Duration::from_secs(5), |address| {
        let config =
            json!({ "admin": "env:ADMIN", "user": "orders", "endpoint": format!("http://{address}") });
        let context = context(&some_key(1).json(), Duration::from_millis(400));
        let issuer = quell_connect::aws_iam::CONNECTOR.issuer.unwrap()(&config, &context).unwrap();
        Subject::Issuer(issuer, credential(&some_key(2)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let (aws, old) = prepared();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], aws.port()).into()).unwrap();
    let far = issuer_at(&format!("http://{}", proxy.address()), &aws.admin().json(), &json!({}));
    let old = credential(&old);
    let (disable, sever) = (IssuerOp::Disable { old: &old }, IssuerOp::Sever { old: &old, cutoff: None });
    for (op, action) in [
        (disable, "GetCallerIdentity"),
        (disable, "ListAccessKeys"),
        (disable, "UpdateAccessKey"),
        (sever, "ListAccessKeys"),
        (sever, "PutUserPolicy"),
    ] {
        let struck = proxy.struck();
        proxy.once(Fault::DropAnswerTo(format!("Action={action}").into_bytes())).await;
        let outcome = far.perform(op).await.outcome;
        assert_eq!(proxy.struck(), struck + 1, "{action} was not sent");
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{action}: {outcome:?}");
        assert!(!format!("{outcome:?}").contains(old.value.expose_text().unwrap()));
    }
    assert!(is_refused(&far.probe(&old).await), "the effect is there");
    for op in [disable, sever] {
        assert!(far.observe(op).await.outcome.is_applied());
        assert!(far.perform(op).await.outcome.is_applied());
    }
    proxy.once(Fault::DropAnswerTo(b"Action=DeleteAccessKey".to_vec())).await;
    assert!(matches!(far.retire(&old).await, Outcome::Unknown { .. }));
    assert!(far.observe_retire(&old).await.is_applied() && far.retire(&old).await.is_applied());
    // What is only evidence may get lost without harm.
    for action in ["GetAccessKeyLastUsed", "ListAttachedUserPolicies"] {
        proxy.once(Fault::DropAnswerTo(format!("Action={action}").into_bytes())).await;
        let outcome = far.perform(disable).await.outcome;
        assert!(facts(&outcome).values().any(|fact| fact.to_string().contains("not known")), "{outcome:?}");
    }
    proxy.set(Fault::Refuse).await;
    let outcome = far.perform(disable).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(matches!(far.probe(&old).await, Probe::Inconclusive { .. }));
}

#[tokio::test]
async fn an_administrator_who_is_not_known_or_not_allowed_is_named_with_the_fix() {
    let (aws, old) = prepared();
    let old = credential(&old);
    let wrong = Keys { secret: "y".repeat(40), ..aws.admin().clone() };
    for (admin, words) in [(some_key(3), "inactive or gone"), (wrong, "SignatureDoesNotMatch")] {
        let issuer = issuer_at(&aws.addr(), &admin.json(), &json!({}));
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        assert!(reason(&outcome).contains("renew what `admin` refers to"), "{outcome:?}");
        assert!(reason(&outcome).contains(words), "{outcome:?}");
        assert!(!reason(&outcome).contains(&admin.secret));
        assert_eq!(failed(&issuer.check().await).len(), 1);
    }
    let reader = aws.user("reader", &["iam:List*"]).unwrap();
    let issuer = issuer_at(&aws.addr(), &reader.json(), &json!({}));
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("iam:UpdateAccessKey"), "{outcome:?}");
    assert!(reason(&outcome).contains("the policy of this connector's page"), "{outcome:?}");
    let missing = issuer_at(&aws.addr(), "CANARY no key", &json!({}));
    let outcome = missing.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("env:ADMIN: reading the access key"), "{outcome:?}");
    assert!(!reason(&outcome).contains("CANARY"));
}

/// A server that answers everything the same way.
async fn parrot(status: u16, body: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    let app = axum::Router::new().fallback(move || async move { (status, [("retry-after", "7")], body) });
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test]
async fn patience_and_nonsense_are_told_apart() {
    let old = credential(&some_key(2));
    let throttled = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
    let address = parrot(400, throttled).await;
    let issuer = issuer_at(&address, &some_key(1).json(), &json!({}));
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let patient = matches!(outcome, Outcome::NotApplied { retryable: true, retry_after_ms: Some(7000), .. });
    assert!(patient, "{outcome:?}");
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
    for (status, body) in [
        (200, "<html><body>Log in to the hotel's network</body></html>"),
        (200, "hello"),
        (200, "<GetCallerIdentityResponse>"),
        (403, "<html>Forbidden by the proxy</html>"),
        (302, ""),
        (404, "{}"),
        (500, "<ErrorResponse><Error><Code>ServiceFailure</Code></Error></ErrorResponse>"),
        (503, throttled),
    ] {
        let address = parrot(status, body).await;
        let issuer = issuer_at(&address, &some_key(1).json(), &json!({}));
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{status} {body}: {outcome:?}");
        assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }), "{status} {body}");
        assert!(matches!(issuer.control().await, Probe::Inconclusive { .. }));
        assert!(issuer.sessions(&old, None).await.is_err());
    }
}

/// IAM as far as severing asks it, and an event history as CloudTrail's API reference describes it. moto has none.
async fn trail() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |headers: axum::http::HeaderMap, body: String| async move {
        if headers.get("x-amz-target").is_some_and(|it| it.as_bytes().ends_with(b".LookupEvents")) {
            let asked: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(asked["LookupAttributes"][0]["AttributeValue"], some_key(2).id);
            let event = |name: &str, reads: &str, resource: &str| {
                json!({ "EventName": name, "ReadOnly": reads, "EventSource": "iam.amazonaws.com", "EventTime": 1_763_863_200.5,
                    "Resources": [{ "ResourceType": "AWS::IAM::User", "ResourceName": resource }], "CloudTrailEvent": "{}" })
            };
            let page = if asked["NextToken"] == "more" {
                json!({ "Events": [event("AssumeRole", "true", "deploy")] })
            } else {
                json!({ "Events": [event("CreateUser", "false", "backdoor"), event("ListUsers", "true", "x")], "NextToken": "more" })
            };
            return page.to_string();
        }
        let action =
            body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned();
        let inner = match action.as_str() {
            "GetCallerIdentity" => "<Arn>arn:aws:iam::1:user/boss</Arn><Account>1</Account>",
            _ => "<AccessKeyMetadata/><IsTruncated>false</IsTruncated>",
        };
        format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>")
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test]
async fn what_the_key_made_is_listed() {
    let issuer = issuer_at(&trail().await, &some_key(1).json(), &json!({}));
    let old = credential(&some_key(2));
    let severed = issuer.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome;
    let made = &facts(&severed)["made_with_the_key"];
    assert_eq!((&made["complete"], &made["looked_at"]), (&json!(true), &json!(3)), "{made}");
    let events: Vec<&Value> = made["events"].as_array().unwrap().iter().collect();
    assert_eq!(events.len(), 2, "reading leaves nothing behind: {made}");
    assert_eq!(events[0]["event"], "CreateUser");
    assert_eq!(events[0]["resources"][0]["name"], "backdoor");
    assert_eq!(events[0]["at"], "2025-11-23T02:00:00.5Z");
    assert_eq!(events[1]["event"], "AssumeRole");
}
