//! The incident's state: a fold, nothing else.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::event::{Affected, Entry, Event, SealedRef, Triage, ValueRole, Verdict};
use crate::exposure::Exposure;
use crate::gate::Gate;
use crate::id::{IncidentId, SecretId, StepId};
use crate::incident::RoomRole;
use crate::incident::notice::Notice;
use crate::incident::post_mortem::{Section, Written};
use crate::incident::task::Task;
use crate::inventory::StrategyPolicy;
use crate::outcome::{ACCEPTED_BEFORE, Facts, Outcome, TAKEN_AWAY};
use crate::plan::{ChannelAct, Machine, Phase, Plan, Proof, StepAction, StepEvent};
use crate::secret::Fingerprint;
use crate::severity::{Assessment, Evidence, Profile, Severity, Signal};

/// Open or closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being worked on.
    Open,
    /// Ended.
    Closed,
}

/// A deadline with its start event, rule and state.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Clock {
    /// `first-response`, `next-update`, `post-mortem`.
    pub name: String,
    /// When it began.
    pub starts: Timestamp,
    /// When it is due.
    pub due: Timestamp,
    /// Which rule, from which moment.
    pub rule: String,
    /// When it was met.
    pub met: Option<Timestamp>,
}

/// How a clock stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// Running.
    Running,
    /// Met in time.
    Met,
    /// Met, but late.
    Late,
    /// Due, and not met.
    Missed,
}

impl Clock {
    /// How it stands now.
    pub fn state(&self, now: Timestamp) -> ClockState {
        match self.met {
            Some(met) if met <= self.due => ClockState::Met,
            Some(_) => ClockState::Late,
            None if now > self.due => ClockState::Missed,
            None => ClockState::Running,
        }
    }
}

/// Something to do afterwards.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct ActionItem {
    /// `A1`.
    pub item: String,
    /// What.
    pub title: String,
    /// Who.
    pub owner: String,
    /// When, a date.
    pub due: String,
    /// The gate that it is to ship; only a proof of it closes the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What shows that it is done.
    pub done: Option<String>,
}

/// Where a compromised value was that is a successor given up.
pub const DISTRUSTED: &str = "a successor that was given up";

/// One incident.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What happened, in a line.
    pub title: String,
    /// Open or closed.
    pub status: Status,
    /// Moment three: when it was declared (moments one and two, first exposed and discovered, are the exposures').
    pub declared: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// A drill, on a decoy.
    pub drill: bool,
    /// The secrets it is about.
    pub secrets: Vec<Affected>,
    /// Where it leaked.
    pub exposures: Vec<Exposure>,
    /// What was recorded about it, with reason and time.
    pub signals: Vec<(Timestamp, Signal, String)>,
    /// Every assessment, oldest first.
    pub severities: Vec<(Timestamp, Assessment)>,
    /// Which ladder.
    pub profile: Profile,
    /// True unless all secrets are known to be for tests.
    pub production: bool,
    /// Secrets opened by the leaked ones.
    pub opens_others: usize,
    /// Deadlines.
    pub clocks: Vec<Clock>,
    /// An override of the strategy, by whom and why.
    pub strategy_asked: Option<(StrategyPolicy, String, String)>,
    /// The plan in motion.
    pub machine: Option<Machine>,
    /// How many plans there were.
    pub revision: u32,
    /// Hash of the plan that the server was asked to carry out.
    pub asked: Option<String>,
    /// The plan is for a successor that nobody trusts any more: it does not go on, and a new one is needed.
    pub stale: bool,
    /// Sealed values.
    pub sealed: Vec<SealedRef>,
    /// What consumers said before.
    pub baselines: BTreeMap<(SecretId, String), (Option<String>, Option<String>)>,
    /// Facts of applied steps.
    pub facts: BTreeMap<StepId, Facts>,
    /// When each step was done for the first time.
    pub applied: BTreeMap<StepId, Timestamp>,
    /// Steps of which nobody knows what their last attempt did.
    pub doubts: BTreeSet<StepId>,
    /// Values that a step found at the issuer and took away.
    pub taken_away: BTreeMap<SecretId, BTreeSet<Fingerprint>>,
    /// Proofs by secret, oldest first.
    pub proofs: BTreeMap<SecretId, Vec<Proof>>,
    /// Accepted exceptions: by whom and why.
    pub exceptions: BTreeMap<SecretId, (String, String)>,
    /// Was it used?
    pub verdict: Option<(Verdict, String)>,
    /// What people said of anomalies, by whom; the newest of each.
    pub triaged: Vec<(Triage, String)>,
    /// Hygiene done.
    pub cleaned: Vec<String>,
    /// Channels that a lock step was begun at, in any plan, and that nothing shows to be unlocked: name and place.
    pub locked: BTreeSet<(String, String)>,
    /// Things to do afterwards.
    pub items: Vec<ActionItem>,
    /// What people do beside the plan, oldest first.
    pub tasks: Vec<Task>,
    /// What people wrote to tell others, oldest first.
    pub notices: Vec<Notice>,
    /// The sections of the post-mortem that people wrote, as they stand.
    pub post_mortem: BTreeMap<Section, Written>,
    /// Who does what in the response.
    pub roles: BTreeMap<RoomRole, String>,
    /// Next free position in its stream.
    pub next_pos: u64,
    /// Time of the newest entry.
    pub last_at: Timestamp,
}

