//! What else a grant gave: counted, ended, and told from what people gave anew.

use quell_connect::connector::IssuerOp;
use serde_json::json;

use crate::outcome::fact;
use crate::{World, value};

#[tokio::test]
async fn a_revocation_ends_the_access_tokens_of_the_grant_and_what_was_rotated() {
    let world = World::new();
    let (refresh, access) = world.server.consent(&world.orders, "ines").unwrap();
    // A stranger used it: he has a refresh token and an access token of his own.
    let (his, his_access) = world.server.refresh(&world.orders, &refresh).unwrap();
    let kept = world.server.folder().join("access");
    std::fs::write(&kept, &access).unwrap();
    let theirs = world.server.folder().join("his");
    std::fs::write(&theirs, &his_access).unwrap();
    let family = [format!("file:{}", kept.display()), format!("file:{}", theirs.display())];
    let issuer = world.issuer(&world.refresh(&[&family[0], &family[1], "file:/nonexistent/none"]));
    let old = issuer.identify(&value(&his)).unwrap();
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 3);
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&disabled, "already"), &json!(false));
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 0);
    for token in [&access, &his_access] {
        assert_eq!(world.server.enter("asks", token).unwrap(), 401);
    }
}

/// A server need not end access tokens with the refresh token (RFC 7009, section 2.1): this one is of a grant that it does not end.
#[tokio::test]
async fn an_access_token_that_outlives_its_refresh_token_is_ended_by_itself() {
    let world = World::new();
    let (refresh, _) = world.server.consent(&world.orders, "ines").unwrap();
    let (_, survivor) = world.server.consent(&world.orders, "ines").unwrap();
    let kept = world.server.folder().join("access");
    std::fs::write(&kept, &survivor).unwrap();
    let family = format!("file:{}", kept.display());
    let issuer = world.issuer(&world.refresh(&[&family]));
    let old = issuer.identify(&value(&refresh)).unwrap();
    assert!(issuer.capabilities().sessions_survive && issuer.severs_by_time());
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let cutoff = fact(&disabled, "cutoff").as_str().unwrap().to_owned();
    let sever = IssuerOp::Sever { old: &old, cutoff: Some(&cutoff) };
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 1);
    assert!(!issuer.observe(sever).await.outcome.is_applied());
    assert!(world.server.is_active(&survivor).unwrap(), "observing changes nothing");
    let severed = issuer.perform(sever).await.outcome;
    assert_eq!((fact(&severed, "ended"), fact(&severed, "remaining")), (&json!(1), &json!(0)));
    assert!(issuer.observe(sever).await.outcome.is_applied());
    assert_eq!(world.server.enter("asks", &survivor).unwrap(), 401);

    // People consented again meanwhile: what that gave is not of the leaked grant.
    let (_, anew) = world.server.consent(&world.orders, "ines").unwrap();
    std::fs::write(&kept, &anew).unwrap();
    let before = Some("2026-01-01T00:00:00Z");
    assert_eq!(issuer.sessions(&old, before).await.unwrap(), 0);
    let spared = issuer.perform(IssuerOp::Sever { old: &old, cutoff: before }).await.outcome;
    assert_eq!((fact(&spared, "ended"), fact(&spared, "spared")), (&json!(0), &json!(1)));
    assert!(world.server.is_active(&anew).unwrap());
}
