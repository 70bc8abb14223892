use std::sync::atomic::AtomicI64;

use proptest::prelude::*;

use super::*;
use crate::digest::Digests;
use crate::hint::Hints;
use crate::needle::{Needle, Needles};
use crate::object::Fate;
use crate::record::{Outcome, Role};
use crate::search::{self, Seen, Task};
use crate::unpack::Unpacker;

const ID: &str = "key-7f3a-orders";

const JSONL: &str = r#"
[[map]]
objects = "api-*.jsonl"
kind = "jsonl"
time = { from = "ts", form = "epoch-milliseconds" }
credential = ["auth.key"]
actor = 'user\.name'
action = "op"
resource = "targets.0.path"
address = "from"
request = "id"
outcome = { from = "result", allowed = ["ok"], denied = ["forbidden"], failed = ["7"] }
"#;

const CSV: &str = r#"
[[map]]
objects = "*.csv"
kind = "csv"
delimiter = ";"
time = { from = "when", form = "%Y-%m-%d %H:%M:%S", zone = "Europe/Berlin" }
actor = "who"
action = "what"
outcome = { from = "status", http = true }
"#;

fn search(mapping: &str, name: &str, text: &[u8]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let [one] = crate::object::list(&[folder.path().to_owned()]).unwrap().try_into().unwrap();
    let needles = Needles::new(vec![Needle::id(ID).unwrap()]).unwrap();
    let hints = Hints { mapping: Some(Mapping::parse(mapping.as_bytes()).unwrap()), ..Hints::default() };
    let digests = Digests::default();
    let (edges, first) = (AtomicI64::new(0), true);
    let task = Task { needles: &needles, digests: &digests, hints: &hints, edges, first, hash: false };
    let mut seen = Seen::new(Fate::Scanned);
    search::opened(&one.name, Unpacker::default().open(&one, None), &task, &mut seen);
    seen
}

#[test]
fn lines_of_json_are_read_as_mapped_and_no_digit_is_lost() {
    let text = format!(
        concat!(
            r#"{{"ts":1772445600123,"auth":{{"key":"{id}"}},"user.name":"ann","op":"read","targets":[{{"path":"/a"}}],"#,
            r#""from":"203.0.113.9:443","id":123456789012345678901234567890,"result":"ok"}}"#,
            "\n",
            r#"{{"ts":1772445601000,"op":"rotate","note":"{id}","result":7}}"#,
            "\n",
            r#"{{"ts":1772445602000,"auth":{{"key":"{id}"}},"op":"read","result":"forbidden"}}"#,
            "\n"
        ),
        id = ID
    );
    let seen = search(JSONL, "api-1.jsonl", text.as_bytes());
    assert_eq!((seen.fate, seen.unparsed, seen.format), (Fate::Scanned, 0, Some(Format::MappedJson)));
    assert_eq!(seen.first, Some("2026-03-02T10:00:00.123Z".parse().unwrap()));
    assert_eq!(seen.last, Some("2026-03-02T10:00:02Z".parse().unwrap()));
    let [used, named, denied] = seen.accesses.try_into().unwrap();
    assert_eq!((used.role, used.time, used.outcome), (Role::Used, seen.first, Outcome::Allowed));
    let texts = [used.actor, Some(used.action), used.resource, used.address, used.request];
    assert_eq!(
        texts.map(Option::unwrap),
        ["ann", "read", "/a", "203.0.113.9", "123456789012345678901234567890"]
    );
    assert_eq!((named.role, named.outcome), (Role::Mentioned, Outcome::Failed("7".to_owned())));
    assert_eq!((denied.role, denied.outcome), (Role::Used, Outcome::Denied("forbidden".to_owned())));
}

#[test]
fn values_are_read_by_their_header_and_the_header_is_no_record() {
    let rows = format!("2026-03-02 11:00:00;{ID};\"GET; all\";200\r\n2026-07-02 12:00:00;{ID};PUT;403\r\n");
    // The columns are those of the object's beginning, however many pieces lie between.
    let padding = "2026-03-02 10:00:00;x;y;200\r\n".repeat(60_000);
    for (text, count) in [
        (format!("when;who;what;status\r\n{rows}"), 2),
        (format!("\u{feff}\r\nstatus;what;who;when;{ID}\r\n200;a;{ID};2026-03-02 11:00:00;\r\n"), 1),
        (format!("when;who;what;status\r\n{padding}{rows}"), 2),
    ] {
        let seen = search(CSV, "a.csv", text.as_bytes());
        assert_eq!((seen.fate, seen.unparsed, seen.accesses.len()), (Fate::Scanned, 0, count));
        assert!(seen.accesses.iter().all(|access| access.role == Role::Used));
        assert_eq!(seen.accesses[0].time, Some("2026-03-02T10:00:00Z".parse().unwrap()));
        assert_eq!(seen.accesses[0].outcome, Outcome::Allowed);
        if let Some(second) = seen.accesses.get(1) {
            assert_eq!(second.outcome, Outcome::Denied("403".to_owned()));
            assert_eq!(second.time, Some("2026-07-02T10:00:00Z".parse().unwrap()));
            assert_eq!(seen.accesses[0].action, "GET; all");
        }
    }
}

