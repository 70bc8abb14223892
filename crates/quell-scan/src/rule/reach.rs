//! How a regex can be woken by a short text, and how far a match may lie around it.
//!
//! A **site** is a set of literals of which every match (of one variant of the regex) holds at least one, with the most
//! bytes that a match may have before and after the start of that literal. What a search of such a site finds depends on
//! a bounded piece of text only: that is what lets results be carried from one version of a file to the next.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicodeRange, Hir, HirKind};

use super::DEFAULT_WINDOW;

/// A literal as it stands in the text, or in any case.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Literal {
    /// In lower case unless `exact`.
    pub(crate) bytes: Vec<u8>,
    /// Whether the case counts.
    pub(crate) exact: bool,
}

/// What must match from a literal on, by its place in the regex: it is built again from the text when it is first needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cut {
    /// The branch of the first alternation at the top that stands for it.
    pub(crate) branch: Option<usize>,
    /// Elements of the flat sequence that come before.
    pub(crate) at: usize,
}

impl Cut {
    /// At the start: all of the regex comes after it.
    pub(crate) const NOWHERE: Self = Self { branch: None, at: 0 };
}

/// Where one variant of a regex can be woken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Site {
    pub(crate) literals: Vec<Literal>,
    /// Bytes that a match may have before the literal.
    pub(crate) before: usize,
    /// Bytes that a match may have from the start of the literal on.
    pub(crate) after: usize,
    /// Whether `after` is only a first guess, as the regex has no bound.
    pub(crate) grows: bool,
    /// What must match from the literal on; `None` when that is the whole regex.
    pub(crate) tail: Option<Cut>,
}

/// How to search for a regex.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reach {
    /// Empty: there is no such literal, and the regex has to run over everything.
    pub(crate) sites: Vec<Site>,
    /// Whether every match holds one of the rule's keywords. If not, a file without any is not for the rule.
    pub(crate) implied: bool,
}

/// Literals beyond this are too many for one site.
const MAX_LITERALS: usize = 40;

/// Branches of an alternation that are looked at one by one.
const MAX_BRANCHES: usize = 12;

/// A match may lie this far before its literal; a pattern that allows more is cut there.
const MAX_BEFORE: usize = 512;

/// Elements after a place that decide with which texts a match goes on there. More would only cost time at every start.
const AHEAD: usize = 6;

/// A literal as rare as this at the front of a regex is good enough to stop looking.
const RARE: f64 = 14.0;

/// Finds the sites of a regex. `window` stands in where it has no bound; `inside` says that every match is known to hold a
/// keyword, so that the keywords themselves can stand in where the regex shows no better literal.
pub(crate) fn analyze(
    text: &str,
    keywords: &[String],
    inside: bool,
    window: usize,
    max_match: usize,
) -> Reach {
    let Some(hir) = parse(text) else { return Reach::default() };
    let search = Search { keywords, window: if window == 0 { DEFAULT_WINDOW } else { window }, max_match };
    let parts = flatten(&hir);
    let best = search.best(&parts).filter(|cover| cover.implied);
    let cover = best
        .or_else(|| search.branches(&parts).filter(|cover| cover.implied))
        .or_else(|| inside.then(|| search.by_keywords(&hir)).flatten())
        .or_else(|| search.best(&parts));
    cover.map_or_else(Reach::default, |cover| Reach { sites: cover.sites, implied: cover.implied })
}

/// What a regex says from a cut on. `None` if it has no such place.
pub(crate) fn tail(hir: &Hir, cut: Cut) -> Option<Hir> {
    let mut parts = flatten(hir);
    if let Some(branch) = cut.branch {
        let (at, branches) = choice(&parts)?;
        parts = variant(&parts, at, branches.get(branch)?)?;
    }
    Some(Hir::concat(parts.get(cut.at..)?.to_vec()))
}

