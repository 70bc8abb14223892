//! Which folders of a bucket can hold what is asked for, by CloudTrail's layout (see [`crate::layout`]): those that cannot are not even
//! listed. A year of one account and region are some hundred thousand objects, and a hundred requests only to hear their names.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::hunt::Question;
use crate::layout::Delivery;

/// What to do with a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing: by its name nothing in it is asked for.
    Outside,
    /// To list everything in it.
    Whole,
    /// To look at its folders one by one.
    Within,
}

/// Folders above `AWSLogs` that are looked into, one below the other.
const ABOVE: usize = 2;

impl Question {
    /// What to do with a folder, by its whole key, without slashes at its ends.
    pub fn step(&self, folder: &str) -> Step {
        if self.from.is_none() && self.to.is_none() && self.accounts.is_empty() && self.regions.is_empty() {
            return Step::Whole;
        }
        let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        let Some(logs) = parts.iter().position(|part| *part == "AWSLogs") else {
            return if parts.len() <= ABOVE { Step::Within } else { Step::Whole };
        };
        let mut below = parts.into_iter().skip(logs + 1).peekable();
        // The trail of an organization has its id between.
        below.next_if(|part| part.starts_with("o-"));
        let Some(account) = below.next() else { return Step::Within };
        if !(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())) {
            return Step::Whole;
        }
        match below.next() {
            // What other services deliver there is read whatever its account is, as it is from a folder on a disk.
            None => return Step::Within,
            Some("CloudTrail" | "CloudTrail-Digest") => {}
            Some(_) => return Step::Whole,
        }
        if !among(&self.accounts, account) {
            return Step::Outside;
        }
        let Some(region) = below.next() else { return Step::Within };
        if !among(&self.regions, region) {
            return Step::Outside;
        }
        self.step_of_time(&below.collect::<Vec<_>>())
    }

    /// For a folder of a year, a month or a day.
    fn step_of_time(&self, date: &[&str]) -> Step {
        if date.is_empty() {
            return if self.from.is_none() && self.to.is_none() { Step::Whole } else { Step::Within };
        }
        // What is named otherwise is read.
        let Some((first, end)) = span(date) else { return Step::Whole };
        let from = self.from.map(|from| from.saturating_sub(Delivery::EARLY).unwrap_or(Timestamp::MIN));
        let to = self.to.map(|to| to.saturating_add(Delivery::LATE).unwrap_or(Timestamp::MAX));
        if from.is_some_and(|from| end <= from) || to.is_some_and(|to| first > to) {
            return Step::Outside;
        }
        let inside = from.is_none_or(|from| first >= from) && to.is_none_or(|to| end <= to);
        if inside || date.len() == 3 { Step::Whole } else { Step::Within }
    }
}

fn among(list: &[String], one: &str) -> bool {
    list.is_empty() || list.iter().any(|it| it == one)
}

/// The start of a year, month or day in UTC and that of the next.
fn span(date: &[&str]) -> Option<(Timestamp, Timestamp)> {
    let (first, length) = match date {
        [year] => (day(year, "1", "1")?, Span::new().years(1)),
        [year, month] => (day(year, month, "1")?, Span::new().months(1)),
        [year, month, of] => (day(year, month, of)?, Span::new().days(1)),
        _ => return None,
    };
    let at = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    Some((at(first)?, at(first.checked_add(length).ok()?)?))
}

fn day(year: &str, month: &str, day: &str) -> Option<Date> {
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;

    fn question(from: &str, to: &str) -> Question {
        let at = |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
        Question {
            needles: Vec::new(),
            from: at(from),
            to: at(to),
            accounts: Vec::new(),
            regions: vec!["eu-west-1".to_owned()],
            shard: None,
            follow: Vec::new(),
            requests: std::collections::BTreeSet::new(),
            digest_keys: None,
            hints: crate::hint::Hints::default(),
            hash: false,
            threads: NonZero::<usize>::MIN,
        }
    }

    #[test]
    fn only_days_of_the_window_and_their_slop_are_listed() {
        let day = question("2026-03-02T00:30:00Z", "2026-03-02T23:00:00Z");
        let base = "org/AWSLogs/o-1/111122223333/CloudTrail/eu-west-1";
        for (folder, step) in [
            ("", Step::Within),
            ("org", Step::Within),
            ("org/AWSLogs/o-1", Step::Within),
            ("org/AWSLogs/o-1/111122223333", Step::Within),
            ("org/AWSLogs/o-1/111122223333/Config", Step::Whole),
            ("org/AWSLogs/o-1/111122223333/CloudTrail/us-east-1", Step::Outside),
            ("org/AWSLogs/o-1/111122223333/CloudTrail-Digest/eu-west-1", Step::Within),
            ("a/b/c", Step::Whole),
        ] {
            assert_eq!(day.step(folder), step, "{folder}");
        }
        for (date, step) in [
            ("2025", Step::Outside),
            ("2026", Step::Within),
            ("2026/02", Step::Outside),
            ("2026/03", Step::Within),
            ("2026/04", Step::Outside),
            // An hour before the window begins is of the day before.
            ("2026/02/28", Step::Outside),
            ("2026/03/01", Step::Whole),
            ("2026/03/02", Step::Whole),
            ("2026/03/03", Step::Whole),
            ("2026/03/04", Step::Outside),
            ("2026/13", Step::Whole),
            ("other", Step::Whole),
        ] {
            assert_eq!(day.step(&format!("{base}/{date}")), step, "{date}");
        }
        let year = question("2025-06-10T00:00:00Z", "");
        assert_eq!(year.step(&format!("{base}/2025/07")), Step::Whole, "all of it is asked for");
        assert_eq!(year.step(&format!("{base}/2025/06")), Step::Within);
        assert_eq!(year.step(&format!("{base}/2025/05")), Step::Outside);
    }

    #[test]
    fn every_object_that_is_wanted_lies_in_a_folder_that_is_listed() {
        let base = "AWSLogs/111122223333/CloudTrail/eu-west-1";
        let start: Timestamp = "2026-02-27T00:00:00Z".parse().unwrap();
        for (from, to) in [
            ("2026-03-01T00:59:00Z", "2026-03-01T01:00:00Z"),
            ("2026-03-01T01:00:00Z", "2026-03-02T00:00:00Z"),
            ("2026-02-28T23:59:59Z", ""),
            ("", "2026-03-01T23:59:59Z"),
        ] {
            let question = question(from, to);
            for minute in (0..10 * 24 * 60).step_by(7) {
                let at = start.checked_add(jiff::SignedDuration::from_mins(minute)).unwrap();
                let stamp = at.strftime("%Y%m%dT%H%MZ");
                let name = format!("111122223333_CloudTrail_eu-west-1_{stamp}_x.json.gz");
                let delivery = Delivery::of(&name).unwrap();
                let wanted = delivery.may_hold(question.from, question.to);
                let date = at.strftime("%Y/%m/%d").to_string();
                let path: Vec<&str> = date.split('/').collect();
                let listed = (1..=3).all(|depth| {
                    let folder = format!("{base}/{}", path[..depth].join("/"));
                    question.step(&folder) != Step::Outside
                });
                assert!(listed || !wanted, "{name} of {from}..{to}");
            }
        }
    }
}
