//! A Kubernetes API server with the controllers of workloads, as a model: Kubernetes API reference 1.34, "API concepts", "Secrets", "Deployments",
//! "Using RBAC Authorization", read 2026-11-23.
//!
//! What it keeps to: `resourceVersion` as a precondition of patches (409), `immutable` Secrets (422), RBAC by verb and resource (403 in the
//! server's words), expired tokens (401), chunks of lists, flow control (429 with `Retry-After`), a `ReplicaSet` per template, pods that read
//! the Secret when they start, pods that are ending and are in no count of the status, a rollout whose deadline passes.

mod controller;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Listener, Reply, Request, locked, unbase64};
use controller::Workload;
pub use controller::{Kind, Pace};

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct Cluster {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    secrets: BTreeMap<String, Value>,
    workloads: BTreeMap<String, Workload>,
    /// What each token may do: `patch secrets`; `*` may do all.
    tokens: BTreeMap<String, Vec<String>>,
    /// Answers of flow control that are left.
    busy: u32,
    /// A webhook that puts this in the place of every entry that is written.
    webhook: Option<String>,
    /// Of a list, in one page.
    page: usize,
    /// Called before the next patch.
    meanwhile: Option<Value>,
    /// With more objects than this a page is too long.
    large: Option<usize>,
}

/// The one namespace of the model.
const NAMESPACE: &str = "shop";

impl Cluster {
    /// Starts one whose administrator's token is `boss`.
    pub fn start() -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(State { version: 100, page: 2, ..State::default() }));
        let answering = Arc::clone(&state);
        let listener = Listener::start(move |request| locked(&answering).answer(request))?;
        let cluster = Self { listener, state };
        cluster.allow("boss", &["*"]);
        Ok(cluster)
    }

    /// The same behind TLS, with a certificate and a key in PEM.
    pub fn start_tls(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let chain = vec![CertificateDer::from_pem_file(certificate).context("reading the certificate")?];
        let key = PrivateKeyDer::from_pem_file(key).context("reading the key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let config = Arc::new(config);
        let state = Arc::new(Mutex::new(State { version: 100, page: 2, ..State::default() }));
        let answering = Arc::clone(&state);
        let listener = Listener::start_as(
            move |request| locked(&answering).answer(request),
            move |stream| {
                let connection = rustls::ServerConnection::new(Arc::clone(&config))?;
                Ok(rustls::StreamOwned::new(connection, stream))
            },
        )?;
        let cluster = Self { listener, state };
        cluster.allow("boss", &["*"]);
        Ok(cluster)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.listener.lines()
    }

    /// Makes a token that may do this: `get secrets`, `*`.
    pub fn allow(&self, token: &str, may: &[&str]) {
        locked(&self.state).tokens.insert(token.to_owned(), may.iter().map(|&it| it.to_owned()).collect());
    }

    /// A token that was good is not any more.
    pub fn expire(&self, token: &str) {
        locked(&self.state).tokens.remove(token);
    }

    /// The next so many requests are held back.
    pub fn hold_back(&self, requests: u32) {
        locked(&self.state).busy = requests;
    }

    /// From now on an admission webhook replaces what is written.
    pub fn admit(&self, instead: &str) {
        locked(&self.state).webhook = Some(instead.to_owned());
    }

    /// Makes a Secret of the namespace `shop` with one entry; `more` is merged into it.
    pub fn secret(&self, name: &str, key: &str, value: &str, more: &Value) {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}") },
            "data": { (key): super::base64(value.as_bytes()) },
        });
        merge(&mut object, more);
        let mut state = locked(&self.state);
        state.keep(name, object);
    }

    /// A Secret as it is now.
    pub fn secret_now(&self, name: &str) -> Value {
        locked(&self.state).secrets.get(name).cloned().unwrap_or_default()
    }

    /// What an entry of a Secret holds.
    pub fn value(&self, name: &str, key: &str) -> String {
        locked(&self.state).value(name, key)
    }

    /// Merges something into a Secret, as somebody else would.
    pub fn edit(&self, name: &str, change: &Value) {
        locked(&self.state).edit(name, change);
    }

    /// The same just before the next patch is looked at: what comes between reading and writing.
    pub fn edit_before_next_patch(&self, name: &str, change: &Value) {
        locked(&self.state).meanwhile = Some(json!({ "name": name, "change": change }));
    }

    /// Makes a workload whose pods read an entry of a Secret when they start, and starts them.
    pub fn workload(&self, kind: Kind, name: &str, pods: usize, secret: (&str, &str), pace: Pace) {
        let mut state = locked(&self.state);
        let mut workload = Workload::new(kind, name, pods, secret, pace);
        let value = state.value(secret.0, secret.1);
        workload.settle(&value);
        state.workloads.insert(workload.id(), workload);
    }

    /// Merges something into a workload, as `kubectl patch` does.
    pub fn edit_workload(&self, kind: Kind, name: &str, change: &Value) {
        if let Some(workload) = locked(&self.state).workloads.get_mut(&format!("{}/{name}", kind.resource()))
        {
            workload.patch(change);
        }
    }

    /// One step of the controller.
    pub fn tick(&self, kind: Kind, name: &str) {
        locked(&self.state).tick(&format!("{}/{name}", kind.resource()));
    }

    /// `ReplicaSet`s of older templates are deleted (`revisionHistoryLimit: 0`), while their pods still end.
    pub fn clean(&self, kind: Kind, name: &str) {
        if let Some(workload) = locked(&self.state).workloads.get_mut(&format!("{}/{name}", kind.resource()))
        {
            workload.clean();
        }
    }

    /// Lists of more objects than this are longer than what a client takes.
    pub fn make_pods_large(&self, most: usize) {
        locked(&self.state).large = Some(most);
    }

    /// From now on no new pod gets ready, and the deadline passes.
    pub fn stall(&self, kind: Kind, name: &str) {
        if let Some(workload) = locked(&self.state).workloads.get_mut(&format!("{}/{name}", kind.resource()))
        {
            workload.stall();
        }
    }

    /// The values that its pods hold in their environment, those of ending pods, too.
    pub fn held(&self, kind: Kind, name: &str) -> Vec<String> {
        let state = locked(&self.state);
        let workload = state.workloads.get(&format!("{}/{name}", kind.resource()));
        workload.map(Workload::held).unwrap_or_default()
    }
}

