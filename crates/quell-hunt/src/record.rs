//! What a log says about one use of a credential, whichever log it is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::format::Format;

/// One access, as a log tells it. Names beside the fields are those of OCSF 1.x (<https://schema.ocsf.io>), class "API
/// Activity", where there is one.
///
/// Everything in it was written by strangers: nothing may be shown unescaped (see [`crate::report`]).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Access {
    /// When it happened, by the clock of whoever wrote the log (`time`). `None` when the log does not say.
    pub time: Option<Timestamp>,
    /// What kind of log it was (`metadata.product`).
    pub format: Format,
    /// Where the record stands: the object's name and the number of the record or line in it, from 1.
    pub object: String,
    /// See above.
    pub place: u64,
    /// The label of the credential that the record was found by.
    pub credential: String,
    /// Whether the credential was used here, or something was done with it or said about it.
    pub role: Role,
    /// Who the log says it was: an ARN, a display name, a role (`actor.user`).
    pub actor: Option<String>,
    /// What was done: `s3:GetObject`, `read kv/data/orders` (`api.operation`, with the service before it).
    pub action: String,
    /// What it was done to: an ARN, a path, a bucket and key (`resources`).
    pub resource: Option<String>,
    /// From where: an address, or the name of a service that acted for somebody (`src_endpoint.ip`).
    pub address: Option<String>,
    /// The client's own description of itself (`http_request.user_agent`).
    pub agent: Option<String>,
    /// How it ended (`status`, `status_code`).
    pub outcome: Outcome,
    /// Whether it only read, as far as the log or the action tells (`activity_id`).
    pub reads: Option<bool>,
    /// The issuer's id of the request (`api.request.uid`).
    pub request: Option<String>,
    /// `cloud.account.uid`.
    pub account: Option<String>,
    /// `cloud.region`.
    pub region: Option<String>,
    /// What the record says came into being by it.
    pub made: Vec<Made>,
    /// How many bytes the answer had, where the log tells (OCSF's `bytes_out`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// S3's second id of the request (`x-amz-id-2`), by which two logs that tell of one request are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// SHA-256 of the record's bytes as they stand in the log, in hex: its name among the evidence.
    pub sha256: String,
}

/// What the credential has to do with the record.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The caller showed it.
    Used,
    /// It was created, changed, looked up or handed out: no use by itself.
    Mentioned,
}

/// How an access ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Allowed,
    /// It was refused for want of rights or of a valid credential, with the log's own word.
    Denied(String),
    /// It failed for another reason, with the log's own word.
    Failed(String),
    /// The log does not say: a request without its response.
    Unknown,
}

/// Something that an access brought into being.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Made {
    /// What it is.
    pub kind: MadeKind,
    /// By what it can be found in the logs, or removed: a key id, an accessor, a user's name.
    pub id: String,
}

/// Kinds of things that outlive the access.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MadeKind {
    /// A lasting key or password.
    Key,
    /// Rights: a policy, a role's trust, a membership.
    Policy,
    /// Temporary credentials.
    Session,
    /// A token of the same issuer.
    Token,
    /// An account or user.
    User,
}

impl Role {
    /// The word for people and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mentioned => "mentioned",
            Self::Used => "used",
        }
    }
}

impl MadeKind {
    /// Whether it is a credential that a hunt can follow.
    pub fn is_credential(self) -> bool {
        match self {
            Self::Key | Self::Session | Self::Token => true,
            Self::Policy | Self::User => false,
        }
    }

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Policy => "policy",
            Self::Session => "session",
            Self::Token => "token",
            Self::User => "user",
        }
    }
}

impl Outcome {
    /// The word for people and files.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// What the log said about a refusal or failure.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Denied(detail) | Self::Failed(detail) => Some(detail),
            Self::Allowed | Self::Unknown => None,
        }
    }

    /// The word alone, by which two refusals are alike, and the sentence behind it, which may name whatever was asked for.
    pub fn code_and_message(&self) -> Option<(&str, Option<&str>)> {
        let detail = self.detail()?;
        // Only a word is a code: `AccessDenied: User … is not authorized`.
        let parts = detail.split_once(": ").filter(|(code, _)| !code.contains(char::is_whitespace));
        Some(parts.map_or((detail, None), |(code, message)| (code, Some(message))))
    }

    /// The word alone.
    pub fn code(&self) -> Option<&str> {
        self.code_and_message().map(|(code, _)| code)
    }
}
