//! What is seen of a token, and what that says: by introspection, at a resource, at the token endpoint.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use quell_core::outcome::{Facts, Outcome, Probe};
use serde_json::json;
use url::Url;

use super::config::Kind;
use super::door::{Door, INVALID_GRANT, INVALID_TOKEN, Offered};
use super::jwt;
use super::server::{Seen, Standing};
use super::token::Tokens;
use crate::effect;
use crate::error::ConnectError;
use crate::webhook::sign::wall_clock;

/// Whether a token is dead, by the server alone except where it cannot know.
pub(super) enum Look {
    Alive(String),
    Dead(Facts),
    /// The resource takes it without asking the server, and does so until then.
    Local(Timestamp),
    Unclear(String),
}

/// Clocks differ, and resources allow for that.
const LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// How often a token is looked at until resources must have noticed.
const LOOKS: u32 = 5;

/// It might be good, and it is good for one try.
pub(super) const WOULD_USE_UP: &str =
    "there is no introspection, and trying the refresh token could use it up";

impl Look {
    /// Further looks may see something else, unless resources have noticed what they will.
    pub(super) fn outcome(self, is_last: bool) -> Outcome {
        match self {
            Self::Alive(why) => Outcome::retry(why),
            Self::Dead(facts) => Outcome::Applied { facts },
            // To try again before that would change nothing.
            Self::Local(at) if is_last => Outcome::refused(format!(
                "the resource takes the token without asking the server, and goes on until it ends by itself at {at}: \
                 have it ask the server, or change the key that signs tokens; else retry the step then"
            )),
            Self::Local(at) => {
                Outcome::retry(format!("the resource takes the token, which ends by itself at {at}"))
            }
            Self::Unclear(why) => Outcome::unknown(why),
        }
    }
}

impl Tokens {
    pub(super) async fn look(&self, token: &str) -> Result<Look, ConnectError> {
        let kind = self.config.kind;
        let (standing, date) = self.standing(token, kind.hint()).await?;
        let said = match &standing {
            Standing::Active(seen) => {
                let until = words_until(seen.expires);
                return Ok(Look::Alive(format!("the {} is active{until}", kind.words())));
            }
            Standing::Inactive => "inactive",
            Standing::Blind => "no endpoint",
        };
        let expires = jwt::claims(token).and_then(|claims| claims.expires);
        let mut facts = effect::facts([
            ("introspection", json!(said)),
            ("cutoff", json!(date.map(|date| date.to_string()))),
        ]);
        if let Some(at) = expires {
            facts.insert("expires".to_owned(), json!(at.to_string()));
        }
        match (kind, &standing) {
            // Nothing else can tell, or the resource may well not ask the server.
            (Kind::AccessToken, Standing::Blind) => self.turned_away(token, expires, facts).await,
            (Kind::AccessToken, _) if jwt::claims(token).is_some() => {
                self.turned_away(token, expires, facts).await
            }
            (Kind::RefreshToken, Standing::Blind) if !self.was_sent(token) => Ok(Look::Alive(format!(
                "{WOULD_USE_UP}, so that it is not known whether it was revoked; that is done again"
            ))),
            (Kind::RefreshToken, Standing::Blind) => {
                Ok(match self.server.offer(&self.login().await?, token).await? {
                    Offered::Refused => Look::Dead(facts),
                    Offered::Known | Offered::Taken => {
                        Look::Alive("the token endpoint takes the refresh token".to_owned())
                    }
                    Offered::Unclear(why) => Look::Unclear(why),
                })
            }
            (Kind::AccessToken | Kind::RefreshToken, _) => Ok(Look::Dead(facts)),
        }
    }

    async fn turned_away(
        &self,
        token: &str,
        expires: Option<Timestamp>,
        facts: Facts,
    ) -> Result<Look, ConnectError> {
        Ok(match (self.enter(Some(token)).await?.lets_in(), expires) {
            (Ok(false), _) => Look::Dead(facts),
            (Ok(true), Some(at)) => Look::Local(at),
            (Ok(true), None) => Look::Alive("the resource takes the token".to_owned()),
            (Err(why), _) => Look::Unclear(why),
        })
    }

    /// Looks until what resources remember has passed.
    pub(super) async fn settled(&self, token: &str) -> Result<Outcome, ConnectError> {
        let settle = Duration::from_millis(self.settle_ms);
        let wait = settle.min(self.server.ctx().call_limit / 2);
        let mut look = self.look(token).await?;
        for _ in 0..LOOKS {
            match look {
                Look::Alive(_) | Look::Local(_) => {}
                Look::Dead(_) | Look::Unclear(_) => break,
            }
            tokio::time::sleep(wait / LOOKS).await;
            look = self.look(token).await?;
        }
        Ok(look.outcome(wait == settle))
    }

