//! What the name of a CloudTrail object tells before it is opened.
//!
//! `AWSLogs/[ORGANIZATION/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_YYYYMMDDTHHmmZ_UNIQUE.json.gz`
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>). The time is that of
//! delivery: events are up to a day older, as services are late, and never newer than the minute that follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// Who delivered an object, and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// Of whom and where the events are.
    pub stream: Arc<Stream>,
    /// The minute of delivery.
    pub at: Timestamp,
    /// Whether it is a digest of log file validation instead of a log.
    pub digest: bool,
}

/// What is delivered apart: one account's events of one region.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stream {
    /// The account that the events are of.
    pub account: Box<str>,
    /// The region.
    pub region: Box<str>,
}

/// Streams that were seen: objects of one share it, as there are many of few.
#[derive(Debug, Default)]
pub(crate) struct Streams(BTreeSet<Arc<Stream>>);

impl Streams {
    /// What a name tells.
    pub(crate) fn delivery(&mut self, name: &str) -> Option<Delivery> {
        let mut delivery = Delivery::of(name)?;
        match self.0.get(&delivery.stream) {
            Some(known) => delivery.stream = Arc::clone(known),
            None => _ = self.0.insert(Arc::clone(&delivery.stream)),
        }
        Some(delivery)
    }
}

impl Delivery {
    /// How long before the window objects still may be wanted: the clock of delivery is not that of events.
    pub const EARLY: SignedDuration = SignedDuration::from_hours(1);
    /// How long after the window events of it may still be delivered.
    pub const LATE: SignedDuration = SignedDuration::from_hours(24);

    /// What the name tells; `None` for any other name.
    pub fn of(name: &str) -> Option<Self> {
        let file = name.rsplit('/').next()?;
        let mut parts = file.split('_');
        let account =
            parts.next().filter(|it| it.len() == 12 && it.bytes().all(|byte| byte.is_ascii_digit()))?;
        let digest = match parts.next()? {
            "CloudTrail" => false,
            "CloudTrail-Digest" => true,
            _ => return None,
        };
        let region = parts.next()?;
        // A digest's name has the trail and its home region before the time.
        let time = parts.find(|part| part.len() >= 14 && part.as_bytes().get(8) == Some(&b'T'))?;
        let stream = Arc::new(Stream { account: account.into(), region: region.into() });
        Some(Self { stream, at: minute(time)?, digest })
    }

    /// Whether this is the name of a digest that was delivered afterwards, for logs that came too late for the digest of their hour.
    /// These make a chain of their own.
    pub(crate) fn is_backfill(name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or(name);
        file.split('.').next().is_some_and(|stem| stem.ends_with("_backfill"))
    }

    /// Whether an object that was delivered then may hold events of this window.
    pub fn may_hold(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
        let early =
            from.is_none_or(|from| self.at >= from.saturating_sub(Self::EARLY).unwrap_or(Timestamp::MIN));
        let late = to.is_none_or(|to| self.at <= to.saturating_add(Self::LATE).unwrap_or(Timestamp::MAX));
        early && late
    }
}

/// `YYYYMMDDTHHmmZ`, or with seconds, as digests have it.
fn minute(text: &str) -> Option<Timestamp> {
    let digits: String = text.split('.').next()?.chars().filter(char::is_ascii_digit).collect();
    let part = |from: usize, to: usize| digits.get(from..to);
    let seconds = part(12, 14).unwrap_or("00");
    let (date, time) = ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?));
    format!("{}-{}-{}T{}:{}:{seconds}Z", date.0, date.1, date.2, time.0, time.1).parse().ok()
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.account, self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "AWSLogs/o-1/111122223333/CloudTrail/eu-west-1/2026/03/02/111122223333_CloudTrail_eu-west-1_20260302T1015Z_Ab3.json.gz";

    #[test]
    fn names_of_logs_and_digests_are_told_apart() {
        let late = "AWSLogs/1/CloudTrail-Digest/us-east-1/2026/03/02/111122223333_CloudTrail-Digest_us-east-1_t_us-east-1_20260302T101533Z_backfill.json.gz";
        assert_eq!(Delivery::of(late).unwrap().at, "2026-03-02T10:15:33Z".parse().unwrap());
        assert!(
            Delivery::of(late).unwrap().digest && Delivery::is_backfill(late) && !Delivery::is_backfill(LOG)
        );
        let log = Delivery::of(LOG).unwrap();
        assert_eq!(
            (&*log.stream.account, &*log.stream.region, log.digest),
            ("111122223333", "eu-west-1", false)
        );
        assert_eq!(log.at, "2026-03-02T10:15:00Z".parse().unwrap());
        let digest = "AWSLogs/1/CloudTrail-Digest/us-east-1/2026/03/02/111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260302T101533Z.json.gz";
        let digest = Delivery::of(digest).unwrap();
        assert!(digest.digest);
        assert_eq!(digest.at, "2026-03-02T10:15:33Z".parse().unwrap());
        for other in [
            "",
            "audit.log",
            "1111_CloudTrail_eu_x.json.gz",
            "111122223333_CloudTrail_eu-west-1_20269902T1015Z_x.gz",
        ] {
            assert_eq!(Delivery::of(other), None, "{other}");
        }
    }

    #[test]
    fn late_delivery_is_allowed_for() {
        let log = Delivery::of(LOG).unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        assert!(log.may_hold(None, None));
        assert!(log.may_hold(at("2026-03-02T11:15:00Z"), None), "an hour early");
        assert!(!log.may_hold(at("2026-03-02T11:15:01Z"), None));
        assert!(log.may_hold(None, at("2026-03-01T10:15:00Z")), "a day late");
        assert!(!log.may_hold(None, at("2026-03-01T10:14:59Z")));
    }
}
