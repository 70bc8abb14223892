//! One thread's search of one place: the regexes' scratch memory, and what a site finds where its literal stands.

use std::ops::Range;

use regex_automata::hybrid;
use regex_automata::{Anchored, Input};

use super::matcher::{Matcher, Scratch};
use super::plan::{LOOK, Plan, Site};
use super::{AROUND, MAX_MATCH, Match, filter};
use crate::RuleSet;
use crate::rule::Rule;

/// Scratch memory of one thread, made as it is needed.
#[derive(Debug, Default)]
pub(super) struct Worker {
    matchers: Vec<Option<Scratch>>,
    screens: Vec<Option<hybrid::dfa::Cache>>,
}

/// What a site found, kept when it is anything but "no match within the usual distance". There are many: it is small, and
/// the same wherever it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outcome {
    /// Where the literal starts.
    pub(super) at: u32,
    pub(super) site: u32,
    /// How many bytes before and after `at` this depends on.
    pub(super) before: u32,
    pub(super) after: u32,
    found: Option<Found>,
}

/// A match, from where the literal starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Found {
    span: Part,
    secret: Part,
    password: Option<Part>,
    principal: Option<Part>,
}

/// Matches are at most [`super::MAX_MATCH`] long, and so near.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Part {
    from: i32,
    length: u32,
}

impl Outcome {
    /// The same in another text.
    pub(super) fn moved(&self, to: u32) -> Self {
        Self { at: to, ..*self }
    }

    /// The match, if there is one.
    pub(super) fn found(&self, plan: &Plan) -> Option<Match> {
        let (found, site) = (self.found?, plan.sites.get(index(self.site))?);
        let part = |part: Part| {
            let start = index(self.at).saturating_add_signed(isize::try_from(part.from).unwrap_or(0));
            start..start.saturating_add(index(part.length))
        };
        Some(Match {
            rule: site.rule,
            span: part(found.span),
            secret: part(found.secret),
            password: found.password.map(part),
            principal: found.principal.map(part),
        })
    }
}

impl Found {
    fn new(at: usize, found: &Match) -> Option<Self> {
        let part = |range: &Range<usize>| {
            let from = i32::try_from(range.start.checked_signed_diff(at)?).ok()?;
            Some(Part { from, length: u32::try_from(range.len()).ok()? })
        };
        let optional = |range: &Option<Range<usize>>| match range {
            Some(range) => part(range).map(Some),
            None => Some(None),
        };
        Some(Self {
            span: part(&found.span)?,
            secret: part(&found.secret)?,
            password: optional(&found.password)?,
            principal: optional(&found.principal)?,
        })
    }
}

impl Worker {
    /// Tries a site where one of its literals starts; `None` stands for "no match", which depends on
    /// [`Site::before`] and [`Site::after`] bytes and the look-around at their ends.
    pub(super) fn evaluate(
        &mut self,
        rules: &RuleSet,
        plan: &Plan,
        bytes: &[u8],
        site: usize,
        at: u32,
    ) -> Option<Outcome> {
        let number = u32::try_from(site).ok()?;
        let site = plan.sites.get(site)?;
        let start = index(at);
        let first = site.after.saturating_add(start).min(bytes.len());
        let rule = plan.rules.get(site.rule)?;
        let from = start.saturating_sub(site.before);
        let form = site.form(rule);
        if let Some(screen) = &form.screen {
            let cache = slot(&mut self.screens, index(number))?;
            if !screen.lets(cache, seen(bytes, site, first), from, start, first) {
                return None;
            }
        }
        let matcher = rule.matcher()?;
        let scratch = slot(&mut self.matchers, site.rule)?.get_or_insert_with(|| matcher.scratch());
        let (whole, view) = locate(matcher, scratch, bytes, site, start, from);
        if whole.is_none() && view <= first {
            return None;
        }
        // Even that there is no match may depend on bytes further away than usual.
        let usual = (site.before.saturating_add(LOOK), site.after.saturating_add(LOOK));
        // At the edges of a text the distances are those that would be looked at, were it longer.
        let mut before = start.saturating_sub(from).saturating_add(LOOK).max(usual.0);
        let mut after = view.saturating_sub(start).saturating_add(LOOK).max(usual.1);
        if form.in_line {
            let (to_start, to_end) = line_at(bytes, start, before, after);
            before = before.min(to_start.saturating_add(LOOK));
            after = after.min(to_end.saturating_add(LOOK));
        }
        let mut found = None;
        if let Some(whole) = whole {
            let rule = rules.rules().get(site.rule)?;
            let text = seen(bytes, site, view);
            if site.before == 0 {
                let decided = matcher.decided(scratch, &Input::new(text).span(start..view));
                after = after.min(decided.unwrap_or(view).saturating_sub(start).saturating_add(LOOK));
            }
            found = capture(matcher, scratch, text, whole.clone(), site.rule, rule)
                .filter(|found| filter::accepts(rules, rule, bytes, found));
            let (low, high) = looked_at(rule, bytes, &whole);
            before = before.max(start.saturating_sub(whole.start).saturating_add(low));
            after = after.max(whole.end.saturating_sub(start).saturating_add(high));
        }
        Some(Outcome {
            at,
            site: number,
            before: u32::try_from(before).ok()?,
            after: u32::try_from(after).ok()?,
            found: found.and_then(|found| Found::new(start, &found)),
        })
    }

