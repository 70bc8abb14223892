//! `quell issue`: a short-lived credential from OpenBao's database engine.

use std::time::Duration;

use quell_core::event::{Event, INSTALLATION};
use quell_store::NewEntry;

pub use quell_connect::openbao::Issued;

use crate::clock::now;
use crate::{App, AppError};

/// Issues one and records that it was issued (never the password).
pub async fn issue(app: &App, mount: &str, role: &str, ttl: Duration) -> Result<Issued, AppError> {
    let issued = quell_connect::openbao::issue(&app.context, mount, role, ttl).await?;
    let event = Event::CredentialIssued {
        system: format!("openbao {mount}/creds/{role}"),
        principal: issued.username.clone(),
        lease: issued.lease_id.clone(),
        ttl_seconds: issued.lease_duration,
    };
    app.store.append_to_end(INSTALLATION, NewEntry::new(app.actor.clone(), event), now()).await?;
    Ok(issued)
}
