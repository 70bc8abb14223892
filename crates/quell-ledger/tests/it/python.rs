//! `docs/verify-evidence.py` on bundles of this crate: it must agree with [`bundle::verify`], in every flipped byte.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quell_ledger::tree::MemoryTree;
use quell_ledger::{archive, bundle};

use super::sample::{Log, key};

/// Flips bytes in one process: interpreter start-up would be most of the time. Arguments: script, archive, key, and
/// either `step` or the offsets. Prints the offsets that were *not* noticed.
const DRIVER: &str = "
import importlib.util, sys
spec = importlib.util.spec_from_file_location('verify_evidence', sys.argv[1])
script = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(script)
raw = open(sys.argv[2], 'rb').read()
key = sys.argv[3]
assert script.run(raw, key)[0] == 0, script.run(raw, key)
for at in range(0, len(raw), int(sys.argv[4])):
    code, lines = script.run(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:], key)
    if code != 1 or not lines[0].startswith('FAILED '):
        print('not noticed:', at, lines)
for cut in (raw[:-1], raw[:-512], raw[:1000], b'', raw + b'\\0', raw + bytes(512), raw[:-1024]):
    if script.run(cut, key)[0] != 1:
        print('not noticed: length', len(cut))
print('done')
";

fn python() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/quell-dev");
    let dev = std::env::var_os("QUELL_DEV_DIR").map_or_else(home, PathBuf::from);
    let python = dev.join("venv/bin/python");
    assert!(python.exists(), "{} is missing: run dev/setup", python.display());
    python
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify-evidence.py")
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(python()).arg("-B").arg(script()).args(args).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// A folder for one test, empty at the start.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn write_tar(name: &str, files: &archive::Files) -> String {
    let path = folder(name).join("INC-2026-0001.quell.tar");
    std::fs::write(&path, archive::write(files).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn write_folder(name: &str, files: &archive::Files) -> String {
    let root = folder(name);
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    root.to_str().unwrap().to_owned()
}

#[test]
fn it_accepts_what_the_crate_accepts() {
    let (one, two, three) = (key(1), key(2), key(3));
    let [one, two, three] = [&one, &two, &three].map(|key| key.verifier().to_string());
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    for bundle in [write_tar("accepts-tar", &files), write_folder("accepts-folder", &files)] {
        for trusted in [&one, &two] {
            let (code, output) = run(&[&bundle, "--key", trusted]);
            assert_eq!(code, Some(0), "{output}");
            assert_eq!(output, "OK INC-2026-0001 of quell/00000000-test/ledger/1: 14 files, log of size 9\n");
        }
        let (code, output) = run(&[&bundle]);
        assert!(code == Some(0) && output.contains("warning: internally consistent only"), "{output}");
        let (code, output) = run(&[&bundle, "--key", &three]);
        assert!(code == Some(1) && output.starts_with("FAILED keys.txt: "), "{output}");
        for usage in [&[] as &[&str], &["--help"], &[&bundle, "--key"], &[&bundle, "--kay", &two]] {
            assert_eq!(run(usage).0, Some(2), "{usage:?}");
        }
    }
    assert_eq!(run(&["no-such-bundle.quell.tar"]).0, Some(1));

    // A compromised former key: a warning for who has the new one, a failure for who has only the old one.
    let bundle = write_tar("accepts-compromised", &Log::new(true).builder().build(&key(2)).unwrap());
    let (code, output) = run(&[&bundle, "--key", &two]);
    assert!(
        code == Some(0) && output.contains("history before 4 vouched for only by a revoked key"),
        "{output}"
    );
    let (code, output) = run(&[&bundle, "--key", &one]);
    assert!(code == Some(1) && output.contains("without its signature"), "{output}");
}

#[test]
fn it_notices_flipped_bytes_of_the_archive() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    let tar = write_tar("flips", &files);
    let script = script();
    let output = Command::new(python())
        .args(["-B", "-c", DRIVER, script.to_str().unwrap(), &tar, &key(2).verifier().to_string(), "13"])
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "done\n", "{stderr}");
}

#[test]
fn it_names_the_place_as_the_crate_does() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    for (at, path) in files.keys().enumerate() {
        let mut changed = files.clone();
        let middle = changed[path].len() / 2;
        changed.get_mut(path).unwrap()[middle] ^= 1;
        let report = bundle::verify(&changed, None);
        assert!(!report.ok(), "{path}");
        // Half of them as an archive, half as a folder.
        let bundle = if at % 2 == 0 { write_tar("names", &changed) } else { write_folder("names", &changed) };
        let (code, output) = run(&[&bundle]);
        assert_eq!(code, Some(1), "{path}: {output}");
        // A changed manifest can show up as a difference to any file.
        assert!(output.contains(path.as_str()) || path == "manifest.json", "{path}: {output}");

        let mut fewer = files.clone();
        fewer.remove(path);
        let (code, output) = run(&[&write_tar("names", &fewer)]);
        assert!(code == Some(1) && output.contains(path.as_str()), "{path} removed: {output}");
    }
    let mut more = files;
    more.insert("extra.txt".to_owned(), Vec::new());
    let (code, output) = run(&[&write_folder("names", &more)]);
    assert!(code == Some(1) && output.starts_with("FAILED extra.txt: "), "{output}");
}

#[test]
fn it_refuses_the_forgeries_that_the_crate_refuses() {
    for (files, what) in super::bundle::forgeries() {
        let (code, output) = run(&[&write_folder("forged", &files)]);
        assert!(code == Some(1) && output.starts_with("FAILED "), "{what}: {output}");
        // Refused for a reason, not by falling over.
        assert!(!output.contains("TypeError") && !output.contains("IndexError"), "{what}: {output}");
    }
}

#[test]
fn its_roots_are_those_of_the_crate() {
    let tree =
        MemoryTree::of_records((0..40_u8).map(|n| [n]).collect::<Vec<_>>().iter().map(<[u8; 1]>::as_slice));
    let mut cases = Vec::new();
    for size in 1..=40 {
        for index in 0..size {
            let path: Vec<String> = tree.inclusion(index, size).unwrap().iter().map(hex::encode).collect();
            let [leaf, root, before] = [tree.node(0, index), tree.root(size), tree.root(index)]
                .map(|hash| hex::encode(hash.unwrap()));
            cases.push(serde_json::json!([index, size, leaf, path, root, before]));
        }
    }
    let file = folder("roots").join("cases.json");
    std::fs::write(&file, serde_json::to_vec(&cases).unwrap()).unwrap();
    let driver = "
import json, runpy, sys
roots = runpy.run_path(sys.argv[1])['roots']
h = bytes.fromhex
for index, size, leaf, path, root, before in json.load(open(sys.argv[2])):
    assert roots(index, size, h(leaf), [h(p) for p in path]) == (h(root), h(before)), (index, size)
    for wrong in ((index, size, h(leaf), [h(p) for p in path] + [h(leaf)]), (size, size, h(leaf), [])):
        try: roots(*wrong)
        except ValueError: continue
        raise AssertionError(wrong)
print('done')
";
    let output = Command::new(python())
        .args(["-B", "-c", driver, script().to_str().unwrap(), file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "done\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
