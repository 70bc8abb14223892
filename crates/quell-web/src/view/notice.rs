//! What people tell others.

use quell_app::notice as app;
use quell_core::incident::notice::{self as domain, NoticeState};
use quell_core::plan::{StepState, word};
use quell_core::severity::Severity;
use quell_core::{IncidentId, Timestamp, incident};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape;

/// One notice.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Notice {
    /// Of which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// `N1`.
    pub notice: String,
    /// The template that it was drafted from.
    pub kind: String,
    /// How it stands.
    #[schemars(with = "shape::NoticeState")]
    pub state: NoticeState,
    /// One line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Hash of title and text; give it back when sending, so that what goes out is what was read.
    pub sha256: String,
    /// Who wrote it last.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The clock that it meets once somebody has it.
    pub meets: Option<String>,
    /// Why it is not wanted any more.
    pub dropped: Option<String>,
    /// What became of it after somebody sent it.
    pub sent: Option<Sent>,
}

/// A notice on its way.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Sent {
    /// Who sent it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Hash of the text that goes out.
    pub sha256: String,
    /// Each channel.
    pub channels: Vec<Told>,
}

/// One channel of a notice.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Told {
    /// Its name in the inventory.
    pub channel: String,
    /// How it stands there.
    #[schemars(with = "shape::StepState")]
    pub state: StepState,
}

impl Told {
    /// In words for people: `applied`, and why not.
    pub fn words(&self) -> String {
        match &self.state {
            StepState::Applied => "has it".to_owned(),
            StepState::Failed { reason } => format!("gave up: {reason}"),
            StepState::Deferred { reason, .. } => format!("{}: {reason}", word(&self.state)),
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Running { .. }
            | StepState::Skipped => word(&self.state).to_owned(),
        }
    }
}

impl Notice {
    /// As it stands.
    pub fn of(incident: &incident::Incident, notice: &domain::Notice) -> Self {
        let told = |sent: &domain::Sent| {
            let states = sent.machine.states();
            let one = |(step, state)| {
                Some(Told { channel: domain::channel_of(step)?.to_owned(), state: StepState::clone(state) })
            };
            states.filter_map(one).collect()
        };
        Self {
            incident: incident.id,
            notice: notice.notice.clone(),
            kind: notice.kind.clone(),
            state: notice.state(),
            title: notice.title.clone(),
            body: notice.body.clone(),
            sha256: notice.sha256(),
            by: notice.by.clone(),
            at: notice.at,
            meets: notice.meets.clone(),
            dropped: notice.dropped.clone(),
            sent: notice.sent.as_ref().map(|sent| Sent {
                by: sent.by.clone(),
                at: sent.at,
                sha256: sent.sha256.clone(),
                channels: told(sent),
            }),
        }
    }
}

/// The notices of an incident.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Notices {
    /// Of which.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Oldest first.
    pub notices: Vec<Notice>,
}

impl Notices {
    /// As they stand.
    pub fn of(incident: &incident::Incident) -> Self {
        let notices = incident.notices.iter().map(|notice| Notice::of(incident, notice)).collect();
        Self { incident: incident.id, notices }
    }
}

/// What notices can be drafted from, and sent by.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct NoticeKinds {
    /// By name.
    pub kinds: Vec<NoticeKind>,
    /// Channels of the inventory that tell people something.
    pub channels: Vec<NoticeChannel>,
}

/// One kind.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct NoticeKind {
    /// Its name.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Whom it is for.
    pub audience: String,
    /// The clock that it meets once somebody has it.
    pub meets: Option<String>,
    /// The operator's own template.
    pub own: bool,
}

/// One channel.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct NoticeChannel {
    /// Its name in the inventory.
    pub channel: String,
    /// The policy names it: it is told when nobody says which.
    pub usual: bool,
}

impl NoticeKinds {
    /// Of an installation.
    pub fn of(installation: &quell_app::App) -> Result<Self, quell_app::AppError> {
        let kind = |it: app::Kind| NoticeKind {
            kind: it.kind,
            name: it.name,
            audience: it.audience,
            meets: it.meets,
            own: it.own,
        };
        let channels = app::channels(installation, Severity::Sev1).into_iter();
        Ok(Self {
            kinds: app::kinds(installation)?.into_iter().map(kind).collect(),
            channels: channels.map(|(channel, usual)| NoticeChannel { channel, usual }).collect(),
        })
    }
}
