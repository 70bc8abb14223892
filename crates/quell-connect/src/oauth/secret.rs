//! A client's secret as issuer: changed through the client's own record (RFC 7592), and tried at the token endpoint.
//!
//! The client cannot choose the secret, and a server need not change it (section 2.2): where it does, the old one is dead in the same
//! instant. What is tried is a refresh token that nobody has: `invalid_client` is the refusal of the secret, any other refusal comes after
//! the client was let in (RFC 6749, section 5.2).

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;
use url::Url;

use super::config::{Auth, Client, Config, Control, SecretConfig};
use super::door::{INVALID_CLIENT, INVALID_GRANT, nobodys};
use super::registration::Registration;
use super::server::{Endpoint, Login, Reply, Server};
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

/// The issuer.
pub(super) struct Secrets {
    server: Server,
    client: Client,
    control: Option<Control>,
    registration: Registration,
    settle_ms: u64,
}

const LOOKING: &str = "looking at the secret";
const TRYING: &str = "logging in as the client";
const CHANGING: &str = "changing the secret";

/// Of a client that may not use the grant, and in some servers of a wrong secret.
const UNAUTHORIZED_CLIENT: &str = "unauthorized_client";

impl Secrets {
    pub(super) fn new(
        ctx: &Context,
        config: &Config,
        secret: &SecretConfig,
        settle_ms: u64,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            server: Server::new(ctx, config),
            client: config.client.clone(),
            control: config.control.clone(),
            registration: Registration::new(&secret.registration, ctx)?,
            settle_ms,
        })
    }

    fn login(&self, value: &SecretValue) -> Login {
        Login { id: self.client.id.clone(), secret: Some(value.duplicate()), auth: self.client.auth }
    }

    /// RFC 6749, appendix A.2: visible ASCII. Quell takes no spaces: what a store holds with one is more than a secret.
    fn text<'a>(&self, value: &'a SecretValue) -> Result<&'a str, ConnectError> {
        let bad = |why: &str| self.server.error(LOOKING, ConnectErrorKind::Denied, why);
        let text = value.expose_text().ok_or_else(|| bad("the value is not text"))?;
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) || text.starts_with(['{', '"']) {
            return Err(bad(
                "the value is more or less than a secret: name the part of the store that is one",
            ));
        }
        Ok(text)
    }

    /// Tries a client, and right after it the same client with a secret that was made up: only what the door tells apart says anything.
    async fn tried(&self, login: &Login) -> Result<Probe, ConnectError> {
        let random = |words: &str| self.server.error(TRYING, ConnectErrorKind::Denied, words);
        let nobodys = nobodys().map_err(random)?;
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", nobodys.as_str())];
        let url = self.server.endpoint(TRYING, Endpoint::Token).await?;
        let (reply, other) = self.both(&url, login, &pairs).await?;
        if reply.is(INVALID_GRANT) || reply.status == 400 && reply.is(UNAUTHORIZED_CLIENT) {
            return Ok(accepted(login, "token endpoint", &other));
        }
        if let Some(refused) = refused(&reply, &other) {
            return Ok(refused);
        }
        // Some servers say of a grant that is not the client's what they say of a bad request.
        let revocation = self.server.find(Endpoint::Revocation).await?;
        if let (Some(url), true) = (revocation, reply.is("invalid_request")) {
            let pairs = [("token", nobodys.as_str()), ("token_type_hint", "refresh_token")];
            let (reply, other) = self.both(&url, login, &pairs).await?;
            if reply.status == 200 && !reply.is_page {
                return Ok(accepted(login, "revocation endpoint", &other));
            }
            if let Some(refused) = refused(&reply, &other) {
                return Ok(refused);
            }
        }
        Err(self.server.failure(TRYING, login, &reply))
    }

    async fn both(
        &self,
        url: &Url,
        login: &Login,
        pairs: &[(&str, &str)],
    ) -> Result<(Reply, Reply), ConnectError> {
        let reply = self.server.post(TRYING, url, login, pairs).await?;
        Ok((reply, self.server.post(TRYING, url, &self.made_up(&login.id, login.auth)?, pairs).await?))
    }

    fn made_up(&self, id: &str, auth: Auth) -> Result<Login, ConnectError> {
        let random = |words: &str| self.server.error(TRYING, ConnectErrorKind::Denied, words);
        let secret = SecretValue::from_text(nobodys().map_err(random)?.to_string());
        Ok(Login { id: id.to_owned(), secret: Some(secret), auth })
    }

    /// With a secret that nobody has: what says nothing of that one says nothing of another.
    async fn check_door(&self) -> Check {
        let tried = async { self.tried(&self.made_up(&self.client.id, self.client.auth)?).await };
        let (ok, detail) = match tried.await {
            Ok(Probe::Refused { code, .. }) => (true, code),
            Ok(Probe::Accepted { .. }) => (false, "it lets in a secret that was made up".to_owned()),
            Ok(Probe::Inconclusive { reason }) => (false, reason),
            Err(error) => (false, error.detail),
        };
        Check { what: "the token endpoint refuses a secret that was made up".to_owned(), ok, detail }
    }

    async fn check_control(&self, control: &Control) -> Check {
        let tried = async { self.tried(&Login::of(&control.client, self.server.ctx()).await?).await };
        let (ok, detail) = match tried.await {
            Ok(Probe::Accepted { .. }) => (true, "it is let in".to_owned()),
            Ok(Probe::Refused { code, .. }) => (
                false,
                format!("{code}: its secret has expired or was changed; renew what the inventory refers to"),
            ),
            Ok(Probe::Inconclusive { reason }) => (false, reason),
            Err(error) => (false, error.detail),
        };
        Check { what: format!("log in as `{}`", control.client.id), ok, detail }
    }

    async fn try_value(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        self.text(value)?;
        self.tried(&self.login(value)).await
    }

    /// Made by the server, and not only asked for.
    fn is_made(&self, new: &Credential) -> bool {
        new.principal == self.client.id
    }

    async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        if self.is_made(new) {
            return self.observe_install(new).await.map(Performed::from);
        }
        // A secret whose answer was lost is held by nobody: the next one ends it.
        let record = self.registration.read(&self.server).await?;
        let before = record.secret().map(|secret| SecretValue::from_text(secret.to_owned()));
        if let Some(why) = record.lost {
            let words = format!("{why}; the secret was not changed");
            return Err(self.server.error(CHANGING, ConnectErrorKind::Denied, words));
        }
        let record = self.registration.update(&self.server, record).await?;
        let Some(secret) = record.secret() else {
            let words = "the answer carries no secret, so that the one in force is not known";
            return Err(self.server.error(CHANGING, ConnectErrorKind::Unexpected, words));
        };
        let value = SecretValue::from_text(secret.to_owned());
        // What was asked for holds the old value: not every server shows it when a record is read.
        if before.is_some_and(|before| before.same_as(&value)) || new.value.same_as(&value) {
            return Ok(Outcome::refused(
                "the server keeps the secret when a record is updated, as RFC 7592 leaves to it: change it in the server's administration",
            )
            .into());
        }
        let mut facts = effect::facts([("client", json!(self.client.id))]);
        if let Some(why) = record.lost {
            facts.insert("registration_token_lost".to_owned(), json!(why));
        }
        let minted = Some(Credential { principal: self.client.id.clone(), value });
        Ok(Performed { outcome: Outcome::Applied { facts }, minted })
    }

    /// The one that was asked for holds the old value: while that is good, nothing was changed.
    async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        if new.value.is_empty() {
            return Ok(Outcome::retry("it cannot be seen whether the secret was changed"));
        }
        let tried = self.try_value(&new.value).await?;
        Ok(match (self.is_made(new), tried) {
            (true, tried) => effect::installed(tried),
            (false, Probe::Accepted { .. }) => Outcome::retry("the old secret is in force"),
            (false, Probe::Refused { .. }) => Outcome::retry(
                "the old secret is refused, and the one that took its place was lost with its answer; the next attempt asks for another",
            ),
            (false, Probe::Inconclusive { reason }) => Outcome::unknown(reason),
        })
    }

    async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        Ok(match self.try_value(&old.value).await? {
            Probe::Refused { code, .. } => {
                Outcome::applied([("refused", json!(code)), ("client", json!(self.client.id))])
            }
            Probe::Accepted { .. } => Outcome::refused("the secret is in force: only its successor ends it"),
            Probe::Inconclusive { reason } => Outcome::unknown(reason),
        })
    }
}

