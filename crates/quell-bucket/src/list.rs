//! What lies in a bucket: folders of CloudTrail that are outside of the question are not listed.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use quell_hunt::object::{Listing, Object};
use quell_hunt::prefix::Step;

use crate::bucket::{Bucket, BucketError, reason};

/// Folders that are listed at the same time.
const AT_ONCE: usize = 16;

/// What was found in a bucket.
#[derive(Debug)]
pub struct Listed {
    /// Objects, in no order.
    pub objects: Vec<Object>,
    /// Folders that were not listed, as their names tell that nothing in them is asked for. In order.
    pub outside: Vec<String>,
}

/// Lists a bucket. `step` says what to do with each folder, by its whole key.
///
/// # Errors
/// When any folder cannot be listed to its end, or nothing is there.
pub async fn list(bucket: &Bucket, step: &(dyn Fn(&str) -> Step + Sync)) -> Result<Listed, BucketError> {
    let root = &bucket.address.folder;
    let mut listing = Listing::new(Arc::new(bucket.clone()));
    let mut outside = Vec::new();
    let mut level = vec![root.clone()];
    while !level.is_empty() {
        let looks: Vec<_> = level.drain(..).map(|folder| look(bucket, folder, step)).collect();
        let mut found = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(found) = found.next().await {
            match found? {
                Found::Outside(folder) => outside.push(folder.as_ref().to_owned()),
                Found::Whole(objects) => {
                    for object in objects {
                        add(&mut listing, root, &object);
                    }
                }
                Found::Within { objects, folders } => {
                    for object in objects {
                        add(&mut listing, root, &object);
                    }
                    level.extend(folders);
                }
            }
        }
    }
    if listing.is_empty() && outside.is_empty() {
        return single(bucket).await;
    }
    outside.sort_unstable();
    Ok(Listed { objects: listing.finish(), outside })
}

/// What a look at a folder gave.
enum Found {
    Outside(Path),
    Whole(Vec<ObjectMeta>),
    Within { objects: Vec<ObjectMeta>, folders: Vec<Path> },
}

async fn look(
    bucket: &Bucket,
    folder: Path,
    step: &(dyn Fn(&str) -> Step + Sync),
) -> Result<Found, BucketError> {
    let failed = |error: object_store::Error| BucketError::List {
        folder: folder.as_ref().to_owned(),
        address: bucket.address.to_string(),
        why: reason(&error),
    };
    let prefix = Some(&folder).filter(|folder| !folder.as_ref().is_empty());
    Ok(match step(folder.as_ref()) {
        Step::Outside => Found::Outside(folder),
        Step::Whole => Found::Whole(bucket.store.list(prefix).try_collect().await.map_err(failed)?),
        Step::Within => {
            let found = bucket.store.list_with_delimiter(prefix).await.map_err(failed)?;
            Found::Within { objects: found.objects, folders: found.common_prefixes }
        }
    })
}

fn add(listing: &mut Listing, root: &Path, object: &ObjectMeta) {
    let key = object.location.as_ref();
    let name = key.strip_prefix(root.as_ref()).map_or(key, |name| name.trim_start_matches('/'));
    listing.add(name, object.size, object.e_tag.as_deref().unwrap_or_default());
}

/// An address may name an object instead of a folder.
async fn single(bucket: &Bucket) -> Result<Listed, BucketError> {
    let address = &bucket.address;
    let empty = || BucketError::Empty { address: address.to_string() };
    if address.folder.as_ref().is_empty() {
        return Err(empty());
    }
    let object = match bucket.store.head(&address.folder).await {
        Ok(object) => object,
        Err(object_store::Error::NotFound { .. }) => return Err(empty()),
        Err(error) => {
            return Err(BucketError::List {
                folder: address.folder.as_ref().to_owned(),
                address: address.to_string(),
                why: reason(&error),
            });
        }
    };
    let mut above = bucket.clone();
    let (folder, _) = address.folder.as_ref().rsplit_once('/').unwrap_or_default();
    above.address.folder = Path::parse(folder).unwrap_or_default();
    let root = above.address.folder.clone();
    let mut listing = Listing::new(Arc::new(above));
    add(&mut listing, &root, &object);
    Ok(Listed { objects: listing.finish(), outside: Vec::new() })
}
