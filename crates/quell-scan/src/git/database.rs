//! All objects of a repository: its own and those of its alternates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::cache::{Cache, Object};
use super::inflate::Inflater;
use super::pack::Pack;
use super::repository::{bytes, text};
use super::{MAX_IN_MEMORY, ObjectFormat, Oid, Repository, Trouble, loose};
use crate::finding::name_text;
use crate::{Report, ScanError};

/// Alternates of alternates are followed this far, as git does.
const MAX_ALTERNATES: usize = 5;

/// Everything that can be read.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) packs: Vec<Pack>,
    /// Loose objects with the file that holds each. Empty when they are not listed but looked up.
    pub(super) loose: Vec<(Oid, PathBuf)>,
    pub(super) cache: Cache,
    pub(super) state: Inflater,
    pub(super) format: ObjectFormat,
    /// Some objects may be on a server only: <https://git-scm.com/docs/partial-clone>.
    pub(super) promisor: bool,
    folders: Vec<PathBuf>,
    /// False where single objects are looked up: then packs are opened when one of them needs them.
    listed: bool,
    packs_opened: bool,
    /// Git may have moved objects into a new pack while this runs; the folders are listed a second time, once.
    looked_again: bool,
}

impl Database {
    /// Lists all objects.
    pub(super) fn open(repository: &Repository, report: &mut Report) -> Result<Self, ScanError> {
        let mut database = Self::of_folders(repository, &[], report)?;
        database.listed = true;
        database.list(report)?;
        if !shallow(repository)?.is_empty() {
            report.skip(
                "history",
                "this is a shallow clone: older commits are not here; fetch with `--unshallow`",
            );
        }
        Ok(database)
    }

    /// For a few objects: nothing is listed, and packs are opened only when an object is not loose.
    pub(super) fn look_up(
        repository: &Repository,
        more_folders: &[PathBuf],
        report: &mut Report,
    ) -> Result<Self, ScanError> {
        Self::of_folders(repository, more_folders, report)
    }

    fn of_folders(
        repository: &Repository,
        more_folders: &[PathBuf],
        report: &mut Report,
    ) -> Result<Self, ScanError> {
        let mut folders = vec![repository.common_dir.join("objects")];
        folders.extend(more_folders.iter().cloned());
        Ok(Self {
            packs: Vec::new(),
            loose: Vec::new(),
            cache: Cache::default(),
            state: Inflater::new(),
            format: repository.format,
            promisor: false,
            folders: object_folders(folders, report)?,
            listed: false,
            packs_opened: false,
            looked_again: false,
        })
    }

    /// An object, or `None` when the repository does not have it.
    pub(super) fn read(&mut self, oid: Oid) -> Result<Option<Object>, Trouble> {
        let mut first_trouble = None;
        loop {
            match self.read_listed(oid) {
                Ok(Some(object)) => return Ok(Some(object)),
                Ok(None) => {}
                Err(trouble) => first_trouble = first_trouble.or(Some(trouble)),
            }
            if self.looked_again {
                return first_trouble.map_or(Ok(None), Err);
            }
            self.look_again();
        }
    }

    /// Whether the object is named; it may be broken all the same.
    pub(super) fn has(&mut self, oid: Oid) -> bool {
        self.open_packs(&mut Report::default());
        self.loose.binary_search_by(|(name, _)| name.cmp(&oid)).is_ok()
            || self.packs.iter().any(|pack| pack.index.find(oid).is_some())
            || (!self.listed && self.folders.iter().any(|folder| loose::path(folder, oid).exists()))
    }

