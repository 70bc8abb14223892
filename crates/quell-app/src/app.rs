//! An opened installation with its inventory and connections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use quell_connect::context::Context;
use quell_connect::http::Client;
use quell_core::IncidentId;
use quell_core::event::{Actor, Entry, Event};
use quell_core::incident::Incident;
use quell_core::inventory::Inventory;
use quell_core::secret::SecretValue;
use quell_store::{Batch, NewEntry, Store, StoreError};

use crate::AppError;
use crate::clock::now;
use crate::fold::{self, Folds};

/// How to open an installation. The command line fills it in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// `postgres://…` for a shared database.
    pub database: Option<String>,
    /// The inventory: a file or a folder.
    pub inventory: PathBuf,
    /// The process's environment, read once at the edge.
    pub environment: BTreeMap<String, String>,
    /// Who is asking.
    pub actor: String,
    /// Longest time for one call to an outside system.
    pub call_limit: Duration,
    /// A file with the passphrase, if the key-encryption key comes from one.
    pub passphrase_file: Option<PathBuf>,
    /// Provider files of the user's own, or folders of them, beside those of the inventory.
    pub providers: Vec<PathBuf>,
}

/// Everything a use case needs.
#[derive(Debug)]
pub struct App {
    /// State and keys.
    pub store: Arc<Store>,
    /// What exists.
    pub inventory: Arc<Inventory>,
    /// For connectors.
    pub context: Context,
    /// The data folder.
    pub data: PathBuf,
    /// Who is asking.
    pub actor: Actor,
    /// Keys of webhooks, for a short time.
    pub(crate) hook_keys: Arc<crate::intake::Keys>,
    /// What was folded already.
    pub(crate) folds: Arc<Folds>,
    /// Position at which an incident's stream must still be for what is decided about it.
    expects: Option<u64>,
    /// The position in an incident's stream up to which they saw it when they decided; none when they decide by what holds.
    seen: Option<u64>,
}

impl App {
    /// Opens state and inventory. `ask` is called when a passphrase is needed and no file gives it.
    pub async fn open(
        options: &Options,
        ask: impl FnOnce() -> Result<SecretValue, StoreError>,
    ) -> Result<Arc<Self>, AppError> {
        let inventory = crate::inventory::load(&options.inventory)?;
        Self::with_inventory(options, inventory, ask).await
    }

    /// Opens state with an inventory made in memory, or none.
    pub async fn with_inventory(
        options: &Options,
        inventory: Inventory,
        ask: impl FnOnce() -> Result<SecretValue, StoreError>,
    ) -> Result<Arc<Self>, AppError> {
        // An inventory that cannot be used is said before anybody is asked for a passphrase.
        context(options, &inventory)?;
        Self::of(options, inventory, open_store(options, ask).await?)
    }

    /// A store that is open already.
    pub fn of(options: &Options, inventory: Inventory, store: Store) -> Result<Arc<Self>, AppError> {
        let context = context(options, &inventory)?;
        Ok(Arc::new(Self {
            store: Arc::new(store),
            inventory: Arc::new(inventory),
            context,
            data: options.data.clone(),
            actor: Actor::user(options.actor.clone()),
            hook_keys: Arc::default(),
            folds: Arc::default(),
            expects: None,
            seen: None,
        }))
    }

    /// The same installation, asked by somebody else.
    pub fn acting_as(&self, actor: Actor) -> Arc<Self> {
        Arc::new(self.copy(actor, None))
    }

    /// The same, asked by somebody who looked at an incident as it was before this position of its stream: what another
    /// person decided about the same thing since then is shown to them first.
    pub fn having_seen(&self, pos: u64) -> Arc<Self> {
        Arc::new(self.copy(self.actor.clone(), Some(pos)))
    }

    /// The same, for whoever looked at an incident when its stream's next position was `pos`: where something was
    /// written since, nothing is decided, and [`AppError::Moved`] says so.
    pub fn expecting(&self, pos: u64) -> Arc<Self> {
        Arc::new(Self { expects: Some(pos), ..self.copy(self.actor.clone(), None) })
    }

    /// The same installation with the inventory as it is on disk now, if every part of it can be used. Plans stay pinned to the one
    /// that they were made from.
    pub fn with_inventory_of_now(&self, options: &Options) -> Result<Arc<Self>, AppError> {
        let inventory = crate::inventory::check_offline(options)?;
        let context = context(options, &inventory)?;
        let same = self.copy(self.actor.clone(), None);
        Ok(Arc::new(Self { inventory: Arc::new(inventory), context, ..same }))
    }

    fn copy(&self, actor: Actor, seen: Option<u64>) -> Self {
        Self {
            store: Arc::clone(&self.store),
            inventory: Arc::clone(&self.inventory),
            context: self.context.clone(),
            data: self.data.clone(),
            actor,
            hook_keys: Arc::clone(&self.hook_keys),
            folds: Arc::clone(&self.folds),
            expects: None,
            seen,
        }
    }

    /// Who is asking, for decisions that carry a name.
    pub fn named_actor(&self) -> Result<String, AppError> {
        if self.actor.id == "unknown" {
            let words =
                "this decision is recorded with a name, and yours is not known; give it with --as NAME";
            return Err(AppError::Usage(words.to_owned()));
        }
        Ok(self.actor.id.clone())
    }

