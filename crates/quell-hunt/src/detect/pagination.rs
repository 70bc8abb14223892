//! `pagination`: a long list was read page by page.
//!
//! * Looks at: the same listing call on the same thing, again and again, with nothing else between. The tokens of pages
//!   (`NextToken`, `page=`) are not in an access record, so a program that polls a list looks the same: it weighs little.
//!   `Describe*` is left out as programs wait with it, and so is HTTP. Of databases, selects with an `OFFSET`.
//! * Speaks from: 10 in a row within 5 minutes.
//! * Idea: own.

use jiff::SignedDuration;

use super::Weight;
use super::acts::Act;
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{bursts, events};
use super::wording::{quoted, times};

pub(super) const DETECTOR: Detector = Detector { id: "pagination", soft: Soft::Habit, find };

const LEAST: usize = 10;
const SPAN: SignedDuration = SignedDuration::from_mins(5);

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let same = |a: &Use<'_>, b: &Use<'_>| {
        (a.address, &a.access.action, &a.access.resource) == (b.address, &b.access.action, &b.access.resource)
    };
    let mut findings = Vec::new();
    let series = scene.uses.chunk_by(same).filter(|series| series.len() >= LEAST);
    for uses in series.filter(|series| series.first().is_some_and(|it| pages(it.call()))) {
        let events = events(uses, |it| it.may_be_done().then_some(it.index));
        for burst in bursts(&events, SPAN, LEAST) {
            let Some(name) = burst.first().map(|event| event.it.call().name()) else { continue };
            findings.push(Finding {
                title: format!(
                    "{} was called {} in a row on the same thing, as one reads pages",
                    quoted(&name),
                    times(burst.len())
                ),
                kind: name,
                weight: Weight::Low,
                records: burst.iter().map(|event| event.it.index).collect(),
            });
        }
    }
    findings
}

fn pages(call: Call<'_>) -> bool {
    match call {
        Call::Aws { service: "dynamodb", name } => matches!(name, "ExecuteStatement" | "Query" | "Scan"),
        Call::Aws { name, .. } => name.starts_with("List") || name.starts_with("Scan"),
        Call::Vault { operation, .. } => matches!(operation, "list" | "scan"),
        Call::Named(named) => named.does(Act::Pages),
        Call::Http { .. } | Call::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, fires, on, silent, used};
    use crate::record::Access;

    fn pages(count: i64, action: &str, pause: i64) -> Vec<Access> {
        (0..count).map(|n| on(used(n * pause, action, AWAY), "orders")).collect()
    }

    #[test]
    fn ten_pages_in_a_row_are_told() {
        let all = fires("pagination", &pages(12, "dynamodb:Scan", 20));
        insta::assert_snapshot!(
            all[0].title,
            @"`dynamodb:Scan` was called 12 times in a row on the same thing, as one reads pages"
        );
    }

    #[test]
    fn fewer_slower_waiting_and_mixed_calls_are_none() {
        silent("pagination", &pages(9, "dynamodb:Scan", 1));
        silent("pagination", &pages(30, "dynamodb:Scan", 60));
        silent("pagination", &pages(30, "ec2:DescribeInstances", 1));
        let mut mixed = pages(15, "dynamodb:Scan", 2);
        mixed.extend((0..15).map(|n| used(n * 2 + 1, "dynamodb:GetItem", AWAY)));
        silent("pagination", &mixed);
    }
}
