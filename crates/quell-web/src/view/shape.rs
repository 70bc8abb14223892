//! What the core's types look like in JSON. Never made, only described; that they are right is tested against real answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde_json::Value;

/// The internal scale.
#[derive(Debug, JsonSchema)]
pub enum Severity {
    /// Production in public, or any sign of use.
    #[serde(rename = "SEV-1")]
    Sev1,
    /// Production, seen by a limited audience.
    #[serde(rename = "SEV-2")]
    Sev2,
    /// Not production.
    #[serde(rename = "SEV-3")]
    Sev3,
    /// A suspicion, or something already dead.
    #[serde(rename = "SEV-4")]
    Sev4,
}

/// A part of the post-mortem that people write.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// What happened, in short.
    Summary,
    /// Who and what was harmed.
    Impact,
    /// How it was found.
    Detection,
    /// The system, default or missing gate that made it possible.
    RootCause,
    /// What else had to come together.
    ContributingCauses,
    /// Safeguards that held.
    WentWell,
    /// Safeguards that did not.
    WentBadly,
    /// What nobody planned, and helped.
    Lucky,
    /// What is known now that was not before.
    Lessons,
    /// How it will be seen that the action items work.
    Validation,
}

/// How a delivery of a webhook stands.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Worked off; its body is gone.
    Done,
    /// Given up; somebody may have it tried again.
    Failed,
    /// To be worked off.
    Waiting,
}

/// How a notice stands.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeState {
    /// Being written.
    Draft,
    /// Not wanted any more.
    Dropped,
    /// On its way.
    Sending,
    /// Every channel has it.
    Sent,
    /// Some channels have it, others gave up.
    InPart,
    /// No channel took it.
    Failed,
}

/// Open or closed.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being worked on.
    Open,
    /// Ended.
    Closed,
}

/// Why it is that severe.
#[derive(Debug, JsonSchema)]
pub struct Assessment {
    /// What holds.
    pub severity: Severity,
    /// What people call it.
    pub label: String,
    /// Strictest first.
    pub reasons: Vec<Reason>,
}

/// One rule that fits.
#[derive(Debug, JsonSchema)]
pub struct Reason {
    /// What the rule asks for.
    pub severity: Severity,
    /// Why, in words.
    pub because: String,
    /// Where the rule comes from.
    pub source: String,
}

/// Where it leaked.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// A repository that anybody can read.
    PublicRepo,
    /// A private repository that more than one person can read.
    PrivateRepo,
    /// A CI log.
    CiLog,
    /// A chat, ticket or forum.
    Chat,
    /// An error page shown to end users.
    ErrorPage,
    /// An error log that support staff can read.
    SupportLog,
    /// A commit on one machine, never pushed.
    LocalCommit,
    /// Not known.
    Unknown,
}

/// Who could see it.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Nobody but the author.
    Nobody,
    /// Two to five people.
    Few,
    /// More than five people, all of the organization.
    Internal,
    /// Anybody.
    Public,
}

/// One place where it leaked.
#[derive(Debug, JsonSchema)]
pub struct Exposure {
    /// Where.
    pub channel: Channel,
    /// To whom.
    pub audience: Audience,
    /// First moment at which somebody could have seen it, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_exposed: Option<Timestamp>,
    /// When it was learned of.
    pub discovered: Timestamp,
    /// Whether it can still be seen there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_visible: Option<bool>,
    /// The place in words. Never a value.
    pub place: String,
    /// The leaked value's name: a keyed hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A deadline.
#[derive(Debug, JsonSchema)]
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

/// How a deadline stands.
#[derive(Debug, JsonSchema)]
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

/// What an issuer said to a value that was tried.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Probe {
    /// It was let in.
    Accepted {
        /// What was seen.
        facts: BTreeMap<String, Value>,
    },
    /// It was turned away with the issuer's own, specific refusal.
    Refused {
        /// The issuer's code.
        code: String,
        /// The issuer's words.
        message: String,
    },
    /// Neither. Never a proof of anything.
    Inconclusive {
        /// Why.
        reason: String,
    },
}

/// What was seen of one compromised value.
#[derive(Debug, JsonSchema)]
pub struct OldProof {
    /// The value's name: a keyed hash.
    pub fingerprint: String,
    /// Whose it was.
    pub principal: String,
    /// One answer per round.
    pub probes: Vec<Probe>,
    /// Live sessions that were opened with it.
    pub sessions: u64,
}

/// A test that the old values are refused and a control value is accepted.
#[derive(Debug, JsonSchema)]
pub struct Proof {
    /// The secret.
    pub secret: String,
    /// When the last round ended.
    pub at: Timestamp,
    /// The door that was tried.
    pub target: String,
    /// Every compromised value.
    pub old: Vec<OldProof>,
    /// `successor`, `other principal` or `none`.
    pub control_is: String,
    /// The control's answers, one per round.
    pub control: Vec<Probe>,
    /// The settling time between rounds, in milliseconds.
    pub settle_ms: u64,
    /// The verdict.
    pub inert: bool,
    /// Why not, when it is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
}

