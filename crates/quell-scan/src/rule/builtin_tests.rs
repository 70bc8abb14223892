//! What every built-in rule promises to the engine: bounded reach, and a keyword in every match.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton as _;
use regex_automata::nfa::thompson::{NFA, State, Transition};
use regex_automata::util::syntax;
use regex_syntax::hir::{Hir, HirKind};

use super::*;

/// A key in PEM ends at its footer; its window bounds it instead.
const UNBOUNDED: &[&str] = &["private-key"];

fn config() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

fn unbounded(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
        HirKind::Repetition(repeat) => repeat.max.is_none() || unbounded(&repeat.sub),
        HirKind::Capture(capture) => unbounded(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(unbounded),
    }
}

/// A pair of a state of the regex and a state of the keyword search.
type Pair = (StateId, WordId);
type StateId = regex_automata::util::primitives::StateID;
type WordId = aho_corasick::automaton::StateID;

/// Bytes of some match that holds no keyword, by a walk over all pairs of states. Look-around is taken as passed, so that
/// the walk errs on the side of an answer.
fn match_without_keyword(pattern: &str, keywords: &[String]) -> Option<String> {
    let nfa = NFA::compiler().syntax(config()).configure(NFA::config().utf8(false)).build(pattern).unwrap();
    let search = aho_corasick::dfa::DFA::builder().ascii_case_insensitive(true).build(keywords).unwrap();
    let letters = letters(keywords);
    let start = (nfa.start_anchored(), search.start_state(Anchored::No).unwrap());
    let mut reached = BTreeMap::from([(start, (start, None))]);
    let mut open = vec![start];
    while let Some(pair) = open.pop() {
        if matches!(nfa.state(pair.0), State::Match { .. }) {
            return Some(spelled(&reached, pair));
        }
        for (to, byte) in steps(nfa.state(pair.0), &letters) {
            let word = byte.map_or(pair.1, |byte| search.next_state(Anchored::No, pair.1, byte));
            if !search.is_match(word) && !reached.contains_key(&(to, word)) {
                reached.insert((to, word), (pair, byte));
                open.push((to, word));
            }
        }
    }
    None
}

/// The bytes that matter to the keyword search, in both cases.
fn letters(keywords: &[String]) -> BTreeSet<u8> {
    let bytes = || keywords.iter().flat_map(|word| word.bytes());
    bytes().chain(bytes().map(|byte| byte.to_ascii_uppercase())).collect()
}

/// Where a state leads. Of the bytes that no keyword has, one of a range stands for all.
fn steps(state: &State, letters: &BTreeSet<u8>) -> Vec<(StateId, Option<u8>)> {
    let bytes = |trans: &Transition| {
        let (to, range) = (trans.next, trans.start..=trans.end);
        let other = range.clone().find(|byte| !letters.contains(byte));
        let all: Vec<_> = letters.range(range).copied().chain(other).map(|byte| (to, Some(byte))).collect();
        all
    };
    match state {
        State::Match { .. } | State::Fail => vec![],
        State::ByteRange { trans } => bytes(trans),
        State::Sparse(sparse) => sparse.transitions.iter().flat_map(bytes).collect(),
        State::Dense(dense) => {
            (0..=u8::MAX).filter_map(|byte| Some((dense.matches_byte(byte)?, Some(byte)))).collect()
        }
        State::Look { next, .. } | State::Capture { next, .. } => vec![(*next, None)],
        State::Union { alternates } => alternates.iter().map(|to| (*to, None)).collect(),
        State::BinaryUnion { alt1, alt2 } => vec![(*alt1, None), (*alt2, None)],
    }
}

fn spelled(reached: &BTreeMap<Pair, (Pair, Option<u8>)>, end: Pair) -> String {
    let (mut at, mut text) = (end, Vec::new());
    while let Some((before, byte)) = reached.get(&at).filter(|(before, _)| *before != at) {
        text.extend(byte);
        at = *before;
    }
    text.reverse();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn every_repetition_is_bounded() {
    let set = RuleSet::builtin().unwrap();
    let mut wrong = Vec::new();
    for rule in set.rules() {
        let hir = syntax::parse_with(rule.pattern.text(), &config()).unwrap();
        if unbounded(&hir) != UNBOUNDED.contains(&rule.id.as_str()) {
            wrong.push(rule.id.as_str());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_match_holds_a_keyword() {
    let set = RuleSet::builtin().unwrap();
    let mut wrong = Vec::new();
    for rule in set.rules() {
        assert!(!rule.keywords.is_empty(), "{}: no keyword, so it would run over everything", rule.id);
        // A rule that says so is searched in a window around its keywords.
        if !rule.keywords_inside {
            continue;
        }
        if let Some(text) = match_without_keyword(rule.pattern.text(), &rule.keywords) {
            wrong.push(format!("{}: none of {:?} is in {text:?}", rule.id, rule.keywords));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_walk_finds_a_match_without_a_keyword() {
    let keywords = ["key".to_owned()];
    assert_eq!(match_without_keyword("(?i:api_?key)=[0-9]{2}", &keywords), None);
    assert_eq!(match_without_keyword("(?:key|tok)en", &keywords).as_deref(), Some("token"));
    assert_eq!(match_without_keyword("[k]{0,1}ey", &keywords).as_deref(), Some("ey"));
}

#[test]
fn every_rule_names_its_source_and_shows_both_sides() {
    let set = RuleSet::builtin().unwrap();
    let lines: Vec<_> = set
        .rules()
        .iter()
        .filter(|rule| {
            rule.examples.is_empty()
                || rule.non_examples.is_empty()
                || rule.source.as_ref().is_none_or(|source| !source.starts_with("https://"))
        })
        .map(|rule| rule.id.as_str())
        .collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn a_public_prefix_leaves_enough_hidden() {
    let set = RuleSet::builtin().unwrap();
    let mut wrong = Vec::new();
    for rule in set.rules().iter().filter(|rule| rule.prefix > 0) {
        for (index, example) in rule.examples.iter().enumerate() {
            let text = template::expand(example, template::seed(&rule.id, index)).unwrap();
            let captures = rule.pattern.regex().unwrap().captures(text.as_bytes());
            let groups = captures.iter().flat_map(|captures| captures.iter().skip(1).flatten());
            let secret = groups.map(|group| group.len()).max().unwrap_or(0);
            if secret < rule.prefix + 8 {
                wrong.push(format!("{}: {example:?}", rule.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_match_is_longer_than_the_window() {
    let set = RuleSet::builtin().unwrap();
    let mut wrong = Vec::new();
    // URLs begin with their keyword, and the engine reads on to their end.
    let others = |rule: &&Rule| rule.rank != Rank::Url && !UNBOUNDED.contains(&rule.id.as_str());
    for rule in set.rules().iter().filter(others) {
        let longest = syntax::parse_with(rule.pattern.text(), &config()).unwrap().properties().maximum_len();
        if longest.is_none_or(|longest| longest > rule.window) {
            wrong.push(format!("{}: {longest:?} bytes, window {}", rule.id, rule.window));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
