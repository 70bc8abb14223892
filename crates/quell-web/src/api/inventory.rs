//! The inventory, without values and without how systems are reached.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use quell_app::reach::{self, Reach};
use quell_app::{AppError, inventory};
use quell_core::SecretId;
use quell_core::inventory::Graph;
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{At, Words, word};
use super::incident::limit;
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::{reload, view};

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/inventory", Role::Viewer, "inventory_list", || get(list))
        .says("The secrets of the inventory, by id")
        .query(of::<Listed>)
        .json(of::<view::Inventory>),
    Operation::get("/api/v1/inventory/check", Role::Responder, "inventory_check", || get(check))
        .says("Ask every system whether it can be reached with the rights that are needed; changes nothing")
        .json(of::<view::Checked>),
    Operation::get("/api/v1/inventory/graph", Role::Viewer, "inventory_edges", || get(edges))
        .says("What opens what: the edges from one secret on, or all of them")
        .query(of::<Start>)
        .json(of::<view::Edges>),
    Operation::get("/api/v1/inventory/parse", Role::Viewer, "inventory_parse", || get(parse))
        .says("Read the newest inventory of the server, and reach nothing: whether it is refused, and why (for admins)")
        .json(of::<view::Parsed>),
    Operation::get("/api/v1/inventory/secrets/{secret}", Role::Viewer, "inventory_show", || get(show))
        .says("One secret of the inventory")
        .json(of::<view::Known>),
    Operation::get("/api/v1/inventory/secrets/{secret}/graph", Role::Viewer, "inventory_graph", || {
        get(graph)
    })
    .says("What a secret opens when it leaks")
    .query(of::<Ask>)
    .json(of::<view::Reaches>),
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Secrets on a page; 50 without it.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

async fn list(caller: Caller, Words(asked): Words<Listed>) -> Result<Told<view::Inventory>, Problem> {
    let limit = limit(asked.limit)?;
    let after: Option<SecretId> = asked.cursor.as_deref().map(word).transpose()?;
    let all = caller.app.inventory.secrets.values();
    let mut rest = all.filter(|secret| after.as_ref().is_none_or(|after| secret.id > *after));
    let secrets: Vec<view::Known> = rest.by_ref().take(limit).map(view::Known::of).collect();
    let next = rest.next().and_then(|_| secrets.last().map(|last| last.id.to_string()));
    Ok(Told::new(view::Inventory { secrets, next }))
}

async fn check(caller: Caller) -> Result<Told<view::Checked>, Problem> {
    Ok(Told::new(view::Checked::of(inventory::check(&caller.app).await?)))
}

async fn parse(State(server): State<Arc<Server>>, caller: Caller) -> Result<Told<view::Parsed>, Problem> {
    let looked = tokio::task::spawn_blocking(move || reload::look_at_inventory(&server)).await;
    let looked =
        looked.map_err(|error| AppError::Evidence(format!("reading the inventory failed: {error}")))?;
    Ok(Told::new(match looked {
        Ok(secrets) => view::Parsed { ok: true, secrets, refused: None },
        Err(why) => {
            // What is wrong with it names files and systems of the server.
            let others = "an admin is told why";
            let refused = Some(if caller.may(Role::Admin) { why } else { others.to_owned() });
            let secrets = caller.app.inventory.secrets.keys().cloned().collect();
            view::Parsed { ok: false, secrets, refused }
        }
    }))
}

fn known(caller: &Caller, id: &str) -> Result<SecretId, Problem> {
    let id: SecretId = word(id)?;
    if caller.app.inventory.secrets.contains_key(&id) {
        return Ok(id);
    }
    Err(AppError::NotFound { what: "secret", id: id.to_string() }.into())
}

async fn show(caller: Caller, At(secret): At<String>) -> Result<Told<view::Known>, Problem> {
    let id = known(&caller, &secret)?;
    let found = caller.app.inventory.secrets.get(&id).map(view::Known::of);
    found.map(Told::new).ok_or_else(|| Problem::not_found("there is no such secret"))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// Also ask the issuers what it opens.
    #[serde(default)]
    ask: bool,
}

async fn graph(
    caller: Caller,
    At(secret): At<String>,
    Words(asked): Words<Ask>,
) -> Result<Told<view::Reaches>, Problem> {
    let id = known(&caller, &secret)?;
    let reach = reached(&caller, asked.ask.then_some(&id)).await;
    Ok(Told::new(view::Reaches::of(&id, &reach)))
}

/// What the inventory says, and what the issuers of what this secret opens say, if one is given.
async fn reached(caller: &Caller, ask: Option<&SecretId>) -> Reach {
    match ask {
        Some(id) => reach::ask(&caller.app, std::slice::from_ref(id), None).await,
        None => Reach { graph: Graph::of(&caller.app.inventory), ..Reach::default() },
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// From this secret on.
    secret: Option<String>,
    /// Also ask the issuers what it opens; only with a secret.
    #[serde(default)]
    ask: bool,
}

async fn edges(caller: Caller, Words(asked): Words<Start>) -> Result<Told<view::Edges>, Problem> {
    let start = asked.secret.as_deref().map(|id| known(&caller, id)).transpose()?;
    if asked.ask && start.is_none() {
        return Err(Problem::bad_request("issuers are asked about one secret: name it with `secret`"));
    }
    let reach = reached(&caller, start.as_ref().filter(|_| asked.ask)).await;
    Ok(Told::new(view::Edges::of(start.as_ref(), &reach)))
}
