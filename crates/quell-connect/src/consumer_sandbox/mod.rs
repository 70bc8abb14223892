//! A real consumer, for the drill and for tests: a small service that reads a database URL, keeps a PostgreSQL
//! session open with it, and says on a health page which value it uses.
//!
//! It behaves as a well-made service should: on reload (SIGHUP, or `POST /reload`) it opens a session with the new
//! value first and closes the old one after; when the new value does not work it keeps the old session and says
//! that it fails. It runs as a process of its own and never prints a value.

mod health;
mod session;
mod source;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::{ConnectError, ConnectErrorKind};
use crate::http::Client;
use session::Worker;

pub use source::SandboxSource;

/// What to run.
#[derive(Clone, Debug)]
pub struct SandboxConsumer {
    /// Where the database URL is.
    pub source: SandboxSource,
    /// Gets the port of the health page (decimal, one line) once it can be asked.
    pub port_file: PathBuf,
    /// Gets the pid, before the port file is written.
    pub pid_file: PathBuf,
    /// A file with the bearer token that `POST /reload` needs; without one anybody on this machine may call it.
    pub reload_token_file: Option<PathBuf>,
    /// For reading from OpenBao.
    pub http: Client,
}

/// What `GET /healthz` answers: 200 when `ok`, 503 when `failing`.
#[derive(Clone, Debug, Default, Serialize)]
struct Health {
    status: &'static str,
    /// Grows each time a reload takes a value that differs.
    #[serde(rename = "gen")]
    generation: u64,
    /// Whom PostgreSQL takes it for.
    principal: Option<String>,
    reconnects: u64,
    failures: u64,
}

/// The page reads it, the worker writes it.
#[derive(Clone, Debug, Default)]
struct Board(Arc<Mutex<Health>>);

impl Board {
    fn read(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, health: Health) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

/// Runs until SIGTERM or SIGINT; then closes the session and removes its two files. Needs a process of its own:
/// it takes over these signals and SIGHUP.
pub async fn run(options: SandboxConsumer) -> Result<(), ConnectError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| failed("listening for signals", &error))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| failed("listening for signals", &error))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| failed("listening for signals", &error))?;
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| failed("opening the health page", &error))?;
    let port = listener.local_addr().map_err(|error| failed("opening the health page", &error))?.port();

    let board = Board::default();
    let mut worker = Worker::start(options.source, options.http, board.clone()).await;
    let (asking, mut reloads) = mpsc::channel(16);
    let page = health::page(board, asking, options.reload_token_file);
    let mut serving = tokio::spawn(async move { axum::serve(listener, page).await });

    // The pid first: whoever waits for the port finds both.
    publish(&options.pid_file, &format!("{}\n", std::process::id()))?;
    publish(&options.port_file, &format!("{port}\n"))?;
    let mut beat = tokio::time::interval(session::BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ended = loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => worker.reload().await,
            Some(done) = reloads.recv() => {
                worker.reload().await;
                // The caller may have hung up.
                let _told: Result<(), ()> = done.send(());
            }
            _ = beat.tick() => worker.beat().await,
            _ = &mut serving => {
                let words = "the health page ended";
                break Err(ConnectError::new(SYSTEM, "serving", ConnectErrorKind::Unexpected, words));
            }
        }
    };
    worker.stop().await;
    serving.abort();
    for file in [&options.port_file, &options.pid_file] {
        fs::remove_file(file).ok();
    }
    ended
}

const SYSTEM: &str = "sandbox consumer";

fn failed(what: &'static str, error: &io::Error) -> ConnectError {
    ConnectError::new(SYSTEM, what, ConnectErrorKind::Unexpected, error.to_string())
}

/// Whoever reads the file sees all of it or nothing.
fn publish(path: &Path, text: &str) -> Result<(), ConnectError> {
    const WHAT: &str = "writing its port and pid";
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(WHAT, &error))?;
    fs::write(temporary.path(), text).map_err(|error| failed(WHAT, &error))?;
    temporary.persist(path).map_err(|error| failed(WHAT, &error.error))?;
    Ok(())
}
