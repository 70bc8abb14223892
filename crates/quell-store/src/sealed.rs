//! Envelope encryption: a data key per value, wrapped by the key-encryption key.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) for both. The value's id is authenticated with it, so that two
//! sealed values cannot be swapped. Rotating the key-encryption key unwraps and re-wraps data keys; the body is
//! never opened for it.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

use crate::db::on_db;
use crate::{Store, StoreError};

/// Bytes of a nonce, put in front of each ciphertext.
const NONCE: usize = 24;

/// A sealed value, ready to be stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Its id.
    pub id: String,
    pub(crate) kek: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// The key-encryption key, in memory.
pub(crate) struct Kek {
    pub(crate) id: String,
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Kek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kek({})", self.id)
    }
}

impl Kek {
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        hasher.update(b"quell-kek-id-v1\0");
        hasher.update(key.as_slice());
        let id: String = hex::encode(hasher.finalize()).chars().take(16).collect();
        Self { id, key }
    }

    fn wrap(&self, id: &str, data_key: &[u8]) -> Result<Vec<u8>, StoreError> {
        encrypt(&self.key, format!("quell-dek-v1\0{}\0{id}", self.id).as_bytes(), data_key)
    }

    fn unwrap(&self, sealed: &Sealed) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let wrong = || StoreError::Unsealable(sealed.id.clone());
        if sealed.kek != self.id {
            return Err(wrong());
        }
        let aad = format!("quell-dek-v1\0{}\0{}", self.id, sealed.id);
        let bytes = decrypt(&self.key, aad.as_bytes(), &sealed.wrapped).ok_or_else(wrong)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        if bytes.len() != key.len() {
            return Err(wrong());
        }
        key.copy_from_slice(&bytes);
        Ok(key)
    }

    pub(crate) fn seal(&self, id: &str, value: &[u8]) -> Result<Sealed, StoreError> {
        let data_key = random_key()?;
        let body = encrypt(&data_key, format!("quell-value-v1\0{id}").as_bytes(), value)?;
        Ok(Sealed {
            id: id.to_owned(),
            kek: self.id.clone(),
            wrapped: self.wrap(id, data_key.as_slice())?,
            body,
        })
    }

    pub(crate) fn open(&self, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let data_key = self.unwrap(sealed)?;
        decrypt(&data_key, format!("quell-value-v1\0{}", sealed.id).as_bytes(), &sealed.body)
            .ok_or_else(|| StoreError::Unsealable(sealed.id.clone()))
    }

    /// The same value under another key-encryption key. The body stays as it is.
    pub(crate) fn rewrap(&self, sealed: &Sealed, to: &Self) -> Result<Sealed, StoreError> {
        let data_key = self.unwrap(sealed)?;
        Ok(Sealed {
            kek: to.id.clone(),
            wrapped: to.wrap(&sealed.id, data_key.as_slice())?,
            ..sealed.clone()
        })
    }
}

/// 32 random bytes from the operating system.
pub(crate) fn random_key() -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
    Ok(key)
}

fn encrypt(key: &[u8; 32], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0_u8; NONCE];
    getrandom::fill(&mut nonce).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
    let sealed = XChaCha20Poly1305::new(&(*key).into())
        .encrypt(&XNonce::from(nonce), Payload { msg, aad })
        .map_err(|_e| StoreError::Kek("a value is too large to seal".to_owned()))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn decrypt(key: &[u8; 32], aad: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, msg) = bytes.split_at_checked(NONCE)?;
    let nonce: [u8; NONCE] = nonce.try_into().ok()?;
    XChaCha20Poly1305::new(&(*key).into())
        .decrypt(&XNonce::from(nonce), Payload { msg, aad })
        .ok()
        .map(Zeroizing::new)
}

type Row = (String, String, Vec<u8>, Vec<u8>);

pub(crate) fn from_row((id, kek, wrapped, body): Row) -> Sealed {
    Sealed { id, kek, wrapped, body }
}

pub(crate) async fn fetch(db: &crate::Db, id: &str) -> Result<Option<Sealed>, StoreError> {
    const SQL: &str = "SELECT id, kek, wrapped, body FROM sealed WHERE id = $1";
    let row = on_db!(db, pool => sqlx::query_as::<_, Row>(SQL).bind(id).fetch_optional(pool).await?);
    Ok(row.map(from_row))
}

impl Store {
    /// Seals a value in memory; store it with the event that speaks of it ([`crate::Batch::sealed`]).
    pub fn seal(&self, id: &str, value: &SecretValue) -> Result<Sealed, StoreError> {
        self.keys.kek.seal(id, value.expose())
    }

    /// Opens a stored value.
    pub async fn unseal(&self, id: &str) -> Result<SecretValue, StoreError> {
        let sealed = fetch(&self.db, id).await?.ok_or_else(|| StoreError::NoSuchValue(id.to_owned()))?;
        Ok(SecretValue::new(self.keys.kek.open(&sealed)?.to_vec()))
    }
}
