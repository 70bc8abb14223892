//! `quell token …`.

use jiff::SignedDuration;
use quell_app::clock::now;
use quell_app::person;
use quell_app::person::token::{self, NewToken};
use quell_app::{AppError, Options};
use quell_core::person::Role;
use serde_json::json;

use super::{app_without_inventory, word};
use crate::cli::TokenCommand;
use crate::exit;
use crate::output::Out;

pub(crate) async fn token(options: &Options, command: &TokenCommand, out: &Out) -> Result<u8, AppError> {
    let app = app_without_inventory(options).await?;
    let at = now();
    match command {
        TokenCommand::Make { name, role, days } => {
            let lasts = SignedDuration::from_hours(days * 24);
            let new = NewToken { name: name.clone(), role: word(role)?, lasts };
            // Whoever may read the data folder may do everything.
            let (made, value) = token::make(&app, Role::Admin, &new, at).await?;
            // A named sink: it is shown this once, to whoever made it.
            let text = value.expose_text().unwrap_or_default();
            if out.json() {
                out.object(&json!({ "id": made.id, "token": text, "expires": made.expires }))?;
            } else {
                out.data(text)?;
                out.status(format!(
                    "token {} of {}, {} until {}; it is not shown again",
                    made.id, app.actor.id, made.role, made.expires
                ));
            }
        }
        TokenCommand::List => {
            let people = person::people(&app).await?;
            let mut rows = Vec::new();
            for issued in people.tokens.values() {
                rows.push((issued, token::last_used(&app, &issued.token.id, at).await?));
            }
            if out.json() {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|(issued, used)| {
                        let token = &issued.token;
                        json!({
                            "id": token.id, "name": token.name, "person": issued.by, "role": token.role,
                            "made": issued.at, "expires": token.expires, "used": used,
                        })
                    })
                    .collect();
                out.object(&json!({ "tokens": rows }))?;
            } else if rows.is_empty() {
                out.status("no token");
            } else {
                let row = |(issued, used): (&person::Issued, Option<jiff::Timestamp>)| {
                    let token = &issued.token;
                    let used = used.map_or_else(|| "never".to_owned(), |used| used.to_string());
                    vec![
                        token.id.clone(),
                        token.name.clone(),
                        issued.by.clone(),
                        token.role.to_string(),
                        used,
                        token.expires.to_string(),
                    ]
                };
                out.table(
                    &["id", "name", "made by", "role", "used", "ends"],
                    rows.into_iter().map(row).collect(),
                )?;
            }
        }
        TokenCommand::Revoke { id, reason } => {
            token::revoke(&app, id, reason, at).await?;
            out.status(format!("token {id} is refused from here on"));
        }
    }
    Ok(exit::OK)
}
