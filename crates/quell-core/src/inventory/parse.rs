//! YAML to [`Inventory`], with every complaint pointing at file, line and key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{ConnectorRef, Consumer, Grant, Inventory, PAGE, Policy, Secret, Server, Tier};
use crate::id::SecretId;

/// Largest inventory file, in bytes.
const FILE_MAX: usize = 4 << 20;

/// One complaint.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Diagnostic {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u64,
    /// Column, from 1; 0 when the whole line is meant.
    pub column: u64,
    /// The key: `secrets.orders-db.stores[0]`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An editor jumps to `file:line:column`; what is not known is left out.
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: ", self.file)?,
            (line, 0) => write!(f, "{}:{line}: ", self.file)?,
            (line, column) => write!(f, "{}:{line}:{column}: ", self.file)?,
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        write!(f, "{}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    secrets: Vec<Spanned<Entry>>,
    #[serde(default)]
    policy: Option<Policy>,
    #[serde(default)]
    connections: BTreeMap<String, Value>,
    #[serde(default)]
    channels: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    providers: Vec<String>,
    #[serde(default)]
    server: Option<Server>,
    #[serde(default)]
    intake: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    kind: String,
    #[serde(default)]
    env: String,
    #[serde(default)]
    tier: Tier,
    issuer: BTreeMap<String, Value>,
    #[serde(default)]
    stores: Vec<BTreeMap<String, Value>>,
    #[serde(default)]
    consumers: Vec<Consumer>,
    #[serde(default)]
    grants: Vec<Grant>,
    #[serde(default)]
    depends_on: Vec<String>,
    #[serde(default)]
    owners: Vec<String>,
}

/// Reads all files as one inventory. Every complaint that can be found is returned, not just the first.
pub fn parse(files: &[(String, String)]) -> Result<Inventory, Vec<Diagnostic>> {
    let mut inventory = Inventory::default();
    let mut complaints = Vec::new();
    let mut policy_from: Option<&str> = None;
    for (name, text) in files {
        match read(name, text) {
            Ok(file) => take(name, file, &mut inventory, &mut policy_from, &mut complaints),
            Err(complaint) => complaints.push(*complaint),
        }
    }
    cross_check(&inventory, &mut complaints);
    if complaints.is_empty() { Ok(inventory) } else { Err(complaints) }
}

fn read(name: &str, text: &str) -> Result<File, Box<Diagnostic>> {
    let at = |line, column, message: String, hint: &str| {
        Box::new(Diagnostic {
            file: name.to_owned(),
            line,
            column,
            key: String::new(),
            message,
            hint: hint.to_owned(),
        })
    };
    if text.len() > FILE_MAX {
        return Err(at(
            0,
            0,
            format!("larger than {FILE_MAX} bytes"),
            "split it into several files in a folder",
        ));
    }
    // The parser's own rendering shows the source line; a value pasted there by mistake would be printed.
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |l| (l.line(), l.column()));
        let words = error.without_snippet().to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        // Advice to programmers about the parser's options is none to operators.
        let words = words.split(", set Dup").next().unwrap_or_default().to_owned();
        at(line, column, words, "`quell inventory schema` prints the JSON Schema; editors complete from it")
    })?;
    Ok(file)
}

fn take<'a>(
    name: &'a str,
    file: File,
    inventory: &mut Inventory,
    policy_from: &mut Option<&'a str>,
    complaints: &mut Vec<Diagnostic>,
) {
    let mut complain = |line: u64, key: String, message: String, hint: &str| {
        complaints.push(Diagnostic {
            file: name.to_owned(),
            line,
            column: 0,
            key,
            message,
            hint: hint.to_owned(),
        });
    };
    if let Some(policy) = file.policy {
        if let Some(other) = policy_from {
            complain(0, "policy".to_owned(), format!("given twice, also in {other}"), "keep one policy");
        }
        if policy.approvals.destructive > 2 || policy.approvals.reversible > 2 {
            complain(0, "policy.approvals".to_owned(), "more than two people".to_owned(), "use 0, 1 or 2");
        }
        *policy_from = Some(name);
        inventory.policy = policy;
    }
    if let Some(server) = file.server {
        for (key, message, hint) in server_complaints(&server) {
            complain(0, key.to_owned(), message.to_owned(), hint);
        }
        if inventory.server.oidc.is_some() {
            complain(0, "server".to_owned(), "given twice".to_owned(), "keep one");
        }
        inventory.server = server;
    }
    for (id, config) in file.connections {
        if let Some(key) = pasted_value(&config) {
            complain(0, format!("connections.{id}{key}"), PASTED.to_owned(), PASTED_HINT);
        }
        inventory.connections.insert(id, config);
    }
    inventory.providers.extend(file.providers);
    for (channel, map) in file.channels {
        match single(map) {
            Ok(found) => {
                inventory.channels.insert(channel, found);
            }
            Err(message) => complain(
                0,
                format!("channels.{channel}"),
                message,
                "for example `ops: { webhook: { url: … } }`",
            ),
        }
    }
    for (source, map) in file.intake {
        if let Err((message, hint)) = hook(&source, map, inventory) {
            complain(0, format!("intake.{source}"), message, hint);
        }
    }
    for spanned in file.secrets {
        let line = spanned.defined.line();
        let key = format!("secrets.{}", spanned.value.id);
        match entry(name, line, spanned.value) {
            Ok(secret) => {
                if let Some(first) = inventory.secrets.get(&secret.id) {
                    let message = format!("`{}` is already defined at {}", secret.id, first.place);
                    complain(line, key, message, "ids are unique over all files");
                } else {
                    inventory.secrets.insert(secret.id.clone(), secret);
                }
            }
            Err(found) => {
                for (at, message, hint) in found {
                    complain(line, format!("{key}{at}"), message, hint);
                }
            }
        }
    }
}

