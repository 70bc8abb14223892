//! What is signed: files, as a manifest lists them, each with its signature beside it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use blake2::{Blake2b512, Digest as _};
use sha2::Sha256;

use super::key::{Public, Signature};

/// A line of the manifest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Artifact {
    /// As the manifest calls it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// What it must be.
    sha256: String,
}

/// A file, read once.
pub(super) struct Read {
    /// What a signature is of.
    pub(super) hash: Vec<u8>,
    /// It is what the manifest says.
    pub(super) as_listed: bool,
}

/// More lines are no manifest of artifacts that are current.
const LINES_MAX: usize = 10_000;

/// Reads a manifest as `sha256sum` writes it, whose paths are relative to its folder.
pub(super) fn manifest(text: &str, folder: &Path) -> Result<Vec<Artifact>, String> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut artifacts = Vec::new();
    for (at, line) in lines {
        let bad = |why: &str| format!("line {} of the manifest: {why}", at + 1);
        let (sha256, name) =
            line.split_once(' ').ok_or_else(|| bad("it is not HASH  PATH, as sha256sum writes it"))?;
        let name = name.strip_prefix([' ', '*']).unwrap_or(name);
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad("it does not begin with a SHA-256, as sha256sum writes it"));
        }
        let inside =
            Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || !inside || name.contains('\0') {
            return Err(bad("its path leads out of the manifest's folder"));
        }
        artifacts.push(Artifact {
            name: name.to_owned(),
            path: folder.join(name),
            sha256: sha256.to_ascii_lowercase(),
        });
    }
    if artifacts.len() > LINES_MAX {
        return Err(format!("the manifest has more than {LINES_MAX} artifacts"));
    }
    Ok(artifacts)
}

impl Artifact {
    /// Where its signature is.
    pub(super) fn signature_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".minisig");
        name.into()
    }

    /// Reads it, once for both hashes.
    pub(super) fn read(&self) -> Result<Read, String> {
        let failed = |error: std::io::Error| format!("{}: {}", self.name, error.kind());
        let mut file = File::open(&self.path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("{}: it is not a regular file", self.name));
        }
        let (mut blake, mut sha) = (Blake2b512::new(), Sha256::new());
        let mut part = vec![0_u8; 1 << 16];
        loop {
            let count = file.read(&mut part).map_err(failed)?;
            let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else { break };
            blake.update(read);
            sha.update(read);
        }
        Ok(Read { hash: blake.finalize().to_vec(), as_listed: hex::encode(sha.finalize()) == self.sha256 })
    }

    /// Its signature, if there is one that can be read.
    pub(super) fn signature(&self) -> Option<Signature> {
        signature_in(&self.signature_path())
    }

    /// Whether its signature is a good one by this key.
    pub(super) fn is_signed_by(&self, key: &Public, read: &Read) -> bool {
        self.signature().is_some_and(|it| it.hashed && key.verify(&it, &read.hash).is_ok())
    }
}

/// No signature is longer: 8 KiB of a comment, and three short lines.
const SIGNATURE_MAX: u64 = 16 << 10;

pub(super) fn signature_in(path: &Path) -> Option<Signature> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|it| it.is_file()))?;
    let mut text = String::new();
    file.take(SIGNATURE_MAX).read_to_string(&mut text).ok()?;
    Signature::read(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_what_sha256sum_writes() {
        let hash = "a".repeat(64);
        let text =
            format!("# current\n{hash}  one.tar\n\n{hash} *sub/two.tar\n{}  ./three\n", hash.to_uppercase());
        let found = manifest(&text, Path::new("/r")).unwrap();
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["one.tar", "sub/two.tar", "./three"]);
        assert_eq!(found.first().unwrap().signature_path(), Path::new("/r/one.tar.minisig"));
        assert!(found.iter().all(|it| it.sha256 == hash));
        for (line, why) in [
            ("one.tar".to_owned(), "HASH  PATH"),
            ("abc  one.tar".to_owned(), "SHA-256"),
            (format!("{hash}  ../one.tar"), "leads out"),
            (format!("{hash}  /etc/passwd"), "leads out"),
            (format!("{hash}  "), "leads out"),
        ] {
            assert!(manifest(&line, Path::new("/r")).unwrap_err().contains(why), "{line}");
        }
    }
}
