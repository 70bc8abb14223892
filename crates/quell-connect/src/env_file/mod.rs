//! A dotenv file as a store: one key of it, replaced atomically, everything else kept byte for byte.

mod dotenv;
mod leftover;
mod part;
mod place;
mod store;

use serde_json::{Value, json};

use crate::connector::Definition;

pub(crate) use store::{build as store, whole};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "env_file",
    summary: "A KEY=value file that services read at start or reload",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: Some(store),
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let store = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["path", "key"],
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "The file; a relative path is relative to the inventory's folder",
            },
            "key": {
                "type": "string",
                "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$",
                "description": "The variable: DATABASE_URL",
            },
            "mode": {
                "type": "string",
                "pattern": "^0?[0-7]{3}$",
                "default": "0600",
                "description": "Permissions of the file when Quell creates it; an existing file keeps its own",
            },
        },
    });
    vec![("store", store)]
}
