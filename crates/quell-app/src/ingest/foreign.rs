//! What other tools' findings have in common.

use std::fmt;

use jiff::Timestamp;
use quell_core::SecretId;
use quell_core::secret::SecretValue;
use serde::de::{self, Deserialize, Deserializer};

/// A finding of another tool. Values go from the parser straight into [`SecretValue`]s.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The tool's own name of what it found: a rule id, a detector, a type of secret.
    pub rule: String,
    /// For people.
    pub description: String,
    /// The value and its further parts, as far as the tool tells them.
    pub values: Vec<SecretValue>,
    /// SHA-1 of the value in lower-case hex, which is all that detect-secrets tells.
    pub sha1: Option<String>,
    /// Path in the repository, or another name of the place.
    pub file: String,
    /// From 1; 0 when the tool does not say.
    pub line: u64,
    /// From 1; 0 when the tool does not say.
    pub column: u64,
    /// The commit.
    pub commit: Option<String>,
    /// Who committed it.
    pub author: Option<String>,
    /// When it was committed, or when the tool first saw it.
    pub seen: Option<Timestamp>,
    /// Where a person can look at the tool's own record.
    pub link: Option<String>,
    /// Whether the tool tried the value and it worked.
    pub live: Option<bool>,
    /// Whether anybody can read the place.
    pub public: Option<bool>,
    /// Why the tool's users consider it done, such as `false_positive`. `None`: it is open.
    pub resolved: Option<String>,
    /// The tool's own fingerprint: tells findings apart when there is no value.
    pub reference: Option<String>,
    /// Which secret of the inventory it is, when the sender says so.
    pub secret: Option<SecretId>,
}

/// A value in a report. What tools write in its place when they redact counts as no value.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Option<SecretValue>);

/// What stands for a value that was left out.
const LEFT_OUT: &[&str] = &["redacted", "…", "****", "[filtered]", "<removed>"];

impl Told {
    fn of(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let left_out = text.trim().is_empty() || LEFT_OUT.iter().any(|mark| lower.contains(mark));
        Self((!left_out).then(|| SecretValue::new(text.as_bytes().to_vec())))
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Told;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Told, E> {
                Ok(Told::of(text))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Told, E> {
                let told = Told::of(&text);
                // The parser's own copy must not stay behind.
                drop(SecretValue::from_text(text));
                Ok(told)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Told, E> {
                Ok(Told(None))
            }

            fn visit_none<E: de::Error>(self) -> Result<Told, E> {
                Ok(Told(None))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Dates as tools write them: RFC 3339, or a plain date.
pub(crate) fn time(text: Option<&str>) -> Option<Timestamp> {
    let text = text?.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    // `2026-11-22 06:02:49 +0000`, as git and trufflehog write it.
    let spaced =
        jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S %z", text).and_then(|parsed| parsed.to_timestamp());
    spaced.ok().or_else(|| {
        let day = text.parse::<jiff::civil::Date>().ok()?;
        Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

/// `None` for the empty text, which many tools write for "not known".
pub(crate) fn some(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_value_is_none() {
        for text in ["", "  ", "REDACTED", "[REDACTED:ab12]", "AKIA…", "********", "ghp_****"] {
            assert!(Told::of(text).0.is_none(), "{text}");
        }
        assert!(Told::of("kP9x-w2").0.is_some());
    }

    #[test]
    fn dates_of_all_tools_are_read() {
        for text in ["2026-11-22T06:02:49Z", "2026-11-22 06:02:49 +0000", "2026-11-22T07:02:49+01:00"] {
            assert_eq!(
                time(Some(text)).map(|at| at.to_string()).as_deref(),
                Some("2026-11-22T06:02:49Z"),
                "{text}"
            );
        }
        assert_eq!(
            time(Some("2026-11-22")).map(|at| at.to_string()).as_deref(),
            Some("2026-11-22T00:00:00Z")
        );
        assert_eq!(time(Some("last week")), None);
        assert_eq!(time(None), None);
    }
}
