//! Objects of every shape: in pieces, damaged, packed to be large, changing meanwhile.

use std::io::Write as _;

use super::*;
use crate::object::Object;

const ID: &str = "AKIAEXAMPLEEXAMPLE01";

/// What an object of these bytes gives, of the id.
fn search(bytes: &[u8]) -> Seen {
    found(bytes, vec![Needle::id(ID).unwrap()])
}

/// The same, of some needles.
fn found(bytes: &[u8], needles: Vec<Needle>) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.log");
    std::fs::write(&path, bytes).unwrap();
    let [one] = crate::object::list(&[path]).unwrap().try_into().unwrap();
    look(&one, needles)
}

/// The same, of an object that was listed before.
fn look(one: &Object, needles: Vec<Needle>) -> Seen {
    let needles = &Needles::new(needles).unwrap();
    let (digests, hints) = (&Digests::default(), &Hints::default());
    let task = Task { needles, digests, hints, edges: AtomicI64::new(0), first: true, hash: false };
    object(Next { at: 0, object: one, fetch: None }, &task, &mut Unpacker::default())
}

fn gz(text: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text).unwrap();
    out.finish().unwrap()
}

#[test]
fn a_needle_is_found_across_pieces_and_its_line_is_placed() {
    for padding in [0, 1, BLOCK - 30, BLOCK - 10, BLOCK, 2 * BLOCK + 7] {
        let text = format!("{}\n2026-03-02T10:00:00Z key {ID} seen\nlast\n", "x".repeat(padding));
        for stored in [text.clone().into_bytes(), gz(text.as_bytes())] {
            let seen = search(&stored);
            assert_eq!(seen.fate, Fate::Scanned);
            assert_eq!(seen.accesses.len(), 1, "padding {padding}");
            assert_eq!(seen.accesses[0].place, padding as u64 + 1);
            assert_eq!(seen.accesses[0].time, Some("2026-03-02T10:00:00Z".parse().unwrap()));
            assert_eq!(seen.searched, text.len() as u64);
        }
    }
}

#[test]
fn a_record_of_several_lines_is_one_in_one_piece_and_across_pieces() {
    let record = |user: &str, message: &str| {
        format!(
            "2026-03-02 10:00:00.123 UTC,\"{user}\",\"orders\",77,\"203.0.113.9:5\",69a55a20.4d,2,\"SELECT\",x,3/4,0,LOG,00000,\
             \"{message}\",,,,,,,,,\"psql\",\"client backend\",,0\n"
        )
    };
    let rest = record("other", "statement: SELECT 1");
    for count in [0, 1, BLOCK / rest.len() - 1, BLOCK / rest.len()] {
        let audit =
            "AUDIT: SESSION,2,1,READ,SELECT,TABLE,public.account,\"\"select\n *\n from account\"\",<none>";
        let text = format!("{}{}{rest}", rest.repeat(count), record(ID, audit));
        for stored in
            [text.clone().into_bytes(), gz(text.as_bytes()), zstd::encode_all(text.as_bytes(), 1).unwrap()]
        {
            let seen = search(&stored);
            let [access] = seen.accesses.as_slice() else { panic!("{count}: {:?}", seen.accesses) };
            assert_eq!((access.action.as_str(), seen.unparsed), ("SELECT", 0));
            assert_eq!(access.place, (rest.len() * count) as u64);
            assert_eq!(seen.last, Some("2026-03-02T10:00:00.123Z".parse().unwrap()));
        }
    }
}

#[test]
fn damage_is_told_and_what_was_found_before_it_is_kept() {
    let text = format!("{ID}\n{}", "0123456789abcdef\n".repeat(2 << 20));
    let mut cut = gz(text.as_bytes());
    cut.truncate(cut.len() - 20);
    let seen = search(&cut);
    assert!(matches!(&seen.fate, Fate::Corrupt(why) if why.contains("cut off")), "{:?}", seen.fate);
    assert_eq!(seen.accesses.len(), 1);
    let mut wrong = gz(b"{\"Records\":[]}");
    let last = wrong.len() - 6;
    wrong[last] ^= 1;
    assert!(matches!(search(&wrong).fate, Fate::Corrupt(_)), "the checksum does not fit");
}

#[test]
fn documents_that_end_early_and_files_that_are_no_text_are_told() {
    assert!(matches!(search(b"{\"Records\":[{\"a\":1},").fate, Fate::Corrupt(_)));
    assert!(matches!(search(b"\x7fELF\0\0\0").fate, Fate::WrongFormat(_)));
    let wide: Vec<u8> = format!("\u{feff}{ID}\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(search(&wide).fate, Fate::WrongFormat(why) if why.contains("UTF-16")));
    assert_eq!(search(b"").fate, Fate::Scanned);
    assert_eq!(search(b"{\"Records\":[]}\n").fate, Fate::Scanned);
}

#[test]
fn a_last_line_that_is_cut_off_is_noticed() {
    let line = "{\"time\":\"2026-03-02T10:00:00Z\",\"x\":1}\n";
    assert!(!search(line.repeat(3).as_bytes()).cut_off);
    let seen = search(format!("{}{{\"time\":\"2026-", line.repeat(3)).as_bytes());
    assert!(seen.cut_off);
    assert_eq!(seen.first, Some("2026-03-02T10:00:00Z".parse().unwrap()));
}

/// Megabytes of the same piece, of which only one was compressed: after a full flush deflate refers to nothing before it.
fn gz_of(head: &[u8], piece: &[u8], megabytes: usize) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut packed = |text: &[u8]| {
        let mut out = Vec::with_capacity(64 << 10);
        deflate.compress_vec(text, &mut out, flate2::FlushCompress::Full).unwrap();
        out
    };
    let (head, piece) = (packed(head), packed(&piece.repeat((1 << 20) / piece.len())));
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], head.as_slice(), &piece.repeat(megabytes)].concat()
}

