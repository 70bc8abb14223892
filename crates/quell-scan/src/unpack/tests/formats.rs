use super::build::{Member, ar, bz2, gz, tar, xz, zip, zip_of, zst};
use super::*;

#[test]
fn a_token_is_found_in_every_format_and_named() {
    let secret = token(1);
    let line = format!("key = {secret}\n").into_bytes();
    for packed in [gz(&line), bz2(&line), xz(&line), zst(&line), line.clone()] {
        let seen = both(&packed);
        assert!(seen.has("", &secret), "{:?}", seen.skipped);
        assert_eq!(seen.skipped, []);
    }
    for packed in [tar(&[("etc/a", &line)]), zip(&[("etc/a", &line)]), ar(&[("etc/a", &line)])] {
        let seen = both(&packed);
        assert!(seen.has("etc/a", &secret), "{seen:?}");
        assert_eq!((seen.paths().len(), seen.skipped), (1, Vec::new()));
    }
}

#[test]
fn streams_in_a_row_are_one() {
    let (first, second) = (token(1), token(2));
    for form in [gz, bz2, zst] {
        let seen = both(&[form(first.as_bytes()), form(format!("\n{second}").as_bytes())].concat());
        assert!(seen.has("", &first) && seen.has("", &second));
    }
}

#[test]
fn archives_are_nested() {
    let secret = token(2);
    let inner = zip(&[("deep/.env", secret.as_bytes())]);
    let middle = gz(&tar(&[("app.jar", &inner)]));
    let outer = zip(&[("build/app.tar.gz", &middle), ("readme", b"nothing")]);
    let seen = both(&outer);
    assert!(seen.has("build/app.tar.gz!/app.jar!/deep/.env", &secret), "{seen:?}");
    let seen = run(Input::Bytes(&outer), &Limits { depth: 2, ..Limits::default() });
    assert_eq!(seen.paths(), [""; 0]);
    insta::assert_snapshot!(seen.why().join("\n"), @"build/app.tar.gz!/app.jar: is nested more than 2 archives deep and was not unpacked");
}

#[test]
fn unpacking_can_be_forgone_and_that_is_said() {
    let (folder, key) = (tempfile::tempdir().unwrap(), key());
    let path = folder.path().join("log.gz");
    std::fs::write(&path, gz(token(3).as_bytes())).unwrap();
    let scan =
        |depth| crate::Scanner::new(&RULES, &key).archive_depth(depth).path(&path, &mut |_| {}).unwrap();
    let (whole, shallow) = (scan(1), scan(0));
    assert_eq!((whole.findings.len(), whole.incomplete.len()), (1, 0));
    assert_eq!((shallow.findings.len(), shallow.incomplete.len()), (0, 1));
    assert!(shallow.incomplete[0].why.contains("not unpacked, as was asked for"), "{:?}", shallow.incomplete);
}

#[test]
fn members_of_a_zip_may_be_stored_streamed_and_compressed_otherwise() {
    let tokens: Vec<_> = (1..=4).map(token).collect();
    let mut members: Vec<_> = tokens.iter().map(|token| Member::new(token, token.as_bytes())).collect();
    for (at, member) in members.iter_mut().enumerate() {
        (member.name, member.local_name) = (format!("m{at}"), format!("m{at}"));
    }
    members[0].method = 0;
    members[1].flags = 8;
    members[2].method = 93;
    members[2].data = zst(&members[2].data);
    members[3].method = 12;
    members[3].data = bz2(&members[3].data);
    let seen = both(&zip_of(&members));
    for (at, secret) in tokens.iter().enumerate() {
        assert!(seen.has(&format!("m{at}"), secret), "m{at} {seen:?}");
    }
}

