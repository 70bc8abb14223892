//! What a hook asks: may this commit, this push go through?
//!
//! Nothing is written, and no installation is opened. Rules never come from the repository that is looked at; what it brings
//! can only accept single values, each with a reason: a comment on the line, and on the author's machine [`BASELINE`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use quell_core::gate::is_env_file;
use quell_core::secret::FingerprintKey;
use quell_scan::{Known, Received, Report, RuleSet, ScanError, Scanner, Staged, Update};

use super::Hook;
use super::git::{Git, printable};
use crate::scan::{self, Baseline};
use crate::{AppError, files};

/// More lines than any push has, in bytes.
pub const MAX_LINES: u64 = 64 << 20;

/// The baseline file that hooks of a clone read, at the top of the work tree (`quell scan --write-baseline`).
pub const BASELINE: &str = ".quell-baseline";

/// What git tells a hook in its environment, and where it runs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The current folder.
    pub folder: PathBuf,
    /// `GIT_DIR`.
    pub git_dir: Option<OsString>,
    /// `GIT_INDEX_FILE`: another index than the repository's, for `git commit FILE`.
    pub index_file: Option<OsString>,
    /// `GIT_OBJECT_DIRECTORY`: the quarantine of a push.
    pub objects: Option<OsString>,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
    pub alternates: Option<OsString>,
}

/// The answer.
#[derive(Debug)]
pub struct Ran {
    /// What the scan found, and what it could not read.
    pub report: Report,
    /// How many findings the baseline accepts.
    pub accepted: usize,
    /// `.env` files that the commit adds.
    pub added: Vec<String>,
    /// `.env` files that were tracked before: known, and not a reason to stop this commit.
    pub tracked: Vec<String>,
}

/// Looks at what is staged.
pub fn pre_commit(around: &Surroundings, rules: &RuleSet) -> Result<Ran, AppError> {
    let repository = locate(around)?;
    let index_file = around.index_file.as_ref().map(|path| around.folder.join(path));
    let staged = Staged { index_file };
    let baseline = baseline(&around.folder)?;
    let (report, accepted) =
        checked(rules, baseline.as_ref(), |scanner| scanner.staged(&repository, &staged, &mut |_| {}))?;
    let (added, tracked) = env_files(&around.folder)?;
    Ok(Ran { report, accepted, added, tracked })
}

/// `.env` files in the index: those that `HEAD` does not have, and the others.
fn env_files(folder: &Path) -> Result<(Vec<String>, Vec<String>), AppError> {
    let git = Git::in_hook(folder);
    let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
    let listed = git.names(&["ls-files", "-z", "--full-name", "--", ":(top,icase,glob)**/.env*"])?;
    let listed: Vec<String> = listed.into_iter().map(text).filter(|path| is_env_file(path)).collect();
    if listed.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut head = Vec::new();
    if git.perhaps(&["rev-parse", "-q", "--verify", "HEAD^{commit}"])?.is_some() {
        head = git.names(&["ls-tree", "-r", "-z", "--full-tree", "--name-only", "HEAD"])?;
    }
    let (tracked, added): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|path| head.iter().any(|name| name == path.as_bytes()));
    let shown = |paths: Vec<String>| paths.iter().map(|path| printable(path)).collect();
    Ok((shown(added), shown(tracked)))
}

/// Looks at what a push would send: `local-ref local-id remote-ref remote-id` lines.
pub fn pre_push(around: &Surroundings, rules: &RuleSet, remote: &str, lines: &str) -> Result<Ran, AppError> {
    let updates = pushed(lines)?;
    // What only another remote has is new to this one.
    received(
        around,
        rules,
        &Received { updates, object_folders: Vec::new(), known: Known::Remote(remote.to_owned()) },
    )
}

