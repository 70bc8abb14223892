//! Kills a key with nothing but its value: from what the scanner takes it for to what its issuer says of it afterwards.
//!
//! The key is made a secret of this run: an issuer from a provider file, no stores, no consumers. From there on it is an incident like
//! any other: the same plan, engine, ledger and proof. Running it again joins the open incident and takes it up where it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use quell_connect::provider::{self, Known};
use quell_core::event::{Entry, Event};
use quell_core::incident::{Incident, RefusedBecause};
use quell_core::inventory::{ConnectorRef, Inventory, Secret, Tier};
use quell_core::outcome::{Outcome, Probe};
use quell_core::plan::{Phase, Proof, StepEvent, StepState};
use quell_core::secret::{Fingerprint, SecretValue};
use quell_core::{IncidentId, SecretId, StepId};
use quell_scan::{RuleSet, Scanner};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::driver::{self, Ended, Progress, Run};
use crate::incident::Report;
use crate::systems::{Systems, inventory_hash};
use crate::{App, AppError, Options, StoreError, plan, projection, proof};
use quell_store::Wanted;

/// What is known of a key before anything is done.
#[derive(Debug, Default)]
pub struct Asked {
    /// What it is, when the scanner cannot tell: a kind of the rules.
    pub kind: Option<String>,
    /// Whose it is, when a kind has several providers or none.
    pub provider: Option<String>,
    /// In place of the provider's address.
    pub url: Option<String>,
    /// Reference to a good key of the same kind.
    pub control: Option<String>,
    /// Reference to an administrator's credential.
    pub admin: Option<String>,
    /// The key's id, when its value does not tell.
    pub key_id: Option<String>,
    /// What the provider asks for.
    pub vars: BTreeMap<String, String>,
}

/// A key that was recognized, and its provider.
#[derive(Debug)]
pub struct Target {
    /// What it is.
    pub kind: String,
    /// Whose.
    pub provider: Known,
    /// The connector's part of an inventory.
    pub config: Value,
}

/// What was shown in the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Shown {
    /// It is not dead, or that cannot be told.
    NotDead,
    /// Refused beside an accepted control, and seen accepted before: a proof.
    Proven,
    /// Refused; without a control, and nobody here ever saw it accepted.
    Refused,
    /// Refused beside an accepted control; nobody here ever saw it accepted. A key of another site is refused as well.
    RefusedBesideControl,
    /// Refused, after the same door had accepted it in this incident; without a control.
    RefusedAfterAccepted {
        /// Seconds from the acceptance to the last refusal.
        seconds: i64,
    },
}

/// What became of it.
#[derive(Debug)]
pub struct Killed {
    /// The incident.
    pub incident: Incident,
    /// The secret of this run.
    pub secret: SecretId,
    /// The value's name.
    pub fingerprint: Fingerprint,
    /// How the run ended.
    pub ended: Ended,
    /// What was shown.
    pub shown: Shown,
}

/// Says what a value is, by the scanner's rules, and whose.
pub fn recognize(
    value: &SecretValue,
    asked: &Asked,
    rules: &RuleSet,
    places: &[std::path::PathBuf],
) -> Result<Target, AppError> {
    let kinds = match (&asked.kind, &asked.provider) {
        (Some(kind), _) => vec![kind.clone()],
        // Whose it is was said: what the scanner thinks of it is only a word for the incident.
        (None, Some(_)) => kinds_of(value, rules).unwrap_or_default(),
        (None, None) => kinds_of(value, rules)?,
    };
    let provider = match &asked.provider {
        Some(id) => provider::find(places, id)
            .map_err(AppError::Provider)?
            .ok_or_else(|| AppError::NotFound { what: "provider", id: id.clone() })?,
        None => only_provider(value, &kinds, places)?,
    };
    let served = kinds.iter().find(|kind| provider.file.kinds.contains(kind));
    let kind = served.or(kinds.first()).cloned().unwrap_or_else(|| provider.file.id.clone());
    let mut config = json!({ "id": provider.file.id });
    if let Value::Object(map) = &mut config {
        let texts = [
            ("url", &asked.url),
            ("control", &asked.control),
            ("admin", &asked.admin),
            ("key_id", &asked.key_id),
        ];
        for (name, text) in texts {
            map.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
        }
        if !asked.vars.is_empty() {
            map.insert("vars".to_owned(), json!(asked.vars));
        }
    }
    Ok(Target { kind, provider, config })
}

