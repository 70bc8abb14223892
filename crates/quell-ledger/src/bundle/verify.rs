//! Verifying a bundle: every byte of every file is covered by something that is signed, and everything that is
//! signed leads to the log.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::checks::{self, Manifest, text_file};
use super::{CHECKPOINT, ENTRIES, EVIDENCE, KEYS, PROOFS, ROTATIONS, Report, Warning, proof_path};
use crate::archive::Files;
use crate::canonical;
use crate::checkpoint::Checkpoint;
use crate::encoding::{sha256, shown, unhex_hash};
use crate::note::VerifierKey;
use crate::proof::Proof;
use crate::rotation::{KIND, Rotation, Vouched};
use crate::tree::{Hash, leaf_hash, prefix_root};

/// An entry whose proof holds.
struct Proven {
    seq: u64,
    place: String,
    entry: Map<String, Value>,
    /// The root of the log before this entry.
    before: Hash,
}

/// Checks a bundle. `outside` is a key of this log that the reader has from elsewhere; without it nobody but the
/// bundle itself says who made it.
pub fn verify(files: &Files, outside: Option<&VerifierKey>) -> Report {
    let mut report = Report { files: files.len(), ..Report::default() };
    if outside.is_none() {
        report.warnings.push(Warning::NoOutsideKey);
    }
    let Some(manifest) = checks::manifest(files, &mut report) else { return report };
    report.incident = shown(&manifest.incident);
    report.origin = shown(&manifest.origin);
    let Some(keys) = checks::keys(files, &manifest, &mut report) else { return report };
    let Some(current) = keys.last() else { return report };
    checks::manifest_note(files, &manifest.origin, current, &mut report);
    let Some(note) = text_file(files, CHECKPOINT, &mut report) else { return report };
    let checkpoint = match Checkpoint::open(note, &manifest.origin, &[current]) {
        Ok(checkpoint) => checkpoint,
        Err(why) => {
            report.problem(CHECKPOINT, why);
            return report;
        }
    };
    report.log_size = Some(checkpoint.size);

    let log = Log { files, note, checkpoint: &checkpoint };
    let entries = log.lines(ENTRIES, &mut report);
    let rotations = log.lines(ROTATIONS, &mut report);
    report.proven = entries.len() + rotations.len();
    kinds(&manifest, &entries, &rotations, &mut report);
    chain(&manifest.origin, &keys, &rotations, outside, &mut report);
    evidence(files, entries.iter().chain(&rotations), &mut report);
    stray_proofs(files, &entries, &rotations, &mut report);
    report
}

struct Log<'a> {
    files: &'a Files,
    note: &'a str,
    checkpoint: &'a Checkpoint,
}

impl Log<'_> {
    /// The entries of a `.jsonl` file, each with its proof.
    fn lines(&self, file: &str, report: &mut Report) -> Vec<Proven> {
        let Some(text) = text_file(self.files, file, report) else { return Vec::new() };
        if text.is_empty() {
            return Vec::new();
        }
        let Some(text) = text.strip_suffix('\n') else {
            report.problem(file, "it does not end in a newline");
            return Vec::new();
        };
        let mut proven: Vec<Proven> = Vec::new();
        for (at, line) in text.split('\n').enumerate() {
            let place = format!("{file} line {}", at + 1);
            match self.line(line, &place) {
                Err((place, why)) => report.problem(place, why),
                Ok(entry) => {
                    if proven.last().is_some_and(|last| last.seq >= entry.seq) {
                        report.problem(place, format!("entry {} is a duplicate or out of order", entry.seq));
                    }
                    proven.push(entry);
                }
            }
        }
        proven
    }

    fn line(&self, line: &str, place: &str) -> Result<Proven, (String, String)> {
        let here = |why: String| (place.to_owned(), why);
        let entry = canonical::parse_object(line.as_bytes()).map_err(|why| here(why.to_string()))?;
        let seq = entry
            .get("seq")
            .and_then(Value::as_u64)
            .ok_or_else(|| here("the entry has no number `seq`".to_owned()))?;
        let path = proof_path(seq);
        let there = |why: String| (path.clone(), why);
        let text =
            self.files.get(&path).ok_or_else(|| there(format!("missing: the proof of entry {seq}")))?;
        let text = std::str::from_utf8(text).map_err(|_e| there("not UTF-8 text".to_owned()))?;
        let proof = Proof::parse(text).map_err(|why| there(why.to_string()))?;
        if proof.index != seq {
            return Err(there(format!("it proves entry {}, not {seq}", proof.index)));
        }
        // The checkpoint's signature is verified; being the same bytes, this one's is as well.
        if proof.checkpoint != self.note {
            return Err(there(format!("it leads to another checkpoint than the file `{CHECKPOINT}`")));
        }
        let leaf = leaf_hash(line.as_bytes());
        let before = prefix_root(seq, self.checkpoint.size, &leaf, &proof.path, &self.checkpoint.root)
            .map_err(|why| here(format!("entry {seq} is not what the log holds: {why}")))?;
        Ok(Proven { seq, place: place.to_owned(), entry, before })
    }
}

