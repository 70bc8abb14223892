//! `.env` files that hold values: ignored by git, not tracked, not in `HEAD`, readable by their owner only.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use quell_core::gate::is_env_file;
use serde::Serialize;

use super::git::{Git, printable, split};
use crate::{AppError, files};

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// The repository's own ignore files do not cover it: `git add .` takes it.
    NotIgnored,
    /// It is in the index: the next commit has it.
    Tracked,
    /// The newest commit has it: whoever clones gets it.
    InHead,
    /// Others than its owner may read or change it.
    Mode,
    /// Anybody may replace it, since its folder is writable for all.
    FolderOpen,
}

impl Problem {
    /// In words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotIgnored => "git does not ignore it",
            Self::Tracked => "it is tracked",
            Self::InHead => "the newest commit has it",
            Self::Mode => "others may read it (its mode is not 0600)",
            Self::FolderOpen => "its folder is writable for everybody",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Violation {
    /// The file, from the top of the repository.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
    /// What to do about it.
    pub advice: String,
    /// True when `--fix` did it.
    pub fixed: bool,
}

/// The state of all files of a repository or folder.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Where was looked.
    pub top: PathBuf,
    /// False when it is no git repository, and only modes were looked at.
    pub repository: bool,
    /// How many files there are.
    pub files: usize,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// What could not be looked at.
    pub unread: Vec<String>,
}

/// Folders of other people's packages.
const FOREIGN: [&str; 2] = [".git", "node_modules"];

/// Larger ignore files are not changed, in bytes.
const MAX_IGNORE: u64 = 16 << 20;

/// Looks at every `.env` file; with `fix`, sets modes and adds to `.gitignore`. Never deletes and never untracks.
pub fn check(path: &Path, fix: bool) -> Result<Checked, AppError> {
    std::fs::read_dir(path).map_err(|error| AppError::io(path, error))?;
    let top = top(path)?;
    let mut seen = Seen { top: top.clone().unwrap_or_else(|| path.to_owned()), ..Seen::default() };
    seen.walk();
    if top.is_some() {
        seen.ask_git()?;
    }
    seen.modes();
    if fix {
        seen.fix()?;
    }
    seen.violations.sort();
    Ok(Checked {
        top: seen.top,
        repository: top.is_some(),
        files: seen.files.len(),
        violations: seen.violations,
        unread: seen.unread,
    })
}

/// The top of the work tree; `None` outside a repository.
fn top(path: &Path) -> Result<Option<PathBuf>, AppError> {
    let git = Git::at(path);
    let ended = git.end(&["rev-parse", "--is-inside-work-tree"], b"")?;
    if ended.success {
        return git.path(&["rev-parse", "--show-toplevel"]).map(Some);
    }
    // Any other complaint (a broken or foreign repository) must not pass for "no repository".
    if ended.stderr.contains("not a git repository") {
        return Ok(None);
    }
    let why = printable(ended.stderr.lines().next().unwrap_or_default());
    Err(AppError::Usage(format!("git cannot say what {} is: {why}", path.display())))
}

#[derive(Default)]
struct Seen {
    top: PathBuf,
    /// Files and links that are there, from the top, byte for byte.
    files: BTreeSet<Vec<u8>>,
    violations: Vec<Violation>,
    unread: Vec<String>,
}

