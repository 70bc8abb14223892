//! Rules as the engine sees them: literals that wake sites, and regexes that are compiled when a site is first woken.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::MAX_MATCH;
use super::matcher::Matcher;
use super::prefilter::Prefilter;
use super::screen::{Screen, Stride};
use crate::RuleSet;
use crate::rule::reach::{self, Cut, Reach};
use crate::rule::{self, Rule};

/// Look-around sees this many bytes beyond what is searched: a character of UTF-8.
pub(super) const LOOK: usize = 4;

/// All that does not change from text to text.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) prefilter: Prefilter,
    /// By the numbers that [`Prefilter`] gives.
    pub(super) literals: Vec<Lit>,
    pub(super) sites: Vec<Site>,
    /// By rule.
    pub(super) rules: Vec<RulePlan>,
    /// Rules that run over everything.
    pub(super) whole: Vec<usize>,
}

/// A literal, folded to lower case.
#[derive(Debug, Default)]
pub(super) struct Lit {
    pub(super) length: usize,
    pub(super) links: Vec<Link>,
    /// What the searches that it wakes look at, at most, before and after its start.
    pub(super) before: usize,
    pub(super) after: usize,
    /// Whether some rule asks whether it occurs at all.
    pub(super) gate: bool,
}

/// From a literal to a site.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) site: usize,
    /// The literal as it must stand there, if its case counts.
    pub(super) exact: Option<Box<[u8]>>,
}

impl Link {
    /// Whether the literal stands in the case that counts where it was found in any case.
    pub(super) fn holds(&self, bytes: &[u8], start: usize) -> bool {
        let text = bytes.get(start..).unwrap_or_default();
        self.exact.as_ref().is_none_or(|exact| text.starts_with(exact))
    }
}

/// Where a rule's regex is tried: see [`crate::rule::reach`].
#[derive(Debug)]
pub(super) struct Site {
    pub(super) rule: usize,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) grows: bool,
    cut: Option<Cut>,
    form: OnceLock<Form>,
}

/// What the form of a site's regex says, once somebody has asked.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// What must be there when there is a match.
    pub(super) screen: Option<Screen>,
    /// Whether nothing beyond the line decides if there is a match.
    pub(super) in_line: bool,
}

/// A rule's regex, and what else decides whether it counts.
#[derive(Debug)]
pub(super) struct RulePlan {
    text: String,
    compiled: OnceLock<Option<Matcher>>,
    stride: OnceLock<Option<Stride>>,
    /// One of these literals must occur somewhere. Empty: no matter.
    pub(super) gate: Vec<u32>,
}

impl Plan {
    pub(crate) fn new(set: &RuleSet) -> Self {
        let mut builder = Builder::default();
        for (index, rule) in set.rules().iter().enumerate() {
            builder.rule(index, rule, reach(rule));
        }
        builder.finish()
    }
}

fn reach(rule: &Rule) -> Reach {
    if rule.path_only {
        // Never looked for in text.
        return Reach { sites: Vec::new(), implied: true };
    }
    let analyze =
        || rule::analyze(rule.pattern.text(), &rule.keywords, rule.keywords_inside, rule.window, MAX_MATCH);
    rule::known(rule).unwrap_or_else(analyze)
}

#[derive(Default)]
struct Builder {
    numbers: BTreeMap<Vec<u8>, u32>,
    literals: Vec<Lit>,
    sites: Vec<Site>,
    rules: Vec<RulePlan>,
    whole: Vec<usize>,
}

impl Builder {
    fn rule(&mut self, index: usize, rule: &Rule, reach: Reach) {
        let mut gate = Vec::new();
        if !reach.implied || reach.sites.is_empty() {
            for word in &rule.keywords {
                let number = self.literal(word.as_bytes());
                gate.push(number);
                if let Some(lit) = self.lit(number) {
                    lit.gate = true;
                }
            }
        }
        if reach.sites.is_empty() && !rule.path_only {
            self.whole.push(index);
        }
        for site in reach.sites {
            let number = self.sites.len();
            for literal in site.literals {
                let lit = self.literal(&literal.bytes.to_ascii_lowercase());
                if let Some(lit) = self.lit(lit) {
                    lit.before = lit.before.max(site.before.saturating_add(LOOK));
                    lit.after = lit.after.max(site.after.saturating_add(LOOK));
                    let exact = literal.exact.then(|| literal.bytes.into_boxed_slice());
                    lit.links.push(Link { site: number, exact });
                }
            }
            self.sites.push(Site {
                rule: index,
                before: site.before,
                after: site.after,
                grows: site.grows,
                cut: site.tail,
                form: OnceLock::new(),
            });
        }
        let text = rule.pattern.text().to_owned();
        self.rules.push(RulePlan { text, compiled: OnceLock::new(), stride: OnceLock::new(), gate });
    }

    fn literal(&mut self, folded: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(folded) {
            return *number;
        }
        let number = u32::try_from(self.literals.len()).unwrap_or(u32::MAX);
        self.numbers.insert(folded.to_vec(), number);
        self.literals.push(Lit { length: folded.len(), ..Lit::default() });
        number
    }

    fn lit(&mut self, number: u32) -> Option<&mut Lit> {
        self.literals.get_mut(usize::try_from(number).ok()?)
    }

    fn finish(self) -> Plan {
        let mut texts = vec![Vec::new(); self.literals.len()];
        for (text, number) in self.numbers {
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| texts.get_mut(number)) {
                *slot = text;
            }
        }
        Plan {
            prefilter: Prefilter::new(&texts),
            literals: self.literals,
            sites: self.sites,
            rules: self.rules,
            whole: self.whole,
        }
    }
}

impl Site {
    pub(super) fn form(&self, rule: &RulePlan) -> &Form {
        self.form.get_or_init(|| {
            let Some(hir) = reach::parse(&rule.text) else { return Form::default() };
            let tail = reach::tail(&hir, self.cut.unwrap_or(Cut::NOWHERE));
            let screen = match (self.cut, tail) {
                (None, Some(tail)) if self.before > 0 => Screen::around(&tail),
                (_, tail) => tail.as_ref().map(Screen::from),
            };
            Form { screen, in_line: reach::stays_in_line(&hir) }
        })
    }
}

impl RulePlan {
    /// The regex; `None` only for a built-in rule that does not compile, which a test rules out.
    pub(super) fn matcher(&self) -> Option<&Matcher> {
        self.compiled.get_or_init(|| Matcher::new(&self.text)).as_ref()
    }

    /// Where the regex is worth a try when it runs over everything; `None` when that is everywhere.
    pub(super) fn stride(&self) -> Option<&Stride> {
        self.stride.get_or_init(|| Stride::of(&reach::parse(&self.text)?)).as_ref()
    }
}
