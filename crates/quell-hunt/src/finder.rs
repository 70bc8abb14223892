//! Searches many bytes for the spellings of a hunt: the hot loop.
//!
//! One spelling is found by two of its bytes at once, in vectors; several by an automaton. Both are several times as fast as to
//! unpack the logs that they look at.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use crate::needle::{Needle, NeedleError};

/// Longer needles are not searched in vectors by `memmem`, which then takes twice the time.
const SHORT: usize = 32;

#[derive(Debug)]
pub(crate) enum Finder {
    Nothing,
    One(Box<One>),
    Many(Box<AhoCorasick>),
}

/// A single spelling. Its end is searched for: the beginnings of hashes, tokens and paths stand in every line.
#[derive(Debug)]
pub(crate) struct One {
    end: memmem::Finder<'static>,
    /// How much of it stands before that end.
    before: usize,
}

impl Finder {
    pub(crate) fn new(list: &[Needle]) -> Result<Self, NeedleError> {
        Ok(match list {
            [] => Self::Nothing,
            [one] => Self::One(Box::new(One::new(one.bytes()))),
            many => {
                // Whichever of several that overlap is found first is told; records are looked at again one by one.
                let built = AhoCorasick::builder()
                    .match_kind(MatchKind::Standard)
                    .build(many.iter().map(Needle::bytes));
                Self::Many(Box::new(built.map_err(|error| NeedleError::TooMany(error.to_string()))?))
            }
        })
    }
}

impl One {
    fn new(needle: &[u8]) -> Self {
        let before = needle.len().saturating_sub(SHORT);
        let end = needle.get(before..).unwrap_or(needle);
        Self { end: memmem::Finder::new(end).into_owned(), before }
    }

    /// Where the needle ends for the first time.
    pub(crate) fn find(&self, needle: &[u8], bytes: &[u8]) -> Option<usize> {
        let mut from = self.before;
        loop {
            let at = from + self.end.find(bytes.get(from..)?)?;
            let stop = at - self.before + needle.len();
            if self.before == 0 || bytes.get(at - self.before..stop) == Some(needle) {
                return Some(stop);
            }
            from = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: &[u8], one: &[u8]) -> Vec<usize> {
        (0..all.len()).filter(|at| all.get(*at..).is_some_and(|rest| rest.starts_with(one))).collect()
    }

    proptest::proptest! {
        #[test]
        fn one_is_found_where_it_ends_first(
            text in "[ab]{0,300}", needle in "[ab]{1,6}", padding in 0..60_usize, copies in 0..3_usize,
        ) {
            // Long ones with an end that also stands alone.
            let needle = format!("{}{needle}", "ab".repeat(padding));
            let text = format!("{text}{}{}", needle.repeat(copies), text.get(..text.len() / 2).unwrap_or_default());
            let one = One::new(needle.as_bytes());
            let want = places(text.as_bytes(), needle.as_bytes()).first().map(|at| at + needle.len());
            proptest::prop_assert_eq!(one.find(needle.as_bytes(), text.as_bytes()), want);
        }
    }
}
