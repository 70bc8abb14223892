//! The steps of one secret, in the order that its issuer's capabilities and the strategy give.

use super::{CALL_MS, CannotPlan, ConsumerInput, PlanInput, SecretInput, strategy};
use crate::id::StepId;
use crate::issuer::{Chooser, Overlap, TaskTime, ValidAtOnce};
use crate::plan::step::{Class, Step, StepAction, Strategy};

/// A proof that settles within this time is a burst of calls.
const SHORT_PROOF_MS: u64 = 2000;

/// What later secrets wait for, and the step that proves this one.
pub(super) struct Done {
    pub(super) usable: Vec<StepId>,
    pub(super) proof: StepId,
}

pub(super) struct Chain<'a> {
    pub(super) input: &'a PlanInput,
    pub(super) secret: &'a SecretInput,
    /// What must be done for other secrets before anything of this one is switched.
    pub(super) before: Vec<StepId>,
    /// Confirmations of consumers that it shares with earlier secrets.
    pub(super) shared: Vec<StepId>,
    /// It shares a consumer with another secret.
    pub(super) looks: bool,
    /// The wave in which its successor is made, where that breaks nothing.
    pub(super) stage: u32,
    /// The wave in which it is switched; both are 0 when there are no waves.
    pub(super) switch: u32,
    /// The wave of the next step.
    pub(super) wave: u32,
    pub(super) steps: Vec<Step>,
}

