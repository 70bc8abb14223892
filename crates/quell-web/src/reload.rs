//! Files that change while the server runs are taken up; what is wrong with them is said, and what was good before stays.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quell_app::clock::now;
use quell_app::{AppError, Options, inventory};
use quell_core::SecretId;
use tokio::sync::watch;

use crate::server::Server;

/// What is said of an inventory that held something.
const EMPTIED: &str = "it names no secret any more; restart the server if that is meant";
/// How often files are looked at. Looking is asking for their times, not reading them.
const EVERY: Duration = Duration::from_secs(2);

/// What could not be taken up, by what it is, with the reason: the old one is still used.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<BTreeMap<&'static str, String>>);

impl Standing {
    /// True when this is news.
    fn set(&self, what: &'static str, fault: Option<&str>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match fault {
            Some(words) => all.insert(what, words.to_owned()),
            None => all.remove(what),
        };
        before.as_deref() != fault
    }

    fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(what)
    }

    /// What is wrong now.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(what, words)| (*what, words.clone())).collect()
    }
}

/// Takes up what changes until the server ends.
pub(crate) async fn watch(
    server: Arc<Server>,
    options: Options,
    mut asked: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
) {
    let mut certificate = Files::new(certificate_files(&server));
    let mut inventory = Files::new(vec![options.inventory.clone()]);
    let mut had_one = options.inventory.exists();
    let mut may_ask = true;
    loop {
        let now_please = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            changed = asked.changed(), if may_ask => {
                may_ask = changed.is_ok();
                may_ask
            }
            _ended = stop.wait_for(|stop| *stop) => return,
        };
        // What was wrong may have been a disk that was away: no file tells that it is back.
        if certificate.changed() || now_please || server.standing.has("certificate") {
            take_up_certificate(&server);
        }
        if inventory.changed() || now_please || server.standing.has("inventory") {
            // Who never had one goes on without. One that is gone is a fault.
            had_one |= options.inventory.exists();
            if had_one {
                take_up_inventory(&server, &options);
            }
        }
    }
}

fn certificate_files(server: &Server) -> Vec<PathBuf> {
    let files = server.tls.iter().map(|tls| &tls.files);
    files.flat_map(|files| [files.certificate.clone(), files.key.clone()]).collect()
}

fn take_up_certificate(server: &Server) {
    let Some(tls) = &server.tls else { return };
    let fault = match tls.reload(now()) {
        Ok(until) => {
            tracing::info!(%until, "certificate taken up");
            None
        }
        Err(error) => Some(words(&error)),
    };
    say(server, "certificate", fault.as_deref());
}

fn take_up_inventory(server: &Server, options: &Options) {
    let fault = match server.app().with_inventory_of_now(options) {
        // A file that is emptied before it is written anew reads well, and asks nobody for anything.
        Ok(app) if app.inventory.secrets.is_empty() && !server.app().inventory.secrets.is_empty() => {
            Some(EMPTIED.to_owned())
        }
        Ok(app) => {
            tracing::info!(secrets = app.inventory.secrets.len(), "inventory taken up");
            server.apps.send_replace(app);
            None
        }
        Err(error) => Some(words(&error)),
    };
    say(server, "inventory", fault.as_deref());
}

fn say(server: &Server, what: &'static str, fault: Option<&str>) {
    let news = server.standing.set(what, fault);
    if news && let Some(fault) = fault {
        tracing::error!(what, fault, "not taken up; the old one is used");
    }
}

/// Why the inventory as it lies there now is refused, or else the secrets that it names. Nothing is taken up.
pub(crate) fn look_at_inventory(server: &Server) -> Result<Vec<SecretId>, String> {
    let app = server.app();
    let used = || app.inventory.secrets.keys().cloned().collect();
    // Who never had one goes on without.
    if app.inventory.secrets.is_empty() && !server.options.inventory.exists() {
        return Ok(used());
    }
    let found = inventory::check_offline(&server.options).map_err(|error| words(&error))?;
    if found.secrets.is_empty() && !app.inventory.secrets.is_empty() {
        return Err(EMPTIED.to_owned());
    }
    Ok(found.secrets.into_keys().collect())
}

/// An error with what to do next, in one line.
fn words(error: &AppError) -> String {
    std::iter::once(error.to_string()).chain(error.hints()).collect::<Vec<_>>().join("; ")
}

/// Files, and what they looked like when they were last looked at.
struct Files {
    places: Vec<PathBuf>,
    /// What was taken up.
    last: Vec<Look>,
    /// What was there at the last look.
    seen: Vec<Look>,
}

/// Place, device, inode, length, time of change: whoever replaces a file changes one of them.
type Look = (PathBuf, Option<(u64, u64, u64, i64, i64)>);

impl Files {
    fn new(places: Vec<PathBuf>) -> Self {
        let last = look(&places);
        Self { places, seen: last.clone(), last }
    }

    /// Is something another than what was taken up, and the same at two looks? A file that is being written is cut off in the middle, and may read well.
    fn changed(&mut self) -> bool {
        let found = look(&self.places);
        let still = found == self.seen;
        self.seen.clone_from(&found);
        if !still || found == self.last {
            return false;
        }
        self.last = found;
        true
    }
}

/// A folder counts as what is in it.
fn look(places: &[PathBuf]) -> Vec<Look> {
    let mut found: Vec<Look> = Vec::new();
    for place in places {
        found.push(one(place));
        let entries = std::fs::read_dir(place).into_iter().flatten();
        let mut inside: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        inside.sort();
        found.extend(inside.iter().map(|place| one(place)));
    }
    found
}

fn one(place: &Path) -> Look {
    // Links are followed: what Kubernetes changes is where they lead.
    let seen = std::fs::metadata(place).ok();
    let seen = seen.map(|seen| (seen.dev(), seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()));
    (place.to_path_buf(), seen)
}
