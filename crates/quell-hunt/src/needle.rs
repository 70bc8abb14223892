//! What a credential looks like in a log: derived for each source before anything is searched.
//!
//! Every source hides it in its own way. CloudTrail writes the key id, GitHub a hash of the token, Vault an HMAC under a salt
//! of its own, a web server whatever spelling the URL had. All of them are looked for in one pass.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use quell_core::secret::SecretValue;
use sha2::{Digest as _, Sha256};

use crate::finder::Finder;

/// Shorter values are found everywhere by chance.
pub const MIN_LENGTH: usize = 8;

/// Something to look for, with the name that people see instead of it.
#[derive(Debug)]
pub struct Needle {
    /// The credential: its public id, or `the value` for one that is secret.
    pub label: String,
    /// In which spelling it stands here.
    pub spelling: Spelling,
    text: SecretValue,
}

/// How a needle was made from the credential.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Spelling {
    /// Base64 of a longer text that the value stands in, at one of three alignments.
    Base64,
    /// Hex of the bytes.
    Hex,
    /// A public id, as it is.
    Id,
    /// Escaped as JSON writes it (`\/`, `\u0026`).
    Json,
    /// Percent-encoded.
    Percent,
    /// The bytes themselves.
    Plain,
    /// SHA-256, as GitHub's `hashed_token` (base64) or in hex.
    Sha256,
}

/// Why something cannot be looked for.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
pub enum NeedleError {
    /// Too short.
    #[error("`{label}` has {length} bytes; fewer than {MIN_LENGTH} are found everywhere by chance")]
    Short {
        /// Which.
        label: String,
        /// Bytes.
        length: usize,
    },
    /// The automaton would be too large.
    #[error("cannot look for so many credentials at once: {0}")]
    TooMany(String),
}

impl Needle {
    /// A public id: an access key id, an accessor, an `hmac-sha256:…` of Vault's `sys/audit-hash`, a key's number.
    pub fn id(id: &str) -> Result<Self, NeedleError> {
        checked(id, id.len())?;
        Ok(Self { label: id.to_owned(), spelling: Spelling::Id, text: SecretValue::from_text(id.to_owned()) })
    }

    /// A public id, also as encoders of JSON write it within a text: with `\/` for `/`, and with `<`, `>`, `&` and `=` as `\u…`
    /// (RFC 8259, 7), in digits of either case. The label is the id in all of them. An id without such characters is one needle, for which
    /// the search is four times as fast as for several.
    pub fn ids(id: &str) -> Result<Vec<Self>, NeedleError> {
        let mut needles = vec![Self::id(id)?];
        let mut add = |text: Vec<u8>| {
            let text = SecretValue::new(text);
            if !needles.iter().any(|known| known.text.same_as(&text)) {
                needles.push(Self { label: id.to_owned(), spelling: Spelling::Id, text });
            }
        };
        add(json(id.as_bytes(), Also::Slash));
        add(json(id.as_bytes(), Also::Html));
        for upper in [false, true] {
            add(escaped(id, "<>&=", upper));
        }
        Ok(needles)
    }

    /// All spellings of a secret value. `label` is what people see instead of it.
    pub fn value(label: &str, value: &SecretValue) -> Result<Vec<Self>, NeedleError> {
        checked(label, value.len())?;
        let bytes = value.expose();
        let mut needles: Vec<Self> = Vec::new();
        let mut add = |spelling, text: Vec<u8>| {
            let text = SecretValue::new(text);
            // A shorter piece would be found by chance; the same bytes twice are one needle.
            if text.len() >= MIN_LENGTH && !needles.iter().any(|known| known.text.same_as(&text)) {
                needles.push(Self { label: label.to_owned(), spelling, text });
            }
        };
        add(Spelling::Plain, bytes.to_vec());
        let digest = Sha256::digest(bytes);
        add(Spelling::Sha256, hex::encode(digest).into_bytes());
        add(Spelling::Sha256, STANDARD.encode(digest).into_bytes());
        add(Spelling::Hex, hex::encode(bytes).into_bytes());
        add(Spelling::Hex, hex::encode_upper(bytes).into_bytes());
        for alignment in 0..3 {
            add(Spelling::Base64, aligned(&STANDARD_NO_PAD, bytes, alignment));
            add(Spelling::Base64, aligned(&URL_SAFE_NO_PAD, bytes, alignment));
        }
        for also in [Also::Nothing, Also::Slash, Also::Html] {
            add(Spelling::Json, json(bytes, also));
        }
        // Libraries leave `/` as it is, or what else is no delimiter in their part of a URL.
        for plain in [&b""[..], b"/", b"/:@!$'()*,;", b"/:@!$&'()*+,;="] {
            add(Spelling::Percent, percent(bytes, plain, b"0123456789ABCDEF"));
            add(Spelling::Percent, percent(bytes, plain, b"0123456789abcdef"));
        }
        Ok(needles)
    }

