//! One server: the contract, sessions, what stays over a restart.

use quell_connect::conformance;
use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use crate::{
    OLD, credential, fact, failed, is_accepted, is_refused, issuer, issuer_that, issuer_with, prepare, reason,
};

#[tokio::test]
async fn the_contract_is_kept_for_a_url_and_for_a_bare_password() {
    for keeps in [Keeps::File, Keeps::Configuration] {
        let server = Server::start(keeps).unwrap();
        prepare(&[&server]);
        let bare = keeps == Keeps::File;
        let value = if bare { OLD.to_owned() } else { server.url("orders", OLD) + "/3?timeout=2" };
        let issuer = if bare { issuer(&[&server]) } else { issuer_that("config", &server) };
        conformance::issuer(&*issuer, &credential(&value)).await.unwrap();
    }
}

#[tokio::test]
async fn the_page_grants_what_is_needed_and_not_less() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    let page = quell_connect::redis::CONNECTOR.readme;
    let grant = page.lines().find(|line| line.starts_with("ACL SETUSER quell on")).unwrap();
    let words: Vec<String> = grant
        .split(' ')
        .map(|word| if word == ">…" { ">admin-password".to_owned() } else { word.to_owned() })
        .collect();
    server.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let config = json!({ "admin": "env:ADMIN", "user": "orders", "settle": "50ms" });
    let least = issuer_with(&server.url("quell", "admin-password"), &config);
    assert_eq!(failed(&least.check().await), Vec::<&str>::new());
    conformance::issuer(&*least, &credential(OLD)).await.unwrap();

    // Each right is asked for, and its lack is told with what to do.
    for right in words.iter().filter_map(|word| word.strip_prefix('+')).filter(|it| *it != "client|id") {
        server.ask(&["ACL", "SETUSER", "quell", &format!("-{right}")]).unwrap();
        let checks = least.check().await;
        let told = checks.iter().any(|it| {
            (!it.ok || it.detail.contains("ACL DRYRUN"))
                && it.detail.contains(&right.replace('|', " ").to_uppercase())
        }) || failed(&checks).iter().any(|it| it.contains(right));
        assert!(told, "{right}: {checks:?}");
        server.ask(&["ACL", "SETUSER", "quell", &format!("+{right}")]).unwrap();
    }
}

#[tokio::test]
async fn a_session_outlives_its_password_until_it_is_severed_and_later_ones_are_spared() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    let issuer = issuer(&[&server]);
    let open = |password: &str| {
        let client = redis::Client::open(server.url("orders", password)).unwrap();
        client.get_connection().unwrap()
    };
    let alive = |connection: &mut redis::Connection| redis::cmd("PING").query::<String>(connection).is_ok();
    let (old, new) = (credential(OLD), issuer.choose(Some(&credential(OLD)), "tag").await.unwrap());
    let mut stranger = open(OLD);
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let cutoff = fact(&disabled, "cutoff").as_str().unwrap().to_owned();
    assert!(is_refused(&issuer.probe(&old).await));
    // The trap: nobody asks an open connection again.
    assert!(alive(&mut stranger));
    // Redis tells whole seconds, so within the same one the number decides.
    let mut moved = open(new.value.expose_text().unwrap());
    assert_eq!(issuer.sessions(&old, Some(&cutoff)).await.unwrap(), 1);
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 2);
    let severed = issuer.perform(IssuerOp::Sever { old: &old, cutoff: Some(&cutoff) }).await.outcome;
    let node = &fact(&severed, "nodes")[server.address()];
    assert_eq!(node["ended"], 1);
    assert!(node["refused_logins"]["count"].as_u64().unwrap() >= 1, "{node}");
    assert_eq!(node["refused_logins"]["from"][0], "127.0.0.1");
    assert!(!alive(&mut stranger) && alive(&mut moved));
    assert!(issuer.perform(IssuerOp::Sever { old: &old, cutoff: None }).await.outcome.is_applied());
    assert!(!alive(&mut moved), "without a cutoff all of the user's sessions end");
    let wrong = issuer.perform(IssuerOp::Sever { old: &old, cutoff: Some("yesterday") }).await.outcome;
    assert!(reason(&wrong).contains("RFC 3339"), "{wrong:?}");
}

