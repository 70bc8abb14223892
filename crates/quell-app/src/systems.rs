//! The connectors behind one secret, built from the inventory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quell_connect::connector::{Channel, Check, Definition, Issuer, Notify, Observe, Reload, Store};
use quell_connect::context::Context;
use quell_connect::error::ConfigError;
use quell_core::inventory::{ConnectorRef, Consumer, Inventory, Secret};
use serde_json::Value;
use sha2::Digest as _;

use crate::{App, AppError};

/// Everything that a plan for one secret touches.
pub struct Systems {
    /// Who accepts it.
    pub issuer: Box<dyn Issuer>,
    /// Where it is kept.
    pub stores: Vec<Box<dyn Store>>,
    /// Who uses it.
    pub consumers: Vec<ConsumerSystem>,
}

/// One consumer.
pub struct ConsumerSystem {
    /// Its name.
    pub name: String,
    /// How it is made to pick up a value.
    pub reload: Option<Box<dyn Reload>>,
    /// How it is observed.
    pub observe: Box<dyn Observe>,
}

impl std::fmt::Debug for Systems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Systems({}, {} stores, {} consumers)",
            self.issuer.target(),
            self.stores.len(),
            self.consumers.len()
        )
    }
}

impl std::fmt::Debug for ConsumerSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConsumerSystem({})", self.name)
    }
}

impl Systems {
    /// Builds them, or says which part of the inventory is wrong.
    pub fn build(secret: &Secret, context: &Context) -> Result<Self, AppError> {
        let at = |part: &str| format!("{} ({}) {part}", secret.id, secret.place);
        let issuer = role(&secret.issuer.connector, "issuer", at("issuer"), |d| d.issuer)?;
        let issuer = issuer(&secret.issuer.config, context)
            .map_err(|source| AppError::Config { place: at("issuer"), source })?;
        let stores = stores_of(secret, context).into_iter().collect::<Result<_, _>>()?;
        let consumers =
            secret.consumers.iter().map(|c| consumer(c, context, &at)).collect::<Result<_, _>>()?;
        Ok(Self { issuer, stores, consumers })
    }

    /// One consumer by name.
    pub fn consumer(&self, name: &str) -> Option<&ConsumerSystem> {
        self.consumers.iter().find(|c| c.name == name)
    }
}

/// Where a secret is kept, each by itself: an issuer that cannot be used, or another store, does not stop the reading of one.
pub(crate) fn stores_of(secret: &Secret, context: &Context) -> Vec<Result<Box<dyn Store>, AppError>> {
    let one = |(i, store): (usize, &ConnectorRef)| {
        let place = format!("{} ({}) stores[{i}]", secret.id, secret.place);
        let build = role(&store.connector, "store", place.clone(), |d| d.store)?;
        build(&store.config, context).map_err(|source| AppError::Config { place, source })
    };
    secret.stores.iter().enumerate().map(one).collect()
}

fn consumer(
    consumer: &Consumer,
    context: &Context,
    at: &impl Fn(&str) -> String,
) -> Result<ConsumerSystem, AppError> {
    let reload = match &consumer.reload {
        None => None,
        Some(map) => {
            let place = at(&format!("consumers.{}.reload", consumer.name));
            let definition = named(map, "reload", &place, |d| d.reload.is_some())?;
            let build = role(definition.id, "reload", place.clone(), |d| d.reload)?;
            Some(build(&whole(map), context).map_err(|source| AppError::Config { place, source })?)
        }
    };
    let place = at(&format!("consumers.{}.observe", consumer.name));
    let definition = named(&consumer.observe, "observe", &place, |d| d.observe.is_some())?;
    let build = role(definition.id, "observe", place.clone(), |d| d.observe)?;
    let observe =
        build(&whole(&consumer.observe), context).map_err(|source| AppError::Config { place, source })?;
    Ok(ConsumerSystem { name: consumer.name.clone(), reload, observe })
}

