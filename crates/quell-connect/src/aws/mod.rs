//! What the connectors of AWS share: access keys as people keep them, signed requests, and what the answers mean.
//!
//! Requests are signed by AWS's own `aws-sigv4` and sent by the one HTTP client; no service's SDK is needed for a dozen calls.

mod cloud;
mod keys;
mod xml;

pub(crate) use cloud::{Cloud, Refusal, Service, cloud_properties};
pub(crate) use keys::{Keys, Layout};
pub(crate) use xml::Node;
