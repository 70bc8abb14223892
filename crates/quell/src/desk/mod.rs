//! Where the work is done: in this installation, or by a server. Commands do not care; what they print is made from the same things.
//!
//! Of a server, an incident is read as its entries, and folded here: it is shown by the very code that shows a local one.

mod change;
mod finding;
mod follow;
mod ingest;
mod intake;
mod inventory;
mod notice;
mod person;
pub(crate) mod place;
mod remote;
mod session;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quell_app::evidence::{self, Exported};
use quell_app::incident::{self, Change, Report};
use quell_app::plan::StepCommand;
use quell_app::precheck::{self, Ready};
use quell_app::proof::{self, Verified};
use quell_app::{App, AppError, Options, clock::now, hunt, plan, projection, scan};
use quell_core::event::{Decision, Entry};
use quell_core::incident::Incident;
use quell_core::inventory::{Adjacent, Inventory};
use quell_core::plan::Refusal;
use quell_core::{IncidentId, SecretId, StepId};
use quell_hunt::report::saved::Saved;
use quell_web::view;
use serde_json::{Map, Value, json};

use change::{about, asked};
pub(crate) use follow::Follow;
pub(crate) use ingest::Report as ToolReport;
pub(crate) use inventory::known;
use person::segment;
pub(crate) use remote::Remote;
use remote::Reply;

use crate::cli::ListArgs;
use crate::cmd::{app, app_for, app_without_inventory, ask_passphrase, word};

/// Who sits here: how to open this installation, and the server that does the work instead, if one was named.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) options: Options,
    server: Option<Remote>,
}

impl Seat {
    pub(crate) fn new(options: Options, server: Option<Remote>) -> Self {
        Self { options, server }
    }

    /// The server that does the work, if one was named.
    pub(crate) fn server(&self) -> Option<&Remote> {
        self.server.as_ref()
    }

    /// For what needs the ledger only.
    pub(crate) async fn desk(&self) -> Result<Desk, AppError> {
        Ok(match &self.server {
            Some(remote) => Desk::There(remote.clone()),
            None => Desk::Here(app_without_inventory(&self.options).await?),
        })
    }

    /// For the ledger as a whole: no inventory is read, so that a broken one keeps nobody from it.
    pub(crate) async fn ledger(&self) -> Result<Desk, AppError> {
        if let Some(remote) = &self.server {
            return Ok(Desk::There(remote.clone()));
        }
        let none = Inventory::default();
        Ok(Desk::Here(App::with_inventory(&self.options, none, ask_passphrase).await?))
    }

    /// For what needs the inventory, too.
    pub(crate) async fn desk_with_inventory(&self) -> Result<Desk, AppError> {
        Ok(match &self.server {
            Some(remote) => Desk::There(remote.clone()),
            None => Desk::Here(app(&self.options).await?),
        })
    }

    /// For what is done about one incident.
    pub(crate) async fn desk_about(&self, id: IncidentId) -> Result<Desk, AppError> {
        Ok(match &self.server {
            Some(remote) => Desk::There(remote.clone()),
            None => Desk::Here(app_for(&self.options, id).await?),
        })
    }
}

/// Where the work is done.
#[derive(Debug)]
pub(crate) enum Desk {
    /// In this installation.
    Here(Arc<App>),
    /// By a server.
    There(Remote),
}

/// One line of the list of incidents.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) drill: bool,
    pub(crate) severity: String,
    pub(crate) contained: bool,
    pub(crate) title: String,
}

