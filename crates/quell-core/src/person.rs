//! People who may use a server, what each may do, and the facts about them. A fold over the installation's stream.
//!
//! Roles are a ladder: whoever may do more may do all that is below. A person's own terminal beside the data folder needs no role, since whoever
//! reads the keys can do everything anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Entry, Event};
use crate::id::BadId;

/// What a person may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Report a leak, and follow what came of the own report. What everybody has who can sign in.
    Reporter,
    /// Read everything but values.
    Viewer,
    /// Open and change incidents, make plans, carry them out.
    Responder,
    /// Approve steps, accept exceptions, close.
    Approver,
    /// People, tokens, keys, settings.
    Admin,
}

impl Role {
    /// All roles, least first.
    pub const ALL: [Self; 5] = [Self::Reporter, Self::Viewer, Self::Responder, Self::Approver, Self::Admin];

    /// The word that people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reporter => "reporter",
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        Self::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| BadId {
            text: text.to_owned(),
            expected: "a role: reporter, viewer, responder, approver or admin",
        })
    }
}

/// Longest name of a person, in bytes.
const NAME_MAX: usize = 100;

/// A name that is recorded with decisions: no control characters, no line breaks, not empty, no `unknown`.
pub fn name(text: &str) -> Result<String, BadId> {
    let text = text.trim();
    let fits = !text.is_empty()
        && text.len() <= NAME_MAX
        && text != "unknown"
        && !text.chars().any(|c| c.is_control() || is_invisible(c));
    if fits {
        Ok(text.to_owned())
    } else {
        let text = text.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        Err(BadId { text, expected: "a name: 1 to 100 bytes without control or invisible characters" })
    }
}

/// Two names with one key are one person: whoever writes themselves large is nobody else.
pub fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Characters with which one name looks like another: joiners, marks of direction, tags (Unicode general category Cf, the usual ones).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A token that programs sign in with: everything but its value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Token {
    /// Its public part, in hex: what lists and the ledger call it.
    pub id: String,
    /// What it is for, in words.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the whole token, in hex. The token has 256 random bits: no salt, no slow hash is needed.
    pub sha256: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// More rights for a while, in an emergency.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BreakGlass {
    /// Who.
    pub person: String,
    /// What they may do in that time.
    pub role: Role,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Entry that opened it; named when it is looked at afterwards.
    #[serde(default)]
    pub opened: u64,
    /// Who looked at it afterwards, and what they found.
    #[serde(default)]
    pub reviewed: Option<(String, String)>,
}

/// A token that holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    /// What it is.
    pub token: Token,
    /// Who made it: decisions are recorded with their name.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Everybody who is known here, and their tokens.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// People that this installation knows by itself, with their roles. Those of an identity provider are not here.
    pub local: BTreeMap<String, Role>,
    /// Tokens by id; revoked ones are gone.
    pub tokens: BTreeMap<String, Issued>,
    /// Whoever was known here and was removed: nothing that they made lets anybody in, whatever a provider says of them.
    pub removed: BTreeSet<String>,
    /// Every break-glass, oldest first.
    pub break_glass: Vec<BreakGlass>,
    /// Position in the stream up to which this is.
    pub next_pos: u64,
}

impl People {
    /// Folds the installation's stream.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut people = Self::default();
        for entry in entries {
            people.apply(entry);
        }
        people
    }

    /// Takes one more entry of the installation's stream.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other entries are not about people")]
    pub fn apply(&mut self, entry: &Entry) {
        self.next_pos = entry.pos + 1;
        match &entry.event {
            Event::PersonAdded { person, role } => {
                self.removed.remove(&key(person));
                self.local.insert(person.clone(), *role);
            }
            Event::PersonRemoved { person, .. } => {
                self.local.remove(person);
                self.removed.insert(key(person));
            }
            Event::TokenIssued { token } => {
                let issued = Issued { token: token.clone(), by: entry.actor.id.clone(), at: entry.at };
                self.tokens.insert(token.id.clone(), issued);
            }
            Event::TokenRevoked { token, .. } => {
                self.tokens.remove(token);
            }
            Event::BreakGlassOpened { glass } => {
                self.break_glass.push(BreakGlass { opened: entry.seq, ..glass.clone() });
            }
            Event::BreakGlassReviewed { opened, statement } => {
                for glass in self.break_glass.iter_mut().filter(|glass| glass.opened == *opened) {
                    glass.reviewed = Some((entry.actor.id.clone(), statement.clone()));
                }
            }
            _ => {}
        }
    }

    /// The name of somebody who is known here and whose name differs from this one in spelling at most.
    pub fn namesake(&self, name: &str) -> Option<&str> {
        let wanted = key(name);
        self.local.keys().map(String::as_str).find(|own| key(own) == wanted)
    }

    /// Was this person removed, and not added again?
    pub fn is_removed(&self, name: &str) -> bool {
        self.removed.contains(&key(name))
    }

    /// The role of a person now: their own, or more while a break-glass of theirs holds.
    pub fn role(&self, person: &str, own: Role, now: Timestamp) -> Role {
        let open =
            self.break_glass.iter().filter(|g| g.person == person && g.until > now && g.reviewed.is_none());
        open.map(|glass| glass.role).max().map_or(own, |more| more.max(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, INSTALLATION};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn entry(pos: u64, event: Event) -> Entry {
        let (stream, actor) = (INSTALLATION.to_owned(), Actor::user("ines"));
        Entry { seq: pos + 7, at: at(0), stream, pos, actor, evidence: Vec::new(), event }
    }

    #[test]
    fn the_ladder_has_one_order_and_one_spelling() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.word().parse::<Role>().unwrap(), role);
        }
        assert!("Admin".parse::<Role>().unwrap_err().to_string().contains("reporter"));
    }

    #[test]
    fn a_name_that_looks_like_another_is_refused() {
        assert_eq!(name("  ines ").unwrap(), "ines");
        for bad in ["", " ", "unknown", "in\u{202e}es", "ines\u{200b}", "a\nb", "\u{1b}[2J", &"n".repeat(101)]
        {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_break_glass_gives_more_until_it_ends_or_was_looked_at() {
        let glass = BreakGlass {
            person: "ines".to_owned(),
            role: Role::Admin,
            until: at(60),
            reason: "the identity provider is down".to_owned(),
            opened: 0,
            reviewed: None,
        };
        let mut people = People::fold(&[entry(0, Event::BreakGlassOpened { glass })]);
        assert_eq!(people.role("ines", Role::Viewer, at(59)), Role::Admin);
        assert_eq!(people.role("ines", Role::Viewer, at(60)), Role::Viewer, "it has ended");
        assert_eq!(people.role("omar", Role::Viewer, at(1)), Role::Viewer, "it is another's");
        let reviewed = Event::BreakGlassReviewed { opened: 7, statement: "looked at".to_owned() };
        people.apply(&entry(1, reviewed));
        assert_eq!(people.role("ines", Role::Viewer, at(1)), Role::Viewer, "it was looked at");
        assert_eq!(people.next_pos, 2);
    }
}