/// Each entry is in the right file and of the right incident.
fn kinds(manifest: &Manifest, entries: &[Proven], rotations: &[Proven], report: &mut Report) {
    let is_rotation = |proven: &Proven| proven.entry.get("kind").and_then(Value::as_str) == Some(KIND);
    for proven in entries {
        if is_rotation(proven) {
            report.problem(&proven.place, format!("a {KIND} entry belongs into {ROTATIONS}"));
        }
        let incident = proven.entry.get("stream").and_then(Value::as_str);
        if incident.is_some_and(|incident| incident != manifest.incident) {
            report.problem(&proven.place, format!("entry {} is of another incident", proven.seq));
        }
    }
    for proven in rotations.iter().filter(|proven| !is_rotation(proven)) {
        report.problem(&proven.place, format!("entry {} is not a {KIND} entry", proven.seq));
    }
}

/// From the first key over all rotations to the present one; and where the key from outside stands in that.
fn chain(
    origin: &str,
    keys: &[VerifierKey],
    rotations: &[Proven],
    outside: Option<&VerifierKey>,
    report: &mut Report,
) {
    if keys.len() != rotations.len() + 1 {
        let (keys, rotations) = (keys.len(), rotations.len());
        report.problem(
            KEYS,
            format!("{keys} keys do not fit {rotations} rotations: there must be one more key"),
        );
    }
    let trusted_from = outside.and_then(|outside| keys.iter().position(|key| key == outside));
    match (outside, trusted_from) {
        (Some(key), None) => {
            report.problem(
                KEYS,
                format!("the key given from outside, {}, is not one of this log's keys", key.short()),
            );
        }
        (_, position) => report.outside_key = position.is_some(),
    }
    for (at, (proven, pair)) in rotations.iter().zip(keys.windows(2)).enumerate() {
        let [old, new] = pair else { continue };
        let rotation = match Rotation::from_entry(&proven.entry) {
            Ok(Some(rotation)) => rotation,
            Ok(None) => continue, // reported by `kinds`
            Err(why) => {
                report.problem(&proven.place, why);
                continue;
            }
        };
        if rotation.seq != proven.seq {
            report.problem(
                &proven.place,
                format!("`data.seq` is {}, the entry is {}", rotation.seq, proven.seq),
            );
        }
        if rotation.new_vkey != *new {
            report.problem(&proven.place, format!("its new key is not the one in {KEYS} line {}", at + 2));
        }
        match rotation.verify(origin, Some(&proven.before), old) {
            Err(why) => report.problem(&proven.place, why),
            Ok(Vouched::ByBoth) => {}
            Ok(Vouched::ByNewKeyOnly) => {
                if trusted_from.is_some_and(|from| from <= at) {
                    let (old, new) = (old.short(), new.short());
                    report.problem(
                        &proven.place,
                        format!(
                            "key {old} was replaced by {new} without the old key's signature: verify again with \
                             the new key, from its owner"
                        ),
                    );
                }
                report.warnings.push(Warning::RevokedKey { before: proven.seq, key: old.short() });
            }
        }
    }
}

/// What the entries name is here, and nothing else is.
fn evidence<'a>(files: &Files, entries: impl Iterator<Item = &'a Proven>, report: &mut Report) {
    let mut named: BTreeMap<String, u64> = BTreeMap::new();
    for proven in entries {
        let Some(list) = proven.entry.get("evidence") else { continue };
        let Some(list) = list.as_array() else {
            report.problem(&proven.place, "`evidence` is not a list");
            continue;
        };
        for item in list {
            let hash = item.get("sha256").and_then(Value::as_str).filter(|text| unhex_hash(text).is_some());
            let size = item.get("size").and_then(Value::as_u64);
            let (Some(hash), Some(size)) = (hash, size) else {
                report.problem(
                    &proven.place,
                    "an item of `evidence` has no SHA-256 in lower-case hex and size",
                );
                continue;
            };
            let path = format!("{EVIDENCE}{hash}");
            match files.get(&path) {
                None => report.problem(path.as_str(), format!("missing: entry {} names it", proven.seq)),
                Some(content) if u64::try_from(content.len()) != Ok(size) => {
                    let has = content.len();
                    report.problem(path.as_str(), format!("{has} bytes, entry {} says {size}", proven.seq));
                }
                Some(_) => {}
            }
            named.insert(path, size);
        }
    }
    for (path, content) in
        files.range(EVIDENCE.to_owned()..).take_while(|(path, _)| path.starts_with(EVIDENCE))
    {
        if *path != format!("{EVIDENCE}{}", hex::encode(sha256(&[content]))) {
            report.problem(shown(path), "its SHA-256 is not its name");
        } else if named.contains_key(path) {
            report.evidence += 1;
        } else {
            report.problem(shown(path), "no entry names it");
        }
    }
}

fn stray_proofs(files: &Files, entries: &[Proven], rotations: &[Proven], report: &mut Report) {
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    for proven in entries.iter().chain(rotations) {
        *wanted.entry(proof_path(proven.seq)).or_default() += 1;
    }
    for (path, _) in wanted.iter().filter(|(_, count)| **count > 1) {
        report.problem(path.as_str(), "more than one line of the bundle is this entry");
    }
    for path in
        files.range(PROOFS.to_owned()..).map(|(path, _)| path).take_while(|path| path.starts_with(PROOFS))
    {
        if !wanted.contains_key(path) {
            report.problem(shown(path), "no entry that holds belongs to this proof");
        }
    }
}
