//! The post-mortem: a blameless report of one incident, made from the ledger and nothing else.
//!
//! [`context`] is pure and folds everything a reader needs into words; [`render`] puts it through a template, the
//! embedded one or an operator's own. [`timeline`] says each entry in one sentence.

mod context;
mod exposed;
mod markdown;
mod measure;
mod plan;
mod proofs;
mod sections;
mod sentence;
mod sentence_step;
mod timeline;
mod unknowns;
mod words;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Error, ErrorKind};
use quell_core::event::Entry;
use quell_core::incident::Incident;
use serde::Serialize;

pub use context::{
    ActionItemView, AssessmentView, Decision, Ground, Note, ReportContext, SeverityView, TimelineView,
    context,
};
pub use exposed::{ExposureView, SecretStanding, SecretView, ValueView};
pub(crate) use measure::contained_at;
pub use measure::{ClockView, Numbers, numbers};
pub use plan::{ConsumerView, PlanView, StepView};
pub use proofs::{OldValueView, ProofView, SecretProofs};
pub use sections::{LineView, SectionView};
pub use timeline::{TimelineRow, timeline};
pub use words::Moment;
pub use words::duration;

/// The template that is used when the operator has none.
pub const TEMPLATE: &str = include_str!("../../../../documents/post-mortem.md.j2");

/// Why no report was made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// The template is wrong.
    #[error("the template {template}, line {line}, cannot be used: {why}")]
    Template {
        /// Its name.
        template: String,
        /// Counts from 1; 0 when the engine does not know.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The template runs on and on.
    #[error("the template {template} did not end within {limit}; look for a loop near line {line}")]
    Endless {
        /// Its name.
        template: String,
        /// Where it was stopped; 0 when the engine does not know.
        line: usize,
        /// Which limit was passed.
        limit: String,
    },
}

/// Renders the post-mortem of an incident as Markdown.
///
/// `entries` are the incident's stream, oldest first; `checkpoint` is the ledger's newest signed checkpoint and is
/// printed as it is; `template` is an operator's own, else [`TEMPLATE`] is used.
pub fn render(
    incident: &Incident,
    entries: &[Entry],
    checkpoint: &str,
    now: Timestamp,
    template: Option<&str>,
) -> Result<String, ReportError> {
    render_context(&context(incident, entries, checkpoint, now), template)
}

/// Renders a context that is already there.
pub fn render_context(context: &ReportContext, template: Option<&str>) -> Result<String, ReportError> {
    filled(markdown::engine, markdown::NAME, template.unwrap_or(TEMPLATE), (context, fuel(context)))
}

/// Text that is read as it is, in mails and messages: nothing of it is markup, so nothing is escaped. Control characters are left out.
pub(crate) fn plain<T: Serialize>(name: &str, template: &str, context: &T) -> Result<String, ReportError> {
    filled(markdown::plain_engine, name, template, (context, PLAIN_FUEL))
}

/// Instructions that the template of a notice may take.
const PLAIN_FUEL: u64 = 5_000_000;

fn filled<T: Serialize>(
    engine: impl Fn(u64) -> Result<minijinja::Environment<'static>, Error>,
    called: &str,
    template: &str,
    (context, fuel): (&T, u64),
) -> Result<String, ReportError> {
    let wrong = |error: &Error| refuse(error, &format!("{fuel} instructions"));
    let engine = engine(fuel).map_err(|e| wrong(&e))?;
    let compiled = engine.template_from_named_str(called, template).map_err(|e| wrong(&e))?;
    let mut out = Bounded { bytes: Vec::new(), full: false };
    match compiled.render_captured_to(Serde(context), &mut out) {
        Ok(_) => {}
        Err(error) if out.full => {
            return Err(endless(&error, &format!("{} bytes of output", markdown::DOCUMENT_MAX)));
        }
        Err(error) => return Err(wrong(&error)),
    }
    Ok(String::from_utf8_lossy(&out.bytes).into_owned())
}

/// Instructions that a template may take: plenty for each row, and an end.
fn fuel(context: &ReportContext) -> u64 {
    let steps = context.plan.as_ref().map_or(0, |p| p.steps.len());
    let rows = context.timeline.len() + context.decisions.len() + steps + context.unknowns.len();
    1_000_000 + 2_000 * u64::try_from(rows).unwrap_or(u64::MAX / 4_000)
}

fn refuse(error: &Error, limit: &str) -> ReportError {
    if error.kind() == ErrorKind::OutOfFuel {
        return endless(error, limit);
    }
    let mut why = error.kind().to_string();
    if let Some(detail) = error.detail() {
        why = format!("{why}: {detail}");
    }
    ReportError::Template { template: name(error), line: error.line().unwrap_or(0), why }
}

fn endless(error: &Error, limit: &str) -> ReportError {
    ReportError::Endless { template: name(error), line: error.line().unwrap_or(0), limit: limit.to_owned() }
}

fn name(error: &Error) -> String {
    error.name().unwrap_or(markdown::NAME).to_owned()
}

/// Memory that fills up.
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > markdown::DOCUMENT_MAX {
            self.full = true;
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
