//! A bucket whose objects are fetched while the hunt's workers search others.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{Attribute, BackoffConfig, ClientConfigKey, GetOptions, ObjectStore, RetryConfig};
use quell_hunt::source::{Fetch, Store, WHOLE};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::address::{Address, Kind};
use crate::count::{Counting, Counts};

/// Attempts after the first one, when a store says "slow down", fails or does not answer; waits grow from a tenth of a second to
/// five seconds.
const RETRIES: usize = 6;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// No attempt begins after this time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Settings of the HTTP client, in the words of `object_store`: a large object may take long, but not be silent for long.
const CLIENT: [(ClientConfigKey, &str); 4] = [
    (ClientConfigKey::Timeout, "6 hours"),
    (ClientConfigKey::ReadTimeout, "30 seconds"),
    (ClientConfigKey::ConnectTimeout, "5 seconds"),
    (ClientConfigKey::UserAgent, concat!("quell/", env!("CARGO_PKG_VERSION"))),
];

/// Pieces of a large object, in bytes, and how many of them wait to be read.
const PIECE: usize = 512 << 10;
const PIECES: usize = 4;

/// What a store says about a failure is cut to this many characters: some send whole pages.
const LONGEST_REASON: usize = 300;

/// A folder in a bucket. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) address: Address,
    runtime: Handle,
    counts: Arc<Counts>,
}

/// What a bucket refused or could not do.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Nothing is there: a misspelled folder must not be taken for one without logs.
    #[error("`{address}` has no objects; check the name of the folder, and that its end is a whole one")]
    Empty {
        /// The address.
        address: String,
    },
    /// It could not be listed to its end.
    #[error(
        "could not list `{folder}` of `{address}`: {why}; nothing was searched, as a part would be taken for the whole"
    )]
    List {
        /// The folder in it.
        folder: String,
        /// The address.
        address: String,
        /// What the store or the connection said.
        why: String,
    },
    /// What the environment says is not enough, or wrong.
    #[error(
        "cannot use `{address}`: {why}; credentials, region and endpoint come from the store's own environment variables"
    )]
    Settings {
        /// The address.
        address: String,
        /// What is wrong.
        why: String,
    },
}

impl Bucket {
    /// Sets it up; sends nothing. Credentials, region and endpoint come from the environment as `object_store` reads it
    /// (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, …), or from the
    /// machine's identity.
    ///
    /// # Errors
    /// When these cannot be used.
    pub fn open(address: Address, runtime: Handle, counts: Arc<Counts>) -> Result<Self, BucketError> {
        let url = address.url.as_str();
        let counting = Counting(Arc::clone(&counts));
        let store: object_store::Result<Arc<dyn ObjectStore>> = match address.kind {
            Kind::S3 => CLIENT
                .into_iter()
                .fold(AmazonS3Builder::from_env(), |it, (key, value)| {
                    it.with_config(AmazonS3ConfigKey::Client(key), value)
                })
                .with_url(url)
                .with_retry(retry())
                .with_http_connector(counting)
                .build()
                .map(|it| Arc::new(it) as _),
            Kind::Gcs => CLIENT
                .into_iter()
                .fold(GoogleCloudStorageBuilder::from_env(), |it, (key, value)| {
                    it.with_config(GoogleConfigKey::Client(key), value)
                })
                .with_url(url)
                .with_retry(retry())
                .with_http_connector(counting)
                .build()
                .map(|it| Arc::new(it) as _),
            Kind::Azure => CLIENT
                .into_iter()
                .fold(MicrosoftAzureBuilder::from_env(), |it, (key, value)| {
                    it.with_config(AzureConfigKey::Client(key), value)
                })
                .with_url(url)
                .with_retry(retry())
                .with_http_connector(counting)
                .build()
                .map(|it| Arc::new(it) as _),
        };
        let store = store
            .map_err(|error| BucketError::Settings { address: address.to_string(), why: reason(&error) })?;
        Ok(Self { store, address, runtime, counts })
    }