impl Desk {
    /// A server does the work.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::There(_))
    }

    /// One incident, and the entries it is made of.
    pub(crate) async fn incident_with_entries(
        &self,
        id: IncidentId,
    ) -> Result<(Incident, Vec<Entry>), AppError> {
        match self {
            Self::Here(app) => app.incident_with_entries(id).await,
            Self::There(remote) => {
                let entries = entries(remote, id, 0).await?;
                let incident = Incident::fold(id, &entries)
                    .ok_or_else(|| AppError::NotFound { what: "incident", id: id.to_string() })?;
                Ok((incident, entries))
            }
        }
    }

    /// One incident.
    pub(crate) async fn incident(&self, id: IncidentId) -> Result<Incident, AppError> {
        Ok(self.incident_with_entries(id).await?.0)
    }

    /// Incidents, newest first: for people, and as data.
    pub(crate) async fn incidents(&self, args: &ListArgs) -> Result<(Vec<Row>, Value), AppError> {
        let incidents = match self {
            Self::Here(app) => {
                let mut all = Vec::new();
                for id in projection::ids(app, &args.wanted(), args.most()).await? {
                    all.push(view::Incident::of(&*app.incident_shared(id).await?, now()));
                }
                serde_json::to_value(all).unwrap_or_default()
            }
            Self::There(remote) => pages(remote, args).await?,
        };
        let rows = incidents.as_array().into_iter().flatten().map(row).collect();
        Ok((rows, json!({ "incidents": incidents })))
    }

    /// Declares an incident. False when the value of its finding could not be read again.
    pub(crate) async fn open(
        &self,
        mut report: Report,
        finding: Option<&str>,
    ) -> Result<(Incident, Vec<Entry>, bool), AppError> {
        match self {
            Self::Here(app) => {
                let known = match finding {
                    Some(finding) => scan::report_from(app, finding, &mut report).await?,
                    None => true,
                };
                if report.secrets.is_empty() {
                    return Err(AppError::Usage(
                        "which secret leaked is not known; name it with --secret (`quell inventory check --offline` lists them)".to_owned(),
                    ));
                }
                let id = incident::open(app, report).await?.id;
                let (incident, entries) = app.incident_with_entries(id).await?;
                Ok((incident, entries, known))
            }
            Self::There(remote) => {
                let opened: Value = remote.post("/incidents", &declared(&report, finding)?).await?.json()?;
                let id = opened.get("incident").and_then(Value::as_str).unwrap_or_default();
                let (incident, entries) = self.incident_with_entries(word(id)?).await?;
                let known = finding.is_none() || incident.exposures.iter().any(|it| it.sealed.is_some());
                Ok((incident, entries, known))
            }
        }
    }

    /// Carries out a change.
    pub(crate) async fn change(&self, id: IncidentId, change: &Change) -> Result<Incident, AppError> {
        match self {
            Self::Here(app) => incident::change(app, id, change).await,
            Self::There(remote) => {
                let (path, body) = asked(id, change)?;
                let told = remote.post(&path, &body).await;
                told.map_err(|error| match about(change) {
                    Some((what, it)) => missing(error, what, it),
                    None => error,
                })?;
                self.incident(id).await
            }
        }
    }

    /// Adds secrets to an incident.
    pub(crate) async fn widen(
        &self,
        id: IncidentId,
        secrets: &[SecretId],
        reason: &str,
    ) -> Result<Incident, AppError> {
        match self {
            Self::Here(app) => incident::widen(app, id, secrets, reason).await,
            Self::There(remote) => {
                let body = json!({ "secrets": secrets, "reason": reason });
                let told = remote.post(&format!("/incidents/{id}/secrets"), &body).await;
                // Of several, the server does not say which one it does not know.
                told.map_err(|error| match secrets {
                    [one] => missing(error, "secret", one.as_str()),
                    _ => error,
                })?;
                self.incident(id).await
            }
        }
    }

    /// Secrets that lie where those of the incident lay.
    pub(crate) async fn adjacent(&self, id: IncidentId) -> Result<Vec<Adjacent>, AppError> {
        match self {
            Self::Here(app) => incident::adjacent(app, &app.incident(id).await?).await,
            Self::There(remote) => {
                let told: Value = remote.get(&format!("/incidents/{id}/adjacent")).await?.json()?;
                let all = told.get("adjacent").and_then(Value::as_array).into_iter().flatten();
                all.map(|one| {
                    let reasons = one.get("reasons").and_then(Value::as_array).into_iter().flatten();
                    Ok(Adjacent {
                        secret: word(one.get("secret").and_then(Value::as_str).unwrap_or_default())?,
                        reasons: reasons.filter_map(Value::as_str).map(str::to_owned).collect(),
                    })
                })
                .collect()
            }
        }
    }

    /// The plan that holds, made first if there is none.
    pub(crate) async fn plan(&self, id: IncidentId, again: bool) -> Result<Incident, AppError> {
        match self {
            Self::Here(app) => plan::make(app, id, again).await,
            Self::There(remote) => {
                remote.post(&format!("/incidents/{id}/plan"), &json!({ "again": again })).await?;
                self.incident(id).await
            }
        }
    }

    /// What is missing before it is carried out.
    pub(crate) async fn precheck(&self, id: IncidentId) -> Result<Vec<Ready>, AppError> {
        match self {
            Self::Here(app) => precheck::precheck(app, id).await,
            Self::There(remote) => {
                let told = remote.get(&format!("/incidents/{id}/plan/check")).await?;
                part(&told.json()?, "secrets")
            }
        }
    }

    /// Approves steps; by whom, and which.
    pub(crate) async fn approve(
        &self,
        id: IncidentId,
        plan_hash: &str,
        steps: &[StepId],
    ) -> Result<(String, Vec<StepId>), AppError> {
        match self {
            Self::Here(app) => {
                let (_, approved) = plan::approve(app, id, plan_hash, steps).await?;
                Ok((app.actor.id.clone(), approved))
            }
            Self::There(remote) => {
                let body = json!({ "plan": plan_hash, "steps": steps });
                let told: Value = remote.post(&format!("/incidents/{id}/approve"), &body).await?.json()?;
                Ok((part(&told, "by")?, part(&told, "approved")?))
            }
        }
    }

    /// Decides about one step.
    pub(crate) async fn step(
        &self,
        id: IncidentId,
        step: &StepId,
        command: &StepCommand,
    ) -> Result<Incident, AppError> {
        match self {
            Self::Here(app) => plan::step(app, id, step, command).await,
            Self::There(remote) => {
                let (verb, body) = match command {
                    StepCommand::Retry => ("retry", json!({})),
                    StepCommand::Skip(reason) => ("skip", json!({ "reason": reason })),
                    StepCommand::Refuse(reason) => ("refuse", json!({ "reason": reason })),
                    StepCommand::Resolve { statement, evidence } => {
                        let file = |(name, bytes): &(String, Vec<u8>)| json!({ "name": name, "content": BASE64_STANDARD.encode(bytes) });
                        let evidence: Vec<Value> = evidence.iter().map(file).collect();
                        ("resolve", json!({ "statement": statement, "evidence": evidence }))
                    }
                };
                let told = remote.post(&format!("/incidents/{id}/steps/{step}/{verb}"), &body).await;
                told.map_err(|error| {
                    let is_none = matches!(&error, AppError::Server { said, .. } if said == "the plan has no such step");
                    if is_none { AppError::Step(Refusal::NoSuchStep(step.clone())) } else { error }
                })?;
                self.incident(id).await
            }
        }
    }

    /// Tries every old value again.
    pub(crate) async fn verify(&self, id: IncidentId) -> Result<Vec<Verified>, AppError> {
        match self {
            Self::Here(app) => proof::verify(app, id).await,
            Self::There(remote) => {
                let told = remote.post(&format!("/incidents/{id}/verify"), &json!({})).await?;
                part(&told.json()?, "secrets")
            }
        }
    }

    /// The newest checkpoint: its size and the signed note.
    pub(crate) async fn checkpoint(&self) -> Result<Option<(u64, String)>, AppError> {
        match self {
            Self::Here(app) => Ok(app.store.checkpoint().await?),
            Self::There(remote) => {
                let told: Value = remote.get("/ledger/checkpoint").await?.json()?;
                Ok(Some((part(&told, "size")?, part(&told, "checkpoint")?)))
            }
        }
    }

    /// The key that verifies checkpoints and bundles.
    pub(crate) async fn key(&self) -> Result<String, AppError> {
        match self {
            Self::Here(app) => Ok(app.store.signing_key().verifier().to_string()),
            Self::There(remote) => part(&remote.get("/ledger/key").await?.json()?, "vkey"),
        }
    }

    /// Hashes the whole ledger anew.
    pub(crate) async fn verify_ledger(&self, key: Option<&str>, kept: &[String]) -> Result<Value, AppError> {
        match self {
            Self::Here(app) => {
                let key = match key {
                    Some(text) => {
                        Some(text.trim().parse().map_err(|e| AppError::Usage(format!("--key: {e}")))?)
                    }
                    None => None,
                };
                let report = quell_app::ledger::verify(app, key, kept).await?;
                serde_json::to_value(report).map_err(|error| AppError::Evidence(error.to_string()))
            }
            Self::There(remote) => {
                let body = json!({ "key": key, "checkpoints": kept });
                let told = remote.post("/ledger/verify", &body).await;
                // As here: what was kept is damaged, the command's words are right.
                if let Err(AppError::Server { status: 422, said, .. }) = &told
                    && key.is_none()
                {
                    return Err(AppError::Evidence(said.clone()));
                }
                told?.json()
            }
        }
    }

    /// Computes lists and look-ups anew. How many incidents there are.
    pub(crate) async fn rebuild(&self) -> Result<u64, AppError> {
        match self {
            Self::Here(app) => projection::rebuild(app).await,
            Self::There(remote) => {
                part(&remote.post("/ledger/rebuild", &json!({})).await?.json()?, "incidents")
            }
        }
    }

    /// Writes the evidence bundle to a file here.
    pub(crate) async fn export(&self, id: IncidentId, to: &Path) -> Result<Exported, AppError> {
        match self {
            Self::Here(app) => evidence::export(app, id, to).await,
            Self::There(remote) => {
                let key = self.key().await?;
                let told = remote.post(&format!("/incidents/{id}/evidence/export"), &json!({})).await?;
                let entries = told.headers.get("quell-entries").and_then(|n| n.to_str().ok()?.parse().ok());
                evidence::write_whole(to, &told.body)?;
                Ok(evidence::exported(to, &told.body, entries.unwrap_or(0), &key))
            }
        }
    }

    /// Says what an anomaly of the newest hunt is.
    pub(crate) async fn judge(
        &self,
        id: IncidentId,
        anomaly: &str,
        decision: Decision,
        reason: &str,
    ) -> Result<Incident, AppError> {
        match self {
            Self::Here(app) => hunt::triage::triage(app, id, anomaly, decision, reason).await,
            Self::There(remote) => {
                let body = json!({ "anomaly": anomaly, "decision": decision.word(), "reason": reason });
                remote.post(&format!("/incidents/{id}/hunt/triage"), &body).await?;
                self.incident(id).await
            }
        }
    }

    /// The newest hunt of an incident, with what people said since.
    pub(crate) async fn hunted(&self, id: IncidentId) -> Result<Saved, AppError> {
        match self {
            Self::Here(app) => Ok(hunt::triage::newest(app, id).await?.0),
            Self::There(remote) => {
                let told = remote.get(&format!("/incidents/{id}/hunt")).await?;
                hunt::read("the server's report", told.text()?.as_bytes())
            }
        }
    }

    /// Who is asking.
    pub(crate) async fn person(&self) -> Result<String, AppError> {
        match self {
            Self::Here(app) => Ok(app.actor.id.clone()),
            Self::There(remote) => part(&remote.get("/server").await?.json()?, "person"),
        }
    }
}

