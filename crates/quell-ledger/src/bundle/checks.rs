//! The parts of a bundle that are read before the entries: manifest, keys, signatures.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{FORMAT, KEYS, MANIFEST, MANIFEST_NOTE, Report, VERSION, manifest_text};
use crate::archive::{Files, check_paths};
use crate::canonical;
use crate::encoding::{sha256, shown, unhex_hash};
use crate::note::{Note, VerifierKey};

/// What the manifest says about the bundle as a whole.
pub(super) struct Manifest {
    pub(super) incident: String,
    pub(super) origin: String,
    pub(super) vkey: String,
}

/// Reads the manifest and compares every file with it.
pub(super) fn manifest(files: &Files, report: &mut Report) -> Option<Manifest> {
    if let Err(why) = check_paths(files.keys().map(String::as_str)) {
        report.problem("the bundle", why);
    }
    let Some(bytes) = files.get(MANIFEST) else {
        report.problem(MANIFEST, "missing");
        return None;
    };
    let object = match canonical::parse_object(bytes) {
        Ok(object) => object,
        Err(why) => {
            report.problem(MANIFEST, why);
            return None;
        }
    };
    if let Some(listed) = head(&object, report) {
        compare(listed, files, report);
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(incident), Some(origin), Some(vkey)) = (text("incident"), text("origin"), text("vkey")) else {
        report.problem(MANIFEST, "`incident`, `origin` and `vkey` must be texts");
        return None;
    };
    Some(Manifest { incident, origin, vkey })
}

fn head<'a>(object: &'a Map<String, Value>, report: &mut Report) -> Option<&'a Vec<Value>> {
    exact_fields(object, &["files", "format", "incident", "origin", "v", "vkey"], MANIFEST, report);
    if object.get("format").and_then(Value::as_str) != Some(FORMAT)
        || object.get("v").and_then(Value::as_u64) != Some(VERSION)
    {
        report.problem(MANIFEST, format!("expected `format` {FORMAT} and `v` {VERSION}"));
    }
    let listed = object.get("files").and_then(Value::as_array);
    if listed.is_none() {
        report.problem(MANIFEST, "`files` must be a list");
    }
    listed
}

fn exact_fields(object: &Map<String, Value>, fields: &[&str], place: &str, report: &mut Report) {
    for name in object.keys().filter(|name| !fields.contains(&name.as_str())) {
        report.problem(place, format!("unknown field `{}`", shown(name)));
    }
    for name in fields.iter().filter(|name| !object.contains_key(**name)) {
        report.problem(place, format!("the field `{name}` is missing"));
    }
}

fn compare(listed: &[Value], files: &Files, report: &mut Report) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut last: Option<&str> = None;
    for (at, item) in listed.iter().enumerate() {
        let place = format!("{MANIFEST} file {}", at + 1);
        let Some(item) = item.as_object() else {
            report.problem(place, "not an object");
            continue;
        };
        exact_fields(item, &["path", "sha256", "size"], &place, report);
        let path = item.get("path").and_then(Value::as_str);
        let hash = item.get("sha256").and_then(Value::as_str).and_then(unhex_hash);
        let size = item.get("size").and_then(Value::as_u64);
        let (Some(path), Some(hash), Some(size)) = (path, hash, size) else {
            report.problem(place, "expected a path, a SHA-256 in lower-case hex and a size");
            continue;
        };
        if path == MANIFEST || path == MANIFEST_NOTE {
            report.problem(&place, format!("`{path}` cannot list itself"));
        }
        if !seen.insert(path) {
            report.problem(place, format!("duplicate path `{}`", shown(path)));
        } else if last.is_some_and(|last| last > path) {
            report.problem(place, format!("`{}` is not sorted by path", shown(path)));
        }
        last = Some(path);
        match files.get(path) {
            None => report.problem(shown(path), "missing: the manifest lists it"),
            Some(content) if u64::try_from(content.len()) != Ok(size) => {
                report.problem(path, format!("changed: {} bytes, the manifest says {size}", content.len()));
            }
            Some(content) if sha256(&[content]) != hash => {
                report.problem(path, "changed: its SHA-256 is not the one in the manifest");
            }
            Some(_) => {}
        }
    }
    for path in files.keys().filter(|path| *path != MANIFEST && *path != MANIFEST_NOTE) {
        if !seen.contains(path.as_str()) {
            report.problem(shown(path), "not listed in the manifest: it was added");
        }
    }
}

/// The log's keys, the oldest first; the newest is the one that must have signed.
pub(super) fn keys(files: &Files, manifest: &Manifest, report: &mut Report) -> Option<Vec<VerifierKey>> {
    let text = text_file(files, KEYS, report)?;
    let mut keys: Vec<VerifierKey> = Vec::new();
    let Some(lines) = text.strip_suffix('\n') else {
        report.problem(KEYS, "it must hold at least one key and end in a newline");
        return None;
    };
    for (at, line) in lines.split('\n').enumerate() {
        let place = format!("{KEYS} line {}", at + 1);
        match line.parse::<VerifierKey>() {
            Err(why) => {
                report.problem(place, why);
                return None;
            }
            Ok(key) => {
                if key.name() != manifest.origin {
                    report.problem(&place, "the key has another name than the log");
                }
                if keys.contains(&key) {
                    report.problem(place, "the same key twice");
                }
                keys.push(key);
            }
        }
    }
    if keys.last().is_some_and(|key| key.to_string() != manifest.vkey) {
        report.problem(MANIFEST, format!("`vkey` is not the last key of {KEYS}"));
    }
    report.keys = keys.iter().map(VerifierKey::short).collect();
    Some(keys)
}

/// The signature over the manifest: exactly one line, by the newest key, over exactly this manifest.
pub(super) fn manifest_note(files: &Files, origin: &str, key: &VerifierKey, report: &mut Report) {
    let (Some(text), Some(manifest)) = (text_file(files, MANIFEST_NOTE, report), files.get(MANIFEST)) else {
        return;
    };
    let note: Note = match text.parse() {
        Ok(note) => note,
        Err(why) => return report.problem(MANIFEST_NOTE, why),
    };
    // A line of an unknown key would be bytes that nothing vouches for.
    if note.signatures.len() != 1 {
        report.problem(MANIFEST_NOTE, "it must have exactly one signature");
    }
    if let Err(why) = note.verify(&[key]) {
        report.problem(MANIFEST_NOTE, why);
    }
    if note.text != manifest_text(origin, manifest) {
        report.problem(MANIFEST_NOTE, format!("it was signed over another {MANIFEST}, or for another log"));
    }
}

/// A file that must be there and be text.
pub(super) fn text_file<'a>(files: &'a Files, path: &str, report: &mut Report) -> Option<&'a str> {
    let Some(bytes) = files.get(path) else {
        report.problem(path, "missing");
        return None;
    };
    let text = std::str::from_utf8(bytes).ok();
    if text.is_none() {
        report.problem(path, "not UTF-8 text");
    }
    text
}
