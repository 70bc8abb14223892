//! What exists, and what a leak of it would reach.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::get;
use quell_app::{AppError, projection};
use quell_core::SecretId;
use quell_core::inventory::{Graph, Node as Thing, Reached, Secret};
use quell_core::person::Role;
use serde::Deserialize;

use super::graph::{self, Node, Shape};
use super::pages::Pages;
use super::{Page, render};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/inventory", Role::Viewer, || get(list)),
    Route::page("/inventory/{id}", Role::Viewer, || get(one)),
];

/// Secrets on one page.
const AT_ONCE: usize = 50;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    q: String,
    page: String,
}

struct Row {
    id: String,
    kind: String,
    env: String,
    production: bool,
    issuer: String,
    consumers: usize,
    reaches: usize,
    owners: String,
}

#[derive(Template)]
#[template(path = "inventory/list.html")]
struct ListPage {
    page: Page,
    filter: Filter,
    rows: Vec<Row>,
    found: usize,
    all: usize,
    before: Option<String>,
    after: Option<String>,
}

async fn list(caller: Caller, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let inventory = &caller.app.inventory;
    let graph = Graph::of(inventory);
    let wanted = filter.q.trim().to_lowercase();
    let says = |secret: &&Secret| {
        [secret.id.as_str(), &secret.kind, &secret.env, &secret.issuer.connector, &secret.owners.join(" ")]
            .iter()
            .any(|text| text.to_lowercase().contains(&wanted))
    };
    let found: Vec<&Secret> = inventory.secrets.values().filter(says).collect();
    let pages = Pages::of(&filter.page, found.len(), AT_ONCE);
    let place = |page: usize| {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", &filter.q)
            .append_pair("page", &page.to_string())
            .finish();
        format!("/inventory?{query}")
    };
    let row = |secret: &&Secret| Row {
        id: secret.id.to_string(),
        kind: secret.kind.clone(),
        env: secret.env.clone(),
        production: secret.is_production(),
        issuer: secret.issuer.connector.clone(),
        consumers: secret.consumers.len(),
        reaches: graph.exposed_secrets(&secret.id).len(),
        owners: secret.owners.join(", "),
    };
    render(&ListPage {
        page: Page::of(&caller, "Inventory").at("/inventory"),
        before: pages.before.map(place),
        after: pages.after.map(place),
        rows: found.iter().skip(pages.skip).take(AT_ONCE).map(row).collect(),
        found: found.len(),
        all: inventory.secrets.len(),
        filter,
    })
}

struct ReachedRow {
    what: &'static str,
    name: String,
    href: String,
    from: String,
    why: String,
    data: String,
}

#[derive(Template)]
#[template(path = "inventory/one.html")]
struct OnePage<'a> {
    page: Page,
    secret: &'a Secret,
    stores: Vec<String>,
    drawing: Option<String>,
    reached: Vec<ReachedRow>,
    incidents: Vec<(String, String)>,
}

async fn one(caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let id: SecretId = id.parse()?;
    let found = caller.app.inventory.secrets.get(&id);
    let secret = found.ok_or_else(|| AppError::NotFound { what: "secret", id: id.to_string() })?;
    let reached = Graph::of(&caller.app.inventory).blast_radius(&id);
    let about = projection::about(&id);
    let incidents = projection::page(&caller.app, &about, (usize::MAX, 0)).await?;
    let incidents = incidents.into_iter().map(|it| (it.id.to_string(), it.title));
    render(&OnePage {
        page: Page::of(&caller, format!("Secret {id}")).at("/inventory"),
        secret,
        stores: secret.stores.iter().map(quell_core::inventory::ConnectorRef::place_in_words).collect(),
        drawing: drawing(&id, &reached),
        reached: reached.iter().map(row).collect(),
        incidents: incidents.collect(),
    })
}

fn named(thing: &Thing) -> (&'static str, &str, String) {
    match thing {
        Thing::Secret(id) => ("secret", id.as_str(), format!("/inventory/{id}")),
        Thing::Resource(name) => ("resource", name, "#reached".to_owned()),
        Thing::Consumer(name) => ("consumer", name, "#reached".to_owned()),
    }
}

fn row(reached: &Reached) -> ReachedRow {
    let (what, name, href) = named(&reached.node);
    ReachedRow {
        what,
        name: name.to_owned(),
        href,
        from: reached.via.from.to_string(),
        why: reached.via.why.clone(),
        data: reached.via.data.join(", "),
    }
}

fn drawing(start: &SecretId, reached: &[Reached]) -> Option<String> {
    let own = Node {
        name: start.to_string(),
        sub: "▲ if this leaks".to_owned(),
        title: format!("{start}: the secret that leaks"),
        href: "#reached".to_owned(),
        tone: "bad",
        shape: Shape::Square,
    };
    let node = |it: &Reached| {
        let (what, name, href) = named(&it.node);
        let (tone, mark, shape) = match it.node {
            Thing::Secret(_) => ("warn", "▲", Shape::Square),
            Thing::Resource(_) => ("info", "■", Shape::Cut),
            Thing::Consumer(_) => ("", "○", Shape::Pill),
        };
        Node {
            name: name.to_owned(),
            sub: format!("{mark} {what}"),
            title: format!("{what} {name}: {} by {}", it.via.why, it.via.from),
            href,
            tone,
            shape,
        }
    };
    let nodes: Vec<Node> = std::iter::once(own).chain(reached.iter().map(node)).collect();
    let at = |secret: &SecretId| {
        let place = reached.iter().position(|it| it.node == Thing::Secret(secret.clone())).map(|at| at + 1);
        place.unwrap_or(0)
    };
    let edges: Vec<(usize, usize)> =
        reached.iter().enumerate().map(|(to, it)| (at(&it.via.from), to + 1)).collect();
    graph::svg(&nodes, &edges, &format!("What a leak of {start} reaches"))
}
