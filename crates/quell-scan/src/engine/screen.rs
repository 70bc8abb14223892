//! What a match must look like around its literal, asked cheaply before the regex itself is: most places where `token`
//! stands are none, and a large regex is slow to say so.
//!
//! A screen only ever lets too much pass. It asks for a run of characters that every match has (a token of 40 letters and
//! digits, say), and then an automaton of the same regex in which long repetitions may be of any length: that has few
//! states, where counting to 256 takes many thousands.

use memchr::memmem::Finder;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::matcher::{self, SIZE_LIMIT};
use crate::rule::reach;

/// Runs shorter than this are in every other line.
const SHORTEST: usize = 8;

/// Repetitions up to this often are kept as they are.
const COUNTED: u32 = 6;

/// Of longer ones, this many are asked for.
const ASKED: u32 = 3;

/// Up to this many bytes, a run is looked for first.
const NEAR: usize = 512;

/// Memory that a thread may spend on one automaton.
const CACHE_LIMIT: usize = 128 << 10;

/// What every match of a regex has.
#[derive(Debug)]
pub(super) struct Screen {
    run: Option<Run>,
    /// A text that every match has somewhere: the end of a private key.
    text: Option<Finder<'static>>,
    automaton: Option<DFA>,
    /// Whether matches may begin before the literal.
    around: bool,
}

impl Screen {
    /// For what begins with the literal.
    pub(super) fn from(hir: &Hir) -> Self {
        Self { run: Run::of(hir), text: text_of(hir), automaton: automaton(hir), around: false }
    }

    /// For what has the literal somewhere; `None` when nothing can be said.
    pub(super) fn around(hir: &Hir) -> Option<Self> {
        Some(Self { run: Some(Run::of(hir)?), text: None, automaton: None, around: true })
    }

    /// Whether there may be a match whose literal starts at `start`, within `from..first` and with what lies around that
    /// in `text`.
    pub(super) fn lets(
        &self,
        cache: &mut Option<Cache>,
        text: &[u8],
        from: usize,
        start: usize,
        first: usize,
    ) -> bool {
        let begin = if self.around { from } else { start };
        let span = text.get(begin..first).unwrap_or_default();
        let run = || self.run.as_ref().is_none_or(|run| run.is_in(span));
        // To look for a run in a long text takes longer than the automaton, which usually ends after a few bytes.
        let near = span.len() <= NEAR || self.automaton.is_none();
        if near && !run() {
            return false;
        }
        // An automaton that waits for it reads all that is there.
        if !near && self.text.as_ref().is_some_and(|text| text.find(span).is_none()) {
            return false;
        }
        let Some(automaton) = &self.automaton else { return true };
        let cache = cache.get_or_insert_with(|| automaton.create_cache());
        let input = Input::new(text).span(start..first).anchored(Anchored::Yes).earliest(true);
        // An automaton that gave up says nothing.
        automaton.try_search_fwd(cache, &input).map_or(true, |found| found.is_some()) && (near || run())
    }
}

/// Where a regex of bounded length is worth a try in a long text: near the runs that each of its matches has.
#[derive(Debug)]
pub(super) struct Stride {
    run: Run,
    /// Bytes of the longest match.
    most: usize,
}

impl Stride {
    /// `None` when nothing can be said.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        Some(Self { run: Run::of(hir)?, most: hir.properties().maximum_len()? })
    }

    /// The first place from `at` on where a match may begin. One that begins earlier would end before a run does.
    pub(super) fn next(&self, text: &[u8], at: usize) -> Option<usize> {
        let end = self.run.first_in(text, at)?.saturating_add(self.run.length);
        Some(end.saturating_sub(self.most).max(at))
    }
}

fn automaton(hir: &Hir) -> Option<DFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(SIZE_LIMIT));
    let nfa = thompson::Compiler::new().configure(config).build_from_hir(&relaxed(hir)).ok()?;
    matcher::automaton(nfa, MatchKind::All, CACHE_LIMIT)
}

/// The longest text among the elements of a regex after the first.
fn text_of(hir: &Hir) -> Option<Finder<'static>> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    let texts = parts.iter().skip(1).filter_map(|part| match part.kind() {
        HirKind::Literal(literal) => Some(literal.0.as_ref()),
        HirKind::Alternation(_)
        | HirKind::Capture(_)
        | HirKind::Class(_)
        | HirKind::Concat(_)
        | HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Repetition(_) => None,
    });
    let longest: &[u8] = texts.max_by_key(|text| text.len())?;
    (longest.len() >= SHORTEST).then(|| Finder::new(longest).into_owned())
}

