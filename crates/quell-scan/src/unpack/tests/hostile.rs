use super::build::{Member, bz2, gz, tar, xz, zip, zip_of, zst};
use super::*;

#[test]
fn a_cut_off_archive_is_said_at_every_offset() {
    let secret = token(1);
    let line =
        format!("key = {secret}\nand more text after it, so that there is something to lose\n").into_bytes();
    let mut streamed = Member::new("b", &line);
    streamed.flags = 8;
    let inputs = [
        ("gz", gz(&line)),
        ("bz2", bz2(&line)),
        ("zst", zst(&line)),
        ("xz", xz(&line)),
        ("tar", tar(&[("a", &line)])),
        ("zip", zip_of(&[Member::new("a", &line), streamed])),
        ("tar.gz", gz(&tar(&[("a", &line)]))),
    ];
    for (name, whole) in inputs {
        // A few bytes are too few to tell what it is; a tar may end with one block of zeros.
        let last = if name == "tar" { whole.len() - 1024 } else { whole.len() - 1 };
        let first = if name == "tar" { 512 } else { 10 };
        for end in first..=last {
            let part = &whole[..end];
            for seen in [bytes(part), run(Input::Reader(&mut &*part), &Limits::default())] {
                assert!(!seen.skipped.is_empty(), "{name} cut off at {end} of {}", whole.len());
            }
        }
    }
}

#[test]
fn damaged_bytes_are_no_trouble() {
    let line = format!("key = {}\n", token(2)).into_bytes();
    let inputs = [
        gz(&line),
        bz2(&line),
        zst(&line),
        xz(&line),
        tar(&[("a", &line)]),
        zip(&[("a", &line), ("b", &line)]),
    ];
    for whole in inputs {
        for at in (0..whole.len()).step_by(1 + whole.len() / 400) {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let seen = both_finish(&damaged);
                assert!(seen.hits.len() <= 4);
            }
        }
    }
}

fn both_finish(input: &[u8]) -> Seen {
    let _in_order = run(Input::Reader(&mut &*input), &Limits::default());
    bytes(input)
}

#[test]
fn bombs_end_and_are_said() {
    let limits = Limits { unpacked: 5 << 20, free: 1 << 20, ..Limits::default() };
    let zeros = vec![b'0'; 2 << 20];
    let many: Vec<(String, &[u8])> = (0..20).map(|at| (format!("m{at}"), zeros.as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, data)| (name.as_str(), *data)).collect();
    let seen = run(Input::Bytes(&zip(&many)), &limits);
    assert_eq!(seen.skipped.len(), 1, "{:?}", seen.why());
    insta::assert_snapshot!(seen.why().join("\n"), @"m2: the rest was not scanned: it unpacks to more than 5242880 bytes");
    assert!(seen.bytes < 8 << 20);
    let seen = run(Input::Bytes(&zst(&vec![b'0'; 4 << 20])), &limits);
    insta::assert_snapshot!(seen.why().join("\n"), @": the rest was not scanned: it unpacks to more than 1000 times its size");
    let layered = gz(&gz(&gz(&gz(&gz(&gz(&gz(&gz(&gz(b"x")))))))));
    let seen = bytes(&layered);
    insta::assert_snapshot!(seen.why().join("\n"), @": is nested more than 4 archives deep and was not unpacked");
    let seen = run(
        Input::Bytes(&tar(&[("a", b"1"), ("b", b"2"), ("c", b"3")])),
        &Limits { members: 2, ..Limits::default() },
    );
    insta::assert_snapshot!(seen.why().join("\n"), @": the rest was not scanned: it has more than 2 members");
}

#[test]
fn overlapping_members_are_bounded_by_the_total() {
    // Many entries of the directory that all point to one member: <https://www.bamsoftware.com/hacks/zipbomb/>.
    let one = zip(&[("a", &vec![b'0'; 1 << 20])]);
    let at = memchr::memmem::find(&one, b"PK\x01\x02").unwrap();
    let end = memchr::memmem::find(&one, b"PK\x05\x06").unwrap();
    let directory = one[at..end].repeat(500);
    let mut bomb = one[..at].to_vec();
    bomb.extend(&directory);
    bomb.extend(b"PK\x05\x06\0\0\0\0\xf4\x01\xf4\x01");
    bomb.extend(build::le(directory.len()));
    bomb.extend(build::le(at));
    bomb.extend([0, 0]);
    let seen = run(Input::Bytes(&bomb), &Limits { unpacked: 10 << 20, ..Limits::default() });
    insta::assert_snapshot!(seen.why().join("\n"), @"a: the rest was not scanned: it unpacks to more than 10485760 bytes");
}

#[test]
fn names_that_lead_out_and_links_are_only_names() {
    let secret = token(3);
    for archive in [tar(&[("../../etc/x", secret.as_bytes())]), zip(&[("../../etc/x", secret.as_bytes())])] {
        assert!(both(&archive).has("../../etc/x", &secret));
    }
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut link = ::tar::Header::new_ustar();
    link.set_entry_type(::tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "passwords", "/etc/passwd").unwrap();
    let mut file = ::tar::Header::new_ustar();
    file.set_size(secret.len() as u64);
    builder.append_data(&mut file, "passwords/x", secret.as_bytes()).unwrap();
    let seen = both(&builder.into_inner().unwrap());
    assert_eq!(seen.paths(), ["passwords/x"]);
    assert_eq!(seen.skipped, []);
}

#[test]
fn encrypted_members_are_said() {
    let mut locked = Member::new("locked", b"unreadable");
    locked.flags = 1;
    let seen = both(&zip_of(&[locked, Member::new("open", token(4).as_bytes())]));
    assert_eq!(seen.paths(), ["open"]);
    insta::assert_snapshot!(seen.why().join("\n"), @"locked: is encrypted and was not scanned");
    let mut odd = Member::new("odd", b"x");
    odd.method = 1;
    insta::assert_snapshot!(both(&zip_of(&[odd])).why().join("\n"), @"odd: its compression (method 1) is not read");
}

#[test]
fn members_outside_of_the_directory_are_found() {
    let secret = token(5);
    let mut hidden = Member::new("hidden", secret.as_bytes());
    hidden.listed = false;
    let seen = bytes(&zip_of(&[Member::new("a", b"1"), hidden, Member::new("b", b"2")]));
    assert!(seen.has("hidden", &secret), "{seen:?}");
}

#[test]
fn two_names_of_one_member_are_said() {
    let secret = token(6);
    let mut two = Member::new("innocent.txt", secret.as_bytes());
    two.local_name = "other.txt".to_owned();
    let seen = bytes(&zip_of(&[two]));
    assert!(seen.has("innocent.txt", &secret));
    insta::assert_snapshot!(seen.why().join("\n"), @"innocent.txt: its header calls it `other.txt`; it was scanned under the first name");
}

#[test]
fn what_follows_an_archive_is_searched() {
    let secret = token(7);
    let seen = both(&[tar(&[("a", b"1")]), format!("{secret} {}", " ".repeat(600)).into_bytes()].concat());
    assert!(seen.has("", &secret), "{seen:?}");
    let seen = bytes(&[zip(&[("a", b"1")]), format!(" {secret} ").into_bytes()].concat());
    assert!(seen.has("", &secret), "{seen:?}");
}
