//! Every fact, as written to the ledger. A closed catalogue: a kind that is not here cannot be stored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exposure::Exposure;
use crate::gate::Gate;
use crate::id::{IncidentId, SecretId};
use crate::incident::{RoomRole, Section, TaskEnd};
use crate::inventory::StrategyPolicy;
use crate::person::{BreakGlass, Role, Token};
use crate::plan::{Hold, Plan, Proof, StepEvent};
use crate::secret::Fingerprint;
use crate::severity::{Assessment, Profile, Signal};

/// Version of the envelope. Readers refuse a greater one.
pub const VERSION: u64 = 1;

/// Who or what did it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Actor {
    /// `user` or `engine`.
    #[serde(rename = "type")]
    pub kind: ActorKind,
    /// Login name, or the worker's id.
    pub id: String,
}

/// Kinds of actor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A person.
    User,
    /// Quell itself, carrying out an approved plan.
    Engine,
}

impl Actor {
    /// A person.
    pub fn user(id: impl Into<String>) -> Self {
        Self { kind: ActorKind::User, id: id.into() }
    }

    /// The engine.
    pub fn engine(id: impl Into<String>) -> Self {
        Self { kind: ActorKind::Engine, id: id.into() }
    }
}

/// Which value was sealed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueRole {
    /// A compromised value.
    Old,
    /// The successor.
    New,
}

/// A value that lies sealed: everything but the value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SealedRef {
    /// Which secret.
    pub secret: SecretId,
    /// Old or new.
    pub role: ValueRole,
    /// Id of the sealed blob.
    pub sealed: String,
    /// The value's name.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub principal: String,
    /// Where it was read: a store's target, `reported`, or `chosen`.
    pub place: String,
}

/// Closed vocabulary of the hunt's verdict. Unknown is a verdict; missing logs are never "clean".
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
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

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 5] = [
        Self::Used,
        Self::Likely,
        Self::NoEvidenceLogsComplete,
        Self::NoEvidenceLogsIncomplete,
        Self::CannotTell,
    ];

    /// The word used on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Likely => "likely",
            Self::NoEvidenceLogsComplete => "no-evidence-logs-complete",
            Self::NoEvidenceLogsIncomplete => "no-evidence-logs-incomplete",
            Self::CannotTell => "cannot-tell",
        }
    }

    /// In words for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Used => "it was used by an unknown party",
            Self::Likely => "it was likely used by an unknown party",
            Self::NoEvidenceLogsComplete => "no evidence of use; the logs are complete",
            Self::NoEvidenceLogsIncomplete => "no evidence of use, but the logs are incomplete",
            Self::CannotTell => "it cannot be told whether it was used",
        }
    }
}

/// What a person says of something unusual in the uses of a credential.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The owner did it.
    Benign,
    /// A stranger did it.
    Confirmed,
}

impl Decision {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Confirmed => "confirmed",
        }
    }
}

/// An anomaly of a hunt that a person looked at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Triage {
    /// The anomaly's id in the hunt's report.
    pub anomaly: String,
    /// The name of its records as they were then, from the same report. With others it has to be looked at again.
    pub content: String,
    /// What it is.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

impl std::str::FromStr for Verdict {
    type Err = crate::id::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|v| v.word() == text).ok_or_else(|| crate::id::BadId {
            text: text.to_owned(),
            expected: "a verdict: used, likely, no-evidence-logs-complete, no-evidence-logs-incomplete or cannot-tell",
        })
    }
}

