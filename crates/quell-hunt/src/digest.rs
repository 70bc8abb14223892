//! CloudTrail's log file integrity validation: what the digests prove to be missing or altered.
//!
//! With validation on, a digest comes every hour, also when nothing happened. It names the objects of its hour with the
//! SHA-256 of their unpacked content, and the digest before it with its own
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>).
//! Logs that came too late for the digest of their hour are named by one that is delivered afterwards, `…_backfill.json.gz`. These
//! make a chain of their own, of the hours that need one; all else of them is like the others
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-cli.html>).
//! With AWS's public keys it is also checked that AWS made them (see [`crate::signature`]); without, only that objects and digests
//! fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use crate::ahead::{Ahead, Next};
use crate::gap::{Gap, Strength};
use crate::hash::sha256;
use crate::layout::{Delivery, Stream};
use crate::object::Object;
use crate::signature::{self, Keys, Signatures};
use crate::source::Fetch;
use crate::unpack::{Text, Unpacker};

/// A larger digest is none.
const MAX_DIGEST: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    aws_account_id: String,
    digest_start_time: Timestamp,
    digest_end_time: Timestamp,
    digest_s3_object: String,
    previous_digest_s3_object: Option<String>,
    previous_digest_hash_value: Option<String>,
    #[serde(default)]
    log_files: Vec<LogFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogFile {
    s3_object: String,
    hash_value: String,
    oldest_event_time: Option<Timestamp>,
    newest_event_time: Option<Timestamp>,
}

/// What is signed, as it stands in the digest: all of it may be missing.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Signed {
    digest_end_time: String,
    digest_s3_bucket: String,
    digest_public_key_fingerprint: String,
    previous_digest_s3_bucket: Option<String>,
    previous_digest_signature: Option<String>,
}

/// A digest that was read.
struct Known {
    file: File,
    signed: Signed,
    /// The name of the object.
    name: Box<str>,
    /// What came with it, in hex.
    signature: Option<String>,
    sha256: String,
}

/// All digests of a hunt.
#[derive(Default)]
pub(crate) struct Digests {
    /// By account and region, in the order of their hours.
    streams: BTreeMap<Arc<Stream>, Vec<Known>>,
    /// Those that were delivered afterwards, likewise.
    backfill: BTreeMap<Arc<Stream>, Vec<Known>>,
    /// What the logs that they name must hash to, by the last part of their names, which is unique.
    hashes: BTreeMap<String, String>,
    /// Digests that could not be read, or that AWS did not sign.
    broken: Vec<Gap>,
    /// How many were checked, if there are keys.
    signatures: Option<Signatures>,
}

impl Digests {
    /// Reads those among these objects.
    pub(crate) fn read(objects: &[&Object], keys: Option<&Keys>, unpacker: &mut Unpacker) -> Self {
        let mut digests = Self::default();
        let mut beside: BTreeMap<&str, String> = BTreeMap::new();
        let is_digest = |it: &Object| it.delivery.as_ref().is_some_and(|delivery| delivery.digest);
        let mine: Vec<&Object> = objects.iter().copied().filter(|it| is_digest(it)).collect();
        let ahead = Ahead::new(&mine);
        while let Some(Next { object, fetch, .. }) = ahead.next() {
            let Some(delivery) = &object.delivery else { continue };
            if let Some(digest) = signature::digest_of(&object.name) {
                let read = text(object, fetch, unpacker).and_then(|text| signature::beside(&text));
                match read {
                    Ok(signature) => drop(beside.insert(digest, signature)),
                    Err(why) => digests.broken.push(unread(object, delivery, &why)),
                }
                continue;
            }
            match parse(object, fetch, unpacker) {
                Ok(known) => {
                    for log in &known.file.log_files {
                        digests
                            .hashes
                            .insert(last(&log.s3_object).to_owned(), log.hash_value.to_ascii_lowercase());
                    }
                    let late = Delivery::is_backfill(&object.name);
                    let chains = if late { &mut digests.backfill } else { &mut digests.streams };
                    chains.entry(Arc::clone(&delivery.stream)).or_default().push(known);
                }
                Err(why) => digests.broken.push(unread(object, delivery, &why)),
            }
        }
        for stream in digests.streams.values_mut().chain(digests.backfill.values_mut()) {
            stream.sort_by_key(|known| known.file.digest_start_time);
            for known in stream {
                known.signature = beside.remove(&*known.name);
            }
        }
        if let Some(keys) = keys {
            digests.ask(&mine);
            digests.verify(keys);
        }
        digests
    }

