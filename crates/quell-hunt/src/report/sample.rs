//! Reports for the tests of formats: everything that a stranger can write is what the test chooses.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use quell_core::event::Verdict;

use super::{Asked, Report};
use crate::cross::s3::{Compared, Joined, Single};
use crate::cross::{Cross, vsync};
use crate::detect::{Anomaly, Baseline, Detection, Weight};
use crate::format::Format;
use crate::gap::{Gap, Strength};
use crate::hunt::{Followed, Hunt};
use crate::object::{Coverage, Fate, Problem};
use crate::record::{Access, Made, MadeKind, Outcome, Role};
use crate::verdict::{Condition, Judgement, Knowledge};

/// What a report borrows from.
pub(super) struct Sample {
    pub(super) hunt: Hunt,
    detection: Detection,
    judgement: Judgement,
    pub(super) asked: Asked,
}

/// A minute of the time that samples are of.
pub(super) fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_mins(minute)).unwrap()
}

/// An access with a text in every field that has one.
pub(super) fn access(minute: i64, text: &str) -> Access {
    let some = || Some(text.to_owned());
    Access {
        time: Some(at(minute)),
        format: Format::Cloudtrail,
        object: text.to_owned(),
        place: 7,
        credential: text.to_owned(),
        role: Role::Used,
        actor: some(),
        action: text.to_owned(),
        resource: some(),
        address: some(),
        agent: some(),
        outcome: Outcome::Denied(text.to_owned()),
        reads: Some(true),
        request: some(),
        account: some(),
        region: some(),
        made: vec![
            Made { kind: MadeKind::Key, id: text.to_owned() },
            Made { kind: MadeKind::Policy, id: text.to_owned() },
        ],
        bytes: Some(113),
        host_id: some(),
        sha256: "00".repeat(32),
    }
}

/// A read of vsync's bundle without a row.
fn bundles(text: &str) -> vsync::Compared {
    let text = || text.to_owned();
    let read = vsync::Read {
        from: at(7),
        to: at(7),
        requests: 2,
        record: text(),
        resource: text(),
        version: text(),
        actor: text(),
        address: Some(text()),
        agent: Some(text()),
        client: true,
        followed: Some(false),
        could_write: None,
        late: true,
    };
    vsync::Compared { reads: 1, alone: vec![read], ..vsync::Compared::default() }
}

impl Sample {
    /// With this text wherever text can be.
    pub(super) fn of(text: &str) -> Self {
        Self::with(text, vec![access(0, text), access(90, text), Access { time: None, ..access(0, text) }])
    }

    /// With these records, and this text in all that is said beside them.
    pub(super) fn with(text: &str, accesses: Vec<Access>) -> Self {
        let text = || text.to_owned();
        let gap = |strength| Gap { stream: text(), from: at(30), to: at(60), strength, why: text() };
        let single = || Single { record: text(), request: Some(text()), what: text() };
        let problem = Problem { object: text(), fate: Fate::Corrupt(text()) };
        let coverage = Coverage {
            objects: 3,
            scanned: 2,
            corrupt: 1,
            formats: BTreeMap::from([(Format::Cloudtrail, 2)]),
            cut_off: vec![text()],
            problems: vec![problem],
            ..Coverage::default()
        };
        let followed =
            Followed { id: text(), kind: MadeKind::Session, made_with: text(), at: Some(at(5)), uses: 3 };
        let anomaly = Anomaly {
            id: "0a1b2c3d".to_owned(),
            content: String::new(),
            detector: "sample",
            weight: Weight::High,
            title: text(),
            credential: text(),
            from: Some(at(0)),
            to: Some(at(90)),
            records: vec![0, 1],
            addresses: vec![text()],
            folded: Vec::new(),
        };
        Self {
            hunt: Hunt {
                accesses,
                followed: vec![followed],
                coverage,
                gaps: vec![gap(Strength::Suggestive), gap(Strength::Missing), gap(Strength::TooQuiet)],
                passes: 1,
                closed: true,
                cross: Cross {
                    s3: Some(Compared {
                        joined: vec![Joined { record: text(), same_address: false, row: access(0, &text()) }],
                        trail_only: vec![single()],
                        unlogged: BTreeMap::from([(text(), 1)]),
                        log_only: vec![single()],
                        ..Compared::default()
                    }),
                    vsync: Some(bundles(&text())),
                },
                ..Hunt::default()
            },
            detection: Detection { anomalies: vec![anomaly], baseline: Baseline::None { why: text() } },
            judgement: Judgement {
                verdict: Verdict::CannotTell,
                because: text(),
                conditions: vec![
                    Condition { met: true, text: text() },
                    Condition { met: false, text: text() },
                ],
                foreign: 3,
                own: 0,
            },
            asked: Asked {
                credentials: vec![text()],
                knowledge: Knowledge {
                    exposed: Some(at(10)),
                    revoked: Some(at(80)),
                    known: vec![text(), "198.51.100.0/24".to_owned()],
                    ..Knowledge::default()
                },
                zone: Some(text()),
                mapping: Some(text()),
                ..Asked::default()
            },
        }
    }

    /// All of it.
    pub(super) fn report(&self) -> Report<'_> {
        Report::new(&self.asked, &self.hunt, &self.detection, &self.judgement)
    }
}
