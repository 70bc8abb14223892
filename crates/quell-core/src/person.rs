//! People who may use a server, what each may do, and the facts about them. A fold over the installation's stream.
//!
//! Roles are a ladder: whoever may do more may do all that is below. A person's own terminal beside the data folder needs no role, since whoever
//! reads the keys can do everything anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use unicode_security::skeleton;

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

/// Two names with one key are one person: whoever writes themselves large, or with letters of another alphabet that look the same, is nobody else.
///
/// The skeleton of UTS 39, section 4, of the name in small letters.
pub fn key(name: &str) -> String {
    skeleton(&name.trim().to_lowercase()).collect()
}

/// Could the one be taken for the other? Capital letters look alike where their small ones do not (Cyrillic `\u{412}` and `B`), so both ways count.
pub fn is_alike(one: &str, other: &str) -> bool {
    let large = |name: &str| skeleton(name.trim()).collect::<String>().to_lowercase();
    key(one) == key(other) || large(one) == large(other)
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
    /// The token that it was made with, when no person was there: it shows nobody's presence, and goes with that one when that one leaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<String>,
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

/// How long a code counts against whoever made it for somebody else: ten minutes until it is used, twelve hours of session, twelve hours in which a token
/// made in it is fresh.
const CODE_COUNTS: SignedDuration = SignedDuration::from_mins(10 + 24 * 60);

/// Why two names may be one human.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Same {
    /// They differ in spelling at most.
    Spelling,
    /// An admin has said so.
    Linked,
    /// One made the code that the other signed in with, or a third one made those of both.
    Code,
}