    /// Runs a rule over everything.
    pub(super) fn everywhere(
        &mut self,
        rules: &RuleSet,
        plan: &Plan,
        bytes: &[u8],
        rule_index: usize,
        sink: &mut dyn FnMut(Match),
    ) {
        let (Some(rule), Some(planned)) = (rules.rules().get(rule_index), plan.rules.get(rule_index)) else {
            return;
        };
        let Some(matcher) = planned.matcher() else { return };
        let Some(scratch) = slot(&mut self.matchers, rule_index) else { return };
        let scratch = scratch.get_or_insert_with(|| matcher.scratch());
        let mut at = 0;
        while at <= bytes.len() {
            match planned.stride().map(|stride| stride.next(bytes, at)) {
                Some(Some(next)) => at = next,
                Some(None) => break,
                None => {}
            }
            let Some(whole) = matcher.find(scratch, &Input::new(bytes).range(at..)) else { break };
            at = whole.end.max(whole.start + 1);
            let found = capture(matcher, scratch, bytes, whole, rule_index, rule);
            if let Some(found) = found.filter(|found| filter::accepts(rules, rule, bytes, found)) {
                sink(found);
            }
        }
    }
}

/// What look-around may see. A view that may grow is the end of the text until it has grown, so that `\b` and `$` let a
/// match reach it: that is how a match which goes on is told from none.
fn seen<'b>(bytes: &'b [u8], site: &Site, view: usize) -> &'b [u8] {
    if site.grows { bytes.get(..view).unwrap_or(bytes) } else { bytes }
}

/// How far filters look at what lies before and after a match: at its lines, and at parts that must be beside it.
fn looked_at(rule: &Rule, bytes: &[u8], whole: &Range<usize>) -> (usize, usize) {
    if rule.parts.iter().any(|part| part.required) {
        return (AROUND, AROUND);
    }
    let (before, _) = line_at(bytes, whole.start, AROUND, 0);
    let (_, after) = line_at(bytes, whole.end, 0, AROUND);
    (before.max(LOOK), after.max(LOOK))
}

/// How many bytes before and after a place its line takes, with the line breaks, up to what is asked for.
pub(super) fn line_at(bytes: &[u8], at: usize, before: usize, after: usize) -> (usize, usize) {
    let low = at.saturating_sub(before);
    let start = bytes.get(low..at).and_then(|head| memchr::memrchr(b'\n', head));
    let tail = bytes.get(at..at.saturating_add(after).min(bytes.len()));
    let end = tail.and_then(|tail| memchr::memchr(b'\n', tail));
    (start.map_or(before, |start| at - low - start), end.map_or(after, |end| end + 1))
}

/// Finds the match that holds the literal's first byte, if there is one, and where the search's view ended.
fn locate(
    matcher: &Matcher,
    scratch: &mut Scratch,
    bytes: &[u8],
    site: &Site,
    start: usize,
    from: usize,
) -> (Option<Range<usize>>, usize) {
    let mut after = site.after;
    let mut at = from;
    loop {
        let view = start.saturating_add(after).min(bytes.len());
        if at > start {
            return (None, view);
        }
        let anchored = if site.before == 0 { Anchored::Yes } else { Anchored::No };
        let input = Input::new(seen(bytes, site, view)).span(at..view).anchored(anchored);
        let found = matcher.find(scratch, &input);
        let Some(whole) = found.filter(|whole| whole.start <= start) else { return (None, view) };
        if whole.end <= start {
            at = whole.end.max(whole.start + 1);
        } else if whole.end == view && view < bytes.len() && site.grows && after < MAX_MATCH {
            // It may be longer than the view, or no match at all (`\b`).
            after = after.saturating_mul(2).clamp(1 << 10, MAX_MATCH);
        } else {
            return (Some(whole), view);
        }
    }
}

fn capture(
    matcher: &Matcher,
    scratch: &mut Scratch,
    bytes: &[u8],
    whole: Range<usize>,
    rule_index: usize,
    rule: &Rule,
) -> Option<Match> {
    let captures = matcher.groups(scratch, bytes, whole)?;
    let whole = captures.get_match()?.range();
    let group = |number: usize| captures.get_group(number).map(|span| span.range());
    let named = |number: Option<usize>| number.and_then(group).filter(|range| !range.is_empty());
    let principal = named(matcher.principal);
    let first_group = || {
        (1..captures.group_len())
            .filter_map(group)
            .find(|range| !range.is_empty() && Some(range) != principal.as_ref())
    };
    let secret = match rule.secret_group {
        0 => named(matcher.secret).or_else(first_group).unwrap_or_else(|| whole.clone()),
        number => group(number)?,
    };
    if secret.is_empty() {
        return None;
    }
    Some(Match { rule: rule_index, span: whole, secret, password: named(matcher.password), principal })
}

/// A place in a list that grows as far as it is used.
fn slot<T>(list: &mut Vec<Option<T>>, at: usize) -> Option<&mut Option<T>> {
    if at >= list.len() {
        list.resize_with(at.saturating_add(1), || None);
    }
    list.get_mut(at)
}

/// Positions are 32 bits wide, sizes of memory at least that.
pub(super) fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
