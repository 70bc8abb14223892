//! The doors where tokens are shown: services that verify them, each with its own copy of the key set.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use quell_core::outcome::{Facts, Outcome, Probe};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::canary::{Canary, Form};
use crate::connector::{Check, Issuer, IssuerOp, Reload};
use crate::context::Context;
use crate::effect::{facts, not_yet};
use crate::http::Answer;
use crate::http_hook::place::HttpPlace;

/// One verifier.
pub(crate) struct Door {
    pub(super) name: String,
    pub(super) place: HttpPlace,
    pub(super) method: Method,
    pub(super) carry: Carry,
    pub(super) accepts: Sign,
    pub(super) refuses: Sign,
    pub(crate) form: Form,
    pub(super) refresh: Option<Box<dyn Reload>>,
}

/// Where a token stands in a request.
#[derive(Clone, Debug)]
pub(super) enum Carry {
    Bearer,
    Cookie(String),
    Header(HeaderName),
}

/// What an answer looks like.
#[derive(Clone, Debug)]
pub(super) struct Sign {
    /// None: any 2xx.
    pub(super) status: Option<u16>,
    /// In `WWW-Authenticate` or in the body.
    pub(super) contains: Option<String>,
}

/// What a door said to a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    Accepted,
    Refused,
    Unclear(String),
}

/// What all doors said, by their names, and the ids of what was shown.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) each: Vec<(String, Seen)>,
    pub(crate) shown: Vec<String>,
}

/// Canaries of one key for one door.
pub(crate) struct Canaries {
    /// Under each name that the key has.
    pub(crate) named: Vec<Canary>,
    /// Without one: what it says counts only when it is taken.
    pub(crate) nameless: Vec<Canary>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("name", &self.name).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sign {
    fn is(&self, answer: &Answer) -> bool {
        let status = match self.status {
            Some(status) => answer.status == status,
            None => (200..300).contains(&answer.status),
        };
        let Some(contains) = self.contains.as_deref() else { return status };
        let challenge = answer.challenge.as_deref().is_some_and(|it| it.contains(contains));
        let body = || {
            let bytes = contains.as_bytes();
            !bytes.is_empty() && answer.body.windows(bytes.len()).any(|part| part == bytes)
        };
        status && (challenge || body())
    }

    /// `401 invalid_token`.
    pub(super) fn code(&self) -> String {
        let status = self.status.map_or_else(|| "2xx".to_owned(), |it| it.to_string());
        self.contains.as_ref().map_or_else(|| status.clone(), |contains| format!("{status} {contains}"))
    }
}

impl Door {
    /// Shows one token.
    pub(crate) async fn show(&self, context: &Context, canary: &Canary) -> Seen {
        const WHAT: &str = "showing a canary";
        let header = match &self.carry {
            Carry::Bearer => Ok((reqwest::header::AUTHORIZATION, format!("Bearer {}", *canary.token))),
            Carry::Cookie(name) => Ok((reqwest::header::COOKIE, format!("{name}={}", *canary.token))),
            Carry::Header(name) => Ok((name.clone(), canary.token.to_string())),
        };
        let header = header.and_then(|(name, text)| Ok((name, HeaderValue::try_from(text)?)));
        let (name, mut value) = match header {
            Ok(header) => header,
            Err(error) => {
                let _: reqwest::header::InvalidHeaderValue = error;
                return Seen::Unclear(format!("{}: the canary fits into no header", self.name));
            }
        };
        // No `Debug` shows it.
        value.set_sensitive(true);
        let request = match context.http.request_apart(self.method.clone(), self.place.url()) {
            Ok(request) => request.timeout(context.call_limit.mul_f32(0.9)).header(name, value),
            Err(error) => return Seen::Unclear(format!("{}: {error}", self.name)),
        };
        let request = request.header("Accept", "application/json").header("Cache-Control", "no-cache");
        match context.http.send(&self.place.to_string(), WHAT, request).await {
            Ok(answer) => self.judge(&answer),
            Err(error) => Seen::Unclear(format!("{}: {error}", self.name)),
        }
    }

