//! The first engine: keywords wake rules, and a woken rule's regex looks at a window around them.

use std::ops::Range;

use regex::bytes::{Captures, Regex};

use super::{Engine, MAX_MATCH, Match, filter};
use crate::RuleSet;
use crate::rule::Rule;

/// Aho-Corasick over all keywords, then one linear-time regex per woken rule.
#[derive(Debug)]
pub struct KeywordEngine<'a> {
    rules: &'a RuleSet,
}

impl<'a> KeywordEngine<'a> {
    /// An engine over these rules.
    pub fn new(rules: &'a RuleSet) -> Self {
        Self { rules }
    }

    fn windows(&self, bytes: &[u8]) -> Vec<Vec<Range<usize>>> {
        let rules = self.rules.rules();
        let index = self.rules.keywords();
        let mut windows: Vec<Vec<Range<usize>>> = vec![Vec::new(); rules.len()];
        for always in &index.always {
            if let Some(list) = windows.get_mut(*always) {
                list.push(0..bytes.len());
            }
        }
        for hit in index.automaton.find_overlapping_iter(bytes) {
            for woken in index.rules.get(hit.pattern().as_usize()).into_iter().flatten() {
                let (Some(rule), Some(list)) = (rules.get(*woken), windows.get_mut(*woken)) else { continue };
                let Range { start, end } = rule.neighbourhood(hit.start()..hit.end(), bytes.len());
                match list.last_mut() {
                    // Hits come ordered by their end, so the last window is the only one that can touch this one.
                    Some(last) if start <= last.end => {
                        last.start = last.start.min(start);
                        last.end = last.end.max(end);
                    }
                    _ => list.push(start..end),
                }
            }
        }
        windows
    }
}

impl Engine for KeywordEngine<'_> {
    fn scan(&self, bytes: &[u8], sink: &mut dyn FnMut(Match)) {
        let windows = self.windows(bytes);
        for (index, (rule, windows)) in self.rules.rules().iter().zip(windows).enumerate() {
            let Some(regex) = rule.pattern.regex().filter(|_| !windows.is_empty()) else { continue };
            let mut done = 0;
            for window in windows {
                let start = window.start.max(done);
                done = search(regex, bytes, start..window.end, &mut |captures| {
                    if let Some(found) = found(index, rule, captures) {
                        if filter::accepts(self.rules, rule, bytes, &found) {
                            sink(found);
                        }
                    }
                });
            }
        }
    }
}

/// Finds matches that start in the window; returns where the next search may begin.
fn search(regex: &Regex, bytes: &[u8], window: Range<usize>, each: &mut dyn FnMut(&Captures<'_>)) -> usize {
    let mut at = window.start;
    let mut end = window.end;
    while at <= end {
        let Some(view) = bytes.get(..end) else { break };
        let Some(whole) = regex.find_at(view, at) else { break };
        // A match that touches the end of the view may be longer, or may not be one at all (`\b`): look further.
        if whole.end() == end && end < bytes.len() && end - whole.start() < MAX_MATCH {
            end = end.saturating_add(1 << 10).min(bytes.len());
            at = whole.start();
            continue;
        }
        if let Some(captures) = regex.captures_at(view, whole.start()) {
            each(&captures);
        }
        at = whole.end().max(whole.start() + 1);
    }
    at.max(window.start)
}

fn found(index: usize, rule: &Rule, captures: &Captures<'_>) -> Option<Match> {
    let whole = captures.get(0)?;
    let named = |name: &str| captures.name(name).map(|group| group.range()).filter(|range| !range.is_empty());
    let principal = named("principal");
    let first_group = || {
        captures
            .iter()
            .skip(1)
            .flatten()
            .map(|group| group.range())
            .find(|range| !range.is_empty() && Some(range) != principal.as_ref())
    };
    let secret = match rule.secret_group {
        0 => named("secret").or_else(first_group).unwrap_or_else(|| whole.range()),
        group => captures.get(group)?.range(),
    };
    if secret.is_empty() {
        return None;
    }
    Some(Match { rule: index, span: whole.range(), secret, password: named("password"), principal })
}
