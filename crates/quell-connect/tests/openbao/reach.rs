//! What a token or a role opens: Quell's evaluation of policies beside the server's own.

use quell_connect::connector::{Issuer, Opens};
use quell_core::inventory::{Place, PlaceKind};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::openbao::Server;
use serde_json::{Value, json};

use crate::{context, issuer, policy, value};

fn place(kind: PlaceKind, config: Value) -> Place {
    Place { secret: "some-secret".parse().unwrap(), kind, connector: "openbao".to_owned(), config }
}

fn kv(path: &str) -> Place {
    place(PlaceKind::Store, json!({ "mount": "kv", "path": path, "key": "k" }))
}

fn tokens(server: &Server, own: &str) -> Box<dyn Issuer> {
    issuer(&context(&server.addr(), own), &json!({ "token": {} }))
}

async fn opens(issuer: &dyn Issuer, token: &str, places: &[Place]) -> Opens {
    let old = issuer.identify(&value(token)).unwrap();
    issuer.opens(&old, places).await.unwrap()
}

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn pattern(&mut self) -> String {
        let mut pattern = if self.below(8) == 0 { "+/data" } else { "kv/data" }.to_owned();
        for _ in 0..=self.below(3) {
            pattern = format!("{pattern}/{}", self.one(&["a", "b", "ab", "+", "+", "a"]));
        }
        match self.below(4) {
            0 if !pattern.ends_with('+') => pattern + "*",
            1 => pattern + "/*",
            _ => pattern,
        }
    }

    fn policy(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(6) {
            let gives = self.one(&[
                "\"read\"",
                "\"list\"",
                "\"read\", \"update\"",
                "\"deny\"",
                "\"create\"",
                "\"read\"",
            ]);
            let pattern = self.pattern();
            text = format!("{text}path \"{pattern}\" {{ capabilities = [{gives}] }}\n");
        }
        text
    }
}

#[tokio::test]
async fn quells_evaluation_agrees_with_the_server_on_every_path() {
    let server = Server::start().unwrap();
    let issuer = tokens(&server, server.root_token());
    let names = ["a", "b", "ab", "c"];
    let mut paths: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    for _ in 0..2 {
        let deeper: Vec<_> =
            paths.iter().flat_map(|path| names.iter().map(move |name| format!("{path}/{name}"))).collect();
        paths.extend(deeper);
        paths.sort();
        paths.dedup();
    }
    let places: Vec<Place> = paths.iter().map(|path| kv(path)).collect();
    let mut dice = Dice(7);
    let (mut open, mut closed) = (0, 0);
    for round in 0..60 {
        let mut texts = Vec::new();
        let mut policies = Vec::new();
        for n in 0..3 {
            let (name, text) = (format!("p{round}-{n}"), dice.policy());
            let body = json!({ "policy": text });
            server.request("PUT", &format!("sys/policies/acl/{name}"), &body).unwrap();
            policies.push(name);
            texts.push(text);
        }
        let made = server.request("POST", "auth/token/create", &json!({ "policies": policies })).unwrap();
        let found = opens(&*issuer, made["auth"]["client_token"].as_str().unwrap(), &places).await;
        // Where the two differ, one of these is said.
        assert_eq!(found.unknown, Vec::<String>::new(), "{}", texts.concat());
        for opened in &found.opened {
            assert!(opened.why.starts_with("polic"), "{}: {}", opened.why, texts.concat());
        }
        open += found.opened.len();
        closed += places.len() - found.opened.len();
    }
    assert!(open > 200 && closed > 200, "{open} {closed}: both answers were compared");
}

