//! Credentials of several parts: what must or may lie beside a match.

use std::ops::Range;

use quell_core::secret::FingerprintKey;

use super::{Pattern, Rule};
use crate::Joined;
use crate::engine::Match;
use crate::finding::printable;
use crate::rule::checksum::Verdict;

/// `[[rules.parts]]`: another part of the same credential.
#[derive(Debug)]
pub struct Part {
    /// What it is, such as `access key id`.
    pub name: String,
    /// What it looks like; its first group, if it has one, is the part.
    pub pattern: Pattern,
    /// How far from the match it may lie, in bytes, on either side.
    pub within: usize,
    /// Whether its text may be shown: an id is no secret.
    pub public: bool,
    /// Whether there is no finding without it.
    pub required: bool,
}

/// `[[rules.required]]` of gitleaks 8.28: another rule that must match in the same file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Required {
    /// The id of the other rule.
    pub id: String,
    /// At most this many lines away.
    pub lines: Option<u64>,
    /// At most this many bytes away from the column.
    pub columns: Option<u64>,
}

/// A part farther away than this is not beside its match.
pub(super) const MAX_WITHIN: usize = 512;

/// Bytes read past the neighbourhood, so that a part is not cut at its border.
const MARGIN: usize = 128;

/// Candidates looked at around one match.
const MAX_CANDIDATES: usize = 64;

/// Bytes on each side of a match that lists and details look at.
const SURROUNDINGS: usize = 2 << 10;

impl Part {
    /// The nearest one to a match.
    fn find(&self, bytes: &[u8], found: &Match) -> Option<Range<usize>> {
        let regex = self.pattern.regex()?;
        let low = found.span.start.saturating_sub(self.within);
        let high = found.span.end.saturating_add(self.within).min(bytes.len());
        // Bytes before `low` stay in view for `\b`.
        let view = bytes.get(..high.saturating_add(MARGIN).min(bytes.len()))?;
        let mut at = low;
        let mut best: Option<(usize, Range<usize>)> = None;
        for _ in 0..MAX_CANDIDATES {
            let Some(captures) = regex.captures_at(view, at) else { break };
            let Some(whole) = captures.get(0) else { break };
            let part = captures.iter().skip(1).flatten().next().unwrap_or(whole).range();
            at = part.end.max(whole.start() + 1);
            if part.start >= high {
                break;
            }
            let apart = part.end <= found.secret.start || part.start >= found.secret.end;
            if part.is_empty() || !apart || part.end > high {
                continue;
            }
            let distance = found.secret.start.abs_diff(part.start);
            if best.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                best = Some((distance, part));
            }
        }
        best.map(|(_, part)| part)
    }
}

impl Rule {
    /// Whether the required parts are there. A wrong checksum does not decide: a token that was cut or mistyped where it was
    /// pasted still tells that its like is in use there, so it is reported with low confidence.
    pub(crate) fn confirms(&self, bytes: &[u8], found: &Match) -> bool {
        self.parts.iter().all(|part| !part.required || part.find(bytes, found).is_some())
    }

    /// Whether everything that a match needs beside it is somewhere in the text.
    pub(crate) fn possible(&self, bytes: &[u8]) -> bool {
        self.parts.iter().all(|part| !part.required || part.pattern.matches(bytes))
    }

    /// What the checksum says; [`Verdict::Unknown`] for rules without one.
    pub(crate) fn verdict(&self, bytes: &[u8], found: &Match) -> Verdict {
        let secret = bytes.get(found.secret.clone()).unwrap_or_default();
        self.checksum.map_or(Verdict::Unknown, |checksum| checksum.check(secret))
    }

    /// The parts that lie beside a match.
    pub(crate) fn joined(&self, bytes: &[u8], found: &Match, key: &FingerprintKey) -> Vec<Joined> {
        let each = |part: &Part| {
            let text = bytes.get(part.find(bytes, found)?)?;
            let shown = part.public.then(|| printable(&String::from_utf8_lossy(text)));
            Some(Joined { name: part.name.clone(), fingerprint: key.fingerprint_bytes(text), text: shown })
        };
        self.parts.iter().filter_map(each).collect()
    }

    /// How many bytes on either side of a match decide about it, beyond the match itself: a change farther away changes
    /// neither whether it is a finding nor what the finding says.
    pub fn context(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.within.saturating_add(MARGIN));
        let certificate = if self.kind == "private-key" { crate::detail::CERTIFICATE_WITHIN } else { 0 };
        parts.max().unwrap_or(0).max(SURROUNDINGS).max(certificate)
    }
}
