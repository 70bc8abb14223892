//! Notices: drafted, changed and sent here, or by a server.

use std::sync::Arc;

use quell_app::driver::{self, Run};
use quell_app::{App, AppError, notice};
use quell_core::IncidentId;
use quell_core::incident::Incident;
use quell_web::view;
use serde_json::{Value, json};

use super::{Desk, part};

impl Desk {
    /// What can be drafted, and by which channels it can be sent.
    pub(crate) async fn notice_kinds(&self) -> Result<view::NoticeKinds, AppError> {
        match self {
            Self::Here(app) => view::NoticeKinds::of(app),
            Self::There(remote) => remote.get("/notice-kinds").await?.json(),
        }
    }

    /// One notice.
    pub(crate) async fn notice(&self, id: IncidentId, notice: &str) -> Result<view::Notice, AppError> {
        found(&self.incident(id).await?, notice)
    }

    /// Drafts one.
    pub(crate) async fn draft_notice(&self, id: IncidentId, kind: &str) -> Result<view::Notice, AppError> {
        match self {
            Self::Here(app) => {
                let (incident, notice) = notice::draft(app, id, kind).await?;
                found(&incident, &notice)
            }
            Self::There(remote) => {
                let told = remote.post(&format!("/incidents/{id}/notices"), &json!({ "kind": kind })).await?;
                let drafted: String = part(&told.json()?, "notice")?;
                self.notice(id, &drafted).await
            }
        }
    }

    /// Changes the draft that was read: its hash.
    pub(crate) async fn edit_notice(
        &self,
        id: IncidentId,
        notice: &str,
        (title, body): (&str, &str),
        read: &str,
    ) -> Result<view::Notice, AppError> {
        match self {
            Self::Here(app) => {
                found(&notice::edit(app, id, notice, (title, body), Some(read)).await?, notice)
            }
            Self::There(_) => {
                let asked = json!({ "title": title, "body": body, "sha256": read });
                self.asked(id, notice, "edit", &asked).await
            }
        }
    }

    /// Gives a draft up.
    pub(crate) async fn drop_notice(
        &self,
        id: IncidentId,
        notice: &str,
        reason: &str,
    ) -> Result<view::Notice, AppError> {
        match self {
            Self::Here(app) => found(&notice::drop_draft(app, id, notice, reason).await?, notice),
            Self::There(_) => self.asked(id, notice, "drop", &json!({ "reason": reason })).await,
        }
    }

    /// Sends the draft that was read, by its hash, and here waits until each channel has it or gave up.
    pub(crate) async fn send_notice(
        &self,
        id: IncidentId,
        notice: &str,
        channels: &[String],
        read: &str,
    ) -> Result<view::Notice, AppError> {
        match self {
            Self::Here(app) => {
                notice::send(app, id, notice, channels, Some(read)).await?;
                go_on(app, id, notice).await
            }
            Self::There(_) => {
                self.asked(id, notice, "send", &json!({ "channels": channels, "sha256": read })).await
            }
        }
    }

    /// Lets the channels that gave up try once more.
    pub(crate) async fn retry_notice(&self, id: IncidentId, notice: &str) -> Result<view::Notice, AppError> {
        match self {
            Self::Here(app) => {
                notice::retry(app, id, notice).await?;
                go_on(app, id, notice).await
            }
            Self::There(_) => self.asked(id, notice, "retry", &json!({})).await,
        }
    }

    /// Of a server.
    async fn asked(
        &self,
        id: IncidentId,
        notice: &str,
        what: &str,
        body: &Value,
    ) -> Result<view::Notice, AppError> {
        if let Self::There(remote) = self {
            // Its name is a part of the path: one that is none is nobody's.
            if notice.is_empty() || !notice.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(missing(notice));
            }
            remote.post(&format!("/incidents/{id}/notices/{notice}/{what}"), body).await?;
        }
        self.notice(id, notice).await
    }
}

fn missing(notice: &str) -> AppError {
    AppError::NotFound { what: "notice", id: notice.to_owned() }
}

fn found(incident: &Incident, notice: &str) -> Result<view::Notice, AppError> {
    let found = incident.notice(notice).ok_or_else(|| missing(notice))?;
    Ok(view::Notice::of(incident, found))
}

async fn go_on(app: &Arc<App>, id: IncidentId, notice: &str) -> Result<view::Notice, AppError> {
    driver::tell(Arc::clone(app), id, notice, Run::until_idle()).await?;
    found(&app.incident(id).await?, notice)
}