/// A server repeats nothing that it was asked for, since it may be a value. We know what we asked, and say it as ever. Only where the server
/// says that there is no such thing: another 404 may be about anything.
fn missing(error: AppError, what: &'static str, id: &str) -> AppError {
    if matches!(&error, AppError::Server { status: 404, said, .. } if said.starts_with("there is no such ")) {
        return AppError::NotFound { what, id: id.to_owned() };
    }
    error
}

fn part<T: serde::de::DeserializeOwned>(told: &Value, name: &str) -> Result<T, AppError> {
    let found = told.get(name).cloned().unwrap_or_default();
    serde_json::from_value(found)
        .map_err(|error| AppError::Evidence(format!("the server's `{name}` cannot be read: {error}")))
}

/// Entries of an incident from a position on.
async fn entries(remote: &Remote, id: IncidentId, from: u64) -> Result<Vec<Entry>, AppError> {
    let (mut out, mut from) = (Vec::new(), from);
    loop {
        let page: Value =
            remote.get(&format!("/incidents/{id}/entries?from={from}&limit=1000")).await?.json()?;
        let stored: Vec<Value> = part(&page, "entries")?;
        for entry in stored {
            let seq = entry.get("seq").and_then(Value::as_u64).unwrap_or_default();
            let bytes = serde_json::to_vec(&entry).map_err(|error| AppError::Evidence(error.to_string()))?;
            out.push(Entry::from_bytes(seq, &bytes)?);
        }
        from = part(&page, "next")?;
        if !part::<bool>(&page, "more")? {
            return Ok(out);
        }
    }
}

