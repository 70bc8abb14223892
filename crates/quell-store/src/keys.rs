//! The installation's keys: key-encryption key, ledger signing key, fingerprint key.
//!
//! The last two lie sealed in the database like any value. The first comes from a key file or a passphrase
//! (Argon2id, RFC 9106 second recommendation: 64 MiB, 3 passes, 4 lanes).

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use quell_core::event::{Actor, Event, INSTALLATION};
use quell_core::secret::{FingerprintKey, SecretValue};
use quell_ledger::SigningKey;
use quell_ledger::rotation::{OldKey, Rotation};
use quell_ledger::tree::Frontier;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::db::on_db;
use crate::portable::{ARRIVING, MOVED};
use crate::sealed::{Kek, random_key};
use crate::{Batch, Db, Lease, NewEntry, Store, StoreError};

/// Checkpoints of a signing key that somebody else had, too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedSince {
    /// Of the suspect ones: how many entries each is over.
    pub sizes: Vec<u64>,
    /// The last one before the leak, and what it is over.
    pub before: Option<(u64, String)>,
}

/// Where the key-encryption key comes from.
#[derive(Debug)]
pub enum KekSource {
    /// A key file; by default `keys/<id>.kek` in the data folder.
    File(Option<PathBuf>),
    /// A passphrase.
    Passphrase(SecretValue),
}

/// How the key-encryption key is found again. Kept in `meta`; holds nothing secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub(crate) enum KekRecord {
    File { id: String, path: String },
    Passphrase { id: String, salt: String, memory_kib: u32, passes: u32, lanes: u32 },
}

impl KekRecord {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::File { id, .. } | Self::Passphrase { id, .. } => id,
        }
    }
}

/// Unlocked keys.
#[derive(Debug)]
pub struct Keyring {
    pub(crate) kek: Kek,
    pub(crate) signing: SigningKey,
    /// For fingerprints of values.
    pub fingerprint: FingerprintKey,
    /// The installation's id.
    pub install: String,
    /// Which signing key this is, counted from 1.
    pub(crate) number: u64,
}

const FINGERPRINT_KEY: &str = "install/fingerprint-key";

fn signing_key_id(n: u64) -> String {
    format!("install/ledger-key/{n}")
}

impl Store {
    /// Makes a new installation: keys, schema, genesis entry.
    pub async fn init(
        folder: &Path,
        url: Option<&str>,
        source: &KekSource,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let db = Db::open(folder, url).await?;
        if db.meta("install").await?.is_some() {
            return Err(StoreError::AlreadyInitialised(db.place()));
        }
        let (kek, record) = make_kek(folder, source)?;
        let mut id = [0_u8; 6];
        getrandom::fill(&mut id).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
        let install = hex::encode(id);
        let origin = format!("quell/{install}/ledger/1");
        let seed = random_key()?;
        let fingerprint = random_key()?;
        let signing = SigningKey::from_seed(&origin, &seed).map_err(|e| StoreError::Ledger(e.to_string()))?;
        let vkey = signing.verifier().to_string();
        let sealed = vec![
            kek.seal(&signing_key_id(1), seed.as_slice())?,
            kek.seal(FINGERPRINT_KEY, fingerprint.as_slice())?,
        ];
        let keys = Keyring {
            kek,
            signing,
            fingerprint: FingerprintKey::new(*fingerprint),
            install: install.clone(),
            number: 1,
        };
        let store = Self {
            db,
            keys,
            frontier: tokio::sync::Mutex::new(Frontier::new()),
            lease: Lease::default(),
            watch: tokio::sync::Mutex::default(),
        };
        let mut batch = Batch::new(INSTALLATION, 0);
        batch.push(NewEntry::new(
            Actor::engine("init"),
            Event::Genesis { install: install.clone(), origin, vkey },
        ));
        batch.sealed = sealed;
        let record = serde_json::to_string(&record).map_err(|e| StoreError::Kek(e.to_string()))?;
        batch.meta = vec![
            ("install".to_owned(), install),
            ("kek".to_owned(), record),
            ("ledger-key".to_owned(), "1".to_owned()),
        ];
        store.append(batch, now).await?;
        Ok(store)
    }