    /// What to do about an object that is not here, to be put behind a sentence.
    pub(super) fn advice(&self) -> &'static str {
        if self.promisor { "; `git fetch --refetch --no-filter` gets it" } else { "" }
    }

    /// Where an object lies, for comparison with a later listing.
    pub(super) fn place(&self, oid: Oid) -> (bool, Vec<&[u8]>) {
        let loose = self.loose.binary_search_by(|(name, _)| name.cmp(&oid)).is_ok();
        let packs = self.packs.iter().filter(|pack| pack.index.find(oid).is_some());
        (loose, packs.map(|pack| pack.index.pack_checksum.as_slice()).collect())
    }

    /// Ids that begin with these lower-case hex digits.
    pub(super) fn beginning_with(&mut self, digits: &str) -> Vec<Oid> {
        self.open_packs(&mut Report::default());
        let fits = |oid: &Oid| oid.to_string().starts_with(digits);
        let mut found: BTreeSet<Oid> = BTreeSet::new();
        for folder in &self.folders {
            let Some(fan) = digits.get(..2) else { continue };
            found.extend(loose_in(folder, fan).into_iter().flatten().map(|(oid, _)| oid).filter(fits));
        }
        let bounds = |fill: &str| {
            let filled: String =
                digits.chars().chain(fill.chars().cycle()).take(self.format.length() * 2).collect();
            Oid::from_hex(&filled)
        };
        if let (Some(low), Some(high)) = (bounds("0"), bounds("f")) {
            let within = |oid: &Oid| *oid >= low && *oid <= high;
            for pack in &self.packs {
                found.extend(pack.index.names().filter(within));
            }
        }
        found.into_iter().collect()
    }

    fn read_listed(&mut self, oid: Oid) -> Result<Option<Object>, Trouble> {
        let mut trouble = None;
        for file in self.loose_files(oid) {
            match read_loose(&file) {
                Ok(object) => return Ok(Some(object)),
                Err(Trouble::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(other) => trouble = Some(other),
            }
        }
        self.open_packs(&mut Report::default());
        for (number, pack) in self.packs.iter().enumerate() {
            if let Some(offset) = pack.index.find(oid) {
                match pack.read(number, offset, &mut self.cache, &mut self.state) {
                    Ok(object) => return Ok(Some(object)),
                    Err(other) => trouble = trouble.or(Some(other)),
                }
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    fn loose_files(&self, oid: Oid) -> Vec<PathBuf> {
        if !self.listed {
            return self.folders.iter().map(|folder| loose::path(folder, oid)).collect();
        }
        let at = self.loose.binary_search_by(|(name, _)| name.cmp(&oid)).ok();
        at.and_then(|at| self.loose.get(at)).map(|(_, file)| file.clone()).into_iter().collect()
    }

    /// Lists the folders anew. What cannot be listed now was told the first time.
    fn look_again(&mut self) {
        self.looked_again = true;
        self.packs.clear();
        self.cache = Cache::default();
        self.packs_opened = false;
        let mut quiet = Report::default();
        if self.listed {
            self.loose.clear();
            drop(self.list(&mut quiet));
        }
    }

    fn list(&mut self, report: &mut Report) -> Result<(), ScanError> {
        for folder in &self.folders {
            self.loose.extend(list_loose(folder, report)?);
        }
        self.loose.sort();
        self.loose.dedup_by_key(|(oid, _)| *oid);
        self.open_packs(report);
        Ok(())
    }

    fn open_packs(&mut self, report: &mut Report) {
        if std::mem::replace(&mut self.packs_opened, true) {
            return;
        }
        for folder in self.folders.clone() {
            let mut trouble = Report::default();
            let before = self.packs.len();
            if self.open_packs_of(&folder, &mut trouble) {
                // A pack was gone before it was opened: git has put its objects into a new one.
                trouble = Report::default();
                self.packs.truncate(before);
                self.open_packs_of(&folder, &mut trouble);
            }
            for part in trouble.incomplete {
                report.skip(part.what, part.why);
            }
        }
    }

    /// True when a pack vanished meanwhile.
    fn open_packs_of(&mut self, objects: &Path, report: &mut Report) -> bool {
        let folder = objects.join("pack");
        let mut names: BTreeSet<PathBuf> = BTreeSet::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    report.skip("objects/pack", error.to_string());
                }
                return false;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => drop(names.insert(entry.path())),
                Err(error) => report.skip("objects/pack", error.to_string()),
            }
        }
        let mut vanished = false;
        let has_extension = |path: &Path, wanted: &str| path.extension().is_some_and(|found| found == wanted);
        for path in &names {
            let label = path.file_name().map(|name| name_text(name.as_encoded_bytes())).unwrap_or_default();
            if has_extension(path, "pack") && !names.contains(&path.with_extension("idx")) {
                report.skip(label, "the pack has no index; `git index-pack` makes one");
            } else if has_extension(path, "promisor") {
                self.promisor = true;
            } else if has_extension(path, "idx") {
                match Pack::open(path, self.format) {
                    Ok(pack) => self.packs.push(pack),
                    Err(trouble) => {
                        vanished |= matches!(&trouble, Trouble::Io(error) if error.kind() == std::io::ErrorKind::NotFound);
                        report.skip(label, trouble.to_string());
                    }
                }
            }
        }
        vanished
    }
}

