//! `quell gate …`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use quell_app::gate::ci::{self, Host};
use quell_app::gate::install::{self, State};
use quell_app::gate::prove::{self, Answer, Question};
use quell_app::gate::run::{self, Ran, Surroundings};
use quell_app::gate::script::Script;
use quell_app::gate::{Hook, env};
use quell_app::{AppError, Options, scan};
use quell_core::gate::advice;
use serde_json::json;

use super::{app_without_inventory, incident_id, word};
use crate::cli_gate::{EnvArgs, GateCommand, HookArg, HostArg, InstallArg, InstallArgs, ProveArgs, RunArgs};
use crate::exit;
use crate::output::{Out, Tone, tone};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What needs no installation, and so no runtime; `None` for the rest.
pub(super) fn local(command: &GateCommand, out: &Out) -> Option<Result<u8, AppError>> {
    Some(match command {
        GateCommand::Install(args) => put_in(args, out),
        GateCommand::Uninstall { hook, repository } => take_out(*hook, repository, out),
        GateCommand::Status { repository } => status(repository, out),
        GateCommand::Run(args) => run_hook(args, out),
        GateCommand::Env(args) => env_files(args, out),
        GateCommand::Prove(_) | GateCommand::Suggest { .. } => return None,
    })
}

/// What works with incidents.
pub(super) async fn run(options: &Options, command: &GateCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        GateCommand::Prove(args) => prove_gate(options, args, out).await,
        GateCommand::Suggest { id } => suggest(options, id, out).await,
        GateCommand::Install(_)
        | GateCommand::Uninstall { .. }
        | GateCommand::Status { .. }
        | GateCommand::Run(_)
        | GateCommand::Env(_) => local(command, out).unwrap_or(Ok(exit::OK)),
    }
}

fn hook_of(hook: HookArg) -> Hook {
    match hook {
        HookArg::Commit => Hook::PreCommit,
        HookArg::Push => Hook::PrePush,
        HookArg::Receive => Hook::PreReceive,
    }
}

fn put_in(args: &InstallArgs, out: &Out) -> Result<u8, AppError> {
    let hook = match args.gate {
        InstallArg::PreCommit => Hook::PreCommit,
        InstallArg::PrePush => Hook::PrePush,
        InstallArg::PreReceive => Hook::PreReceive,
        InstallArg::Ci => return ci_job(args, out),
        InstallArg::PreCommitFramework => {
            out.data(ci::FRAMEWORK.trim_end())?;
            out.hint("put this into `.pre-commit-config.yaml`; without quell on the PATH it refuses");
            return Ok(exit::OK);
        }
    };
    // A rule set that does not load would make a gate that refuses everything.
    scan::rules(&args.rules)?;
    let script = Script { hook, quell: this_program()?, rules: absolute(&args.rules)? };
    let installed = install::install(&args.repository, &script, args.chain)?;
    for warning in &installed.warnings {
        out.warning(warning);
    }
    if out.json() {
        out.object(&installed)?;
        return Ok(exit::OK);
    }
    let what = if installed.already { "is there already" } else { "installed" };
    out.status(format!("{} {what}: {}", hook.word(), installed.path.display()));
    if let Some(kept) = &installed.chained {
        out.status(format!("the hook from before is called first: {}", kept.display()));
    }
    out.hint(hook.bypass());
    Ok(exit::OK)
}

fn ci_job(args: &InstallArgs, out: &Out) -> Result<u8, AppError> {
    let host = match args.host {
        Some(HostArg::Github) => Host::Github,
        Some(HostArg::Gitlab) => Host::Gitlab,
        Some(HostArg::Jenkins) => Host::Jenkins,
        Some(HostArg::Azure) => Host::Azure,
        Some(HostArg::Generic) => Host::Generic,
        None => return Err(AppError::Usage("say which CI with --for".to_owned())),
    };
    if args.write {
        let written = ci::write(&args.repository, host, VERSION)?;
        if out.json() {
            out.object(&written)?;
            return Ok(exit::OK);
        }
        let what = if written.already { "is there already" } else { "written" };
        out.status(format!("{} {what}", written.path.display()));
    } else {
        out.data(host.snippet(VERSION).trim_end())?;
    }
    out.hint(host.remaining());
    Ok(exit::OK)
}

