//! One node: connecting, logging in, asking, and what a failure means.

use std::time::Duration;

use jiff::Timestamp;
use quell_core::outcome::{Facts, Probe};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates, Value, cmd,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::reply;
use crate::dsn::Place;
use crate::error::{ConnectError, ConnectErrorKind};

/// Whether what is said is encrypted, and whom we believe then.
#[derive(Clone, Debug)]
pub(super) enum Tls {
    No,
    /// The system's authorities.
    System,
    /// These, in PEM.
    Only(Vec<u8>),
}

/// How nodes are reached.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) tls: Tls,
    pub(super) limit: Duration,
}

/// An open connection to a node.
pub(super) struct Node {
    place: Place,
    connection: MultiplexedConnection,
}

/// Who logs in.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

/// What a password is to Redis: SHA-256 in hex.
pub(super) fn hash(password: &str) -> Zeroizing<String> {
    Zeroizing::new(hex::encode(Sha256::digest(password)))
}

impl Door {
    /// Connects. Nothing is said yet.
    async fn open(&self, place: &Place, what: &'static str) -> Result<Node, ConnectError> {
        let failed = |error: &RedisError| connect_failed(place, what, error);
        let (host, port) = (place.host.clone(), place.port);
        let address = match &self.tls {
            Tls::No => ConnectionAddr::Tcp(host, port),
            Tls::System | Tls::Only(_) => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
        };
        let quiet = RedisConnectionInfo::default().set_skip_set_lib_name();
        let info = address.into_connection_info().map_err(|error| failed(&error))?.set_redis_settings(quiet);
        let authority = match &self.tls {
            Tls::No | Tls::System => None,
            Tls::Only(pem) => Some(pem.clone()),
        };
        let client = match &self.tls {
            Tls::No => Client::open(info),
            Tls::System | Tls::Only(_) => {
                // Which of two libraries of cryptography is used is the process's choice, once; whoever was first has made it.
                drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: authority })
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit))
            .set_response_timeout(Some(self.limit));
        let client = client.map_err(|error| failed(&error))?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        Ok(Node { place: place.clone(), connection: connection.map_err(|error| failed(&error))? })
    }

    /// Connects and logs in.
    pub(super) async fn login(
        &self,
        place: &Place,
        login: &Login,
        what: &'static str,
    ) -> Result<Node, ConnectError> {
        let mut node = self.open(place, what).await?;
        match node.authenticate(login).await {
            Ok(()) => Ok(node),
            Err(error) => {
                let code = error.code().unwrap_or_default();
                let words = words(&error, &login.password);
                if !matches!(code, "WRONGPASS" | "NOAUTH" | "NOPERM") {
                    return Err(node.failed(what, &error));
                }
                let detail = format!(
                    "{code}: {words}; the administrator's login is refused: renew what `admin` refers to"
                );
                Err(ConnectError::new(node.system(), what, ConnectErrorKind::Denied, detail))
            }
        }
    }

    /// Tries a login as its bearer would.
    pub(super) async fn probe(&self, place: &Place, login: &Login) -> Probe {
        const WHAT: &str = "trying the credential";
        let mut node = match self.open(place, WHAT).await {
            Ok(node) => node,
            Err(error) => return Probe::Inconclusive { reason: error.to_string() },
        };
        match node.authenticate(login).await {
            Ok(()) => {
                // A user without rights is let in and may not even ask who it is.
                let user = node.ask(WHAT, cmd("ACL").arg("WHOAMI")).await.ok().as_ref().and_then(reply::text);
                let time = node.ask(WHAT, &cmd("TIME")).await.ok().as_ref().and_then(reply::time);
                let mut facts = Facts::new();
                facts.insert("user".to_owned(), user.unwrap_or_else(|| login.user.clone()).into());
                facts.insert("server".to_owned(), place.words().into());
                facts.insert("server_time".to_owned(), time.map(|time| time.to_string()).into());
                Probe::Accepted { facts }
            }
            Err(error) if error.code() == Some("WRONGPASS") => {
                Probe::Refused { code: "WRONGPASS".to_owned(), message: words(&error, &login.password) }
            }
            Err(error) => {
                let words = words(&error, &login.password);
                Probe::Inconclusive { reason: format!("{}: {words}", node.system()) }
            }
        }
    }
}

