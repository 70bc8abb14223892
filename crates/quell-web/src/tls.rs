//! TLS in this process: certificate and key from files, taken up again when they change, without a connection being dropped.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use quell_app::{AppError, certificate, files};
use quell_core::secret::SecretValue;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use url::Url;

/// Longest file of certificates or of a key, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// What others than the owner and the group may not do with the key, and the group may not either: anything but read.
const KEY_MODE: u32 = 0o037;

/// Where certificate and key lie, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate that is shown to whoever connects now.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) files: TlsFiles,
    current: RwLock<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
    until: Timestamp,
}

impl Tls {
    /// Reads both files and checks that they can be used now.
    pub(crate) fn open(files: TlsFiles, now: Timestamp) -> Result<Self, AppError> {
        let current = RwLock::new(read(&files, now)?);
        Ok(Self { files, current })
    }

    /// Reads both files again. What cannot be used is refused, and what was used before stays.
    pub(crate) fn reload(&self, now: Timestamp) -> Result<Timestamp, AppError> {
        let new = read(&self.files, now)?;
        let until = new.until;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(until)
    }

    /// For one connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Until when the certificate is good.
    pub(crate) fn until(&self) -> Timestamp {
        self.current.read().unwrap_or_else(PoisonError::into_inner).until
    }

    /// Is the certificate for the host of this address? A proxy that asks with TLS may know it by another name.
    pub(crate) fn is_for(&self, url: &Url) -> bool {
        let leaf = self.current.read().unwrap_or_else(PoisonError::into_inner).leaf.clone();
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let (Ok(name), Ok(leaf)) = (ServerName::try_from(host), ParsedCertificate::try_from(&leaf)) else {
            return false;
        };
        rustls::client::verify_server_name(&leaf, &name).is_ok()
    }
}

fn read(files: &TlsFiles, now: Timestamp) -> Result<Current, AppError> {
    let shown = files.certificate.display();
    let bad = |why: String| AppError::Usage(why);
    let chain = chain(&files.certificate)?;
    let Some(leaf) = chain.first().cloned() else {
        return Err(bad(format!("{shown} holds no certificate: it begins with -----BEGIN CERTIFICATE-----")));
    };
    let Some((from, until)) = certificate::validity(&leaf) else {
        return Err(bad(format!("the first certificate in {shown} cannot be read: it is no X.509")));
    };
    if now < from {
        return Err(bad(format!(
            "the certificate in {shown} is good from {from} on, and it is {now}: look at this machine's clock"
        )));
    }
    if now >= until {
        return Err(bad(format!("the certificate in {shown} expired at {until}: put a new one there")));
    }
    let key = key(&files.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(key).map_err(|_kind| {
        bad(format!(
            "the key in {} is of a kind that cannot be used: RSA with 2048 bits or more, P-256, P-384, P-521 and Ed25519 can",
            files.key.display()
        ))
    })?;
    let certified = CertifiedKey::new(chain, key);
    if let Err(error) = certified.keys_match() {
        return Err(bad(format!(
            "the certificate in {shown} is not for the key in {} ({error}): the first certificate must be the server's own",
            files.key.display()
        )));
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(format!("TLS could not be set up: {error}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current { config: Arc::new(config), leaf, until })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, AppError> {
    let bytes = files::read(path, FILE_MAX).map_err(|source| io(path, source))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    chain.map_err(|_broken| {
        AppError::Usage(format!("{} is no PEM: a section is cut off, or is no base64", path.display()))
    })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, AppError> {
    let shown = path.display();
    let mode = std::fs::metadata(path).map_err(|source| io(path, source))?.permissions().mode();
    if mode & KEY_MODE != 0 {
        return Err(AppError::Usage(format!(
            "the key in {shown} can be read or changed by others (mode {:04o}): `chmod 600 {shown}`; 640 if its group is the server's own",
            mode & 0o7777
        )));
    }
    let bytes = SecretValue::new(files::read(path, FILE_MAX).map_err(|source| io(path, source))?);
    PrivateKeyDer::from_pem_slice(bytes.expose()).map_err(|_none| {
        AppError::Usage(format!(
            "{shown} holds no private key that can be read: it begins with -----BEGIN PRIVATE KEY-----; one with a passphrase is opened with `openssl pkey`"
        ))
    })
}

fn io(path: &Path, source: std::io::Error) -> AppError {
    AppError::Io { path: path.display().to_string(), source }
}
