//! All incidents, newest first, with filters; works without script.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use quell_core::incident::{Incident, Status};
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
    fn takes(&self, incident: &Incident, me: &str) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let says = |text: &str| text.to_lowercase().contains(&wanted);
        let status = match self.status.as_str() {
            "open" => incident.status == Status::Open,
            "closed" => incident.status == Status::Closed,
            _both => true,
        };
        let drill = match self.drill.as_str() {
            "yes" => incident.drill,
            "no" => !incident.drill,
            _both => true,
        };
        status
            && drill
            && (self.severity.is_empty() || incident.severity().word() == self.severity)
            && (self.mine != "yes" || incident.roles.values().any(|person| person == me))
            && (wanted.is_empty()
                || says(&incident.id.to_string())
                || says(&incident.title)
                || incident.secrets.iter().any(|it| says(it.secret.as_str())))
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
    let incidents = quell_app::incident::list(&caller.app).await?;
    let all = incidents.len();
    let found: Vec<&Incident> = incidents.iter().filter(|it| filter.takes(it, &caller.person)).collect();
    let page = filter.page.parse::<usize>().unwrap_or(1).clamp(1, found.len().div_ceil(AT_ONCE).max(1));
    let rows = found.iter().skip((page - 1) * AT_ONCE).take(AT_ONCE).map(|it| row(it)).collect();
    render(&ListPage {
        page: Page::of(&caller, "Incidents").at("/incidents"),
        before: (page > 1).then(|| filter.place(page - 1)),
        after: (page * AT_ONCE < found.len()).then(|| filter.place(page + 1)),
        found: found.len(),
        all,
        rows,
        filter,
    })
}

fn row(incident: &Incident) -> Row {
    let label = incident.severities.last().map_or_else(|| "SEV-1".to_owned(), |(_, it)| it.label.clone());
    let status = match incident.status {
        Status::Open => Badge::new("", "●", "open"),
        Status::Closed => Badge::new("", "■", "closed"),
    };
    Row {
        id: incident.id.to_string(),
        title: incident.title.clone(),
        severity: words::severity(incident.severity(), &label),
        status,
        contained: view::contained(incident),
        declared: incident.declared.into(),
        drill: incident.drill,
        commander: incident
            .roles
            .get(&quell_core::incident::RoomRole::Commander)
            .cloned()
            .unwrap_or_default(),
    }
}