#[test]
fn a_large_zip_in_an_archive_is_read_in_the_order_of_its_members() {
    let secret = token(3);
    let mut streamed = Member::new("b", secret.as_bytes());
    streamed.flags = 8;
    let noise = expand("{base64:4000}", 5).unwrap();
    let inner =
        zip_of(&[Member::new("a", noise.as_bytes()), streamed, Member::new("c", token(4).as_bytes())]);
    let seen = run(Input::Bytes(&tar(&[("x.zip", &inner)])), &Limits { memory: 1000, ..Limits::default() });
    assert!(seen.has("x.zip!/b", &secret) && seen.has("x.zip!/c", &token(4)), "{seen:?}");
    assert_eq!(seen.skipped, []);
}

#[test]
fn what_is_put_before_a_zip_is_searched_and_does_not_hide_it() {
    let (before, inside) = (token(5), token(6));
    let mut script = format!("#!/bin/sh\nK={before} exec unzip $0\n").into_bytes();
    script.extend(zip(&[("a", inside.as_bytes())]));
    let seen = bytes(&script);
    assert!(seen.has("", &before) && seen.has("a", &inside), "{seen:?}");
    assert_eq!(seen.skipped, []);
}

#[test]
fn long_names_and_sizes_of_pax_and_gnu_are_read() {
    let secret = token(7);
    let long = format!("{}/deep.env", "folder".repeat(40));
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_size(secret.len() as u64);
    builder.append_data(&mut header, &long, secret.as_bytes()).unwrap();
    let record = format!("{} path=other.env\n", " path=other.env\n".len() + 2);
    let mut extended = ::tar::Header::new_ustar();
    extended.set_entry_type(::tar::EntryType::XHeader);
    extended.set_size(record.len() as u64);
    extended.set_cksum();
    builder.append(&extended, record.as_bytes()).unwrap();
    let mut header = ::tar::Header::new_ustar();
    header.set_size(secret.len() as u64);
    builder.append_data(&mut header, "short", secret.as_bytes()).unwrap();
    let seen = both(&builder.into_inner().unwrap());
    assert_eq!(seen.paths(), [long.as_str(), "other.env"]);
}

#[test]
fn findings_in_an_image_name_the_layer_and_say_what_another_deletes() {
    let (gone, kept) = (token(8), token(9));
    let names = [expand("{hex:64}", 1).unwrap(), expand("{hex:64}", 2).unwrap()];
    let lower = gz(&tar(&[("etc/app.env", gone.as_bytes()), ("etc/other", kept.as_bytes())]));
    let upper = gz(&tar(&[("etc/.wh.app.env", b""), ("etc/x", b"y")]));
    let image = tar(&[
        (&format!("blobs/sha256/{}", names[0]), &lower),
        (&format!("blobs/sha256/{}", names[1]), &upper),
        ("oci-layout", b"{}"),
    ]);
    let seen = both(&image);
    assert!(seen.has(&format!("{}/etc/app.env", names[0]), &gone), "{seen:?}");
    assert!(seen.has(&format!("{}/etc/other", names[0]), &kept));
    insta::assert_snapshot!(seen.notes.join("\n"), @"another layer of the image deletes this file; whoever has the image can still read it");
    let seen = both(&zip(&[("image.tar", &image)]));
    assert!(seen.has(&format!("image.tar!/{}/etc/app.env", names[0]), &gone), "{seen:?}");
}

#[test]
fn formats_without_a_reader_are_said_and_searched_as_they_are() {
    let secret = token(10);
    for magic in [
        b"7z\xbc\xaf\x27\x1c".as_slice(),
        b"\xed\xab\xee\xdb",
        b"Rar!\x1a\x07\x01\0",
        b"\x04\x22\x4d\x18",
        b"\xfe\xed\xfe\xed\0\0\0\x02",
        b"\x30\x82\x09\x09\x02\x01\x03\x30",
    ] {
        let seen = both(&[magic, b" ", secret.as_bytes(), b" "].concat());
        assert!(seen.has("", &secret));
        assert!(seen.skipped[0].1.ends_with("is not unpacked; its bytes were searched as they are"));
    }
}