    pub(super) async fn tried(&self, token: &str) -> Result<Probe, ConnectError> {
        let standing = self.standing(token, self.config.kind.hint()).await?.0;
        match self.config.kind {
            Kind::AccessToken => {
                let door = self.enter(Some(token)).await?;
                Ok(self.at_resource(door, &standing, token))
            }
            Kind::RefreshToken => match standing {
                // It is not tried while it lives: that would use it up.
                Standing::Active(seen) => Ok(Probe::Accepted { facts: facts_of(&seen) }),
                Standing::Blind if !self.was_sent(token) => {
                    let reason = format!("{WOULD_USE_UP}: it is tried once its revocation was sent");
                    Ok(Probe::Inconclusive { reason })
                }
                Standing::Blind | Standing::Inactive => {
                    let offered = self.server.offer(&self.login().await?, token).await?;
                    Ok(at_token_endpoint(offered, &standing))
                }
            },
        }
    }

    /// What a resource and introspection say together.
    pub(super) fn at_resource(&self, door: Door, standing: &Standing, token: &str) -> Probe {
        let expires = jwt::claims(token).and_then(|claims| claims.expires);
        match (door.lets_in(), standing) {
            (Ok(true), Standing::Active(seen)) => Probe::Accepted { facts: facts_of(seen) },
            (Ok(true), Standing::Blind | Standing::Inactive) => Probe::Accepted {
                facts: effect::facts([
                    ("asks_the_server", json!(matches!(standing, Standing::Blind))),
                    ("expires", json!(expires.map(|at| at.to_string()))),
                ]),
            },
            (Ok(false), Standing::Active(_)) => Probe::Inconclusive {
                reason: "the resource refuses the token, and the server says that it is active: it may be good for another resource, or \
                         bound to a key of its client"
                    .to_owned(),
            },
            (Ok(false), Standing::Blind | Standing::Inactive) => match self.other_doors(token) {
                Some(why) => {
                    Probe::Inconclusive { reason: format!("the resource turned the bearer away, but {why}") }
                }
                None => Probe::Refused {
                    code: INVALID_TOKEN.to_owned(),
                    message: match expires {
                        Some(at) => format!("the resource turned the bearer away; by itself the token ends at {at}"),
                        None => "the resource turned the bearer away".to_owned(),
                    },
                },
            },
            (Err(reason), _) => Probe::Inconclusive { reason },
        }
    }

    /// Why a JWT may be good at a door that was not tried, whatever the server and the resource say.
    pub(super) fn other_doors(&self, token: &str) -> Option<String> {
        let claims = jwt::claims(token)?;
        if claims.expires.is_some_and(|at| at + LEEWAY <= wall_clock()) {
            return None;
        }
        let whose = match claims.audiences.as_slice() {
            [] => "does not say whom it is for",
            all if all.iter().all(|name| self.is_the_resource(name)) => return None,
            _ => "is for others than the resource that was tried, too (`aud`)",
        };
        let until = claims.expires.map_or_else(|| "for ever".to_owned(), |at| format!("until {at}"));
        Some(format!(
            "the token {whose}: whoever checks it without the server takes it {until}. Try it again then; or name what stands for the \
             resource alone in `token.audience`"
        ))
    }

    fn is_the_resource(&self, name: &str) -> bool {
        let mint = self.config.mint.as_ref();
        let control = self.control.as_ref();
        let given = [
            mint.and_then(|mint| mint.resource.as_ref()),
            mint.and_then(|mint| mint.audience.as_ref()),
            control.and_then(|control| control.resource.as_ref()),
        ];
        given.into_iter().flatten().chain(&self.config.audience).any(|known| known == name)
            || self.config.resource.as_deref().is_some_and(|resource| is_at(resource, name))
    }
}

/// `https://api.example.com/me` is at `https://api.example.com/`.
fn is_at(resource: &str, name: &str) -> bool {
    let (Ok(resource), Ok(name)) = (Url::parse(resource), Url::parse(name)) else { return false };
    let below = resource.path().strip_prefix(name.path().trim_end_matches('/'));
    name.has_host()
        && resource.origin() == name.origin()
        && name.query().is_none()
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

pub(super) fn facts_of(seen: &Seen) -> Facts {
    effect::facts([("client", json!(seen.shown)), ("expires", json!(seen.expires.map(|at| at.to_string())))])
}

pub(super) fn words_until(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" until {at}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_at_its_audience_and_at_no_other() {
        let at = |name: &str| is_at("https://api.example.com/v1/me", name);
        for name in
            ["https://api.example.com", "https://api.example.com/v1/", "https://api.example.com/v1/me"]
        {
            assert!(at(name), "{name}");
        }
        for name in [
            "https://api.example.com/v",
            "https://api.example.com/v2",
            "https://other.example.com/",
            "http://api.example.com/",
            "https://api.example.com/?x",
            "urn:api",
            "",
        ] {
            assert!(!at(name), "{name}");
        }
    }
}