#[tokio::test]
async fn each_kind_of_place_is_opened_by_its_path_and_the_reason_names_it() {
    let server = Server::start().unwrap();
    // With the policies of the operator's page, not as root.
    let own = server.token_with("documented", &format!("{}{}", policy(1), policy(5))).unwrap();
    let issuer = tokens(&server, &own);
    let places = [
        kv("apps/orders"),
        place(PlaceKind::Admin, json!({ "mount": "kv", "path": "infra/pg", "key": "admin_url" })),
        place(PlaceKind::Issuer, json!({ "database": { "mount": "database", "role": "orders" } })),
        place(PlaceKind::Issuer, json!({ "approle": { "role": "orders" } })),
        place(PlaceKind::Issuer, json!({ "token": {} })),
        kv("apps/closed"),
    ];
    let token = server
        .token_with(
            "wide",
            "path \"kv/data/apps/+\" { capabilities = [\"read\"] required_parameters = [\"version\"] }
             path \"kv/data/apps/closed\" { capabilities = [\"deny\"] }
             path \"kv/data/infra/pg\" { policy = \"read\" }
             path \"database/creds/*\" { capabilities = [\"read\"] }
             path \"auth/approle/role/orders/secret-id\" { capabilities = [\"update\"] }
             path \"transit/decrypt/orders\" { capabilities = [\"update\"] }",
        )
        .unwrap();
    let found = opens(&*issuer, &token, &places).await;
    let opened: Vec<String> = found.opened.iter().map(|it| format!("{} {}", it.place, it.why)).collect();
    insta::assert_debug_snapshot!((opened, &found.unknown, &found.elsewhere), @r#"
    (
        [
            "0 policy `wide` gives read on `kv/data/apps/orders` by the pattern `kv/data/apps/+`, under conditions that were not evaluated: `required_parameters`",
            "1 policy `wide` gives read on `kv/data/infra/pg`",
            "2 policy `wide` gives read on `database/creds/orders` by the pattern `database/creds/*`",
            "3 policy `wide` gives update on `auth/approle/role/orders/secret-id`",
        ],
        [],
        [
            "`database/creds/*`: read (policy `wide`)",
            "`kv/data/apps/+`: read (policy `wide`)",
            "`transit/decrypt/orders`: update (policy `wide`)",
        ],
    )
    "#);
    // By the accessor alone the same.
    let looked = server.request("POST", "auth/token/lookup", &json!({ "token": token })).unwrap();
    let accessor = looked["data"]["accessor"].as_str().unwrap().to_owned();
    let old = Credential { principal: accessor, value: SecretValue::new(Vec::new()) };
    assert_eq!(issuer.opens(&old, &places).await.unwrap(), found);
    // A batch token has no accessor: Quell's evaluation alone.
    let batch = json!({ "type": "batch", "policies": ["wide"], "ttl": "1h" });
    let batch = server.request("POST", "auth/token/create", &batch).unwrap();
    assert_eq!(opens(&*issuer, batch["auth"]["client_token"].as_str().unwrap(), &places).await, found);

    let everything = opens(&*issuer, server.root_token(), &places).await;
    assert_eq!(everything.opened.len(), 6, "{everything:?}");
    assert_eq!(everything.elsewhere, ["everything: it has the policy `root`"]);

    server.request("POST", "auth/token/revoke", &json!({ "token": token })).unwrap();
    let old = issuer.identify(&value(&token)).unwrap();
    let gone = issuer.opens(&old, &places).await.unwrap_err();
    assert!(gone.detail.contains("the token is gone"), "{gone}");
}

#[tokio::test]
async fn a_role_opens_what_its_policies_and_those_of_its_entity_and_groups_give() {
    let server = Server::start().unwrap();
    server.request("POST", "sys/auth/approle", &json!({ "type": "approle" })).unwrap();
    let body = json!({ "token_policies": ["own"] });
    server.request("POST", "auth/approle/role/orders", &body).unwrap();
    server.request("POST", "auth/approle/role/orders/role-id", &json!({ "role_id": "orders-id" })).unwrap();
    server
        .request("POST", "auth/approle/role/orders/custom-secret-id", &json!({ "secret_id": "s" }))
        .unwrap();
    for name in ["own", "entity", "group"] {
        let text = format!("path \"kv/data/{name}\" {{ capabilities = [\"read\"] }}");
        server.request("PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": text })).unwrap();
    }
    let own = server.token_with("documented", &format!("{}{}", policy(3), policy(5))).unwrap();
    let issuer = issuer(&context(&server.addr(), &own), &json!({ "approle": { "role": "orders" } }));
    let places = [kv("own"), kv("entity"), kv("group"), kv("other")];
    let open = |found: &Opens| found.opened.iter().map(|it| it.place).collect::<Vec<_>>();
    assert_eq!(open(&opens(&*issuer, "s", &places).await), [0]);

    let login = json!({ "role_id": "orders-id", "secret_id": "s" });
    let (_, answer) = server.request_as("", "POST", "auth/approle/login", &login).unwrap();
    let entity = answer["auth"]["entity_id"].as_str().unwrap();
    server
        .request("POST", &format!("identity/entity/id/{entity}"), &json!({ "policies": ["entity"] }))
        .unwrap();
    let group = json!({ "name": "g", "policies": ["group"], "member_entity_ids": [entity] });
    server.request("POST", "identity/group", &group).unwrap();
    let found = opens(&*issuer, "s", &places).await;
    assert_eq!(open(&found), [0, 1, 2]);
    assert_eq!(found.unknown, Vec::<String>::new());

    // A pattern that depends on who asks, and nobody to ask about.
    let text = "path \"kv/data/{{identity.entity.id}}\" { capabilities = [\"read\"] }";
    server.request("PUT", "sys/policies/acl/own", &json!({ "policy": text })).unwrap();
    let found = opens(&*issuer, "s", &[kv(entity)]).await;
    assert!(found.opened.is_empty() && found.unknown[0].contains("depends on who asks"), "{found:?}");
    // A token of it can be asked about, and the server knows.
    let tokens = tokens(&server, server.root_token());
    let found = opens(&*tokens, answer["auth"]["client_token"].as_str().unwrap(), &[kv(entity)]).await;
    assert_eq!(found.opened[0].why, format!("the server says that it has read on `kv/data/{entity}`"));

    // Without the rights to ask for the entity that is unknown.
    let less = server.token_with("less", &policy(3)).unwrap();
    let issuer = crate::issuer(&context(&server.addr(), &less), &json!({ "approle": { "role": "orders" } }));
    let found = opens(&*issuer, "s", &places).await;
    assert!(found.unknown.iter().any(|line| line.contains("identity/lookup/entity")), "{found:?}");
    assert!(found.unknown.iter().any(|line| line.contains("policy `own` could not be read")), "{found:?}");
}
