//! Refresh and access tokens as issuer: revoked by RFC 7009, and believed dead only where a bearer is turned away.
//!
//! A revocation is answered with 200 whether or not anybody ever had the token (RFC 7009, section 2.2), and introspection says
//! `active: false` of a token that the one who asks may not see (RFC 7662, section 2.2). So neither is a proof. An access token is tried at a
//! resource, a refresh token at the token endpoint, in a way that does not use it up (`door.rs`).

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use quell_core::issuer::{Capabilities, Chooser, Task, TaskTime, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use super::config::{Client, Config, Control, Kind, MintConfig, TokenConfig};
use super::door::{Door, INVALID_GRANT, INVALID_TOKEN, Offered};
use super::jwt;
use super::look::words_until;
use super::server::{Login, Seen, Server, Standing};
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConnectError, ConnectErrorKind};

/// The issuer.
pub(super) struct Tokens {
    pub(super) server: Server,
    pub(super) client: Client,
    pub(super) control: Option<Control>,
    pub(super) config: TokenConfig,
    pub(super) settle_ms: u64,
    /// Tokens whose revocation was sent in this run: a try of them uses up nothing that is good.
    sent: Mutex<Vec<SecretValue>>,
}

const LOOKING: &str = "looking at the token";

impl Tokens {
    pub(super) fn new(ctx: &Context, config: &Config, token: TokenConfig, settle_ms: u64) -> Self {
        Self {
            server: Server::new(ctx, config),
            client: config.client.clone(),
            control: config.control.clone(),
            config: token,
            settle_ms,
            sent: Mutex::default(),
        }
    }

    pub(super) async fn login(&self) -> Result<Login, ConnectError> {
        Login::of(&self.client, self.server.ctx()).await
    }

    /// Who introspects: the control's client, if there is one.
    pub(super) async fn inspector(&self) -> Result<Login, ConnectError> {
        let client = self.control.as_ref().map_or(&self.client, |control| &control.client);
        Login::of(client, self.server.ctx()).await
    }