/// Page after page, until there are as many as are wanted.
async fn pages(remote: &Remote, args: &ListArgs) -> Result<Value, AppError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let limit = (args.most() - all.len()).min(50);
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", &limit.to_string())
            .extend_pairs(args.query())
            .extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)))
            .finish();
        let page: Value = remote.get(&format!("/incidents?{query}")).await?.json()?;
        let found = part::<Vec<Value>>(&page, "incidents")?;
        let none = found.is_empty();
        all.extend(found.into_iter().take(limit));
        match page.get("next").and_then(Value::as_str) {
            Some(next) if !none && all.len() < args.most() => cursor = Some(next.to_owned()),
            _ => return Ok(Value::Array(all)),
        }
    }
}

fn row(incident: &Value) -> Row {
    let text = |name: &str| incident.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is = |name: &str| incident.get(name).and_then(Value::as_bool).unwrap_or(false);
    Row {
        id: text("incident"),
        status: text("status"),
        drill: is("drill"),
        severity: text("severity"),
        contained: is("contained"),
        title: text("title"),
    }
}

/// A report as the server wants it.
fn declared(report: &Report, finding: Option<&str>) -> Result<Value, AppError> {
    let mut body = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    say("secrets", json!(report.secrets));
    say("finding", json!(finding));
    say("channel", json!(report.channel));
    say("audience", json!(report.audience));
    say("first_exposed", json!(report.first_exposed));
    say("discovered", json!(report.discovered));
    say("still_visible", json!(report.still_visible));
    say("place", json!(report.place));
    say("channel_name", json!(report.channel_name));
    say("title", json!(report.title));
    if let Some(value) = &report.value {
        // A named sink of a secret: the server that seals it.
        let text = value.expose_text().ok_or_else(|| {
            AppError::Usage(
                "the value is no text, which a server cannot be sent; open the incident there".to_owned(),
            )
        })?;
        say("value", json!(text));
    }
    Ok(Value::Object(body))
}