    /// The bytes that are looked for.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.expose()
    }
}

fn checked(label: &str, length: usize) -> Result<(), NeedleError> {
    if length < MIN_LENGTH {
        return Err(NeedleError::Short { label: label.to_owned(), length });
    }
    Ok(())
}

/// The characters of base64 that depend on the value alone when `before` bytes of something else precede it.
fn aligned(engine: &impl base64::Engine, bytes: &[u8], before: usize) -> Vec<u8> {
    let mut text = vec![0; before];
    text.extend_from_slice(bytes);
    let encoded = engine.encode(&text).into_bytes();
    text.fill(0);
    // A character holds six bits: the first ones have bits of what precedes, the last one may have bits of what follows.
    let from = (before * 8).div_ceil(6);
    let to = (before + bytes.len()) * 8 / 6;
    encoded.get(from..to).unwrap_or_default().to_vec()
}

/// What a writer of JSON escapes beside quotes and backslashes.
#[derive(Clone, Copy, Debug)]
enum Also {
    Nothing,
    /// `/`, as PHP's does.
    Slash,
    /// `<`, `>` and `&`, as Go's does.
    Html,
}

/// RFC 8259, 7.
fn json(bytes: &[u8], also: Also) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 6);
    for byte in bytes {
        match (byte, also) {
            (b'"' | b'\\', _) => out.extend([b'\\', *byte]),
            (b'/', Also::Slash) => out.extend(b"\\/"),
            (b'\n', _) => out.extend(b"\\n"),
            (b'\r', _) => out.extend(b"\\r"),
            (b'\t', _) => out.extend(b"\\t"),
            (b'<' | b'>' | b'&', Also::Html) => out.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => out.push(*byte),
        }
    }
    out
}

/// `\u` and four digits of hex for these characters; UTF-16 has two for some (RFC 8259, 7).
fn escaped(text: &str, these: &str, upper: bool) -> Vec<u8> {
    let mut out = String::with_capacity(text.len() * 6);
    for c in text.chars() {
        if !these.contains(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let digits = if upper { format!("{unit:04X}") } else { format!("{unit:04x}") };
            out.push_str("\\u");
            out.push_str(&digits);
        }
    }
    out.into_bytes()
}

