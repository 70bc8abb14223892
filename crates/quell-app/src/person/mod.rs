//! Who may use the server: people known here, their sessions, the codes they sign in with.
//!
//! What is decided (who may, as what) is in the ledger. A session or a code is not a fact worth keeping: it lies beside it, by its hash, and ends.

mod code;
pub mod glass;
pub mod oidc;
mod session;
pub mod token;

use jiff::Timestamp;
use quell_core::event::{Event, INSTALLATION};
use quell_core::person::{People, Role, Same};
use quell_store::{Batch, NewEntry, StoreError};
use sha2::Digest as _;

use crate::{App, AppError};

pub use code::{At, CODE_LASTS, code, redeem};
pub use quell_core::person::Issued;
pub use session::{
    Found, LASTS, Session, Source, begin, confirm, end, end_all, end_one, find, find_named, of, start,
};

/// Everybody who is known here, as of now.
pub async fn people(app: &App) -> Result<People, AppError> {
    crate::fold::people(app).await
}

/// Decides about people on the newest state, again and again until nobody was faster.
pub async fn decide<T>(
    app: &App,
    at: Timestamp,
    mut decide: impl FnMut(&People) -> Result<(Vec<Event>, T), AppError>,
) -> Result<T, AppError> {
    let mut tries = 0;
    loop {
        let people = people(app).await?;
        let (events, out) = decide(&people)?;
        if events.is_empty() {
            return Ok(out);
        }
        let mut batch = Batch::new(INSTALLATION, people.next_pos);
        for event in events {
            batch.push(NewEntry::new(app.actor.clone(), event));
        }
        match app.store.append(batch, at).await {
            Ok(_) => return Ok(out),
            // Somebody was faster; nobody is that often.
            Err(StoreError::Conflict { .. }) if tries < 100 => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lets somebody sign in with this role, or changes their role.
pub async fn add(app: &App, person: &str, role: Role, at: Timestamp) -> Result<(), AppError> {
    let person = quell_core::person::name(person).map_err(|e| AppError::Usage(e.to_string()))?;
    crate::words::refuse_values(app, None, &[&person]).await?;
    decide(app, at, |people| {
        if let Some(other) = people.namesake(&person).filter(|other| *other != person) {
            return Err(AppError::Usage(format!(
                "{other} is known here already: two spellings of one name would count as two people"
            )));
        }
        if role < Role::Admin && people.is_last_admin(&person) {
            return Err(AppError::Usage(last_admin(&person)));
        }
        let same = people.local.get(&person) == Some(&role);
        let events =
            if same { Vec::new() } else { vec![Event::PersonAdded { person: person.clone(), role }] };
        Ok((events, ()))
    })
    .await
}

fn last_admin(person: &str) -> String {
    format!(
        "{person} is the last admin known here: add another one first (`quell person add NAME --role admin`)"
    )
}

/// Somebody may not sign in any more; their sessions end at once.
pub async fn remove(app: &App, person: &str, reason: &str, at: Timestamp) -> Result<(), AppError> {
    if reason.trim().is_empty() {
        return Err(AppError::Usage("say why they may not sign in any more (--reason)".to_owned()));
    }
    crate::words::refuse_values(app, None, &[reason]).await?;
    decide(app, at, |people| {
        if !people.local.contains_key(person) {
            return Err(AppError::NotFound { what: "person", id: person.to_owned() });
        }
        if people.is_last_admin(person) {
            return Err(AppError::Usage(last_admin(person)));
        }
        let mut events = vec![Event::PersonRemoved { person: person.to_owned(), reason: reason.to_owned() }];
        events.extend(revoked(people, person));
        Ok((events, ()))
    })
    .await?;
    end_all(app, person).await?;
    Ok(())
}

/// Two names are one person from here on: a local one, and that at the identity provider. Where two people are needed, they count once. For good: who
/// could take it back could count twice.
pub async fn same(app: &App, person: &str, other: &str, reason: &str, at: Timestamp) -> Result<(), AppError> {
    let name = |text| quell_core::person::name(text).map_err(|e| AppError::Usage(e.to_string()));
    let (person, other) = (name(person)?, name(other)?);
    if reason.trim().is_empty() {
        return Err(AppError::Usage("say how you know that they are one person (--reason)".to_owned()));
    }
    crate::words::refuse_values(app, None, &[&person, &other, reason]).await?;
    decide(app, at, |people| {
        let known = matches!(people.one_person(&person, &other, at), Some(Same::Spelling | Same::Linked));
        let same = Event::PersonSame {
            person: person.clone(),
            other: other.clone(),
            reason: reason.trim().to_owned(),
        };
        Ok((if known { Vec::new() } else { vec![same] }, ()))
    })
    .await
}

/// What an identity provider says somebody may do: their tokens may do no more from here on.
pub(super) async fn provided(app: &App, person: &str, role: Role, at: Timestamp) -> Result<(), AppError> {
    decide(app, at, |people| {
        let known = people.provided.get(person) == Some(&role);
        let said = Event::PersonProvided { person: person.to_owned(), role };
        Ok((if known { Vec::new() } else { vec![said] }, ()))
    })
    .await
}

/// Whoever it is, by a code or by an identity provider: their sessions end, their tokens are refused from here on. How many sessions.
pub async fn sign_out(app: &App, person: &str, at: Timestamp) -> Result<u64, AppError> {
    decide(app, at, |people| Ok((revoked(people, person), ()))).await?;
    end_all(app, person).await
}

fn revoked(people: &People, person: &str) -> Vec<Event> {
    let theirs = people.tokens.values().filter(|issued| issued.by == person);
    let reason = format!("{person} was signed out everywhere");
    theirs
        .map(|issued| Event::TokenRevoked { token: issued.token.id.clone(), reason: reason.clone() })
        .collect()
}

/// SHA-256 in hex. Name of something that lets somebody in: what is kept opens nothing.
pub fn hash(secret: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(secret))
}
