//! SCRAM-SHA-256: the verifier that a server stores in place of a password, and the server's half of the exchange.
//!
//! Sources: RFC 5802 (SCRAM), RFC 7677 (with SHA-256), PostgreSQL 15 documentation 53.8 (`pg_authid`: the stored
//! form) and 55.3 "SASL Authentication". Sending the verifier in `ALTER ROLE` keeps the password out of the
//! server's log and statistics.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// PostgreSQL's own default, `SCRAM_SHA_256_DEFAULT_ITERATIONS`.
pub(super) const ITERATIONS: u32 = 4096;
/// PostgreSQL's own default, `SCRAM_DEFAULT_SALT_LEN`.
pub(super) const SALT_LEN: usize = 16;

type Key = [u8; 32];

/// What a server keeps: enough to check a password, not enough to log in with.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

/// The client's message does not follow RFC 5802, or its proof is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("malformed SCRAM message")]
    Malformed,
    #[error("the proof does not match")]
    WrongProof,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// The stored form: `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iterations, salt, stored_key, server_key } = self;
        let text = |bytes: &[u8]| STANDARD.encode(bytes);
        write!(f, "SCRAM-SHA-256${iterations}:{}${}:{}", text(salt), text(stored_key), text(server_key))
    }
}

impl FromStr for Verifier {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parts = || {
            let (parameters, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
            let (iterations, salt) = parameters.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            Some(Self {
                iterations: iterations.parse().ok()?,
                salt: STANDARD.decode(salt).ok()?,
                stored_key: STANDARD.decode(stored_key).ok()?.try_into().ok()?,
                server_key: STANDARD.decode(server_key).ok()?.try_into().ok()?,
            })
        };
        parts().ok_or(Refusal::Malformed)
    }
}

impl Verifier {
    /// Computes the verifier. `password` must be printable ASCII: `SASLprep` (RFC 4013) leaves that as it is.
    pub(super) fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let mut salted = Zeroizing::new([0_u8; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, salted.as_mut_slice());
        let client_key = Zeroizing::new(hmac(salted.as_slice(), b"Client Key"));
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(client_key.as_slice()).into(),
            server_key: hmac(salted.as_slice(), b"Server Key"),
        }
    }
}

/// The server's half of one exchange, after the client's first message.
#[derive(Debug)]
pub(super) struct Exchange {
    verifier: Verifier,
    /// `n,,` or `y,,`: the client repeats it, encoded, in its last message.
    header: String,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// Reads the client's first message; `nonce` is the server's random part (printable, no comma).
    pub(super) fn begin(client_first: &str, verifier: Verifier, nonce: &str) -> Result<Self, Refusal> {
        // gs2-header = gs2-cbind-flag "," [authzid] ","; channel binding (`p=`) is not offered here.
        let mut parts = client_first.splitn(3, ',');
        let (flag, identity, bare) = (parts.next(), parts.next(), parts.next());
        let (Some(flag @ ("n" | "y")), Some(""), Some(bare)) = (flag, identity, bare) else {
            return Err(Refusal::Malformed);
        };
        let client_nonce = bare.split(',').find_map(|part| part.strip_prefix("r=")).unwrap_or_default();
        if client_nonce.is_empty() {
            return Err(Refusal::Malformed);
        }
        let nonce = format!("{client_nonce}{nonce}");
        let server_first =
            format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let header = format!("{flag},,");
        Ok(Self { verifier, header, client_first_bare: bare.to_owned(), server_first, nonce })
    }

    /// What to send to the client first.
    pub(super) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's proof and returns the server's last message.
    pub(super) fn finish(&self, client_final: &str) -> Result<String, Refusal> {
        let (without_proof, proof) = client_final.rsplit_once(",p=").ok_or(Refusal::Malformed)?;
        let expected = format!("c={},r={}", STANDARD.encode(&self.header), self.nonce);
        let proof: Key =
            STANDARD.decode(proof).ok().and_then(|p| p.try_into().ok()).ok_or(Refusal::Malformed)?;
        if without_proof != expected {
            return Err(Refusal::Malformed);
        }
        let message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = hmac(&self.verifier.stored_key, message.as_bytes());
        let mut client_key = Zeroizing::new([0_u8; 32]);
        for (to, (a, b)) in client_key.iter_mut().zip(proof.iter().zip(signature)) {
            *to = a ^ b;
        }
        let stored_key: Key = Sha256::digest(client_key.as_slice()).into();
        if stored_key != self.verifier.stored_key {
            return Err(Refusal::WrongProof);
        }
        Ok(format!("v={}", STANDARD.encode(hmac(&self.verifier.server_key, message.as_bytes()))))
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Key {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length is fine");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn pencil() -> Verifier {
        Verifier::derive("pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), ITERATIONS)
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let exchange = Exchange::begin(CLIENT_FIRST, pencil(), SERVER_NONCE).unwrap();
        assert_eq!(
            exchange.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(exchange.finish(CLIENT_FINAL).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn another_password_is_refused() {
        let other =
            Verifier::derive("pen", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), ITERATIONS);
        let exchange = Exchange::begin(CLIENT_FIRST, other, SERVER_NONCE).unwrap();
        assert_eq!(exchange.finish(CLIENT_FINAL), Err(Refusal::WrongProof));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for first in ["", "n", "n,,", "p=tls-unique,,n=,r=x", "n,a=other,n=,r=x", "n,,n=user,r="] {
            assert_eq!(Exchange::begin(first, pencil(), "n").unwrap_err(), Refusal::Malformed, "{first}");
        }
        let exchange = Exchange::begin(CLIENT_FIRST, pencil(), SERVER_NONCE).unwrap();
        for last in ["", "c=biws,r=other,p=", "c=biws,p=AAAA", &CLIENT_FINAL.replace("biws", "eSws")] {
            assert_eq!(exchange.finish(last), Err(Refusal::Malformed), "{last}");
        }
    }

    #[test]
    fn the_stored_form_round_trips() {
        let text = pencil().to_string();
        assert!(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{text}");
        assert_eq!(text.parse::<Verifier>().unwrap(), pencil());
        for bad in ["", "md5abc", "SCRAM-SHA-256$x:y$z:w", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA"] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
    }
}