    /// Opens an installation. `passphrase` is asked only when the key-encryption key comes from one.
    pub async fn open(
        folder: &Path,
        url: Option<&str>,
        passphrase: impl FnOnce() -> Result<SecretValue, StoreError>,
    ) -> Result<Self, StoreError> {
        if url.is_none() && !folder.join(crate::db::FILE).is_file() {
            return Err(StoreError::NotInitialised(folder.display().to_string()));
        }
        let db = Db::connect(folder, url).await?;
        // Before the schema is touched: what was moved or is half a copy stays as it is.
        if db.schema().await? > 0 {
            if let Some(place) = db.meta(MOVED).await? {
                return Err(StoreError::Moved(place));
            }
            if let Some(what) = db.meta(ARRIVING).await? {
                return Err(StoreError::Unfinished(what));
            }
        }
        db.migrate(None).await?;
        Self::unlock(db, folder, passphrase).await
    }

    pub(crate) async fn unlock(
        db: Db,
        folder: &Path,
        passphrase: impl FnOnce() -> Result<SecretValue, StoreError>,
    ) -> Result<Self, StoreError> {
        let place = || StoreError::NotInitialised(db.place());
        let install = db.meta("install").await?.ok_or_else(place)?;
        let record = db.meta("kek").await?.ok_or_else(place)?;
        let record: KekRecord = serde_json::from_str(&record).map_err(|e| StoreError::Kek(e.to_string()))?;
        let kek = find_kek(folder, &record, passphrase)?;
        let number = db.meta("ledger-key").await?.and_then(|n| n.parse().ok()).unwrap_or(1);
        let seed = unseal_key(&db, &kek, &signing_key_id(number)).await?;
        let fingerprint = unseal_key(&db, &kek, FINGERPRINT_KEY).await?;
        let origin = format!("quell/{install}/ledger/1");
        let signing = SigningKey::from_seed(&origin, &seed).map_err(|e| StoreError::Ledger(e.to_string()))?;
        let keys = Keyring { kek, signing, fingerprint: FingerprintKey::new(*fingerprint), install, number };
        Ok(Self {
            db,
            keys,
            frontier: tokio::sync::Mutex::new(Frontier::new()),
            lease: Lease::default(),
            watch: tokio::sync::Mutex::default(),
        })
    }

