//! Steps at the place where it leaked. Nothing of a secret waits for them, and none of them contains anything.

use super::{CALL_MS, CannotPlan, ChannelInput, PlanInput, nobody};
use crate::id::StepId;
use crate::plan::step::{ChannelAct, Class, Step, StepAction};

/// Before anything else.
pub(super) fn at_once(input: &PlanInput, channel: &ChannelInput) -> Result<Option<Step>, CannotPlan> {
    step(input, channel, ChannelAct::Lock, Vec::new())
}

/// Preserve, as soon as the leaked values are known; take away what was preserved.
pub(super) fn when_captured(
    input: &PlanInput,
    channel: &ChannelInput,
    captures: &[StepId],
) -> Result<Vec<Step>, CannotPlan> {
    let mut steps = Vec::new();
    steps.extend(step(input, channel, ChannelAct::Preserve, captures.to_vec())?);
    // What was not preserved is not taken away: without that step there is not this one either.
    if channel.acts.contains(&ChannelAct::Preserve) {
        let preserved = vec![id(input, channel, ChannelAct::Preserve)?];
        steps.extend(step(input, channel, ChannelAct::Remove, preserved)?);
    }
    Ok(steps)
}

/// Look again, and let people go on.
pub(super) fn when_rotated(
    input: &PlanInput,
    channel: &ChannelInput,
    proofs: &[StepId],
) -> Result<Vec<Step>, CannotPlan> {
    let mut steps = Vec::new();
    steps.extend(step(input, channel, ChannelAct::Scan, proofs.to_vec())?);
    if channel.acts.contains(&ChannelAct::Lock) {
        let mut needs = vec![id(input, channel, ChannelAct::Lock)?];
        if steps.is_empty() {
            needs.extend_from_slice(proofs);
        } else {
            needs.push(id(input, channel, ChannelAct::Scan)?);
        }
        steps.extend(step(input, channel, ChannelAct::Unlock, needs)?);
    }
    Ok(steps)
}

/// A look into a whole repository takes its time; one that is given up goes on beside the next.
const SCAN_MS: u64 = 12 * 60 * 60_000;

fn id(input: &PlanInput, channel: &ChannelInput, act: ChannelAct) -> Result<StepId, CannotPlan> {
    let bad = || CannotPlan::BadStepId(input.secrets.first().map_or_else(nobody, |s| s.id.clone()));
    format!("channel.{}.{}", channel.name, act.word()).parse().map_err(|_e| bad())
}

fn step(
    input: &PlanInput,
    channel: &ChannelInput,
    act: ChannelAct,
    needs: Vec<StepId>,
) -> Result<Option<Step>, CannotPlan> {
    if !channel.acts.contains(&act) {
        return Ok(None);
    }
    let target = &channel.target;
    let (class, what, why) = match act {
        ChannelAct::Lock => (
            Class::Reversible,
            format!("lock {target}: {}", channel.lock),
            "what goes on there would carry the old value further; who began before may still end",
        ),
        ChannelAct::Preserve => (
            Class::Read,
            format!("record what {target} shows of the leak, to whom and since when; never the value"),
            "what is taken away first cannot be examined, nor shown to an authority",
        ),
        ChannelAct::Remove => (
            Class::Destructive,
            format!("take the leak away from {target}"),
            "hygiene: fewer people see it from now on; who has seen it still has it, so this contains nothing",
        ),
        ChannelAct::Scan => (
            Class::Read,
            format!("scan {target} for every value that the inventory's stores hold now"),
            "a successor that was pushed, too, is the next incident",
        ),
        ChannelAct::Unlock => (
            Class::Reversible,
            format!("unlock {target}"),
            "what machines can prove is proven, and the scan was clean or somebody answered for it",
        ),
    };
    let approvals = match class {
        Class::Read => 0,
        Class::Reversible => input.approvals.reversible,
        Class::Destructive => input.approvals.destructive,
    };
    Ok(Some(Step {
        id: id(input, channel, act)?,
        secret: None,
        action: StepAction::Channel { channel: channel.name.clone(), act, target: channel.target.clone() },
        needs,
        class,
        approvals,
        what,
        why: why.to_owned(),
        breaks: (act == ChannelAct::Lock).then(|| {
            format!(
                "{target}: {}, until every secret here is proven inert and a scan was clean",
                channel.lock
            )
        }),
        limit_ms: if matches!(act, ChannelAct::Scan | ChannelAct::Preserve) { SCAN_MS } else { CALL_MS },
        max_attempts: 6,
        best_effort: false,
        wave: 0,
        lane: None,
    }))
}
