//! Examples as templates, so that no text in the repository looks like a live secret.
//!
//! `{class:count}` stands for `count` pseudo-random characters of a class; `{{` stands for `{`. A class is one of `alnum`,
//! `alpha`, `lower`, `upper`, `digit`, `hex`, `HEX`, `base64`, `base64url`, or a set written as in a regex without its
//! brackets: `A-Z2-7`. The same template and seed always give the same text.
//!
//! `{checksum}` stands for six characters of Base62 that are the CRC-32 of the letters and digits right before it (GitHub,
//! npm); `{checksum:base36}` for seven of base 36 over the whole token before it (GitLab). `{json:…}` stands for its text,
//! up to the brace that closes it, in Base64 for URLs.

use std::ops::Range;

use base64::Engine as _;

use super::checksum::{base36, base62, crc32};

/// Expands a template, or says what is wrong with it.
pub fn expand(template: &str, seed: u64) -> Result<String, String> {
    Ok(expand_with_secret(template, seed)?.0)
}

/// Expands a template, and tells where the longest run of its random characters is: the secret, as shorter ones may be a
/// public id beside it.
pub fn expand_with_secret(template: &str, seed: u64) -> Result<(String, Range<usize>), String> {
    let mut secret = 0..0;
    let mut random = XorShift::new(seed);
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            text.push('{');
            rest = after;
            continue;
        }
        let end = after.strip_prefix("json:").and_then(closing);
        let ends = end.and_then(|end| after.split_at_checked(end + "json:".len()));
        if let Some((body, after)) = ends {
            let json = body.trim_start_matches("json:");
            text.push_str(&base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(json));
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        let Some((body, after)) = after.split_once('}') else {
            return Err(format!("`{{` without `}}` in template {template:?}; write `{{{{` for a brace"));
        };
        if let Some(sum) = checksum(body, &text) {
            text.push_str(&sum);
            rest = after;
            continue;
        }
        let parsed =
            body.rsplit_once(':').and_then(|(class, count)| Some((class, count.parse::<usize>().ok()?)));
        let Some((class, count)) = parsed.filter(|(_, count)| *count <= 4096) else {
            return Err(format!("`{{{body}}}` is not `{{class:count}}` with a count up to 4096"));
        };
        let set = characters(class)?;
        let start = text.len();
        for _ in 0..count {
            text.extend(random.pick(&set));
        }
        if text.len() - start > secret.len() {
            secret = start..text.len();
        }
        rest = after;
    }
    text.push_str(rest);
    Ok((text, secret))
}

/// Where the brace is that closes a text, which may have braces of its own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The checksum of the token at the end of `before`, or `None` for other placeholders.
fn checksum(body: &str, before: &str) -> Option<String> {
    let token = |part: fn(char) -> bool| before.rsplit(|c| !part(c)).next().unwrap_or_default();
    match body {
        "checksum" => Some(base62(crc32(token(|c| c.is_ascii_alphanumeric()).as_bytes()))),
        "checksum:base36" => {
            let whole = token(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
            Some(base36(crc32(whole.as_bytes())))
        }
        _ => None,
    }
}

/// A seed from a rule's id and the number of the example.
pub fn seed(rule_id: &str, index: usize) -> u64 {
    // FNV-1a (Fowler, Noll, Vo): enough to tell examples apart.
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ u64::try_from(index).unwrap_or(0);
    rule_id.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn characters(class: &str) -> Result<Vec<char>, String> {
    let set = match class {
        "alnum" => "A-Za-z0-9",
        "alpha" => "A-Za-z",
        "lower" => "a-z",
        "upper" => "A-Z",
        "digit" => "0-9",
        "hex" => "0-9a-f",
        "HEX" => "0-9A-F",
        "base64" => "A-Za-z0-9+/",
        "base64url" => "A-Za-z0-9_-",
        other => other,
    };
    let mut out = Vec::new();
    let mut chars = set.chars().peekable();
    while let Some(first) = chars.next() {
        let mut ahead = chars.clone();
        if ahead.next() == Some('-') {
            if let Some(last) = ahead.next() {
                out.extend(first..=last);
                chars = ahead;
                continue;
            }
        }
        out.push(first);
    }
    if out.is_empty() { Err(format!("the class `{class}` is empty")) } else { Ok(out) }
}

/// Marsaglia's xorshift64 (*Xorshift RNGs*, 2003) with Vigna's multiplier. Not for secrets.
struct XorShift(u64);

impl XorShift {
    fn new(seed: u64) -> Self {
        Self(if seed == 0 { 0x9e37_79b9_7f4a_7c15 } else { seed })
    }

    fn pick(&mut self, set: &[char]) -> Option<char> {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        let index = usize::try_from(high).ok()?.checked_rem(set.len())?;
        set.get(index).copied()
    }
}
