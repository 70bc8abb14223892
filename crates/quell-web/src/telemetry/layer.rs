//! From events and spans of `tracing` to lines and finished spans.

use std::fmt;

use jiff::Timestamp;
use quell_app::clock::now;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::line::{self, Line};
use super::otlp::{self, Finished};
use super::traceparent::Remote;

/// Whose words are written: our own.
const OWN: &str = "quell";
/// A span's field that says which trace it belongs to; what came from outside was read strictly before.
const PARENT: &str = "traceparent";
/// Longest text of a field, in characters.
const TEXT_MAX: usize = 1000;

/// What becomes of what is told.
pub(super) struct Told {
    pub(super) level: LevelFilter,
    pub(super) lines: line::Sender,
    pub(super) spans: Option<otlp::Sender>,
}

/// What a span is known by.
#[derive(Clone, Copy, Debug)]
struct Own {
    place: Remote,
    /// The span that it is part of.
    parent: Option<u64>,
    begun: Timestamp,
}

/// What a span says of itself.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Told {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with(OWN) && (metadata.is_span() || *metadata.level() <= self.level)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let given = fields.take(PARENT);
        let remote = given.as_ref().and_then(Value::as_str).and_then(Remote::parse);
        let above = span.parent().and_then(|above| above.extensions().get::<Own>().map(|own| own.place));
        let parent = remote.or(above);
        let place = Remote {
            trace: parent.map_or_else(random, |parent| parent.trace),
            span: u64::try_from(random() >> 64).unwrap_or(1).max(1),
            sampled: parent.is_none_or(|parent| parent.sampled),
        };
        let own = Own { place, parent: parent.map(|parent| parent.span), begun: now() };
        let mut extensions = span.extensions_mut();
        extensions.insert(own);
        extensions.insert(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            for (name, value) in extensions.get::<Fields>().into_iter().flat_map(|known| &known.0) {
                own.set(name, value.clone());
            }
        }
        // What is said last counts: the inner span's word, and the event's own.
        event.record(&mut own);
        let what = own.take("message");
        let what = what.as_ref().and_then(Value::as_str).unwrap_or(event.metadata().name()).to_owned();
        let mut fields = own.0;
        let inner = context.event_span(event);
        if let Some(own) = inner.and_then(|span| span.extensions().get::<Own>().copied())
            && self.spans.is_some()
        {
            fields.push(("trace", format!("{:032x}", own.place.trace).into()));
        }
        self.lines.send(Line { at: now(), level: *event.metadata().level(), what, fields });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let (Some(spans), Some(span)) = (&self.spans, context.span(&id)) else { return };
        let mut extensions = span.extensions_mut();
        let (own, fields) = (extensions.remove::<Own>(), extensions.remove::<Fields>());
        if let (Some(Own { place, parent, begun }), Some(fields)) = (own, fields)
            && place.sampled
        {
            spans.send(Finished { name: span.name(), place, parent, begun, ended: now(), fields: fields.0 });
        }
    }
}

/// 128 bits that nobody guesses; never none, which would be no trace.
fn random() -> u128 {
    let mut bytes = [0; 16];
    // Without random numbers traces run into each other, and nothing else.
    let filled = getrandom::fill(&mut bytes).map(|()| u128::from_be_bytes(bytes));
    filled.unwrap_or(1).max(1)
}

/// Where whoever asks is, if somebody listens.
fn current() -> Option<Remote> {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(dispatch.current_span().id()?)?;
        let own = span.extensions().get::<Own>().copied()?;
        Some(own.place)
    })
}

/// The header that outgoing calls carry.
pub(crate) fn outgoing() -> Option<String> {
    current().map(Remote::header)
}

/// A name for one request.
pub(crate) fn request_id() -> String {
    format!("{:016x}", random() >> 64)
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.set(field.name(), value);
    }

    fn set(&mut self, name: &'static str, value: Value) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    fn take(&mut self, wanted: &str) -> Option<Value> {
        let at = self.0.iter().position(|(name, _)| *name == wanted)?;
        Some(self.0.remove(at).1)
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.chars().take(TEXT_MAX).collect::<String>().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &shown(value));
    }
}

/// What `%` and messages arrive as, which is their `Display`.
fn shown(value: &dyn fmt::Debug) -> String {
    format!("{value:?}")
}