/// Kill the old value first, or make the new one first.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Disable first.
    KillFirst,
    /// Make before break.
    MakeBeforeBreak,
}

/// What people ask of the strategy.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyAsked {
    /// By exposure and severity.
    Auto,
    /// Disable first.
    KillFirst,
    /// Make before break.
    MakeBeforeBreak,
}

/// Performing, or only looking.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The effect itself.
    Perform,
    /// Only looking whether it is in force.
    Observe,
}

/// Where one step stands.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum StepState {
    /// Something it needs has not finished.
    Waiting,
    /// People must approve it first.
    AwaitingApproval,
    /// A person has to do it and say so.
    WithPeople,
    /// Claimed by a worker.
    Running {
        /// Counts from 1.
        attempt: u32,
        /// Performing or looking.
        phase: Phase,
        /// Who.
        worker: String,
        /// Until when.
        deadline: Timestamp,
    },
    /// To be taken up again.
    Deferred {
        /// The attempt that ended.
        attempt: u32,
        /// What the coming attempt does.
        phase: Phase,
        /// Not before.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// The effect is in force.
    Applied,
    /// A person decided to go on without it.
    Skipped,
    /// Gave up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Was it used?
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Used by an unknown party.
    Used,
    /// Likely used.
    Likely,
    /// No evidence of use; logs are complete.
    NoEvidenceLogsComplete,
    /// No evidence of use; logs are incomplete.
    NoEvidenceLogsIncomplete,
    /// Cannot tell.
    CannotTell,
}

/// A fact that changes the severity.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Anybody could see it.
    Public,
    /// The credential works.
    Live,
    /// Proven dead already; needs a reason.
    NotLive,
    /// Somebody unknown used it.
    UsedByUnknown,
    /// Logs have a gap.
    LogGap,
    /// A node of the secret store is compromised.
    StoreNodeCompromised,
    /// A key-management key is compromised.
    KmsKeyCompromised,
    /// Repeated failed authentication from an unknown source.
    RepeatedFailedAuth,
    /// Nobody is sure that it is a secret; needs a reason.
    Unconfirmed,
}

/// A check that would have stopped a leak.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The hook before a commit.
    PreCommit,
    /// The hook before a push.
    PrePush,
    /// The hook that takes a push.
    PreReceive,
    /// The filter of logs.
    Redact,
    /// `.env` files are ignored and private.
    Env,
}

/// Something to do afterwards.
#[derive(Debug, JsonSchema)]
pub struct ActionItem {
    /// `A1`.
    pub item: String,
    /// What.
    pub title: String,
    /// Who.
    pub owner: String,
    /// When, a date.
    pub due: String,
    /// The gate that it is to ship.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What shows that it is done.
    pub done: Option<String>,
}

/// Something that somebody does while the response goes on.
#[derive(Debug, JsonSchema)]
pub struct Task {
    /// `T1`.
    pub task: String,
    /// What, in one line.
    pub title: String,
    /// Who does it; nobody until it is given to somebody.
    pub owner: Option<String>,
    /// Until when.
    pub due: Option<Timestamp>,
    /// Who added it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How it ended.
    pub ended: Option<TaskEnding>,
}

/// How a task ended, and who said so.
#[derive(Debug, JsonSchema)]
pub struct TaskEnding {
    /// Done, or not wanted any more.
    pub how: TaskEnd,
    /// What came of it, or why nobody needs it.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// The two ends of a task.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskEnd {
    /// Somebody did it.
    Done,
    /// Nobody needs it any more.
    Dropped,
}

/// Can the old value still be used?
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Inert {
    /// It may be.
    No,
    /// Something was done, and nothing shows what it did.
    CannotTell,
    /// Proven.
    Yes,
}

/// How it stands with one secret.
#[derive(Debug, JsonSchema)]
pub struct Inertness {
    /// Which.
    pub secret: String,
    /// Why it belongs to the incident.
    pub because: String,
    /// Can the old value still be used?
    pub inert: Inert,
    /// What that rests on.
    pub why: String,
    /// The step that it waits for, or that gave up.
    pub at: Option<String>,
    /// How that step stands.
    pub state: Option<String>,
    /// Steps that are not done.
    pub left: u64,
}

/// A secret that is likely exposed with another one.
#[derive(Debug, JsonSchema)]
pub struct Adjacent {
    /// Which.
    pub secret: String,
    /// Why.
    pub reasons: Vec<String>,
}