fn this_program() -> Result<PathBuf, AppError> {
    std::env::current_exe().map_err(|source| AppError::Io { path: "this program".to_owned(), source })
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, AppError> {
    let one = |path: &PathBuf| {
        path.canonicalize().map_err(|source| AppError::Io { path: path.display().to_string(), source })
    };
    paths.iter().map(one).collect()
}

fn take_out(hook: HookArg, repository: &Path, out: &Out) -> Result<u8, AppError> {
    let hook = hook_of(hook);
    let there = install::uninstall(repository, hook)?;
    out.status(format!("{} {}", hook.word(), if there { "removed" } else { "was not installed" }));
    Ok(exit::OK)
}

fn status(repository: &Path, out: &Out) -> Result<u8, AppError> {
    let search: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let all = install::status(repository, &search)?;
    let broken = |state| !matches!(state, State::Installed | State::Missing | State::Foreign);
    let code = if all.iter().any(|one| broken(one.state)) { exit::FINDINGS } else { exit::OK };
    if out.json() {
        out.object(&json!({"gates": all}))?;
        return Ok(code);
    }
    for one in &all {
        let how = match one.state {
            State::Installed => Tone::Good,
            State::Missing | State::Foreign => Tone::Careful,
            State::ChangedByHand
            | State::OtherVersion
            | State::NamedQuellGone
            | State::NotExecutable
            | State::QuellNotFound => Tone::Bad,
        };
        out.data(format!("{:<12} {}", one.gate, tone(how, one.state.sentence())))?;
        out.data(format!("             {}", one.path.display()))?;
        if one.state == State::Installed {
            out.data(format!("             bypass: {}", one.bypass))?;
        }
        if one.chained {
            out.data("             another hook is called first")?;
        }
    }
    Ok(code)
}

fn run_hook(args: &RunArgs, out: &Out) -> Result<u8, AppError> {
    let rules = scan::rules(&args.rules)?;
    for warning in rules.warnings() {
        out.warning(warning);
    }
    if rules.rules().is_empty() {
        return Err(AppError::Usage("there is no rule, so nothing would be looked for".to_owned()));
    }
    let folder = std::env::current_dir()
        .map_err(|source| AppError::Io { path: "the current folder".to_owned(), source })?;
    let around = Surroundings {
        folder,
        git_dir: std::env::var_os("GIT_DIR"),
        index_file: std::env::var_os("GIT_INDEX_FILE"),
        objects: std::env::var_os("GIT_OBJECT_DIRECTORY"),
        alternates: std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES"),
    };
    let hook = hook_of(args.hook);
    let ran = match hook {
        Hook::PreCommit => run::pre_commit(&around, &rules)?,
        Hook::PrePush => run::pre_push(&around, &rules, &args.remote, &lines()?)?,
        Hook::PreReceive => run::pre_receive(&around, &rules, &lines()?)?,
    };
    let complete = ran.report.complete();
    let code = if !ran.report.findings.is_empty() || !ran.added.is_empty() {
        exit::FINDINGS
    } else if !complete {
        exit::INCOMPLETE
    } else {
        exit::OK
    };
    if out.json() {
        out.object(&json!({
            "gate": hook.word(),
            "findings": ran.report.findings,
            "accepted": ran.accepted,
            "env_files": ran.added,
            "incomplete": ran.report.incomplete,
            "incomplete_more": ran.report.incomplete_more,
        }))?;
    } else {
        said(hook, &ran, out);
    }
    Ok(code)
}

/// What git gave on standard input.
fn lines() -> Result<String, AppError> {
    let io = |source| AppError::Io { path: "standard input".to_owned(), source };
    let mut text = String::new();
    std::io::stdin().lock().take(run::MAX_LINES + 1).read_to_string(&mut text).map_err(io)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > run::MAX_LINES) {
        return Err(AppError::Usage("a push with so many refs is not looked at".to_owned()));
    }
    Ok(text)
}

fn said(hook: Hook, ran: &Ran, out: &Out) {
    for finding in &ran.report.findings {
        let place = &finding.place;
        let commit = place.commit.as_deref().map(|c| format!(" @{}", c.get(..12).unwrap_or(c)));
        out.status(format!(
            "{} {}:{}{}: {} ({}) {}",
            tone(Tone::Bad, "secret"),
            place.file,
            place.line,
            commit.unwrap_or_default(),
            finding.description,
            finding.rule,
            finding.preview
        ));
        if let Some(note) = &finding.note {
            out.status(format!("    {note}"));
        }
    }
    for path in &ran.added {
        out.status(format!("{} {path}: an `.env` file is added to the repository", tone(Tone::Bad, "file")));
    }
    for part in &ran.report.incomplete {
        out.status(format!("{} {}: {}", tone(Tone::Careful, "not read"), part.what, part.why));
    }
    if ran.report.incomplete_more > 0 {
        out.status(format!("and {} more were not read", ran.report.incomplete_more));
    }
    if ran.accepted > 0 {
        out.status(format!("{} accepted by {}", ran.accepted, run::BASELINE));
    }
    for path in &ran.tracked {
        out.warning(format!("{path} is tracked since before; `quell gate env` says what to do"));
    }
    if ran.report.findings.is_empty() && ran.added.is_empty() {
        return;
    }
    match hook {
        Hook::PreCommit => {
            out.hint("take the value out and stage the file again, or `git restore --staged FILE`");
            out.hint("if it is no secret: `quell:allow <reason>` in a comment on its line");
            out.hint("or accept the value: `quell scan . --write-baseline .quell-baseline --reason WHY`");
            out.hint("if it is one, and was ever pushed or shown: it leaked; `quell scan .` and `quell incident open`");
        }
        Hook::PrePush => {
            out.hint("take it out of the commits that are not pushed yet (`git rebase -i`), then push again");
            out.hint("if it is no secret: `quell:allow <reason>` in a comment on its line");
        }
        Hook::PreReceive => {
            out.hint("take it out of the pushed commits (`git rebase -i`), then push again; it was not accepted here");
        }
    }
}

