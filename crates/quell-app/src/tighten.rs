//! Policies of OpenBao that give more than is needed: what is needed, and a tighter policy to review. Nothing is applied.
//!
//! What is needed is what the inventory grants to the secret, and what the policy was used for: an audit device of OpenBao names
//! the policies that allowed each request (`auth.policy_results.granting_policies`), so other holders of the policy count too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use quell_connect::openbao::{Needs, Reviewed, held_policies, paths_to, tighten};
use quell_core::SecretId;
use quell_core::inventory::{Place, PlaceKind, Secret};
use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};

use crate::systems::Systems;
use crate::{App, AppError};

/// Longest line of an audit log that is read, in bytes.
const LINE_MAX: u64 = 4 << 20;

/// What to go by.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files of an audit device.
    pub logs: Vec<PathBuf>,
    /// Uses at or after this moment do not count: they may be the intruder's.
    pub until: Option<Timestamp>,
}

/// The policies of one secret, reviewed.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    /// Whose.
    pub secret: SecretId,
    /// In order of name.
    pub policies: Vec<PolicyReview>,
    /// What to know before one of them is applied.
    pub remarks: Vec<String>,
    /// Requests in the logs that one of the policies allowed.
    pub requests: u64,
    /// Lines of the logs that are no records.
    pub not_understood: u64,
}

/// One policy.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyReview {
    /// Its name.
    pub policy: String,
    /// Its patterns.
    pub rules: Vec<Reviewed>,
    /// The proposal, whole.
    pub proposed: String,
    /// From today's text to the proposal; empty when it is tight.
    pub diff: String,
}

/// Reviews the policies of a secret that OpenBao issues. Changes nothing.
///
/// # Errors
/// When the secret is not issued by OpenBao, the server cannot be asked, or a log cannot be read.
pub async fn review(app: &App, id: &SecretId, sources: &Sources) -> Result<Review, AppError> {
    let secret = app.inventory.secrets.get(id);
    let secret = secret.ok_or_else(|| AppError::NotFound { what: "secret", id: id.to_string() })?;
    if secret.issuer.connector != "openbao" {
        return Err(AppError::Usage(format!(
            "{id} is issued by `{}`, which has no policies of OpenBao; name a token or an AppRole secret id",
            secret.issuer.connector
        )));
    }
    let value = in_use(app, secret).await?;
    let held = held_policies(&app.context, &secret.issuer.config, &value).await?;
    let mut review = Review {
        secret: id.clone(),
        policies: Vec::new(),
        remarks: held.unknown,
        requests: 0,
        not_understood: 0,
    };
    if held.root {
        review.remarks.push(
            "it has the policy `root`, which has no text and cannot be tightened: give it a token with a policy".to_owned(),
        );
    }
    let names: BTreeSet<&str> = held.policies.iter().map(|(name, _)| name.as_str()).collect();
    let mut used = Used::default();
    for log in &sources.logs {
        used.read(log, &names, sources.until)?;
    }
    (review.requests, review.not_understood) = (used.requests, used.not_understood);
    let granted = granted(app, secret);
    for (name, text) in &held.policies {
        // Every token has it: what one of them needs says nothing.
        if name == "default" {
            continue;
        }
        let mut needs = granted.clone();
        for (path, capabilities) in used.by_policy.get(name).into_iter().flatten() {
            for (capability, count) in capabilities {
                let why = format!("{count} request(s) in the audit log");
                needs.entry(path.clone()).or_default().entry(capability.clone()).or_default().insert(why);
            }
        }
        match tighten(text, &needs) {
            Ok(tight) => review.policies.push(PolicyReview {
                policy: name.clone(),
                diff: crate::diff::unified(
                    &format!("policy/{name} (today)"),
                    &format!("policy/{name} (proposed)"),
                    text,
                    &tight.text,
                ),
                rules: tight.rules,
                proposed: tight.text,
            }),
            Err(why) => review.remarks.push(format!("policy `{name}` was not understood: {why}")),
        }
    }
    review.remarks.extend(cautions(&review, sources));
    Ok(review)
}