impl Chain<'_> {
    pub(super) fn build(&mut self) -> Result<Done, CannotPlan> {
        if self.secret.is_ended_by_people() {
            return self.by_people();
        }
        let capabilities = &self.secret.capabilities;
        let because = self.secret.because.clone();
        let kill_first = self.strategy() == Strategy::KillFirst && capabilities.can_disable;
        // What it depends on works with its old value until it is switched itself; unless that is dead by then.
        let late = self.strategy() == Strategy::KillFirst || self.stage == self.switch;
        let before = if late { std::mem::take(&mut self.before) } else { Vec::new() };
        let capture = self.add(
            "capture",
            StepAction::Capture,
            &before,
            Class::Read,
            "read what stores hold and consumers use now; seal the old value",
            &format!("{because}; the old value is needed for the proof, and what consumers use now shows later that they moved"),
            None,
        )?;
        if !capabilities.can_mint {
            let needs = self.switched(vec![capture]);
            let dead = self.kill(&needs)?;
            let proof = self.prove(StepAction::ProveRefused, "prove", &dead)?;
            self.retire(&proof)?;
            let usable = self.renewed_by_people(&proof)?;
            return Ok(Done { usable, proof });
        }
        if kill_first { self.kill_first(&capture) } else { self.make_before_break(&capture) }
    }

    /// Nobody but people can end it, and what they say is all there will be.
    fn by_people(&mut self) -> Result<Done, CannotPlan> {
        let mut needs = std::mem::take(&mut self.before);
        self.wave = self.switch;
        needs = self.tasks(TaskTime::End, needs)?;
        let done = self.tasks(TaskTime::Renew, needs.clone())?;
        let proof = needs.last().cloned().ok_or_else(|| CannotPlan::CannotKill(self.secret.id.clone()))?;
        Ok(Done { usable: done, proof })
    }

    /// Quell cannot make the successor: people give it to consumers, and each is seen to use it.
    fn renewed_by_people(&mut self, proof: &StepId) -> Result<Vec<StepId>, CannotPlan> {
        let needs = vec![proof.clone()];
        let renewed = self.tasks(TaskTime::Renew, needs.clone())?;
        if renewed == needs {
            return Ok(needs);
        }
        let moved = self.pick_up(&renewed)?;
        Ok(if moved.is_empty() { renewed } else { moved })
    }

    /// One after the other. Gives what waits for the last.
    fn tasks(&mut self, when: TaskTime, mut needs: Vec<StepId>) -> Result<Vec<StepId>, CannotPlan> {
        for task in self.secret.tasks.iter().filter(|task| task.when == when) {
            let action = StepAction::Person { task: task.name.clone(), when };
            needs = vec![self.add(&task.name, action, &needs, Class::Read, &task.what, &task.why, None)?];
        }
        Ok(needs)
    }

    fn strategy(&self) -> Strategy {
        strategy(self.input, self.secret)
    }

    /// Steps from here on do. Gives what the first of them needs.
    fn switched(&mut self, mut needs: Vec<StepId>) -> Vec<StepId> {
        self.wave = self.switch;
        needs.append(&mut self.before);
        needs
    }

    fn kill_first(&mut self, capture: &StepId) -> Result<Done, CannotPlan> {
        let dead = self.kill(std::slice::from_ref(capture))?;
        // Without another principal the refusal cannot be proven now, and what may not overlap cannot wait for one: the successor is the
        // control of the last proof.
        let made = if matches!(self.secret.overlap, Overlap::Never { .. }) && !self.secret.has_control {
            self.make(&dead, false)?
        } else {
            let refused = self.prove(StepAction::ProveRefused, "prove-refused", &dead)?;
            self.make(&[refused], false)?
        };
        let moved = self.move_consumers(&made)?;
        let proof = self.prove(StepAction::Prove, "prove", &moved)?;
        self.purge(&proof)?;
        self.retire(&proof)?;
        self.tasks(TaskTime::Renew, vec![proof.clone()])?;
        Ok(Done { usable: moved, proof })
    }

    fn make_before_break(&mut self, capture: &StepId) -> Result<Done, CannotPlan> {
        let shared = self.secret.capabilities.valid_at_once == ValidAtOnce::One;
        let made = self.make(std::slice::from_ref(capture), shared)?;
        let made = self.switched(made);
        let moved = self.move_consumers(&made)?;
        let dead = if shared { self.sever(&moved)? } else { self.kill(&moved)? };
        let proof = self.prove(StepAction::Prove, "prove", &dead)?;
        self.purge(&proof)?;
        self.retire(&proof)?;
        self.tasks(TaskTime::Renew, vec![proof.clone()])?;
        Ok(Done { usable: moved, proof })
    }

    /// Mint, install, try.
    fn make(&mut self, needs: &[StepId], breaks: bool) -> Result<Vec<StepId>, CannotPlan> {
        let target = self.secret.target.clone();
        let harm = breaks.then(|| format!("new logins of {} fail until they are reloaded", self.consumers()));
        let class = if breaks { Class::Destructive } else { Class::Reversible };
        let ends = "this ends the old value in the same instant";
        let minted = match self.secret.capabilities.chooser {
            Chooser::Client => self.add(
                "mint",
                StepAction::Mint,
                needs,
                Class::Reversible,
                "choose the successor and seal it",
                "chosen and recorded before the call that uses it, so that a crash can find what was made",
                None,
            )?,
            Chooser::Issuer => {
                let mut what =
                    format!("have {target} make the successor, marked with this step's name; seal it");
                if breaks {
                    what = format!("{what}; {ends}");
                }
                let why = "the mark lets a crash find what was made, so that there is never a second one";
                let needs = if breaks { self.switched(needs.to_vec()) } else { needs.to_vec() };
                self.add("mint", StepAction::Mint, &needs, class, &what, why, harm.clone())?
            }
        };
        let minted = vec![minted];
        let installed = if self.secret.capabilities.chooser == Chooser::Issuer {
            minted
        } else {
            let what = if breaks {
                format!("set the successor on {target}; {ends}")
            } else {
                format!("make the successor valid on {target}")
            };
            let why = "consumers can only move to a value that works";
            let needs = if breaks { self.switched(minted) } else { minted };
            vec![self.add("install", StepAction::Install, &needs, class, &what, why, harm)?]
        };
        let why = "a value that does not work must not reach a store";
        let probe = self.add(
            "probe-new",
            StepAction::ProbeNew,
            &installed,
            Class::Read,
            &format!("log in to {target} with the successor"),
            why,
            None,
        )?;
        Ok(vec![probe])
    }

    /// Stores, reloads, confirmations. Returns what "everybody is on the successor" waits for.
    fn move_consumers(&mut self, needs: &[StepId]) -> Result<Vec<StepId>, CannotPlan> {
        let mut looked = Vec::new();
        if self.looks {
            let mut after = needs.to_vec();
            after.extend(self.shared.iter().filter(|s| !needs.contains(s)).cloned());
            let what = "look again at what consumers say, before this secret reaches them";
            let why = "one of them reads other secrets, too: what it said before those were switched says nothing of this one";
            looked.push(self.add("look", StepAction::Look, &after, Class::Read, what, why, None)?);
        }
        let needs = if looked.is_empty() { needs } else { &looked };
        let mut written = Vec::new();
        for (i, store) in self.secret.stores.iter().enumerate() {
            let what = format!("write the successor to {}", store.target);
            let why = "consumers read it there";
            written.push(self.add(
                &format!("store-{i}"),
                StepAction::WriteStore { store: i },
                needs,
                Class::Reversible,
                &what,
                why,
                None,
            )?);
        }
        if written.is_empty() {
            written = needs.to_vec();
        }
        let moved = self.pick_up(&written)?;
        Ok(if moved.is_empty() { written } else { moved })
    }

    /// Each consumer reloads, if it has to, and is seen to use the successor.
    fn pick_up(&mut self, written: &[StepId]) -> Result<Vec<StepId>, CannotPlan> {
        let mut moved = Vec::new();
        for consumer in &self.secret.consumers {
            let mut after = written.to_vec();
            if let Some(reload) = &consumer.reload {
                let action = StepAction::Reload { consumer: consumer.name.clone() };
                let why = "a running process keeps the value it started with";
                after = vec![self.add(
                    &format!("reload-{}", consumer.name),
                    action,
                    written,
                    Class::Reversible,
                    &format!("{}: {reload}", consumer.name),
                    why,
                    None,
                )?];
            }
            moved.push(self.confirm(consumer, &after)?);
        }
        Ok(moved)
    }

    fn confirm(&mut self, consumer: &ConsumerInput, needs: &[StepId]) -> Result<StepId, CannotPlan> {
        let name = consumer.name.clone();
        let what = format!("see by {} that {name} uses the successor", consumer.observe);
        let why = "one consumer missed is an outage later; nothing is killed on a guess";
        self.add(
            &format!("confirm-{name}"),
            StepAction::Confirm { consumer: name },
            needs,
            Class::Read,
            &what,
            why,
            None,
        )
    }

    fn kill(&mut self, needs: &[StepId]) -> Result<Vec<StepId>, CannotPlan> {
        let target = self.secret.target.clone();
        let harm = match (self.secret.capabilities.can_mint, self.strategy()) {
            _ if self.secret.consumers.is_empty() => None,
            (true, Strategy::KillFirst) => {
                Some(format!("{} cannot log in until the successor reaches them", self.consumers()))
            }
            (true, Strategy::MakeBeforeBreak) => None,
            (false, _) => Some(format!("{} is cut off until people give it another", self.consumers())),
        };
        let why = match self.strategy() {
            Strategy::KillFirst => "only the issuer can kill it, and it is killed before anything else",
            Strategy::MakeBeforeBreak => "only the issuer can kill it, and nobody needs it any more",
        };
        let disabled = self.add(
            "disable",
            StepAction::Disable,
            needs,
            Class::Destructive,
            &format!("make {target} refuse the old value"),
            why,
            harm,
        )?;
        self.sever(&[disabled])
    }

    fn sever(&mut self, needs: &[StepId]) -> Result<Vec<StepId>, CannotPlan> {
        if !self.secret.capabilities.sessions_survive {
            return Ok(needs.to_vec());
        }
        let what = format!("end every session on {} that was opened with the old value", self.secret.target);
        let why = "a session outlives the password that opened it";
        let harm = "whoever still uses the old value is cut off, an intruder too".to_owned();
        Ok(vec![self.add("sever", StepAction::Sever, needs, Class::Destructive, &what, why, Some(harm))?])
    }

    fn prove(&mut self, action: StepAction, name: &str, needs: &[StepId]) -> Result<StepId, CannotPlan> {
        let control = if action == StepAction::Prove { "the successor" } else { "another principal" };
        let refusals = self.secret.capabilities.refusals.join(" or ");
        let what = format!(
            "prove on {}: old value refused with {refusals}, {control} accepted by the same door, no live session; twice, {} ms apart",
            self.secret.target, self.secret.capabilities.settle_ms,
        );
        self.add(
            name,
            action,
            needs,
            Class::Read,
            &what,
            "a rotation that succeeded is not a proof that the old value is dead",
            None,
        )
    }

    fn purge(&mut self, proof: &StepId) -> Result<(), CannotPlan> {
        for (i, store) in self.secret.stores.iter().enumerate() {
            let what = format!("destroy versions in {} that hold the old value", store.target);
            let why = "a compromised value has no way back, and a store's history is one";
            let needs = std::slice::from_ref(proof);
            self.add(
                &format!("purge-{i}"),
                StepAction::Purge { store: i },
                needs,
                Class::Destructive,
                &what,
                why,
                None,
            )?;
        }
        Ok(())
    }

    /// After the proof, like a purge: what is deleted cannot be looked at any more.
    fn retire(&mut self, proof: &StepId) -> Result<(), CannotPlan> {
        if !self.secret.retires {
            return Ok(());
        }
        let what =
            format!("delete the old credential on {}, after its last use was recorded", self.secret.target);
        let why = "what is only refused can be made valid again by whoever may";
        let needs = std::slice::from_ref(proof);
        self.add("retire", StepAction::Retire, needs, Class::Destructive, &what, why, None)?;
        Ok(())
    }

    /// Steps that call the issuer share its limits. A proof that mostly waits for the settling time does not: it
    /// would keep others from being made.
    fn lane(&self, action: &StepAction) -> Option<String> {
        if let StepAction::WriteStore { store } | StepAction::Purge { store } = action {
            return self.secret.stores.get(*store).and_then(|s| s.lane.clone());
        }
        let calls = match action {
            StepAction::Capture
            | StepAction::Mint
            | StepAction::Install
            | StepAction::ProbeNew
            | StepAction::Disable
            | StepAction::Sever
            | StepAction::Retire => true,
            StepAction::ProveRefused | StepAction::Prove => {
                self.secret.capabilities.settle_ms <= SHORT_PROOF_MS
            }
            StepAction::WriteStore { .. }
            | StepAction::Look
            | StepAction::Reload { .. }
            | StepAction::Confirm { .. }
            | StepAction::Purge { .. }
            | StepAction::Person { .. }
            | StepAction::Channel { .. }
            | StepAction::Notify { .. } => false,
        };
        self.secret.lane.as_ref().filter(|_| calls).map(|(name, _)| name.clone())
    }

    fn consumers(&self) -> String {
        self.secret.consumers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn add(
        &mut self,
        name: &str,
        action: StepAction,
        needs: &[StepId],
        class: Class,
        what: &str,
        why: &str,
        breaks: Option<String>,
    ) -> Result<StepId, CannotPlan> {
        let id: StepId = format!("{}.{name}", self.secret.id)
            .parse()
            .map_err(|_e| CannotPlan::BadStepId(self.secret.id.clone()))?;
        let approvals = match class {
            Class::Read => 0,
            Class::Reversible => self.input.approvals.reversible,
            Class::Destructive => self.input.approvals.destructive,
        };
        // A proof waits out the settling time inside one attempt.
        let limit_ms = CALL_MS + self.secret.capabilities.settle_ms;
        let step = Step {
            id: id.clone(),
            secret: Some(self.secret.id.clone()),
            needs: needs.to_vec(),
            class,
            approvals,
            what: what.to_owned(),
            why: why.to_owned(),
            breaks,
            limit_ms,
            max_attempts: 6,
            best_effort: false,
            wave: self.wave,
            lane: self.lane(&action),
            action,
        };
        self.steps.push(step);
        Ok(id)
    }
}
