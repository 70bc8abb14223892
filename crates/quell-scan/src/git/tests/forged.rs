//! Databases that git would never make.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

use super::*;
use crate::git::index::Index;
use crate::git::object::Commit;
use crate::git::pack::Pack;
use crate::git::{ObjectFormat, Oid, delta, inflate, object};

pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A pack of raw entries and an index that names them `01…`, `02…` and so on.
fn forge(folder: &Path, entries: &[Vec<u8>]) -> PathBuf {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
    let mut offsets = Vec::new();
    for entry in entries {
        offsets.push(u32::try_from(pack.len()).unwrap());
        pack.extend(entry);
    }
    let checksum: [u8; 20] = Sha1::digest(&pack).into();
    pack.extend(checksum);
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..256_usize {
        index.extend(u32::try_from(first.min(entries.len())).unwrap().to_be_bytes());
    }
    for number in 1..=entries.len() {
        index.extend([u8::try_from(number).unwrap(); 20]);
    }
    index.extend(vec![0; entries.len() * 4]);
    for offset in offsets {
        index.extend(offset.to_be_bytes());
    }
    index.extend(checksum);
    index.extend([0; 20]);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("pack-1.pack"), pack).unwrap();
    std::fs::write(folder.join("pack-1.idx"), index).unwrap();
    folder.join("pack-1.idx")
}

fn header(kind: u8, size: u8) -> u8 {
    assert!(size < 16);
    kind << 4 | size
}

fn ref_delta(base: u8, delta: &[u8]) -> Vec<u8> {
    let mut entry = vec![header(7, u8::try_from(delta.len()).unwrap())];
    entry.extend([base; 20]);
    entry.extend(zlib(delta));
    entry
}

fn read(index: &Path, number: u8) -> Result<Vec<u8>, String> {
    let pack = Pack::open(index, ObjectFormat::Sha1).map_err(|trouble| trouble.to_string())?;
    let offset = pack.index.find(Oid::from_bytes(&[number; 20]).unwrap()).unwrap();
    let mut cache = crate::git::cache::Cache::default();
    pack.read(0, offset, &mut cache, &mut inflate::Inflater::new())
        .map(|object| object.data.to_vec())
        .map_err(|trouble| trouble.to_string())
}

#[test]
fn deltas_that_need_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = forge(folder.path(), &[ref_delta(2, &[1, 1, 0x90, 1]), ref_delta(1, &[1, 1, 0x90, 1])]);
    insta::assert_snapshot!(read(&index, 1).unwrap_err(), @"its delta chain is longer than 4200, or a cycle");
}

#[test]
fn entries_that_lie_about_themselves_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = vec![header(3, 5)];
    small.extend(zlib(b"hello"));
    let mut short = vec![header(3, 9)];
    short.extend(zlib(b"hello"));
    let mut long = vec![header(3, 2)];
    long.extend(zlib(b"hello"));
    // 2^60 bytes declared.
    let mut huge = vec![0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    huge.extend(zlib(b"hello"));
    let unknown = vec![header(5, 1), 0];
    let mut far = vec![header(6, 1), 0xff, 0x7f];
    far.extend(zlib(b"x"));
    let index = forge(
        folder.path(),
        &[small, short, long, huge, unknown, far, ref_delta(9, &[0]), ref_delta(1, &[5, 5, 0x91, 3, 5])],
    );
    assert_eq!(read(&index, 1).unwrap(), b"hello");
    let errors: Vec<_> = (2..=8).map(|number| read(&index, number).unwrap_err()).collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
does not hold as many bytes as it declares
holds more bytes than it declares
declares 1152921504606846975 bytes, more than the limit of 536870912
its type is unknown
its delta base is outside the pack
its delta base is not in the pack
its delta copies from beyond its base
"#);
}

