//! Tokens that programs sign in with: `qll_`, 70 letters and digits (the first ten are the token's public id), six of checksum.
//!
//! The checksum is that of GitHub's tokens (CRC-32 in base 62), so that scanners tell a token from chance, and a token that was cut off is known as such without
//! asking anybody. Only a SHA-256 of the token is kept: with over 350 random bits nobody finds it by trying.

use jiff::{SignedDuration, Timestamp};
use quell_core::event::Event;
use quell_core::person::{Issued, People, Role, Token};
use quell_core::secret::SecretValue;
use quell_store::{Lapsing, StoreError};
use subtle::ConstantTimeEq as _;

use super::{decide, hash};
use crate::{App, AppError};

/// How every token begins.
pub const PREFIX: &str = "qll_";
/// Letters and digits after the prefix, without the checksum.
const RANDOM: usize = 70;
/// The first of them are public.
pub const ID: usize = 10;
/// Longest life of a token: whoever needs one longer makes a new one.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);
/// The same for people of an identity provider: when it lets them in no more, nobody tells us.
pub const LONGEST_PROVIDED: SignedDuration = SignedDuration::from_hours(24 * 31);
/// A token this young is as good as having signed in just now, where a decision cannot be taken back.
pub const FRESH: SignedDuration = SignedDuration::from_hours(12);
/// Kind of row that says when a token was used last.
const USED: &str = "token-used";
/// It is noted no more often than this.
const NOTED: SignedDuration = SignedDuration::from_mins(1);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it may do; at most what its maker may.
    pub role: Role,
    /// How long.
    pub lasts: SignedDuration,
    /// The token that asks for it, when no person does.
    pub made_with: Option<String>,
}

/// A token of a request that is good.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its public id.
    pub id: String,
    /// Who made it: decisions are recorded with their name.
    pub person: String,
    /// What it may do now.
    pub role: Role,
    /// When a person made it. None: another token did, so it says nothing about anybody's presence.
    pub made: Option<Timestamp>,
}

/// A token that is good, and when it was used last.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What it is, and who made it.
    pub issued: Issued,
    /// To the minute.
    pub used: Option<Timestamp>,
}

/// All that are good, or those of one person.
pub async fn list(app: &App, of: Option<&str>, now: Timestamp) -> Result<Vec<Listed>, AppError> {
    let mut listed = Vec::new();
    for issued in super::people(app).await?.tokens.into_values() {
        if of.is_none_or(|person| issued.by == person) {
            let used = last_used(app, &issued.token.id, now).await?;
            listed.push(Listed { issued, used });
        }
    }
    Ok(listed)
}

/// Makes one. It is shown this once.
pub async fn make(
    app: &App,
    own: Role,
    new: &NewToken,
    now: Timestamp,
) -> Result<(Token, SecretValue), AppError> {
    let person = app.named_actor()?;
    let usage = |words: String| Err(AppError::Usage(words));
    let name = new.name.trim();
    crate::words::refuse_values(app, None, &[name]).await?;
    if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return usage("say what the token is for, in 1 to 100 characters (--name)".to_owned());
    }
    if new.role > own {
        return usage(format!("you are {own} and cannot make a token that is {}", new.role));
    }
    if new.made_with.is_some() && new.role == Role::Admin {
        return usage("a token makes none that is admin: one that leaks would never end".to_owned());
    }
    if new.lasts <= SignedDuration::ZERO || new.lasts > LONGEST {
        return usage("a token lasts from one day to a year".to_owned());
    }
    let value = random()?;
    let id =
        value.expose_text().and_then(|text| text.get(PREFIX.len()..PREFIX.len() + ID)).unwrap_or_default();
    let token = Token {
        id: id.to_owned(),
        name: name.to_owned(),
        role: new.role,
        sha256: hash(value.expose()),
        expires: now.checked_add(new.lasts).unwrap_or(Timestamp::MAX),
        made_with: new.made_with.clone(),
    };
    decide(app, now, |people| {
        let provided = people.provided.contains_key(&person) && !people.local.contains_key(&person);
        if provided && new.lasts > LONGEST_PROVIDED {
            return Err(AppError::Usage(format!(
                "an identity provider vouches for you: your tokens last at most {} days",
                LONGEST_PROVIDED.as_hours() / 24
            )));
        }
        Ok((vec![Event::TokenIssued { token: token.clone() }], ()))
    })
    .await?;
    Ok((token, value))
}

