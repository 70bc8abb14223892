//! Uses over time, a lane for each place that they came from: numbers for the template, which draws them as SVG.
//!
//! Everything here is a whole number of pixels, so that the same report is the same bytes on every machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::gap::{Gap, Strength};
use crate::record::{Access, Outcome, Role};
use crate::report::{Report, clean};
use crate::verdict::Owner;

/// Buckets of time, and pixels of each.
const BUCKETS: i64 = 120;
const STEP: i64 = 6;
/// Where time begins, to the right of the names of lanes.
const LEFT: i64 = 240;
/// Pixels above the first lane, for the names of marks.
const TOP: i64 = 40;
/// Pixels of a lane, and of its highest bar.
const LANE: i64 = 44;
const HIGHEST: i64 = 36;
/// Lanes of single addresses; all others share one.
const ADDRESSES: usize = 8;
/// Gaps that are drawn; the list below the plot has all.
const GAPS: usize = 300;
/// Steps of the axis in seconds, from a second to ten years.
const TICKS: [i64; 19] = [
    1,
    10,
    60,
    300,
    900,
    3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    86_400,
    2 * 86_400,
    7 * 86_400,
    14 * 86_400,
    30 * 86_400,
    91 * 86_400,
    182 * 86_400,
    365 * 86_400,
    1826 * 86_400,
    3652 * 86_400,
];
/// Ticks that there is room for.
const MOST_TICKS: i64 = 7;

/// A drawing in pixels.
#[derive(Serialize)]
pub(super) struct Plot {
    width: i64,
    height: i64,
    left: i64,
    right: i64,
    top: i64,
    bottom: i64,
    lanes: Vec<Lane>,
    ticks: Vec<Tick>,
    marks: Vec<Mark>,
    gaps: Vec<Shade>,
    /// How long a bucket is, in words.
    bucket: String,
    /// Uses without a time, which are nowhere in it.
    timeless: usize,
}

#[derive(Serialize)]
struct Lane {
    name: String,
    /// `own`, `foreign` or `named`: a class of the style sheet.
    kind: &'static str,
    /// The line that its bars stand on.
    base: i64,
    total: u64,
    bars: Vec<Bar>,
}

/// Records of a bucket: those that were allowed at the bottom, others above.
#[derive(Serialize)]
struct Bar {
    x: i64,
    width: i64,
    allowed_y: i64,
    allowed_height: i64,
    other_y: i64,
    other_height: i64,
    title: String,
}

#[derive(Serialize)]
struct Tick {
    x: i64,
    label: String,
}

#[derive(Serialize)]
struct Mark {
    x: i64,
    kind: &'static str,
    label: String,
    /// Where its name ends instead of begins when it stands at the right edge.
    anchor: &'static str,
    y: i64,
}

#[derive(Serialize)]
struct Shade {
    x: i64,
    width: i64,
    proven: bool,
    title: String,
}

#[derive(Clone, Copy, Default)]
struct Count {
    allowed: u64,
    other: u64,
}

/// What is drawn, or `None` when nothing has a time.
pub(super) fn plot(report: &Report<'_>) -> Option<Plot> {
    let span = Span::of(report)?;
    let lanes = lanes(report, &span);
    let bottom = TOP + LANE * i64::try_from(lanes.len()).unwrap_or(0);
    let knowledge = &report.asked.knowledge;
    let all = [(knowledge.exposed, "exposed", "exposed"), (knowledge.revoked, "revoked", "revoked")];
    let mut marks: Vec<Mark> = Vec::new();
    for (at, kind, word) in all {
        let Some(at) = at else { continue };
        let x = span.x(at);
        let late = x > LEFT + BUCKETS * STEP * 2 / 3;
        let label = format!("{word} {}", minute(at));
        let y = TOP - 24 + 14 * i64::try_from(marks.len()).unwrap_or(0);
        marks.push(Mark { x, kind, label, anchor: if late { "end" } else { "start" }, y });
    }
    Some(Plot {
        width: LEFT + BUCKETS * STEP + 30,
        height: bottom + 30,
        left: LEFT,
        right: LEFT + BUCKETS * STEP,
        top: TOP,
        bottom,
        lanes,
        ticks: span.ticks(),
        marks,
        gaps: report.hunt.gaps.iter().filter_map(|gap| span.shade(gap)).take(GAPS).collect(),
        bucket: words(span.bucket),
        timeless: report.hunt.accesses.iter().filter(|it| it.role == Role::Used && it.time.is_none()).count(),
    })
}

