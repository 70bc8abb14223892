//! Folds that a process keeps in memory, so that no entry is read twice: incidents that were looked at lately, and the people. Each is what entries
//! up to a position say; whoever asks takes in what came since first. Entries never change, so what was folded once stays right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quell_core::IncidentId;
#[cfg(test)]
use quell_core::event::Event;
use quell_core::event::{Entry, INSTALLATION};
use quell_core::incident::Incident;
use quell_core::person::People;

use crate::{App, AppError};

/// Incidents that are kept; of more, those that were asked for longest ago are forgotten.
const KEPT: usize = 128;
/// Of a longer way, only the entries about people are read.
const SHORT: u64 = 100;
/// Kinds of entries that are about people.
const ABOUT_PEOPLE: [&str; 9] = [
    "person.added",
    "person.removed",
    "person.provided",
    "person.same",
    "code.made",
    "token.issued",
    "token.revoked",
    "break-glass.opened",
    "break-glass.reviewed",
];

/// What a process keeps.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    incidents: Mutex<Kept>,
    people: tokio::sync::Mutex<People>,
    /// Held by the one who takes entries into the projection; the others of this process wait for them.
    pub(crate) projecting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    folds: BTreeMap<IncidentId, (u64, Arc<Incident>)>,
    asked: u64,
}

impl Folds {
    fn kept(&self, id: IncidentId) -> Option<Arc<Incident>> {
        let mut kept = self.incidents.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked += 1;
        let asked = kept.asked;
        let (last, incident) = kept.folds.get_mut(&id)?;
        *last = asked;
        Some(Arc::clone(incident))
    }

    /// Keeps it, unless one that goes further is kept already.
    fn keep(&self, incident: &Arc<Incident>) {
        let mut kept = self.incidents.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.folds.get(&incident.id).is_some_and(|(_, known)| known.next_pos >= incident.next_pos) {
            return;
        }
        kept.asked += 1;
        let asked = kept.asked;
        kept.folds.insert(incident.id, (asked, Arc::clone(incident)));
        if kept.folds.len() > KEPT {
            let oldest = kept.folds.iter().min_by_key(|(_, (last, _))| *last).map(|(id, _)| *id);
            oldest.and_then(|id| kept.folds.remove(&id));
        }
    }
}

/// Reads one incident, and keeps it for the next who asks.
pub(crate) async fn incident(app: &App, id: IncidentId) -> Result<Arc<Incident>, AppError> {
    let known = app.folds.kept(id);
    let from = known.as_ref().map_or(0, |incident| incident.next_pos);
    let newer = app.store.read_stream(&id.to_string(), from).await?;
    let folded = folded(id, known, &newer)?;
    app.folds.keep(&folded);
    Ok(folded)
}

/// The same without keeping it: for those who look at very many.
pub(crate) async fn incident_once(app: &App, id: IncidentId) -> Result<Arc<Incident>, AppError> {
    let known = app.folds.kept(id);
    let from = known.as_ref().map_or(0, |incident| incident.next_pos);
    folded(id, known, &app.store.read_stream(&id.to_string(), from).await?)
}

fn folded(id: IncidentId, known: Option<Arc<Incident>>, newer: &[Entry]) -> Result<Arc<Incident>, AppError> {
    let Some(mut known) = known else {
        let folded = Incident::fold(id, newer);
        return folded.map(Arc::new).ok_or_else(|| missing(id));
    };
    if !newer.is_empty() {
        let incident = Arc::make_mut(&mut known);
        for entry in newer {
            incident.apply(entry);
        }
    }
    Ok(known)
}

pub(crate) fn missing(id: IncidentId) -> AppError {
    AppError::NotFound { what: "incident", id: id.to_string() }
}

/// Everybody who is known here, as of now.
pub(crate) async fn people(app: &App) -> Result<People, AppError> {
    let mut people = app.folds.people.lock().await;
    let end = app.store.next_pos(INSTALLATION).await?;
    if end.saturating_sub(people.next_pos) <= SHORT {
        for entry in app.store.read_stream(INSTALLATION, people.next_pos).await? {
            people.apply(&entry);
        }
        return Ok(people.clone());
    }
    let mut entries = Vec::new();
    for kind in ABOUT_PEOPLE {
        entries.extend(app.store.read_kind(kind, 0, i64::MAX).await?);
    }
    // Each kind is read at another moment: what was written after the first look is left to the next.
    entries.retain(|entry| (people.next_pos..end).contains(&entry.pos) && entry.stream == INSTALLATION);
    entries.sort_by_key(|entry| entry.pos);
    for entry in &entries {
        people.apply(entry);
    }
    people.next_pos = end;
    Ok(people.clone())
}

/// Is this entry about people? Kept beside the list of kinds: a test holds one against the other.
#[cfg(test)]
fn is_about_people(event: &Event) -> bool {
    ABOUT_PEOPLE.contains(&event.kind().as_str())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use quell_core::event::Actor;
    use quell_core::person::{BreakGlass, Role, Token};

    use super::*;

    #[test]
    fn every_kind_that_changes_the_people_is_read() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let token = Token {
            id: "a".to_owned(),
            name: "n".to_owned(),
            role: Role::Viewer,
            sha256: String::new(),
            expires: at,
        };
        let glass = BreakGlass {
            person: "ines".to_owned(),
            role: Role::Admin,
            until: at,
            reason: String::new(),
            opened: 0,
            reviewed: None,
        };
        let text = String::new;
        let all = [
            Event::PersonAdded { person: "ines".to_owned(), role: Role::Viewer },
            Event::TokenIssued { token },
            Event::BreakGlassOpened { glass },
            Event::BreakGlassReviewed { opened: 2, statement: text() },
            Event::TokenRevoked { token: "a".to_owned(), reason: text() },
            Event::PersonRemoved { person: "ines".to_owned(), reason: text() },
        ];
        let mut people = People::default();
        let mut kinds = Vec::new();
        for (seq, event) in (0_u64..).zip(all) {
            assert!(is_about_people(&event), "{}", event.kind());
            kinds.push(event.kind());
            let (stream, actor) = (INSTALLATION.to_owned(), Actor::user("ben"));
            let before = format!("{people:?}");
            people.apply(&Entry { seq, at, stream, pos: seq, actor, evidence: Vec::new(), event });
            people.next_pos = 0;
            assert_ne!(before, format!("{people:?}"), "it changes nothing, and need not be read");
        }
        kinds.sort();
        let mut known = ABOUT_PEOPLE.map(str::to_owned).to_vec();
        known.sort();
        assert_eq!(kinds, known);
        assert!(!is_about_people(&Event::NoteAdded { text: text() }));
    }
}
