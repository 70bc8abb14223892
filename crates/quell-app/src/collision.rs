//! Two people who decide about the same thing at once: whoever comes second is told what the first did, and looks again.

use quell_core::event::{Actor, ActorKind, Entry, Event};
use quell_core::incident::{RefusedBecause, RoomRole, Section};
use quell_core::plan::StepEvent;
use quell_core::{SecretId, StepId};

use crate::AppError;
use crate::report::timeline;

/// What a decision is about.
#[derive(Debug, Eq, PartialEq)]
enum About<'a> {
    Channel(&'a str),
    Item(&'a str),
    Notice(&'a str),
    Plan,
    PostMortem(Section),
    Role(RoomRole),
    Secret(&'a SecretId),
    Severity,
    Step(&'a StepId),
    Task(&'a str),
    Verdict,
    /// The end: it is about all of it.
    Whole,
}

/// Passes on what was decided, unless somebody else decided about the same thing in `since`: the entries that whoever
/// decides has not seen.
pub(crate) fn refuse<T>(
    decided: Result<(Vec<Event>, T), AppError>,
    since: &[Entry],
    actor: &Actor,
) -> Result<(Vec<Event>, T), AppError> {
    let theirs = |entry: &&Entry| entry.actor.kind == ActorKind::User && entry.actor.id != actor.id;
    let others = since.iter().filter(theirs);
    let collides = match &decided {
        Ok((events, _)) => others.rev().find(|entry| events.iter().any(|event| same(event, &entry.event))),
        // What another person did is the likely reason why this does not fit any more.
        Err(AppError::Refused(_) | AppError::Step(_)) => {
            others.rev().find(|entry| about(&entry.event).is_some())
        }
        Err(_) => None,
    };
    let Some(entry) = collides else { return decided };
    let said = timeline(std::slice::from_ref(entry)).into_iter().next();
    let (what, detail) = said.map(|row| (row.what, row.detail)).unwrap_or_default();
    let mut unmet: Vec<String> = [detail].into_iter().filter(|text| !text.is_empty()).collect();
    unmet.extend(decided.err().map(|error| format!("now, {error}")));
    unmet.push("look again at what holds now, and decide anew".to_owned());
    let at = entry.at.strftime("%H:%M:%S UTC");
    Err(RefusedBecause { what: format!("{} was faster, at {at}: {what}", entry.actor.id), unmet }.into())
}

fn same(own: &Event, other: &Event) -> bool {
    match (about(own), about(other)) {
        // Words about what happened neither end it nor wait for its end.
        (Some(About::Whole), Some(About::PostMortem(_)))
        | (Some(About::PostMortem(_)), Some(About::Whole)) => false,
        (Some(About::Whole), Some(_)) | (Some(_), Some(About::Whole)) => true,
        (Some(own), Some(other)) => own == other,
        (None, _) | (_, None) => false,
    }
}

/// What collides with another of its kind. Remarks, approvals and new facts add up, and collide with nothing.
#[expect(clippy::wildcard_enum_match_arm, reason = "only decisions collide")]
fn about(event: &Event) -> Option<About<'_>> {
    match event {
        Event::Step(
            StepEvent::ApprovalRefused { step, .. }
            | StepEvent::Retried { step, .. }
            | StepEvent::Skipped { step, .. }
            | StepEvent::Resolved { step, .. },
        ) => Some(About::Step(step)),
        Event::PlanMade { .. }
        | Event::PlanHeld { .. }
        | Event::PlanResumed { .. }
        | Event::StrategyAsked { .. } => Some(About::Plan),
        Event::SignalRecorded { .. } => Some(About::Severity),
        Event::VerdictRecorded { .. } => Some(About::Verdict),
        Event::ExceptionRecorded { secret, .. } | Event::SuccessorDistrusted { secret, .. } => {
            Some(About::Secret(secret))
        }
        Event::ChannelUnlocked { channel, .. } => Some(About::Channel(channel)),
        Event::ActionItemDone { item, .. } => Some(About::Item(item)),
        Event::NoticeEdited { notice, .. }
        | Event::NoticeDropped { notice, .. }
        | Event::NoticeSent { notice, .. } => Some(About::Notice(notice)),
        Event::RoleTaken { role, .. } => Some(About::Role(*role)),
        // One more thing to do adds up with all but the end.
        Event::TaskAdded { task, .. } | Event::TaskGiven { task, .. } | Event::TaskEnded { task, .. } => {
            Some(About::Task(task))
        }
        Event::PostMortemWritten { section, .. } => Some(About::PostMortem(*section)),
        Event::Closed { .. } => Some(About::Whole),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quell_core::event::Verdict;
    use quell_core::incident::TaskEnd;

    use super::*;

    fn entry(who: &str, event: Event) -> Entry {
        Entry {
            seq: 9,
            at: "2026-11-22T03:00:00Z".parse().unwrap(),
            stream: "INC-2026-0001".to_owned(),
            pos: 9,
            actor: Actor::user(who),
            evidence: Vec::new(),
            event,
        }
    }

    fn skipped(step: &str, by: &str) -> Event {
        let step = step.parse().unwrap();
        Event::Step(StepEvent::Skipped { step, by: by.to_owned(), reason: "not needed".to_owned() })
    }

    fn written(section: Section) -> Event {
        Event::PostMortemWritten { section, text: "nobody cloned it".to_owned() }
    }

    fn decide(event: Event, since: &[Entry]) -> Result<(), String> {
        let decided = refuse(Ok((vec![event], ())), since, &Actor::user("ines"));
        decided.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn whoever_is_second_hears_what_the_first_did() {
        let since = [entry("omar", skipped("orders-db.purge-1", "omar"))];
        let refused = decide(skipped("orders-db.purge-1", "ines"), &since).unwrap_err();
        assert!(refused.starts_with("omar was faster, at 03:00:00 UTC: "), "{refused}");
        assert!(refused.contains("orders-db.purge-1"), "{refused}");
        // The end is about everything, in both directions.
        let closed = || Event::Closed { summary: "done".to_owned() };
        decide(closed(), &since).unwrap_err();
        decide(skipped("orders-db.retire", "ines"), &[entry("omar", closed())]).unwrap_err();
    }

    #[test]
    fn what_adds_up_does_not_collide() {
        let verdict =
            || Event::VerdictRecorded { verdict: Verdict::CannotTell, reason: "no logs".to_owned() };
        let note = || Event::NoteAdded { text: "looked".to_owned() };
        decide(skipped("orders-db.retire", "ines"), &[entry("omar", skipped("orders-db.purge-1", "omar"))])
            .unwrap();
        decide(verdict(), &[entry("omar", note()), entry("ines", verdict())]).unwrap();
        decide(note(), &[entry("omar", verdict())]).unwrap();
        let closed = Event::Closed { summary: "done".to_owned() };
        decide(written(Section::Lucky), &[entry("omar", closed.clone())]).unwrap();
        decide(closed, &[entry("omar", written(Section::Lucky))]).unwrap();
    }

    #[test]
    fn of_two_who_write_one_section_the_second_hears_of_the_first() {
        let since = [entry("omar", written(Section::RootCause))];
        let refused = decide(written(Section::RootCause), &since).unwrap_err();
        assert!(
            refused
                .ends_with("omar was faster, at 03:00:00 UTC: section root-cause of the post-mortem written"),
            "{refused}"
        );
        decide(written(Section::Lessons), &since).unwrap();
    }

    #[test]
    fn of_two_who_decide_about_one_task_the_second_hears_of_the_first() {
        let given =
            |task: &str, owner: &str| Event::TaskGiven { task: task.to_owned(), owner: owner.to_owned() };
        let added = |task: &str| Event::TaskAdded {
            task: task.to_owned(),
            title: "call".to_owned(),
            owner: None,
            due: None,
        };
        let dropped = Event::TaskEnded {
            task: "T1".to_owned(),
            how: TaskEnd::Dropped,
            reason: "they closed".to_owned(),
        };
        let since = [entry("omar", given("T1", "omar")), entry("omar", added("T2"))];
        let refused = decide(dropped, &since).unwrap_err();
        assert!(refused.ends_with("omar was faster, at 03:00:00 UTC: task T1 given to omar"), "{refused}");
        decide(given("T3", "ines"), &since).unwrap();
        decide(added("T3"), &since).unwrap();
        // Whoever ends all of it knows of every task.
        let closed = Event::Closed { summary: "done".to_owned() };
        decide(closed, &[entry("omar", added("T2"))]).unwrap_err();
    }

    #[test]
    fn a_refusal_after_somebody_else_acted_names_them() {
        let since = [entry("omar", skipped("orders-db.purge-1", "omar"))];
        let refused = || -> Result<(Vec<Event>, ()), AppError> {
            Err(RefusedBecause { what: "it is skipped".to_owned(), unmet: Vec::new() }.into())
        };
        let named = refuse(refused(), &since, &Actor::user("ines")).unwrap_err();
        assert!(named.to_string().starts_with("omar was faster"), "{named}");
        assert!(named.hints().iter().any(|hint| hint.contains("it is skipped")), "{:?}", named.hints());
        let plain = refuse(refused(), &[], &Actor::user("ines")).unwrap_err();
        assert_eq!(plain.to_string(), "it is skipped");
    }
}
