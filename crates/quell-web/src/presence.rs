//! Who looks at an incident right now: those who follow its news at this server, and at the others of the installation. No fact: it is over when they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use quell_app::clock::now;
use quell_app::{App, Lapsing, StoreError};
use quell_core::IncidentId;
use tokio::sync::watch;
use tokio::time::timeout;

/// A database that hangs is one that is away.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kind of row that a server keeps for the others.
const KIND: &str = "presence";
/// How often others are looked for.
const EVERY: Duration = Duration::from_secs(1);
/// A row is written anew when it changed, and so often when it did not.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// What a server said that died holds for so long.
const LASTS: SignedDuration = SignedDuration::from_secs(15);

type Rooms = BTreeMap<IncidentId, BTreeMap<String, usize>>;
type Names = BTreeMap<IncidentId, BTreeSet<String>>;

/// Everybody who looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    here: Arc<Mutex<Rooms>>,
    /// As the other servers said last.
    elsewhere: Arc<Mutex<Names>>,
}

/// Somebody who looks, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    presence: Presence,
    id: IncidentId,
    person: String,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Presence {
    /// Somebody begins to look, perhaps in a second window.
    pub(crate) fn enter(&self, id: IncidentId, person: &str) -> Present {
        *hold(&self.here).entry(id).or_default().entry(person.to_owned()).or_default() += 1;
        Present { presence: self.clone(), id, person: person.to_owned() }
    }

    /// Everybody else there, at any server.
    pub(crate) fn others(&self, id: IncidentId, but: &str) -> Vec<String> {
        let mut all = hold(&self.elsewhere).get(&id).cloned().unwrap_or_default();
        all.extend(hold(&self.here).get(&id).into_iter().flat_map(BTreeMap::keys).cloned());
        all.remove(but);
        all.into_iter().collect()
    }

    /// Who looks at this server, for the others.
    fn told(&self) -> Names {
        let here = hold(&self.here);
        here.iter().map(|(id, people)| (*id, people.keys().cloned().collect())).collect()
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut rooms = hold(&self.presence.here);
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

/// Tells the other servers who looks here, and hears it of them, until `stop` turns true. One row for each server that has somebody. What was known
/// last holds while the database is away, as long as a row would have.
pub(crate) async fn share(app: Arc<App>, presence: Presence, mut stop: watch::Receiver<bool>) {
    let Ok(mut row) = own_row() else { return };
    let (mut written, mut heard) = (Timestamp::UNIX_EPOCH, now());
    while !*stop.borrow() {
        if let Ok(Ok(at)) = timeout(PATIENCE, tell(&app, &presence, &mut row, written)).await {
            written = at;
        }
        if let Ok(Ok(names)) = timeout(PATIENCE, hear(&app, &row.id)).await {
            *hold(&presence.elsewhere) = names;
            heard = now();
        } else if now().duration_since(heard) > LASTS {
            hold(&presence.elsewhere).clear();
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ended = stop.wait_for(|stop| *stop) => {}
        }
    }
    // Not there when the database is away: it ends by itself.
    drop(timeout(PATIENCE, app.store.lapsing_take(KIND, &row.id, now())).await);
}

/// The row of this server, under a name of its own.
fn own_row() -> Result<Lapsing, getrandom::Error> {
    let mut name = [0; 16];
    getrandom::fill(&mut name)?;
    Ok(Lapsing { id: hex::encode(name), owner: String::new(), body: String::new(), expires_us: 0 })
}

/// Writes the row when it has to be. When it was written last.
async fn tell(
    app: &App,
    presence: &Presence,
    row: &mut Lapsing,
    written: Timestamp,
) -> Result<Timestamp, StoreError> {
    let (names, at) = (presence.told(), now());
    let body = serde_json::to_string(&names).unwrap_or_default();
    let is_new = body != row.body;
    if !is_new && (names.is_empty() || at.duration_since(written) < AGAIN) {
        return Ok(written);
    }
    let ends = at.checked_add(LASTS).unwrap_or(Timestamp::MAX).as_microsecond();
    app.store.lapsing_put(KIND, &Lapsing { body: body.clone(), expires_us: ends, ..row.clone() }).await?;
    row.body = body;
    Ok(at)
}

/// Who looks at the other servers.
async fn hear(app: &App, own: &str) -> Result<Names, StoreError> {
    let mut all = Names::new();
    for row in app.store.lapsing_all(KIND, now()).await?.iter().filter(|row| row.id != own) {
        // Another version may say it otherwise.
        let said: Names = serde_json::from_str(&row.body).unwrap_or_default();
        for (id, people) in said {
            all.entry(id).or_default().extend(people);
        }
    }
    Ok(all)
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
        assert_eq!(presence.told().len(), 1);
    }
}
