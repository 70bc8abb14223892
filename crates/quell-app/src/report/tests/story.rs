//! Tells an incident event by event, with the real decisions and the real machine.

use jiff::{SignedDuration, Timestamp};
use quell_core::event::{Actor, Affected, Entry, Event, EvidenceRef, SealedRef, ValueRole, Verdict};
use quell_core::exposure::{Channel, Exposure};
use quell_core::incident::{Incident, OpenIncident, open};
use quell_core::inventory::Tier;
use quell_core::issuer::{Capabilities, Chooser, Overlap, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::plan::{
    Action, Approval, Approvals, ConsumerInput, Machine, OldProof, Phase, PlanInput, Proof, SecretInput,
    StoreInput, Strategy, compile, judge,
};
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use quell_core::severity::Profile;
use quell_core::{SecretId, StepId};
use serde_json::json;

pub(super) const CHECKPOINT: &str = "\
quell/test/ledger/1
57
bWFkZSB1cCBmb3IgYSB0ZXN0IG9mIHRoZSByZXBvcnQgMDE=

— quell/test/ledger/1 qwERtYmFkZSB1cA==
";

pub(super) fn t0() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().unwrap()
}

pub(super) fn id(text: &str) -> SecretId {
    text.parse().unwrap()
}

pub(super) fn fingerprint(text: &str) -> Fingerprint {
    FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text(text.to_owned()))
}

pub(super) struct Story {
    pub(super) entries: Vec<Entry>,
    pub(super) now: Timestamp,
    machine: Option<Machine>,
}

/// What the outside world answers to a step: after how long, and how.
pub(super) type World = dyn Fn(&StepId, Phase, u32) -> (i64, Outcome);

impl Story {
    pub(super) fn opened(change: impl FnOnce(&mut OpenIncident)) -> Self {
        let mut command = OpenIncident {
            title: "orders-db was pushed to a public repository".to_owned(),
            secrets: vec![Affected { secret: id("orders-db"), because: "it leaked".to_owned() }],
            exposures: vec![Exposure {
                channel: Channel::PublicRepo,
                audience: Channel::PublicRepo.default_audience(),
                first_exposed: Some(t0() - SignedDuration::from_hours(10)),
                discovered: t0() - SignedDuration::from_mins(5),
                still_visible: Some(false),
                place: "git:orders.git config/app.env:3".to_owned(),
                fingerprint: Some(fingerprint("old")),
                sealed: None,
                finding: Some("F-0123456789ab".to_owned()),
                channel_name: None,
            }],
            production: true,
            opens_others: 0,
            profile: Profile::Sev,
            drill: false,
        };
        change(&mut command);
        let mut story = Self { entries: Vec::new(), now: t0(), machine: None };
        for event in open(&command, t0()).unwrap() {
            story.by("ines", event);
        }
        story
    }

    pub(super) fn incident(&self) -> Incident {
        Incident::fold("INC-2026-0001".parse().unwrap(), &self.entries).unwrap()
    }

    pub(super) fn wait(&mut self, millis: i64) -> &mut Self {
        self.now += SignedDuration::from_millis(millis);
        self
    }

    fn push(&mut self, actor: Actor, event: Event) {
        let at = self.entries.len() as u64;
        self.entries.push(Entry {
            seq: at + 10,
            at: self.now,
            stream: "INC-2026-0001".to_owned(),
            pos: at,
            actor,
            evidence: Vec::new(),
            event,
        });
    }

    pub(super) fn by(&mut self, who: &str, event: Event) -> &mut Self {
        self.push(Actor::user(who), event);
        self
    }

    pub(super) fn engine(&mut self, event: Event) -> &mut Self {
        self.push(Actor::engine("w-1"), event);
        self
    }

    pub(super) fn evidence(&mut self, name: &str) -> &mut Self {
        let kept = EvidenceRef { sha256: "ab".repeat(32), size: 120, name: name.to_owned() };
        self.entries.last_mut().unwrap().evidence.push(kept);
        self
    }

