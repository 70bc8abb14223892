//! Many secrets of several kinds in one incident.

use std::process::Stdio;

use quell_testkit::{mariadb, openbao, postgres, redis as cache};
use serde_json::{Value, json};

use super::company::{Company, Entry, a_token, on_postgres, one_role_on_postgres};
use super::{mariadb as mariadb_kind, redis as redis_kind};
use crate::world::text;

#[track_caller]
fn at(began: &[String], step: &str) -> usize {
    began.iter().position(|s| s == step).unwrap_or_else(|| panic!("{step} never began: {began:?}"))
}

fn no_approvals() -> Value {
    json!({"approvals": {"destructive": 0}})
}

#[test]
fn many_kinds_are_made_first_then_switched_tier_by_tier_and_all_are_proven() {
    let postgres = postgres::Server::start(&[]).unwrap();
    let mariadb = mariadb::Server::start().unwrap();
    let redis = cache::Server::start(cache::Keeps::File).unwrap();
    let bao = openbao::Server::start().unwrap();
    let entries = vec![
        Entry::new("pg-web", on_postgres(&postgres, "web")).after("pg-base"),
        Entry::new("pg-base", on_postgres(&postgres, "base")).tier("infrastructure"),
        Entry::new("pg-one", one_role_on_postgres(&postgres, "one")),
        Entry::new("maria-web", mariadb_kind::kind(&mariadb, "web", mariadb.port())),
        Entry::new("maria-mail", mariadb_kind::kind(&mariadb, "mail", mariadb.port())).tier("integration"),
        Entry::new("redis-web", redis_kind::kind(&redis, "web", redis.port())),
        Entry::new("redis-base", redis_kind::kind(&redis, "base", redis.port())).tier("infrastructure"),
        Entry::new("token-a", a_token(&bao)),
        Entry::new("token-b", a_token(&bao)).tier("human"),
    ];
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), bao.root_token()).unwrap();
    let connections =
        json!({"openbao": {"address": bao.addr(), "token": format!("file:{}", token.path().display())}});
    let mut company = Company::new(entries, &connections, &no_approvals());
    let all: Vec<String> = company.all().into_iter().map(str::to_owned).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let id = company.leak(&all, "chat");
    let watch = company.watch();
    // A crash in the middle of the whole: what is done is not done again.
    let killed = company.quell(&["respond", &id], Some("maria-web.install:after-effect"));
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    let said = text(&company.quell(&["respond", &id], None).stderr);
    assert!(said.contains("9 secrets: 9 inert, 0 not inert, 0 nobody can tell"), "{said}");
    assert!(said.contains("9 of 9 secrets proven"), "{said}");
    let (outage, asked) = watch.end();
    assert!(
        outage.is_zero() && asked > 3,
        "a consumer could not log in for {outage:?} (asked {asked} times)"
    );
    company.assert_inert_all();

    let began = company.began(&id);
    // The one that keeps one value at a time cannot be made before it is switched.
    let made = all.iter().filter(|s| **s != "pg-one").map(|s| at(&began, &format!("{s}.probe-new")));
    let last_made = made.max().unwrap();
    let first_switched = all.iter().map(|s| at(&began, &format!("{s}.store-0"))).min().unwrap();
    assert!(last_made < first_switched.min(at(&began, "pg-one.install")), "{began:?}");
    for (earlier, later) in [
        ("pg-base.prove", "pg-web.store-0"),
        ("redis-base.prove", "token-a.store-0"),
        ("token-a.prove", "maria-mail.store-0"),
        ("maria-mail.prove", "token-b.store-0"),
    ] {
        assert!(at(&began, earlier) < at(&began, later), "{earlier} before {later}: {began:?}");
    }
    company.ok(&["ledger", "verify"]);
}

#[test]
fn after_too_many_failures_it_stops_and_a_person_lets_it_go_on() {
    let postgres = postgres::Server::start(&[]).unwrap();
    let names = ["s0", "s1", "s2", "s3", "s4"];
    let entries = names.map(|id| Entry::new(id, on_postgres(&postgres, id)));
    // The idle role of two of them is gone: nothing can be installed there.
    postgres.psql("DROP ROLE s0_b; DROP ROLE s1_b").unwrap();
    let policy = json!({"approvals": {"destructive": 0}, "mass": {"stop_after": 2}});
    let mut company = Company::new(entries.into(), &json!({}), &policy);
    let id = company.leak(&names, "chat");
    let stopped = company.quell(&["respond", &id], None);
    let said = text(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(4), "{said}");
    assert!(said.contains("paused: 2 secrets could not be done (s0, s1)"), "{said}");
    assert!(said.contains(&format!("quell resume {id}")), "{said}");
    company.assert_untouched(&names);
    let rows = company.standing(&id);
    assert!(rows.iter().all(|(_, inert)| inert == "no"), "{rows:?}");
    assert_eq!((rows[0].0.as_str(), rows[1].0.as_str()), ("s0", "s1"), "what gave up comes first");

    // Going on without a word is refused the same way; nothing has changed.
    assert_eq!(company.quell(&["respond", &id], None).status.code(), Some(4));
    company.assert_untouched(&names);

    company.ok(&["resume", &id, "--reason", "the two are known; the others go on"]);
    let rest = company.quell(&["respond", &id], None);
    assert_eq!(rest.status.code(), Some(5), "two are left: {}", text(&rest.stderr));
    company.assert_inert(&["s2", "s3", "s4"]);
    company.assert_untouched(&["s0", "s1"]);

    // The cause is mended, and what failed is taken up.
    postgres
        .psql("CREATE ROLE s0_b NOLOGIN IN ROLE s0_owner; CREATE ROLE s1_b NOLOGIN IN ROLE s1_owner")
        .unwrap();
    let shown = company.json(&["incident", "secrets", &id, "--json"]);
    for row in shown["secrets"].as_array().unwrap().iter().filter(|r| r["state"] == "failed") {
        company.ok(&["step", "retry", &id, row["at"].as_str().unwrap()]);
    }
    company.ok(&["respond", &id]);
    company.assert_inert_all();
    company.ok(&["ledger", "verify"]);
}

