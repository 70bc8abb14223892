//! What the connectors of GitLab share: who they speak to, with whose token, and what its answers mean.
//!
//! Source: GitLab REST API v4 (18.x): "Project-level CI/CD variables API", "Group-level variables API", "Pipelines API", "REST API" (pages, rate
//! limits), read 2026-11; words of refusals from GitLab's own source (`lib/api/ci/variables.rb`, `lib/gitlab/auth/auth_finders.rb`).

mod api;

pub(crate) use api::{GitLab, access_schema};
