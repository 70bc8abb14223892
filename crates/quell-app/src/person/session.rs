//! Sessions of the web page: a random cookie whose hash is kept, and what it stands for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use quell_core::person::{People, Role};
use quell_core::secret::SecretValue;
use quell_store::{Lapsing, StoreError};
use serde::{Deserialize, Serialize};

use super::hash;
use crate::{App, AppError};

/// How long a session lasts, whatever is done with it: a working day and a night's incident.
pub const LASTS: SignedDuration = SignedDuration::from_hours(12);
/// Kind of row.
const KIND: &str = "session";
/// Random bytes of a cookie.
const RANDOM: usize = 32;

/// Who vouched for the person.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// This installation: their role is looked up anew at each request.
    Local,
    /// An identity provider: the role that its claims gave at sign-in.
    Oidc,
}

/// What a session stands for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Session {
    /// Who.
    pub person: String,
    /// As what, when an identity provider said so.
    pub role: Role,
    /// Who vouched for them.
    pub source: Source,
    /// Goes into every form; a page of somebody else cannot know it.
    pub csrf: String,
    /// When they signed in.
    pub since: Timestamp,
    /// When they last showed who they are; steps that cannot be taken back ask for it anew.
    pub confirmed: Timestamp,
}

/// A session that was found by its cookie.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its public name: a hash.
    pub id: String,
    /// What it stands for.
    pub session: Session,
    /// What the person may do now.
    pub role: Role,
    /// What they may do without broken glass.
    pub own: Role,
}

/// Random text that can stand in a cookie or a URL.
pub(super) fn random() -> Result<String, AppError> {
    let mut bytes = [0_u8; RANDOM];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Begins a session. Gives the cookie.
pub async fn start(
    app: &App,
    person: &str,
    role: Role,
    source: Source,
    now: Timestamp,
) -> Result<SecretValue, AppError> {
    begin(app, person, role, source, (now, now)).await
}

/// The same for somebody who showed who they are at another moment: `times` are now, and then.
pub async fn begin(
    app: &App,
    person: &str,
    role: Role,
    source: Source,
    (now, confirmed): (Timestamp, Timestamp),
) -> Result<SecretValue, AppError> {
    let person = quell_core::person::name(person).map_err(|e| AppError::Usage(e.to_string()))?;
    let cookie = SecretValue::from_text(random()?);
    let session = Session { person: person.clone(), role, source, csrf: random()?, since: now, confirmed };
    let row = row(&hash(cookie.expose()), &session)?;
    app.store.lapsing_sweep(now).await?;
    app.store.lapsing_add(KIND, &row, now).await?;
    Ok(cookie)
}

fn row(id: &str, session: &Session) -> Result<Lapsing, AppError> {
    let body = serde_json::to_string(session).map_err(|e| StoreError::Ledger(e.to_string()))?;
    let expires = session.since.checked_add(LASTS).unwrap_or(Timestamp::MAX);
    Ok(Lapsing {
        id: id.to_owned(),
        owner: session.person.clone(),
        body,
        expires_us: expires.as_microsecond(),
    })
}

/// The session of a cookie, with what its person may do now. None when it has ended, or the person is gone.
pub async fn find(
    app: &App,
    people: &People,
    cookie: &SecretValue,
    now: Timestamp,
) -> Result<Option<Found>, AppError> {
    find_named(app, people, hash(cookie.expose()), now).await
}

/// The same by its public name, for somebody who showed the cookie before.
pub async fn find_named(
    app: &App,
    people: &People,
    id: String,
    now: Timestamp,
) -> Result<Option<Found>, AppError> {
    let Some(row) = app.store.lapsing(KIND, &id, now).await? else { return Ok(None) };
    let Ok(session) = serde_json::from_str::<Session>(&row.body) else { return Ok(None) };
    let own = match session.source {
        Source::Local => people.local.get(&session.person).copied(),
        Source::Oidc => Some(session.role),
    };
    let Some(own) = own.filter(|_| !people.is_removed(&session.person)) else { return Ok(None) };
    let role = people.role(&session.person, own, now);
    Ok(Some(Found { id, session, role, own }))
}

/// The person of a session showed anew who they are. False when it has ended.
pub async fn confirm(app: &App, id: &str, now: Timestamp) -> Result<bool, AppError> {
    let Some(kept) = app.store.lapsing(KIND, id, now).await? else { return Ok(false) };
    let Ok(mut session) = serde_json::from_str::<Session>(&kept.body) else { return Ok(false) };
    session.confirmed = now;
    Ok(app.store.lapsing_set(KIND, &row(id, &session)?).await?)
}

/// Ends one session of a person.
pub async fn end_one(app: &App, person: &str, id: &str, now: Timestamp) -> Result<bool, AppError> {
    if !of(app, person, now).await?.iter().any(|(own, _)| own == id) {
        return Ok(false);
    }
    end(app, id, now).await
}

/// Ends one session.
pub async fn end(app: &App, id: &str, now: Timestamp) -> Result<bool, AppError> {
    Ok(app.store.lapsing_take(KIND, id, now).await?.is_some())
}

/// Ends all sessions of a person. How many.
pub async fn end_all(app: &App, person: &str) -> Result<u64, AppError> {
    Ok(app.store.lapsing_drop(KIND, person).await?)
}

/// The sessions of a person: name and what each stands for.
pub async fn of(app: &App, person: &str, now: Timestamp) -> Result<Vec<(String, Session)>, AppError> {
    let rows = app.store.lapsing_of(KIND, person, now).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.id, serde_json::from_str(&row.body).ok()?))).collect())
}
