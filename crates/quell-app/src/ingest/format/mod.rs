//! One file per format. Each says where its format is published, or which version's output it was written from.

pub(super) mod betterleaks;
pub(super) mod detect_secrets;
pub(crate) mod gitguardian;
pub(crate) mod github;
pub(super) mod gitlab;
pub(super) mod gitleaks;
pub(super) mod kingfisher;
pub(super) mod sarif;
pub(super) mod trufflehog;
