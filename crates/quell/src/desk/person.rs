//! Who may sign in, and tokens for programs.

use jiff::SignedDuration;
use quell_app::person::{self, token};
use quell_app::{AppError, clock::now};
use quell_core::person::Role;
use quell_web::view;
use serde_json::{Value, json};
use url::Url;

use super::{Desk, Remote, Reply, missing};

impl Desk {
    /// Everybody who may sign in.
    pub(crate) async fn people(&self) -> Result<view::PersonList, AppError> {
        match self {
            Self::Here(app) => Ok(view::PersonList::of(&person::people(app).await?)),
            Self::There(remote) => remote.get("/people").await?.json(),
        }
    }

    /// Lets somebody sign in, or changes their role.
    pub(crate) async fn add_person(&self, name: &str, role: Role) -> Result<(), AppError> {
        match self {
            Self::Here(app) => person::add(app, name, role, now()).await,
            Self::There(remote) => {
                remote.post("/people", &json!({ "person": name, "role": role })).await.map(drop)
            }
        }
    }

    /// They may not sign in any more.
    pub(crate) async fn remove_person(&self, name: &str, reason: &str) -> Result<(), AppError> {
        match self {
            Self::Here(app) => person::remove(app, name, reason, now()).await,
            Self::There(remote) => {
                let asked = about(remote, name, "remove", &json!({ "reason": reason })).await;
                asked.map(drop)
            }
        }
    }

    /// A code to sign in with. A named sink: whoever asks vouches for the person.
    pub(crate) async fn code(&self, name: &str) -> Result<view::Code, AppError> {
        match self {
            Self::Here(app) => {
                let people = person::people(app).await?;
                let code = person::code(app, &people, name, person::At::Machine, now()).await?;
                Ok(view::Code::new(name, code.expose_text().unwrap_or_default().to_owned()))
            }
            Self::There(remote) => about(remote, name, "code", &json!({})).await?.json(),
        }
    }

    /// Ends all sessions and tokens of somebody.
    pub(crate) async fn sign_out(&self, name: &str) -> Result<view::SignedOut, AppError> {
        match self {
            Self::Here(app) => {
                let sessions = person::sign_out(app, name, now()).await?;
                Ok(view::SignedOut { person: name.to_owned(), sessions })
            }
            Self::There(remote) => about(remote, name, "sign-out", &json!({})).await?.json(),
        }
    }

    /// Two names are one person.
    pub(crate) async fn same_person(&self, name: &str, other: &str, reason: &str) -> Result<(), AppError> {
        match self {
            Self::Here(app) => person::same(app, name, other, reason, now()).await,
            Self::There(remote) => {
                let body = json!({ "other": other, "reason": reason });
                about(remote, name, "same", &body).await.map(drop)
            }
        }
    }

    /// Tokens that are good: at the machine all, of a server those that one may see.
    pub(crate) async fn tokens(&self) -> Result<view::Tokens, AppError> {
        match self {
            Self::Here(app) => {
                let tokens = token::list(app, None, now()).await?;
                Ok(view::Tokens { tokens: tokens.into_iter().map(view::TokenListed::from).collect() })
            }
            Self::There(remote) => remote.get("/tokens").await?.json(),
        }
    }

    /// Makes a token, shown this once.
    pub(crate) async fn make_token(
        &self,
        name: &str,
        role: Role,
        days: i64,
    ) -> Result<view::TokenMade, AppError> {
        match self {
            Self::Here(app) => {
                let lasts = SignedDuration::from_hours(days * 24);
                let new = token::NewToken { name: name.to_owned(), role, lasts, made_with: None };
                // Whoever may read the data folder may do everything.
                let (made, value) = token::make(app, Role::Admin, &new, now()).await?;
                Ok(view::TokenMade {
                    id: made.id,
                    token: value.expose_text().unwrap_or_default().to_owned(),
                    role: made.role,
                    expires: made.expires,
                })
            }
            Self::There(remote) => {
                remote.post("/tokens", &json!({ "name": name, "role": role, "days": days })).await?.json()
            }
        }
    }

    /// A token is refused from here on, and those that were made with it, if asked.
    pub(crate) async fn revoke_token(
        &self,
        id: &str,
        reason: &str,
        made: bool,
    ) -> Result<view::TokensRevoked, AppError> {
        match self {
            Self::Here(app) => {
                let what = token::Revoke { id, of: None, reason, made };
                let (revoked, made) = token::revoke(app, &what, now()).await?;
                Ok(view::TokensRevoked { revoked, made })
            }
            Self::There(remote) => {
                let path = format!("/tokens/{}/revoke", segment(id)?);
                let told = remote.post(&path, &json!({ "reason": reason, "made": made })).await;
                // Somebody may have given the whole token: no more of it is said than a public id has.
                let start: String = id.chars().take(token::ID).collect();
                told.map_err(|error| missing(error, "token", &start))?.json()
            }
        }
    }
}

async fn about(remote: &Remote, name: &str, what: &str, body: &Value) -> Result<Reply, AppError> {
    let told = remote.post(&format!("/people/{}/{what}", segment(name)?), body).await;
    told.map_err(|error| missing(error, "person", name))
}

/// A name as a part of a path: nothing in it leads elsewhere.
pub(super) fn segment(name: &str) -> Result<String, AppError> {
    let usage = || AppError::Usage("this is no name that a server knows".to_owned());
    // The two parts that would climb are dropped by URLs; no person or token is called so.
    if matches!(name, "" | "." | "..") {
        return Err(usage());
    }
    let mut url = Url::parse("http://name").map_err(|_constant| usage())?;
    url.path_segments_mut().map_err(|()| usage())?.clear().push(name);
    Ok(url.path().trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert_eq!(segment("ines@example.com").unwrap(), "ines@example.com");
        assert_eq!(segment("a/../b?c#d e").unwrap(), "a%2F..%2Fb%3Fc%23d%20e");
        for bad in ["", ".", ".."] {
            assert!(segment(bad).is_err());
        }
    }
}
