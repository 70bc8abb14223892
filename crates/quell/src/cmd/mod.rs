//! One file per command family. Commands only parse and print; the work is in `quell-app`.

mod bucket;
mod drill;
mod evidence;
mod finding;
mod gate;
mod hunt;
mod incident;
mod ingest;
mod init;
mod intake;
mod inventory;
mod keys;
mod kill;
mod mass;
mod notice;
mod numbers;
mod person;
mod plan;
mod post_mortem;
mod provider;
mod redact;
mod respond;
mod rules;
mod scan;
mod serve;
mod session;
mod state;
mod task;
mod token;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use quell_app::StoreError;
use quell_app::{App, AppError, Options, files};
use quell_core::IncidentId;
use quell_core::inventory::Inventory;
use quell_core::secret::SecretValue;

use crate::cli::{Cli, Command, Global};
use crate::desk::{Remote, Seat, place};
use crate::exit;
use crate::output::{Out, can_ask};

/// Runs one command; `words` are its name.
#[expect(clippy::wildcard_enum_match_arm, reason = "few commands need no runtime, all others go on")]
pub(crate) fn run(cli: Cli, words: &str, out: &Out) -> Result<ExitCode, AppError> {
    // What needs no runtime starts none: help, completions and the manual are printed in a few milliseconds.
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "quell", &mut script);
            out.raw(&script)?;
            return Ok(exit::OK.into());
        }
        Command::Rules(command) => return rules::run(command, out).map(ExitCode::from),
        Command::Openapi => {
            out.raw(quell_web::openapi().as_bytes())?;
            return Ok(exit::OK.into());
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|source| AppError::Io { path: "manual".to_owned(), source })?;
            out.raw(&page)?;
            return Ok(exit::OK.into());
        }
        Command::Redact(args) if !args.known => return redact::redact(args, out).map(ExitCode::from),
        Command::Gate(command) => {
            if let Some(done) = gate::local(command, out) {
                return done.map(ExitCode::from);
            }
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| AppError::Io { path: "runtime".to_owned(), source })?;
    let code = runtime.block_on(dispatch(cli, words, out))?;
    // Do not wait for stray background tasks (a consumer that never answers).
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(code.into())
}

async fn dispatch(cli: Cli, words: &str, out: &Out) -> Result<u8, AppError> {
    let options = options(&cli.global)?;
    let server = match &cli.global.server {
        Some(address) => {
            place::by_a_server(words)?;
            Some(Remote::new(address, cli.global.token_file.as_deref())?)
        }
        None => None,
    };
    let seat = Seat::new(options.clone(), server);
    match cli.command {
        Command::Init(args) => init::init(&options, &args, out).await,
        Command::Doctor => init::doctor(&options, out).await,
        Command::Scan(args) => scan::scan(&options, &args, out).await,
        Command::Redact(args) => redact::with_known(&options, &args, out).await,
        Command::Gate(command) => gate::run(&options, &command, out).await,
        Command::Ingest(args) => ingest::ingest(&seat, &args, out).await,
        Command::Finding(command) => finding::run(&seat, &command, out).await,
        Command::Intake(command) => intake::run(&seat, &command, out).await,
        Command::Inventory(command) => inventory::run(&seat, &command, out).await,
        Command::Incident(command) => incident::run(&seat, command, out).await,
        Command::Notice(command) => notice::run(&seat, &command, out).await,
        Command::Hunt(args) => hunt::run(&seat, *args, out).await,
        Command::Kill(args) => Box::pin(kill::kill(&options, &args, out)).await,
        Command::Provider(command) => provider::run(&options, &command, out).await,
        Command::Plan(args) => plan::plan(&seat, &args, out).await,
        Command::Respond(args) => respond::respond(&seat, &args, out).await,
        Command::Approve(args) => plan::approve(&seat, &args, out).await,
        Command::Pause(args) => mass::pause(&seat, &args, out).await,
        Command::Resume(args) => mass::resume(&seat, &args, out).await,
        Command::Step(command) => plan::step(&seat, &command, out).await,
        Command::Verify(args) => evidence::verify_incident(&seat, &args.id, out).await,
        Command::Report(args) => evidence::report(&seat, &args, out).await,
        Command::Evidence(command) => evidence::run(&seat, &command, out).await,
        Command::Ledger(command) => evidence::ledger(&seat, &command, out).await,
        Command::Keys(command) => keys::run(&options, &command, out).await,
        Command::Backup(args) => state::backup(&options, &args, out).await,
        Command::Restore(args) => state::restore(&options, &args, out).await,
        Command::Move(args) => state::move_to(&options, &args, out).await,
        Command::Issue(args) => keys::issue(&options, &args, out).await,
        Command::Serve(args) => serve::serve(&options, &args, out).await,
        Command::Person(command) => person::run(&seat, &command, out).await,
        Command::Token(command) => token::run(&seat, &command, out).await,
        Command::Session(command) => session::run(&seat, &command, out).await,
        Command::BreakGlass(command) => session::glass(&seat, &command, out).await,
        Command::Numbers => numbers::numbers(&seat, out).await,
        Command::Drill(args) => Box::pin(drill::drill(&options, &args, out)).await,
        Command::SandboxConsumer(args) => drill::consumer(args).await,
        Command::Completions { .. } | Command::Man | Command::Openapi | Command::Rules(_) => Ok(exit::OK),
    }
}