fn accepted(login: &Login, door: &str, other: &Reply) -> Probe {
    if !is_of_the_client(other) {
        let reason = format!(
            "the {door} does not tell the client's secret from one that was made up: to that it answers {}",
            other.said()
        );
        return Probe::Inconclusive { reason };
    }
    Probe::Accepted { facts: effect::facts([("client", json!(login.id)), ("door", json!(door))]) }
}

fn refused(reply: &Reply, other: &Reply) -> Option<Probe> {
    let same = reply.status == other.status && reply.code == other.code;
    let code = if reply.is(INVALID_CLIENT) { INVALID_CLIENT } else { UNAUTHORIZED_CLIENT };
    (reply.is(INVALID_CLIENT) || same && is_of_the_client(reply))
        .then(|| Probe::Refused { code: code.to_owned(), message: reply.said() })
}

/// A refusal of who asks. Keycloak answers 401 with `unauthorized_client`, `Invalid client or Invalid client credentials`
/// (keycloak/keycloak#16923, 2023-02); with 400 it is a client that may not use the grant (RFC 6749, section 5.2).
fn is_of_the_client(reply: &Reply) -> bool {
    reply.is(INVALID_CLIENT) || reply.status == 401 && reply.is(UNAUTHORIZED_CLIENT)
}