    fn judge(&self, answer: &Answer) -> Seen {
        let status = answer.status;
        match (self.refuses.is(answer), self.accepts.is(answer)) {
            (true, false) => return Seen::Refused,
            (false, true) => return Seen::Accepted,
            (true, true) => {
                let why = "it is what `accepts` wants and what `refuses` wants: make them tell the two apart";
                return Seen::Unclear(format!("{}: status {status}: {why}", self.name));
            }
            (false, false) => {}
        }
        let wanted = self.refuses.code();
        let why = match status {
            200..=299 => "the answer lacks what `accepts` wants to see in it".to_owned(),
            300..=399 => format!("a redirect is neither; if it is how tokens are refused here, say so in `refuses` (now: {wanted})"),
            401 => format!("it does not say why, and `refuses` is {wanted}: make it say so, or change `refuses`"),
            403 => "it understood the token and wants more rights: give the canary the `claims` (scope, role) of a bearer".to_owned(),
            429 => {
                let after = answer.retry_after.map_or_else(String::new, |it| format!(" for {} s", it.as_secs()));
                format!("too many requests: wait{after}, or raise the limit for Quell")
            }
            500.. => "the verifier fails, or something before it does".to_owned(),
            _ => format!("`refuses` is {wanted}, and this is another answer"),
        };
        Seen::Unclear(format!("{}: status {status}: {why}", self.name))
    }

    /// A token that nobody may be let in with.
    pub(crate) async fn must_refuse(
        &self,
        context: &Context,
        what: &str,
        canary: Result<Canary, &'static str>,
    ) -> Check {
        let seen = match canary {
            Ok(canary) => self.show(context, &canary).await,
            Err(why) => Seen::Unclear(why.to_owned()),
        };
        let (ok, detail) = match seen {
            Seen::Refused => (true, self.refuses.code()),
            Seen::Accepted => {
                let why = "it takes it: whoever knows that needs no key, and no rotation helps; fix the verifier first";
                (false, why.to_owned())
            }
            Seen::Unclear(why) => (false, why),
        };
        Check { what: format!("{} refuses {what}", self.name), ok, detail }
    }

    /// Whether it can be told to read its keys again.
    pub(crate) async fn refresh_checks(&self) -> Vec<Check> {
        let Some(refresh) = &self.refresh else { return Vec::new() };
        let named = |check: Check| Check { what: format!("{}: {}", self.name, check.what), ..check };
        refresh.check().await.into_iter().map(named).collect()
    }

    /// Shows what a bearer could show.
    async fn try_all(&self, context: &Context, canaries: &Canaries) -> Seen {
        let mut unclear = None;
        for seen in join_all(canaries.named.iter().map(|canary| self.show(context, canary))).await {
            match seen {
                Seen::Accepted => return Seen::Accepted,
                Seen::Refused => {}
                Seen::Unclear(why) => unclear = Some(why),
            }
        }
        if let Some(why) = unclear {
            return Seen::Unclear(why);
        }
        let bare = join_all(canaries.nameless.iter().map(|canary| self.show(context, canary))).await;
        if bare.contains(&Seen::Accepted) { Seen::Accepted } else { Seen::Refused }
    }
}

impl Answers {
    /// Shows canaries of one key at every door.
    pub(crate) async fn of(
        context: &Context,
        doors: &[Door],
        make: impl Fn(&Form) -> Result<Canaries, &'static str>,
    ) -> Self {
        let each = doors.iter().map(async |door| match make(&door.form) {
            Ok(canaries) => {
                let shown = canaries.named.iter().chain(&canaries.nameless).map(|it| it.id.clone());
                let shown: Vec<String> = shown.collect();
                (door.name.clone(), door.try_all(context, &canaries).await, shown)
            }
            Err(why) => (door.name.clone(), Seen::Unclear(why.to_owned()), Vec::new()),
        });
        let mut answers = Self { each: Vec::new(), shown: Vec::new() };
        for (name, seen, shown) in join_all(each).await {
            answers.each.push((name, seen));
            answers.shown.extend(shown);
        }
        answers
    }

