//! What a secret looks like: rules in a TOML format that also reads gitleaks' keys.
//!
//! Beyond those keys a rule may have `kind` (the inventory kind), `source` (the issuer's page that publishes the format),
//! `examples` and `non_examples` (templates, see [`template`]), `prefix` (how many leading bytes are public and may be
//! shown) and `window` (how far, in bytes, a match may reach from its keyword).
//! In place of `regex`, `name` and `value` describe a value of a given form that is assigned to something whose name
//! matches: in any usual language, quoted or not. `checksum` names a check of the format ([`Checksum`]), and
//! `[[rules.parts]]` other parts of the same credential beside it ([`Part`]).
//!
//! Named groups in a regex have a meaning: `(?P<password>…)` is a part that is a secret by itself, and
//! `(?P<principal>…)` is the user that it belongs to.

mod alias;
mod allowlist;
#[cfg(test)]
mod builtin_tests;
mod checksum;
mod draft;
mod inside;
mod keys;
mod load;
mod parse;
mod part;
mod re2;
pub(crate) mod reach;
mod set;
mod site_list;
pub mod template;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

pub use allowlist::{Allowlist, Condition, Target};
pub(crate) use allowlist::{Candidate, contains};
pub use checksum::{Checksum, checksum62};
pub(crate) use checksum::{Verdict, decode as decode_base64url};
pub use part::{Part, Required};
pub(crate) use reach::analyze;
pub use set::RuleSet;
pub(crate) use site_list::known;

/// Memory that one compiled regex may take; larger ones are refused when they are loaded.
const REGEX_SIZE_LIMIT: usize = 16 << 20;

/// How far a match may reach from its keyword unless the rule says otherwise.
pub(crate) const DEFAULT_WINDOW: usize = 4 << 10;

/// One kind of secret.
#[derive(Debug)]
pub struct Rule {
    /// Unique name, such as `github-token`.
    pub id: String,
    /// For people.
    pub description: String,
    /// The inventory kind of such a secret.
    pub kind: String,
    /// What it looks like.
    pub pattern: Pattern,
    /// Which group is the secret; 0 takes the first group that took part, or the whole match.
    pub secret_group: usize,
    /// Shannon entropy in bits per byte that the secret must exceed.
    pub entropy: Option<f64>,
    /// Lower-case; one of them must be near a match. Empty: the regex runs over everything.
    pub keywords: Vec<String>,
    /// Whether every match contains a keyword. Only then can nothing outside a match wake or silence the rule.
    pub keywords_inside: bool,
    /// Whether a keyword may be anywhere in the input, as in gitleaks, and not only within `window` of the match.
    pub anywhere: bool,
    /// Whether only the path is looked at: `pattern` matches nothing.
    pub path_only: bool,
    /// Only files whose path matches.
    pub path: Option<Pattern>,
    /// Free words; `generic` makes a rule give way to any other that matches at the same place.
    pub tags: Vec<String>,
    /// What is no secret after all.
    pub allowlists: Vec<Allowlist>,
    /// How many leading bytes of the secret are public.
    pub prefix: usize,
    /// How far a match may reach from its keyword, in bytes.
    pub window: usize,
    /// Templates that must match.
    pub examples: Vec<String>,
    /// Templates that must not match.
    pub non_examples: Vec<String>,
    /// The page that publishes the format.
    pub source: Option<String>,
    /// How it fares against other rules at the same place.
    pub rank: Rank,
    /// How a text of this format is checked; a text that fails is none.
    pub checksum: Option<Checksum>,
    /// Other parts of the same credential.
    pub parts: Vec<Part>,
    /// Other rules that must match in the same file.
    pub required: Vec<Required>,
    /// Whether it only serves other rules that require it.
    pub skip_report: bool,
    /// Whether `${VAR}`, `changeme` and their like are no secrets: for URLs, generic rules, and those tagged `assigned`.
    pub placeholders: bool,
}

/// Which rule wins where several match the same bytes: the first in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// A format of its issuer's own.
    Specific,
    /// A URL with a password in it (the password may be a token with a format of its own).
    Url,
    /// Something assigned to a name that sounds secret.
    Generic,
}

/// A regex, compiled at its first use: a run that never meets a keyword compiles nothing.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Takes a pattern that is known to compile (a test compiles all built-in ones).
    pub(crate) fn trusted(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// Compiles at once, to tell the author of a rule what is wrong with it.
    pub(crate) fn checked(text: String) -> Result<Self, regex::Error> {
        let compiled = compile(&text)?;
        Ok(Self { text, compiled: OnceLock::from(Some(compiled)) })
    }

    /// The regex as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The compiled regex; `None` only for a trusted pattern that does not compile.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.text).ok()).as_ref()
    }

    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(bytes))
    }
}

/// Compiles with ASCII classes, as Go's RE2 has them; patterns that need Unicode tables get them.
fn compile(text: &str) -> Result<Regex, regex::Error> {
    let ascii = RegexBuilder::new(text).unicode(false).size_limit(REGEX_SIZE_LIMIT).build();
    ascii.or_else(|first| {
        let unicode = RegexBuilder::new(text).size_limit(REGEX_SIZE_LIMIT).build();
        unicode.map_err(|second| {
            let large = matches!(second, regex::Error::CompiledTooBig(_));
            if large { second } else { first }
        })
    })
}
