//! What a token or a role can reach in this server, by its policies.
//!
//! The policies are read and evaluated, which says *why* a path is open; where there is a live token, the server is asked for
//! its capabilities as well (`sys/capabilities-accessor`), and its answer counts. What cannot be read is told as unknown.

use std::collections::BTreeSet;

use quell_core::inventory::{Place, PlaceKind};
use serde_json::Value;

use super::api::{Ask, Session};
use super::policy::{self, Acl, Given};
use crate::connector::{Opened, Opens};
use crate::error::{ConnectError, ConnectErrorKind};

/// Who asks, as the server knows it.
#[derive(Debug, Default)]
pub(super) struct Bearer {
    /// Of a live token.
    pub(super) accessor: Option<String>,
    pub(super) policies: BTreeSet<String>,
    /// Policies that it may have and that could not be asked for.
    pub(super) unknown: Vec<String>,
}

/// The policies of a bearer, as they were read.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) acl: Acl,
    /// Name and text.
    pub(super) texts: Vec<(String, String)>,
    pub(super) unknown: Vec<String>,
}

/// The policies that a token, or a login of a role, has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Name and text of each, but not of `root`, which has no text.
    pub policies: Vec<(String, String)>,
    /// It may do everything.
    pub root: bool,
    /// What could not be found out: it may have more.
    pub unknown: Vec<String>,
}

pub(super) async fn held(session: &Session<'_>, bearer: Bearer) -> Held {
    let read = read(session, &bearer.policies).await;
    let mut unknown = bearer.unknown;
    unknown.extend(read.unknown);
    Held { policies: read.texts, root: read.acl.root, unknown }
}

/// A path that leads to a place, and the capabilities of which one suffices.
struct Door {
    place: usize,
    path: String,
    wants: &'static [&'static str],
}

const READING: &str = "reading a policy";

/// What belongs to every token, or to the server itself.
const OWN: [&str; 4] = ["auth/token/", "cubbyhole/", "identity/", "sys/"];

pub(super) async fn opens(
    session: &Session<'_>,
    bearer: &Bearer,
    places: &[Place],
) -> Result<Opens, ConnectError> {
    let policies = read(session, &bearer.policies).await;
    let doors = doors(places);
    let mut out = Opens::default();
    out.unknown.extend(bearer.unknown.iter().chain(&policies.unknown).cloned());
    let paths: Vec<String> = doors.iter().map(|door| door.path.clone()).collect();
    let told = match &bearer.accessor {
        Some(accessor) if !paths.is_empty() => match session.capabilities_of(accessor, &paths).await {
            Ok(told) => Some(told),
            Err(error) => {
                out.unknown.push(format!("the server's own answer is missing: {}", error.detail));
                None
            }
        },
        _ => None,
    };
    if told.is_none() {
        // Every token's `default` policy has such patterns, for paths of its own.
        for path in paths.iter().filter(|path| policies.acl.depends_on_who_asks(path)) {
            out.unknown.push(format!(
                "a policy has a pattern with `{{{{…}}}}` that may give `{path}`: it depends on who asks, and the server could \
                 not be asked"
            ));
        }
    }
    for (n, door) in doors.iter().enumerate() {
        let given = policies.acl.on(&door.path);
        let told = told.as_ref().and_then(|told| told.get(n));
        let ours = given.has_one_of(door.wants);
        let open = told
            .map_or(ours, |told| told.iter().any(|one| one == "root" || door.wants.contains(&one.as_str())));
        if open {
            let why = if ours {
                because(&given, door)
            } else {
                let told = told.map(|told| told.join(", ")).unwrap_or_default();
                format!("the server says that it has {told} on `{}`", door.path)
            };
            out.opened.push(Opened { place: door.place, why });
        } else if ours {
            let path = &door.path;
            out.unknown
                .push(format!("{}; but the server says that `{path}` is closed", because(&given, door)));
        }
    }
    out.elsewhere = elsewhere(&policies.acl, &paths);
    Ok(out)
}

