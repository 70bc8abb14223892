//! What stands before every route: who asks, whether they may, whether the request comes from our own page; and what every answer carries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use quell_app::clock::{Since, now};
use quell_app::person::Found;
use quell_app::person::token::Shown;
use quell_core::event::Actor;
use quell_core::person::{BreakGlass, People, Role};
use quell_core::secret::SecretValue;
use subtle::ConstantTimeEq as _;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::caller::{By, Caller};
use crate::multipart;
use crate::problem::Problem;
use crate::rates;
use crate::route::{Access, Kind, Route, Verb};
use crate::server::Server;
use crate::telemetry::{self, Remote};
use crate::ui;

/// Longest form, in bytes; files come in through routes of their own.
const FORM_MAX: usize = 1 << 20;
/// Longest form with files.
const FILES_MAX: usize = 16 << 20;
/// Header with a session's token, where there is no form.
const CSRF_HEADER: &str = "x-quell-csrf";

/// Nothing from elsewhere is loaded, nothing is run that stands in a page, nobody frames us.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Lets a request through to its route, or says why not.
pub(crate) async fn guard(
    State((server, route)): State<(Arc<Server>, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    // Another system proves itself to its own handler, in whatever header it likes.
    let who = match route.kind {
        Kind::Hook => Ok(None),
        Kind::Page | Kind::Api => who(&server, route.kind, request.headers()).await,
    };
    let caller = match who {
        Ok(caller) => caller,
        Err(problem) => return not_let_in(&server, &request, problem),
    };
    if let Err(response) = may(route, caller.as_ref(), &request) {
        return *response;
    }
    let origin = rates::origin(&server, &request);
    if let Err(wait) = in_time(&server, route, caller.as_ref(), origin.as_deref()) {
        return rates::too_many(wait);
    }
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    // Another system's calls carry no cookie, and are checked by their own handler.
    if route.kind != Kind::Hook && !looks {
        request = match from_our_page(&server, route.kind, caller.as_ref(), request).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
        // A body may take a minute: whoever was signed out meanwhile must not act with what they were before.
        if let Err(problem) = still(&server, route, caller.as_ref()).await {
            return problem.into_response();
        }
    }
    if let Some(caller) = caller {
        Span::current().record("caller", caller.shown());
        request.extensions_mut().insert(caller);
    }
    let response = next.run(request).await;
    let denied = [StatusCode::UNAUTHORIZED, StatusCode::UNPROCESSABLE_ENTITY];
    if is_door(route) && denied.contains(&response.status()) {
        // What is left is asked for before the next one.
        let _left = server.limits.denied.take_from(origin.as_deref(), now());
    }
    response
}

/// Nobody was let in. Whoever tries tokens has to wait; a good one is looked at first, so that a program with an old one keeps nobody
/// at the same address out. Guessing is hopeless either way (256 bits): this is about the noise.
fn not_let_in(server: &Server, request: &Request, problem: Problem) -> Response {
    // Only what was wrong with the token: a database that is away is nobody's guess.
    if problem.status() == StatusCode::UNAUTHORIZED && request.headers().contains_key(header::AUTHORIZATION) {
        let origin = rates::origin(server, request);
        if let Err(wait) = server.limits.token.take_from(origin.as_deref(), now()) {
            return rates::too_many(wait);
        }
    }
    problem.into_response()
}

/// May they still? Asked when the whole of a request is there.
pub(crate) async fn still(server: &Server, route: &Route, caller: Option<&Caller>) -> Result<(), Problem> {
    let Some(caller) = caller else { return Ok(()) };
    let least = match route.access {
        Access::Role(least) => least,
        Access::Public => Role::Reporter,
    };
    match server.still(&caller.by).await? {
        Some(role) if role >= least => Ok(()),
        Some(_) | None => Err(Problem::not_signed_in()),
    }
}

/// May they ask that often? `Err` says how long to wait.
fn in_time(
    server: &Server,
    route: &Route,
    caller: Option<&Caller>,
    origin: Option<&str>,
) -> Result<(), Duration> {
    let limits = &server.limits;
    match (route.verb, route.path) {
        (Verb::Post, "/sign-in" | "/sign-in/provider" | "/sign-in/again") | (Verb::Get, "/sign-in/back") => {
            limits.sign_in.take_from(origin, now())
        }
        (Verb::Post, "/report" | "/api/v1/report") => {
            limits.report.take_from(caller.map(|caller| caller.person.as_str()), now())
        }
        _ if is_door(route) => origin.map_or(Ok(()), |origin| limits.denied.allows(origin, now())),
        _ => Ok(()),
    }
}

/// Where other systems call, each with a proof of its own.
fn is_door(route: &Route) -> bool {
    route.path.starts_with("/hooks/")
}

/// All of a body: whoever sends one byte a second is let go.
pub(crate) async fn whole(server: &Server, body: Body, most: usize) -> Result<Bytes, Problem> {
    let late =
        || Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time").hint("send it again");
    let read =
        tokio::time::timeout(server.patience.body, to_bytes(body, most)).await.map_err(|_elapsed| late())?;
    read.map_err(|_lost| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {most} bytes, or was cut off"),
        )
    })
}

