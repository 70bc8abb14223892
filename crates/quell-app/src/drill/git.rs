//! Writes a small git repository without the git program: loose objects (SHA-1, zlib) and one branch.
//! Format: git-scm.com, "Git Internals - Git Objects".

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

type Oid = [u8; 20];

/// A commit: its message, and the whole tree as (name, content).
pub(super) type Commit<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

/// A repository with one commit per tree, oldest first. A tree is a list of (name, content).
pub(super) fn write(folder: &Path, commits: &[Commit<'_>], at_seconds: i64) -> std::io::Result<()> {
    let git = folder.join(".git");
    std::fs::create_dir_all(git.join("objects"))?;
    std::fs::create_dir_all(git.join("refs/heads"))?;
    std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n")?;
    std::fs::write(git.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")?;
    let mut parent: Option<Oid> = None;
    for (at, (message, files)) in (at_seconds..).step_by(60).zip(commits) {
        let mut tree = Vec::new();
        let mut files = files.to_vec();
        files.sort_unstable_by_key(|(name, _)| *name);
        for (name, content) in files {
            let blob = object(&git, "blob", content)?;
            tree.extend_from_slice(format!("100644 {name}\0").as_bytes());
            tree.extend_from_slice(&blob);
        }
        let tree = object(&git, "tree", &tree)?;
        let parent_line = parent.map(|p| format!("parent {}\n", hex::encode(p))).unwrap_or_default();
        let who = format!("Drill <drill@example.com> {at} +0000");
        let commit =
            format!("tree {}\n{parent_line}author {who}\ncommitter {who}\n\n{message}\n", hex::encode(tree));
        parent = Some(object(&git, "commit", commit.as_bytes())?);
    }
    if let Some(head) = parent {
        std::fs::write(git.join("refs/heads/main"), format!("{}\n", hex::encode(head)))?;
    }
    Ok(())
}

fn object(git: &Path, kind: &str, body: &[u8]) -> std::io::Result<Oid> {
    let mut whole = format!("{kind} {}\0", body.len()).into_bytes();
    whole.extend_from_slice(body);
    let oid: Oid = Sha1::digest(&whole).into();
    let name = hex::encode(oid);
    let (head, tail) = name.split_at(2);
    let folder = git.join("objects").join(head);
    std::fs::create_dir_all(&folder)?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&whole)?;
    std::fs::write(folder.join(tail), encoder.finish()?)?;
    Ok(oid)
}
