//! CloudTrail's log file integrity validation: what the digests prove to be missing or altered.
//!
//! With validation on, a digest comes every hour, also when nothing happened. It names the objects of its hour with the
//! SHA-256 of their unpacked content, and the digest before it with its own
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>).
//! Their RSA signatures lie in the metadata of the stored objects, which copies to a disk do not have: what is checked here
//! is that objects and digests fit together, not that AWS made them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::ahead::{Ahead, Next};
use crate::gap::{Gap, Strength};
use crate::layout::Stream;
use crate::object::Object;
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

/// A digest that was read.
struct Known {
    file: File,
    sha256: String,
}

/// All digests of a hunt.
#[derive(Default)]
pub(crate) struct Digests {
    /// By account and region, in the order of their hours.
    streams: BTreeMap<Arc<Stream>, Vec<Known>>,
    /// What the logs that they name must hash to, by the last part of their names, which is unique.
    hashes: BTreeMap<String, String>,
    /// Digests that could not be read.
    broken: Vec<Gap>,
}

impl Digests {
    /// Reads those among these objects.
    pub(crate) fn read(objects: &[&Object], unpacker: &mut Unpacker) -> Self {
        let mut digests = Self::default();
        let is_digest = |it: &Object| it.delivery.as_ref().is_some_and(|delivery| delivery.digest);
        let mine: Vec<&Object> = objects.iter().copied().filter(|it| is_digest(it)).collect();
        let ahead = Ahead::new(&mine);
        while let Some(Next { object, fetch, .. }) = ahead.next() {
            let Some(delivery) = &object.delivery else { continue };
            match parse(object, fetch, unpacker) {
                Ok(known) => {
                    for log in &known.file.log_files {
                        digests
                            .hashes
                            .insert(last(&log.s3_object).to_owned(), log.hash_value.to_ascii_lowercase());
                    }
                    digests.streams.entry(Arc::clone(&delivery.stream)).or_default().push(known);
                }
                Err(why) => digests.broken.push(Gap {
                    stream: delivery.stream.to_string(),
                    from: delivery.at,
                    to: delivery.at,
                    strength: Strength::Missing,
                    why: format!("the digest `{}` cannot be read: {why}", object.name),
                }),
            }
        }
        for stream in digests.streams.values_mut() {
            stream.sort_by_key(|known| known.file.digest_start_time);
        }
        digests
    }

    /// Whether the account and region of an object has digests.
    pub(crate) fn cover(&self, object: &Object) -> bool {
        object.delivery.as_ref().is_some_and(|it| self.streams.contains_key(&it.stream))
    }

    /// Whether a log is what its digest says; `None` when none names it.
    pub(crate) fn fits(&self, name: &str, text: &[u8]) -> Option<bool> {
        let expected = self.hashes.get(last(name))?;
        Some(*expected == hex::encode(Sha256::digest(text)))
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
    let (text, _) = unpacker.open(object, fetch).map_err(|fate| fate.why().unwrap_or_default().to_owned())?;
    let mut held = Vec::new();
    let text = match text {
        Text::Whole(text) => text,
        Text::Stream(stream) => {
            stream.take(MAX_DIGEST).read_to_end(&mut held).map_err(|error| error.to_string())?;
            held.as_slice()
        }
    };
    let file = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(Known { file, sha256: hex::encode(Sha256::digest(text)) })
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
                "logFiles": [{"s3Object": format!("AWSLogs/{log}"), "hashValue": hex::encode(Sha256::digest(&text)),
                    "oldestEventTime": format!("2026-03-02T{hour}:01:00Z"), "newestEventTime": format!("2026-03-02T{hour}:04:00Z")}],
            })
            .to_string();
            before = Some((format!("AWSLogs/{digest}"), hex::encode(Sha256::digest(&body))));
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
        let digests = Digests::read(&objects, &mut Unpacker::default());
        assert!(objects.iter().any(|object| digests.cover(object)));
        digests.gaps(&objects, (None, None)).into_iter().map(|gap| (gap.strength, gap.why)).collect()
    }

    #[test]
    fn an_unbroken_chain_has_no_gaps() {
        let (_folder, objects) = folder(|_, text| Some(text));
        assert_eq!(gaps(&objects), []);
        let all: Vec<&Object> = objects.iter().collect();
        let digests = Digests::read(&all, &mut Unpacker::default());
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
