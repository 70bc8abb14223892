//! GitLab CI: variables and pipelines, on a model of the REST API.

mod pipeline;
mod variable;
