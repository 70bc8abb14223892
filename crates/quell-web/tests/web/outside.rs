//! Where the server connects to, and who says so (server-side request forgery).
//!
//! Only the operator says where the server connects to, by the inventory and the command line: issuers, stores, consumers, channels and
//! `connections` with their addresses, `intake.*.github.api`, `server.oidc.issuer` (and what its discovery document names), provider files,
//! `--otlp-endpoint`, the database. A hunt reads files and buckets where the command runs, never in the server, and `--server` is
//! followed by whoever types it.
//!
//! What people and other systems can put an address into, and what it becomes: words of reports, incidents, notes, notices, post-mortems, evidence,
//! triage and people (text); queries and `next` (a place of our own or none); the names of secrets, channels, steps and notices (looked up, never resolved);
//! leaked values (compared and tried at the issuer's configured door, whatever host they name; see `outside` among the tests of the command); headers such as
//! `Host` and `Forwarded` (not believed); links, places and `response_url`s in deliveries of webhooks (text); the repository of an alert
//! of GitHub (a segment of the operator's address).
//!
//! The tests put the address of a listener into each of them. It counts connections, whatever protocol they would speak.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use quell_app::clock::now;
use quell_app::incident::{self, Change};
use quell_app::{notice, plan};
use quell_core::IncidentId;
use quell_core::event::Actor;
use quell_core::incident::notice::NoticeState;
use quell_core::person::Role;
use quell_testkit::model::{Listener, Reply};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::form::forms;
use super::person::Person;
use super::world::{Form as _, World, inventory, read};

const KEY: &str = "a-key-of-the-hook";

/// Nobody is to come here.
struct Trap {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, came) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&came);
        std::thread::spawn(move || {
            for _stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, came }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/latest/meta-data/", self.port)
    }

    /// What a person might be believed with.
    fn urls(&self) -> [String; 2] {
        [self.url(), format!("127.0.0.1:{}", self.port)]
    }

    /// Nobody came, and whoever would have come would have been counted.
    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "the server connected to where somebody pointed it");
        drop(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        let seen = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            self.came.load(Ordering::SeqCst) == 1
        });
        assert!(seen, "the trap does not count");
    }
}

/// A world with every way in, whose operator has a GitHub, a channel, and somebody's secret.
async fn world(github: u16, hook: u16) -> (World, IncidentId) {
    let key = json!({ "secret": "env:HOOK_KEY" });
    let header = json!({ "secret": "env:HOOK_KEY", "header": "x-hook-key" });
    let text = json!({
        "secrets": [{
            "id": "ines-directory", "kind": "directory-password", "env": "prod", "tier": "human",
            "issuer": { "person": { "account": "ines@example.com", "at": "the directory" } },
        }],
        "channels": {
            "board": { "log": {} },
            "hook": { "webhook": { "url": format!("http://127.0.0.1:{hook}/quell"), "secret": "env:HOOK_KEY" } },
        },
        "policy": { "approvals": { "destructive": 1 }, "notify": { "post": "board" } },
        "intake": {
            "github": { "github": { "secret": "env:HOOK_KEY", "api": { "url": format!("http://127.0.0.1:{github}"), "token": "env:HOOK_KEY" } } },
            "json": { "json": { "secret": "env:HOOK_KEY", "header": "x-hook-key", "map": {
                "rule": "/rule", "description": "/title", "place": "/url", "link": "/link", "reference": "/id", "value": "/secret",
            } } },
            "sarif": { "sarif": header.clone() }, "vault": { "vault_audit": header.clone() }, "aws": { "eventbridge": header },
            "gitguardian": { "gitguardian": key.clone() }, "gitlab": { "gitlab": key.clone() }, "pagerduty": { "pagerduty": key },
            "revoke": { "gitlab_revocation": { "secret": "env:HOOK_KEY", "types": ["gitleaks_rule_id_aws"] } },
        },
    });
    let environment = BTreeMap::from([("HOOK_KEY".to_owned(), KEY.to_owned())]);
    let world = World::at("127.0.0.1:0", inventory(&text.to_string()), environment).await;
    let app = world.app.acting_as(Actor::user("ines"));
    let id = world.leaked("ines-directory").await;
    plan::make(&app, id, false).await.unwrap();
    let item = Change::ActionItem("a gate".to_owned(), "ines".to_owned(), "2031-12-01".to_owned(), None);
    incident::change(&app, id, &item).await.unwrap();
    notice::draft(&app, id, "update").await.unwrap();
    (world, id)
}

