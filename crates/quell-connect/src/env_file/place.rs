//! The file itself: read whole, replaced atomically.

use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Nobody has a larger one; a device that never ends must not fill the memory.
const LARGEST: u64 = 1 << 20;

/// What went wrong, in words without content.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A human must change something.
    Refused(String),
    /// Another try may work.
    Busy(String),
    /// The rename happened; whether it survives a power cut is not known.
    Unsure(String),
}

/// Where the bytes are: the target of a link, if the path is one.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) name: String,
}

/// The file as it was at one moment.
pub(super) struct Content {
    pub(super) text: Zeroizing<String>,
    pub(super) version: String,
    metadata: Metadata,
}

/// How often, and how long apart, a locked folder is tried: five seconds in all, within the limit of one call.
const LOCK_TRIES: u32 = 1_000;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

impl Place {
    /// Follows links. A file that does not exist yet is fine, its folder must exist.
    pub(super) fn find(path: &Path) -> Result<Self, Trouble> {
        let link = fs::symlink_metadata(path).is_ok();
        let file = match fs::canonicalize(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && link => {
                return Err(Trouble::Refused("it is a link to a place that does not exist".to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let folder = fs::canonicalize(folder).map_err(|error| words("its folder", &error))?;
                folder.join(path.file_name().unwrap_or_default())
            }
            Err(error) => return Err(words("the path", &error)),
        };
        let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Trouble::Refused("its name is not text".to_owned()))?.to_owned();
        Ok(Self { file, folder, name })
    }

    /// The whole file; `None` when there is none.
    pub(super) fn read(&self) -> Result<Option<Content>, Trouble> {
        match fs::metadata(&self.file) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(Trouble::Refused("it is not a regular file".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(words("looking at it", &error)),
        }
        let file = File::open(&self.file).map_err(|error| words("opening it", &error))?;
        let metadata = file.metadata().map_err(|error| words("looking at it", &error))?;
        let bytes = read_all(file).map_err(|error| words("reading it", &error))?;
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(Trouble::Refused("it is not UTF-8 text".to_owned()));
        };
        let text = Zeroizing::new(text.to_owned());
        Ok(Some(Content { text, version: version(&metadata), metadata }))
    }

    /// The file that a write makes first; one that is there before is the rest of a crash.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.join(format!(".{}.quell-new", self.name))
    }

    /// Keeps other Quell processes out of this folder until dropped. `None` on file systems without such locks.
    pub(super) fn lock(&self) -> Result<Option<File>, Trouble> {
        let folder = File::open(&self.folder).map_err(|error| words("opening its folder", &error))?;
        for _ in 0..LOCK_TRIES {
            match folder.try_lock() {
                Ok(()) => return Ok(Some(folder)),
                // A writer holds it for milliseconds; a hundred files in one folder are written one after another.
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
        Err(Trouble::Busy("another writer kept this folder locked".to_owned()))
    }

    /// Puts `text` in the place of `before`; gives the new version. `mode` is for a new file. Needs the lock.
    pub(super) fn replace(&self, before: Option<&Content>, text: &str, mode: u32) -> Result<String, Trouble> {
        let temporary = self.temporary();
        remove(&temporary).map_err(|error| words("removing the rest of an earlier write", &error))?;
        let written = Self::prepare(&temporary, before, text, mode).and_then(|version| {
            let now = self.read()?.map(|content| content.version);
            if now.as_ref() != before.map(|content| &content.version) {
                return Err(Trouble::Busy("somebody changed it meanwhile".to_owned()));
            }
            fs::rename(&temporary, &self.file)
                .map_err(|error| words("putting the new file in place", &error))?;
            Ok(version)
        });
        if written.is_err() {
            // It holds the new value; the next write would remove it too.
            remove(&temporary).ok();
        }
        let version = written?;
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Trouble::Unsure(format!("flushing its folder: {}", error.kind())))?;
        Ok(version)
    }

    fn prepare(temporary: &Path, before: Option<&Content>, text: &str, mode: u32) -> Result<String, Trouble> {
        let failed = |error: io::Error| words("writing the new file", &error);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        let made = file.metadata().map_err(failed)?;
        if let Some(before) = before {
            let (user, group) = (before.metadata.uid(), before.metadata.gid());
            if (made.uid(), made.gid()) != (user, group) {
                let keep = |error: io::Error| {
                    words(&format!("keeping its owner {user}:{group} (run as root, or as its owner)"), &error)
                };
                fchown(&file, Some(user), Some(group)).map_err(keep)?;
            }
        }
        // After the owner: chown clears set-id bits.
        let mode = before.map_or(mode, |before| before.metadata.mode() & 0o7777);
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(version(&file.metadata().map_err(failed)?))
    }
}

/// Says nothing about the value: a time, a size and a number of the file system.
fn version(metadata: &Metadata) -> String {
    format!("{}.{:09}-{}-{}", metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino())
}

/// Reads at most [`LARGEST`] bytes.
pub(super) fn read_all(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let size = file.metadata()?.len();
    if size > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes a file; none is fine.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a file system's refusal means.
pub(super) fn words(doing: &str, error: &io::Error) -> Trouble {
    let text = format!("{doing}: {}", error.kind());
    let passing = matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::StaleNetworkFileHandle
    );
    if passing { Trouble::Busy(text) } else { Trouble::Refused(text) }
}
