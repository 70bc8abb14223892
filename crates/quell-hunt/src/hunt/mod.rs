//! A hunt: all objects, then again for what the credential made, until nothing new turns up.

mod pass;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain;
use crate::cross::{Cross, audit};
use crate::digest::Digests;
use crate::engine::Source;
use crate::gap::Gap;
use crate::hash;
use crate::hint::Hints;
use crate::memory::{Memory, Recall};
use crate::needle::{Needle, NeedleError, Needles};
use crate::object::{Coverage, Fate, Object};
use crate::record::{Access, MadeKind, Role};
use crate::registration::Registered;
use crate::search::Task;
use crate::shard::Shard;
use crate::signature::{Keys, Signatures};
use crate::unpack::Unpacker;

use pass::{Context, pass};
use state::State;

/// Passes over the logs. Chains of credentials that are longer are said not to be followed to their end.
const MAX_PASSES: usize = 8;

/// Pairs of a key and one that was made with it that are kept to save passes.
const MAX_EDGES: i64 = 200_000;

/// Credentials that are followed.
const MAX_FOLLOWED: usize = 10_000;

/// What is looked for, where and when.
#[derive(Debug)]
pub struct Question {
    /// The leaked credential, in all of its spellings.
    pub needles: Vec<Needle>,
    /// Events before are not wanted.
    pub from: Option<Timestamp>,
    /// Events after are not wanted.
    pub to: Option<Timestamp>,
    /// Only these accounts, of objects whose name tells; empty: all.
    pub accounts: Vec<String>,
    /// Only these regions; empty: all.
    pub regions: Vec<String>,
    /// Only this part of the objects; what digests and names tell is still taken from all of them.
    pub shard: Option<Shard>,
    /// Credentials that came from the leaked one, as another shard found them: looked for from the start.
    pub follow: Vec<Followed>,
    /// Requests to S3 that the credential made, as another shard found them: their rows are looked for in S3's access logs.
    pub requests: BTreeSet<String>,
    /// AWS's public keys, to check the signatures of digests with.
    pub digest_keys: Option<Keys>,
    /// What the logs do not say of themselves.
    pub hints: Hints,
    /// Whether objects with a hit are named by their SHA-256: where the processor has no instructions for it, that costs several times
    /// as much as the search of a large log.
    pub hash: bool,
    /// Workers.
    pub threads: NonZero<usize>,
}

/// A credential that the hunt followed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Followed {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: MadeKind,
    /// The credential that it was made with.
    pub made_with: String,
    /// When.
    pub at: Option<Timestamp>,
    /// How often it was used.
    pub uses: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Hunt {
    /// In the order of time; those without one last.
    pub accesses: Vec<Access>,
    /// Credentials that came from the leaked one, in the order of time.
    pub followed: Vec<Followed>,
    /// Labels of all credentials that were looked for: the leaked ones, and what came from them.
    pub searched: BTreeSet<String>,
    /// The objects that the records are from, in the order of their names: whoever has these bytes can ask again.
    #[serde(default)]
    pub objects: Vec<Hashed>,
    /// How much was looked at.
    pub coverage: Coverage,
    /// Where something is missing, or seems to be.
    pub gaps: Vec<Gap>,
    /// The time that digests of CloudTrail's cover, if every account and region has some.
    pub digests: Option<(Timestamp, Timestamp)>,
    /// How many digests are signed by AWS; `None` if there were no keys to check that with.
    pub signatures: Option<Signatures>,
    /// The span that the logs tell of, by the names of objects and by the times of first and last lines.
    pub span: Option<(Timestamp, Timestamp)>,
    /// To whom the addresses are registered, with the data sets that say so; `None` without data.
    #[serde(default)]
    pub registered: Option<Registered>,
    /// How often the logs were gone through.
    pub passes: usize,
    /// Whether everything that was made was followed.
    pub closed: bool,
    /// Whether somebody stopped it.
    pub stopped: bool,
    /// The part of the objects that it is of; `None` for all of them.
    pub shard: Option<Shard>,
    /// Of a hunt that was put together from shards, or that another engine did: what is missing, in sentences.
    pub missing: Vec<String>,
    /// Who searched, if it was another engine.
    #[serde(default)]
    pub source: Option<Source>,
    /// What two logs say of the same requests.
    #[serde(default)]
    pub cross: Cross,
    /// What the lines of logs that are chained say of each other, in the order of the logs' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<chain::Log>,
    /// The rows of vsync's `audit.csv`, in the order of the logs' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<audit::Log>,
}

