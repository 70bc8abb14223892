//! Doors that take a token: a resource, and the token endpoint for a refresh token.

use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

use super::server::{Endpoint, Login, Reply, Server};
use crate::error::{ConnectError, ConnectErrorKind};

/// Refusal of an access token (RFC 6750, section 3.1).
pub(super) const INVALID_TOKEN: &str = "invalid_token";
/// Refusal of a refresh token (RFC 6749, section 5.2).
pub(super) const INVALID_GRANT: &str = "invalid_grant";
/// Refusal of a client (RFC 6749, section 5.2).
pub(super) const INVALID_CLIENT: &str = "invalid_client";

/// What a door said.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Door {
    In,
    /// It asks for a token, and says nothing of the one that it was shown.
    Login,
    Out,
    Unclear(String),
}

/// What the token endpoint says of a refresh token that is offered for a scope which nobody was granted.
pub(super) enum Offered {
    /// It knows the token; nothing was used up.
    Known,
    /// It gave tokens all the same. They were revoked again; the refresh token may be used up.
    Taken,
    Refused,
    Unclear(String),
}

impl Door {
    /// Whether the bearer is let in, or why that is not known.
    pub(super) fn lets_in(self) -> Result<bool, String> {
        match self {
            Self::In => Ok(true),
            Self::Out => Ok(false),
            Self::Login => {
                Err("the resource answered 401 without `invalid_token`, as a login page or a proxy does"
                    .to_owned())
            }
            Self::Unclear(why) => Err(why),
        }
    }
}

const ENTERING: &str = "trying the token at the resource";
const OFFERING: &str = "trying the refresh token";
const MINTING: &str = "asking for a token";
const REVOKING: &str = "revoking the token";

/// A token that nobody has.
pub(super) fn nobodys() -> Result<Zeroizing<String>, &'static str> {
    crate::password::random()
}

impl Server {
    /// A bearer's way in (RFC 6750). Without a token, what somebody without one is told.
    pub(super) async fn enter(&self, resource: &str, token: Option<&str>) -> Result<Door, ConnectError> {
        let mut request = self.ctx().http.request(Method::GET, resource)?.header(ACCEPT, "application/json");
        if let Some(token) = token {
            let text = Zeroizing::new(format!("Bearer {token}"));
            let Ok(mut header) = HeaderValue::from_str(&text) else {
                return Ok(Door::Unclear("it does not fit a header, so no bearer can use it".to_owned()));
            };
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        let answer = self.ctx().http.send(&self.name(), ENTERING, request).await?;
        let challenge = answer.challenge.unwrap_or_default().to_ascii_lowercase();
        let names = |error: &str| {
            challenge.contains(&format!("error=\"{error}\"")) || challenge.contains(&format!("error={error}"))
        };
        Ok(match answer.status {
            200..300 => Door::In,
            401 if names(INVALID_TOKEN) => Door::Out,
            // The token is good, and not for this.
            403 if names("insufficient_scope") => Door::In,
            401 => Door::Login,
            status => Door::Unclear(format!("the resource answered {status}")),
        })
    }

    /// Tries a refresh token without using it up: the scope that is asked for was granted to nobody, and a server that knows the token must
    /// refuse that with `invalid_scope` (RFC 6749, section 6), one that does not know it with `invalid_grant`. A token that nobody has goes
    /// first: where that is not refused as such, nothing can be told of another.
    pub(super) async fn offer(&self, login: &Login, token: &str) -> Result<Offered, ConnectError> {
        let random = |words: &str| self.error(OFFERING, ConnectErrorKind::Denied, words);
        let scope = format!("quell-{}", *nobodys().map_err(random)?);
        let unknown = self.ask_with(login, &nobodys().map_err(random)?, &scope).await?;
        if !unknown.is(INVALID_GRANT) {
            return Ok(Offered::Unclear(format!(
                "the token endpoint does not tell a refresh token that nobody has from one that is good: it answers {} to both",
                unknown.said()
            )));
        }
        let reply = self.ask_with(login, token, &scope).await?;
        if reply.is(INVALID_GRANT) {
            return Ok(Offered::Refused);
        }
        if reply.is("invalid_scope") {
            return Ok(Offered::Known);
        }
        if reply.status == 200 && reply.body.get("access_token").is_some() {
            for name in ["refresh_token", "access_token"] {
                if let Some(given) = reply.body.get(name).and_then(Value::as_str) {
                    // What cannot be revoked now is told by what is counted later.
                    drop(self.revoke(login, given, name).await?);
                }
            }
            return Ok(Offered::Taken);
        }
        Ok(Offered::Unclear(self.failure(OFFERING, login, &reply).detail))
    }

    async fn ask_with(&self, login: &Login, token: &str, scope: &str) -> Result<Reply, ConnectError> {
        let url = self.endpoint(OFFERING, Endpoint::Token).await?;
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        self.post(OFFERING, &url, login, &pairs).await
    }

    /// A token by client credentials (RFC 6749, section 4.4), and for how many seconds it is good.
    pub(super) async fn mint(
        &self,
        login: &Login,
        more: &[(&str, &str)],
    ) -> Result<(SecretValue, Option<u64>), ConnectError> {
        let url = self.endpoint(MINTING, Endpoint::Token).await?;
        let mut pairs = vec![("grant_type", "client_credentials")];
        pairs.extend_from_slice(more);
        let reply = self.post(MINTING, &url, login, &pairs).await?;
        let given = reply.body.get("access_token").and_then(Value::as_str).filter(|_| reply.status == 200);
        let Some(given) = given else {
            let mut error = self.failure(MINTING, login, &reply);
            if matches!(reply.code.as_deref(), Some("unauthorized_client" | "unsupported_grant_type")) {
                error.detail = format!("{}; let `{}` use client_credentials", error.detail, login.id);
            }
            return Err(error);
        };
        let seconds = reply.body.get("expires_in").and_then(Value::as_u64);
        Ok((SecretValue::from_text(given.to_owned()), seconds))
    }

    /// RFC 7009. 200 says nothing: it is the answer to a token that nobody ever had, too.
    pub(super) async fn revoke(&self, login: &Login, token: &str, hint: &str) -> Result<Reply, ConnectError> {
        let url = self.endpoint(REVOKING, Endpoint::Revocation).await?;
        let reply = self.post(REVOKING, &url, login, &[("token", token), ("token_type_hint", hint)]).await?;
        match reply.status {
            200..300 if !reply.is_page => Ok(reply),
            _ if reply.is("unsupported_token_type") => Ok(reply),
            // RFC 7009, section 2.2.1: with 503 the token still exists.
            _ => Err(self.failure_of_harmless(REVOKING, login, &reply)),
        }
    }
}
