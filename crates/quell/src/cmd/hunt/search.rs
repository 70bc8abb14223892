//! A new search.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use quell_app::hunt::memory::{Answers, Told};
use quell_app::hunt::{self as app_hunt, Subject};
use quell_app::{AppError, Options, clock};
use quell_bucket::count::Requests;
use quell_connect::context::Context as VaultContext;
use quell_core::IncidentId;
use quell_core::secret::SecretValue;
use quell_hunt::cross;
use quell_hunt::hint::Hints;
use quell_hunt::hunt::{self, Followed, Hunt, Progress, Question};
use quell_hunt::mapping::Mapping;
use quell_hunt::memory::Memory;
use quell_hunt::needle::{Needle, NeedleError};
use quell_hunt::object::Object;
use quell_hunt::registration::Data;
use quell_hunt::report::Asked;
use quell_hunt::report::saved::Saved;
use quell_hunt::signature::Keys;
use quell_hunt::verdict::Knowledge;
use serde_json::json;

use super::super::{app, bucket, read_file, read_value};
use super::{check, incident, report_at, tell};
use crate::cli::HuntArgs;
use crate::exit;
use crate::output::{Out, duration};

/// Redraws at most this often, in milliseconds.
const PACE_MS: i64 = 100;

pub(super) async fn hunt(options: &Options, args: HuntArgs, out: &Out) -> Result<u8, AppError> {
    if args.from.zip(args.to).is_some_and(|(from, to)| from > to) {
        return Err(AppError::Usage("--from is after --to: no time lies between them".to_owned()));
    }
    check(&args.say, out)?;
    let (id, asked, question) = prepare(options, &args, out).await?;
    let geo = (!args.geo.is_empty()).then(|| Data::load(&args.geo)).transpose();
    let geo = geo.map_err(|error| AppError::Usage(error.to_string()))?;
    let logs = bucket::list(&args.logs, &question).await?;
    let objects = &logs.objects;
    if let Some(mapping) = &question.hints.mapping {
        for glob in mapping.idle(objects.iter().map(|object| &*object.name)) {
            out.warning(format!("no object fits `{glob}` of the mapping"));
        }
    }
    let hunt::Estimate { objects: count, bytes, pruned } = hunt::estimate(&question, objects);
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
    // Refused before anything is read.
    let answers = args.resume.as_deref().map(|path| Answers::open(path, &question)).transpose()?;
    let mut found = run(question, objects, answers.as_ref(), out)?;
    if let (Some(answers), Some(path)) = (answers, &args.resume) {
        told(answers.finish(), path, out);
    }
    found.coverage.leave_out(&logs.outside);
    if let Some(asked) = logs.asked() {
        let Requests { lists, gets, throttled } = asked;
        out.status(format!(
            "Buckets were sent {lists} LIST and {gets} other requests; {throttled} were told to slow down and sent again"
        ));
    }
    if let Some(data) = geo {
        let registered = data.register(&found.accesses);
        found.registered = Some(registered.map_err(|error| AppError::Usage(error.to_string()))?);
    }
    tell(options, &Saved::new(asked, found), id, args.record, &args.say, out).await
}

/// What the file of `--resume` came to.
fn told(told: Told, path: &Path, out: &Out) {
    let path = path.display();
    let Told { recalled, kept, damaged, failed } = told;
    let all = recalled + kept;
    out.status(format!(
        "{recalled} of {all} objects, over all passes, were done before; `{path}` is kept, for this question only"
    ));
    if damaged > 0 {
        out.warning(format!("{damaged} lines of `{path}` are damaged: their objects were read again"));
    }
    if let Some(error) = failed {
        out.warning(format!(
            "not all could be kept in `{path}`, which the result does not depend on: {error}"
        ));
    }
}

