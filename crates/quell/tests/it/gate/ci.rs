//! Jobs for CI: the lines of sh that they run, with a program in place of quell that ends in every way there is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Repository, text};

const HOSTS: [&str; 5] = ["github", "gitlab", "jenkins", "azure", "generic"];

/// The lines between the marks, without their indentation.
fn shell(job: &str) -> String {
    let lines: Vec<&str> = job.lines().collect();
    let at = |mark: &str| lines.iter().position(|line| line.trim() == mark).unwrap();
    let (begin, end) = (at("# quell gate: begin"), at("# quell gate: end"));
    let indent = lines[begin].len() - lines[begin].trim_start().len();
    let cut = |line: &&str| line.get(indent..).unwrap_or_default().to_owned() + "\n";
    lines[begin..=end].iter().map(cut).collect()
}

#[test]
fn every_job_fails_unless_the_scan_was_whole_and_clean() {
    let repository = Repository::new().named();
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "first"]);
    let bin = repository.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let fake = |version: &str, ending: &str| {
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'quell {version}'; exit 0; fi\n{ending}\n"
        );
        std::fs::write(bin.join("quell"), text).unwrap();
        std::fs::set_permissions(bin.join("quell"), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let ours = env!("CARGO_PKG_VERSION");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for host in HOSTS {
        let job = repository.ok(&["gate", "install", "ci", "--for", host]);
        let lines = shell(&job);
        let run = |folder: &Path| {
            let mut command = repository.command(Path::new("sh"), &["-c", &lines]);
            command.current_dir(folder).env("PATH", &path).output().unwrap()
        };
        for (ending, passes) in [
            ("exit 0", true),
            ("exit 1", false),
            ("exit 2", false),
            ("exit 10", false),
            ("exit 11", false),
            ("exit 127", false),
            ("kill -9 $$", false),
        ] {
            fake(ours, ending);
            let output = run(&repository.path);
            assert_eq!(output.status.success(), passes, "{host}, {ending}: {}", text(&output.stderr));
        }
        fake(ours, "exit 0");
        assert!(!run(repository.folder.path()).status.success(), "{host}: no repository at all");
        fake("0.0.1", "exit 0");
        assert!(!run(&repository.path).status.success(), "{host}: another version");
        std::fs::remove_file(bin.join("quell")).unwrap();
        assert!(!run(&repository.path).status.success(), "{host}: no quell");
    }
    fake(ours, "exit 0");
    let shallow = repository.folder.path().join("shallow");
    repository.stage("README.md", "second\n");
    repository.git(&["commit", "-q", "-m", "second"]);
    let from = format!("file://{}", repository.path.display());
    repository.git(&["clone", "-q", "--depth", "1", &from, shallow.to_str().unwrap()]);
    let lines = shell(&repository.ok(&["gate", "install", "ci", "--for", "generic"]));
    let mut command = repository.command(Path::new("sh"), &["-c", &lines]);
    let output = command.current_dir(&shallow).env("PATH", &path).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("shallow"), "{}", text(&output.stderr));
}

/// The options are those of the real program, and its codes arrive.
#[test]
fn the_lines_run_with_the_real_program() {
    let repository = Repository::new().named();
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "first"]);
    let lines = shell(&repository.ok(&["gate", "install", "ci", "--for", "generic"]));
    let path = format!("{}:/usr/bin:/bin", super::quell_program().parent().unwrap().display());
    let run = || repository.command(Path::new("sh"), &["-c", &lines]).env("PATH", &path).output().unwrap();
    let clean = run();
    assert_eq!(clean.status.code(), Some(0), "{}", text(&clean.stderr));
    std::fs::remove_file(repository.path.join("quell.sarif")).unwrap();
    repository.stage("a.js", &format!("const t = '{}'\n", super::token(31)));
    repository.git(&["commit", "-q", "-m", "leak"]);
    let found = run();
    assert_eq!(found.status.code(), Some(10), "{}", text(&found.stderr));
    let sarif = std::fs::read_to_string(repository.path.join("quell.sarif")).unwrap();
    let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "npm-token");
    repository.ok(&["scan", ".", "--write-baseline", ".quell-baseline", "--reason", "a fixture"]);
    let accepted = run();
    assert_eq!(accepted.status.code(), Some(0), "{}", text(&accepted.stderr));
}

#[test]
fn a_job_is_written_once_and_never_over_another() {
    let repository = Repository::new();
    let args = ["gate", "install", "ci", "--for", "github", "--write"];
    repository.ok(&args);
    let path = repository.path.join(".github/workflows/quell.yml");
    let job = std::fs::read_to_string(&path).unwrap();
    assert!(job.contains("fetch-depth: 0") && job.contains("upload-sarif"), "{job}");
    repository.ok(&args);
    std::fs::write(&path, "mine\n").unwrap();
    assert_eq!(repository.quell(&args).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine\n");
    assert_eq!(repository.quell(&["gate", "install", "ci"]).status.code(), Some(2), "--for is needed");
}

#[test]
fn the_framework_calls_what_the_hook_calls() {
    let repository = Repository::new();
    let part = repository.ok(&["gate", "install", "pre-commit-framework"]);
    let shipped = include_str!("../../../../../.pre-commit-hooks.yaml");
    for text in [part.as_str(), shipped] {
        for line in [
            "entry: quell gate run pre-commit",
            "language: system",
            "always_run: true",
            "pass_filenames: false",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
