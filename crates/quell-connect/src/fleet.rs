//! An effect on several machines that know nothing of each other.
//!
//! One that cannot be reached does not keep the others from being changed: a credential that is taken away on two of three is worth less
//! to a stranger than one on all. The step is then not known to be done, and doing it again is harmless.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use quell_core::outcome::{Facts, Outcome, Probe};
use serde_json::Value;

use crate::error::ConnectError;

/// What was done on one machine.
#[derive(Debug)]
pub(crate) struct Done<T> {
    /// Its name, as people write it; no space is in it.
    pub(crate) name: String,
    pub(crate) facts: Value,
    /// Its time, and what tells sessions from before the change from later ones; both from after the change.
    pub(crate) bound: Option<(Timestamp, T)>,
}

/// Why nothing was done on one.
#[derive(Debug)]
pub(crate) enum Stop {
    /// For a reason that another try does not change.
    Refused(String),
    Failed(ConnectError),
    /// It was done, but not as it must be: what is said of it is kept, and the whole is not done.
    Half {
        done: Done<()>,
        why: String,
        /// Whether another try may do the rest.
        retryable: bool,
    },
}

impl From<ConnectError> for Stop {
    fn from(error: ConnectError) -> Self {
        Self::Failed(error)
    }
}

/// One outcome of all. `kind` is what they are called together: `nodes`.
pub(crate) fn together<T: fmt::Display>(
    mut facts: Facts,
    kind: &str,
    each: Vec<Result<Done<T>, Stop>>,
) -> Outcome {
    let (mut done, mut refused, mut failed) = (serde_json::Map::new(), Vec::new(), Vec::new());
    let (mut halves, mut again) = (Vec::new(), true);
    let mut cutoff = Cutoff::none();
    for one in each {
        match one {
            Ok(one) => {
                if let Some((at, bound)) = one.bound {
                    cutoff.add(at, one.name.clone(), bound);
                }
                done.insert(one.name, one.facts);
            }
            Err(Stop::Refused(why)) => refused.push(why),
            Err(Stop::Failed(error)) => failed.push(error),
            Err(Stop::Half { done: half, why, retryable }) => {
                halves.push(format!("{}: {why}", half.name));
                again &= retryable;
                done.insert(half.name, half.facts);
            }
        }
    }
    if refused.is_empty() && failed.is_empty() && !halves.is_empty() {
        facts.insert(kind.to_owned(), done.into());
        return Outcome::NotApplied {
            reason: halves.join("; "),
            retryable: again,
            retry_after_ms: None,
            facts,
        };
    }
    if refused.is_empty() && failed.is_empty() {
        facts.insert(kind.to_owned(), done.into());
        if !cutoff.each.is_empty() {
            facts.insert("cutoff".to_owned(), cutoff.to_string().into());
        }
        return Outcome::Applied { facts };
    }
    if done.is_empty() {
        // Nothing was done anywhere, unless an answer was lost.
        let lost = failed.iter().position(|it| matches!(it.outcome(), Outcome::Unknown { .. }));
        let first = lost.map_or(0, |at| at);
        return match (refused.into_iter().next(), failed.get(first)) {
            (_, Some(error)) if lost.is_some() => error.outcome(),
            (Some(why), _) => Outcome::refused(why),
            (None, Some(error)) => error.outcome(),
            (None, None) => Outcome::unknown(format!("there are no {kind}")),
        };
    }
    let names: Vec<&str> = done.keys().map(String::as_str).collect();
    let why: Vec<String> =
        refused.into_iter().chain(failed.iter().map(ToString::to_string)).chain(halves).collect();
    Outcome::unknown(format!("done on {}; not on the others: {}", names.join(", "), why.join("; ")))
}

/// How an answer begins that is another one on another machine.
const MIXED: &str = " differ: ";

/// Whether an answer says that machines differ: another try may do it on those that are left.
pub(crate) fn is_mixed(kind: &str, reason: &str) -> bool {
    reason.strip_prefix(kind).is_some_and(|rest| rest.starts_with(MIXED))
}

/// Accepted or refused only if every machine says so.
pub(crate) fn agree(kind: &str, answers: Vec<(String, Probe)>) -> Probe {
    let (mut accepted, mut refused, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Probe::Accepted { facts } => accepted.push((name, facts)),
            Probe::Refused { code, message } => refused.push((name, code, message)),
            Probe::Inconclusive { reason } => unknown.push(reason),
        }
    }
    let names = |all: Vec<&str>| all.join(", ");
    if !unknown.is_empty() {
        let also = accepted.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let also = if also.is_empty() { String::new() } else { format!("; accepted by {}", names(also)) };
        return Probe::Inconclusive { reason: format!("{}{also}", unknown.join("; ")) };
    }
    match (accepted.len(), refused.pop()) {
        (0, Some((_, code, message))) => Probe::Refused { code, message },
        (_, Some(last)) => {
            let taken = names(accepted.iter().map(|(name, _)| name.as_str()).collect());
            refused.push(last);
            let turned = names(refused.iter().map(|(name, ..)| name.as_str()).collect());
            Probe::Inconclusive { reason: format!("{kind}{MIXED}accepted by {taken}, refused by {turned}") }
        }
        (count, None) => match accepted.into_iter().next() {
            Some((_, mut facts)) => {
                facts.insert(kind.to_owned(), count.into());
                Probe::Accepted { facts }
            }
            None => Probe::Inconclusive { reason: format!("there are no {kind} to ask") },
        },
    }
}

