//! What the connectors of Kubernetes share: who they speak to, with whose token, and what its answers mean.
//!
//! Source: Kubernetes API reference 1.34 and "API concepts" (`resourceVersion`, chunks, `Status`), read 2026-11.

mod access;

pub(crate) use access::{Access, Cluster, Right, access_schema, is_name, list, text};
