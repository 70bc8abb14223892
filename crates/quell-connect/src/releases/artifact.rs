//! What is signed: files, as a manifest lists them, each with its signature beside it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use blake2::{Blake2b512, Digest as _};

/// A line of the manifest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Artifact {
    /// As the manifest calls it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The manifest's folder, which it must not leave.
    folder: PathBuf,
    /// What it must be.
    sha256: String,
}

/// What signatures are of.
#[derive(Clone, Debug)]
pub(crate) struct Hashes {
    pub(crate) blake2b: Vec<u8>,
    pub(crate) sha256: Digest,
}

/// A file, read once.
pub(super) struct Read {
    pub(super) hashes: Hashes,
    /// It is what the manifest says.
    pub(super) as_listed: bool,
}

impl Hashes {
    /// Of bytes that are at hand.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let sha256 = aws_lc_rs::digest::digest(&SHA256, bytes);
        Self { blake2b: Blake2b512::digest(bytes).to_vec(), sha256 }
    }

    /// Of a file. `stop`: whether nobody waits for it any more.
    pub(super) fn read(path: &Path, stop: &AtomicBool) -> std::io::Result<Self> {
        let mut file = open(path)?;
        let (mut blake, mut sha) = (Blake2b512::new(), Context::new(&SHA256));
        let mut part = vec![0_u8; 1 << 16];
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            let count = file.read(&mut part)?;
            let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else { break };
            blake.update(read);
            sha.update(read);
        }
        Ok(Self { blake2b: blake.finalize().to_vec(), sha256: sha.finish() })
    }
}

/// Opens a regular file. A pipe would have it wait for a writer for ever.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is not a regular file")) }
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
            folder: folder.to_path_buf(),
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
    pub(super) fn signature_path(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    /// A link would have something else overwritten: beside what is current, or in a folder elsewhere.
    pub(super) fn stays(&self, suffix: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: its folder: {error}", self.name);
        let own = std::fs::canonicalize(self.path.parent().unwrap_or(&self.folder)).map_err(failed)?;
        if !own.starts_with(std::fs::canonicalize(&self.folder).map_err(failed)?) {
            return Err(format!(
                "{}: its folder is a link that leads out of the manifest's folder",
                self.name
            ));
        }
        match std::fs::symlink_metadata(self.signature_path(suffix)) {
            Ok(it) if !it.is_file() => Err(format!(
                "{}: its signature, {}.{suffix}, is no regular file but a link or a device, and whoever put it there chose what would be overwritten: remove it",
                self.name, self.name
            )),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads it, once for both hashes.
    pub(super) fn read(&self, suffix: &str) -> Result<Read, String> {
        self.stays(suffix)?;
        let hashes = Hashes::read(&self.path, &AtomicBool::new(false))
            .map_err(|error| format!("{}: {error}", self.name))?;
        let as_listed = hex::encode(hashes.sha256.as_ref()) == self.sha256;
        Ok(Read { hashes, as_listed })
    }
}

/// No signature is longer: 8 KiB of a comment, and three short lines.
const SIGNATURE_MAX: u64 = 16 << 10;

/// What stands in the file of a signature.
pub(super) fn signature_in(path: &Path) -> Option<String> {
    let file = open(path).ok()?;
    let mut text = String::new();
    file.take(SIGNATURE_MAX).read_to_string(&mut text).ok()?;
    Some(text)
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
        assert_eq!(found.first().unwrap().signature_path("minisig"), Path::new("/r/one.tar.minisig"));
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