/// One fact.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", content = "data")]
pub enum Event {
    /// First entry of a ledger.
    #[serde(rename = "genesis")]
    Genesis { install: String, origin: String, vkey: String },
    /// The ledger's signing key changed; format in `docs/reference/ledger-format.md`.
    #[serde(rename = "key.rotation")]
    KeyRotation(Value),
    /// The key-encryption key changed; `rewrapped` data keys now lie under the new one.
    #[serde(rename = "kek.rotated")]
    KekRotated { from: String, to: String, rewrapped: u64 },
    /// A scan found this (no value inside).
    #[serde(rename = "finding.recorded")]
    FindingRecorded { finding: Value, secret: Option<SecretId> },
    /// A scan ended.
    #[serde(rename = "scan.run")]
    ScanRun { target: String, findings: u64, bytes: u64, incomplete: u64 },
    /// Names of the values that a store holds now.
    #[serde(rename = "secret.observed")]
    SecretObserved { secret: SecretId, fingerprints: Vec<Fingerprint> },
    /// A short-lived credential was issued.
    #[serde(rename = "credential.issued")]
    CredentialIssued { system: String, principal: String, lease: String, ttl_seconds: u64 },
    /// Somebody may sign in to the server, by codes that this installation gives out.
    #[serde(rename = "person.added")]
    PersonAdded { person: String, role: Role },
    /// Somebody made a code with which that person signs in: whoever has it is that person.
    #[serde(rename = "code.made")]
    CodeMade {
        person: String,
        /// Over the server; else at the machine itself, by somebody who could do everything there anyway.
        #[serde(default)]
        from_page: bool,
    },
    /// They may not any more.
    #[serde(rename = "person.removed")]
    PersonRemoved { person: String, reason: String },
    /// Somebody signed in by an identity provider that says what they may do here. Recorded when it changes.
    #[serde(rename = "person.provided")]
    PersonProvided { person: String, role: Role },
    /// Two names are one person: where two people are needed, they count once.
    #[serde(rename = "person.same")]
    PersonSame { person: String, other: String, reason: String },
    /// A token for programs was made. Its value was shown once and is not here.
    #[serde(rename = "token.issued")]
    TokenIssued { token: Token },
    /// It is refused from here on.
    #[serde(rename = "token.revoked")]
    TokenRevoked { token: String, reason: String },
    /// Somebody took more rights for a while, in an emergency.
    #[serde(rename = "break-glass.opened")]
    BreakGlassOpened { glass: BreakGlass },
    /// Somebody else looked at what was done with them; they end with it. `opened` is the entry that opened it.
    #[serde(rename = "break-glass.reviewed")]
    BreakGlassReviewed { opened: u64, statement: String },