#[test]
fn a_bomb_is_no_log() {
    let why = |bomb: &[u8]| {
        let fate = search(bomb).fate;
        assert_eq!(fate.word(), "too large", "{fate:?}");
        fate.why().unwrap().to_owned()
    };
    assert!(why(&gz_of(b"x", b" ", 1100)).contains("a line of more than 128 MiB"));
    assert!(why(&gz_of(b"{\"Records\":[", b"0,", 1100)).contains("a document of more than"));
    // Lines without an end, as blocks of one byte repeated (RFC 8878, 3.1.1.2.2): a frame without a size, then 128 KiB each.
    let mut lines = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
    for _ in 0..(1100 << 20) / (128 << 10) {
        let header = 2 | (128_u32 << 10) << 3;
        lines.extend(header.to_le_bytes().iter().take(3));
        lines.push(b'\n');
    }
    let told = why(&lines);
    assert!(told.contains("more than 200 times its size") && told.contains("bytes were searched"), "{told}");
}

#[test]
fn what_shrinks_between_two_looks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.log");
    let changed = |before: &[u8], after: Option<&[u8]>| {
        std::fs::write(&path, before).unwrap();
        let [one] = crate::object::list(std::slice::from_ref(&path)).unwrap().try_into().unwrap();
        match after {
            Some(after) => std::fs::write(&path, after).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        look(&one, vec![Needle::id(ID).unwrap()])
    };
    let line = format!("{ID}\n");
    let seen = changed(line.repeat(3).as_bytes(), Some(line.as_bytes()));
    assert!(
        matches!(&seen.fate, Fate::Corrupt(why) if why.contains("shrank from 63 to 21")),
        "{:?}",
        seen.fate
    );
    assert_eq!(seen.accesses.len(), 1, "what is still there is told");
    let grown = changed(line.as_bytes(), Some(line.repeat(3).as_bytes()));
    assert_eq!((grown.fate, grown.accesses.len()), (Fate::Scanned, 3));
    assert!(matches!(changed(line.as_bytes(), None).fate, Fate::Unreadable(_)));
    assert_eq!(changed(&gz(line.as_bytes()), Some(&gz(line.as_bytes()))).fate, Fate::Scanned);
}

#[test]
fn a_value_of_several_lines_is_found_across_pieces() {
    let value = "first line\nsecond line\nthird";
    let needles = || {
        let secret = quell_core::secret::SecretValue::from_text(value.to_owned());
        Needle::value("the value", &secret).unwrap()
    };
    // So large that it is read in pieces, which end after the first or the second line of the value, or elsewhere.
    let size = 17 << 20;
    for cut in [BLOCK - 30, BLOCK - 11, BLOCK - 9, BLOCK - 5, BLOCK + 9, 2 * BLOCK - 25, 3 * BLOCK - 13] {
        let filler = format!("{}\n", "x".repeat(cut - 1));
        let rest = "y\n".repeat((size - cut) / 2);
        let seen = found(format!("{filler}{value} it was\n{rest}").as_bytes(), needles());
        assert_eq!((seen.accesses.len(), seen.unparsed), (1, 1), "cut at {cut}");
        let place = cut + "first line\nsecond line\n".len();
        assert_eq!(seen.accesses[0].place, place as u64);
        assert!(seen.accesses[0].action.contains("several lines"));
    }
    let broken =
        format!("{}first line\nsecond\nline\nthird\n{}", "x\n".repeat(BLOCK / 2 - 5), "y\n".repeat(size / 2));
    assert!(found(broken.as_bytes(), needles()).accesses.is_empty());
}

#[test]
fn an_id_with_escapes_that_need_not_be_is_found_in_lines_and_documents() {
    let hidden = format!("\\u0041{}", ID.strip_prefix('A').unwrap());
    let token = |id: &str| {
        format!(
            r#"{{"time":"2026-03-02T10:00:00Z","type":"response","auth":{{"client_token":"{id}"}},"request":{{"id":"q","operation":"read","path":"kv/x"}}}}"#
        )
    };
    let needle = || vec![Needle::id(ID).unwrap()];
    let seen = found(format!("{}\n{}\n{}\n", token("other"), token(&hidden), token(ID)).as_bytes(), needle());
    assert_eq!((seen.accesses.len(), seen.unparsed), (2, 0));
    assert!(seen.accesses.iter().all(|it| it.role == crate::record::Role::Used), "{:?}", seen.accesses);
    let record = format!(
        r#"{{"eventName":"GetObject","eventSource":"s3.amazonaws.com","userIdentity":{{"accessKeyId":"{hidden}"}}}}"#
    );
    let seen = found(format!("{{\"Records\":[{{}},{record}]}}").as_bytes(), needle());
    let told: Vec<_> = seen.accesses.iter().map(|it| (it.place, it.role)).collect();
    assert_eq!(told, [(2, crate::record::Role::Used)]);
}

#[test]
fn what_an_object_gave_is_small() {
    // A pass holds one for each object: those of a year are a million and more.
    let size = size_of::<Seen>();
    assert!(size <= 256, "{size} bytes");
}