fn read_loose(file: &Path) -> Result<Object, Trouble> {
    let opened = loose::open(file)?;
    Ok(Object { kind: opened.kind, data: opened.read(MAX_IN_MEMORY)?.into() })
}

/// Commits whose parents were cut off: <https://git-scm.com/docs/shallow>.
pub(super) fn shallow(repository: &Repository) -> Result<BTreeSet<Oid>, ScanError> {
    let list = text(&repository.common_dir.join("shallow"))?.unwrap_or_default();
    Ok(list.lines().filter_map(|line| Oid::from_hex(line.trim())).collect())
}

fn list_loose(objects: &Path, report: &mut Report) -> Result<Vec<(Oid, PathBuf)>, ScanError> {
    let failed = |error| ScanError::read(objects, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(objects).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.len() != 2 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        match loose_in(objects, &name) {
            Ok(objects) => found.extend(objects),
            // Empty folders are removed by `git gc`.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => report.skip(format!("objects/{name}"), error.to_string()),
        }
    }
    Ok(found)
}

/// The loose objects in one of the 256 folders.
fn loose_in(objects: &Path, fan: &str) -> std::io::Result<Vec<(Oid, PathBuf)>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(objects.join(fan))? {
        // Anything else here is a file that git was about to rename.
        if let Some(oid) = Oid::from_hex(&format!("{fan}{}", file?.file_name().to_string_lossy())) {
            found.push((oid, loose::path(objects, oid)));
        }
    }
    Ok(found)
}

/// The repository's own object folders and their alternates, each once: <https://git-scm.com/docs/gitrepository-layout>.
fn object_folders(own: Vec<PathBuf>, report: &mut Report) -> Result<Vec<PathBuf>, ScanError> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut seen = BTreeSet::new();
    let mut folders = Vec::new();
    let mut level = own;
    for depth in 0..=MAX_ALTERNATES {
        let mut next = Vec::new();
        for folder in std::mem::take(&mut level) {
            let shown = || name_text(folder.as_os_str().as_bytes());
            let Ok(real) = folder.canonicalize() else {
                report.skip(
                    shown(),
                    "this alternate object folder does not exist; restore it, or `git repack -a` where it is",
                );
                continue;
            };
            if !seen.insert(real) {
                continue;
            }
            if depth == MAX_ALTERNATES {
                report.skip(shown(), "alternates are nested more than five deep");
                continue;
            }
            let lines = bytes(&folder.join("info/alternates"))?.unwrap_or_default();
            for line in
                lines.split(|byte| *byte == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#')))
            {
                next.push(folder.join(std::ffi::OsStr::from_bytes(line)));
            }
            folders.push(folder);
        }
        level = next;
    }
    Ok(folders)
}
