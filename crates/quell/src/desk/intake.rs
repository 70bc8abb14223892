//! What webhooks delivered.

use quell_app::intake::{self, Deliveries};
use quell_app::{App, AppError};
use quell_web::view;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::{Desk, Remote, missing, segment};

/// Deliveries on a page of a server.
const PAGE: usize = 200;

impl Desk {
    /// Deliveries, newest first.
    pub(crate) async fn deliveries(
        &self,
        which: Deliveries,
        most: u32,
    ) -> Result<view::Deliveries, AppError> {
        let deliveries = match self {
            Self::Here(app) => local(app, which, most).await?,
            Self::There(remote) => pages(remote, which, usize::try_from(most).unwrap_or(usize::MAX)).await?,
        };
        Ok(view::Deliveries { deliveries, next: None })
    }

    /// One delivery.
    pub(crate) async fn delivery(&self, id: &str) -> Result<view::Delivered, AppError> {
        match self {
            Self::Here(app) => Ok(view::Delivered { delivery: intake::show(app, id).await?.into() }),
            Self::There(remote) => {
                let told = remote.get(&format!("/intake/{}", segment(id)?)).await;
                told.map_err(|error| missing(error, "delivery", id))?.json()
            }
        }
    }

    /// Has one tried now.
    pub(crate) async fn retry_delivery(&self, id: &str) -> Result<view::Delivered, AppError> {
        match self {
            Self::Here(app) => Ok(view::Delivered { delivery: intake::retry(app, id).await?.into() }),
            Self::There(remote) => {
                let told = remote.post(&format!("/intake/{}/retry", segment(id)?), &json!({})).await;
                told.map_err(|error| missing(error, "delivery", id))?.json()
            }
        }
    }
}

async fn local(app: &App, which: Deliveries, most: u32) -> Result<Vec<view::Delivery>, AppError> {
    let known = intake::list(app, which, None, most).await?;
    Ok(known.into_iter().map(view::Delivery::from).collect())
}

/// Page after page, until there are as many as are wanted.
async fn pages(remote: &Remote, which: Deliveries, most: usize) -> Result<Vec<view::Delivery>, AppError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    while all.len() < most {
        let limit = (most - all.len()).min(PAGE).to_string();
        let query = Serializer::new(String::new())
            .append_pair("limit", &limit)
            .append_pair("open", if which == Deliveries::Open { "true" } else { "false" })
            .extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)))
            .finish();
        let page: view::Deliveries = remote.get(&format!("/intake?{query}")).await?.json()?;
        all.extend(page.deliveries);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(all)
}
