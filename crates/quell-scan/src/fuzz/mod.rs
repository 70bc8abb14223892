//! What fuzzers call: each function takes any bytes and must neither panic, nor hang, nor take much memory.
//!
//! Only with the feature `fuzz` and in tests. The targets in `fuzz/` call these; so does a test with a mutator of its own.
//! `redact` gets its place here when it comes.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use quell_core::secret::FingerprintKey;

use crate::engine::KeywordEngine;
use crate::hit::{Hits, Keep};
use crate::stream::{Searcher, Sizes};
use crate::unpack::{Input, Limits, Sink};
use crate::{Encoding, RuleSet, decode, unpack};

pub use crate::git::fuzz as git;

/// A rule file.
pub fn rules(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _refused = RuleSet::parse("fuzz.toml", text).is_err();
    }
}

/// Encoded text. The first two bytes choose the part that is looked at.
pub fn decode(bytes: &[u8]) {
    let Some(([from, length], text)) = bytes.split_first_chunk::<2>() else { return };
    let within = usize::from(*from)..usize::from(*from) + usize::from(*length);
    let mut whole = Vec::new();
    decode::runs(text, 0..text.len(), &mut |run| whole.push(run));
    whole.retain(|run| run.range.start < within.end && run.range.end > within.start && !within.is_empty());
    let mut part = Vec::new();
    decode::runs(text, within, &mut |run| part.push(run));
    assert!(whole == part, "a part sees other runs than the whole");
    for encoding in [Encoding::Base64, Encoding::Hex, Encoding::Json, Encoding::Percent] {
        let text = decode::decode(text, encoding);
        assert!(text.is_none_or(|text| std::str::from_utf8(&text).is_ok()), "decoded bytes are no text");
    }
}

/// An archive or document, as bytes and as a stream.
pub fn archive(bytes: &[u8]) {
    static RULES: LazyLock<Option<RuleSet>> = LazyLock::new(|| {
        let text = "[[rules]]\nid='mark'\nregex='''mrk_[a-z0-9]{8}'''\nkeywords=['mrk_']\n";
        RuleSet::parse("fuzz.toml", text).ok()
    });
    static ENGINE: LazyLock<Option<KeywordEngine<'static>>> =
        LazyLock::new(|| RULES.as_ref().map(KeywordEngine::new));
    let Some(engine) = ENGINE.as_ref() else { return };
    let key = FingerprintKey::new([7; 32]);
    let sizes = Sizes { block: 16 << 10, overlap: 4 << 10 };
    let searcher = Searcher { sizes, ..Searcher::new(engine, &key, Keep::Nothing) };
    let limits =
        Limits { unpacked: 1 << 20, free: 1 << 18, members: 200, memory: 64 << 10, ..Limits::default() };
    let mut bounds = Bounds { bytes: 0 };
    unpack::scan(Input::Bytes(bytes), &searcher, &limits, &mut bounds);
    unpack::scan(Input::Reader(&mut &*bytes), &searcher, &limits, &mut bounds);
    // Each byte that was unpacked is searched as it is, as text, and as tags.
    let most = 8 * (limits.unpacked + bytes.len() as u64) + (1 << 20);
    assert!(bounds.bytes <= most, "{} bytes came out of {}", bounds.bytes, bytes.len());
}

struct Bounds {
    bytes: u64,
}

impl Sink for Bounds {
    fn hits(&mut self, _inner: &str, _hits: Hits) {}

    fn skipped(&mut self, _inner: &str, _why: String) {}

    fn bytes(&mut self, count: u64) {
        self.bytes += count;
    }
}
