//! A client's secret, changed through its record at the server.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quell_connect::conformance::{self, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_testkit::oidc::{OnUpdate, Options};
use serde_json::{Value, json};

use crate::model::Model;
use crate::outcome::{fact, failed, reason};
use crate::proxy::{Fault, Proxy};
use crate::{World, accepted, context, inconclusive, refused, retryable, unknown, value};

/// Where the registration access token is.
fn token_file(world: &World) -> PathBuf {
    let file = world.server.folder().join("registration-token");
    if !file.exists() {
        std::fs::write(&file, &world.orders.registration_token).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    file
}

fn config(world: &World, port: u16) -> Value {
    let registration = json!({
        "uri": format!("http://127.0.0.1:{port}/reg/{}", world.orders.id),
        "token": { "file": { "path": token_file(world) } },
    });
    json!({
        "issuer": world.server.issuer(),
        "client": { "id": world.orders.id },
        "control": { "client": { "id": world.quell.id, "secret": "env:QUELL" } },
        "client_secret": { "registration": registration },
        "settle": "50ms",
    })
}

fn direct(world: &World) -> Box<dyn Issuer> {
    world.issuer(&config(world, world.server.port()))
}

#[tokio::test]
async fn the_contract_is_kept_and_the_next_registration_token_is_written_down() {
    let world = World::new();
    let issuer = direct(&world);
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let first = std::fs::read_to_string(token_file(&world)).unwrap();
    conformance::issuer(&*issuer, &old).await.unwrap();
    let next = std::fs::read_to_string(token_file(&world)).unwrap();
    assert_ne!(first.trim(), next.trim(), "the server changes it with each update");
    // It is good for the next leak.
    let new = issuer.choose(Some(&old), "INC-2").await.unwrap();
    let made = issuer.perform(IssuerOp::Install { new: &new }).await;
    assert!(made.outcome.is_applied(), "{:?}", made.outcome);
    assert!(accepted(&issuer.probe(&made.minted.unwrap()).await));
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(Duration::from_secs(20), |address| {
        let limit = Duration::from_millis(300);
        let mut ctx = context(&[("QUELL", "s")]);
        ctx.call_limit = limit;
        ctx.http = quell_connect::http::Client::new(limit, None).unwrap();
        let config = json!({
            "issuer": format!("http://{address}"),
            "client": { "id": "orders" },
            "control": { "client": { "id": "quell", "secret": "env:QUELL" } },
            "client_secret": { "registration": {
                "uri": format!("http://{address}/reg/orders"), "token": { "file": { "path": "none" } },
            } },
        });
        let issuer = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
        let old = issuer.identify(&value("CANARY-old-secret")).unwrap();
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}

/// RFC 7592 leaves it to the server.
#[tokio::test]
async fn a_server_that_keeps_the_secret_is_told() {
    let world = World::new();
    let token = world.server.registration_token(&world.orders.id, OnUpdate::Keeps).unwrap();
    std::fs::write(token_file(&world), token).unwrap();
    let issuer = direct(&world);
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert_eq!(retryable(&outcome), Some(false));
    assert!(reason(&outcome).contains("the server keeps the secret"), "{outcome:?}");
    assert!(accepted(&issuer.probe(&old).await));
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&disabled).contains("only its successor ends it"), "{disabled:?}");
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_secret_where_the_registration_token_stays() {
    let world = World::with(Options { rotates_registration: false, ..Options::default() });
    let proxy = Proxy::start(world.server.port(), "PUT /reg", Fault::DropAnswer, 1).await;
    let port = proxy.addr.rsplit(':').next().unwrap().parse().unwrap();
    let issuer = world.issuer(&config(&world, port));
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert!(reason(&issuer.observe(install).await.outcome).contains("the old secret is in force"));
    assert!(unknown(&issuer.perform(install).await.outcome));
    let seen = issuer.observe(install).await.outcome;
    assert_eq!(retryable(&seen), Some(true));
    assert!(reason(&seen).contains("was lost with its answer"), "{seen:?}");
    let made = issuer.perform(install).await;
    assert_eq!(fact(&made.outcome, "client"), &json!(world.orders.id));
    let made = made.minted.unwrap();
    assert!(issuer.observe(IssuerOp::Install { new: &made }).await.outcome.is_applied());
    assert!(accepted(&issuer.probe(&made).await) && refused(&issuer.probe(&old).await, "invalid_client"));
}

/// The trap: the answer that is lost carried the only way to ask again.
#[tokio::test]
async fn a_lost_registration_token_is_told_with_what_to_do() {
    let world = World::new();
    let proxy = Proxy::start(world.server.port(), "PUT /reg", Fault::DropAnswer, 1).await;
    let port = proxy.addr.rsplit(':').next().unwrap().parse().unwrap();
    let issuer = world.issuer(&config(&world, port));
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let install = IssuerOp::Install { new: &new };
    assert!(unknown(&issuer.perform(install).await.outcome));
    let stuck = issuer.perform(install).await.outcome;
    assert_eq!(retryable(&stuck), Some(false));
    let said = reason(&stuck);
    assert!(said.contains("Have an administrator of the server make a new one, put it into"), "{said}");
    assert!(
        said.contains("registration-token") && !said.contains(&world.orders.registration_token),
        "{said}"
    );
    let token = world.server.registration_token(&world.orders.id, OnUpdate::Rotates).unwrap();
    std::fs::write(token_file(&world), token).unwrap();
    let made = issuer.perform(install).await;
    assert!(accepted(&issuer.probe(&made.minted.unwrap()).await));
}

/// Whoever cannot write the next token down must not ask for it.
#[tokio::test]
async fn a_token_that_cannot_be_read_stops_before_anything_is_asked() {
    let world = World::new();
    let mut config = config(&world, world.server.port());
    config["client_secret"]["registration"]["token"]["file"]["path"] = json!("/nonexistent/token");
    let issuer = world.issuer(&config);
    assert!(failed(&issuer.check().await).iter().any(|line| line.contains("/nonexistent/token")));
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(retryable(&outcome).is_some(), "{outcome:?}");
    assert!(accepted(&issuer.probe(&old).await));
}

/// A client without the refresh grant is tried where it may go, and what stands before the server proves nothing.
#[tokio::test]
async fn other_refusals_than_the_clients_prove_nothing() {
    let world = World::new();
    let mut narrow = config(&world, world.server.port());
    narrow["control"]["client"] = json!({ "id": "resource", "secret": "env:RESOURCE" });
    let ctx = context(&[("RESOURCE", "resource-server-client-secret")]);
    let issuer = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&narrow, &ctx).unwrap();
    assert!(accepted(&issuer.control().await));
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    for answer in [
        "HTTP/1.1 401 x\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
        "HTTP/1.1 400 x\r\ncontent-length: 24\r\n\r\n{\"error\":\"server_error\"}",
        "HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n",
    ] {
        let proxy = Proxy::start(world.server.port(), "/token ", Fault::Say(answer), 1).await;
        let mut config = config(&world, world.server.port());
        config["endpoints"] = json!({ "token": format!("{}/token", proxy.addr) });
        inconclusive(&world.issuer(&config).probe(&old).await);
    }
    for bad in ["", "a b", "{\"client_secret\":\"a\"}", "\"a\""] {
        assert!(issuer.identify(&value(bad)).is_err(), "{bad}");
    }
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(
        warnings.iter().any(|line| line.contains("live on until they end by themselves")),
        "{warnings:?}"
    );
}

/// The trap: Keycloak says `unauthorized_client` of a wrong secret, which elsewhere is said of one that is right.
#[tokio::test]
async fn a_door_is_believed_only_where_it_tells_a_made_up_secret_apart() {
    let model = |wrong: (u16, &'static str), secret: &str| {
        let secret = secret.to_owned();
        Model::start(move |state| {
            state.wrong_secret = wrong;
            state.secret = secret;
        })
    };
    let tried = async |model: &Model, secret: &str| {
        let issuer = modelled(model, Path::new("none"));
        let checks = issuer.check().await;
        let door = checks.iter().find(|check| check.what.contains("made up")).unwrap().ok;
        (issuer.probe(&issuer.identify(&value(secret)).unwrap()).await, door)
    };
    let keycloak = model((401, "unauthorized_client"), "right");
    let (seen, door) = tried(&keycloak, "wrong").await;
    assert!(refused(&seen, "unauthorized_client") && door, "{seen:?}");
    assert!(accepted(&tried(&keycloak, "right").await.0));
    // 400 is said of a client that may not refresh, and here of every secret: nothing is told apart.
    let (seen, door) = tried(&model((400, "unauthorized_client"), "right"), "wrong").await;
    assert!(
        inconclusive(&seen).contains("does not tell the client's secret from one that was made up") && !door
    );
    // One that lets in everybody.
    let (seen, door) = tried(&model((401, "invalid_client"), ""), "any").await;
    assert!(inconclusive(&seen).contains("made up") && !door, "{seen:?}");
}

/// The client `orders` of a model, whose registration access token is in a file.
fn modelled(model: &Model, token: &Path) -> Box<dyn Issuer> {
    let registration = json!({ "uri": model.at("/reg"), "token": { "file": { "path": token } } });
    let config = json!({
        "issuer": model.at(""),
        "client": { "id": "orders" },
        "client_secret": { "registration": registration },
        "settle": "50ms",
    });
    quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &context(&[])).unwrap()
}

