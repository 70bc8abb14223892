//! Google Cloud, on models of its APIs.

mod key;
mod secret;
