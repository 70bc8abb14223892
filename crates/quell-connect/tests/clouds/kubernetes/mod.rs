//! Kubernetes: Secrets and rollouts, on a model of the API server.

mod rollout;
mod secret;
