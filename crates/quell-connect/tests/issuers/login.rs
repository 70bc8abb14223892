//! An issuer whose administrator's login is in the variable `ADMIN`, and what it says of others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{Definition, Issuer};
use quell_connect::context::Context;
use quell_core::outcome::Probe;
use serde_json::Value;

/// The issuer, which waits for an answer as long as `limit`.
pub(crate) fn built(connector: &Definition, admin: &str, config: &Value, limit: Duration) -> Box<dyn Issuer> {
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut context = Context::new(Path::new("/nonexistent").to_owned(), http);
    context.call_limit = limit;
    context.environment = Arc::new(BTreeMap::from([("ADMIN".to_owned(), admin.to_owned())]));
    connector.issuer.unwrap()(config, &context).unwrap()
}

pub(crate) fn is_accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

/// Refused with this code.
pub(crate) fn is_refused_by(probe: &Probe, refusal: &str) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == refusal)
}