#[test]
fn what_does_not_fit_the_mapping_is_told_and_counted_and_never_dropped() {
    for (mapping, name, text, why) in [
        (CSV, "a.csv", format!("when;who;what\n2026-03-02 11:00:00;{ID};x\n"), "no column `status`"),
        (CSV, "a.csv", format!("when;who;what;status;who\n1;{ID};3;4;5\n"), "several columns `who`"),
        (CSV, "a.csv", format!("when;who;what;status\n2026-03-02 11:00:00;{ID};x\n"), "it has 3 fields"),
        (CSV, "a.csv", format!("when;who;what;status\nnow;{ID};x;200\n"), "not of the form"),
        (
            CSV,
            "a.csv",
            format!("when;who;what;status\n2026-03-02 11:00:00;{ID};\"x\n"),
            "a quote is not closed",
        ),
        (JSONL, "api-1.jsonl", format!(r#"{{"auth":{{"key":"{ID}"}}}}"#), "no time where the mapping says"),
        (JSONL, "api-1.jsonl", format!(r#"{{"ts":1,"auth":{{"key":["{ID}"]}}}}"#), "an object or a list"),
        (JSONL, "api-1.jsonl", format!(r#"{{"ts":1,"auth":"{ID}""#), "cut off"),
    ] {
        let seen = search(mapping, name, text.as_bytes());
        assert_eq!((seen.unparsed, seen.accesses.len()), (1, 1), "{why}");
        let access = &seen.accesses[0];
        assert!(access.action.contains(why), "{why}: {}", access.action);
        assert_eq!((access.role, &access.outcome), (Role::Mentioned, &Outcome::Unknown));
    }
    let other = search(JSONL, "other.jsonl", format!(r#"{{"ts":1,"key":"{ID}"}}"#).as_bytes());
    assert_eq!(other.format, Some(Format::JsonLines), "an object that no glob fits is read as ever");
}

#[test]
fn a_mapping_that_cannot_be_is_refused_with_its_line() {
    let head = "[[map]]\nobjects = \"*\"\n";
    for (text, line, why) in [
        (format!("{head}kind = \"jsonl\"\nactor = \"a\"\nactr = \"b\"\n"), 5, "unknown field `actr`"),
        (format!("{head}kind = \"xml\"\nactor = \"a\"\n"), 3, "unknown variant"),
        (format!("{head}kind = \"jsonl\"\n"), 1, "neither `credential` nor `actor`"),
        (format!("{head}kind = \"jsonl\"\ndelimiter = \";\"\nactor = \"a\"\n"), 4, "`delimiter` is for"),
        (format!("{head}kind = \"csv\"\ndelimiter = \"::\"\nactor = \"a\"\n"), 4, "one character"),
        (format!("{head}kind = \"jsonl\"\nactor = \"a..b\"\n"), 4, "empty part"),
        (format!("{head}kind = \"jsonl\"\nactor = 'a\\b'\n"), 4, "a backslash stands only"),
        (format!("{head}kind = \"csv\"\nactor = \"\"\n"), 4, "a name is empty"),
        (
            format!("{head}kind = \"csv\"\nactor = \"a\"\n[map.time]\nfrom = \"t\"\nform = \"iso\"\n"),
            7,
            "no form of time",
        ),
        (
            format!(
                "{head}kind = \"csv\"\nactor = \"a\"\n[map.time]\nfrom = \"t\"\nform = \"%s\"\nzone = \"Mars\"\n"
            ),
            8,
            "no zone `Mars`",
        ),
        (
            format!(
                "{head}kind = \"csv\"\nactor = \"a\"\noutcome = {{ from = \"o\", allowed = [\"x\"], denied = [\"x\"] }}\n"
            ),
            5,
            "`x` stands twice",
        ),
        (format!("{head}kind = \"csv\"\nactor = \"a\"\noutcome = {{ from = \"o\" }}\n"), 5, "no word says"),
        ("[[map]]\nobjects = \"[\"\nkind = \"csv\"\nactor = \"a\"\n".to_owned(), 2, "`objects`"),
        ("map = []\n".to_owned(), 1, "no `[[map]]`"),
        ("\n\nx = \n".to_owned(), 3, ""),
    ] {
        let error = Mapping::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.what.contains(why), "{text}: {error}");
    }
    assert_eq!(Mapping::parse(b"a = 1\n\xff").unwrap_err().line, 2);
}

#[test]
fn the_first_glob_that_fits_counts_and_one_that_fits_nothing_is_told() {
    let text = |glob: &str| format!("[[map]]\nobjects = \"{glob}\"\nkind = \"csv\"\nactor = \"a\"\n");
    let all = [text("app/*.csv"), text("*.csv"), text("*.tsv")].concat();
    let mapping = Mapping::parse(all.as_bytes()).unwrap();
    let glob = |name: &str| mapping.of(name).map(|map| map.objects.as_str());
    assert_eq!(glob("app/x.csv"), Some("app/*.csv"));
    assert_eq!(glob("app/old/x.csv"), Some("*.csv"));
    assert_eq!(glob("x.csv.gz"), None);
    assert_eq!(mapping.idle(["app/x.csv", "x.csv"]), ["*.tsv"]);
    assert_eq!(mapping.sha256(), hex::encode(Sha256::digest(all.as_bytes())));
}

proptest! {
    #[test]
    fn no_mapping_and_no_line_panics(text in "[\\PC\n\"\\[\\]=.%]{0,80}", line in "[\\PC;\"\\[\\],:{}\n]{0,80}") {
        drop(Mapping::parse(text.as_bytes()));
        drop(Mapping::parse(format!("{CSV}{text}").as_bytes()));
        for (mapping, name) in [(CSV, "a.csv"), (JSONL, "api-1.jsonl")] {
            let mapping = Mapping::parse(mapping.as_bytes()).unwrap();
            let map = mapping.of(name).unwrap();
            if let Some(reader) = Reader::new(map, format!("when;who;what;status\n{line}").as_bytes(), 0) {
                let _time = reader.time(line.as_bytes());
            }
        }
    }
}
