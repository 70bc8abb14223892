//! Signing in and out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::person::{self, Source, oidc};
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use serde::Deserialize;

use super::{Form, Page, render};
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::route::{Kind, Route, Verb};
use crate::server::Server;

pub(crate) const ROUTES: &[Route] = &[
    Route::open(Verb::Get, "/sign-in", Kind::Page, || get(show)),
    Route::open(Verb::Post, "/sign-in", Kind::Page, || post(sign_in)),
    Route::open(Verb::Post, "/sign-in/provider", Kind::Page, || post(away)),
    Route::open(Verb::Get, "/sign-in/back", Kind::Page, || get(back)),
    Route::page("/sign-in/again", Role::Reporter, || get(show_again)),
    Route::form("/sign-in/again", Role::Reporter, || post(again)),
    Route::form("/sign-out", Role::Reporter, || post(sign_out)),
];

/// Cookie of a browser that went to the identity provider.
fn away_cookie(server: &Server) -> &'static str {
    if server.is_https() { "__Host-quell-away" } else { "quell-away" }
}

/// Where to sign in, and come back from.
pub(crate) fn place(back: &str) -> String {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", back).finish();
    format!("/sign-in?{query}")
}

/// Longest place to come back to: it is kept while somebody is away.
const PLACE_MAX: usize = 2048;

/// A place on this server and nowhere else: what others put into the link must not lead people away.
fn own_place(next: &str) -> &str {
    let own = next.len() <= PLACE_MAX
        && next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.chars().any(char::is_control);
    if own { next } else { "/" }
}

#[derive(Debug, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    page: Page,
    next: &'a str,
    refused: bool,
    /// An identity provider is configured.
    provider: bool,
    /// Somebody is signed in, and shows anew who they are.
    again: bool,
}

fn sign_in_page(
    server: &Server,
    page: Page,
    next: &str,
    refused: bool,
    again: bool,
) -> Result<Response, Problem> {
    let provider = server.app().inventory.server.oidc.is_some();
    let mut response = render(&SignInPage { page, next: own_place(next), refused, provider, again })?;
    if refused {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(response)
}

async fn show(State(server): State<Arc<Server>>, Query(query): Query<Next>) -> Result<Response, Problem> {
    sign_in_page(&server, Page::public("Sign in"), &query.next, false, false)
}

async fn show_again(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(query): Query<Next>,
) -> Result<Response, Problem> {
    sign_in_page(&server, Page::of(&caller, "Show who you are"), &query.next, false, true)
}

#[derive(Deserialize)]
struct SignIn {
    code: String,
    #[serde(default)]
    next: String,
}

async fn sign_in(State(server): State<Arc<Server>>, Form(form): Form<SignIn>) -> Result<Response, Problem> {
    let at = now();
    let next = own_place(&form.next);
    let code = SecretValue::from_text(form.code);
    let known = server.people().await?;
    let who = person::redeem(&server.app(), &code, at).await?;
    let Some((who, role)) = who.and_then(|who| known.local.get(&who).map(|role| (who.clone(), *role))) else {
        return sign_in_page(&server, Page::public("Sign in"), next, true, false);
    };
    let cookie = person::start(&server.app(), &who, role, Source::Local, at).await?;
    let mut response = Redirect::to(next).into_response();
    set_cookie(&server, &mut response, Some(&cookie))?;
    Ok(response)
}

/// Shows anew who it is: by a code of one's own. The cookie is another one afterwards, so that one that was taken before is worth nothing.
async fn again(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Form(form): Form<SignIn>,
) -> Result<Response, Problem> {
    let at = now();
    let code = SecretValue::from_text(form.code);
    let who = person::redeem(&server.app(), &code, at).await?;
    let By::Session { id, source: Source::Local, .. } = &caller.by else {
        return Err(
            Problem::bad_request("your identity provider vouches for you, not a code").hint("/sign-in/again")
        );
    };
    if who.as_deref() != Some(&caller.person) {
        return sign_in_page(&server, Page::of(&caller, "Show who you are"), &form.next, true, true);
    }
    person::end(&server.app(), id, at).await?;
    let cookie = person::start(&server.app(), &caller.person, caller.role, Source::Local, at).await?;
    let mut response = Redirect::to(own_place(&form.next)).into_response();
    set_cookie(&server, &mut response, Some(&cookie))?;
    Ok(response)
}

#[derive(Deserialize)]
struct Away {
    #[serde(default)]
    next: String,
    #[serde(default)]
    again: String,
}

/// Our own address, as the identity provider knows it.
fn callback(server: &Server) -> Result<url::Url, Problem> {
    server.url().join("/sign-in/back").map_err(|error| Problem::bad_request(error.to_string()))
}

/// To the identity provider.
async fn away(State(server): State<Arc<Server>>, Form(form): Form<Away>) -> Result<Response, Problem> {
    let again = form.again == "yes";
    let away = oidc::begin(&server.app(), &callback(&server)?, own_place(&form.next), again, now()).await?;
    // `form-action 'self'` would stop the browser from following a redirect of a form: a page with one link does not.
    let page = Page::public("To your identity provider");
    let mut response = render(&AwayPage { page, url: away.url.as_str() })?;
    let refresh = HeaderValue::from_str(&format!("0; url={}", away.url))
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    response.headers_mut().insert("refresh", refresh);
    put_cookie(&server, &mut response, away_cookie(&server), Some(&away.cookie), 600)?;
    Ok(response)
}

#[derive(Template)]
#[template(path = "away.html")]
struct AwayPage<'a> {
    page: Page,
    url: &'a str,
}