#[test]
fn deltas_are_checked() {
    let apply = |delta: &[u8]| delta::apply(b"hello", delta, 1000).map_err(|trouble| trouble.to_string());
    // Copy four bytes from offset 1, insert two.
    assert_eq!(apply(&[5, 6, 0x91, 1, 4, 2, b'!', b'!']).unwrap(), b"ello!!");
    let wrong: [&[u8]; 9] = [
        &[],
        &[5],
        &[4, 1, 1, b'x'],
        &[5, 1, 0],
        &[5, 1, 2, b'x'],
        &[5, 2, 0x91, 4, 2],
        &[5, 1, 0x91, 0, 2],
        &[5, 9, 1, b'x'],
        &[5, 0xff, 0xff, 0x7f],
    ];
    let errors: Vec<_> = wrong.iter().map(|delta| apply(delta).unwrap_err()).collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
its delta is cut off
its delta is cut off
its delta is for another base
its delta has a reserved instruction
its delta is cut off
its delta copies from beyond its base
its delta makes more bytes than it declares
its delta makes fewer bytes than it declares
declares 2097151 bytes, more than the limit of 1000
"#);
}

#[test]
fn a_bomb_is_not_believed() {
    let mut state = inflate::Inflater::new();
    let packed = zlib(&vec![0; 1 << 20]);
    assert_eq!(inflate::inflate(&mut state, &packed, 1 << 20).unwrap().len(), 1 << 20);
    assert!(inflate::inflate(&mut state, &packed, 1 << 19).is_err());
    assert!(inflate::inflate(&mut state, &packed, 1 << 40).is_err());
    assert!(inflate::inflate(&mut state, &packed[..packed.len() / 2], 1 << 20).is_err());
}

#[test]
fn a_tree_that_holds_itself_many_times_over_ends() {
    let repo = Repo::new();
    let token = text("npm_{alnum:30}{checksum}", 1);
    repo.write("t.txt", &token);
    repo.git(&["add", "-A"]);
    let mut tree = repo.git(&["write-tree"]);
    // Eight entries a level, forty levels: 8^40 paths to one blob.
    for _ in 0..40 {
        let listing =
            (0..8).map(|entry| format!("040000 tree {tree}\td{entry}\n")).collect::<Vec<_>>().concat();
        std::fs::write(repo.path.join("listing"), listing).unwrap();
        let file = std::fs::File::open(repo.path.join("listing")).unwrap();
        let output = Command::new("git").current_dir(&repo.path).arg("mktree").stdin(file).output().unwrap();
        tree = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    }
    let mut report = Report::default();
    let repository = crate::git::discover(&repo.path).unwrap().unwrap();
    let mut database = crate::git::database::Database::open(&repository, &mut report).unwrap();
    let interest = std::iter::once(Oid::from_hex(&repo.git(&["hash-object", "t.txt"])).unwrap()).collect();
    let bomb = Oid::from_hex(&tree).unwrap();
    let history = crate::git::commits::History::default();
    let (sights, _missing) =
        crate::git::attribute::Attribution::limited(&mut database, &mut report, interest, 1000).run(
            &history,
            None,
            &[bomb],
        );
    assert!(!sights.values().next().unwrap().is_empty());
    assert!(!report.complete());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
        let oid = Oid::from_bytes(&[0; 20]).unwrap();
        drop(Index::parse(bytes.clone(), ObjectFormat::Sha1));
        drop(Index::parse([b"\xfftOc\0\0\0\x02", bytes.as_slice()].concat(), ObjectFormat::Sha256));
        drop(Commit::parse(oid, &bytes));
        drop(Commit::parse(oid, &[b"tree ", bytes.as_slice()].concat()));
        proptest::prop_assert!(object::entries(&bytes, ObjectFormat::Sha1).count() <= bytes.len());
        proptest::prop_assert!(object::tag_target(&bytes).is_none() || bytes.len() > 40);
        drop(delta::apply(b"some base", &bytes, 1 << 20));
        drop(inflate::inflate(&mut inflate::Inflater::new(), &bytes, 100));
    }

    #[test]
    fn no_entry_makes_a_pack_panic(entry in proptest::collection::vec(proptest::num::u8::ANY, 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = vec![header(3, 5)];
        whole.extend(zlib(b"hello"));
        let index = forge(folder.path(), &[whole, entry]);
        drop(read(&index, 2));
    }
}
