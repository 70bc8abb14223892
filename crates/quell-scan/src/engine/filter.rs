//! What looks like a secret and is none: too regular, a placeholder, allowed by a list.

use super::placeholder::{placeholder, template};
use super::{Match, generic, line_around, value};
use crate::rule::{Candidate, Rank, Rule};
use crate::{Confidence, RuleSet};

pub(super) fn accepts(rules: &RuleSet, rule: &Rule, bytes: &[u8], found: &Match) -> bool {
    let Some(secret) = bytes.get(found.secret.clone()) else { return false };
    let core = found.password.clone().and_then(|range| bytes.get(range)).unwrap_or(secret);
    if rule.entropy.is_some_and(|least| entropy(core) <= least) {
        return false;
    }
    // In a file that is there for credentials, `password` is a bad password; a variable is still none.
    let stand_in = if rule.tags.iter().any(|tag| tag == "credential-file") { template } else { placeholder };
    // The score of a generic rule is none for what stands in, and usually for its name already.
    let refused = match rule.rank {
        Rank::Generic => generic::score(rule, bytes, found).is_none(),
        Rank::Url | Rank::Specific => rule.placeholders && stand_in(core),
    };
    if refused {
        return false;
    }
    let candidate = Candidate {
        secret,
        matched: bytes.get(found.span.clone()).unwrap_or(secret),
        line: line_around(bytes, &found.span),
    };
    !rules.lists_for(rule).any(|list| list.allows_text(&candidate)) && rule.confirms(bytes, found)
}

/// How sure the text of an accepted match makes us.
pub(crate) fn confidence(rule: &Rule, bytes: &[u8], found: &Match) -> Confidence {
    match rule.rank {
        Rank::Generic if generic::score(rule, bytes, found) < Some(value::VERY_RANDOM) => Confidence::Low,
        Rank::Generic | Rank::Url | Rank::Specific => Confidence::Medium,
    }
}

/// Shannon entropy in bits per byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "matches are at most 64 KiB long")]
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}
