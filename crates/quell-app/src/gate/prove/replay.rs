//! The leak once more, in a repository of our own that borrows the objects of the leaky one.

use std::path::{Path, PathBuf};

use quell_scan::Finding;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::Shown;
use crate::gate::env::{self, Problem};
use crate::gate::git::{Ended, Git, printable};
use crate::gate::run::BASELINE;
use crate::gate::script::Script;
use crate::gate::{Hook, install};
use crate::{AppError, files};

/// What a harmless change adds.
const CONTROL: &str = "quell-gate-control.txt";
const CONTROL_TEXT: &[u8] = b"A harmless line, to see that the gate lets it through.\n";

/// What leaked, as git has it.
struct Leak {
    /// The id of the blob.
    blob: String,
    /// The commit before.
    parent: Option<String>,
    /// The folder of the objects that are borrowed.
    objects: PathBuf,
    /// `sha1` or `sha256`.
    format: String,
    /// What the leaky repository accepts.
    baseline: Option<PathBuf>,
}

/// Commits or pushes the leak again through a hook, and a harmless change before it.
pub(super) fn hook(script: &Script, finding: &Finding, target: &Path) -> Result<Shown, AppError> {
    let leak = match leak(finding, target)? {
        Ok(leak) => leak,
        Err(why) => return Ok(Shown::not(finding, why)),
    };
    let stage = Stage::build(&leak, script)?;
    let mut shown = Shown::not(finding, "");
    shown.hook_sha256 = Some(stage.hook_sha256.clone());
    stage.add(CONTROL, &stage.control)?;
    let control = stage.attempt()?;
    if !control.success || !stage.moved()? {
        shown.why = format!("even a harmless change was not accepted: {}", last_words(&control));
        return Ok(shown);
    }
    shown.accepted = true;
    stage.add(&finding.place.file, &leak.blob)?;
    let before = stage.tip()?;
    let again = stage.attempt()?;
    let named =
        again.stderr.lines().any(|line| line.contains(&finding.rule) && names(line, &finding.place.file));
    shown.refused = !again.success && stage.tip()? == before && named;
    shown.why = if shown.refused {
        format!("`git {}` was refused with rule and path named", stage.verb())
    } else if again.success {
        format!(
            "`git {}` of the leak went through: is the rule `{}` among those of the gate, or does a comment or list allow it?",
            stage.verb(),
            finding.rule
        )
    } else {
        format!("it was refused, but not for this finding: {}", last_words(&again))
    };
    Ok(shown)
}

fn names(line: &str, path: &str) -> bool {
    line.contains(printable(path).as_str())
}