    fn names(&self, wanted: &Seen) -> Vec<&str> {
        self.each.iter().filter(|(_, seen)| seen == wanted).map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn accepted(&self) -> Vec<&str> {
        self.names(&Seen::Accepted)
    }

    pub(crate) fn refused(&self) -> Vec<&str> {
        self.names(&Seen::Refused)
    }

    /// Why some said neither.
    pub(crate) fn unclear(&self) -> Option<String> {
        let why = self.each.iter().filter_map(|(_, seen)| match seen {
            Seen::Unclear(why) => Some(why.as_str()),
            Seen::Accepted | Seen::Refused => None,
        });
        let why: Vec<&str> = why.collect();
        (!why.is_empty()).then(|| why.join("; "))
    }

    /// Those that do not take a key which is good, with what follows.
    pub(crate) fn untaken(&self) -> Vec<String> {
        const SO: &str = "what it says after the kill proves nothing about the key";
        let each = self.each.iter().filter_map(|(name, seen)| match seen {
            Seen::Accepted => None,
            Seen::Refused => Some(format!("{name} does not take the key now, while it is published: {SO}; give its canaries the `claims` of a bearer")),
            Seen::Unclear(why) => Some(format!("{why} (shown the key that is published now); {SO}")),
        });
        each.collect()
    }

    /// What was seen, and by which canaries.
    pub(crate) fn evidence(&self) -> Facts {
        facts([("verifiers", self.facts()), ("canaries", json!(self.shown))])
    }

    /// What all of them say together. A key that is `current` must be taken by all, one that is not must be refused by all.
    pub(crate) fn probe(&self, current: bool, doors: &[Door], seen: Facts) -> Probe {
        let (accepted, refused) = (self.accepted(), self.refused());
        if !accepted.is_empty() && (!current || accepted.len() == self.each.len()) {
            return Probe::Accepted { facts: seen };
        }
        if let Some(reason) = self.unclear() {
            return Probe::Inconclusive { reason };
        }
        if !accepted.is_empty() {
            let (yes, no) = (accepted.join(", "), refused.join(", "));
            return Probe::Inconclusive {
                reason: format!("verifiers differ: accepted by {yes}, refused by {no}"),
            };
        }
        let code = doors.first().map(|door| door.refuses.code()).unwrap_or_default();
        Probe::Refused { code, message: format!("refused by {}", refused.join(", ")) }
    }

    /// Whether a key that is published is in force.
    pub(crate) fn installed(&self, seen: Facts) -> Outcome {
        if let Some(why) = self.unclear() {
            return Outcome::unknown(why);
        }
        let refused = self.refused();
        if refused.is_empty() {
            return Outcome::Applied { facts: seen };
        }
        let why = "it keeps a copy, or wants other `claims`; give it a `refresh`, or a `settle` as long as it keeps one";
        not_yet(format!("the key is published, and {} refuses it: {why}", refused.join(", ")), seen)
    }

    /// Whether a key that is not published any more is dead. `why`: how one that takes it can know it.
    pub(crate) fn disabled(&self, why: &str, seen: Facts) -> Outcome {
        let accepted = self.accepted();
        if !accepted.is_empty() {
            return not_yet(format!("{} still takes the key: {why}", accepted.join(", ")), seen);
        }
        self.unclear().map_or(Outcome::Applied { facts: seen }, Outcome::unknown)
    }

    /// As evidence.
    pub(crate) fn facts(&self) -> Value {
        let each = self.each.iter().map(|(name, seen)| {
            let word = match seen {
                Seen::Accepted => "accepted",
                Seen::Refused => "refused",
                Seen::Unclear(why) => why,
            };
            (name.clone(), Value::from(word))
        });
        Value::Object(each.collect::<Map<_, _>>())
    }
}

/// Has every verifier that can be told so read its keys again. Gives what went wrong.
async fn refresh(doors: &[Door]) -> Vec<String> {
    let each = doors.iter().filter_map(|door| Some((door, door.refresh.as_ref()?)));
    let each = each.map(async |(door, hook)| match hook.reload().await {
        Outcome::Applied { .. } => None,
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => {
            Some(format!("{} could not be refreshed: {reason}", door.name))
        }
    });
    join_all(each).await.into_iter().flatten().collect()
}

/// The first pause between two looks at verifiers that have not seen a change; each is half as long again, since each look is a refused login there.
const PAUSE: Duration = Duration::from_millis(500);

/// After a change was written: has verifiers read their keys again, waits for as long as they may keep old ones, and says what is seen then,
/// beside what was `done`.
pub(crate) async fn told(issuer: &dyn Issuer, doors: &[Door], op: IssuerOp<'_>, done: Facts) -> Outcome {
    let missed = refresh(doors).await;
    let settle = Duration::from_millis(issuer.capabilities().settle_ms);
    let (mut waited, mut pause) = (Duration::ZERO, PAUSE);
    let mut outcome = loop {
        let outcome = seen_twice(issuer, op, settle.min(PAUSE)).await;
        if !matches!(outcome, Outcome::NotApplied { .. }) || waited >= settle {
            break outcome;
        }
        pause = pause.min(settle.saturating_sub(waited));
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = pause.mul_f32(1.5);
    };
    match &mut outcome {
        Outcome::Applied { facts } => facts.extend(done),
        Outcome::NotApplied { reason, facts, .. } => {
            facts.extend(done);
            if !missed.is_empty() {
                *reason = format!("{reason}; {}", missed.join("; "));
            }
        }
        Outcome::Unknown { reason } if !missed.is_empty() => {
            *reason = format!("{reason}; {}", missed.join("; "));
        }
        Outcome::Unknown { .. } => {}
    }
    outcome
}

/// One refusal may be luck: of a clock, or of the one of several copies that was asked. A kill is seen twice in a row.
async fn seen_twice(issuer: &dyn Issuer, op: IssuerOp<'_>, pause: Duration) -> Outcome {
    let outcome = issuer.observe(op).await.outcome;
    match op {
        IssuerOp::Disable { .. } if outcome.is_applied() => {
            tokio::time::sleep(pause).await;
            issuer.observe(op).await.outcome
        }
        IssuerOp::Disable { .. } | IssuerOp::Install { .. } | IssuerOp::Sever { .. } => outcome,
    }
}

/// Why a `refresh` is not enough where several copies of a verifier answer at one address.
pub(crate) fn one_of_many(doors: &[Door], settled: bool) -> Option<String> {
    let names = doors.iter().filter(|door| door.refresh.is_some()).map(|door| door.name.as_str());
    let names: Vec<&str> = names.filter(|_| !settled).collect();
    (!names.is_empty()).then(|| {
        format!(
            "where several replicas of {} answer at one address, `refresh` reaches one of them: list each with an address of its own, or set `settle` as long as one keeps a copy",
            names.join(", ")
        )
    })
}

/// Why a verifier that cannot be told is a danger.
pub(crate) fn silent(doors: &[Door]) -> Option<String> {
    let names: Vec<&str> =
        doors.iter().filter(|door| door.refresh.is_none()).map(|door| door.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} cannot be told to read its keys again: it takes forgeries for as long as it keeps a copy; `settle` must be as long",
            names.join(", ")
        )
    })
}

