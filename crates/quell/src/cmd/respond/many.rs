//! Progress of a plan for many secrets: one line that is redrawn, and a line of its own only for what people must know.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use quell_core::outcome::Outcome;
use quell_core::plan::{Flow, StepEvent};
use quell_core::{SecretId, StepId, Timestamp};

use crate::output::{Out, Tone, duration, tone};

/// From so many secrets on.
const MANY: usize = 6;
/// Redraws at most this often, in milliseconds.
const PACE_MS: i64 = 200;

/// What was counted.
#[derive(Debug)]
pub(super) struct Many {
    secrets: usize,
    proven: BTreeSet<String>,
    begun: BTreeSet<String>,
    gave_up: BTreeSet<String>,
    /// Steps: done when it began, done, all.
    before: usize,
    done: usize,
    all: usize,
    to_approve: usize,
    start: Option<Timestamp>,
    drawn: Option<Timestamp>,
    /// Tenths of the whole that were told where nothing can be redrawn.
    told: usize,
    terminal: bool,
}

impl Many {
    /// None when there are few: then each step is told.
    pub(super) fn of(secrets: usize, proven: &[SecretId], done: usize, all: usize) -> Option<Self> {
        (secrets >= MANY).then(|| Self {
            secrets,
            proven: proven.iter().map(ToString::to_string).collect(),
            begun: BTreeSet::new(),
            gave_up: BTreeSet::new(),
            before: done,
            done,
            all,
            to_approve: 0,
            start: None,
            drawn: None,
            told: 0,
            terminal: std::io::stderr().is_terminal(),
        })
    }

    /// Counts; gives a line for what people must know at once.
    pub(super) fn event(&mut self, at: Timestamp, event: &StepEvent) -> Option<String> {
        self.start.get_or_insert(at);
        let (secret, name) = parts(event.step());
        match event {
            StepEvent::Started { .. } => {
                self.begun.insert(secret.to_owned());
                None
            }
            StepEvent::Finished { step, outcome, flow, .. } => match (flow, outcome) {
                (Flow::Done, _) => {
                    self.done += 1;
                    self.gave_up.remove(secret);
                    if name == "prove" {
                        self.proven.insert(secret.to_owned());
                    }
                    None
                }
                (
                    Flow::Stuck,
                    Outcome::NotApplied { .. } | Outcome::Unknown { .. } | Outcome::Applied { .. },
                ) => {
                    self.gave_up.insert(secret.to_owned());
                    None
                }
                (Flow::Again { .. }, Outcome::Unknown { reason }) => {
                    Some(format!("{} {step}: {reason}; it is looked at", tone(Tone::Careful, "unknown ")))
                }
                (Flow::Again { .. }, Outcome::NotApplied { .. } | Outcome::Applied { .. }) => None,
            },
            StepEvent::Lost { step, why, .. } => {
                Some(format!("{} {step}: {why}; it is looked at", tone(Tone::Careful, "lost    ")))
            }
            StepEvent::Skipped { .. } | StepEvent::Resolved { .. } => {
                self.done += 1;
                None
            }
            StepEvent::ApprovalRequested { .. }
            | StepEvent::ApprovalGranted { .. }
            | StepEvent::ApprovalRefused { .. }
            | StepEvent::HandedOver { .. }
            | StepEvent::Retried { .. } => None,
        }
    }

    /// True when others were told of already: the first one is enough, the line counts the rest.
    pub(super) fn one_more_to_approve(&mut self) -> bool {
        self.to_approve += 1;
        self.to_approve > 1
    }

    pub(super) fn draw(&mut self, out: &Out, at: Timestamp) {
        if !self.terminal {
            let tenth = self.done * 10 / self.all.max(1);
            if tenth > self.told {
                self.told = tenth;
                out.status(self.line(at));
            }
            return;
        }
        let due = |last: Timestamp| at.as_millisecond().saturating_sub(last.as_millisecond()) >= PACE_MS;
        if self.drawn.is_none_or(due) {
            self.drawn = Some(at);
            out.redraw(&self.line(at));
        }
    }