#[tokio::test]
async fn what_was_changed_outlives_a_restart_where_there_is_a_place_for_it() {
    for (keeps, persist) in
        [(Keeps::File, "aclfile"), (Keeps::Configuration, "config"), (Keeps::Nothing, "memory")]
    {
        let mut server = Server::start(keeps).unwrap();
        prepare(&[&server]);
        if keeps == Keeps::File {
            server.ask(&["ACL", "SAVE"]).unwrap();
        }
        let issuer = issuer_that(persist, &server);
        let (old, new) = (credential(OLD), issuer.choose(None, "tag").await.unwrap());
        let installed = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
        let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        let kept = |outcome| fact(outcome, "nodes")[server.address()]["kept_in"].as_str().unwrap().to_owned();
        assert_eq!(kept(&installed), kept(&disabled));
        let warned = issuer.warnings(None).await.iter().any(|it| it.contains("in memory alone"));
        assert_eq!(warned, keeps == Keeps::Nothing);
        assert_eq!(failed(&issuer.check().await), Vec::<&str>::new());
        assert!(kept(&disabled).contains(match keeps {
            Keeps::File => "aclfile",
            Keeps::Configuration => "configuration file",
            Keeps::Nothing => "a restart undoes it",
        }));
        server.restart().unwrap();
        assert_eq!(is_accepted(&issuer.probe(&new).await), keeps != Keeps::Nothing);
        assert!(is_refused(&issuer.probe(&old).await));
        let log = std::fs::read_to_string(server.folder().join("log")).unwrap();
        assert!(!log.contains(OLD) && !log.contains(new.value.expose_text().unwrap()));
    }
}

#[tokio::test]
async fn without_an_acl_file_nothing_is_installed_and_nothing_is_called_gone() {
    for (keeps, persist) in
        [(Keeps::Configuration, "aclfile"), (Keeps::Nothing, "aclfile"), (Keeps::Nothing, "config")]
    {
        let server = Server::start(keeps).unwrap();
        prepare(&[&server]);
        let before = std::fs::read_to_string(server.folder().join("redis.conf")).unwrap();
        let issuer = issuer_that(persist, &server);
        let (old, new) = (credential(OLD), credential("CANARY-new-password"));
        assert!(failed(&issuer.check().await)[0].contains("aclfile"));
        let refused = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
        assert!(matches!(refused, Outcome::NotApplied { retryable: false, .. }), "{refused:?}");
        assert!(is_refused(&issuer.probe(&new).await) && is_accepted(&issuer.probe(&old).await));
        // It is taken away all the same, as far as that goes.
        let half = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        let Outcome::NotApplied { reason, retryable: false, facts, .. } = half else { panic!("{half:?}") };
        assert!(reason.contains("in memory only") && reason.contains("aclfile"), "{reason}");
        assert_eq!(facts["nodes"][server.address()]["already"], false);
        assert!(is_refused(&issuer.probe(&old).await));
        assert!(!issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
        assert_eq!(std::fs::read_to_string(server.folder().join("redis.conf")).unwrap(), before);
    }
}

#[tokio::test]
async fn what_could_not_be_kept_is_not_called_done_by_anybody() {
    let mut server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    server.ask(&["ACL", "SAVE"]).unwrap();
    let file = server.folder().join("users.acl");
    let users = std::fs::read(&file).unwrap();
    // No file can take the place of a folder.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let (near, old) = (issuer(&[&server]), credential(OLD));
    let half = near.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let Outcome::NotApplied { reason, retryable: true, facts, .. } = half else { panic!("{half:?}") };
    assert!(reason.contains("in memory only"), "{reason}");
    assert_eq!(facts["nodes"][server.address()]["already"], false);
    assert!(is_refused(&near.probe(&old).await));
    for one in [&near, &issuer(&[&server])] {
        let seen = one.observe(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(seen, Outcome::NotApplied { retryable: true, .. }), "{seen:?}");
    }
    let half = near.perform(IssuerOp::Install { new: &credential("CANARY-new-password") }).await.outcome;
    assert!(crate::reason(&half).contains("in memory only"), "{half:?}");
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, users).unwrap();
    let done = near.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&done, "nodes")[server.address()]["already"], true);
    assert!(near.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    server.restart().unwrap();
    assert!(is_refused(&near.probe(&old).await));
    // A user that is gone from memory and not from the file.
    server.ask(&["ACL", "SETUSER", "orders", "on", &format!(">{OLD}")]).unwrap();
    server.ask(&["ACL", "SAVE"]).unwrap();
    server.ask(&["ACL", "DELUSER", "orders"]).unwrap();
    let done = near.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&done, "nodes")[server.address()]["exists"], false);
    server.restart().unwrap();
    assert!(is_refused(&near.probe(&old).await));
}

