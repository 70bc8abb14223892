//! One sentence for each kind of event. Exhaustive: a new kind does not compile until it has its sentence.

use jiff::Timestamp;
use quell_core::event::{Affected, Entry, Event, FindingSays, SealedRef, ValueRole};
use quell_core::exposure::Exposure;
use quell_core::inventory::StrategyPolicy;
use quell_core::outcome::Probe;
use quell_core::plan::{Hold, HoldScope, Plan, Proof};
use quell_core::severity::Assessment;

use super::sentence_step::step;
use super::timeline::{Said, Seen};
use super::words::{count, duration, joined, short, utc};

/// What an entry says.
#[expect(clippy::too_many_lines, reason = "one arm per kind of entry, nothing else")]
pub(super) fn sentence(entry: &Entry, seen: &mut Seen) -> Said {
    match &entry.event {
        Event::Genesis { install, origin, vkey } => {
            Said::new(format!("ledger of {install} begins")).with(format!("origin {origin}, key {vkey}"))
        }
        Event::KeyRotation(_) => Said::new("the ledger's signing key was replaced").decided(),
        Event::KekRotated { from, to, rewrapped } => {
            Said::new(format!("key-encryption key replaced: {rewrapped} data keys wrapped anew"))
                .with(format!("{from} → {to}"))
                .decided()
        }
        Event::FindingRecorded { finding, secret } => found(finding, secret.as_ref()),
        Event::ScanRun { target, findings, bytes, incomplete } => {
            Said::new(format!("{target} scanned: {findings} findings"))
                .with(format!("{bytes} bytes read, places not looked at completely: {incomplete}"))
        }
        Event::SecretObserved { secret, fingerprints } => {
            let names = fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Said::new(format!("{secret}: its stores hold {}", count(fingerprints.len(), "value"))).with(names)
        }
        Event::CredentialIssued { system, principal, lease, ttl_seconds } => {
            Said::new(format!("short-lived credential issued by {system} for {principal}"))
                .with(format!("lease {lease}, good for {ttl_seconds} s"))
        }
        Event::PersonAdded { person, role } => Said::new(format!("{person} may sign in as {role}")).decided(),
        Event::CodeMade { person, from_page } => {
            let place = if *from_page { "over the server" } else { "at the machine" };
            Said::new(format!("a code was made {place} with which {person} signs in")).decided()
        }
        Event::PersonRemoved { person, reason } => {
            Said::new(format!("{person} may not sign in any more")).with(reason).decided()
        }
        Event::PersonProvided { person, role } => {
            Said::new(format!("the identity provider says that {person} is {role}"))
        }
        Event::PersonSame { person, other, reason } => {
            Said::new(format!("{person} and {other} are one person")).with(reason).decided()
        }
        Event::TokenIssued { token } => Said::new(format!("token {} made: {}", token.id, token.name))
            .with(format!(
                "as {}, until {}{}",
                token.role,
                utc(token.expires),
                token.made_with.as_ref().map(|other| format!(", with token {other}")).unwrap_or_default()
            ))
            .decided(),
        Event::TokenRevoked { token, reason } => {
            Said::new(format!("token {token} revoked")).with(reason).decided()
        }
        Event::BreakGlassOpened { glass } => {
            Said::new(format!("{} broke the glass: {} until {}", glass.person, glass.role, utc(glass.until)))
                .with(&glass.reason)
                .decided()
        }
        Event::BreakGlassReviewed { opened, statement } => {
            Said::new(format!("the broken glass of entry {opened} was looked at")).with(statement).decided()
        }
        Event::ResponseAsked { plan } => {
            Said::new(format!("the server carries out plan {}", crate::driver::short(plan))).decided()
        }
        Event::Opened { title, secrets, exposures, drill, .. } => {
            opened(title, secrets, exposures.len(), *drill)
        }
        Event::ExposureAdded { exposure } => exposed(exposure),
        Event::SignalRecorded { signal, reason } => {
            Said::new(format!("signal recorded: {}", signal.word())).with(reason).decided()
        }
        Event::SeverityAssessed { assessment } => assessed(assessment),
        Event::ClockStarted { clock, due, rule, .. } => {
            seen.clock_started(clock, *due);
            Said::new(format!("clock {clock} started, due {}", utc(*due))).with(rule)
        }
        Event::ClockMet { clock } => clock_met(clock, entry.at, seen.clock_met(clock)),
        Event::StrategyAsked { strategy, reason } => {
            Said::new(format!("strategy asked for: {}", policy(*strategy))).with(reason).decided()
        }
        Event::PlanMade { plan, hash } => planned(plan, hash),
        Event::PlanHeld { hold } => held(hold),
        Event::PlanResumed { reason } => Said::new("plan resumed").with(reason).decided(),
        Event::ChannelUnlocked { channel, reason } => {
            Said::new(format!("`{channel}` was unlocked by hand")).with(reason).decided()
        }
        Event::SuccessorDistrusted { secret, fingerprint, reason } => {
            Said::new(format!("{secret}: its successor was given up"))
                .with(format!("{fingerprint}: {reason}"))
                .decided()
        }
        Event::Widened { secrets, reason, .. } => {
            Said::new(format!("also affected: {}", about(secrets))).with(reason).decided()
        }
        Event::Step(event) => step(entry, event, seen),
        Event::ValueSealed(sealed) => value_sealed(sealed),
        Event::Baseline { secret, consumer, generation, principal, anew } => {
            let seen = |name: &str, value: &Option<String>| {
                value.as_ref().map(|v| format!("{name} {v}")).unwrap_or_default()
            };
            let when = if *anew { "just before" } else { "before any change of" };
            Said::new(format!("{consumer} looked at {when} {secret}"))
                .with(joined([seen("generation", generation), seen("principal", principal)]))
        }
        Event::ProofRecorded { proof } => proved(proof),
        Event::ExceptionRecorded { secret, reason } => {
            Said::new(format!("exception: closing is accepted without proof for {secret}"))
                .with(reason)
                .decided()
        }
        Event::VerdictRecorded { verdict, reason } => {
            Said::new(format!("verdict {}: {}", verdict.word(), verdict.sentence())).with(reason).decided()
        }
        Event::AnomalyTriaged { triage, title } => {
            let words =
                format!("finding {} of the hunt is {}: {title}", triage.anomaly, triage.decision.word());
            Said::new(words).with(&triage.reason).decided()
        }
        Event::ChannelCleaned { what } => {
            Said::new(format!("hygiene: {what}")).with("removing does not contain")
        }
        Event::NoteAdded { text } => Said::new(format!("note: {text}")),
        Event::ActionItemAdded { item, title, owner, due, gate } => {
            let gate = gate.map(|gate| format!(", ships the gate {}", gate.word())).unwrap_or_default();
            Said::new(format!("action item {item}: {title}")).with(format!("owner {owner}, due {due}{gate}"))
        }
        Event::ActionItemDone { item, evidence } => {
            Said::new(format!("action item {item} done")).with(evidence)
        }
        Event::EvidenceExported { manifest_sha256, entries } => {
            Said::new(format!("evidence bundle with {entries} entries exported"))
                .with(format!("manifest SHA-256 {manifest_sha256}"))
        }
        Event::Closed { summary } => Said::new("incident closed").with(summary).decided(),
        Event::RoleTaken { role, person } => {
            Said::new(format!("{person} is {role} now")).with(role.does()).decided()
        }
        Event::FindingTriaged { finding, says, reason } => {
            let is = match says {
                FindingSays::Leak { incident } => format!("a leak: {incident}"),
                FindingSays::NotALeak => "no leak".to_owned(),
                FindingSays::Duplicate { of } => format!("a duplicate of {of}"),
            };
            Said::new(format!("finding {finding} is {is}")).with(reason).decided()
        }
        Event::NoticeDrafted { notice, kind, title, .. } => {
            Said::new(format!("notice {notice} ({kind}) drafted: {title}"))
        }
        Event::NoticeEdited { notice, title, .. } => Said::new(format!("notice {notice} changed: {title}")),
        Event::NoticeDropped { notice, reason } => {
            Said::new(format!("notice {notice} dropped")).with(reason).decided()
        }
        Event::NoticeSent { notice, sha256, channels } => {
            Said::new(format!("notice {notice} goes out by {}", channels.join(", ")))
                .with(format!("text SHA-256 {sha256}"))
                .decided()
        }
        Event::NoticeStep { event, .. } => step(entry, event, seen),
        Event::TaskAdded { task, title, owner, due } => {
            let owner = owner.as_ref().map_or("nobody's yet".to_owned(), |owner| format!("owner {owner}"));
            let due = due.map(|due| format!(", due {}", utc(due))).unwrap_or_default();
            Said::new(format!("task {task}: {title}")).with(format!("{owner}{due}"))
        }
        Event::TaskGiven { task, owner } => Said::new(format!("task {task} given to {owner}")),
        Event::TaskEnded { task, how, reason } => {
            Said::new(format!("task {task} {}", how.word())).with(reason)
        }
        Event::PostMortemWritten { section, text } => {
            let what = if text.is_empty() { "taken back" } else { "written" };
            Said::new(format!("section {section} of the post-mortem {what}"))
        }
    }
}

