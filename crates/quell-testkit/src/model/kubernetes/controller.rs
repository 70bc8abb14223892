//! What controllers make of a workload, one step at a time.
//!
//! "Deployments": a `ReplicaSet` per template, a new pod before an old one goes (`maxSurge` 1, `maxUnavailable` 0). "`StatefulSets`" and
//! "`DaemonSet` rolling update": an old pod goes before the new one comes.

use serde_json::{Value, json};

use super::{NAMESPACE, merge};

/// What rolls out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One pod on each node.
    DaemonSet,
    /// Pods by a `ReplicaSet` for each template.
    Deployment,
    /// Pods with numbers.
    StatefulSet,
}

/// When the controller goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// Some steps each time that the workload is looked at.
    EachLook,
    /// When the test says so.
    Held,
}

#[derive(Debug)]
pub(super) struct Workload {
    kind: Kind,
    name: String,
    pub(super) secret: (String, String),
    pace: Pace,
    object: Value,
    /// Every template so far; the last one is the newest that the controller has seen.
    templates: Vec<Value>,
    observed: u64,
    pods: Vec<Pod>,
    made: u32,
    stalled: bool,
    /// Sets of older templates are deleted.
    cleaned: bool,
}

#[derive(Clone, Debug)]
struct Pod {
    name: String,
    /// Of which template.
    template: usize,
    ready: bool,
    ending: bool,
    /// What it read when it started.
    value: String,
}

