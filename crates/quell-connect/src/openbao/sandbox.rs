//! A small model of OpenBao on loopback, for `quell drill` on a machine that has none.
//!
//! It knows KV v2 at `kv/` and what the connector asks around it, with the paths, shapes and refusals of OpenBao
//! (openbao.org/api-docs/secret/kv/kv-v2, /system/health, /system/capabilities-self, /auth/token; answers compared
//! with 2.7.2, 2026-11). The tests run the same scenarios against it and against the real server. It has one token,
//! which may do everything, keeps all in memory, and has no clock: times count changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde_json::{Map, Value, json};

/// A running sandbox; it ends on drop.
pub struct Sandbox {
    addr: String,
    token: String,
    task: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts one on a free port, with a random token.
    pub async fn start() -> std::io::Result<Self> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let token = format!("s.{}", hex::encode(random));
        let model = Arc::new(Mutex::new(Model { token: token.clone(), ..Model::default() }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = format!("http://{}", listener.local_addr()?);
        let app = axum::Router::new().fallback(handle).with_state(model);
        let task = tokio::spawn(async move {
            // Ends when the task is aborted.
            axum::serve(listener, app).await.ok();
        });
        Ok(Self { addr, token, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// The one token.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Model {
    token: String,
    ticks: u64,
    secrets: BTreeMap<String, Secret>,
}

#[derive(Default)]
struct Secret {
    current: u64,
    versions: BTreeMap<u64, Version>,
}

struct Version {
    /// `None` when destroyed.
    data: Option<Map<String, Value>>,
    created: String,
    /// Empty unless deleted.
    deleted: String,
}

type Reply = (u16, Value);

async fn handle(
    State(model): State<Arc<Mutex<Model>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let token = headers.get("x-vault-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = uri.path().split('/').map(decoded).collect::<Vec<_>>();
    let path = path.iter().map(String::as_str).collect::<Vec<_>>();
    let version = uri.query().map(str::as_bytes).map(url::form_urlencoded::parse);
    let version = version.into_iter().flatten().find(|(name, _)| name == "version");
    let version = version.and_then(|(_, text)| text.parse().ok());
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, answer) = {
        let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
        model.answer(&method, path.get(2..).unwrap_or_default(), version, token, &body)
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if answer.is_null() { status.into_response() } else { (status, axum::Json(answer)).into_response() }
}

/// Percent-decoding; in a path a plus is a plus.
fn decoded(segment: &str) -> String {
    let query = format!("x={}", segment.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

fn data(data: &Value) -> Reply {
    (200, json!({ "lease_id": "", "renewable": false, "lease_duration": 0, "data": data, "auth": null }))
}

fn refused(status: u16, words: &str) -> Reply {
    (status, json!({ "errors": [words] }))
}

impl Model {
    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        version: Option<u64>,
        token: &str,
        body: &Value,
    ) -> Reply {
        if path == ["sys", "health"] {
            return (
                200,
                json!({ "initialized": true, "sealed": false, "standby": false, "version": "sandbox" }),
            );
        }
        if token != self.token {
            return refused(403, "permission denied");
        }
        let write = matches!(*method, Method::POST | Method::PUT);
        match path {
            ["auth", "token", "lookup-self"] if *method == Method::GET => {
                data(&json!({ "accessor": "sandbox", "policies": ["root"], "ttl": 0, "type": "service" }))
            }
            ["sys", "capabilities-self"] if write => {
                let paths = body.get("paths").and_then(Value::as_array).into_iter().flatten();
                let all = paths.filter_map(Value::as_str).map(|path| (path.to_owned(), json!(["root"])));
                data(&Value::Object(all.collect()))
            }
            ["sys", "internal", "ui", "mounts", "kv"] => {
                data(&json!({ "path": "kv/", "type": "kv", "options": { "version": "2" } }))
            }
            ["sys", "internal", "ui", "mounts", mount @ ..] => {
                let words = "preflight capability check returned 403, please ensure client's policies grant access to path";
                refused(403, &format!("{words} \"{}/\"", mount.join("/")))
            }
            ["kv", what, rest @ ..] if !rest.is_empty() => {
                self.ticks += 1;
                let now = format!("tick {}", self.ticks);
                let name = rest.join("/");
                match (*what, write) {
                    ("data", true) => self.secrets.entry(name).or_default().put(body, now),
                    (what, _) => match self.secrets.get_mut(&name) {
                        Some(secret) if secret.current > 0 => {
                            secret.answer(method, what, version, body, &now)
                        }
                        _ => (404, json!({ "errors": [] })),
                    },
                }
            }
            _ => refused(404, "no handler for route. route entry not found."),
        }
    }
}

impl Secret {
    fn put(&mut self, body: &Value, now: String) -> Reply {
        let Some(map) = body.get("data").and_then(Value::as_object) else {
            return refused(400, "no data provided");
        };
        let cas = body.pointer("/options/cas").and_then(Value::as_u64);
        if cas.is_some_and(|cas| cas != self.current) {
            return refused(400, "check-and-set parameter did not match the current version");
        }
        self.current += 1;
        let version = Version { data: Some(map.clone()), created: now, deleted: String::new() };
        let facts = version.facts(self.current);
        self.versions.insert(self.current, version);
        data(&facts)
    }

    fn answer(
        &mut self,
        method: &Method,
        what: &str,
        version: Option<u64>,
        body: &Value,
        now: &str,
    ) -> Reply {
        let write = matches!(*method, Method::POST | Method::PUT);
        match what {
            "data" if *method == Method::GET => self.get(version),
            "data" if *method == Method::DELETE => self.each(&json!([self.current]), |one| one.delete(now)),
            "metadata" if *method == Method::GET => {
                let versions =
                    self.versions.iter().map(|(number, one)| (number.to_string(), one.facts(*number)));
                let versions = versions.collect::<Map<_, _>>();
                data(&json!({ "current_version": self.current, "oldest_version": 0, "versions": versions }))
            }
            "delete" if write => self.each(&body["versions"], |one| one.delete(now)),
            "undelete" if write => self.each(&body["versions"], |one| one.deleted.clear()),
            "destroy" if write => self.each(&body["versions"], |one| one.data = None),
            _ => refused(405, "unsupported operation"),
        }
    }

    fn get(&self, version: Option<u64>) -> Reply {
        let number = version.filter(|number| *number > 0).unwrap_or(self.current);
        let Some(version) = self.versions.get(&number) else {
            return (404, json!({ "errors": [] }));
        };
        let (_, mut answer) = data(&json!({ "data": null, "metadata": version.facts(number) }));
        match &version.data {
            Some(held) if version.deleted.is_empty() => {
                if let Some(place) = answer.pointer_mut("/data/data") {
                    *place = Value::Object(held.clone());
                }
                (200, answer)
            }
            _ => (404, answer),
        }
    }

    fn each(&mut self, versions: &Value, act: impl Fn(&mut Version)) -> Reply {
        let numbers = versions.as_array().into_iter().flatten().filter_map(Value::as_u64);
        for number in numbers {
            if let Some(version) = self.versions.get_mut(&number) {
                act(version);
            }
        }
        (204, Value::Null)
    }
}

impl Version {
    fn delete(&mut self, now: &str) {
        if self.deleted.is_empty() {
            now.clone_into(&mut self.deleted);
        }
    }

    fn facts(&self, number: u64) -> Value {
        json!({
            "version": number,
            "created_time": self.created,
            "deletion_time": self.deleted,
            "destroyed": self.data.is_none(),
            "custom_metadata": null,
        })
    }
}
