use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Ask, Notice, Stage};
use quell_connect::error::ConnectErrorKind;
use quell_core::outcome::{Facts, Outcome};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{context, not_applied, notify, observe, reload, secret, unknown, with_environment, with_limit};

/// One request as it came.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers as told, and remembers.
#[derive(Clone, Default)]
struct Server {
    answer: Arc<Mutex<(u16, String)>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Server {
    async fn start() -> (Self, SocketAddr) {
        let server = Self::default();
        server.answers(200, "");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (server, address)
    }

    fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn serve(State(server): State<Server>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    server.got.lock().unwrap().push(Got { path: uri.to_string(), headers, body });
    let (status, text) = server.answer.lock().unwrap().clone();
    (StatusCode::from_u16(status).unwrap(), [("Retry-After", "7"), ("Location", "/elsewhere")], text)
        .into_response()
}

fn notice() -> Notice {
    Notice {
        id: "INC-2026-0001/page-1".to_owned(),
        incident: "INC-2026-0001".to_owned(),
        installation: "7f3a".to_owned(),
        stage: Stage::FirstResponse,
        update: false,
        severity: "SEV-1".to_owned(),
        title: "A database password leaked".to_owned(),
        body: "It is being \"replaced\".\nÜnïcode.".to_owned(),
        link: Some("https://quell.example.com/incidents/INC-2026-0001".to_owned()),
        asks: vec![Ask {
            step: "orders-db.disable".to_owned(),
            plan_hash: "ab12".to_owned(),
            what: "make postgres refuse the old value".to_owned(),
            needed: 2,
        }],
        first: Facts::from_iter([("ts".to_owned(), json!("of another channel"))]),
        checkpoint: "quell.example/log\n7\nAAAA\n".to_owned(),
    }
}

#[tokio::test]
async fn reload_calls_the_hook_with_its_token_and_signature() {
    let (server, address) = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "CANARY-bearer-token\n").unwrap();
    let key = "CANARY-key-of-the-hook";
    let context = with_environment(context(folder.path()), &[("HOOK_KEY", key)]);
    let config = json!({ "http": {
        "url": format!("http://{address}/-/reload?x=CANARY-query"),
        "token": "file:token",
        "signature_key": "env:HOOK_KEY",
    } });
    let hook = reload("http", &config, &context);
    let values = [&secret("CANARY-bearer-token"), &secret(key), &secret("CANARY-query")];
    conformance::reload(&*hook, &values).await.unwrap();
    let got = server.got();
    assert_eq!(got.len(), 2, "check calls nothing");
    assert_eq!(got[0].path, "/-/reload?x=CANARY-query");
    assert_eq!(got[0].headers["authorization"], "Bearer CANARY-bearer-token");
    assert!(got[0].headers["x-quell-signature"].to_str().unwrap().starts_with("v1="));
    for (status, retry_after) in [(429, 7000), (503, 7000)] {
        server.answers(status, "CANARY-query");
        let outcome = hook.reload().await;
        let Outcome::NotApplied { retryable: true, retry_after_ms, reason, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(retry_after_ms, Some(retry_after));
        assert!(!reason.contains("CANARY"), "{reason}");
    }
    for status in [301, 400, 401, 404] {
        server.answers(status, "");
        assert!(!not_applied(hook.reload().await).1, "{status}");
    }
    server.answers(500, "");
    unknown(hook.reload().await);

    let unset = with_environment(context.clone(), &[]);
    let (reason, _) = not_applied(reload("http", &config, &unset).reload().await);
    assert!(reason.contains("env:HOOK_KEY"), "{reason}");
}

#[tokio::test]
async fn observe_reads_the_fields() {
    let (server, address) = Server::start().await;
    let context = context(std::path::Path::new("/"));
    let config = json!({
        "http": format!("http://{address}/healthz"),
        "generation": ".gen", "principal": ".db.user", "healthy": ".status",
    });
    let page = observe("http", &config, &context);
    server.answers(200, r#"{"status":"ok","gen":41,"db":{"user":"orders_a"}}"#);
    conformance::observe(&*page, &[]).await.unwrap();
    let seen = page.see().await.unwrap();
    assert_eq!((seen.generation.as_deref(), seen.principal.as_deref()), (Some("41"), Some("orders_a")));
    for (status, body, healthy) in [
        (200, r#"{"status":"failing","gen":41}"#, false),
        (503, r#"{"status":"ok","gen":41}"#, false),
        (500, "<html>", false),
    ] {
        server.answers(status, body);
        assert_eq!(page.see().await.unwrap().healthy, healthy, "{status} {body}");
    }
    for (status, body, kind) in [
        (200, "<html>", ConnectErrorKind::Unexpected),
        (200, r#"{"status":"ok","db":{"user":"x"}}"#, ConnectErrorKind::Unexpected),
        (302, "", ConnectErrorKind::Unexpected),
        (401, "", ConnectErrorKind::Denied),
        (404, "", ConnectErrorKind::Missing),
        (429, "", ConnectErrorKind::Transient { retry_after: Some(Duration::from_secs(7)) }),
    ] {
        server.answers(status, body);
        assert_eq!(page.see().await.unwrap_err().kind, kind, "{status} {body}");
        assert!(!page.check().await[0].ok);
    }
}

#[tokio::test]
async fn a_webhook_can_be_verified_as_its_page_says() {
    let (server, address) = Server::start().await;
    let key = "CANARY-key-of-the-receiver";
    let context = with_environment(context(std::path::Path::new("/")), &[("KEY", key)]);
    let config = json!({ "url": format!("http://{address}/quell?CANARY-in-query"), "secret": "env:KEY" });
    let hook = notify("webhook", &config, &context);
    conformance::notify(&*hook, &[&secret(key), &secret("CANARY-in-query")]).await.unwrap();
    server.answers(204, "");
    assert!(hook.send(&notice()).await.is_applied());
    let got = server.got().pop().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&got.body).unwrap(), serde_json::to_value(notice()).unwrap());
    assert_eq!(got.headers["x-quell-notice"], "INC-2026-0001/page-1");
    let body: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!((&body["stage"], &body["asks"][0]["needed"]), (&json!("first-response"), &json!(2)));
    assert!(body.get("first").is_none(), "what one channel says is not another's to know");
    // The receiver of README.md, run by the interpreter that its readers will use.
    let readme = quell_connect::find("webhook").unwrap().readme;
    let code = readme.split("```python").nth(1).unwrap().split("```").next().unwrap();
    let header = |name: &str| got.headers[name].to_str().unwrap().to_owned();
    let input = json!({
        "headers": { "X-Quell-Timestamp": header("x-quell-timestamp"), "X-Quell-Signature": header("x-quell-signature") },
        "body": std::str::from_utf8(&got.body).unwrap(),
        "key": key,
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("input.json"), input.to_string()).unwrap();
    let script = format!(
        "{code}\nimport json\ni = json.load(open('input.json'))\nbody = i['body'].encode()\n\
         print(genuine(i['headers'], body, i['key'].encode()), genuine(i['headers'], body + b' ', i['key'].encode()))"
    );
    let output = std::process::Command::new("python3")
        .args(["-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "True False", "{output:?}");

    let short = with_environment(context.clone(), &[("KEY", "short")]);
    let (reason, _) = not_applied(notify("webhook", &config, &short).send(&notice()).await);
    assert!(reason.contains("shorter than 16 bytes"), "{reason}");
}

#[tokio::test]
async fn a_hung_system_is_unknown_in_time() {
    let bound = Duration::from_secs(10);
    let context = with_limit(context(std::path::Path::new("/")), Duration::from_millis(300));
    let context = with_environment(context, &[("KEY", "a key of the receiver")]);
    conformance::hung(bound, |address| {
        Subject::Reload(reload("http", &json!({ "http": format!("http://{address}/") }), &context))
    })
    .await
    .unwrap();
    conformance::hung(bound, |address| {
        let config = json!({ "http": format!("http://{address}/"), "generation": ".gen" });
        Subject::Observe(observe("http", &config, &context))
    })
    .await
    .unwrap();
    conformance::hung(bound, |address| {
        let config = json!({ "url": format!("http://{address}/"), "secret": "env:KEY" });
        Subject::Notify(notify("webhook", &config, &context))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_refused_connection_is_not_applied() {
    let (server, address) = Server::start().await;
    let proxy = FlakyProxy::start(address).unwrap();
    let context = context(std::path::Path::new("/"));
    let hook = reload("http", &json!({ "http": format!("http://{}/r", proxy.address()) }), &context);
    assert!(hook.reload().await.is_applied());
    proxy.set(Fault::DropAnswer).await;
    unknown(hook.reload().await);
    assert_eq!(server.got().len(), 2, "the request arrived");
    proxy.set(Fault::CutAfter(5)).await;
    unknown(hook.reload().await);
    proxy.set(Fault::Refuse).await;
    assert!(not_applied(hook.reload().await).1);
    assert_eq!(server.got().len(), 2);
    proxy.set(Fault::Pass).await;
    assert!(hook.reload().await.is_applied());
}

#[tokio::test]
async fn the_log_has_one_line_per_notice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notices.jsonl");
    let log = notify("log", &json!({ "path": "notices.jsonl" }), &context(folder.path()));
    conformance::notify(&*log, &[]).await.unwrap();
    // What a crash in the middle of a line leaves.
    let half = [fs::read(&path).unwrap(), b"{\"id\":\"ha".to_vec()].concat();
    fs::write(&path, half).unwrap();
    for repeated in [false, true] {
        assert_eq!(log.send(&notice()).await, Outcome::applied([("repeated", json!(repeated))]));
    }
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let line: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(line["title"], "A database password leaked");
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);

    let lost = notify("log", &json!({ "path": "none/notices.jsonl" }), &context(folder.path()));
    assert!(!lost.check().await[0].ok);
    assert!(not_applied(lost.send(&notice()).await).1);
    conformance::notify(&*notify("log", &Value::Null, &context(folder.path())), &[]).await.unwrap();
}