fn env_files(args: &EnvArgs, out: &Out) -> Result<u8, AppError> {
    let checked = env::check(&args.path, args.fix)?;
    let left = checked.violations.iter().filter(|wrong| !wrong.fixed).count();
    let code = if left > 0 {
        exit::FINDINGS
    } else if checked.unread.is_empty() {
        exit::OK
    } else {
        exit::INCOMPLETE
    };
    if out.json() {
        out.object(&checked)?;
        return Ok(code);
    }
    for wrong in &checked.violations {
        let how = if wrong.fixed { tone(Tone::Good, "fixed") } else { tone(Tone::Bad, "wrong") };
        out.data(format!("{how} {}: {}", wrong.path, wrong.problem.sentence()))?;
        if !wrong.fixed {
            out.data(format!("      {}", wrong.advice))?;
        }
    }
    for part in &checked.unread {
        out.warning(format!("not looked at: {part}"));
    }
    if !checked.repository {
        out.warning(format!("{} is in no git repository: only modes were looked at", checked.top.display()));
    }
    out.status(format!("{} `.env` files, {left} things to put right", checked.files));
    Ok(code)
}

async fn prove_gate(options: &Options, args: &ProveArgs, out: &Out) -> Result<u8, AppError> {
    let question = Question {
        incident: incident_id(&args.id)?,
        gate: args.gate.as_deref().map(word).transpose()?,
        item: args.item.clone(),
        quell: this_program()?,
        version: VERSION.to_owned(),
        place: args.repository.as_deref().map(absolute_one).transpose()?,
        rules: absolute(&args.rules)?,
    };
    let app = app_without_inventory(options).await?;
    let answer = prove::prove(&app, &question).await?;
    let code = if answer.proven { exit::OK } else { exit::REFUSED };
    if out.json() {
        out.object(&answer)?;
        return Ok(code);
    }
    told(&answer, out)?;
    Ok(code)
}

fn absolute_one(path: &Path) -> Result<PathBuf, AppError> {
    path.canonicalize().map_err(|source| AppError::Io { path: path.display().to_string(), source })
}

fn told(answer: &Answer, out: &Out) -> Result<(), AppError> {
    for shown in &answer.shown {
        out.data(format!("{}  {} in {}", tone(Tone::Name, &shown.finding), shown.rule, shown.path))?;
        out.data(format!(
            "    leak {}, harmless change {}: {}",
            if shown.refused { tone(Tone::Good, "refused") } else { tone(Tone::Bad, "not refused") },
            if shown.accepted { tone(Tone::Good, "accepted") } else { tone(Tone::Bad, "not accepted") },
            shown.why
        ))?;
        if let Some(hash) = &shown.hook_sha256 {
            out.data(format!("    hook sha256:{hash}"))?;
        }
    }
    if answer.shown.is_empty() {
        out.data("the incident names no finding of a scan, so there is no leak to try again")?;
    }
    for place in &answer.left_out {
        out.warning(format!("not tried: {place}"));
    }
    let gate = answer.gate.word();
    if answer.proven {
        out.status(tone(Tone::Good, format!("proven: the gate {gate} would have stopped it")));
    } else {
        out.status(tone(Tone::Bad, format!("NOT proven for the gate {gate}")));
    }
    match &answer.closed {
        Some(item) => out.status(format!("action item {item} is done")),
        None => out.status("recorded as a note"),
    }
    out.hint(prove::LIMITS);
    Ok(())
}

async fn suggest(options: &Options, id: &str, out: &Out) -> Result<u8, AppError> {
    let app = app_without_inventory(options).await?;
    let incident = app.incident(incident_id(id)?).await?;
    let recorded = scan::recorded(&app).await?;
    let mut rows = Vec::new();
    for exposure in &incident.exposures {
        let finding = exposure.finding.as_deref().and_then(|id| recorded.get(id));
        let path = finding.map(|matched| matched.finding.place.file.as_str());
        rows.extend(advice(exposure.channel, path).into_iter().map(|advice| (exposure.channel, advice)));
    }
    rows.dedup();
    if out.json() {
        let rows: Vec<_> =
            rows.iter().map(|(channel, advice)| json!({"channel": channel, "advice": advice})).collect();
        out.object(&json!({"incident": incident.id.to_string(), "gates": rows}))?;
        return Ok(exit::OK);
    }
    for (channel, advice) in &rows {
        out.data(format!("{:<12} {}", channel.word(), advice.what))?;
        if let Some(command) = advice.command {
            out.data(format!("             {}", tone(Tone::Name, command)))?;
        }
        out.data(format!("             {}", tone(Tone::Quiet, advice.source)))?;
    }
    if let Some(gate) = rows.iter().find_map(|(_, advice)| advice.gate) {
        out.hint(format!(
            "`quell incident action {} TITLE --owner WHO --due DATE --gate {}`, then `quell gate prove {}`",
            incident.id,
            gate.word(),
            incident.id
        ));
    }
    Ok(exit::OK)
}
