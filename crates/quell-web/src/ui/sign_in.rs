//! Signing in and out.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::person::{self, Source};
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use serde::Deserialize;

use super::{Page, render};
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::route::{Kind, Route, Verb};
use crate::server::Server;

pub(crate) const ROUTES: &[Route] = &[
    Route::open(Verb::Get, "/sign-in", Kind::Page, || get(show)),
    Route::open(Verb::Post, "/sign-in", Kind::Page, || post(sign_in)),
    Route::form("/sign-out", Role::Reporter, || post(sign_out)),
];

/// Where to sign in, and come back from.
pub(crate) fn place(back: &str) -> String {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", back).finish();
    format!("/sign-in?{query}")
}

/// A place on this server and nowhere else: what others put into the link must not lead people away.
fn own_place(next: &str) -> &str {
    let own = next.starts_with('/')
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
}

async fn show(Query(query): Query<Next>) -> Result<Response, Problem> {
    let page = Page::public("Sign in");
    render(&SignInPage { page, next: own_place(&query.next), refused: false })
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
    let who = person::redeem(&server.app, &code, at).await?;
    let Some((who, role)) = who.and_then(|who| known.local.get(&who).map(|role| (who.clone(), *role))) else {
        let page = Page::public("Sign in");
        let mut response = render(&SignInPage { page, next, refused: true })?;
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    };
    let cookie = person::start(&server.app, &who, role, Source::Local, at).await?;
    let mut response = Redirect::to(next).into_response();
    set_cookie(&server, &mut response, Some(&cookie))?;
    Ok(response)
}

async fn sign_out(State(server): State<Arc<Server>>, caller: Caller) -> Result<Response, Problem> {
    let By::Session { id, .. } = &caller.by;
    person::end(&server.app, id, now()).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    set_cookie(&server, &mut response, None)?;
    Ok(response)
}

/// `Lax`, so that a link in a pager's message opens the room; a form of another site sends no cookie.
fn set_cookie(server: &Server, response: &mut Response, cookie: Option<&SecretValue>) -> Result<(), Problem> {
    let secure = if server.is_https() { "; Secure" } else { "" };
    let name = server.cookie_name();
    let ends = if cookie.is_some() { person::LASTS.as_secs() } else { 0 };
    // A named sink of a secret: the answer to whoever just proved who they are.
    let value = cookie.and_then(SecretValue::expose_text).unwrap_or_default();
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={ends}{secure}");
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
