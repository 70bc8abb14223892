//! What passes gave so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;

use jiff::Timestamp;

use super::pass::{Context, pass};
use super::{Followed, Hashed, Hunt, sort};
use crate::chain;
use crate::cross::{self, Cross, audit};
use crate::digest::Digests;
use crate::format::{Format, vault};
use crate::gap::{self, Gap, Strength};
use crate::hint::Hints;
use crate::needle::{Needle, NeedleError, Needles};
use crate::object::{Coverage, Fate, Object};
use crate::record::{Access, Made};
use crate::search::{Seen, Task};

#[derive(Default)]
pub(super) struct State {
    accesses: Vec<Access>,
    /// Records that were seen, by content and credential, with their object: one may be delivered twice, in two objects. In one
    /// object two that are alike are two.
    records: BTreeMap<(String, String), String>,
    pub(super) followed: Vec<Followed>,
    pub(super) coverage: Coverage,
    /// Names of objects that were searched to their end in each pass so far.
    failed: BTreeSet<String>,
    pub(super) digests: Digests,
    altered: Vec<Gap>,
    /// Objects with a hit, and whether their SHA-256 is wanted.
    hashed: BTreeMap<String, Hashed>,
    hash: bool,
    /// From a credential to those that were made with it.
    edges: BTreeMap<String, Vec<String>>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    pub(super) passes: usize,
    /// Names of objects that are access logs of S3's.
    s3: BTreeSet<String>,
    cross: Cross,
    chains: Vec<chain::Log>,
    audits: Vec<audit::Log>,
    /// What is wrong with the times within logs.
    clocks: Vec<Gap>,
}

impl State {
    /// Nothing yet. `hash`: whether objects with a hit are named by their SHA-256.
    pub(super) fn new(digests: Digests, hash: bool) -> Self {
        Self { digests, hash, ..Self::default() }
    }

    /// Credentials that known ones made, by the edges of the first pass.
    pub(super) fn beyond(&mut self, known: &mut BTreeSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        let mut waiting: Vec<String> = known.iter().cloned().collect();
        while let Some(from) = waiting.pop() {
            for to in self.edges.remove(&from).unwrap_or_default() {
                if known.insert(to.clone()) {
                    waiting.push(to.clone());
                    found.push(to);
                }
            }
        }
        found
    }

    /// Takes what was made as the next to be looked for; whether all of it can be.
    pub(super) fn follow(
        &mut self,
        fresh: Vec<(Made, String, Option<Timestamp>)>,
        known: &mut BTreeSet<String>,
        next: &mut Vec<Needle>,
    ) -> bool {
        let mut all = true;
        for (made, made_with, at) in fresh {
            if !self.followed.iter().any(|followed| followed.id == made.id) {
                self.followed.push(Followed { id: made.id.clone(), kind: made.kind, made_with, at, uses: 0 });
            }
            if known.insert(made.id.clone()) {
                match Needle::id(&made.id) {
                    Ok(needle) => next.push(needle),
                    Err(_) => all = false,
                }
            }
        }
        all
    }

    /// Takes what a pass gave; what was made in it and by which credential.
    pub(super) fn take(
        &mut self,
        objects: &[&Object],
        seen: Vec<Option<Box<Seen>>>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Vec<(Made, String, Option<Timestamp>)> {
        let mut fresh = Vec::new();
        for (object, seen) in objects.iter().zip(seen) {
            let seen = seen.unwrap_or_else(|| {
                Box::new(Seen::new(Fate::Unreadable("the hunt was stopped before".to_owned())))
            });
            self.count(object, &seen);
            for (from, to) in seen.edges {
                self.edges.entry(from).or_default().push(to);
            }
            let within = |at: Timestamp| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to);
            for access in seen.accesses {
                let known = self.records.entry((access.sha256.clone(), access.credential.clone()));
                if *known.or_insert_with(|| access.object.clone()) != access.object {
                    self.coverage.duplicates += 1;
                } else if access.time.is_none_or(within) {
                    let credentials = access.made.iter().filter(|made| made.kind.is_credential());
                    fresh.extend(
                        credentials.map(|made| (made.clone(), access.credential.clone(), access.time)),
                    );
                    self.accesses.push(access);
                }
            }
        }
        fresh
    }

