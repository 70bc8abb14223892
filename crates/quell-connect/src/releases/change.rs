//! The effects on trust roots and artifacts, and what each trust root says of a key.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};

use super::artifact::{self, Artifact, Hashes, Read, manifest};
use super::root::{Canary, Root};
use super::{REFUSED, Releases, Scheme};
use crate::connector::{IssuerOp, Store, Stored};
use crate::effect::{facts, not_yet};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::fleet::{self, Done, Stop};
use crate::jwks::door::{Answers, Seen};
use crate::webhook::sign::wall_clock;

/// What trust roots are called together.
const ROOTS: &str = "trust_roots";

/// So many suspect signatures are named; the rest is counted.
const NAMED: usize = 200;

/// What all trust roots say of a key.
struct Tried {
    answers: Answers,
    /// One of them has it.
    held: bool,
    /// Quell took it out of one of them.
    dropped: bool,
}

impl<S: Scheme> Releases<S> {
    pub(super) async fn open(&self, store: &dyn Store) -> Result<(Stored, Root<S>), ConnectError> {
        const WHAT: &str = "reading a trust root";
        let failed = |kind, why: &str| ConnectError::new(store.target(), WHAT, kind, why);
        let stored = store.read().await?;
        // A path that leads nowhere would refuse every key, and take every new one.
        let missing = || {
            failed(
                ConnectErrorKind::Missing,
                "there is none: correct the place, or take it out of `trust_roots`",
            )
        };
        let stored = stored.ok_or_else(missing)?;
        let text = stored.value.expose_text().unwrap_or_default();
        let odd = || failed(ConnectErrorKind::Unexpected, &format!("it is no {}", S::ROOT));
        let root = Root::read(text).ok_or_else(odd)?;
        Ok((stored, root))
    }

