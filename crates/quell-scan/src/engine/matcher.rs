//! One compiled regex: where it matches by lazy automata, its groups by backtracking over the match alone.
//!
//! The parts are those of `regex_automata::meta`, of which each is made only when it is needed: the reverse automaton for
//! rules whose match may begin before their literal, the Pike machine when another part gives up. Its tables, and the
//! engines for small regexes that `meta` tries to build, would take most of the memory of a scan.

use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternID};

/// Memory of one compiled regex, as in [`crate::rule`].
pub(super) const SIZE_LIMIT: usize = 16 << 20;

/// Memory that a thread may spend on one lazy automaton.
const CACHE_LIMIT: usize = 1 << 20;

/// The regex of a rule with its groups.
#[derive(Debug)]
pub(super) struct Matcher {
    text: String,
    unicode: bool,
    nfa: NFA,
    forward: DFA,
    reverse: OnceLock<Option<DFA>>,
    groups: BoundedBacktracker,
    pike: OnceLock<Option<PikeVM>>,
    pub(super) secret: Option<usize>,
    pub(super) password: Option<usize>,
    pub(super) principal: Option<usize>,
}

/// Scratch memory of one thread for one regex.
#[derive(Debug)]
pub(super) struct Scratch {
    forward: dfa::Cache,
    reverse: Option<dfa::Cache>,
    groups: backtrack::Cache,
    pike: Option<pikevm::Cache>,
    captures: Captures,
}

/// What an automaton says that has used up its memory, or met a character beyond ASCII at a word boundary.
struct GaveUp;

impl Matcher {
    /// `None` for a text that does not compile.
    pub(super) fn new(text: &str) -> Option<Self> {
        let (nfa, unicode) = [false, true].into_iter().find_map(|unicode| {
            let config = thompson::Config::new().which_captures(WhichCaptures::All);
            Some((compile(text, unicode, config)?, unicode))
        })?;
        let forward = automaton(nfa.clone(), MatchKind::LeftmostFirst, CACHE_LIMIT)?;
        let groups = BoundedBacktracker::new_from_nfa(nfa.clone()).ok()?;
        let group = |name: &str| nfa.group_info().to_index(PatternID::ZERO, name);
        let (secret, password, principal) = (group("secret"), group("password"), group("principal"));
        Some(Self {
            text: text.to_owned(),
            unicode,
            nfa,
            forward,
            reverse: OnceLock::new(),
            groups,
            pike: OnceLock::new(),
            secret,
            password,
            principal,
        })
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            forward: self.forward.create_cache(),
            reverse: None,
            groups: self.groups.create_cache(),
            pike: None,
            captures: self.groups.create_captures(),
        }
    }

    /// The first match.
    pub(super) fn find(&self, scratch: &mut Scratch, input: &Input<'_>) -> Option<Range<usize>> {
        self.bounds(scratch, input).unwrap_or_else(|GaveUp| {
            self.slowly(scratch, input).and_then(|found| Some(found.get_match()?.range()))
        })
    }

    fn bounds(&self, scratch: &mut Scratch, input: &Input<'_>) -> Result<Option<Range<usize>>, GaveUp> {
        let Some(end) = self.forward.try_search_fwd(&mut scratch.forward, input).map_err(|_e| GaveUp)? else {
            return Ok(None);
        };
        let end = end.offset();
        if input.get_anchored().is_anchored() {
            return Ok(Some(input.start()..end));
        }
        let reverse = self.reverse.get_or_init(|| self.reversed()).as_ref().ok_or(GaveUp)?;
        let cache = scratch.reverse.get_or_insert_with(|| reverse.create_cache());
        let back = input.clone().span(input.start()..end).anchored(Anchored::Yes);
        let start = reverse.try_search_rev(cache, &back).map_err(|_e| GaveUp)?.ok_or(GaveUp)?;
        Ok(Some(start.offset()..end))
    }

    /// The first byte that does not matter any more to whether something matches from the start of `input` on, and what:
    /// the automaton has read all before. `None` when everything may matter.
    pub(super) fn decided(&self, scratch: &mut Scratch, input: &Input<'_>) -> Option<usize> {
        let input = input.clone().anchored(Anchored::Yes);
        let cache = &mut scratch.forward;
        let mut state = self.forward.start_state_forward(cache, &input).ok()?;
        for (at, byte) in input.haystack().get(input.get_range())?.iter().enumerate() {
            state = self.forward.next_state(cache, state, *byte).ok()?;
            if state.is_dead() {
                return Some(input.start() + at + 1);
            }
            if state.is_quit() {
                return None;
            }
        }
        None
    }

    /// The groups of a match whose bounds are known. To look no further than its end finds the same ways through the
    /// regex, and the search's memory, which grows with the length, is small.
    pub(super) fn groups<'s>(
        &self,
        scratch: &'s mut Scratch,
        bytes: &[u8],
        whole: Range<usize>,
    ) -> Option<&'s Captures> {
        let input = Input::new(bytes).span(whole).anchored(Anchored::Yes);
        let Scratch { groups, captures, .. } = &mut *scratch;
        if self.groups.try_captures(groups, input.clone(), captures).is_err() {
            return self.slowly(scratch, &input);
        }
        Some(&scratch.captures).filter(|captures| captures.is_match())
    }

    fn slowly<'s>(&self, scratch: &'s mut Scratch, input: &Input<'_>) -> Option<&'s Captures> {
        let pike = self.pike.get_or_init(|| PikeVM::new_from_nfa(self.nfa.clone()).ok()).as_ref()?;
        let cache = scratch.pike.get_or_insert_with(|| pike.create_cache());
        pike.captures(cache, input.clone(), &mut scratch.captures);
        Some(&scratch.captures).filter(|captures| captures.is_match())
    }

    fn reversed(&self) -> Option<DFA> {
        let config = thompson::Config::new().which_captures(WhichCaptures::None).reverse(true);
        automaton(compile(&self.text, self.unicode, config)?, MatchKind::All, CACHE_LIMIT)
    }
}

