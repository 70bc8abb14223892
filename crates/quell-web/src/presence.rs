//! Who looks at an incident right now: those who follow its news at this server. Kept nowhere, since it is over when they leave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quell_core::IncidentId;

type Rooms = BTreeMap<IncidentId, BTreeMap<String, usize>>;

/// Everybody who looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence(Arc<Mutex<Rooms>>);

/// Somebody who looks, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    presence: Presence,
    id: IncidentId,
    person: String,
}

impl Presence {
    /// Somebody begins to look, perhaps in a second window.
    pub(crate) fn enter(&self, id: IncidentId, person: &str) -> Present {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rooms.entry(id).or_default().entry(person.to_owned()).or_default() += 1;
        Present { presence: self.clone(), id, person: person.to_owned() }
    }

    /// Everybody else there.
    pub(crate) fn others(&self, id: IncidentId, but: &str) -> Vec<String> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(&id).into_iter().flat_map(BTreeMap::keys).filter(|person| *person != but).cloned().collect()
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut rooms = self.presence.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(room) = rooms.get_mut(&self.id) else { return };
        match room.get_mut(&self.person) {
            Some(windows) if *windows > 1 => *windows -= 1,
            Some(_) => drop(room.remove(&self.person)),
            None => {}
        }
        if room.is_empty() {
            rooms.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_closes_one_of_two_windows_still_looks() {
        let presence = Presence::default();
        let id: IncidentId = "INC-2026-0001".parse().unwrap();
        let first = presence.enter(id, "ines");
        let second = presence.enter(id, "ines");
        let _omar = presence.enter(id, "omar");
        drop(first);
        assert_eq!(presence.others(id, "omar"), ["ines"]);
        assert_eq!(presence.others(id, "ines"), ["omar"]);
        drop(second);
        assert_eq!(presence.others(id, "omar"), Vec::<String>::new());
        assert_eq!(presence.0.lock().unwrap().len(), 1);
    }
}