/// The time that is shown, in seconds since 1970.
struct Span {
    start: i64,
    /// Seconds of a bucket.
    bucket: i64,
}

impl Span {
    fn of(report: &Report<'_>) -> Option<Self> {
        let (asked, knowledge) = (report.asked, &report.asked.knowledge);
        let known = [asked.from, asked.to, knowledge.exposed, knowledge.revoked];
        let uses = report.hunt.accesses.iter().filter_map(|access| access.time);
        let gaps = report.hunt.gaps.iter().flat_map(|gap| [gap.from, gap.to]);
        // Gaps reach to the edges of what was asked for; without that they show how far the logs do.
        let gaps = gaps.filter(|_| asked.from.is_none() && asked.to.is_none());
        let all: Vec<i64> =
            known.into_iter().flatten().chain(uses).chain(gaps).map(Timestamp::as_second).collect();
        let (start, end) = (*all.iter().min()?, *all.iter().max()?);
        let bucket = (end - start) / BUCKETS + 1;
        Some(Self { start, bucket })
    }

    /// The bucket of a time, which is clamped to what is shown.
    fn place(&self, at: Timestamp) -> i64 {
        ((at.as_second() - self.start) / self.bucket).clamp(0, BUCKETS - 1)
    }

    fn x(&self, at: Timestamp) -> i64 {
        self.pixel(at.as_second())
    }

    fn pixel(&self, second: i64) -> i64 {
        let width = BUCKETS * STEP;
        LEFT + ((second - self.start) * STEP / self.bucket).clamp(0, width)
    }

    fn ticks(&self) -> Vec<Tick> {
        let length = self.bucket * BUCKETS;
        let fits = TICKS.into_iter().find(|step| length / step <= MOST_TICKS);
        // Beyond some decades somebody wrote nonsense into a log; the whole is divided evenly.
        let step = fits.unwrap_or(length / MOST_TICKS).max(1);
        let first = self.start + (-self.start).rem_euclid(step);
        let seconds = (0..=MOST_TICKS).map(|n| first + n * step).take_while(|at| *at <= self.start + length);
        seconds
            .filter_map(|second| {
                let at = Timestamp::from_second(second).ok()?;
                let format = if step >= 86_400 {
                    "%Y-%m-%d"
                } else if step >= 60 {
                    "%m-%d %H:%M"
                } else {
                    "%H:%M:%S"
                };
                Some(Tick { x: self.pixel(second), label: at.strftime(format).to_string() })
            })
            .collect()
    }

    fn shade(&self, gap: &Gap) -> Option<Shade> {
        // Streams that are too quiet to judge would cover everything.
        let proven = match gap.strength {
            Strength::TooQuiet => return None,
            Strength::Suggestive => false,
            Strength::Missing | Strength::Altered => true,
        };
        let (from, to) = (self.x(gap.from), self.x(gap.to));
        let title = format!(
            "gap ({}) {} to {} in {}: {}",
            gap.strength.word(),
            gap.from,
            gap.to,
            clean(&gap.stream),
            clean(&gap.why)
        );
        Some(Shade { x: from, width: (to - from).max(3), proven, title })
    }
}

