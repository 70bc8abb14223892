use super::*;
use crate::format::{Format, Spot};

/// A package as npm unpacks it: ranges twice, and two texts about its use.
fn package(folder: &Path) {
    let v4 =
        "192.0.2.0,192.0.2.255,64496,\"Owner, \"\"Inc.\"\"\"\n203.0.113.0,203.0.113.255,64500,Example Net\n";
    let v6 = "2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,64500,Example Net\r\n";
    for (name, text) in [
        ("asn-ipv4.csv", v4),
        ("asn-ipv4-num.csv", "3221225984,3221226239,64496,Owner\n"),
        ("asn-ipv6.csv", v6),
        ("LICENSE-DATA", "Give attribution to the example.\n"),
        ("package.json", r#"{"name":"@example/asn","version":"1.2.3"}"#),
        ("README.md", "ranges"),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn of(data: &Data, address: &str) -> Option<String> {
    data.of(address.parse().unwrap()).unwrap().map(|it| it.to_string())
}

#[test]
fn a_package_is_loaded_once_with_its_version_and_texts() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path());
    let paths = [folder.path().to_owned(), folder.path().join("asn-ipv4.csv")];
    let data = Data::load(&paths).unwrap();
    assert_eq!(of(&data, "192.0.2.0").as_deref(), Some("AS64496 Owner, \"Inc.\""));
    assert_eq!(of(&data, "203.0.113.255").as_deref(), Some("AS64500 Example Net"));
    assert_eq!(of(&data, "::ffff:203.0.113.9").as_deref(), Some("AS64500 Example Net"));
    assert_eq!(of(&data, "2001:db8:1::1").as_deref(), Some("AS64500 Example Net"));
    assert_eq!((of(&data, "198.51.100.1"), of(&data, "2001:db9::")), (None, None));
    let spot = Spot { object: "o", place: 1, bytes: b"", credential: "c" };
    let from = |address: &str| Access {
        address: Some(address.to_owned()),
        ..spot.access(Format::Text, String::new())
    };
    let all = data.register(&[from("203.0.113.9:443"), from("s3.amazonaws.com"), from("8.8.8.8")]).unwrap();
    assert_eq!((all.addresses.len(), all.of("203.0.113.9").and_then(|it| it.asn)), (1, Some(64_500)));
    assert_eq!((all.of("s3.amazonaws.com"), all.of("8.8.8.8")), (None, None));
    let files: Vec<&str> = all.sets.iter().map(|set| set.file.as_str()).collect();
    assert_eq!(files, ["asn-ipv4.csv", "asn-ipv6.csv"], "the same ranges as numbers are left out");
    let [set, ..] = all.sets.as_slice() else { panic!("{:?}", all.sets) };
    assert_eq!(
        (set.name.as_str(), set.version.as_deref(), set.ranges),
        ("@example/asn", Some("1.2.3"), Some(2))
    );
    let bytes = std::fs::read(folder.path().join("asn-ipv4.csv")).unwrap();
    assert_eq!(set.sha256, hex::encode(Sha256::digest(&bytes)));
    let [licence] = set.licences.as_slice() else { panic!("{:?}", set.licences) };
    assert_eq!(licence.file, "LICENSE-DATA");
    assert_eq!(licence.text.as_deref(), Some("Give attribution to the example.\n"));
}

#[test]
fn numbers_countries_and_several_sets_make_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let v6 = 0x2001_0db8_u128 << 96;
    let numbers =
        format!("3405803776,3405804031,64500,Example Net\n{v6},{},64501,Other\n0,9,0,Not routed\n", v6 + 9);
    let systems = path("asn-num.csv", &numbers);
    let countries = path("country.csv", "203.0.113.0,203.0.113.255,nl\n0.0.0.0,0.0.0.255,ZZ\n");
    let later = path("later.csv", "203.0.113.0,203.0.113.255,DE\n");
    let data = Data::load(&[systems, countries, later]).unwrap();
    assert_eq!(of(&data, "203.0.113.9").as_deref(), Some("AS64500 Example Net, NL"));
    assert_eq!(of(&data, "2001:db8::9").as_deref(), Some("AS64501 Other"));
    assert_eq!(of(&data, "0.0.0.1"), None, "nobody's number and nobody's country");
}

#[test]
fn bad_lines_are_told_by_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let good = "192.0.2.0,192.0.2.255,64496,Owner\n";
    for (line, why) in [
        ("192.0.2.9,192.0.2.1,1,a", "ends (192.0.2.1) before it begins"),
        ("192.0.2.9,2001:db8::,1,a", "one version of IP"),
        ("host,192.0.2.1,1,a", "not addresses"),
        ("192.0.2.1,192.0.2.1,AS-X,a", "no number of an autonomous system"),
        ("192.0.2.1,192.0.2.1,NL", "as many columns"),
        ("192.0.2.1", "1 columns"),
        ("192.0.2.1,192.0.2.1,1,\"a", "quote"),
        ("192.0.2.1,192.0.2.1,4294967296,a", "no number"),
    ] {
        std::fs::write(&path, format!("{good}\n{line}\n{good}")).unwrap();
        let error = Data::load(std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error.contains("`x.csv`") && error.contains("line 3: ") && error.contains(why), "{error}");
    }
    std::fs::write(&path, "192.0.2.1,192.0.2.1,Netherlands\n").unwrap();
    assert!(Data::load(std::slice::from_ref(&path)).unwrap_err().to_string().contains("two letters"));
    std::fs::write(&path, [0x1f, 0x8b, 8, 0, 0, 0]).unwrap();
    assert!(Data::load(std::slice::from_ref(&path)).unwrap_err().to_string().contains("unpack"));
    std::fs::write(&path, "\n\n").unwrap();
    assert!(Data::load(&[path]).unwrap_err().to_string().contains("no line of it"));
    let empty = tempfile::tempdir().unwrap();
    assert!(Data::load(&[empty.path().to_owned()]).unwrap_err().to_string().contains("no file in it"));
    assert!(Data::load(&[empty.path().join("none")]).unwrap_err().to_string().starts_with("cannot read"));
}

