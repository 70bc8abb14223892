//! Decisions that people send from a chat: verified there, carried out here with their name.

use jiff::Timestamp;
use quell_connect::slack::approval::{Choice, Desk};
use quell_core::event::Actor;
use quell_core::inventory::ConnectorRef;
use quell_core::person::Role;
use quell_core::plan::Refusal;

use crate::plan::{self, StepCommand};
use crate::{App, AppError};

fn unknown() -> AppError {
    AppError::Usage("not accepted".to_owned())
}

/// Is there a channel of this name where buttons are pressed? Asked before anything of a request is read.
pub fn is_known<'a>(app: &'a App, channel: &str) -> Result<&'a ConnectorRef, AppError> {
    let found = app.inventory.channels.get(channel).filter(|found| found.connector == "slack");
    found.ok_or_else(unknown)
}

/// A button under a message of a `slack` channel of the inventory. `proof` are the two headers, timestamp and signature; the decision is for exactly the plan
/// that the message showed. What may not be known to strangers (is there such a channel?) is answered like a wrong signature.
pub async fn slack(
    app: &App,
    channel: &str,
    proof: (&str, &str),
    body: &[u8],
    now: Timestamp,
) -> Result<(), AppError> {
    let config = &is_known(app, channel)?.config;
    let place = format!("channels.{channel}");
    let desk = Desk::open(config, &app.context).map_err(|source| AppError::Config { place, source })?;
    let decision = desk.ok_or_else(unknown)?.decide(proof.0, proof.1, body, now).await?;
    let decision = decision.map_err(|_refused| unknown())?;
    // The table says who it is; that they may approve, too, unless somebody who is known here has a lesser role.
    let known = crate::person::people(app).await?;
    let lesser = known.own_role(&decision.by).is_some_and(|role| role < Role::Approver);
    if lesser || known.is_removed(&decision.by) {
        return Err(AppError::Usage(format!("{} may not approve", decision.by)));
    }
    let person = app.acting_as(Actor::user(decision.by.clone()));
    match decision.choice {
        Choice::Approve => {
            plan::approve(&person, decision.incident, &decision.plan_hash, &[decision.step]).await?;
        }
        Choice::Refuse => {
            let incident = person.incident(decision.incident).await?;
            let holds = plan::machine(&incident)?.plan_hash().to_owned();
            if holds != decision.plan_hash {
                return Err(Refusal::OtherPlan { given: decision.plan_hash, now: holds }.into());
            }
            let refused = StepCommand::Refuse("refused in Slack".to_owned());
            plan::step(&person, decision.incident, &decision.step, &refused).await?;
        }
    }
    Ok(())
}
