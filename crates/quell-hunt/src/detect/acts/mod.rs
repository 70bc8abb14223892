//! What the calls of other logs than CloudTrail's and Vault's do, source by source.
//!
//! Each source has its own words. A file lists those that a detector asks about, with the vendor's page that names them. A word that is
//! in no list is still a call that can be rare, refused or made from elsewhere.

mod azure;
mod gcp;
mod github;
mod kubernetes;
mod s3;
mod sql;
#[cfg(test)]
mod tests;

use crate::format::Format;
use crate::record::Access;

/// What a call can do that a detector asks about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// Asks whose credential it is, or what it may do.
    AsksWho,
    /// Makes later logs blind.
    Blinds,
    /// Copies a whole repository.
    Clones,
    /// Makes a credential.
    Derives,
    /// Copies data out in one go: a single one is an export.
    Dumps,
    /// Reads what is in one object.
    Fetches,
    /// Makes something that outlives the credential.
    Lasts,
    /// May do so: the log has no bodies.
    MayLast,
    /// Asks what there is.
    Looks,
    /// Reads a list that has pages.
    Pages,
    /// Reads the value of a secret.
    ReadsSecret,
    /// Does what only administrators should, without leaving anything behind.
    Rules,
    /// Takes a protection away that is no log.
    Unguards,
}

/// Names of calls by what they do; a name may stand at several.
type Acts = [(Act, &'static [&'static str])];

/// A call in the words of its source.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Named<'a> {
    /// `Microsoft.Authorization/roleAssignments/write`, `SecretGet`, `Microsoft Graph Activity GET`.
    Azure { operation: &'a str, on: &'a str },
    /// `iam` and `google.iam.admin.v1.CreateServiceAccountKey`.
    Gcp { service: &'a str, method: &'a str },
    /// `git.clone`.
    Github { event: &'a str },
    /// `create` and `serviceaccounts/token`.
    Kubernetes { verb: &'a str, kind: &'a str },
    /// `REST.GET.OBJECT`.
    S3 { operation: &'a str },
    /// `ALTER ROLE SUPERUSER`; the program is what the client says it is.
    Sql { words: &'a str, program: &'a str },
    /// `ssh publickey`, `vsync pull`: nothing but its name is known.
    Words(&'a str),
}

impl<'a> Named<'a> {
    /// Of a record; `None` for logs whose actions have no words of their own.
    pub(super) fn of(access: &'a Access) -> Option<Self> {
        let action = access.action.as_str();
        let on = access.resource.as_deref().unwrap_or_default();
        let sql = || Self::Sql { words: action, program: access.agent.as_deref().unwrap_or_default() };
        Some(match access.format {
            Format::Azure => Self::Azure { operation: action, on },
            Format::Gcp => {
                let (service, method) = action.split_once(':').unwrap_or(("", action));
                Self::Gcp { service, method }
            }
            Format::Github => Self::Github { event: action.split(' ').next().unwrap_or_default() },
            Format::Kubernetes => {
                let (verb, kind) = action.split_once(' ').unwrap_or((action, ""));
                Self::Kubernetes { verb, kind }
            }
            Format::Mariadb | Format::PostgresCsv | Format::PostgresJson => sql(),
            Format::S3 => Self::S3 { operation: action },
            // MariaDB's audit plugin writes into syslog, too.
            Format::Syslog if !action.starts_with("ssh") => sql(),
            Format::Syslog | Format::Tradepulse | Format::Vsync => Self::Words(action),
            Format::Cloudtrail
            | Format::CloudtrailDigest
            | Format::Combined
            | Format::JsonLines
            | Format::MappedCsv
            | Format::MappedJson
            | Format::Text
            | Format::Vault => return None,
        })
    }

    /// Whether the call does that.
    pub(super) fn does(self, act: Act) -> bool {
        match self {
            Self::Azure { operation, on } => azure::does(act, operation, on),
            Self::Gcp { service, method } => gcp::does(act, service, method),
            Self::Github { event } => github::does(act, event),
            Self::Kubernetes { verb, kind } => kubernetes::does(act, verb, kind),
            Self::S3 { operation } => s3::does(act, operation),
            Self::Sql { words, program } => sql::does(act, words, program),
            Self::Words(_) => false,
        }
    }

    /// What kind of call it is.
    pub(super) fn sort(self) -> (&'a str, &'a str) {
        match self {
            Self::Azure { operation, .. } => (operation, ""),
            Self::Gcp { service, method } => (service, method),
            Self::Github { event } => (event, ""),
            Self::Kubernetes { verb, kind } => (verb, kind),
            Self::S3 { operation } => (operation, ""),
            Self::Sql { words, .. } | Self::Words(words) => (words, ""),
        }
    }

    /// What makes two looks around different ones: the kind of call, and of Graph's what is asked for.
    pub(super) fn look(self) -> (&'a str, &'a str) {
        match self {
            Self::Azure { operation, on } => (operation, azure::collection(operation, on)),
            Self::Gcp { .. }
            | Self::Github { .. }
            | Self::Kubernetes { .. }
            | Self::S3 { .. }
            | Self::Sql { .. }
            | Self::Words(_) => self.sort(),
        }
    }

    /// The name of that kind for people and for comparing.
    pub(super) fn name(self) -> String {
        match (self, self.sort()) {
            (Self::Azure { operation, on }, _) => azure::name(operation, on),
            (Self::Gcp { .. }, ("", method)) => method.to_owned(),
            (Self::Gcp { .. }, (service, method)) => format!("{service}:{method}"),
            (Self::Kubernetes { .. }, (verb, kind)) => format!("{verb} {kind}"),
            (_, (name, _)) => name.to_owned(),
        }
    }
}

/// Whether a table says so.
fn listed(acts: &Acts, act: Act, name: &str) -> bool {
    acts.iter().any(|(known, names)| *known == act && names.contains(&name))
}