impl Seen {
    fn walk(&mut self) {
        let mut todo = vec![self.top.clone()];
        while let Some(folder) = todo.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unread.push(format!("{}: {error}", shown(&folder)));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let (name, path) = (entry.file_name(), entry.path());
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    // Another repository inside has its own ignore files and its own gate.
                    if !FOREIGN.iter().any(|foreign| name == *foreign) && !path.join(".git").exists() {
                        todo.push(path);
                    }
                } else if is_env_file(&name.to_string_lossy()) && (kind.is_file() || kind.is_symlink()) {
                    let relative = path.strip_prefix(&self.top).unwrap_or(&path);
                    self.files.insert(relative.as_os_str().as_bytes().to_vec());
                }
            }
        }
    }

    fn ask_git(&mut self) -> Result<(), AppError> {
        let git = Git::at(&self.top);
        let env = |name: &Vec<u8>| is_env_file(&String::from_utf8_lossy(name));
        let tracked = git.names(&["ls-files", "-z", "--", ":(icase,glob)**/.env*"])?;
        let tracked: BTreeSet<Vec<u8>> = tracked.into_iter().filter(env).collect();
        let mut head = Vec::new();
        if git.perhaps(&["rev-parse", "-q", "--verify", "HEAD^{commit}"])?.is_some() {
            head = git.names(&["ls-tree", "-r", "-z", "--full-tree", "--name-only", "HEAD"])?;
        }
        let asked: Vec<u8> = self.files.iter().flat_map(|name| [name.as_slice(), b"\0"].concat()).collect();
        // What one user ignores everywhere does not protect the next one: only the repository's own files count.
        let own = ["-c", "core.excludesFile=/dev/null", "check-ignore", "-z", "--no-index", "--stdin"];
        let ended = git.end(&own, &asked)?;
        if !matches!(ended.code, Some(0 | 1)) {
            return Err(AppError::Usage("`git check-ignore` failed, so nothing can be said".to_owned()));
        }
        let ignored: BTreeSet<Vec<u8>> = split(&ended.stdout).into_iter().collect();
        for name in &self.files {
            if !ignored.contains(name) {
                let advice = format!("add `{}` to .gitignore, or run with --fix", shown_name(name));
                self.violations.push(wrong(name, Problem::NotIgnored, advice));
            }
        }
        for name in &tracked {
            let advice = format!("git rm --cached -- {}", quoted(name));
            self.violations.push(wrong(name, Problem::Tracked, advice));
        }
        for name in head.iter().filter(|name| env(name)) {
            let advice =
                "commit its removal, and rotate what it holds: history keeps it (`quell scan .`)".to_owned();
            self.violations.push(wrong(name, Problem::InHead, advice));
        }
        Ok(())
    }

    fn modes(&mut self) {
        for name in &self.files {
            let path = self.top.join(OsStr::from_bytes(name));
            let Ok(data) = std::fs::metadata(&path) else {
                self.unread.push(format!("{}: a link that leads nowhere, or gone", shown(&path)));
                continue;
            };
            if data.is_file() && data.permissions().mode() & 0o077 != 0 {
                let advice = format!("chmod 600 -- {}", quoted(name));
                self.violations.push(wrong(name, Problem::Mode, advice));
            }
            let folder = path.parent().and_then(|folder| std::fs::metadata(folder).ok());
            let mode = folder.map_or(0, |data| data.permissions().mode());
            // With the sticky bit (0o1000) only the owner may rename and delete.
            if mode & 0o002 != 0 && mode & 0o1000 == 0 {
                let advice = "chmod o-w on the folder".to_owned();
                self.violations.push(wrong(name, Problem::FolderOpen, advice));
            }
        }
    }

    fn fix(&mut self) -> Result<(), AppError> {
        let mut patterns = Vec::new();
        for violation in &mut self.violations {
            let path = self.top.join(&violation.path);
            match violation.problem {
                // Not through a link: its target may be somebody else's business.
                Problem::Mode if path.symlink_metadata().is_ok_and(|data| data.is_file()) => {
                    let mode = std::fs::Permissions::from_mode(0o600);
                    std::fs::set_permissions(&path, mode).map_err(|error| AppError::io(&path, error))?;
                    violation.fixed = true;
                }
                Problem::NotIgnored => {
                    if let Some(pattern) = pattern(&violation.path) {
                        patterns.push(pattern);
                        violation.fixed = true;
                    }
                }
                Problem::Mode | Problem::Tracked | Problem::InHead | Problem::FolderOpen => {}
            }
        }
        if patterns.is_empty() { Ok(()) } else { ignore(&self.top.join(".gitignore"), &patterns) }
    }
}

fn wrong(name: &[u8], problem: Problem, advice: String) -> Violation {
    Violation { path: shown_name(name), problem, advice, fixed: false }
}

/// The line of an ignore file for exactly this path: <https://git-scm.com/docs/gitignore#_pattern_format>.
fn pattern(path: &str) -> Option<String> {
    if path.chars().any(|c| c.is_control() || c == '\u{fffd}') || path.ends_with(' ') {
        return None;
    }
    let mut line = String::from("/");
    for c in path.chars() {
        if "*?[]\\!#".contains(c) {
            line.push('\\');
        }
        line.push(c);
    }
    Some(line)
}

/// Adds lines to an ignore file, whole or not at all.
fn ignore(path: &Path, patterns: &[String]) -> Result<(), AppError> {
    let io = |error| AppError::io(path, error);
    let (mut text, mode) = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Vec::new(), 0o644),
        Err(error) => return Err(io(error)),
        Ok(data) if !data.is_file() => {
            return Err(AppError::Usage(format!(
                "{} is a link or no file; add the lines yourself",
                path.display()
            )));
        }
        Ok(data) => (files::read(path, MAX_IGNORE).map_err(io)?, data.permissions().mode() & 0o777),
    };
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for pattern in patterns {
        text.extend_from_slice(pattern.as_bytes());
        text.push(b'\n');
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".quell-gate-").tempfile_in(folder).map_err(io)?;
    file.write_all(&text).map_err(io)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map(|_file| ()).map_err(|error| AppError::io(path, error.error))
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn shown_name(name: &[u8]) -> String {
    printable(&String::from_utf8_lossy(name))
}

/// A word for sh, to copy.
fn quoted(name: &[u8]) -> String {
    let text = shown_name(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_one_path() {
        assert_eq!(pattern("a/.env").as_deref(), Some("/a/.env"));
        assert_eq!(pattern("a[1]/#x/.env.*").as_deref(), Some("/a\\[1\\]/\\#x/.env.\\*"));
        assert_eq!(pattern("a\n/.env"), None);
        assert_eq!(pattern(".env "), None);
    }

    #[test]
    fn an_ignore_file_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".gitignore");
        std::fs::write(&path, "target").unwrap();
        ignore(&path, &["/.env".to_owned()]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "target\n/.env\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(ignore(&path, &["/.env".to_owned()]).is_err());
    }
}
