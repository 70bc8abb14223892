//! The issuer behind a provider file: looks, revokes, looks again.

use std::time::Duration;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};

use super::door::{About, Door, Said, Tried, limited};
use super::file::{Call, KeyId, Who};
use super::when;
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::http_hook::place::HttpPlace;
use crate::source::SecretSource;

/// The issuer. It holds references only; credentials are read anew for each call.
pub(super) struct Provider {
    pub(super) door: Door,
    /// A key that is known to be good.
    pub(super) control: Option<SecretSource>,
    /// The leaked key's id, when its value does not tell.
    pub(super) key_id: Option<String>,
    /// Settings of a successor; without them none is minted.
    pub(super) mint: Option<Value>,
    pub(super) settle: Duration,
    /// How long the list of keys may lag behind.
    pub(super) listed: Duration,
}

pub(super) const REVOKING: &str = "revoking the key";
const LOOKING: &str = "looking whether the key is alive";
const UNNAMED: &str = "bearer";

impl Provider {
    fn file(&self) -> &super::file::File {
        &self.door.file
    }

    /// Looks first: a key that is dead already is not revoked again.
    async fn disable(&self, old: &Credential) -> Outcome {
        let (seen, unseen) = match self.door.try_key(&old.value).await {
            Tried::Refused { code } => return self.dead_already(&code),
            // Whoever holds the key can use its quota up: that must not keep it alive.
            Tried::Limited(after) if self.file().revoke.is_empty() => {
                return not_now(&self.door.name(), after);
            }
            Tried::Limited(after) => {
                let kind = ConnectErrorKind::Transient { retry_after: after };
                (None, Some(self.door.error(LOOKING, kind, limited(after))))
            }
            Tried::Open { body, .. } => (Some(body), None),
            // A key that cannot be tried may be alive: revoking it is what is asked for.
            Tried::Odd(error) if error.kind == ConnectErrorKind::Denied => return error.outcome(),
            // It may be dead already, and nothing here could tell.
            Tried::Doubtful(error) if self.file().revoke.is_empty() => return self.seen_by_a_person(&error),
            Tried::Doubtful(error) | Tried::Odd(error) => (None, Some(error)),
        };
        let id = self.key_id.clone().or_else(|| self.door.id_of(&old.value, seen.as_ref()));
        if let (None, Some(error), Some(KeyId::Probe(_))) = (&id, &unseen, &self.file().key_id) {
            // Which key it is was to be seen by trying it.
            if let ConnectErrorKind::Transient { retry_after } = error.kind {
                return not_now(&self.door.name(), retry_after);
            }
            return error.unseen();
        }
        let mut refused = Vec::new();
        for call in self.file().revoke.iter().map(|call| &call.value) {
            match self.revoke(call, Some(&old.value), id.as_deref()).await {
                Ok(facts) => {
                    let mut done = self.confirm(old, facts).await;
                    // It was let in just before.
                    if let (Some(_), Outcome::Applied { facts }) = (&seen, &mut done) {
                        facts.insert("already".to_owned(), json!(false));
                    }
                    return done;
                }
                Err(error) if error.kind == ConnectErrorKind::Denied => refused.push(error.detail),
                Err(error) => return error.outcome(),
            }
        }
        Outcome::refused(self.for_a_person(&refused))
    }

    /// Refused before anything was done. A key of another region is, too: the ledger says so.
    fn dead_already(&self, code: &str) -> Outcome {
        let elsewhere: Vec<&str> = self.file().elsewhere.iter().map(|fact| fact.what.as_str()).collect();
        let mut facts = vec![("already", json!(true))];
        if !elsewhere.is_empty() {
            facts.push(("refused_here_although_it_lives", json!(elsewhere)));
        }
        dead(code, &facts)
    }

    /// Refused, in words that prove nothing, and no call that could do or show more.
    fn seen_by_a_person(&self, error: &ConnectError) -> Outcome {
        let steps = self.file().by_hand.as_deref().unwrap_or("look where keys are managed.");
        Outcome::unknown(format!(
            "{error}. A person sees whether it is gone, and ends it if it is not: {steps}"
        ))
    }

    fn for_a_person(&self, refused: &[String]) -> String {
        let mut words = if refused.is_empty() {
            format!("{}: no call of this API revokes such a key", self.door.name())
        } else {
            format!("{}: {}", self.door.name(), refused.join("; "))
        };
        if let Some(steps) = &self.file().by_hand {
            words = format!("{words}; a person can: {steps} Then retry this step: it looks by itself");
        }
        words
    }

