//! One's own sessions, and broken glass.

use quell_app::person::{self, glass};
use quell_app::{AppError, clock::now};
use quell_core::person::Role;
use quell_web::view;
use serde_json::json;

use super::{Desk, missing, segment};

impl Desk {
    /// One's own sessions. On the machine of the server: those of whoever is named as acting.
    pub(crate) async fn sessions(&self) -> Result<view::Sessions, AppError> {
        match self {
            Self::Here(app) => Ok(view::Sessions::of(person::of(app, &app.actor.id, now()).await?)),
            Self::There(remote) => remote.get("/sessions").await?.json(),
        }
    }

    /// Ends one of them; those that are left.
    pub(crate) async fn end_session(&self, id: &str) -> Result<view::Sessions, AppError> {
        match self {
            Self::Here(app) => {
                if !person::end_one(app, &app.actor.id, id, now()).await? {
                    return Err(AppError::NotFound { what: "session of yours", id: id.to_owned() });
                }
                self.sessions().await
            }
            Self::There(remote) => {
                let told = remote.post(&format!("/sessions/{}/end", segment(id)?), &json!({})).await;
                told.map_err(|error| missing(error, "session of yours", id))?.json()
            }
        }
    }

    /// Every break-glass.
    pub(crate) async fn glass(&self) -> Result<view::GlassList, AppError> {
        match self {
            Self::Here(app) => Ok(view::GlassList::of(person::people(app).await?)),
            Self::There(remote) => remote.get("/break-glass").await?.json(),
        }
    }

    /// Takes more rights for an hour.
    pub(crate) async fn break_glass(&self, role: Role, reason: &str) -> Result<view::GlassBroken, AppError> {
        match self {
            Self::Here(app) => {
                let people = person::people(app).await?;
                // Whoever sits at the machine may do everything there; broken glass is about what they may do on the server's pages.
                let own = people.own_role(&app.actor.id).ok_or_else(|| {
                    AppError::Usage(format!(
                        "{} may not sign in, so there are no rights to add to; `quell person add` lets somebody sign in",
                        app.actor.id
                    ))
                })?;
                let told = glass::open(app, own, role, reason, now()).await?;
                Ok(view::GlassBroken { told })
            }
            Self::There(remote) => {
                remote.post("/break-glass", &json!({ "role": role, "reason": reason })).await?.json()
            }
        }
    }

    /// Says what was found when somebody looked at it.
    pub(crate) async fn review_glass(
        &self,
        entry: u64,
        statement: &str,
    ) -> Result<view::GlassList, AppError> {
        match self {
            Self::Here(app) => {
                glass::review(app, entry, statement, now()).await?;
                self.glass().await
            }
            Self::There(remote) => {
                let body = json!({ "statement": statement });
                let told = remote.post(&format!("/break-glass/{entry}/review"), &body).await;
                told.map_err(|error| missing(error, "broken glass", &entry.to_string()))?.json()
            }
        }
    }
}
