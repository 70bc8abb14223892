//! One place where a rule matched, already redacted.

use std::collections::BTreeMap;
use std::ops::Range;

use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};

use crate::engine::{Match, confidence, line_around};
use crate::finding::printable;
use crate::rule::{Candidate, Rank, Rule, Verdict, contains};
use crate::stream::Allow;
use crate::{Confidence, Encoding, Joined, RuleSet, detail};

/// A recovered value and its parts.
#[derive(Debug)]
pub struct Recovered {
    /// The secret as written: for a URL, the whole URL.
    pub secret: SecretValue,
    /// The percent-decoded password of a URL.
    pub password: Option<SecretValue>,
    /// The user in a URL.
    pub principal: Option<String>,
    /// The fingerprint of `secret`.
    pub fingerprint: Fingerprint,
}

impl Recovered {
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            secret: self.secret.duplicate(),
            password: self.password.as_ref().map(SecretValue::duplicate),
            principal: self.principal.clone(),
            fingerprint: self.fingerprint,
        }
    }
}

/// Whether hits keep their values. Only recovery does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keep {
    Nothing,
    Values,
}

/// A match without its bytes.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) rule: usize,
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) fingerprint: Fingerprint,
    /// Under the key of a baseline file.
    pub(crate) baseline: Option<Fingerprint>,
    pub(crate) parts: Vec<Fingerprint>,
    pub(crate) principal: Option<String>,
    pub(crate) preview: String,
    pub(crate) note: Option<String>,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) joined: Vec<Joined>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) confidence: Confidence,
    pub(crate) count: u64,
    pub(crate) kept: Option<Recovered>,
    /// Lists (their places in [`RuleSet::lists_for`]) whose text agrees and that also ask for a path or commit.
    pub(crate) agreed: Vec<usize>,
    /// The comment that allows it.
    pub(crate) allow: Option<Allow>,
    /// Lines and columns of further occurrences, for rules that ask how far others are; at most [`Hit::MAX_MORE`].
    pub(crate) more: Vec<(u64, u64)>,
}

impl Hit {
    const MAX_MORE: usize = 64;

    /// What a rule that only looks at paths finds: the file, whatever is in it.
    pub(crate) fn of_path(rule: usize, path: &str, key: &FingerprintKey) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        Self {
            rule,
            line: 1,
            column: 1,
            fingerprint: key.fingerprint_bytes(path.as_bytes()),
            baseline: None,
            parts: Vec::new(),
            principal: None,
            preview: printable(name),
            note: Some("found by its name: the content was not looked at".to_owned()),
            details: BTreeMap::new(),
            joined: Vec::new(),
            encoding: None,
            confidence: Confidence::Medium,
            count: 1,
            kept: None,
            agreed: Vec::new(),
            allow: None,
            more: Vec::new(),
        }
    }

    /// Where it was seen.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u64, u64)> {
        std::iter::once((self.line, self.column)).chain(self.more.iter().copied())
    }
}

/// What makes two hits the same: rule, secret, the lists that agree, and whether a comment allows it.
type Same = (usize, Fingerprint, Vec<usize>, bool);

/// Hits of one blob or file: one per rule and secret, unless a list or comment speaks of only some of them.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    by_secret: BTreeMap<Same, Hit>,
    /// Different secrets beyond [`Hits::MAX`], which are only counted.
    pub(crate) dropped: u64,
}

impl Hits {
    /// Different secrets kept per blob or file.
    const MAX: usize = 10_000;