/// One entry of the ledger, for people.
#[derive(Debug, JsonSchema)]
pub struct TimelineRow {
    /// Its position in the ledger.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What happened, in a sentence.
    pub what: String,
    /// Reasons, hashes and observations.
    pub detail: String,
    /// The step it is about.
    pub step: Option<String>,
    /// True when somebody decided something.
    pub decision: bool,
}

/// How bad it is to do a step wrongly.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Changes nothing outside.
    Read,
    /// Can be changed again without loss.
    Reversible,
    /// Breaks something that is in use, or cannot be taken back.
    Destructive,
}

/// One unit of a plan.
#[derive(Debug, JsonSchema)]
pub struct Step {
    /// Unique in the plan.
    pub id: String,
    /// The secret it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What it does: `do`, and what belongs to it.
    pub action: BTreeMap<String, Value>,
    /// Steps that come before.
    pub needs: Vec<String>,
    /// How bad it is to do it wrongly.
    pub class: Class,
    /// How many different people must approve it.
    pub approvals: u8,
    /// What it does, in words.
    pub what: String,
    /// Why it stands here.
    pub why: String,
    /// What it will break, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<String>,
    /// Longest time for one attempt, in milliseconds.
    pub limit_ms: u64,
    /// Attempts before a person is asked.
    pub max_attempts: u32,
}

/// A compiled plan.
#[derive(Debug, JsonSchema)]
pub struct Plan {
    /// For which incident.
    pub incident: String,
    /// From 1.
    pub revision: u32,
    /// Which value goes first.
    pub strategy: Strategy,
    /// Why that strategy.
    pub reasons: Vec<String>,
    /// Things an operator must know.
    pub warnings: Vec<String>,
    /// The secrets it covers.
    pub secrets: Vec<String>,
    /// In an order that respects `needs`.
    pub steps: Vec<Step>,
}

/// Order in a mass rotation.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Database root, cloud admin, secret store.
    Infrastructure,
    /// A service's own credential.
    Service,
    /// A third party's.
    Integration,
    /// A person's.
    Human,
}

/// What people may do; whoever may do more may do all that is below.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Report a leak.
    Reporter,
    /// Read everything but values.
    Viewer,
    /// Open and change incidents, make and carry out plans.
    Responder,
    /// Approve steps, accept exceptions, close.
    Approver,
    /// People, tokens, keys, settings.
    Admin,
}

/// What is always in a finding.
#[derive(Debug, JsonSchema)]
pub struct Finding {
    /// `F-` and 12 hex digits.
    pub id: String,
    /// The rule that matched.
    pub rule: String,
    /// The rule's description.
    pub description: String,
    /// The inventory kind that such a secret would have.
    pub kind: String,
    /// The first occurrence.
    pub place: Value,
    /// It can be reached from a ref.
    pub still_reachable: bool,
    /// The public prefix and `…`.
    pub preview: String,
    /// Keyed hash of the secret.
    pub fingerprint: String,
    /// The secret of the inventory that it is.
    pub secret: Option<String>,
}

/// One thing that is reached.
#[derive(Debug, JsonSchema)]
pub struct Reached {
    /// The thing: a secret, a resource or a consumer.
    pub node: Value,
    /// How many secrets lie in between.
    pub depth: u64,
    /// The edge by which it was first reached.
    pub via: Value,
}

/// From a secret to what it opens or feeds.
#[derive(Debug, JsonSchema)]
pub struct Edge {
    /// The secret.
    pub from: String,
    /// The thing: a secret, a resource or a consumer.
    pub to: Value,
    /// Why.
    pub why: String,
    /// Data classes behind it.
    pub data: Vec<String>,
}

/// One line of a check.
#[derive(Debug, JsonSchema)]
pub struct Check {
    /// Which secret.
    pub secret: String,
    /// `issuer`, `stores[0]`, `consumers.api.reload`.
    pub part: String,
    /// The system in words.
    pub target: String,
    /// What was checked.
    pub what: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen; for a failure also what to grant or change.
    pub detail: String,
}

/// One entry.
#[derive(Debug, JsonSchema)]
pub struct Entry {
    /// Version of the envelope.
    pub v: u64,
    /// Number in the ledger, from 0.
    pub seq: u64,
    /// When.
    pub at: String,
    /// The incident's id, or `installation`.
    pub stream: String,
    /// Position in the stream, from 0.
    pub pos: u64,
    /// Who: `type` and `id`.
    pub actor: Value,
    /// Content kept outside, by hash.
    pub evidence: Vec<Value>,
    /// What kind it is.
    pub kind: String,
}

/// Why a plan goes no further.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Every step is applied or skipped.
    Done,
    /// Approvals are missing.
    NeedsApproval,
    /// Something is people's to do.
    NeedsPeople,
    /// A step gave up.
    Stuck,
    /// Somebody, or too many failures, stopped it for now.
    Held,
    /// Whoever ran it asked to stop.
    Interrupted,
}
