//! Whole reports, from incidents told event by event.

mod document;
mod hostile;
mod sentences;
mod story;
mod templates;

use quell_core::StepId;
use quell_core::event::Event;
use quell_core::incident::{Section, Status, TaskEnd};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::severity::{Profile, Signal};

use super::{SecretStanding, context, render, timeline};
use story::{CHECKPOINT, Story, calm, closed, id, refused};

fn report(story: &Story) -> String {
    let text = render(&story.incident(), &story.entries, CHECKPOINT, story.now, None).unwrap();
    check_shape(&text);
    text
}

/// Every table row has as many cells as its head, and no two blank lines follow each other.
pub(super) fn check_shape(text: &str) {
    let cells = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
    let mut head = None;
    for line in text.lines() {
        if line.starts_with('|') {
            assert_eq!(cells(line), *head.get_or_insert(cells(line)), "{line}\n\n{text}");
            assert!(line.ends_with('|'), "{line}");
        } else {
            head = None;
        }
    }
    assert!(!text.contains("\n\n\n"), "{text}");
    assert!(!text.lines().any(|l| l.ends_with(' ')), "{text}");
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
}

fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split_once("\n## ").map_or(rest, |(section, _)| section).trim()
}

#[test]
fn an_open_incident_says_what_is_missing() {
    let mut story = Story::opened(|c| {
        c.exposures[0].first_exposed = None;
        c.exposures[0].still_visible = None;
    });
    story.wait(3_600_000);
    let text = report(&story);
    assert!(text.contains("**Status:** open; NOT contained: orders-db is NOT proven inert."), "{text}");
    insta::assert_snapshot!(section(&text, "Numbers"), @r"
    | moment | when | took |
    | --- | --- | --- |
    | first exposed | unknown | — |
    | discovered | 2026-11-22T02:55:00Z (T-5 min) | unknown |
    | declared | 2026-11-22T03:00:00Z (T+0 s) | 5 min after the discovery |
    | first response | not recorded | — |
    | contained: the last proof that was needed | not yet | not contained for 1 h |
    | closed | not yet | — |

    Since when it was exposed is unknown.
    ");
    insta::assert_snapshot!(section(&text, "What is still unknown or open"), @r"
    - orders-db is not proven inert at the issuer
    - no tried value of orders-db was ever seen to be valid, so its refusal proves nothing
    - no plan was carried out for orders-db
    - the leaked value fp:4258457b93f4113bee5b7c7082fa6dbd itself is not among the values that were tried
    - no verdict says whether it was used; \`cannot-tell\` is a verdict, silence is not
    - SEV-1 and SEV-2 need at least one action item with owner and due date
    - since when it could be seen in git:orders.git config/app.env:3
    - whether it can still be seen in git:orders.git config/app.env:3
    - no plan was made
    ");
    insta::assert_snapshot!(section(&text, "Clocks"), @r"
    | clock | due | state | how | rule |
    | --- | --- | --- | --- | --- |
    | first-response | 2026-11-22T03:10:00Z (T+10 min) | MISSED | due 50 min ago and not met | SEV-1: first response, counted from discovery |
    | next-update | 2026-11-22T03:15:00Z (T+15 min) | MISSED | due 45 min ago and not met | SEV-1: next update, counted from the declaration |
    | post-mortem | 2026-11-24T03:00:00Z (T+2 d) | running | 1 d 23 h left | post-mortem: 48 h, the earliest of the sources, counted from the declaration |
    ");
    let empty = Story::opened(|c| {
        c.exposures.clear();
        c.secrets.clear();
    });
    assert!(report(&empty).contains("open; no secret of the inventory is named"));
}

#[test]
fn a_proof_that_fails_later_is_never_hidden() {
    let mut story = closed();
    story.wait(86_400_000).proof(Probe::Accepted { facts: Facts::new() }, 0);
    let data = context(&story.incident(), &story.entries, CHECKPOINT, story.now);
    assert_eq!((data.status, data.contained, data.numbers.contained.clone()), (Status::Closed, false, None));
    assert_eq!(data.secrets[0].standing, SecretStanding::ProofFailed);
    assert_eq!(data.proofs[0].changes.len(), 2);
    assert_eq!(data.numbers.not_contained_for.as_deref(), Some("1 d 1 h"));
    let text = report(&story);
    assert!(
        text.contains("closed; NOT contained: orders-db is NOT inert: the newest proof failed"),
        "{text}"
    );
    assert!(section(&text, "What is still unknown or open").contains("STILL OPENS THE DOOR"));
    let before = story.now;
    story.wait(60_000).proof(refused(), 0).wait(60_000).proof(refused(), 0);
    let again = context(&story.incident(), &story.entries, CHECKPOINT, story.now);
    let contained = again.numbers.contained.unwrap().utc;
    assert_eq!(contained, format!("{:.0}", before + jiff::SignedDuration::from_mins(1)), "inert since then");
}

#[test]
fn an_exception_and_a_skipped_step_stay_visible() {
    let mut story = Story::opened(|_| {});
    story.planned(0).run(&|step, phase, attempt| match step.as_str() {
        "orders-db.reload-api" => (10, Outcome::refused("no such unit")),
        _ => calm(step, phase, attempt),
    });
    let reload: StepId = "orders-db.reload-api".parse().unwrap();
    story
        .wait(60_000)
        .decide("tom", |m| m.retry(&reload, "tom").unwrap())
        .run(&|_, _, _| (10, Outcome::refused("no such unit")))
        .decide("tom", |m| m.skip(&reload, "tom", "api was stopped by hand").unwrap());
    let disable: StepId = "orders-db.disable".parse().unwrap();
    story.decide("ines", |m| m.resolve(&disable, "ines", "the server was switched off").unwrap());
    story
        .by(
            "tom",
            Event::ExceptionRecorded { secret: id("orders-db"), reason: "the issuer is gone".to_owned() },
        )
        .by("tom", Event::SignalRecorded { signal: Signal::LogGap, reason: "no logs on Sunday".to_owned() });
    let text = report(&story);
    assert!(text.contains("closing without proof was accepted"), "{text}");
    insta::assert_snapshot!(section(&text, "Strategy and decisions"), @r"
    **Strategy: make-before-break**, because ines chose make-before-break: orders must be taken at night.

    - Warning: reports are not made while the store is written

    | when | who | decision | reason or evidence |
    | --- | --- | --- | --- |
    | 2026-11-22T03:00:00Z (T+0 s) | engine w-1 | plan 1 made: make-before-break, 11 steps | ines chose make-before-break: orders must be taken at night; plan b70a67663034 |
    | 2026-11-22T03:01:00Z (T+1 min) | tom | orders-db.reload-api: another try asked for by tom | it begins by looking, if anything was ever started |
    | 2026-11-22T03:01:00Z (T+1 min) | tom | orders-db.reload-api: skipped by tom | api was stopped by hand |
    | 2026-11-22T03:01:00Z (T+1 min) | ines | orders-db.disable: stated by ines to be in force | the server was switched off |
    | 2026-11-22T03:01:00Z (T+1 min) | tom | exception: closing is accepted without proof for orders-db | the issuer is gone |
    | 2026-11-22T03:01:00Z (T+1 min) | tom | signal recorded: log-gap | no logs on Sunday |
    ");
    insta::assert_snapshot!(section(&text, "What is still unknown or open"), @r"
    - no verdict says whether it was used; \`cannot-tell\` is a verdict, silence is not
    - SEV-1 and SEV-2 need at least one action item with owner and due date
    - what happened in the gap of the logs; the worst is assumed for it
    - whether orders-db still opens the door is not proven; tom accepted that: the issuer is gone
    - orders-db.reload-api was skipped by tom: api was stopped by hand
    - orders-db.disable rests on ines's statement and was not seen: the server was switched off
    - 4 steps have not begun: orders-db.confirm-api, orders-db.sever, orders-db.prove, orders-db.purge-0
    ");
}

#[test]
fn other_ladders_drills_and_what_the_secret_opens() {
    let mut story = Story::opened(|c| {
        c.drill = true;
        c.profile = Profile::P;
        c.opens_others = 2;
        let mut other = c.exposures[0].clone();
        other.first_exposed = None;
        c.exposures.push(other);
    });
    story.wait(60_000).by("ines", Event::ClockMet { clock: "first-response".to_owned() });
    let text = report(&story);
    assert!(text.contains("**This was a drill, on a decoy.**"), "{text}");
    assert!(text.contains("- **Severity:** P0 (SEV-1)."), "{text}");
    assert!(
        text.contains("ruled out. What leaked opens 2 other secrets, which count as exposed too.\n\n"),
        "{text}"
    );
    assert!(text.contains("| at least 9 h 55 min after the first exposure |"), "{text}");
    assert!(text.contains("No plan was made."), "{text}");
}

#[test]
fn what_people_wrote_stands_in_the_document_and_its_markup_does_nothing() {
    let mut story = closed();
    let written = |section, text: &str| Event::PostMortemWritten { section, text: text.to_owned() };
    story
        .wait(3_600_000)
        .by("ines", written(Section::RootCause, "the first idea"))
        .by(
            "omar",
            written(Section::RootCause, "## no gate\n\n- why: | not asked for\n- why: [new](http://x)"),
        )
        .by("ines", written(Section::Lucky, "nobody cloned it"))
        .by("ines", written(Section::Lucky, ""));
    let text = report(&story);
    let (_, review) = section(&text, "For the review").split_once("### Root cause\n\n").unwrap();
    insta::assert_snapshot!(review.split("\n### ").next().unwrap().trim(), @r"
    \## no gate

    - why: \| not asked for

    - why: \[new\](http://x)

    Written by omar, 2026-11-22T05:15:02Z (T+2 h 15 min), entry 57.
    ");
    assert!(review.contains("### Where we were lucky\n\nNot written yet. What helped"), "{review}");
    assert!(!text.contains("the first idea") && !text.contains("nobody cloned it"), "{text}");
}

#[test]
fn tasks_that_nobody_ended_are_among_what_is_unknown() {
    let mut story = closed();
    let s = str::to_owned;
    let added = |task: &str, title: &str, owner: Option<&str>| Event::TaskAdded {
        task: s(task),
        title: s(title),
        owner: owner.map(s),
        due: None,
    };
    story
        .by("ines", added("T1", "ask the vendor | for <logs>", Some("omar")))
        .by("ines", added("T2", "watch the graph", None))
        .by("ines", added("T3", "call the bank", Some("omar")))
        .by("ines", added("T4", "check the mirror", None))
        .by("omar", Event::TaskGiven { task: s("T4"), owner: s("ines") })
        .by("omar", Event::TaskEnded { task: s("T3"), how: TaskEnd::Done, reason: s("") });
    let text = report(&story);
    let unknown =
        section(&text, "What is still unknown or open").lines().filter(|line| line.contains("of the task"));
    insta::assert_snapshot!(unknown.collect::<Vec<_>>().join("\n"), @r"
    - what came of the task T1 (omar): ask the vendor \| for &lt;logs>
    - what came of the task T2 (nobody's): watch the graph
    - what came of the task T4 (ines): check the mirror
    ");
}

#[test]
fn the_timeline_says_each_entry_in_a_sentence() {
    let rows: Vec<String> =
        timeline(&closed().entries).into_iter().map(|r| format!("{}: {}", r.actor, r.what)).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    ines: incident declared: orders-db was pushed to a public repository
    ines: severity SEV-1: a production secret is exposed publicly (pushed to a public repository)
    ines: clock first-response started, due 2026-11-22T03:10:00Z
    ines: clock next-update started, due 2026-11-22T03:15:00Z
    ines: clock post-mortem started, due 2026-11-24T03:00:00Z
    ines: clock first-response met in time
    engine w-1: plan 1 made: make-before-break, 11 steps
    engine w-1: orders-db: compromised value sealed
    engine w-1: orders-db: successor sealed
    engine w-1: api looked at before any change of orders-db
    engine w-1: orders-db.capture: attempt 1 begun by w-1
    engine w-1: orders-db.capture applied by w-1 after 0.12 s
    engine w-1: orders-db.mint: attempt 1 begun by w-1
    engine w-1: orders-db.mint applied by w-1 after 0.12 s
    engine w-1: orders-db.install: attempt 1 begun by w-1
    engine w-1: orders-db.install: outcome unknown (the connection was cut), looking again
    engine w-1: orders-db.install: attempt 2 begun by w-1, only looking
    engine w-1: orders-db.install seen to be in force by w-1 after 0.12 s
    engine w-1: orders-db.probe-new: attempt 1 begun by w-1
    engine w-1: orders-db.probe-new applied by w-1 after 0.12 s
    engine w-1: orders-db.store-0: attempt 1 begun by w-1
    engine w-1: orders-db.store-0 applied by w-1 after 0.12 s
    engine w-1: orders-db.reload-api: attempt 1 begun by w-1
    engine w-1: orders-db.reload-api applied by w-1 after 0.12 s
    engine w-1: orders-db.confirm-api: attempt 1 begun by w-1
    engine w-1: orders-db.confirm-api applied by w-1 after 1.5 s
    engine w-1: orders-db.disable: 1 approval asked for
    tom: orders-db.disable: approved by tom
    tom: orders-db.sever: approved by tom
    tom: orders-db.purge-0: approved by tom
    engine w-1: orders-db.disable: attempt 1 begun by w-1
    engine w-1: orders-db.disable applied by w-1 after 0.12 s
    engine w-1: orders-db.sever: attempt 1 begun by w-1
    engine w-1: orders-db.sever applied by w-1 after 0.12 s
    engine w-1: orders-db.prove: attempt 1 begun by w-1
    engine w-1: orders-db.prove applied by w-1 after 0.12 s
    engine w-1: orders-db.purge-0: attempt 1 begun by w-1
    engine w-1: orders-db.purge-0 applied by w-1 after 0.12 s
    engine w-1: orders-db is NOT proven inert
    engine w-1: orders-db proven inert at postgres 127.0.0.1:5432/orders
    tom: verdict no-evidence-logs-incomplete: no evidence of use, but the logs are incomplete
    ines: hygiene: history of orders.git rewritten
    ines: note: found by the nightly scan
    ines: action item A1: gate on push
    ines: clock next-update met too late
    tom: incident closed
    ");
}

#[test]
fn the_same_facts_as_json() {
    let story = closed();
    let data = context(&story.incident(), &story.entries, CHECKPOINT, story.now);
    let json = serde_json::to_value(&data).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["numbers"]).unwrap(), @r#"
    {
      "closed": {
        "relative": "T+1 h 15 min",
        "utc": "2026-11-22T04:15:02Z",
        "words": "22 November 2026, 04:15 UTC"
      },
      "contained": {
        "relative": "T+5 min 2 s",
        "utc": "2026-11-22T03:05:02Z",
        "words": "22 November 2026, 03:05 UTC"
      },
      "declaration_to_close": "1 h 15 min",
      "declaration_to_response": "3 min",
      "declared": {
        "relative": "T+0 s",
        "utc": "2026-11-22T03:00:00Z",
        "words": "22 November 2026, 03:00 UTC"
      },
      "discovered": {
        "relative": "T-5 min",
        "utc": "2026-11-22T02:55:00Z",
        "words": "22 November 2026, 02:55 UTC"
      },
      "discovery_to_declaration": "5 min",
      "exposed_unnoticed": "9 h 55 min",
      "exposed_until_inert": "10 h 5 min",
      "first_exposed": {
        "relative": "T-10 h",
        "utc": "2026-11-21T17:00:00Z",
        "words": "21 November 2026, 17:00 UTC"
      },
      "first_response": {
        "relative": "T+3 min",
        "utc": "2026-11-22T03:03:00Z",
        "words": "22 November 2026, 03:03 UTC"
      },
      "not_contained_for": null,
      "time_to_inert": "5 min 2 s",
      "time_to_inert_ms": 302700
    }
    "#);
    assert_eq!(json["status"], "closed");
    assert_eq!(json["severity"]["now"], "SEV-1");
    assert_eq!(json["checkpoint"], CHECKPOINT);
}
