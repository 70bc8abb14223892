//! GitHub: secrets and runs of Actions on a model of the REST API, and tokens (those of GitLab, too).

mod run;
mod secret;
mod token;