fn found(finding: &serde_json::Value, secret: Option<&quell_core::SecretId>) -> Said {
    let field = |pointer: &str| finding.pointer(pointer).and_then(serde_json::Value::as_str);
    let file = field("/place/file").or_else(|| field("/place")).or_else(|| field("/path"));
    let what = field("/description").or_else(|| field("/rule")).unwrap_or("something like a secret");
    let place = file.map(|f| format!(" in {f}")).unwrap_or_default();
    let known = secret.map_or_else(
        || "matches no secret of the inventory".to_owned(),
        |secret| format!("it is a value of {secret}"),
    );
    let id = field("/id").map(|id| format!("finding {id}")).unwrap_or_default();
    Said::new(format!("found: {what}{place}")).with(joined([known, id]))
}

fn opened(title: &str, secrets: &[Affected], exposures: usize, drill: bool) -> Said {
    let kind = if drill { "drill" } else { "incident" };
    let about = about(secrets);
    let about = if about.is_empty() { "no secret named yet".to_owned() } else { about };
    Said::new(format!("{kind} declared: {title}")).with(format!("{about}; {}", count(exposures, "exposure")))
}

fn about(secrets: &[Affected]) -> String {
    secrets.iter().map(|a| format!("{} ({})", a.secret, a.because)).collect::<Vec<_>>().join(", ")
}

