//! "I leaked something": what anybody who can sign in may say, and what came of it. And how fast leaks end here.

use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::measure;
use quell_app::tell::{self, Told as Report};
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view::{self, shape};

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::post("/api/v1/report", Role::Reporter, "report_leak", || post(report))
        .says("Say that something leaked; a value is fingerprinted and kept nowhere")
        .body(of::<Leaked>)
        .json(of::<view::Reported>)
        .created(),
    Operation::get("/api/v1/numbers", Role::Viewer, "numbers", || get(numbers))
        .says("Times to first response, to contain and to proof; clocks that run or were missed")
        .json(of::<view::Numbers>),
];

/// What happened.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Leaked {
    /// What happened, in your words; never the value.
    what: String,
    /// Where it can be seen.
    #[serde(default)]
    place: String,
    /// What kind of place that is.
    #[schemars(with = "Option<shape::Channel>")]
    channel: Option<String>,
    /// Which secret, if you know.
    secret: Option<String>,
    /// The value itself: only its fingerprint is kept.
    value: Option<String>,
}

async fn report(caller: Caller, Asked(asked): Asked<Leaked>) -> Result<Told<view::Reported>, Problem> {
    let report = Report {
        what: asked.what,
        place: asked.place,
        channel: asked.channel.as_deref().map(word).transpose()?,
        secret: asked.secret.as_deref().map(word).transpose()?,
        value: asked.value.map(SecretValue::from_text),
    };
    let incident = tell::tell(&caller.app, report).await?;
    let told = view::Reported::of(&incident);
    // Whose value it is tells those who may only report that a guess was right.
    let told = if caller.may(Role::Viewer) { told } else { told.without_match() };
    Ok(Told::new(told).created())
}

async fn numbers(caller: Caller) -> Result<Told<view::Numbers>, Problem> {
    Ok(Told::new(view::Numbers::of(&measure::all(&caller.app, now()).await?)))
}
