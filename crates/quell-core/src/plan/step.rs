//! A plan as data: hashed, pinned, printed, approved.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::{IncidentId, SecretId, StepId};
use crate::issuer::TaskTime;

/// Kill the old value first, or make the new one first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Disable, sever, prove refused; then the rest. Consumers are down in between.
    KillFirst,
    /// Mint, install, switch every consumer; then disable, sever, prove, purge.
    MakeBeforeBreak,
}

impl Strategy {
    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::KillFirst => "kill-first",
            Self::MakeBeforeBreak => "make-before-break",
        }
    }
}

/// What a step does. Indices point into the secret's `stores` and names into its `consumers`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum StepAction {
    /// Read what stores hold and consumers use now; seal the old value for the proof.
    Capture,
    /// Choose the successor and seal it; or let the issuer mint it.
    Mint,
    /// Make the successor valid at the issuer.
    Install,
    /// Try the successor for real.
    ProbeNew,
    /// Write the successor to one store.
    WriteStore {
        /// Which.
        store: usize,
    },
    /// Record anew what consumers say, where one of them reads other secrets of the plan, too: what it said before
    /// those were switched says nothing of this one.
    Look,
    /// Make one consumer pick it up.
    Reload {
        /// Which.
        consumer: String,
    },
    /// See that one consumer uses it.
    Confirm {
        /// Which.
        consumer: String,
    },
    /// Make the issuer refuse the old value.
    Disable,
    /// End live sessions opened with the old value.
    Sever,
    /// Kill-first: prove the old value refused, with another principal as control.
    ProveRefused,
    /// Prove the old value inert, with the successor as control.
    Prove,
    /// Destroy copies of the old value that a store keeps.
    Purge {
        /// Which.
        store: usize,
    },
    /// Delete what the issuer keeps of the old value, so that nobody can make it valid again.
    Retire,
    /// Something that only people can do, or that Quell was given no right to: one of them does it, and says so with evidence.
    Person {
        /// The name of the task: `force-reset`, `re-consent`.
        task: String,
        /// When it has its turn.
        when: TaskTime,
    },
    /// Something at the place where it leaked. None of it contains anything.
    Channel {
        /// The channel's name in the inventory.
        channel: String,
        /// What.
        act: ChannelAct,
        /// The place in words, as it was when the plan was made.
        target: String,
    },
    /// Tell people.
    Notify {
        /// The channel's name.
        channel: String,
        /// [`OPENED`], [`FIRST_RESPONSE`] or [`CONTAINED`].
        notice: String,
    },
}

/// The notice with which a plan begins.
pub const OPENED: &str = "opened";
/// The notice that follows its first step.
pub const FIRST_RESPONSE: &str = "first-response";
/// The notice after the last proof.
pub const CONTAINED: &str = "contained";

/// What is done at the place where a secret leaked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelAct {
    /// Nothing is merged or pushed there, and no job runs, until it is rotated.
    Lock,
    /// Record what was to be seen, by whom, since when: before anything is taken away.
    Preserve,
    /// Take away the message, log or artifact. Hygiene.
    Remove,
    /// See that no value that works is in what is there now.
    Scan,
    /// Let merges and jobs go on.
    Unlock,
}

impl ChannelAct {
    /// The word in the step's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Preserve => "preserve",
            Self::Remove => "remove",
            Self::Scan => "scan",
            Self::Unlock => "unlock",
        }
    }
}

/// How bad it is to do it wrongly.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Changes nothing outside.
    Read,
    /// Changes something that can be changed again without loss.
    Reversible,
    /// Breaks something that is in use, or cannot be taken back.
    Destructive,
}

/// One unit of a plan.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Step {
    /// Unique in the plan: `orders-db.install`.
    pub id: StepId,
    /// The secret it is about; none for notices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretId>,
    /// What it does.
    pub action: StepAction,
    /// Steps that must be applied (or skipped) before; those of [`Step::best_effort`] may have failed, too.
    pub needs: Vec<StepId>,
    /// How bad it is to do it wrongly.
    pub class: Class,
    /// How many different people must approve it.
    pub approvals: u8,
    /// What it does, in words, with the system's name.
    pub what: String,
    /// Why it stands here.
    pub why: String,
    /// What it will break, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<String>,
    /// Longest time for one attempt, in milliseconds.
    pub limit_ms: u64,
    /// Attempts before a person is asked.
    pub max_attempts: u32,
    /// Its failure never blocks anything and never fails the plan.
    #[serde(default)]
    pub best_effort: bool,
    /// In a rotation of many secrets: it starts when every step of the waves before it has ended, one way or the
    /// other. 0 waits for nobody.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wave: u32,
    /// The name in [`Plan::lanes`] of the system whose limits it shares with other steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How much one system bears: an account of a cloud, one host's SSH server, one database.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lane {
    /// Steps that may run at the same time.
    pub at_once: u16,
    /// Least time from one start to the next, in milliseconds; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero_ms")]
    pub interval_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero_ms(n: &u64) -> bool {
    *n == 0
}