/// Looks at what a push brings: `old new ref` lines.
pub fn pre_receive(around: &Surroundings, rules: &RuleSet, lines: &str) -> Result<Ran, AppError> {
    let updates = Update::parse_lines(lines.trim_end_matches('\n'))?;
    if updates.is_empty() {
        // Git always gives some: another hook must have taken them.
        let words =
            "no line came from git, so nobody knows what is pushed; does another hook read them first?";
        return Err(AppError::Usage(words.to_owned()));
    }
    let mut object_folders: Vec<PathBuf> =
        around.objects.iter().map(|path| around.folder.join(path)).collect();
    if let Some(list) = &around.alternates {
        object_folders.extend(paths_of(list)?.into_iter().map(|path| around.folder.join(path)));
    }
    received(around, rules, &Received { updates, object_folders, known: Known::AllRefs })
}

fn received(around: &Surroundings, rules: &RuleSet, received: &Received) -> Result<Ran, AppError> {
    // On the server nothing of what is pushed may speak for itself.
    let baseline = if received.known == Known::AllRefs { None } else { baseline(&around.folder)? };
    let repository = locate(around)?;
    let (report, accepted) =
        checked(rules, baseline.as_ref(), |scanner| scanner.received(&repository, received, &mut |_| {}))?;
    Ok(Ran { report, accepted, added: Vec::new(), tracked: Vec::new() })
}

/// The baseline of a work tree. One that is there and cannot be read is an error.
fn baseline(folder: &Path) -> Result<Option<Baseline>, AppError> {
    let path = folder.join(BASELINE);
    if path.symlink_metadata().is_ok() { Baseline::load(&path).map(Some) } else { Ok(None) }
}

/// A scan without what the baseline accepts, and how many findings that were.
fn checked(
    rules: &RuleSet,
    baseline: Option<&Baseline>,
    scan: impl Fn(&Scanner<'_>) -> Result<Report, ScanError>,
) -> Result<(Report, usize), AppError> {
    let key: FingerprintKey = scan::throwaway_key()?;
    let mut scanner = Scanner::new(rules, &key);
    if let Some(baseline) = baseline {
        scanner = scanner.with_baseline_key(baseline.key());
    }
    let mut report = scan(&scanner)?;
    let found = report.findings.len();
    report.findings.retain(|finding| !baseline.is_some_and(|baseline| baseline.has(finding)));
    let accepted = found.saturating_sub(report.findings.len());
    Ok((report, accepted))
}

/// The lines of <https://git-scm.com/docs/githooks#_pre_push>. The local name is as it was typed and may hold blanks.
fn pushed(lines: &str) -> Result<Vec<Update>, AppError> {
    let mut all = Vec::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.rsplitn(4, ' ');
        let (Some(old), Some(name), Some(new), Some(_local)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            let words = "a line of the push is not `local-ref local-id remote-ref remote-id`";
            return Err(AppError::Usage(words.to_owned()));
        };
        all.extend(Update::parse_lines(&format!("{old} {new} {name}"))?);
    }
    Ok(all)
}

/// A list of paths as git writes it: colons between them, C-style quotes around those that need it
/// (<https://git-scm.com/docs/git#Documentation/git.txt-GITALTERNATEOBJECTDIRECTORIES>). Quoted ones are refused.
fn paths_of(list: &OsStr) -> Result<Vec<PathBuf>, AppError> {
    let parts = list.as_bytes().split(|byte| *byte == b':').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            if part.starts_with(b"\"") {
                let words = "a path in GIT_ALTERNATE_OBJECT_DIRECTORIES is quoted, which is not read yet";
                return Err(AppError::Usage(words.to_owned()));
            }
            Ok(PathBuf::from(OsStr::from_bytes(part)))
        })
        .collect()
}

/// The repository that git means: that of the current folder, unless `GIT_DIR` says another one.
fn locate(around: &Surroundings) -> Result<PathBuf, AppError> {
    let Some(given) = &around.git_dir else { return Ok(around.folder.clone()) };
    let real = |path: &Path| path.canonicalize().map_err(|error| AppError::io(path, error));
    let git_dir = real(&around.folder.join(given))?;
    for folder in real(&around.folder)?.ancestors() {
        if folder == git_dir || own(folder)?.is_some_and(|own| own == git_dir) {
            return Ok(folder.to_owned());
        }
    }
    // `git --git-dir=… --work-tree=…`. The folder of a linked work tree alone would be taken for another repository.
    if git_dir.join("objects").is_dir() && !git_dir.join("commondir").exists() {
        return Ok(git_dir);
    }
    let words =
        "GIT_DIR and the current folder belong to different repositories, so nobody knows which one is meant";
    Err(AppError::Usage(words.to_owned()))
}