/// What is wrong with how people sign in: key, message, hint.
fn server_complaints(server: &Server) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut found = Vec::new();
    let Some(oidc) = &server.oidc else { return found };
    let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    if !oidc.issuer.starts_with("https://") && !loopback.iter().any(|own| oidc.issuer.starts_with(own)) {
        found.push((
            "server.oidc.issuer",
            "it is not reached by https",
            "whoever is on the way could say who signs in",
        ));
    }
    let schemes = ["openbao:", "vault:", "file:", "env:", "exec:"];
    if !schemes.iter().any(|scheme| oidc.client_secret.starts_with(scheme)) {
        found.push(("server.oidc.client_secret", PASTED, PASTED_HINT));
    }
    if !oidc.scope.split(' ').any(|word| word == "openid") {
        found.push(("server.oidc.scope", "`openid` is missing", "without it there is no id token"));
    }
    if oidc.default_role > crate::person::Role::Viewer {
        found.push((
            "server.oidc.default_role",
            "whoever can sign in anywhere in the company would be more than a viewer",
            "reporter or viewer; give more by groups in `roles`",
        ));
    }
    found
}

const PASTED: &str = "this looks like a value, not a reference";
const PASTED_HINT: &str = "never write a value here; use openbao:mount/path#key, file:PATH, env:NAME or exec:PROGRAM, \
                           and treat what was written as leaked";

