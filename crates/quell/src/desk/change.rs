//! Tasks of an incident, and changes of it as a server wants them.

use quell_app::incident::Change;
use quell_app::{AppError, person};
use quell_core::IncidentId;
use quell_core::incident::TaskEnd;
use quell_core::inventory::StrategyPolicy;
use quell_core::plan::HoldScope;
use quell_web::view;
use serde_json::{Value, json};

use super::{Desk, segment};

impl Desk {
    /// The tasks of an incident, or those of whoever asks.
    pub(crate) async fn tasks(&self, id: IncidentId, mine: bool) -> Result<view::Tasks, AppError> {
        match self {
            Self::Here(app) => {
                let incident = app.incident(id).await?;
                Ok(if mine {
                    view::Tasks::mine(&incident, &person::people(app).await?, &app.actor.id)
                } else {
                    view::Tasks::of(&incident)
                })
            }
            Self::There(remote) => remote.get(&format!("/incidents/{id}/tasks?mine={mine}")).await?.json(),
        }
    }
}

/// What a change names that may not be there.
pub(super) fn about(change: &Change) -> Option<(&'static str, &str)> {
    match change {
        Change::ActionItemDone(item, _) => Some(("action item", item)),
        Change::TaskGiven(task, _) | Change::TaskEnded(task, ..) => Some(("task", task)),
        Change::Unlocked(channel, _) => Some(("lock of the channel", channel)),
        Change::Exception(secret, _) | Change::Distrust(secret, _) => Some(("secret", secret.as_str())),
        Change::Signal(..)
        | Change::Verdict(..)
        | Change::Strategy(..)
        | Change::Note(_)
        | Change::Cleaned(_)
        | Change::ActionItem(..)
        | Change::Hold(_)
        | Change::Resume(_)
        | Change::Role(..)
        | Change::Task(..)
        | Change::PostMortem(..)
        | Change::Close(_) => None,
    }
}

/// Nobody is named: the server knows who asks.
fn named(person: &str) -> Option<&str> {
    Some(person).filter(|name| !name.is_empty())
}

/// A change as the server wants it: where, and what.
pub(super) fn asked(id: IncidentId, change: &Change) -> Result<(String, Value), AppError> {
    let (place, body) = match change {
        Change::Signal(signal, reason) => ("signal", json!({ "signal": signal, "reason": reason })),
        Change::Verdict(verdict, reason) => ("verdict", json!({ "verdict": verdict, "reason": reason })),
        Change::Strategy(strategy, reason) => {
            let strategy = match strategy {
                StrategyPolicy::Auto => "auto",
                StrategyPolicy::KillFirst => "kill-first",
                StrategyPolicy::MakeBeforeBreak => "make-before-break",
            };
            ("strategy", json!({ "strategy": strategy, "reason": reason }))
        }
        Change::Exception(secret, reason) => ("exception", json!({ "secret": secret, "reason": reason })),
        Change::Unlocked(channel, reason) => ("unlocked", json!({ "channel": channel, "reason": reason })),
        Change::Distrust(secret, reason) => ("distrust", json!({ "secret": secret, "reason": reason })),
        Change::Note(text) => ("note", json!({ "text": text })),
        Change::Cleaned(what) => ("cleaned", json!({ "what": what })),
        Change::ActionItem(title, owner, due, gate) => {
            ("action-items", json!({ "title": title, "owner": owner, "due": due, "gate": gate }))
        }
        Change::ActionItemDone(item, evidence) => {
            let place = format!("/incidents/{id}/action-items/{}/done", segment(item)?);
            return Ok((place, json!({ "evidence": evidence })));
        }
        Change::Hold(hold) => {
            let now = hold.scope == HoldScope::Everything;
            ("pause", json!({ "reason": hold.reason, "now": now }))
        }
        Change::Resume(reason) => ("resume", json!({ "reason": reason })),
        Change::Role(role, person) => ("roles", json!({ "role": role, "person": named(person) })),
        Change::Task(title, owner, due) => ("tasks", json!({ "title": title, "owner": owner, "due": due })),
        Change::TaskGiven(task, owner) => {
            let place = format!("/incidents/{id}/tasks/{}/give", segment(task)?);
            return Ok((place, json!({ "owner": named(owner) })));
        }
        Change::TaskEnded(task, how, reason) => {
            let verb = match how {
                TaskEnd::Done => "done",
                TaskEnd::Dropped => "drop",
            };
            let place = format!("/incidents/{id}/tasks/{}/{verb}", segment(task)?);
            return Ok((place, json!({ "reason": reason })));
        }
        Change::PostMortem(section, text) => ("post-mortem", json!({ "section": section, "text": text })),
        Change::Close(summary) => ("close", json!({ "summary": summary })),
    };
    Ok((format!("/incidents/{id}/{place}"), body))
}