fn held(hold: &Hold) -> Said {
    let what = match hold.scope {
        HoldScope::NextSecrets => "no further secret is begun; those under way go on",
        HoldScope::Everything => "nothing starts any more",
    };
    Said::new(format!("plan held: {what}")).with(&hold.reason).decided()
}

fn exposed(exposure: &Exposure) -> Said {
    let place = if exposure.place.is_empty() { "a place not named" } else { &exposure.place };
    Said::new(format!("another exposure: {} ({})", place, exposure.channel.word())).with(format!(
        "audience {}, {}",
        exposure.audience.word(),
        exposure.channel.verdict().1
    ))
}

fn assessed(assessment: &Assessment) -> Said {
    let word = assessment.severity.word();
    let label =
        if assessment.label == word { String::new() } else { format!(" (called {})", assessment.label) };
    let mut reasons = assessment.reasons.iter();
    let first = reasons.next().map_or("no reason is recorded", |r| r.because.as_str());
    let rest = reasons.map(|r| format!("also {}: {}", r.severity, r.because));
    Said::new(format!("severity {word}{label}: {first}")).with(joined(rest))
}

fn clock_met(clock: &str, at: Timestamp, due: Option<Timestamp>) -> Said {
    match due {
        None => Said::new(format!("clock {clock} met, though none was running")),
        Some(due) if at <= due => Said::new(format!("clock {clock} met in time"))
            .with(format!("{} before it was due", duration(due.duration_since(at)))),
        Some(due) => Said::new(format!("clock {clock} met too late"))
            .with(format!("{} after it was due", duration(at.duration_since(due)))),
    }
}

/// A strategy of the policy, in words.
pub(super) fn policy(strategy: StrategyPolicy) -> &'static str {
    match strategy {
        StrategyPolicy::Auto => "as the rules say",
        StrategyPolicy::KillFirst => "kill-first",
        StrategyPolicy::MakeBeforeBreak => "make-before-break",
    }
}

fn planned(plan: &Plan, hash: &str) -> Said {
    let what =
        format!("plan {} made: {}, {}", plan.revision, plan.strategy.word(), count(plan.steps.len(), "step"));
    let reasons = plan.reasons.iter().cloned();
    Said::new(what).with(joined(reasons.chain([format!("plan {}", short(hash))]))).decided()
}

fn value_sealed(sealed: &SealedRef) -> Said {
    let role = match sealed.role {
        ValueRole::Old => "compromised value",
        ValueRole::New => "successor",
    };
    Said::new(format!("{}: {role} sealed", sealed.secret))
        .with(format!("{} of {} ({})", sealed.fingerprint, sealed.principal, sealed.place))
}

fn proved(proof: &Proof) -> Said {
    if !proof.inert {
        return Said::new(format!("{} is NOT proven inert", proof.secret))
            .with(joined(proof.unmet.iter().cloned().chain([format!("door: {}", proof.target)])));
    }
    let sessions: u64 = proof.old.iter().map(|o| o.sessions).sum();
    let mut answers: Vec<String> = Vec::new();
    for probe in proof.old.iter().flat_map(|o| &o.probes) {
        let said = answer(probe, "ACCEPTED");
        if !answers.contains(&said) {
            answers.push(said);
        }
    }
    Said::new(format!("{} proven inert at {}", proof.secret, proof.target)).with(joined([
        format!("{}: {}", count(proof.old.len(), "old value"), answers.join(", ")),
        format!("control ({}) accepted", proof.control_is),
        format!("{sessions} live sessions"),
    ]))
}

/// An issuer's answer, in a word or two.
pub(super) fn answer(probe: &Probe, accepted: &str) -> String {
    match probe {
        Probe::Accepted { .. } => accepted.to_owned(),
        Probe::Refused { code, .. } => format!("refused {code}"),
        Probe::Inconclusive { reason } => format!("no answer ({reason})"),
    }
}