/// RFC 3986, 2.1: everything that is not unreserved, nor among `plain`.
fn percent(bytes: &[u8], plain: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || plain.contains(byte) {
            out.push(*byte);
        } else {
            let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or(b'0');
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// All that a pass looks for.
#[derive(Debug)]
pub struct Needles {
    list: Vec<Needle>,
    search: Finder,
    /// Which bytes stand in some needle: no other has to be unescaped to find one.
    holds: Box<[bool; 256]>,
    /// The longest needle with a line break in it; 0 if there is none.
    reach: usize,
}

impl Needles {
    /// Ready to search.
    pub fn new(list: Vec<Needle>) -> Result<Self, NeedleError> {
        let search = Finder::new(&list)?;
        let mut holds = Box::new([false; 256]);
        for byte in list.iter().flat_map(Needle::bytes) {
            if let Some(holds) = holds.get_mut(usize::from(*byte)) {
                *holds = true;
            }
        }
        let over_lines = list.iter().filter(|needle| needle.bytes().contains(&b'\n'));
        let reach = over_lines.map(|needle| needle.bytes().len()).max().unwrap_or(0);
        Ok(Self { list, search, holds, reach })
    }

    /// The longest needle that goes over several lines; 0 if none does.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }

    /// What is looked for.
    pub fn list(&self) -> &[Needle] {
        &self.list
    }

    /// The end of the first needle at or after `from`, and the needle.
    pub(crate) fn next(&self, bytes: &[u8], from: usize) -> Option<(usize, &Needle)> {
        let rest = bytes.get(from..)?;
        match &self.search {
            Finder::Nothing => None,
            Finder::One(finder) => {
                let needle = self.list.first()?;
                finder.find(needle.bytes(), rest).map(|end| (from + end, needle))
            }
            Finder::Many(automaton) => {
                let found = automaton.find(rest)?;
                Some((from + found.end(), self.list.get(found.pattern().as_usize())?))
            }
        }
    }

    /// The credentials that stand in a record, each once: also one whose id is part of another's.
    pub(crate) fn labels(&self, bytes: &[u8]) -> Vec<&str> {
        let mut labels: Vec<&str> = Vec::new();
        match &self.search {
            Finder::Nothing => {}
            Finder::One(_) => labels.extend(self.within(bytes).map(|needle| needle.label.as_str())),
            Finder::Many(automaton) => {
                for found in automaton.find_overlapping_iter(bytes) {
                    if let Some(needle) = self.list.get(found.pattern().as_usize())
                        && !labels.contains(&needle.label.as_str())
                    {
                        labels.push(&needle.label);
                    }
                }
            }
        }
        labels
    }

    /// The first escape of JSON, at or after `from`, that may hide a byte of a needle: `\u` with the number of a character that stands in
    /// one, though nobody has to escape it.
    pub(crate) fn escape(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        // Most logs have no backslash at all, and one byte is found twice as fast as four.
        let from = from + memchr::memchr(b'\\', rest)?;
        let rest = text.get(from..)?;
        memchr::memmem::find_iter(rest, b"\\u00").map(|at| from + at).find(|at| {
            let byte =
                unit(text.get(at + 2..at + 6).unwrap_or_default()).and_then(|unit| u8::try_from(unit).ok());
            byte.is_some_and(|byte| self.holds.get(usize::from(byte)).copied().unwrap_or(false))
        })
    }

    /// [`Self::labels`] of a record of JSON, also where some of its characters are escaped that need not be.
    pub(crate) fn labels_in_json(&self, bytes: &[u8]) -> Vec<&str> {
        let mut labels = self.labels(bytes);
        if self.escape(bytes, 0).is_some() {
            for label in self.labels(&unescaped(bytes)) {
                if !labels.contains(&label) {
                    labels.push(label);
                }
            }
        }
        labels
    }

    /// The first needle, whose label is wanted, in a short text.
    pub(crate) fn within(&self, text: &[u8]) -> Option<&Needle> {
        self.next(text, 0).map(|(_, needle)| needle)
    }
}

/// Four digits of hex.
fn unit(digits: &[u8]) -> Option<u32> {
    let all = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| all)?, 16).ok()
}