    /// A token as it travels (RFC 6750, section 2.1: visible ASCII).
    pub(super) fn text<'a>(&self, value: &'a SecretValue) -> Result<&'a str, ConnectError> {
        let bad = |why: &str| self.server.error(LOOKING, ConnectErrorKind::Denied, why);
        let text = value.expose_text().ok_or_else(|| bad("the value is not text"))?;
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '{' | '\\')) {
            return Err(bad(
                "the value is more or less than a token: name the part of the store that is one",
            ));
        }
        Ok(text)
    }

    pub(super) async fn standing(
        &self,
        token: &str,
        hint: &str,
    ) -> Result<(Standing, Option<Timestamp>), ConnectError> {
        let inspector = self.inspector().await?;
        self.server.introspect(&inspector, token, hint).await
    }

    pub(super) fn was_sent(&self, token: &str) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().any(|value| value.expose_text() == Some(token))
    }

    pub(super) async fn enter(&self, token: Option<&str>) -> Result<Door, ConnectError> {
        match &self.config.resource {
            Some(resource) => self.server.enter(resource, token).await,
            None => Ok(Door::Unclear("no `resource` is configured".to_owned())),
        }
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let token = self.text(&old.value)?;
        let kind = self.config.kind;
        let login = self.login().await?;
        let before = self.standing(token, kind.hint()).await?.0;
        if let Standing::Active(Seen { client: Some(client), shown, .. }) = &before
            && *client != self.client.id
        {
            let words = format!(
                "the token was issued to the client `{}`, which alone may revoke it: name that one in `client`",
                shown.as_deref().unwrap_or_default()
            );
            return Ok(Outcome::refused(words));
        }
        let already = self.already(&login, token, &before).await;
        let reply = self.server.revoke(&login, token, kind.hint()).await?;
        if reply.is("unsupported_token_type") {
            return Ok(self.unsupported(&before, token));
        }
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(old.value.duplicate());
        let was_active = matches!(before, Standing::Active(_));
        let ended = if was_active { self.end_undated(&login, reply.date).await } else { 0 };
        // It was sent: what cannot be seen now is unknown, whatever the reason.
        let mut outcome = self.settled(token).await.map_err(effect::after_effect)?;
        if let Outcome::Applied { facts } = &mut outcome {
            facts.insert("client".to_owned(), json!(self.client.id));
            facts.insert("already".to_owned(), json!(already));
            if !self.config.family.is_empty() {
                facts.insert("undated_ended".to_owned(), json!(ended));
            }
            match (&before, reply.date) {
                // Whenever it died: what was issued since may be of a new grant.
                (Standing::Inactive, _) => drop(facts.remove("cutoff")),
                (Standing::Active(_) | Standing::Blind, Some(date)) => {
                    facts.insert("cutoff".to_owned(), json!(date.to_string()));
                }
                (Standing::Active(_) | Standing::Blind, None) => {}
            }
        }
        Ok(outcome)
    }

    /// Whether it was dead, as a bearer would have seen a moment before it is revoked. That it cannot be seen stops nothing.
    async fn already(&self, login: &Login, token: &str, before: &Standing) -> Option<bool> {
        match (self.config.kind, before) {
            (Kind::AccessToken, _) => {
                match (self.enter(Some(token)).await.ok()?.lets_in().ok()?, before) {
                    (true, _) => Some(false),
                    (false, Standing::Inactive) => Some(true),
                    // It may be good for another resource.
                    (false, Standing::Active(_) | Standing::Blind) => None,
                }
            }
            (Kind::RefreshToken, Standing::Active(_)) => Some(false),
            // It is ended now: that a try may use it up does no harm any more.
            (Kind::RefreshToken, _) => match (self.server.offer(login, token).await.ok()?, before) {
                (Offered::Refused, _) => Some(true),
                (Offered::Known | Offered::Taken, Standing::Blind) => Some(false),
                // Somebody used it up.
                (Offered::Known | Offered::Taken | Offered::Unclear(_), _) => None,
            },
        }
    }

    fn unsupported(&self, before: &Standing, token: &str) -> Outcome {
        let seen = match before {
            Standing::Active(seen) => seen.expires,
            Standing::Blind | Standing::Inactive => None,
        };
        let until = words_until(seen.or_else(|| jwt::claims(token)?.expires));
        let instead = match self.config.kind {
            Kind::AccessToken => "end the grant: revoke its refresh token, or the consent of whoever gave it",
            Kind::RefreshToken => "end the grant in the server's administration",
        };
        Outcome::refused(format!(
            "the server does not revoke a {} (unsupported_token_type), which is good{until}: {instead}",
            self.config.kind.words()
        ))
    }

    async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        let Some(mint) = &self.config.mint else {
            return Ok(Outcome::refused(self.by_people()).into());
        };
        if !new.value.is_empty() {
            return self.observe_install(new).await.map(Performed::from);
        }
        let (value, seconds) = self.server.mint(&self.login().await?, &pairs(mint)).await?;
        let outcome =
            Outcome::applied([("client", json!(self.client.id)), ("expires_in_seconds", json!(seconds))]);
        Ok(Performed { outcome, minted: Some(Credential { principal: self.client.id.clone(), value }) })
    }

    async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        if new.value.is_empty() {
            let words = "nothing tells whether one was made: a token whose answer was lost is held by nobody, and ends by itself";
            return Ok(Outcome::retry(words));
        }
        let token = self.text(&new.value)?;
        Ok(match self.standing(token, self.config.kind.hint()).await?.0 {
            Standing::Active(seen) => {
                Outcome::applied([("expires", json!(seen.expires.map(|at| at.to_string())))])
            }
            Standing::Inactive | Standing::Blind => match self.enter(Some(token)).await?.lets_in() {
                Ok(true) => Outcome::applied([("client", json!(self.client.id))]),
                Ok(false) => Outcome::refused("the token was revoked or has ended; choose again"),
                Err(why) => Outcome::unknown(why),
            },
        })
    }

    fn by_people(&self) -> String {
        format!(
            "no successor can be asked for: people who gave `{}` access must consent again, after which its new token goes into the stores",
            self.client.id
        )
    }
}

pub(super) fn pairs(mint: &MintConfig) -> Vec<(&str, &str)> {
    given([("scope", &mint.scope), ("resource", &mint.resource), ("audience", &mint.audience)])
}

pub(super) fn given<'a, const N: usize>(
    all: [(&'static str, &'a Option<String>); N],
) -> Vec<(&'static str, &'a str)> {
    all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
}

