//! Servers that are away, hang, lose answers, are somebody else, or refuse us.

use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::IssuerOp;
use quell_connect::ssh::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::SecretValue;
use quell_testkit::sshd::Server;
use serde_json::json;

use crate::{built, config, credential, failed, is_accepted, is_refused, issuer, issuer_with, keys, reason};

#[tokio::test]
async fn a_hung_server_is_unknown() {
    let server = Server::start().unwrap();
    let (old, admin) = (server.let_in("ed25519", "").unwrap(), server.admin_key().unwrap());
    conformance::hung(Duration::from_secs(5), |address| {
        let known = server.folder().join("hung_hosts");
        std::fs::write(&known, server.known_at(address.port()).unwrap()).unwrap();
        let mut config = config(&[&server]);
        config["known_hosts"] = json!(known);
        config["hosts"] = json!([address.to_string()]);
        Subject::Issuer(
            built(&CONNECTOR, &admin, &config, Duration::from_millis(400)),
            credential(&server, &old),
        )
    })
    .await
    .unwrap();
}

/// What is said is encrypted, so answers are cut off after a number of bytes instead of by what is in them.
#[tokio::test]
async fn wherever_the_connection_breaks_the_next_try_finds_what_was_done() {
    let server = Server::start().unwrap();
    let old_text = server.let_in("ed25519", "").unwrap();
    let old = credential(&server, &old_text);
    let proxy = FlakyProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let known = server.folder().join("proxy_hosts");
    std::fs::write(&known, server.known_at(proxy.address().port()).unwrap()).unwrap();
    let mut config = config(&[&server]);
    config["known_hosts"] = json!(known);
    config["hosts"] = json!([proxy.address().to_string()]);
    let far = issuer_with(&server, &config);
    let (near, mut unknown) = (issuer(&server), 0);
    let new = near.choose(Some(&old), "t").await.unwrap();
    for step in 1..20_usize {
        proxy.once(Fault::CutAfter(step * 700)).await;
        let outcome = far.perform(IssuerOp::Install { new: &new }).await.outcome;
        let there = keys(&server).contains("nobody@quell t") || keys(&server).contains("@quell t");
        match &outcome {
            Outcome::Applied { .. } => assert!(there, "{step}"),
            Outcome::NotApplied { .. } => assert!(!there, "{step}: {outcome:?}"),
            Outcome::Unknown { .. } => unknown += 1,
        }
        assert!(!format!("{outcome:?}").contains("PRIVATE KEY"), "{outcome:?}");
        proxy.set(Fault::Pass).await;
        assert!(far.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied(), "{step}");
        assert_eq!(keys(&server).matches("@quell t").count(), 1, "{step}");
        // Again without it.
        let kept: Vec<_> =
            keys(&server).lines().filter(|it| !it.contains("@quell t")).map(str::to_owned).collect();
        std::fs::write(server.keys_of(server.user()), kept.join("\n") + "\n").unwrap();
    }
    assert!(unknown > 5, "{unknown}");
    assert!(is_accepted(&near.probe(&old).await) && is_refused(&near.probe(&new).await));
}

#[tokio::test]
async fn a_host_that_is_somebody_else_is_not_spoken_to() {
    let (server, other) = (Server::start().unwrap(), Server::start().unwrap());
    let old = credential(&server, &server.let_in("ed25519", "").unwrap());
    let known = server.folder().join("wrong_hosts");
    let mut config = config(&[&server]);
    config["known_hosts"] = json!(known);
    for (text, told) in [
        (other.known_at(server.port()).unwrap(), "another key than `known_hosts` has"),
        (String::new(), "not in `known_hosts`"),
        (
            format!("@revoked * {}", std::fs::read_to_string(server.folder().join("host.pub")).unwrap()),
            "not in `known_hosts`",
        ),
    ] {
        std::fs::write(&known, text).unwrap();
        let issuer = issuer_with(&server, &config);
        assert!(
            matches!(issuer.probe(&old).await, Probe::Inconclusive { reason } if reason.contains(told)),
            "{told}"
        );
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        assert!(reason(&outcome).contains(told), "{outcome:?}");
        assert!(failed(&issuer.check().await)[0].contains(told));
    }
    assert!(!server.log().contains("Accepted publickey"), "{}", server.log());
    std::fs::remove_file(&known).unwrap();
    let outcome = issuer_with(&server, &config).perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("wrong_hosts"), "{outcome:?}");
}

#[tokio::test]
async fn what_refuses_us_is_named_with_what_to_do() {
    let server = Server::start().unwrap();
    let old_text = server.let_in("ed25519", "").unwrap();
    let old = credential(&server, &old_text);
    let disabled = async |admin: &str, config: &serde_json::Value| {
        let issuer = built(&CONNECTOR, admin, config, Duration::from_secs(10));
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        reason(&outcome).to_owned()
    };
    let (good, admin) = (config(&[&server]), server.admin_key().unwrap());
    let other = Server::start().unwrap();
    assert!(disabled(&other.admin_key().unwrap(), &good).await.contains("renew what `admin` refers to"));
    assert!(disabled("hunter2", &good).await.contains("no private key of SSH"));
    let mut config = good.clone();
    config["user"] = json!("absent-account");
    let named = quell_core::secret::Credential {
        principal: "absent-account".to_owned(),
        value: old.value.duplicate(),
    };
    let issuer = built(&CONNECTOR, &admin, &config, Duration::from_secs(10));
    let outcome = issuer.perform(IssuerOp::Disable { old: &named }).await.outcome;
    assert!(reason(&outcome).contains("no account `absent-account`"), "{outcome:?}");
    // The administrator's own key.
    let own = credential(&server, &admin);
    let outcome = issuer_with(&server, &good).perform(IssuerOp::Disable { old: &own }).await.outcome;
    assert!(reason(&outcome).contains("lock itself out"), "{outcome:?}");
    // A key that cannot be tried.
    let encrypted = server.folder().join("encrypted");
    std::fs::write(&encrypted, &old_text).unwrap();
    std::fs::set_permissions(&encrypted, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let locked = std::process::Command::new("ssh-keygen")
        .args(["-p", "-q", "-N", "passphrase", "-f"])
        .arg(&encrypted)
        .output()
        .unwrap();
    assert!(locked.status.success());
    let value = SecretValue::from_text(std::fs::read_to_string(&encrypted).unwrap());
    let error = issuer_with(&server, &good).identify(&value).unwrap_err();
    assert!(error.detail.contains("encrypted with a passphrase"), "{error}");
    // No shell for the administrator.
    let forced = Server::start_with(&["ForceCommand internal-sftp"]).unwrap();
    let old = credential(&forced, &forced.let_in("ed25519", "").unwrap());
    let outcome = crate::issuer(&forced).perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(!outcome.is_applied(), "{outcome:?}");
    assert!(server.open(&old_text).unwrap().is_some(), "nothing was changed");
}

#[tokio::test]
async fn what_start_up_files_print_is_not_taken_for_an_answer() {
    let noisy = Server::start_with(&["ForceCommand echo quell-begin; echo noise; exec sh -s"]).unwrap();
    let old = credential(&noisy, &noisy.let_in("ed25519", "").unwrap());
    let outcome = issuer(&noisy).perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(outcome.is_applied(), "{outcome:?}");
}
