//! Proof that every match of a regex contains one of its keywords.
//!
//! gitleaks' keywords are only asked to be somewhere in the file. Where a regex cannot match without one, searching around
//! keywords is enough, and a change elsewhere in a file cannot change what matches.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts tracked at once; a part with more is a gap.
const MAX_TEXTS: usize = 64;

/// A text longer than this says no more.
const MAX_LENGTH: usize = 256;

/// Whether each match of `pattern` (in our syntax) has one of the lower-case `keywords` in it, in whatever case.
pub(crate) fn proven(pattern: &str, keywords: &[String]) -> bool {
    let parse = |unicode: bool| ParserBuilder::new().unicode(unicode).utf8(false).build().parse(pattern).ok();
    let Some(hir) = parse(false).or_else(|| parse(true)) else { return false };
    !keywords.is_empty() && holds(&hir, keywords)
}

fn holds(hir: &Hir, keywords: &[String]) -> bool {
    holds_after(&[Vec::new()], hir, keywords)
}

/// The same for a part that one of some texts always precedes: the parser moves what branches have in common before them.
fn holds_after(before: &[Vec<u8>], hir: &Hir, keywords: &[String]) -> bool {
    let whole = exact(hir).and_then(|texts| cross(before, &texts));
    if whole.is_some_and(|texts| all_contain(&texts, keywords)) {
        return true;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Literal(_) => false,
        HirKind::Capture(capture) => holds_after(before, &capture.sub, keywords),
        HirKind::Repetition(repetition) => {
            repetition.min > 0 && holds_after(before, &repetition.sub, keywords)
        }
        HirKind::Alternation(branches) => branches.iter().all(|branch| holds_after(before, branch, keywords)),
        HirKind::Concat(parts) => concat(before, parts, keywords),
    }
}

/// A keyword may lie inside one part or across neighbours that are texts.
fn concat(before: &[Vec<u8>], parts: &[Hir], keywords: &[String]) -> bool {
    let mut run = before.to_vec();
    for part in parts {
        if holds_after(&run, part, keywords) {
            return true;
        }
        let texts = exact(part);
        if let Some(joined) = texts.as_ref().and_then(|texts| cross(&run, texts)) {
            run = joined;
            continue;
        }
        if all_contain(&run, keywords) {
            return true;
        }
        run = texts.unwrap_or_else(|| vec![Vec::new()]);
    }
    all_contain(&run, keywords)
}

/// Every text that a part matches, in lower case, if they are few.
fn exact(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            (literal.0.len() <= MAX_LENGTH).then(|| vec![literal.0.to_ascii_lowercase()])
        }
        HirKind::Class(class) => members(class),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Repetition(repetition) => {
            let most = repetition.max.filter(|most| *most <= 8)?;
            let once = exact(&repetition.sub)?;
            let mut texts = vec![Vec::new()];
            let mut all = if repetition.min == 0 { texts.clone() } else { Vec::new() };
            for count in 1..=most {
                texts = cross(&texts, &once)?;
                if count >= repetition.min {
                    all.extend(texts.iter().cloned());
                }
            }
            few(all)
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all = few(all.into_iter().chain(exact(branch)?).collect())?;
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut texts = vec![Vec::new()];
            for part in parts {
                texts = cross(&texts, &exact(part)?)?;
            }
            Some(texts)
        }
    }
}

fn members(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    match class {
        Class::Bytes(class) => {
            for range in class.iter() {
                if range.end() - range.start() > 9 {
                    return None;
                }
                all.extend((range.start()..=range.end()).map(|byte| vec![byte.to_ascii_lowercase()]));
            }
        }
        Class::Unicode(class) => {
            for range in class.iter() {
                if u32::from(range.end()) - u32::from(range.start()) > 9 {
                    return None;
                }
                let text = |c: char| c.to_ascii_lowercase().to_string().into_bytes();
                all.extend((range.start()..=range.end()).map(text));
            }
        }
    }
    few(all)
}

fn few(mut texts: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    texts.sort_unstable();
    texts.dedup();
    (texts.len() <= MAX_TEXTS && texts.iter().all(|text| text.len() <= MAX_LENGTH)).then_some(texts)
}

fn cross(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if left.len().saturating_mul(right.len()) > MAX_TEXTS * 4 {
        return None;
    }
    few(left.iter().flat_map(|a| right.iter().map(move |b| [a.as_slice(), b].concat())).collect())
}

fn all_contain(texts: &[Vec<u8>], keywords: &[String]) -> bool {
    let has = |text: &Vec<u8>| keywords.iter().any(|word| super::contains(text, word.as_bytes()));
    !texts.is_empty() && texts.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, keywords: &[&str]) -> bool {
        let keywords: Vec<String> = keywords.iter().map(|word| (*word).to_owned()).collect();
        proven(pattern, &keywords)
    }

    #[test]
    fn keywords_that_cannot_be_missing_are_proven() {
        assert!(check(r"\bghp_[a-z]{36}", &["ghp_"]));
        assert!(check(r"(?i)api[-_]?key\s*=\s*(\w+)", &["api_key", "apikey", "api-key"]));
        assert!(check("(?:one|two)-x+", &["one", "two"]));
        assert!(check("(?:do[por])_v1_", &["dop_v1", "doo_v1", "dor_v1"]));
        assert!(check("sk-(?:a|b)-x{9}|sk-[A-Z]{20}T3", &["sk-a-", "sk-b-", "t3"]));
        assert!(check("(?i:AKIA|ASIA)[A-Z0-9]{16}", &["akia", "asia"]));
    }

    #[test]
    fn others_are_not() {
        assert!(!check("[a-z]{40}", &["acme"]));
        assert!(!check("(?:one|three)-x", &["one", "two"]));
        assert!(!check("(?:one)?x", &["one"]));
        assert!(!check("a.b", &["a.b"]));
        assert!(!check("one", &[]));
        assert!(!check("(", &["a"]));
    }
}