/// Who asks: by a token, or by a session's cookie.
async fn who(server: &Server, kind: Kind, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    // Whoever sends a token means that one: a wrong one is not made up for by a cookie.
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let Some(Shown { id, person, role, made }) = server.token(given).await? else {
            return Err(Problem::bad_token());
        };
        let app = server.app().acting_as(Actor::user(person.clone()));
        let broken = Vec::new();
        return Ok(Some(Caller { person, role, own: role, by: By::Token { id, made }, broken, app }));
    }
    let Some(cookie) = cookie(headers, server.cookie_name()) else { return Ok(None) };
    let Some(Found { id, session, role, own }) = server.session(&cookie).await? else { return Ok(None) };
    let app = server.app().acting_as(Actor::user(session.person.clone()));
    let by = By::Session { id, csrf: session.csrf, confirmed: session.confirmed, source: session.source };
    // Only pages show it.
    let shows = kind == Kind::Page && role >= Role::Viewer;
    let broken = if shows { broken(&server.people().await?) } else { Vec::new() };
    Ok(Some(Caller { person: session.person, role, own, by, broken, app }))
}

/// Broken glass is loud: whoever looks at any page sees it for as long as it holds. One line for each person: that with the most rights, the newest.
fn broken(people: &People) -> Vec<String> {
    let mut each: BTreeMap<&str, &BreakGlass> = BTreeMap::new();
    for glass in people.broken(now()) {
        let known = each.entry(&glass.person).or_insert(glass);
        if glass.role >= known.role {
            *known = glass;
        }
    }
    let words = |glass: &BreakGlass| {
        format!(
            "{} broke the glass and is {} until {}: {}",
            glass.person,
            glass.role,
            glass.until.strftime("%H:%M UTC"),
            glass.reason
        )
    };
    each.into_values().map(words).collect()
}

/// A cookie. With `__Host-`, no other host of the domain can have set it.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<SecretValue> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| SecretValue::from_text(value.to_owned()))
}

fn may(route: &Route, caller: Option<&Caller>, request: &Request) -> Result<(), Box<Response>> {
    let Access::Role(least) = route.access else { return Ok(()) };
    match caller {
        Some(caller) if caller.may(least) => Ok(()),
        Some(caller) => Err(Box::new(
            Problem::new(
                StatusCode::FORBIDDEN,
                format!("{} is {}; this needs {least}", caller.person, caller.role),
            )
            .hint("an admin gives roles; in an emergency, a responder breaks the glass at /settings")
            .into_response(),
        )),
        None if route.kind == Kind::Page && request.method() == Method::GET => {
            let back = request.uri().path_and_query().map_or("/", |place| place.as_str());
            Err(Box::new(Redirect::to(&ui::sign_in::place(back)).into_response()))
        }
        None => Err(Box::new(Problem::not_signed_in().into_response())),
    }
}

