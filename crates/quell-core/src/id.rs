//! Ids people say aloud. One newtype per kind, never a bare `String`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an id. Says what was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What is wanted, with an example.
    pub expected: &'static str,
}

/// One incident: `INC-2026-0001`. The number restarts each year and grows past four digits when it must.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IncidentId {
    /// Calendar year (UTC) in which the incident was declared.
    pub year: i16,
    /// Running number within the year, from 1.
    pub number: u32,
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{:04}-{:04}", self.year, self.number)
    }
}

impl FromStr for IncidentId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { text: text.to_owned(), expected: "an incident id such as INC-2026-0001" };
        let rest = text.strip_prefix("INC-").ok_or_else(bad)?;
        let (year, number) = rest.split_once('-').ok_or_else(bad)?;
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if year.len() != 4 || number.len() < 4 || number.len() > 9 || !digits(year) || !digits(number) {
            return Err(bad());
        }
        let id =
            Self { year: year.parse().map_err(|_e| bad())?, number: number.parse().map_err(|_e| bad())? };
        // One spelling per id: `INC-2026-00012` is refused, since ids are compared as text in the store.
        if id.number == 0 || id.to_string() != text { Err(bad()) } else { Ok(id) }
    }
}

impl Serialize for IncidentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IncidentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Longest slug, in bytes. Ids appear in file names and table columns.
const SLUG_MAX: usize = 80;

fn check_slug(text: &str, expected: &'static str) -> Result<(), BadId> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if starts && text.len() <= SLUG_MAX && text.bytes().all(fine) {
        Ok(())
    } else {
        Err(BadId { text: text.chars().take(SLUG_MAX).collect(), expected })
    }
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                check_slug(text, $expected)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

slug!(
    /// An inventory entry, such as `orders-db`.
    SecretId,
    "a secret id: lower-case letters, digits, `-`, `_`, `.`, at most 80, such as orders-db"
);
slug!(
    /// One step of a plan, unique in it, such as `orders-db.install`.
    StepId,
    "a step id: lower-case letters, digits, `-`, `_`, `.`, at most 80, such as orders-db.install"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incident_ids_have_one_spelling() {
        for good in ["INC-2026-0001", "INC-2026-9999", "INC-2026-10000"] {
            assert_eq!(good.parse::<IncidentId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "INC-2026-1",
            "INC-2026-0000",
            "INC-2026-00012",
            "inc-2026-0001",
            "INC-26-0001",
            "INC-2026-000１",
        ] {
            assert!(bad.parse::<IncidentId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slugs_refuse_what_breaks_file_names() {
        assert!("orders-db".parse::<SecretId>().is_ok());
        for bad in ["", "Orders", "../x", "a b", "a/b", ".hidden", &"x".repeat(81)] {
            assert!(bad.parse::<SecretId>().is_err(), "{bad}");
        }
    }
}
