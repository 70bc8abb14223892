//! One host: connecting, knowing it again, logging in, and running a script as the administrator.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use quell_core::outcome::{Facts, Probe};
use russh::client::{self, AuthResult, Handle, Handler};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Preferred};

use super::key::Key;
use super::known::Known;
use crate::dsn;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::words;

/// What a script may print; more than the files and processes of any host.
const OUTPUT_MAX: usize = 4 << 20;

/// Where a host listens.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    /// As people write it.
    pub(super) fn words(&self) -> String {
        dsn::place(&self.host, self.port)
    }

    fn system(&self) -> String {
        format!("ssh {}", self.words())
    }
}

/// A connection on which somebody logged in.
pub(super) struct Host {
    place: Place,
    handle: Handle<Watch>,
    /// The shell that waits for the next script.
    shell: tokio::sync::Mutex<Option<Channel<client::Msg>>>,
}

/// What a script did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: u32,
    pub(super) stdout: String,
    /// One line.
    pub(super) stderr: String,
}

/// How a login ended.
enum Login {
    In(Box<Handle<Watch>>),
    /// The key was taken, and something more is asked for.
    Half(String),
    Refused(String),
}

/// Looks at the host's key.
struct Watch {
    known: Known,
    stranger: Arc<std::sync::atomic::AtomicBool>,
}

impl Handler for Watch {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let good = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.known.holds(key),
            // It was not offered: no authority is believed.
            PublicKeyOrCertificate::Certificate(_) => false,
        };
        self.stranger.store(!good, std::sync::atomic::Ordering::Relaxed);
        Ok(good)
    }
}

/// Logs in with a key; an error says that nobody knows whether it would have been taken.
async fn login(
    place: &Place,
    known: &Known,
    (user, key): (&str, &Key),
    what: &'static str,
) -> Result<Login, ConnectError> {
    let failed = |kind, detail: String| ConnectError::new(place.system(), what, kind, detail);
    if known.is_empty() {
        let why = format!(
            "its key is not in `known_hosts`, so it may be anybody: ssh-keyscan -p {} {}, and compare it with the host's own",
            place.port, place.host
        );
        return Err(failed(ConnectErrorKind::Denied, why));
    }
    let stranger = Arc::default();
    let watch = Watch { known: known.clone(), stranger: Arc::clone(&stranger) };
    let address = (place.host.as_str(), place.port);
    let mut handle = match client::connect(Arc::new(config(known)), address, watch).await {
        Ok(handle) => handle,
        Err(_) if stranger.load(std::sync::atomic::Ordering::Relaxed) => {
            let why = "it shows another key than `known_hosts` has: somebody may stand in between, or it was set up anew";
            return Err(failed(ConnectErrorKind::Denied, why.to_owned()));
        }
        Err(error) => return Err(failed(connect_kind(&error), told(&error))),
    };
    // Nothing but a login is sent, so a connection that ends here changed nothing.
    let lost = |error: &russh::Error| failed(ConnectErrorKind::Lost, told(error));
    // A host that says nothing of it in time takes SHA-2 since 2016, and SHA-1 not since 2021: a refusal of SHA-1 says nothing of the key.
    let hash = handle.best_supported_rsa_hash().await.map_err(|error| lost(&error))?;
    let hash = hash.unwrap_or(Some(HashAlg::Sha512));
    let key = PrivateKeyWithHashAlg::new(key.private(), hash);
    match handle.authenticate_publickey(user, key).await.map_err(|error| lost(&error))? {
        AuthResult::Success => Ok(Login::In(Box::new(handle))),
        AuthResult::Failure { remaining_methods, partial_success } => {
            let methods: Vec<&str> = remaining_methods.iter().map(Into::into).collect();
            let methods = words::one_line(&methods.join(","));
            drop(handle.disconnect(Disconnect::ByApplication, "", "").await);
            Ok(if partial_success { Login::Half(methods) } else { Login::Refused(methods) })
        }
    }
}

/// Only kinds of keys by which the host is known are asked for: it has several, and `known_hosts` often one.
fn config(known: &Known) -> client::Config {
    let mut preferred = Preferred::default();
    let kinds = preferred.key.iter().filter(|kind| {
        let name = kind.as_str();
        known.has_kind(name) || name.starts_with("rsa-sha2-") && known.has_kind("ssh-rsa")
    });
    let kinds: Vec<_> = kinds.cloned().collect();
    if !kinds.is_empty() {
        preferred.key = Cow::Owned(kinds);
    }
    client::Config {
        preferred,
        nodelay: true,
        inactivity_timeout: Some(Duration::from_mins(2)),
        ..client::Config::default()
    }
}

