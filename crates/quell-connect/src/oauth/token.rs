//! Refresh and access tokens as issuer: revoked by RFC 7009, and believed dead only where a bearer is turned away.
//!
//! A revocation is answered with 200 whether or not anybody ever had the token (RFC 7009, section 2.2), and introspection says
//! `active: false` of a token that the one who asks may not see (RFC 7662, section 2.2). So neither is a proof. An access token is tried at a
//! resource, a refresh token at the token endpoint, in a way that does not use it up (`door.rs`).

use async_trait::async_trait;
use jiff::Timestamp;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use super::config::{Client, Config, Control, Kind, MintConfig, TokenConfig};
use super::door::{Door, INVALID_GRANT, INVALID_TOKEN, Offered, nobodys};
use super::jwt;
use super::server::{Endpoint, Login, Seen, Server, Standing};
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConnectError, ConnectErrorKind};

/// The issuer.
pub(super) struct Tokens {
    server: Server,
    client: Client,
    control: Option<Control>,
    config: TokenConfig,
    settle_ms: u64,
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
        }
    }

    async fn login(&self) -> Result<Login, ConnectError> {
        Login::of(&self.client, self.server.ctx()).await
    }

    /// Who introspects: the control's client, if there is one.
    async fn inspector(&self) -> Result<Login, ConnectError> {
        let client = self.control.as_ref().map_or(&self.client, |control| &control.client);
        Login::of(client, self.server.ctx()).await
    }

    /// A token as it travels (RFC 6750, section 2.1: visible ASCII).
    fn text<'a>(&self, value: &'a SecretValue) -> Result<&'a str, ConnectError> {
        let bad = |why: &str| self.server.error(LOOKING, ConnectErrorKind::Denied, why);
        let text = value.expose_text().ok_or_else(|| bad("the value is not text"))?;
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '{' | '\\')) {
            return Err(bad(
                "the value is more or less than a token: name the part of the store that is one",
            ));
        }
        Ok(text)
    }

    async fn standing(&self, token: &str, hint: &str) -> Result<(Standing, Option<Timestamp>), ConnectError> {
        let inspector = self.inspector().await?;
        self.server.introspect(&inspector, token, hint).await
    }

    /// By the server alone, except where it cannot know: is the token dead there?
    async fn dead(&self, token: &str) -> Result<Result<Facts, Outcome>, ConnectError> {
        let kind = self.config.kind;
        let (standing, date) = self.standing(token, kind.hint()).await?;
        let said = match &standing {
            Standing::Active(seen) => {
                let until = words_until(seen.expires);
                return Ok(Err(Outcome::retry(format!("the {} is active{until}", kind.words()))));
            }
            Standing::Inactive => "inactive",
            Standing::Blind => "no endpoint",
        };
        let seen = effect::facts([
            ("introspection", json!(said)),
            ("cutoff", json!(date.map(|date| date.to_string()))),
        ]);
        let claims = jwt::claims(token);
        match (kind, &standing) {
            // Nothing else can tell, or the resource may well not ask the server.
            (Kind::AccessToken, Standing::Blind) => Ok(self.turned_away(token, seen).await?),
            (Kind::AccessToken, _) if claims.is_some() => Ok(self.turned_away(token, seen).await?),
            (Kind::RefreshToken, Standing::Blind) => {
                let offered = self.server.offer(&self.login().await?, token).await?;
                Ok(match offered {
                    Offered::Refused => Ok(seen),
                    Offered::Known | Offered::Taken => {
                        Err(Outcome::retry("the token endpoint takes the refresh token"))
                    }
                    Offered::Unclear(why) => Err(Outcome::unknown(why)),
                })
            }
            (Kind::AccessToken | Kind::RefreshToken, _) => Ok(Ok(seen)),
        }
    }

    async fn turned_away(&self, token: &str, seen: Facts) -> Result<Result<Facts, Outcome>, ConnectError> {
        Ok(match self.enter(Some(token)).await? {
            Door::Out => Ok(seen),
            Door::Unclear(why) => Err(Outcome::unknown(why)),
            Door::In => match jwt::claims(token).and_then(|claims| claims.expires) {
                // To try again before that would change nothing.
                Some(at) => Err(Outcome::refused(format!(
                    "the resource takes the token without asking the server, and goes on until it ends by itself at {at}: \
                     have it ask the server, or change the key that signs tokens; else retry the step then"
                ))),
                None => Err(Outcome::retry("the resource takes the token")),
            },
        })
    }

    async fn enter(&self, token: Option<&str>) -> Result<Door, ConnectError> {
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
        if let Standing::Active(Seen { client: Some(client), .. }) = &before
            && *client != self.client.id
        {
            let words = format!(
                "the token was issued to the client `{client}`, which alone may revoke it: name that one in `client`"
            );
            return Ok(Outcome::refused(words));
        }
        let reply = self.server.revoke(&login, token, kind.hint()).await?;
        if reply.is("unsupported_token_type") {
            return Ok(self.unsupported(&before, token));
        }
        // It was sent: what cannot be seen now is unknown, whatever the reason.
        let after = self.dead(token).await.map_err(effect::after_effect)?;
        Ok(match after {
            Err(outcome) => outcome,
            Ok(mut facts) => {
                facts.insert("client".to_owned(), json!(self.client.id));
                let already = match before {
                    Standing::Active(_) => json!(false),
                    Standing::Inactive => json!(true),
                    Standing::Blind => json!(null),
                };
                facts.insert("already".to_owned(), already);
                if let Some(date) = reply.date {
                    facts.insert("cutoff".to_owned(), json!(date.to_string()));
                }
                Outcome::Applied { facts }
            }
        })
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

    /// Other tokens of the grant that are good; those that were issued after `cutoff` are of a new one.
    async fn family(&self, cutoff: Option<&str>) -> Result<(Vec<SecretValue>, u64), ConnectError> {
        let cutoff = cutoff.and_then(|text| text.parse::<Timestamp>().ok());
        let (mut live, mut spared) = (Vec::new(), 0);
        for reference in &self.config.family {
            let value = match reference.resolve(self.server.ctx()).await {
                Ok(value) => value,
                // The consumer keeps none.
                Err(error) if error.kind == ConnectErrorKind::Missing => continue,
                Err(error) => return Err(error),
            };
            let token = self.text(&value)?;
            match self.standing(token, Kind::AccessToken.hint()).await?.0 {
                // The server's moments are whole seconds: one of the same second may be from before.
                Standing::Active(seen)
                    if cutoff.zip(seen.issued).is_some_and(|(cutoff, issued)| issued > cutoff) =>
                {
                    spared += 1;
                    continue;
                }
                Standing::Active(_) => {}
                Standing::Inactive | Standing::Blind => match self.enter(Some(token)).await? {
                    Door::Out => continue,
                    Door::In => {}
                    Door::Unclear(_) if self.config.resource.is_none() => continue,
                    Door::Unclear(why) => {
                        return Err(self.server.error(LOOKING, ConnectErrorKind::Lost, why));
                    }
                },
            }
            live.push(value);
        }
        Ok((live, spared))
    }

    async fn sever(&self, cutoff: Option<&str>) -> Result<Outcome, ConnectError> {
        let login = self.login().await?;
        let (live, _) = self.family(cutoff).await?;
        for value in &live {
            let reply = self.server.revoke(&login, self.text(value)?, Kind::AccessToken.hint()).await?;
            if reply.is("unsupported_token_type") {
                let words = "an access token of the same grant cannot be revoked (unsupported_token_type): it lives until it ends by itself";
                return Ok(Outcome::refused(words));
            }
        }
        self.observe_sever(cutoff, live.len())
            .await
            .map_err(|error| if live.is_empty() { error } else { effect::after_effect(error) })
    }

    async fn observe_sever(&self, cutoff: Option<&str>, ended: usize) -> Result<Outcome, ConnectError> {
        let (left, spared) = self.family(cutoff).await?;
        let facts = effect::facts([("ended", json!(ended)), ("spared", json!(spared))]);
        Ok(effect::severed(count(&left), facts))
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
            Standing::Inactive | Standing::Blind => match self.enter(Some(token)).await? {
                Door::In => Outcome::applied([("client", json!(self.client.id))]),
                Door::Out => Outcome::refused("the token was revoked or has ended; choose again"),
                Door::Unclear(why) => Outcome::unknown(why),
            },
        })
    }

    async fn tried(&self, token: &str) -> Result<Probe, ConnectError> {
        let standing = self.standing(token, self.config.kind.hint()).await?.0;
        match self.config.kind {
            Kind::AccessToken => {
                let door = self.enter(Some(token)).await?;
                Ok(at_resource(door, &standing, token))
            }
            Kind::RefreshToken => match standing {
                // It is not tried while it lives: that would use it up.
                Standing::Active(seen) => Ok(Probe::Accepted { facts: facts_of(&seen) }),
                Standing::Blind | Standing::Inactive => {
                    let offered = self.server.offer(&self.login().await?, token).await?;
                    Ok(at_token_endpoint(offered, &standing))
                }
            },
        }
    }

    async fn try_control(&self) -> Result<Probe, ConnectError> {
        let (login, more) = match (&self.control, &self.config.mint) {
            (Some(control), _) => {
                let more = [("scope", &control.scope), ("resource", &control.resource)];
                (self.inspector().await?, given(more))
            }
            (None, Some(mint)) => (self.login().await?, pairs(mint)),
            (None, None) => {
                let reason =
                    "no `control` is configured: a client that may use client_credentials".to_owned();
                return Ok(Probe::Inconclusive { reason });
            }
        };
        let (value, _) = self.server.mint(&login, &more).await?;
        let token = self.text(&value)?;
        let standing = self.standing(token, Kind::AccessToken.hint()).await?.0;
        let mut seen = match (self.config.kind, &standing) {
            (Kind::AccessToken, _) => {
                let door = self.enter(Some(token)).await?;
                at_resource(door, &standing, token)
            }
            // The token endpoint takes a client, and introspection tells what is good.
            (Kind::RefreshToken, Standing::Active(seen)) => Probe::Accepted { facts: facts_of(seen) },
            (Kind::RefreshToken, Standing::Blind) => Probe::Accepted { facts: Facts::new() },
            (Kind::RefreshToken, Standing::Inactive) => Probe::Inconclusive {
                reason: "introspection says `active: false` of a token that was made a moment ago: the client may not introspect it"
                    .to_owned(),
            },
        };
        // A token of this trial that stays until it ends by itself is told.
        if let (Err(error), Probe::Accepted { facts }) =
            (self.server.revoke(&login, token, Kind::AccessToken.hint()).await, &mut seen)
        {
            facts.insert("token_left".to_owned(), json!(error.detail));
        }
        Ok(seen)
    }

    fn by_people(&self) -> String {
        format!(
            "no successor can be asked for: people who gave `{}` access must consent again, after which its new token goes into the stores",
            self.client.id
        )
    }

    async fn check_login(&self, checks: &mut Vec<Check>) {
        let mut push = |what: String, ok, detail: String| checks.push(Check { what, ok, detail });
        let looked = async {
            let login = self.inspector().await?;
            let random = |words: &str| self.server.error(LOOKING, ConnectErrorKind::Denied, words);
            let token = nobodys().map_err(random)?;
            let standing = self.server.introspect(&login, &token, self.config.kind.hint()).await?.0;
            Ok::<_, ConnectError>((login.id, standing))
        };
        match looked.await {
            Ok((id, Standing::Inactive)) => push(format!("`{id}` may introspect"), true, "it may".to_owned()),
            Ok((id, Standing::Active(_))) => {
                let words = "the server calls a token active that nobody has: what it says is worth nothing";
                push(format!("`{id}` may introspect"), false, words.to_owned());
            }
            Ok((_, Standing::Blind)) => {
                let words = "no endpoint: only doors tell what is good";
                push("introspection".to_owned(), true, words.to_owned());
            }
            Err(error) => push("may introspect".to_owned(), false, error.detail),
        }
    }

    async fn check_doors(&self, checks: &mut Vec<Check>) {
        let mut push =
            |what: &str, ok, detail: String| checks.push(Check { what: what.to_owned(), ok, detail });
        for (what, endpoint) in [("revoke tokens", Endpoint::Revocation), ("ask for tokens", Endpoint::Token)]
        {
            match self.server.endpoint(LOOKING, endpoint).await {
                Ok(url) => push(what, true, url.to_string()),
                Err(error) => push(what, false, error.detail),
            }
        }
        if self.config.resource.is_some() {
            match self.enter(None).await {
                Ok(Door::In) => {
                    let words = "it lets in whoever brings no token, so that it can tell nothing of one";
                    push("the resource asks for a token", false, words.to_owned());
                }
                Ok(Door::Out | Door::Unclear(_)) => {
                    push("the resource asks for a token", true, "not without one".to_owned());
                }
                Err(error) => push("the resource asks for a token", false, error.detail),
            }
        }
    }
}

