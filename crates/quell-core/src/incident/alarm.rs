//! What nobody may overlook: a deadline that has passed, a step that goes no further. Told once, as a notice that nobody had to write.
//!
//! An alarm is known by its title, which names the clock and its deadline, or the step and its attempt: what was told under a title is not told again,
//! by whichever server sees it next.

use jiff::{SignedDuration, Timestamp};

use super::notice;
use super::state::{ClockState, Incident};
use crate::event::Event;
use crate::plan::StepState;

/// The kind of such a notice.
pub const KIND: &str = "alarm";
/// Nobody is called out for what has lain longer: a server that was away for a week, or never ran before, would call for everything at once.
const STALE: SignedDuration = SignedDuration::from_hours(24);

/// What is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alarm {
    /// One line, of its own for each thing that went wrong.
    pub title: String,
    /// What is known, and what to do.
    pub body: String,
}

/// What is to be told now and was not. Deadlines of a drill call nobody.
pub fn due(incident: &Incident, now: Timestamp) -> Vec<Alarm> {
    if incident.closed.is_some() {
        return Vec::new();
    }
    let fresh = |since: Timestamp| now.duration_since(since) < STALE;
    let missed = incident.clocks.iter().filter(|_| !incident.drill);
    let missed = missed.filter(|clock| clock.state(now) == ClockState::Missed && fresh(clock.due));
    let missed = missed.map(|clock| Alarm {
        title: format!("missed: {}, due at {}", clock.name.replace('-', " "), clock.due),
        body: format!("{}.\nNobody has met it yet.", clock.rule),
    });
    let told = |alarm: &Alarm| incident.notices.iter().any(|it| it.kind == KIND && it.title == alarm.title);
    missed.chain(stuck(incident)).filter(|alarm| !told(alarm)).collect()
}

fn stuck(incident: &Incident) -> impl Iterator<Item = Alarm> {
    let steps = incident.machine.iter().flat_map(|machine| {
        machine
            .states()
            .map(move |(step, state)| (step, state, machine.attempts(&step.id), machine.plan().revision))
    });
    steps.filter_map(|(step, state, attempts, revision)| match state {
        StepState::Failed { reason } if !step.best_effort => Some(Alarm {
            title: format!("stuck: {} of plan {revision}, attempt {attempts}", step.id),
            body: format!(
                "{}: {reason}.\nWhat needs it waits; the rest goes on. `quell step retry {} {}` tries again, `resolve` and `skip` say that a person did it or that it is not needed.",
                step.what, incident.id, step.id
            ),
        }),
        StepState::Failed { .. }
        | StepState::Waiting
        | StepState::AwaitingApproval
        | StepState::WithPeople
        | StepState::Running { .. }
        | StepState::Deferred { .. }
        | StepState::Applied
        | StepState::Skipped => None,
    })
}

/// Writes them down and sends them by these channels, in one go: an alarm that is written down and not sent would count as told.
pub fn raise(incident: &Incident, alarms: &[Alarm], channels: &[String]) -> Vec<Event> {
    let mut events = Vec::new();
    for (number, alarm) in (incident.notices.len() + 1..).zip(alarms) {
        let notice = format!("N{number}");
        events.push(Event::NoticeDrafted {
            notice: notice.clone(),
            kind: KIND.to_owned(),
            meets: None,
            title: alarm.title.clone(),
            body: alarm.body.clone(),
        });
        let sha256 = notice::sha256(&alarm.title, &alarm.body);
        events.push(Event::NoticeSent { notice, sha256, channels: channels.to_vec() });
    }
    events
}
