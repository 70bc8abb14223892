//! What will be done, in which order and why; and the machine that sees it through.

mod compile;
mod judge;
mod machine;
mod step;

#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod testing;

pub use compile::{
    CannotPlan, ChannelInput, ConsumerInput, PlanInput, SecretInput, StoreInput, choose_strategy, compile,
};
pub use judge::{OldProof, Proof, confirmed, judge};
pub use machine::{Action, Approval, Flow, Hold, HoldScope, Machine, Refusal, StepEvent, StepState, word};
pub use step::{
    Approvals, CONTAINED, ChannelAct, Class, FIRST_RESPONSE, Lane, OPENED, Phase, Plan, Step, StepAction,
    Strategy, patience,
};
