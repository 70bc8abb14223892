//! A systemd unit as a consumer: `systemctl reload-or-restart`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Definition, Reload};
use crate::context::Context;
use crate::error::ConfigError;
use crate::exec::Run;
use crate::exec::program::Program;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "systemd",
    summary: "Reloads or restarts a systemd unit",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: Some(build),
    observe: None,
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let reload = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["systemd"],
        "properties": {
            "systemd": {
                "type": "string",
                "pattern": r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$",
                "maxLength": 255,
                "description": "The unit: orders-api.service",
            },
        },
    });
    vec![("reload", reload)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    systemd: String,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Reload>, ConfigError> {
    let unit = ConfigError::parse::<Config>(config)?.systemd;
    // The characters and the length of systemd.unit(5), without globs and never like an option.
    let letter = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if unit.is_empty() || unit.len() > 255 || unit.starts_with('-') || !unit.chars().all(letter) {
        return Err(ConfigError::at(
            "systemd",
            "this is not the name of a unit",
            "name it: orders-api.service",
        ));
    }
    let words = ["systemctl", "--no-ask-password", "reload-or-restart", "--", &unit];
    let program = Program::new(words.map(str::to_owned).to_vec(), context);
    Ok(Box::new(Run { target: format!("systemctl reload-or-restart {unit}"), program }))
}