/// A lane for the owner's addresses, one for each of the busiest others, one for the rest, and one for records that only name it.
fn lanes(report: &Report<'_>, span: &Span) -> Vec<Lane> {
    let owner = Owner::new(&report.asked.knowledge.known);
    let foreign =
        |access: &&Access| access.role == Role::Used && access.time.is_some() && !owner.owns(access);
    let mut busy: BTreeMap<&str, u64> = BTreeMap::new();
    for access in report.hunt.accesses.iter().filter(foreign) {
        *busy.entry(place(access)).or_default() += 1;
    }
    let mut order: Vec<(&str, u64)> = busy.into_iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let alone: Vec<&str> = order.iter().take(ADDRESSES).map(|(address, _)| *address).collect();
    let rest = order.len().saturating_sub(ADDRESSES);
    let mut counts: BTreeMap<usize, BTreeMap<i64, Count>> = BTreeMap::new();
    for access in &report.hunt.accesses {
        let Some(at) = access.time else { continue };
        // The order of lanes: single addresses, the rest, the owner's, those that only name it.
        let lane = match access.role {
            Role::Mentioned => ADDRESSES + 2,
            Role::Used if owner.owns(access) => ADDRESSES + 1,
            Role::Used => alone.iter().position(|it| *it == place(access)).unwrap_or(ADDRESSES),
        };
        let count = counts.entry(lane).or_default().entry(span.place(at)).or_default();
        if access.outcome == Outcome::Allowed {
            count.allowed += 1;
        } else {
            count.other += 1;
        }
    }
    let tallest = counts.values().flat_map(BTreeMap::values).map(|it| it.allowed + it.other).max();
    let tallest = root(tallest.unwrap_or(1)).max(1);
    let mut lanes = Vec::new();
    for (lane, buckets) in counts {
        let (name, kind) = match alone.get(lane) {
            Some(address) => (clean(address), "foreign"),
            None if lane == ADDRESSES => (format!("{rest} more addresses"), "foreign"),
            None if lane == ADDRESSES + 1 => ("yours (--known)".to_owned(), "own"),
            None => ("records that only name it".to_owned(), "named"),
        };
        let base = TOP + LANE * (i64::try_from(lanes.len()).unwrap_or(0) + 1) - 4;
        let total = buckets.values().map(|it| it.allowed + it.other).sum();
        let bars = buckets.iter().map(|(at, count)| bar(*at, *count, base, tallest, span)).collect();
        lanes.push(Lane { name: short(&name), kind, base, total, bars });
    }
    lanes
}

/// From where, as it is written.
fn place(access: &Access) -> &str {
    access.address.as_deref().unwrap_or("no address in the log")
}

fn bar(at: i64, count: Count, base: i64, tallest: i64, span: &Span) -> Bar {
    let all = count.allowed + count.other;
    let height = (root(all) * HIGHEST / tallest).max(3);
    let share =
        i64::try_from(u128::from(count.allowed) * u128::from(height.unsigned_abs()) / u128::from(all.max(1)));
    // Even one of a thousand is seen, of either kind.
    let allowed = match (count.allowed, count.other) {
        (0, _) => 0,
        (_, 0) => height,
        _ => share.unwrap_or(0).clamp(1, height - 1),
    };
    let from = Timestamp::from_second(span.start + at * span.bucket).unwrap_or(Timestamp::MAX);
    Bar {
        x: LEFT + at * STEP,
        width: STEP - 1,
        allowed_y: base - allowed,
        allowed_height: allowed,
        other_y: base - height,
        other_height: height - allowed,
        title: format!("from {}: {} allowed, {} not", minute(from), count.allowed, count.other),
    }
}

/// A hundred times the square root: one use is still seen beside thousands.
fn root(count: u64) -> i64 {
    i64::try_from(count.saturating_mul(10_000).isqrt()).unwrap_or(i64::MAX / HIGHEST)
}

/// A name that fits before its lane; the table of addresses has the whole.
fn short(name: &str) -> String {
    const ROOM: usize = 28;
    if name.chars().count() <= ROOM {
        return name.to_owned();
    }
    // Addresses of one network differ at their ends.
    let begin = name.chars().take(ROOM / 2);
    let end = name.chars().skip(name.chars().count() + 1 - ROOM / 2);
    begin.chain(std::iter::once('…')).chain(end).collect()
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A length of time in words, rounded down.
fn words(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "min"),
        7200..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}
