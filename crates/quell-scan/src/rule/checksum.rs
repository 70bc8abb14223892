//! Formats that can be checked offline: a checksum, or a structure that random text does not have.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// `checksum = "NAME"` of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Checksum {
    /// A Discord token starts with the bot's id, which is a number, in Base64:
    /// <https://discord.com/developers/docs/reference#snowflakes>.
    Discord,
    /// GitHub and npm: the last six characters are the CRC-32 of the random part in Base62:
    /// <https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>.
    Github,
    /// GitLab's routable tokens end in the CRC-32 of what precedes, in seven digits of base 36:
    /// <https://handbook.gitlab.com/handbook/engineering/architecture/design-documents/cells/routable_tokens/>.
    Gitlab,
    /// The first part of a JSON Web Token is an object with `alg`: RFC 7515, section 4.1.1.
    Jwt,
    /// A `PyPI` token is a macaroon whose location is the index: <https://pypi.org/help/#apitoken>.
    Pypi,
}

/// What a format says about a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Right,
    /// A variant of the format that has nothing to check.
    Unknown,
    Wrong,
}

impl Checksum {
    /// The names that a rule can give.
    pub(super) const NAMES: [(&'static str, Self); 6] = [
        ("discord", Self::Discord),
        ("github", Self::Github),
        ("gitlab", Self::Gitlab),
        ("jwt", Self::Jwt),
        ("npm", Self::Github),
        ("pypi", Self::Pypi),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, checksum)| *checksum)
    }

    pub(crate) fn check(self, secret: &[u8]) -> Verdict {
        let Ok(text) = std::str::from_utf8(secret) else { return Verdict::Wrong };
        match self {
            Self::Discord => discord(text),
            Self::Github => github(text),
            Self::Gitlab => gitlab(text),
            Self::Jwt => jwt(text),
            Self::Pypi => pypi(text),
        }
    }
}

fn verdict(right: bool) -> Verdict {
    if right { Verdict::Right } else { Verdict::Wrong }
}

/// Lengths of the part after the prefix that are known to end in a checksum: 30 or 70 random characters and six.
const GITHUB_LENGTHS: [usize; 2] = [36, 76];

fn github(text: &str) -> Verdict {
    let random = text.rsplit_once('_').map_or(text, |(_, random)| random);
    if !GITHUB_LENGTHS.contains(&random.len()) {
        return Verdict::Unknown;
    }
    let split = random.split_at_checked(random.len() - 6);
    verdict(split.is_some_and(|(body, sum)| base62(crc32(body.as_bytes())) == sum))
}

fn gitlab(text: &str) -> Verdict {
    // `.`, two digits of length, seven of checksum.
    let Some((_, tail)) = text.rsplit_once('.').filter(|(_, tail)| tail.len() == 9) else {
        return Verdict::Unknown;
    };
    let split = text.split_at_checked(text.len() - 7);
    let shape = tail.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    verdict(shape && split.is_some_and(|(body, sum)| base36(crc32(body.as_bytes())) == sum))
}

fn jwt(text: &str) -> Verdict {
    let header = text.split('.').next().and_then(decode);
    let object = header.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    verdict(object.is_some_and(|object| object.get("alg").is_some_and(serde_json::Value::is_string)))
}

fn pypi(text: &str) -> Verdict {
    // Version 2, field 1 (location), length: <https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt>.
    let body = text.strip_prefix("pypi-").unwrap_or(text).get(..32).and_then(decode);
    let known: [&[u8]; 2] = [b"\x02\x01\x08pypi.org", b"\x02\x01\x0dtest.pypi.org"];
    verdict(body.is_some_and(|bytes| known.iter().any(|start| bytes.starts_with(start))))
}

fn discord(text: &str) -> Verdict {
    let id = text.split('.').next().and_then(decode);
    let number = |bytes: Vec<u8>| (17..=20).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    verdict(id.is_some_and(number))
}

/// Base64 with the URL-safe alphabet, padded or not (RFC 4648, section 5).
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&URL_SAFE, CONFIG).decode(text).ok()
}

/// The six characters that tokens of GitHub's shape end in: CRC-32 of what is before them, in base 62.
pub fn checksum62(body: &[u8]) -> String {
    base62(crc32(body))
}

/// CRC-32 of IEEE 802.3, as zlib has it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Six characters of `0-9A-Za-z`, most significant first.
pub(super) fn base62(number: u32) -> String {
    radix(number, b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 6)
}

/// Seven characters of `0-9a-z`.
pub(super) fn base36(number: u32) -> String {
    radix(number, b"0123456789abcdefghijklmnopqrstuvwxyz", 7)
}

fn radix(mut number: u32, alphabet: &[u8], width: usize) -> String {
    let base = u32::try_from(alphabet.len()).unwrap_or(u32::MAX);
    let mut digits = Vec::new();
    while number > 0 || digits.len() < width {
        let digit = usize::try_from(number % base).unwrap_or(0);
        digits.push(alphabet.get(digit).map_or('0', |byte| char::from(*byte)));
        number /= base;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::template::expand;

    fn check(name: &str, template: &str) -> Verdict {
        Checksum::named(name).unwrap().check(expand(template, 5).unwrap().as_bytes())
    }

    #[test]
    fn numbers_as_digits() {
        // The checksum of the nine digits is in every description of CRC-32.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(base62(0), "000000");
        assert_eq!(base62(u32::MAX), "4gfFC3");
        assert_eq!(base36(u32::MAX), "1z141z3");
    }

    #[test]
    fn right_and_wrong() {
        assert_eq!(check("github", "ghp_{alnum:30}{checksum}"), Verdict::Right);
        assert_eq!(check("github", "ghp_{alnum:36}"), Verdict::Wrong);
        assert_eq!(check("github", "ghs_{alnum:90}"), Verdict::Unknown);
        assert_eq!(check("npm", "npm_{alnum:30}{checksum}"), Verdict::Right);
        assert_eq!(check("npm", "npm_{alnum:36}"), Verdict::Wrong);
        assert_eq!(check("gitlab", "glpat-{base64url:27}.0r{checksum:base36}"), Verdict::Right);
        assert_eq!(check("gitlab", "glpat-{base64url:27}.0r{lower:7}"), Verdict::Wrong);
        assert_eq!(check("gitlab", "glpat-{base64url:20}"), Verdict::Unknown);
        assert_eq!(check("pypi", "pypi-AgEIcHlwaS5vcmc{base64url:80}"), Verdict::Right);
        assert_eq!(check("pypi", "pypi-AgENdGVzdC5weXBpLm9yZw{base64url:80}"), Verdict::Right);
        assert_eq!(check("pypi", "pypi-AgE{base64url:80}"), Verdict::Wrong);
        assert_eq!(check("jwt", "{json:{\"alg\":\"HS256\"}}.{alnum:8}.{alnum:8}"), Verdict::Right);
        assert_eq!(check("jwt", "{json:{\"typ\":\"JWT\"}}.{alnum:8}.{alnum:8}"), Verdict::Wrong);
        assert_eq!(check("jwt", "eyJ{alnum:33}.{alnum:8}.{alnum:8}"), Verdict::Wrong);
        assert_eq!(check("discord", "{json:123456789012345678}.{alnum:6}.{alnum:27}"), Verdict::Right);
        assert_eq!(check("discord", "{alnum:24}.{alnum:6}.{alnum:27}"), Verdict::Wrong);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120)) {
            for (_, checksum) in Checksum::NAMES {
                checksum.check(&bytes);
            }
        }
    }
}