fn compile(text: &str, unicode: bool, config: thompson::Config) -> Option<NFA> {
    thompson::Compiler::new()
        .syntax(syntax::Config::new().unicode(unicode).utf8(false))
        .configure(config.utf8(false).nfa_size_limit(Some(SIZE_LIMIT)))
        .build(text)
        .ok()
}

/// A lazy automaton on which a thread spends `memory` bytes at most.
pub(super) fn automaton(nfa: NFA, kind: MatchKind, memory: usize) -> Option<DFA> {
    let config = dfa::Config::new()
        .match_kind(kind)
        .unicode_word_boundary(true)
        .cache_capacity(memory)
        .skip_cache_capacity_check(true);
    DFA::builder().configure(config).build_from_nfa(nfa).ok()
}

#[cfg(test)]
mod tests {
    use regex_automata::meta;

    use super::*;

    const PATTERNS: &[&str] = &[
        r"(?P<secret>[a-z]{2,5}?)=(?:'([^']*)'|(\w+))",
        r"\bkey\b[ :]{0,3}([a-f0-9]{4,9})\b",
        r"(a|ab)(c|bcd)(d*)",
        r"(?i)tok[^\n]{0,6}?([A-Z]{2})$",
        r"x*",
    ];

    /// All that a library's own combination finds, and all that ours finds.
    fn both(pattern: &str, text: &[u8], anchored: Anchored) -> [Option<Vec<Option<Range<usize>>>>; 2] {
        let groups = |captures: &Captures| {
            captures.iter().map(|span| span.map(|span| span.range())).collect::<Vec<_>>()
        };
        let input = Input::new(text).anchored(anchored);
        let config = meta::Config::new().utf8_empty(false).auto_prefilter(false);
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let regex = meta::Builder::new().configure(config).syntax(syntax).build(pattern).unwrap();
        let mut captures = regex.create_captures();
        regex.search_captures(&input, &mut captures);
        let theirs = captures.is_match().then(|| groups(&captures));
        let matcher = Matcher::new(pattern).unwrap();
        let mut scratch = matcher.scratch();
        let whole = matcher.find(&mut scratch, &input);
        let ours = whole.and_then(|whole| matcher.groups(&mut scratch, text, whole).map(groups));
        [theirs, ours]
    }

    proptest::proptest! {
        #[test]
        fn it_finds_what_the_library_finds(text in "[a-e=' :\nkeytokTOX0-9\u{e9}]{0,40}") {
            for pattern in PATTERNS {
                for anchored in [Anchored::No, Anchored::Yes] {
                    let [theirs, ours] = both(pattern, text.as_bytes(), anchored);
                    proptest::prop_assert_eq!(theirs, ours, "{} {:?}", pattern, anchored);
                }
            }
        }
    }

    #[test]
    fn groups_of_a_long_match_are_found() {
        let text = format!("key=\"{}\"", "ab c".repeat(60_000));
        let [theirs, ours] = both(r#"(?P<secret>key)="([^"]*)""#, text.as_bytes(), Anchored::No);
        assert!(theirs.is_some());
        assert_eq!(theirs, ours);
    }

    #[test]
    fn word_boundaries_beyond_ascii_are_decided() {
        let matcher = Matcher::new(r"(?u:\bcl\u{e9}\b)=([a-z]+)").unwrap();
        let mut scratch = matcher.scratch();
        let text = "x cl\u{e9}=secret";
        let whole = matcher.find(&mut scratch, &Input::new(text)).unwrap();
        assert_eq!(text.get(whole.clone()), Some("cl\u{e9}=secret"));
        let groups = matcher.groups(&mut scratch, text.as_bytes(), whole).unwrap();
        assert_eq!(groups.get_group(1).and_then(|span| text.get(span.range())), Some("secret"));
    }
}
