//! What programs are told, as types: the answers of `/api/v1`, and what the command line prints with `--json`. One and the same, so that a script
//! does not care where it runs.
//!
//! Types of the core are shown as they are; [`shape`] says for the `OpenAPI` file what they look like, since the core knows no schemas.

mod find;
mod incident;
mod ingest;
mod intake;
mod inventory;
mod ledger;
mod notice;
mod person;
mod plan;
mod post_mortem;
mod report;
pub mod shape;
mod task;

pub use find::{Finding, FindingIs, FindingSaid, Findings, Hunt, Hunts};
pub use incident::{
    Adjacents, Assessed, Clocked, Drill, Drills, Evidence, EvidenceList, GateItem, Gates, Incident,
    Incidents, Judged, Opened, Proven, Responded, Response, Retried, Secrets, StepLine, Timeline, Verified,
};
pub use ingest::{Ingested, IngestedSecret};
pub use intake::{Delivered, Deliveries, Delivery};
pub use inventory::{Checked, Edges, Inventory, Known, Parsed, Reaches};
pub use ledger::{Checkpoint, Entries, Inclusion, Key, Rebuilt, Verification};
pub use notice::{Notice, NoticeChannel, NoticeKind, NoticeKinds, Notices, Sent, Told};
pub use person::{
    Code, Glass, GlassBroken, GlassList, OwnToken, Person, PersonList, Session, Sessions, SignedOut,
    TokenListed, TokenMade, Tokens, TokensRevoked,
};
pub use plan::{Approved, Plan, Ready, ReadySecret, Stated, Stepped};
pub use post_mortem::{PostMortem, Section};
pub use report::{Numbers, Reported, RunningClock, Spreads, Timed};
pub use task::Tasks;
pub(crate) use task::is_mine;
