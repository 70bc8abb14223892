//! People, their tokens, and broken glass.

use jiff::Timestamp;
use quell_app::person::{self, Issued, token};
use quell_core::person::{BreakGlass, People, Role, Token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape;

/// Who may sign in by codes, and whom an identity provider has let in.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct PersonList {
    /// By name.
    pub people: Vec<Person>,
}

/// Somebody.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Person {
    /// The name that decisions are recorded with.
    pub person: String,
    /// What they may do.
    #[schemars(with = "shape::Role")]
    pub role: Role,
    /// An identity provider said so when they signed in last; else this installation does.
    pub provided: bool,
}

impl PersonList {
    /// Of a fold.
    pub fn of(people: &People) -> Self {
        let provided = people.provided.iter().filter(|(name, _)| !people.local.contains_key(*name));
        let all = people.local.iter().map(|one| (one, false)).chain(provided.map(|one| (one, true)));
        let mut people: Vec<Person> = all
            .map(|((person, role), provided)| Person { person: person.clone(), role: *role, provided })
            .collect();
        people.sort_by(|a, b| a.person.cmp(&b.person));
        Self { people }
    }
}

/// A code to sign in with. It is shown this once.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Code {
    /// Who signs in with it.
    pub person: String,
    /// Four groups of five letters.
    pub code: String,
    /// How long it is good.
    pub seconds: i64,
}

impl Code {
    /// A code that was just made.
    pub fn new(person: &str, code: String) -> Self {
        Self { person: person.to_owned(), code, seconds: person::CODE_LASTS.as_secs() }
    }
}

/// Somebody was signed out everywhere.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct SignedOut {
    /// Who.
    pub person: String,
    /// Sessions that ended.
    pub sessions: u64,
}

/// A session of the one who asks.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Session {
    /// Its public name.
    pub id: String,
    /// When they signed in.
    pub since: Timestamp,
    /// When they last showed who they are.
    pub confirmed: Timestamp,
}

/// All of them.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Sessions {
    /// Oldest first.
    pub sessions: Vec<Session>,
}

impl Sessions {
    /// Of one person.
    pub fn of(mut own: Vec<(String, person::Session)>) -> Self {
        own.sort_by_key(|(_, session)| session.since);
        let row = |(id, session): (String, person::Session)| Session {
            id,
            since: session.since,
            confirmed: session.confirmed,
        };
        Self { sessions: own.into_iter().map(row).collect() }
    }
}

impl GlassList {
    /// Of a fold.
    pub fn of(people: People) -> Self {
        Self { glass: people.break_glass.into_iter().map(Glass::from).collect() }
    }
}

/// More rights for a while, in an emergency.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Glass {
    /// Entry that opened it.
    pub entry: u64,
    /// Who.
    pub person: String,
    /// What they may do in that time.
    #[schemars(with = "shape::Role")]
    pub role: Role,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who looked at it afterwards.
    pub reviewed_by: Option<String>,
    /// What they found.
    pub statement: Option<String>,
}

impl From<BreakGlass> for Glass {
    fn from(glass: BreakGlass) -> Self {
        let BreakGlass { person, role, until, reason, opened, reviewed } = glass;
        let (reviewed_by, statement) = reviewed.unzip();
        Self { entry: opened, person, role, until, reason, reviewed_by, statement }
    }
}

/// Every break-glass.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct GlassList {
    /// Oldest first.
    pub glass: Vec<Glass>,
}

/// Somebody broke the glass.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct GlassBroken {
    /// Channels that took the news.
    pub told: Vec<String>,
}

/// A token without its value.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct TokenListed {
    /// Public id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Who made it.
    pub person: String,
    /// What it may do.
    #[schemars(with = "shape::Role")]
    pub role: Role,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was used last, to the minute.
    pub used: Option<Timestamp>,
    /// The token that it was made with, when no person was there.
    pub made_with: Option<String>,
}

impl From<token::Listed> for TokenListed {
    fn from(listed: token::Listed) -> Self {
        let token::Listed { issued: Issued { token, by, at }, used } = listed;
        let Token { id, name, role, expires, made_with, sha256: _ } = token;
        Self { id, name, person: by, role, made: at, expires, used, made_with }
    }
}

/// All that may be seen.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Tokens {
    /// By id.
    pub tokens: Vec<TokenListed>,
}

/// The token that asks.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct OwnToken {
    /// Public id; none where a session asks.
    pub id: Option<String>,
    /// Who made it.
    pub person: String,
    /// What it may do now.
    #[schemars(with = "shape::Role")]
    pub role: Role,
}

/// What was made. The value is shown this once.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct TokenMade {
    /// Public id.
    pub id: String,
    /// The token.
    pub token: String,
    /// What it may do.
    #[schemars(with = "shape::Role")]
    pub role: Role,
    /// When it ends.
    pub expires: Timestamp,
}

/// What is refused from here on.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct TokensRevoked {
    /// Public ids.
    pub revoked: Vec<String>,
    /// Those that were made with it and are still good.
    pub made: Vec<String>,
}