/// Matches all that the regex matches, and more.
fn relaxed(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let kept = repetition.max.is_some_and(|max| max <= COUNTED);
            let (min, max) =
                if kept { (repetition.min, repetition.max) } else { (repetition.min.min(ASKED), None) };
            Hir::repetition(Repetition {
                min,
                max,
                greedy: repetition.greedy,
                sub: Box::new(relaxed(&repetition.sub)),
            })
        }
        HirKind::Capture(group) => relaxed(&group.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(relaxed).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(relaxed).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

/// So many bytes of a set in a row.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Run {
    set: Set,
    length: usize,
}

impl Run {
    /// The longest run that every match is sure to have, over the sets that the regex repeats.
    fn of(hir: &Hir) -> Option<Self> {
        let mut sets = vec![Set::of_bytes(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))];
        repeated(hir, &mut sets);
        let longest = sets.into_iter().map(|set| Self { length: Sure::of(hir, &set).best, set });
        // Of equal lengths, the smaller set is rarer.
        longest
            .filter(|run| run.length >= SHORTEST)
            .max_by_key(|run| (run.length, std::cmp::Reverse(run.set.count())))
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.first_in(text, 0).is_some()
    }

    /// Where the first one at or after a place begins. Looks at few bytes: where one is not of the set, no run can cross it.
    fn first_in(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut start = from;
        loop {
            let window = text.get(start..).and_then(|rest| rest.get(..self.length))?;
            match window.iter().rposition(|byte| !self.set.has(*byte)) {
                Some(last) => start += last + 1,
                None => return Some(start),
            }
        }
    }
}

/// A set of bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Set([u64; 4]);

impl Set {
    fn of_bytes(holds: impl Fn(u8) -> bool) -> Self {
        let mut set = Self([0; 4]);
        for byte in (0..=u8::MAX).filter(|byte| holds(*byte)) {
            if let Some(word) = set.0.get_mut(usize::from(byte >> 6)) {
                *word |= 1 << (byte & 63);
            }
        }
        set
    }

    /// `None` for characters beyond ASCII.
    fn of_class(class: &Class) -> Option<Self> {
        let ranges = reach::byte_ranges(class)?;
        Some(Self::of_bytes(|byte| ranges.iter().any(|(start, end)| (*start..=*end).contains(&byte))))
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    fn holds(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & other == *other)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// Sets of characters of which a regex takes several in a row.
fn repeated(hir: &Hir, sets: &mut Vec<Set>) {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let class = match repetition.sub.kind() {
                HirKind::Class(class) if repetition.min >= 4 => Set::of_class(class),
                HirKind::Class(_)
                | HirKind::Empty
                | HirKind::Literal(_)
                | HirKind::Look(_)
                | HirKind::Repetition(_)
                | HirKind::Capture(_)
                | HirKind::Concat(_)
                | HirKind::Alternation(_) => None,
            };
            sets.extend(class.filter(|set| !sets.contains(set)));
            repeated(&repetition.sub, sets);
        }
        HirKind::Capture(group) => repeated(&group.sub, sets),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            for part in parts {
                repeated(part, sets);
            }
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

/// How many bytes of a set in a row a match is sure to have: at its start, at its end, and anywhere.
#[derive(Clone, Copy, Debug, Default)]
struct Sure {
    start: usize,
    end: usize,
    best: usize,
    /// Whether all of it is of the set.
    whole: bool,
}

impl Sure {
    fn of(hir: &Hir, set: &Set) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::all(0),
            HirKind::Literal(literal) => {
                literal.0.iter().map(|byte| Self::one(set.has(*byte))).fold(Self::all(0), Self::then)
            }
            HirKind::Class(class) => Self::one(Set::of_class(class).is_some_and(|class| set.holds(&class))),
            HirKind::Repetition(repetition) => Self::of(&repetition.sub, set).times(repetition.min),
            HirKind::Capture(group) => Self::of(&group.sub, set),
            HirKind::Concat(parts) => {
                parts.iter().map(|part| Self::of(part, set)).fold(Self::all(0), Self::then)
            }
            HirKind::Alternation(parts) => {
                parts.iter().map(|part| Self::of(part, set)).reduce(Self::or).unwrap_or_default()
            }
        }
    }