    /// Asks the store for the signatures that no other digest holds: those of the last digests.
    fn ask(&mut self, objects: &[&Object]) {
        let all = self.chains().flat_map(|(_, chain)| chain);
        let held = all.filter_map(|known| Some(last(known.file.previous_digest_s3_object.as_deref()?)));
        let held: BTreeSet<String> = held.map(str::to_owned).collect();
        let all = self.streams.values_mut().chain(self.backfill.values_mut()).flatten();
        for known in all.filter(|known| known.signature.is_none()) {
            if !held.contains(last(&known.file.digest_s3_object))
                && let Some(object) = objects.iter().find(|object| object.name == known.name)
            {
                known.signature = object.metadata("signature");
            }
        }
    }

    /// Checks the signature of every digest that has one: of its own, or in the digest that names it as the one before.
    fn verify(&mut self, keys: &Keys) {
        let mut after: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for known in self.chains().flat_map(|(_, chain)| chain) {
            let (named, bucket) =
                (&known.file.previous_digest_s3_object, &known.signed.previous_digest_s3_bucket);
            if let (Some(named), Some(bucket), Some(signature)) =
                (named, bucket, &known.signed.previous_digest_signature)
            {
                after.insert((bucket, named), signature);
            }
        }
        let mut all = Signatures::default();
        let mut wrong = Vec::new();
        for (name, stream) in self.chains() {
            for known in stream {
                all.of += 1;
                let place = (known.signed.digest_s3_bucket.as_str(), known.file.digest_s3_object.as_str());
                // Both must be right where there are both: the later digest is signed with the one that it holds.
                let signatures = [known.signature.as_deref(), after.get(&place).copied()];
                let signatures: Vec<&str> = signatures.into_iter().flatten().collect();
                match known.is_signed(keys, &signatures) {
                    Ok(true) => all.verified += 1,
                    Ok(false) => {
                        all.wrong += 1;
                        wrong.push(Gap {
                            stream: name.to_string(),
                            from: known.file.digest_start_time,
                            to: known.file.digest_end_time,
                            strength: Strength::Altered,
                            why: format!(
                                "the signature of the digest `{}` is not AWS's of this content",
                                known.name
                            ),
                        });
                    }
                    Err(why) => all.add_unchecked(&known.name, &why),
                }
            }
        }
        self.broken.append(&mut wrong);
        self.signatures = Some(all);
    }

    /// Both chains of every account and region.
    fn chains(&self) -> impl Iterator<Item = (&Arc<Stream>, &Vec<Known>)> {
        self.streams.iter().chain(&self.backfill)
    }

    /// How many signatures were checked; `None` without keys.
    pub(crate) fn signatures(&self) -> Option<&Signatures> {
        self.signatures.as_ref()
    }

    /// Whether the account and region of an object has digests.
    pub(crate) fn cover(&self, object: &Object) -> bool {
        object.delivery.as_ref().is_some_and(|it| self.streams.contains_key(&it.stream))
    }

    /// What a log must hash to, if a digest names it.
    pub(crate) fn expected(&self, name: &str) -> Option<&str> {
        self.hashes.get(last(name)).map(String::as_str)
    }

    /// Whether a log is what its digest says; `None` when none names it.
    pub(crate) fn fits(&self, name: &str, text: &[u8]) -> Option<bool> {
        let expected = self.hashes.get(last(name))?;
        Some(*expected == sha256(text))
    }

    /// What is proven to be missing in the window, given all objects that were there.
    pub(crate) fn gaps(
        &self,
        objects: &[&Object],
        window: (Option<Timestamp>, Option<Timestamp>),
    ) -> Vec<Gap> {
        let there: BTreeSet<&str> = objects.iter().map(|object| last(&object.name)).collect();
        let mut gaps = self.broken.clone();
        for (whose, stream) in &self.streams {
            let name = whose.to_string();
            let mut add =
                |from, to, strength, why| gaps.push(Gap { stream: name.clone(), from, to, strength, why });
            if let (Some(from), Some(first)) = (window.0, stream.first())
                && first.file.digest_start_time > from
            {
                let why = "no digest covers the beginning of the window".to_owned();
                add(from, first.file.digest_start_time, Strength::Missing, why);
            }
            if let (Some(to), Some(last)) = (window.1, stream.last())
                && last.file.digest_end_time < to
            {
                let why = "no digest covers the end of the window".to_owned();
                add(last.file.digest_end_time, to, Strength::Missing, why);
            }
            for pair in stream.windows(2) {
                let [before, after] = pair else { continue };
                link(before, after, &mut add);
            }
        }
        for (whose, stream) in &self.backfill {
            let name = whose.to_string();
            let mut add =
                |from, to, strength, why| gaps.push(Gap { stream: name.clone(), from, to, strength, why });
            for pair in stream.windows(2) {
                let [before, after] = pair else { continue };
                follows(before, after, &mut add);
            }
        }
        for (whose, stream) in self.chains() {
            let name = whose.to_string();
            let mut add =
                |from, to, strength, why| gaps.push(Gap { stream: name.clone(), from, to, strength, why });
            for known in stream {
                if *known.file.aws_account_id != *whose.account {
                    let why = format!("its digest is of the account {}", known.file.aws_account_id);
                    add(known.file.digest_start_time, known.file.digest_end_time, Strength::Altered, why);
                }
                for log in known.file.log_files.iter().filter(|log| !there.contains(last(&log.s3_object))) {
                    let from = log.oldest_event_time.unwrap_or(known.file.digest_start_time);
                    let to = log.newest_event_time.unwrap_or(known.file.digest_end_time);
                    let outside =
                        window.0.is_some_and(|start| to < start) || window.1.is_some_and(|end| from > end);
                    if !outside {
                        let why = format!("`{}` is named by a digest and not there", last(&log.s3_object));
                        add(from, to, Strength::Missing, why);
                    }
                }
            }
        }
        gaps
    }

