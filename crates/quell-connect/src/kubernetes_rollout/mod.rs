//! A workload of Kubernetes as consumer: its pods are replaced, and it is seen when none of the older ones is left.
//!
//! Source: Kubernetes API reference 1.34 (apps/v1), "Deployments" (rolling update, pod-template-hash, progress deadline), "`StatefulSets`",
//! "`DaemonSet` rolling update", read 2026-11. A restart is what `kubectl rollout restart` does: an annotation of the pod template.

mod pods;
mod restart;
mod workload;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Observe, Reload, Seen};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::kubernetes::{Access, Cluster, access_schema, is_name};
use workload::Kind;

/// Pods of a workload.
pub static CONNECTOR: Definition = Definition {
    id: "kubernetes_rollout",
    summary: "Restarts a Deployment, StatefulSet or DaemonSet, and sees when every pod is new",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: Some(|config, context| Ok(Box::new(build(config, context)?))),
    observe: Some(|config, context| Ok(Box::new(build(config, context)?))),
    notify: None,
    channel: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    kubernetes_rollout: Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    namespace: String,
    workload: String,
    secret: Option<String>,
    cluster: Option<Access>,
}

/// One workload.
#[derive(Debug)]
struct Rollout {
    cluster: Cluster,
    namespace: String,
    kind: Kind,
    name: String,
    /// The Secret that its template must refer to.
    secret: Option<String>,
}

fn schemas() -> Vec<(&'static str, Value)> {
    let schema = |title: &str| {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "type": "object",
            "additionalProperties": false,
            "required": ["kubernetes_rollout"],
            "properties": { "kubernetes_rollout": {
                "type": "object",
                "additionalProperties": false,
                "required": ["namespace", "workload"],
                "properties": {
                    "namespace": { "type": "string", "minLength": 1, "description": "The namespace: shop" },
                    "workload": {
                        "type": "string",
                        "pattern": "^(deployment|statefulset|daemonset)/",
                        "description": "Its kind and name, as for kubectl: deployment/orders-api",
                    },
                    "secret": { "type": "string", "minLength": 1, "description": "The Secret that its pods must refer to: orders" },
                    "cluster": access_schema(),
                },
            } },
        })
    };
    vec![
        ("reload", schema("Restart of a workload of Kubernetes")),
        ("observe", schema("Pods of a workload of Kubernetes")),
    ]
}

fn build(config: &Value, context: &Context) -> Result<Rollout, ConfigError> {
    let Config { kubernetes_rollout: Table { namespace, workload, secret, cluster } } =
        ConfigError::parse(config)?;
    let hint = "Write deployment/NAME, statefulset/NAME or daemonset/NAME.";
    let bad = |key, why| ConfigError::at(key, why, hint);
    let (kind, name) = workload.split_once('/').ok_or_else(|| bad("workload", "not a kind and a name"))?;
    let kind = Kind::named(kind).ok_or_else(|| bad("workload", "not a kind that rolls out"))?;
    for (key, text) in
        [("namespace", Some(namespace.as_str())), ("workload", Some(name)), ("secret", secret.as_deref())]
    {
        if !text.is_none_or(is_name) {
            return Err(bad(key, "not a name in Kubernetes"));
        }
    }
    let name = name.to_owned();
    Ok(Rollout { cluster: Cluster::open(context, cluster)?, namespace, kind, name, secret })
}

impl Rollout {
    fn words(&self) -> String {
        format!("{} {}/{} in {}", self.cluster.name(), self.kind.word(), self.name, self.namespace)
    }
}

#[async_trait]
impl Reload for Rollout {
    fn target(&self) -> String {
        format!("restart {}", self.words())
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = self.checks().await;
        checks.push(self.cluster.may(self.needs("patch")).await);
        checks
    }

    async fn reload(&self) -> Outcome {
        self.try_restart().await.unwrap_or_else(|error| error.outcome())
    }
}

#[async_trait]
impl Observe for Rollout {
    fn target(&self) -> String {
        format!("pods of {}", self.words())
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = self.checks().await;
        match self.look().await {
            Ok(seen) => {
                let detail =
                    seen.why.unwrap_or_else(|| "all are of the newest template and ready".to_owned());
                checks.push(Check { what: "see its pods".to_owned(), ok: seen.healthy, detail });
            }
            Err(error) => {
                checks.push(Check { what: "see its pods".to_owned(), ok: false, detail: error.detail });
            }
        }
        checks
    }

    async fn see(&self) -> Result<Seen, ConnectError> {
        self.look().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let config = |namespace: &str, workload: &str, secret: &str| {
            let cluster = json!({ "server": "https://10.0.0.1", "token": "env:T" });
            json!({ "kubernetes_rollout": {
                "namespace": namespace, "workload": workload, "secret": secret, "cluster": cluster,
            } })
        };
        let built = build(&config("shop", "statefulset/orders", "orders"), &context).unwrap();
        assert_eq!(Observe::target(&built), "pods of kubernetes https://10.0.0.1 statefulset/orders in shop");
        for (key, config) in [
            ("namespace", config("Shop", "deployment/x", "s")),
            ("workload", config("shop", "orders", "s")),
            ("workload", config("shop", "job/orders", "s")),
            ("workload", config("shop", "deployment/../x", "s")),
            ("secret", config("shop", "deployment/x", "")),
        ] {
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
    }
}
