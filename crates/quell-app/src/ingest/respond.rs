//! From a group of findings to an incident: joined when one on the secret is open, opened when none is.

use quell_core::event::{Event, SealedRef, ValueRole};
use quell_core::exposure::{Audience, Channel, Exposure};
use quell_core::incident::expose;
use quell_core::secret::SecretValue;
use quell_core::{IncidentId, SecretId};
use quell_store::{Batch, NewEntry, StoreError};
use serde::{Deserialize, Serialize};

use super::Group;
use crate::clock::now;
use crate::incident::{self, Report};
use crate::systems::Systems;
use crate::{App, AppError, projection};

/// What was done about a group.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Done {
    /// A new incident.
    Opened {
        /// Its id.
        incident: IncidentId,
    },
    /// An exposure more in an incident that was open already.
    Joined {
        /// Its id.
        incident: IncidentId,
    },
    /// These very findings are in an incident already, open or closed.
    Known {
        /// Its id.
        incident: IncidentId,
    },
    /// Which secret it is, is not known.
    Unmatched,
    /// The tool's users consider it done.
    Resolved,
}

/// How to respond.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response {
    /// Where the findings were readable, when a person says so.
    pub channel: Option<Channel>,
    /// To whom.
    pub audience: Option<Audience>,
}

/// Opens or joins an incident for each group whose secret is known. What was done, in the order of the groups.
pub async fn respond(app: &App, groups: &mut [Group], response: Response) -> Result<Vec<Done>, AppError> {
    let mut done = Vec::with_capacity(groups.len());
    for group in groups {
        done.push(match (&group.secret, &group.resolved) {
            (_, Some(_)) => Done::Resolved,
            (None, None) => Done::Unmatched,
            (Some(secret), None) => {
                let secret = secret.clone();
                one(app, &secret, group, response).await?
            }
        });
    }
    Ok(done)
}

async fn one(app: &App, secret: &SecretId, group: &mut Group, response: Response) -> Result<Done, AppError> {
    loop {
        if let Some(same) = with_all(app, secret, group).await? {
            return Ok(Done::Known { incident: same });
        }
        if let Some(id) = projection::ids(app, &incident::open_about(secret), 1).await?.pop() {
            join(app, id, secret, group, response).await?;
            return Ok(Done::Joined { incident: id });
        }
        let mut exposures = exposures(group, response).into_iter();
        let Some(first) = exposures.next() else { return Ok(Done::Unmatched) };
        let report = Report {
            secrets: vec![secret.clone()],
            channel: Some(first.channel),
            audience: Some(first.audience),
            first_exposed: first.first_exposed,
            still_visible: first.still_visible,
            place: first.place,
            finding: first.finding,
            fingerprints: group.fingerprint.into_iter().collect(),
            value: group.value.as_ref().map(SecretValue::duplicate),
            ..Report::default()
        };
        // Somebody else may have opened one since the list was read; then this joins it.
        let Some(incident) = incident::open_the_only_one(app, report, secret).await? else { continue };
        if group.findings.len() > 1 {
            join(app, incident.id, secret, group, response).await?;
        }
        return Ok(Done::Opened { incident: incident.id });
    }
}

/// The newest incident about the secret that has all of these findings, open or closed.
async fn with_all(app: &App, secret: &SecretId, group: &Group) -> Result<Option<IncidentId>, AppError> {
    let Some(first) = group.findings.first() else { return Ok(None) };
    let mut wanted = projection::about(secret);
    wanted.drill = Some(false);
    wanted.mentions[1] = Some(("exposure", first.id.clone()));
    for id in projection::ids(app, &wanted, usize::MAX).await? {
        let incident = app.incident_shared(id).await?;
        let has = |id: &str| incident.exposures.iter().any(|it| it.finding.as_deref() == Some(id));
        if group.findings.iter().all(|finding| has(&finding.id)) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// One exposure per finding. Who says nothing about the place gets the strictest reading.
fn exposures(group: &Group, response: Response) -> Vec<Exposure> {
    let at = now();
    let channel = response.channel.unwrap_or(match group.public {
        Some(true) => Channel::PublicRepo,
        Some(false) => Channel::PrivateRepo,
        None => Channel::Unknown,
    });
    group
        .findings
        .iter()
        .map(|finding| {
            let commit =
                finding.place.commit.as_deref().map(|id| format!(" @{}", id.get(..12).unwrap_or(id)));
            Exposure {
                channel,
                audience: response.audience.unwrap_or_else(|| channel.default_audience()),
                first_exposed: finding.place.author_time.filter(|seen| *seen <= at),
                discovered: at,
                still_visible: Some(finding.still_reachable),
                place: format!("{}:{}{}", finding.place.file, finding.place.line, commit.unwrap_or_default()),
                fingerprint: group.fingerprint,
                sealed: None,
                finding: Some(finding.id.clone()),
                channel_name: None,
            }
        })
        .collect()
}

/// Adds the exposures that the incident does not have yet, and seals the leaked value unless it is sealed already.
async fn join(
    app: &App,
    id: IncidentId,
    secret: &SecretId,
    group: &Group,
    response: Response,
) -> Result<(), AppError> {
    let exposures = exposures(group, response);
    loop {
        let mut incident = app.incident(id).await?;
        let at = now().max(incident.last_at);
        let mut batch = Batch::new(id, incident.next_pos);
        let mut events = Vec::new();
        for exposure in &exposures {
            if !incident.exposures.iter().any(|known| known.finding == exposure.finding) {
                let mut exposure = exposure.clone();
                exposure.discovered = exposure.discovered.min(at);
                events.extend(expose(&incident, &exposure, at)?);
                incident.exposures.push(exposure);
            }
        }
        if let (Some(value), Some(fingerprint)) = (&group.value, group.fingerprint)
            && !incident.sealed.iter().any(|s| s.role == ValueRole::Old && s.fingerprint == fingerprint)
            && let Some(entry) = app.inventory.secrets.get(secret)
            && let Ok(credential) = Systems::build(entry, &app.context)?.issuer.identify(value)
        {
            let name = format!("{id}/reported-{}", incident.next_pos);
            batch.sealed.push(app.store.seal(&name, value)?);
            events.push(Event::ValueSealed(SealedRef {
                secret: secret.clone(),
                role: ValueRole::Old,
                sealed: name,
                fingerprint,
                principal: credential.principal,
                place: "reported".to_owned(),
            }));
        }
        for event in events {
            batch.push(NewEntry::new(app.actor.clone(), event));
        }
        if batch.is_empty() {
            return Ok(());
        }
        match app.store.append(batch, at).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
