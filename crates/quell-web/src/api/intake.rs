//! What webhooks delivered, and what became of it. What is delivered itself comes in at `/hooks/{name}`.

use axum::routing::{get, post};
use quell_app::intake::{self, Deliveries};
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{At, Words};
use super::incident::limit;
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view;

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/intake", Role::Viewer, "intake_list", || get(list))
        .says("What webhooks delivered, newest first: whether it is worked off, and what became of it")
        .query(of::<Listed>)
        .json(of::<view::Deliveries>),
    Operation::get("/api/v1/intake/{delivery}", Role::Viewer, "intake_show", || get(show))
        .says("One delivery, without what it says")
        .json(of::<view::Delivered>),
    Operation::post("/api/v1/intake/{delivery}/retry", Role::Admin, "intake_retry", || post(retry))
        .says("Have a delivery that was given up, or that waits for its next try, tried now")
        .json(of::<view::Delivered>),
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Deliveries on a page; 50 without it.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only those that wait or were given up.
    #[serde(default)]
    open: bool,
}

async fn list(caller: Caller, Words(asked): Words<Listed>) -> Result<Told<view::Deliveries>, Problem> {
    let limit = limit(asked.limit)?;
    let which = if asked.open { Deliveries::Open } else { Deliveries::All };
    // One more than wanted, to know whether there is a next page.
    let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let found = intake::list(&caller.app, which, asked.cursor.as_deref(), most).await?;
    let more = found.len() > limit;
    let deliveries: Vec<view::Delivery> = found.into_iter().take(limit).map(view::Delivery::from).collect();
    let next = deliveries.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Told::new(view::Deliveries { deliveries, next }))
}

async fn show(caller: Caller, At(id): At<String>) -> Result<Told<view::Delivered>, Problem> {
    let delivery = intake::show(&caller.app, &id).await?.into();
    Ok(Told::new(view::Delivered { delivery }))
}

async fn retry(caller: Caller, At(id): At<String>) -> Result<Told<view::Delivered>, Problem> {
    let delivery = intake::retry(&caller.app, &id).await?.into();
    Ok(Told::new(view::Delivered { delivery }))
}