/// What a resource and introspection say together.
fn at_resource(door: Door, standing: &Standing, token: &str) -> Probe {
    match (door, standing) {
        (Door::In, Standing::Active(seen)) => Probe::Accepted { facts: facts_of(seen) },
        (Door::In, Standing::Blind | Standing::Inactive) => {
            let until = jwt::claims(token).and_then(|claims| claims.expires).map(|at| at.to_string());
            Probe::Accepted {
                facts: effect::facts([
                    ("asks_the_server", json!(matches!(standing, Standing::Blind))),
                    ("expires", json!(until)),
                ]),
            }
        }
        (Door::Out, Standing::Active(_)) => Probe::Inconclusive {
            reason: "the resource refuses the token, and the server says that it is active: it may be good for another resource, or \
                     bound to a key of its client"
                .to_owned(),
        },
        (Door::Out, Standing::Blind | Standing::Inactive) => Probe::Refused {
            code: INVALID_TOKEN.to_owned(),
            message: "the resource turned the bearer away".to_owned(),
        },
        (Door::Unclear(reason), _) => Probe::Inconclusive { reason },
    }
}

fn at_token_endpoint(offered: Offered, standing: &Standing) -> Probe {
    match (offered, standing) {
        (Offered::Refused, _) => Probe::Refused {
            code: INVALID_GRANT.to_owned(),
            message: "the token endpoint does not know the refresh token".to_owned(),
        },
        (Offered::Taken, _) => Probe::Accepted { facts: effect::facts([("used_up", json!(true))]) },
        (Offered::Known, Standing::Blind | Standing::Active(_)) => Probe::Accepted { facts: Facts::new() },
        (Offered::Known, Standing::Inactive) => Probe::Inconclusive {
            reason: "it is not active, and the token endpoint still knows it: somebody has used it up, and holds its successor; its \
                     revocation ends both"
                .to_owned(),
        },
        (Offered::Unclear(reason), _) => Probe::Inconclusive { reason },
    }
}

