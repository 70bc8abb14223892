//! The whole way on a real server.

use quell_connect::conformance;
use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::sshd::{Server, Session};
use serde_json::json;

use crate::{
    config, credential, fact, failed, is_accepted, is_refused, issuer, issuer_with, keys, reason, text,
};

async fn keeps_the_contract(kind: &str) {
    let server = Server::start().unwrap();
    let old = server.let_in(kind, "").unwrap();
    let issuer = issuer(&server);
    assert!(failed(&issuer.check().await).is_empty(), "{:?}", issuer.check().await);
    conformance::issuer(&*issuer, &credential(&server, &old)).await.unwrap();
    assert!(server.open(&old).unwrap().is_none());
}

#[tokio::test]
async fn the_contract_holds_for_ed25519() {
    keeps_the_contract("ed25519").await;
}

#[tokio::test]
async fn the_contract_holds_for_rsa() {
    keeps_the_contract("rsa").await;
}

#[tokio::test]
async fn the_contract_holds_for_ecdsa() {
    keeps_the_contract("ecdsa").await;
}

#[tokio::test]
async fn the_new_key_has_the_options_of_the_old_one_in_both_orders() {
    let server = Server::start().unwrap();
    let issuer = issuer(&server);
    let options = "from=\"127.0.0.0/8, ::1\",restrict,environment=\"A=b c\"";
    for kill_first in [false, true] {
        let old = credential(&server, &server.let_in("ed25519", options).unwrap());
        let new = issuer.choose(Some(&old), "INC-1/orders").await.unwrap();
        if kill_first {
            assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
        }
        let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
        let file = &fact(&outcome, "hosts")[format!("127.0.0.1:{}", server.port())];
        assert_eq!(file["options"], options, "{outcome:?}");
        let again = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
        assert!(again.is_applied());
        assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
        assert_eq!(keys(&server).matches("INC-1/orders").count(), usize::from(kill_first) + 1);
        assert!(is_accepted(&issuer.probe(&new).await) && is_refused(&issuer.probe(&old).await));
        let line = keys(&server).lines().last().unwrap().to_owned();
        assert!(line.starts_with(&format!("{options} ssh-ed25519 AAAA")), "{line}");
        assert!(server.open(text(&new)).unwrap().is_some() && server.open(text(&old)).unwrap().is_none());
    }
    // What was there before is still there, as a comment.
    assert_eq!(keys(&server).matches("# quell took this key away 20").count(), 2, "{}", keys(&server));
}

#[tokio::test]
async fn sessions_from_before_end_and_later_ones_live() {
    let server = Server::start().unwrap();
    let old_text = server.let_in("ed25519", "").unwrap();
    let (issuer, old) = (issuer(&server), credential(&server, &old_text));
    let mut strangers: Vec<_> = (0..3).map(|_| server.open(&old_text).unwrap().unwrap()).collect();
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 3);
    let new = issuer.choose(Some(&old), "t").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let cutoff = fact(&disabled, "cutoff").as_str().unwrap().to_owned();
    assert!(strangers.iter_mut().all(Session::is_alive), "taking the key away ends no session");
    let mut consumer = server.open(text(&new)).unwrap().unwrap();
    let sever = IssuerOp::Sever { old: &old, cutoff: Some(&cutoff) };
    assert!(matches!(
        issuer.observe(sever).await.outcome,
        Outcome::NotApplied { reason, .. } if reason.contains("3 sessions")
    ));
    let severed = issuer.perform(sever).await.outcome;
    let told = &fact(&severed, "hosts")[format!("127.0.0.1:{}", server.port())];
    assert_eq!((told["ended"].as_u64(), told["remaining"].as_u64()), (Some(3), Some(0)));
    assert!(!strangers.iter_mut().any(Session::is_alive));
    assert!(consumer.is_alive(), "a session from after the change is spared");
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 0);
    assert!(issuer.observe(sever).await.outcome.is_applied());
    // An observation has as good a cutoff.
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    let later = fact(&seen, "cutoff").as_str().unwrap();
    assert_eq!(issuer.sessions(&old, Some(later)).await.unwrap(), 1);
    let away = IssuerOp::Sever { old: &old, cutoff: Some("yesterday") };
    assert!(reason(&issuer.perform(away).await.outcome).contains("RFC 3339"));
}

#[tokio::test]
async fn a_list_of_revoked_keys_refuses_it_wherever_it_is() {
    for krl in [true, false] {
        let list = tempfile::tempdir().unwrap();
        std::fs::set_permissions(list.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = list.path().join("revoked");
        if krl {
            let made = std::process::Command::new("ssh-keygen").arg("-kf").arg(&path).output().unwrap();
            assert!(made.status.success());
        } else {
            std::fs::write(&path, "# revoked keys\n").unwrap();
        }
        let server = Server::start_with(&[&format!("RevokedKeys {}", path.display())]).unwrap();
        let old_text = server.let_in("ed25519", "").unwrap();
        let old = credential(&server, &old_text);
        let mut config = config(&[&server]);
        config["revoked_keys"] = json!(path);
        let issuer = issuer_with(&server, &config);
        assert!(is_accepted(&issuer.probe(&old).await), "{}", server.log());
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(outcome.is_applied(), "{outcome:?}");
        let once = std::fs::read(&path).unwrap();
        assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
        assert_eq!(std::fs::read(&path).unwrap(), once, "it is listed once");
        // Somebody puts the key back into the file: it stays dead.
        let public = keys(&server).replace("# quell", "#").lines().last().unwrap().to_owned();
        let line = public.split_once(": ").unwrap().1.to_owned();
        std::fs::write(server.keys_of(server.user()), line + "\n").unwrap();
        assert!(server.open(&old_text).unwrap().is_none(), "krl {krl}: {}", server.log());
        assert!(is_refused(&issuer.probe(&old).await), "krl {krl}");
        assert!(server.log().contains("revoked"), "{}", server.log());
        assert!(issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    }
}

#[tokio::test]
async fn a_key_that_is_half_a_login_is_an_accepted_one() {
    let server = Server::start_with(&["AuthenticationMethods publickey,publickey"]).unwrap();
    let old = server.let_in("ed25519", "").unwrap();
    let probe = issuer(&server).probe(&credential(&server, &old)).await;
    let Probe::Accepted { facts } = &probe else { panic!("{probe:?}") };
    assert_eq!(facts["then_asked_for"], "publickey");
}
