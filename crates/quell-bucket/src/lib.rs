//! Logs that lie in buckets: Amazon S3, Google Cloud Storage, Azure Blob Storage, and what speaks as they do.
//!
//! The stores themselves are spoken to by the crate `object_store`; this one decides what is listed ([`list`]), fetches ahead of the
//! hunt's workers ([`bucket`]), counts requests ([`count`]) and says what they cost ([`cost`]). Decision 0010 tells why it is
//! a crate of its own.

pub mod address;
pub mod bucket;
pub mod cost;
pub mod count;
pub mod list;
