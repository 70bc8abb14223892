mod build;
mod documents;
mod formats;
mod hostile;

use std::collections::BTreeSet;

use quell_core::secret::FingerprintKey;

use super::*;
use crate::RuleSet;
use crate::engine::KeywordEngine;
use crate::hit::Keep;
use crate::rule::template::expand;
use crate::stream::Sizes;

static RULES: std::sync::LazyLock<RuleSet> = std::sync::LazyLock::new(|| {
    let text = "[[rules]]\nid='mark'\nregex='''mrk_[a-z0-9]{24}'''\nkeywords=['mrk_']\n";
    RuleSet::parse("test.toml", text).unwrap()
});

fn token(seed: u64) -> String {
    expand("mrk_{a-z0-9:24}", seed).unwrap()
}

/// One of everything, for the mutator.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let line = format!("key = {}\n", token(1)).into_bytes();
    let inner = build::zip(&[("a", &line), ("word/document.xml", b"<w:p><w:t>x</w:t></w:p>")]);
    let wide: Vec<u8> = "some text as UTF-16".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        build::gz(&build::tar(&[("x.zip", &inner)])),
        build::tar(&[("a", &line), ("x.zip", &inner)]),
        build::zip(&[("x.gz", &build::gz(&line)), ("y.zip", &inner)]),
        build::bz2(&line),
        build::xz(&line),
        build::zst(&line),
        build::ar(&[("a", &line), ("data.tar", &build::tar(&[("a", &line)]))]),
        wide,
        documents::pdf(&[
            ("/Filter /FlateDecode", build::zlib(b"BT [(a) -300 <62>] TJ ET")),
            ("", b"BT (x) Tj".to_vec()),
        ]),
        br#"{"cells": [{"source": ["a"], "outputs": [{"text": "b"}]}], "nbformat": 4}"#.to_vec(),
    ]
}

/// What came out of an input.
#[derive(Debug, Default)]
struct Seen {
    hits: BTreeSet<(String, String)>,
    notes: Vec<String>,
    skipped: Vec<(String, String)>,
    bytes: u64,
}

impl Sink for Seen {
    fn hits(&mut self, inner: &str, hits: Hits) {
        for hit in hits.iter() {
            self.hits.insert((inner.to_owned(), hit.fingerprint.to_string()));
            self.notes.extend(hit.note.clone());
        }
    }

    fn skipped(&mut self, inner: &str, why: String) {
        self.skipped.push((inner.to_owned(), why));
    }

    fn bytes(&mut self, count: u64) {
        self.bytes += count;
    }
}

impl Seen {
    fn paths(&self) -> Vec<&str> {
        self.hits.iter().map(|(path, _)| path.as_str()).collect()
    }

    fn has(&self, path: &str, token: &str) -> bool {
        self.hits.contains(&(path.to_owned(), key().fingerprint_bytes(token.as_bytes()).to_string()))
    }

    fn why(&self) -> Vec<String> {
        self.skipped.iter().map(|(path, why)| format!("{path}: {why}")).collect()
    }
}

fn key() -> FingerprintKey {
    FingerprintKey::new([7; 32])
}

fn run(input: Input<'_>, limits: &Limits) -> Seen {
    let key = key();
    let engine = KeywordEngine::new(&RULES);
    let searcher =
        Searcher { rules: &RULES, engine: &engine, key: &key, keep: Keep::Nothing, sizes: Sizes::default() };
    let mut seen = Seen::default();
    let outcome = scan(input, &searcher, limits, &mut seen);
    assert!(outcome.error.is_none(), "{outcome:?}");
    seen
}

fn bytes(bytes: &[u8]) -> Seen {
    run(Input::Bytes(bytes), &Limits::default())
}

/// As bytes in any order and as a stream: the same must come out.
fn both(input: &[u8]) -> Seen {
    let in_order = run(Input::Reader(&mut &*input), &Limits::default());
    let any_order = bytes(input);
    assert_eq!(in_order.hits, any_order.hits);
    assert_eq!(in_order.skipped, any_order.skipped);
    any_order
}