    /// One way to revoke it. `Denied` means that another way may be tried.
    pub(super) async fn revoke(
        &self,
        call: &Call,
        secret: Option<&SecretValue>,
        id: Option<&str>,
    ) -> Result<Facts, ConnectError> {
        let by = match call.who {
            Who::Admin => "administrator",
            Who::Key => "the key itself",
            Who::Nobody => "nobody: the value was enough",
        };
        let about = About { secret, id, ..About::default() };
        let (said, status) = match self.door.ask(REVOKING, call, about).await? {
            Said::Done { status, .. } => ("done", status),
            Said::Gone { status } => ("no such key", status),
        };
        let pairs = [("revoked_by", json!(by)), ("said", json!(said)), ("status", json!(status))];
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What the API said is no proof: the key is tried until it is refused, or the settling time is over.
    async fn confirm(&self, old: &Credential, mut facts: Facts) -> Outcome {
        let mut waited = Duration::ZERO;
        let mut pause = (self.settle / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            match self.door.try_key(&old.value).await {
                Tried::Refused { code } => {
                    facts.insert("refused_with".to_owned(), json!(code));
                    return Outcome::Applied { facts };
                }
                Tried::Open { .. } if waited >= self.settle => {
                    let status = facts.get("status").cloned().unwrap_or_default();
                    let mut reason = format!(
                        "{}: answered {status}, and {} ms later the key still opens the door",
                        self.door.name(),
                        waited.as_millis()
                    );
                    // Somebody wrote the id down: it may be another key's, and that one is dead now.
                    if let Some(id) = &self.key_id {
                        reason = format!(
                            "{reason}: the key with the id {id} was meant, and is not this one; see what else used it, and give the right id"
                        );
                    }
                    return Outcome::NotApplied {
                        reason,
                        retryable: self.key_id.is_none(),
                        retry_after_ms: None,
                        facts,
                    };
                }
                Tried::Open { .. } => {}
                // It was sent: what cannot be seen now is unknown, whatever the reason.
                Tried::Limited(after) => {
                    return Outcome::unknown(format!("{}: {}", self.door.name(), limited(after)));
                }
                Tried::Doubtful(error) | Tried::Odd(error) => return error.unseen(),
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Whether the key is refused now.
    async fn look(&self, old: &Credential) -> Outcome {
        match self.door.try_key(&old.value).await {
            Tried::Refused { code } => dead(&code, &[]),
            Tried::Open { .. } => {
                Outcome::retry(format!("{}: the key still opens the door", self.door.name()))
            }
            Tried::Limited(after) => Outcome::unknown(format!("{}: {}", self.door.name(), limited(after))),
            Tried::Doubtful(error) if self.file().revoke.is_empty() => self.seen_by_a_person(&error),
            Tried::Doubtful(error) | Tried::Odd(error) => error.unseen(),
        }
    }

    async fn good(&self) -> Option<(&'static str, Result<SecretValue, ConnectError>)> {
        let (whose, source) = match (&self.control, &self.door.admin) {
            (Some(control), _) => ("control", control),
            (None, Some(admin)) if self.door.admin_is_a_key() => ("administrator", admin),
            (None, _) => return None,
        };
        Some((whose, source.resolve(&self.door.context).await))
    }

    async fn used(&self, value: &SecretValue) -> Option<String> {
        let call = &self.file().last_used.as_ref()?.value;
        let about = About { secret: Some(value), id: self.key_id.as_deref(), ..About::default() };
        let Ok(Said::Done { body, .. }) = self.door.ask("asking when it was last used", call, about).await
        else {
            return None;
        };
        let facts = when::facts(call.facts.iter(), &body, value.expose_text().unwrap_or_default());
        let words: Vec<String> = facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
        (!words.is_empty()).then(|| format!("last use, as the issuer tells: {}", words.join(", ")))
    }
}

fn dead(code: &str, more: &[(&str, Value)]) -> Outcome {
    let mut facts: Facts = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    facts.insert("refused_with".to_owned(), json!(code));
    Outcome::Applied { facts }
}

fn not_now(name: &str, after: Option<Duration>) -> Outcome {
    Outcome::NotApplied {
        reason: format!("{name}: {}", limited(after)),
        retryable: true,
        retry_after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        facts: Facts::new(),
    }
}

#[async_trait]
impl Issuer for Provider {
    fn capabilities(&self) -> Capabilities {
        let file = self.file();
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: match file.max_keys {
                Some(2) => ValidAtOnce::Two,
                Some(_) | None => ValidAtOnce::Many,
            },
            sessions_survive: false,
            // Where no call can, a person does, and the step looks.
            can_disable: true,
            self_revocable: file.self_revocable(),
            can_mint: self.mint.is_some() && file.mint.is_some() && self.door.admin.is_some(),
            can_probe: true,
            settle_ms: u64::try_from(self.settle.as_millis()).unwrap_or(u64::MAX),
            refusals: file
                .probe
                .value
                .refused
                .iter()
                .filter(|one| one.weak.is_none())
                .map(super::file::When::code)
                .collect(),
        }
    }

    fn target(&self) -> String {
        self.door.name()
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.door.name(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let url = self.door.url.as_deref().unwrap_or(&self.file().url);
        if let Ok(place) = HttpPlace::new("url", url) {
            checks.push(place.reachable(self.door.context.call_limit).await);
        }
        let what = "have a key that is known to be good, as control of the proof".to_owned();
        checks.push(match self.good().await {
            None => {
                let detail = "set `control` to a reference to a good key of the same kind; without it, a refusal is shown and not proven";
                Check { what, ok: false, detail: detail.to_owned() }
            }
            Some((_, Err(error))) => Check { what, ok: false, detail: error.to_string() },
            Some((whose, Ok(value))) => match self.door.try_key(&value).await.probe() {
                Probe::Accepted { .. } => Check { what, ok: true, detail: format!("the {whose}'s is accepted") },
                Probe::Refused { code, .. } => {
                    Check { what, ok: false, detail: format!("the {whose}'s is refused ({code})") }
                }
                Probe::Inconclusive { reason } => Check { what, ok: false, detail: reason },
            },
        });
        if let (Some(admin), false) = (&self.door.admin, self.door.admin_is_a_key()) {
            let what = "have the administrator's credential".to_owned();
            checks.push(match admin.resolve(&self.door.context).await {
                Ok(_) => Check { what, ok: true, detail: admin.to_string() },
                Err(error) => Check { what, ok: false, detail: error.to_string() },
            });
        }
        if self.mint.is_some() {
            let what = "read the list of keys to its end, where a successor whose answer was lost is found"
                .to_owned();
            checks.push(match self.tagged("quell inventory check").await {
                Ok(_) => Check { what, ok: true, detail: "yes".to_owned() },
                Err(error) => Check { what, ok: false, detail: error.to_string() },
            });
        }
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let file = self.file();
        let mut warnings = vec![format!("revoking breaks: {}", file.breaks)];
        warnings.extend(file.outlives.iter().map(|fact| format!("lives on: {}", fact.what)));
        warnings.extend(
            file.elsewhere.iter().map(|fact| format!("refused here although it lives: {}", fact.what)),
        );
        if !file.proves() {
            warnings.push(
                "no refusal of this API can be told from that of a machine in between: it cannot be proven dead here, and the \
                 incident is closed with a named exception"
                    .to_owned(),
            );
        }
        if !file.self_revocable() && self.door.admin.is_none() {
            let steps = file.by_hand.as_deref().unwrap_or("set `admin` in the inventory.");
            warnings.push(format!("nothing here can revoke it; a person does: {steps}"));
        }
        if !self.has_control() {
            warnings.push("no control is configured: a refusal will be shown, and not proven".to_owned());
        }
        if let Some(value) = current {
            warnings.extend(self.used(value).await);
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        let key = self.door.secret(value);
        key.map_err(|words| self.door.error("reading the value", ConnectErrorKind::Denied, words))?;
        let principal = self.key_id.clone().or_else(|| self.door.id_of(value, None));
        let principal = principal.unwrap_or_else(|| UNNAMED.to_owned());
        Ok(Credential { principal, value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: self.mark(tag), value: SecretValue::new(Vec::new()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        match op {
            IssuerOp::Install { new } => {
                self.install(new).await.unwrap_or_else(|error| error.outcome().into())
            }
            IssuerOp::Disable { old } => self.disable(old).await.into(),
            // Nothing of its own: a key is its session.
            IssuerOp::Sever { old, .. } => self.look(old).await.into(),
        }
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        match op {
            IssuerOp::Install { new } => {
                self.installed(new).await.unwrap_or_else(|error| error.unseen()).into()
            }
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => self.look(old).await.into(),
        }
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        if credential.value.is_empty() {
            return Probe::Inconclusive { reason: "there is no value to try".to_owned() };
        }
        self.door.try_key(&credential.value).await.probe()
    }

    async fn control(&self) -> Probe {
        match self.good().await {
            None => Probe::Inconclusive { reason: "no control is configured".to_owned() },
            Some((_, Err(error))) => Probe::Inconclusive { reason: error.to_string() },
            Some((_, Ok(value))) => self.door.try_key(&value).await.probe(),
        }
    }

    fn has_control(&self) -> bool {
        self.control.is_some() || (self.door.admin.is_some() && self.door.admin_is_a_key())
    }

    /// A key is its own session: 1 while it lives, 0 after.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        match self.door.try_key(&old.value).await {
            Tried::Open { .. } => Ok(1),
            Tried::Refused { .. } => Ok(0),
            Tried::Limited(after) => {
                let kind = ConnectErrorKind::Transient { retry_after: after };
                Err(self.door.error(LOOKING, kind, limited(after)))
            }
            Tried::Doubtful(error) | Tried::Odd(error) => Err(error),
        }
    }
}