type Complaint = (String, String, &'static str);

fn entry(file: &str, line: u64, entry: Entry) -> Result<Secret, Vec<Complaint>> {
    let mut found: Vec<Complaint> = Vec::new();
    let id = entry.id.parse::<SecretId>().map_err(|e| found.push((".id".to_owned(), e.to_string(), ""))).ok();
    let issuer = single(entry.issuer)
        .map_err(|e| found.push((".issuer".to_owned(), e, "for example `issuer: { postgres: { … } }`")))
        .ok();
    let mut stores = Vec::new();
    for (i, store) in entry.stores.into_iter().enumerate() {
        match single(store) {
            Ok(store) => stores.push(store),
            Err(e) => found.push((format!(".stores[{i}]"), e, "for example `- openbao: { … }`")),
        }
    }
    let mut depends_on = Vec::new();
    for (i, other) in entry.depends_on.iter().enumerate() {
        match other.parse() {
            Ok(other) => depends_on.push(other),
            Err(e) => found.push((format!(".depends_on[{i}]"), format!("{e}"), "")),
        }
    }
    let mut names = BTreeSet::new();
    for consumer in &entry.consumers {
        if consumer.name.parse::<SecretId>().is_err() {
            found.push((
                ".consumers".to_owned(),
                format!("`{}` is not a usable name", consumer.name),
                "use a slug such as orders-api",
            ));
        }
        if !names.insert(consumer.name.clone()) {
            found.push((
                ".consumers".to_owned(),
                format!("`{}` is there twice", consumer.name),
                "names are unique in a secret",
            ));
        }
    }
    for (i, grant) in entry.grants.iter().enumerate() {
        if grant.resource.is_some() == grant.secret.is_some() {
            found.push((
                format!(".grants[{i}]"),
                "names neither or both of `resource` and `secret`".to_owned(),
                "give one of them",
            ));
        }
    }
    for (key, config) in
        issuer.iter().map(|r| (".issuer", &r.config)).chain(stores.iter().map(|r| (".stores", &r.config)))
    {
        if let Some(at) = pasted_value(config) {
            found.push((format!("{key}{at}"), PASTED.to_owned(), PASTED_HINT));
        }
    }
    match (id, issuer) {
        (Some(id), Some(issuer)) if found.is_empty() => Ok(Secret {
            id,
            kind: entry.kind,
            env: entry.env,
            tier: entry.tier,
            issuer,
            stores,
            consumers: entry.consumers,
            grants: entry.grants,
            depends_on,
            owners: entry.owners,
            place: format!("{file}:{line}"),
        }),
        _ => Err(found),
    }
}

/// One entry of `intake:`. Its name is part of an address, so it is a slug.
fn hook(
    name: &str,
    map: BTreeMap<String, Value>,
    inventory: &mut Inventory,
) -> Result<(), (String, &'static str)> {
    if name.parse::<SecretId>().is_err() {
        return Err((
            "is no usable name: it is the last part of the address that the sender posts to".to_owned(),
            "use a slug such as github-org",
        ));
    }
    let found = single(map).map_err(|why| (why, "for example `github-org: { github: { secret: … } }`"))?;
    if let Some(at) = pasted_value(&found.config) {
        return Err((format!("{PASTED} (at `{at}`)"), PASTED_HINT));
    }
    if inventory.intake.contains_key(name) {
        return Err(("is there twice".to_owned(), "names are unique over all files"));
    }
    inventory.intake.insert(name.to_owned(), found);
    Ok(())
}

fn single(map: BTreeMap<String, Value>) -> Result<ConnectorRef, String> {
    let keys: Vec<&str> = map.keys().map(String::as_str).collect();
    if keys.len() != 1 {
        return Err(format!("must name exactly one connector, has {}: {}", keys.len(), keys.join(", ")));
    }
    map.into_iter()
        .next()
        .map(|(connector, config)| ConnectorRef { connector, config })
        .ok_or_else(|| "names no connector".to_owned())
}

/// The key path of the first string that carries user info with a password: `scheme://user:password@`.
fn pasted_value(config: &Value) -> Option<String> {
    match config {
        Value::String(text) => {
            let (_, rest) = text.split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next()?;
            let (user_info, _) = authority.rsplit_once('@')?;
            let (_, password) = user_info.split_once(':')?;
            (!password.is_empty()).then(String::new)
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, item)| pasted_value(item).map(|rest| format!("[{i}]{rest}"))),
        Value::Object(map) => {
            map.iter().find_map(|(k, item)| pasted_value(item).map(|rest| format!(".{k}{rest}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn cross_check(inventory: &Inventory, complaints: &mut Vec<Diagnostic>) {
    let mut complain = |secret: &Secret, key: &str, message: String, hint: &str| {
        let (file, line) = secret.place.rsplit_once(':').unwrap_or((&secret.place, "0"));
        complaints.push(Diagnostic {
            file: file.to_owned(),
            line: line.parse().unwrap_or(0),
            column: 0,
            key: format!("secrets.{}.{key}", secret.id),
            message,
            hint: hint.to_owned(),
        });
    };
    for secret in inventory.secrets.values() {
        for other in &secret.depends_on {
            if !inventory.secrets.contains_key(other) {
                complain(
                    secret,
                    "depends_on",
                    format!("there is no secret `{other}`"),
                    "add it or correct the id",
                );
            }
        }
        for other in secret.grants.iter().filter_map(|g| g.secret.as_ref()) {
            if !inventory.secrets.contains_key(other) {
                complain(
                    secret,
                    "grants",
                    format!("there is no secret `{other}`"),
                    "add it or correct the id",
                );
            }
        }
        if let Some(cycle) = cycle_from(inventory, &secret.id) {
            complain(
                secret,
                "depends_on",
                format!("goes round in a circle: {cycle}"),
                "one of them must not depend on the other",
            );
        }
    }
    if inventory.policy.site.as_deref().is_some_and(|site| !is_site(site)) {
        complaints.push(Diagnostic {
            file: "policy".to_owned(),
            line: 0,
            column: 0,
            key: "policy.site".to_owned(),
            message: "this is not the address of a site".to_owned(),
            hint: "write it without user, query and fragment: https://quell.example.com".to_owned(),
        });
    }
    if inventory.policy.page_from.is_some() && !inventory.policy.notify.contains_key(PAGE) {
        complaints.push(Diagnostic {
            file: "policy".to_owned(),
            line: 0,
            column: 0,
            key: "policy.page_from".to_owned(),
            message: "no channel is named for `page`".to_owned(),
            hint: "name one: `notify: { page: oncall }`".to_owned(),
        });
    }
    for (role, name) in &inventory.policy.notify {
        if !inventory.channels.contains_key(name) {
            complaints.push(Diagnostic {
                file: "policy".to_owned(),
                line: 0,
                column: 0,
                key: format!("policy.notify.{role}"),
                message: format!("there is no channel `{name}`"),
                hint: "name one under `channels:`".to_owned(),
            });
        }
    }
}

/// It becomes the begin of links that strangers' programs show.
fn is_site(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(fits))
}

fn cycle_from(inventory: &Inventory, start: &SecretId) -> Option<String> {
    let mut path = vec![start.clone()];
    let mut seen = BTreeSet::new();
    fn walk(
        inventory: &Inventory,
        path: &mut Vec<SecretId>,
        seen: &mut BTreeSet<SecretId>,
        start: &SecretId,
    ) -> bool {
        let Some(secret) = path.last().and_then(|id| inventory.secrets.get(id)) else { return false };
        for next in &secret.depends_on {
            path.push(next.clone());
            if next == start {
                return true;
            }
            if seen.insert(next.clone()) && walk(inventory, path, seen, start) {
                return true;
            }
            path.pop();
        }
        false
    }
    walk(inventory, &mut path, &mut seen, start)
        .then(|| path.iter().map(SecretId::as_str).collect::<Vec<_>>().join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> String {
        let found = parse(&[("quell.yaml".to_owned(), text.to_owned())]).unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    const GOOD: &str = r#"
secrets:
  - id: orders-db
    kind: postgres-password
    env: prod
    issuer:
      postgres: { admin: "openbao:kv/infra/pg#admin_url", roles: [orders_a, orders_b], group: orders_owner }
    stores:
      - openbao: { mount: kv, path: apps/orders, key: DATABASE_URL }
    consumers:
      - name: orders-api
        reload: { systemd: orders-api.service }
        observe: { http: "https://orders.internal/healthz", generation: ".gen" }
    grants:
      - { resource: "postgres:orders", access: write, data: [personal, payment] }
    owners: ["team-orders@example.com"]
policy:
  severity_profile: sev
  approvals: { destructive: 2, pre_approved: [sev1-public-leak] }
  markets: [eu, uk, us-ca, br]
"#;

    #[test]
    fn the_documented_inventory_parses() {
        let inventory = parse(&[("quell.yaml".to_owned(), GOOD.to_owned())]).unwrap();
        let secret = &inventory.secrets[&"orders-db".parse().unwrap()];
        assert_eq!(secret.issuer.connector, "postgres");
        assert_eq!(secret.place, "quell.yaml:3");
        assert!(secret.is_production());
        assert_eq!(inventory.policy.approvals.destructive, 2);
    }

    #[test]
    fn complaints_point_at_file_line_and_key() {
        let cases = [
            ("secrets:\n  - id: a\n    kind: x\n    isuer: {}\n", "quell.yaml:4:5: unknown field `isuer`"),
            (
                "secrets:\n  - id: a\n    kind: x\n    issuer: { postgres: {}, mysql: {} }\n",
                "quell.yaml:2: `secrets.a.issuer`: must name exactly one connector, has 2: mysql, postgres",
            ),
            (
                "secrets:\n  - {id: a, kind: x, issuer: {p: {}}, depends_on: [b]}\n",
                "quell.yaml:2: `secrets.a.depends_on`: there is no secret `b`",
            ),
            (
                "secrets:\n  - {id: a, kind: x, issuer: {p: {}}, depends_on: [b]}\n  - {id: b, kind: x, issuer: {p: {}}, depends_on: [a]}\n",
                "goes round in a circle: a -> b -> a",
            ),
            (
                "secrets:\n  - {id: a, kind: x, issuer: {p: {}}}\n  - {id: a, kind: x, issuer: {p: {}}}\n",
                "quell.yaml:3: `secrets.a`: `a` is already defined at quell.yaml:2",
            ),
            ("secrets: [\n", "quell.yaml:1:10: unclosed bracket"),
            ("policy: { notify: { page: ops } }", "there is no channel `ops`"),
            ("policy: { page_from: SEV-2 }", "no channel is named for `page`"),
            ("policy: { site: quell.example.com }", "not the address of a site"),
            ("policy: { site: \"https://u:p@quell.example.com\" }", "not the address of a site"),
            ("intake: { \"a/b\": { github: {} } }", "quell.yaml: `intake.a/b`: is no usable name"),
            (
                "intake: { a: { github: {}, gitlab: {} } }",
                "`intake.a`: must name exactly one connector, has 2",
            ),
        ];
        for (text, wanted) in cases {
            let said = complaints(text);
            assert!(said.contains(wanted), "{text}\nsaid: {said}");
        }
    }

    #[test]
    fn a_pasted_value_is_refused_and_not_repeated() {
        let text = "secrets:\n  - id: a\n    kind: x\n    issuer: { postgres: { admin: \"postgres://u:hunter2@h/db\" } }\n";
        let said = complaints(text);
        assert!(said.contains("secrets.a.issuer.admin") && !said.contains("hunter2"), "{said}");
        let broken = "secrets:\n  - id: a\n    kindd: hunter2\n    issuer: {p: {}}\n";
        assert!(!complaints(broken).contains("hunter2"));
    }
}