fn facts_of(seen: &Seen) -> Facts {
    effect::facts([("client", json!(seen.client)), ("expires", json!(seen.expires.map(|at| at.to_string())))])
}

fn words_until(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" until {at}")).unwrap_or_default()
}

fn count(tokens: &[SecretValue]) -> u64 {
    u64::try_from(tokens.len()).unwrap_or(u64::MAX)
}

fn pairs(mint: &MintConfig) -> Vec<(&str, &str)> {
    given([("scope", &mint.scope), ("resource", &mint.resource), ("audience", &mint.audience)])
}

fn given<'a, const N: usize>(all: [(&'static str, &'a Option<String>); N]) -> Vec<(&'static str, &'a str)> {
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
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.config.mint.is_none() {
            warnings.push(self.by_people());
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
                Ok(token) => self.dead(token).await.map(|dead| match dead {
                    Ok(facts) => Outcome::Applied { facts },
                    Err(outcome) => outcome,
                }),
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

    async fn elsewhere(&self, credential: &Credential) -> Option<String> {
        let named = jwt::claims(self.text(&credential.value).ok()?)?.issuer?;
        (named.trim_end_matches('/') != self.server.issuer())
            .then(|| "it says of itself that another server issued it (`iss`)".to_owned())
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
                u64::from(self.enter(Some(token)).await? == Door::In)
            }
        };
        Ok(own + count(&self.family(cutoff).await?.0))
    }
}
