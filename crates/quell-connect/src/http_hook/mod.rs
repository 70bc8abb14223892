//! A consumer with HTTP endpoints: a reload hook, and a health page that tells which value it uses. Id: `http`.

mod observe;
pub(crate) mod place;
mod reload;

use serde_json::{Value, json};

use crate::connector::Definition;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "http",
    summary: "Calls a consumer's reload hook, or reads its health page",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: Some(reload::build),
    observe: Some(observe::build),
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let url = json!({ "type": "string", "pattern": "^https?://", "description": "The URL" });
    let token =
        json!({ "type": "string", "description": "Reference to a bearer token: file:/run/orders.token" });
    let reload = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["http"],
        "properties": { "http": { "oneOf": [url, {
            "type": "object",
            "additionalProperties": false,
            "required": ["url"],
            "properties": {
                "url": url,
                "method": { "enum": ["POST", "PUT", "PATCH"], "default": "POST" },
                "token": token,
                "signature_key": { "type": "string", "description": "Reference to a key; signs as a webhook does" },
            },
        }] } },
    });
    let field = crate::dotted::schema;
    let observe = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["http", "generation"],
        "properties": {
            "http": { "oneOf": [url, {
                "type": "object",
                "additionalProperties": false,
                "required": ["url"],
                "properties": { "url": url, "token": token },
            }] },
            "generation": field("What changes when the consumer takes a new value: .gen"),
            "principal": field("Whom it is logged in as: .db.user"),
            "healthy": field("Where it says that it is well: .status; without it a 2xx says so"),
        },
    });
    vec![("reload", reload), ("observe", observe)]
}
