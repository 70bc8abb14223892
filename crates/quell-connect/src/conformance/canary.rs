//! Looks for values where none may be.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use quell_core::secret::SecretValue;
use url::Url;
use zeroize::Zeroizing;

use super::Violation;

/// Shorter texts appear by chance.
const SHORTEST: usize = 6;

/// Values that must appear nowhere, in every spelling we know: as they are, in hex, in base64, and for a URL
/// also the password inside it, as written and percent-decoded.
#[derive(Default)]
pub struct Canaries(Vec<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Canaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canaries({} spellings)", self.0.len())
    }
}

impl Canaries {
    /// Watches for `values`.
    pub fn of(values: &[&SecretValue]) -> Self {
        let mut canaries = Self::default();
        for value in values {
            canaries.add(value);
        }
        canaries
    }

    /// Watches for one more.
    pub fn add(&mut self, value: &SecretValue) {
        self.add_bytes(value.expose());
        let Some(text) = value.expose_text() else { return };
        let Ok(url) = Url::parse(text) else { return };
        let Some(password) = url.password() else { return };
        self.add_bytes(password.as_bytes());
        if let Some(decoded) = percent_decoded(password) {
            self.add_bytes(&decoded);
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let mut spell = |spelling: Vec<u8>| {
            let spelling = Zeroizing::new(spelling);
            if spelling.len() >= SHORTEST && !self.0.contains(&spelling) {
                self.0.push(spelling);
            }
        };
        spell(bytes.to_vec());
        if bytes.len() >= SHORTEST {
            spell(hex::encode(bytes).into_bytes());
            spell(STANDARD.encode(bytes).into_bytes());
            spell(STANDARD_NO_PAD.encode(bytes).into_bytes());
            spell(URL_SAFE_NO_PAD.encode(bytes).into_bytes());
            // `Debug` of a text with quotes or newlines escapes them.
            if let Ok(text) = std::str::from_utf8(bytes) {
                spell(text.escape_debug().to_string().into_bytes());
            }
        }
    }

    /// True when one of the values is in `haystack`.
    pub fn found_in(&self, haystack: &[u8]) -> bool {
        self.0.iter().any(|needle| haystack.windows(needle.len()).any(|window| window == needle.as_slice()))
    }

    /// Fails when a value is in `text`; the message says where it was, not what.
    pub fn absent(&self, place: &str, text: &str) -> Result<(), Violation> {
        if self.found_in(text.as_bytes()) {
            return Err(Violation::new("a value never appears in anything a connector says", place));
        }
        Ok(())
    }

    /// Fails when a value is in what `thing` prints for debugging.
    pub fn absent_in(&self, place: &str, thing: &impl fmt::Debug) -> Result<(), Violation> {
        self.absent(place, &format!("{thing:?}"))?;
        self.absent(place, &format!("{thing:#?}"))
    }
}

/// `%41` → `A`; `None` when an escape is broken.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.extend(hex::decode(digits).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}
