//! A filter for logs: text in, the same text out with every secret replaced.
//!
//! Only whole lines are decided, so the way in which the input arrives does not matter. The text before a line stays in view:
//! a value may be known by the name on the line above it. A private key is held back from its first line to its last.
//! UTF-16 is searched as the text that it is, and stays UTF-16.

mod key;
#[cfg(test)]
mod tests;
mod token;
mod wide;

use std::io::{self, Read, Write};
use std::ops::Range;

use quell_core::secret::FingerprintKey;

use crate::RuleSet;
use crate::decode;
use crate::engine::{KeywordEngine, Match};
use crate::known::{self, Known};
use crate::stream::resolve;

/// Bytes taken from the input at once.
const CHUNK: usize = 256 << 10;

/// Text before a line that still explains it.
const CONTEXT: usize = 4 << 10;

/// A line longer than this is not waited for.
const MAX_LINE: usize = 1 << 20;

/// A filter with one rule set.
#[derive(Debug)]
pub struct Redactor<'a> {
    rules: &'a RuleSet,
    engine: KeywordEngine<'a>,
    strict: bool,
    known: Option<(&'a Known, &'a FingerprintKey)>,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Redacted {
    /// Bytes read.
    pub bytes: u64,
    /// Secrets that were replaced.
    pub secrets: u64,
    /// Pieces that were withheld because it cannot be decided what they are: keys without an end and lines without one, and
    /// in strict mode also random-looking tokens that no rule knows, and lines that are no text.
    pub withheld: u64,
}

impl<'a> Redactor<'a> {
    /// A filter that replaces what a rule knows.
    pub fn new(rules: &'a RuleSet) -> Self {
        Self { rules, engine: KeywordEngine::new(rules), strict: false, known: None }
    }

    /// Also withhold what no rule knows and nobody can rule out.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Also replace these values. `key` is the one that made their fingerprints. Values of several lines are not found, since
    /// lines are decided one by one: see [`Known::of_several_lines`].
    #[must_use]
    pub fn known(mut self, known: &'a Known, key: &'a FingerprintKey) -> Self {
        self.known = Some((known, key));
        self
    }

    /// What goes from some text.
    fn cuts(&self, view: &[u8]) -> Vec<Cut> {
        let rules = self.rules;
        // A rule for certain paths has nothing to say about a stream.
        let of_path = |rule: usize| rules.rules().get(rule).is_none_or(|rule| rule.path.is_some());
        let cut = |found: &Match, range: Range<usize>| {
            let rule = rules.rules().get(found.rule).map_or("secret", |rule| rule.id.as_str());
            Cut { range, instead: format!("[REDACTED:{rule}]"), withheld: false }
        };
        // Of a URL only the password: the rest of the line should stay of use.
        let told = |found: &Match| found.password.clone().unwrap_or_else(|| found.secret.clone());
        let searched = self.engine.full(view);
        let mut matches = self.engine.matches(view, &searched);
        matches.retain(|found| !of_path(found.rule));
        let mut cuts: Vec<Cut> =
            resolve(matches, rules).iter().map(|found| cut(found, told(found))).collect();
        for run in searched.decoded() {
            decode::search_run(view, run, &self.engine, &mut |decoded, mut matches| {
                matches.retain(|found| !of_path(found.rule));
                let matches = resolve(matches, rules);
                cuts.extend(matches.iter().map(|found| cut(found, decoded.place(&told(found)))));
            });
        }
        if let Some((known, key)) = self.known {
            let instead = format!("[REDACTED:{}]", known::RULE);
            known.find(view, key, &mut |seen| {
                cuts.push(Cut { range: seen.span, instead: instead.clone(), withheld: false });
            });
        }
        cuts
    }

    /// Filters everything, in bounded memory. The output is flushed whenever the input makes a pause.
    ///
    /// # Errors
    /// Those of `input` and `output`. What was not decided by then was not written.
    pub fn filter(&self, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<Redacted> {
        let mut stream = Stream::new(self);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match input.read(&mut chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            stream.take(chunk.get(..read).unwrap_or_default());
            stream.advance(read == 0, output)?;
            // A full chunk means that more is waiting; less, that the writer has paused.
            if read < chunk.len() {
                output.flush()?;
            }
            if read == 0 {
                return Ok(stream.sum);
            }
        }
    }
}

/// Bytes that go, and what stands for them.
struct Cut {
    range: Range<usize>,
    instead: String,
    withheld: bool,
}

/// What the stream is in the middle of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Within {
    Text,
    /// A line that was withheld for its length: it ends at the next newline.
    Line,
    /// A private key that was withheld for its length: it ends where its lines do.
    Key,
}

/// One input on its way.
struct Stream<'r, 'a> {
    redactor: &'r Redactor<'a>,
    /// The end of what was decided, as it came in; then what is not decided yet.
    buffer: Vec<u8>,
    /// Where the undecided part begins: always at the start of a line, or of a piece of a very long one.
    fresh: usize,
    within: Within,
    sum: Redacted,
}

impl<'r, 'a> Stream<'r, 'a> {
    fn new(redactor: &'r Redactor<'a>) -> Self {
        let sum = Redacted::default();
        Self { redactor, buffer: Vec::new(), fresh: 0, within: Within::Text, sum }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.sum.bytes = self.sum.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.buffer.extend_from_slice(bytes);
    }

