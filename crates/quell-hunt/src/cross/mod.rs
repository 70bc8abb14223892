//! What two logs say of the same use, beside each other.
//!
//! Logs of different systems miss different things. What stands in one of them only is evidence and no proof: each way in which
//! that comes about without anybody's doing is said with it.

pub mod audit;
pub mod s3;
pub mod vsync;

use serde::{Deserialize, Serialize};

use crate::hunt::Hunt;
use crate::verdict::Condition;

/// Everything that was compared.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cross {
    /// S3's access log and CloudTrail; `None` unless both were given.
    #[serde(default)]
    pub s3: Option<s3::Compared>,
    /// vsync's `audit.csv` and the log of its bucket; `None` unless both were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsync: Option<vsync::Compared>,
}

impl Cross {
    /// What the comparison says, a sentence a line. It quotes strangers.
    pub fn sentences(&self) -> Vec<String> {
        let vsync = self.vsync.iter().flat_map(vsync::Compared::sentences);
        self.s3.iter().flat_map(s3::Compared::sentences).chain(vsync).collect()
    }
}

/// Logs that tell of the same requests tell the same.
pub(crate) fn agree(hunt: &Hunt) -> Condition {
    let Cross { s3, vsync } = &hunt.cross;
    let unmet = s3.iter().filter_map(s3::Compared::unmet);
    let unmet: Vec<String> = unmet.chain(vsync.iter().filter_map(vsync::Compared::unmet)).collect();
    let text = match (unmet.as_slice(), s3.is_some() || vsync.is_some()) {
        ([], false) => "no two logs that tell of the same requests were given to compare".to_owned(),
        ([], true) => "logs that tell of the same requests agree".to_owned(),
        (some, _) => some.join("; "),
    };
    Condition { met: unmet.is_empty(), text }
}