    /// Does it.
    pub(super) async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => self.install(&self.key(new)?).await,
            IssuerOp::Disable { old } => self.disable(&self.key(old)?).await,
            // There is nothing to end.
            IssuerOp::Sever { .. } => self.look(op).await,
        }
    }

    async fn disable(&self, key: &S::Secret) -> Result<Outcome, ConnectError> {
        let canary = self.canary(key)?;
        let each = self.roots.iter().map(|store| self.take_out(&**store, S::public(key), &canary));
        let named = facts([("key", S::name(S::public(key)).into())]);
        let done = fleet::together::<String>(named, ROOTS, join_all(each).await);
        let Outcome::Applied { facts: seen } = done else { return Ok(done) };
        Ok(with(self.look_disabled(key).await.unwrap_or_else(|error| error.unseen()), seen))
    }

    async fn take_out(
        &self,
        store: &dyn Store,
        key: &S::Public,
        canary: &Canary,
    ) -> Result<Done<String>, Stop> {
        let (stored, mut root) = self.open(store).await?;
        let found = root.drop_key(key, canary, wall_clock());
        if found {
            written(store, &stored, &root).await?;
        }
        Ok(Done { name: store.target(), facts: json!({ "already": !found }), bound: None })
    }

    async fn install(&self, key: &S::Secret) -> Result<Outcome, ConnectError> {
        let artifacts = self.artifacts().await?;
        let each = self.roots.iter().map(|store| self.put_in(&**store, S::public(key)));
        let named = facts([("key", S::name(S::public(key)).into())]);
        let done = fleet::together::<String>(named, ROOTS, join_all(each).await);
        let Outcome::Applied { facts: mut seen } = done else { return Ok(done) };
        let mut signed = Vec::new();
        for artifact in &artifacts {
            match self.sign(key, artifact).await {
                Ok(true) => signed.push(artifact.name.clone()),
                // What is wrong with it is said by the look at all of them.
                Ok(false) => {}
                Err(outcome) => return Ok(outcome),
            }
        }
        seen.insert("signed".to_owned(), json!(signed));
        Ok(with(self.look_installed(key).await.unwrap_or_else(|error| error.unseen()), seen))
    }

    async fn put_in(&self, store: &dyn Store, key: &S::Public) -> Result<Done<String>, Stop> {
        let (stored, mut root) = self.open(store).await?;
        if root.was_dropped(key) {
            let why = "this key was taken away before: it has no way back; choose again";
            return Err(Stop::Refused(format!("{}: {why}", store.target())));
        }
        let already = root.holds(key);
        if !already {
            root.add(key);
            written(store, &stored, &root).await?;
        }
        Ok(Done { name: store.target(), facts: json!({ "already": already }), bound: None })
    }

    /// Signs one artifact anew, if it is what it must be. `Err` is how the writing went.
    async fn sign(&self, key: &S::Secret, artifact: &Artifact) -> Result<bool, Outcome> {
        let Ok(read) = self.file(artifact).await else { return Ok(false) };
        if !read.as_listed || is_signed::<S>(key, artifact, &read) {
            return Ok(false);
        }
        let name = artifact.path.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
        let at = wall_clock().as_second();
        let signature = S::sign(key, &read.hashes, &name, at).map_err(Outcome::retry)?;
        // Once more: it may have been put there meanwhile.
        artifact.stays(S::SUFFIX).map_err(Outcome::refused)?;
        let place = json!({ "path": artifact.signature_path(S::SUFFIX), "mode": "0644" });
        let store = crate::env_file::whole(&place, &self.context)
            .map_err(|error| Outcome::refused(format!("{}: {error}", artifact.name)))?;
        let written = store.write(&SecretValue::from_text(signature.trim_end().to_owned())).await;
        if written.is_applied() { Ok(true) } else { Err(written) }
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => self.look_installed(&self.key(new)?).await,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => {
                self.look_disabled(&self.key(old)?).await
            }
        }
    }

    async fn look_installed(&self, key: &S::Secret) -> Result<Outcome, ConnectError> {
        let Tried { answers, .. } = self.tried(key).await?;
        let seen = facts([("canaries", answers.facts())]);
        if let Some(why) = answers.unclear() {
            return Ok(Outcome::unknown(why));
        }
        let refused = answers.refused();
        if !refused.is_empty() {
            return Ok(not_yet(format!("{} does not trust the key", refused.join(", ")), seen));
        }
        let (mut odd, mut left) = (Vec::new(), Vec::new());
        for artifact in self.artifacts().await? {
            match self.file(&artifact).await {
                Err(why) => odd.push(why),
                Ok(read) if !read.as_listed => {
                    odd.push(format!("{}: it is not what the manifest says", artifact.name))
                }
                Ok(read) if !is_signed::<S>(key, &artifact, &read) => left.push(artifact.name),
                Ok(_) => {}
            }
        }
        if !left.is_empty() {
            return Ok(not_yet(format!("not signed with the key: {}", left.join(", ")), seen));
        }
        if !odd.is_empty() {
            let why = "all else is signed; whoever had the old key may have put his own there: restore it from a build that you trust, or correct the manifest, then retry the step";
            return Ok(Outcome::refused(format!("{}: {why}", odd.join("; "))));
        }
        Ok(Outcome::Applied { facts: seen })
    }

    async fn look_disabled(&self, key: &S::Secret) -> Result<Outcome, ConnectError> {
        let Tried { answers, held, .. } = self.tried(key).await?;
        let mut seen = facts([("canaries", answers.facts())]);
        let accepted = answers.accepted();
        if held || !accepted.is_empty() {
            return Ok(not_yet(format!("{} still trusts the key", accepted.join(", ")), seen));
        }
        if let Some(why) = answers.unclear() {
            return Ok(Outcome::unknown(why));
        }
        let suspect = self.suspect(S::public(key)).await;
        seen.insert("suspect".to_owned(), suspect.named);
        if suspect.more > 0 {
            seen.insert("more_suspect".to_owned(), suspect.more.into());
        }
        if !suspect.all {
            seen.insert("not_all_were_read".to_owned(), true.into());
        }
        Ok(Outcome::Applied { facts: seen })
    }

    fn canary(&self, key: &S::Secret) -> Result<Canary, ConnectError> {
        let failed =
            |why| self.failed("signing a canary", ConnectErrorKind::Transient { retry_after: None }, why);
        Canary::of::<S>(key, wall_clock()).map_err(failed)
    }

    /// Signs something that nobody else did, and has every trust root verify it.
    async fn tried(&self, key: &S::Secret) -> Result<Tried, ConnectError> {
        let canary = self.canary(key)?;
        let mut tried =
            Tried { answers: Answers { each: Vec::new(), shown: Vec::new() }, held: false, dropped: false };
        for (store, opened) in
            self.roots.iter().zip(join_all(self.roots.iter().map(|it| self.open(&**it))).await)
        {
            let seen = match opened {
                Ok((_, root)) => {
                    tried.held |= root.holds(S::public(key));
                    tried.dropped |= root.was_dropped(S::public(key));
                    let taken = root.keys().any(|it| canary.is_taken_by::<S>(it));
                    if taken { Seen::Accepted } else { Seen::Refused }
                }
                Err(error) => Seen::Unclear(error.to_string()),
            };
            tried.answers.each.push((store.target(), seen));
        }
        Ok(tried)
    }

    /// One that is trusted must be by all; one that was taken away must be by none.
    pub(super) async fn try_key(&self, key: &S::Secret) -> Result<Probe, ConnectError> {
        let Tried { answers, dropped, .. } = self.tried(key).await?;
        let (accepted, refused) = (answers.accepted(), answers.refused());
        if !accepted.is_empty() && (dropped || accepted.len() == answers.each.len()) {
            let seen = facts([("key", S::name(S::public(key)).into()), ("canaries", answers.facts())]);
            return Ok(Probe::Accepted { facts: seen });
        }
        if let Some(reason) = answers.unclear() {
            return Ok(Probe::Inconclusive { reason });
        }
        if !accepted.is_empty() {
            let (yes, no) = (accepted.join(", "), refused.join(", "));
            return Ok(Probe::Inconclusive {
                reason: format!("trust roots differ: trusted by {yes}, not by {no}"),
            });
        }
        let message =
            format!("a canary of {} verifies with no key of {}", S::name(S::public(key)), refused.join(", "));
        Ok(Probe::Refused { code: REFUSED.to_owned(), message })
    }

    /// How many trust roots take the key.
    pub(super) async fn takers(&self, key: &S::Secret) -> Result<u64, ConnectError> {
        let Tried { answers, .. } = self.tried(key).await?;
        match answers.unclear() {
            Some(why) => Err(self.failed("asking who trusts the key", ConnectErrorKind::Lost, why)),
            None => Ok(answers.accepted().len() as u64),
        }
    }

    /// A key that no trust root ever had signs for somebody else.
    pub(super) async fn is_elsewhere(&self, credential: &Credential) -> Option<String> {
        let key = self.key(credential).ok()?;
        let name = S::name(S::public(&key));
        match self.tried(&key).await {
            Ok(tried) if tried.held || tried.dropped => None,
            Ok(tried) => Some(tried.answers.unclear().map_or_else(
                || format!("no trust root has or had the key {name}: it signs for somebody else"),
                |why| format!("whether a trust root had it is not known: {why}"),
            )),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What is current.
    pub(super) async fn artifacts(&self) -> Result<Vec<Artifact>, ConnectError> {
        const WHAT: &str = "reading the manifest";
        let Some(path) = &self.manifest else { return Ok(Vec::new()) };
        let failed =
            |kind, why: String| ConnectError::new(format!("manifest {}", path.display()), WHAT, kind, why);
        let text = tokio::time::timeout(self.context.call_limit, tokio::fs::read_to_string(path)).await;
        let text = text.map_err(|_e| {
            failed(ConnectErrorKind::Lost, "the file system did not answer in time".to_owned())
        })?;
        let text = text.map_err(|error| failed(ConnectErrorKind::Denied, error.kind().to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        manifest(&text, folder).map_err(|why| failed(ConnectErrorKind::Denied, why))
    }

    /// Reads one, on a thread that may block.
    pub(super) async fn file(&self, artifact: &Artifact) -> Result<Read, String> {
        let artifact = artifact.clone();
        let read = tokio::task::spawn_blocking(move || artifact.read(S::SUFFIX)).await;
        read.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Signatures of the key, beside what is current. Whoever has the key may have made any of them, and writes what time he likes. They
    /// decide nothing, so nobody waits for them for long.
    pub(super) async fn suspect(&self, key: &S::Public) -> Suspect {
        let Ok(artifacts) = self.artifacts().await else {
            return Suspect { named: json!("the manifest cannot be read"), more: 0, all: true };
        };
        let key = key.clone();
        let search = Arc::new(Search::default());
        let inside = Arc::clone(&search);
        let work = tokio::task::spawn_blocking(move || suspects::<S>(&artifacts, &key, &inside));
        let limit = self.context.call_limit.mul_f32(0.25).min(SEARCH);
        let ended = tokio::time::timeout(limit, work).await;
        search.stop.store(true, Ordering::Relaxed);
        let found =
            std::mem::take(&mut *search.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let more = found.len().saturating_sub(NAMED);
        let all = matches!(ended, Ok(Ok(())));
        Suspect { named: found.into_iter().take(NAMED).collect(), more, all }
    }
}

/// Longer is not looked for signatures that are suspect.
const SEARCH: Duration = Duration::from_secs(5);

/// Signatures of a key.
pub(super) struct Suspect {
    pub(super) named: Value,
    /// So many more there are than are named.
    pub(super) more: usize,
    /// All files were looked at in time.
    pub(super) all: bool,
}

/// What was found so far.
#[derive(Default)]
struct Search {
    found: Mutex<Vec<Value>>,
    stop: AtomicBool,
}

fn is_signed<S: Scheme>(key: &S::Secret, artifact: &Artifact, read: &Read) -> bool {
    let signature = artifact::signature_in(&artifact.signature_path(S::SUFFIX));
    signature.is_some_and(|it| S::is_signed(S::public(key), &it, &read.hashes))
}

fn suspects<S: Scheme>(artifacts: &[Artifact], key: &S::Public, search: &Search) {
    let current: Vec<PathBuf> = artifacts.iter().map(|it| it.signature_path(S::SUFFIX)).collect();
    let mut folders: Vec<&Path> = current.iter().filter_map(|path| path.parent()).collect();
    folders.sort();
    folders.dedup();
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let inside = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        paths.extend(inside.filter(|path| path.extension().is_some_and(|it| it == S::SUFFIX)));
    }
    paths.sort();
    for path in paths {
        if search.stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(signature) = artifact::signature_in(&path) else { continue };
        let of_file = || {
            let hashes = Hashes::read(&path.with_extension(""), &search.stop).ok()?;
            Some(S::is_signed(key, &signature, &hashes))
        };
        // Where it does not say whose it is, only one that verifies is the key's.
        if S::names(key, &signature).or_else(of_file) == Some(true) {
            let found = json!({
                "file": path.display().to_string(),
                "said_at": S::said_at(&signature),
                "current": current.contains(&path),
            });
            search.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(found);
        }
    }
}

/// Puts a trust root back, if nobody changed it meanwhile.
async fn written<S: Scheme>(store: &dyn Store, stored: &Stored, root: &Root<S>) -> Result<(), Stop> {
    const WHAT: &str = "writing a trust root";
    let text = SecretValue::from_text(root.text().trim_end().to_owned());
    let failed = |kind, why: String| Stop::Failed(ConnectError::new(store.target(), WHAT, kind, why));
    match store.swap(&stored.version, &text).await {
        Outcome::Applied { .. } => Ok(()),
        Outcome::NotApplied { reason, retryable: false, .. } => Err(Stop::Refused(reason)),
        Outcome::NotApplied { reason, .. } => Err(failed(ConnectErrorKind::Conflict, reason)),
        Outcome::Unknown { reason } => Err(failed(ConnectErrorKind::Lost, reason)),
    }
}

/// An outcome with what was done beside what was seen.
fn with(mut outcome: Outcome, done: Facts) -> Outcome {
    if let Outcome::Applied { facts } | Outcome::NotApplied { facts, .. } = &mut outcome {
        facts.extend(done);
    }
    outcome
}
