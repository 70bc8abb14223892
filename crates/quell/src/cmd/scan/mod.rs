//! `quell scan`.

mod progress;
mod table;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use quell_app::scan::format::{About, Format};
use quell_app::scan::{self, Baseline, IgnoreFile, Scanned, Target, Tools};
use quell_app::{App, AppError, Options, StoreError, clock, evidence};
use quell_scan::{Received, Report, RuleSet, Selection, Staged, Update};

use self::progress::Meter;
use super::app_without_inventory;
use crate::cli::{ScanArgs, ScanFormat};
use crate::exit;
use crate::output::Out;

/// Longest standard input of a pre-receive hook, in bytes: some hundred thousand refs.
const MAX_PUSH: u64 = 64 << 20;

pub(crate) async fn scan(options: &Options, args: &ScanArgs, out: &Out) -> Result<u8, AppError> {
    let format = format(args, out)?;
    let rules = rules(args)?;
    let ignore_file = args.ignore_file.as_ref().map(|path| IgnoreFile::load(path, &rules)).transpose()?;
    for warning in rules.warnings().iter().chain(ignore_file.iter().flat_map(IgnoreFile::warnings)) {
        out.warning(warning);
    }
    let mut baseline = baseline(args)?;
    let app = if args.in_hook() { None } else { installation(options).await? };
    let values = if args.known { Some(values(app.as_deref(), out).await?) } else { None };
    let throwaway = scan::throwaway_key()?;
    // Without an installation the baseline's key makes ids that are the same in every run.
    let key = match (&app, &baseline) {
        (Some(app), _) => &app.store.keys().fingerprint,
        (None, Some(baseline)) => baseline.key(),
        (None, None) => &throwaway,
    };
    let tools = Tools {
        rules: &rules,
        key,
        baseline: baseline.as_ref(),
        ignore_file: ignore_file.as_ref(),
        known: values.as_ref().map(|values| &values.known),
        way: scan::Way {
            threads: args.threads.map(usize::from),
            full: args.full,
            despite_comments: args.no_ignore,
            archive_depth: args.archive_depth.map(u32::from),
        },
    };
    let (mut report, ignored) = search(args, options, tools, out)?;
    if let Some(values) = values {
        report.incomplete.extend(values.missed);
    }
    if let (Some(path), Some(baseline)) = (&args.write_baseline, &mut baseline) {
        return accept(args, path, baseline, &report, out);
    }
    let recorded = app.is_some() && !args.no_record && args.path != Path::new("-");
    let mut scanned = match &app {
        Some(app) if recorded => scan::record(app, &absolute(&args.path), report).await?,
        Some(app) => scan::matched(app, report).await?,
        None => scan::unmatched(report),
    };
    scanned.ignored = ignored;
    show(args, format, &scanned, &rules, out)?;
    table::gaps(out, &scanned);
    if !args.quiet {
        table::closing(out, &scanned);
        if !scanned.findings.is_empty() && !args.in_hook() {
            table::hints(out, &scanned, recorded, app.is_some() || baseline.is_some());
        }
    }
    Ok(code(args, &scanned))
}

/// Findings win over gaps: whoever acts on findings looks at the result anyway.
fn code(args: &ScanArgs, scanned: &Scanned) -> u8 {
    match (scanned.findings.is_empty(), scanned.complete) {
        (false, _) => args.exit_code.unwrap_or(exit::FINDINGS),
        (true, false) => exit::INCOMPLETE,
        (true, true) => exit::OK,
    }
}

fn format(args: &ScanArgs, out: &Out) -> Result<ScanFormat, AppError> {
    match (args.format, out.json()) {
        (None | Some(ScanFormat::Json), true) => Ok(ScanFormat::Json),
        (Some(_), true) => Err(AppError::Usage("--json and another --format exclude each other".to_owned())),
        (format, false) => Ok(format.unwrap_or(ScanFormat::Table)),
    }
}

fn rules(args: &ScanArgs) -> Result<RuleSet, AppError> {
    if args.known {
        return Ok(RuleSet::none()?);
    }
    let rules = scan::rules(&args.rules)?;
    if args.rule.is_empty() && args.disable_rule.is_empty() {
        return Ok(rules);
    }
    Ok(rules.select(&args.rule, &args.disable_rule)?)
}

/// The baseline to ignore, or the one to write: it brings the key under which values are compared.
fn baseline(args: &ScanArgs) -> Result<Option<Baseline>, AppError> {
    match (&args.baseline, &args.write_baseline) {
        (Some(read), Some(write)) if read != write => {
            let words = "--baseline and --write-baseline must name the same file: each has a key of its own";
            Err(AppError::Usage(words.to_owned()))
        }
        (_, Some(path)) => Baseline::load_or_new(path).map(Some),
        (Some(path), None) => Baseline::load(path).map(Some),
        (None, None) => Ok(None),
    }
}

