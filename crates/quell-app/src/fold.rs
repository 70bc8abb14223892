//! Folds that a process keeps in memory, so that no entry is read twice: incidents that were looked at lately, and the people. Each is what entries
//! up to a position say; whoever asks takes in what came since first. Entries never change, so what was folded once stays right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use quell_core::IncidentId;
#[cfg(test)]
use quell_core::event::Event;
use quell_core::event::{Entry, INSTALLATION};
use quell_core::incident::Incident;
use quell_core::person::People;

use crate::projection::Summary;
use crate::{App, AppError};

/// Incidents that are kept; of more, those that were asked for longest ago are forgotten.
const KEPT: usize = 128;
/// Rooms that are kept with their entries.
const ROOMS: usize = 16;
/// A room with more entries is read anew each time.
const LONG: usize = 5_000;
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
    incidents: Mutex<Kept<Arc<Incident>>>,
    rooms: Mutex<Kept<Room>>,
    people: tokio::sync::Mutex<People>,
    /// What lists know of every incident, once somebody asked for all of them.
    pub(crate) all: tokio::sync::Mutex<All>,
    /// When it was last written down that a token was used.
    noted: Mutex<BTreeMap<String, Timestamp>>,
    /// Held by the one who takes entries into the projection; the others of this process wait for them.
    pub(crate) projecting: tokio::sync::Mutex<()>,
}

/// Every incident as lists show it, up to an entry.
#[derive(Debug, Default)]
pub(crate) struct All {
    /// Which beginning of the projection it was read from.
    pub(crate) epoch: Option<i64>,
    /// Entries before this number are in it.
    pub(crate) seq: u64,
    /// By id.
    pub(crate) known: BTreeMap<IncidentId, Arc<Summary>>,
}

/// An incident, and the entries that it is made of.
pub(crate) type Room = (Arc<Incident>, Arc<Vec<Entry>>);

impl Folds {
    /// Was it written down less than so long ago that this token was used? From now on it is.
    pub(crate) fn is_noted(&self, token: &str, now: Timestamp, often: SignedDuration) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(token).is_some_and(|last| now.duration_since(*last) < often) {
            return true;
        }
        noted.retain(|_, last| now.duration_since(*last) < often);
        noted.insert(token.to_owned(), now);
        false
    }
}

/// Things by incident, each with the position up to which it is.
#[derive(Debug)]
struct Kept<T> {
    all: BTreeMap<IncidentId, (u64, u64, T)>,
    asked: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), asked: 0 }
    }
}

impl<T: Clone> Kept<T> {
    fn find(of: &Mutex<Self>, id: IncidentId) -> Option<T> {
        let mut kept = of.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked += 1;
        let asked = kept.asked;
        let (last, _, found) = kept.all.get_mut(&id)?;
        *last = asked;
        Some(found.clone())
    }

    /// Keeps it, unless one that goes further is kept already.
    fn keep(of: &Mutex<Self>, id: IncidentId, pos: u64, one: T, most: usize) {
        let mut kept = of.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.all.get(&id).is_some_and(|(_, known, _)| *known >= pos) {
            return;
        }
        kept.asked += 1;
        let asked = kept.asked;
        kept.all.insert(id, (asked, pos, one));
        if kept.all.len() > most {
            let oldest = kept.all.iter().min_by_key(|(_, (last, ..))| *last).map(|(id, _)| *id);
            oldest.and_then(|id| kept.all.remove(&id));
        }
    }
}

/// Reads one incident, and keeps it for the next who asks.
pub(crate) async fn incident(app: &App, id: IncidentId) -> Result<Arc<Incident>, AppError> {
    let folded = incident_once(app, id).await?;
    Kept::keep(&app.folds.incidents, id, folded.next_pos, Arc::clone(&folded), KEPT);
    Ok(folded)
}

/// The same with the entries that it is made of.
pub(crate) async fn room(app: &App, id: IncidentId) -> Result<Room, AppError> {
    let known = Kept::find(&app.folds.rooms, id);
    let from = known.as_ref().map_or(0, |(incident, _)| incident.next_pos);
    let newer = app.store.read_stream(&id.to_string(), from).await?;
    let (incident, mut entries) = known.unzip();
    let incident = folded(id, incident, &newer)?;
    let entries = match &mut entries {
        None => Arc::new(newer),
        Some(known) if newer.is_empty() => Arc::clone(known),
        Some(known) => {
            Arc::make_mut(known).extend(newer);
            Arc::clone(known)
        }
    };
    if entries.len() <= LONG {
        let room = (Arc::clone(&incident), Arc::clone(&entries));
        Kept::keep(&app.folds.rooms, id, incident.next_pos, room, ROOMS);
    }
    Ok((incident, entries))
}

/// The same without keeping it: for those who look at very many.
pub(crate) async fn incident_once(app: &App, id: IncidentId) -> Result<Arc<Incident>, AppError> {
    let known = Kept::find(&app.folds.incidents, id);
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
    if end < people.next_pos {
        // The database was put back to an earlier state: whom it has forgotten, we must not remember.
        *people = People::default();
    }
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
            made_with: None,
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
            Event::PersonProvided { person: "lena".to_owned(), role: Role::Viewer },
            Event::PersonSame { person: "ines".to_owned(), other: "lena".to_owned(), reason: text() },
            Event::CodeMade { person: "ines".to_owned(), from_page: true },
            Event::TokenIssued { token },
            Event::BreakGlassOpened { glass },
            Event::BreakGlassReviewed { opened: 5, statement: text() },
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
