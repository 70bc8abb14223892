//! The control of a proof, and what is checked before one is needed.

use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;
use serde_json::json;

use super::config::Kind;
use super::door::{Door, Offered, nobodys};
use super::look::facts_of;
use super::server::{Endpoint, Login, Standing};
use super::token::{Tokens, given, pairs};
use crate::connector::Check;
use crate::error::{ConnectError, ConnectErrorKind};

const CHECKING: &str = "checking the doors";

impl Tokens {
    /// A token that is asked for, tried, and revoked again.
    pub(super) async fn try_control(&self) -> Result<Probe, ConnectError> {
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
        let seen = self.try_made(&value).await;
        let left = self.leaves(&login, &value).await;
        let Some(left) = left else { return seen };
        // A token of this trial that stays until it ends by itself is told.
        let told =
            |words: &str| format!("{words}; the token of the trial is good until it ends by itself: {left}");
        Ok(match seen {
            Ok(Probe::Accepted { mut facts }) => {
                facts.insert("token_left".to_owned(), json!(left));
                Probe::Accepted { facts }
            }
            Ok(Probe::Inconclusive { reason }) => Probe::Inconclusive { reason: told(&reason) },
            Ok(Probe::Refused { code, message }) => Probe::Refused { code, message: told(&message) },
            Err(error) => Probe::Inconclusive { reason: told(&error.to_string()) },
        })
    }

    async fn try_made(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        let token = self.text(value)?;
        let standing = self.standing(token, Kind::AccessToken.hint()).await?.0;
        Ok(match (self.config.kind, &standing) {
            (Kind::AccessToken, _) => {
                let door = self.enter(Some(token)).await?;
                self.at_resource(door, &standing, token)
            }
            // The token endpoint takes a client, and introspection tells what is good.
            (Kind::RefreshToken, Standing::Active(seen)) => Probe::Accepted { facts: facts_of(seen) },
            (Kind::RefreshToken, Standing::Blind) => Probe::Accepted { facts: quell_core::outcome::Facts::new() },
            (Kind::RefreshToken, Standing::Inactive) => Probe::Inconclusive {
                reason: "introspection says `active: false` of a token that was made a moment ago: the client may not introspect it"
                    .to_owned(),
            },
        })
    }

    /// Revokes it; or why it is left.
    async fn leaves(&self, login: &Login, value: &SecretValue) -> Option<String> {
        let token = value.expose_text().unwrap_or_default();
        match self.server.revoke(login, token, Kind::AccessToken.hint()).await {
            Ok(reply) => reply
                .is("unsupported_token_type")
                .then(|| "the server does not revoke such tokens (unsupported_token_type)".to_owned()),
            Err(error) => Some(error.detail),
        }
    }

    fn nobodys(&self) -> Result<zeroize::Zeroizing<String>, ConnectError> {
        nobodys().map_err(|words| self.server.error(CHECKING, ConnectErrorKind::Denied, words))
    }

    pub(super) async fn check_login(&self, checks: &mut Vec<Check>) {
        let mut push = |what: String, ok, detail: String| checks.push(Check { what, ok, detail });
        let looked = async {
            let login = self.inspector().await?;
            let token = self.nobodys()?;
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

    /// As the client that must do it, with tokens that nobody has.
    pub(super) async fn check_doors(&self, checks: &mut Vec<Check>) {
        let mut push = |what: String, ok, detail: String| checks.push(Check { what, ok, detail });
        let kind = self.config.kind;
        let revoked = async { self.server.revoke(&self.login().await?, &self.nobodys()?, kind.hint()).await };
        let (ok, detail) = match revoked.await {
            Ok(reply) if reply.is("unsupported_token_type") => {
                (false, format!("the server does not revoke a {} (unsupported_token_type)", kind.words()))
            }
            Ok(_) => (true, "it may".to_owned()),
            Err(error) => (false, error.detail),
        };
        push(format!("`{}` may revoke", self.client.id), ok, detail);
        match (kind, self.server.endpoint(CHECKING, Endpoint::Token).await) {
            (_, Err(error)) => push("ask for tokens".to_owned(), false, error.detail),
            (Kind::AccessToken, Ok(url)) => push("ask for tokens".to_owned(), true, url.to_string()),
            (Kind::RefreshToken, Ok(_)) => {
                let offered = async { self.server.offer(&self.login().await?, &self.nobodys()?).await };
                let (ok, detail) = match offered.await {
                    Ok(Offered::Refused) => (true, "one that nobody has is refused".to_owned()),
                    Ok(Offered::Known | Offered::Taken) => {
                        (false, "it takes a token that nobody has: what it says is worth nothing".to_owned())
                    }
                    Ok(Offered::Unclear(why)) => (false, why),
                    Err(error) => (false, error.detail),
                };
                push("the token endpoint tells refresh tokens apart".to_owned(), ok, detail);
            }
        }
        if self.config.resource.is_some() {
            let (ok, detail) = match self.enter(None).await {
                Ok(Door::In) => {
                    let words = "it lets in whoever brings no token, so that it can tell nothing of one";
                    (false, words.to_owned())
                }
                Ok(Door::Login | Door::Out) => (true, "not without one".to_owned()),
                Ok(Door::Unclear(why)) => {
                    (false, format!("{why} to somebody without a token, and not 401; correct `resource`"))
                }
                Err(error) => (false, error.detail),
            };
            push("the resource asks for a token".to_owned(), ok, detail);
        }
    }

    pub(super) async fn check_family(&self, checks: &mut Vec<Check>) {
        for reference in &self.config.family {
            let (ok, detail) = match reference.resolve(self.server.ctx()).await {
                Ok(value) => match self.text(&value) {
                    Ok(_) => (true, "it is".to_owned()),
                    Err(error) => (false, error.detail),
                },
                Err(error) if error.kind == ConnectErrorKind::Missing => (
                    false,
                    format!("{reference} holds none, so that none is counted or ended; correct `family`"),
                ),
                Err(error) => (false, error.to_string()),
            };
            checks.push(Check { what: format!("a token is in {reference}"), ok, detail });
        }
    }
}