/// Whether a line break can only be the last byte of a match, if it is in one at all: then nothing beyond the line decides
/// whether there is one.
pub(crate) fn stays_in_line(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => true,
        HirKind::Literal(literal) => {
            literal.0.split_last().is_none_or(|(_last, before)| !before.contains(&b'\n'))
        }
        HirKind::Repetition(repetition) => {
            stays_in_line(&repetition.sub) && (repetition.max == Some(1) || !may_break(&repetition.sub))
        }
        HirKind::Capture(group) => stays_in_line(&group.sub),
        HirKind::Concat(parts) => {
            let mut broken = false;
            parts.iter().all(|part| {
                let follows = broken && part.properties().maximum_len() != Some(0);
                broken |= may_break(part);
                !follows && stays_in_line(part)
            })
        }
        HirKind::Alternation(parts) => parts.iter().all(stays_in_line),
    }
}

/// Whether a line break can be in what a regex matches.
fn may_break(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'\n'),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&b'\n'))
        }
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&'\n'))
        }
        HirKind::Repetition(repetition) => may_break(&repetition.sub),
        HirKind::Capture(group) => may_break(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(may_break),
    }
}

/// False for a regex that matches nothing at all, or nothing but empty text.
pub(crate) fn takes_text(text: &str) -> bool {
    parse(text).is_none_or(|hir| {
        let properties = hir.properties();
        properties.minimum_len().is_some() && properties.maximum_len() != Some(0)
    })
}

/// With ASCII classes if it can be, as rules are compiled.
pub(crate) fn parse(text: &str) -> Option<Hir> {
    let parse = |unicode: bool| ParserBuilder::new().unicode(unicode).utf8(false).build().parse(text).ok();
    parse(false).or_else(|| parse(true))
}

/// The first element that is a choice.
fn choice(parts: &[Hir]) -> Option<(usize, &[Hir])> {
    parts.iter().enumerate().find_map(|(at, part)| {
        let HirKind::Alternation(branches) = part.kind() else { return None };
        Some((at, branches.as_slice()))
    })
}

/// The sequence with one branch in place of the choice at `at`.
fn variant(parts: &[Hir], at: usize, branch: &Hir) -> Option<Vec<Hir>> {
    let mut variant = parts.get(..at)?.to_vec();
    variant.extend(flatten(branch));
    variant.extend_from_slice(parts.get(at + 1..)?);
    Some(variant)
}

/// Sites that together catch every match, and how good they are.
#[derive(Clone, Debug)]
struct Cover {
    sites: Vec<Site>,
    implied: bool,
    /// Bits of surprise: how rare the literals are in usual text.
    bits: f64,
}

impl Cover {
    /// Sites that are sure to be as narrow as the keywords come first, then rare ones.
    fn beats(&self, other: &Self) -> bool {
        (self.implied, self.bits) > (other.implied, other.bits)
    }
}

struct Search<'a> {
    keywords: &'a [String],
    window: usize,
    max_match: usize,
}

