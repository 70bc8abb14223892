//! Ids and fields around cloud credentials.

use std::ops::Range;

use super::{Details, put};

/// The account of an AWS access key id: 40 bits after the prefix, in Base32 (RFC 4648, section 6).
///
/// Published by A. Steele, "A short note on AWS key id", 2020: <https://awsteele.com/blog/2020/09/26/aws-access-key-format.html>.
/// Ids from before that format do not have the first bit set.
pub(super) fn access_key_id(secret: &[u8], all: &mut Details) {
    let id = secret.strip_prefix(b"AKIA").or_else(|| secret.strip_prefix(b"ASIA"));
    let Some(id) = id.filter(|id| id.len() == 16) else { return };
    let mut bits = 0_u64;
    for byte in id.iter().take(10) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return,
        };
        bits = bits << 5 | u64::from(digit);
    }
    // Of 50 bits the first is a flag, the next 40 are the account, and the rest belongs to the key.
    let account = bits >> 9 & 0xff_ffff_ffff;
    if bits >> 49 == 1 && account < 1_000_000_000_000 {
        all.insert("account".to_owned(), format!("{account:012}"));
    }
}

/// Expiry and permissions of a shared access signature:
/// <https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas>.
pub(super) fn shared_access_signature(secret: &[u8], all: &mut Details) {
    let Some(text) = std::str::from_utf8(secret).ok().filter(|text| text.contains("sig=")) else { return };
    let query = text.rsplit_once('?').map_or(text, |(_, query)| query);
    for pair in query.split('&') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.replace("%3A", ":").replace("%3a", ":");
        match name {
            "se" => put(all, "expires", &value),
            "st" => put(all, "starts", &value),
            "sp" => put(all, "permissions", &value),
            "sr" => put(all, "resource", &value),
            _ => {}
        }
    }
}

/// How far the other fields of a service account file may be from its key.
const FIELDS_WITHIN: usize = 2 << 10;

/// The other fields of a service account file.
pub(super) fn service_account(bytes: &[u8], secret: &Range<usize>, all: &mut Details) {
    let low = secret.start.saturating_sub(FIELDS_WITHIN);
    let high = secret.end.saturating_add(FIELDS_WITHIN).min(bytes.len());
    let before = bytes.get(low..secret.start).unwrap_or_default();
    let after = bytes.get(secret.end..high).unwrap_or_default();
    // Of several objects in one file the nearest counts: the last one before, the first one after.
    let before = before.rsplit(|byte| *byte == b'{').next().unwrap_or_default();
    let after = after.split(|byte| *byte == b'}').next().unwrap_or_default();
    for (field, name) in [("project_id", "project"), ("client_email", "client_email")] {
        let value = field_of(before, field).or_else(|| field_of(after, field));
        put(all, name, &value.unwrap_or_default());
    }
    // The key's id is 40 hex digits and public; `put` would take it for a secret.
    let id = field_of(before, "private_key_id").or_else(|| field_of(after, "private_key_id"));
    if let Some(id) = id.filter(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        all.insert("key_id".to_owned(), id);
    }
}

/// The text of `"name": "text"`.
fn field_of(bytes: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once(&format!("\"{name}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let (value, _) = rest.split_once('"')?;
    (!value.contains('\\')).then(|| value.to_owned())
}