    /// An incident was declared.
    #[serde(rename = "incident.opened")]
    Opened {
        title: String,
        secrets: Vec<Affected>,
        exposures: Vec<Exposure>,
        declared: Timestamp,
        production: bool,
        opens_others: usize,
        profile: Profile,
        drill: bool,
    },
    /// More secrets than were known when it was declared: also leaked, or reached from one that is.
    #[serde(rename = "incident.widened")]
    Widened { secrets: Vec<Affected>, production: bool, opens_others: usize, reason: String },
    /// Another place.
    #[serde(rename = "exposure.added")]
    ExposureAdded { exposure: Exposure },
    /// Evidence that changes the severity.
    #[serde(rename = "signal.recorded")]
    SignalRecorded { signal: Signal, reason: String },
    /// The severity as computed from what was known then.
    #[serde(rename = "severity.assessed")]
    SeverityAssessed { assessment: Assessment },
    /// A deadline began.
    #[serde(rename = "clock.started")]
    ClockStarted { clock: String, starts: Timestamp, due: Timestamp, rule: String },
    /// A deadline was met (or met too late: compare with its due time).
    #[serde(rename = "clock.met")]
    ClockMet { clock: String },
    /// A person lets the server carry out the plan with this hash.
    #[serde(rename = "response.asked")]
    ResponseAsked { plan: String },
    /// Somebody overrides the strategy.
    #[serde(rename = "strategy.asked")]
    StrategyAsked { strategy: StrategyPolicy, reason: String },
    /// A plan was compiled.
    #[serde(rename = "plan.made")]
    PlanMade { plan: Box<Plan>, hash: String },
    /// The plan stops for now: a person said so, or too many secrets could not be done.
    #[serde(rename = "plan.held")]
    PlanHeld { hold: Hold },
    /// A person lets it go on.
    #[serde(rename = "plan.resumed")]
    PlanResumed { reason: String },
    /// Something happened to a step.
    #[serde(rename = "step")]
    Step(StepEvent),
    /// A value was sealed.
    #[serde(rename = "value.sealed")]
    ValueSealed(SealedRef),
    /// A successor leaked, too, or does not do: it counts as compromised from here on, and another one is needed.
    #[serde(rename = "successor.distrusted")]
    SuccessorDistrusted { secret: SecretId, fingerprint: Fingerprint, reason: String },
    /// What a consumer said before anything changed.
    #[serde(rename = "consumer.baseline")]
    Baseline {
        secret: SecretId,
        consumer: String,
        generation: Option<String>,
        principal: Option<String>,
        /// It takes the place of what was seen earlier: other secrets of the same consumer were switched in between.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        anew: bool,
    },
    /// A proof, of the plan or of a later `verify`.
    #[serde(rename = "proof.recorded")]
    ProofRecorded { proof: Proof },
    /// A named approver accepts closing without proof.
    #[serde(rename = "exception.recorded")]
    ExceptionRecorded { secret: SecretId, reason: String },
    /// Was it used?
    #[serde(rename = "verdict.recorded")]
    VerdictRecorded { verdict: Verdict, reason: String },
    /// A person looked at something that a hunt found unusual.
    #[serde(rename = "anomaly.triaged")]
    AnomalyTriaged { triage: Triage, title: String },
    /// A message deleted, history rewritten. Hygiene: never containment.
    #[serde(rename = "channel.cleaned")]
    ChannelCleaned { what: String },
    /// A person unlocked a place where it leaked by hand.
    #[serde(rename = "channel.unlocked")]
    ChannelUnlocked { channel: String, reason: String },
    /// A remark.
    #[serde(rename = "note.added")]
    NoteAdded { text: String },
    /// Something to do afterwards.
    #[serde(rename = "action-item.added")]
    ActionItemAdded {
        item: String,
        title: String,
        owner: String,
        due: String,
        /// The gate that it is to ship: then only a proof of that gate closes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate: Option<Gate>,
    },
    /// It is done, with evidence.
    #[serde(rename = "action-item.done")]
    ActionItemDone { item: String, evidence: String },
    /// An evidence bundle left the house.
    #[serde(rename = "evidence.exported")]
    EvidenceExported { manifest_sha256: String, entries: u64 },
    /// The end.
    #[serde(rename = "incident.closed")]
    Closed { summary: String },
    /// Somebody takes a role in the response, or is given it; whoever had it has handed it over.
    #[serde(rename = "role.taken")]
    RoleTaken { role: RoomRole, person: String },
    /// What a person says of a finding.
    #[serde(rename = "finding.triaged")]
    FindingTriaged { finding: String, says: FindingSays, reason: String },
    /// Somebody began a text for people outside of the room. `kind` names its template, `meets` the clock that waits for it.
    #[serde(rename = "notice.drafted")]
    NoticeDrafted {
        notice: String,
        kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meets: Option<String>,
        title: String,
        body: String,
    },
    /// It says something else now.
    #[serde(rename = "notice.edited")]
    NoticeEdited { notice: String, title: String, body: String },
    /// It is not wanted any more.
    #[serde(rename = "notice.dropped")]
    NoticeDropped { notice: String, reason: String },
    /// It goes out by these channels, with the text of this hash.
    #[serde(rename = "notice.sent")]
    NoticeSent { notice: String, sha256: String, channels: Vec<String> },
    /// Something happened on its way by one channel.
    #[serde(rename = "notice.step")]
    NoticeStep { notice: String, event: StepEvent },
    /// Somebody wrote a section of the post-mortem; an empty text takes back what stood there.
    #[serde(rename = "post-mortem.written")]
    PostMortemWritten { section: Section, text: String },
    /// Somebody, or nobody yet, has something to do while the response goes on.
    #[serde(rename = "task.added")]
    TaskAdded {
        task: String,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
    },
    /// Somebody does it from now on.
    #[serde(rename = "task.given")]
    TaskGiven { task: String, owner: String },
    /// It is done, or nobody needs it any more.
    #[serde(rename = "task.ended")]
    TaskEnded { task: String, how: TaskEnd, reason: String },
}

/// What a finding is, by the word of a person.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum FindingSays {
    /// A leak; this incident is about it.
    Leak {
        /// Which.
        incident: IncidentId,
    },
    /// Nothing that opens anything: an example, a decoy, a test.
    NotALeak,
    /// The same as another finding.
    Duplicate {
        /// Of which.
        of: String,
    },
}

/// A secret that an incident is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Affected {
    /// Which.
    pub secret: SecretId,
    /// Leaked, or reached from a leaked one.
    pub because: String,
}

/// A piece of evidence kept outside the entry, by content.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EvidenceRef {
    /// Hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// What it is called.
    pub name: String,
}

/// One entry of the ledger, as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Position in the ledger, from 0.
    pub seq: u64,
    /// When (UTC, never before the entry in front of it).
    pub at: Timestamp,
    /// The incident's id, or `installation`.
    pub stream: String,
    /// Position in the stream, from 0.
    pub pos: u64,
    /// Who.
    pub actor: Actor,
    /// Content kept outside.
    pub evidence: Vec<EvidenceRef>,
    /// What.
    pub event: Event,
}

