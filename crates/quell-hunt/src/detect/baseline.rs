//! What a credential did before it was exposed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::agent::family;
use super::network::Holder;
use super::trail::{Trail, Use};
use super::wording::counted;
use super::{Baseline, Context};

/// Fewer days with a use say nothing about a week.
const DAYS: u32 = 7;
/// Fewer uses leave too much unseen.
const USES: usize = 50;

/// What is compared with.
#[derive(Debug)]
pub(super) struct Habits<'a> {
    pub(super) uses: usize,
    pub(super) days: u32,
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Whose these are.
    pub(super) holders: BTreeSet<Holder>,
    /// Where these are registered.
    pub(super) countries: BTreeSet<&'a str>,
    /// The kinds of calls that came from each of these.
    pub(super) calls_by_country: BTreeSet<(&'a str, (&'a str, &'a str))>,
    pub(super) families: BTreeSet<String>,
    pub(super) calls: BTreeSet<(&'a str, &'a str)>,
    pub(super) errors: BTreeSet<&'a str>,
    /// Uses by hour of the day, in UTC.
    pub(super) hours: [u32; 24],
}

/// The day and the hour in UTC.
pub(super) fn clock(time: Timestamp) -> (civil::Date, usize) {
    let there = TimeZone::UTC.to_datetime(time);
    (there.date(), usize::from(there.hour().unsigned_abs()))
}

/// What was usual, if there is enough of it.
pub(super) fn habits<'a>(before: &[Use<'a>], context: &Context<'_>) -> Option<Habits<'a>> {
    let days = days(before);
    if context.exposed.is_none() || before.len() < USES || days < DAYS {
        return None;
    }
    let mut habits = Habits {
        uses: before.len(),
        days,
        addresses: before.iter().filter_map(|it| it.address).collect(),
        holders: before.iter().filter_map(Use::holder).collect(),
        countries: before.iter().filter_map(Use::country).collect(),
        calls_by_country: before.iter().filter_map(|it| it.country().zip(it.call().sort())).collect(),
        families: BTreeSet::new(),
        calls: before.iter().filter_map(|it| it.call().sort()).collect(),
        errors: before.iter().filter_map(|it| it.access.outcome.code()).collect(),
        hours: [0; 24],
    };
    let agents: BTreeSet<&str> = before.iter().filter_map(|it| it.access.agent.as_deref()).collect();
    habits.families = agents.into_iter().map(family).collect();
    for time in before.iter().filter_map(|it| it.access.time) {
        if let Some(count) = habits.hours.get_mut(clock(time).1) {
            *count = count.saturating_add(1);
        }
    }
    Some(habits)
}

fn days(uses: &[Use<'_>]) -> u32 {
    let days: BTreeSet<civil::Date> =
        uses.iter().filter_map(|it| it.access.time).map(|time| clock(time).0).collect();
    u32::try_from(days.len()).unwrap_or(u32::MAX)
}

/// Of one credential.
pub(super) fn of(trail: &Trail<'_>, context: &Context<'_>) -> Baseline {
    if let Some(habits) = &trail.habits {
        return Baseline::Judged { uses: habits.uses, days: habits.days };
    }
    let why = if context.exposed.is_none() {
        "when the exposure began is not known".to_owned()
    } else {
        let (uses, days) = (trail.before.len(), days(&trail.before));
        let days = counted(usize::try_from(days).unwrap_or(usize::MAX), "day");
        let uses = counted(uses, "use");
        format!("{uses} on {days} before the exposure; {USES} uses on {DAYS} days are needed")
    };
    Baseline::None { why }
}

/// Of all.
pub(super) fn together(trails: &[Trail<'_>], context: &Context<'_>) -> Baseline {
    let judged = || trails.iter().filter_map(|trail| trail.habits.as_ref());
    if let Some(days) = judged().map(|habits| habits.days).min() {
        return Baseline::Judged { uses: judged().map(|habits| habits.uses).sum(), days };
    }
    let most = trails.iter().filter(|trail| trail.is_used()).max_by_key(|trail| trail.before.len());
    most.map_or_else(|| Baseline::None { why: "no use was found".to_owned() }, |most| of(most, context))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{baselines, detect, planted};

    #[test]
    fn a_week_of_fifty_uses_is_enough() {
        let log = planted::ordinary(&[]);
        assert_eq!(detect(&log, &planted::context()).baseline, Baseline::Judged { uses: 120, days: 10 });
    }

    #[test]
    fn too_little_is_told_with_its_numbers() {
        let exposed = planted::context();
        let log: Vec<_> = planted::ordinary(&[]).into_iter().skip(100).collect();
        insta::assert_compact_debug_snapshot!(
            detect(&log, &exposed).baseline,
            @r#"None { why: "20 uses on 2 days before the exposure; 50 uses on 7 days are needed" }"#
        );
        insta::assert_compact_debug_snapshot!(
            detect(&log, &Context { exposed: None, ..exposed }).baseline,
            @r#"None { why: "when the exposure began is not known" }"#
        );
        insta::assert_compact_debug_snapshot!(
            detect(&[], &exposed).baseline,
            @r#"None { why: "no use was found" }"#
        );
    }

    #[test]
    fn each_credential_has_its_own() {
        let mut child = planted::used(60, "s3:ListBuckets", "203.0.113.9");
        child.credential = "ASIACHILD".to_owned();
        let all = baselines(&planted::ordinary(&[child]), &planted::context());
        let judged: Vec<(&str, bool)> =
            all.iter().map(|(name, it)| (name.as_str(), matches!(it, Baseline::Judged { .. }))).collect();
        assert_eq!(judged, [("AKIAPLANTED", true), ("ASIACHILD", false)]);
    }
}
