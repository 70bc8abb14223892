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

/// The size of something in seven bits a byte, lowest first, behind `first` bits that are given.
fn sized(first: u8, bits: u32, size: usize) -> Vec<u8> {
    let mut rest = size >> bits;
    let mut bytes = vec![first | u8::try_from(size & ((1 << bits) - 1)).unwrap()];
    while rest > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    bytes
}

/// Kind, content, and the base with its length.
type Packed<'d> = (u8, &'d [u8], Option<(Oid, usize)>);

/// A pack of objects, each whole or as a delta of another one that copies nothing from it, as `git index-pack` takes it.
fn pack(objects: &[Packed<'_>]) -> Vec<u8> {
    use sha1::Digest as _;
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(objects.len()).unwrap().to_be_bytes());
    for (kind, data, base) in objects {
        let mut body = data.to_vec();
        if let Some((_, length)) = base {
            assert!(data.len() < 127);
            body = [sized(0, 7, *length), sized(0, 7, data.len()), vec![u8::try_from(data.len()).unwrap()]]
                .concat();
            body.extend_from_slice(data);
        }
        pack.extend(sized(if base.is_some() { 7 } else { *kind } << 4, 4, body.len()));
        pack.extend(base.iter().flat_map(|(oid, _)| oid.as_bytes().to_vec()));
        pack.extend(forged::zlib(&body));
    }
    let checksum = sha1::Sha1::digest(&pack);
    pack.extend(checksum);
    pack
}

#[test]
fn a_tree_may_be_a_delta_of_one_that_holds_it() {
    let repo = Repo::of_format("sha1");
    let (commit, tree, blob) = (1, 2, 3);
    let id = |kind: u8, data: &[u8]| {
        let kind = [Kind::Commit, Kind::Tree, Kind::Blob][usize::from(kind - 1)];
        crate::git::search::object_id(kind, data, crate::git::ObjectFormat::Sha1).unwrap()
    };
    let entry =
        |mode: &str, name: &str, oid: Oid| [format!("{mode} {name}\0").as_bytes(), oid.as_bytes()].concat();
    let (secret, one, two) = (b"secret".as_slice(), b"1".as_slice(), b"2".as_slice());
    let inner = entry("100644", "env", id(blob, secret));
    let middle = entry("40000", "b", id(tree, &inner));
    let root = |readme: &[u8]| {
        [entry("40000", "a", id(tree, &middle)), entry("100644", "r", id(blob, readme))].concat()
    };
    let (first, second) = (root(one), root(two));
    let text = |tree: Oid, parent: &str| {
        format!(
            "tree {tree}\n{parent}author A <a@example.com> 1700000000 +0000\ncommitter A <a@example.com> 1700000000 +0000\n\nx\n"
        )
    };
    let old = text(id(tree, &first), "");
    let new = text(id(tree, &second), &format!("parent {}\n", id(commit, old.as_bytes())));
    let whole = |kind: u8, data| (kind, data, None);
    let packed = pack(&[
        whole(blob, secret),
        whole(blob, one),
        whole(blob, two),
        whole(tree, &first),
        whole(tree, &second),
        (tree, &middle, Some((id(tree, &first), first.len()))),
        (tree, &inner, Some((id(tree, &second), second.len()))),
        whole(commit, old.as_bytes()),
        whole(commit, new.as_bytes()),
    ]);
    let folder = repo.path.join(".git/objects/pack");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pack-1.pack"), packed).unwrap();
    repo.git(&["index-pack", ".git/objects/pack/pack-1.pack"]);
    repo.git(&["update-ref", "HEAD", &id(commit, new.as_bytes()).to_string()]);
    repo.git(&["fsck", "--strict"]);
    let interest = BTreeSet::from([id(blob, secret)]);
    let (expected, _) = attribute(&repo, &interest, false);
    let (found, report) = attribute(&repo, &interest, true);
    assert!(expected.contains("current: true"), "{expected}");
    assert_eq!(found, expected);
    assert!(report.complete(), "{:?}", report.incomplete);
}
