use super::*;
use crate::{Selection, Visibility};

/// Five commits in a line, each with a secret of its own, and a branch with a sixth.
struct Line {
    repo: Repo,
    secrets: Vec<String>,
    commits: Vec<String>,
}

fn line() -> Line {
    let repo = Repo::new();
    let secrets: Vec<String> = (1..=6).map(token).collect();
    let mut commits = Vec::new();
    for (number, secret) in secrets.iter().enumerate().take(5) {
        repo.write(&format!("f{number}.txt"), secret);
        commits.push(repo.commit(&format!("number {number}"), &[]));
    }
    repo.git(&["checkout", "-q", "-b", "side", "HEAD~2"]);
    repo.write("f5.txt", &secrets[5]);
    commits.push(repo.commit("number 5", &[]));
    repo.git(&["checkout", "-q", "main"]);
    Line { repo, secrets, commits }
}

impl Line {
    fn select(&self, selection: &Selection) -> Result<Report, ScanError> {
        with_scanner(|scanner| scanner.selected(&self.repo.path, selection, &mut |_| {}))
    }

    fn range(&self, text: &str) -> Result<Report, ScanError> {
        self.select(&Selection { ranges: vec![text.parse()?], ..Selection::default() })
    }

    /// Which of the files have findings.
    fn numbers(report: &Report) -> String {
        assert!(report.complete(), "{:?}", report.incomplete);
        report.findings.iter().map(|finding| short(&finding.place.file, 2).replace('f', "")).collect()
    }
}

#[test]
fn ranges_choose_commits_as_git_log_does() {
    let line = line();
    let short = short(&line.commits[1], 9);
    line.repo.git(&["tag", "-a", "v1", "-m", "release", "main~3"]);
    for (range, expected) in [
        ("main~2..main", "34"),
        ("HEAD~1..", "4"),
        ("main...side", "345"),
        ("main..side", "5"),
        ("side..main", "34"),
        ("side", "0125"),
        (&format!("{short}..@"), "234"),
        (&format!("{}..main^", line.commits[0]), "123"),
        ("v1..refs/heads/main", "234"),
        ("tags/v1^{commit}..heads/main~", "23"),
        ("main..main", ""),
    ] {
        assert_eq!(Line::numbers(&line.range(range).unwrap()), expected, "{range}");
    }
    let report = line.range("main~2..main").unwrap();
    assert_eq!((report.commits, report.blobs), (2, 2));
    let finding = finding_of(&report, &line.secrets[3]);
    assert_eq!(finding.first_seen_commit.as_ref(), Some(&line.commits[3]));
    assert_eq!(finding.last_seen_commit.as_ref(), Some(&line.commits[4]));
    assert_eq!(
        (finding.refs.as_slice(), finding.still_visible),
        (["refs/heads/main".to_owned()].as_slice(), Visibility::Current)
    );
    // The same finding as in a whole scan, apart from what was looked at.
    let whole = line.repo.scan();
    assert_eq!(finding_of(&whole, &line.secrets[3]).id, finding.id);
}

#[test]
fn branches_and_times_choose_commits() {
    let line = line();
    let at = |minute: i64| Some(jiff::Timestamp::from_second(1_700_000_000 + 60 * minute).unwrap());
    let branch = |name: &str| Selection { branches: vec![name.to_owned()], ..Selection::default() };
    assert_eq!(Line::numbers(&line.select(&branch("side")).unwrap()), "0125");
    let since = Selection { since: at(4), ..Selection::default() };
    assert_eq!(Line::numbers(&line.select(&since).unwrap()), "345");
    assert_eq!(Line::numbers(&line.select(&Selection { until: at(4), ..since }).unwrap()), "3");
    assert_eq!(Line::numbers(&line.select(&Selection { since: at(3), ..branch("side") }).unwrap()), "25");
    assert!(line.select(&Selection::default()).unwrap().findings.len() == 6);
}

#[test]
fn what_a_merge_itself_brings_is_chosen_with_it() {
    let line = line();
    let evil = token(7);
    line.repo.git(&["merge", "-q", "--no-ff", "--no-commit", "side"]);
    line.repo.write("f6.txt", &evil);
    line.repo.commit(&format!("merge {}", token(8)), &[]);
    let report = line.range("HEAD^1..HEAD").unwrap();
    let files: Vec<_> = report.findings.iter().map(|finding| finding.place.file.as_str()).collect();
    assert_eq!(files, ["(commit message)", "f5.txt", "f6.txt"]);
    let report = line.select(&Selection {
        ranges: vec!["HEAD^1..HEAD".parse().unwrap(), "HEAD^2..HEAD".parse().unwrap()],
        ..Selection::default()
    });
    let report = report.unwrap();
    let files: Vec<_> = report.findings.iter().map(|finding| finding.place.file.as_str()).collect();
    assert_eq!(files, ["(commit message)", "f6.txt"]);
}

