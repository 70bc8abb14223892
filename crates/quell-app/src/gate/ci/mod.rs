//! Jobs for CI that fail unless a scan was whole and found nothing.
//!
//! All of them run the same lines of sh; `indent` puts them where the host's format wants them.

use std::path::Path;

use serde::Serialize;

use crate::{AppError, files};

/// Where a job is to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Host {
    /// GitHub Actions: <https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax>
    Github,
    /// GitLab CI: <https://docs.gitlab.com/ci/yaml/>
    Gitlab,
    /// Jenkins: <https://www.jenkins.io/doc/book/pipeline/syntax/>
    Jenkins,
    /// Azure Pipelines: <https://learn.microsoft.com/azure/devops/pipelines/yaml-schema/>
    Azure,
    /// Any other: a script for sh.
    Generic,
}

/// The lines that every host runs, in POSIX sh.
const SHELL: &str = include_str!("scan.sh");
const PLACE: &str = "@SCAN@";

impl Host {
    /// The job as text.
    pub fn snippet(self, version: &str) -> String {
        let (text, indent) = match self {
            Self::Github => (include_str!("github.yml"), 10),
            Self::Gitlab => (include_str!("gitlab.yml"), 6),
            Self::Jenkins => (include_str!("jenkins.groovy"), 20),
            Self::Azure => (include_str!("azure.yml"), 6),
            Self::Generic => (include_str!("generic.sh"), 0),
        };
        let pad = " ".repeat(indent);
        let shell: Vec<String> = SHELL
            .lines()
            .map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") })
            .collect();
        text.replace(&format!("{pad}{PLACE}"), &shell.join("\n")).replace("@VERSION@", version)
    }

    /// Where the host looks for it, or a file of its own to include from there.
    pub fn file(self) -> &'static str {
        match self {
            Self::Github => ".github/workflows/quell.yml",
            Self::Gitlab => ".gitlab/quell.yml",
            Self::Jenkins => "Jenkinsfile.quell",
            Self::Azure => "azure-pipelines-quell.yml",
            Self::Generic => "quell-gate.sh",
        }
    }

    /// What is left to do by hand.
    pub fn remaining(self) -> &'static str {
        match self {
            Self::Github => {
                "make the job `quell` a required status check of the default branch; until then it only informs"
            }
            Self::Gitlab => {
                "include it: `include: [{ local: .gitlab/quell.yml }]`, and require successful pipelines to merge"
            }
            Self::Jenkins => "point a multibranch job at it, and let the code host require its status",
            Self::Azure => "make a pipeline of it, and add it to the build validation of the branch policies",
            Self::Generic => "let the job fail when the script does",
        }
    }
}

/// What was done with a job.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// The file.
    pub path: std::path::PathBuf,
    /// It was there already, with the same text.
    pub already: bool,
}

/// Writes the job into a repository. A file with another text stays as it is.
pub fn write(repository: &Path, host: Host, version: &str) -> Result<Written, AppError> {
    let text = host.snippet(version);
    let path = repository.join(host.file());
    let io = |error| AppError::io(&path, error);
    if path.symlink_metadata().is_ok() {
        if files::read(&path, 1 << 20).is_ok_and(|found| found == text.as_bytes()) {
            return Ok(Written { path, already: true });
        }
        let words = "is there with another text; compare it with what this command prints without --write";
        return Err(AppError::Usage(format!("{} {words}", path.display())));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut file = std::fs::File::create_new(&path).map_err(io)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(io)?;
    Ok(Written { path, already: false })
}

/// The part for `.pre-commit-config.yaml` of the pre-commit framework (<https://pre-commit.com>).
pub const FRAMEWORK: &str = include_str!("framework.yml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_holds_the_same_lines_and_a_pinned_version() {
        for host in [Host::Github, Host::Gitlab, Host::Jenkins, Host::Azure, Host::Generic] {
            let text = host.snippet("1.2.3");
            assert!(!text.contains("@SCAN@") && !text.contains("@VERSION@"), "{host:?}: {text}");
            assert!(text.contains("1.2.3"), "{host:?}: {text}");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for line in SHELL.lines().map(str::trim).filter(|line| !line.contains("@VERSION@")) {
                assert!(lines.contains(&line), "{host:?} lacks {line}");
            }
            for open in ["|| true", "continue-on-error: true", "allow_failure: true", "continueOnError: true"]
            {
                let code = text.lines().filter(|line| !line.trim_start().starts_with(['#', '/']));
                assert!(
                    code.clone().count() > 5 && code.into_iter().all(|line| !line.contains(open)),
                    "{host:?}: {open}"
                );
            }
        }
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), Host::Github, "1.2.3").unwrap();
        assert!(!first.already && first.path.ends_with(".github/workflows/quell.yml"));
        assert!(write(folder.path(), Host::Github, "1.2.3").unwrap().already);
        assert!(write(folder.path(), Host::Github, "9.9.9").is_err());
    }
}
