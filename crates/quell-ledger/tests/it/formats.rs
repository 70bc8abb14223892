//! Notes, checkpoints, proofs and archives: known values, and input that must be refused.

use quell_ledger::archive::{self, ArchiveError, Files};
use quell_ledger::note::{Note, NoteError, Signature};
use quell_ledger::{Checkpoint, Proof, SigningKey, VerifierKey};

use super::sample::{ORIGIN, key};

/// The example of the C2SP signed-note specification and of Go's `sumdb/note`: key and note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_note_of_another_implementation_verifies() {
    let peter: VerifierKey = PETER.parse().unwrap();
    assert_eq!(peter.to_string(), PETER);
    let note: Note = PETER_NOTE.parse().unwrap();
    assert_eq!(note.to_string(), PETER_NOTE);
    assert_eq!(note.verify(&[&peter]).unwrap(), [&peter]);
}

#[test]
fn a_note_of_several_signatures() {
    let (one, two) = (key(1), key(2));
    let mut note = Note::sign("a\n\nb\n", &[&one, &two]).unwrap();
    note.add(Signature { name: "witness.example".to_owned(), id: [9; 4], bytes: vec![6; 2_424] });
    let text = note.to_string();
    let read: Note = text.parse().unwrap();
    assert_eq!((read.text.as_str(), read.signatures.len()), ("a\n\nb\n", 3));
    assert_eq!(read, note, "the signature of an unknown type is kept");
    assert_eq!(read.verify(&[two.verifier(), one.verifier()]).unwrap().len(), 2);
    assert_eq!(read.verify(&[two.verifier()]).unwrap(), [two.verifier()]);
    assert!(matches!(read.verify(&[key(3).verifier()]), Err(NoteError::NotSigned { .. })));
    // A wrong signature of a known key spoils the note, even next to a right one.
    let mut wrong = read;
    wrong.signatures[1].bytes[0] ^= 1;
    assert!(matches!(wrong.verify(&[one.verifier(), two.verifier()]), Err(NoteError::BadSignature { .. })));
    wrong.verify(&[one.verifier()]).unwrap();
}