impl Node {
    /// The node in words.
    pub(super) fn system(&self) -> String {
        format!("redis {}", self.place.words())
    }

    async fn authenticate(&mut self, login: &Login) -> Result<(), RedisError> {
        let mut command = cmd("AUTH");
        command.arg(&login.user).arg(login.password.as_str());
        command.query_async(&mut self.connection).await
    }

    /// The node's own time.
    pub(super) async fn time(&mut self, what: &'static str) -> Result<Timestamp, ConnectError> {
        let now = self.ask(what, &cmd("TIME")).await?;
        reply::time(&now).ok_or_else(|| self.odd(what, "TIME answered with something else than a time"))
    }

    /// Its address, as people write it.
    pub(super) fn name(&self) -> String {
        self.place.words()
    }

    /// Sends a command of which no part is a password.
    pub(super) async fn ask(&mut self, what: &'static str, command: &Cmd) -> Result<Value, ConnectError> {
        command.query_async(&mut self.connection).await.map_err(|error| self.failed(what, &error))
    }

    /// The same for an answer that is text.
    pub(super) async fn ask_text(
        &mut self,
        what: &'static str,
        command: &Cmd,
    ) -> Result<String, ConnectError> {
        let answer = self.ask(what, command).await?;
        reply::text(&answer).ok_or_else(|| self.odd(what, "the answer is no text"))
    }

    /// An answer that cannot be understood.
    pub(super) fn odd(&self, what: &'static str, detail: &str) -> ConnectError {
        ConnectError::new(self.system(), what, ConnectErrorKind::Unexpected, detail)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "kinds of errors are many, and more come")]
    fn failed(&self, what: &'static str, error: &RedisError) -> ConnectError {
        let words = words(error, "");
        let failed = |kind, detail| ConnectError::new(self.system(), what, kind, detail);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) => failed(
                ConnectErrorKind::Denied,
                format!(
                    "{words}; grant it to the administrator with ACL SETUSER (the operator's page lists all)"
                ),
            ),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown,
            ) => failed(ConnectErrorKind::Transient { retry_after: None }, words),
            ErrorKind::Io => failed(ConnectErrorKind::Lost, words),
            _ if error.is_timeout() || error.is_connection_dropped() => failed(ConnectErrorKind::Lost, words),
            _ => failed(ConnectErrorKind::Unexpected, words),
        }
    }
}

/// A connection that did not come about: nothing was sent, unless somebody took it and then said nothing.
fn connect_failed(place: &Place, what: &'static str, error: &RedisError) -> ConnectError {
    let words = words(error, "");
    let kind = if error.is_connection_refusal() {
        ConnectErrorKind::Unreachable
    } else if error.is_timeout() || error.is_connection_dropped() {
        ConnectErrorKind::Lost
    } else if error.is_io_error() {
        ConnectErrorKind::Unreachable
    } else {
        ConnectErrorKind::Denied
    };
    ConnectError::new(format!("redis {}", place.words()), what, kind, words)
}

/// The failure in words: one line, bounded, without hashes of passwords, which Redis repeats, and without the password.
fn words(error: &RedisError, password: &str) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ if error.is_connection_refusal() => "connection refused".to_owned(),
        _ if error.is_timeout() => "no answer in time".to_owned(),
        _ => error.to_string(),
    };
    let text = crate::words::without(&text, password);
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = word.chars().filter(char::is_ascii_hexdigit).count();
        out.push_str(if digits >= 64 { "… " } else { word });
    }
    crate::words::one_line(&out)
}
