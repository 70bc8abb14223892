//! S3's server access log. Operations are a protocol, a method and what it is about:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>. Which of them matter is what `CloudTrail`'s names of the same
//! calls say (`PutBucketPolicy`, `PutBucketLogging`, `ListObjects`).

use super::{Act, Acts};

const ACTS: &Acts = &[
    (Act::Blinds, &["REST.PUT.LOGGING_STATUS"]),
    (Act::Fetches, &["REST.GET.OBJECT"]),
    (Act::Lasts, &["REST.PUT.BUCKETPOLICY"]),
    (Act::Pages, &["REST.GET.BUCKET", "REST.GET.BUCKETVERSIONS"]),
    (Act::Unguards, &["REST.DELETE.PUBLIC_ACCESS_BLOCK", "REST.PUT.PUBLIC_ACCESS_BLOCK"]),
];

pub(super) fn does(act: Act, operation: &str) -> bool {
    super::listed(ACTS, act, operation) || act == Act::Looks && about_bucket(operation)
}

/// Whether it asks about a bucket itself.
pub(super) fn about_bucket(operation: &str) -> bool {
    let what = operation.strip_prefix("REST.GET.").or_else(|| operation.strip_prefix("REST.HEAD."));
    what.is_some_and(|what| !what.starts_with("OBJECT"))
}
