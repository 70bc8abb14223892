//! `quell hunt`.

use std::io::IsTerminal as _;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use quell_app::{AppError, Options, clock, evidence, hunt as app_hunt};
use quell_bucket::count::Requests;
use quell_core::IncidentId;
use quell_core::event::Verdict;
use quell_hunt::detect::{self, Context};
use quell_hunt::hunt::{self, Hunt, Progress, Question};
use quell_hunt::needle::{Needle, NeedleError};
use quell_hunt::object::Object;
use quell_hunt::report::{self, Report};
use quell_hunt::verdict::{self, Knowledge};
use serde_json::json;

use super::{app, bucket, read_value, word};
use crate::cli::{HuntArgs, HuntFormat};
use crate::exit;
use crate::output::{Out, duration};

/// Redraws at most this often, in milliseconds.
const PACE_MS: i64 = 100;

pub(crate) async fn hunt(options: &Options, args: HuntArgs, out: &Out) -> Result<u8, AppError> {
    if args.from.zip(args.to).is_some_and(|(from, to)| from > to) {
        return Err(AppError::Usage("--from is after --to: no time lies between them".to_owned()));
    }
    let (id, mut needles, exposed, left_out) = subject(options, &args, out).await?;
    // Digests come once an hour, and some minutes late.
    let until = args.to.or(args.revoked).unwrap_or_else(|| {
        clock::now().saturating_sub(SignedDuration::from_hours(2)).unwrap_or(Timestamp::MIN)
    });
    for id in &args.id {
        needles.push(Needle::id(id).map_err(usage)?);
    }
    if let Some(file) = &args.value_file {
        needles.append(&mut Needle::value("the value", &read_value(file)?).map_err(usage)?);
    }
    if needles.is_empty() {
        let what = "nothing to look for: give an incident with a known value, --id or --value-file";
        return Err(AppError::Usage(what.to_owned()));
    }
    let mut credentials: Vec<String> = needles.iter().map(|needle| needle.label.clone()).collect();
    credentials.dedup();
    let knowledge = Knowledge {
        exposed,
        revoked: args.revoked,
        known: args.known.clone(),
        until: Some(until),
        left_out,
        all_logs: args.all_logs,
    };
    let question = Question {
        needles,
        from: args.from,
        to: args.to,
        accounts: args.account.clone(),
        regions: args.region.clone(),
        threads: threads(args.threads),
    };
    let logs = bucket::list(&args.logs, &question).await?;
    let objects = &logs.objects;
    let (count, bytes) = hunt::estimate(&question, objects);
    let pruned = objects.len() as u64 - count;
    if args.estimate {
        if out.json() {
            let buckets = logs.price_json();
            out.object(&json!({ "objects": count, "bytes": bytes, "pruned": pruned, "buckets": buckets }))?;
        } else {
            out.data(format!("{count} objects with {bytes} bytes would be read; {pruned} lie outside"))?;
            logs.price().map_or(Ok(()), |price| out.data(price))?;
        }
        return Ok(exit::OK);
    }
    out.status(format!(
        "Reading {count} objects with {bytes} bytes; {pruned} lie outside of what is asked for"
    ));
    if let Some(price) = logs.price() {
        out.status(price);
    }
    logs.agree(args.yes, out)?;
    let mut found = run(question, objects, out)?;
    found.coverage.leave_out(&logs.outside);
    if let Some(asked) = logs.asked() {
        let Requests { lists, gets, throttled } = asked;
        out.status(format!(
            "Buckets were sent {lists} LIST and {gets} other requests; {throttled} were told to slow down and sent again"
        ));
    }
    let context = Context { exposed, revoked: knowledge.revoked, known: &knowledge.known };
    let detection = detect::detect(&found.accesses, &context);
    let judgement = verdict::judge(&found, &detection, &knowledge);
    let report = Report::new(&credentials, &found, &detection, &judgement, &knowledge.known);
    print(&args, &report, out)?;
    if let (true, Some(id)) = (args.record, id) {
        let body = serde_json::to_vec(&report).map_err(|error| AppError::Usage(error.to_string()))?;
        let app = app(options).await?;
        app_hunt::record(&app, id, judgement.verdict, &judgement.because, body).await?;
        out.status(format!("Recorded in {id} with the report as evidence: {}", judgement.verdict.sentence()));
    }
    Ok(code(found.stopped, judgement.verdict))
}

