//! The inventory on disk: loading, checking against the real systems, its JSON Schema.

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use quell_connect::connector::Check;
use quell_core::inventory::{Diagnostic, Inventory, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::systems::{Systems, check_channel};
use crate::{App, AppError, Options};

/// Largest inventory file, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// Loads a file, or every `*.yaml` and `*.yml` of a folder in order of name.
pub fn load(path: &Path) -> Result<Inventory, AppError> {
    let files = if path.is_dir() { yaml_files(path)? } else { vec![path.to_owned()] };
    if files.is_empty() {
        return Err(complaint(path, "the folder holds no .yaml file", "`quell init` writes one"));
    }
    let mut texts = Vec::new();
    for file in files {
        let bytes = match crate::files::read(&file, FILE_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                return Err(complaint(&file, "larger than 4 MiB", "split it into several files in a folder"));
            }
            Err(error) => return Err(AppError::io(&file, error)),
        };
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = e
                .as_bytes()
                .get(..e.utf8_error().valid_up_to())
                .map_or(0, |b| b.split(|b| *b == b'\n').count());
            complaint(&file, &format!("line {line} is not UTF-8"), "save it as UTF-8")
        })?;
        texts.push((file.display().to_string(), text));
    }
    quell_core::inventory::parse(&texts).map_err(AppError::Inventory)
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, AppError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| AppError::io(folder, e))? {
        let path = entry.map_err(|e| AppError::io(folder, e))?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn complaint(file: &Path, message: &str, hint: &str) -> AppError {
    AppError::Inventory(vec![Diagnostic {
        file: file.display().to_string(),
        line: 0,
        column: 0,
        key: String::new(),
        message: message.to_owned(),
        hint: hint.to_owned(),
    }])
}

/// Parses everything, the connectors' own parts too, and reaches nothing.
pub fn check_offline(options: &Options) -> Result<Inventory, AppError> {
    let inventory = load(&options.inventory)?;
    let context = crate::app::context(options, &inventory)?;
    for secret in inventory.secrets.values() {
        drop(Systems::build(secret, &context)?);
    }
    for name in inventory.channels.keys() {
        crate::systems::build_channel(&inventory, name, &context)?;
    }
    for name in inventory.policy.notify.values() {
        drop(crate::systems::notifier(&inventory, name, &context)?);
    }
    crate::intake::check_offline(&inventory, &context)?;
    Ok(inventory)
}

/// One line of `inventory check`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CheckLine {
    /// `orders-db`.
    pub secret: String,
    /// `issuer`, `stores[0]`, `consumers.api.reload`.
    pub part: String,
    /// The system in words.
    pub target: String,
    /// What was seen.
    #[serde(flatten)]
    pub check: Check,
}

/// Secrets that are asked about at the same time.
pub(crate) const ASKED_AT_ONCE: usize = 16;

/// Asks the systems of one secret.
pub(crate) async fn check_secret(app: &App, secret: &Secret) -> Vec<CheckLine> {
    let mut out = Vec::new();
    let mut add = |part: String, target: String, checks: Vec<Check>| {
        for check in checks {
            out.push(CheckLine {
                secret: secret.id.to_string(),
                part: part.clone(),
                target: target.clone(),
                check,
            });
        }
    };
    let systems = match Systems::build(secret, &app.context) {
        Ok(systems) => systems,
        Err(error) => {
            let detail =
                std::iter::once(error.to_string()).chain(error.hints()).collect::<Vec<_>>().join("; ");
            let check = Check { what: "configuration".to_owned(), ok: false, detail };
            add("configuration".to_owned(), secret.place.clone(), vec![check]);
            return out;
        }
    };
    add("issuer".to_owned(), systems.issuer.target(), systems.issuer.check().await);
    for (i, store) in systems.stores.iter().enumerate() {
        add(format!("stores[{i}]"), store.target(), store.check().await);
    }
    for consumer in &systems.consumers {
        if let Some(reload) = &consumer.reload {
            add(format!("consumers.{}.reload", consumer.name), reload.target(), reload.check().await);
        }
        let part = format!("consumers.{}.observe", consumer.name);
        add(part, consumer.observe.target(), consumer.observe.check().await);
    }
    out
}

/// Reaches every system and says what permission is missing. Changes nothing.
pub async fn check(app: &App) -> Result<Vec<CheckLine>, AppError> {
    // A list, since a lazy closure of references cannot be sent to another thread.
    let each: Vec<_> = app.inventory.secrets.values().map(|secret| check_secret(app, secret)).collect();
    let mut out: Vec<CheckLine> = futures_util::stream::iter(each).buffered(ASKED_AT_ONCE).concat().await;
    for name in app.inventory.channels.keys() {
        let (target, checks) = match check_channel(&app.inventory, name, &app.context).await {
            Ok(told) => told,
            Err(error) => (
                name.clone(),
                vec![Check { what: "configuration".to_owned(), ok: false, detail: error.to_string() }],
            ),
        };
        for check in checks {
            out.push(CheckLine {
                secret: String::new(),
                part: format!("channels.{name}"),
                target: target.clone(),
                check,
            });
        }
    }
    for (name, kind, check) in crate::intake::check(app).await {
        out.push(CheckLine { secret: String::new(), part: format!("intake.{name}"), target: kind, check });
    }
    Ok(out)
}

