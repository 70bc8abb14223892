//! What people write to tell others: drafted from the facts, edited, sent by channels of the inventory.
//!
//! Sending is a small plan of its own, one step for each channel, run by the same machine as every plan: an intent before, a result after, and on
//! an unknown outcome a look before anything else. Its steps need nothing and nothing needs them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::decide::RefusedBecause;
use super::state::Incident;
use crate::event::{Actor, Event};
use crate::id::{BadId, IncidentId, StepId};
use crate::outcome::Outcome;
use crate::plan::{Class, Machine, Plan, Step, StepAction, StepEvent, StepState, Strategy};

/// The clock that waits for the next word to everybody.
pub const NEXT_UPDATE: &str = "next-update";

/// One text for people outside of the room.
#[derive(Clone, Debug)]
pub struct Notice {
    /// `N1`.
    pub notice: String,
    /// Whom it is for, by the name of its template: `update`, `affected`.
    pub kind: String,
    /// The clock that it meets once somebody has it.
    pub meets: Option<String>,
    /// One line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Who wrote it last.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why it is not wanted any more.
    pub dropped: Option<String>,
    /// What became of it after somebody said that it goes out.
    pub sent: Option<Sent>,
}

/// A notice on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who sent it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Hash of title and text, as they went out.
    pub sha256: String,
    /// One step for each channel.
    pub machine: Machine,
}

/// How a notice stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
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

impl NoticeState {
    /// In words for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Dropped => "dropped",
            Self::Sending => "being sent",
            Self::Sent => "sent",
            Self::InPart => "sent in part",
            Self::Failed => "not sent",
        }
    }
}

impl Notice {
    /// How it stands.
    pub fn state(&self) -> NoticeState {
        let Some(sent) = &self.sent else {
            return if self.dropped.is_some() { NoticeState::Dropped } else { NoticeState::Draft };
        };
        if !sent.machine.is_done() {
            return NoticeState::Sending;
        }
        let told = sent.told().count();
        match (told, sent.machine.plan().steps.len()) {
            (0, _) => NoticeState::Failed,
            (told, all) if told == all => NoticeState::Sent,
            _ => NoticeState::InPart,
        }
    }

    /// Hash of title and text.
    pub fn sha256(&self) -> String {
        sha256(&self.title, &self.body)
    }
}

/// Hash of title and text.
pub(super) fn sha256(title: &str, body: &str) -> String {
    let text = BTreeMap::from([("body", body), ("title", title)]);
    hex::encode(Sha256::digest(crate::json::canonical(&text).unwrap_or_default()))
}

impl Sent {
    /// Channels that have it.
    pub fn told(&self) -> impl Iterator<Item = &str> {
        let states = self.machine.states().filter(|(_, state)| **state == StepState::Applied);
        states.filter_map(|(step, _)| channel_of(step))
    }

    /// Channels that gave up, and why.
    pub fn failed(&self) -> impl Iterator<Item = (&Step, &str)> {
        self.machine.states().filter_map(|(step, state)| match state {
            StepState::Failed { reason } => Some((step, reason.as_str())),
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Running { .. }
            | StepState::Deferred { .. }
            | StepState::Applied
            | StepState::Skipped => None,
        })
    }
}

/// The channel that a step tells.
#[expect(clippy::wildcard_enum_match_arm, reason = "one kind of step tells people")]
pub fn channel_of(step: &Step) -> Option<&str> {
    match &step.action {
        StepAction::Notify { channel, .. } => Some(channel),
        _ => None,
    }
}

/// Longest time for one attempt at one channel.
const CALL_MS: u64 = 30_000;

/// The plan by which a notice goes out.
fn plan(incident: IncidentId, notice: &str, channels: &[String]) -> Result<Plan, BadId> {
    let step = |channel: &String| -> Result<Step, BadId> {
        Ok(Step {
            id: step_id(notice, channel)?,
            secret: None,
            action: StepAction::Notify { channel: channel.clone(), notice: notice.to_owned() },
            needs: Vec::new(),
            class: Class::Reversible,
            approvals: 0,
            what: format!("tell `{channel}` what {notice} says"),
            why: "somebody wrote it and sent it".to_owned(),
            breaks: None,
            limit_ms: CALL_MS,
            max_attempts: 4,
            best_effort: true,
            wave: 0,
            lane: None,
        })
    };
    Ok(Plan {
        incident,
        revision: 0,
        strategy: Strategy::MakeBeforeBreak,
        reasons: Vec::new(),
        warnings: Vec::new(),
        inventory: String::new(),
        secrets: Vec::new(),
        steps: channels.iter().map(step).collect::<Result<_, _>>()?,
        lanes: BTreeMap::new(),
        stop_after: 0,
        under_way: 0,
    })
}

