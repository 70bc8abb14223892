//! `quell hunt`.

mod elsewhere;
mod saved;
mod search;

use std::io::IsTerminal as _;
use std::path::Path;

use quell_app::{AppError, Options, evidence, hunt as app_hunt};
use quell_core::IncidentId;
use quell_core::event::Verdict;
use quell_hunt::report::change::Changes;
use quell_hunt::report::saved::Saved;
use quell_hunt::report::{self, Report};

use super::{app, read_file, word};
use crate::cli::{HuntArgs, HuntCommand, HuntFormat, HuntOutput};
use crate::desk::Seat;
use crate::exit;
use crate::output::Out;

pub(crate) async fn run(seat: &Seat, mut args: HuntArgs, out: &Out) -> Result<u8, AppError> {
    let options = &seat.options;
    match args.command.take() {
        None => search::hunt(options, args, out).await,
        Some(HuntCommand::Merge(args)) => saved::merge(options, &args, out).await,
        Some(HuntCommand::Query(args)) => elsewhere::query(&args, out),
        Some(HuntCommand::Result(args)) => elsewhere::result(options, &args, out).await,
        Some(HuntCommand::Show(args)) => saved::show(seat, &args, out).await,
        Some(HuntCommand::Sql(args)) => saved::sql(seat, &args, out).await,
        Some(HuntCommand::Triage(args)) => saved::triage(seat, &args, out).await,
    }
}

/// Judges, compares, prints, and writes it down when asked to.
async fn tell(
    options: &Options,
    saved: &Saved,
    incident: Option<IncidentId>,
    record: bool,
    say: &HuntOutput,
    out: &Out,
) -> Result<u8, AppError> {
    let opinion = saved.opinion();
    let mut report = saved.report(&opinion);
    let before = match (&say.compare, incident) {
        (Some(path), _) => Some(report_at(path)?),
        (None, Some(id)) => app_hunt::newest(&*app(options).await?, id).await?,
        (None, None) => None,
    };
    report.changes = before.map(|before| Changes::between(&before, &report));
    print(say, &report, out)?;
    if let (true, Some(id)) = (record, incident) {
        let body = serde_json::to_vec(&report).map_err(|error| AppError::Usage(error.to_string()))?;
        let app = app(options).await?;
        app_hunt::record(&app, id, report.verdict, report.because, body).await?;
        out.status(format!("Recorded in {id} with the report as evidence: {}", report.verdict.sentence()));
    }
    Ok(code(saved.hunt.stopped, report.verdict))
}

fn code(stopped: bool, verdict: Verdict) -> u8 {
    match verdict {
        _ if stopped => exit::INTERRUPTED,
        Verdict::Used | Verdict::Likely => exit::FINDINGS,
        Verdict::NoEvidenceLogsComplete => exit::OK,
        Verdict::NoEvidenceLogsIncomplete | Verdict::CannotTell => exit::INCOMPLETE,
    }
}

fn print(say: &HuntOutput, report: &Report<'_>, out: &Out) -> Result<(), AppError> {
    let format = if out.json() { HuntFormat::Json } else { say.format };
    let body = match format {
        HuntFormat::Text => report::text::text(report).into_bytes(),
        HuntFormat::Json => {
            let mut text = out.text_of(report)?;
            text.push('\n');
            text.into_bytes()
        }
        HuntFormat::Csv => {
            let mut body = Vec::new();
            report::csv::write(&mut body, &report.hunt.accesses, report.hunt.registered.as_ref())
                .map_err(|source| AppError::Io { path: "the report".to_owned(), source })?;
            body
        }
        HuntFormat::Html => report::html::render(report).map_err(|error| unwritten(&error))?.into_bytes(),
        HuntFormat::Ocsf => {
            let mut body = Vec::new();
            report::ocsf::write(&mut body, &report.hunt.accesses)
                .map_err(|source| AppError::Io { path: "the report".to_owned(), source })?;
            body
        }
        HuntFormat::Parquet => {
            report::parquet::file(&report.hunt.accesses).map_err(|error| unwritten(&error))?
        }
    };
    match &say.output {
        None => out.raw(&body),
        Some(path) => evidence::write_whole(path, &body),
    }
}

fn unwritten(error: &dyn std::error::Error) -> AppError {
    AppError::Evidence(error.to_string())
}

/// Asked before the search: nobody wants to wait for a refusal.
fn check(say: &HuntOutput, out: &Out) -> Result<(), AppError> {
    let binary = say.format == HuntFormat::Parquet && !out.json();
    if binary && say.output.is_none() && std::io::stdout().is_terminal() {
        let what = "Parquet is no text for a terminal: name a file with --output";
        return Err(AppError::Usage(what.to_owned()));
    }
    Ok(())
}

/// A report in JSON.
fn report_at(path: &Path) -> Result<Saved, AppError> {
    app_hunt::read(&path.display().to_string(), &read_file(path)?)
}

fn incident(id: Option<&String>) -> Result<Option<IncidentId>, AppError> {
    id.map(|id| word(id)).transpose()
}
