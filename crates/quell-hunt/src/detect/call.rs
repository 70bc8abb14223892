//! What a record says was asked for, in the words of its log.

use super::acts::{Act, Named};
use crate::format::Format;
use crate::record::Access;

/// An action, taken apart.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Call<'a> {
    /// `s3:GetObject`. Lambda's dates behind its names are cut off.
    Aws { service: &'a str, name: &'a str },
    /// `GET /orders`.
    Http { method: &'a str },
    /// In a log with words of its own.
    Named(Named<'a>),
    /// In a log whose actions nobody knows.
    Other,
    /// `read kv/data/orders`.
    Vault { operation: &'a str, path: &'a str },
}

/// Names of calls by service.
pub(super) type Table = [(&'static str, &'static [&'static str])];

impl<'a> Call<'a> {
    /// Of a record.
    pub(super) fn of(access: &'a Access) -> Self {
        match access.format {
            Format::Cloudtrail | Format::CloudtrailDigest => {
                let (service, name) = access.action.split_once(':').unwrap_or(("", &access.action));
                let is_dated = service == "lambda";
                let name = if is_dated {
                    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'v')
                } else {
                    name
                };
                Self::Aws { service, name }
            }
            Format::Combined => Self::Http { method: access.action.split(' ').next().unwrap_or_default() },
            Format::Vault => {
                let (operation, path) = access.action.split_once(' ').unwrap_or((&access.action, ""));
                Self::Vault { operation, path }
            }
            Format::Azure
            | Format::Gcp
            | Format::Github
            | Format::JsonLines
            | Format::Kubernetes
            | Format::PostgresCsv
            | Format::PostgresJson
            | Format::S3
            | Format::Syslog
            | Format::Text
            | Format::Tradepulse
            | Format::MappedCsv
            | Format::MappedJson
            | Format::Mariadb
            | Format::Vsync => Named::of(access).map_or(Self::Other, Self::Named),
        }
    }

    /// Whether it is one of AWS's calls in a table.
    pub(super) fn is_in(self, table: &Table) -> bool {
        match self {
            Self::Aws { service, name } => {
                table.iter().any(|(known, names)| *known == service && names.contains(&name))
            }
            Self::Http { .. } | Self::Named(_) | Self::Other | Self::Vault { .. } => false,
        }
    }

    /// Whether it is a call of another log that does that.
    pub(super) fn does(self, act: Act) -> bool {
        match self {
            Self::Named(named) => named.does(act),
            Self::Aws { .. } | Self::Http { .. } | Self::Other | Self::Vault { .. } => false,
        }
    }

    /// The path, if it is a write of Vault's.
    pub(super) fn vault_write(self) -> Option<&'a str> {
        match self {
            Self::Vault { operation: "create" | "update" | "patch", path } => Some(path),
            Self::Vault { .. } | Self::Aws { .. } | Self::Http { .. } | Self::Named(_) | Self::Other => None,
        }
    }

    /// What kind of call it is: AWS's name, Vault's operation and mount, a method. `None` if the log does not say.
    pub(super) fn sort(self) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Aws { service, name } => Some((service, name)),
            Self::Http { method } => Some((method, "")),
            Self::Named(named) => Some(named.sort()),
            Self::Other => None,
            Self::Vault { operation, path } => Some((operation, path.split('/').next().unwrap_or_default())),
        }
    }

    /// The name of that kind for people and for comparing.
    pub(super) fn name(self) -> String {
        match (self, self.sort()) {
            (_, None) => "a line of a log".to_owned(),
            (Self::Named(named), _) => named.name(),
            (Self::Aws { .. }, Some(("", name))) => name.to_owned(),
            (Self::Aws { .. }, Some((service, name))) => format!("{service}:{name}"),
            (Self::Vault { .. }, Some((operation, mount))) => format!("{operation} {mount}/"),
            (Self::Http { .. } | Self::Other, Some((method, _))) => method.to_owned(),
        }
    }

    /// The same with two parts of Vault's path: `update auth/token`.
    pub(super) fn long_name(self) -> String {
        match self {
            Self::Vault { operation, path } => {
                let two: Vec<&str> = path.splitn(3, '/').take(2).collect();
                format!("{operation} {}", two.join("/"))
            }
            Self::Aws { .. } | Self::Http { .. } | Self::Named(_) | Self::Other => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::planted;

    #[test]
    fn actions_are_taken_apart() {
        let access = planted::used(0, "lambda:AddPermission20150331v2", "203.0.113.9");
        assert_eq!(Call::of(&access), Call::Aws { service: "lambda", name: "AddPermission" });
        let access = planted::vault(0, "read kv/data/orders", "203.0.113.9");
        assert_eq!(Call::of(&access).name(), "read kv/");
        for action in ["", ":", " ", "s3:", ":x"] {
            for access in [planted::used(0, action, ""), planted::vault(0, action, "")] {
                Call::of(&access).name();
            }
        }
    }
}
