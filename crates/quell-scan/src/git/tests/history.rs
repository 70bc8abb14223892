use super::*;
use crate::Visibility;

/// Values planted in different corners of one repository.
struct Planted {
    repo: Repo,
    password: String,
    side: String,
    amended: String,
    stashed: String,
    ignored: String,
    message: String,
    tagged: String,
    first: String,
    amended_commit: String,
}

fn planted() -> Planted {
    let repo = Repo::new();
    let password = text("{alnum:20}", 1);
    let [side, amended, stashed, ignored, message, tagged] =
        [2, 3, 4, 5, 6, 7].map(|seed| text("npm_{alnum:30}{checksum}", seed));
    repo.commit("start", &[]);
    let long =
        (0..400).map(|line| text(&format!("line {line} {{lower:30}}\n"), line + 50)).collect::<String>();
    let url = format!("URL = 'postgres://app:{password}@db.internal/orders'\n");
    repo.write("app/settings.py", &format!("{long}{url}"));
    let first = repo.commit("add settings", &[]);
    repo.write("app/settings.py", &format!("# changed\n{long}{url}"));
    repo.commit("touch settings", &[]);
    repo.write("app/settings.py", &format!("# changed\n{long}URL = environ['URL']\n"));
    repo.commit("remove the password", &[]);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("deploy.sh", &format!("npm config set {side}\n"));
    repo.commit("deploy", &[]);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("token.txt", &amended);
    let amended_commit = repo.commit("add a token", &[]);
    repo.git(&["rm", "-q", "token.txt"]);
    repo.commit(&format!("without it, but with {message}"), &["--amend"]);
    repo.git(&["tag", "-a", "v1", "-m", &format!("release {tagged}")]);
    repo.write("app/settings.py", &format!("# stashed {stashed}\n"));
    repo.git(&["stash", "-q"]);
    repo.write(".gitignore", ".env\n");
    repo.commit("ignore", &[]);
    repo.write(".env", &format!("NPM_TOKEN={ignored}\n"));
    Planted { repo, password, side, amended, stashed, ignored, message, tagged, first, amended_commit }
}

fn check(planted: &Planted, report: &Report) {
    assert_eq!(report.incomplete, []);
    let finding = finding_of(report, &planted.password);
    assert_eq!(finding.rule, "postgres-url");
    assert_eq!(finding.place.file, "app/settings.py");
    assert_eq!((finding.place.line, finding.place.column), (401, 8));
    assert_eq!(finding.first_seen_commit.as_ref(), Some(&planted.first));
    assert_eq!(finding.place.commit.as_ref(), Some(&planted.first));
    insta::allow_duplicates! {
        insta::assert_snapshot!(finding.place.author_time.unwrap(), @"2023-11-14T22:15:20Z");
        insta::assert_snapshot!(finding.place.author.as_deref().unwrap(), @"A. Author <author@example.com>");
    }
    assert_eq!((finding.still_visible, finding.occurrences), (Visibility::Reachable, 2));

    let side = finding_of(report, &planted.side);
    assert_eq!((side.place.file.as_str(), side.still_visible), ("deploy.sh", Visibility::Reachable));
    let amended = finding_of(report, &planted.amended);
    assert_eq!((amended.place.file.as_str(), amended.still_visible), ("token.txt", Visibility::Unreachable));
    assert_eq!(amended.first_seen_commit.as_ref(), Some(&planted.amended_commit));
    assert!(!amended.still_reachable);
    let stashed = finding_of(report, &planted.stashed);
    assert_eq!(
        (stashed.place.file.as_str(), stashed.still_visible),
        ("app/settings.py", Visibility::Reachable)
    );
    let ignored = finding_of(report, &planted.ignored);
    assert_eq!((ignored.place.file.as_str(), ignored.still_visible), (".env", Visibility::Current));
    assert_eq!(ignored.place.commit, None);
    let message = finding_of(report, &planted.message);
    assert_eq!(
        (message.place.file.as_str(), message.still_visible),
        ("(commit message)", Visibility::Reachable)
    );
    let tagged = finding_of(report, &planted.tagged);
    assert_eq!((tagged.place.file.as_str(), tagged.still_visible), ("(tag message)", Visibility::Reachable));
    assert_eq!(report.findings.len(), 7);
}

#[test]
fn every_corner_is_searched_loose_or_packed() {
    let planted = planted();
    let loose = planted.repo.scan();
    check(&planted, &loose);
    let shown = format!("{}{loose:?}", serde_json::to_string(&loose).unwrap());
    for value in [&planted.password, &planted.side, &planted.amended, &planted.stashed, &planted.ignored] {
        assert!(!shown.contains(value.as_str()));
        assert!(!shown.contains(value.strip_prefix("npm_").unwrap_or(value)));
    }
    let repack = ["repack", "-q", "-a", "-d", "-f", "--keep-unreachable"];
    for settings in
        ["repack.useDeltaBaseOffset=true", "repack.useDeltaBaseOffset=false", "pack.indexVersion=1"]
    {
        planted.repo.git(&[&["-c", settings], repack.as_slice()].concat());
        planted.repo.git(&["prune-packed"]);
        let packs: Vec<_> = files_below(&planted.repo.path.join(".git/objects/pack"));
        let index =
            packs.iter().find(|file| file.extension().is_some_and(|extension| extension == "idx")).unwrap();
        let listing = planted.repo.git(&["verify-pack", "-v", index.to_str().unwrap()]);
        assert!(listing.contains("chain length = 1"), "no deltas:\n{listing}");
        let packed = planted.repo.scan();
        assert_eq!(packed.findings, loose.findings, "{settings}");
        assert_eq!(
            (packed.blobs, packed.commits, &packed.incomplete),
            (loose.blobs, loose.commits, &Vec::new())
        );
    }
    planted.repo.git(&["pack-refs", "--all"]);
    planted.repo.git(&["gc", "-q"]);
    check(&planted, &planted.repo.scan());
}