fn kinds_of(value: &SecretValue, rules: &RuleSet) -> Result<Vec<String>, AppError> {
    let key = crate::scan::throwaway_key()?;
    let report = Scanner::new(rules, &key).threads(1).reader("(input)", &mut value.expose(), &mut |_| {})?;
    let mut kinds: Vec<String> = Vec::new();
    let whole = key.fingerprint(value);
    if !report.findings.is_empty() && !report.findings.iter().any(|finding| finding.fingerprint == whole) {
        let words = "the input holds more than the value: give the bare key, without its name, quotes or a URL around it";
        return Err(AppError::Usage(words.to_owned()));
    }
    for finding in report.findings.into_iter().filter(|finding| finding.fingerprint == whole) {
        if !kinds.contains(&finding.kind) {
            kinds.push(finding.kind);
        }
    }
    Ok(kinds)
}

fn only_provider(
    value: &SecretValue,
    kinds: &[String],
    places: &[std::path::PathBuf],
) -> Result<Known, AppError> {
    let mut found: Vec<Known> = Vec::new();
    let takes = |known: &Known| value.expose_text().is_some_and(|text| known.file.takes(text));
    for kind in kinds {
        for known in provider::of_kind(places, kind).map_err(AppError::Provider)? {
            if takes(&known) && !found.iter().any(|other| other.file.id == known.file.id) {
                found.push(known);
            }
        }
    }
    // What the user wrote goes before what came with the binary.
    if found.iter().filter(|known| known.path.is_some()).count() == 1 {
        found.retain(|known| known.path.is_some());
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let what = if kinds.is_empty() {
                "no rule recognizes this value".to_owned()
            } else {
                format!("there is no provider for {}", kinds.join(", "))
            };
            Err(AppError::Usage(format!(
                "{what}; name the provider with --provider (`quell provider list`), or write one (`quell provider check`)"
            )))
        }
        many => {
            let ids: Vec<&str> = many.iter().map(|known| known.file.id.as_str()).collect();
            Err(AppError::Usage(format!("several providers fit: {}; choose with --provider", ids.join(", "))))
        }
    }
}

/// Tries the key, and writes nothing down.
pub async fn look(target: &Target, value: &SecretValue, options: &Options) -> Result<Probe, AppError> {
    let secret = secret_of(target, "quell-kill".parse().map_err(|_e| unusable())?);
    let systems = Systems::build(&secret, &crate::app::context(options, &inventory(&options.inventory)?)?)?;
    Ok(systems.issuer.probe(&systems.issuer.identify(value)?).await)
}

/// What people must know before they decide.
pub async fn warnings(
    target: &Target,
    value: &SecretValue,
    options: &Options,
) -> Result<Vec<String>, AppError> {
    let secret = secret_of(target, "quell-kill".parse().map_err(|_e| unusable())?);
    let systems = Systems::build(&secret, &crate::app::context(options, &inventory(&options.inventory)?)?)?;
    Ok(systems.issuer.warnings(Some(value)).await)
}

/// A mark of the door, where it is not the vendor's own: what one server says of a key is worth nothing at another, so it is another secret.
fn door(target: &Target) -> String {
    let config = &target.config;
    if config.get("url").is_none() && config.get("vars").is_none() && target.provider.path.is_none() {
        return String::new();
    }
    let url = config.get("url").and_then(Value::as_str).unwrap_or(&target.provider.file.url);
    let said = json!([url.trim_end_matches('/'), config.get("vars")]).to_string();
    format!("-{}", hex::encode(Sha256::digest(said)).get(..8).unwrap_or_default())
}

fn unusable() -> AppError {
    AppError::Usage("the provider's id makes no usable name; shorten it".to_owned())
}

fn secret_of(target: &Target, id: SecretId) -> Secret {
    Secret {
        id,
        kind: target.kind.clone(),
        env: String::new(),
        tier: Tier::Integration,
        issuer: ConnectorRef { connector: "provider".to_owned(), config: target.config.clone() },
        stores: Vec::new(),
        consumers: Vec::new(),
        grants: Vec::new(),
        depends_on: Vec::new(),
        owners: Vec::new(),
        place: "quell kill".to_owned(),
    }
}

/// The inventory's connections and policy, if there is one. It tells nobody: only the issuer is spoken to, and which one that is, the
/// user says.
fn inventory(path: &Path) -> Result<Inventory, AppError> {
    let mut inventory = if path.exists() { crate::inventory::load(path)? } else { Inventory::default() };
    inventory.policy.notify.clear();
    // A repository that leaks may hold an inventory, too: a provider file in it must not send the key to a host of its own.
    inventory.providers.clear();
    Ok(inventory)
}

