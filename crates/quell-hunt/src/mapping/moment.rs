//! How times are written.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

#[derive(Debug)]
pub(super) enum Form {
    /// Seconds since 1970, or parts of them: how many nanoseconds one is.
    Epoch { unit: i128 },
    /// Directives of `strptime`, with the zone that they leave open.
    Pattern { pattern: String, zone: Option<TimeZone> },
    /// RFC 3339, also with a blank for the `T`.
    Rfc3339,
}

impl Form {
    /// By what the file calls it.
    pub(super) fn new(text: &str, zone: Option<TimeZone>) -> Result<Self, String> {
        let form = match text {
            "rfc3339" => Self::Rfc3339,
            "epoch-seconds" => Self::Epoch { unit: 1_000_000_000 },
            "epoch-milliseconds" => Self::Epoch { unit: 1_000_000 },
            pattern if pattern.contains('%') => return Self::pattern(pattern, zone),
            other => {
                return Err(format!(
                    "`{other}` is no form of time: rfc3339, epoch-seconds, epoch-milliseconds, or directives such as %Y-%m-%d %H:%M:%S"
                ));
            }
        };
        match zone {
            None => Ok(form),
            Some(_) => Err(format!("a time of the form `{text}` has its zone: leave `zone` out")),
        }
    }

    /// What it writes must be what it reads, to the second and in the afternoon, or times would be made up.
    fn pattern(pattern: &str, zone: Option<TimeZone>) -> Result<Self, String> {
        let fault = |error: jiff::Error| format!("`{pattern}` cannot be used: {error}");
        let probe: Zoned = Timestamp::from_second(1_772_489_472).map_err(fault)?.to_zoned(TimeZone::UTC);
        let written = strtime::format(pattern, &probe).map_err(fault)?;
        let read = strtime::parse(pattern, &written).map_err(fault)?;
        match (read.to_timestamp(), zone) {
            (Ok(at), None) if at == probe.timestamp() => {
                Ok(Self::Pattern { pattern: pattern.to_owned(), zone: None })
            }
            (Ok(_), Some(_)) => Err(format!("`{pattern}` reads a zone: leave `zone` out")),
            (Err(_), Some(zone)) if read.to_datetime().is_ok_and(|at| at == probe.datetime()) => {
                Ok(Self::Pattern { pattern: pattern.to_owned(), zone: Some(zone) })
            }
            (Err(_), None) if read.to_datetime().is_ok_and(|at| at == probe.datetime()) => Err(format!(
                "`{pattern}` does not say the zone: add %z to it where the log has it, or `zone`"
            )),
            _ => Err(format!("`{pattern}` does not give day, hour (of 24, or with %p), minute and second")),
        }
    }

    pub(super) fn read(&self, text: &str) -> Result<Timestamp, String> {
        let at = match self {
            Self::Epoch { unit } => epoch(text, *unit),
            Self::Pattern { pattern, zone: None } => Timestamp::strptime(pattern, text).ok(),
            Self::Pattern { pattern, zone: Some(zone) } => DateTime::strptime(pattern, text)
                .ok()
                .and_then(|at| Some(at.to_zoned(zone.clone()).ok()?.timestamp())),
            Self::Rfc3339 => text.parse().ok(),
        };
        at.ok_or_else(|| "its time is not of the form that the mapping says".to_owned())
    }
}

/// A decimal number, exactly; what is finer than a nanosecond is cut off.
fn epoch(text: &str, unit: i128) -> Option<Timestamp> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = whole.strip_prefix('-').unwrap_or(whole);
    if unsigned.is_empty() || unsigned.len() > 18 || !digits(unsigned) || !digits(part) {
        return None;
    }
    let mut nanoseconds = unsigned.parse::<i128>().ok()?.checked_mul(unit)?;
    let mut worth = unit;
    for digit in part.bytes() {
        worth /= 10;
        nanoseconds += worth * i128::from(digit - b'0');
    }
    Timestamp::from_nanosecond(if whole.starts_with('-') { -nanoseconds } else { nanoseconds }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_each_form_are_read_exactly() {
        let berlin = || Some(TimeZone::get("Europe/Berlin").unwrap());
        for (form, zone, text, expected) in [
            ("rfc3339", None, "2026-03-02T11:00:00.5+01:00", "2026-03-02T10:00:00.5Z"),
            ("epoch-seconds", None, "1772445600", "2026-03-02T10:00:00Z"),
            ("epoch-seconds", None, "1772445600.1234567891", "2026-03-02T10:00:00.123456789Z"),
            ("epoch-seconds", None, "-1.5", "1969-12-31T23:59:58.5Z"),
            ("epoch-milliseconds", None, "1772445600123", "2026-03-02T10:00:00.123Z"),
            ("%d/%b/%Y:%H:%M:%S %z", None, "02/Mar/2026:11:00:00 +0100", "2026-03-02T10:00:00Z"),
            ("%Y-%m-%d %H:%M:%S%.f", berlin(), "2026-03-02 11:00:00.25", "2026-03-02T10:00:00.25Z"),
            ("%m/%d/%y %I:%M:%S %p", berlin(), "07/02/26 01:00:00 PM", "2026-07-02T11:00:00Z"),
        ] {
            let read = Form::new(form, zone).unwrap().read(text);
            assert_eq!(read, Ok(expected.parse().unwrap()), "{form} {text}");
        }
        for (form, text) in [
            ("rfc3339", "2026-03-02T11:00:00"),
            ("epoch-seconds", "1772445600123000"),
            ("epoch-seconds", "1e9"),
            ("epoch-seconds", ""),
            ("epoch-milliseconds", "99999999999999999999"),
            ("%d/%b/%Y:%H:%M:%S %z", "02/Mar/2026:11:00:00"),
        ] {
            assert!(Form::new(form, None).unwrap().read(text).is_err(), "{form} {text}");
        }
    }

    #[test]
    fn a_form_that_would_make_times_up_is_refused() {
        let utc = || Some(TimeZone::UTC);
        for (form, zone, why) in [
            ("iso", None, "no form of time"),
            ("%Y-%m-%d", utc(), "does not give day, hour"),
            ("%Y-%m-%d %I:%M:%S", utc(), "does not give day, hour"),
            ("%Y-%m-%d %H:%M", utc(), "does not give day, hour"),
            ("%H:%M:%S", utc(), "does not give day, hour"),
            ("%Y-%m-%d %H:%M:%S", None, "does not say the zone"),
            ("%Y-%m-%d %H:%M:%S %z", utc(), "leave `zone` out"),
            ("rfc3339", utc(), "leave `zone` out"),
            ("%!", None, "cannot be used"),
        ] {
            let told = Form::new(form, zone).unwrap_err();
            assert!(told.contains(why), "{form}: {told}");
        }
    }
}
