//! A file that is nothing but the value: a private key, a token that a platform mounts.

use serde_json::{Value, json};

use crate::connector::Definition;
use crate::env_file::whole;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "file",
    summary: "A file that holds the value and nothing else",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: Some(whole),
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
        "required": ["path"],
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "The file; a relative path is relative to the inventory's folder",
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
