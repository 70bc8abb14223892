//! Bad input: inventories, files and words that are not what they should be. Clear errors, no panic, no harm.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use super::cli::{installation, run};
use super::world::{quell_program, text};

/// What an inventory can be instead of one; each is refused with a place and a hint.
#[test]
fn bad_inventories_are_refused_with_file_and_line() {
    let folder = installation();
    let check = |content: &[u8]| {
        std::fs::write(folder.path().join("quell.yaml"), content).unwrap();
        let output = run(folder.path(), &["inventory", "check", "--offline"]);
        let said = text(&output.stderr);
        let begin = text(&content[..content.len().min(80)]);
        assert_eq!(output.status.code(), Some(2), "{begin}: {said}");
        assert!(
            said.contains("quell.yaml") && said.contains("hint:") && !said.contains("panicked"),
            "{said}"
        );
        assert!(said.len() < 4000, "short enough to read: {} bytes", said.len());
        said
    };
    assert!(check(b"secrets: []\npolicy:\n  wrong_key: 1\n").contains("quell.yaml:3"));
    assert!(
        check(b"secrets:\n  - id: a\n    kind: k\n    typo: 1\n    issuer: { postgres: {} }\n")
            .contains("quell.yaml:4")
    );
    assert!(check(b"secrets: []\nsecrets: []\n").contains("quell.yaml:2"));
    assert!(check(b"secrets: [\n").contains("quell.yaml:"));
    assert!(check(b"- just\n- a list\n").contains("quell.yaml"));
    assert!(check(b"secrets:\n\t- id: a\n").contains("quell.yaml:2"));
    assert!(
        check(b"secrets:\n  - id: \"Not A Slug!\"\n    kind: k\n    issuer: { postgres: {} }\n")
            .contains("Not A Slug!")
    );
    check(b"secrets:\n  - id: a\n    kind: k\n    issuer: { no_such_thing: {} }\n    depends_on: [b]\n");
    assert!(check(b"# ok\nsecrets: [] # \xff\xfe\n").contains("line 2 is not UTF-8"));
    assert!(check(&vec![b'#'; 10 << 20]).contains("4 MiB"));
    check(&[0; 1024]);
    let offline = run(folder.path(), &["inventory", "check", "--offline", "--inventory", "/dev/zero"]);
    assert_eq!(offline.status.code(), Some(2), "a device never ends");
    // Anchors that grow: nine levels of nine would be 387 million.
    let mut bomb = String::from("connections:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let refs = vec![format!("*a{}", n - 1); 9].join(", ");
        writeln!(bomb, "  a{n}: &a{n} [{refs}]").unwrap();
    }
    check(bomb.as_bytes());
    check(format!("secrets: {}{}\n", "[".repeat(50_000), "]".repeat(50_000)).as_bytes());
    check(format!("connections: {}\n", "{a: ".repeat(20_000)).as_bytes());
    check(format!("connections: {{ a: {}{} }}\n", "[".repeat(50_000), "]".repeat(50_000)).as_bytes());
}

