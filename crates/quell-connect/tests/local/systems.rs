//! The contract, on real servers of the connectors that have tests of their own beside this.

use std::collections::BTreeMap;
use std::sync::Arc;

use quell_connect::conformance::{self, Subject};
use quell_connect::context::Context;
use quell_core::secret::Credential;
use quell_testkit::{openbao, postgres};
use serde_json::{Value, json};

use super::{LONG, context, fresh, secret, store, with_environment, with_limit};

fn connected(id: &str, connection: Value, environment: &[(&str, &str)]) -> Context {
    let mut context = with_environment(context(std::path::Path::new("/")), environment);
    context.connections = Arc::new(BTreeMap::from([(id.to_owned(), connection)]));
    context
}

#[tokio::test]
async fn openbao_keeps_the_contract() {
    let server = openbao::Server::start().unwrap();
    let root = server.root_token();
    let connection = json!({ "address": server.addr(), "token": "env:TOKEN" });
    let bao = connected("openbao", connection, &[("TOKEN", root)]);
    let place = json!({ "mount": "secret", "path": "apps/orders", "key": "DATABASE_URL" });
    server.request("POST", "secret/data/apps/orders", &json!({ "data": { "OTHER": "kept" } })).unwrap();
    conformance::store(&*store("openbao", &place, &bao), fresh).await.unwrap();

    let body = json!({ "policies": ["default"], "ttl": "1h" });
    let (_, made) = server.request_as(root, "POST", "auth/token/create", &body).unwrap();
    let field = |name: &str| made["auth"][name].as_str().unwrap().to_owned();
    let old = Credential { principal: field("accessor"), value: secret(&field("client_token")) };
    let build = quell_connect::find("openbao").unwrap().issuer.unwrap();
    let issuer = build(&json!({ "token": { "accessor": old.principal } }), &bao).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
}

#[tokio::test]
async fn postgres_keeps_the_contract_with_one_role_and_with_two() {
    let server = postgres::Server::start(&[]).unwrap();
    let admin = server.admin_url();
    let context = with_environment(context(std::path::Path::new("/")), &[("ADMIN", &admin)]);
    let build = quell_connect::find("postgres").unwrap().issuer.unwrap();
    for (roles, config) in [
        (["one_a", "one_b"], json!({ "admin": "env:ADMIN", "roles": ["one_a"] })),
        (
            ["two_a", "two_b"],
            json!({ "admin": "env:ADMIN", "roles": ["two_a", "two_b"], "group": "two_a_owner" }),
        ),
    ] {
        let [a, b] = roles;
        let owner = format!("{a}_owner");
        server
            .psql(&format!(
                "CREATE ROLE {owner} NOLOGIN; CREATE ROLE {a} LOGIN PASSWORD 'CANARY-old-password' IN ROLE {owner}; \
                 CREATE ROLE {b} NOLOGIN IN ROLE {owner}; ALTER ROLE {a} SET role = {owner}; ALTER ROLE {b} SET role = {owner}"
            ))
            .unwrap();
        let value = secret(&server.url(a, "CANARY-old-password", "postgres"));
        let issuer = build(&config, &context).unwrap();
        conformance::issuer(&*issuer, &Credential { principal: a.to_owned(), value }).await.unwrap();
    }
}

#[tokio::test]
async fn hung_servers_are_unknown() {
    let limit = std::time::Duration::from_millis(400);
    conformance::hung(LONG, |address| {
        let connection = json!({ "address": format!("http://{address}"), "token": "env:TOKEN" });
        let context = with_limit(connected("openbao", connection, &[("TOKEN", "a-token")]), limit);
        let place = json!({ "mount": "secret", "path": "apps/orders", "key": "DATABASE_URL" });
        Subject::Store(store("openbao", &place, &context), fresh())
    })
    .await
    .unwrap();
    conformance::hung(LONG, |address| {
        let admin = format!("postgres://admin:CANARY-admin@{address}/postgres?sslmode=disable");
        let context = with_environment(context(std::path::Path::new("/")), &[("ADMIN", &admin)]);
        let build = quell_connect::find("postgres").unwrap().issuer.unwrap();
        let issuer =
            build(&json!({ "admin": "env:ADMIN", "roles": ["a"] }), &with_limit(context, limit)).unwrap();
        let value = secret(&format!("postgres://a:CANARY-old@{address}/postgres?sslmode=disable"));
        Subject::Issuer(issuer, Credential { principal: "a".to_owned(), value })
    })
    .await
    .unwrap();
}