#[test]
fn overlaps_are_told_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(
        &path,
        "192.0.2.0,192.0.2.255,1,Wide\n198.51.100.0,198.51.100.9,2,Apart\n192.0.2.16,192.0.2.31,3,Narrow\n",
    )
    .unwrap();
    let data = Data::load(&[path]).unwrap();
    let set = &data.register(&[]).unwrap().sets[0];
    assert_eq!(set.overlaps, Some(Overlaps { count: 1, lines: (1, 3) }));
    assert_eq!(of(&data, "192.0.2.20").as_deref(), Some("AS3 Narrow"));
    assert_eq!(of(&data, "192.0.2.32").as_deref(), Some("AS1 Wide"));
}

/// Writes a `MaxMind` DB of IPv4 whose first bit is 1 for the one record that it has: what the format's page says, by hand.
fn database(record: &[u8]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        // Type 2; from 29 on the length follows in a byte of its own.
        let head = if length < 29 { vec![0x40 | length] } else { vec![0x5d, length - 29] };
        [head, text.as_bytes().to_vec()].concat()
    };
    // One node of two records of 24 bits: 1 is "nothing", and 1 + 16 the first byte of the data.
    let mut bytes = vec![0, 0, 1, 0, 0, 17];
    bytes.extend([0; 16]);
    bytes.extend(record);
    bytes.extend(database::MARK);
    let number = |kind: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        // Kinds above 7 stand in a second byte.
        let head = if kind > 7 { vec![length, kind - 7] } else { vec![(kind << 5) | length] };
        [head, bytes.to_vec()].concat()
    };
    let metadata = [
        ("binary_format_major_version", number(5, &[2])),
        ("binary_format_minor_version", number(5, &[])),
        ("build_epoch", number(9, &1_772_445_600_u32.to_be_bytes())),
        ("database_type", text("Example-ASN")),
        ("description", vec![0xe0]),
        ("ip_version", number(5, &[4])),
        ("languages", vec![0, 4]),
        ("node_count", number(6, &[1])),
        ("record_size", number(5, &[24])),
    ];
    bytes.push(0xe0 | u8::try_from(metadata.len()).unwrap());
    for (name, value) in metadata {
        bytes.extend(text(name));
        bytes.extend(value);
    }
    bytes
}

/// `{"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "NL"}, "autonomous_system_number": 64500}`.
fn record() -> Vec<u8> {
    let mut record = vec![0xe3];
    for (name, code) in [("country", b"DE"), ("registered_country", b"NL")] {
        record.push(0x40 | u8::try_from(name.len()).unwrap());
        record.extend(name.as_bytes());
        record.extend([0xe1, 0x48]);
        record.extend(b"iso_code");
        record.push(0x42);
        record.extend(code);
    }
    record.push(0x58);
    record.extend(b"autonomous_system_number");
    record.extend([0xc2, 0xfb, 0xf4]);
    record
}

#[test]
fn a_maxmind_db_is_read_and_a_damaged_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mmdb");
    std::fs::write(&path, database(&record())).unwrap();
    let data = Data::load(std::slice::from_ref(&path)).unwrap();
    assert_eq!(
        of(&data, "203.0.113.9").as_deref(),
        Some("AS64500, NL"),
        "where it is registered, not where users are"
    );
    assert_eq!((of(&data, "10.0.0.1"), of(&data, "2001:db8::1")), (None, None));
    let set = &data.register(&[]).unwrap().sets[0];
    assert_eq!((set.name.as_str(), set.ranges), ("Example-ASN", None));
    assert_eq!(set.built, Some("2026-03-02T10:00:00Z".parse().unwrap()));
    // A map that promises more than there is.
    std::fs::write(&path, database(&[0xe9, 0x41])).unwrap();
    let data = Data::load(std::slice::from_ref(&path)).unwrap();
    let error = data.of("203.0.113.9".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("`x.mmdb`") && error.contains("203.0.113.9"), "{error}");
    std::fs::write(&path, [database::MARK, b"\xe1"].concat()).unwrap();
    assert!(Data::load(&[path]).is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), cut in 0..400_usize, at in 0..400_usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mmdb");
        let mut database = database(&record());
        database.truncate(database.len().saturating_sub(cut / 8));
        for (place, byte) in (at..).zip(&bytes) {
            if let Some(old) = database.get_mut(place * 3).filter(|_| place % 5 == 0) {
                *old = *byte;
            }
        }
        for content in [bytes, database] {
            std::fs::write(&path, content).unwrap();
            if let Ok(data) = Data::load(std::slice::from_ref(&path)) {
                for address in ["203.0.113.9", "2001:db8::1"] {
                    drop(data.of(address.parse().unwrap()));
                }
            }
        }
    }
}
