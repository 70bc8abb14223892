//! Tokens of GitHub and GitLab, which are described by provider files: what these must not do, on servers that have the traps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quell_connect::connector::{Issuer, IssuerOp};
use quell_connect::provider::CONNECTOR;
use quell_core::outcome::Probe;
use quell_core::secret::Credential;
use quell_testkit::model::{Listener, Reply};
use serde_json::json;

use crate::{LONG, context, value};

fn issuer(id: &str, url: &str) -> Box<dyn Issuer> {
    let config = json!({ "id": id, "url": url, "control": "env:TOKEN", "settle": "50ms" });
    CONNECTOR.issuer.unwrap()(&config, &context("good", LONG)).unwrap()
}

/// "REST API endpoints for revoking credentials" (2022-11-28, read 2026-11): whoever authenticates is answered 403, and 202 says that it is queued.
#[tokio::test]
async fn the_bulk_revocation_of_github_is_asked_by_nobody_and_202_is_no_proof() {
    // Looks that the token lives on for, once its revocation is queued.
    let left = Arc::new(AtomicU32::new(u32::MAX));
    let state = Arc::clone(&left);
    let server = Listener::start(move |request| {
        let left = state.load(Ordering::SeqCst);
        match (request.method.as_str(), request.segments().as_slice()) {
            ("POST", ["credentials", "revoke"]) if !request.header("authorization").is_empty() => {
                Reply::json(403, &json!({ "message": "This endpoint must be called unauthenticated." }))
            }
            ("POST", ["credentials", "revoke"]) => {
                assert!(request.json()["credentials"].as_array().is_some_and(|all| all.len() == 1));
                state.store(5, Ordering::SeqCst);
                Reply::json(202, &json!({}))
            }
            ("GET", ["user"]) if left == 0 => Reply::json(401, &json!({ "message": "Bad credentials" })),
            ("GET", ["user"]) => {
                if left != u32::MAX {
                    state.store(left - 1, Ordering::SeqCst);
                }
                Reply::json(200, &json!({ "login": "octocat", "id": 1 }))
            }
            _ => Reply::json(404, &json!({ "message": "Not Found" })),
        }
    })
    .unwrap();
    let issuer = issuer("github", &format!("http://127.0.0.1:{}", server.port()));
    // Of the right form, and made here: a text in a file would look like a leak.
    let text = format!("ghp_{}", "Canary0123".repeat(4).chars().take(36).collect::<String>());
    let old = issuer.identify(&value(&text)).unwrap();
    assert!(matches!(issuer.probe(&old).await, Probe::Accepted { .. }));
    // It was taken, and the token lives.
    let queued = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(!queued.is_applied(), "202 is no proof: {queued:?}");
    for _ in 0..9 {
        issuer.probe(&old).await;
    }
    assert!(matches!(issuer.probe(&old).await, Probe::Refused { .. }));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(server.lines().iter().any(|line| line.starts_with("POST /credentials/revoke")));
    assert!(server.lines().iter().all(|line| !line.contains("Canary")), "no token is in an address");
}

/// gitlab-org/gitlab issue 524639: a token that is rotated twice takes its successor with it. So it is deleted, and never rotated.
#[tokio::test]
async fn a_token_of_gitlab_is_deleted_and_never_rotated() {
    let revoked = Arc::new(AtomicU32::new(0));
    let state = Arc::clone(&revoked);
    let server = Listener::start(move |request| {
        let dead = state.load(Ordering::SeqCst) > 0;
        match (request.method.as_str(), request.segments().as_slice()) {
            (_, ["api", "v4", "personal_access_tokens", "self"]) if dead => {
                let words = "Token was revoked. You have to re-authorize from the user.";
                Reply::json(401, &json!({ "error": "invalid_token", "error_description": words }))
            }
            ("GET", ["api", "v4", "personal_access_tokens", "self"]) => {
                Reply::json(200, &json!({ "id": 4, "name": "deploy", "active": true, "revoked": false }))
            }
            ("DELETE", ["api", "v4", "personal_access_tokens", "self"]) => {
                state.fetch_add(1, Ordering::SeqCst);
                Reply::empty(204)
            }
            _ => Reply::json(404, &json!({ "message": "404 Not Found" })),
        }
    })
    .unwrap();
    let issuer = issuer("gitlab", &format!("http://127.0.0.1:{}/api/v4", server.port()));
    let text = format!("glpat-{}", "Canary0123".repeat(2));
    let old: Credential = issuer.identify(&value(&text)).unwrap();
    for _ in 0..2 {
        assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    }
    assert!(matches!(issuer.probe(&old).await, Probe::Refused { .. }));
    assert_eq!(revoked.load(Ordering::SeqCst), 1);
    assert!(!issuer.capabilities().can_mint, "a successor by `rotate` would be one of the same family");
    assert!(server.lines().iter().all(|line| !line.contains("rotate") && !line.contains("Canary")));
}