impl Search<'_> {
    /// The best cover of a sequence.
    fn best(&self, parts: &[Hir]) -> Option<Cover> {
        let mut best: Option<Cover> = None;
        let mut in_word = false;
        for at in 0..parts.len() {
            // A word is worth looking at from its start only.
            let word = parts.get(at).is_some_and(worded);
            if !word || in_word {
                in_word = word;
                continue;
            }
            in_word = true;
            let cover = self.literals(parts, at);
            if let Some(cover) = cover.filter(|new| best.as_ref().is_none_or(|old| new.beats(old))) {
                let done = cover.implied && cover.bits >= RARE;
                best = Some(cover);
                if done {
                    break;
                }
            }
        }
        best
    }

    /// Each branch of a regex that is an alternation by itself.
    fn branches(&self, parts: &[Hir]) -> Option<Cover> {
        let (at, branches) = choice(parts)?;
        if branches.len() > MAX_BRANCHES {
            return None;
        }
        let mut whole = Cover { sites: Vec::new(), implied: true, bits: f64::MAX };
        for (number, branch) in branches.iter().enumerate() {
            let mut cover = self.best(&variant(parts, at, branch)?)?;
            for cut in cover.sites.iter_mut().filter_map(|site| site.tail.as_mut()) {
                cut.branch = Some(number);
            }
            whole.implied &= cover.implied;
            whole.bits = whole.bits.min(cover.bits);
            whole.sites.extend(cover.sites);
        }
        Some(whole)
    }

    /// The keywords themselves, with whatever the regex allows around them.
    fn by_keywords(&self, hir: &Hir) -> Option<Cover> {
        let literals: Vec<Literal> = self
            .keywords
            .iter()
            .map(|word| Literal { bytes: word.as_bytes().to_ascii_lowercase(), exact: false })
            .collect();
        let length = hir.properties().maximum_len();
        let bounded = length.filter(|length| *length <= self.max_match);
        let site = Site {
            literals,
            before: length.unwrap_or(self.window).min(self.window).min(MAX_BEFORE),
            after: bounded.unwrap_or(self.window),
            grows: bounded.is_none(),
            tail: None,
        };
        (!self.keywords.is_empty()).then(|| Cover { sites: vec![site], implied: true, bits: 0.0 })
    }

    /// The literals with which what starts at an element begins.
    fn literals(&self, parts: &[Hir], at: usize) -> Option<Cover> {
        let rest = parts.get(at..)?;
        // Look-around in front changes nothing about the bytes that follow.
        if matches!(rest.first()?.kind(), HirKind::Look(_)) && at > 0 {
            return None;
        }
        // Each letter of a word in any case is an element of its own.
        let letters = rest.iter().take_while(|part| matches!(part.kind(), HirKind::Class(_)) && worded(part));
        let near = rest.get(..letters.count().saturating_add(AHEAD)).unwrap_or(rest);
        let exact = prefixes(&Hir::concat(near.to_vec()));
        let folded = prefixes(&Hir::concat(near.iter().map(fold).collect()));
        let quality = |list: &[Vec<u8>]| list.iter().map(|bytes| bits(bytes)).fold(f64::MAX, f64::min);
        let (list, is_exact) = match (exact, folded) {
            (Some(exact), Some(folded))
                if exact.len() <= folded.len() && quality(&exact) + 0.5 >= quality(&folded) =>
            {
                (exact, true)
            }
            (_, Some(folded)) => (folded, false),
            (Some(exact), None) => (exact, true),
            (None, None) => return None,
        };
        let has_keyword = |bytes: &Vec<u8>| {
            let lower = bytes.to_ascii_lowercase();
            self.keywords.iter().any(|word| super::contains(&lower, word.as_bytes()))
        };
        let implied = self.keywords.is_empty() || list.iter().all(has_keyword);
        let length = |parts: &[Hir]| {
            parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.properties().maximum_len()?))
        };
        let ahead = length(parts.get(..at)?);
        let before = ahead.unwrap_or(self.window).min(MAX_BEFORE);
        let bounded = length(rest).filter(|length| *length <= self.max_match);
        let mut rarity = quality(&list);
        // A literal at the front needs no look back, and what follows it usually ends the search at once.
        rarity -= if before == 0 { 0.0 } else { 1.0 };
        rarity -= if ahead.is_none() { 4.0 } else { 0.0 };
        let literals = list.into_iter().map(|bytes| Literal { bytes, exact: is_exact }).collect();
        let site = Site {
            literals,
            before,
            after: bounded.unwrap_or(self.window),
            grows: bounded.is_none(),
            tail: (before > 0).then_some(Cut { branch: None, at }),
        };
        Some(Cover { sites: vec![site], implied, bits: rarity })
    }
}

/// Whether an element can be the start of a literal: a text, a letter in either case, or a choice of texts.
fn worded(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Alternation(_) => true,
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().map(|range| usize::from(range.end() - range.start()) + 1).sum::<usize>()
                <= 4
        }
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(ClassUnicodeRange::len).sum::<usize>() <= 4
        }
        HirKind::Repetition(repetition) => repetition.min > 0 && worded(&repetition.sub),
        HirKind::Capture(group) => worded(&group.sub),
        HirKind::Empty | HirKind::Look(_) | HirKind::Concat(_) => false,
    }
}