fn cautions(review: &Review, sources: &Sources) -> Vec<String> {
    let mut out = Vec::new();
    if sources.logs.is_empty() {
        out.push(
            "without an audit log only the inventory's grants count as needed: other holders of the policy are not seen; \
             give --audit-log"
                .to_owned(),
        );
    } else if sources.until.is_none() {
        out.push(
            "uses after the leak may be the intruder's and would be kept: leave them out with --until"
                .to_owned(),
        );
    }
    if review.not_understood > 0 {
        out.push(format!(
            "{} line(s) of the logs are no records of an audit device: what they tell is missing",
            review.not_understood
        ));
    }
    out
}

/// The value in use; empty when no store has it, and then the inventory's accessor decides.
async fn in_use(app: &App, secret: &Secret) -> Result<SecretValue, AppError> {
    let systems = Systems::build(secret, &app.context)?;
    let stored = match systems.stores.iter().find(|store| store.readable()) {
        Some(store) => store.read().await?,
        None => None,
    };
    Ok(stored.map_or_else(|| SecretValue::new(Vec::new()), |stored| stored.value))
}

/// What the inventory grants to it, as paths.
fn granted(app: &App, secret: &Secret) -> Needs {
    let mut needs = Needs::new();
    for other in secret.grants.iter().filter_map(|grant| grant.secret.as_ref()) {
        let places = app.inventory.places();
        // Nobody needs the credential that administers its issuer in order to use a secret.
        let of = |place: &&Place| place.secret == *other && place.kind != PlaceKind::Admin;
        for place in places.iter().filter(of).filter(|place| place.connector == "openbao") {
            for (path, capabilities) in paths_to(place) {
                let on: &mut BTreeMap<_, BTreeSet<_>> = needs.entry(path).or_default();
                for capability in capabilities {
                    on.entry((*capability).to_owned()).or_default().insert(format!("the grant of {other}"));
                }
            }
        }
    }
    needs
}

/// How often each policy allowed what.
#[derive(Debug, Default)]
struct Used {
    by_policy: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    requests: u64,
    not_understood: u64,
}

#[derive(Deserialize)]
struct Record {
    time: Timestamp,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    request: Option<Request>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    policy_results: Option<Results>,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    allowed: bool,
    #[serde(default)]
    granting_policies: Option<Vec<Granting>>,
}

#[derive(Deserialize)]
struct Granting {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    operation: String,
    #[serde(default)]
    path: String,
}

impl Used {
    fn read(
        &mut self,
        log: &Path,
        policies: &BTreeSet<&str>,
        until: Option<Timestamp>,
    ) -> Result<(), AppError> {
        let failed = |error| AppError::io(log, error);
        let mut lines = BufReader::new(std::fs::File::open(log).map_err(failed)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Record>(&line) {
                Ok(record) => self.count(record, policies, until),
                Err(_) => self.not_understood += 1,
            }
        }
    }

    /// Each operation is written before and after: the first alone is counted.
    fn count(&mut self, record: Record, policies: &BTreeSet<&str>, until: Option<Timestamp>) {
        if record.kind != "request" || until.is_some_and(|until| record.time >= until) {
            return;
        }
        let (Some(request), Some(results)) =
            (record.request, record.auth.and_then(|auth| auth.policy_results))
        else {
            return;
        };
        let capability = match request.operation.as_str() {
            "renew" | "revoke" | "rollback" => "update".to_owned(),
            _ => request.operation,
        };
        let granting = results.granting_policies.unwrap_or_default();
        let mut ours = granting.iter().filter(|it| policies.contains(it.name.as_str())).peekable();
        if !results.allowed || request.path.is_empty() || ours.peek().is_none() {
            return;
        }
        self.requests += 1;
        for policy in ours {
            let paths = self.by_policy.entry(policy.name.clone()).or_default();
            *paths.entry(request.path.clone()).or_default().entry(capability.clone()).or_default() += 1;
        }
    }
}
