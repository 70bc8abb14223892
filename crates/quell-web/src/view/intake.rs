//! What webhooks delivered.

use jiff::Timestamp;
use quell_app::intake::{self as app, DeliveryState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape;

/// A delivery, without what it says.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Delivery {
    /// `d-` and hex.
    pub id: String,
    /// The name under `intake` in the inventory.
    pub source: String,
    /// Whose format it is.
    pub kind: String,
    /// The sender's own id of it.
    pub delivery: String,
    /// What it is about in the sender's words.
    pub topic: String,
    /// Bytes of its body.
    pub size: u64,
    /// When it was accepted.
    pub received: Timestamp,
    /// How it stands.
    #[schemars(with = "shape::DeliveryState")]
    pub state: DeliveryState,
    /// How often it was begun.
    pub tries: u64,
    /// Not before.
    pub due: Timestamp,
    /// What became of it, or why the last try ended.
    pub note: String,
}

impl From<app::Delivery> for Delivery {
    fn from(known: app::Delivery) -> Self {
        let app::Delivery { id, source, kind, delivery, topic, size, received, state, tries, due, note } =
            known;
        Self { id, source, kind, delivery, topic, size, received, state, tries, due, note }
    }
}

/// A page of deliveries, newest first.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Deliveries {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One delivery.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Delivered {
    /// It.
    pub delivery: Delivery,
}