/// A sequence without groups.
fn flatten(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Capture(group) => flatten(&group.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(flatten).collect(),
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => vec![hir.clone()],
    }
}

/// The texts with which every match begins.
fn prefixes(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Prefix).limit_class(9).limit_repeat(4).limit_literal_len(24);
    extractor.limit_total(MAX_LITERALS);
    let sequence = extractor.extract(hir);
    let list = sequence.literals()?;
    let mut list: Vec<Vec<u8>> = list.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    list.sort();
    list.dedup();
    (!list.is_empty() && list.iter().all(|bytes| bytes.len() >= 2)).then_some(list)
}

/// The regex with every letter in lower case, to be searched in text that is in lower case, too.
fn fold(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Literal(literal) => Hir::literal(literal.0.to_ascii_lowercase()),
        HirKind::Class(class) => fold_class(class).unwrap_or_else(|| hir.clone()),
        HirKind::Capture(group) => fold(&group.sub),
        HirKind::Repetition(repetition) => {
            let mut repetition = repetition.clone();
            repetition.sub = Box::new(fold(&repetition.sub));
            Hir::repetition(repetition)
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(fold).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(fold).collect()),
        HirKind::Empty | HirKind::Look(_) => hir.clone(),
    }
}

/// A class without upper-case letters; `None` for one that holds more than ASCII in Unicode.
fn fold_class(class: &Class) -> Option<Hir> {
    let ranges = byte_ranges(class)?;
    let bytes = ranges.iter().flat_map(|(start, end)| *start..=*end);
    let folded = bytes.map(|byte| byte.to_ascii_lowercase()).map(|byte| ClassBytesRange::new(byte, byte));
    Some(Hir::class(Class::Bytes(ClassBytes::new(folded))))
}

/// The bytes of a class, with both ends; `None` for one that holds more than ASCII in Unicode.
pub(crate) fn byte_ranges(class: &Class) -> Option<Vec<(u8, u8)>> {
    match class {
        Class::Bytes(class) => {
            Some(class.ranges().iter().map(|range| (range.start(), range.end())).collect())
        }
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .map(|range| {
                let end = u8::try_from(range.end()).ok().filter(u8::is_ascii)?;
                Some((u8::try_from(range.start()).ok()?, end))
            })
            .collect(),
    }
}

/// Words that are in every other file.
const COMMON: &[&[u8]] = &[
    b"key", b"token", b"secret", b"pass", b"auth", b"http", b"api", b"access", b"user", b"client", b"name",
    b"-----",
];

