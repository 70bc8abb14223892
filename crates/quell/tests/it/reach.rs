//! A leaked OpenBao token, and what its policies allowed: that counts as exposed and is replaced with it.

use quell_testkit::openbao;
use serde_json::{Value, json};

use super::world::{Roles, Servers, World, private, text};

/// Adds a token with these policies to a world's inventory, kept in an env file.
fn add_token(world: &World<'_>, policy: &str) -> String {
    let name = format!("{}-ci", world.name);
    let token = world.servers.openbao.token_with(&name, policy).unwrap();
    private(&world.path("ci.env"), &format!("BAO_TOKEN={token}\n"));
    let entry = format!(
        "secrets:\n  - id: {name}\n    kind: openbao-token\n    env: prod\n    issuer: {{ openbao: {{ token: {{ policies: [default], ttl: 1h }} }} }}\n    stores: [ {{ env_file: {{ path: ci.env, key: BAO_TOKEN }} }} ]\n"
    );
    world.edit("secrets:\n", &entry);
    token
}

/// `secret: because` of an incident.
fn affected(world: &World<'_>, incident: &str) -> Vec<String> {
    let shown = world.json(&["incident", "show", incident]);
    let one = |it: &Value| {
        format!("{}: {}", it["id"].as_str().unwrap(), it["because"].as_str().unwrap_or_default())
    };
    shown["secrets"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn what_a_tokens_policies_allowed_is_exposed_and_replaced_with_it() {
    let servers = Servers::start();
    let world = World::new(&servers, "pol", Roles::Alternating, "{ approvals: { destructive: 0 } }");
    let token = add_token(
        &world,
        "path \"kv/data/apps/*\" { capabilities = [\"read\"] }
         path \"kv/data/infra/*\" { capabilities = [\"deny\"] }",
    );
    let drawn = world.ok(&["inventory", "graph", "pol-ci"]);
    assert!(!drawn.contains("pol-db"), "the inventory does not know: {drawn}");
    let drawn = world.ok(&["inventory", "graph", "pol-ci", "--ask"]);
    let why = "policy `pol-ci` gives read on `kv/data/apps/pol` by the pattern `kv/data/apps/*`";
    assert!(drawn.contains(&format!("secret pol-db: {why}")), "{drawn}");
    assert!(drawn.contains("opens what the inventory does not know: `kv/data/apps/*`: read"), "{drawn}");

    let opened = world.run(&["incident", "open", "--secret", "pol-ci", "--channel", "chat"]);
    let said = text(&opened.stderr);
    assert!(opened.status.success() && said.contains("exposed too: pol-db"), "{said}");
    let id = text(&opened.stdout).trim().to_owned();
    assert_eq!(
        affected(&world, &id),
        [
            "pol-ci: it leaked".to_owned(),
            format!("pol-db: reached from pol-ci, which leaked: pol-ci may open it: {why}")
        ]
    );
    world.ok(&["respond", &id]);
    let shown = world.json(&["incident", "show", &id]);
    assert!(shown["secrets"].as_array().unwrap().iter().all(|it| it["inert"] == true), "{shown}");
    assert!(World::login(&world.old_url).is_err(), "what it could read is dead, too");
    let lookup = openbao::ask(servers.openbao.port(), &token, "GET", "auth/token/lookup-self", &Value::Null);
    assert_eq!(lookup.unwrap().0, 403);
    world.ok(&["ledger", "verify"]);
}

/// A key that wraps others leaked, and somebody may hold what it wrapped: to wrap that anew closes nothing, so what it encrypts is changed.
#[test]
fn what_wrapped_keys_encrypt_is_exposed_and_replaced_unless_nobody_can_hold_them() {
    let servers = Servers::start();
    let bao = &servers.openbao;
    bao.request("POST", "sys/mounts/transit", &json!({"type": "transit"})).unwrap();
    for (name, held) in [("wra", "unknown"), ("wrs", "safe")] {
        let world = World::new(&servers, name, Roles::Alternating, "{ approvals: { destructive: 0 } }");
        bao.request("POST", &format!("transit/keys/{name}"), &json!({})).unwrap();
        let path = format!("transit/datakey/wrapped/{name}");
        let wrapped = bao.request("POST", &path, &json!({})).unwrap();
        let wrapped = wrapped["data"]["ciphertext"].as_str().unwrap();
        private(&world.path("kek.env"), &format!("KEY={wrapped}\n"));
        let contents = json!({
            "wrapped_keys": held,
            "stores": [{"openbao": {"mount": "kv", "path": format!("apps/{name}")}}],
            "data": ["cards of orders"],
        });
        let entry = json!([{
            "id": format!("{name}-kek"), "kind": "key-encryption-key", "env": "prod",
            "issuer": {"openbao": {"transit": {"key": name, "settle": "50ms", "contents": contents}}},
            "stores": [{"env_file": {"path": "kek.env", "key": "KEY"}}],
        }]);
        let entry = entry.to_string();
        let entry = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap();
        world.edit("secrets:\n", &format!("secrets:\n  - {entry}\n"));
        let opened =
            world.run(&["incident", "open", "--secret", &format!("{name}-kek"), "--channel", "chat"]);
        let said = text(&opened.stderr);
        assert!(opened.status.success(), "{said}");
        let id = text(&opened.stdout).trim().to_owned();
        world.ok(&["respond", &id]);
        let shown = world.json(&["incident", "show", &id]);
        assert!(shown["secrets"].as_array().unwrap().iter().all(|it| it["inert"] == true), "{shown}");
        let plan = world.ok(&["plan", &id]);
        let why = "wrapping them anew closes nothing there";
        if held == "unknown" {
            assert!(said.contains(&format!("exposed too: {name}-db")), "{said}");
            let because = affected(&world, &id).into_iter().find(|it| it.starts_with(&format!("{name}-db")));
            assert!(because.unwrap().contains(why));
            assert!(plan.contains(why) && plan.contains("cards of orders"), "{plan}");
            assert!(World::login(&world.old_url).is_err(), "what it encrypts is dead, too");
        } else {
            assert_eq!(affected(&world, &id), [format!("{name}-kek: it leaked")]);
            assert!(!plan.contains(why), "{plan}");
            assert!(World::login(&world.old_url).is_ok(), "nothing else is touched");
        }
        world.ok(&["ledger", "verify"]);
    }
}

#[test]
fn what_cannot_be_asked_is_said_to_be_unknown_and_never_nothing() {
    let servers = Servers::start();
    let world = World::new(&servers, "unk", Roles::Alternating, "{}");
    // It may read the credential that administers the database, and makes what the inventory does not know.
    let token = add_token(&world, "path \"kv/data/infra/*\" { capabilities = [\"read\"] }");
    // Quell itself may look tokens up and ask for capabilities, but read no policy.
    let own = servers.openbao.token_with(
        "own",
        "path \"auth/token/lookup-accessor\" { capabilities = [\"update\"] }
         path \"sys/capabilities-accessor\" { capabilities = [\"update\"] }",
    );
    private(&world.path("token"), &own.unwrap());
    let found = world.json(&["inventory", "graph", "unk-ci", "--ask"]);
    let db = found["reaches"].as_array().unwrap().iter().find(|it| it["node"]["name"] == "unk-db");
    assert_eq!(db.unwrap()["via"]["why"], "the server says that it has read on `kv/data/infra/unk`");
    let remarks = found["remarks"].to_string();
    assert!(
        remarks.contains("policy `unk-ci` could not be read") && remarks.contains("unknown"),
        "{remarks}"
    );

    // Not even that.
    let nothing = servers.openbao.token_with("nothing", "path \"kv/x\" { capabilities = [\"read\"] }");
    private(&world.path("token"), &nothing.unwrap());
    let opened = world.run(&["incident", "open", "--secret", "unk-ci", "--channel", "chat"]);
    let said = text(&opened.stderr);
    assert!(said.contains("what unk-ci opens is not known in full, so more may be exposed"), "{said}");
    let id = text(&opened.stdout).trim().to_owned();
    assert_eq!(affected(&world, &id), ["unk-ci: it leaked"]);
    let again = world.json(&["incident", "open", "--secret", "unk-ci", "--channel", "chat"]);
    assert!(again["remarks"][0].as_str().unwrap().contains("not known in full"), "{again}");
    let timeline = world.ok(&["incident", "timeline", &id]);
    assert!(timeline.contains("could not be read"), "{timeline}");

    // The rights are back: the plan says what the incident does not cover.
    private(&world.path("token"), servers.openbao.root_token());
    let plan = world.json(&["plan", &id]);
    let warnings = plan["plan"]["warnings"].to_string();
    assert!(warnings.contains("unk-ci opens unk-db") && warnings.contains("does not cover"), "{plan}");
    assert!(!warnings.contains(&token), "a value in a warning");
}

#[test]
fn a_policy_is_tightened_to_what_is_used_and_granted_as_a_diff_that_is_not_applied() {
    let servers = Servers::start();
    let world = World::new(&servers, "tig", Roles::Alternating, "{}");
    let policy = "# The pipeline.\npath \"kv/data/apps/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n\
                  path \"kv/data/infra/*\" { capabilities = [\"read\"] }\npath \"kv/metadata/*\" { capabilities = [\"list\"] }\n";
    let token = add_token(&world, policy);
    let get = |token: &str, path: &str| {
        openbao::ask(servers.openbao.port(), token, "GET", path, &Value::Null).unwrap().0
    };
    let log = servers.openbao.audit_log();
    let log = log.to_str().unwrap();
    let review = |more: &[&str]| {
        let mut args = vec!["inventory", "tighten", "tig-ci"];
        args.extend_from_slice(more);
        world.json(&args)
    };
    // Nobody used it and nothing is granted: nothing is needed.
    let nothing = review(&["--audit-log", log]);
    assert_eq!(nothing["policies"][0]["proposed"], "# The pipeline.\n", "{nothing}");

    world.edit(
        "kind: openbao-token\n",
        "kind: openbao-token\n    grants: [ { secret: tig-db, access: read } ]\n",
    );
    let granted = review(&[]);
    let needed = &granted["policies"][0]["rules"][0]["needed"];
    assert_eq!(needed[0]["path"], "kv/data/apps/tig");
    assert_eq!(needed[0]["because"][0], "the grant of tig-db");
    assert!(granted["remarks"].to_string().contains("--audit-log"), "{granted}");

    // Another holder of the same policy uses another path; a request that was refused is no use.
    assert_eq!(get(&token, "kv/data/apps/tig"), 200);
    let other = servers.openbao.token_with("tig-ci", policy).unwrap();
    assert_eq!(get(&other, "kv/metadata/apps/?list=true"), 200);
    assert_eq!(get(&token, "kv/data/elsewhere"), 403);
    let output = world.run(&["inventory", "tighten", "tig-ci", "--audit-log", log]);
    let (diff, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    insta::assert_snapshot!(diff, @r#"
    --- policy/tig-ci (today)
    +++ policy/tig-ci (proposed)
    @@ -1,4 +1,7 @@
     # The pipeline.
    -path "kv/data/apps/*" { capabilities = ["create", "read", "update"] }
    -path "kv/data/infra/*" { capabilities = ["read"] }
    -path "kv/metadata/*" { capabilities = ["list"] }
    +path "kv/data/apps/tig" {
    +  capabilities = ["read"]
    +}
    +path "kv/metadata/apps/" {
    +  capabilities = ["list"]
    +}
    "#);
    assert!(said.contains("kv/data/infra/*` gives read: not needed"), "{said}");
    assert!(said.contains("--until") && said.contains("nothing was changed"), "{said}");
    assert!(!diff.contains(&token) && !said.contains(&token));
    let now = servers.openbao.request("GET", "sys/policies/acl/tig-ci", &Value::Null).unwrap();
    assert_eq!(now["data"]["policy"], policy, "it is not applied");

    // The proposal does what is needed and nothing else, by the server's word.
    let review = review(&["--audit-log", log]);
    let proposed = review["policies"][0]["proposed"].as_str().unwrap();
    let tight = servers.openbao.token_with("tight", proposed).unwrap();
    assert_eq!(get(&tight, "kv/data/apps/tig"), 200);
    assert_eq!(get(&tight, "kv/metadata/apps/?list=true"), 200);
    for closed in ["kv/data/apps/other", "kv/data/infra/tig", "kv/metadata/?list=true"] {
        assert_eq!(get(&tight, closed), 403, "{closed}");
    }
    // What came after the leak does not count.
    let early = world.json(&[
        "inventory",
        "tighten",
        "tig-ci",
        "--audit-log",
        log,
        "--until",
        "2020-01-01T00:00:00Z",
    ]);
    assert_eq!(early["requests"], 0);
    assert_eq!(early["policies"][0]["rules"][2]["needed"], serde_json::json!([]));

    let wrong = world.run(&["inventory", "tighten", "tig-db"]);
    assert!(text(&wrong.stderr).contains("is issued by `postgres`"), "{}", text(&wrong.stderr));
}
