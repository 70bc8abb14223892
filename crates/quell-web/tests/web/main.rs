//! The server, in this process, on loopback: who may do what, and how people and programs are let in.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what a test does not expect ends it"
)]

mod deliveries;
mod findings;
mod form;
mod hooks;
mod limits;
mod notices;
mod oidc;
mod once;
mod outside;
mod patience;
mod people;
mod person;
mod planted;
mod post_mortem;
mod presence;
mod ready;
mod reload;
mod rights;
mod sign_in;
mod tasks;
mod timeline;
mod tls;
mod token;
mod uploads;
mod values;
mod verify;
mod world;
