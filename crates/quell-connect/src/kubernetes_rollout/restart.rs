//! The restart: a new annotation in the pod template, as `kubectl rollout restart` sets it. A repeat restarts once more.

use quell_core::outcome::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ConnectError, Rollout};
use crate::rest::Ask;
use crate::webhook::sign::wall_clock;

/// Of kubectl; what shows the restart in `kubectl describe`.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

impl Rollout {
    pub(super) async fn try_restart(&self) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "restarting the workload";
        let before = self.get(WHAT).await?;
        // Kubernetes would take the change, and nothing would come of it.
        if let Some(why) = self.kind.obstacle(&before).or_else(|| self.stranger(&before)) {
            return Ok(Outcome::refused(format!("{}: {why}", self.words())));
        }
        let at = wall_clock().to_string();
        let change = json!({
            "spec": { "template": { "metadata": { "annotations": { (RESTARTED): at } } } },
        });
        let ask = Ask::new(WHAT, Method::PATCH, &self.path()).typed("application/merge-patch+json", &change);
        let after = self.cluster.ask(&ask, self.needs("patch"), &[]).await?;
        let generation = |object: &Value| object.pointer("/metadata/generation").and_then(Value::as_u64);
        Ok(Outcome::applied([
            ("restarted_at", json!(at)),
            ("generation", json!(generation(&after))),
            ("generation_before", json!(generation(&before))),
        ]))
    }
}