    /// Reads one incident.
    pub async fn incident(&self, id: IncidentId) -> Result<Incident, AppError> {
        Ok(Arc::unwrap_or_clone(self.incident_shared(id).await?))
    }

    /// The same for those who only look: nothing is copied.
    pub async fn incident_shared(&self, id: IncidentId) -> Result<Arc<Incident>, AppError> {
        fold::incident(self, id).await
    }

    /// One incident and the entries it is made of, for those who only look: nothing is copied.
    pub async fn room(&self, id: IncidentId) -> Result<(Arc<Incident>, Arc<Vec<Entry>>), AppError> {
        fold::room(self, id).await
    }

    /// Reads one incident and the entries it is made of.
    pub async fn incident_with_entries(&self, id: IncidentId) -> Result<(Incident, Vec<Entry>), AppError> {
        let entries = self.store.read_stream(&id.to_string(), 0).await?;
        let incident = Incident::fold(id, &entries).ok_or_else(|| fold::missing(id))?;
        Ok((incident, entries))
    }

    /// Decides on the newest state and appends, again and again until nobody was faster.
    pub async fn decide<T>(
        &self,
        id: IncidentId,
        decide: impl FnMut(&mut Incident, Timestamp) -> Result<(Vec<Event>, T), AppError>,
    ) -> Result<(Incident, T), AppError> {
        self.decide_with(id, &[], decide).await
    }

    /// The same, with evidence (name and bytes) for the first of the events.
    pub async fn decide_with<T>(
        &self,
        id: IncidentId,
        evidence: &[(String, Vec<u8>)],
        mut decide: impl FnMut(&mut Incident, Timestamp) -> Result<(Vec<Event>, T), AppError>,
    ) -> Result<(Incident, T), AppError> {
        let mut known = self.incident(id).await?;
        // Where somebody looked at an earlier state: what was written since, up to what is known now.
        let seen = self.seen.unwrap_or(u64::MAX);
        let mut entries = Vec::new();
        if seen < known.next_pos {
            entries = self.store.read_stream(&id.to_string(), seen).await?;
            entries.retain(|entry| entry.pos < known.next_pos);
        }
        loop {
            let mut incident = known.clone();
            let at = now().max(incident.last_at);
            let pos = incident.next_pos;
            if let Some(expected) = self.expects.filter(|expected| *expected != pos) {
                return Err(AppError::Moved { id, expected, now: pos });
            }
            let decided = decide(&mut incident, at);
            let (events, out) = crate::collision::refuse(decided, &entries, &self.actor)?;
            let mut batch = Batch::new(id, pos);
            for event in events {
                let mut entry = NewEntry::new(self.actor.clone(), event);
                if batch.is_empty() {
                    entry.evidence = evidence.to_vec();
                }
                batch.push(entry);
            }
            if batch.is_empty() {
                return Ok((incident, out));
            }
            match self.store.append(batch, at).await {
                Ok(written) => {
                    for entry in &written {
                        known.apply(entry);
                    }
                    return Ok((known, out));
                }
                // Only what is new is read: whoever reads the whole of a busy stream never catches up with it.
                Err(StoreError::Conflict { .. }) => {
                    let newer = self.store.read_stream(&id.to_string(), known.next_pos).await?;
                    for entry in &newer {
                        known.apply(entry);
                    }
                    entries.extend(newer.into_iter().filter(|entry| entry.pos >= seen));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in what was appended to the incident's stream since.
    pub async fn catch_up(&self, incident: &mut Incident) -> Result<(), AppError> {
        for entry in self.store.read_stream(&incident.id.to_string(), incident.next_pos).await? {
            incident.apply(&entry);
        }
        Ok(())
    }
}

/// Opens the state only.
pub async fn open_store(
    options: &Options,
    ask: impl FnOnce() -> Result<SecretValue, StoreError>,
) -> Result<Store, AppError> {
    let passphrase_file = options.passphrase_file.clone();
    let passphrase = move || match passphrase_file {
        Some(path) => read_passphrase(&path),
        None => ask(),
    };
    Ok(Store::open(&options.data, options.database.as_deref(), passphrase).await?)
}

/// Longest passphrase, in bytes.
const PASSPHRASE_MAX: u64 = 64 << 10;

/// A passphrase from a file, one trailing newline removed.
pub fn read_passphrase(path: &Path) -> Result<SecretValue, StoreError> {
    let mut bytes = crate::files::read(path, PASSPHRASE_MAX)
        .map_err(|source| StoreError::Io { path: path.display().to_string(), source })?;
    while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(StoreError::Kek(format!("{} is empty", path.display())));
    }
    Ok(SecretValue::new(bytes))
}

pub(crate) fn context(options: &Options, inventory: &Inventory) -> Result<Context, AppError> {
    let base = if options.inventory.is_dir() {
        options.inventory.clone()
    } else {
        options.inventory.parent().map(Path::to_path_buf).unwrap_or_default()
    };
    let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
    let mut context = Context::new(base, Client::new(options.call_limit, None)?);
    let own = inventory.providers.iter().map(|place| context.path(place));
    context.providers = Arc::new(options.providers.iter().cloned().chain(own).collect());
    context.connections = Arc::new(inventory.connections.clone());
    context.environment = Arc::new(options.environment.clone());
    context.call_limit = options.call_limit;
    Ok(context)
}