/// What separates sessions of the old credential from later ones, on each machine. As text: the latest time, then `name=bound` for each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cutoff<T> {
    /// The latest time of any of them, after the change.
    pub(crate) at: Timestamp,
    pub(crate) each: BTreeMap<String, T>,
}

impl<T> Cutoff<T> {
    /// Of no machine yet.
    pub(crate) fn none() -> Self {
        Self { at: Timestamp::MIN, each: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, at: Timestamp, name: String, bound: T) {
        self.at = self.at.max(at);
        self.each.insert(name, bound);
    }
}

impl<T: fmt::Display> fmt::Display for Cutoff<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        self.each.iter().try_for_each(|(name, bound)| write!(f, " {name}={bound}"))
    }
}

impl<T: FromStr> FromStr for Cutoff<T> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let at =
            words.next().and_then(|at| at.parse().ok()).ok_or("it does not begin with an RFC 3339 time")?;
        let each = words.map(|word| {
            let (name, bound) = word.rsplit_once('=')?;
            Some((name.to_owned(), bound.parse().ok()?))
        });
        let each = each.collect::<Option<_>>().ok_or("a part of it is not name=bound")?;
        Ok(Self { at, each })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ConnectErrorKind;

    fn done(name: &str, bound: Option<(&str, u64)>) -> Done<u64> {
        let bound = bound.map(|(at, id)| (at.parse().unwrap(), id));
        Done { name: name.to_owned(), facts: Value::Null, bound }
    }

    fn failed(kind: ConnectErrorKind) -> Result<Done<u64>, Stop> {
        Err(ConnectError::new("b", "doing it", kind, "why").into())
    }

    #[test]
    fn only_what_was_done_on_all_is_done() {
        let all = |each| together(Facts::new(), "nodes", each);
        let outcome = all(vec![
            Ok(done("[::1]:7", Some(("2026-03-02T10:00:00Z", 20)))),
            Ok(done("b:8", Some(("2026-03-02T10:00:01Z", 3)))),
        ]);
        let Outcome::Applied { facts } = outcome else { panic!("{outcome:?}") };
        assert_eq!(facts["cutoff"], "2026-03-02T10:00:01Z [::1]:7=20 b:8=3");
        assert!(matches!(
            all(vec![Ok(done("a", None)), failed(ConnectErrorKind::Unreachable)]),
            Outcome::Unknown { reason } if reason.contains("done on a; not on the others: b: doing it: why")
        ));
        assert!(matches!(
            all(vec![failed(ConnectErrorKind::Unreachable)]),
            Outcome::NotApplied { retryable: true, .. }
        ));
        let lost = vec![failed(ConnectErrorKind::Unreachable), failed(ConnectErrorKind::Lost)];
        assert!(matches!(all(lost), Outcome::Unknown { .. }));
        let half = |retryable| {
            let done = Done { name: "a".to_owned(), facts: Value::Bool(true), bound: None };
            Err(Stop::Half { done, why: "not kept".to_owned(), retryable })
        };
        let Outcome::NotApplied { reason, retryable: true, facts, .. } =
            all(vec![half(true), Ok(done("b", None))])
        else {
            panic!("half is not done")
        };
        assert!(reason == "a: not kept" && facts["nodes"]["a"] == true, "{reason} {facts:?}");
        assert!(matches!(all(vec![half(false), half(true)]), Outcome::NotApplied { retryable: false, .. }));
        assert!(matches!(all(vec![half(true), failed(ConnectErrorKind::Lost)]), Outcome::Unknown { .. }));
        let refused = vec![Err(Stop::Refused("no".to_owned())), failed(ConnectErrorKind::Unreachable)];
        assert!(matches!(all(refused), Outcome::NotApplied { retryable: false, .. }));
    }

    #[test]
    fn only_what_all_answer_is_an_answer() {
        let yes = || Probe::Accepted { facts: Facts::new() };
        let no = || Probe::Refused { code: "c".to_owned(), message: "m".to_owned() };
        let ask = |answers: Vec<Probe>| {
            agree("nodes", answers.into_iter().enumerate().map(|(n, it)| (format!("n{n}"), it)).collect())
        };
        assert!(matches!(ask(vec![yes(), yes()]), Probe::Accepted { facts } if facts["nodes"] == 2));
        assert!(matches!(ask(vec![no(), no()]), Probe::Refused { .. }));
        let Probe::Inconclusive { reason } = ask(vec![yes(), no()]) else { panic!("an answer") };
        assert!(is_mixed("nodes", &reason) && reason.contains("accepted by n0, refused by n1"), "{reason}");
        let away = Probe::Inconclusive { reason: "away".to_owned() };
        assert!(
            matches!(ask(vec![away, no()]), Probe::Inconclusive { reason } if !is_mixed("nodes", &reason))
        );
        assert!(matches!(ask(vec![]), Probe::Inconclusive { .. }));
    }

    #[test]
    fn a_cutoff_is_read_as_it_was_written() {
        let cutoff: Cutoff<u64> = "2026-03-02T10:00:00.5Z [::1]:7=20 b:8=3".parse().unwrap();
        assert_eq!(cutoff.to_string().parse(), Ok(cutoff));
        for odd in ["", "yesterday", "2026-03-02T10:00:00Z x", "2026-03-02T10:00:00Z x=y"] {
            assert!(odd.parse::<Cutoff<u64>>().is_err(), "{odd}");
        }
    }
}
