//! Evidence bundles: the whole path from a log to a verified bundle, and everything that must be noticed.

use quell_ledger::archive;
use quell_ledger::bundle::{self, BuildError, Verdict};
use quell_ledger::{Proof, SigningKey, canonical};
use serde_json::{Value, json};

use super::sample::{Log, ORIGIN, key};

/// Rewrites the manifest for changed files and signs it again, as the holder of the key could.
fn resign(files: &mut archive::Files, signer: &SigningKey) {
    let mut manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let listed: Vec<Value> = files
        .iter()
        .filter(|(path, _)| !path.starts_with("manifest."))
        .map(|(path, content)| {
            let mut item = super::sample::evidence_ref(content, "");
            item.as_object_mut().unwrap().remove("name");
            item["path"] = json!(path);
            item
        })
        .collect();
    manifest["files"] = json!(listed);
    sign_manifest(files, &manifest, signer);
}

fn sign_manifest(files: &mut archive::Files, manifest: &Value, signer: &SigningKey) {
    use sha2::Digest as _;
    let bytes = canonical::to_bytes(manifest).unwrap();
    let hash = hex::encode(sha2::Sha256::digest(&bytes));
    let text = format!("quell-evidence-manifest-v1\n{ORIGIN}\n{hash}\n");
    let note = quell_ledger::note::Note::sign(&text, &[signer]).unwrap().to_string();
    files.insert("manifest.json".to_owned(), bytes);
    files.insert("manifest.note".to_owned(), note.into_bytes());
}

fn failure(files: &archive::Files) -> String {
    let report = bundle::verify(files, Some(key(2).verifier()));
    assert_eq!(report.verdict(), Verdict::Failed, "{report}");
    report.to_string()
}

#[test]
fn an_untouched_bundle_verifies_with_either_key() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    for trusted in [key(1), key(2)] {
        let report = bundle::verify(&files, Some(trusted.verifier()));
        assert_eq!(report.verdict(), Verdict::Verified, "{report}");
        assert_eq!((report.proven, report.evidence, report.log_size), (5, 1, Some(9)), "{report}");
        assert_eq!(report.to_json()["verdict"], "verified");
    }
    let report = bundle::verify(&files, None);
    assert_eq!(report.verdict(), Verdict::InternallyConsistent, "{report}");
    assert!(report.to_string().contains("internally consistent only"), "{report}");
    let report = bundle::verify(&files, Some(key(3).verifier()));
    assert!(report.to_string().contains("not one of this log's keys"), "{report}");
}

#[test]
fn any_flipped_byte_of_any_file_is_noticed() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    let mut flips = 0;
    for path in files.keys() {
        for at in 0..files[path].len() {
            let mut changed = files.clone();
            changed.get_mut(path).unwrap()[at] ^= 1;
            let report = bundle::verify(&changed, None);
            assert!(!report.ok(), "byte {at} of {path}");
            flips += 1;
        }
    }
    assert!(flips > 5_000, "the bundle is too small for this test: {flips}");
}

#[test]
fn any_missing_added_or_truncated_file_is_noticed() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    for path in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(path);
        assert!(failure(&fewer).contains(path.as_str()), "{path} removed");
        let mut shorter = files.clone();
        shorter.get_mut(path).unwrap().pop();
        failure(&shorter);
        let mut longer = files.clone();
        longer.get_mut(path).unwrap().push(b'\n');
        failure(&longer);
    }
    for path in ["extra.txt", "../extra", "proofs/8.tlog-proof", "evidence/x", "report.md/x"] {
        let mut more = files.clone();
        more.insert(path.to_owned(), b"x".to_vec());
        failure(&more);
    }
}