#[test]
fn equal_and_wrong_clocks_do_not_hide_commits() {
    let line = line();
    // The newest commit claims to be the oldest.
    line.repo.write("f7.txt", &token(9));
    line.repo.git(&["add", "-A"]);
    git(&line.repo.path, 1_000_000_000, &["commit", "-q", "-m", "from the past"]);
    line.repo.write("f8.txt", &token(10));
    line.repo.git(&["add", "-A"]);
    git(&line.repo.path, 1_000_000_000, &["commit", "-q", "-m", "from the past, too"]);
    assert_eq!(Line::numbers(&line.range("HEAD~2..HEAD").unwrap()), "78");
    assert_eq!(Line::numbers(&line.range("side..HEAD").unwrap()), "3478");
    assert_eq!(Line::numbers(&line.range("HEAD..side").unwrap()), "5");
}

#[test]
fn unknown_and_unclear_revisions_are_errors() {
    let line = line();
    line.repo.git(&["branch", "twice", "main~1"]);
    line.repo.git(&["tag", "twice", "main"]);
    let blob = line.repo.git(&["rev-parse", "HEAD:f0.txt"]);
    let errors: Vec<String> = [
        "nothing",
        "main~9",
        "main^2",
        "main@{1}",
        "main:f0.txt",
        "twice",
        "main~x",
        short(&blob, 12),
        "0123456789012345678901234567890123456789",
        "main..nothing",
    ]
    .iter()
    .map(|range| line.range(range).unwrap_err().to_string().replace(short(&blob, 12), "BLOB"))
    .collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
    `nothing` is no commit, branch or tag of this repository; `git log --all --oneline` lists what is here; fetch what is not
    `main~9` goes back to before the first commit; go back fewer commits
    `main^2` asks for a parent that the commit does not have; `git log --parents` lists parents
    `main@{1}` is of a form that is not read; give a branch, a tag, an id, or these with `~n` and `^n`
    `main:f0.txt` is of a form that is not read; give a branch, a tag, an id, or these with `~n` and `^n`
    `twice` names more than one ref; write it in full, such as `refs/heads/main`
    `main~x` is of a form that is not read; put `~n` or `^n` behind a name
    `BLOB` is no commit; give a commit, a branch or a tag
    `0123456789012345678901234567890123456789` names an object that is not here; fetch it, or name another
    `nothing` is no commit, branch or tag of this repository; `git log --all --oneline` lists what is here; fetch what is not
    ");
    let error =
        line.select(&Selection { branches: vec!["v9".to_owned()], ..Selection::default() }).unwrap_err();
    insta::assert_snapshot!(error, @"`v9` is no branch of this repository; `git branch --all` lists them");
    let empty = Repo::new();
    let unborn = with_scanner(|scanner| {
        let selection = Selection { ranges: vec!["HEAD".parse().unwrap()], ..Selection::default() };
        scanner.selected(&empty.path, &selection, &mut |_| {}).unwrap_err()
    });
    insta::assert_snapshot!(unborn, @"`HEAD` has no commit yet; make one, or name another branch");
}

#[test]
fn too_few_digits_are_refused() {
    let repo = Repo::new();
    // Enough commits that two share their first four digits: the dates make them the same in every run.
    let commit = |number: u32| {
        let who = format!("committer C. Committer <committer@example.com> {} +0000", 1_700_000_000 + number);
        format!("commit refs/heads/main\n{who}\ndata 1\nx\n")
    };
    std::fs::write(repo.path.join("commits"), (0..600).map(commit).collect::<Vec<_>>().concat()).unwrap();
    let commits = std::fs::File::open(repo.path.join("commits")).unwrap();
    let import =
        Command::new("git").current_dir(&repo.path).args(["fast-import", "--quiet"]).stdin(commits).status();
    assert!(import.unwrap().success());
    let all = repo.git(&["rev-list", "HEAD"]);
    let mut starts: Vec<&str> = all.lines().map(|id| short(id, 4)).collect();
    starts.sort_unstable();
    let shared = starts.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].to_owned();
    let error = with_scanner(|scanner| {
        let selection = Selection { ranges: vec![shared.parse().unwrap()], ..Selection::default() };
        scanner.selected(&repo.path, &selection, &mut |_| {}).unwrap_err().to_string()
    });
    assert_eq!(error.replace(&shared, "ID"), "`ID` is the beginning of more than one id; give more digits");
}

#[test]
fn selections_say_what_is_missing() {
    let line = line();
    let blob = line.repo.git(&["rev-parse", "HEAD~1:f3.txt"]);
    std::fs::remove_file(line.repo.object_file(&blob)).unwrap();
    let report = line.range("HEAD~2..HEAD").unwrap();
    assert_eq!(report.incomplete.len(), 1);
    assert_eq!(
        (report.incomplete[0].what.as_str(), report.incomplete[0].why.as_str()),
        (blob.as_str(), "`f3.txt` is not here")
    );
    assert!(line.range("HEAD~1..HEAD").unwrap().complete());
    std::fs::remove_file(line.repo.object_file(&line.commits[1])).unwrap();
    let report = line.range("main").unwrap();
    assert!(report.incomplete.iter().any(|part| part.what == line.commits[1]), "{:?}", report.incomplete);
}