    pub(super) fn planned(&mut self, approvals: u8) -> &mut Self {
        let consumer = ConsumerInput {
            name: "api".to_owned(),
            reload: Some("SIGHUP".to_owned()),
            observe: "GET /healthz".to_owned(),
        };
        let secret = SecretInput {
            id: id("orders-db"),
            tier: Tier::Service,
            target: "postgres".to_owned(),
            capabilities: Capabilities {
                chooser: Chooser::Client,
                valid_at_once: ValidAtOnce::AlternatePrincipals,
                sessions_survive: true,
                can_disable: true,
                self_revocable: false,
                can_mint: true,
                can_probe: true,
                settle_ms: 1000,
                refusals: vec!["28P01".to_owned()],
            },
            retires: false,
            overlap: Overlap::Allowed,
            has_control: true,
            stores: vec![StoreInput { target: "kv".to_owned(), lane: None }],
            consumers: vec![consumer],
            after: Vec::new(),
            because: "it leaked".to_owned(),
            lane: None,
            tasks: Vec::new(),
        };
        let plan = compile(&PlanInput {
            incident: "INC-2026-0001".parse().unwrap(),
            revision: 1,
            strategy: (
                Strategy::MakeBeforeBreak,
                vec!["ines chose make-before-break: orders must be taken at night".to_owned()],
            ),
            secrets: vec![secret],
            approvals: Approvals { destructive: approvals, reversible: 0 },
            leaked_in: Vec::new(),
            channels: Vec::new(),
            warnings: vec!["reports are not made while the store is written".to_owned()],
            stop_after: 3,
            under_way: 0,
        })
        .unwrap();
        self.machine = Some(Machine::new(plan.clone()));
        self.engine(Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) })
    }

    pub(super) fn approve(&mut self, step: &str, by: &str) -> &mut Self {
        let step: StepId = step.parse().unwrap();
        let machine = self.machine.as_mut().unwrap();
        let hash = machine.plan_hash().to_owned();
        let expires_at = self.now + SignedDuration::from_mins(30);
        machine.approve(self.now, &Approval { step: &step, plan_hash: &hash, by, expires_at }).unwrap();
        self.record(&Actor::user(by));
        self
    }

    pub(super) fn decide(&mut self, by: &str, what: impl FnOnce(&mut Machine)) -> &mut Self {
        what(self.machine.as_mut().unwrap());
        self.record(&Actor::user(by));
        self
    }

    fn record(&mut self, actor: &Actor) {
        while let Some(event) = self.machine.as_mut().unwrap().poll_event() {
            self.push(actor.clone(), Event::Step(event));
        }
    }

    /// Runs until nothing can be done without a person.
    pub(super) fn run(&mut self, world: &World) -> &mut Self {
        for _round in 0..100 {
            let now = self.now;
            let machine = self.machine.as_mut().unwrap();
            machine.advance(now, "w-1", 1);
            let mut acted = false;
            let mut actions = Vec::new();
            while let Some(action) = machine.poll_action() {
                actions.push(action);
            }
            self.record(&Actor::engine("w-1"));
            for action in actions {
                if let Action::Run { step, attempt, phase } = action {
                    let (millis, outcome) = world(&step, phase, attempt);
                    self.wait(millis);
                    let now = self.now;
                    self.machine.as_mut().unwrap().report(now, &step, attempt, phase, outcome).unwrap();
                    self.record(&Actor::engine("w-1"));
                    acted = true;
                }
            }
            if !acted {
                match self.machine.as_ref().unwrap().poll_timeout() {
                    Some(at) => self.now = at.max(self.now),
                    None => return self,
                }
            }
        }
        panic!("it never came to rest");
    }

    pub(super) fn values_sealed(&mut self) -> &mut Self {
        for (role, value, principal, place) in
            [(ValueRole::Old, "old", "orders_a", "kv"), (ValueRole::New, "new", "orders_b", "chosen")]
        {
            self.engine(Event::ValueSealed(SealedRef {
                secret: id("orders-db"),
                role,
                sealed: "S1".to_owned(),
                fingerprint: fingerprint(value),
                principal: principal.to_owned(),
                place: place.to_owned(),
            }));
        }
        self
    }

    pub(super) fn proof(&mut self, second: Probe, sessions: u64) -> &mut Self {
        let yes = || Probe::Accepted { facts: Facts::new() };
        let proof = Proof {
            secret: id("orders-db"),
            at: self.now,
            target: "postgres 127.0.0.1:5432/orders".to_owned(),
            old: vec![OldProof {
                fingerprint: fingerprint("old"),
                principal: "orders_a".to_owned(),
                probes: vec![refused(), second],
                sessions,
            }],
            control_is: "successor".to_owned(),
            control: vec![yes(), yes()],
            settle_ms: 1000,
            inert: false,
            unmet: Vec::new(),
        };
        self.engine(Event::ProofRecorded { proof: judge(proof, &["28P01".to_owned()]) })
    }
}