#[test]
fn any_flipped_byte_of_the_archive_is_noticed() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    let tar = archive::write(&files).unwrap();
    assert_eq!(archive::read(&tar).unwrap(), files);
    assert_eq!(archive::write(&archive::read(&tar).unwrap()).unwrap(), tar);
    // Content bytes are the manifest's business (the test above); the reader must hand them over as they are.
    for at in (0..tar.len()).step_by(7) {
        let mut changed = tar.clone();
        changed[at] ^= 1;
        if let Ok(read) = archive::read(&changed) {
            assert_ne!(read, files, "byte {at} of the archive");
            assert!(!bundle::verify(&read, None).ok(), "byte {at} of the archive");
        }
    }
}

#[test]
fn a_forgery_by_the_holder_of_the_key_is_named() {
    for (files, expected) in forgeries() {
        let report = failure(&files);
        assert!(report.contains(expected), "expected `{expected}` in\n{report}");
    }
}

/// Bundles that are changed and then signed again with the right key, and what must be said about each.
pub(super) fn forgeries() -> Vec<(archive::Files, &'static str)> {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    let all = std::cell::RefCell::new(Vec::new());
    let case = |change: &dyn Fn(&mut archive::Files), expected: &'static str| {
        let mut changed = files.clone();
        change(&mut changed);
        resign(&mut changed, &key(2));
        all.borrow_mut().push((changed, expected));
    };
    let edit = |path: &'static str, from: &'static str, to: &'static str| {
        move |files: &mut archive::Files| {
            let text = String::from_utf8(files[path].clone()).unwrap();
            assert!(text.contains(from));
            files.insert(path.to_owned(), text.replacen(from, to, 1).into_bytes());
        }
    };
    case(&edit("entries.jsonl", "drill", "grill"), "entries.jsonl line 1: entry 1 is not what the log holds");
    case(&edit("entries.jsonl", "\"seq\":1", "\"seq\":3"), "entry 3 is not what the log holds");
    case(&edit("entries.jsonl", "INC-2026-0001", "INC-2026-0002"), "entries.jsonl line 1");
    case(&edit("entries.jsonl", "{\"actor", "{ \"actor"), "not canonical JSON");
    case(&edit("rotations.jsonl", "yearly", "weekly"), "rotations.jsonl line 1: entry 4 is not what");
    case(&edit("proofs/1.tlog-proof", "index 1", "index 2"), "it proves entry 2, not 1");
    case(&edit("proofs/1.tlog-proof", "\n9\n", "\n8\n"), "leads to another checkpoint");
    case(&edit("checkpoint", "\n9\n", "\n8\n"), "checkpoint: checkpoint: the signature of key");
    case(&edit("keys.txt", "\n", "\n\n"), "keys.txt line 2: bad verifier key");
    case(
        &|files| drop(files.remove("proofs/3.tlog-proof")),
        "proofs/3.tlog-proof: missing: the proof of entry 3",
    );
    case(
        &|files| {
            let at = files.keys().find(|path| path.starts_with("evidence/")).unwrap().clone();
            files.insert(at, b"the log LINES\n".to_vec());
        },
        "its SHA-256 is not its name",
    );
    case(&|files| files.retain(|path, _| !path.starts_with("evidence/")), "missing: entry 2 names it");
    case(
        &|files| {
            let text = String::from_utf8(files["entries.jsonl"].clone()).unwrap();
            let rest = text.split_once('\n').unwrap().1.to_owned();
            files.insert("entries.jsonl".to_owned(), rest.into_bytes());
        },
        "proofs/1.tlog-proof: no entry that holds belongs to this proof",
    );
    case(
        &|files| {
            let mut lines = files["rotations.jsonl"].clone();
            lines.extend_from_slice(&files["entries.jsonl"]);
            files.insert("entries.jsonl".to_owned(), lines);
        },
        "a key.rotation entry belongs into rotations.jsonl",
    );
    all.into_inner()
}

