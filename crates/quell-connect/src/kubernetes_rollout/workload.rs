//! The three kinds, and what the API says of each.

use serde_json::Value;

use super::{ConnectError, Rollout};
use crate::connector::Check;
use crate::kubernetes::{Right, list, text};
use crate::rest::Ask;

/// What rolls out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    DaemonSet,
    Deployment,
    StatefulSet,
}

impl Kind {
    /// As kubectl names it.
    pub(super) fn named(text: &str) -> Option<Self> {
        [Self::DaemonSet, Self::Deployment, Self::StatefulSet].into_iter().find(|kind| kind.word() == text)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonset",
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
        }
    }

    fn resource(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonsets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }

    /// How many pods there are to be, of the newest template, and ready to serve: `(wanted, new, ready)`.
    pub(super) fn counts(self, object: &Value) -> (u64, u64, u64) {
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        match self {
            Self::DaemonSet => (
                number("/status/desiredNumberScheduled"),
                number("/status/updatedNumberScheduled"),
                number("/status/numberAvailable"),
            ),
            // Without a number it is one (API reference, `replicas`).
            Self::Deployment | Self::StatefulSet => (
                object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1),
                number("/status/updatedReplicas"),
                number("/status/availableReplicas"),
            ),
        }
    }

    /// Why a change of the template would not reach every pod.
    pub(super) fn obstacle(self, object: &Value) -> Option<String> {
        if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
            return Some("the rollout is paused: `kubectl rollout resume` first".to_owned());
        }
        if self == Self::Deployment {
            return None;
        }
        if text(object, "/spec/updateStrategy/type") == "OnDelete" {
            let words =
                "its strategy is OnDelete: pods are new only after somebody deletes them; use RollingUpdate";
            return Some(words.to_owned());
        }
        let partition =
            object.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_u64);
        let partition = partition.filter(|partition| *partition > 0)?;
        Some(format!(
            "its partition is {partition}: pods below that number keep the old template; set it to 0"
        ))
    }
}

impl Rollout {
    pub(super) fn needs(&self, verb: &'static str) -> Right<'_> {
        let resource = self.kind.resource();
        Right { verb, group: "apps", resource, namespace: &self.namespace, name: Some(&self.name) }
    }

    pub(super) fn path(&self) -> [&str; 7] {
        ["apis", "apps", "v1", "namespaces", &self.namespace, self.kind.resource(), &self.name]
    }

    pub(super) async fn get(&self, what: &'static str) -> Result<Value, ConnectError> {
        self.cluster.ask(&Ask::get(what, &self.path()), self.needs("get"), &[]).await
    }

    /// What holds for a restart and for seeing one.
    pub(super) async fn checks(&self) -> Vec<Check> {
        let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
        let object = match self.get("looking at the workload").await {
            Ok(object) => object,
            Err(error) => return vec![line("read the workload", false, error.detail)],
        };
        let (wanted, _, _) = self.kind.counts(&object);
        let mut checks = vec![line("read the workload", true, format!("{wanted} pods are wanted"))];
        let reaches = self.kind.obstacle(&object);
        checks.push(line(
            "a restart reaches every pod",
            reaches.is_none(),
            reaches.unwrap_or_else(|| "yes".to_owned()),
        ));
        if let Some(why) = self.stranger(&object) {
            checks.push(line("its pods read the Secret", false, why));
        }
        checks
    }

    /// Why its pods do not read the Secret that was named: their template refers to others only.
    pub(super) fn stranger(&self, object: &Value) -> Option<String> {
        let secret = self.secret.as_deref()?;
        let named = secrets_of(object.pointer("/spec/template/spec")?);
        if named.contains(&secret) {
            return None;
        }
        Some(format!("its template does not refer to the Secret `{secret}`, but to: {}", named.join(", ")))
    }
}

/// The Secrets that a pod reads: as variables, as a whole environment, as files ("Secrets", using Secrets).
fn secrets_of(pod: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    let containers = ["/containers", "/initContainers"].into_iter().flat_map(|at| list(pod, at));
    for container in containers {
        names.extend(list(container, "/env").iter().map(|one| text(one, "/valueFrom/secretKeyRef/name")));
        names.extend(list(container, "/envFrom").iter().map(|one| text(one, "/secretRef/name")));
    }
    for volume in list(pod, "/volumes") {
        names.push(text(volume, "/secret/secretName"));
        names.extend(list(volume, "/projected/sources").iter().map(|one| text(one, "/secret/name")));
    }
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}