    /// Looks in S3's access logs for the requests that CloudTrail tells of, and joins the two. `more` are requests of other shards.
    pub(super) fn compare(
        &mut self,
        mine: &[&Object],
        more: BTreeSet<String>,
        hints: &Hints,
        context: &Context<'_>,
    ) -> Result<(), NeedleError> {
        let both = cross::s3::is_possible(&self.coverage);
        let mut requests = cross::s3::requests(&self.accesses);
        requests.extend(more);
        if self.s3.is_empty() || !both && requests.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        let (needles, left_out) = cross::s3::needles(&requests);
        if !needles.is_empty() {
            self.passes += 1;
            let needles = &Needles::new(needles)?;
            let (edges, first) = (AtomicI64::new(0), false);
            let task = Task { needles, digests: &Digests::default(), hints, edges, first, hash: self.hash };
            let logs: Vec<&Object> = mine.iter().copied().filter(|it| self.s3.contains(&*it.name)).collect();
            let seen = pass(&logs, &task, context);
            for (object, seen) in logs.iter().zip(seen) {
                let Some(seen) = seen else { continue };
                self.count(object, &seen);
                // Where else the text of an id may stand, strangers chose it.
                found.extend(
                    seen.accesses.into_iter().filter(|it| it.request.as_ref() == Some(&it.credential)),
                );
            }
        }
        let compared = cross::s3::join(&mut self.accesses, found, both);
        let asked = cross::s3::name(&requests);
        self.cross.s3 = Some(cross::s3::Compared { left_out, asked, ..compared });
        Ok(())
    }

    fn count(&mut self, object: &Object, seen: &Seen) {
        if !seen.accesses.is_empty() {
            let hashed =
                Hashed { name: object.name.to_string(), size: seen.stored, sha256: seen.sha256.clone() };
            self.hashed.entry(hashed.name.clone()).or_insert(hashed);
        }
        self.coverage.unparsed += seen.unparsed;
        if self.passes > 1 {
            // Counted in the first pass; it may have vanished or changed since.
            if seen.fate.why().is_some() && self.failed.insert(object.name.to_string()) {
                self.coverage.scanned -= 1;
                self.coverage.objects -= 1;
                self.coverage.add(&object.name, &seen.fate);
            }
            return;
        }
        self.coverage.add(&object.name, &seen.fate);
        self.coverage.bytes_read += seen.stored;
        self.coverage.bytes_searched += seen.searched;
        if seen.fate.why().is_some() {
            self.failed.insert(object.name.to_string());
        } else if let Some(format) = seen.format {
            self.coverage.add_format(format);
            if format == Format::S3 {
                self.s3.insert(object.name.to_string());
            }
        }
        if seen.altered
            && let Some(delivery) = &object.delivery
        {
            self.altered.push(Gap {
                stream: delivery.stream.to_string(),
                from: delivery.at,
                to: delivery.at,
                strength: Strength::Altered,
                why: format!("`{}` is not what its digest says it was", object.name),
            });
        }
        self.clocks
            .extend(seen.gaps.iter().map(|gap| Gap { stream: object.name.to_string(), ..gap.clone() }));
        if let Some(chain) = &seen.chain {
            self.chains.push(chain::Log { object: object.name.to_string(), chain: chain.as_ref().clone() });
        }
        if let Some(audit) = &seen.audit {
            self.audits.push(audit::Log { object: object.name.to_string(), audit: audit.as_ref().clone() });
        }
        if seen.cut_off {
            self.coverage.cut_off.push(object.name.to_string());
        }
        let at = object.delivery.as_ref().map(|delivery| delivery.at);
        for time in [at, seen.first, seen.last].into_iter().flatten() {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
    }

    pub(super) fn finish(
        mut self,
        objects: &[&Object],
        window: (Option<Timestamp>, Option<Timestamp>),
        closed: bool,
        stopped: bool,
    ) -> Hunt {
        vault::pair(&mut self.accesses);
        sort(&mut self.accesses, &mut self.followed);
        // Where digests prove what is there, a silence is one.
        let rest: Vec<&Object> = objects.iter().copied().filter(|it| !self.digests.cover(it)).collect();
        let unvouched = rest.iter().any(|object| object.delivery.is_some());
        let mut gaps = gap::find(&rest, window);
        gaps.append(&mut self.digests.gaps(objects, window));
        gaps.append(&mut self.altered);
        let (from, to) = window;
        self.clocks
            .retain(|gap| from.is_none_or(|from| gap.to >= from) && to.is_none_or(|to| gap.from <= to));
        gaps.append(&mut self.clocks);
        gaps.append(&mut chain::gaps(&self.chains));
        gaps.append(&mut audit::gaps(&self.audits));
        self.cross.vsync = cross::vsync::compare(&self.accesses, &self.audits, &self.coverage);
        gap::sort(&mut gaps);
        self.coverage.sort();
        let mut hunt = Hunt {
            objects: self.hashed.into_values().collect(),
            accesses: self.accesses,
            followed: self.followed,
            searched: BTreeSet::new(),
            coverage: self.coverage,
            gaps,
            signatures: self.digests.signatures().cloned(),
            registered: None,
            digests: self.digests.span().filter(|_| !unvouched),
            span: self.first.zip(self.last),
            passes: self.passes,
            closed,
            stopped,
            shard: None,
            missing: Vec::new(),
            source: None,
            cross: self.cross,
            chains: self.chains,
            audits: self.audits,
        };
        hunt.keep_objects();
        hunt
    }
}
