//! Where a secret leaked, who could see it, and since when. Table: `reference` S0, "leak trigger table".

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secret::Fingerprint;

/// Where it leaked: the eight rows of the channel table.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Pushed to a repository that anybody can read.
    PublicRepo,
    /// In a private repository that more than one person can read.
    PrivateRepo,
    /// In a CI log with a broader audience than the secret's own.
    CiLog,
    /// In a screenshot or message in a chat, ticket or forum.
    Chat,
    /// In an error page or stack trace returned to end users.
    ErrorPage,
    /// In an error log that support staff can read.
    SupportLog,
    /// Committed on one machine and never pushed.
    LocalCommit,
    /// A scanner saw it; where it was readable is not known.
    Unknown,
}

impl Channel {
    /// Every row, in the table's order.
    pub const ALL: [Self; 8] = [
        Self::PublicRepo,
        Self::PrivateRepo,
        Self::CiLog,
        Self::Chat,
        Self::ErrorPage,
        Self::SupportLog,
        Self::LocalCommit,
        Self::Unknown,
    ];

    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::PublicRepo => "public-repo",
            Self::PrivateRepo => "private-repo",
            Self::CiLog => "ci-log",
            Self::Chat => "chat",
            Self::ErrorPage => "error-page",
            Self::SupportLog => "support-log",
            Self::LocalCommit => "local-commit",
            Self::Unknown => "unknown",
        }
    }

    /// What the table says, with its words. On doubt: leaked.
    pub fn verdict(self) -> (Leaked, &'static str) {
        match self {
            Self::PublicRepo => (Leaked::Yes, "pushed to a public repository"),
            Self::PrivateRepo => (Leaked::Yes, "in a private repository that more than one person can read"),
            Self::CiLog => (Leaked::Yes, "in a CI log with a broader audience"),
            Self::Chat => (Leaked::Yes, "in a chat, ticket or forum"),
            Self::ErrorPage => (Leaked::Yes, "in an error page or stack trace returned to end users"),
            Self::SupportLog => {
                (Leaked::Yes, "in an error log that support can read (policy may differ; treated as leaked)")
            }
            Self::LocalCommit => {
                (Leaked::NoButRotate, "committed locally and never pushed: not a leak, rotate anyway")
            }
            Self::Unknown => (Leaked::Yes, "found with its audience unknown: treated as leaked"),
        }
    }

    /// Who can see this channel when nobody says otherwise. The strictest reading.
    pub fn default_audience(self) -> Audience {
        match self {
            Self::PublicRepo | Self::ErrorPage | Self::Unknown => Audience::Public,
            Self::PrivateRepo | Self::CiLog | Self::Chat | Self::SupportLog => Audience::Internal,
            Self::LocalCommit => Audience::Nobody,
        }
    }
}

impl std::str::FromStr for Channel {
    type Err = crate::id::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.word() == text).ok_or_else(|| crate::id::BadId {
            text: text.to_owned(),
            expected: "a channel: public-repo, private-repo, ci-log, chat, error-page, support-log, local-commit or unknown",
        })
    }
}

/// Whether the table counts it as a leak.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaked {
    /// Yes.
    Yes,
    /// No, but the secret is rotated all the same.
    NoButRotate,
}

/// Who could see it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Nobody but the author.
    Nobody,
    /// A small, named group (two to five people).
    Few,
    /// More than five people, all of the organisation.
    Internal,
    /// Anybody.
    Public,
}

impl Audience {
    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Few => "few",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

impl std::str::FromStr for Audience {
    type Err = crate::id::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Nobody, Self::Few, Self::Internal, Self::Public]
            .into_iter()
            .find(|a| a.word() == text)
            .ok_or_else(|| crate::id::BadId {
                text: text.to_owned(),
                expected: "an audience: nobody, few, internal or public",
            })
    }
}

/// A finding or report accepted as a leak.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Exposure {
    /// Where.
    pub channel: Channel,
    /// To whom.
    pub audience: Audience,
    /// First moment at which somebody could have seen it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_exposed: Option<Timestamp>,
    /// When we learnt of it.
    pub discovered: Timestamp,
    /// Whether it can still be seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_visible: Option<bool>,
    /// The place in words: `git:orders.git config/app.env:3`. Never a value.
    #[serde(default)]
    pub place: String,
    /// The leaked value's name, if it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Where the leaked value is sealed, if it was handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// The finding it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// The channel of the inventory that it is, if it is one at which something can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_eight_rows_and_one_of_them_is_no_leak() {
        let rows: Vec<String> = Channel::ALL
            .iter()
            .map(|c| format!("{} {} {:?}", c.word(), c.default_audience().word(), c.verdict().0))
            .collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        public-repo public Yes
        private-repo internal Yes
        ci-log internal Yes
        chat internal Yes
        error-page public Yes
        support-log internal Yes
        local-commit nobody NoButRotate
        unknown public Yes
        ");
        assert!(Channel::ALL.iter().all(|c| c.word().parse::<Channel>() == Ok(*c)));
        assert!("git".parse::<Channel>().is_err());
    }
}
