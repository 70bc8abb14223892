//! The database session: opened with the loaded value, used at every beat, replaced at a reload.

use std::str::FromStr as _;
use std::time::Duration;

use quell_core::secret::SecretValue;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::source::SandboxSource;
use super::{Board, Health};
use crate::http::Client;

/// How often the session is used.
pub(super) const BEAT: Duration = Duration::from_millis(200);
/// Longest wait for the database.
const LIMIT: Duration = Duration::from_secs(3);

/// Whose session it is (`current_user` would be the group when a role has `SET role`). Word for word the statement
/// of the postgres connector, so that its sandbox server understands it.
const WHOSE: &str = "SELECT session_user, current_database(), \
                     to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

/// Owns the session.
pub(super) struct Worker {
    source: SandboxSource,
    http: Client,
    board: Board,
    value: Option<SecretValue>,
    session: Option<PgConnection>,
    generation: u64,
    principal: Option<String>,
    reconnects: u64,
    failures: u64,
    /// The last reload did not work, so what is asked for is not what is used.
    stale: bool,
}

impl Worker {
    /// Loads the value and connects. A service whose database is down starts all the same.
    pub(super) async fn start(source: SandboxSource, http: Client, board: Board) -> Self {
        let mut worker = Self {
            source,
            http,
            board,
            value: None,
            session: None,
            generation: 0,
            principal: None,
            reconnects: 0,
            failures: 0,
            stale: false,
        };
        worker.reload().await;
        worker
    }

    /// Reads the value again; a new session first, then the old one is closed.
    pub(super) async fn reload(&mut self) {
        let opened = match self.source.read(&self.http).await {
            Ok(value) => open(&value).await.map(|session| (value, session)),
            Err(_) => None,
        };
        self.stale = opened.is_none();
        match opened {
            None => self.failures += 1,
            Some((value, session)) => {
                if !self.value.as_ref().is_some_and(|old| old.same_as(&value)) {
                    self.generation += 1;
                }
                self.value = Some(value);
                self.adopt(session).await;
            }
        }
        self.tell();
    }

    /// Uses the session; without one, connects again with the loaded value.
    pub(super) async fn beat(&mut self) {
        if let Some(session) = &mut self.session {
            if let Some(principal) = ask(session).await {
                self.principal = Some(principal);
            } else {
                self.failures += 1;
                self.session = None;
            }
        }
        if self.session.is_none() {
            match &self.value {
                // Nothing was ever loaded: a service would try its start again.
                None => return self.reload().await,
                Some(value) => match open(value).await {
                    Some(session) => {
                        self.reconnects += 1;
                        self.adopt(session).await;
                    }
                    None => self.failures += 1,
                },
            }
        }
        self.tell();
    }

    /// Says goodbye to the database.
    pub(super) async fn stop(mut self) {
        self.close().await;
    }

    async fn adopt(&mut self, (session, principal): (PgConnection, String)) {
        self.close().await;
        self.session = Some(session);
        self.principal = Some(principal);
    }

    async fn close(&mut self) {
        if let Some(old) = self.session.take() {
            // A server that does not listen any more need not hear it.
            tokio::time::timeout(LIMIT, old.close()).await.ok();
        }
    }

    fn tell(&self) {
        let well = self.session.is_some() && !self.stale;
        self.board.write(Health {
            status: if well { "ok" } else { "failing" },
            generation: self.generation,
            principal: self.principal.clone(),
            reconnects: self.reconnects,
            failures: self.failures,
        });
    }
}

/// A session that works, and whose it is. Why it does not is nobody's business here: the text of an error may
/// quote the URL.
async fn open(url: &SecretValue) -> Option<(PgConnection, String)> {
    let options = PgConnectOptions::from_str(url.expose_text()?).ok()?;
    let options = options.application_name("quell-sandbox-consumer").disable_statement_logging();
    let mut session = tokio::time::timeout(LIMIT, options.connect()).await.ok()?.ok()?;
    let principal = ask(&mut session).await?;
    Some((session, principal))
}

async fn ask(session: &mut PgConnection) -> Option<String> {
    let asking = session.fetch_one(sqlx::raw_sql(WHOSE));
    tokio::time::timeout(LIMIT, asking).await.ok()?.ok()?.try_get(0).ok()
}
