//! Several hosts, other accounts, and files of every state.

use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::sshd::Server;
use serde_json::json;

use crate::{config, credential, failed, is_accepted, is_refused, issuer, issuer_with, keys, reason, text};

/// Two servers that keep keys in one folder, as hosts with the same homes do, and a third that is away.
#[tokio::test]
async fn a_host_that_is_away_is_told_and_the_others_are_changed() {
    let first = Server::start().unwrap();
    let shared = format!("AuthorizedKeysFile {}", first.keys());
    let second = Server::start_with(&[&shared]).unwrap();
    let gone = Server::start_with(&[&shared]).unwrap();
    let old_text = first.let_in("ed25519", "").unwrap();
    let old = credential(&first, &old_text);
    let issuer = issuer_with(&first, &config(&[&first, &second, &gone]));
    let Probe::Accepted { facts } = issuer.probe(&old).await else { panic!("not accepted") };
    assert_eq!(facts["hosts"], 3);
    let place = format!("127.0.0.1:{}", gone.port());
    drop(gone);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert!(
        reason(&outcome).contains("done on 127.0.0.1:") && reason(&outcome).contains(&place),
        "{outcome:?}"
    );
    assert!(first.open(&old_text).unwrap().is_none() && second.open(&old_text).unwrap().is_none());
    assert!(
        matches!(issuer.probe(&old).await, Probe::Inconclusive { reason } if reason.contains("connection refused"))
    );
    assert_eq!(failed(&issuer.check().await), ["connection refused"]);
}

#[tokio::test]
async fn a_key_in_another_accounts_file_is_told() {
    let server = Server::start().unwrap();
    let old = credential(&server, &server.let_in("ed25519", "").unwrap());
    let line = keys(&server);
    std::fs::write(server.keys_of("daemon"), format!("# people\n{line}")).unwrap();
    let issuer = issuer(&server);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("keys/daemon"), "{outcome:?}");
    assert!(is_refused(&issuer.probe(&old).await), "it was taken from the account that is ours");
    assert!(std::fs::read_to_string(server.keys_of("daemon")).unwrap().contains(&line), "and only there");
    std::fs::remove_file(server.keys_of("daemon")).unwrap();
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
}

#[tokio::test]
async fn a_first_key_makes_its_file_and_one_without_a_past_is_refused() {
    let server = Server::start().unwrap();
    let mut config = config(&[&server]);
    config["options"] = json!("restrict");
    let issuer = issuer_with(&server, &config);
    let before = server.keys_of(server.user());
    let first = issuer.choose(None, "first").await.unwrap();
    if server.user() != server.admin() {
        assert!(!before.exists());
    }
    assert!(issuer.perform(IssuerOp::Install { new: &first }).await.outcome.is_applied());
    assert!(keys(&server).lines().last().unwrap().starts_with("restrict ssh-ed25519 "));
    assert!(is_accepted(&issuer.probe(&first).await));
    // The host never knew the key that this one takes over from.
    let other = Server::start().unwrap();
    let stranger = credential(&server, &other.let_in("ed25519", "").unwrap());
    let new = issuer.choose(Some(&stranger), "t").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(reason(&outcome).contains("does not know the key SHA256:"), "{outcome:?}");
    assert!(is_refused(&issuer.probe(&new).await));
    let warned = issuer.warnings(Some(&stranger.value)).await;
    assert!(warned.iter().any(|it| it.contains("will not be put there")), "{warned:?}");
}

#[tokio::test]
async fn owner_mode_links_and_the_rest_of_the_file_stay() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    let server = Server::start().unwrap();
    let old = credential(&server, &server.let_in("ed25519", "").unwrap());
    let (link, file) = (server.keys_of(server.user()), server.folder().join("elsewhere"));
    let text_before = format!("# päople's 'keys' $HOME `x` \\\n\n{}", keys(&server).trim_end());
    std::fs::write(&file, &text_before).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_file(&link).unwrap();
    symlink(&file, &link).unwrap();
    let issuer = issuer(&server);
    let new = issuer.choose(Some(&old), "t").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.starts_with("# päople's 'keys' $HOME `x` \\\n\n# quell took this key away "), "{after}");
    assert_eq!(after.lines().count(), 4);
    assert!(server.open(text(&new)).unwrap().is_some());
    let rest: Vec<_> = std::fs::read_dir(server.folder().join("keys")).unwrap().collect();
    assert!(rest.iter().all(|it| !format!("{it:?}").contains("quell-new")), "{rest:?}");
}
