//! Webhooks that are taken in: verified on the raw body, written down, answered; worked off later.
//!
//! [`accept`] does what has to be done before the answer and no more; it knows nothing of HTTP but headers and bytes.
//! [`work`] turns deliveries into findings, incidents, signals and notes, through the same functions as `quell ingest`.
//! What a delivery leads to is recorded by names that are the same the next time, so that a delivery that is worked on
//! twice (a worker died) has one effect.

mod accept;
mod act;
mod config;
mod fetch;
mod keys;
mod revoke;
mod sender;
#[cfg(test)]
mod tests;
mod verify;
mod work;

use quell_connect::connector::Check;
use quell_connect::context::Context;
use quell_core::inventory::Inventory;

use crate::clock::now;
use crate::{App, AppError};

pub use accept::{Answer, Headers, MAX_BODY, accept, is_known, revocable_types};
pub(crate) use config::schema;
pub use keys::Keys;
pub use quell_store::{Deliveries, Delivery, DeliveryState};
pub use work::{Ended, LANES, MAX_TRIES, work, work_off};

use config::Source;

/// Parses every entry, and reaches nothing.
pub(crate) fn check_offline(inventory: &Inventory, context: &Context) -> Result<(), AppError> {
    for (name, entry) in &inventory.intake {
        let source = Source::parse(name, entry)?;
        fetch::check(&source, context)?;
    }
    Ok(())
}

/// Whether each entry can be used: it parses, and its keys can be fetched. Name, kind, and what was seen.
pub(crate) async fn check(app: &App) -> Vec<(String, String, Check)> {
    let mut out = Vec::new();
    for (name, entry) in &app.inventory.intake {
        let what = "have the key of its deliveries".to_owned();
        let check = match Source::parse(name, entry) {
            Ok(source) => match app.hook_keys.fresh(&source, &app.context, now()).await {
                Ok(held) => Check { what, ok: true, detail: format!("{} key(s)", held.keys.len()) },
                Err(error) => Check { what, ok: false, detail: error.to_string() },
            },
            Err(error) => {
                let detail = std::iter::once(error.to_string()).chain(error.hints());
                let detail = detail.collect::<Vec<_>>().join("; ");
                Check { what: "configuration".to_owned(), ok: false, detail }
            }
        };
        out.push((name.clone(), entry.connector.clone(), check));
    }
    out
}

/// Deliveries, newest first; `after` is the last one of the page before.
pub async fn list(
    app: &App,
    which: Deliveries,
    after: Option<&str>,
    most: u32,
) -> Result<Vec<Delivery>, AppError> {
    let after = match after {
        Some(id) => Some(show(app, id).await?),
        None => None,
    };
    shown(app, app.store.inbox_list(which, after.as_ref(), most).await?).await
}

/// One delivery, without its body.
pub async fn show(app: &App, id: &str) -> Result<Delivery, AppError> {
    let found = shown(app, app.store.inbox_get(id).await?.into_iter().collect()).await?.pop();
    found.ok_or_else(|| AppError::NotFound { what: "delivery", id: id.to_owned() })
}

/// What stands there instead of words with a value in them.
const HIDDEN: &str = "(not shown: it may hold a value)";

/// The sender's marks and what became of it may be words of a stranger: where a value stands in them, they are not shown to anybody.
async fn shown(app: &App, mut all: Vec<Delivery>) -> Result<Vec<Delivery>, AppError> {
    let texts: Vec<&str> =
        all.iter().flat_map(|it| [it.delivery.as_str(), it.topic.as_str(), it.note.as_str()]).collect();
    let mut harmless = crate::words::are_harmless(app, &texts).await?.into_iter();
    for one in &mut all {
        for text in [&mut one.delivery, &mut one.topic, &mut one.note] {
            if !harmless.next().unwrap_or(false) {
                HIDDEN.clone_into(text);
            }
        }
    }
    Ok(all)
}

/// Has a delivery that was given up, or that waits for its next try, tried now.
pub async fn retry(app: &App, id: &str) -> Result<Delivery, AppError> {
    let known = show(app, id).await?;
    if !app.store.inbox_retry(id, now()).await? {
        let words = match known.state {
            DeliveryState::Done => {
                format!("{id} is done, and its body is gone: have the sender deliver it again")
            }
            DeliveryState::Failed | DeliveryState::Waiting => format!("{id} is being worked on"),
        };
        return Err(AppError::Usage(words));
    }
    show(app, id).await
}