/// The codes of all refusals.
pub(crate) fn refusals(doors: &[Door]) -> Vec<String> {
    let codes: BTreeSet<String> = doors.iter().map(|door| door.refuses.code()).collect();
    codes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door {
            name: "api".to_owned(),
            place: HttpPlace::new("url", "http://127.0.0.1:9/me").unwrap(),
            method: Method::GET,
            carry: Carry::Bearer,
            accepts: Sign { status: None, contains: Some("\"sub\"".to_owned()) },
            refuses: Sign { status: Some(401), contains: Some("invalid_token".to_owned()) },
            form: Form { claims: Map::new(), typ: "JWT".to_owned() },
            refresh: None,
        }
    }

    fn answer(status: u16, challenge: Option<&str>, body: &str) -> Answer {
        let challenge = challenge.map(str::to_owned);
        let retry_after = (status == 429).then(|| Duration::from_secs(7));
        Answer { status, retry_after, date: None, challenge, body: body.as_bytes().to_vec().into() }
    }

    #[test]
    fn only_its_own_refusal_is_one() {
        let judge = |status, challenge, body: &str| door().judge(&answer(status, challenge, body));
        assert_eq!(judge(200, None, "{\"sub\":1}"), Seen::Accepted);
        assert_eq!(judge(401, Some("Bearer error=\"invalid_token\""), ""), Seen::Refused);
        assert_eq!(judge(401, None, "{\"error\":\"invalid_token\"}"), Seen::Refused);
        for (status, challenge, body, why) in [
            (401, None, "<html>sign in</html>", "does not say why"),
            (401, Some("Basic realm=\"proxy\""), "", "does not say why"),
            (403, Some("Bearer error=\"insufficient_scope\""), "", "wants more rights"),
            (200, None, "<html>sign in</html>", "`accepts`"),
            (302, None, "", "a redirect is neither"),
            (429, None, "", "wait for 7 s"),
            (503, None, "invalid_token", "fails"),
            (404, None, "", "another answer"),
        ] {
            let Seen::Unclear(said) = judge(status, challenge, body) else { panic!("{status} is an answer") };
            assert!(said.contains(why) && said.starts_with("api: "), "{said}");
        }
    }

    #[test]
    fn an_answer_that_is_both_is_neither() {
        let mut door = door();
        door.accepts = Sign { status: Some(401), contains: None };
        let answer = answer(401, Some("Bearer error=\"invalid_token\""), "");
        let Seen::Unclear(why) = door.judge(&answer) else { panic!("it is an answer") };
        assert!(why.contains("make them tell the two apart"), "{why}");
    }

    #[test]
    fn doors_are_told_apart() {
        let each = [("a", Seen::Accepted), ("b", Seen::Refused), ("c", Seen::Unclear("c: away".to_owned()))];
        let each = each.into_iter().map(|(name, seen)| (name.to_owned(), seen)).collect();
        let answers = Answers { each, shown: Vec::new() };
        assert_eq!((answers.accepted(), answers.refused()), (vec!["a"], vec!["b"]));
        assert_eq!(answers.unclear().as_deref(), Some("c: away"));
        assert_eq!(answers.facts()["b"], "refused");
    }
}
