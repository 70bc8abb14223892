//! What can be asked, as data: the router, the rules and the `OpenAPI` file are made from it.

use quell_core::person::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::route::{Handler, Kind, Route, Verb};

/// How a type looks.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Of a type.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What an answer is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// JSON of this shape.
    Json(SchemaOf),
    /// Text or bytes of this type.
    Media(&'static str),
    /// Server-sent events.
    Stream,
}

/// Longest body, in bytes, where nothing else is said.
const BODY_MAX: usize = 1 << 20;

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// Verb, path, role, handler.
    pub(crate) route: Route,
    /// As the command is called: `incident_open`.
    pub(crate) id: &'static str,
    /// In a line.
    pub(crate) summary: &'static str,
    /// What stands behind `?`.
    pub(crate) query: Option<SchemaOf>,
    /// What is sent.
    pub(crate) body: Option<SchemaOf>,
    /// Longest body.
    pub(crate) body_max: usize,
    /// What is answered.
    pub(crate) answer: Answer,
    /// With this status.
    pub(crate) status: u16,
    /// It is about one state of an incident: `ETag`, and `If-Match` where something is decided.
    pub(crate) tagged: bool,
    /// The answer is kept for repeated requests with the same `Idempotency-Key`.
    pub(crate) kept: bool,
}

impl Operation {
    const fn new(verb: Verb, path: &'static str, role: Role, id: &'static str, handler: Handler) -> Self {
        Self {
            route: Route::api(verb, path, role, handler),
            id,
            summary: "",
            query: None,
            body: None,
            body_max: BODY_MAX,
            answer: Answer::Stream,
            status: 200,
            tagged: false,
            kept: matches!(verb, Verb::Post),
        }
    }

    /// Looks.
    pub(crate) const fn get(path: &'static str, role: Role, id: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Get, path, role, id, handler)
    }

    /// Does something.
    pub(crate) const fn post(path: &'static str, role: Role, id: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Post, path, role, id, handler)
    }

    /// For everybody.
    pub(crate) const fn open(path: &'static str, id: &'static str, handler: Handler) -> Self {
        let mut made = Self::new(Verb::Get, path, Role::Reporter, id, handler);
        made.route = Route::open(Verb::Get, path, Kind::Api, handler);
        made
    }

    pub(crate) const fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(crate) const fn query(mut self, query: SchemaOf) -> Self {
        self.query = Some(query);
        self
    }

    pub(crate) const fn body(mut self, body: SchemaOf) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) const fn up_to(mut self, bytes: usize) -> Self {
        self.body_max = bytes;
        self
    }

    pub(crate) const fn json(mut self, answer: SchemaOf) -> Self {
        self.answer = Answer::Json(answer);
        self
    }

    pub(crate) const fn media(mut self, kind: &'static str) -> Self {
        self.answer = Answer::Media(kind);
        self
    }

    pub(crate) const fn created(mut self) -> Self {
        self.status = 201;
        self
    }

    pub(crate) const fn tagged(mut self) -> Self {
        self.tagged = true;
        self
    }

    pub(crate) const fn not_kept(mut self) -> Self {
        self.kept = false;
        self
    }

    /// It can be asked for again and again, and a stream of news never ends.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.answer, Answer::Stream)
    }

    /// Names in the path.
    pub(crate) fn places(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.route.path.split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// It is about an incident.
    pub(crate) fn is_about_an_incident(&self) -> bool {
        self.route.path.starts_with("/api/v1/incidents/{id}")
    }
}
