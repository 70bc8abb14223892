//! A secret and its versions.

use serde_json::{Value, json};

use super::super::{base64, unbase64};
use super::{Reply, Request, State, allows, error};

#[derive(Debug)]
pub(super) struct Secret {
    more: Value,
    versions: Vec<Version>,
    /// What `latest` is while it lags.
    lag: Option<usize>,
    touch: bool,
}

#[derive(Clone, Debug)]
struct Version {
    value: Vec<u8>,
    state: &'static str,
    etag: u32,
    scheduled: bool,
    /// The key that it is encrypted with is away.
    withheld: bool,
}

impl Secret {
    pub(super) fn new(more: &Value) -> Self {
        Self { more: more.clone(), versions: Vec::new(), lag: None, touch: false }
    }

    pub(super) fn add(&mut self, value: &[u8]) {
        self.versions.push(Version {
            value: value.to_vec(),
            state: "ENABLED",
            etag: 1,
            scheduled: false,
            withheld: false,
        });
    }

    pub(super) fn values(&self) -> Vec<Option<String>> {
        let text = |version: &Version| String::from_utf8_lossy(&version.value).into_owned();
        self.versions.iter().map(|version| (version.state != "DESTROYED").then(|| text(version))).collect()
    }

    pub(super) fn disable(&mut self, version: usize) {
        if let Some(version) = self.versions.get_mut(version - 1) {
            (version.state, version.etag) = ("DISABLED", version.etag + 1);
        }
    }

    pub(super) fn withhold(&mut self, version: usize, withheld: bool) {
        if let Some(version) = self.versions.get_mut(version - 1) {
            version.withheld = withheld;
        }
    }

    pub(super) fn catch_up(&mut self) {
        self.lag = None;
    }

    pub(super) fn lag(&mut self) {
        self.lag = Some(self.versions.len());
    }

    pub(super) fn touch_next(&mut self) {
        self.touch = true;
    }

    fn number(&self, text: &str) -> Option<usize> {
        let number = match text {
            "latest" => self.lag.unwrap_or(self.versions.len()),
            _ => text.parse().ok()?,
        };
        (1..=self.versions.len()).contains(&number).then_some(number)
    }

    fn object(&self, name: &str, number: usize) -> Value {
        let version = &self.versions[number - 1];
        let mut object = json!({
            "name": format!("projects/123456/secrets/{name}/versions/{number}"),
            "state": version.state,
            "etag": format!("\"{}\"", version.etag),
        });
        if version.scheduled {
            object["scheduledDestroyTime"] = json!("2026-12-23T08:00:00Z");
        }
        object
    }

    fn access(&self, name: &str, number: usize) -> Reply {
        let version = &self.versions[number - 1];
        if version.state != "ENABLED" {
            let words = format!(
                "Secret Version [projects/123456/secrets/{name}/versions/{number}] is in {} state.",
                version.state
            );
            return error(400, "FAILED_PRECONDITION", &words);
        }
        if version.withheld {
            return error(
                400,
                "FAILED_PRECONDITION",
                "The CMEK key that the secret version is encrypted with is disabled.",
            );
        }
        let checksum = crc32c(&version.value).to_string();
        let mut object = self.object(name, number);
        object["payload"] = json!({ "data": base64(&version.value), "dataCrc32c": checksum });
        Reply::json(200, &object)
    }

    fn destroy(&mut self, name: &str, number: usize, etag: &str) -> Reply {
        let delayed = self.more["versionDestroyTtl"].is_string();
        if std::mem::take(&mut self.touch) {
            self.versions[number - 1].etag += 1;
        }
        let version = &mut self.versions[number - 1];
        if etag != format!("\"{}\"", version.etag) {
            return error(409, "ABORTED", "The etag provided does not match the current etag.");
        }
        version.etag += 1;
        if delayed {
            (version.state, version.scheduled) = ("DISABLED", true);
        } else {
            (version.state, version.value) = ("DESTROYED", Vec::new());
        }
        Reply::json(200, &self.object(name, number))
    }
}

impl State {
    pub(super) fn on_secret(&mut self, rest: &[&str], request: &Request, may: &[String]) -> Reply {
        let missing = |name: &str| {
            error(404, "NOT_FOUND", &format!("Secret [projects/123456/secrets/{name}] not found."))
        };
        match (request.method.as_str(), rest) {
            ("POST", [name]) => match name.strip_suffix(":addVersion") {
                Some(name) => self.add_version(name, request, may).unwrap_or_else(|| missing(name)),
                None => missing(name),
            },
            ("GET", [name]) => {
                if let Some(refused) = allows(may, "secretmanager.secrets.get") {
                    return refused;
                }
                self.secrets.get(*name).map_or_else(|| missing(name), |secret| Reply::json(200, &secret.more))
            }
            ("GET", [name, "versions"]) => {
                if let Some(refused) = allows(may, "secretmanager.versions.list") {
                    return refused;
                }
                let Some(secret) = self.secrets.get(*name) else { return missing(name) };
                // The newest first, two at a time.
                let from: usize =
                    request.query.get("pageToken").and_then(|text| text.parse().ok()).unwrap_or(0);
                let all: Vec<usize> = (1..=secret.versions.len()).rev().collect();
                let some: Vec<Value> =
                    all.iter().skip(from).take(2).map(|&n| secret.object(name, n)).collect();
                let next = if from + 2 < all.len() { (from + 2).to_string() } else { String::new() };
                Reply::json(200, &json!({ "versions": some, "nextPageToken": next }))
            }
            (method, [name, "versions", last]) => {
                let Some((version, verb)) = last.split_once(':') else { return missing(name) };
                if let Some(refused) = allows(may, &format!("secretmanager.versions.{verb}")) {
                    return refused;
                }
                let Some(secret) = self.secrets.get_mut(*name) else { return missing(name) };
                let Some(number) = secret.number(version) else { return missing(name) };
                match (method, verb) {
                    ("GET", "access") => secret.access(name, number),
                    ("POST", "destroy") => {
                        let etag = request.json()["etag"].as_str().unwrap_or_default().to_owned();
                        secret.destroy(name, number, &etag)
                    }
                    _ => missing(name),
                }
            }
            _ => error(404, "NOT_FOUND", "Requested entity was not found."),
        }
    }

    fn add_version(&mut self, name: &str, request: &Request, may: &[String]) -> Option<Reply> {
        if let Some(refused) = allows(may, "secretmanager.versions.add") {
            return Some(refused);
        }
        let body = request.json();
        let data = unbase64(body["payload"]["data"].as_str().unwrap_or_default());
        let theirs = self.meanwhile.take();
        let secret = self.secrets.get_mut(name)?;
        if body["payload"]["dataCrc32c"].as_str() != Some(&crc32c(&data).to_string()) {
            return Some(error(400, "INVALID_ARGUMENT", "The checksum does not match the payload."));
        }
        secret.add(&data);
        let reply = Reply::json(200, &secret.object(name, secret.versions.len()));
        if let Some(theirs) = theirs {
            secret.add(theirs.as_bytes());
        }
        Some(reply)
    }
}

/// Castagnoli, by a table that is made anew each time: another way than the connector's.
fn crc32c(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|n| (0..8).fold(n, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }))
        .collect();
    let step = |crc: u32, byte: &u8| table[((crc ^ u32::from(*byte)) & 255) as usize] ^ crc >> 8;
    !bytes.iter().fold(u32::MAX, step)
}