/// Nobody is asked who is not named here.
fn nothing() -> Listener {
    Listener::start(|_| Reply::empty(404)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_a_form_leads_the_server_anywhere() {
    let (github, trap) = (nothing(), Trap::set());
    let (world, id) = world(github.port(), github.port()).await;
    let (admin, _) = world.session("ines", Role::Admin).await;
    let mut written = 0;
    for place in [
        format!("/incidents/{id}"),
        format!("/incidents/{id}/notices"),
        format!("/incidents/{id}/post-mortem"),
        "/incidents/new".to_owned(),
        "/report".to_owned(),
        "/findings".to_owned(),
        "/settings".to_owned(),
    ] {
        let asked = world.ask(Method::GET, &place).header("cookie", &admin).send().await.unwrap();
        for form in forms(&read(asked).await.1) {
            // What the page gave itself can be changed by whoever sends it.
            for field in form.fields.iter().filter(|field| field.name != "csrf" && field.kind != "file") {
                let status = form.send(&world, &admin, &field.name, &trap.url()).await.status();
                assert!(!status.is_server_error(), "{} {}: {status}", form.action, field.name);
                written += usize::from(status.is_redirection());
            }
        }
    }
    assert!(written >= 20, "only {written} forms took it");
    trap.is_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_header_or_a_query() {
    let (github, trap) = (nothing(), Trap::set());
    let (world, id) = world(github.port(), github.port()).await;
    let (cookie, _) = world.session("ines", Role::Admin).await;
    for place in ["/", "/sign-in", "/settings", "/api/v1/server", "/readyz", &format!("/incidents/{id}")] {
        for name in [
            "host",
            "forwarded",
            "x-forwarded-host",
            "x-forwarded-for",
            "x-original-url",
            "x-rewrite-url",
            "origin",
            "referer",
            "traceparent",
            "if-match",
            "idempotency-key",
            "last-event-id",
        ] {
            let [url, host] = trap.urls();
            let value = match name {
                "host" | "x-forwarded-host" => host,
                "forwarded" => format!("for=127.0.0.1;host=\"{host}\";proto=http"),
                _ => url,
            };
            let asked = world.ask(Method::GET, place).header("cookie", &cookie).header(name, value);
            let status = asked.send().await.unwrap().status();
            assert!(!status.is_server_error(), "{place} {name}: {status}");
        }
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(
                ["next", "url", "q", "redirect", "return", "cursor", "after"].map(|name| (name, trap.url())),
            )
            .finish();
        let asked = world.ask(Method::GET, &format!("{place}?{query}")).header("cookie", &cookie);
        assert!(!asked.send().await.unwrap().status().is_server_error(), "{place}?{query}");
    }
    trap.is_untouched();
}

/// A body that is taken, as far as its schema and its names say.
fn plausible(name: &str, schema: &Value, known: &Value) -> Value {
    if let Some(word) = schema.pointer("/oneOf/0/const") {
        return word.clone();
    }
    if let Some(first) = schema.pointer("/anyOf/0") {
        return plausible(name, first, known);
    }
    let kind = schema["type"].get(0).unwrap_or(&schema["type"]);
    let kind = kind.as_str().unwrap_or_else(|| panic!("{name}: {schema}"));
    match kind {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            Value::Object(fields.map(|(name, of)| (name.clone(), plausible(name, of, known))).collect())
        }
        "array" => json!([plausible(name, &schema["items"], known)]),
        "integer" => json!(7),
        "boolean" => json!(false),
        _ if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
        _ => match name {
            "secret" | "secrets" => json!("ines-directory"),
            "channels" | "channel" => json!("board"),
            "plan" | "steps" => known[name].clone(),
            "channel_name" | "finding" | "sha256" | "of" | "key" | "value" => Value::Null,
            "due" => json!("2031-12-01"),
            "person" | "other" => json!("omar"),
            "kind" => json!("update"),
            "role" => json!("commander"),
            "content" => json!("YQ=="),
            _ => json!("because it was seen in the console at three"),
        },
    }
}

/// Where a body holds text, or could.
fn texts(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::String(_) | Value::Null => out.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| texts(item, &format!("{at}/{i}"), out));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| texts(field, &format!("{at}/{name}"), out));
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_text_of_a_body_that_a_program_sends() {
    let (github, trap) = (nothing(), Trap::set());
    let (world, id) = world(github.port(), github.port()).await;
    let ines = Person::of(&world, "ines", Role::Admin).await;
    let incident = world.app.incident(id).await.unwrap();
    let machine = plan::machine(&incident).unwrap();
    let step = machine.plan().steps[0].id.to_string();
    let known = json!({ "plan": machine.plan_hash(), "steps": step });
    let description: Value = serde_json::from_str(&quell_web::openapi()).unwrap();
    let (mut taken, mut sent) = (0, 0);
    for (path, verbs) in description["paths"].as_object().unwrap() {
        let Some(schema) = verbs.pointer("/post/requestBody/content/application~1json/schema") else {
            continue;
        };
        let place = path.strip_prefix("/api/v1").unwrap();
        let names = [
            ("{id}", id.to_string()),
            ("{notice}", "N1".to_owned()),
            ("{step}", step.clone()),
            ("{person}", "omar".to_owned()),
            ("{item}", "A1".to_owned()),
        ];
        let place = names.iter().fold(place.to_owned(), |place, (name, is)| place.replace(name, is));
        let body = plausible("", schema, &known);
        let mut all = Vec::new();
        texts(&body, "", &mut all);
        for at in all {
            for url in trap.urls() {
                let mut body = body.clone();
                *body.pointer_mut(&at).unwrap() = json!(url);
                let (status, said) = ines.post(&place, &body).await;
                assert!(!status.is_server_error(), "{place} {at}: {said}");
                sent += 1;
                taken += usize::from(status.is_success());
            }
        }
    }
    assert!(sent >= 80 && taken >= 20, "{taken} of {sent} were taken");
    trap.is_untouched();
}

/// What a delivery may say, with an address in each text.
fn delivery(url: &str) -> Value {
    let names = "action event event_name secret type link html_url url api_url webhook_url response_url token_uri issuer incident_url gitguardian_url \
                 display_name title description id rule file path location ref commit SubscribeURL TopicArn detail-type source region time account \
                 token self summary";
    let flat: Map<String, Value> =
        names.split_whitespace().map(|name| (name.to_owned(), json!(url))).collect();
    let mut body = flat.clone();
    for name in [
        "detail",
        "request",
        "response",
        "auth",
        "data",
        "object_attributes",
        "project",
        "incident",
        "location",
        "resource",
        "agent",
    ] {
        body.insert(name.to_owned(), Value::Object(flat.clone()));
    }
    body.insert("event".to_owned(), json!({ "event_type": "incident.annotated", "resource_type": "incident", "id": url, "data": flat, "agent": flat, "self": url }));
    Value::Object(body)
}

fn signed(key: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

async fn deliver(world: &World, name: &str, topic: &str, body: &Value) -> (StatusCode, String) {
    let body = body.to_string();
    let at = now().as_second().to_string();
    let request = world
        .ask(Method::POST, &format!("/hooks/{name}"))
        .header("content-type", "application/json")
        .header("authorization", KEY)
        .header("x-hook-key", KEY)
        .header("x-gitlab-token", KEY)
        .header("x-github-event", topic)
        .header("x-gitlab-event", "Vulnerability Hook")
        .header("x-hub-signature-256", format!("sha256={}", signed(KEY.as_bytes(), body.as_bytes())))
        .header("x-pagerduty-signature", format!("v1={}", signed(KEY.as_bytes(), body.as_bytes())))
        .header(
            "gitguardian-signature",
            format!("sha256={}", signed(format!("{at}{KEY}").as_bytes(), body.as_bytes())),
        )
        .header("timestamp", at);
    read(request.body(body).send().await.unwrap()).await
}

/// Waits until it is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it did not come to that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_leads_only_to_the_operators_own_github() {
    let trap = Trap::set();
    let answers = trap.url();
    // What GitHub says is full of addresses, and none is asked.
    let github = Listener::start(move |request| {
        let url = answers.as_str();
        let details = json!({ "path": url, "blob_url": url, "commit_url": url, "issue_title_url": url, "url": url });
        match request.segments().last() {
            Some(&"locations") => Reply::json(200, &json!([{ "type": "commit", "details": details }, { "type": "issue_title", "details": details }])),
            _ => Reply::json(200, &json!({ "number": 7, "secret_type": "x", "secret": url, "html_url": url, "url": url, "locations_url": url, "repository": { "full_name": "acme/shop", "html_url": url } })),
        }
        .header("link", &format!("<{url}>; rel=\"next\""))
    })
    .unwrap();
    let (world, _) = world(github.port(), github.port()).await;
    let mut taken = 0;
    for url in trap.urls() {
        for name in ["json", "sarif", "vault", "aws", "gitguardian", "gitlab", "pagerduty", "revoke"] {
            let (status, said) = deliver(&world, name, "", &delivery(&url)).await;
            assert!(
                status != StatusCode::UNAUTHORIZED && !status.is_server_error(),
                "{name}: {status} {said}"
            );
            taken += usize::from(status.is_success());
        }
        for repository in [
            "acme/shop",
            "..",
            "a/../..",
            "@127.0.0.1",
            &url,
            &format!("acme/{url}"),
            &format!("acme/shop?x={url}"),
        ] {
            let mut body = delivery(&url);
            body["action"] = json!("created");
            body["alert"] =
                json!({ "number": 7, "secret_type": "x", "html_url": url, "url": url, "locations_url": url });
            body["repository"] =
                json!({ "full_name": repository, "private": true, "html_url": url, "url": url });
            body["location"] =
                json!({ "type": "commit", "details": { "path": url, "blob_url": url, "commit_url": url } });
            let (status, said) = deliver(&world, "github", "secret_scanning_alert", &body).await;
            assert!(status.is_success(), "{repository}: {said}");
        }
    }
    assert!(taken >= 8, "only {taken} were taken");
    let open = async || world.app.store.inbox_open().await.unwrap().0;
    until(async || open().await == 0 && github.lines().len() >= 4).await;
    let lines = github.lines();
    assert!(
        lines.iter().all(|line| line.starts_with("GET /repos/acme/shop/secret-scanning/alerts/7")),
        "{lines:?}"
    );
    trap.is_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_system_that_sends_the_server_elsewhere_is_not_followed() {
    let trap = Trap::set();
    let to = trap.url();
    let away = Listener::start(move |_| Reply::empty(307).header("location", &to)).unwrap();
    let (world, id) = world(away.port(), away.port()).await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    // A webhook of a notice, signed.
    let place = format!("/incidents/{id}/notices/N1");
    let edited = json!({ "title": "A password of ours was exposed", "body": "Nothing is to be done." });
    assert_eq!(ines.post(&format!("{place}/edit"), &edited).await.0, StatusCode::OK);
    let sha256 = world.app.incident(id).await.unwrap().notice("N1").unwrap().sha256();
    let (status, said) =
        ines.post(&format!("{place}/send"), &json!({ "channels": ["hook"], "sha256": sha256 })).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    // The API of an alert, with a token.
    let mut body = delivery("x");
    body["action"] = json!("created");
    body["alert"] = json!({ "number": 7, "secret_type": "x" });
    body["repository"] = json!({ "full_name": "acme/shop" });
    assert!(deliver(&world, "github", "secret_scanning_alert", &body).await.0.is_success());
    let asked = |what: &str| away.lines().iter().any(|line| line.starts_with(what));
    until(async || asked("POST /quell ") && asked("GET /repos/acme/shop/")).await;
    let state = async || world.app.incident(id).await.unwrap().notice("N1").unwrap().state();
    until(async || state().await != NoticeState::Sending).await;
    assert_eq!(state().await, NoticeState::Failed, "a redirect is no success");
    trap.is_untouched();
}

/// Somebody who signs in as far as it goes.
async fn sign_in(issuer: &str) -> (World, StatusCode, String) {
    let text = json!({ "server": { "oidc": {
        "issuer": issuer, "client_id": "quell", "client_secret": "env:OIDC_SECRET", "scope": "openid",
        "name_claim": "sub", "roles": { "responder": ["sre"] },
    } } });
    let environment = BTreeMap::from([("OIDC_SECRET".to_owned(), "canary-of-the-client".to_owned())]);
    let world = World::at("127.0.0.1:0", inventory(&text.to_string()), environment).await;
    let begun = world.ask(Method::POST, "/sign-in/provider").form(&[("next", "/")]).send().await.unwrap();
    let (Some(cookie), Some(away)) = (begun.headers().get("set-cookie"), begun.headers().get("refresh"))
    else {
        let (status, said) = read(begun).await;
        return (world, status, said);
    };
    let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
    let state = away.to_str().unwrap().split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let back =
        world.ask(Method::GET, &format!("/sign-in/back?code=x&state={state}")).header("cookie", cookie);
    let (status, said) = read(back.send().await.unwrap()).await;
    (world, status, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_provider_that_sends_the_server_elsewhere_is_not_followed() {
    // The document itself, the endpoint that gets the client's secret, and the keys.
    for leads in ["openid-configuration", "token", "keys"] {
        let trap = Trap::set();
        let (to, own) = (trap.url(), Arc::new(std::sync::Mutex::new(String::new())));
        let issuer = Arc::clone(&own);
        let provider = Listener::start(move |request| {
            let issuer = issuer.lock().unwrap().clone();
            match request.segments().last().copied() {
                Some(last) if last == leads => Reply::empty(308).header("location", &to),
                Some("openid-configuration") => Reply::json(
                    200,
                    &json!({ "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys") }),
                ),
                Some("token") => Reply::json(200, &json!({ "id_token": "a.b.c" })),
                _ => Reply::empty(404),
            }
        })
        .unwrap();
        let url = format!("http://127.0.0.1:{}", provider.port());
        url.clone_into(&mut own.lock().unwrap());
        let (_world, status, said) = sign_in(&url).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{leads}: {said}");
        assert!(provider.lines().iter().any(|line| line.contains(leads)), "{leads}: {:?}", provider.lines());
        trap.is_untouched();
    }
}