    pub(crate) fn add(&mut self, hit: Hit) {
        let key = (hit.rule, hit.fingerprint, hit.agreed.clone(), hit.allow.is_some());
        if let Some(first) = self.by_secret.get_mut(&key) {
            first.count = first.count.saturating_add(hit.count);
            let space = Hit::MAX_MORE.saturating_sub(first.more.len());
            first.more.extend(hit.places().take(space));
        } else if self.by_secret.len() < Self::MAX {
            self.by_secret.insert(key, hit);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.by_secret.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_secret.is_empty()
    }

    /// Drops the secrets that are in `known`.
    pub(crate) fn forget(&mut self, known: &Self) {
        self.by_secret.retain(|secret, _| !known.by_secret.contains_key(secret));
    }

    /// Adds a note to every hit that has none.
    pub(crate) fn note_all(&mut self, note: &str) {
        for hit in self.by_secret.values_mut() {
            hit.note.get_or_insert_with(|| note.to_owned());
        }
    }
}

/// What a match is, once its bytes are reduced to a fingerprint. `bytes` reach [`Rule::context`] around it, or to an end.
pub(crate) fn redact(
    bytes: &[u8],
    found: &Match,
    rules: &RuleSet,
    key: &FingerprintKey,
    keep: Keep,
) -> Option<Hit> {
    let rule = rules.rules().get(found.rule)?;
    let secret = bytes.get(found.secret.clone())?;
    let fingerprint = key.fingerprint_bytes(secret);
    let text_of = |range: &Range<usize>| bytes.get(range.clone());
    let password = found.password.as_ref().and_then(text_of).map(|raw| SecretValue::new(percent_decode(raw)));
    let principal = found.principal.as_ref().and_then(text_of).and_then(public_name);
    let mut parts = Vec::new();
    if let Some(password) = &password {
        parts.push(key.fingerprint(password));
    }
    let kept = (keep == Keep::Values).then(|| Recovered {
        secret: SecretValue::new(secret.to_vec()),
        password,
        principal: principal.clone(),
        fingerprint,
    });
    let joined = rule.joined(bytes, found, key);
    let mut details = detail::details(bytes, found, rule);
    for id in joined.iter().filter_map(|part| part.text.as_deref()) {
        detail::of_id(id, &mut details);
    }
    let verdict = rule.verdict(bytes, found);
    let wrong = verdict == Verdict::Wrong;
    let confidence = if verdict == Verdict::Right || !(wrong || joined.is_empty()) {
        Confidence::High
    } else if wrong {
        Confidence::Low
    } else {
        confidence(rule, bytes, found)
    };
    Some(Hit {
        rule: found.rule,
        line: 0,
        column: 0,
        fingerprint,
        baseline: None,
        parts,
        preview: preview(secret, rule, principal.as_deref()),
        principal,
        note: wrong.then(|| "its checksum is wrong: it was mistyped, cut, or made up".to_owned()),
        details,
        joined,
        encoding: None,
        confidence,
        count: 1,
        kept,
        agreed: agreed(bytes, found, rules, rule),
        allow: None,
        more: Vec::new(),
    })
}

/// The lists whose text agrees and whose place is not known yet.
fn agreed(bytes: &[u8], found: &Match, rules: &RuleSet, rule: &Rule) -> Vec<usize> {
    let secret = bytes.get(found.secret.clone()).unwrap_or_default();
    let candidate = Candidate {
        secret,
        matched: bytes.get(found.span.clone()).unwrap_or(secret),
        line: line_around(bytes, &found.span),
    };
    let lists = rules.lists_for(rule).enumerate();
    lists.filter(|(_, list)| list.needs_both() && list.text_agrees(&candidate)).map(|(at, _)| at).collect()
}

/// The public prefix and `…`; nothing at all for secrets without one.
fn preview(secret: &[u8], rule: &Rule, principal: Option<&str>) -> String {
    if rule.rank == Rank::Url {
        let scheme = secret.split(|byte| *byte == b':').next().unwrap_or_default();
        return format!("{}://{}:…", String::from_utf8_lossy(scheme), principal.unwrap_or("…"));
    }
    // A prefix that is most of the secret would say too much.
    let shown = secret.get(..rule.prefix).filter(|_| rule.prefix.saturating_mul(2) <= secret.len());
    format!("{}…", printable(&String::from_utf8_lossy(shown.unwrap_or_default())))
}

/// The user beside a secret, unless it looks like a secret itself (tokens are given as users, too).
fn public_name(raw: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(raw).ok().filter(|name| !name.is_empty() && name.len() <= 200)?;
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let token_like = name.len() >= 16 && digits >= 3 && !name.contains('@');
    if token_like || contains(raw, b"%") { None } else { Some(printable(name)) }
}

/// Undoes percent-encoding (RFC 3986, 2.1); a `%` that starts no escape stands for itself.
pub(crate) fn percent_decode(raw: &[u8]) -> Vec<u8> {
    // Never longer than the input, so the vector does not grow and leave a copy behind.
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, after)) = rest.split_first() {
        let decoded = match (first, after) {
            (b'%', [high, low, tail @ ..]) => hex_pair(*high, *low).map(|byte| (byte, tail)),
            _ => None,
        };
        let (byte, tail) = decoded.unwrap_or((*first, after));
        out.push(byte);
        rest = tail;
    }
    out
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding() {
        assert_eq!(percent_decode(b"a%2Fb%zz%4"), b"a/b%zz%4");
    }

    #[test]
    fn users_that_look_like_tokens_are_not_named() {
        assert_eq!(public_name(b"orders_app").as_deref(), Some("orders_app"));
        assert_eq!(
            public_name(b"ci@orders-123456.iam.gserviceaccount.com").as_deref(),
            Some("ci@orders-123456.iam.gserviceaccount.com")
        );
        assert_eq!(public_name(b"a1b2c3d4e5f6g7h8"), None);
        assert_eq!(public_name(b""), None);
    }
}