fn held(folder: &Path) -> PathBuf {
    let file = folder.join("token");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&file, "first").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    file
}

/// A record may be read without its secret, so that only the update shows it.
#[tokio::test]
async fn a_secret_that_was_leaked_is_not_taken_for_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::start(|state| {
        state.secret = "leaked".to_owned();
        state.keeps_secret = true;
    });
    let issuer = modelled(&model, &held(folder.path()));
    let old = issuer.identify(&value("leaked")).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let made = issuer.perform(IssuerOp::Install { new: &new }).await;
    assert!(made.minted.is_none(), "{made:?}");
    assert!(reason(&made.outcome).contains("the server keeps the secret"), "{made:?}");
}

/// Moves the folder of the token away whenever a record is asked for so, and back after a while.
fn moving(model: &Model, methods: &'static [&'static str], folder: &Path, back: Option<Duration>) {
    let (folder, away) = (folder.join("tokens"), folder.join("away"));
    model.state().on_record = Some(Box::new(move |method| {
        if !methods.contains(&method) {
            return;
        }
        std::fs::rename(&folder, &away).ok();
        if let Some(wait) = back {
            let (folder, away) = (folder.clone(), away.clone());
            std::thread::spawn(move || {
                std::thread::sleep(wait);
                std::fs::rename(&away, &folder).unwrap();
            });
        }
    }));
}