#[test]
fn the_manifest_has_one_form() {
    let files = Log::new(false).builder().build(&key(2)).unwrap();
    let case = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut changed = files.clone();
        let mut manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        change(&mut manifest);
        sign_manifest(&mut changed, &manifest, &key(2));
        let report = failure(&changed);
        assert!(report.contains(expected), "expected `{expected}` in\n{report}");
    };
    case(&|m| m["extra"] = json!(1), "unknown field `extra`");
    case(&|m| m["v"] = json!(2), "expected `format`");
    case(&|m| m["origin"] = json!("other"), "another name than the log");
    case(&|m| m["vkey"] = json!(key(1).verifier().to_string()), "`vkey` is not the last key");
    case(&|m| m["files"].as_array_mut().unwrap().reverse(), "not sorted by path");
    case(
        &|m| {
            let first = m["files"][0].clone();
            m["files"].as_array_mut().unwrap().insert(0, first);
        },
        "duplicate path",
    );
    case(&|m| m["files"][0]["size"] = json!(1), "the manifest says 1");
    case(&|m| m["files"][0]["mode"] = json!(1), "unknown field `mode`");
    case(&|m| drop(m["files"].as_array_mut().unwrap().remove(0)), "not listed in the manifest");
    let mut two = files.clone();
    let mut note: quell_ledger::note::Note =
        String::from_utf8(files["manifest.note"].clone()).unwrap().parse().unwrap();
    note.add(quell_ledger::note::Signature { name: "w".to_owned(), id: [0; 4], bytes: vec![1] });
    two.insert("manifest.note".to_owned(), note.to_string().into_bytes());
    assert!(failure(&two).contains("exactly one signature"));
}

#[test]
fn a_compromised_key_is_named() {
    let files = Log::new(true).builder().build(&key(2)).unwrap();
    let report = bundle::verify(&files, Some(key(2).verifier()));
    assert_eq!(report.verdict(), Verdict::Verified);
    assert!(report.to_string().contains("history before 4 vouched for only by a revoked key"), "{report}");
    let report = bundle::verify(&files, Some(key(1).verifier()));
    assert_eq!(report.verdict(), Verdict::Failed);
    assert!(report.to_string().contains("without the old key's signature"), "{report}");
}

#[test]
fn the_builder_refuses_what_would_not_verify() {
    let log = Log::new(false);
    assert!(matches!(log.builder().build(&key(1)), Err(BuildError::WouldNotVerify(_))), "wrong key");
    let mut builder = log.builder();
    assert!(matches!(builder.entry(1, log.bytes(1), Vec::new()), Err(BuildError::Twice(1))));
    for path in ["manifest.json", "proofs/1", "evidence/1", "report.md"] {
        assert!(matches!(builder.file(path, Vec::new()), Err(BuildError::File { .. })), "{path}");
    }
    builder.file("a/../b", Vec::new()).unwrap();
    assert!(matches!(builder.build(&key(2)), Err(BuildError::Path(_))));
    let mut builder = log.builder();
    builder.entry(7, log.bytes(7), Vec::new()).unwrap();
    let Err(BuildError::WouldNotVerify(report)) = builder.build(&key(2)) else {
        panic!("a proof is missing")
    };
    assert!(report.to_string().contains("entry 7 is not what the log holds"), "{report}");
}

#[test]
fn a_single_proof_verifies_alone() {
    let log = Log::new(false);
    let files = log.builder().build(&key(2)).unwrap();
    let text = String::from_utf8(files["proofs/6.tlog-proof"].clone()).unwrap();
    let proof = Proof::parse(&text).unwrap();
    assert_eq!(proof.to_text(), text);
    let leaf = quell_ledger::leaf_hash(&log.bytes(6));
    assert_eq!(proof.verify(&leaf, ORIGIN, &[key(2).verifier()]).unwrap().size, 9);
    assert!(
        proof.verify(&leaf, ORIGIN, &[key(1).verifier()]).unwrap_err().to_string().contains("not signed by")
    );
    assert!(
        proof
            .verify(&[0; 32], ORIGIN, &[key(2).verifier()])
            .unwrap_err()
            .to_string()
            .contains("another root")
    );
}
