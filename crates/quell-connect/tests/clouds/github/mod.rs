//! GitHub Actions: secrets and runs, on a model of the REST API.

mod run;
mod secret;