/// An object with a hit, by its content.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Hashed {
    /// Its name.
    pub name: String,
    /// Bytes as stored when it was searched; it may have grown since.
    pub size: u64,
    /// SHA-256 of these in hex; `None` if nobody asked for it, or if they could not be read a second time.
    pub sha256: Option<String>,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Which pass, from 1.
    pub pass: usize,
    /// Objects that are done, of how many.
    pub objects: u64,
    /// See above.
    pub of: u64,
    /// Bytes as stored that were read so far, of how many.
    pub bytes: u64,
    /// See above.
    pub of_bytes: u64,
}

/// Hunts through objects. `tell` hears of progress from any thread; setting `stop` ends it early, with what was found.
///
/// # Errors
/// When what is looked for cannot be: everything else is told in the result.
pub fn hunt(
    question: Question,
    objects: &[Object],
    tell: &(dyn Fn(Progress) + Sync),
    stop: &AtomicBool,
) -> Result<Hunt, NeedleError> {
    with_memory(question, objects, None, tell, stop)
}

/// The same, with a memory of what objects gave before: the result is the same, byte for byte, and only what the memory does not know
/// is read. Digests are always read.
///
/// # Errors
/// As above.
pub fn with_memory(
    question: Question,
    objects: &[Object],
    memory: Option<&dyn Memory>,
    tell: &(dyn Fn(Progress) + Sync),
    stop: &AtomicBool,
) -> Result<Hunt, NeedleError> {
    let wanted: Vec<&Object> = objects.iter().filter(|object| question.wants(object)).collect();
    let mine: Vec<&Object> = wanted.iter().copied().filter(|object| question.holds(object)).collect();
    let digests = Digests::read(&wanted, question.digest_keys.as_ref(), &mut Unpacker::default());
    let mut state = State::new(digests, question.hash);
    for object in objects.iter().filter(|object| !question.wants(object) && question.holds(object)) {
        state.coverage.add(&object.name, &Fate::Pruned);
    }
    let mut known: BTreeSet<String> = question.needles.iter().map(|needle| needle.label.clone()).collect();
    let mut next = question.needles;
    for followed in question.follow {
        if known.insert(followed.id.clone()) {
            next.push(Needle::id(&followed.id)?);
        }
        state.followed.push(Followed { uses: 0, ..followed });
    }
    let mut leaked: Option<Needles> = None;
    let mut closed = true;
    let (from, to, threads, shard) = (question.from, question.to, question.threads, question.shard);
    let hints = &question.hints;
    // The oldest event that the credentials of a pass can have been used in.
    let mut since: Option<Timestamp> = None;
    while !next.is_empty() && !stop.load(Ordering::Relaxed) {
        if state.passes == MAX_PASSES || known.len() > MAX_FOLLOWED {
            closed = false;
            break;
        }
        state.passes += 1;
        let made = Needles::new(std::mem::take(&mut next))?;
        let needles = &made;
        let later: Vec<&Object> = mine
            .iter()
            .copied()
            .filter(|it| it.delivery.as_ref().is_none_or(|it| it.may_hold(since, None)))
            .collect();
        // What digests say is compared once.
        let none = Digests::default();
        let digests = if state.passes == 1 { &state.digests } else { &none };
        let edges = AtomicI64::new(if state.passes == 1 { MAX_EDGES } else { 0 });
        let task = Task { needles, digests, hints, edges, first: state.passes == 1, hash: question.hash };
        let recall = memory.map(|memory| Recall::new(memory, &task, state.passes));
        let secret = leaked.as_ref().unwrap_or(needles);
        let context = Context { threads, pass: state.passes, recall: recall.as_ref(), secret, tell, stop };
        let seen = pass(&later, &task, &context);
        let fresh = state.take(&later, seen, from, to);
        since = fresh.iter().filter_map(|(_, _, at)| *at).min();
        if fresh.iter().any(|(_, _, at)| at.is_none()) {
            since = None;
        }
        closed &= state.follow(fresh, &mut known, &mut next);
        // The leaked value may stand in a record that is found by another credential.
        leaked.get_or_insert(made);
        // What these made in turn, as far as it was seen in passing: looked for now, listed when its maker's record is read.
        for id in state.beyond(&mut known) {
            next.extend(Needle::id(&id).ok());
        }
    }
    if !stop.load(Ordering::Relaxed) {
        let nothing = Needles::new(Vec::new())?;
        let secret = leaked.as_ref().unwrap_or(&nothing);
        let context = Context { threads, pass: state.passes + 1, recall: None, secret, tell, stop };
        state.compare(&mine, question.requests, hints, &context)?;
    }
    let stopped = stop.load(Ordering::Relaxed);
    let mut found = state.finish(&wanted, (from, to), closed && !stopped, stopped);
    (found.searched, found.shard) = (known, shard);
    if question.hash {
        hash::rest(&mut found.objects, &mine, threads, stop);
    }
    Ok(found)
}

