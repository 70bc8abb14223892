//! What somebody does while a response goes on, beside the plan: call a vendor, read a log, watch a graph. What is left for afterwards is an
//! action item.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::RefusedBecause;
use super::state::{Incident, Status};
use crate::event::{Entry, Event};

/// One thing that one person does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    pub ended: Option<Ended>,
}

/// How a task ended, and who said so.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ended {
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
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskEnd {
    /// Somebody did it.
    Done,
    /// Nobody needs it any more.
    Dropped,
}

impl TaskEnd {
    /// The word used in events and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Dropped => "dropped",
        }
    }
}

impl Task {
    /// `open`, `overdue`, `done` or `dropped`.
    pub fn word(&self, now: Timestamp) -> &'static str {
        match &self.ended {
            Some(ended) => ended.how.word(),
            None if self.is_overdue(now) => "overdue",
            None => "open",
        }
    }

    /// Nobody ended it, and it should have been.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.due.is_some_and(|due| due < now)
    }
}

impl Incident {
    /// A task by its id.
    pub fn task(&self, task: &str) -> Option<&Task> {
        self.tasks.iter().find(|it| it.task == task)
    }

    /// Tasks that nobody ended.
    pub fn open_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|it| it.ended.is_none())
    }

    /// Takes in what was said of a task.
    pub(super) fn tasked(&mut self, entry: &Entry) {
        let (by, at) = (entry.actor.id.clone(), entry.at);
        if let Event::TaskAdded { task, title, owner, due } = &entry.event {
            let (task, title, owner, due) = (task.clone(), title.clone(), owner.clone(), *due);
            self.tasks.push(Task { task, title, owner, due, by, at, ended: None });
        } else if let Event::TaskGiven { task, owner } = &entry.event {
            for it in self.tasks.iter_mut().filter(|it| it.task == *task) {
                it.owner = Some(owner.clone());
            }
        } else if let Event::TaskEnded { task, how, reason } = &entry.event {
            let ended = Ended { how: *how, reason: reason.clone(), by, at };
            for it in self.tasks.iter_mut().filter(|it| it.task == *task) {
                it.ended = Some(ended.clone());
            }
        }
    }
}

/// Longest title and longest name, in characters.
const LINE_MAX: usize = 200;

/// Something to do now; nobody's until it is given to somebody.
pub fn add(
    incident: &Incident,
    title: &str,
    owner: Option<&str>,
    due: Option<Timestamp>,
) -> Result<Vec<Event>, RefusedBecause> {
    let what = "the task was not added";
    if incident.status == Status::Closed {
        return refused(what, "the incident is closed; what is left to do is an action item");
    }
    let title = line(title).map_err(|unmet| because(what, &format!("what is to be done {unmet}")))?;
    let owner = owner.map(line).transpose();
    let owner = owner.map_err(|unmet| because(what, &format!("whoever does it {unmet}")))?;
    Ok(vec![Event::TaskAdded { task: format!("T{}", incident.tasks.len() + 1), title, owner, due }])
}

/// Somebody, or somebody else, does it from now on.
pub fn give(incident: &Incident, task: &str, owner: &str) -> Result<Vec<Event>, RefusedBecause> {
    let what = format!("{task} was not handed over");
    let known = open(incident, task, &what)?;
    let owner = line(owner).map_err(|unmet| because(&what, &format!("whoever does it {unmet}")))?;
    if known.owner.as_ref() == Some(&owner) {
        return Ok(Vec::new());
    }
    Ok(vec![Event::TaskGiven { task: known.task.clone(), owner }])
}

/// It is over. Also after the end of the incident: what is known is written down.
pub fn end(
    incident: &Incident,
    task: &str,
    how: TaskEnd,
    reason: &str,
) -> Result<Vec<Event>, RefusedBecause> {
    let what = format!("{task} was not {}", if how == TaskEnd::Done { "ended" } else { "dropped" });
    let known = open(incident, task, &what)?;
    let reason = reason.trim().to_owned();
    // Whoever did something shows it by what they did; what nobody does any more leaves a question behind.
    if how == TaskEnd::Dropped && reason.is_empty() {
        return refused(&what, "say why nobody needs it any more");
    }
    Ok(vec![Event::TaskEnded { task: known.task.clone(), how, reason }])
}

/// A task that nobody ended. What is over stays over: the ledger says who ended it and why, and others have gone on from there.
fn open<'a>(incident: &'a Incident, task: &str, what: &str) -> Result<&'a Task, RefusedBecause> {
    let Some(known) = incident.task(task) else {
        return refused(what, "the incident has no such task");
    };
    let Some(ended) = &known.ended else { return Ok(known) };
    let left = match incident.status {
        Status::Open => "what is left to do is a task of its own: add one",
        Status::Closed => "what is left to do is an action item",
    };
    let already = format!("it is {} already ({}, {:.0})", ended.how.word(), ended.by, ended.at);
    Err(RefusedBecause { what: what.to_owned(), unmet: vec![already, left.to_owned()] })
}

/// One line of people's words, without what stands around it.
fn line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) || text.chars().count() > LINE_MAX {
        return Err(format!("is said in one line of 1 to {LINE_MAX} characters"));
    }
    Ok(text.to_owned())
}

fn because(what: &str, unmet: &str) -> RefusedBecause {
    RefusedBecause { what: what.to_owned(), unmet: vec![unmet.to_owned()] }
}

fn refused<T>(what: &str, unmet: &str) -> Result<T, RefusedBecause> {
    Err(because(what, unmet))
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