/// From the identity provider.
async fn back(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Query(returned): Query<oidc::Returned>,
) -> Result<Response, Problem> {
    let at = now();
    let cookie = crate::guard::cookie(&headers, away_cookie(&server));
    let back = oidc::finish(&server.app(), &callback(&server)?, &returned, cookie.as_ref(), at).await?;
    // Whoever was signed in here before is not any more: an old cookie that somebody took is worth nothing.
    if let Some(old) = crate::guard::cookie(&headers, server.cookie_name()) {
        person::end(&server.app(), &person::hash(old.expose()), at).await?;
    }
    let times = (at, back.confirmed);
    let cookie = person::begin(&server.app(), &back.person, back.role, Source::Oidc, times).await?;
    // The browser comes from another site: a `Lax` cookie is sent on with a link that is followed, and this is one.
    let mut response = Redirect::to(own_place(&back.next)).into_response();
    set_cookie(&server, &mut response, Some(&cookie))?;
    put_cookie(&server, &mut response, away_cookie(&server), None, 0)?;
    Ok(response)
}

async fn sign_out(State(server): State<Arc<Server>>, caller: Caller) -> Result<Response, Problem> {
    if let By::Session { id, .. } = &caller.by {
        person::end(&server.app(), id, now()).await?;
        server.left.send_modify(|count| *count += 1);
    }
    let mut response = Redirect::to("/sign-in").into_response();
    set_cookie(&server, &mut response, None)?;
    Ok(response)
}

fn set_cookie(server: &Server, response: &mut Response, cookie: Option<&SecretValue>) -> Result<(), Problem> {
    let lasts = if cookie.is_some() { person::LASTS.as_secs() } else { 0 };
    put_cookie(server, response, server.cookie_name(), cookie, lasts)
}

/// `Lax`, so that a link in a pager's message opens the room; a form of another site sends no cookie.
fn put_cookie(
    server: &Server,
    response: &mut Response,
    name: &str,
    cookie: Option<&SecretValue>,
    lasts: i64,
) -> Result<(), Problem> {
    let secure = if server.is_https() { "; Secure" } else { "" };
    // A named sink of a secret: the answer to whoever just proved who they are.
    let value = cookie.and_then(SecretValue::expose_text).unwrap_or_default();
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lasts}{secure}");
    let mut value = HeaderValue::from_str(&text).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the cookie could not be set: {error}"))
    })?;
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::own_place;

    #[test]
    fn nobody_is_led_away_after_signing_in() {
        assert_eq!(own_place("/incidents/INC-2026-0001?a=b"), "/incidents/INC-2026-0001?a=b");
        for elsewhere in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "evil",
            "/a\r\nb",
            "javascript:x",
        ] {
            assert_eq!(own_place(elsewhere), "/", "{elsewhere}");
        }
    }
}
