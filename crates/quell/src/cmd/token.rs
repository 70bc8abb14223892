//! `quell token …`: tokens that programs sign in with.

use quell_app::AppError;
use quell_web::view::{TokenListed, Tokens};

use super::word;
use crate::cli::TokenCommand;
use crate::desk::Seat;
use crate::exit;
use crate::output::Out;

pub(crate) async fn run(seat: &Seat, command: &TokenCommand, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk().await?;
    match command {
        TokenCommand::Make { name, role, days } => {
            let made = desk.make_token(name, word(role)?, *days).await?;
            // A named sink: it is shown this once, to whoever made it.
            if out.json() {
                out.object(&made)?;
            } else {
                out.data(&made.token)?;
                out.status(format!(
                    "token {}, {} until {}; it is not shown again",
                    made.id, made.role, made.expires
                ));
            }
        }
        TokenCommand::List => list(desk.tokens().await?, out)?,
        TokenCommand::Revoke { id, reason, made } => {
            let said = desk.revoke_token(id, reason, *made).await?;
            if out.json() {
                out.object(&said)?;
            }
            out.status(format!("refused from here on: {}", said.revoked.join(", ")));
            if !said.made.is_empty() {
                out.status(format!("made with it, and still good: {}", said.made.join(", ")));
                out.hint("if it leaked, whoever had it may have made them: `--made` revokes them, too");
            }
        }
    }
    Ok(exit::OK)
}

fn list(known: Tokens, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(&known);
    }
    if known.tokens.is_empty() {
        out.status("no token");
        return Ok(());
    }
    let row = |token: TokenListed| {
        let used = token.used.map_or_else(|| "never".to_owned(), |used| used.to_string());
        let with = token.made_with.map(|other| format!(", with {other}")).unwrap_or_default();
        let by = format!("{}{with}", token.person);
        vec![token.id, token.name, by, token.role.to_string(), used, token.expires.to_string()]
    };
    let rows = known.tokens.into_iter().map(row).collect();
    out.table(&["id", "name", "made by", "role", "used", "ends"], rows)
}