impl Question {
    /// Whether an object may hold what is asked for.
    pub fn wants(&self, object: &Object) -> bool {
        let Some(delivery) = &object.delivery else { return true };
        let among = |list: &[String], one: &str| list.is_empty() || list.iter().any(|it| it == one);
        delivery.may_hold(self.from, self.to)
            && among(&self.accounts, &delivery.stream.account)
            && among(&self.regions, &delivery.stream.region)
    }

    /// Whether an object is one of this shard's.
    fn holds(&self, object: &Object) -> bool {
        self.shard.is_none_or(|shard| shard.holds(&object.name))
    }
}

impl Hunt {
    /// Leaves those objects that records are told from: not one whose hits all lie outside of the window.
    pub(crate) fn keep_objects(&mut self) {
        let joined = self.cross.s3.iter().flat_map(|it| &it.joined).map(|it| &it.row);
        let told: BTreeSet<&str> = self.accesses.iter().chain(joined).map(|it| it.object.as_str()).collect();
        self.objects.retain(|it| told.contains(it.name.as_str()));
    }
}

/// Puts records and credentials into the order of time, and counts how often each credential was used.
pub(crate) fn sort(accesses: &mut [Access], followed: &mut [Followed]) {
    accesses.sort_by(|a, b| {
        let key = |it: &Access| (it.time.is_none(), it.time);
        key(a)
            .cmp(&key(b))
            .then_with(|| (&a.object, a.place, &a.credential).cmp(&(&b.object, b.place, &b.credential)))
    });
    let mut uses: BTreeMap<&str, u64> = BTreeMap::new();
    for access in accesses.iter().filter(|access| access.role == Role::Used) {
        *uses.entry(&access.credential).or_default() += 1;
    }
    for one in followed.iter_mut() {
        one.uses = uses.get(one.id.as_str()).copied().unwrap_or(0);
    }
    followed.sort_by(|a, b| (a.at.is_none(), a.at, &a.id).cmp(&(b.at.is_none(), b.at, &b.id)));
}

/// What a hunt would read, to be told before a large one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Estimate {
    /// Objects that would be opened.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// Objects that lie outside of what is asked for.
    pub pruned: u64,
}

/// By the names of the objects alone.
pub fn estimate(question: &Question, objects: &[Object]) -> Estimate {
    let mut estimate = Estimate::default();
    for object in objects.iter().filter(|object| question.holds(object)) {
        if question.wants(object) {
            estimate.objects += 1;
            estimate.bytes += object.size;
        } else {
            estimate.pruned += 1;
        }
    }
    estimate
}