/// Reads each policy. One that is not there gives nothing.
pub(super) async fn read(session: &Session<'_>, names: &BTreeSet<String>) -> Policies {
    let mut policies = Policies::default();
    for name in names {
        if name == "root" {
            policies.acl.root = true;
            continue;
        }
        let text = match session.ok(&Ask::get(READING, format!("sys/policies/acl/{name}"))).await {
            Ok(answer) => answer.pointer("/data/policy").and_then(Value::as_str).map(str::to_owned),
            Err(error) if error.kind == ConnectErrorKind::Missing => continue,
            Err(error) => {
                policies
                    .unknown
                    .push(format!("policy `{name}` could not be read, so what it gives: {}", error.detail));
                continue;
            }
        };
        match text.as_deref().map(policy::rules) {
            Some(Ok(rules)) => {
                policies.acl.rules.extend(rules.into_iter().map(|rule| (name.clone(), rule)));
                policies.texts.push((name.clone(), text.unwrap_or_default()));
            }
            Some(Err(why)) => policies.unknown.push(format!("policy `{name}` was not understood: {why}")),
            None => policies.unknown.push(format!("policy `{name}` came without its text")),
        }
    }
    policies
}

/// ``policy `orders` gives read by `kv/data/*` on `kv/data/apps/orders` ``.
fn because(given: &Given, door: &Door) -> String {
    let join =
        |set: &BTreeSet<String>| set.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    let of = |one: &&String| one.as_str() == "root" || door.wants.contains(&one.as_str());
    let gives = given.capabilities.iter().filter(of).cloned().collect::<Vec<_>>().join(", ");
    let exact = given.pattern.is_empty() || given.pattern == door.path;
    let by = if exact { String::new() } else { format!(" by the pattern `{}`", given.pattern) };
    let conditions = if given.conditions.is_empty() {
        String::new()
    } else {
        format!(", under conditions that were not evaluated: {}", join(&given.conditions))
    };
    let word = if given.policies.len() == 1 { "policy" } else { "policies" };
    format!("{word} {} gives {gives} on `{}`{by}{conditions}", join(&given.policies), door.path)
}

/// Patterns that give something and that lead past what the inventory knows.
fn elsewhere(acl: &Acl, known: &[String]) -> Vec<String> {
    let mut out = BTreeSet::new();
    if acl.root {
        out.insert("everything: it has the policy `root`".to_owned());
    }
    for (policy, rule) in &acl.rules {
        let own = OWN.iter().any(|own| rule.pattern.starts_with(own));
        let closed = rule.capabilities.is_empty() || rule.capabilities.contains("deny");
        if own || closed || known.contains(&rule.pattern) {
            continue;
        }
        let gives = rule.capabilities.iter().cloned().collect::<Vec<_>>().join(", ");
        out.insert(format!("`{}`: {gives} (policy `{policy}`)", rule.pattern));
    }
    out.into_iter().collect()
}

/// The paths that lead to places of this server.
fn doors(places: &[Place]) -> Vec<Door> {
    let mut doors = Vec::new();
    for (place, it) in places.iter().enumerate().filter(|(_, it)| it.connector == "openbao") {
        for (path, wants) in paths_to(it) {
            doors.push(Door { place, path, wants });
        }
    }
    doors
}

/// What leads to one place of the inventory, reading a value or having a new one made, and the capabilities of which one
/// suffices.
pub fn paths_to(place: &Place) -> Vec<(String, &'static [&'static str])> {
    let text =
        |pointer: &str| place.config.pointer(pointer).and_then(Value::as_str).map(|it| it.trim_matches('/'));
    match place.kind {
        PlaceKind::Admin | PlaceKind::Store => {
            let (Some(mount), Some(path)) = (text("/mount"), text("/path")) else { return Vec::new() };
            vec![(format!("{mount}/data/{path}"), &["read"])]
        }
        PlaceKind::Issuer => {
            if let (Some(mount), Some(role)) = (text("/database/mount"), text("/database/role")) {
                return vec![(format!("{mount}/creds/{role}"), &["read"])];
            }
            let make: &[&str] = &["create", "update"];
            if let (Some(mount), Some(role)) = (text("/pki/mount"), text("/pki/role")) {
                return ["issue", "sign"].map(|what| (format!("{mount}/{what}/{role}"), make)).to_vec();
            }
            let Some(role) = text("/approle/role") else { return Vec::new() };
            let mount = text("/approle/mount").unwrap_or("approle");
            let at = |what: &str| (format!("auth/{mount}/role/{role}/{what}"), make);
            vec![at("secret-id"), at("custom-secret-id")]
        }
    }
}