/// The JSON Schema (draft 2020-12) of the inventory, put together from what each connector declares.
pub fn schema() -> Value {
    let of = |wanted: &[&str]| -> Vec<(&'static str, Value)> {
        quell_connect::ALL
            .iter()
            .flat_map(|d| {
                (d.schemas)()
                    .into_iter()
                    .filter(|(role, _)| wanted.contains(role))
                    .map(|(_, schema)| (d.id, schema))
            })
            .collect()
    };
    let single = |wanted: &[&str]| -> Value {
        let variants: Vec<Value> = of(wanted)
            .into_iter()
            .map(|(id, schema)| json!({"type": "object", "properties": {id: schema}, "required": [id], "additionalProperties": false}))
            .collect();
        json!({"oneOf": variants})
    };
    let options = |wanted: &[&str]| -> Value {
        json!({"anyOf": of(wanted).into_iter().map(|(_, schema)| schema).collect::<Vec<_>>()})
    };
    let slug = json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,79}$"});
    let strings = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quell inventory",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "secrets": {"type": "array", "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["id", "kind", "issuer"],
                "properties": {
                    "id": slug,
                    "kind": {"type": "string"},
                    "env": {"type": "string", "description": "anything but dev, development, test, testing, staging, stage, sandbox, ci, qa, demo, drill counts as production"},
                    "tier": {"enum": ["infrastructure", "service", "integration", "human"]},
                    "issuer": single(&["issuer"]),
                    "stores": {"type": "array", "items": single(&["store"])},
                    "consumers": {"type": "array", "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["name", "observe"],
                        "properties": {"name": slug, "reload": options(&["reload"]), "observe": options(&["observe"])},
                    }},
                    "grants": {"type": "array", "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {"resource": {"type": "string"}, "secret": slug, "access": {"type": "string"}, "data": strings},
                    }},
                    "depends_on": {"type": "array", "items": slug},
                    "owners": strings,
                },
            }},
            "policy": policy_schema(),
            "connections": {"type": "object"},
            "providers": {"type": "array", "items": {"type": "string"}, "description": "Provider files of your own, or folders of them"},
            "server": server_schema(),
            "channels": {"type": "object", "additionalProperties": single(&["notify", "channel"])},
            "intake": crate::intake::schema(),
        },
    })
}

fn server_schema() -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let text = |words: &str| json!({"type": "string", "description": words});
    json!({
        "type": "object",
        "additionalProperties": false,
        "description": "How people sign in to `quell serve`",
        "properties": {"oidc": {
            "type": "object",
            "additionalProperties": false,
            "required": ["issuer", "client_id", "client_secret"],
            "properties": {
                "issuer": text("Exactly as the identity provider calls itself"),
                "client_id": {"type": "string"},
                "client_secret": text("Reference to the client's secret"),
                "scope": text("Default: openid profile email"),
                "name_claim": text("The claim that decisions are recorded with; default: sub"),
                "groups_claim": text("Default: groups"),
                "roles": {
                    "type": "object",
                    "description": "Role to the groups that have it",
                    "propertyNames": {"enum": ["reporter", "viewer", "responder", "approver", "admin"]},
                    "additionalProperties": strings,
                },
                "default_role": {"enum": ["reporter", "viewer"]},
            },
        }},
    })
}

fn policy_schema() -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "severity_profile": {"enum": ["sev", "p", "runbook"]},
            "page_from": {"enum": ["SEV-1", "SEV-2", "SEV-3", "SEV-4"], "description": "From this severity on the channel of the role `page` is told, too. Of every incident without it"},
            "approvals": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "destructive": {"type": "integer", "minimum": 0, "maximum": 2},
                    "reversible": {"type": "integer", "minimum": 0, "maximum": 2},
                    "pre_approved": strings,
                    "expire_minutes": {"type": "integer", "minimum": 1},
                },
            },
            "markets": strings,
            "notify": {"type": "object", "additionalProperties": {"type": "string"}},
            "strategy": {"enum": ["auto", "kill-first", "make-before-break"]},
            "site": {"type": "string", "pattern": "^https?://", "description": "Where people reach this installation: https://quell.example.com. Notices link to the incident there"},
            "mass": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "stop_after": {"type": "integer", "minimum": 0},
                    "under_way": {"type": "integer", "minimum": 0},
                    "at_once": {"type": "integer", "minimum": 1, "maximum": 64},
                },
            },
        },
    })
}