impl Same {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Spelling => "the names differ in spelling at most",
            Self::Linked => "an admin has said that both names are one person",
            Self::Code => {
                "one of them made the code that the other signed in with, or somebody made the codes of both"
            }
        }
    }
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
    /// What an identity provider last said of people: their role.
    pub provided: BTreeMap<String, Role>,
    /// Every break-glass, oldest first.
    pub break_glass: Vec<BreakGlass>,
    /// Names that an admin has called one person, by their keys.
    same: Vec<(String, String)>,
    /// Who made a code over the server for somebody, by the keys of both names, and until when something that was opened with it may decide.
    codes: BTreeMap<(String, String), Timestamp>,
    /// For whom a code was ever made, by whomever.
    coded: BTreeSet<String>,
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
                self.removed.retain(|gone| !is_alike(gone, person));
                self.local.insert(person.clone(), *role);
            }
            Event::PersonRemoved { person, .. } => {
                self.local.remove(person);
                self.removed.insert(person.clone());
            }
            Event::TokenIssued { token } => {
                // A token may decide for as long as it is good, whoever opened the session that it was made in.
                self.reaches(&key(&entry.actor.id), entry.at, token.expires);
                let issued = Issued { token: token.clone(), by: entry.actor.id.clone(), at: entry.at };
                self.tokens.insert(token.id.clone(), issued);
            }
            Event::TokenRevoked { token, .. } => {
                self.tokens.remove(token);
            }
            Event::PersonProvided { person, role } => {
                self.provided.insert(person.clone(), *role);
            }
            Event::PersonSame { person, other, .. } => {
                self.same.push((key(person), key(other)));
            }
            Event::CodeMade { person, from_page: false } => {
                self.coded.insert(person.clone());
            }
            Event::CodeMade { person, from_page: true } => {
                self.coded.insert(person.clone());
                let until = entry.at.checked_add(CODE_COUNTS).unwrap_or(Timestamp::MAX);
                // Whoever made the code of the one who makes this one could be behind both.
                self.reaches(&key(&entry.actor.id), entry.at, until);
                self.codes.insert((key(&entry.actor.id), key(person)), until);
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
        let own = self.local.keys().map(String::as_str);
        own.clone().find(|own| *own == name).or_else(|| own.clone().find(|own| is_alike(own, name)))
    }

    /// Was this person removed, and not added again?
    pub fn is_removed(&self, name: &str) -> bool {
        self.removed.iter().any(|gone| gone == name || is_alike(gone, name))
    }

    /// What somebody may do, as this installation knows, or as an identity provider said when they signed in last. None: nobody has said.
    pub fn own_role(&self, person: &str) -> Option<Role> {
        self.local.get(person).or_else(|| self.provided.get(person)).copied()
    }

    /// Tokens that were made with this one, with those, and so on; those that are good.
    pub fn made_with(&self, id: &str) -> Vec<String> {
        let made = |by: &str| {
            let all = self.tokens.values().filter(|issued| issued.token.made_with.as_deref() == Some(by));
            all.map(|issued| issued.token.id.clone()).collect()
        };
        let mut all = reach(id, made);
        all.remove(id);
        all.into_iter().collect()
    }

    /// Could one human be behind both names? Then they do not count as two. Says why.
    ///
    /// A code that somebody else made counts for as long as what was signed in with it may decide. Whoever works on the machine itself is left out:
    /// they could do everything in anybody's name anyway.
    pub fn one_person(&self, one: &str, other: &str, now: Timestamp) -> Option<Same> {
        if is_alike(one, other) {
            return Some(Same::Spelling);
        }
        let (one, other) = (key(one), key(other));
        if reach(&one, |from| self.names_of(from)).contains(&other) {
            return Some(Same::Linked);
        }
        let signed_in = |name: &str| {
            reach(name, |from| {
                let made = self.codes.iter().filter(|((_, to), until)| *to == from && **until > now);
                self.names_of(from).into_iter().chain(made.map(|((by, _), _)| by.clone())).collect()
            })
        };
        // Whoever made the codes of both could be both.
        signed_in(&one).intersection(&signed_in(&other)).next().map(|_| Same::Code)
    }

    /// What somebody makes now lasts until then, and so do the codes that led to them.
    fn reaches(&mut self, person: &str, now: Timestamp, until: Timestamp) {
        let live = |name: &str| {
            let made = self.codes.iter().filter(|((_, to), ends)| to == name && **ends > now);
            made.map(|((by, _), _)| by.clone()).collect()
        };
        let behind = reach(person, live);
        for ((_, to), ends) in &mut self.codes {
            if *ends > now && behind.contains(to) {
                *ends = (*ends).max(until);
            }
        }
    }

    /// The only admin that this installation knows by itself?
    pub fn is_last_admin(&self, person: &str) -> bool {
        let mut admins = self.local.iter().filter(|(_, role)| **role == Role::Admin).map(|(name, _)| name);
        admins.next().is_some_and(|one| one == person) && admins.next().is_none()
    }

    /// One name, or two that an admin has linked. Unlike [`Self::one_person`], this says nothing of who could act as whom.
    pub fn is_linked(&self, one: &str, other: &str) -> bool {
        is_alike(one, other) || reach(&key(one), |from| self.names_of(from)).contains(&key(other))
    }

    fn names_of(&self, name: &str) -> Vec<String> {
        let other = |(a, b): &(String, String)| match (a == name, b == name) {
            (true, _) => Some(b.clone()),
            (false, true) => Some(a.clone()),
            (false, false) => None,
        };
        self.same.iter().filter_map(other).collect()
    }

    /// Was a code ever made for them? Until then nobody can have signed in by that name, unless a provider vouches for them.
    pub fn had_code(&self, person: &str) -> bool {
        self.coded.contains(person)
    }

    /// Broken glass that holds now.
    pub fn broken(&self, now: Timestamp) -> impl Iterator<Item = &BreakGlass> {
        self.break_glass.iter().filter(move |glass| glass.until > now && glass.reviewed.is_none())
    }

    /// The role of a person now: their own, or more while a break-glass of theirs holds.
    pub fn role(&self, person: &str, own: Role, now: Timestamp) -> Role {
        let open = self.broken(now).filter(|glass| glass.person == person);
        open.map(|glass| glass.role).max().map_or(own, |more| more.max(own))
    }
}

