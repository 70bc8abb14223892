//! Keys of services with an HTTP API, each described by a file: `providers/*.yaml`, and the user's own.
//!
//! A file says how a key is tried, how it is revoked (with itself, by anybody, or by an administrator), how a successor is made,
//! and what each answer means, with the vendor's page and the day on which it was read. One issuer acts on all of them.
//!
//! Why files and a model: decision 0012.
//!
//! What is absent: retries, redirects, and any belief in an answer. `200`, `204` and `202` say that a revocation was taken;
//! that the key is dead is seen by trying it.

mod call;
mod check;
mod door;
mod embedded;
pub mod file;
mod issuer;
mod list;
mod mint;
pub mod model;
mod pattern;
mod place;
mod registry;
mod schema;
mod template;
#[cfg(test)]
mod tests;
mod trial;
mod when;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use crate::connector::{Definition, Issuer};
use crate::context::Context;
use crate::error::ConfigError;
use crate::source::SecretSource;

pub use check::read;
pub use file::{Call, FORMAT, Fact, File, Who};
pub use pattern::expand;
pub use registry::{Known, all, find, load, of_kind};
pub use schema::schema as file_schema;
pub use trial::{Tested, trial};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "provider",
    summary: "Keys of services with an HTTP API, each described by a file",
    readme: include_str!("README.md"),
    schemas: schema::inventory,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// `{ provider: { id: github, control: env:GOOD } }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    id: String,
    url: Option<String>,
    admin: Option<SecretSource>,
    control: Option<SecretSource>,
    key_id: Option<String>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    mint: Option<Value>,
    settle: Option<SignedDuration>,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(configured(config, context)?))
}

fn configured(config: &Value, context: &Context) -> Result<issuer::Provider, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let known = find(&context.providers, &config.id).map_err(|complaints| {
        let words = complaints.first().map(ToString::to_string).unwrap_or_default();
        ConfigError::at("id", words, "`quell provider check FILE` says all that is wrong")
    })?;
    let Some(known) = known else {
        let hint = "`quell provider list` names them; your own: `providers: [folder]` in the inventory";
        return Err(ConfigError::at("id", format!("there is no provider `{}`", config.id), hint));
    };
    assembled(known.file, config, context)
}

/// The issuer, from a file that is known to be good.
fn assembled(file: Arc<File>, config: Config, context: &Context) -> Result<issuer::Provider, ConfigError> {
    if let Some(url) = &config.url {
        place::address(url)
            .map_err(|words| ConfigError::at("url", words, "such as https://git.example.com/api/v4"))?;
    }
    for (name, what) in &file.vars {
        if !config.vars.contains_key(name) {
            let words = format!("`{name}` is missing: {what}");
            return Err(ConfigError::at("vars", words, format!("vars: {{ {name}: … }}")));
        }
    }
    if let Some(name) = config.vars.keys().find(|name| !file.vars.contains_key(*name)) {
        let names = file.vars.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(ConfigError::at("vars", format!("`{name}` is not known"), format!("known: {names}")));
    }
    if config.mint.is_some() && (file.mint.is_none() || config.admin.is_none()) {
        let words = "a successor cannot be made: the provider has no `mint`, or `admin` is missing";
        return Err(ConfigError::at("mint", words, "leave it out, or set `admin` to a reference"));
    }
    if config.mint.as_ref().is_some_and(|settings| !settings.is_object()) {
        return Err(ConfigError::at(
            "mint",
            "not a map",
            "settings of the new key, as the API names them; {} for none",
        ));
    }
    if let (Some(settings), Some(call)) = (&config.mint, file.mint.as_ref().map(|call| &call.value))
        && let Some(rights) = &call.rights
        && settings.get(&rights.setting).is_none_or(|named| mint::rights_of(named).is_empty())
    {
        let setting = &rights.setting;
        let words = format!("`{setting}` is missing: without it the new key may do more than the old one");
        let hint = format!("list what the key needs, as the API names it: mint: {{ {setting}: [...] }}");
        return Err(ConfigError::at("mint", words, hint));
    }
    let listed = file.list.as_ref().and_then(|call| call.value.settle.as_deref()).and_then(when::duration_ms);
    let settle = match config.settle {
        Some(settle) => u64::try_from(settle.as_millis()).ok(),
        None => when::duration_ms(&file.settle),
    };
    let settle =
        settle.ok_or_else(|| ConfigError::at("settle", "it is negative", "write a duration such as 2s"))?;
    let door = door::Door {
        context: context.clone(),
        file,
        url: config.url,
        vars: config.vars,
        admin: config.admin,
    };
    Ok(issuer::Provider {
        door,
        control: config.control,
        key_id: config.key_id,
        mint: config.mint,
        settle: Duration::from_millis(settle),
        listed: Duration::from_millis(listed.unwrap_or_default()),
    })
}