/// Tries a key as its bearer would.
pub(super) async fn probe(place: &Place, known: &Known, user: &str, key: &Key) -> Probe {
    let mut facts = Facts::new();
    facts.insert("user".to_owned(), user.into());
    facts.insert("host".to_owned(), place.words().into());
    facts.insert("key".to_owned(), key.fingerprint().into());
    match login(place, known, (user, key), "trying the key").await {
        Ok(Login::In(handle)) => {
            drop(handle.disconnect(Disconnect::ByApplication, "", "").await);
            Probe::Accepted { facts }
        }
        // RFC 4252, 5.1: this key was right.
        Ok(Login::Half(methods)) => {
            facts.insert("then_asked_for".to_owned(), methods.into());
            Probe::Accepted { facts }
        }
        Ok(Login::Refused(methods)) => Probe::Refused {
            code: REFUSED.to_owned(),
            message: format!("permission denied ({methods}) for {user} with {}", key.fingerprint()),
        },
        Err(error) => Probe::Inconclusive { reason: error.to_string() },
    }
}

/// `SSH_MSG_USERAUTH_FAILURE` to the method `publickey` (RFC 4252, 5.1).
pub(super) const REFUSED: &str = "publickey denied";

impl Host {
    /// Logs in as the administrator.
    pub(super) async fn open(
        place: &Place,
        known: &Known,
        (user, key): (&str, &Key),
        what: &'static str,
    ) -> Result<Self, ConnectError> {
        let why = match login(place, known, (user, key), what).await? {
            Login::In(handle) => {
                return Ok(Self {
                    place: place.clone(),
                    handle: *handle,
                    shell: tokio::sync::Mutex::default(),
                });
            }
            Login::Half(methods) => {
                format!("after the key, `{user}` is asked for more ({methods}), which Quell cannot give")
            }
            Login::Refused(methods) => format!(
                "the administrator's key is refused for `{user}` ({methods}): renew what `admin` refers to, or put {} into its authorized_keys",
                key.fingerprint()
            ),
        };
        Err(ConnectError::new(place.system(), what, ConnectErrorKind::Denied, why))
    }

    /// Where it is, as people write it.
    pub(super) fn name(&self) -> String {
        self.place.words()
    }

    pub(super) fn port(&self) -> u16 {
        self.place.port
    }

    /// A failure of this host.
    pub(super) fn failed(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.place.system(), what, kind, detail)
    }

    /// Runs a script of `sh`. No value is ever in one.
    ///
    /// One shell runs all scripts of a connection: starting one costs what the account's start-up files cost. A script is a subshell, which
    /// begins when all of it has arrived, so one that is cut off does nothing, and none finds what an earlier one has set.
    pub(super) async fn run(
        &self,
        what: &'static str,
        shell: &str,
        script: &str,
    ) -> Result<Ran, ConnectError> {
        let lost = |error: &russh::Error| self.failed(what, ConnectErrorKind::Lost, told(error));
        let mut slot = self.shell.lock().await;
        // Whatever ends this early leaves no shell behind that is in the middle of something.
        let mut channel = if let Some(channel) = slot.take() {
            channel
        } else {
            let channel = self.handle.channel_open_session().await.map_err(|error| lost(&error))?;
            channel.exec(true, shell).await.map_err(|error| lost(&error))?;
            channel
        };
        let mark = self.mark(what)?;
        let script = format!(
            "(\n{script}\n) </dev/null\nprintf '\\n%s %s\\n' {mark} \"$?\"\nprintf '\\n%s\\n' {mark} >&2\n"
        );
        channel.data_bytes(script.into_bytes()).await.map_err(|error| lost(&error))?;
        let (mut stdout, mut stderr, mut ended) = (Heard::of_stdout(&mark), Heard::of_stderr(&mark), None);
        let done = loop {
            if let Some(done) = Ran::of(&stdout, &stderr) {
                break Some(done);
            }
            let Some(message) = channel.wait().await else { break None };
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "what else a channel says is not about a command"
            )]
            match message {
                ChannelMsg::Data { data } => stdout.take(&data),
                ChannelMsg::ExtendedData { data, .. } => stderr.take(&data),
                ChannelMsg::ExitStatus { exit_status } => ended = Some(exit_status),
                ChannelMsg::Failure => {
                    let why = "it runs no commands for the administrator: a forced command, or no shell";
                    return Err(self.failed(what, ConnectErrorKind::Denied, why));
                }
                _ => {}
            }
            if stdout.bytes.len() + stderr.bytes.len() > OUTPUT_MAX {
                let why = "it prints more than 4 MiB where a few lines are expected";
                return Err(self.failed(what, ConnectErrorKind::Unexpected, why));
            }
        };
        // A shell that ended by itself says why, but did not do the script.
        let ran = match (done, ended) {
            (Some(done), _) => {
                *slot = Some(channel);
                done
            }
            (None, Some(status)) => RawRan { status, stdout: stdout.bytes, stderr: stderr.bytes },
            (None, None) => {
                let why = "the connection ended before the command did";
                return Err(self.failed(what, ConnectErrorKind::Lost, why));
            }
        };
        let stdout = String::from_utf8(ran.stdout).map_err(|_e| {
            self.failed(what, ConnectErrorKind::Unexpected, "it prints something else than UTF-8")
        })?;
        let stderr = words::one_line(String::from_utf8_lossy(&ran.stderr).trim());
        Ok(Ran { status: ran.status, stdout, stderr })
    }

    /// What nothing prints by chance.
    pub(super) fn mark(&self, what: &'static str) -> Result<String, ConnectError> {
        let mut bytes = [0_u8; 12];
        getrandom::fill(&mut bytes).map_err(|_e| {
            let kind = ConnectErrorKind::Transient { retry_after: None };
            self.failed(what, kind, "the system gave no randomness")
        })?;
        Ok(format!("quell-{}", hex::encode(bytes)))
    }
}