impl Incident {
    /// Folds the entries of one stream. `None` when it does not begin with an opening.
    pub fn fold<'a>(id: IncidentId, entries: impl IntoIterator<Item = &'a Entry>) -> Option<Self> {
        let mut entries = entries.into_iter();
        let first = entries.next()?;
        let Event::Opened { title, secrets, exposures, declared, production, opens_others, profile, drill } =
            &first.event
        else {
            return None;
        };
        let mut incident = Self {
            id,
            title: title.clone(),
            status: Status::Open,
            declared: *declared,
            closed: None,
            drill: *drill,
            secrets: secrets.clone(),
            exposures: exposures.clone(),
            signals: Vec::new(),
            severities: Vec::new(),
            profile: *profile,
            production: *production,
            opens_others: *opens_others,
            clocks: Vec::new(),
            strategy_asked: None,
            machine: None,
            revision: 0,
            asked: None,
            stale: false,
            sealed: Vec::new(),
            baselines: BTreeMap::new(),
            facts: BTreeMap::new(),
            applied: BTreeMap::new(),
            doubts: BTreeSet::new(),
            taken_away: BTreeMap::new(),
            proofs: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            verdict: None,
            triaged: Vec::new(),
            cleaned: Vec::new(),
            locked: BTreeSet::new(),
            items: Vec::new(),
            tasks: Vec::new(),
            notices: Vec::new(),
            post_mortem: BTreeMap::new(),
            roles: BTreeMap::new(),
            next_pos: first.pos + 1,
            last_at: first.at,
        };
        for entry in entries {
            incident.apply(entry);
        }
        Some(incident)
    }

    /// Takes one more entry of its stream.
    #[expect(clippy::too_many_lines, reason = "one arm per kind of entry, nothing else")]
    pub fn apply(&mut self, entry: &Entry) {
        self.next_pos = entry.pos + 1;
        self.last_at = self.last_at.max(entry.at);
        match &entry.event {
            Event::ExposureAdded { exposure } => self.exposures.push(exposure.clone()),
            Event::SignalRecorded { signal, reason } => {
                self.signals.push((entry.at, *signal, reason.clone()));
            }
            Event::SeverityAssessed { assessment } => self.severities.push((entry.at, assessment.clone())),
            Event::ClockStarted { clock, starts, due, rule } => self.clocks.push(Clock {
                name: clock.clone(),
                starts: *starts,
                due: *due,
                rule: rule.clone(),
                met: None,
            }),
            Event::ClockMet { clock } => self.met(clock, entry.at),
            Event::StrategyAsked { strategy, reason } => {
                self.strategy_asked = Some((*strategy, entry.actor.id.clone(), reason.clone()));
            }
            Event::PlanMade { plan, .. } => self.planned(plan),
            Event::ResponseAsked { plan } => self.asked = Some(plan.clone()),
            Event::PlanHeld { hold } => {
                if let Some(machine) = &mut self.machine {
                    machine.hold(hold.clone());
                }
            }
            Event::PlanResumed { .. } => {
                if let Some(machine) = &mut self.machine {
                    machine.resume();
                }
            }
            Event::Widened { secrets, production, opens_others, .. } => {
                self.widened(secrets);
                self.production |= *production;
                self.opens_others += *opens_others;
            }
            Event::Step(event) => self.step(event, entry.at),
            Event::ValueSealed(sealed) => self.sealed.push(sealed.clone()),
            Event::SuccessorDistrusted { secret, fingerprint, .. } => self.distrusted(secret, *fingerprint),
            Event::Baseline { secret, consumer, generation, principal, anew } => {
                let whose = (secret.clone(), consumer.clone());
                self.baseline(whose, (generation.clone(), principal.clone()), *anew);
            }
            Event::ProofRecorded { proof } => {
                self.proofs.entry(proof.secret.clone()).or_default().push(proof.clone());
            }
            Event::ExceptionRecorded { secret, reason } => {
                self.exceptions.insert(secret.clone(), (entry.actor.id.clone(), reason.clone()));
            }
            Event::VerdictRecorded { verdict, reason } => self.verdict = Some((*verdict, reason.clone())),
            Event::AnomalyTriaged { triage, .. } => self.triaged(triage, &entry.actor.id),
            // Rule 2: removing is not containing. It is remembered and changes nothing else.
            Event::ChannelCleaned { what } => self.cleaned.push(what.clone()),
            Event::ChannelUnlocked { channel, .. } => self.locked.retain(|(name, _)| name != channel),
            Event::ActionItemAdded { item, title, owner, due, gate } => self.items.push(ActionItem {
                item: item.clone(),
                title: title.clone(),
                owner: owner.clone(),
                due: due.clone(),
                gate: *gate,
                done: None,
            }),
            Event::ActionItemDone { item, evidence } => {
                let found = self.items.iter_mut().filter(|i| i.item == *item).take(1);
                found.for_each(|i| i.done = Some(evidence.clone()));
            }
            Event::RoleTaken { role, person } => {
                self.roles.insert(*role, person.clone());
            }
            Event::TaskAdded { .. } | Event::TaskGiven { .. } | Event::TaskEnded { .. } => {
                self.tasked(entry);
            }
            Event::PostMortemWritten { section, text } => {
                let (text, by) = (text.clone(), entry.actor.id.clone());
                self.post_mortem.insert(*section, Written { text, by, at: entry.at, seq: entry.seq });
            }
            Event::Closed { .. } => {
                self.status = Status::Closed;
                self.closed = Some(entry.at);
            }
            Event::NoticeDrafted { .. }
            | Event::NoticeEdited { .. }
            | Event::NoticeDropped { .. }
            | Event::NoticeSent { .. }
            | Event::NoticeStep { .. } => self.noticed(&entry.event, &entry.actor, entry.at),
            Event::NoteAdded { .. }
            | Event::EvidenceExported { .. }
            | Event::Opened { .. }
            | Event::Genesis { .. }
            | Event::KeyRotation(_)
            | Event::KekRotated { .. }
            | Event::FindingRecorded { .. }
            | Event::FindingTriaged { .. }
            | Event::ScanRun { .. }
            | Event::SecretObserved { .. }
            | Event::CredentialIssued { .. }
            | Event::PersonAdded { .. }
            | Event::CodeMade { .. }
            | Event::PersonRemoved { .. }
            | Event::PersonProvided { .. }
            | Event::PersonSame { .. }
            | Event::TokenIssued { .. }
            | Event::TokenRevoked { .. }
            | Event::BreakGlassOpened { .. }
            | Event::BreakGlassReviewed { .. } => {}
        }
    }

    /// What was seen first holds, unless it was looked at anew.
    fn baseline(&mut self, whose: (SecretId, String), seen: (Option<String>, Option<String>), anew: bool) {
        let known = self.baselines.entry(whose).or_insert_with(|| seen.clone());
        if anew {
            *known = seen;
        }
    }

    fn met(&mut self, clock: &str, at: Timestamp) {
        if let Some(found) = self.clocks.iter_mut().find(|c| c.name == clock && c.met.is_none()) {
            found.met = Some(at);
        }
    }

    fn triaged(&mut self, triage: &Triage, by: &str) {
        self.triaged.retain(|(known, _)| known.anomaly != triage.anomaly);
        self.triaged.push((triage.clone(), by.to_owned()));
    }

    fn planned(&mut self, plan: &Plan) {
        self.revision = plan.revision;
        self.stale = false;
        // What was stopped stays stopped: a new plan is made while people think.
        let mut machine = Machine::new(plan.clone());
        if let Some(before) = self.machine.take() {
            // Half-way is the worst place to stop, also when the plan is another one.
            machine.carry(&before, |secret| self.is_inert(secret));
            if let Some(hold) = before.held() {
                machine.hold(hold.clone());
            }
        }
        self.machine = Some(machine);
    }

    /// From here on it is one of the compromised values: it is killed, proven and purged like the others.
    fn distrusted(&mut self, secret: &SecretId, fingerprint: Fingerprint) {
        let new = |s: &&mut SealedRef| s.secret == *secret && s.role == ValueRole::New;
        for sealed in self.sealed.iter_mut().filter(new).filter(|s| s.fingerprint == fingerprint) {
            sealed.role = ValueRole::Old;
            DISTRUSTED.clone_into(&mut sealed.place);
            self.stale = true;
        }
        // Whoever is on the one that was given up is not on the next.
        self.baselines.retain(|(of, _), _| of != secret);
    }

    /// How many successors of a secret were given up.
    pub fn distrusted_of(&self, secret: &SecretId) -> usize {
        self.sealed.iter().filter(|s| s.secret == *secret && s.place == DISTRUSTED).count()
    }

    fn widened(&mut self, secrets: &[Affected]) {
        for more in secrets {
            if !self.secrets.iter().any(|known| known.secret == more.secret) {
                self.secrets.push(more.clone());
            }
        }
    }

    fn step(&mut self, event: &StepEvent, at: Timestamp) {
        self.lock(event);
        if let Some(machine) = &mut self.machine {
            machine.apply(event);
        }
        match event {
            StepEvent::Finished { step, outcome: Outcome::Unknown { .. }, .. }
            | StepEvent::Lost { step, .. } => {
                self.doubts.insert(step.clone());
            }
            StepEvent::Finished { step, .. } => {
                self.doubts.remove(step);
            }
            StepEvent::Started { .. }
            | StepEvent::ApprovalRequested { .. }
            | StepEvent::ApprovalGranted { .. }
            | StepEvent::ApprovalRefused { .. }
            | StepEvent::HandedOver { .. }
            | StepEvent::Retried { .. }
            | StepEvent::Skipped { .. }
            | StepEvent::Resolved { .. } => {}
        }
        // Also of an attempt that was not done in the end: the next one finds nothing to take away.
        if let StepEvent::Finished {
            step,
            outcome: Outcome::Applied { facts } | Outcome::NotApplied { facts, .. },
            ..
        } = event
            && let Some(secret) = self.disabled_by(step)
        {
            let taken = named(facts, TAKEN_AWAY);
            self.taken_away.entry(secret).or_default().extend(taken);
        }
        if let StepEvent::Finished { step, outcome: Outcome::Applied { facts }, phase, .. } = event {
            self.applied.entry(step.clone()).or_insert(at);
            // An observation knows less than the act itself: it never overwrites what the act said.
            let known = self.facts.entry(step.clone()).or_default();
            for (key, value) in facts {
                if *phase == Phase::Perform || !known.contains_key(key) {
                    let value = together(key, known.get(key), value);
                    known.insert(key.clone(), value);
                }
            }
        }
    }

    /// From the start of a lock on, a place may be locked; until an unlock of the same place is done, or a person says so.
    fn lock(&mut self, event: &StepEvent) {
        let step = self.machine.as_ref().and_then(|machine| machine.plan().step(event.step()));
        let Some(StepAction::Channel { channel, act, target }) = step.map(|step| &step.action) else {
            return;
        };
        let place = (channel.clone(), target.clone());
        let begins = matches!(event, StepEvent::Started { phase: Phase::Perform, .. });
        let ends = matches!(
            event,
            StepEvent::Finished { outcome: Outcome::Applied { .. }, .. } | StepEvent::Resolved { .. }
        );
        if *act == ChannelAct::Lock && begins {
            self.locked.insert(place);
        } else if *act == ChannelAct::Unlock && ends {
            self.locked.remove(&place);
        }
    }

    /// The secret that a step disables. Told by the step's name: whoever drives the plan holds the machine apart.
    fn disabled_by(&self, step: &StepId) -> Option<SecretId> {
        let named = |secret: &SecretId| step.as_str().strip_prefix(secret.as_str()) == Some(".disable");
        self.secrets.iter().map(|it| &it.secret).find(|secret| named(secret)).cloned()
    }

    /// The severity that holds.
    pub fn severity(&self) -> Severity {
        self.severities.last().map_or(Severity::Sev1, |(_, a)| a.severity)
    }

    /// What is known, for the severity policy.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            exposures: self.exposures.clone(),
            production: self.production,
            signals: self.signals.iter().map(|(_, s, _)| *s).collect(),
            opens_others: self.opens_others,
        }
    }

    /// Names of the channels of the inventory in which it leaked, each once.
    pub fn leaked_in(&self) -> Vec<String> {
        let mut names: Vec<String> = self.exposures.iter().filter_map(|e| e.channel_name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The exposures in one of them.
    pub fn exposures_in(&self, channel: &str) -> Vec<Exposure> {
        let here = |e: &&Exposure| e.channel_name.as_deref() == Some(channel);
        self.exposures.iter().filter(here).cloned().collect()
    }

    /// Moment two: the earliest discovery.
    pub fn discovered(&self) -> Timestamp {
        self.exposures.iter().map(|e| e.discovered).min().unwrap_or(self.declared).min(self.declared)
    }

    /// Moment one: the earliest exposure, if any is known.
    pub fn first_exposed(&self) -> Option<Timestamp> {
        self.exposures.iter().filter_map(|e| e.first_exposed).min()
    }

    /// The compromised values of a secret, without repeats.
    pub fn old_values(&self, secret: &SecretId) -> Vec<&SealedRef> {
        let mut out: Vec<&SealedRef> = Vec::new();
        for sealed in self.sealed.iter().filter(|s| s.secret == *secret && s.role == ValueRole::Old) {
            match out.iter_mut().find(|o| o.fingerprint == sealed.fingerprint) {
                None => out.push(sealed),
                // Found in a store after it was reported: that says more than the report.
                Some(known) if known.place == "reported" => *known = sealed,
                Some(_) => {}
            }
        }
        out
    }

    /// The compromised values of a secret that are known to have been valid: the issuer accepted them before anything changed, or an
    /// effect found them there and took them away. That a store held one says nothing: it may be for another server, or in a shape of
    /// which the whole is no password.
    pub fn seen_valid(&self, secret: &SecretId) -> BTreeSet<Fingerprint> {
        let captured =
            format!("{secret}.capture").parse().ok().and_then(|step: StepId| self.facts.get(&step));
        let mut seen = captured.map(|facts| named(facts, ACCEPTED_BEFORE)).unwrap_or_default();
        seen.extend(self.taken_away.get(secret).into_iter().flatten());
        seen
    }

    /// The successor of a secret, if one was chosen.
    pub fn new_value(&self, secret: &SecretId) -> Option<&SealedRef> {
        self.sealed.iter().rev().find(|s| s.secret == *secret && s.role == ValueRole::New)
    }

    /// The newest proof of a secret.
    pub fn proof(&self, secret: &SecretId) -> Option<&Proof> {
        self.proofs.get(secret).and_then(|p| p.last())
    }

    /// The server is to carry out the plan that holds, and it is not done.
    pub fn is_to_be_driven(&self) -> bool {
        let asked =
            |machine: &Machine| self.asked.as_deref() == Some(machine.plan_hash()) && !machine.is_done();
        self.status == Status::Open && !self.stale && self.machine.as_ref().is_some_and(asked)
    }

    /// True when every secret's newest proof says inert.
    pub fn is_contained(&self) -> bool {
        !self.secrets.is_empty() && self.secrets.iter().all(|a| self.is_inert(&a.secret))
    }

    /// The newest proof of a secret says inert, and is about every value of it that is known to be compromised.
    pub fn is_inert(&self, secret: &SecretId) -> bool {
        let Some(proof) = self.proof(secret).filter(|p| p.inert) else { return false };
        self.untried(secret, proof).is_empty()
    }

    /// Compromised values that became known after a proof, and are not in it.
    pub(super) fn untried(&self, secret: &SecretId, proof: &Proof) -> Vec<Fingerprint> {
        let known = self.old_values(secret).into_iter().map(|old| old.fingerprint);
        known.filter(|name| !proof.old.iter().any(|old| old.fingerprint == *name)).collect()
    }
}

/// Fingerprints in a list of facts.
fn named(facts: &Facts, key: &str) -> BTreeSet<Fingerprint> {
    let all = facts.get(key).and_then(serde_json::Value::as_array).into_iter().flatten();
    all.filter_map(|one| one.as_str()?.parse().ok()).collect()
}

/// What a door accepted once stays seen: a second plan, after the key is dead, captures nothing that is accepted.
fn together(key: &str, earlier: Option<&serde_json::Value>, now: &serde_json::Value) -> serde_json::Value {
    let (Some(earlier), Some(now_seen)) =
        (earlier.and_then(serde_json::Value::as_array), now.as_array().filter(|_| key == ACCEPTED_BEFORE))
    else {
        return now.clone();
    };
    let mut all = earlier.clone();
    all.extend(now_seen.iter().filter(|one| !earlier.contains(one)).cloned());
    all.into()
}
