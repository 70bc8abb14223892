//! One-time codes to sign in with. Whoever may run `quell person code` beside the data folder vouches for the person; nothing is left that could leak.

use jiff::{SignedDuration, Timestamp};
use quell_core::event::Event;
use quell_core::person::People;
use quell_core::secret::SecretValue;
use quell_store::{Lapsing, StoreError};

use super::{decide, hash};
use crate::{App, AppError};

/// How long a code is good for.
pub const CODE_LASTS: SignedDuration = SignedDuration::from_mins(10);
/// Kind of row.
const KIND: &str = "sign-in-code";
/// Letters that are not taken for each other (Crockford's base 32); five bits each.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of a code: 100 bits. Guessing is limited besides.
const LENGTH: usize = 20;

/// Where somebody is who makes a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum At {
    /// At the machine that holds the keys: they could do everything there anyway.
    Machine,
    /// On a page of the server: with the code they could be a second person, so for a while they do not count as two.
    Page,
}

/// Makes a code for somebody who is known here: four groups of five letters. An earlier code of theirs ends.
pub async fn code(
    app: &App,
    people: &People,
    person: &str,
    made_at: At,
    now: Timestamp,
) -> Result<SecretValue, AppError> {
    if !people.local.contains_key(person) {
        return Err(AppError::NotFound { what: "person", id: person.to_owned() });
    }
    let mut random = [0_u8; LENGTH];
    getrandom::fill(&mut random).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
    let letter = |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).copied().unwrap_or(b'a');
    let letters: Vec<u8> = random.iter().map(letter).collect();
    let shown: Vec<&[u8]> = letters.chunks(5).collect();
    let shown = SecretValue::new(shown.join(&b'-'));
    // First: that somebody could sign in as that person is known before anybody can.
    let made = vec![Event::CodeMade { person: person.to_owned(), from_page: made_at == At::Page }];
    decide(app, now, |_| Ok((made.clone(), ()))).await?;
    app.store.lapsing_drop(KIND, person).await?;
    let expires = now.checked_add(CODE_LASTS).unwrap_or(Timestamp::MAX);
    let row = Lapsing {
        id: hash(&letters),
        owner: person.to_owned(),
        body: "{}".to_owned(),
        expires_us: expires.as_microsecond(),
    };
    app.store.lapsing_add(KIND, &row, now).await?;
    Ok(shown)
}

/// Whose code it is; it is used up. Dashes, spaces and case do not matter.
pub async fn redeem(app: &App, code: &SecretValue, now: Timestamp) -> Result<Option<String>, AppError> {
    // Who reads a code aloud may say O for 0.
    let meant = |byte: u8| match byte.to_ascii_lowercase() {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        other => other,
    };
    let letters: Vec<u8> =
        code.expose().iter().filter(|b| b.is_ascii_alphanumeric()).map(|b| meant(*b)).collect();
    let letters = SecretValue::new(letters);
    if letters.expose().len() != LENGTH {
        return Ok(None);
    }
    Ok(app.store.lapsing_take(KIND, &hash(letters.expose()), now).await?.map(|row| row.owner))
}
