//! What looks like a secret and is none.

use super::Pattern;

/// Exceptions of one rule, or of all.
#[derive(Debug, Default)]
pub struct Allowlist {
    /// How the groups below combine.
    pub condition: Condition,
    /// What `regexes` look at.
    pub target: Target,
    /// Patterns of text that is no secret.
    pub regexes: Vec<Pattern>,
    /// Lower-case words; a secret that contains one is none.
    pub stopwords: Vec<String>,
    /// Patterns of paths that are not looked at.
    pub paths: Vec<Pattern>,
    /// Commits that are not looked at.
    pub commits: Vec<String>,
    /// For a global list: the rules that it is for. Empty: all.
    pub target_rules: Vec<String>,
}

/// How the groups of an [`Allowlist`] combine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Condition {
    /// Every group that is not empty must match.
    And,
    /// One match is enough.
    #[default]
    Or,
}

/// What the regexes of an [`Allowlist`] look at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Target {
    /// The line around the match.
    Line,
    /// The whole match.
    Match,
    /// The secret.
    #[default]
    Secret,
}

/// What an allowlist is asked about. The engine knows the text, attribution the path and the commit.
pub(crate) struct Candidate<'a> {
    pub(crate) secret: &'a [u8],
    pub(crate) matched: &'a [u8],
    pub(crate) line: &'a [u8],
}

impl Allowlist {
    /// Whether this list is for the rule at all.
    pub(crate) fn concerns(&self, rule_id: &str) -> bool {
        self.target_rules.is_empty() || self.target_rules.iter().any(|id| id == rule_id)
    }

    /// True when the text alone decides that this is no secret.
    pub(crate) fn allows_text(&self, candidate: &Candidate<'_>) -> bool {
        match self.condition {
            Condition::Or => self.regex_hit(candidate) || self.stopword_hit(candidate.secret),
            // With paths or commits in the list, text alone decides nothing.
            Condition::And => !self.has_place() && self.text_agrees(candidate),
        }
    }

    /// Whether this list asks for a text *and* a place: the text's answer must be kept until the place is known.
    pub(crate) fn needs_both(&self) -> bool {
        self.condition == Condition::And && self.has_place() && self.has_text()
    }

    /// What the text says to an `AND` list.
    pub(crate) fn text_agrees(&self, candidate: &Candidate<'_>) -> bool {
        self.has_text()
            && (self.regexes.is_empty() || self.regex_hit(candidate))
            && (self.stopwords.is_empty() || self.stopword_hit(candidate.secret))
    }

    /// True when a path or commit decides that this is no secret; `text_agreed` is the kept answer of
    /// [`Allowlist::text_agrees`].
    pub(crate) fn allows_place(&self, path: &str, commit: Option<&str>, text_agreed: bool) -> bool {
        let path_hit = self.paths.iter().any(|pattern| pattern.matches(path.as_bytes()));
        let commit_hit = commit.is_some_and(|id| self.commits.iter().any(|listed| listed == id));
        match self.condition {
            Condition::Or => path_hit || commit_hit,
            Condition::And => {
                self.has_place()
                    && (text_agreed || !self.has_text())
                    && (self.paths.is_empty() || path_hit)
                    && (self.commits.is_empty() || commit_hit)
            }
        }
    }

    fn has_place(&self) -> bool {
        !(self.paths.is_empty() && self.commits.is_empty())
    }

    fn has_text(&self) -> bool {
        !(self.regexes.is_empty() && self.stopwords.is_empty())
    }

    fn regex_hit(&self, candidate: &Candidate<'_>) -> bool {
        let text = match self.target {
            Target::Line => candidate.line,
            Target::Match => candidate.matched,
            Target::Secret => candidate.secret,
        };
        self.regexes.iter().any(|pattern| pattern.matches(text))
    }

    fn stopword_hit(&self, secret: &[u8]) -> bool {
        let lower = secret.to_ascii_lowercase();
        self.stopwords.iter().any(|word| contains(&lower, word.as_bytes()))
    }
}

/// Whether `needle` occurs in `haystack`; an empty needle does not.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}