    fn all(length: usize) -> Self {
        Self { start: length, end: length, best: length, whole: true }
    }

    fn one(is_of_set: bool) -> Self {
        if is_of_set { Self::all(1) } else { Self::default() }
    }

    fn times(self, min: u32) -> Self {
        let min = usize::try_from(min).unwrap_or(usize::MAX);
        if self.whole {
            return Self::all(self.best.saturating_mul(min));
        }
        match min {
            0 => Self::default(),
            1 => self,
            _ => Self { best: self.best.max(self.end.saturating_add(self.start)), ..self },
        }
    }

    fn then(self, next: Self) -> Self {
        Self {
            start: if self.whole { self.start.saturating_add(next.start) } else { self.start },
            end: if next.whole { self.end.saturating_add(next.end) } else { next.end },
            best: self.best.max(next.best).max(self.end.saturating_add(next.start)),
            whole: self.whole && next.whole,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.min(other.end),
            best: self.best.min(other.best),
            whole: self.whole && other.whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Hir {
        regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(text).unwrap()
    }

    fn run(text: &str) -> Option<usize> {
        Run::of(&parse(text)).map(|run| run.length)
    }

    #[test]
    fn runs_that_every_match_has() {
        assert_eq!(run("token[ =]{1,3}([0-9a-f]{40})"), Some(40));
        assert_eq!(run("token=(?:[a-z]{20}|[a-f]{30}-[0-9]{5})"), Some(20));
        assert_eq!(run("k(?:[a-z]{20}|[a-f]{30})"), Some(21));
        assert_eq!(run("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}"), Some(18));
        assert_eq!(run("(?:[a-z]{9} ?){2}"), Some(9));
        assert_eq!(run("(?:x[a-z]{5}.[a-z]{5}){2}"), Some(11));
        assert_eq!(run("(?:[a-z]{20})?="), None);
        assert_eq!(run("pass=.{3,9}"), None);
    }

    #[test]
    fn a_run_is_found_wherever_it_lies() {
        let run = Run::of(&parse("[a-z]{8}")).unwrap();
        for text in ["abcdefgh", "ab cdefghij", "  abcdefgh ", "1234567abcdefgh"] {
            assert!(run.is_in(text.as_bytes()), "{text}");
        }
        for text in ["", "abcdefg", "abcd efgh", "abcdefg1abcdefg"] {
            assert!(!run.is_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_stride_ends_before_every_match() {
        let stride = Stride::of(&parse(r"(?:^|[^a-z])([a-z]{8})(?:[^a-z]|$)")).unwrap();
        let next = |text: &str, at| stride.next(text.as_bytes(), at);
        assert_eq!(next("abcdefgh", 0), Some(0));
        assert_eq!(next("ab cd ef abcdefgh", 0), Some(7));
        assert_eq!(next("ab cd ef abcdefgh", 9), Some(9));
        assert_eq!(next("ab cd ef abcdefg", 0), None);
        assert!(Stride::of(&parse("[a-z]{8,}")).is_none(), "a match may begin anywhere before its run");
        assert!(Stride::of(&parse("[a-z]{3}")).is_none());
    }

    #[test]
    fn a_far_end_is_looked_for_first() {
        let screen = Screen::from(&parse("begin [a-z]{1,9}(?s:.*?)the very end of it[.]"));
        let lets = |text: &str| screen.lets(&mut None, text.as_bytes(), 0, 0, text.len());
        let long = "x ".repeat(NEAR);
        assert!(lets(&format!("begin a{long}the very end of it.")));
        assert!(!lets(&format!("begin a{long}the very end")));
        assert!(!lets(&format!("begin 1{long}the very end of it.")));
    }

    #[test]
    fn a_screen_lets_every_match_pass() {
        let screen = Screen::from(&parse(r"key\b[^\n]{0,40}?[=:]([a-z0-9]{24})(?:[^a-z0-9]|$)"));
        let lets = |text: &str, start| screen.lets(&mut None, text.as_bytes(), start, start, text.len());
        assert!(lets("a key is=abcdefghijklmnopqrstuvwx;", 2));
        assert!(lets("key:abcdefghijklmnopqrstuvwx", 0));
        assert!(!lets("keys:abcdefghijklmnopqrstuvwx", 0));
        assert!(!lets("key abcdefghijklmnopqrstuvwx", 0));
        assert!(!lets("key=abcdefghijklm", 0));
    }
}