fn step_id(notice: &str, channel: &str) -> Result<StepId, BadId> {
    format!("notice.{}.{channel}", notice.to_ascii_lowercase()).parse()
}

impl Incident {
    /// A notice by its id.
    pub fn notice(&self, notice: &str) -> Option<&Notice> {
        self.notices.iter().find(|it| it.notice == notice)
    }

    fn notice_mut(&mut self, notice: &str) -> Option<&mut Notice> {
        self.notices.iter_mut().find(|it| it.notice == notice)
    }

    /// Takes in what happened to a notice.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other entries are about something else")]
    pub(super) fn noticed(&mut self, event: &Event, actor: &Actor, at: Timestamp) {
        let incident = self.id;
        match event {
            Event::NoticeDrafted { notice, kind, meets, title, body } => self.notices.push(Notice {
                notice: notice.clone(),
                kind: kind.clone(),
                meets: meets.clone(),
                title: title.clone(),
                body: body.clone(),
                by: actor.id.clone(),
                at,
                dropped: None,
                sent: None,
            }),
            Event::NoticeEdited { notice, title, body } => {
                let Some(it) = self.notice_mut(notice) else { return };
                (it.title, it.body) = (title.clone(), body.clone());
                (it.by, it.at) = (actor.id.clone(), at);
            }
            Event::NoticeDropped { notice, reason } => {
                let Some(it) = self.notice_mut(notice) else { return };
                it.dropped = Some(reason.clone());
            }
            Event::NoticeSent { notice, sha256, channels } => {
                let Ok(plan) = plan(incident, notice, channels) else { return };
                let Some(it) = self.notice_mut(notice) else { return };
                let (by, sha256) = (actor.id.clone(), sha256.clone());
                it.sent = Some(Sent { by, at, sha256, machine: Machine::new(plan) });
            }
            Event::NoticeStep { notice, event } => {
                let Some(sent) = self.notice_mut(notice).and_then(|it| it.sent.as_mut()) else { return };
                sent.machine.apply(event);
            }
            _ => {}
        }
    }
}

fn refused<T>(what: String, unmet: &str) -> Result<T, RefusedBecause> {
    Err(RefusedBecause { what, unmet: vec![unmet.to_owned()] })
}

/// Longest title, in characters. Subjects of mails and first lines of messages end there.
const TITLE_MAX: usize = 200;

fn fits(title: &str, body: &str) -> Result<(), RefusedBecause> {
    let what = || "the notice was not written down".to_owned();
    let one_line = !title.chars().any(char::is_control);
    if title.trim().is_empty() || !one_line || title.chars().count() > TITLE_MAX {
        return refused(what(), "its title is one line of 1 to 200 characters");
    }
    if body.trim().is_empty() {
        return refused(what(), "it needs a text: whoever gets it was not there");
    }
    Ok(())
}

/// Writes a draft down.
pub fn draft(
    incident: &Incident,
    kind: &str,
    meets: Option<&str>,
    title: &str,
    body: &str,
) -> Result<(Vec<Event>, String), RefusedBecause> {
    fits(title, body)?;
    let notice = format!("N{}", incident.notices.len() + 1);
    let event = Event::NoticeDrafted {
        notice: notice.clone(),
        kind: kind.to_owned(),
        meets: meets.map(str::to_owned),
        title: title.to_owned(),
        body: body.to_owned(),
    };
    Ok((vec![event], notice))
}

/// A draft that is still one.
fn open<'a>(incident: &'a Incident, notice: &str, what: &str) -> Result<&'a Notice, RefusedBecause> {
    let Some(it) = incident.notice(notice) else {
        return refused(format!("the notice was not {what}"), "the incident has no such notice");
    };
    match it.state() {
        NoticeState::Draft => Ok(it),
        NoticeState::Dropped => {
            refused(format!("{notice} was not {what}"), "it was dropped; draft another one")
        }
        NoticeState::Sending | NoticeState::Sent | NoticeState::InPart | NoticeState::Failed => refused(
            format!("{notice} was not {what}"),
            "it went out, and what people were told stays as it is; draft another one",
        ),
    }
}