#[tokio::test]
async fn a_user_that_is_off_still_has_its_password_and_that_is_no_proof() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    server.ask(&["ACL", "SETUSER", "orders", "off"]).unwrap();
    let (near, old) = (issuer(&[&server]), credential(OLD));
    let Probe::Inconclusive { reason } = near.probe(&old).await else { panic!("it is kept") };
    assert!(reason.contains("`orders` still has it"), "{reason}");
    let seen = near.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(seen, Outcome::NotApplied { retryable: true, .. }), "{seen:?}");
    assert!(near.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    server.ask(&["ACL", "SETUSER", "orders", "on"]).unwrap();
    assert!(is_refused(&near.probe(&old).await));
}

#[tokio::test]
async fn users_that_cannot_be_rotated_are_refused_with_the_reason() {
    let server = Server::start(Keeps::File).unwrap();
    let with = |user: &str| {
        let config = json!({ "admin": "env:ADMIN", "user": user });
        issuer_with(&server.admin_url(), &config)
    };
    server.ask(&["ACL", "SETUSER", "open", "on", "nopass", "+ping"]).unwrap();
    server.ask(&["ACL", "SETUSER", "idle", "off", ">x-password", "+ping"]).unwrap();
    for (user, why) in
        [("open", "`nopass`"), ("idle", "`off`"), ("absent", "does not exist"), ("boss", "lock itself out")]
    {
        let issuer = with(user);
        let new =
            quell_core::secret::Credential { principal: user.to_owned(), ..credential("a-new-password") };
        let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
        assert!(reason(&outcome).contains(why), "{user}: {outcome:?}");
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        assert_eq!(failed(&issuer.check().await).len(), 1, "{user}");
    }
    let open = quell_core::secret::Credential { principal: "open".to_owned(), ..credential("any-password") };
    let outcome = with("open").perform(IssuerOp::Disable { old: &open }).await.outcome;
    assert!(reason(&outcome).contains("none can be taken away"), "{outcome:?}");
    assert!(is_accepted(&with("open").probe(&open).await));
    // Nothing was made by asking.
    assert!(!server.ask(&["ACL", "LIST"]).unwrap().contains("user absent"));
    // Foreign values are refused before anything is sent.
    for value in ["redis://other:x@h", "https://h", "two\nlines"] {
        let outcome = with("idle").perform(IssuerOp::Disable { old: &credential(value) }).await.outcome;
        assert!(!outcome.is_applied(), "{value}");
    }
}

#[tokio::test]
async fn what_is_no_password_as_a_whole_is_refused_and_not_repeated() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    let near = issuer(&[&server]);
    for value in [
        format!("{},user=orders,password={OLD},ssl=False", server.address()),
        format!("orders:{OLD}"),
        format!("default:{OLD}"),
        format!("REDIS_PASSWORD={OLD}"),
        format!("\"{OLD}\""),
        format!("{OLD} "),
        format!("{{\"password\":\"{OLD}\"}}"),
        // A password that stands where a user does.
        format!("redis://{OLD}@{}", server.address()),
        format!("redis://:{OLD}/1?x@{}", server.address()),
    ] {
        let old = credential(&value);
        let outcome = near.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{value}: {outcome:?}");
        let told = near.identify(&old.value).unwrap_err().to_string();
        assert!(!format!("{outcome:?} {told}").contains("CANARY"), "{outcome:?} {told}");
        assert!(matches!(near.probe(&old).await, Probe::Inconclusive { .. }), "{value}");
    }
    assert!(is_accepted(&near.probe(&credential(OLD)).await));
}

#[tokio::test]
async fn a_url_to_another_server_is_told_unless_it_is_another_name_of_this_one() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    let with = |aliases: &[&str]| {
        let config = json!({ "admin": "env:ADMIN", "user": "orders", "aliases": aliases });
        issuer_with(&server.admin_url(), &config)
    };
    let here = credential(&server.url("orders", OLD));
    assert_eq!(with(&[]).elsewhere(&here).await, None);
    assert_eq!(with(&[]).elsewhere(&credential(OLD)).await, None);
    let there = credential(&format!("redis://orders:{OLD}@cache.internal:6379/1"));
    let why = with(&[]).elsewhere(&there).await.unwrap();
    assert!(why.contains("`aliases`") && !why.contains("cache.internal"), "{why}");
    assert!(with(&[]).warnings(Some(&there.value)).await.contains(&why));
    assert_eq!(with(&["cache.internal"]).elsewhere(&there).await, None);
}
