//! Where the built-in rules can be woken, worked out ahead: `rules/sites.txt`.
//!
//! What [`analyze`](super::analyze) finds for a rule depends on four of its fields only, so a line of that file holds for
//! every rule with the same digest of them. Any other rule is looked at when it is first needed. The format is our own:
//! `DIGEST ID IMPLIED [SITE ...]`, where a site is `BEFORE,AFTER,GROWS,CUT[,LITERAL ...]`. A cut is `-`, `AT` or
//! `BRANCH.AT`; a literal begins with `=` if its case counts, else with `~`, and its bytes are in base 16.
//!
//! The digest comes first and no literal is spelled out, as our own rules would take `NAME DIGEST` for a secret.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use super::Rule;
use super::reach::{Cut, Literal, Reach, Site};

const FILE: &str = include_str!("../../../../rules/sites.txt");

/// The first half of a SHA-256: nobody can write a rule that passes for another.
type Key = [u8; 16];

/// The sites of a rule, if they are known.
pub(crate) fn known(rule: &Rule) -> Option<Reach> {
    static LINES: OnceLock<BTreeMap<Key, &str>> = OnceLock::new();
    let lines = LINES.get_or_init(|| FILE.lines().filter_map(split).collect());
    read(lines.get(&key(rule))?)
}

/// A digest of all that the sites of a rule depend on.
fn key(rule: &Rule) -> Key {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // Lengths keep neighbours apart.
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    };
    add(rule.pattern.text().as_bytes());
    add(&u64::try_from(rule.window).unwrap_or(u64::MAX).to_le_bytes());
    add(&[u8::from(rule.keywords_inside)]);
    rule.keywords.iter().for_each(|word| add(word.as_bytes()));
    hash.finalize().first_chunk().copied().unwrap_or_default()
}

/// A line's key, and what follows it.
fn split(line: &str) -> Option<(Key, &str)> {
    let (digest, rest) = line.split_once(' ')?;
    let (_id, rest) = rest.split_once(' ')?;
    let mut key = Key::default();
    hex::decode_to_slice(digest, &mut key).ok()?;
    Some((key, rest))
}

/// What follows the key.
fn read(text: &str) -> Option<Reach> {
    let mut words = text.split(' ');
    let implied = flag(words.next()?)?;
    Some(Reach { sites: words.map(site).collect::<Option<_>>()?, implied })
}

fn site(word: &str) -> Option<Site> {
    let mut parts = word.split(',');
    Some(Site {
        before: parts.next()?.parse().ok()?,
        after: parts.next()?.parse().ok()?,
        grows: flag(parts.next()?)?,
        tail: match parts.next()? {
            "-" => None,
            word => Some(cut(word)?),
        },
        literals: parts.map(literal).collect::<Option<_>>()?,
    })
}

fn flag(word: &str) -> Option<bool> {
    match word {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn cut(word: &str) -> Option<Cut> {
    let (branch, at) = match word.split_once('.') {
        Some((branch, at)) => (Some(branch.parse().ok()?), at),
        None => (None, word),
    };
    Some(Cut { branch, at: at.parse().ok()? })
}

fn literal(word: &str) -> Option<Literal> {
    let (kind, text) = word.split_at_checked(1)?;
    let exact = match kind {
        "=" => true,
        "~" => false,
        _ => return None,
    };
    let bytes = hex::decode(text).ok()?;
    Some(Literal { bytes, exact })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::RuleSet;
    use crate::engine::MAX_MATCH;
    use crate::rule::analyze;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/sites.txt");

    fn line(rule: &Rule) -> String {
        let found =
            analyze(rule.pattern.text(), &rule.keywords, rule.keywords_inside, rule.window, MAX_MATCH);
        let mut line = format!("{} {} {}", hex::encode(key(rule)), rule.id, u8::from(found.implied));
        for site in &found.sites {
            let cut = site.tail.map_or_else(
                || "-".to_owned(),
                |cut| match cut.branch {
                    Some(branch) => format!("{branch}.{}", cut.at),
                    None => cut.at.to_string(),
                },
            );
            write!(line, " {},{},{},{cut}", site.before, site.after, u8::from(site.grows)).unwrap();
            for literal in &site.literals {
                line.push_str(if literal.exact { ",=" } else { ",~" });
                line.push_str(&hex::encode(&literal.bytes));
            }
        }
        line
    }

    fn wanted() -> String {
        let rules = RuleSet::builtin().unwrap();
        rules.rules().iter().filter(|rule| !rule.path_only).map(|rule| line(rule) + "\n").collect()
    }

    #[test]
    fn the_list_is_what_the_rules_say() {
        let wanted = wanted();
        if std::env::var_os("QUELL_WRITE_SITES").is_some() {
            std::fs::write(PATH, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(PATH).unwrap();
        let stale = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
        let how = "run `QUELL_WRITE_SITES=1 cargo nextest run -p quell-scan the_list_is_what_the_rules_say`";
        assert!(wanted == found, "rules/sites.txt is stale, {how}: {stale:?}");
    }

    #[test]
    fn what_is_read_is_what_would_be_worked_out() {
        for rule in RuleSet::builtin().unwrap().rules().iter().filter(|rule| !rule.path_only) {
            let worked =
                analyze(rule.pattern.text(), &rule.keywords, rule.keywords_inside, rule.window, MAX_MATCH);
            assert_eq!(known(rule), Some(worked), "{}", rule.id);
        }
    }

    #[test]
    fn a_changed_rule_is_not_known() {
        let mut rules = RuleSet::builtin().unwrap().into_rules();
        let mut rule = rules.swap_remove(0);
        assert!(known(&rule).is_some());
        rule.window += 1;
        assert!(known(&rule).is_none());
        rule.window -= 1;
        rule.keywords.push("another".to_owned());
        assert!(known(&rule).is_none());
        rule.keywords.pop();
        rule.keywords_inside = !rule.keywords_inside;
        assert!(known(&rule).is_none());
    }

    #[test]
    fn a_broken_line_is_no_line() {
        for text in ["", "2", "1 1,2,0", "1 1,2,0,x,=a", "1 1,2,0,-,a", "1 1,2,0,-,=6", "1 1,2,0,1.,=a"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("0"), Some(Reach { sites: Vec::new(), implied: false }));
    }
}
