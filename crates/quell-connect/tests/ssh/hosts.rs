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
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(
        keys(&server).starts_with("# quell took this key away"),
        "it was taken from the account that is ours"
    );
    let told =
        |probe: Probe| matches!(probe, Probe::Inconclusive { reason } if reason.contains("keys/daemon"));
    assert!(told(issuer.probe(&old).await), "and it is not called dead");
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&seen).contains("keys/daemon"), "{seen:?}");
    assert!(std::fs::read_to_string(server.keys_of("daemon")).unwrap().contains(&line), "and only there");
    std::fs::remove_file(server.keys_of("daemon")).unwrap();
    assert!(is_refused(&issuer.probe(&old).await));
}

/// Lines that `sshd` takes and a reader of words does not.
#[tokio::test]
async fn a_key_that_is_hidden_from_us_is_never_called_dead() {
    let server = Server::start().unwrap();
    let old = credential(&server, &server.let_in("ed25519", "").unwrap());
    let line = keys(&server).trim_end().to_owned();
    let issuer = issuer(&server);
    let (head, tail) = line.split_at("ssh-ed25519 AAAAC3Nza".len());
    for (hidden, readable) in [
        (format!("from=\"127.0.0.2\" {line}"), true),
        (format!("from=\"127.0.0.2,\\\\\"\" {line}"), true),
        (format!("from=\"127.0.0.2\" {head}\u{b}{tail}"), false),
    ] {
        std::fs::write(server.keys_of(server.user()), format!("{hidden}\n")).unwrap();
        assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }), "{hidden}");
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert_eq!(outcome.is_applied(), readable, "{hidden}: {outcome:?}");
        if readable {
            assert!(is_refused(&issuer.probe(&old).await), "{hidden}");
            // Somebody puts it back.
            std::fs::write(server.keys_of(server.user()), format!("{hidden}\n")).unwrap();
            assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }), "{hidden}");
        } else {
            assert!(reason(&outcome).contains("by hand"), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn many_changes_of_one_file_at_a_time_lose_nothing() {
    let server = Server::start().unwrap();
    let issuer = issuer(&server);
    let mut all = Vec::new();
    for _ in 0..5 {
        let old = credential(&server, &server.let_in("ed25519", "restrict").unwrap());
        let new = issuer.choose(Some(&old), "t").await.unwrap();
        all.push((old, new));
    }
    for _ in 0..10 {
        let (installed, disabled) = (
            futures_util::future::join_all(
                all.iter().map(|(_, new)| issuer.perform(IssuerOp::Install { new })),
            )
            .await,
            futures_util::future::join_all(
                all.iter().map(|(old, _)| issuer.perform(IssuerOp::Disable { old })),
            )
            .await,
        );
        if installed.iter().chain(&disabled).all(|it| it.outcome.is_applied()) {
            break;
        }
    }
    for (old, new) in &all {
        assert!(is_accepted(&issuer.probe(new).await) && is_refused(&issuer.probe(old).await));
    }
    assert_eq!(keys(&server).lines().count(), 10, "{}", keys(&server));
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

/// The account's folder is its own, as homes are: what it puts there must not make root write elsewhere.
#[tokio::test]
async fn in_a_folder_of_the_account_nothing_is_done_as_root() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    let server = Server::start().unwrap();
    let (old, file) = (server.let_in("ed25519", "restrict").unwrap(), server.keys_of(server.user()));
    let old = credential(&server, &old);
    let folder = file.parent().unwrap();
    // Where who runs the test is not root, it is the account itself.
    let owner = std::process::Command::new("id").args(["-u", server.user()]).output().unwrap().stdout;
    let owner: u32 = String::from_utf8(owner).unwrap().trim().parse().unwrap();
    for path in [folder, &file] {
        chown(path, Some(owner), None).unwrap();
    }
    let issuer = issuer(&server);
    let new = issuer.choose(Some(&old), "t").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), owner);
    // A trap where the new file is written, and one where it is read.
    let secret = server.folder().join("of-root");
    std::fs::write(&secret, "as it was\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    for trap in [".quell-lock", "nobody.quell-new"] {
        symlink(&secret, folder.join(trap)).unwrap();
    }
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(outcome.is_applied(), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "as it was\n");
    assert!(is_refused(&issuer.probe(&old).await) && is_accepted(&issuer.probe(&new).await));
    std::fs::remove_file(&file).unwrap();
    symlink(&secret, &file).unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &old }).await.outcome;
    assert!(!outcome.is_applied(), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "as it was\n");
    // A pipe that nobody writes into.
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let outcome = issuer.perform(IssuerOp::Install { new: &old }).await.outcome;
    assert!(reason(&outcome).contains("is not a file"), "{outcome:?}");
}

#[tokio::test]
async fn a_folder_that_others_can_write_is_not_written_as_root() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start().unwrap();
    let old = credential(&server, &server.let_in("ed25519", "").unwrap());
    let before = keys(&server);
    let folder = server.keys_of(server.user()).parent().unwrap().to_owned();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let outcome = issuer(&server).perform(IssuerOp::Disable { old: &old }).await.outcome;
    if server.user() == server.admin() {
        // Not root: nothing is lost to the account that it could not do itself.
        assert!(outcome.is_applied(), "{outcome:?}");
    } else {
        assert!(reason(&outcome).contains("others can write"), "{outcome:?}");
        assert_eq!(keys(&server), before);
    }
}