#[async_trait]
impl Issuer for Secrets {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::One,
            sessions_survive: false,
            can_disable: false,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![INVALID_CLIENT.to_owned(), UNAUTHORIZED_CLIENT.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} (secret of {})", self.server.name(), self.client.id)
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.server.name(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        checks.push(self.check_door().await);
        if let Some(control) = &self.control {
            checks.push(self.check_control(control).await);
        }
        let store = self.registration.store();
        let mut held = store.check().await;
        let token = store.read().await;
        let place = store.target();
        held.push(Check {
            what: "have a registration access token".to_owned(),
            ok: matches!(token, Ok(Some(_))),
            detail: match token {
                // It is not tried: with some servers a try changes it.
                Ok(Some(_)) => format!("{place} holds one"),
                Ok(None) => format!("{place} holds none"),
                Err(error) => error.to_string(),
            },
        });
        checks.append(&mut held);
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = vec![
            format!(
                "tokens that were asked for with the leaked secret live on until they end by themselves, and no standard lists them: end the \
                 grants of `{}` in the server's administration",
                self.client.id
            ),
            "consumers are refused from the moment of the change until they have the new secret".to_owned(),
        ];
        if let Some(value) = current
            && matches!(self.try_value(value).await, Ok(Probe::Refused { .. }))
        {
            warnings.push("the secret in the store is refused already".to_owned());
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        self.text(value)?;
        Ok(Credential { principal: self.client.id.clone(), value: value.duplicate() })
    }

    /// The server chooses. What is asked for is named by the tag, and holds the old value, by which `observe` sees whether it was changed.
    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        let value = old.map_or_else(|| SecretValue::new(Vec::new()), |old| old.value.duplicate());
        Ok(Credential { principal: format!("{tag} of {}", self.client.id), value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        match op {
            IssuerOp::Install { new } => {
                self.install(new).await.unwrap_or_else(|error| error.outcome().into())
            }
            // The successor did it.
            IssuerOp::Disable { .. } | IssuerOp::Sever { .. } => self.observe(op).await,
        }
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(new).await,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => self.observe_disable(old).await,
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.try_value(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn control(&self) -> Probe {
        let Some(control) = &self.control else {
            let reason = "no `control` is configured: another client of the server".to_owned();
            return Probe::Inconclusive { reason };
        };
        let tried = async { self.tried(&Login::of(&control.client, self.server.ctx()).await?).await };
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.control.is_some()
    }

    /// A secret opens none by itself; tokens that it gave are told in the warnings.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        Ok(match self.try_value(&old.value).await? {
            Probe::Accepted { .. } => 1,
            Probe::Refused { .. } => 0,
            Probe::Inconclusive { reason } => {
                return Err(self.server.error(LOOKING, ConnectErrorKind::Lost, reason));
            }
        })
    }
}
