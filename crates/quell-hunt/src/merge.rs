//! One hunt from the shards of many machines: the records of all, each object counted once, and what one shard found that the
//! others did not look for.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain;
use crate::cross::{self, audit};
use crate::format::{Format, vault};
use crate::gap;
use crate::hunt::{Hunt, sort};
use crate::record::Access;
use crate::shard::Shard;

/// Why shards are not of one hunt.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Nothing was given.
    #[error("no shards were given")]
    None,
    /// Another question.
    #[error(
        "report {0} was asked something else than the first: the same credentials, times and --known for all shards"
    )]
    Asked(usize),
    /// A whole hunt among shards.
    #[error("report {0} is not of a shard: only hunts with --shard are put together")]
    Whole(usize),
    /// One was given twice: its objects would count twice.
    #[error("shard {0} was given twice: give each once")]
    Twice(Shard),
    /// Shards of different cuts overlap.
    #[error("shards {0} and {1} are of different counts: all shards are of one cut")]
    Counts(Shard, Shard),
}

/// Puts shards together. What is missing is said in [`Hunt::missing`] and keeps the verdict from being "complete": a shard that
/// was not given, and a credential that one shard found and another did not look for.
///
/// # Errors
/// When the parts cannot be shards of one hunt.
pub fn merge(parts: Vec<Hunt>) -> Result<Hunt, MergeError> {
    let mut shards: BTreeMap<Shard, Hunt> = BTreeMap::new();
    for (at, part) in parts.into_iter().enumerate() {
        let shard = part.shard.ok_or(MergeError::Whole(at + 1))?;
        if let Some((first, _)) = shards.first_key_value()
            && first.of() != shard.of()
        {
            return Err(MergeError::Counts(*first, shard));
        }
        if shards.insert(shard, part).is_some() {
            return Err(MergeError::Twice(shard));
        }
    }
    let count = shards.keys().next().ok_or(MergeError::None)?.of();
    let mut missing = absent(&shards, count);
    let searched: BTreeSet<String> = shards.values().flat_map(|part| &part.searched).cloned().collect();
    missing.extend(shards.iter().filter_map(|(shard, part)| unaware(*shard, part, &searched)));
    let mut whole = Hunt {
        searched,
        digests: shards.values().next().and_then(|part| part.digests),
        signatures: shards.values().next().and_then(|part| part.signatures.clone()),
        closed: shards.values().all(|part| part.closed),
        stopped: shards.values().any(|part| part.stopped),
        missing,
        ..Hunt::default()
    };
    let mut parts = Vec::new();
    for mut part in shards.into_values() {
        let has_rows = part.coverage.formats.contains_key(&Format::S3);
        parts.push((has_rows, part.cross.s3.take()));
        whole.take(part);
    }
    whole.settle();
    whole.compare(parts);
    whole.cross.vsync = cross::vsync::compare(&whole.accesses, &whole.audits, &whole.coverage);
    whole.keep_objects();
    Ok(whole)
}

/// Shards that were not given.
fn absent(shards: &BTreeMap<Shard, Hunt>, count: u32) -> Vec<String> {
    let given: BTreeSet<u32> = shards.keys().map(|shard| shard.index()).collect();
    let absent: Vec<String> =
        (0..count).filter(|index| !given.contains(index)).map(|index| format!("{index}/{count}")).collect();
    match absent.first() {
        None => Vec::new(),
        Some(first) if absent.len() == 1 => vec![format!("shard {first} was not given")],
        Some(first) => vec![format!("{} shards were not given, such as {first}", absent.len())],
    }
}

/// What others found and this shard did not look for.
fn unaware(shard: Shard, part: &Hunt, searched: &BTreeSet<String>) -> Option<String> {
    let mut rest = searched.difference(&part.searched);
    let first = rest.next()?;
    Some(format!(
        "shard {shard} did not look for {} credentials that others found, such as `{first}`: run it again with --follow",
        1 + rest.count()
    ))
}

impl Hunt {
    /// Adds what a shard saw.
    fn take(&mut self, part: Self) {
        self.coverage.take(part.coverage);
        self.objects.extend(part.objects);
        self.accesses.extend(part.accesses);
        // What lies between two logs is told anew once all of them are there.
        let told = [chain::gaps(&part.chains), audit::gaps(&part.audits)].concat();
        self.gaps.extend(part.gaps.into_iter().filter(|gap| !told.contains(gap)));
        self.chains.extend(part.chains);
        self.audits.extend(part.audits);
        self.passes = self.passes.max(part.passes);
        self.span = match (self.span, part.span) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        match (&mut self.registered, part.registered) {
            (Some(all), Some(more)) => all.addresses.extend(more.addresses),
            (all, more) => *all = all.take().or(more),
        }
        // A credential may be known to a shard before it saw who made it: whoever knows the time saw that.
        for one in part.followed {
            match self.followed.iter_mut().find(|it| it.id == one.id) {
                Some(known) if known.at.is_none() && one.at.is_some() => *known = one,
                Some(_) => {}
                None => self.followed.push(one),
            }
        }
    }

    /// Joins S3's rows with CloudTrail's records, wherever either was found. Each part says whether it has access logs of S3's.
    fn compare(&mut self, parts: Vec<(bool, Option<cross::s3::Compared>)>) {
        let both = cross::s3::is_possible(&self.coverage);
        if !both && parts.iter().all(|(_, part)| part.is_none()) {
            return;
        }
        let asked = cross::s3::name(&cross::s3::requests(&self.accesses));
        let (mut found, mut partial, mut left_out) = (Vec::new(), false, 0);
        for (has_rows, part) in parts {
            let part = part.unwrap_or_default();
            partial |= has_rows && part.asked != asked;
            left_out = part.left_out.max(left_out);
            found.extend(part.joined.into_iter().map(|it| it.row).chain(part.loose));
        }
        let compared = cross::s3::join(&mut self.accesses, found, both);
        sort(&mut self.accesses, &mut self.followed);
        self.cross.s3 = Some(cross::s3::Compared { left_out, asked, partial, ..compared });
    }

    /// What shards could not see of each other: records delivered twice, answers apart from their requests.
    fn settle(&mut self) {
        let duplicates = once(&mut self.accesses);
        self.coverage.duplicates += duplicates;
        vault::pair(&mut self.accesses);
        sort(&mut self.accesses, &mut self.followed);
        self.chains.sort_by(|a, b| a.object.cmp(&b.object));
        self.gaps.append(&mut chain::gaps(&self.chains));
        self.audits.sort_by(|a, b| a.object.cmp(&b.object));
        self.gaps.append(&mut audit::gaps(&self.audits));
        // What names and digests tell is the same in each shard.
        gap::sort(&mut self.gaps);
        self.objects.sort();
        self.gaps.dedup();
        self.coverage.sort();
    }
}

/// Keeps a record that is in several objects once, in the first of them.
fn once(accesses: &mut Vec<Access>) -> u64 {
    accesses.sort_by(|a, b| (&a.object, a.place, &a.credential).cmp(&(&b.object, b.place, &b.credential)));
    let mut first: BTreeMap<(String, String), String> = BTreeMap::new();
    let before = accesses.len();
    accesses.retain(|it| {
        let object =
            first.entry((it.sha256.clone(), it.credential.clone())).or_insert_with(|| it.object.clone());
        *object == it.object
    });
    (before - accesses.len()) as u64
}
