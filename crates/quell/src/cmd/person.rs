//! `quell person …`: who may sign in to the server.

use quell_app::AppError;
use quell_core::person::Role;

use super::word;
use crate::cli::PersonCommand;
use crate::desk::{Desk, Seat};
use crate::exit;
use crate::output::Out;

pub(crate) async fn run(seat: &Seat, command: &PersonCommand, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk().await?;
    match command {
        PersonCommand::Add { name, role } => {
            let role: Role = word(role)?;
            desk.add_person(name, role).await?;
            out.status(format!("{name} may sign in as {role}"));
            out.hint(format!("`quell person code {name}` prints a code to sign in with"));
        }
        PersonCommand::List => list(&desk, out).await?,
        PersonCommand::Code { name } => {
            let code = desk.code(name).await?;
            if out.json() {
                out.object(&code)?;
            } else {
                out.data(&code.code)?;
                out.status("good once, for ten minutes; an earlier one is good no more");
            }
        }
        PersonCommand::SignOut { name } => {
            let ended = desk.sign_out(name).await?.sessions;
            out.status(format!("{name}: {ended} session(s) ended; their tokens are refused from here on"));
        }
        PersonCommand::Same { name, other, reason } => {
            desk.same_person(name, other, reason).await?;
            out.status(format!("{name} and {other} are one person from here on"));
        }
        PersonCommand::Remove { name, reason } => {
            desk.remove_person(name, reason).await?;
            out.status(format!(
                "{name} may not sign in any more; their sessions have ended, their tokens are refused"
            ));
        }
    }
    Ok(exit::OK)
}

async fn list(desk: &Desk, out: &Out) -> Result<(), AppError> {
    let known = desk.people().await?;
    if out.json() {
        return out.object(&known);
    }
    if known.people.is_empty() {
        out.status("nobody; `quell person add NAME --role admin` lets the first one in");
        return Ok(());
    }
    let rows = known.people.into_iter().map(|one| {
        let by = if one.provided { "the identity provider" } else { "codes" };
        vec![one.person, one.role.to_string(), by.to_owned()]
    });
    out.table(&["name", "role", "signs in by"], rows.collect())
}