#[async_trait]
impl Issuer for Tokens {
    fn capabilities(&self) -> Capabilities {
        let refusal = match self.config.kind {
            Kind::AccessToken => INVALID_TOKEN,
            Kind::RefreshToken => INVALID_GRANT,
        };
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: !self.config.family.is_empty(),
            can_disable: true,
            self_revocable: false,
            can_mint: self.config.mint.is_some(),
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![refusal.to_owned()],
        }
    }

    fn tasks(&self) -> Vec<Task> {
        if self.config.mint.is_some() || self.config.kind == Kind::AccessToken {
            return Vec::new();
        }
        let what = format!(
            "ask whoever gave `{}` access to consent again, and see that its new token is in the stores",
            self.client.id
        );
        let why = "nobody but they can give it; keep the time of each new consent as the server's log shows it, never the token";
        vec![Task { name: "re-consent".to_owned(), when: TaskTime::Renew, what, why: why.to_owned() }]
    }

    fn target(&self) -> String {
        format!("{} ({} of {})", self.server.name(), self.config.kind.words(), self.client.id)
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.server.name(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        self.check_doors(&mut checks).await;
        self.check_login(&mut checks).await;
        self.check_family(&mut checks).await;
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.config.mint.is_none() {
            warnings.push(self.by_people());
            warnings.push(format!(
                "whoever uses the {} is cut off from the moment it is disabled until then",
                self.config.kind.words()
            ));
        }
        if !self.has_control() {
            warnings.push("without a `control` nothing can be proven before a successor exists".to_owned());
        }
        if self.config.kind == Kind::RefreshToken && self.config.family.is_empty() {
            warnings.push(
                "access tokens that were made from it end with it where the server keeps to RFC 7009, and nobody counts them: name those \
                 that consumers keep in `family`"
                    .to_owned(),
            );
        }
        let Some(token) = current.and_then(|value| self.text(value).ok()) else { return warnings };
        let expires = jwt::claims(token).and_then(|claims| claims.expires);
        if let (Kind::AccessToken, Some(at)) = (self.config.kind, expires) {
            warnings.push(format!(
                "the token can be checked without the server: a resource that does so takes it until {at}, whatever is revoked"
            ));
        }
        if self.config.kind == Kind::AccessToken {
            warnings
                .extend(self.other_doors(token).map(|why| format!("nothing will be proven of it: {why}")));
        }
        if matches!(self.standing(token, self.config.kind.hint()).await, Ok((Standing::Inactive, _)))
            && self.config.kind == Kind::RefreshToken
        {
            warnings.push(
                "the token in the store is not active: it has ended, was revoked, or somebody used it up and holds its successor, which \
                 then lives on wherever a revocation of a used one ends nothing: look for refreshes in the server's log, and end the grant there"
                    .to_owned(),
            );
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        self.text(value)?;
        Ok(Credential { principal: self.client.id.clone(), value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: tag.to_owned(), value: SecretValue::new(Vec::new()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            IssuerOp::Sever { old, .. } if self.config.family.is_empty() => {
                return self.observe(IssuerOp::Disable { old }).await;
            }
            IssuerOp::Sever { cutoff, .. } => self.sever(cutoff).await.map(Performed::from),
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(new).await,
            IssuerOp::Sever { cutoff, .. } if !self.config.family.is_empty() => {
                self.observe_sever(cutoff, 0).await
            }
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => match self.text(&old.value) {
                Ok(token) => self.look(token).await.map(|look| look.outcome(false)),
                Err(error) => Err(error),
            },
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    /// The family's tokens are told apart by when they were issued.
    fn severs_by_time(&self) -> bool {
        true
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = match self.text(&credential.value) {
            Ok(token) => self.tried(token).await,
            Err(error) => Err(error),
        };
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn unproven(&self, credential: &Credential) -> Option<String> {
        let named = self.text(&credential.value).ok().and_then(|token| jwt::claims(token)?.issuer);
        let why = match named {
            Some(named) if named.trim_end_matches('/') != self.server.issuer() => {
                "it says of itself that another server issued it (`iss`)"
            }
            // RFC 6749, section 5.2: `invalid_grant` also means that it was issued to another client.
            Some(_) | None => {
                "what another client or another server issued is refused alike, and nobody saw this one accepted here"
            }
        };
        Some(why.to_owned())
    }

    async fn control(&self) -> Probe {
        self.try_control().await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.control.is_some() || self.config.mint.is_some()
    }

    /// The token itself while it is good, and those of its family.
    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let token = self.text(&old.value)?;
        let own = match (self.standing(token, self.config.kind.hint()).await?.0, self.config.kind) {
            (Standing::Active(_), _) => 1,
            (Standing::Blind | Standing::Inactive, Kind::RefreshToken) => 0,
            (Standing::Blind | Standing::Inactive, Kind::AccessToken) => {
                let lets_in = self.enter(Some(token)).await?.lets_in();
                let lost = |why| self.server.error(LOOKING, ConnectErrorKind::Lost, why);
                u64::from(lets_in.map_err(lost)?)
            }
        };
        Ok(own + self.count_family(cutoff).await?)
    }
}