    /// Replaces the key-encryption key: every data key is wrapped anew, no value is opened. One transaction with
    /// the entry that says so: a crash leaves either all under the old or all under the new key.
    pub async fn rotate_kek(
        self,
        folder: &Path,
        source: &KekSource,
        now: Timestamp,
    ) -> Result<(Self, u64), StoreError> {
        let old_record = self.db.meta("kek").await?.and_then(|r| serde_json::from_str::<KekRecord>(&r).ok());
        let (new, record) = match (source, &old_record) {
            // A key file that was put elsewhere stays elsewhere.
            (KekSource::File(None), Some(KekRecord::File { path, .. })) => {
                make_key_file(folder, Path::new(path).parent().unwrap_or(Path::new("keys")))?
            }
            _ => make_kek(folder, source)?,
        };
        let record = serde_json::to_string(&record).map_err(|e| StoreError::Kek(e.to_string()))?;
        let new = std::sync::Arc::new(new);
        let rewrapped = loop {
            let mut batch = Batch::new(INSTALLATION, self.next_pos(INSTALLATION).await?);
            batch.meta = vec![("kek".to_owned(), record.clone())];
            batch.rotate = Some(std::sync::Arc::clone(&new));
            match self.append(batch, now).await {
                Ok(entries) => match entries.first().map(|e| &e.event) {
                    Some(Event::KekRotated { rewrapped, .. }) => break *rewrapped,
                    _ => return Err(StoreError::Ledger("the rotation was not recorded".to_owned())),
                },
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        };
        let kek = std::sync::Arc::into_inner(new)
            .ok_or_else(|| StoreError::Kek("the new key is still in use".to_owned()))?;
        let store = Self { keys: Keyring { kek, ..self.keys }, ..self };
        // Only now is the old key useless; a crash before this line leaves a file that opens nothing.
        if let Some(KekRecord::File { path, .. }) = old_record {
            let path = folder.join(path);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io(&path, e)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok((store, rewrapped))
    }

    /// Replaces the ledger's signing key and records it in the ledger, signed by both keys; a compromised old key
    /// does not get to sign.
    pub async fn rotate_signing_key(
        self,
        reason: &str,
        compromised: bool,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let wrong = |e: &dyn std::fmt::Display| StoreError::Ledger(e.to_string());
        let number = self.keys.number + 1;
        let seed = random_key()?;
        let new = SigningKey::from_seed(self.origin(), &seed).map_err(|e| wrong(&e))?;
        let sealed = self.keys.kek.seal(&signing_key_id(number), seed.as_slice())?;
        loop {
            let (_, checkpoint) = self.checkpoint().await?.ok_or_else(|| wrong(&"it has no checkpoint"))?;
            let old = if compromised {
                OldKey::Compromised(self.keys.signing.verifier())
            } else {
                OldKey::Signs(&self.keys.signing)
            };
            let rotation =
                Rotation::make(self.origin(), &checkpoint, &old, &new, reason).map_err(|e| wrong(&e))?;
            let mut batch = Batch::new(INSTALLATION, self.next_pos(INSTALLATION).await?);
            batch.expected_seq = Some(rotation.seq);
            batch.push(NewEntry::new(Actor::engine("keys"), Event::KeyRotation(rotation.to_data())));
            batch.sealed = vec![sealed.clone()];
            batch.meta = vec![("ledger-key".to_owned(), number.to_string())];
            let signer = SigningKey::from_seed(self.origin(), &seed).map_err(|e| wrong(&e))?;
            match self.append_signed(batch, now, &signer).await {
                Ok(_) => return Ok(Self { keys: Keyring { signing: new, number, ..self.keys }, ..self }),
                // Another process appended meanwhile: the previous checkpoint is another one now.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What was signed since a moment, by whichever key was in force: whoever had it then could have signed something else of the same size.
    pub async fn signed_since(&self, since: Timestamp) -> Result<SignedSince, StoreError> {
        const SINCE: &str = "SELECT c.size FROM checkpoint c JOIN event e ON e.seq = c.size - 1 WHERE e.at_us >= $1 \
             ORDER BY c.size";
        const BEFORE: &str = "SELECT c.size, c.note FROM checkpoint c JOIN event e ON e.seq = c.size - 1 \
             WHERE e.at_us < $1 ORDER BY c.size DESC LIMIT 1";
        let at = since.as_microsecond();
        let sizes =
            on_db!(&self.db, pool => sqlx::query_scalar::<_, i64>(SINCE).bind(at).fetch_all(pool).await?);
        let before = on_db!(&self.db, pool => {
            sqlx::query_as::<_, (i64, String)>(BEFORE).bind(at).fetch_optional(pool).await?
        });
        let size = |size: i64| u64::try_from(size).unwrap_or(0);
        Ok(SignedSince {
            sizes: sizes.into_iter().map(size).collect(),
            before: before.map(|(at, note)| (size(at), note)),
        })
    }

    /// True when the key-encryption key comes from a passphrase.
    pub async fn has_passphrase(&self) -> Result<bool, StoreError> {
        let record = self.db.meta("kek").await?.and_then(|r| serde_json::from_str::<KekRecord>(&r).ok());
        Ok(matches!(record, Some(KekRecord::Passphrase { .. })))
    }

    /// The database and what it says about itself, for `doctor`.
    pub async fn count_sealed(&self) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM sealed";
        Ok(on_db!(&self.db, pool => sqlx::query_scalar::<_, i64>(SQL).fetch_one(pool).await?))
    }
}

async fn unseal_key(db: &Db, kek: &Kek, id: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let sealed = crate::sealed::fetch(db, id).await?.ok_or_else(|| StoreError::NoSuchValue(id.to_owned()))?;
    let bytes = kek.open(&sealed)?;
    let mut key = Zeroizing::new([0_u8; 32]);
    if bytes.len() != key.len() {
        return Err(StoreError::Unsealable(id.to_owned()));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn make_kek(folder: &Path, source: &KekSource) -> Result<(Kek, KekRecord), StoreError> {
    match source {
        KekSource::File(path) => {
            let kek_bytes = random_key()?;
            let text = Zeroizing::new(hex::encode(kek_bytes.as_slice()));
            let kek = Kek::new(kek_bytes);
            let path = path.clone().unwrap_or_else(|| PathBuf::from("keys").join(format!("{}.kek", kek.id)));
            let full = folder.join(&path);
            if let Some(parent) = full.parent() {
                make_folder(parent)?;
            }
            write_new(&full, text.as_bytes())?;
            let record = KekRecord::File { id: kek.id.clone(), path: path.display().to_string() };
            Ok((kek, record))
        }
        KekSource::Passphrase(passphrase) => {
            let mut salt = [0_u8; 16];
            getrandom::fill(&mut salt).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
            let salt = BASE64.encode(salt);
            let (memory_kib, passes, lanes) = (64 * 1024, 3, 4);
            let kek = derive(passphrase, &salt, memory_kib, passes, lanes)?;
            let id = kek.id.clone();
            Ok((kek, KekRecord::Passphrase { id, salt, memory_kib, passes, lanes }))
        }
    }
}

/// A key file named after its key, in this folder.
fn make_key_file(data: &Path, folder: &Path) -> Result<(Kek, KekRecord), StoreError> {
    let bytes = random_key()?;
    let text = Zeroizing::new(hex::encode(bytes.as_slice()));
    let kek = Kek::new(bytes);
    let path = folder.join(format!("{}.kek", kek.id));
    make_folder(&data.join(folder))?;
    write_new(&data.join(&path), text.as_bytes())?;
    let record = KekRecord::File { id: kek.id.clone(), path: path.display().to_string() };
    Ok((kek, record))
}

fn find_kek(
    folder: &Path,
    record: &KekRecord,
    passphrase: impl FnOnce() -> Result<SecretValue, StoreError>,
) -> Result<Kek, StoreError> {
    let kek = match record {
        KekRecord::File { path, .. } => Kek::new(read_key(&folder.join(path))?),
        KekRecord::Passphrase { salt, memory_kib, passes, lanes, .. } => {
            derive(&passphrase()?, salt, *memory_kib, *passes, *lanes)?
        }
    };
    if kek.id == record.id() {
        Ok(kek)
    } else {
        Err(StoreError::Kek("this is not the key that the installation was sealed with".to_owned()))
    }
}

fn derive(
    passphrase: &SecretValue,
    salt: &str,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<Kek, StoreError> {
    let wrong = |e: &dyn std::fmt::Display| StoreError::Kek(e.to_string());
    // A record that asks for gigabytes is damaged or hostile.
    if memory_kib > 4 * 1024 * 1024 || passes > 100 {
        return Err(StoreError::Kek("its parameters are out of range".to_owned()));
    }
    let salt = BASE64.decode(salt).map_err(|e| wrong(&e))?;
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|e| wrong(&e))?;
    let mut key = Zeroizing::new([0_u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), &salt, key.as_mut_slice())
        .map_err(|e| wrong(&e))?;
    Ok(Kek::new(key))
}

pub(crate) fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let text = Zeroizing::new(std::fs::read(path).map_err(|e| StoreError::io(path, e))?);
    let mut key = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), key.as_mut_slice())
        .map_err(|_e| StoreError::Kek(format!("{} does not hold 64 hex digits", path.display())))?;
    Ok(key)
}

pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let io = |e| StoreError::io(path, e);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    // The name must survive a power cut as well: every sealed value hangs on it.
    let folder = path.parent().unwrap_or(path);
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(|e| StoreError::io(folder, e))
}

pub(crate) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| StoreError::io(folder, e))
}
