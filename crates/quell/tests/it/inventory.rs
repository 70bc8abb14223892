//! `quell inventory`: what is checked against the real systems, and how the graph is drawn.

use serde_json::{Value, json};

use super::world::{Roles, Servers, World, private, text};

fn failed(checks: &Value) -> Vec<String> {
    let checks = checks["checks"].as_array().unwrap();
    let bad = checks.iter().filter(|c| c["ok"] == false);
    bad.map(|c| {
        format!(
            "{}: {}: {}",
            c["part"].as_str().unwrap(),
            c["what"].as_str().unwrap(),
            c["detail"].as_str().unwrap()
        )
    })
    .collect()
}

#[test]
fn a_check_reaches_every_system_and_names_what_is_missing() {
    let servers = Servers::start();
    let world = World::new(&servers, "inv", Roles::Alternating, "{}");
    let good = world.json(&["inventory", "check"]);
    assert_eq!((&good["ok"], failed(&good)), (&true.into(), Vec::new()));
    for part in ["issuer", "stores[0]", "stores[1]", "consumers.api.reload", "consumers.worker.observe"] {
        assert!(
            good["checks"].as_array().unwrap().iter().any(|c| c["part"] == part),
            "{part} was not checked"
        );
    }
    let check = || {
        let output = world.run(&["inventory", "check", "--json"]);
        assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
        failed(&serde_json::from_slice(&output.stdout).unwrap())
    };

    // An administrator that may log in and nothing else.
    servers.postgres.psql("CREATE ROLE weak LOGIN PASSWORD 'weak-weak-weak'").unwrap();
    world.edit("openbao:kv/infra/inv#admin_url", "file:admin.url");
    private(&world.path("admin.url"), &servers.postgres.url("weak", "weak-weak-weak", "postgres"));
    let weak = check();
    for what in ["may change the password of `inv_a`", "may end the sessions of `inv_b`"] {
        assert!(weak.iter().any(|line| line.starts_with(&format!("issuer: {what}"))), "{what}: {weak:#?}");
    }
    assert!(weak.iter().any(|line| line.contains("CREATEROLE")), "it says what would help: {weak:#?}");
    private(&world.path("admin.url"), &servers.postgres.admin_url());

    // A token that may do nothing.
    let policy = "path \"kv/data/other/*\" { capabilities = [\"read\"] }";
    let token = servers.openbao.token_with("nothing", policy).unwrap();
    private(&world.path("token"), &token);
    let powerless = check();
    assert!(
        powerless.iter().any(|line| line.starts_with("stores[0]") && line.contains("kv/data/apps/inv")),
        "{powerless:#?}"
    );
    private(&world.path("token"), servers.openbao.root_token());

    // A consumer that is not there; everything else is checked all the same.
    let port = world.port("api").to_string();
    world.edit(&format!("127.0.0.1:{port}/healthz"), "127.0.0.1:1/healthz");
    let gone = check();
    assert!(gone.len() == 1 && gone[0].starts_with("consumers.api.observe"), "{gone:#?}");
    let offline = world.json(&["inventory", "check", "--offline"]);
    assert_eq!((&offline["ok"], &offline["secrets"]), (&true.into(), &json!(["inv-db"])));
    // What was looked at was not changed.
    assert_eq!(world.kv()["data"]["DATABASE_URL"], world.old_url.as_str());
    assert_eq!(World::login(&world.old_url).as_deref(), Ok("inv_a"));
}

const CHAIN: &str = r#"secrets:
  - id: vault-root
    kind: openbao-token
    env: prod
    tier: infrastructure
    issuer: { openbao_token: { accessor: "abc" } }
    grants:
      - { secret: orders-db, access: admin }
  - id: orders-db
    kind: postgres-password
    env: prod
    issuer: { postgres: { admin: "file:admin.url", roles: [a, b], group: g } }
    consumers:
      - name: "orders-api"
        observe: { http: "http://127.0.0.1:1/healthz", generation: ".gen" }
    grants:
      - { resource: "postgres:orders", access: write, data: [personal] }
"#;

#[test]
fn the_graph_is_drawn_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("quell.yaml"), CHAIN).unwrap();
    let graph = |args: &[&str]| {
        let output = std::process::Command::new(super::world::quell_program())
            .args(["inventory", "graph"])
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, drawn, said) = graph(&["vault-root"]);
    assert_eq!(code, 0, "{said}");
    // Transitive: the token opens the database's password, which opens personal data.
    for word in ["orders-db", "orders-api", "postgres:orders", "personal"] {
        assert!(drawn.contains(word), "{word}: {drawn}");
    }
    let (_, found, _) = graph(&["vault-root", "--json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["v"], &found["secret"]), (&1.into(), &"vault-root".into()));
    assert_eq!(found["reaches"].as_array().unwrap().len(), 3, "{found}");
    let (code, dot, _) = graph(&["--format", "dot"]);
    assert!(code == 0 && dot.starts_with("digraph") && dot.ends_with("}\n"), "{dot}");
    assert_eq!(dot.matches('{').count(), dot.matches('}').count());
    let (code, mermaid, _) = graph(&["vault-root", "--format", "mermaid"]);
    assert!(code == 0 && (mermaid.starts_with("graph") || mermaid.starts_with("flowchart")), "{mermaid}");
    let (code, _, said) = graph(&["nobody"]);
    assert!(code == 2 && said.contains("nobody") && said.contains("inventory check"), "{said}");
    let (code, _, said) = graph(&[]);
    assert!(code == 2 && said.contains("--format"), "{said}");
}

/// What `quell init` writes is an inventory, and so is its example, once its comment signs are gone.
#[test]
fn the_inventory_that_init_writes_parses_and_so_does_its_example() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quell.yaml");
    let run = |args: &[&str]| {
        let output = std::process::Command::new(super::world::quell_program())
            .args(args)
            .args(["--data-dir", "data"])
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let made = run(&["init", "--json"]);
    assert_eq!(made["inventory_written"], true);
    assert_eq!(run(&["inventory", "check", "--offline", "--json"])["secrets"], json!([]));
    assert_eq!(run(&["inventory", "check", "--json"])["ok"], true);
    assert_eq!(run(&["doctor", "--json"])["ok"], true);

    let written = std::fs::read_to_string(&path).unwrap();
    let uncommented: String = written
        .lines()
        .map(|line| match line.strip_prefix('#') {
            // An example line is indented; prose follows `# ` directly.
            Some(example) if example.starts_with("  ") && !example.contains("openbao:mount") => {
                format!("{example}\n")
            }
            _ => format!(
                "{}\n",
                line.replace(": {}", ":").replace(": []", ":").replace("pre_approved:", "pre_approved: []")
            ),
        })
        .collect();
    std::fs::write(&path, &uncommented).unwrap();
    let checked = run(&["inventory", "check", "--offline", "--json"]);
    assert_eq!(checked["secrets"], json!(["orders-db"]), "{uncommented}");
}
