//! One pass over the packs must say what look-ups of single trees say.

use std::collections::BTreeSet;

use super::*;
use crate::git::attribute::Attribution;
use crate::git::commits::History;
use crate::git::database::Database;
use crate::git::forest::Forest;
use crate::git::object::Commit;
use crate::git::{Kind, Oid, discover};

/// Attribution of some blobs of a repository, as text, and what was told.
fn attribute(repo: &Repo, interest: &BTreeSet<Oid>, surveyed: bool) -> (String, Report) {
    let mut report = Report::default();
    let repository = discover(&repo.path).unwrap().unwrap();
    let mut database = Database::open(&repository, &mut report).unwrap();
    let mut commits = Vec::new();
    for line in repo.git(&["rev-list", "--all"]).lines() {
        let oid = Oid::from_hex(line).unwrap();
        let object = database.read(oid).unwrap().unwrap();
        assert_eq!(object.kind, Kind::Commit);
        commits.extend(Commit::parse(oid, &object.data));
    }
    let mut history = History::new(commits);
    let head = Oid::from_hex(&repo.git(&["rev-parse", "HEAD"])).unwrap();
    let (at, _) = history.find(head).unwrap();
    history.reach(at);
    let forests: Vec<(Vec<u8>, Forest)> = database
        .packs
        .iter()
        .map(|pack| (pack.index.pack_checksum.clone(), Forest::build(pack, &|_| true)))
        .collect();
    assert!(!forests.is_empty() || !surveyed);
    let mut attribution = Attribution::new(&mut database, &mut report, interest.clone());
    if surveyed {
        attribution = attribution.surveyed(&forests, 2);
    }
    let (sights, missing) = attribution.run(&history, Some(head), &[]);
    (format!("{missing} {sights:#?}"), report)
}

/// A repository whose folders come, go, move and change, in three packs and some loose objects.
fn busy(format: &str, seed: u64) -> (Repo, BTreeSet<Oid>) {
    let repo = Repo::of_format(format);
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut interest = BTreeSet::new();
    for file in 0..120 {
        repo.write(&format!("d{}/e{}/f{file}.txt", file % 5, file % 7), &format!("{file}\n"));
    }
    for step in 0..60 {
        for _ in 0..3 {
            let path = format!("d{}/e{}/f{}.txt", random(5), random(7), random(120));
            match random(4) {
                0 => drop(std::fs::remove_file(repo.path.join(&path))),
                1 => repo.write(&path, &format!("secret {}\n", random(4))),
                _ => repo.write(&path, &format!("{step} {}\n", random(1000))),
            }
        }
        if step % 20 == 7 {
            drop(std::fs::rename(repo.path.join("d1"), repo.path.join(format!("m{step}"))));
        }
        repo.commit("step", &[]);
        if step == 25 {
            repo.git(&["repack", "-q", "-d", "--window=50", "--depth=50"]);
        } else if step == 50 {
            repo.git(&["repack", "-q", "-d", "-F", "--window=50"]);
        }
    }
    for number in 0..4 {
        let oid = repo.write_blob(&format!("secret {number}\n"));
        interest.insert(Oid::from_hex(&oid).unwrap());
    }
    (repo, interest)
}

#[test]
fn a_pass_over_packs_and_single_look_ups_agree() {
    for (format, seed) in [("sha1", 1), ("sha256", 2)] {
        let (repo, interest) = busy(format, seed);
        for all_in_one in [false, true] {
            if all_in_one {
                repo.git(&["repack", "-q", "-a", "-d", "-F", "--window=50", "--depth=50"]);
            }
            let (expected, _) = attribute(&repo, &interest, false);
            let (found, report) = attribute(&repo, &interest, true);
            assert!(expected.matches("introduced").count() > 4, "{expected}");
            assert_eq!(found, expected);
            assert!(report.complete(), "{:?}", report.incomplete);
        }
    }
}

#[test]
fn blobs_that_are_not_here_are_told_by_both() {
    let (repo, interest) = busy("sha1", 3);
    let clone = tempfile::tempdir().unwrap();
    let path = clone.path().join("part");
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let from = format!("file://{}", repo.path.display());
    let to = path.to_str().unwrap();
    repo.git(&["clone", "-q", "--bare", "--filter=blob:none", &from, to]);
    let part = Repo { _folder: clone, path, clock: std::cell::Cell::new(1_700_000_000) };
    let (expected, told) = attribute(&part, &interest, false);
    let (found, also_told) = attribute(&part, &interest, true);
    assert_eq!(found, expected);
    let names =
        |report: &Report| report.incomplete.iter().map(|part| part.what.clone()).collect::<BTreeSet<_>>();
    assert!(names(&told).len() > 20, "{:?}", told.incomplete);
    assert_eq!(names(&also_told), names(&told));
}