#[test]
fn a_value_is_recovered_by_its_finding() {
    let planted = planted();
    let rules = RuleSet::builtin().unwrap();
    let key = key();
    let scanner = Scanner::new(&rules, &key);
    let report = planted.repo.scan();
    let finding = finding_of(&report, &planted.password);
    let recovered = scanner.recover_parts(&planted.repo.path, &finding.id).unwrap().unwrap();
    assert_eq!(
        recovered.secret.expose_text().unwrap(),
        format!("postgres://app:{}@db.internal/orders", planted.password)
    );
    assert_eq!(recovered.password.as_ref().unwrap().expose_text(), Some(planted.password.as_str()));
    assert_eq!(recovered.principal.as_deref(), Some("app"));
    assert!(!format!("{recovered:?}").contains(&planted.password));
    let amended = finding_of(&report, &planted.amended);
    let value = crate::recover(&planted.repo.path, &rules, &key, &amended.id).unwrap().unwrap();
    assert_eq!(value.expose_text(), Some(planted.amended.as_str()));
    assert!(scanner.recover(&planted.repo.path, "F-000000000000").unwrap().is_none());
}

#[test]
fn a_secret_that_is_still_in_head_is_current() {
    let repo = Repo::new();
    let token = text("npm_{alnum:30}{checksum}", 1);
    repo.write("a/b/c.txt", &token);
    let first = repo.commit("one", &[]);
    repo.git(&["mv", "a/b/c.txt", "moved.txt"]);
    let second = repo.commit("two", &[]);
    let report = repo.scan();
    let by_path: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.place.file.as_str(), f.first_seen_commit.clone().unwrap(), f.still_visible))
        .collect();
    assert_eq!(
        by_path,
        [("a/b/c.txt", first, Visibility::Reachable), ("moved.txt", second, Visibility::Current),]
    );
    assert_ne!(report.findings[0].id, report.findings[1].id);
    assert_eq!(report.findings[0].fingerprint, report.findings[1].fingerprint);
}

#[test]
fn merges_and_reintroductions_keep_the_oldest_commit() {
    let repo = Repo::new();
    let token = text("npm_{alnum:30}{checksum}", 1);
    repo.commit("start", &[]);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("t.txt", &token);
    let first = repo.commit("side", &[]);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("other.txt", "x");
    repo.commit("main", &[]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    repo.git(&["rm", "-q", "t.txt"]);
    repo.commit("remove", &[]);
    repo.write("t.txt", &token);
    repo.commit("again", &[]);
    let report = repo.scan();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].first_seen_commit, Some(first));
    assert_eq!(report.findings[0].still_visible, Visibility::Current);
}

#[test]
fn staged_and_forgotten_blobs_are_found() {
    let repo = Repo::new();
    repo.commit("start", &[]);
    let token = text("npm_{alnum:30}{checksum}", 1);
    repo.write("t.txt", &token);
    repo.git(&["add", "t.txt"]);
    repo.git(&["rm", "-q", "-f", "t.txt"]);
    let report = repo.scan();
    let finding = finding_of(&report, &token);
    assert!(finding.place.file.starts_with("(blob "), "{}", finding.place.file);
    assert_eq!(finding.still_visible, Visibility::Unreachable);
}

#[test]
fn rules_for_paths_see_the_paths_of_the_history() {
    let repo = Repo::new();
    repo.write("keep.conf", "k=abcdef");
    repo.write("skip.txt", "k=abcdef");
    repo.write("vendor/keep.conf", "k=abcdef");
    repo.commit("one", &[]);
    let rules = "[[rules]]\nid='a'\nregex='k=\\w+'\nkeywords=['k=']\npath='\\.conf$'\n[allowlist]\npaths=['^vendor/']\n";
    let rules = RuleSet::parse("test.toml", rules).unwrap();
    let report = Scanner::new(&rules, &key()).path(&repo.path, &mut |_| {}).unwrap();
    let files: Vec<_> = report.findings.iter().map(|finding| finding.place.file.as_str()).collect();
    assert_eq!(files, ["keep.conf"]);
}

#[test]
fn archives_in_a_history_are_looked_into_and_attributed() {
    let repo = Repo::new();
    let token = expand("ghp_{alnum:36}", 77).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(token.len() as u64);
    builder.append_data(&mut header, "etc/app.env", token.as_bytes()).unwrap();
    std::fs::write(repo.path.join("backup.tar"), builder.into_inner().unwrap()).unwrap();
    let first = repo.commit("add", &[]);
    std::fs::remove_file(repo.path.join("backup.tar")).unwrap();
    repo.commit("remove", &[]);
    let report = repo.scan();
    let places: Vec<_> = report.findings.iter().map(|finding| finding.place.file.as_str()).collect();
    assert_eq!(places, ["backup.tar!/etc/app.env"]);
    assert_eq!(report.findings[0].first_seen_commit.as_deref(), Some(first.trim()));
    assert_eq!(report.findings[0].still_visible, Visibility::Reachable);
}