#[test]
fn files_that_are_missing_or_are_something_else_are_named() {
    let folder = installation();
    std::fs::create_dir(folder.path().join("a-folder")).unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    std::fs::write(folder.path().join("garbage"), [0xff, 0xfe, 0x00, 0x80]).unwrap();
    for (wrong, args) in [
        ("missing", ["--inventory", "FILE", "inventory", "check"].as_slice()),
        ("a-folder", &["--inventory", "FILE", "inventory", "check"]),
        ("missing", &["--database-file", "FILE", "incident", "list"]),
        ("a-folder", &["--database-file", "FILE", "incident", "list"]),
        ("garbage", &["--database-file", "FILE", "incident", "list"]),
        ("empty", &["--database-file", "FILE", "incident", "list"]),
        ("missing", &["evidence", "verify", "FILE"]),
        ("a-folder", &["evidence", "verify", "FILE"]),
        ("empty", &["evidence", "verify", "FILE"]),
        ("garbage", &["evidence", "verify", "FILE"]),
        ("missing", &["ledger", "verify", "--checkpoint", "FILE"]),
        ("a-folder", &["ledger", "verify", "--checkpoint", "FILE"]),
        ("garbage", &["ledger", "verify", "--checkpoint", "FILE"]),
        ("missing", &["scan", ".", "--rules", "FILE"]),
        ("garbage", &["scan", ".", "--rules", "FILE"]),
        ("missing", &["scan", "FILE"]),
        ("missing", &["incident", "open", "--secret", "x", "--value-file", "FILE"]),
        ("a-folder", &["incident", "open", "--secret", "x", "--value-file", "FILE"]),
        ("empty", &["incident", "open", "--secret", "x", "--value-file", "FILE"]),
        ("missing", &["init", "--passphrase", "--data-dir", "other", "--passphrase-file", "FILE"]),
        ("empty", &["init", "--passphrase", "--data-dir", "other", "--passphrase-file", "FILE"]),
        ("a-folder", &["init", "--data-dir", "other", "--key-file", "FILE"]),
        ("a-folder", &["keys", "rotate", "--passphrase", "--new-passphrase-file", "FILE"]),
        ("garbage", &["incident", "list", "--data-dir", "FILE"]),
    ] {
        let args: Vec<&str> = args.iter().map(|a| if *a == "FILE" { wrong } else { a }).collect();
        let output = run(folder.path(), &args);
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(matches!(output.status.code(), Some(1 | 2 | 10)), "{args:?}: {:?} {said}", output.status);
        assert!(!said.contains("panicked") && !said.trim().is_empty(), "{args:?}: {said}");
        assert!(
            said.contains(wrong) || output.status.code() == Some(10),
            "{args:?} does not name it: {said}"
        );
        // Nothing half-made is in the way of the next try.
        if args.contains(&"other") {
            assert!(run(folder.path(), &["init", "--data-dir", "other"]).status.success(), "{args:?}");
            std::fs::remove_dir_all(folder.path().join("other")).unwrap();
        }
    }
    assert!(run(folder.path(), &["ledger", "verify"]).status.success(), "nothing was harmed");
}