pub(super) fn refused() -> Probe {
    Probe::Refused { code: "28P01".to_owned(), message: String::new() }
}

/// A world in which all goes well.
pub(super) fn calm(_step: &StepId, _phase: Phase, _attempt: u32) -> (i64, Outcome) {
    (120, Outcome::applied([]))
}

/// From declaration to closing, with one unknown outcome and one proof that fails first.
pub(super) fn closed() -> Story {
    let mut story = Story::opened(|_| {});
    story
        .wait(180_000)
        .by("ines", Event::ClockMet { clock: "first-response".to_owned() })
        .planned(1)
        .values_sealed()
        .engine(Event::Baseline {
            secret: id("orders-db"),
            consumer: "api".to_owned(),
            generation: Some("41".to_owned()),
            principal: Some("orders_a".to_owned()),
            anew: false,
        });
    let world = |step: &StepId, phase: Phase, attempt: u32| match (step.as_str(), phase, attempt) {
        ("orders-db.capture", ..) => {
            (120, Outcome::applied([("accepted_before", json!([fingerprint("old")]))]))
        }
        ("orders-db.install", Phase::Perform, 1) => (30_000, Outcome::unknown("the connection was cut")),
        ("orders-db.confirm-api", ..) => {
            (1_500, Outcome::applied([("generation", json!("42")), ("principal", json!("orders_b"))]))
        }
        _ => calm(step, phase, attempt),
    };
    story.run(&world).wait(30_000).approve("orders-db.disable", "tom");
    story.approve("orders-db.sever", "tom").approve("orders-db.purge-0", "tom").run(&world);
    story.proof(Probe::Accepted { facts: Facts::new() }, 2).wait(60_000).proof(refused(), 0);
    story
        .wait(600_000)
        .by(
            "tom",
            Event::VerdictRecorded {
                verdict: Verdict::NoEvidenceLogsIncomplete,
                reason: "the proxy kept 6 hours only".to_owned(),
            },
        )
        .evidence("proxy.log")
        .by("ines", Event::ChannelCleaned { what: "history of orders.git rewritten".to_owned() })
        .by("ines", Event::NoteAdded { text: "found by the nightly scan".to_owned() })
        .by(
            "ines",
            Event::ActionItemAdded {
                item: "A1".to_owned(),
                title: "gate on push".to_owned(),
                owner: "team-orders".to_owned(),
                due: "2026-12-01".to_owned(),
                gate: None,
            },
        )
        .by("ines", Event::ClockMet { clock: "next-update".to_owned() })
        .wait(3_600_000)
        .by(
            "tom",
            Event::Closed { summary: "The old password is dead; orders-api runs on a new one.".to_owned() },
        );
    story
}