impl Kind {
    /// As in a path.
    pub fn resource(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonsets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

impl Workload {
    pub(super) fn new(kind: Kind, name: &str, pods: usize, secret: (&str, &str), pace: Pace) -> Self {
        let from = json!({ "secretKeyRef": { "name": secret.0, "key": secret.1 } });
        let template = json!({
            "metadata": { "labels": { "app": name } },
            "spec": { "containers": [{ "name": "main", "env": [{ "name": "SERVICE_URL", "valueFrom": from }] }] },
        });
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": kind.word(),
            "metadata": { "name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}"), "generation": 1 },
            "spec": { "replicas": pods, "selector": { "matchLabels": { "app": name } }, "template": template },
        });
        let secret = (secret.0.to_owned(), secret.1.to_owned());
        let name = name.to_owned();
        let (templates, pods) = (Vec::new(), Vec::new());
        Self {
            kind,
            name,
            secret,
            pace,
            object,
            templates,
            observed: 0,
            pods,
            made: 0,
            stalled: false,
            cleaned: false,
        }
    }

    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.kind.resource(), self.name)
    }

    pub(super) fn moves_when_looked_at(&self) -> bool {
        self.pace == Pace::EachLook
    }

    /// Everything is rolled out.
    pub(super) fn settle(&mut self, value: &str) {
        for _ in 0..100 {
            self.tick(value);
        }
    }

    pub(super) fn stall(&mut self) {
        self.stalled = true;
    }

    pub(super) fn clean(&mut self) {
        self.cleaned = true;
    }

    pub(super) fn held(&self) -> Vec<String> {
        self.pods.iter().map(|pod| pod.value.clone()).collect()
    }

    pub(super) fn patch(&mut self, change: &Value) {
        let before = self.object["spec"].clone();
        merge(&mut self.object, change);
        if self.object["spec"] != before {
            let generation = self.generation() + 1;
            self.object["metadata"]["generation"] = json!(generation);
        }
    }

    fn generation(&self) -> u64 {
        self.object["metadata"]["generation"].as_u64().unwrap_or(0)
    }

    fn wanted(&self) -> usize {
        self.object["spec"]["replicas"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
    }

    fn newest(&self) -> usize {
        self.templates.len().saturating_sub(1)
    }

    /// One step.
    pub(super) fn tick(&mut self, value: &str) {
        if self.object["spec"]["paused"] == true {
            return;
        }
        if self.observed < self.generation() {
            self.observed = self.generation();
            let template = self.object["spec"]["template"].clone();
            if self.templates.last() != Some(&template) {
                self.templates.push(template);
            }
            return;
        }
        let newest = self.newest();
        let is_old = |pod: &Pod| pod.template != newest && !pod.ending;
        if let Some(at) = self.pods.iter().position(|pod| pod.ending) {
            self.pods.remove(at);
            return;
        }
        if let Some(pod) = self.pods.iter_mut().find(|pod| !pod.ready) {
            pod.ready = !self.stalled;
            return;
        }
        let new = self.pods.iter().filter(|pod| pod.template == newest).count();
        let room = match self.kind {
            Kind::Deployment => new < self.wanted(),
            Kind::DaemonSet | Kind::StatefulSet => self.pods.len() < self.wanted(),
        };
        if room {
            self.made += 1;
            let name = format!("{}-{}-{}", self.name, self.hash(newest), self.made);
            let value = value.to_owned();
            self.pods.push(Pod { name, template: newest, ready: false, ending: false, value });
            return;
        }
        let by_hand = self.object["spec"]["updateStrategy"]["type"] == "OnDelete";
        if let Some(pod) = self.pods.iter_mut().find(|pod| is_old(pod) && !by_hand) {
            pod.ending = true;
        }
    }

    /// Letters that stand for a template.
    fn hash(&self, template: usize) -> String {
        let text = self.templates.get(template).map(Value::to_string).unwrap_or_default();
        let hash = text.bytes().fold(5381_u32, |hash, b| hash.wrapping_mul(33) ^ u32::from(b));
        format!("{hash:08x}{template}")
    }

    fn revision_name(&self, template: usize) -> String {
        format!("{}-{}", self.name, self.hash(template))
    }

    /// The object with its status. Pods that are ending are in none of the counts.
    pub(super) fn object(&self) -> Value {
        let live = || self.pods.iter().filter(|pod| !pod.ending);
        let new = live().filter(|pod| pod.template == self.newest()).count();
        let (all, ready) = (live().count(), live().filter(|pod| pod.ready).count());
        let mut object = self.object.clone();
        object["status"] = match self.kind {
            Kind::DaemonSet => json!({
                "desiredNumberScheduled": self.wanted(), "currentNumberScheduled": all,
                "updatedNumberScheduled": new, "numberReady": ready, "numberAvailable": ready,
            }),
            Kind::Deployment | Kind::StatefulSet => json!({
                "replicas": all, "updatedReplicas": new, "readyReplicas": ready, "availableReplicas": ready,
            }),
        };
        object["status"]["observedGeneration"] = json!(self.observed);
        if self.kind == Kind::StatefulSet {
            object["status"]["updateRevision"] = json!(self.revision_name(self.newest()));
        }
        if self.kind == Kind::Deployment {
            let revision = json!({ "deployment.kubernetes.io/revision": self.templates.len().to_string() });
            merge(&mut object, &json!({ "metadata": { "annotations": revision } }));
            if self.stalled {
                let words = format!(
                    "ReplicaSet \"{}\" has timed out progressing.",
                    self.revision_name(self.newest())
                );
                object["status"]["conditions"] = json!([
                    { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable" },
                    { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": words },
                ]);
            }
        }
        object
    }

    /// What a list has of it.
    pub(super) fn list(&self, resource: &str) -> Vec<Value> {
        let templates = 0..self.templates.len();
        match (resource, self.kind) {
            ("pods", _) => self.pods.iter().map(|pod| self.pod(pod)).collect(),
            ("replicasets", Kind::Deployment) if self.cleaned => vec![self.replica_set(self.newest())],
            ("replicasets", Kind::Deployment) => templates.map(|n| self.replica_set(n)).collect(),
            ("controllerrevisions", Kind::DaemonSet | Kind::StatefulSet) => {
                templates.map(|n| self.controller_revision(n)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn replica_set(&self, template: usize) -> Value {
        json!({
            "kind": "ReplicaSet",
            "metadata": {
                "name": self.revision_name(template),
                "uid": format!("uid-{}", self.revision_name(template)),
                "labels": { "app": self.name, "pod-template-hash": self.hash(template) },
                "annotations": { "deployment.kubernetes.io/revision": (template + 1).to_string() },
                "ownerReferences": [{ "kind": "Deployment", "uid": format!("uid-{}", self.name), "controller": true }],
            },
        })
    }

    fn controller_revision(&self, template: usize) -> Value {
        json!({
            "kind": "ControllerRevision",
            "revision": template + 1,
            "metadata": {
                "name": self.revision_name(template),
                "labels": { "app": self.name, "controller-revision-hash": self.label(template) },
                "ownerReferences": [{ "kind": self.kind.word(), "uid": format!("uid-{}", self.name), "controller": true }],
            },
        })
    }

    /// As pods carry it: a `StatefulSet`'s pods have the whole name of the revision.
    fn label(&self, template: usize) -> String {
        match self.kind {
            Kind::StatefulSet => self.revision_name(template),
            Kind::DaemonSet | Kind::Deployment => self.hash(template),
        }
    }

    fn pod(&self, pod: &Pod) -> Value {
        let (key, kind, owner) = match self.kind {
            Kind::Deployment => {
                ("pod-template-hash", "ReplicaSet", format!("uid-{}", self.revision_name(pod.template)))
            }
            Kind::DaemonSet | Kind::StatefulSet => {
                ("controller-revision-hash", self.kind.word(), format!("uid-{}", self.name))
            }
        };
        let mut object = json!({
            "kind": "Pod",
            "metadata": {
                "name": pod.name,
                "labels": { "app": self.name, (key): self.label(pod.template) },
                "ownerReferences": [{ "kind": kind, "uid": owner, "controller": true }],
            },
            "status": { "phase": "Running" },
        });
        if pod.ending {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-23T08:00:00Z");
        }
        object
    }
}
