//! What stands before every route: who asks, whether they may, whether the request comes from our own page; and what every answer carries.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use quell_app::person::Found;
use quell_app::person::token::Shown;
use quell_core::event::Actor;
use quell_core::secret::SecretValue;
use subtle::ConstantTimeEq as _;

use crate::caller::{By, Caller};
use crate::multipart;
use crate::problem::Problem;
use crate::route::{Access, Kind, Route};
use crate::server::Server;
use crate::ui;

/// Longest form, in bytes; files come in through routes of their own.
const FORM_MAX: usize = 1 << 20;
/// Longest form with files.
const FILES_MAX: usize = 16 << 20;
/// Longest body of what is no API, in bytes: the largest delivery that a webhook takes.
const BODY_MAX: usize = quell_app::intake::MAX_BODY;
/// Time for a body.
const BODY_LIMIT: Duration = Duration::from_secs(30);
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
        Kind::Page | Kind::Api => who(&server, request.headers()).await,
    };
    let caller = match who {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if let Err(response) = may(route, caller.as_ref(), &request) {
        return *response;
    }
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    // The API has rules of its own for this.
    if route.kind != Kind::Api && !looks {
        request = match whole(request).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    // Another system's calls carry no cookie, and are checked by their own handler.
    if route.kind != Kind::Hook && !looks {
        request = match from_our_page(&server, caller.as_ref(), request).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// The request with all of its body: whoever sends one byte a second is let go.
async fn whole(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let late =
        || Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time").hint("send it again");
    let read = tokio::time::timeout(BODY_LIMIT, to_bytes(body, BODY_MAX)).await.map_err(|_elapsed| late())?;
    let bytes = read.map_err(|_lost| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {BODY_MAX} bytes, or was cut off"),
        )
    })?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Who asks: by a token, or by a session's cookie.
async fn who(server: &Server, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    // Whoever sends a token means that one: a wrong one is not made up for by a cookie.
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let Some(Shown { id, person, role, made }) = server.token(given).await? else {
            return Err(Problem::bad_token());
        };
        let app = server.app.acting_as(Actor::user(person.clone()));
        return Ok(Some(Caller { person, role, own: role, by: By::Token { id, made }, app }));
    }
    let Some(cookie) = cookie(headers, server.cookie_name()) else { return Ok(None) };
    let Some(Found { id, session, role, own }) = server.session(&cookie).await? else { return Ok(None) };
    let app = server.app.acting_as(Actor::user(session.person.clone()));
    let by = By::Session { id, csrf: session.csrf, confirmed: session.confirmed, source: session.source };
    Ok(Some(Caller { person: session.person, role, own, by, app }))
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
    caller: Option<&Caller>,
    request: Request,
) -> Result<Request, Problem> {
    let foreign = || {
        Problem::new(StatusCode::FORBIDDEN, "the request does not come from a page of this server")
            .hint("open the page anew and send the form from there")
    };
    if caller.is_some_and(|caller| matches!(caller.by, By::Token { .. })) {
        return Ok(request);
    }
    let headers = request.headers();
    // Browsers say so since 2020-2023 (Fetch Metadata); a page cannot set this header.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin") {
        return Err(foreign());
    }
    if headers.get(header::ORIGIN).is_some_and(|origin| !server.is_own_origin(origin, headers)) {
        return Err(foreign());
    }
    let Some(caller) = caller else { return Ok(request) };
    if let Some(given) = headers.get(CSRF_HEADER) {
        return same(given.as_bytes(), caller.csrf()).then_some(request).ok_or_else(foreign);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let boundary = multipart::boundary(kind);
    let most = if boundary.is_some() { FILES_MAX } else { FORM_MAX };
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, most).await.map_err(|_lost| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the form is longer than {most} bytes, or was cut off"),
        )
    })?;
    let given = if let Some(boundary) = boundary {
        let parts = multipart::parse(&bytes, &boundary);
        parts.and_then(|parts| multipart::text(&parts, "csrf").map(str::to_owned))
    } else {
        let mut fields = url::form_urlencoded::parse(&bytes);
        fields.find(|(key, _)| key == "csrf").map(|(_, value)| value.into_owned())
    };
    if !given.is_some_and(|given| same(given.as_bytes(), caller.csrf())) {
        return Err(foreign());
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
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
    let mut response = next.run(request).await;
    if page && let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = ui::problem(&problem);
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

/// No such place.
pub(crate) async fn nothing_here() -> Problem {
    Problem::not_found("there is nothing here")
        .hint("/ lists the incidents, /api/v1/openapi.json what programs can ask")
}

/// The place is there, the verb is not.
pub(crate) async fn not_that_way() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this place knows other verbs")
}