/// The stream of facts that belong to no incident.
pub const INSTALLATION: &str = "installation";

/// Why stored bytes are not an entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadEntry {
    /// Not what this version writes.
    #[error("entry {seq} was written by a newer version (envelope {version}); upgrade quell to read it")]
    Newer { seq: u64, version: u64 },
    /// Damaged, or from elsewhere.
    #[error("entry {seq} cannot be read: {detail}")]
    Damaged { seq: u64, detail: String },
}

#[derive(Deserialize)]
struct Envelope {
    v: u64,
    seq: u64,
    at: Timestamp,
    stream: String,
    pos: u64,
    actor: Actor,
    evidence: Vec<EvidenceRef>,
    #[serde(flatten)]
    event: Event,
}

impl Entry {
    /// The canonical bytes that are stored and hashed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, crate::json::NotCanonical> {
        let wrong = |e: serde_json::Error| crate::json::NotCanonical::Serialize(e.to_string());
        let mut value = serde_json::to_value(&self.event).map_err(wrong)?;
        if let Value::Object(map) = &mut value {
            map.insert("v".to_owned(), VERSION.into());
            map.insert("seq".to_owned(), self.seq.into());
            map.insert("at".to_owned(), self.at.to_string().into());
            map.insert("stream".to_owned(), self.stream.as_str().into());
            map.insert("pos".to_owned(), self.pos.into());
            map.insert("actor".to_owned(), serde_json::to_value(&self.actor).map_err(wrong)?);
            map.insert("tool".to_owned(), concat!("quell ", env!("CARGO_PKG_VERSION")).into());
            map.insert("evidence".to_owned(), serde_json::to_value(&self.evidence).map_err(wrong)?);
        }
        crate::json::canonical(&value)
    }

    /// Reads stored bytes back. `seq` is only for the error.
    pub fn from_bytes(seq: u64, bytes: &[u8]) -> Result<Self, BadEntry> {
        let damaged = |e: serde_json::Error| BadEntry::Damaged { seq, detail: e.to_string() };
        let value: Value = serde_json::from_slice(bytes).map_err(damaged)?;
        let version = value.get("v").and_then(Value::as_u64).unwrap_or(0);
        if version > VERSION {
            return Err(BadEntry::Newer { seq, version });
        }
        let e: Envelope = serde_json::from_value(value).map_err(damaged)?;
        if e.v != VERSION {
            return Err(BadEntry::Damaged { seq, detail: format!("envelope version {}", e.v) });
        }
        Ok(Self {
            seq: e.seq,
            at: e.at,
            stream: e.stream,
            pos: e.pos,
            actor: e.actor,
            evidence: e.evidence,
            event: e.event,
        })
    }

    /// The incident, if the entry belongs to one.
    pub fn incident(&self) -> Option<IncidentId> {
        self.stream.parse().ok()
    }
}

impl Event {
    /// The kind as written: `incident.opened`.
    pub fn kind(&self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|v| v.get("kind").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damage_is_an_error() {
        let entry = Entry {
            seq: 7,
            at: "2026-11-22T03:04:05.678901Z".parse().unwrap(),
            stream: "INC-2026-0001".to_owned(),
            pos: 2,
            actor: Actor::user("ines"),
            evidence: Vec::new(),
            event: Event::NoteAdded { text: "looked at it".to_owned() },
        };
        let bytes = entry.to_bytes().unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes.clone()).unwrap(), @r#"{"actor":{"id":"ines","type":"user"},"at":"2026-11-22T03:04:05.678901Z","data":{"text":"looked at it"},"evidence":[],"kind":"note.added","pos":2,"seq":7,"stream":"INC-2026-0001","tool":"quell 0.1.0","v":1}"#);
        assert_eq!(Entry::from_bytes(7, &bytes).unwrap(), entry);
        assert_eq!(entry.event.kind(), "note.added");
        let newer = String::from_utf8(bytes.clone()).unwrap().replace("\"v\":1", "\"v\":2");
        assert_eq!(Entry::from_bytes(7, newer.as_bytes()), Err(BadEntry::Newer { seq: 7, version: 2 }));
        assert!(matches!(Entry::from_bytes(7, &bytes[..40]), Err(BadEntry::Damaged { .. })));
        let unknown = String::from_utf8(bytes).unwrap().replace("note.added", "note.eaten");
        assert!(matches!(Entry::from_bytes(7, unknown.as_bytes()), Err(BadEntry::Damaged { .. })));
    }
}
