//! One conversation with a mail server, command by command, so that it is known how far it came.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use quell_core::secret::SecretValue;

use super::Tls;
use crate::context::Context;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::source::SecretSource;
use crate::words::{one_line, without};

/// What a server that is busy, or makes strangers wait, is given.
const BUSY: Duration = Duration::from_secs(30);
const CONNECTING: &str = "connecting";
const TLS: &str = "setting up TLS";
const LOGIN: &str = "logging in";
const SENDER: &str = "naming the sender";
const RECIPIENT: &str = "naming who gets it";
const CONTENT: &str = "sending the message";

#[derive(Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) login: Option<(String, SecretSource)>,
    pub(super) ca: Option<PathBuf>,
    pub(super) context: Context,
}

/// Somebody whom the server does not take mail for.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) words: String,
    /// Or only now.
    pub(super) for_good: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Server {
    /// Connects, logs in and hangs up.
    pub(super) async fn try_login(&self) -> Result<(), ConnectError> {
        let mut connection = self.open().await?;
        // It was shown; how the server says good-bye is nobody's business.
        drop(tokio::time::timeout(self.context.call_limit, connection.quit()).await);
        Ok(())
    }

    /// Gives those whom the server refused; everybody else has got it.
    pub(super) async fn deliver(
        &self,
        from: &Address,
        to: &[Mailbox],
        message: &[u8],
    ) -> Result<Vec<Refused>, ConnectError> {
        let mut connection = self.open().await?;
        let sender = Mail::new(Some(from.clone()), Vec::new());
        self.within(SENDER, connection.command(sender)).await?;
        let mut refused = Vec::new();
        for to in to {
            let recipient = Rcpt::new(to.email.clone(), Vec::new());
            match self.within(RECIPIENT, connection.command(recipient)).await {
                Ok(_) => {}
                Err(error) if error.kind == ConnectErrorKind::Denied => {
                    refused
                        .push(Refused { words: format!("{}: {}", to.email, error.detail), for_good: true });
                }
                Err(error) if matches!(error.kind, ConnectErrorKind::Transient { .. }) => {
                    refused
                        .push(Refused { words: format!("{}: {}", to.email, error.detail), for_good: false });
                }
                Err(error) => return Err(error),
            }
        }
        if refused.len() < to.len() {
            self.within(CONTENT, connection.command(Data)).await?;
            // From here on the server may have it.
            self.within(CONTENT, connection.message(message)).await.map_err(lost)?;
        }
        drop(tokio::time::timeout(Duration::from_millis(500), connection.quit()).await);
        Ok(refused)
    }

    pub(super) fn refusal(&self, what: &'static str, for_good: bool, words: String) -> ConnectError {
        let kind = if for_good {
            ConnectErrorKind::Denied
        } else {
            ConnectErrorKind::Transient { retry_after: Some(BUSY) }
        };
        self.error(what, kind, words)
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, ConnectError> {
        // Before anything is sent: without these there is nothing to say.
        let password = match &self.login {
            Some((_, password)) => Some(password.resolve(&self.context).await?),
            None => None,
        };
        let parameters = self.parameters()?;
        let hello = ClientId::Domain("quell.invalid".to_owned());
        let at_once = match self.tls {
            Tls::Implicit => Some(parameters.clone()),
            Tls::Starttls => None,
        };
        let address = (self.host.as_str(), self.port);
        let limit = Some(self.context.call_limit);
        let connect = AsyncSmtpConnection::connect_tokio1(address, limit, &hello, at_once, None);
        let mut connection = self.within(CONNECTING, connect).await?;
        if self.tls == Tls::Starttls {
            if !connection.can_starttls() {
                let words = "the server offers no STARTTLS, and mail does not travel in clear: name a port that speaks TLS";
                return Err(self.error(TLS, ConnectErrorKind::Denied, words));
            }
            self.within(TLS, connection.starttls(parameters, &hello)).await?;
        }
        if !connection.is_encrypted() {
            return Err(self.error(TLS, ConnectErrorKind::Denied, "the connection is not encrypted"));
        }
        if let (Some((user, _)), Some(password)) = (&self.login, &password) {
            self.log_in(&mut connection, user, password).await?;
        }
        Ok(connection)
    }

    async fn log_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        user: &str,
        password: &SecretValue,
    ) -> Result<(), ConnectError> {
        let Some(text) = password.expose_text() else {
            return Err(self.error(LOGIN, ConnectErrorKind::Denied, "the password is not text"));
        };
        let credentials = Credentials::new(user.to_owned(), text.to_owned());
        let login = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials);
        match self.within(LOGIN, login).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let mut detail = without(&error.detail, text);
                if error.kind == ConnectErrorKind::Denied {
                    detail = format!("{detail}; correct `user`, or the password where `password` points");
                }
                Err(ConnectError { detail, ..error })
            }
        }
    }

    fn parameters(&self) -> Result<TlsParameters, ConnectError> {
        let failed = |words: String| self.error(TLS, ConnectErrorKind::Denied, words);
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(path) = &self.ca {
            let bad = |why: String| failed(format!("{}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| bad(error.to_string()))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|error| failed(one_line(&error.to_string())))
    }

    /// One command. What was not answered in time is lost.
    async fn within<T>(
        &self,
        what: &'static str,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.context.call_limit, command).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.classified(what, &error)),
            Err(_elapsed) => Err(self.error(what, ConnectErrorKind::Lost, "no answer in time")),
        }
    }

    fn classified(&self, what: &'static str, error: &Error) -> ConnectError {
        let kind = if error.is_permanent() || error.is_client() {
            ConnectErrorKind::Denied
        } else if error.is_transient() {
            ConnectErrorKind::Transient { retry_after: Some(BUSY) }
        } else if error.is_timeout() {
            ConnectErrorKind::Lost
        } else {
            // Without the message nothing was sent.
            ConnectErrorKind::Unreachable
        };
        self.error(what, kind, one_line(&error.to_string()))
    }

    fn error(&self, what: &'static str, kind: ConnectErrorKind, words: impl Into<String>) -> ConnectError {
        ConnectError::new(format!("mail server {self}"), what, kind, words)
    }
}

/// A refusal is one; everything else leaves open whether the message was taken.
fn lost(error: ConnectError) -> ConnectError {
    match error.kind {
        ConnectErrorKind::Denied | ConnectErrorKind::Transient { .. } => error,
        ConnectErrorKind::Unreachable
        | ConnectErrorKind::Missing
        | ConnectErrorKind::Conflict
        | ConnectErrorKind::Lost
        | ConnectErrorKind::Unexpected => ConnectError {
            kind: ConnectErrorKind::Lost,
            detail: format!("{}; the server may have it", error.detail),
            ..error
        },
    }
}
