//! Who does what in a response. A role is held by one person at a time and handed over by being taken.

use serde::{Deserialize, Serialize};

use crate::id::BadId;

/// A role in the response to one incident. It gives no rights: those are of people, wherever they work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoomRole {
    /// Decides what is done next, and that it is over.
    Commander,
    /// Writes down what happens and why.
    Scribe,
    /// Tells everybody outside of the room.
    Communications,
    /// Knows the service whose secret leaked, and what breaks.
    ServiceOwner,
}

impl RoomRole {
    /// All roles, in the order in which a room fills.
    pub const ALL: [Self; 4] = [Self::Commander, Self::Scribe, Self::Communications, Self::ServiceOwner];

    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Commander => "commander",
            Self::Scribe => "scribe",
            Self::Communications => "communications",
            Self::ServiceOwner => "service-owner",
        }
    }

    /// What whoever holds it does.
    pub fn does(self) -> &'static str {
        match self {
            Self::Commander => "decides what is done next, and that it is over",
            Self::Scribe => "writes down what happens and why",
            Self::Communications => "tells everybody outside of the room",
            Self::ServiceOwner => "knows the service, and what breaks",
        }
    }
}

impl std::fmt::Display for RoomRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for RoomRole {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| BadId {
            text: text.to_owned(),
            expected: "a role: commander, scribe, communications or service-owner",
        })
    }
}
