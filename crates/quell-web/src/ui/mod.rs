//! Pages. Each is a function of what the ledger says, of who looks, and of the time; every action is a form, and works without script.

pub(crate) mod assets;
mod chart;
pub(crate) mod drill;
pub(crate) mod finding;
mod graph;
pub(crate) mod incident;
pub(crate) mod inventory;
pub(crate) mod ledger;
pub(crate) mod metrics;
mod pages;
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod sign_in;
mod words;

use askama::Template;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;
use quell_app::AppError;
use quell_core::id::BadId;
use quell_core::person::Role;
use quell_core::{IncidentId, SecretId};
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[Route::page("/", Role::Reporter, || get(home))];

/// Whoever may only report begins there.
async fn home(caller: Caller) -> Redirect {
    Redirect::to(if caller.may(Role::Viewer) { "/incidents" } else { "/report" })
}

/// Pages in the head of every page: place, name, and who may see them.
const PLACES: [(&str, &str, Role); 8] = [
    ("/incidents", "Incidents", Role::Viewer),
    ("/report", "Report a leak", Role::Reporter),
    ("/findings", "Findings", Role::Viewer),
    ("/inventory", "Inventory", Role::Viewer),
    ("/drills", "Drills", Role::Viewer),
    ("/numbers", "Metrics", Role::Viewer),
    ("/ledger", "Ledger", Role::Viewer),
    ("/settings", "Settings", Role::Reporter),
];

/// What every page shows around its own content.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Of the window, and the heading of history.
    pub(crate) title: String,
    /// Who looks; none on pages for everybody.
    pub(crate) person: Option<String>,
    /// What they may do.
    pub(crate) role: Option<Role>,
    /// Token of their forms.
    pub(crate) csrf: String,
    /// Name of the style sheet and the script with their content's hash: a new version is fetched at once.
    pub(crate) assets: &'static str,
    /// The page of the head that this one belongs to.
    pub(crate) here: &'static str,
    /// Glass that somebody broke and that holds.
    pub(crate) broken: Vec<String>,
}

impl Page {
    /// For somebody who is signed in.
    pub(crate) fn of(caller: &Caller, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            person: Some(caller.person.clone()),
            role: Some(caller.role),
            csrf: caller.csrf().to_owned(),
            assets: assets::version(),
            here: "",
            broken: caller.broken.clone(),
        }
    }

    /// The same, below this page of the head.
    pub(crate) fn at(mut self, here: &'static str) -> Self {
        self.here = here;
        self
    }

    /// Pages that whoever looks may see, with whether this is it.
    pub(crate) fn places(&self) -> Vec<(&'static str, &'static str, bool)> {
        let mine = PLACES.iter().filter(|(_, _, least)| self.role.is_some_and(|own| own >= *least));
        mine.map(|(place, name, _)| (*place, *name, *place == self.here)).collect()
    }

    /// For everybody.
    pub(crate) fn public(title: impl Into<String>) -> Self {
        let (person, role, csrf) = (None, None, String::new());
        let broken = Vec::new();
        Self { title: title.into(), person, role, csrf, assets: assets::version(), here: "", broken }
    }

    /// Has whoever looks at least this role?
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates lend what they loop over")]
    pub(crate) fn has(&self, role: &Role) -> bool {
        self.role.is_some_and(|own| own >= *role)
    }

    /// May whoever looks do what this role may? For what is shown; what is done is guarded by its route.
    pub(crate) fn may(&self, role: &str) -> bool {
        role.parse().is_ok_and(|role: Role| self.has(&role))
    }
}

/// A form, read. What does not fit is not repeated: somebody may have put a value in the wrong place.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Form(form) = axum::Form::from_request(request, state).await.map_err(|_unfit| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the form does not fit: a field is missing, or holds what it cannot",
            )
            .hint("go back to the page, load it again and fill it in anew")
        })?;
        Ok(Self(form))
    }
}

/// A word of the domain, from a form. What was sent is not repeated: somebody may have put a value in the wrong place.
pub(crate) fn word<T: std::str::FromStr<Err = BadId>>(text: &str) -> Result<T, AppError> {
    text.trim().parse().map_err(|error: BadId| AppError::Usage(format!("this is not {}", error.expected)))
}

/// The same, for a field that may stay empty.
pub(crate) fn word_or_none<T: std::str::FromStr<Err = BadId>>(text: &str) -> Result<Option<T>, AppError> {
    (!text.trim().is_empty()).then(|| word(text)).transpose()
}

/// A secret of the inventory. Only the name of one is shown again in a form that was refused.
pub(crate) fn is_known(caller: &Caller, secret: &str) -> bool {
    secret.trim().parse().is_ok_and(|id: SecretId| caller.app.inventory.secrets.contains_key(&id))
}

/// What somebody typed into a form that was refused, to be shown again; nothing where a value may stand in it: it would lie on the
/// screen and in the browser's cache.
pub(crate) async fn typed_again(caller: &Caller, about: Option<IncidentId>, text: String) -> String {
    if quell_app::words::is_harmless(&caller.app, about, &text).await { text } else { String::new() }
}

/// A page from its template.
pub(crate) fn render(template: &impl Template) -> Result<Response, Problem> {
    let html = template.render().map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the page could not be made: {error}"))
    })?;
    Ok(Html(words::visible(html)).into_response())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    page: Page,
    problem: &'a Problem,
}

/// A problem, for people.
pub(crate) fn problem(problem: &Problem) -> Response {
    let page = Page::public(problem.title.clone());
    match render(&(ProblemPage { page, problem })) {
        Ok(mut response) => {
            *response.status_mut() = problem.status();
            response
        }
        Err(_) => {
            (problem.status(), [(header::CONTENT_TYPE, "text/plain")], problem.detail.clone()).into_response()
        }
    }
}