    /// What was asked so far, of all buckets that count together.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Store for Bucket {
    fn fetch(&self, name: &str, size: u64, version: &str) -> Fetch {
        if size == 0 {
            return Box::new(io::empty());
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let wanted = Wanted {
            store: Arc::clone(&self.store),
            path: join(&self.address.folder, name),
            size,
            version: Some(version).filter(|version| !version.is_empty()).map(str::to_owned),
        };
        self.runtime.spawn(async move {
            if let Err(error) = wanted.send(&sender).await {
                // Nobody waits any more when the hunt was stopped.
                sender.send(Err(error)).await.ok();
            }
        });
        Box::new(Body { receiver, piece: Bytes::new() })
    }

    fn metadata(&self, name: &str, key: &str) -> Option<String> {
        let (store, path) = (Arc::clone(&self.store), join(&self.address.folder, name));
        let (sender, receiver) = std::sync::mpsc::channel();
        // A thread of the hunt waits for one of the runtime's.
        self.runtime.spawn(async move {
            let head = GetOptions { head: true, ..GetOptions::default() };
            let answer = store.get_opts(&path, head).await;
            sender.send(answer.map(|it| it.attributes)).ok();
        });
        let attributes = receiver.recv().ok()?.ok()?;
        let value = attributes.get(&Attribute::Metadata(key.to_owned().into()))?;
        Some(value.to_string())
    }
}

/// The key of an object under a folder. Listed keys are what `Path` reads as it is.
pub(crate) fn join(folder: &Path, name: &str) -> Path {
    let whole =
        if folder.as_ref().is_empty() { name.to_owned() } else { format!("{}/{name}", folder.as_ref()) };
    Path::parse(&whole).unwrap_or_else(|_error| Path::from(whole))
}

fn retry() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: LONGEST_WAIT, base: 2.0 };
    RetryConfig { backoff, max_retries: RETRIES, retry_timeout: PATIENCE }
}

/// An object that is fetched.
struct Wanted {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// As it was listed.
    size: u64,
    /// Its `ETag` as it was listed: another one is another object.
    version: Option<String>,
}

impl Wanted {
    /// Sends it piece by piece: a small one in one, so that it is here before a worker asks.
    async fn send(self, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        let changed =
            || io::Error::new(io::ErrorKind::StaleNetworkFileHandle, "it changed after it was listed");
        let options = GetOptions { if_match: self.version, ..GetOptions::default() };
        let got = self.store.get_opts(&self.path, options).await.map_err(|error| explain(&error))?;
        if got.meta.size != self.size {
            return Err(changed());
        }
        let enough =
            usize::try_from(self.size).ok().filter(|_| self.size < WHOLE).map_or(PIECE, |size| size.max(1));
        let mut piece = Vec::with_capacity(enough);
        let mut stream = got.into_stream();
        let mut length = 0_u64;
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| explain(&error))?;
            length += part.len() as u64;
            piece.extend_from_slice(&part);
            if piece.len() >= enough && to.send(Ok(Bytes::from(std::mem::take(&mut piece)))).await.is_err() {
                return Ok(());
            }
        }
        if length != self.size {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                format!("the connection ended after {length} of {} bytes", self.size),
            ));
        }
        if !piece.is_empty() {
            to.send(Ok(Bytes::from(piece))).await.ok();
        }
        Ok(())
    }
}

/// Why an object cannot be read, in words that say what to do. Never a kind that a decoder uses for damage.
#[expect(clippy::wildcard_enum_match_arm, reason = "kinds of errors are many, and more come")]
fn explain(error: &object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => {
            io::Error::new(io::ErrorKind::NotFound, "it vanished after it was listed")
        }
        object_store::Error::Precondition { .. } => {
            io::Error::new(io::ErrorKind::StaleNetworkFileHandle, "it changed after it was listed")
        }
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the store refuses to give it: {}", reason(error)),
            )
        }
        _ => io::Error::new(io::ErrorKind::ConnectionAborted, reason(error)),
    }
}

/// What a store said, on one line and not too long.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let mut short: String = line.chars().take(LONGEST_REASON).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// An object as its pieces come.
struct Body {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.piece.len());
        let piece = self.piece.split_to(count);
        for (to, from) in out.iter_mut().zip(piece) {
            *to = from;
        }
        Ok(count)
    }
}