/// How rare a text is, in bits: rough shares of bytes in source code, at most for the eight bytes that a filter can see.
fn bits(bytes: &[u8]) -> f64 {
    let lower = bytes.to_ascii_lowercase();
    let sum: f64 = lower.iter().take(10).map(|byte| byte_bits(*byte)).sum();
    let common: usize =
        COMMON.iter().filter(|word| super::contains(&lower, word)).map(|word| word.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let common = common as f64;
    (sum - common * 3.0).max(0.0)
}

fn byte_bits(byte: u8) -> f64 {
    match byte {
        b' ' => 3.0,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 4.0,
        b'l' | b'c' | b'd' | b'u' | b'p' | b'm' | b'f' | b'h' => 5.0,
        b'_' | b'-' | b'.' | b'/' | b'"' | b'=' | b'0' | b'1' | b'g' | b'b' | b'y' => 6.0,
        b'q' | b'z' | b'x' | b'j' | b'~' => 8.0,
        _ => 7.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str, keywords: &[&str]) -> Reach {
        let keywords: Vec<String> = keywords.iter().map(|word| (*word).to_owned()).collect();
        analyze(text, &keywords, false, 4096, 65536)
    }

    fn shown(reach: &Reach) -> Vec<(Vec<String>, usize, usize, bool)> {
        let text = |literal: &Literal| {
            format!("{}{}", String::from_utf8_lossy(&literal.bytes), if literal.exact { "" } else { "/i" })
        };
        let site =
            |site: &Site| (site.literals.iter().map(text).collect(), site.before, site.after, site.grows);
        reach.sites.iter().map(site).collect()
    }

    #[test]
    fn a_prefix_is_a_site_without_look_back() {
        let found = reach(r"\b(gh[pu]_[A-Za-z0-9]{36})\b", &["ghp_", "ghu_"]);
        assert!(found.implied);
        assert_eq!(shown(&found), [(vec!["ghp_".to_owned(), "ghu_".to_owned()], 0, 40, false)]);
    }

    #[test]
    fn a_line_break_can_end_a_match_or_leads_out_of_the_line() {
        let stays = |text: &str| stays_in_line(&parse(text).unwrap());
        for text in
            ["key=[a-z]+", r"key=[^\n]*", r#"key=(\w+)(?:["\s]|$)"#, "a(?:b\n|c)?", r"(?m)^k=.$", r"k=\n$"]
        {
            assert!(stays(text), "{text}");
        }
        for text in [
            r"key\s=",
            r"key=\s*",
            "key=[^a]{2}",
            r"\nkey",
            r"(?:a\n|b)c",
            "a\nb",
            r"(?s:k.{3})",
            r"(?:a\n){1,2}",
        ] {
            assert!(!stays(text), "{text}");
        }
    }

    #[test]
    fn case_is_kept_where_it_counts() {
        assert_eq!(shown(&reach("AKIA[A-Z]{16}", &["akia"])), [(vec!["AKIA".to_owned()], 0, 20, false)]);
        assert_eq!(shown(&reach("(?i)acme[0-9]{4}", &[])), [(vec!["acme/i".to_owned()], 0, 8, false)]);
    }

    #[test]
    fn an_inner_literal_has_a_bounded_look_back() {
        let found = reach("[a-z]{0,20}acmeco[ :=]{1,3}([0-9a-f]{8})", &["acmeco"]);
        assert_eq!(
            shown(&found),
            [(vec!["acmeco ".to_owned(), "acmeco:".to_owned(), "acmeco=".to_owned()], 20, 17, false)]
        );
        assert!(found.sites[0].tail.is_some());
    }

    #[test]
    fn branches_are_told_apart() {
        let found = reach("(?:ab[0-9]{0,4}secret|secret_?access)=[a-z]{4}", &["secret"]);
        assert!(found.implied);
        let mut befores: Vec<usize> = found.sites.iter().map(|site| site.before).collect();
        befores.sort_unstable();
        assert_eq!(befores, [0, 6]);
    }

    #[test]
    fn what_has_no_bound_grows() {
        let found = reach("eyJ[a-z]{10,}", &["eyj"]);
        assert_eq!(shown(&found), [(vec!["eyJ".to_owned()], 0, 4096, true)]);
    }

    #[test]
    fn no_literal_no_site_and_a_stray_keyword_is_noticed() {
        assert!(reach("[0-9]{6}", &[]).sites.is_empty());
        let stray = reach("sk_live_[a-z]{4}", &["stripe"]);
        assert!(!stray.implied && !stray.sites.is_empty());
    }

    #[test]
    fn no_built_in_rule_runs_over_everything() {
        let rules = crate::RuleSet::builtin().unwrap();
        for rule in rules.rules() {
            let found =
                analyze(rule.pattern.text(), &rule.keywords, rule.keywords_inside, rule.window, 65536);
            // A rule without a literal runs over whole files, but only over those that have a keyword of it.
            let gated = found.sites.is_empty() && !rule.keywords.is_empty();
            assert!(gated || found.implied && !found.sites.is_empty(), "{}: {:?}", rule.id, shown(&found));
            for site in &found.sites {
                assert!(site.before <= 512, "{}: {:?}", rule.id, shown(&found));
            }
        }
    }
}
