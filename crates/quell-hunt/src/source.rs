//! Where objects lie: in folders, or in stores that another crate speaks to.

use std::fmt::Debug;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Objects of fewer stored bytes are fetched whole and ahead; larger ones are read as they come.
pub const WHOLE: u64 = 8 << 20;

/// An object's bytes as stored. Reading waits until they are there.
///
/// An error of the kinds `InvalidData`, `InvalidInput`, `UnexpectedEof` or `Other` would be taken for damage of what is stored, as
/// decoders use these; a store tells its failures by other kinds.
pub type Fetch = Box<dyn Read + Send>;

/// A store of objects, such as a bucket, below one folder of it.
pub trait Store: Debug + Send + Sync {
    /// Begins to fetch an object, by its name below the folder, its size in bytes and its version as they were listed; `""` stands for
    /// an unknown version. Never waits: what goes wrong is told by the reader, also that the object vanished or became another one
    /// since. A hunt has at most some dozens open, and of those of [`WHOLE`] bytes or more only a small part may be held.
    fn fetch(&self, name: &str, size: u64, version: &str) -> Fetch;

    /// What the store holds about an object under this key of its metadata (`x-amz-meta-…` in S3). Waits for the answer; `None`
    /// if there is none, or none can be had.
    fn metadata(&self, name: &str, key: &str) -> Option<String>;
}

/// Where objects lie.
#[derive(Debug)]
pub(crate) enum Source {
    /// A folder: a name is a path under it.
    Folder(PathBuf),
    /// A store: a name is what it says.
    Store(Arc<dyn Store>),
}
