//! All incidents, newest first, with filters; works without script.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use quell_app::projection::{self, Summary, Wanted};
use quell_core::severity::Severity;
use serde::Deserialize;

use super::view;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::ui::words::{self, Badge, When};
use crate::ui::{Page, render};

/// Incidents on one page.
const AT_ONCE: usize = 50;

/// What to show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    /// `open`, `closed` or nothing.
    status: String,
    /// `SEV-1` and so on.
    severity: String,
    /// `yes`, `no` or nothing.
    drill: String,
    /// `yes`: those in which whoever looks has a role.
    mine: String,
    /// A part of the id, the title or a secret's name.
    q: String,
    /// From 1.
    page: String,
}

impl Filter {
    fn wanted(&self, me: &str) -> Wanted {
        let mut wanted = if self.mine == "yes" { projection::in_a_role(me) } else { Wanted::default() };
        wanted.status = match self.status.as_str() {
            "open" => "open",
            "closed" => "closed",
            _both => "",
        };
        wanted.drill = match self.drill.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _both => None,
        };
        let all = [Severity::Sev1, Severity::Sev2, Severity::Sev3, Severity::Sev4].map(Severity::word);
        let severity = all.into_iter().find(|word| *word == self.severity);
        // A word that no severity has fits nothing.
        wanted.severity = severity.unwrap_or(if self.severity.is_empty() { "" } else { "none" });
        wanted.text.clone_from(&self.q);
        wanted
    }

    /// The same, on another page.
    fn place(&self, page: usize) -> String {
        let pairs = [
            ("status", self.status.as_str()),
            ("severity", self.severity.as_str()),
            ("drill", self.drill.as_str()),
            ("mine", self.mine.as_str()),
            ("q", self.q.as_str()),
        ];
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()))
            .append_pair("page", &page.to_string())
            .finish();
        format!("/incidents?{query}")
    }
}

struct Row {
    id: String,
    title: String,
    severity: Badge,
    status: Badge,
    contained: Badge,
    declared: When,
    drill: bool,
    commander: String,
}

#[derive(Template)]
#[template(path = "incident/list.html")]
struct ListPage {
    page: Page,
    filter: Filter,
    rows: Vec<Row>,
    found: usize,
    all: usize,
    before: Option<String>,
    after: Option<String>,
}

pub(crate) async fn show(caller: Caller, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let wanted = filter.wanted(&caller.person);
    let all = size(projection::count(&caller.app, &Wanted::default()).await?);
    let found = size(projection::count(&caller.app, &wanted).await?);
    let page = filter.page.parse::<usize>().unwrap_or(1).clamp(1, found.div_ceil(AT_ONCE).max(1));
    let known = projection::page(&caller.app, &wanted, (AT_ONCE, (page - 1) * AT_ONCE)).await?;
    let rows = known.into_iter().map(row).collect();
    render(&ListPage {
        page: Page::of(&caller, "Incidents").at("/incidents"),
        before: (page > 1).then(|| filter.place(page - 1)),
        after: (page * AT_ONCE < found).then(|| filter.place(page + 1)),
        found,
        all,
        rows,
        filter,
    })
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn row(known: Summary) -> Row {
    let status = if known.open { Badge::new("", "●", "open") } else { Badge::new("", "■", "closed") };
    Row {
        id: known.id.to_string(),
        severity: words::severity(known.severity, &known.label),
        status,
        contained: view::contained_of(known.inert, known.secrets.len()),
        declared: known.declared.into(),
        drill: known.drill,
        title: known.title,
        commander: known.commander,
    }
}