    /// What the digests cover, over all streams: the latest start and the earliest end.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let starts =
            self.streams.values().filter_map(|stream| stream.first()).map(|it| it.file.digest_start_time);
        let ends = self.streams.values().filter_map(|stream| stream.last()).map(|it| it.file.digest_end_time);
        starts.max().zip(ends.min())
    }
}

impl Known {
    /// Whether all of these are signatures of this digest; the error tells why that cannot be said.
    fn is_signed(&self, keys: &Keys, signatures: &[&str]) -> Result<bool, String> {
        if signatures.is_empty() {
            return Err("no digest after it holds its signature, and no file beside it does".to_owned());
        }
        let Signed { digest_end_time, digest_s3_bucket, previous_digest_signature, .. } = &self.signed;
        let text = format!(
            "{digest_end_time}\n{digest_s3_bucket}/{}\n{}\n{}",
            self.file.digest_s3_object,
            self.sha256,
            previous_digest_signature.as_deref().unwrap_or("null")
        );
        let fingerprint = &self.signed.digest_public_key_fingerprint;
        for signature in signatures {
            if !keys.verify(fingerprint, &text, signature)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn unread(object: &Object, delivery: &Delivery, why: &str) -> Gap {
    Gap {
        stream: delivery.stream.to_string(),
        from: delivery.at,
        to: delivery.at,
        strength: Strength::Missing,
        why: format!("the digest `{}` cannot be read: {why}", object.name),
    }
}

/// Whether one digest follows another.
fn link(before: &Known, after: &Known, add: &mut impl FnMut(Timestamp, Timestamp, Strength, String)) {
    let (from, to) = (before.file.digest_end_time, after.file.digest_start_time);
    if to > from {
        add(
            from,
            to,
            Strength::Missing,
            "no digest covers this time: one comes every hour, even when nothing happens".to_owned(),
        );
        return;
    }
    follows(before, after, add);
}

/// Whether a digest names this one as the one before it, and its content.
fn follows(before: &Known, after: &Known, add: &mut impl FnMut(Timestamp, Timestamp, Strength, String)) {
    let from = before.file.digest_end_time;
    let named = after.file.previous_digest_s3_object.as_deref().map(last);
    if named.is_some_and(|named| named != last(&before.file.digest_s3_object)) {
        let why = "the next digest names another one before it; validation was switched off for a while, or digests were replaced";
        add(before.file.digest_start_time, from, Strength::Altered, why.to_owned());
    } else if after
        .file
        .previous_digest_hash_value
        .as_ref()
        .is_some_and(|hash| !hash.eq_ignore_ascii_case(&before.sha256))
    {
        let why = format!(
            "the digest `{}` is not what the next one says it was",
            last(&before.file.digest_s3_object)
        );
        add(before.file.digest_start_time, from, Strength::Altered, why);
    }
}

fn parse(object: &Object, fetch: Option<Fetch>, unpacker: &mut Unpacker) -> Result<Known, String> {
    let text = text(object, fetch, unpacker)?;
    known(&text, object.name.clone())
}

/// All of a digest, unpacked.
fn text(object: &Object, fetch: Option<Fetch>, unpacker: &mut Unpacker) -> Result<Vec<u8>, String> {
    let (text, _) = unpacker.open(object, fetch).map_err(|fate| fate.why().unwrap_or_default().to_owned())?;
    let mut held = Vec::new();
    match text {
        Text::Whole(text) => held.extend_from_slice(text),
        Text::Stream(stream) => {
            stream.take(MAX_DIGEST).read_to_end(&mut held).map_err(|error| error.to_string())?;
        }
    }
    Ok(held)
}

fn known(text: &[u8], name: Box<str>) -> Result<Known, String> {
    let file = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let signed = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(Known { file, signed, name, signature: None, sha256: sha256(text) })
}

/// Digests that follow each other, a line each, with nothing else there; how many could be read, and the gaps.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn of_lines(
    bytes: &[u8],
    window: (Option<Timestamp>, Option<Timestamp>),
) -> (usize, Digests, Vec<Gap>) {
    let mut stream: Vec<Known> =
        bytes.split(|byte| *byte == b'\n').filter_map(|it| known(it, Box::default()).ok()).collect();
    stream.sort_by_key(|known| known.file.digest_start_time);
    let read = stream.len();
    let key = Arc::new(Stream { account: "111122223333".into(), region: "eu-west-1".into() });
    let digests = Digests { streams: BTreeMap::from([(key, stream)]), ..Digests::default() };
    let gaps = digests.gaps(&[], window);
    (read, digests, gaps)
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with three hours of logs, and a digest for each hour.
    fn folder(spoil: impl Fn(&str, String) -> Option<String>) -> (tempfile::TempDir, Vec<Object>) {
        let folder = tempfile::tempdir().unwrap();
        let mut before: Option<(String, String)> = None;
        for hour in 10..13 {
            let log = format!("111122223333_CloudTrail_eu-west-1_20260302T{hour}05Z_x{hour}.json");
            let text = format!("{{\"Records\":[{{\"eventName\":\"E{hour}\"}}]}}");
            let digest = format!(
                "111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260302T{}0000Z.json",
                hour + 1
            );
            let (previous, hash) = before.clone().unzip();
            let body = serde_json::json!({
                "awsAccountId": "111122223333",
                "digestStartTime": format!("2026-03-02T{hour}:00:00Z"),
                "digestEndTime": format!("2026-03-02T{}:00:00Z", hour + 1),
                "digestS3Object": format!("AWSLogs/{digest}"),
                "previousDigestS3Object": previous,
                "previousDigestHashValue": hash,
                "logFiles": [{"s3Object": format!("AWSLogs/{log}"), "hashValue": sha256(text.as_bytes()),
                    "oldestEventTime": format!("2026-03-02T{hour}:01:00Z"), "newestEventTime": format!("2026-03-02T{hour}:04:00Z")}],
            })
            .to_string();
            before = Some((format!("AWSLogs/{digest}"), sha256(body.as_bytes())));
            for (name, text) in [(log, text), (digest, body)] {
                if let Some(text) = spoil(&name, text) {
                    std::fs::write(folder.path().join(name), text).unwrap();
                }
            }
        }
        let objects = crate::object::list(&[folder.path().to_owned()]).unwrap();
        (folder, objects)
    }

    fn gaps(objects: &[Object]) -> Vec<(Strength, String)> {
        let objects: Vec<&Object> = objects.iter().collect();
        let digests = Digests::read(&objects, None, &mut Unpacker::default());
        assert!(objects.iter().any(|object| digests.cover(object)));
        digests.gaps(&objects, (None, None)).into_iter().map(|gap| (gap.strength, gap.why)).collect()
    }

    #[test]
    fn an_unbroken_chain_has_no_gaps() {
        let (_folder, objects) = folder(|_, text| Some(text));
        assert_eq!(gaps(&objects), []);
        let all: Vec<&Object> = objects.iter().collect();
        let digests = Digests::read(&all, None, &mut Unpacker::default());
        assert_eq!(
            digests.fits(
                "any/111122223333_CloudTrail_eu-west-1_20260302T1005Z_x10.json",
                b"{\"Records\":[{\"eventName\":\"E10\"}]}"
            ),
            Some(true)
        );
        assert_eq!(
            digests
                .fits("any/111122223333_CloudTrail_eu-west-1_20260302T1005Z_x10.json", b"{\"Records\":[]}"),
            Some(false)
        );
        assert_eq!(digests.fits("other.json", b""), None);
        let early = Some("2026-03-02T09:00:00Z".parse().unwrap());
        assert!(digests.gaps(&all, (early, None))[0].why.contains("beginning of the window"));
    }

    const LATE: &str = "111122223333_CloudTrail_eu-west-1_20260302T1005Z_late.json";

    /// Adds a log that came late, and the digests for such logs: of the first hour, with that log in it, and of the third.
    fn add_backfill(folder: &std::path::Path, spoil: impl Fn(&str, String) -> Option<String>) -> Vec<Object> {
        let log = "{\"Records\":[{\"eventName\":\"Late\"}]}";
        let mut before: Option<(String, String)> = None;
        let mut files = vec![(LATE.to_owned(), log.to_owned())];
        for hour in [10, 12] {
            let digest = format!(
                "111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260302T{}0000Z_backfill.json",
                hour + 1
            );
            let logs = serde_json::json!([{"s3Object": format!("AWSLogs/{LATE}"), "hashValue": sha256(log.as_bytes())}]);
            let (previous, hash) = before.clone().unzip();
            let body = serde_json::json!({
                "awsAccountId": "111122223333",
                "digestStartTime": format!("2026-03-02T{hour}:00:00Z"),
                "digestEndTime": format!("2026-03-02T{}:00:00Z", hour + 1),
                "digestS3Object": format!("AWSLogs/{digest}"),
                "previousDigestS3Object": previous,
                "previousDigestHashValue": hash,
                "_backfill_generation_timestamp": "2026-03-03T00:00:00Z",
                "logFiles": if hour == 10 { logs } else { serde_json::json!([]) },
            })
            .to_string();
            before = Some((format!("AWSLogs/{digest}"), sha256(body.as_bytes())));
            files.push((digest, body));
        }
        for (name, text) in files {
            if let Some(text) = spoil(&name, text) {
                std::fs::write(folder.join(name), text).unwrap();
            }
        }
        crate::object::list(&[folder.to_owned()]).unwrap()
    }

    #[test]
    fn digests_that_were_delivered_afterwards_are_a_chain_of_their_own() {
        let (kept, _) = folder(|_, text| Some(text));
        let objects = add_backfill(kept.path(), |_, text| Some(text));
        assert_eq!(gaps(&objects), []);
        let all: Vec<&Object> = objects.iter().collect();
        let digests = Digests::read(&all, None, &mut Unpacker::default());
        assert_eq!(digests.fits(LATE, b"{\"Records\":[{\"eventName\":\"Late\"}]}"), Some(true));
        assert_eq!(digests.fits(LATE, b"{\"Records\":[]}"), Some(false), "what they name is proven, too");
        assert_eq!(
            digests.span(),
            Some(("2026-03-02T10:00:00Z".parse().unwrap(), "2026-03-02T13:00:00Z".parse().unwrap()))
        );

        let (kept, _) = folder(|_, text| Some(text));
        let objects = add_backfill(kept.path(), |name, text| (name != LATE).then_some(text));
        let found = gaps(&objects);
        assert!(
            found.len() == 1 && found[0].0 == Strength::Missing && found[0].1.contains("late"),
            "{found:?}"
        );

        let (kept, _) = folder(|_, text| Some(text));
        let altered =
            |name: &str, text: String| Some(if name.contains("T110000Z_b") { text + " " } else { text });
        let found = gaps(&add_backfill(kept.path(), altered));
        assert!(found.len() == 1 && found[0].0 == Strength::Altered, "{found:?}");
        // They vouch for no hour: one in place of the digest of an hour leaves that one missing.
        let (kept, _) =
            folder(|name, text| (!name.contains("Digest") || !name.contains("T120000Z")).then_some(text));
        let found = gaps(&add_backfill(kept.path(), |_, text| Some(text)));
        assert!(found.len() == 1 && found[0].1.contains("every hour"), "{found:?}");
    }

    #[test]
    fn a_missing_log_digest_or_link_is_proven() {
        let (_folder, objects) = folder(|name, text| (!name.contains("_x11")).then_some(text));
        let found = gaps(&objects);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == Strength::Missing && found[0].1.contains("_x11.json"), "{found:?}");

        let (_folder, objects) = folder(|name, text| (!name.contains("T120000Z")).then_some(text));
        let found = gaps(&objects);
        assert!(
            found.iter().any(|(strength, why)| *strength == Strength::Missing && why.contains("every hour")),
            "{found:?}"
        );

        let altered = |name: &str, text: String| {
            Some(if name.contains("T110000Z") {
                text.replace("E10", "E1O").replace("11:00:00", "11:00:00.0")
            } else {
                text
            })
        };
        let (_folder, objects) = folder(altered);
        let found = gaps(&objects);
        assert!(found.iter().any(|(strength, _)| *strength == Strength::Altered), "{found:?}");

        let (_folder, objects) =
            folder(|name, text| Some(if name.contains("T110000Z") { "{".to_owned() } else { text }));
        assert!(gaps(&objects).iter().any(|(_, why)| why.contains("cannot be read")));
    }
}