    fn undecided(&self) -> &[u8] {
        self.buffer.get(self.fresh..).unwrap_or_default()
    }

    /// Decides whatever can be decided.
    fn advance(&mut self, end: bool, output: &mut dyn Write) -> io::Result<()> {
        while self.step(end, output)? {}
        let forget = self.fresh.saturating_sub(CONTEXT);
        self.buffer.drain(..forget);
        self.fresh -= forget;
        Ok(())
    }

    /// One decision; false when more input is needed, or nothing is left.
    fn step(&mut self, end: bool, output: &mut dyn Write) -> io::Result<bool> {
        let fresh = self.undecided();
        if fresh.is_empty() {
            return Ok(false);
        }
        match self.within {
            Within::Text => {}
            Within::Line => {
                let rest = memchr::memchr(b'\n', fresh).unwrap_or(fresh.len());
                self.fresh += rest;
                if self.undecided().first() == Some(&b'\n') {
                    self.within = Within::Text;
                }
                return Ok(self.within == Within::Text);
            }
            Within::Key => {
                let (length, over) = key::rest(fresh, end);
                self.fresh += length;
                if over {
                    self.within = Within::Text;
                }
                return Ok(over);
            }
        }
        let whole =
            if end { fresh.len() } else { memchr::memrchr(b'\n', fresh).map_or(0, |newline| newline + 1) };
        if whole == 0 {
            return if fresh.len() > MAX_LINE { self.long_line(output).map(|()| true) } else { Ok(false) };
        }
        let lines = fresh.get(..whole).unwrap_or_default();
        match key::unfinished(lines) {
            None => self.decide(whole, output).map(|()| true),
            // Everything before the key first.
            Some(start) if start > 0 => self.decide(start, output).map(|()| true),
            Some(_) if fresh.len() <= key::MAX && !end => Ok(false),
            Some(_) => {
                self.withhold("a private key without an end", "", output)?;
                self.within = Within::Key;
                Ok(true)
            }
        }
    }

    /// A piece of a line that is too long to wait for: up to a blank or a delimiter, which no secret contains.
    fn long_line(&mut self, output: &mut dyn Write) -> io::Result<()> {
        let fresh = self.undecided();
        let delimiter = |byte: &u8| b" \t,;\"'&<>{}".contains(byte);
        let cut = fresh.iter().rposition(delimiter).filter(|cut| *cut > 0 && !self.redactor.strict);
        match cut {
            // What may still grow into a key stays.
            Some(cut) if fresh.len() - cut <= key::MAX && key::unfinished(fresh).is_none() => {
                self.decide(cut, output)
            }
            _ => {
                // The zero before the newline.
                self.withhold("a line of more than 1 MiB", "\0", output)?;
                self.within = Within::Line;
                Ok(())
            }
        }
    }

    /// Writes a marker; in UTF-16 with the halves of characters that what it stands for began and ended with.
    fn withhold(&mut self, what: &str, last_half: &str, output: &mut dyn Write) -> io::Result<()> {
        self.sum.withheld = self.sum.withheld.saturating_add(1);
        let marker = format!("[WITHHELD:{what}]");
        let fresh = self.undecided();
        if !wide::begins(fresh) {
            return output.write_all(marker.as_bytes());
        }
        let first_half = if fresh.first() == Some(&0) { "\0" } else { "" };
        write!(output, "{first_half}{}{last_half}", wide::marker(&marker))
    }

    /// Writes the next `length` bytes, with their secrets replaced.
    fn decide(&mut self, length: usize, output: &mut dyn Write) -> io::Result<()> {
        let until = self.fresh.saturating_add(length);
        let view = self.buffer.get(..until).unwrap_or_default();
        let mut cuts = self.redactor.cuts(view);
        for stretch in wide::stretches(view) {
            cuts.extend(self.redactor.cuts(&stretch.text).into_iter().filter_map(|cut| {
                let last = cut.range.end.checked_sub(1).filter(|last| *last >= cut.range.start)?;
                let range = stretch.place(cut.range.start)..stretch.place(last) + 1;
                Some(Cut { range, instead: wide::marker(&cut.instead), ..cut })
            }));
        }
        if self.redactor.strict {
            let fresh = view.get(self.fresh..).unwrap_or_default();
            for odd in token::undecided(fresh) {
                let range = odd.range.start + self.fresh..odd.range.end + self.fresh;
                let apart = |cut: &Cut| cut.range.end <= range.start || range.end <= cut.range.start;
                if odd.what == token::LINE || cuts.iter().all(apart) {
                    cuts.push(Cut { range, instead: format!("[WITHHELD:{}]", odd.what), withheld: true });
                }
            }
        }
        cuts.sort_by_key(|cut| (cut.range.start, std::cmp::Reverse(cut.range.end)));
        let mut at = self.fresh;
        for Cut { range, instead, withheld } in cuts {
            // The part of a secret that was decided with an earlier line is gone; the rest of it must not follow.
            let start = range.start.max(at);
            if range.end <= at {
                continue;
            }
            output.write_all(view.get(at..start).unwrap_or_default())?;
            output.write_all(instead.as_bytes())?;
            at = range.end;
            let count = if withheld { &mut self.sum.withheld } else { &mut self.sum.secrets };
            *count = count.saturating_add(1);
        }
        output.write_all(view.get(at..).unwrap_or_default())?;
        self.fresh = until;
        Ok(())
    }
}
