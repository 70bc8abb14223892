//! Other tokens of the leaked grant, as consumers keep them: counted, ended, and told from those that people gave anew.

use jiff::Timestamp;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::json;

use super::config::Kind;
use super::jwt;
use super::server::{Login, Standing};
use super::token::Tokens;
use crate::effect;
use crate::error::{ConnectError, ConnectErrorKind};

/// Which grant a token is of.
#[derive(Clone, Copy)]
enum Grant {
    /// It was issued before that was ended; or nobody knows when that was.
    Leaked,
    /// It was issued afterwards.
    New,
    Unknown,
}

/// What was found of them.
#[derive(Default)]
pub(super) struct Family {
    /// Those of the leaked grant, whatever was seen of them.
    of_it: Vec<SecretValue>,
    /// How many of those are good.
    live: u64,
    /// Good ones of which nothing tells whether they are of a new grant.
    undated: Vec<SecretValue>,
    /// How many are of a new grant.
    spared: u64,
    /// How many references lead to nothing.
    absent: u64,
    /// What cannot be told, and why.
    unclear: Vec<String>,
}

const COUNTING: &str = "counting the tokens of the grant";

impl Family {
    fn counted(&self, tokens: &Tokens) -> Result<u64, ConnectError> {
        if self.unclear.is_empty() {
            return Ok(self.live);
        }
        let words = format!("sessions could not be counted: {}", self.unclear.join("; "));
        Err(tokens.server.error(COUNTING, ConnectErrorKind::Lost, words))
    }
}

impl Tokens {
    /// Those that were issued after `cutoff` are of a new grant; without one all are of the leaked one.
    async fn family(&self, cutoff: Option<&str>) -> Family {
        let cutoff = cutoff.and_then(|text| text.parse::<Timestamp>().ok());
        let mut family = Family::default();
        for reference in &self.config.family {
            let value = match reference.resolve(self.server.ctx()).await {
                Ok(value) => value,
                Err(error) if error.kind == ConnectErrorKind::Missing => {
                    family.absent += 1;
                    continue;
                }
                Err(error) => {
                    family.unclear.push(error.to_string());
                    continue;
                }
            };
            match self.text(&value) {
                Ok(token) => {
                    let (issued, good) = self.member(token).await;
                    let grant = match (cutoff, issued) {
                        (Some(cutoff), Some(issued)) if issued > cutoff => Grant::New,
                        (Some(_), None) => Grant::Unknown,
                        (Some(_), Some(_)) | (None, _) => Grant::Leaked,
                    };
                    family.add(&reference.to_string(), value, grant, good);
                }
                Err(error) => family.unclear.push(format!("{reference}: {}", error.detail)),
            }
        }
        family
    }

    /// When it was issued, and whether it is good; or why that cannot be told.
    async fn member(&self, token: &str) -> (Option<Timestamp>, Result<bool, String>) {
        let written = jwt::claims(token).and_then(|claims| claims.issued);
        match self.standing(token, Kind::AccessToken.hint()).await {
            Ok((Standing::Active(seen), _)) => (seen.issued.or(written), Ok(true)),
            Ok((Standing::Blind | Standing::Inactive, _)) => match self.enter(Some(token)).await {
                Ok(door) => (written, door.lets_in()),
                Err(error) => (written, Err(error.to_string())),
            },
            Err(error) => (written, Err(error.to_string())),
        }
    }

    /// Revokes what cannot be told from tokens of a new grant later, and is of the leaked one as long as that is good. How many.
    pub(super) async fn end_undated(&self, login: &Login, cutoff: Option<Timestamp>) -> usize {
        let cutoff = cutoff.map(|at| at.to_string());
        let mut ended = 0;
        for value in self.family(cutoff.as_deref()).await.undated {
            let token = value.expose_text().unwrap_or_default();
            // What is left of them is counted later.
            ended += usize::from(self.server.revoke(login, token, Kind::AccessToken.hint()).await.is_ok());
        }
        ended
    }

    pub(super) async fn sever(&self, cutoff: Option<&str>) -> Result<Outcome, ConnectError> {
        let login = self.login().await?;
        let family = self.family(cutoff).await;
        // The first failure may come after others were ended.
        let mut sent = false;
        for value in &family.of_it {
            let token = self.text(value)?;
            let reply = self.server.revoke(&login, token, Kind::AccessToken.hint()).await;
            let reply = reply.map_err(|error| if sent { effect::after_effect(error) } else { error })?;
            if reply.is("unsupported_token_type") && family.live > 0 {
                let words = "an access token of the same grant cannot be revoked (unsupported_token_type): it lives until it ends by itself";
                return Ok(Outcome::refused(words));
            }
            sent = true;
        }
        let ended = family.live;
        self.observe_sever(cutoff, ended)
            .await
            .map_err(|error| if sent { effect::after_effect(error) } else { error })
    }

    pub(super) async fn observe_sever(
        &self,
        cutoff: Option<&str>,
        ended: u64,
    ) -> Result<Outcome, ConnectError> {
        let left = self.family(cutoff).await;
        let facts = effect::facts([
            ("ended", json!(ended)),
            ("spared", json!(left.spared)),
            ("absent", json!(left.absent)),
        ]);
        Ok(effect::severed(left.counted(self)?, facts))
    }

    pub(super) async fn count_family(&self, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.family(cutoff).await.counted(self)
    }
}

impl Family {
    fn add(&mut self, place: &str, value: SecretValue, grant: Grant, good: Result<bool, String>) {
        match (grant, good) {
            (Grant::New, _) => self.spared += 1,
            (Grant::Unknown, Ok(true)) => {
                self.unclear.push(format!(
                    "nothing tells when the token in {place} was issued, so that it cannot be told apart from one of a new grant"
                ));
                self.undated.push(value);
            }
            (Grant::Unknown, Err(why)) => self.unclear.push(format!("{place}: {why}")),
            (Grant::Leaked, Err(why)) => {
                self.unclear.push(format!("{place}: {why}"));
                self.of_it.push(value);
            }
            (Grant::Leaked, Ok(good)) => {
                self.live += u64::from(good);
                self.of_it.push(value);
            }
            // It is dead, whichever it was of.
            (Grant::Unknown, Ok(false)) => self.of_it.push(value),
        }
    }
}
