//! Names by which gitleaks' users know rules, for configurations that are read without change.

/// A name of gitleaks' and the rules of ours that find the same.
struct Alias {
    theirs: &'static str,
    ours: &'static [&'static str],
    /// Whether ours find nothing else, so that to switch off theirs may switch off ours.
    same: bool,
}

const fn alias(theirs: &'static str, ours: &'static [&'static str], same: bool) -> Alias {
    Alias { theirs, ours, same }
}

/// Only names that gitleaks' own README or its users' configurations mention.
const ALIASES: &[Alias] = &[
    alias("aws-access-token", &["aws-access-key-id"], true),
    alias("generic-api-key", &["generic-token", "generic-password"], true),
    alias("gcp-api-key", &["google-api-key"], true),
    alias("github-app-token", &["github-token"], false),
    alias("github-fine-grained-pat", &["github-fine-grained-token"], true),
    alias("github-oauth", &["github-token"], false),
    alias("github-pat", &["github-token"], false),
    alias("github-refresh-token", &["github-token"], false),
    alias("gitlab-pat", &["gitlab-token"], false),
    alias("jwt", &["json-web-token"], true),
    alias("npm-access-token", &["npm-token"], true),
    alias("pypi-upload-token", &["pypi-token"], true),
];

/// Our rules for one of gitleaks' names, and whether they find nothing else.
pub(super) fn ours(theirs: &str) -> Option<(&'static [&'static str], bool)> {
    ALIASES.iter().find(|alias| alias.theirs == theirs).map(|alias| (alias.ours, alias.same))
}