/// Which token is to be refused, and why.
#[derive(Clone, Copy, Debug)]
pub struct Revoke<'a> {
    /// Its public id.
    pub id: &'a str,
    /// Only if this person made it; else it is not known.
    pub of: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// Those that were made with it go, too, and those made with them: whoever had it may have made some.
    pub made: bool,
}

/// From here on it is refused. Gives the ids of those that were revoked, and of those made with them that are still good.
pub async fn revoke(
    app: &App,
    what: &Revoke<'_>,
    now: Timestamp,
) -> Result<(Vec<String>, Vec<String>), AppError> {
    if what.reason.trim().is_empty() {
        return Err(AppError::Usage("say why the token is revoked (--reason)".to_owned()));
    }
    crate::words::refuse_values(app, None, &[what.reason]).await?;
    decide(app, now, |people| {
        let mine = |issued: &Issued| what.of.is_none_or(|person| issued.by == person);
        if people.tokens.get(what.id).is_none_or(|issued| !mine(issued)) {
            return Err(AppError::NotFound { what: "token", id: what.id.chars().take(ID).collect() });
        }
        let made = people.made_with(what.id);
        let mut revoked = vec![what.id.to_owned()];
        let left = if what.made { Vec::new() } else { made.clone() };
        if what.made {
            revoked.extend(made);
        }
        let event = |id: &String| Event::TokenRevoked { token: id.clone(), reason: what.reason.to_owned() };
        Ok((revoked.iter().map(event).collect(), (revoked.clone(), left)))
    })
    .await
}

/// The token of a request, if it is good: known, not revoked, not at its end, and its maker may still do what it may.
pub fn check(people: &People, value: &SecretValue, now: Timestamp) -> Option<Shown> {
    let text = value.expose_text()?;
    if !is_whole(text) {
        return None;
    }
    let Issued { token, by: person, at } = people.tokens.get(text.get(PREFIX.len()..PREFIX.len() + ID)?)?;
    let same = bool::from(hash(value.expose()).as_bytes().ct_eq(token.sha256.as_bytes()));
    let role = role(people, &token.id, now).filter(|_| same)?;
    let made = token.made_with.is_none().then_some(*at);
    Some(Shown { id: token.id.clone(), person: person.clone(), role, made })
}

/// What a token may do now; none when it is revoked or over, or its maker is gone.
pub fn role(people: &People, id: &str, now: Timestamp) -> Option<Role> {
    let Issued { token, by: person, .. } = people.tokens.get(id)?;
    if people.is_removed(person) || token.expires <= now {
        return None;
    }
    // Whoever may less now, as we know or as the identity provider said when they signed in last: so does their token.
    Some(people.own_role(person).map_or(token.role, |own| token.role.min(own)))
}

/// It has the shape of a token, and its checksum is right.
pub fn is_whole(text: &str) -> bool {
    let Some(random) = text.strip_prefix(PREFIX) else { return false };
    let alnum = random.bytes().all(|b| b.is_ascii_alphanumeric());
    let split = random.split_at_checked(RANDOM).filter(|_| alnum);
    split.is_some_and(|(body, sum)| quell_scan::checksum62(body.as_bytes()) == sum)
}