#[expect(clippy::too_many_lines, reason = "a list")]
#[test]
fn hostile_words_never_make_it_panic() {
    let folder = installation();
    let long = "A".repeat(100_000);
    let long = long.as_str();
    let vectors: Vec<Vec<&[u8]>> = [
        b"plan|INC-0000-0000".as_slice(),
        b"plan|INC-9999-999999999",
        b"plan|INC-2026-00001",
        b"plan|INC-2026-4294967296",
        b"plan|inc-2026-0001",
        b"plan|",
        b"plan|../../etc/passwd",
        b"plan|INC-2026-0001;DROP TABLE event",
        b"plan|\xff\xfe",
        b"respond|INC-2026-0001|--yes|",
        b"respond|INC-2026-0001|--yes|INC-2026-0001",
        b"respond|--failpoint|x",
        b"respond|\xf0\x9f\x92\xa9",
        b"respond|INC-2026-0001|--failpoint|:::",
        b"approve|INC-2026-0001|--plan|",
        b"approve|INC-2026-0001|--plan|zz",
        b"approve|INC-2026-0001|a.b|--plan|0",
        b"approve|INC-2026-0001|\xff|--plan|0",
        b"step|retry|INC-2026-0001|",
        b"step|retry|INC-2026-0001|a b",
        b"step|skip|INC-2026-0001|x|--reason|",
        b"step|resolve|INC-2026-0001|../..|--statement|s",
        b"step|refuse|x|y|--reason|z",
        b"verify|INC-2026-0001",
        b"report|INC-2026-0001|--template|/dev/null",
        b"report|INC-2026-0001|--output|/",
        b"report|INC-2026-0001|--output|",
        b"evidence|export|INC-2026-0001|--output|/proc/x",
        b"evidence|export|x",
        b"evidence|verify|/dev/null",
        b"evidence|verify|/dev/zero",
        b"evidence|verify|/proc/self/mem",
        b"evidence|verify|quell.yaml|--key|",
        b"evidence|verify|quell.yaml|--key|a+b+c",
        b"evidence|verify|quell.yaml|--key|++",
        b"ledger|verify|--key|x+00000000+AAAA",
        b"ledger|verify|--key|\xff",
        b"ledger|verify|--checkpoint|/dev/null",
        b"ledger|verify|--checkpoint|",
        b"incident|open",
        b"incident|open|--secret|",
        b"incident|open|--secret|a/b",
        b"incident|open|--secret|a|--channel|",
        b"incident|open|--secret|a|--audience|everyone",
        b"incident|open|--secret|a|--first-exposed|yesterday",
        b"incident|open|--secret|a|--discovered|9999-12-31T23:59:60Z",
        b"incident|open|--secret|a|--still-visible|maybe",
        b"incident|open|--finding|",
        b"incident|open|--finding|F-",
        b"incident|open|--finding|*",
        b"incident|open|--secret|a|--value-file|/dev/zero",
        b"incident|open|--secret|a|--value-file|/proc/self/mem",
        b"incident|signal|INC-2026-0001|",
        b"incident|verdict|INC-2026-0001|maybe|--reason|x",
        b"incident|strategy|INC-2026-0001|hope|--reason|x",
        b"incident|note|INC-2026-0001|",
        b"incident|action|INC-2026-0001|t|--owner|o|--due|2026-02-30",
        b"incident|action-done|INC-2026-0001|A0|--evidence|e",
        b"incident|close|INC-2026-0001|--summary|\x1b[31m",
        b"inventory|graph|",
        b"inventory|graph|\x00",
        b"inventory|graph|x|--format|png",
        b"inventory|check|--inventory|",
        b"inventory|check|--inventory|/dev/zero",
        b"inventory|check|--inventory|/dev/null",
        b"inventory|check|--inventory|/proc",
        b"scan|",
        b"scan|/dev/null",
        b"scan|/dev/tty",
        b"scan|-|--rules|/dev/null",
        b"scan|\xff",
        b"scan|.|--rules|.",
        b"issue||--output|x",
        b"issue|../../sys|--output|x",
        b"issue|r|--ttl|-5m|--output|x",
        b"issue|r|--ttl|99999999999h|--output|x",
        b"issue|r|--mount|\xff|--output|x",
        b"drill|--secret|",
        b"drill|--secret|x|--really",
        b"drill|--even-production|x",
        b"keys|rotate|--new-passphrase-file|x",
        b"keys|rotate-ledger|--reason|",
        b"init",
        b"init|--key-file|/dev/null|--data-dir|d2",
        b"init|--data-dir|/proc/x",
        b"doctor|--data-dir|/dev/null",
        b"doctor|--call-limit|0",
        b"doctor|--call-limit|601",
        b"doctor|--call-limit|NaN",
        b"doctor|--as|",
        b"doctor|--database-file|/dev/null",
        b"completions|tcsh",
        b"--json",
        b"--help|--json",
        b"|",
        b"--",
        b"-",
        b"help|nothing",
        b"--version",
    ]
    .into_iter()
    .map(|line| line.split(|b| *b == b'|').collect())
    .chain([
        vec![b"plan".as_slice(), long.as_bytes()],
        vec![b"incident", b"open", b"--secret", long.as_bytes()],
        vec![b"incident", b"note", b"INC-2026-0001", long.as_bytes()],
        vec![b"doctor", b"--data-dir", long.as_bytes()],
        vec![b"doctor", b"--as", long.as_bytes()],
    ])
    .collect();
    assert!(vectors.len() > 100);
    for vector in vectors {
        // A NUL cannot be passed to a program at all.
        let words: Vec<&OsStr> =
            vector.iter().filter(|w| !w.contains(&0)).map(|w| OsStr::from_bytes(w)).collect();
        let mut limited = Command::new("timeout");
        limited.arg("20").arg(quell_program()).args(&words).current_dir(folder.path()).env_clear();
        limited
            .env("HOME", folder.path())
            .env("QUELL_DATA_DIR", folder.path().join("data"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        let output = limited.output().unwrap();
        let said = text(&output.stderr);
        let shown: String = format!("{words:?}").chars().take(200).collect();
        assert!(!said.contains("panicked"), "{shown}: {said}");
        assert!(
            matches!(output.status.code(), Some(0 | 1 | 2 | 3 | 4 | 5 | 10)),
            "{shown}: {:?} {said}",
            output.status
        );
    }
    assert!(run(folder.path(), &["ledger", "verify"]).status.success(), "nothing was harmed");
}