/// The same as bytes.
struct RawRan {
    status: u32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    /// What was printed until the mark, when it has arrived on both channels.
    fn of(stdout: &Heard, stderr: &Heard) -> Option<RawRan> {
        let (stdout, status) = stdout.around_mark()?;
        let (stderr, _) = stderr.around_mark()?;
        let status = std::str::from_utf8(status).ok()?.strip_suffix('\n')?.parse().ok()?;
        Some(RawRan { status, stdout: stdout.to_vec(), stderr: stderr.to_vec() })
    }
}

/// What one side of a channel said, in which a mark is looked for as it arrives: each byte once.
struct Heard {
    bytes: Vec<u8>,
    mark: Vec<u8>,
    /// No mark begins before this.
    searched: usize,
    /// Where the mark begins.
    at: Option<usize>,
}

impl Heard {
    fn of_stdout(mark: &str) -> Self {
        Self::until(format!("\n{mark} "))
    }

    fn of_stderr(mark: &str) -> Self {
        Self::until(format!("\n{mark}\n"))
    }

    fn until(mark: String) -> Self {
        Self { bytes: Vec::new(), mark: mark.into_bytes(), searched: 0, at: None }
    }

    fn take(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        if self.at.is_none() {
            let fresh = self.bytes.get(self.searched..).unwrap_or_default();
            let found = fresh.windows(self.mark.len()).position(|window| window == self.mark);
            self.at = found.map(|at| self.searched + at);
            // A part of the mark may be here, and the rest on its way.
            self.searched = self.searched.max((self.bytes.len() + 1).saturating_sub(self.mark.len()));
        }
    }

    /// What is before the mark, and what is behind it.
    fn around_mark(&self) -> Option<(&[u8], &[u8])> {
        let at = self.at?;
        Some((self.bytes.get(..at)?, self.bytes.get(at + self.mark.len()..)?))
    }
}

/// A connection that did not come about.
#[expect(clippy::wildcard_enum_match_arm, reason = "kinds of errors are many, and more come")]
fn connect_kind(error: &russh::Error) -> ConnectErrorKind {
    match error {
        russh::Error::IO(io) => match io.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut => ConnectErrorKind::Lost,
            _ => ConnectErrorKind::Unreachable,
        },
        russh::Error::NoCommonAlgo { .. } | russh::Error::Version => ConnectErrorKind::Denied,
        _ => ConnectErrorKind::Lost,
    }
}

/// The failure in words.
#[expect(clippy::wildcard_enum_match_arm, reason = "kinds of errors are many, and more come")]
fn told(error: &russh::Error) -> String {
    match error {
        russh::Error::IO(io) if io.kind() == ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        russh::Error::HUP | russh::Error::Disconnect => {
            "it closed the connection; a host that counts refused logins may have shut us out for a while (PerSourcePenalties, fail2ban)"
                .to_owned()
        }
        other => words::one_line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_ended_when_both_channels_say_so() {
        let ended = |out: &str, err: &str| {
            let (mut stdout, mut stderr) = (Heard::of_stdout("quell-m"), Heard::of_stderr("quell-m"));
            // As if each byte came by itself.
            out.as_bytes().chunks(1).for_each(|byte| stdout.take(byte));
            stderr.take(err.as_bytes());
            Ran::of(&stdout, &stderr).map(|ran| (ran.status, ran.stdout, ran.stderr))
        };
        assert_eq!(ended("some\n\nquell-m 0\n", ""), None, "what it complained of may be on its way");
        assert_eq!(ended("some\n\nquell-m 1", "\nquell-m\n"), None, "the status may have more digits");
        let (out, err) = (b"some\n".to_vec(), b"no such file\n".to_vec());
        assert_eq!(ended("some\n\nquell-m 12\n", "no such file\n\nquell-m\n"), Some((12, out, err)));
        assert_eq!(ended("\nquell-m 0\n", "\nquell-m\n"), Some((0, Vec::new(), Vec::new())));
        assert_eq!(ended("\nquell-x 0\n", "\nquell-m\n"), None);
    }

    #[test]
    fn what_a_host_prints_is_looked_at_once() {
        let mut heard = Heard::of_stdout("quell-m");
        for _ in 0..40_000 {
            heard.take(b"a line of what a host prints, and so on\n");
            assert!(heard.bytes.len() - heard.searched < heard.mark.len());
        }
        heard.take(b"\nquel");
        assert_eq!(heard.around_mark(), None);
        heard.take(b"l-m 0\n");
        let (before, behind) = heard.around_mark().unwrap();
        assert_eq!((before.len(), behind), (1_600_000, &b"0\n"[..]));
    }
}