/// Refuses what needs an inventory for a secret that `quell kill` made: it is in none, and its provider is named by that command only.
pub fn refuse_its_own(app: &App, incident: &Incident) -> Result<(), AppError> {
    let made = |secret: &&SecretId| {
        !app.inventory.secrets.contains_key(*secret)
            && incident.old_values(secret).iter().any(|old| secret.as_str().contains(&short(old.fingerprint)))
    };
    let Some(secret) = incident.secrets.iter().map(|affected| &affected.secret).find(made) else {
        return Ok(());
    };
    Err(AppError::Refused(RefusedBecause {
        what: format!("`{secret}` of {} was made by `quell kill`, and is in no inventory", incident.id),
        unmet: vec![
            format!(
                "`quell kill -` with the same value and options takes {} up where it is; with --control REF, a good key of the same kind, \
                 it proves that the value is dead, at any time",
                incident.id
            ),
            format!("`quell incident show {}` shows what was done and proven", incident.id),
        ],
    }))
}

/// Values of the inventory, and stores that could not be read. A vault that is down does not keep a leaked key alive: nobody waits for it
/// longer than for one call.
async fn in_use(
    app: &App,
    limit: Duration,
) -> Result<(BTreeMap<Fingerprint, SecretId>, Vec<String>), AppError> {
    match tokio::time::timeout(limit, crate::scan::known_and_missed(app)).await {
        Ok(read) => {
            let (known, missed) = read?;
            Ok((known, missed.into_iter().map(|one| format!("{}: {}", one.what, one.why)).collect()))
        }
        Err(_elapsed) => {
            let words = format!("the stores of the inventory: no answer within {} s", limit.as_secs());
            Ok((crate::scan::earlier(app).await?, vec![words]))
        }
    }
}

/// What the ids of secrets of this command carry of the value's name.
fn short(fingerprint: Fingerprint) -> String {
    let name = fingerprint.to_string();
    format!("-{}", name.trim_start_matches("fp:").chars().take(12).collect::<String>())
}

/// A key of this run, with the installation that writes down what is done to it.
#[derive(Debug)]
pub struct Session {
    app: Arc<App>,
    secret: SecretId,
    fingerprint: Fingerprint,
    /// Stores of the inventory that could not be read: whether they hold the value is not known.
    pub missed: Vec<String>,
}

impl Session {
    /// Opens the installation. A value that the inventory knows is refused unless `even_in_use`: its consumers would break.
    pub async fn open(
        options: &Options,
        target: &Target,
        value: &SecretValue,
        even_in_use: bool,
        ask: impl FnOnce() -> Result<SecretValue, StoreError>,
    ) -> Result<Self, AppError> {
        let app = App::with_inventory(options, inventory(&options.inventory)?, ask).await?;
        // Before anybody is asked: what is decided here is recorded with a name.
        app.named_actor()?;
        let fingerprint = app.store.keys().fingerprint.fingerprint(value);
        let (known, missed) =
            if even_in_use { Default::default() } else { in_use(&app, options.call_limit).await? };
        let whose = crate::scan::names_of(&app.store.keys().fingerprint, value);
        if let Some(known) = whose.iter().find_map(|name| known.get(name)) {
            return Err(AppError::Refused(RefusedBecause {
                what: format!("this is a value of `{known}`, and its consumers would break"),
                unmet: vec![
                    format!(
                        "`quell incident open --secret {known} --value-file -` replaces it first or last, as policy says"
                    ),
                    "--even-in-use kills it now, all the same".to_owned(),
                ],
            }));
        }
        let id = format!("{}{}{}", target.provider.file.id, short(fingerprint), door(target));
        let secret: SecretId = id.parse().map_err(|_e| unusable())?;
        let mut app = Arc::into_inner(app).ok_or_else(unusable)?;
        Arc::make_mut(&mut app.inventory).secrets.insert(secret.clone(), secret_of(target, secret.clone()));
        Ok(Self { app: Arc::new(app), secret, fingerprint, missed })
    }

    /// The open incident about it, if there is one.
    pub async fn running(&self) -> Result<Option<Incident>, AppError> {
        let about = Wanted { status: "open", ..projection::about(&self.secret) };
        let newest = projection::ids(&self.app, &about, 1).await?.pop();
        Ok(match newest {
            Some(id) => Some(self.app.incident(id).await?),
            None => None,
        })
    }