fn code(stopped: bool, verdict: Verdict) -> u8 {
    match verdict {
        _ if stopped => exit::INTERRUPTED,
        Verdict::Used | Verdict::Likely => exit::FINDINGS,
        Verdict::NoEvidenceLogsComplete => exit::OK,
        Verdict::NoEvidenceLogsIncomplete | Verdict::CannotTell => exit::INCOMPLETE,
    }
}

/// What the incident says. Without one no installation is opened.
async fn subject(
    options: &Options,
    args: &HuntArgs,
    out: &Out,
) -> Result<(Option<IncidentId>, Vec<Needle>, Option<Timestamp>, usize), AppError> {
    let Some(id) = &args.incident else { return Ok((None, Vec::new(), args.exposed, 0)) };
    let id: IncidentId = word(id)?;
    let app = app(options).await?;
    let subject = app_hunt::subject(&app, id).await?;
    for what in &subject.left_out {
        out.warning(format!("not looked for: {what}"));
    }
    Ok((Some(id), subject.needles, args.exposed.or(subject.exposed), subject.left_out.len()))
}

/// On a thread of its own, so that Ctrl-C can end it: what was found by then is told.
fn run(question: Question, objects: &[Object], out: &Out) -> Result<Hunt, AppError> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let watch = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.store(true, Ordering::Relaxed);
        }
    });
    let meter = Meter::new(out);
    let found = tokio::task::block_in_place(|| hunt::hunt(question, objects, &|at| meter.show(at), &stop));
    watch.abort();
    meter.clear();
    found.map_err(usage)
}

fn print(args: &HuntArgs, report: &Report<'_>, out: &Out) -> Result<(), AppError> {
    let format = if out.json() { HuntFormat::Json } else { args.format };
    let body = match format {
        HuntFormat::Text => report::text::text(report).into_bytes(),
        HuntFormat::Json => {
            let mut text = out.text_of(report)?;
            text.push('\n');
            text.into_bytes()
        }
        HuntFormat::Csv => {
            let mut body = Vec::new();
            report::csv::write(&mut body, report.accesses)
                .map_err(|source| AppError::Io { path: "the report".to_owned(), source })?;
            body
        }
    };
    match &args.output {
        None => out.raw(&body),
        Some(path) => evidence::write_whole(path, &body),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn usage(error: NeedleError) -> AppError {
    AppError::Usage(error.to_string())
}

fn threads(asked: Option<u16>) -> NonZero<usize> {
    let asked = asked.and_then(|count| NonZero::new(usize::from(count)));
    asked.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZero::<usize>::MIN)
}

/// One line on a terminal that says how far it is.
struct Meter<'a> {
    out: &'a Out,
    shown: bool,
    start: i64,
    last: AtomicI64,
}

impl<'a> Meter<'a> {
    fn new(out: &'a Out) -> Self {
        let start = clock::now().as_millisecond();
        Self { out, shown: std::io::stderr().is_terminal(), start, last: AtomicI64::new(0) }
    }

    fn show(&self, at: Progress) {
        if !self.shown {
            return;
        }
        let elapsed = clock::now().as_millisecond().saturating_sub(self.start);
        let last = self.last.load(Ordering::Relaxed);
        let due = elapsed >= last.saturating_add(PACE_MS);
        if due && self.last.compare_exchange(last, elapsed, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let share = at.bytes.saturating_mul(100).checked_div(at.of_bytes).unwrap_or(100);
            let rate =
                at.bytes.saturating_mul(1000).checked_div(elapsed.unsigned_abs()).unwrap_or(0) / 1_000_000;
            let left =
                elapsed.unsigned_abs().saturating_mul(at.of_bytes.saturating_sub(at.bytes)) / at.bytes.max(1);
            let line = format!(
                "pass {}: {} of {} objects ({share} %), {rate} MB/s, about {} left",
                at.pass,
                at.objects,
                at.of,
                duration(left)
            );
            self.out.redraw(&line);
        }
    }

    fn clear(&self) {
        if self.shown {
            self.out.redraw("");
        }
    }
}
