//! A program as a consumer: one that makes it reload, one that tells what it uses. No shell.

mod observe;
pub(crate) mod program;
mod reload;

use serde_json::{Value, json};

use crate::connector::Definition;

pub(crate) use reload::Run;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "exec",
    summary: "Runs a program to reload a consumer, or to ask it which value it uses",
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
    let argv = json!({
        "type": "array",
        "minItems": 1,
        "items": { "type": "string" },
        "description": "The program and its arguments; no shell. Relative paths are relative to the inventory's folder",
    });
    let reload = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["exec"],
        "properties": { "exec": argv },
    });
    let field = crate::dotted::schema;
    let observe = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["exec"],
        "properties": {
            "exec": argv,
            "generation": field("Where the generation is; without it the whole output is the generation"),
            "principal": field("Where the principal is that the consumer is logged in as"),
            "healthy": field("Where it says that it is well; without it exit code 0 says so"),
        },
    });
    vec![("reload", reload), ("observe", observe)]
}

/// The words of an inventory become an argv; a program must be named.
fn argv(words: Vec<String>) -> Result<Vec<String>, crate::error::ConfigError> {
    let hint = "list the program and its arguments: [\"/usr/local/bin/reload-orders\", \"--now\"]";
    if words.first().is_none_or(String::is_empty) {
        return Err(crate::error::ConfigError::at("exec", "no program is named", hint));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(crate::error::ConfigError::at("exec", "an argument holds a NUL byte", hint));
    }
    Ok(words)
}
