//! Every way in, as data: the router, the guard, the test of rights and the OpenAPI file are made from this list.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::MethodRouter;
use quell_core::person::Role;

use crate::api::rules;
use crate::guard;
use crate::server::Server;

/// Who may use a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Everybody, without signing in.
    Public,
    /// Whoever has this role or a higher one.
    Role(Role),
}

/// How a route is used, and so how it is guarded and how it says no.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A page or a form: sessions; a form carries the session's token; whoever is not signed in is sent to do so.
    Page,
    /// `/api/v1`: tokens, or a session with its token in a header; problems are JSON.
    Api,
    /// Called by another system, which its own handler checks.
    Hook,
}

/// The verb.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Does something.
    Post,
    /// Takes something away.
    Delete,
}

impl Verb {
    /// As in HTTP.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What a handler is made of.
pub(crate) type Handler = fn() -> MethodRouter<Arc<Server>>;

/// One way in.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The verb.
    pub verb: Verb,
    /// The path, with `{name}` for what varies.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// How it is used.
    pub kind: Kind,
    pub(crate) handler: Handler,
}

impl Route {
    /// A page that is looked at.
    pub(crate) const fn page(path: &'static str, role: Role, handler: Handler) -> Self {
        Self { verb: Verb::Get, path, access: Access::Role(role), kind: Kind::Page, handler }
    }

    /// A form that is sent.
    pub(crate) const fn form(path: &'static str, role: Role, handler: Handler) -> Self {
        Self { verb: Verb::Post, path, access: Access::Role(role), kind: Kind::Page, handler }
    }

    /// Part of the API.
    pub(crate) const fn api(verb: Verb, path: &'static str, role: Role, handler: Handler) -> Self {
        Self { verb, path, access: Access::Role(role), kind: Kind::Api, handler }
    }

    /// For everybody.
    pub(crate) const fn open(verb: Verb, path: &'static str, kind: Kind, handler: Handler) -> Self {
        Self { verb, path, access: Access::Public, kind, handler }
    }
}

/// Every route.
pub fn all() -> impl Iterator<Item = &'static Route> {
    let pages = [
        crate::health::ROUTES,
        crate::hooks::ROUTES,
        crate::ui::ROUTES,
        crate::ui::assets::ROUTES,
        crate::ui::drill::ROUTES,
        crate::ui::finding::ROUTES,
        crate::ui::incident::ROUTES,
        crate::ui::inventory::ROUTES,
        crate::ui::ledger::ROUTES,
        crate::ui::metrics::ROUTES,
        crate::ui::report::ROUTES,
        crate::ui::settings::ROUTES,
        crate::ui::sign_in::ROUTES,
    ]
    .into_iter()
    .flatten();
    crate::api::routes().chain(pages)
}

/// The router, each route behind its guard.
pub(crate) fn router(server: &Arc<Server>) -> Router {
    let mut router = Router::new();
    for route in all() {
        let guarded = middleware::from_fn_with_state((Arc::clone(server), route), guard::guard);
        let mut handler = (route.handler)();
        if route.kind == Kind::Api {
            handler = handler.layer(middleware::from_fn_with_state((Arc::clone(server), route), rules));
        }
        router = router.route(route.path, handler.layer(guarded));
    }
    router
        .fallback(guard::nothing_here)
        .method_not_allowed_fallback(guard::not_that_way)
        .layer(middleware::from_fn_with_state(Arc::clone(server), guard::outermost))
        .with_state(Arc::clone(server))
}
