//! A Kubernetes Secret: one entry of its `data`.
//!
//! Source: Kubernetes API reference 1.34 (Secret v1), "Secrets" and "API concepts", read 2026-11. A merge patch that carries
//! `metadata.resourceVersion` is refused with 409 when the object is at another version by then (kubernetes/kubernetes issue 63104).

mod purge;
mod write;

use async_trait::async_trait;
use base64::Engine as _;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::connector::{Check, Definition, Store, Stored};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::kubernetes::{Access, Cluster, Right, access_schema, is_name, list, text};
use crate::rest::Ask;

/// A Secret of Kubernetes.
pub static CONNECTOR: Definition = Definition {
    id: "kubernetes_secret",
    summary: "Kubernetes: one entry of a Secret",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: Some(build),
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    namespace: String,
    name: String,
    key: String,
    cluster: Option<Access>,
}

/// The store.
#[derive(Debug)]
struct Secret {
    cluster: Cluster,
    namespace: String,
    name: String,
    key: String,
}

fn schemas() -> Vec<(&'static str, Value)> {
    let name =
        |what: &str| json!({ "type": "string", "minLength": 1, "maxLength": 253, "description": what });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Kubernetes Secret as store",
        "type": "object",
        "additionalProperties": false,
        "required": ["namespace", "name", "key"],
        "properties": {
            "namespace": name("The namespace: shop"),
            "name": name("The Secret's name: orders"),
            "key": name("The entry in its data: DATABASE_URL"),
            "cluster": access_schema(),
        },
    });
    vec![("store", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let Config { namespace, name, key, cluster } = ConfigError::parse(config)?;
    for (field, value) in [("namespace", &namespace), ("name", &name)] {
        if !is_name(value) {
            let hint = "Write it as `kubectl get secrets --all-namespaces` shows it.";
            return Err(ConfigError::at(field, "not a name in Kubernetes", hint));
        }
    }
    // "Secrets": alphanumeric, `-`, `_` or `.`.
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || key.len() > 253 || !key.chars().all(fits) {
        let hint = "Name the entry in the Secret's data: DATABASE_URL.";
        return Err(ConfigError::at("key", "not a key of a Secret", hint));
    }
    Ok(Box::new(Secret { cluster: Cluster::open(context, cluster)?, namespace, name, key }))
}

impl Secret {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }

    fn needs(&self, verb: &'static str) -> Right<'_> {
        Right { verb, group: "", resource: "secrets", namespace: &self.namespace, name: Some(&self.name) }
    }

    fn path(&self) -> [&str; 6] {
        ["api", "v1", "namespaces", &self.namespace, "secrets", &self.name]
    }

    /// The object as it is now.
    async fn get(&self, what: &'static str) -> Result<Value, ConnectError> {
        let object = self.cluster.ask(&Ask::get(what, &self.path()), self.needs("get"), &[]).await;
        self.here(object)
    }

    /// Changes it if it is still at this version. `hide` is what no message may repeat.
    async fn patch(
        &self,
        what: &'static str,
        version: &str,
        mut change: Value,
        hide: &[&str],
    ) -> Result<Value, ConnectError> {
        if let Some(Value::Object(metadata)) = change.get_mut("metadata") {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        let ask = Ask::new(what, Method::PATCH, &self.path()).typed("application/merge-patch+json", &change);
        let object = self.cluster.ask(&ask, self.needs("patch"), hide).await;
        self.here(object)
    }

    /// It must be there: a Secret that Quell made would belong to nobody.
    fn here(&self, object: Result<Value, ConnectError>) -> Result<Value, ConnectError> {
        object.map_err(|mut error| {
            if error.kind == ConnectErrorKind::Missing {
                error.detail = format!("{}; make it first, with any value", error.detail);
            }
            ConnectError { system: self.target(), ..error }
        })
    }

    /// What an entry holds.
    fn entry(
        &self,
        what: &'static str,
        object: &Value,
        key: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ConnectError> {
        let Some(Value::String(text)) = object.get("data").and_then(|data| data.get(key)) else {
            return Ok(None);
        };
        let odd = |_e| self.failed(what, ConnectErrorKind::Unexpected, "the entry is not base64");
        Ok(Some(Zeroizing::new(base64::prelude::BASE64_STANDARD.decode(text).map_err(odd)?)))
    }

    fn held(&self, what: &'static str, object: &Value) -> Result<Option<Stored>, ConnectError> {
        let Some(bytes) = self.entry(what, object, &self.key)? else { return Ok(None) };
        // `""` is how a Secret is made before its value is known.
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Stored { value: SecretValue::new(bytes.to_vec()), version: version_of(object).to_owned() }))
    }

    /// Lines of `quell inventory check` about the object itself.
    fn checks_of(&self, object: &Value) -> Vec<Check> {
        let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
        let kept = match self.held("reading the Secret", object) {
            Ok(Some(stored)) => line("read the entry", true, format!("version {}", stored.version)),
            Ok(None) => line("read the entry", true, "it has no value yet".to_owned()),
            Err(error) => line("read the entry", false, error.detail),
        };
        let writable = match write::obstacle(object) {
            None => line("the Secret can be changed", true, text(object, "/type").to_owned()),
            Some(why) => line("the Secret can be changed", false, why),
        };
        let owner = list(object, "/metadata/ownerReferences").iter().find_map(|owner| {
            let is = owner.get("controller") == Some(&Value::Bool(true));
            is.then(|| format!("{} `{}`", text(owner, "/kind"), text(owner, "/name")))
        });
        let others = match owner {
            Some(owner) => {
                let words = format!(
                    "{owner} owns it and will write its own value again; write to what it reads from"
                );
                line("nobody else writes it", false, words)
            }
            None if text(object, "/metadata/labels/app.kubernetes.io~1managed-by") == "Helm" => {
                let words = "Helm made it: the next upgrade writes the value of the chart, unless that is changed as well";
                line("nobody else writes it", true, words.to_owned())
            }
            None => line("nobody else writes it", true, "it has no controller".to_owned()),
        };
        vec![kept, writable, others]
    }
}

/// What it is compared with before it is changed.
fn version_of(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

#[async_trait]
impl Store for Secret {
    fn target(&self) -> String {
        format!("{} secret {}/{}#{}", self.cluster.name(), self.namespace, self.name, self.key)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        match self.get("reading the Secret").await {
            Ok(object) => checks.extend(self.checks_of(&object)),
            Err(error) => {
                checks.push(Check { what: "read the Secret".to_owned(), ok: false, detail: error.detail });
            }
        }
        for verb in ["get", "patch"] {
            checks.push(self.cluster.may(self.needs(verb)).await);
        }
        checks
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the Secret";
        self.held(WHAT, &self.get(WHAT).await?)
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        self.try_write(new).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_write(&self, new: &SecretValue) -> Outcome {
        effect::held(self.read().await, new)
    }

    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_purge(compromised).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_observe_purge(compromised).await.unwrap_or_else(|error| error.unseen())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let mut context = Context::new(std::path::PathBuf::from("/x"), http);
        let cluster = json!({ "server": "https://10.0.0.1:6443", "token": "env:T" });
        let ok = json!({ "namespace": "shop", "name": "orders.v1", "key": "DB_URL", "cluster": cluster });
        let target = build(&ok, &context).unwrap().target();
        assert_eq!(target, "kubernetes https://10.0.0.1:6443 secret shop/orders.v1#DB_URL");
        for (key, value) in [
            ("namespace", json!("Shop")),
            ("name", json!("../pods")),
            ("name", json!("")),
            ("key", json!("a/b")),
            ("server", json!({ "server": "http://10.0.0.1", "token": "env:T" })),
            ("token", json!({ "server": "https://10.0.0.1" })),
            ("ca_file", json!({ "server": "https://10.0.0.1", "token": "env:T", "ca_file": "none.pem" })),
        ] {
            let mut config = ok.clone();
            config[if ok.get(key).is_some() { key } else { "cluster" }] = value;
            let error = build(&config, &context).err();
            assert_eq!(error.and_then(|error| error.key).as_deref(), Some(key), "{config}");
        }
        let mut config = ok.clone();
        config["cluster"]["token"] = json!("hunter2");
        assert!(!format!("{:?}", build(&config, &context).err()).contains("hunter2"));
        // Nothing said: the pod that Quell runs in, or `connections.kubernetes`.
        config.as_object_mut().unwrap().remove("cluster");
        assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some("server"));
        context.connections =
            std::sync::Arc::new([("kubernetes".to_owned(), ok["cluster"].clone())].into_iter().collect());
        assert_eq!(build(&config, &context).unwrap().target(), target);
    }
}
