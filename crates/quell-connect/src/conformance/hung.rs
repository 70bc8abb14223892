//! A system that accepts the connection and never answers.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use tokio::net::TcpListener;

use super::{Canaries, Violation, require};
use crate::connector::{Issuer, IssuerOp, Notice, Notify, Observe, Reload, Repeat, Store};
use crate::error::{ConnectError, ConnectErrorKind};

/// What to point at the hung system, with a value to use on it.
pub enum Subject {
    /// Disables, severs, probes, counts.
    Issuer(Box<dyn Issuer>, Credential),
    /// Writes, reads, purges.
    Store(Box<dyn Store>, SecretValue),
    /// Reloads.
    Reload(Box<dyn Reload>),
    /// Asks.
    Observe(Box<dyn Observe>),
    /// Sends.
    Notify(Box<dyn Notify>),
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer(..) => "Issuer",
            Self::Store(..) => "Store",
            Self::Reload(..) => "Reload",
            Self::Observe(..) => "Observe",
            Self::Notify(..) => "Notify",
        })
    }
}

/// Builds a connector that speaks to an address where connections are accepted and nothing is ever said. Every
/// call must end within `bound` as `Unknown`, `Inconclusive` or an error of kind `Lost`.
pub async fn hung(bound: Duration, build: impl FnOnce(SocketAddr) -> Subject) -> Result<(), Violation> {
    let setup = |error: std::io::Error| Violation::new("a listener on loopback", error.to_string());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(setup)?;
    let address = listener.local_addr().map_err(setup)?;
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let result = ask(bound, build(address)).await;
    holding.abort();
    result
}

async fn ask(bound: Duration, subject: Subject) -> Result<(), Violation> {
    match subject {
        Subject::Issuer(issuer, old) => {
            let limit = Limit { bound, canaries: Canaries::of(&[&old.value]) };
            let disable = IssuerOp::Disable { old: &old };
            let sever = IssuerOp::Sever { old: &old, cutoff: None };
            limit.unknown("perform(Disable)", async { issuer.perform(disable).await.outcome }).await?;
            limit.unknown("perform(Sever)", async { issuer.perform(sever).await.outcome }).await?;
            limit.unknown("observe(Disable)", async { issuer.observe(disable).await.outcome }).await?;
            limit.inconclusive("probe", issuer.probe(&old)).await?;
            limit.inconclusive("control", issuer.control()).await?;
            limit.lost("sessions", issuer.sessions(&old, None)).await
        }
        Subject::Store(store, value) => {
            let limit = Limit { bound, canaries: Canaries::of(&[&value]) };
            limit.unknown("write", store.write(&value)).await?;
            limit.unknown("observe_write", store.observe_write(&value)).await?;
            limit.unknown("purge", store.purge(&[&value])).await?;
            limit.unknown("observe_purge", store.observe_purge(&[&value])).await?;
            // What gives nothing back has nobody to ask.
            if !store.readable() {
                return Ok(());
            }
            limit.lost("read", store.read()).await
        }
        Subject::Reload(reload) => {
            Limit { bound, canaries: Canaries::default() }.unknown("reload", reload.reload()).await
        }
        Subject::Observe(observe) => {
            Limit { bound, canaries: Canaries::default() }.lost("see", observe.see()).await
        }
        Subject::Notify(notify) => {
            let notice = Notice::sample("hung-1");
            let limit = Limit { bound, canaries: Canaries::default() };
            limit.unknown("send", notify.send(&notice)).await?;
            match notify.repeat() {
                Repeat::Dropped => Ok(()),
                Repeat::Seen => limit.unknown("seen", notify.seen(&notice)).await,
            }
        }
    }
}

struct Limit {
    bound: Duration,
    canaries: Canaries,
}

impl Limit {
    async fn within<T: fmt::Debug>(
        &self,
        call: &'static str,
        future: impl Future<Output = T>,
    ) -> Result<T, Violation> {
        let Ok(answer) = tokio::time::timeout(self.bound, future).await else {
            return Err(Violation::new(
                "a hung system ends the call in time",
                format!("`{call}` still waits"),
            ));
        };
        self.canaries.absent_in(call, &answer)?;
        Ok(answer)
    }

    async fn unknown(
        &self,
        call: &'static str,
        future: impl Future<Output = Outcome>,
    ) -> Result<(), Violation> {
        match self.within(call, future).await? {
            Outcome::Unknown { .. } => Ok(()),
            Outcome::Applied { .. } => {
                Err(Violation::new("no answer is unknown", format!("`{call}` said applied")))
            }
            Outcome::NotApplied { reason, .. } => {
                Err(Violation::new("no answer is unknown", format!("`{call}` said not applied: {reason}")))
            }
        }
    }

    async fn inconclusive(
        &self,
        call: &'static str,
        future: impl Future<Output = Probe>,
    ) -> Result<(), Violation> {
        let probe = self.within(call, future).await?;
        let seen = || {
            format!(
                "`{call}` said {}",
                if matches!(probe, Probe::Refused { .. }) { "refused" } else { "accepted" }
            )
        };
        require("no answer proves nothing", matches!(probe, Probe::Inconclusive { .. }), seen)
    }

    async fn lost<T: fmt::Debug>(
        &self,
        call: &'static str,
        future: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<(), Violation> {
        match self.within(call, future).await? {
            Err(error) if error.kind == ConnectErrorKind::Lost => Ok(()),
            Err(error) => {
                Err(Violation::new("no answer is an error of kind `Lost`", format!("`{call}`: {error}")))
            }
            Ok(_) => {
                Err(Violation::new("no answer is an error of kind `Lost`", format!("`{call}` succeeded")))
            }
        }
    }
}
