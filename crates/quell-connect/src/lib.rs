//! Speaks to issuers, stores, consumers and channels.
//!
//! One folder per system; one line in [`ALL`] registers it. This crate never decides anything: it performs,
//! observes and probes, and reports [`quell_core::outcome::Outcome`]. It never retries by itself.

mod aws;
pub mod aws_iam;
pub mod aws_kms;
pub mod aws_secrets_manager;
mod azure;
pub mod azure_app_password;
pub mod azure_key_vault;
pub mod blob_key;
pub mod conformance;
pub mod connector;
pub mod consumer_sandbox;
pub mod context;
mod dotted;
mod dsn;
mod effect;
pub mod env_file;
pub mod error;
pub mod exec;
pub mod file;
mod fleet;
mod gcp;
pub mod gcp_secret_manager;
pub mod gcp_service_account_key;
pub mod git;
pub mod github;
pub mod github_actions;
pub mod github_actions_run;
mod gitlab;
pub mod gitlab_ci;
pub mod gitlab_ci_pipeline;
pub mod http;
pub mod http_hook;
pub mod jwks;
mod kept;
mod kubernetes;
pub mod kubernetes_rollout;
pub mod kubernetes_secret;
pub mod log;
mod login;
pub mod mariadb;
pub mod minisign;
pub mod oauth;
pub mod openbao;
pub mod pagerduty;
mod password;
pub mod person;
pub mod pkcs11;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod redis;
mod releases;
mod rest;
pub mod session_key;
mod shape;
pub mod slack;
pub mod smtp;
pub mod source;
pub mod ssh;
pub mod systemd;
pub mod tls;
pub mod trace;
pub mod webhook;
mod words;
mod wrapped;
mod x509;

/// Every system Quell can speak to, by id, in alphabetical order.
pub static ALL: &[&connector::Definition] = &[
    &aws_iam::CONNECTOR,
    &aws_kms::CONNECTOR,
    &aws_secrets_manager::CONNECTOR,
    &azure_app_password::CONNECTOR,
    &azure_key_vault::CONNECTOR,
    &blob_key::CONNECTOR,
    &env_file::CONNECTOR,
    &exec::CONNECTOR,
    &file::CONNECTOR,
    &gcp_secret_manager::CONNECTOR,
    &gcp_service_account_key::CONNECTOR,
    &git::CONNECTOR,
    &github_actions::CONNECTOR,
    &github_actions_run::CONNECTOR,
    &gitlab_ci::CONNECTOR,
    &gitlab_ci_pipeline::CONNECTOR,
    &http_hook::CONNECTOR,
    &jwks::CONNECTOR,
    &kubernetes_rollout::CONNECTOR,
    &kubernetes_secret::CONNECTOR,
    &log::CONNECTOR,
    &mariadb::CONNECTOR,
    &minisign::CONNECTOR,
    &oauth::CONNECTOR,
    &openbao::CONNECTOR,
    &pagerduty::CONNECTOR,
    &person::CONNECTOR,
    &pkcs11::CONNECTOR,
    &postgres::CONNECTOR,
    &process::CONNECTOR,
    &provider::CONNECTOR,
    &redis::CONNECTOR,
    &session_key::CONNECTOR,
    &slack::CONNECTOR,
    &smtp::CONNECTOR,
    &ssh::CONNECTOR,
    &systemd::CONNECTOR,
    &tls::CONNECTOR,
    &webhook::CONNECTOR,
];

/// Finds a definition by its id.
pub fn find(id: &str) -> Option<&'static connector::Definition> {
    ALL.iter().find(|definition| definition.id == id).copied()
}
