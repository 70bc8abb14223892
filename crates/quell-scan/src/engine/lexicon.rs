//! Lists of words that are asked for all the time.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Words, written with blanks between them.
pub(super) struct Lexicon {
    text: &'static str,
    words: OnceLock<BTreeSet<&'static str>>,
}

impl Lexicon {
    pub(super) const fn new(text: &'static str) -> Self {
        Self { text, words: OnceLock::new() }
    }

    /// Whether a word is in it.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words().contains(word)
    }

    /// Whether some word of it is the end of this one.
    pub(super) fn end(&self, word: &str) -> bool {
        self.words().iter().any(|known| word.ends_with(known))
    }

    fn words(&self) -> &BTreeSet<&'static str> {
        self.words.get_or_init(|| self.text.split_whitespace().collect())
    }
}