#[test]
fn any_flipped_bit_of_a_note_is_noticed() {
    let text = Note::sign("a text\n", &[&key(1)]).unwrap().to_string().into_bytes();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.clone();
            flipped[at] ^= 1 << bit;
            let result = String::from_utf8(flipped).ok().and_then(|text| text.parse::<Note>().ok());
            let accepted = result.is_some_and(|note| note.verify(&[key(1).verifier()]).is_ok());
            assert!(!accepted, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn bad_notes_say_what_is_wrong() {
    let line = Note::sign("t\n", &[&key(1)]).unwrap().signatures[0].to_string();
    let cases = [
        ("", "no empty line"),
        ("t\n", "no empty line"),
        ("t\n\n", "does not end in a newline"),
        ("\n\n— a AAAAAAA=\n", "text of a note must be non-empty"),
        ("t\tx\n\n— a AAAAAAA=\n", "no other control character"),
        ("t\n\n- a AAAAAAA=\n", "line 1 of the note cannot be read: it does not begin with an em dash"),
        ("t\n\n— a\n", "no space between"),
        ("t\n\n— a+b AAAAAAA=\n", "the key name is not valid"),
        ("t\n\n— a AAAAAAB=\n", "not canonical base64"),
        ("t\n\n— a AAAA\n", "shorter than a key id"),
        ("t\n\n— a AAAAAA==\n", "no signature"),
        (&format!("t\n\n{line}{line}"), "line 2 of the note cannot be read: the same key signed twice"),
        (&format!("t\n\n{line}\n"), "does not end in a newline"),
        (&format!("t\n\n{}", "x\n".repeat(65)), "line 1"),
    ];
    for (note, expected) in cases {
        let error = note.parse::<Note>().unwrap_err().to_string();
        assert!(error.contains(expected), "{note:?}: expected `{expected}`, got `{error}`");
    }
    let many: Vec<String> = (0..65_u32).map(|n| format!("— k{n} AAAAAAA=\n")).collect();
    assert!(
        format!("t\n\n{}", many.concat()).parse::<Note>().unwrap_err().to_string().contains("more than 64")
    );
    assert!("x".repeat(2 << 20).parse::<Note>().unwrap_err().to_string().contains("longer than 1 MiB"));
    assert!(Note::sign("no newline", &[&key(1)]).is_err());
    assert!(Note::sign("t\n", &[]).is_err());
    assert!(SigningKey::from_seed("a name", &[0; 32]).is_err());
    let shown = format!("{:?}", key(1));
    assert!(
        shown.starts_with("SigningKey(quell/00000000-test/ledger/1+") && shown.ends_with(", …)"),
        "{shown}"
    );
}

#[test]
fn bad_verifier_keys_say_what_is_wrong() {
    let good = key(1).verifier().to_string();
    let cases = [
        ("x", "expected `name+hash+base64`"),
        (&good.replace("+A", "+B"), "bad verifier key"),
        (good.strip_suffix(|_: char| true).unwrap(), "canonical base64"),
        ("a+00000000+AAAA", "only Ed25519"),
        ("a+00000000+", "the key is empty"),
        ("a+00000000+AQAA", "32 bytes"),
        (&PETER.replace("c74f20a3", "c74f20a4"), "the hash does not fit"),
        (&PETER.replace("c74f20a3", "C74F20A3"), "the hash does not fit"),
        ("a+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "weak point"),
    ];
    for (text, expected) in cases {
        let error = text.parse::<VerifierKey>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: expected `{expected}`, got `{error}`");
    }
}

#[test]
fn checkpoints_have_one_form() {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 7, root: [7; 32] };
    let note = checkpoint.sign(&[&key(1)]).unwrap();
    assert_eq!(Checkpoint::open(&note, ORIGIN, &[key(1).verifier()]).unwrap(), checkpoint);
    assert_eq!(Checkpoint::parse_unverified(&note).unwrap(), checkpoint);
    assert!(
        Checkpoint::open(&note, "quell/x", &[key(1).verifier()])
            .unwrap_err()
            .to_string()
            .contains("of the log")
    );
    for origin in ["", "two\nlines", "tab\t"] {
        let bad = Checkpoint { origin: origin.to_owned(), ..checkpoint.clone() };
        assert!(bad.sign(&[&key(1)]).is_err(), "{origin:?}");
    }
    let root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let cases = [
        (format!("o\n07\n{root}\n"), "line 2"),
        (format!("o\n-7\n{root}\n"), "line 2"),
        (format!("o\n7\n{}\n", root.replace("wc=", "wd=")), "line 3"),
        (format!("o\n7\n{root}\nextension\n"), "line 4"),
        ("o\n7\n".to_owned(), "line 3"),
        (format!("\n7\n{root}\n"), "line 1"),
    ];
    for (body, expected) in cases {
        let note = Note::sign(&body, &[&key(1)]).unwrap().to_string();
        let error = Checkpoint::open(&note, "o", &[key(1).verifier()]).unwrap_err().to_string();
        assert!(error.contains(expected), "{body:?}: {error}");
    }
}

#[test]
fn bad_proofs_say_what_is_wrong() {
    let hash = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
    let header = "c2sp.org/tlog-proof@v1\n";
    let cases = [
        (String::new(), "line 1"),
        (format!("c2sp.org/tlog-proof@v2\nindex 1\n{hash}\nc"), "expected `c2sp.org/tlog-proof@v1`"),
        (format!("{header}extra AAAA\nindex 1\n\nc"), "`extra` data"),
        (format!("{header}index 01\n\nc"), "line 2"),
        (format!("{header}index 1\nxx\n\nc"), "line 3: expected a hash"),
        (format!("{header}index 1\n{hash}"), "line 4: the empty line"),
        (format!("{header}index 1\n{}\nc", hash.repeat(65)), "more than 64"),
    ];
    for (text, expected) in cases {
        let error = Proof::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: expected `{expected}`, got `{error}`");
    }
    let good = format!("{header}index 1\n{hash}\nrest\n");
    assert_eq!(Proof::parse(&good).unwrap().to_text(), good);
}

fn files(names: &[&str]) -> Files {
    names.iter().map(|name| ((*name).to_owned(), b"content".to_vec())).collect()
}

#[test]
fn archives_round_trip_and_are_deterministic() {
    let mut all = files(&["a", "b/c", "b/d", &"n".repeat(100)]);
    all.insert("empty".to_owned(), Vec::new());
    all.insert("block".to_owned(), vec![1; 512]);
    let tar = archive::write(&all).unwrap();
    assert_eq!(tar.len() % 512, 0);
    assert_eq!(archive::read(&tar).unwrap(), all);
    assert_eq!(archive::read(&archive::write(&Files::new()).unwrap()).unwrap(), Files::new());
}

#[test]
fn any_flipped_bit_of_an_archive_is_refused_or_is_content() {
    let mut all = files(&["a", "b/c"]);
    all.insert("empty".to_owned(), Vec::new());
    let tar = archive::write(&all).unwrap();
    let content = [512..512 + 7, 1536..1536 + 7];
    for at in 0..tar.len() {
        for bit in 0..8 {
            let mut changed = tar.clone();
            changed[at] ^= 1 << bit;
            let accepted = archive::read(&changed).is_ok();
            assert_eq!(accepted, content.iter().any(|range| range.contains(&at)), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn bad_paths_are_refused() {
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "./a",
        "a b",
        "a\\b",
        "a\0",
        "ä",
        &"n".repeat(101),
    ] {
        let error = archive::write(&files(&[path])).unwrap_err();
        assert!(matches!(error, ArchiveError::Path { .. }), "{path:?}: {error}");
    }
    assert!(
        archive::write(&files(&["a", "a-b", "a/b"]))
            .unwrap_err()
            .to_string()
            .contains("both a file and a folder")
    );
}

#[test]
fn bad_archives_say_where() {
    let tar = archive::write(&files(&["a", "b"])).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = tar.clone();
        bytes[at] = byte;
        archive::read(&bytes).unwrap_err().to_string()
    };
    assert_eq!(changed(156, b'2'), "at byte 156: the header of `a` is not canonical in its type");
    assert_eq!(changed(100, b'1'), "at byte 100: the header of `a` is not canonical in its mode");
    assert_eq!(changed(148, b'7'), "at byte 148: the header of `a` is not canonical in its checksum");
    assert_eq!(changed(345, b'x'), "at byte 345: the header of `a` is not canonical in its prefix");
    assert_eq!(changed(124, b'x'), "at byte 124: the header of `a` is not canonical in its size");
    assert_eq!(changed(134, b'6'), "at byte 153: the header of `a` is not canonical in its checksum");
    assert_eq!(changed(512 + 7, 1), "at byte 519: the padding after `a` is not zero");
    assert_eq!(changed(2 * 1024 + 600, 1), "at byte 2648: the padding after the last file is not zero");
    let mut longer = tar.clone();
    longer.extend_from_slice(&[0; 512]);
    assert_eq!(archive::read(&longer).unwrap_err(), ArchiveError::Trailing { offset: tar.len() });
    for len in [0, 100, 512, 700, 1024, 2048, 2560, tar.len() - 1] {
        assert!(matches!(archive::read(&tar[..len]), Err(ArchiveError::Truncated { .. })), "{len}");
    }
    let mut twice = tar[..1024].to_vec();
    twice.extend_from_slice(&tar);
    assert!(archive::read(&twice).unwrap_err().to_string().contains("`a` is a duplicate or out of order"));
    let mut order = tar[1024..2048].to_vec();
    order.extend_from_slice(&tar);
    assert!(matches!(archive::read(&order), Err(ArchiveError::Order { offset: 1024, .. })));
}