impl Step {
    /// It changes what consumers live by, or ends the old value: from its start on, the secret is under way, and
    /// stopping in the middle is worse than going on.
    pub fn switches(&self) -> bool {
        match self.action {
            StepAction::WriteStore { .. }
            | StepAction::Reload { .. }
            | StepAction::Disable
            | StepAction::Sever
            | StepAction::Purge { .. }
            | StepAction::Retire => true,
            StepAction::Mint | StepAction::Install => self.class == Class::Destructive,
            StepAction::Capture
            | StepAction::Look
            | StepAction::ProbeNew
            | StepAction::Confirm { .. }
            | StepAction::ProveRefused
            | StepAction::Prove
            | StepAction::Person { .. }
            | StepAction::Channel { .. }
            | StepAction::Notify { .. } => false,
        }
    }

    /// A later wave waits for it. What is only tidied up after the proof holds nobody, and neither do people, who may
    /// take a day, or the place where it leaked.
    pub(super) fn holds_its_wave(&self) -> bool {
        !self.best_effort
            && match self.action {
                StepAction::Purge { .. }
                | StepAction::Retire
                | StepAction::Person { .. }
                | StepAction::Channel { .. } => false,
                StepAction::Capture
                | StepAction::Mint
                | StepAction::Install
                | StepAction::ProbeNew
                | StepAction::WriteStore { .. }
                | StepAction::Look
                | StepAction::Reload { .. }
                | StepAction::Confirm { .. }
                | StepAction::Disable
                | StepAction::Sever
                | StepAction::ProveRefused
                | StepAction::Prove
                | StepAction::Notify { .. } => true,
            }
    }

    /// A person does it: Quell only waits for what they say.
    pub fn is_for_people(&self) -> bool {
        matches!(self.action, StepAction::Person { .. })
    }
}

/// Limits: steps per plan (`TigerStyle`: put a number on everything).
pub(super) const STEPS_MAX: usize = 20_000;

/// A compiled plan.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// For which incident.
    pub incident: IncidentId,
    /// Which revision of the incident's plan, from 1.
    pub revision: u32,
    /// The strategy.
    pub strategy: Strategy,
    /// Why that strategy.
    pub reasons: Vec<String>,
    /// Things an operator must know.
    pub warnings: Vec<String>,
    /// Hash of the inventory's part that the plan was made from. The driver refuses to run it against another.
    #[serde(default)]
    pub inventory: String,
    /// The secrets it covers, in order.
    pub secrets: Vec<SecretId>,
    /// In an order that respects `needs`.
    pub steps: Vec<Step>,
    /// Systems whose limits steps share, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lanes: BTreeMap<String, Lane>,
    /// After so many secrets of which a step gave up, no further secret is begun until a person resumes. 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stop_after: u32,
    /// So many secrets are under way at the same time, at most: stopping helps only who has not been begun. 0: no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u32,
}

impl Plan {
    /// SHA-256 over the canonical JSON, in hex. Approvals bind to it.
    pub fn hash(&self) -> String {
        let bytes = crate::json::canonical(self).unwrap_or_default();
        hex::encode(Sha256::digest(bytes))
    }

    /// The step that does this at a place where it leaked.
    pub fn channel_step(&self, name: &str, wanted: ChannelAct) -> Option<&Step> {
        self.steps.iter().find(|step| {
            matches!(&step.action, StepAction::Channel { channel, act, .. } if channel == name && *act == wanted)
        })
    }

    /// A step by id.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|s| s.id == *id)
    }

    /// The steps of one secret that do `wanted`.
    pub fn steps_of<'a>(&'a self, secret: &'a SecretId) -> impl Iterator<Item = &'a Step> {
        self.steps.iter().filter(move |s| s.secret.as_ref() == Some(secret))
    }

    /// Mermaid flowchart of the plan.
    pub fn mermaid(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::from("flowchart TD\n");
        let n = |id: &StepId| self.steps.iter().position(|s| s.id == *id).unwrap_or_default();
        for (i, step) in self.steps.iter().enumerate() {
            let (open, close) = match step.class {
                Class::Read => ("([", "])"),
                Class::Reversible => ("[", "]"),
                Class::Destructive => ("{{", "}}"),
            };
            let _infallible = writeln!(out, "  s{i}{open}\"{}\"{close}", step.id);
            for need in &step.needs {
                let _infallible = writeln!(out, "  s{} --> s{i}", n(need));
            }
        }
        out
    }
}

/// How many approvals each class asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Approvals {
    /// For [`Class::Destructive`].
    pub destructive: u8,
    /// For [`Class::Reversible`].
    pub reversible: u8,
}

/// Which half of an attempt is running.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The effect itself.
    Perform,
    /// Only looking whether the effect is in force.
    Observe,
}

/// How long to wait before try number `attempt` (2 is the first repeat): 200 ms doubling up to 30 s.
pub fn patience(attempt: u32) -> SignedDuration {
    let doublings = attempt.saturating_sub(2).min(8);
    SignedDuration::from_millis((200_i64 << doublings).min(30_000))
}