fn whole(map: &BTreeMap<String, Value>) -> Value {
    Value::Object(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// The one key of the map that names a connector for this role; the other keys are its options.
fn named(
    map: &BTreeMap<String, Value>,
    role: &str,
    place: &str,
    plays: impl Fn(&Definition) -> bool,
) -> Result<&'static Definition, AppError> {
    let found: Vec<&'static Definition> =
        map.keys().filter_map(|key| quell_connect::find(key)).filter(|d| plays(d)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        _ => Err(AppError::Config {
            place: place.to_owned(),
            source: ConfigError {
                key: None,
                message: format!("names {} connectors that can {role}; it must name one", found.len()),
                hint: Some(format!("one of: {}", ids(plays))),
            },
        }),
    }
}

fn ids(plays: impl Fn(&Definition) -> bool) -> String {
    quell_connect::ALL.iter().filter(|d| plays(d)).map(|d| d.id).collect::<Vec<_>>().join(", ")
}

fn role<T>(
    id: &str,
    role: &str,
    place: String,
    pick: impl Fn(&Definition) -> Option<T>,
) -> Result<T, AppError> {
    quell_connect::find(id).and_then(&pick).ok_or_else(|| AppError::Config {
        place,
        source: ConfigError {
            key: None,
            message: format!("there is no connector `{id}` that can be used as {role}"),
            hint: Some(format!("one of: {}", ids(|d| pick(d).is_some()))),
        },
    })
}

/// A named channel by which people are told.
pub fn notifier(inventory: &Inventory, name: &str, context: &Context) -> Result<Box<dyn Notify>, AppError> {
    let (place, found) = named_channel(inventory, name)?;
    let build = role(&found.connector, "notify", place.clone(), |d| d.notify)?;
    build(&found.config, context).map_err(|source| AppError::Config { place, source })
}

/// Refuses what is no channel in which secrets leak, as whoever named it must hear it.
pub(crate) fn must_leak_in(inventory: &Inventory, name: &str, context: &Context) -> Result<(), AppError> {
    if !leaks_in(inventory, name)? && notifier(inventory, name, context).is_ok() {
        let words = "is a channel by which people are told; name one in which secrets leak, or leave it out";
        return Err(AppError::Usage(format!("`{name}` {words}")));
    }
    channel(inventory, name, context).map(drop)
}

/// A named channel in which secrets leak.
pub fn channel(inventory: &Inventory, name: &str, context: &Context) -> Result<Box<dyn Channel>, AppError> {
    let (place, found) = named_channel(inventory, name)?;
    let build = role(&found.connector, "channel", place.clone(), |d| d.channel)?;
    build(&found.config, context).map_err(|source| AppError::Config { place, source })
}

/// Says what is wrong with a channel's configuration, in whichever of both roles it plays.
pub(crate) fn build_channel(inventory: &Inventory, name: &str, context: &Context) -> Result<(), AppError> {
    if leaks_in(inventory, name)? {
        channel(inventory, name, context).map(drop)
    } else {
        notifier(inventory, name, context).map(drop)
    }
}

/// What a channel is asked, in whichever of both roles it plays.
pub(crate) async fn check_channel(
    inventory: &Inventory,
    name: &str,
    context: &Context,
) -> Result<(String, Vec<Check>), AppError> {
    if leaks_in(inventory, name)? {
        let channel = channel(inventory, name, context)?;
        return Ok((channel.target(), channel.check().await));
    }
    let notifier = notifier(inventory, name, context)?;
    Ok((notifier.target(), notifier.check().await))
}

/// Secrets leak in it; else people are told by it.
fn leaks_in(inventory: &Inventory, name: &str) -> Result<bool, AppError> {
    let (_, found) = named_channel(inventory, name)?;
    Ok(quell_connect::find(&found.connector).is_some_and(|d| d.channel.is_some()))
}

fn named_channel<'a>(inventory: &'a Inventory, name: &str) -> Result<(String, &'a ConnectorRef), AppError> {
    let found = inventory
        .channels
        .get(name)
        .ok_or_else(|| AppError::NotFound { what: "channel", id: name.to_owned() })?;
    Ok((format!("channels.{name}"), found))
}

/// Hash of what a plan for these secrets depends on: their issuers with the content of provider files of the user's own, stores and
/// consumers, the connections and channels. The order in which the secrets are given does not matter: an incident lists them as they were
/// reported, a plan as they are done.
pub fn inventory_hash<'a>(app: &App, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let inventory = &app.inventory;
    let mut secrets: Vec<&Secret> = secrets.into_iter().collect();
    secrets.sort_by(|a, b| a.id.cmp(&b.id));
    let files = provider_files(&app.context.providers, &secrets);
    let mut parts: Vec<Value> = secrets
        .into_iter()
        .map(|s| {
            serde_json::json!({
                "id": s.id.as_str(),
                "issuer": s.issuer,
                "stores": s.stores,
                "consumers": s.consumers,
            })
        })
        .collect();
    // The same secret on another server is another plan.
    parts.push(serde_json::json!({"connections": inventory.connections, "channels": inventory.channels}));
    // A provider file says where a key is sent and what counts as dead: another file is another plan. Only where there are any of the user's
    // own: plans that were made without them keep their hash.
    if !files.is_empty() {
        parts.push(serde_json::json!({"providers": files}));
    }
    // Floats cannot be canonical; a configuration that has one still gets a stable text.
    let bytes =
        quell_core::json::canonical(&parts).unwrap_or_else(|_e| Value::Array(parts).to_string().into_bytes());
    hex::encode(sha2::Sha256::digest(bytes))
}

/// What the user's own provider files say that the issuers of these secrets are described by.
fn provider_files(places: &[PathBuf], secrets: &[&Secret]) -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    if places.is_empty() {
        return files;
    }
    for secret in secrets.iter().filter(|secret| secret.issuer.connector == "provider") {
        let Some(id) = secret.issuer.config.get("id").and_then(Value::as_str) else { continue };
        match quell_connect::provider::find(places, id) {
            Ok(Some(known)) if known.path.is_some() => {
                files.insert(id.to_owned(), serde_json::to_value(&*known.file).unwrap_or_default());
            }
            Ok(_) => {}
            // Whatever is wrong with it, it is not what was planned with.
            Err(complaints) => {
                files.insert(id.to_owned(), Value::from(format!("{} problem(s)", complaints.len())));
            }
        }
    }
    files
}