async fn installation(options: &Options) -> Result<Option<Arc<App>>, AppError> {
    match app_without_inventory(options).await {
        Ok(app) => Ok(Some(app)),
        Err(AppError::Store(StoreError::NotInitialised(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The values to look for. Nothing to look for is an error: it would look like a clean result.
async fn values(app: Option<&App>, out: &Out) -> Result<scan::Values, AppError> {
    let Some(app) = app.filter(|app| !app.inventory.secrets.is_empty()) else {
        let words = "`--known` looks for the values of the inventory's secrets, and there are none; it needs an \
                     installation (`quell init`) and an inventory (--inventory)";
        return Err(AppError::Usage(words.to_owned()));
    };
    let values = scan::values(app).await?;
    for refused in values.known.refused() {
        out.warning(format!("a value of {} is not looked for: {}", refused.secret, refused.why));
    }
    if values.known.is_empty() {
        let words =
            "not one value of the inventory could be read, and none was seen earlier: nothing to look for";
        return Err(AppError::Usage(words.to_owned()));
    }
    Ok(values)
}

fn search(
    args: &ScanArgs,
    options: &Options,
    tools: Tools<'_>,
    out: &Out,
) -> Result<(Report, scan::Ignored), AppError> {
    let mut meter = Meter::new(out, args.quiet);
    let mut input = std::io::stdin().lock();
    let target = target(args, options, &mut input)?;
    let result = scan::run(target, tools, &mut |state| meter.show(state));
    meter.clear();
    result
}

fn target<'a>(
    args: &'a ScanArgs,
    options: &Options,
    input: &'a mut dyn std::io::Read,
) -> Result<Target<'a>, AppError> {
    let path = args.path.as_path();
    // What git tells its hooks: <https://git-scm.com/docs/githooks>.
    let told = |name: &str| options.environment.get(name).filter(|text| !text.is_empty());
    if args.staged {
        let index_file = told("GIT_INDEX_FILE").map(std::path::PathBuf::from);
        return Ok(Target::Staged(path, Staged { index_file }));
    }
    if args.pre_receive {
        let mut text = String::new();
        let read = input.take(MAX_PUSH).read_to_string(&mut text);
        let failed = |source| AppError::Io { path: "standard input".to_owned(), source };
        if u64::try_from(read.map_err(failed)?).is_ok_and(|length| length == MAX_PUSH) {
            return Err(AppError::Usage("a push of this many refs is not read".to_owned()));
        }
        let folders =
            ["GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"].into_iter().filter_map(told);
        let object_folders = folders.flat_map(std::env::split_paths).collect();
        let updates = Update::parse_lines(&text)?;
        return Ok(Target::Received(path, Received { updates, object_folders, ..Received::default() }));
    }
    if path == Path::new("-") {
        return Ok(Target::Stream("-", input));
    }
    if args.no_git && path.is_dir() {
        return Ok(Target::Tree(path));
    }
    let selection = Selection {
        branches: args.branch.clone(),
        ranges: args.commits.clone(),
        since: args.since,
        ..Selection::default()
    };
    Ok(if selection.is_everything() { Target::Path(path) } else { Target::Selected(path, selection) })
}

fn accept(
    args: &ScanArgs,
    path: &Path,
    baseline: &mut Baseline,
    report: &Report,
    out: &Out,
) -> Result<u8, AppError> {
    let reason = args.reason.as_deref().unwrap_or_default();
    let new = baseline.accept(&report.findings, reason, clock::now())?;
    baseline.save(path)?;
    for missed in &report.incomplete {
        out.warning(format!("not read: {}: {}", missed.what, missed.why));
    }
    if !args.quiet {
        out.status(format!("{new} new value(s) accepted; {} now holds {}", path.display(), baseline.len()));
        out.hint("somebody can still use an accepted value: accept what is dead or was never live");
    }
    Ok(if report.complete() { exit::OK } else { exit::INCOMPLETE })
}

fn show(
    args: &ScanArgs,
    format: ScanFormat,
    scanned: &Scanned,
    rules: &RuleSet,
    out: &Out,
) -> Result<(), AppError> {
    let format = match format {
        ScanFormat::Table => None,
        ScanFormat::Json => Some(Format::Json),
        ScanFormat::Jsonl => Some(Format::JsonLines),
        ScanFormat::Sarif => Some(Format::Sarif),
        ScanFormat::Gitleaks => Some(Format::Gitleaks),
        ScanFormat::Github => Some(Format::GitHub),
        ScanFormat::Html => Some(Format::Html),
    };
    let target = args.path.display().to_string();
    let about = About { version: env!("CARGO_PKG_VERSION"), target: &target, at: clock::now(), rules };
    let text = match format {
        Some(format) => scan::format::render(format, scanned, about)?,
        None => table::render(scanned),
    };
    match &args.output {
        Some(path) => {
            let plain = if format.is_none() { anstream::adapter::strip_str(&text).to_string() } else { text };
            evidence::write_whole(path, plain.as_bytes())
        }
        None if format.is_none() => out.styled(&text),
        None => out.raw(text.as_bytes()),
    }
}

/// So that a value can be read again from any folder when an incident is opened.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