    pub(super) fn clear(&self, out: &Out) {
        if self.terminal && self.drawn.is_some() {
            out.redraw("");
        }
    }

    /// `212 of 300 secrets proven, 20 under way, 3 gave up; 3120 of 4200 steps (74 %), about 4 min left`.
    fn line(&self, at: Timestamp) -> String {
        let under_way = self.begun.iter().filter(|s| !self.proven.contains(*s) && !self.gave_up.contains(*s));
        let mut text = format!(
            "{} of {} secrets proven, {} under way",
            self.proven.len(),
            self.secrets,
            under_way.count()
        );
        if !self.gave_up.is_empty() {
            text = format!("{text}, {} gave up", self.gave_up.len());
        }
        if self.to_approve > 1 {
            text = format!("{text}, {} steps wait for approval", self.to_approve);
        }
        let percent = self.done * 100 / self.all.max(1);
        text = format!("{text}; {} of {} steps ({percent} %)", self.done, self.all);
        let elapsed = self.start.map_or(0, |s| at.as_millisecond().saturating_sub(s.as_millisecond()));
        let made = self.done.saturating_sub(self.before);
        // Before this the guess would be a wild one.
        if elapsed >= 2000 && made * 50 >= self.all {
            let left = u64::try_from(elapsed)
                .unwrap_or(0)
                .saturating_mul((self.all - self.done.min(self.all)) as u64)
                / (made as u64).max(1);
            text = format!("{text}, about {} left", duration(left));
        }
        text
    }
}

/// `orders-db` and `prove` of `orders-db.prove`. No name of a secret has a dot.
fn parts(step: &StepId) -> (&str, &str) {
    step.as_str().split_once('.').unwrap_or((step.as_str(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quell_core::plan::Phase;

    fn t(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    fn finished(step: &str, outcome: Outcome, flow: Flow) -> StepEvent {
        StepEvent::Finished { step: step.parse().unwrap(), attempt: 1, phase: Phase::Perform, outcome, flow }
    }

    fn started(step: &str) -> StepEvent {
        StepEvent::Started {
            step: step.parse().unwrap(),
            attempt: 1,
            phase: Phase::Perform,
            worker: "w".to_owned(),
            deadline: t(0),
        }
    }

    #[test]
    fn one_line_says_how_far_many_are() {
        assert!(Many::of(MANY - 1, &[], 0, 60).is_none(), "few are told step by step");
        let mut many = Many::of(10, &["old".parse().unwrap()], 10, 100).unwrap();
        for secret in ["a", "b", "c"] {
            assert_eq!(many.event(t(0), &started(&format!("{secret}.capture"))), None);
        }
        many.event(t(1), &finished("a.prove", Outcome::applied([]), Flow::Done));
        many.event(t(1), &finished("b.install", Outcome::refused("quota"), Flow::Stuck));
        assert_eq!(many.line(t(1)), "2 of 10 secrets proven, 1 under way, 1 gave up; 11 of 100 steps (11 %)");
        let again = Flow::Again { phase: Phase::Observe, at: t(5) };
        let told = many.event(t(2), &finished("c.disable", Outcome::unknown("no answer"), again)).unwrap();
        assert!(told.contains("c.disable: no answer; it is looked at"), "{told}");
        for _ in 0..9 {
            many.event(t(3), &finished("c.x", Outcome::applied([]), Flow::Done));
        }
        assert!(
            many.line(t(10_000)).ends_with("20 of 100 steps (20 %), about 1 min 20 s left"),
            "{}",
            many.line(t(10_000))
        );
        assert!(!many.one_more_to_approve() && many.one_more_to_approve());
        assert!(many.line(t(1)).contains("2 steps wait for approval"));
    }
}
