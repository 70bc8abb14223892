//! `quell session …`, `quell break-glass …`.

use quell_app::AppError;
use quell_core::person::Role;

use super::word;
use crate::cli::{GlassCommand, SessionCommand};
use crate::desk::Seat;
use crate::exit;
use crate::output::Out;

pub(crate) async fn run(seat: &Seat, command: &SessionCommand, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk().await?;
    let known = match command {
        SessionCommand::List => desk.sessions().await?,
        SessionCommand::End { id } => desk.end_session(id).await?,
    };
    if out.json() {
        out.object(&known)?;
    } else if known.sessions.is_empty() {
        out.status("no session");
    } else {
        let rows = known.sessions.into_iter();
        let rows = rows.map(|one| vec![one.id, one.since.to_string(), one.confirmed.to_string()]);
        out.table(&["id", "since", "showed who they are"], rows.collect())?;
    }
    Ok(exit::OK)
}

/// Broken glass.
pub(crate) async fn glass(seat: &Seat, command: &GlassCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        GlassCommand::Open { role, reason } => {
            let role: Role = word(role)?;
            // The channels that are told of it stand in the inventory.
            let desk = seat.desk_with_inventory().await?;
            let broken = desk.break_glass(role, reason).await?;
            if out.json() {
                out.object(&broken)?;
            }
            let where_ = "in your sessions on the server's pages";
            out.status(format!("you are {role} for an hour, {where_}; somebody else looks at it afterwards"));
            // What a token may do was settled when it was made.
            if desk.is_there() {
                out.hint("this token may do no more than before: sign in on the page, and act there");
            }
            if broken.told.is_empty() {
                out.warning("no channel took the news: tell people yourself");
            } else {
                out.status(format!("told: {}", broken.told.join(", ")));
            }
        }
        GlassCommand::Review { entry, statement } => {
            let known = seat.desk().await?.review_glass(*entry, statement).await?;
            if out.json() {
                out.object(&known)?;
            }
            out.status("it was looked at, and has ended");
        }
        GlassCommand::List => {
            let known = seat.desk().await?.glass().await?;
            if out.json() {
                out.object(&known)?;
            } else if known.glass.is_empty() {
                out.status("nobody broke the glass");
            } else {
                let rows = known.glass.into_iter().map(|one| {
                    let looked = match (one.reviewed_by, one.statement) {
                        (Some(by), Some(found)) => format!("{by}: {found}"),
                        (by, _) => by.unwrap_or_else(|| "nobody yet".to_owned()),
                    };
                    let until = one.until.to_string();
                    vec![one.entry.to_string(), one.person, one.role.to_string(), until, one.reason, looked]
                });
                out.table(&["entry", "who", "as", "until", "why", "looked at by"], rows.collect())?;
            }
        }
    }
    Ok(exit::OK)
}