/// A request that changes something must come from a page of ours. A token is proof enough: no browser sends it by itself.
async fn from_our_page(
    server: &Server,
    kind: Kind,
    caller: Option<&Caller>,
    request: Request,
) -> Result<Request, Problem> {
    let foreign = || {
        Problem::new(StatusCode::FORBIDDEN, "the request does not come from a page of this server")
            .hint("open the page anew and send the form from there")
    };
    let is_token = caller.is_some_and(|caller| matches!(caller.by, By::Token { .. }));
    let headers = request.headers();
    // Browsers say so since 2020-2023 (Fetch Metadata); a page cannot set this header.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !is_token && site.is_some_and(|site| site != b"same-origin") {
        return Err(foreign());
    }
    let origin = headers.get(header::ORIGIN);
    if !is_token && origin.is_some_and(|origin| !server.is_own_origin(origin, headers)) {
        return Err(foreign());
    }
    // The API reads bodies by rules of its own; only a form without the header is looked into here.
    if kind == Kind::Api && (is_token || headers.contains_key(CSRF_HEADER)) {
        let given = headers.get(CSRF_HEADER).map_or(b"".as_slice(), HeaderValue::as_bytes);
        let ours = is_token || caller.is_some_and(|caller| same(given, caller.csrf()));
        return ours.then_some(request).ok_or_else(foreign);
    }
    let content = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let boundary = multipart::boundary(content);
    let most = if boundary.is_some() { FILES_MAX } else { FORM_MAX };
    let (parts, body) = request.into_parts();
    // Read once, by the limit that fits; what is not from our page was mostly turned away before.
    let bytes = whole(server, body, most).await?;
    let ours = match caller.filter(|_| !is_token) {
        None => true,
        Some(caller) => match parts.headers.get(CSRF_HEADER) {
            Some(given) => same(given.as_bytes(), caller.csrf()),
            None => {
                token(&bytes, boundary.as_deref()).is_some_and(|given| same(given.as_bytes(), caller.csrf()))
            }
        },
    };
    if ours { Ok(Request::from_parts(parts, Body::from(bytes))) } else { Err(foreign()) }
}

/// The token that stands in a form.
fn token(form: &[u8], boundary: Option<&str>) -> Option<String> {
    let Some(boundary) = boundary else {
        let mut fields = url::form_urlencoded::parse(form);
        return fields.find(|(key, _)| key == "csrf").map(|(_, value)| value.into_owned());
    };
    multipart::text(&multipart::parse(form, boundary)?, "csrf").map(str::to_owned)
}

fn same(given: &[u8], own: &str) -> bool {
    !own.is_empty() && bool::from(given.ct_eq(own.as_bytes()))
}

/// Around everything: the headers of every answer, and a page instead of a problem where a page was asked for.
pub(crate) async fn outermost(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/") || request.uri().path().starts_with("/hooks/");
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let page = !api && accepts.contains("text/html");
    server.metrics.request();
    let (span, id) = span(&request);
    let (quiet, since) = (is_quiet(request.uri().path()), Since::now());
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| told(&response, since, quiet));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    if page && let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let wait = response.headers_mut().remove(header::RETRY_AFTER);
        response = ui::problem(&problem);
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
    }
    server.metrics.answer(response.status());
    let secure = server.is_https();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set("content-security-policy", CSP);
    set("x-content-type-options", "nosniff");
    set("x-frame-options", "DENY");
    // Not `no-referrer`: browsers then send `Origin: null` with our own forms, too.
    set("referrer-policy", "same-origin");
    set("cross-origin-opener-policy", "same-origin");
    set("cross-origin-resource-policy", "same-origin");
    set("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()");
    set("cache-control", "no-store");
    if secure {
        set("strict-transport-security", "max-age=31536000");
    }
    response
}

/// What a request is called in logs and traces: verb and pattern of the route, since paths and queries are what somebody sent.
fn span(request: &Request) -> (Span, String) {
    let id = telemetry::request_id();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let verb = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    // What is not exactly a trace is none; the text of others is not repeated.
    let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let parent = given.and_then(Remote::parse).map(Remote::header);
    let span = tracing::info_span!(
        "request",
        request = id,
        verb,
        route,
        status = Empty,
        caller = Empty,
        traceparent = parent
    );
    (span, id)
}

fn told(response: &Response, since: Since, quiet: bool) {
    let status = response.status().as_u16();
    Span::current().record("status", status);
    let ms = u64::try_from(since.passed().as_millis()).unwrap_or(u64::MAX);
    if quiet {
        tracing::debug!(ms, "request");
    } else {
        tracing::info!(ms, "request");
    }
}

/// Who looks whether we live asks every few seconds.
fn is_quiet(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics") || path.starts_with("/assets/")
}

/// No such place.
pub(crate) async fn nothing_here() -> Problem {
    Problem::not_found("there is nothing here")
        .hint("/ lists the incidents, /api/v1/openapi.json what programs can ask")
}

/// The place is there, the verb is not.
pub(crate) async fn not_that_way() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this place knows other verbs")
}