/// A record with its escapes read (RFC 8259, 7). What is none is left as it is, and halves of pairs of UTF-16 are: no needle has them.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at_checked(at).unwrap_or((rest, b""));
        out.extend_from_slice(before);
        let (plain, length) = match escape.get(1) {
            Some(b'u') => match unit(escape.get(2..6).unwrap_or_default()).and_then(char::from_u32) {
                Some(c) => (Some(c), 6),
                None => (None, 2),
            },
            Some(b'n') => (Some('\n'), 2),
            Some(b'r') => (Some('\r'), 2),
            Some(b't') => (Some('\t'), 2),
            Some(c @ (b'"' | b'\\' | b'/')) => (Some(char::from(*c)), 2),
            Some(_) => (None, 2),
            None => (None, 1),
        };
        match plain {
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => out.extend_from_slice(escape.get(..length).unwrap_or_default()),
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_with_any_of_its_characters_escaped() {
        let id = "AKIAEXAMPLEEXAMPLE01";
        let needles = Needles::new(vec![Needle::id(id).unwrap()]).unwrap();
        for (at, c) in id.char_indices() {
            let (before, after) = (id.get(..at).unwrap(), id.get(at + 1..).unwrap());
            for digits in [format!("{:04x}", u32::from(c)), format!("{:04X}", u32::from(c))] {
                let line = format!("{{\"a\\/b\\n\":\"x{before}\\u{digits}{after}\"}}");
                assert_eq!(needles.labels_in_json(line.as_bytes()), [id], "{line}");
                assert!(needles.labels(line.as_bytes()).is_empty());
            }
        }
        let all: Vec<String> = id.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        let all = all.concat();
        assert_eq!(needles.labels_in_json(all.as_bytes()), [id]);
    }

    #[test]
    fn escapes_that_hide_nothing_are_passed_over() {
        let needles = Needles::new(vec![Needle::id("AKIAEXAMPLEEXAMPLE01").unwrap()]).unwrap();
        // What writers of JSON escape by themselves, what is cut off, and what is no number.
        for text in ["\\u003c\\u003e\\u0026\\u003d\\u0027", "\\u004", "\\u00", "\\u00zz", "\\u+041", "", "\\"]
        {
            assert_eq!(needles.escape(text.as_bytes(), 0), None, "{text}");
            assert!(needles.labels_in_json(text.as_bytes()).is_empty());
        }
        assert_eq!(needles.escape(b"\\u003c \\u0041", 0), Some(7));
        for text in ["\\ud83d\\ude00 \\u0041\\", "\\x\\u0041\\u", "\\u0041\\ud8"] {
            assert!(unescaped(text.as_bytes()).contains(&b'A'), "{text}");
        }
    }

    fn spellings(value: &str) -> Vec<Needle> {
        Needle::value("v", &SecretValue::from_text(value.to_owned())).unwrap()
    }

    #[test]
    fn each_spelling_is_found_in_a_text_made_by_another_encoder() {
        let value = "p4ss/w&rd<>\"with=signs";
        let needles = Needles::new(spellings(value)).unwrap();
        for before in ["", "u", "us", "use", "user:"] {
            let joined = format!("{before}{value}@host");
            for text in [
                joined.clone(),
                STANDARD.encode(&joined),
                base64::engine::general_purpose::URL_SAFE.encode(&joined),
                hex::encode(&joined),
                serde_json::to_string(&joined).unwrap(),
                joined.replace('"', "\\\"").replace('/', "\\/"),
                joined
                    .replace('"', "\\\"")
                    .replace('<', "\\u003c")
                    .replace('>', "\\u003e")
                    .replace('&', "\\u0026"),
                "p4ss%2Fw%26rd%3C%3E%22with%3Dsigns".to_owned(),
                "p4ss%2fw%26rd%3c%3e%22with%3dsigns".to_owned(),
            ] {
                assert!(needles.within(text.as_bytes()).is_some(), "not found in `{text}`");
            }
        }
        assert!(needles.within(STANDARD.encode(Sha256::digest(value)).as_bytes()).is_some());
        assert!(needles.within(b"p4ss/w%26rd%3C%3E%22with%3Dsigns").is_some());
        assert!(needles.within(b"p4ss/w&rd<>'with=signs p4ss%2Fw%26rd%3C%3E%22with%3Dsign").is_none());
    }

    #[test]
    fn an_id_that_is_part_of_another_is_told_too() {
        let all = ["AKIAEXAMPLE", "AKIAEXAMPLEEXAMPLE01"].map(|id| Needle::id(id).unwrap());
        let needles = Needles::new(all.into()).unwrap();
        assert_eq!(
            needles.labels(b"x AKIAEXAMPLEEXAMPLE01 AKIAEXAMPLE"),
            ["AKIAEXAMPLE", "AKIAEXAMPLEEXAMPLE01"]
        );
    }

    #[test]
    fn an_id_is_found_in_every_escape_of_json_that_says_the_same() {
        let id = "arn:aws:iam::1:role/a=b&c";
        let needles = Needles::new(Needle::ids(id).unwrap()).unwrap();
        let some = id.replace('=', "\\u003D").replace('&', "\\u0026");
        let slash = id.replace('/', "\\/");
        let go = id.replace('&', "\\u0026");
        for text in [id.to_owned(), slash, go, some] {
            let line = format!(r#"{{"user":"{text}"}}"#);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["user"], id, "the test is wrong about JSON");
            assert_eq!(needles.labels(line.as_bytes()), [id], "not found in `{text}`");
        }
        assert_eq!(Needle::ids("AKIAEXAMPLE").unwrap().len(), 1, "no two are the same");
        assert!(Needle::ids("short").is_err());
    }

    #[test]
    fn a_value_of_several_lines_is_found_as_json_writes_it() {
        let needles = Needles::new(spellings("line one\nline two\n")).unwrap();
        assert!(needles.within(serde_json::to_string("line one\nline two\n").unwrap().as_bytes()).is_some());
    }

    #[test]
    fn short_values_are_refused_without_being_shown() {
        let error = Needle::value("the value", &SecretValue::from_text("abc".to_owned())).unwrap_err();
        insta::assert_snapshot!(error, @"`the value` has 3 bytes; fewer than 8 are found everywhere by chance");
    }

    #[test]
    fn needles_do_not_show_their_bytes() {
        let shown = format!("{:?}", spellings("correct-horse-battery"));
        assert!(!shown.contains("horse"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn base64_at_any_alignment(before in ".{0,7}", value in "[ -~]{12,40}", after in ".{0,7}") {
            let needles = Needles::new(spellings(&value)).unwrap();
            let encoded = STANDARD.encode(format!("{before}{value}{after}"));
            proptest::prop_assert!(needles.within(encoded.as_bytes()).is_some());
        }
    }
}