#[tokio::test]
async fn the_next_registration_token_is_written_until_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::start(|state| state.secret = "leaked".to_owned());
    let file = held(&folder.path().join("tokens"));
    let issuer = modelled(&model, &file);
    let old = issuer.identify(&value("leaked")).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    moving(&model, &["GET", "PUT"], folder.path(), Some(Duration::from_millis(130)));
    let made = issuer.perform(IssuerOp::Install { new: &new }).await;
    assert_eq!(fact(&made.outcome, "client"), &json!("orders"), "{made:?}");
    assert!(!format!("{made:?}").contains("registration_token_lost"), "{made:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), "next-2");

    // For good, after the secret was changed: the new one is kept, and it is said what only people can do.
    moving(&model, &["PUT"], folder.path(), None);
    let asked = issuer.choose(Some(&made.minted.unwrap()), "tag").await.unwrap();
    let made = issuer.perform(IssuerOp::Install { new: &asked }).await;
    let lost = fact(&made.outcome, "registration_token_lost").as_str().unwrap();
    assert!(lost.contains("Have an administrator of the server make a new one"), "{lost}");
    assert_eq!(made.minted.unwrap().value.expose_text(), Some("leaked-next-next"));

    // Before that: the secret stays.
    std::fs::rename(folder.path().join("away"), folder.path().join("tokens")).unwrap();
    moving(&model, &["GET"], folder.path(), None);
    let lost = issuer.perform(IssuerOp::Install { new: &asked }).await.outcome;
    assert!(reason(&lost).contains("Have an administrator of the server make a new one"), "{lost:?}");
    assert!(reason(&lost).contains("the secret was not changed"), "{lost:?}");
    assert_eq!(model.state().secret, "leaked-next-next");
}

#[tokio::test]
async fn a_busy_answer_to_an_update_is_unknown() {
    let world = World::new();
    let busy = "HTTP/1.1 503 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let proxy = Proxy::start(world.server.port(), "PUT /reg", Fault::Say(busy), 1).await;
    let port = proxy.addr.rsplit(':').next().unwrap().parse().unwrap();
    let issuer = world.issuer(&config(&world, port));
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    assert!(unknown(&issuer.perform(IssuerOp::Install { new: &new }).await.outcome));
}

#[tokio::test]
async fn the_checks_log_in_as_the_control() {
    let world = World::new();
    assert_eq!(failed(&direct(&world).check().await), [""; 0]);
    let ctx = context(&[("QUELL", "CANARY-stale")]);
    let config = config(&world, world.server.port());
    let stale = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
    let checks = stale.check().await;
    assert!(failed(&checks)[0].starts_with("invalid_client: its secret has expired"), "{checks:?}");
}

/// The trap: the next token is shown once. Whoever cannot keep it must not ask.
#[tokio::test]
async fn a_store_that_may_not_be_written_to_stops_before_the_token_is_used() {
    let world = World::new();
    let bao = quell_testkit::openbao::Server::start().unwrap();
    let body = json!({ "type": "kv", "options": { "version": "2" } });
    bao.request("POST", "sys/mounts/reg", &body).unwrap();
    let held = json!({ "data": { "token": world.orders.registration_token } });
    bao.request("POST", "reg/data/orders", &held).unwrap();
    let reader = bao.token_with("reader", "path \"reg/*\" { capabilities = [\"read\"] }").unwrap();
    let mut config = config(&world, world.server.port());
    let store = json!({ "openbao": { "mount": "reg", "path": "orders", "key": "token" } });
    config["client_secret"]["registration"]["token"] = store;
    let addr = bao.addr();
    let with = |token: &str| {
        let ctx = context(&[("QUELL", &world.quell.secret), ("BAO_ADDR", &addr), ("BAO_TOKEN", token)]);
        quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap()
    };
    let issuer = with(&reader);
    let old = issuer.identify(&value(&world.orders.secret)).unwrap();
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let stopped = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert_eq!(retryable(&stopped), Some(false), "{stopped:?}");
    assert!(reason(&stopped).contains("could not be kept in openbao"), "{stopped:?}");
    assert!(reason(&stopped).contains("nothing was asked"), "{stopped:?}");
    let made = with(bao.root_token()).perform(IssuerOp::Install { new: &new }).await;
    assert!(made.outcome.is_applied(), "the token was not used up: {made:?}");
}