impl State {
    fn keep(&mut self, name: &str, mut object: Value) {
        self.version += 1;
        merge(&mut object, &json!({ "metadata": { "resourceVersion": self.version.to_string() } }));
        self.secrets.insert(name.to_owned(), object);
    }

    fn edit(&mut self, name: &str, change: &Value) {
        let mut object = self.secrets.get(name).cloned().unwrap_or_default();
        merge(&mut object, change);
        self.keep(name, object);
    }

    fn value(&self, name: &str, key: &str) -> String {
        let text = self.secrets.get(name).and_then(|it| it.pointer(&format!("/data/{key}"))?.as_str());
        String::from_utf8(unbase64(text.unwrap_or_default())).unwrap_or_default()
    }

    fn tick(&mut self, id: &str) {
        let Some(workload) = self.workloads.get(id) else { return };
        let value = self.value(&workload.secret.0, &workload.secret.1);
        if let Some(workload) = self.workloads.get_mut(id) {
            workload.tick(&value);
        }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(may) = self.tokens.get(token).cloned() else {
            return status(401, "Unauthorized", "Unauthorized");
        };
        if self.busy > 0 {
            self.busy -= 1;
            // "Flow control": the header is in seconds.
            let words = "Too many requests, please try again later.";
            return status(429, "TooManyRequests", words).header("retry-after", "7");
        }
        if let ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] = request.segments()[..] {
            return review(&may, &request.json());
        }
        let (group, resource, name) = match request.segments()[..] {
            ["api", "v1", "namespaces", NAMESPACE, resource] => ("", resource, None),
            ["api", "v1", "namespaces", NAMESPACE, resource, name] => ("", resource, Some(name)),
            ["apis", "apps", "v1", "namespaces", NAMESPACE, resource] => ("apps", resource, None),
            ["apis", "apps", "v1", "namespaces", NAMESPACE, resource, name] => ("apps", resource, Some(name)),
            _ => return status(404, "NotFound", "the server could not find the requested resource"),
        };
        let verb = match (request.method.as_str(), name) {
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("PATCH", _) => "patch",
            _ => return status(405, "MethodNotAllowed", "the server does not allow this method"),
        };
        if !allows(&may, verb, resource) {
            let what = name.map_or_else(|| resource.to_owned(), |name| format!("{resource} \"{name}\""));
            let words = format!(
                "{what} is forbidden: User \"system:serviceaccount:{NAMESPACE}:quell\" cannot {verb} resource \"{resource}\" in API group \"{group}\" in the namespace \"{NAMESPACE}\""
            );
            return status(403, "Forbidden", &words);
        }
        match (verb, name) {
            ("get", Some(name)) => self.get(resource, name),
            ("patch", Some(name)) => self.patch(resource, name, request),
            _ => self.list(resource, request),
        }
    }

    fn get(&mut self, resource: &str, name: &str) -> Reply {
        let id = format!("{resource}/{name}");
        if resource == "secrets" {
            return self.secrets.get(name).map_or_else(|| missing(resource, name), |it| Reply::json(200, it));
        }
        if self.workloads.get(&id).is_some_and(Workload::moves_when_looked_at) {
            (0..5).for_each(|_| self.tick(&id));
        }
        self.workloads.get(&id).map_or_else(|| missing(resource, name), |it| Reply::json(200, &it.object()))
    }

    fn patch(&mut self, resource: &str, name: &str, request: &Request) -> Reply {
        if request.header("content-type") != "application/merge-patch+json" {
            let words = "the body of the request was in an unknown format - accepted media types include: application/merge-patch+json";
            return status(415, "UnsupportedMediaType", words);
        }
        if let Some(theirs) = self.meanwhile.take() {
            self.edit(theirs["name"].as_str().unwrap_or_default(), &theirs["change"]);
        }
        let mut change = request.json();
        if resource != "secrets" {
            let Some(workload) = self.workloads.get_mut(&format!("{resource}/{name}")) else {
                return missing(resource, name);
            };
            workload.patch(&change);
            return Reply::json(200, &workload.object());
        }
        let Some(now) = self.secrets.get(name).cloned() else { return missing(resource, name) };
        let wanted = change.pointer("/metadata/resourceVersion").cloned();
        if wanted.is_some_and(|wanted| Some(&wanted) != now.pointer("/metadata/resourceVersion")) {
            let words = format!(
                "Operation cannot be fulfilled on secrets \"{name}\": the object has been modified; please apply your changes to the latest version and try again"
            );
            return status(409, "Conflict", &words);
        }
        if let (Some(instead), Some(Value::Object(data))) = (&self.webhook, change.get_mut("data")) {
            data.values_mut().for_each(|value| *value = json!(super::base64(instead.as_bytes())));
        }
        let mut after = now.clone();
        merge(&mut after, &change);
        if now["immutable"] == true && now["data"] != after["data"] {
            let words = format!(
                "Secret \"{name}\" is invalid: data: Forbidden: field is immutable when `immutable` is set"
            );
            return status(422, "Invalid", &words);
        }
        // A write that changes nothing keeps the version ("API concepts").
        if after != now {
            self.keep(name, after);
        }
        self.get(resource, name)
    }

    /// In pages of two: a server may give fewer than were asked for.
    fn list(&self, resource: &str, request: &Request) -> Reply {
        let wanted: Vec<(&str, &str)> = request
            .query
            .get("labelSelector")
            .map(|text| text.split(',').filter_map(|part| part.split_once('=')).collect())
            .unwrap_or_default();
        let fits =
            |object: &Value| wanted.iter().all(|(key, value)| object["metadata"]["labels"][*key] == *value);
        let all: Vec<Value> =
            self.workloads.values().flat_map(|workload| workload.list(resource)).filter(fits).collect();
        let from = request.number("continue").unwrap_or(0);
        let limit = request.number("limit").unwrap_or(usize::MAX);
        if self.large.is_some_and(|most| limit > most) {
            let filler = "x".repeat(5 << 20);
            return Reply::json(200, &json!({ "kind": "List", "items": [filler] }));
        }
        let many = self.page.min(limit);
        let next = if from + many < all.len() { (from + many).to_string() } else { String::new() };
        let items: Vec<Value> = all.into_iter().skip(from).take(many).collect();
        Reply::json(
            200,
            &json!({ "kind": "List", "apiVersion": "v1", "metadata": { "continue": next }, "items": items }),
        )
    }
}

fn allows(may: &[String], verb: &str, resource: &str) -> bool {
    may.iter().any(|it| it == "*" || *it == format!("{verb} {resource}"))
}

fn review(may: &[String], body: &Value) -> Reply {
    let at = |name: &str| body["spec"]["resourceAttributes"][name].as_str().unwrap_or_default();
    let allowed = allows(may, at("verb"), at("resource"));
    Reply::json(201, &json!({ "kind": "SelfSubjectAccessReview", "status": { "allowed": allowed } }))
}

fn missing(resource: &str, name: &str) -> Reply {
    status(404, "NotFound", &format!("{resource} \"{name}\" not found"))
}

/// "Kubernetes API conventions", response status kind.
fn status(code: u16, reason: &str, message: &str) -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    Reply::json(code, &body)
}

/// RFC 7386.
fn merge(into: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Value::Object(into) = into else { return };
    for (key, value) in change {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
