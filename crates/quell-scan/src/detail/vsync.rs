//! vsync's configuration blob and the cases of a leak.
//!
//! `vsync-cfg-v1:` and, in Base64 for URLs without padding, the gzip of a JSON object: <https://github.com/muthuishere/vsync>.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Details, put};
use crate::{Finding, Joined};

const CONFIG: &str = "vsync-config";
const PASSPHRASE: &str = "vsync-passphrase";

/// A blob is a few hundred bytes of JSON.
const MAX_JSON: u64 = 16 << 10;

/// What may be shown. The secret key is not even parsed.
#[derive(Deserialize)]
struct Public<'a> {
    v: Option<u64>,
    #[serde(borrow)]
    endpoint: Option<Cow<'a, str>>,
    #[serde(borrow)]
    region: Option<Cow<'a, str>>,
    #[serde(borrow)]
    bucket: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prefix: Option<Cow<'a, str>>,
    #[serde(borrow)]
    env: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "accessKeyId")]
    access_key_id: Option<Cow<'a, str>>,
}

/// Where a blob leads: endpoint, region, bucket, prefix, environment, and the end of its key id.
pub(super) fn blob(secret: &[u8], all: &mut Details) {
    if read(secret, all).is_none() {
        put(all, "decoded", "no");
    }
}

fn read(secret: &[u8], all: &mut Details) -> Option<()> {
    let text = std::str::from_utf8(secret.strip_prefix(b"vsync-cfg-v1:")?).ok()?;
    let packed = Zeroizing::new(crate::rule::decode_base64url(text)?);
    let mut json = Zeroizing::new(Vec::with_capacity(4 << 10));
    flate2::read::GzDecoder::new(packed.as_slice()).take(MAX_JSON).read_to_end(&mut json).ok()?;
    let public: Public<'_> = serde_json::from_slice(&json).ok()?;
    if public.v != Some(1) {
        return None;
    }
    let fields = [
        ("endpoint", public.endpoint),
        ("region", public.region),
        ("bucket", public.bucket),
        ("prefix", public.prefix),
        ("env", public.env),
    ];
    for (name, value) in fields {
        put(all, name, &value.unwrap_or_default());
    }
    let id = public.access_key_id.unwrap_or_default();
    if let Some(end) = id.len().checked_sub(4).filter(|_| id.len() >= 16).and_then(|at| id.get(at..)) {
        put(all, "access_key_id", &format!("…{end}"));
    }
    Some(())
}

/// Says of each finding which case it is: 1 the passphrase alone, 2 the configuration alone, 3 both in one file. Both in
/// different files is what its own half says, with a note: whoever has read both has everything.
pub(crate) fn cases(findings: &mut [Finding]) {
    let mut halves: BTreeMap<&str, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
    for (at, finding) in findings.iter().enumerate() {
        for half in [CONFIG, PASSPHRASE] {
            if finding.kind == half {
                let files = halves.entry(half).or_default();
                files.entry(finding.place.file.clone()).or_default().push(at);
            }
        }
    }
    let none = BTreeMap::new();
    let of = |half: &str| halves.get(half).unwrap_or(&none).clone();
    for (own, other, alone, name) in
        [(CONFIG, PASSPHRASE, "2", "vsync passphrase"), (PASSPHRASE, CONFIG, "1", "vsync configuration")]
    {
        let others = of(other);
        for (file, places) in of(own) {
            let beside = others.get(&file).cloned().unwrap_or_default();
            let joined: BTreeSet<Joined> = beside
                .iter()
                .filter_map(|at| findings.get(*at))
                .map(|found| Joined { name: name.to_owned(), fingerprint: found.fingerprint, text: None })
                .collect();
            for at in places {
                let Some(finding) = findings.get_mut(at) else { continue };
                let case = if joined.is_empty() { alone } else { "3" };
                finding.details.insert("case".to_owned(), case.to_owned());
                finding.joined.extend(joined.iter().cloned());
                if joined.is_empty() && !others.is_empty() && finding.note.is_none() {
                    finding.note = Some(format!(
                        "the {name} was found in another file: if one reader had both, it is case 3"
                    ));
                }
            }
        }
    }
}
