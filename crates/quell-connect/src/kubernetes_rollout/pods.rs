//! Which template each pod is of. The status of a Deployment does not count pods that are still ending, and those hold the old value: so the
//! pods themselves are looked at.

use serde_json::Value;

use super::workload::Kind;
use super::{ConnectError, Rollout};
use crate::connector::Seen;
use crate::kubernetes::{Right, list, text};

const WHAT: &str = "looking at the pods";

/// The newest template.
struct Newest {
    /// What tells it from every other one; never a number.
    name: String,
    /// As pods carry it.
    label: String,
    /// Who owns its pods: a `ReplicaSet`, or the workload itself.
    owners: Vec<String>,
    /// Who else there is that owns pods: another workload's.
    others: Vec<String>,
}

impl Rollout {
    pub(super) async fn look(&self) -> Result<Seen, ConnectError> {
        let object = self.get(WHAT).await?;
        let (wanted, new, ready) = self.kind.counts(&object);
        let Some(newest) = self.newest(&object).await? else {
            let why = Some("the controller has made nothing of its newest template yet".to_owned());
            return Ok(Seen { why, ..Seen::default() });
        };
        let unwell = |why: String| Seen {
            generation: Some(newest.name.clone()),
            principal: None,
            healthy: false,
            why: Some(why),
        };
        if let Some(why) = self.stranger(&object) {
            return Ok(unwell(why));
        }
        if let Some(why) = stalled(&object) {
            return Ok(unwell(why));
        }
        let generation = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        if generation("/status/observedGeneration") < generation("/metadata/generation") {
            return Ok(unwell("the controller has not seen the last change yet".to_owned()));
        }
        let old = self.older(&object, &newest).await?;
        if !old.is_empty() {
            let ending = old.iter().filter(|pod| pod.1).count();
            let names: Vec<&str> = old.iter().take(3).map(|pod| pod.0.as_str()).collect();
            let words = format!(
                "{} pods of an older template are left, {ending} of them ending: {}",
                old.len(),
                names.join(", ")
            );
            return Ok(unwell(words));
        }
        if new < wanted || ready < wanted {
            return Ok(unwell(format!(
                "of {wanted} pods {new} are of the newest template and {ready} ready"
            )));
        }
        Ok(Seen { generation: Some(newest.name), principal: None, healthy: true, why: None })
    }

    /// The newest template, by what the controller made of it.
    async fn newest(&self, object: &Value) -> Result<Option<Newest>, ConnectError> {
        let uid = text(object, "/metadata/uid");
        match self.kind {
            Kind::Deployment => {
                let all = self.list("replicasets", object).await?;
                let (sets, others): (Vec<&Value>, Vec<&Value>) =
                    all.iter().partition(|set| is_owned(set, uid));
                let uids = |sets: &[&Value]| -> Vec<String> {
                    sets.iter().map(|set| text(set, "/metadata/uid").to_owned()).collect()
                };
                let revision = "/metadata/annotations/deployment.kubernetes.io~1revision";
                let wanted = text(object, revision);
                let newest = sets.iter().find(|set| !wanted.is_empty() && text(set, revision) == wanted);
                Ok(newest.map(|set| Newest {
                    name: format!("replicaset/{}", text(set, "/metadata/name")),
                    label: text(set, "/metadata/labels/pod-template-hash").to_owned(),
                    owners: uids(&sets),
                    others: uids(&others),
                }))
            }
            Kind::StatefulSet => {
                let label = text(object, "/status/updateRevision").to_owned();
                let name = format!("revision/{label}");
                Ok((!label.is_empty()).then(|| Newest {
                    name,
                    label,
                    owners: vec![uid.to_owned()],
                    others: Vec::new(),
                }))
            }
            Kind::DaemonSet => {
                let all = self.owned("controllerrevisions", object).await?;
                let number = |one: &&Value| one.get("revision").and_then(Value::as_u64);
                Ok(all.iter().max_by_key(number).map(|one| Newest {
                    name: format!("revision/{}", text(one, "/metadata/name")),
                    label: text(one, "/metadata/labels/controller-revision-hash").to_owned(),
                    owners: vec![uid.to_owned()],
                    others: Vec::new(),
                }))
            }
        }
    }

    /// Pods that hold what an older template gave them: name, and whether it is ending.
    async fn older(&self, object: &Value, newest: &Newest) -> Result<Vec<(String, bool)>, ConnectError> {
        let pods = self.list("pods", object).await?;
        let label = match self.kind {
            Kind::Deployment => "/metadata/labels/pod-template-hash",
            Kind::DaemonSet | Kind::StatefulSet => "/metadata/labels/controller-revision-hash",
        };
        // What has ended runs nothing, and is kept for its logs ("Pod Lifecycle").
        let runs = |pod: &&Value| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        // A pod that is ending outlives its `ReplicaSet` when that is deleted, and an orphan has no owner at all: both hold what they read.
        let ours = |pod: &&Value| {
            let mut owners = list(pod, "/metadata/ownerReferences").iter();
            let Some(owner) = owners.find(|one| one.get("controller") == Some(&Value::Bool(true))) else {
                return true;
            };
            let is = |known: &String| known == text(owner, "/uid");
            let left_behind = self.kind == Kind::Deployment
                && text(owner, "/kind") == "ReplicaSet"
                && !newest.others.iter().any(is);
            left_behind || newest.owners.iter().any(is)
        };
        let old = pods.iter().filter(runs).filter(ours).filter(|pod| text(pod, label) != newest.label);
        let found = old.map(|pod| {
            let ending = !text(pod, "/metadata/deletionTimestamp").is_empty();
            (text(pod, "/metadata/name").to_owned(), ending)
        });
        Ok(found.collect())
    }

    /// What of a kind the workload owns.
    async fn owned(&self, resource: &'static str, object: &Value) -> Result<Vec<Value>, ConnectError> {
        let uid = text(object, "/metadata/uid");
        let mut all = self.list(resource, object).await?;
        all.retain(|one| is_owned(one, uid));
        Ok(all)
    }

    /// All of a kind that the workload's labels fit.
    async fn list(&self, resource: &'static str, object: &Value) -> Result<Vec<Value>, ConnectError> {
        let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten().filter_map(|(key, value)| Some((key, value.as_str()?)));
        // Expressions would make it fewer; who owns what is looked at anyway.
        let selector: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        let selector = selector.join(",");
        let namespace = self.namespace.as_str();
        let (group, path) = if resource == "pods" {
            ("", vec!["api", "v1", "namespaces", namespace, resource])
        } else {
            ("apps", vec!["apis", "apps", "v1", "namespaces", namespace, resource])
        };
        let needs = Right { verb: "list", group, resource, namespace, name: None };
        self.cluster.all(WHAT, &path, (!selector.is_empty()).then_some(selector.as_str()), needs).await
    }
}

fn is_owned(object: &Value, uid: &str) -> bool {
    !uid.is_empty()
        && list(object, "/metadata/ownerReferences").iter().any(|owner| text(owner, "/uid") == uid)
}

/// Why a rollout will not end by itself ("Deployments", progress deadline).
fn stalled(object: &Value) -> Option<String> {
    let condition = list(object, "/status/conditions").iter().find(|one| {
        text(one, "/type") == "Progressing"
            && text(one, "/status") == "False"
            && text(one, "/reason") == "ProgressDeadlineExceeded"
    })?;
    let said = crate::words::one_line(text(condition, "/message"));
    Some(format!("the rollout stands still (ProgressDeadlineExceeded): {said}"))
}
