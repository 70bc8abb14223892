//! What a repository shows, and to whom: recorded before anybody takes anything away.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Repository;
use crate::error::{ConnectError, ConnectErrorKind};

/// Refs that are listed; those that hold the leak are named by the scan.
const REFS: usize = 500;

pub(super) async fn see(repository: &Repository, folder: &Path) -> Result<Value, ConnectError> {
    let format = "--format=%(refname) %(objectname) %(creatordate:iso-strict)";
    let count = format!("--count={}", REFS + 1);
    let listed = repository.git(folder, &["for-each-ref", &count, "--sort=-creatordate", format]).await?;
    let refs: Vec<Value> = listed.lines().take(REFS).map(reference).collect();
    let metadata = std::fs::metadata(folder).map_err(|error| {
        repository.error(ConnectErrorKind::Denied, format!("{}: {error}", folder.display()))
    })?;
    Ok(json!({
        "repository": folder.display().to_string(),
        "refs": refs,
        "more_refs": listed.lines().count() > REFS,
        "remotes": remotes(repository, folder).await?,
        // Objects that others borrow, or that are borrowed from others, stay there whatever happens here.
        "alternates": std::fs::read_to_string(folder.join("objects/info/alternates"))
            .map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .unwrap_or_default(),
        "audience": {
            "owner_uid": metadata.uid(),
            "group_gid": metadata.gid(),
            "mode": format!("{:04o}", metadata.mode() & 0o7777),
            "readable_by_every_account": metadata.mode() & 0o005 == 0o005,
            "served_by_git_daemon": folder.join("git-daemon-export-ok").exists(),
        },
    }))
}

fn reference(line: &str) -> Value {
    let mut parts = line.splitn(3, ' ');
    let mut next = || parts.next().unwrap_or_default();
    json!({"name": next(), "object": next(), "created": next()})
}

/// Where it was pushed to or fetched from: each may have a copy. What stands before an `@`, or after a `?` or `#`, may be a password.
async fn remotes(repository: &Repository, folder: &Path) -> Result<Vec<Value>, ConnectError> {
    let (code, said) =
        repository.end(folder, &["config", "--get-regexp", r"^remote\..*\.(push)?url$"]).await?;
    if !matches!(code, Some(0 | 1)) {
        return Err(repository.error(ConnectErrorKind::Denied, "its settings cannot be read".to_owned()));
    }
    let remote = |line: &str| {
        let (name, url) = line.split_once(' ')?;
        let bare = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        let bare = bare.split(['?', '#']).next().unwrap_or_default();
        Some(json!({"name": name, "place": bare}))
    };
    Ok(said.lines().filter_map(remote).collect())
}
