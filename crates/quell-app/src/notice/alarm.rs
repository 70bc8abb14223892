//! Calls people when a deadline has passed or a step goes no further, by the channel that the policy names for pages.

use jiff::Timestamp;
use quell_core::IncidentId;
use quell_core::incident::Incident;
use quell_core::incident::alarm::{self, Alarm};

use crate::words::refuse_values;
use crate::{App, AppError};

/// Tells what is to be told of an incident and was not. How many alarms went out; those of whoever was faster are not among them.
pub async fn raise(app: &App, incident: &Incident, at: Timestamp) -> Result<usize, AppError> {
    let (id, due) = (incident.id, alarm::due(incident, at));
    if due.is_empty() {
        return Ok(0);
    }
    let channels = app.inventory.policy.called(incident.severity());
    if channels.is_empty() {
        return Ok(0);
    }
    let mut clean = Vec::new();
    for alarm in due {
        clean.push(without_values(app, id, alarm).await);
    }
    let (_, raised) = app
        .decide(id, |incident, _| {
            let due = alarm::due(incident, at);
            let still: Vec<Alarm> =
                clean.iter().filter(|alarm| due.iter().any(|it| it.title == alarm.title)).cloned().collect();
            Ok((alarm::raise(incident, &still, &channels), still.len()))
        })
        .await?;
    Ok(raised)
}

/// What a system answered may hold anything. The call goes out all the same.
async fn without_values(app: &App, id: IncidentId, alarm: Alarm) -> Alarm {
    match refuse_values(app, Some(id), &[&alarm.body]).await {
        Ok(()) => alarm,
        Err(_held_or_not_known) => Alarm { body: "Why: see the incident.".to_owned(), ..alarm },
    }
}