/// An index that has a file of this name, which is all that this gate looks at; its content is empty.
pub(super) fn env(finding: &Finding) -> Result<Shown, AppError> {
    let folder = memory()?;
    let git = Git::private(folder.path());
    git.bytes(&["init", "-q", "--template=", "-b", "main", "."])?;
    let blob = git.fed(&["hash-object", "-w", "--stdin"], b"")?;
    let blob = String::from_utf8_lossy(&blob).trim().to_owned();
    let add =
        |path: &str| git.bytes(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{path}")]);
    let mut shown = Shown::not(finding, "");
    add(CONTROL)?;
    shown.accepted = env::check(folder.path(), false)?.violations.is_empty();
    add(&finding.place.file)?;
    shown.refused = env::check(folder.path(), false)?
        .violations
        .iter()
        .any(|wrong| wrong.problem == Problem::Tracked && wrong.path == printable(&finding.place.file));
    shown.why = if shown.refused && shown.accepted {
        "`quell gate env` names the tracked file, and nothing without it".to_owned()
    } else {
        "`quell gate env` does not tell the leaky index from a harmless one".to_owned()
    };
    Ok(shown)
}

/// The blob of a finding, or why there is none.
fn leak(finding: &Finding, target: &Path) -> Result<Result<Leak, String>, AppError> {
    let Some(commit) = finding.first_seen_commit.as_ref().or(finding.place.commit.as_ref()) else {
        let why = "it was found in a file that no commit has, so there is no commit to try again";
        return Ok(Err(why.to_owned()));
    };
    if !target.is_dir() {
        return Ok(Err(format!(
            "{} is no folder (any more); name the repository with --repository",
            target.display()
        )));
    }
    let git = Git::at(target);
    let path = &finding.place.file;
    let spec = format!("{commit}:{path}");
    let kind = git.perhaps(&["cat-file", "-t", &spec])?;
    if kind.as_deref() != Some("blob") {
        return Ok(Err(format!(
            "commit {commit} has no file {path} that could be read in {}",
            target.display()
        )));
    }
    let blob = git.line(&["rev-parse", "--verify", &spec])?;
    let parent = git.perhaps(&["rev-parse", "-q", "--verify", &format!("{commit}^1^{{commit}}")])?;
    // Behind the end of a shallow clone there is nothing to build on.
    let parent = match parent {
        Some(parent) if git.perhaps(&["cat-file", "-e", &format!("{parent}^{{tree}}")])?.is_some() => {
            Some(parent)
        }
        Some(_) | None => None,
    };
    let objects = target.join(git.path(&["rev-parse", "--git-path", "objects"])?);
    let objects = objects.canonicalize().map_err(|error| AppError::io(&objects, error))?;
    let plain = objects.to_str().filter(|text| !text.contains(['\n', '"']) && !text.starts_with('#'));
    if plain.is_none() {
        return Ok(Err(format!("the path {} cannot stand in a list of alternates", objects.display())));
    }
    let format = git.line(&["rev-parse", "--show-object-format"])?;
    let top = git.perhaps(&["rev-parse", "--show-toplevel"])?.map(PathBuf::from);
    let baseline = top.map(|top| top.join(BASELINE)).filter(|path| path.exists());
    Ok(Ok(Leak { blob, parent, objects, format, baseline }))
}

/// The private repositories.
struct Stage {
    hook: Hook,
    work: Git,
    /// Where the work repository is pushed to.
    server: Git,
    control: String,
    hook_sha256: String,
    /// Removed with this.
    _folders: [TempDir; 2],
}

impl Stage {
    fn build(leak: &Leak, script: &Script) -> Result<Self, AppError> {
        // A memory file system is often mounted so that no program in it may run; hooks hold no secret.
        let folders = [memory()?, private(&std::env::temp_dir())?];
        let [repositories, hooks] = &folders;
        let (work, server) = (repositories.path().join("work"), repositories.path().join("server.git"));
        let format = format!("--object-format={}", leak.format);
        let here = Git::private(repositories.path());
        here.bytes(&["init", "-q", "--template=", "-b", "main", &format, "work"])?;
        here.bytes(&["init", "-q", "--template=", "-b", "main", &format, "--bare", "server.git"])?;
        let (work, server) = (Git::private(&work), Git::private(&server));
        let guarded = if script.hook == Hook::PreReceive { &server } else { &work };
        let hooks = hooks.path().display().to_string();
        guarded.bytes(&["config", "core.hooksPath", &hooks])?;
        for (git, objects) in [(&work, ".git/objects"), (&server, "objects")] {
            let info = git.folder().join(objects).join("info");
            let io = |error| AppError::io(&info, error);
            std::fs::create_dir_all(&info).map_err(io)?;
            std::fs::write(info.join("alternates"), format!("{}\n", leak.objects.display())).map_err(io)?;
            if let Some(parent) = &leak.parent {
                git.bytes(&["update-ref", "refs/heads/main", parent])?;
            }
        }
        if let Some(parent) = &leak.parent {
            work.bytes(&["update-ref", "refs/remotes/origin/main", parent])?;
            work.bytes(&["read-tree", parent])?;
        }
        work.bytes(&["config", "remote.origin.url", &server.folder().display().to_string()])?;
        // It holds names of values, and decides about this leak as it does in the leaky repository.
        if let Some(baseline) = &leak.baseline {
            let io = |error| AppError::io(baseline, error);
            std::fs::copy(baseline, work.folder().join(BASELINE)).map_err(io)?;
        }
        let installed = install::install(guarded.folder(), script, false)?;
        let text =
            files::read(&installed.path, 1 << 20).map_err(|error| AppError::io(&installed.path, error))?;
        let control = work.fed(&["hash-object", "-w", "--stdin"], CONTROL_TEXT)?;
        Ok(Self {
            hook: script.hook,
            control: String::from_utf8_lossy(&control).trim().to_owned(),
            hook_sha256: hex::encode(Sha256::digest(&text)),
            work,
            server,
            _folders: folders,
        })
    }

    /// What the gate stands in front of.
    fn verb(&self) -> &'static str {
        if self.hook == Hook::PreCommit { "commit" } else { "push" }
    }

    fn add(&self, path: &str, blob: &str) -> Result<(), AppError> {
        let entry = format!("100644,{blob},{path}");
        self.work.bytes(&["update-index", "--add", "--replace", "--cacheinfo", &entry]).map(|_said| ())
    }

    /// A commit, and for the gates of a push also the push.
    fn attempt(&self) -> Result<Ended, AppError> {
        let commit = ["commit", "-q", "-m", "tried by quell gate prove"];
        let committed = self.work.end(&commit, b"")?;
        if self.hook == Hook::PreCommit || !committed.success {
            return Ok(committed);
        }
        self.work.end(&["push", "-q", "origin", "HEAD:refs/heads/main"], b"")
    }

    /// The tip of the branch that the gate protects.
    fn tip(&self) -> Result<Option<String>, AppError> {
        let git = if self.hook == Hook::PreCommit { &self.work } else { &self.server };
        git.perhaps(&["rev-parse", "-q", "--verify", "refs/heads/main"])
    }

    /// True when the protected branch has the harmless change.
    fn moved(&self) -> Result<bool, AppError> {
        let git = if self.hook == Hook::PreCommit { &self.work } else { &self.server };
        let blob = git.perhaps(&["rev-parse", "-q", "--verify", &format!("refs/heads/main:{CONTROL}")])?;
        Ok(blob.as_deref() == Some(self.control.as_str()))
    }
}

/// What was said last, for people.
fn last_words(ended: &Ended) -> String {
    let line = ended.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
    printable(line.trim()).chars().take(300).collect()
}

/// A private folder in memory, or, where there is none, among the temporary files.
fn memory() -> Result<TempDir, AppError> {
    private(Path::new("/dev/shm")).or_else(|_none| private(&std::env::temp_dir()))
}

fn private(parent: &Path) -> Result<TempDir, AppError> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new()
        .prefix("quell-gate-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(|error| AppError::io(parent, error))?;
    Ok(folder)
}