    /// Declares, revokes, tries again; everything is written down. `report` says where it leaked, `seen` how the door answered just now.
    pub async fn kill(
        &self,
        value: SecretValue,
        (report, seen): (Report, &Probe),
        run: Run,
        on: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<Killed, AppError> {
        let incident = if let Some(incident) = self.running().await? {
            incident
        } else {
            let report = Report { secrets: vec![self.secret.clone()], value: Some(value), ..report };
            crate::incident::open(&self.app, report).await?
        };
        let id = incident.id;
        // What was refused once and is accepted now was not dead.
        let alive = matches!(seen, Probe::Accepted { .. });
        let ended = if self.is_disabled(&incident) && !self.can_go_on(&incident) && !alive {
            // What is left is the proof, perhaps with a control that was not there before.
            proof::verify(&self.app, id).await?;
            Ended::Done
        } else {
            let again = incident.machine.is_some() && !self.can_go_on(&incident);
            let incident = plan::make(&self.app, id, again).await?;
            let hash = plan::machine(&incident)?.plan_hash().to_owned();
            plan::approve(&self.app, id, &hash, &[]).await?;
            driver::run(Arc::clone(&self.app), id, run, on).await?
        };
        self.result(id, ended).await
    }

    /// The plan that holds is for this very configuration, and nothing in it gave up.
    fn can_go_on(&self, incident: &Incident) -> bool {
        let Some(machine) = &incident.machine else { return false };
        let Some(secret) = self.app.inventory.secrets.get(&self.secret) else { return false };
        let failed = machine.states().any(|(_, state)| matches!(state, StepState::Failed { .. }));
        !machine.is_done() && !failed && machine.plan().inventory == inventory_hash(&self.app, [secret])
    }

    fn is_disabled(&self, incident: &Incident) -> bool {
        let step: Option<StepId> = format!("{}.disable", self.secret).parse().ok();
        incident.machine.as_ref().is_some_and(|machine| {
            machine
                .states()
                .any(|(s, state)| Some(&s.id) == step.as_ref() && matches!(state, StepState::Applied))
        })
    }

    async fn result(&self, id: IncidentId, ended: Ended) -> Result<Killed, AppError> {
        let (incident, entries) = self.app.incident_with_entries(id).await?;
        let shown = match incident.proof(&self.secret) {
            None => Shown::NotDead,
            Some(proof) => shown(proof, accepted_at(&entries, &self.secret, self.fingerprint)),
        };
        Ok(Killed { incident, secret: self.secret.clone(), fingerprint: self.fingerprint, ended, shown })
    }
}

/// When the door accepted the value last, before anything was done.
#[expect(clippy::wildcard_enum_match_arm, reason = "only what the capture saw says it")]
fn accepted_at(entries: &[Entry], secret: &SecretId, fingerprint: Fingerprint) -> Option<Timestamp> {
    let step: StepId = format!("{secret}.capture").parse().ok()?;
    let name = json!(fingerprint);
    entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Step(StepEvent::Finished {
            step: done,
            phase: Phase::Perform | Phase::Observe,
            outcome: Outcome::Applied { facts },
            ..
        }) if *done == step => {
            let accepted = facts.get("accepted_before").and_then(Value::as_array)?;
            accepted.contains(&name).then_some(entry.at)
        }
        _ => None,
    })
}

fn shown(proof: &Proof, accepted: Option<Timestamp>) -> Shown {
    let refused = |probe: &Probe| matches!(probe, Probe::Refused { .. });
    let dead = !proof.old.is_empty() && proof.old.iter().all(|old| old.probes.iter().all(refused));
    if proof.inert {
        return Shown::Proven;
    }
    let let_in = |probe: &Probe| matches!(probe, Probe::Accepted { .. });
    let quiet = proof.old.iter().all(|old| old.sessions == 0);
    if dead && quiet && accepted.is_none() && !proof.control.is_empty() && proof.control.iter().all(let_in) {
        return Shown::RefusedBesideControl;
    }
    // A control that was had and did not accept takes the worth from the refusal.
    if !dead || proof.control_is != "none" {
        return Shown::NotDead;
    }
    match accepted {
        Some(at) => Shown::RefusedAfterAccepted { seconds: proof.at.duration_since(at).as_secs() },
        None => Shown::Refused,
    }
}