/// Everything that is reached from a name, and the name.
fn reach(name: &str, next: impl Fn(&str) -> Vec<String>) -> BTreeSet<String> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = todo.pop() {
        if seen.insert(name.clone()) {
            todo.extend(next(&name));
        }
    }
    seen
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
    fn letters_of_another_alphabet_make_nobody_else() {
        let known = People::fold(&[entry(0, added("omar"))]);
        // Cyrillic o and a; a Greek omicron; full width; large.
        // Only its large form looks like a B.
        let large = People::fold(&[entry(0, added("Ben"))]);
        assert_eq!(large.namesake("\u{412}en"), Some("Ben"));
        assert_eq!(large.one_person("Ben", "\u{412}en", at(0)), Some(Same::Spelling));
        for alike in ["\u{43e}mar", "om\u{430}r", "\u{3bf}mar", "\u{ff4f}mar", "OMAR", " Omar "] {
            assert_eq!(known.namesake(alike), Some("omar"), "{alike}");
            assert_eq!(known.one_person("omar", alike, at(0)), Some(Same::Spelling));
        }
        assert_eq!(known.namesake("omid"), None);
        assert_eq!(known.one_person("omar", "omid", at(0)), None);
    }

    #[test]
    fn names_that_an_admin_has_linked_are_one_person_in_a_row_and_both_ways() {
        let same = |a: &str, b: &str| Event::PersonSame {
            person: a.to_owned(),
            other: b.to_owned(),
            reason: "one badge".to_owned(),
        };
        let people =
            People::fold(&[entry(0, same("ines", "ines@example.com")), entry(1, same("Ines", "i.costa"))]);
        for (a, b) in [("ines", "ines@example.com"), ("ines@example.com", "i.costa"), ("i.costa", "ines")] {
            assert_eq!(people.one_person(a, b, at(9)), Some(Same::Linked), "{a} {b}");
            assert!(people.is_linked(a, b) && people.is_linked(a, a), "{a} {b}");
        }
        assert_eq!(people.one_person("ines", "omar", at(9)), None);
        assert!(!people.is_linked("ines", "omar"));
    }

    #[test]
    fn whoever_made_the_code_is_no_second_person_beside_it() {
        let code = |pos, by: &str, person: &str, from_page| {
            let event = Event::CodeMade { person: person.to_owned(), from_page };
            Entry { actor: Actor::user(by), ..entry(pos, event) }
        };
        // Ines makes one for Omar, and he, from what she may have opened, one for Ravi.
        let people = People::fold(&[code(0, "ines", "omar", true), code(1, "omar", "ravi", true)]);
        for (a, b) in
            [("ines", "omar"), ("omar", "ines"), ("omar", "ravi"), ("ines", "ravi"), ("ravi", "ines")]
        {
            assert_eq!(people.one_person(a, b, at(60)), Some(Same::Code), "{a} {b}");
        }
        let both = People::fold(&[code(0, "ines", "omar", true), code(1, "ines", "ravi", true)]);
        assert_eq!(both.one_person("ravi", "omar", at(1)), Some(Same::Code), "she could be both");
        assert_eq!(people.one_person("ines", "lena", at(60)), None);
        let day = CODE_COUNTS.as_secs();
        assert_eq!(
            people.one_person("ines", "omar", at(day)),
            None,
            "nothing that was opened with it decides any more"
        );
        // What is made with what was opened lasts as long as that: a token of a year, also of somebody further on.
        let token = |pos, by: &str, expires| {
            let sha256 = String::new();
            let (id, name, role) = (format!("t{pos}"), "ci".to_owned(), Role::Approver);
            let token = Token { id, name, role, sha256, expires, made_with: None };
            Entry { actor: Actor::user(by), ..entry(pos, Event::TokenIssued { token }) }
        };
        let chain =
            [code(0, "ines", "omar", true), code(1, "omar", "ravi", true), token(2, "ravi", at(9 * day))];
        let chain = People::fold(&chain);
        for (a, b) in [("ines", "ravi"), ("ines", "omar"), ("omar", "ravi")] {
            assert_eq!(chain.one_person(a, b, at(9 * day - 1)), Some(Same::Code), "{a} {b}");
            assert_eq!(chain.one_person(a, b, at(9 * day)), None, "{a} {b}");
        }
        let own = People::fold(&[code(0, "ines", "ines", true), code(1, "ines", "omar", false)]);
        assert_eq!(
            own.one_person("ines", "omar", at(1)),
            None,
            "whoever made it at the machine needs no code"
        );
    }

    fn added(person: &str) -> Event {
        Event::PersonAdded { person: person.to_owned(), role: Role::Viewer }
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