/// What is asked, and what to search for that.
async fn prepare(
    options: &Options,
    args: &HuntArgs,
    out: &Out,
) -> Result<(Option<IncidentId>, Asked, Question), AppError> {
    let (id, subject) = subject(options, args, out).await?;
    let Subject { mut needles, exposed, left_out, mut values, vault, triaged } = subject;
    let mut left_out = left_out.len();
    // Digests come once an hour, and some minutes late.
    let until = args.to.or(args.owner.revoked).unwrap_or_else(|| {
        clock::now().saturating_sub(SignedDuration::from_hours(2)).unwrap_or(Timestamp::MIN)
    });
    for id in &args.id {
        needles.append(&mut Needle::ids(id).map_err(usage)?);
    }
    if let Some(file) = &args.value_file {
        let value = read_value(file)?;
        needles.append(&mut Needle::value("the value", &value).map_err(usage)?);
        values.push(("the value".to_owned(), value));
    }
    left_out += hashes(options, args, (vault, &values), &mut needles, out).await?;
    if needles.is_empty() {
        let what = "nothing to look for: give an incident with a known value, --id or --value-file";
        return Err(AppError::Usage(what.to_owned()));
    }
    let mut credentials: Vec<String> = needles.iter().map(|needle| needle.label.clone()).collect();
    credentials.dedup();
    let mapping = args.map.as_deref().map(mapping).transpose()?;
    let record_keys = args.record_key_file.iter().map(|file| read_value(file)).collect::<Result<_, _>>()?;
    let asked = Asked {
        credentials,
        from: args.from,
        to: args.to,
        accounts: args.account.clone(),
        regions: args.region.clone(),
        zone: args.zone.as_ref().and_then(|zone| zone.iana_name()).map(str::to_owned),
        mapping: mapping.as_ref().map(|mapping| mapping.sha256().to_owned()),
        knowledge: Knowledge {
            exposed: args.owner.exposed.or(exposed),
            revoked: args.owner.revoked,
            known: args.owner.known.clone(),
            until: Some(until),
            left_out,
            all_logs: args.all_logs,
            triaged,
        },
    };
    let (follow, requests) = follow(args.follow.as_deref())?;
    let question = Question {
        needles,
        from: args.from,
        to: args.to,
        accounts: args.account.clone(),
        regions: args.region.clone(),
        shard: args.shard,
        follow,
        requests,
        digest_keys: digest_keys(&args.digest_keys)?,
        hints: Hints { zone: args.zone.clone(), mapping, record_keys },
        hash: args.hash || args.record || args.shard.is_some(),
        threads: threads(args.threads),
    };
    Ok((id, asked, question))
}

fn mapping(file: &Path) -> Result<Mapping, AppError> {
    let mapping = Mapping::parse(&read_file(file)?);
    mapping.map_err(|error| AppError::Usage(format!("`{}`: {error}", file.display())))
}

/// Of all files together; `None` if there are none.
fn digest_keys(files: &[PathBuf]) -> Result<Option<Keys>, AppError> {
    let mut all: Option<Keys> = None;
    for file in files {
        let keys = Keys::parse(&read_file(file)?);
        let keys = keys.map_err(|error| AppError::Usage(format!("`{}`: {error}", file.display())))?;
        all.get_or_insert_default().extend(keys);
    }
    Ok(all)
}

/// What the incident says. Without one no installation is opened.
async fn subject(
    options: &Options,
    args: &HuntArgs,
    out: &Out,
) -> Result<(Option<IncidentId>, Subject), AppError> {
    let Some(id) = incident(args.incident.as_ref())? else { return Ok((None, Subject::default())) };
    let subject = app_hunt::subject(&*app(options).await?, id).await?;
    for what in &subject.left_out {
        out.warning(format!("not looked for: {what}"));
    }
    Ok((Some(id), subject))
}

/// The credentials that another hunt found to come from the leaked one, and the requests to S3 that it found.
fn follow(report: Option<&Path>) -> Result<(Vec<Followed>, BTreeSet<String>), AppError> {
    let Some(path) = report else { return Ok((Vec::new(), BTreeSet::new())) };
    let hunt = report_at(path)?.hunt;
    let requests = cross::s3::requests(&hunt.accesses);
    Ok((hunt.followed, requests))
}

/// Adds the HMACs that stand in audit logs of OpenBao in place of the values; how many could not be had. A server that was named and
/// cannot be asked is an error; one that only the inventory names is told, and keeps the verdict from being complete.
async fn hashes(
    options: &Options,
    args: &HuntArgs,
    (vault, values): (Option<VaultContext>, &[(String, SecretValue)]),
    needles: &mut Vec<Needle>,
    out: &Out,
) -> Result<usize, AppError> {
    let named = args.vault.is_some() || vault.is_none() && !args.vault_device.is_empty();
    if named && values.is_empty() {
        let what = "--vault has nothing to ask for: give --value-file, or an incident with a known value";
        return Err(AppError::Usage(what.to_owned()));
    }
    let vault = if named { Some(app_hunt::vault(options, args.vault.as_deref())?) } else { vault };
    let Some(vault) = vault.filter(|_| !args.estimate && !values.is_empty()) else { return Ok(0) };
    match app_hunt::hashed(&vault, &args.vault_device, values).await {
        Ok(hashed) => {
            for (needle, what) in hashed {
                out.status(format!("Looking for {} too: {what}", needle.label));
                needles.push(needle);
            }
            Ok(0)
        }
        Err(error) if named => Err(error),
        Err(error) => {
            out.warning(format!("not looked for: HMACs in audit logs of OpenBao; {error}"));
            Ok(1)
        }
    }
}

/// On a thread of its own, so that Ctrl-C can end it: what was found by then is told.
fn run(
    question: Question,
    objects: &[Object],
    answers: Option<&Answers>,
    out: &Out,
) -> Result<Hunt, AppError> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let watch = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.store(true, Ordering::Relaxed);
        }
    });
    let meter = Meter::new(out);
    let memory = answers.map(|answers| answers as &dyn Memory);
    let found = tokio::task::block_in_place(|| {
        hunt::with_memory(question, objects, memory, &|at| meter.show(at), &stop)
    });
    watch.abort();
    meter.clear();
    found.map_err(usage)
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