/// Notes that it was used. Not a fact worth an entry each time; what it did is recorded with its maker's name anyway.
pub async fn used(app: &App, id: &str, now: Timestamp) -> Result<(), AppError> {
    if app.folds.is_noted(id, now, NOTED) {
        return Ok(());
    }
    let known = app.store.lapsing(USED, id, now).await?;
    let last = known.as_ref().and_then(|row| row.body.parse::<Timestamp>().ok());
    if last.is_some_and(|last| now.duration_since(last) < NOTED) {
        return Ok(());
    }
    let ends = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX).as_microsecond();
    let row = Lapsing { id: id.to_owned(), owner: String::new(), body: now.to_string(), expires_us: ends };
    if known.is_none() {
        app.store.lapsing_add(USED, &row, now).await?;
    } else {
        app.store.lapsing_set(USED, &row).await?;
    }
    Ok(())
}

/// When a token was used last, to the minute.
pub async fn last_used(app: &App, id: &str, now: Timestamp) -> Result<Option<Timestamp>, AppError> {
    Ok(app.store.lapsing(USED, id, now).await?.and_then(|row| row.body.parse().ok()))
}

/// Letters and digits without bias: bytes beyond the last whole multiple of 62 are thrown away.
fn random() -> Result<SecretValue, AppError> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::with_capacity(PREFIX.len() + RANDOM + 6);
    text.extend_from_slice(PREFIX.as_bytes());
    while text.len() < PREFIX.len() + RANDOM {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 64]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
        let fair =
            bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| LETTERS.get(usize::from(*byte % 62)));
        text.extend(fair.take(PREFIX.len() + RANDOM - text.len()));
    }
    let sum = quell_scan::checksum62(text.get(PREFIX.len()..).unwrap_or_default());
    text.extend_from_slice(sum.as_bytes());
    Ok(SecretValue::new(text))
}

#[cfg(test)]
mod tests {
    use quell_core::event::{Actor, Entry, INSTALLATION};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn issued(value: &SecretValue, role: Role) -> People {
        let text = value.expose_text().unwrap();
        let token = Token {
            id: text.get(4..14).unwrap().to_owned(),
            name: "ci".to_owned(),
            role,
            sha256: hash(value.expose()),
            expires: at(60),
            made_with: None,
        };
        let (stream, actor) = (INSTALLATION.to_owned(), Actor::user("ines"));
        let event = Event::TokenIssued { token };
        People::fold(&[Entry { seq: 1, at: at(0), stream, pos: 1, actor, evidence: Vec::new(), event }])
    }

    #[test]
    fn a_token_is_good_until_its_end_and_whole_only() {
        let value = random().unwrap();
        let text = value.expose_text().unwrap().to_owned();
        assert_eq!(text.len(), 80);
        assert!(is_whole(&text));
        let people = issued(&value, Role::Responder);
        let shown = check(&people, &value, at(59)).unwrap();
        assert_eq!((shown.person.as_str(), shown.role), ("ines", Role::Responder));
        assert!(check(&people, &value, at(60)).is_none(), "it has ended");
        // One letter less, one more, one other, with a right checksum of its own: none gets in.
        let cut = text.get(..79).unwrap().to_owned();
        for other in [cut, format!("{text}0"), random().unwrap().expose_text().unwrap().to_owned()] {
            assert!(check(&people, &SecretValue::from_text(other), at(1)).is_none());
        }
        let mut same_id = random().unwrap().expose_text().unwrap().to_owned();
        same_id.replace_range(4..14, text.get(4..14).unwrap());
        let sum = quell_scan::checksum62(&same_id.as_bytes()[4..74]);
        same_id.replace_range(74.., &sum);
        assert!(is_whole(&same_id));
        assert!(check(&people, &SecretValue::from_text(same_id), at(1)).is_none(), "the id alone is public");
    }

    #[test]
    fn a_token_may_never_more_than_its_maker() {
        let value = random().unwrap();
        let mut people = issued(&value, Role::Approver);
        people.local.insert("ines".to_owned(), Role::Viewer);
        assert_eq!(check(&people, &value, at(1)).unwrap().role, Role::Viewer);
        people.local.clear();
        people.provided.insert("ines".to_owned(), Role::Reporter);
        assert_eq!(check(&people, &value, at(1)).unwrap().role, Role::Reporter, "the provider said less");
    }
}