/// Changes a draft.
pub fn edit(
    incident: &Incident,
    notice: &str,
    (title, body): (&str, &str),
    read: Option<&str>,
) -> Result<Vec<Event>, RefusedBecause> {
    let known = open(incident, notice, "changed")?;
    if read.is_some_and(|read| read != known.sha256()) {
        return refused(
            format!("{notice} was not changed"),
            "its text is another one than you have read; read it again",
        );
    }
    fits(title, body)?;
    if known.title == title && known.body == body {
        return Ok(Vec::new());
    }
    let (notice, title, body) = (notice.to_owned(), title.to_owned(), body.to_owned());
    Ok(vec![Event::NoticeEdited { notice, title, body }])
}

/// Gives a draft up.
pub fn drop_draft(incident: &Incident, notice: &str, reason: &str) -> Result<Vec<Event>, RefusedBecause> {
    open(incident, notice, "dropped")?;
    if reason.trim().is_empty() {
        return refused(format!("{notice} was not dropped"), "say why, so that nobody waits for it");
    }
    Ok(vec![Event::NoticeDropped { notice: notice.to_owned(), reason: reason.to_owned() }])
}

/// Sends a draft out by these channels, exactly as whoever sends it has read it.
pub fn send(
    incident: &Incident,
    notice: &str,
    channels: &[String],
    read: Option<&str>,
) -> Result<Vec<Event>, RefusedBecause> {
    let draft = open(incident, notice, "sent")?;
    let sha256 = draft.sha256();
    if read.is_some_and(|read| read != sha256) {
        return refused(
            format!("{notice} was not sent"),
            "its text is another one than you have read; read it again",
        );
    }
    let mut channels = channels.to_vec();
    channels.sort();
    channels.dedup();
    if channels.is_empty() {
        return refused(format!("{notice} was not sent"), "name at least one channel of the inventory");
    }
    if plan(incident.id, notice, &channels).is_err() {
        return refused(format!("{notice} was not sent"), "the name of a channel is too long for a step");
    }
    Ok(vec![Event::NoticeSent { notice: notice.to_owned(), sha256, channels }])
}

/// Lets the channels that gave up try once more.
pub fn again(incident: &Incident, notice: &str, by: &str) -> Result<Vec<Event>, RefusedBecause> {
    let what = format!("{notice} was not sent again");
    let Some(sent) = incident.notice(notice).and_then(|it| it.sent.as_ref()) else {
        return refused(what, "it was never sent");
    };
    let mut machine = sent.machine.clone();
    let failed: Vec<StepId> = sent.failed().map(|(step, _)| step.id.clone()).collect();
    if failed.is_empty() && sent.machine.is_done() {
        return refused(what, "no channel of it gave up");
    }
    for step in &failed {
        if let Err(error) = machine.retry(step, by) {
            return refused(what, &error.to_string());
        }
    }
    let events = std::iter::from_fn(|| machine.poll_event());
    Ok(events.map(|event| Event::NoticeStep { notice: notice.to_owned(), event }).collect())
}

/// What a step's end means for the clocks: the first channel that has a notice meets the one that waited for it.
pub fn met(incident: &Incident, notice: &str, event: &StepEvent, at: Timestamp) -> Vec<Event> {
    let Some(it) = incident.notice(notice) else { return Vec::new() };
    let is_told = matches!(event, StepEvent::Finished { outcome: Outcome::Applied { .. }, .. });
    let first = it.sent.as_ref().is_some_and(|sent| sent.told().next().is_none());
    match it.meets.as_deref() {
        Some(clock) if is_told && first => meet(incident, clock, at),
        Some(_) | None => Vec::new(),
    }
}

/// Every open clock of this name is met. After an update the next one is due, after the shortest of their intervals.
pub fn meet(incident: &Incident, name: &str, at: Timestamp) -> Vec<Event> {
    let open: Vec<_> = incident.clocks.iter().filter(|c| c.name == name && c.met.is_none()).collect();
    // Each event meets the first that is open: a severity that was raised started a second one.
    let mut events: Vec<Event> =
        open.iter().map(|clock| Event::ClockMet { clock: clock.name.clone() }).collect();
    let interval = open.iter().map(|c| c.due.duration_since(c.starts)).min();
    if let Some(interval) = interval.filter(|_| name == NEXT_UPDATE && incident.closed.is_none()) {
        events.push(Event::ClockStarted {
            clock: NEXT_UPDATE.to_owned(),
            starts: at,
            due: at.checked_add(interval.max(SignedDuration::from_mins(1))).unwrap_or(Timestamp::MAX),
            rule: "next update, counted from the last one".to_owned(),
        });
    }
    events
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;