#[test]
fn a_pause_holds_for_everybody_until_it_is_lifted() {
    let postgres = postgres::Server::start(&[]).unwrap();
    let names = ["s0", "s1"];
    let entries = names.map(|id| Entry::new(id, on_postgres(&postgres, id)));
    let mut company = Company::new(entries.into(), &json!({}), &no_approvals());
    let id = company.leak(&names, "public-repo");
    assert_eq!(company.quell(&["pause", &id, "--reason", "x"], None).status.code(), Some(3), "no plan yet");
    company.ok(&["plan", &id]);
    let ready = company.quell(&["plan", &id, "--check", "--json"], None);
    assert_eq!(ready.status.code(), Some(5), "nobody owns them");
    let ready: Value = serde_json::from_slice(&ready.stdout).unwrap();
    let row = &ready["secrets"][0];
    let missing = row["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "every system answers: {missing:?}");
    assert!(missing[0].as_str().unwrap().contains("nobody owns it"), "{missing:?}");
    assert_eq!((&row["secret"], &row["consumers"]), (&json!("s0"), &json!(["s0-api"])), "{row}");
    assert!(row["way_back"].as_str().unwrap().contains("never to the leaked value"), "{row}");
    assert!(row["breaks"][0].as_str().unwrap().starts_with("s0.disable: s0-api cannot log in"), "{row}");
    company.ok(&["pause", &id, "--now", "--reason", "the wrong cluster?"]);
    let held = company.quell(&["respond", &id], None);
    assert_eq!(held.status.code(), Some(4));
    assert!(text(&held.stderr).contains("paused: the wrong cluster?"), "{}", text(&held.stderr));
    assert_eq!(company.began(&id), Vec::<String>::new());
    // A new plan does not lift it.
    company.ok(&["plan", &id, "--again"]);
    assert_eq!(company.quell(&["respond", &id], None).status.code(), Some(4));
    assert_eq!(company.began(&id), Vec::<String>::new());
    company.assert_untouched(&names);
    company.ok(&["resume", &id, "--reason", "it is the right one"]);
    company.ok(&["respond", &id]);
    company.assert_inert_all();
    let timeline = company.ok(&["incident", "timeline", &id]);
    assert!(timeline.contains("plan held: nothing starts any more"), "{timeline}");
    assert!(timeline.contains("plan resumed"), "{timeline}");
}

/// Whoever pauses must not lose the race against a plan that writes all the time.
#[test]
fn a_pause_lands_while_a_plan_is_busy() {
    let postgres = postgres::Server::start(&[("max_connections", "500")]).unwrap();
    let names: Vec<String> = (0..40).map(|i| format!("s{i}")).collect();
    let entries = names.iter().map(|id| Entry::new(id, on_postgres(&postgres, id)));
    let mut company = Company::new(entries.collect(), &json!({}), &no_approvals());
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let id = company.leak(&all, "chat");
    company.ok(&["plan", &id]);
    let mut respond = company.command(&["respond", &id]);
    let mut responding = respond.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !company.began(&id).iter().any(|s| s.ends_with(".store-0")) {
        assert!(responding.try_wait().unwrap().is_none(), "it was over before anybody could pause it");
    }
    let paused = company.quell(&["pause", &id, "--now", "--reason", "the wrong cluster"], None);
    let said = responding.wait_with_output().unwrap();
    assert!(paused.status.success(), "{}", text(&paused.stderr));
    assert_eq!(said.status.code(), Some(4), "{}", text(&said.stderr));
    let standing = company.standing(&id);
    let began = company.began(&id);
    let is_whole = |s: &&str| !began.iter().any(|step| *step == format!("{s}.store-0"));
    let whole: Vec<&str> = all.iter().copied().filter(is_whole).collect();
    assert!(!whole.is_empty(), "it was too late for everybody: {standing:?}");
    company.assert_untouched(&whole);
    company.ok(&["resume", &id, "--reason", "it is the right one"]);
    company.ok(&["respond", &id]);
    company.assert_inert_all();
}

#[test]
fn an_incident_that_is_wider_takes_neighbours_in() {
    let postgres = postgres::Server::start(&[]).unwrap();
    let names = ["orders", "mail"];
    let entries = names.map(|id| Entry::new(id, on_postgres(&postgres, id)));
    let mut company = Company::new(entries.into(), &json!({}), &no_approvals());
    // Both are read by the same process.
    let file = company.folder.path().join("quell.yaml");
    let inventory = std::fs::read_to_string(&file).unwrap().replace("mail-api", "orders-api");
    std::fs::write(&file, inventory).unwrap();
    let id = company.leak(&["orders"], "chat");
    company.ok(&["respond", &id]);
    company.assert_untouched(&["mail"]);
    let found = company.json(&["incident", "adjacent", &id, "--json"]);
    assert_eq!(found["adjacent"][0]["secret"], "mail", "{found}");
    assert_eq!(
        found["adjacent"][0]["reasons"][0], "read by the same process as orders (orders-api)",
        "{found}"
    );
    company.ok(&["incident", "add", &id, "--secret", "mail", "--reason", "the whole process was dumped"]);
    assert!(
        company.json(&["incident", "adjacent", &id, "--json"])["adjacent"].as_array().unwrap().is_empty()
    );
    let standing = company.standing(&id);
    assert!(standing.contains(&("mail".to_owned(), "no".to_owned())), "{standing:?}");
    assert!(standing.contains(&("orders".to_owned(), "yes".to_owned())), "{standing:?}");
    let orders = company.value("orders");
    company.ok(&["plan", &id, "--again"]);
    company.ok(&["respond", &id]);
    company.assert_inert_all();
    assert_eq!(company.value("orders"), orders, "what was done is not done again");
    company.ok(&["ledger", "verify"]);
}

#[test]
fn a_password_that_another_account_has_too_is_named() {
    let postgres = postgres::Server::start(&[]).unwrap();
    let orders = on_postgres(&postgres, "orders");
    let mut mail = on_postgres(&postgres, "mail");
    let (_, login) = orders.old.split_once("://").unwrap();
    let password = login.split_once(':').unwrap().1.split_once('@').unwrap().0;
    postgres.psql(&format!("ALTER ROLE mail_a PASSWORD '{password}'")).unwrap();
    mail.old = orders.old.replace("orders_a", "mail_a");
    let (gone, far) = (on_postgres(&postgres, "gone"), on_postgres(&postgres, "far"));
    let kept = gone.kept;
    let entries = [("gone", gone), ("far", far), ("mail", mail), ("orders", orders)];
    let entries = entries.into_iter().map(|(id, kind)| Entry::new(id, kind)).collect();
    let company = Company::new(entries, &json!({}), &no_approvals());
    // A store that cannot be read keeps nobody from asking the others.
    std::fs::remove_file(kept.file(&company.folder.path().join("gone"))).unwrap();
    let id = company.leak(&["orders"], "chat");
    let same = json!([{"secret": "mail", "reasons": ["has the same value as orders"]}]);
    assert_eq!(company.json(&["incident", "adjacent", &id, "--json"])["adjacent"], same);
    // The store of what leaked holds its successor now, and the other account still has the leaked password.
    company.ok(&["respond", &id]);
    assert_eq!(company.json(&["incident", "adjacent", &id, "--json"])["adjacent"], same);
}

#[test]
fn a_circle_is_shown_with_what_would_cut_it() {
    let postgres = postgres::Server::start(&[]).unwrap();
    let bao = openbao::Server::start().unwrap();
    // Each is administered with what the other one's store holds.
    let secret = |id: &str, admin: &str| {
        let kind = on_postgres(&postgres, id);
        let place = format!("kv/data/infra/{id}");
        bao.request("POST", &place, &json!({"data": {"url": kind.old}})).unwrap();
        let mut issuer = kind.issuer;
        issuer["postgres"]["admin"] = json!(format!("openbao:kv/infra/{admin}#url"));
        json!({
            "id": id, "kind": kind.name, "env": "prod", "issuer": issuer,
            "stores": [{"openbao": {"mount": "kv", "path": format!("infra/{id}"), "key": "url"}}],
        })
    };
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), bao.root_token()).unwrap();
    let inventory = json!({
        "connections": {"openbao": {"address": bao.addr(), "token": format!("file:{}", token.path().display())}},
        "secrets": [secret("a", "b"), secret("b", "a")],
    });
    let company = Company::new(Vec::new(), &json!({}), &no_approvals());
    std::fs::write(company.folder.path().join("quell.yaml"), inventory.to_string()).unwrap();
    let id = company.leak(&["a"], "chat");
    let refused = company.quell(&["plan", &id], None);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("circle: a needs b needs a"), "{said}");
    assert!(said.contains("the issuer of a is administered with b (quell.yaml:1)"), "{said}");
    assert!(said.contains("the issuer of b is administered with a (quell.yaml:1)"), "{said}");
}