/// The git folder of a work tree.
fn own(folder: &Path) -> Result<Option<PathBuf>, AppError> {
    let dot_git = folder.join(".git");
    if dot_git.is_dir() {
        return Ok(dot_git.canonicalize().ok());
    }
    if !dot_git.is_file() {
        return Ok(None);
    }
    let text = files::read_text(&dot_git, 64 << 10).map_err(|error| AppError::io(&dot_git, error))?;
    let target = text.strip_prefix("gitdir:").map(|target| folder.join(target.trim()));
    Ok(target.and_then(|target| target.canonicalize().ok()))
}

/// The hook that a word names.
pub fn hook(word: &str) -> Result<Hook, AppError> {
    Hook::ALL.into_iter().find(|hook| hook.word() == word).ok_or_else(|| {
        AppError::Usage(format!("`{word}` is not a hook: pre-commit, pre-push or pre-receive"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_push_are_read_from_their_end() {
        let (a, b, zero) = ("a".repeat(40), "b".repeat(40), "0".repeat(40));
        let text = format!(
            "refs/heads/x {a} refs/heads/y {b}\nHEAD@{{2 days ago}} {a} refs/heads/new {zero}\n(delete) {zero} refs/heads/z {b}\n\n"
        );
        let updates = pushed(&text).unwrap();
        let seen: Vec<_> =
            updates.iter().map(|u| (u.name.as_str(), u.old.as_deref(), u.new.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("refs/heads/y", Some(b.as_str()), Some(a.as_str())),
                ("refs/heads/new", None, Some(a.as_str())),
                ("refs/heads/z", Some(b.as_str()), None),
            ]
        );
        for broken in ["x", "x y z", &format!("refs/heads/x {a} refs/heads/y short"), " "] {
            assert!(pushed(broken).is_err(), "{broken:?}");
        }
        assert!(pushed("\n").unwrap().is_empty());
    }

    #[test]
    fn lists_of_paths_are_split_and_quotes_are_not_guessed() {
        let paths = paths_of(OsStr::new("/a:b/c:")).unwrap();
        assert_eq!(paths, [PathBuf::from("/a"), PathBuf::from("b/c")]);
        assert!(paths_of(OsStr::new("/a:\"/b\\n\"")).is_err());
    }

    #[test]
    fn the_repository_is_the_one_that_git_means() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for made in ["one/.git/objects", "one/.git/worktrees/two", "one/sub", "two", "away"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        std::fs::write(root.join("one/.git/worktrees/two/commondir"), "../..\n").unwrap();
        std::fs::create_dir(root.join("one/.git/worktrees/two/objects")).unwrap();
        std::fs::write(root.join("two/.git"), "gitdir: ../one/.git/worktrees/two\n").unwrap();
        let at = |folder: &str, git_dir: Option<&str>| {
            let git_dir = git_dir.map(OsString::from);
            locate(&Surroundings { folder: root.join(folder), git_dir, ..Surroundings::default() })
        };
        assert_eq!(at("one/sub", None).unwrap(), root.join("one/sub"));
        assert_eq!(at("one/sub", Some("../.git")).unwrap(), root.join("one"));
        assert_eq!(at("two", Some("../one/.git/worktrees/two")).unwrap(), root.join("two"));
        assert_eq!(at("away", Some("../one/.git")).unwrap(), root.join("one/.git"));
        assert_eq!(at("one/.git", Some(".")).unwrap(), root.join("one/.git"));
        assert!(at("away", Some("../one/.git/worktrees/two")).is_err(), "the index of another work tree");
        assert!(at("away", Some("../nowhere")).is_err());
    }
}
