//! Kinds of event that the whole stories do not tell.

use jiff::SignedDuration;
use quell_core::StepId;
use quell_core::event::{Event, SealedRef, ValueRole};
use quell_core::exposure::{Channel, Exposure};
use quell_core::incident::{Section, TaskEnd};
use quell_core::inventory::StrategyPolicy;
use quell_core::outcome::Outcome;
use quell_core::person::{BreakGlass, Role, Token};
use quell_core::plan::{Flow, Phase, StepEvent};
use serde_json::json;

use super::super::timeline;
use super::story::{Story, fingerprint, id, t0};

fn said(story: &Story, skip: usize) -> String {
    let rows = timeline(&story.entries);
    let line = |r: &super::super::TimelineRow| format!("{} | {}", r.what, r.detail).trim_end().to_owned();
    rows.iter().skip(skip).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn facts_of_the_installation_and_of_the_incident() {
    let mut story = Story::opened(|_| {});
    let skip = story.entries.len();
    let s = str::to_owned;
    let finding =
        json!({"id": "F-1", "description": "PostgreSQL URL", "place": {"file": "app.env", "line": 3}});
    for event in [
        Event::Genesis { install: s("test"), origin: s("quell/test/ledger/1"), vkey: s("K") },
        Event::KeyRotation(json!({})),
        Event::KekRotated { from: s("k1"), to: s("k2"), rewrapped: 3 },
        Event::FindingRecorded { finding, secret: Some(id("orders-db")) },
        Event::FindingRecorded { finding: json!("?"), secret: None },
        Event::ScanRun { target: s("orders.git"), findings: 2, bytes: 10, incomplete: 1 },
        Event::SecretObserved { secret: id("orders-db"), fingerprints: vec![fingerprint("a")] },
        Event::CredentialIssued { system: s("bao"), principal: s("ci"), lease: s("L"), ttl_seconds: 60 },
        Event::ExposureAdded {
            exposure: Exposure {
                channel: Channel::CiLog,
                audience: Channel::CiLog.default_audience(),
                first_exposed: None,
                discovered: t0(),
                still_visible: None,
                place: s("build 7"),
                fingerprint: None,
                sealed: None,
                finding: None,
                channel_name: None,
            },
        },
        Event::ClockMet { clock: s("nothing") },
        Event::StrategyAsked { strategy: StrategyPolicy::KillFirst, reason: s("it is in use") },
        Event::ValueSealed(SealedRef {
            secret: id("orders-db"),
            role: ValueRole::Old,
            sealed: s("S"),
            fingerprint: fingerprint("a"),
            principal: s("orders_a"),
            place: s("reported"),
        }),
        Event::ActionItemDone { item: s("A1"), evidence: s("pull request 7") },
        Event::EvidenceExported { manifest_sha256: s("abcd"), entries: 9 },
        Event::TaskAdded {
            task: s("T1"),
            title: s("call the vendor"),
            owner: Some(s("omar")),
            due: Some(t0()),
        },
        Event::TaskAdded { task: s("T2"), title: s("watch the graph"), owner: None, due: None },
        Event::TaskGiven { task: s("T2"), owner: s("ines") },
        Event::TaskEnded { task: s("T1"), how: TaskEnd::Done, reason: s("they read their logs") },
        Event::TaskEnded { task: s("T2"), how: TaskEnd::Dropped, reason: s("they closed") },
        Event::PostMortemWritten { section: Section::RootCause, text: s("no gate") },
        Event::PostMortemWritten { section: Section::RootCause, text: s("") },
    ] {
        story.by("ines", event);
    }
    insta::assert_snapshot!(said(&story, skip), @r"
    ledger of test begins | origin quell/test/ledger/1, key K
    the ledger's signing key was replaced |
    key-encryption key replaced: 3 data keys wrapped anew | k1 → k2
    found: PostgreSQL URL in app.env | it is a value of orders-db; finding F-1
    found: something like a secret | matches no secret of the inventory
    orders.git scanned: 2 findings | 10 bytes read, places not looked at completely: 1
    orders-db: its stores hold 1 value | fp:91df7b3e0508d1fc13a8f2cdb1be026a
    short-lived credential issued by bao for ci | lease L, good for 60 s
    another exposure: build 7 (ci-log) | audience internal, in a CI log with a broader audience
    clock nothing met, though none was running |
    strategy asked for: kill-first | it is in use
    orders-db: compromised value sealed | fp:91df7b3e0508d1fc13a8f2cdb1be026a of orders_a (reported)
    action item A1 done | pull request 7
    evidence bundle with 9 entries exported | manifest SHA-256 abcd
    task T1: call the vendor | owner omar, due 2026-11-22T03:00:00Z
    task T2: watch the graph | nobody's yet
    task T2 given to ines |
    task T1 done | they read their logs
    task T2 dropped | they closed
    section root-cause of the post-mortem written |
    section root-cause of the post-mortem taken back |
    ");
}

#[test]
fn events_of_steps() {
    let mut story = Story::opened(|_| {});
    let skip = story.entries.len();
    let step: StepId = "orders-db.disable".parse().unwrap();
    let later = t0() + SignedDuration::from_secs(2);
    let finished = |attempt, phase, outcome, flow| StepEvent::Finished {
        step: step.clone(),
        attempt,
        phase,
        outcome,
        flow,
    };
    let started = |attempt, phase| StepEvent::Started {
        step: step.clone(),
        attempt,
        phase,
        worker: "w-1".to_owned(),
        deadline: later,
    };
    let again = |phase, at| Flow::Again { phase, at };
    for event in [
        StepEvent::ApprovalRefused { step: step.clone(), by: "tom".to_owned(), reason: "not now".to_owned() },
        started(1, Phase::Perform),
        finished(1, Phase::Perform, Outcome::retry("rate limit"), again(Phase::Perform, later)),
        started(2, Phase::Perform),
        StepEvent::Lost {
            step: step.clone(),
            attempt: 2,
            worker: "w-1".to_owned(),
            why: "the deadline passed".to_owned(),
        },
        started(3, Phase::Observe),
        finished(3, Phase::Observe, Outcome::unknown("no route"), again(Phase::Observe, later)),
        finished(3, Phase::Observe, Outcome::refused("denied"), Flow::Stuck),
        finished(
            9,
            Phase::Perform,
            Outcome::applied([("role", json!("orders_a")), ("n", json!(2))]),
            Flow::Done,
        ),
    ] {
        story.engine(Event::Step(event));
    }
    insta::assert_snapshot!(said(&story, skip), @r"
    orders-db.disable: approval refused by tom | not now
    orders-db.disable: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:00:02Z
    orders-db.disable: not applied (rate limit), trying again in 2 s |
    orders-db.disable: attempt 2 begun by w-1 | an answer is owed by 2026-11-22T03:00:02Z
    orders-db.disable: outcome unknown (the deadline passed), looking again | attempt 2 of w-1
    orders-db.disable: attempt 3 begun by w-1, only looking | an answer is owed by 2026-11-22T03:00:02Z
    orders-db.disable: outcome unknown (no route), looking again in 2 s |
    orders-db.disable: not applied (denied), a person must decide |
    orders-db.disable applied | n=2, role=orders_a
    ");
}

#[test]
fn facts_about_people() {
    let mut story = Story::opened(|_| {});
    let skip = story.entries.len();
    let s = str::to_owned;
    let token = Token {
        id: s("00ff"),
        name: s("ci"),
        role: Role::Reporter,
        sha256: s("00"),
        expires: t0(),
        made_with: Some(s("11ff")),
    };
    let glass = BreakGlass {
        person: s("ines"),
        role: Role::Admin,
        until: t0(),
        reason: s("sign-in is down"),
        opened: 0,
        reviewed: None,
    };
    for event in [
        Event::PersonAdded { person: s("ines"), role: Role::Approver },
        Event::CodeMade { person: s("ines"), from_page: true },
        Event::CodeMade { person: s("ines"), from_page: false },
        Event::PersonProvided { person: s("lena"), role: Role::Responder },
        Event::PersonSame { person: s("ines"), other: s("ines@example.com"), reason: s("one badge") },
        Event::PersonRemoved { person: s("omar"), reason: s("left") },
        Event::TokenIssued { token },
        Event::TokenRevoked { token: s("00ff"), reason: s("leaked") },
        Event::BreakGlassOpened { glass },
        Event::BreakGlassReviewed { opened: 3, statement: s("one approval, as agreed") },
        Event::ResponseAsked { plan: s("0123456789abcdef") },
    ] {
        story.by("ines", event);
    }
    let said = said(&story, skip);
    for line in [
        "ines may sign in as approver",
        "a code was made over the server with which ines signs in",
        "a code was made at the machine with which ines signs in",
        "the identity provider says that lena is responder",
        "ines and ines@example.com are one person | one badge",
        "omar may not sign in any more | left",
        "token 00ff made: ci | as reporter, until",
        "token 00ff revoked | leaked",
        "ines broke the glass: admin until",
        "the broken glass of entry 3 was looked at | one approval, as agreed",
        "the server carries out plan 0123456789ab",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
}