/// Bytes of the longest value.
const MAX_VALUE: usize = 64 << 10;

/// A value from a file or standard input (`-`), without line breaks at its end. At most 64 KiB.
fn read_value(path: &Path) -> Result<SecretValue, AppError> {
    let io = |source| AppError::Io { path: path.display().to_string(), source };
    // Large enough from the start: what grows leaves copies behind.
    let mut bytes = Vec::with_capacity(MAX_VALUE + 1);
    let most = MAX_VALUE as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes).map_err(io)?;
    } else {
        std::fs::File::open(path).map_err(io)?.take(most).read_to_end(&mut bytes).map_err(io)?;
    }
    let whole = SecretValue::new(bytes);
    let end =
        whole.expose().iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    if end == 0 || end > MAX_VALUE {
        return Err(AppError::Usage(format!("{} holds no value, or more than 64 KiB", path.display())));
    }
    Ok(SecretValue::new(whole.expose().get(..end).unwrap_or_default().to_vec()))
}

/// A text from a file or standard input (`-`), refused when it is longer than `most` bytes.
fn read_text(path: &Path, most: u64) -> Result<String, AppError> {
    let io = |source| AppError::Io { path: path.display().to_string(), source };
    if path == Path::new("-") {
        return files::text_of(std::io::stdin(), most).map_err(io);
    }
    files::read_text(path, most).map_err(io)
}

/// The whole of a file.
fn read_file(path: &Path) -> Result<Vec<u8>, AppError> {
    std::fs::read(path).map_err(|source| AppError::Io { path: path.display().to_string(), source })
}

fn options(global: &Global) -> Result<Options, AppError> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    let home = environment.get("HOME").map(PathBuf::from);
    let data = match (&global.data_dir, environment.get("XDG_DATA_HOME"), home) {
        (Some(given), _, _) => given.clone(),
        (None, Some(xdg), _) if !xdg.is_empty() => PathBuf::from(xdg).join("quell"),
        (None, _, Some(home)) => home.join(".local/share/quell"),
        (None, _, None) => {
            return Err(AppError::Usage("no data folder: give --data-dir, or set HOME".to_owned()));
        }
    };
    let actor = global
        .actor
        .clone()
        .or_else(|| ["LOGNAME", "USER"].iter().find_map(|name| environment.get(*name).cloned()))
        // Services have neither; the system knows whose they are.
        .or_else(|| whoami::username().ok())
        .filter(|name| !name.trim().is_empty())
        .unwrap_or_else(|| "unknown".to_owned());
    let database = match &global.database_file {
        None => None,
        Some(path) => Some(database_url(path)?),
    };
    Ok(Options {
        data,
        database,
        inventory: global.inventory.clone(),
        environment,
        actor,
        call_limit: Duration::from_secs(global.call_limit),
        passphrase_file: global.passphrase_file.clone(),
        providers: Vec::new(),
    })
}

/// What a file for `--database-file` holds.
fn database_url(path: &Path) -> Result<String, AppError> {
    let text = files::read_text(path, 64 << 10)
        .map_err(|source| AppError::Io { path: path.display().to_string(), source })?;
    let url = text.trim();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(AppError::Usage(format!("{} does not hold a postgres:// URL", path.display())));
    }
    Ok(url.to_owned())
}

/// Asks for the passphrase, if somebody can answer.
pub(crate) fn ask_passphrase() -> Result<SecretValue, StoreError> {
    if !can_ask() {
        return Err(StoreError::Kek("a passphrase is needed and nobody can be asked".to_owned()));
    }
    crate::prompt::hidden("passphrase: ")
        .map(SecretValue::from_text)
        .map_err(|source| StoreError::Io { path: "the terminal".to_owned(), source })
}

/// State and inventory.
pub(crate) async fn app(options: &Options) -> Result<Arc<App>, AppError> {
    App::open(options, ask_passphrase).await
}

/// State, and the inventory if there is one: for commands that only read the ledger.
pub(crate) async fn app_without_inventory(options: &Options) -> Result<Arc<App>, AppError> {
    if options.inventory.exists() {
        app(options).await
    } else {
        App::with_inventory(options, Inventory::default(), ask_passphrase).await
    }
}

/// State and inventory, for what is done about one incident. One of `quell kill` is not in any inventory, and that is said first.
pub(crate) async fn app_for(options: &Options, id: IncidentId) -> Result<Arc<App>, AppError> {
    let app = app_without_inventory(options).await?;
    quell_app::kill::refuse_its_own(&app, &app.incident(id).await?)?;
    if !options.inventory.exists() {
        // It is missing, and what that means is said there.
        quell_app::inventory::load(&options.inventory)?;
    }
    Ok(app)
}

pub(crate) fn incident_id(text: &str) -> Result<IncidentId, AppError> {
    text.parse().map_err(|e: quell_core::id::BadId| AppError::Usage(e.to_string()))
}

/// Any id or word of the domain, with its own complaint.
pub(crate) fn word<T: std::str::FromStr<Err = quell_core::id::BadId>>(text: &str) -> Result<T, AppError> {
    text.parse().map_err(|e: quell_core::id::BadId| AppError::Usage(e.to_string()))
}
