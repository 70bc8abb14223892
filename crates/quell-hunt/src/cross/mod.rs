//! What two logs say of the same use, beside each other.
//!
//! Logs of different systems miss different things. What stands in one of them only is evidence and no proof: each way in which
//! that comes about without anybody's doing is said with it.

pub mod s3;

use serde::{Deserialize, Serialize};

use crate::hunt::Hunt;
use crate::verdict::Condition;

/// Everything that was compared.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cross {
    /// S3's access log and CloudTrail; `None` unless both were given.
    #[serde(default)]
    pub s3: Option<s3::Compared>,
}

impl Cross {
    /// What the comparison says, a sentence a line. It quotes strangers.
    pub fn sentences(&self) -> Vec<String> {
        self.s3.iter().flat_map(s3::Compared::sentences).collect()
    }
}

/// Logs that tell of the same requests tell the same.
pub(crate) fn agree(hunt: &Hunt) -> Condition {
    let unmet: Vec<String> = hunt.cross.s3.iter().filter_map(s3::Compared::unmet).collect();
    let text = match (unmet.as_slice(), &hunt.cross.s3) {
        ([], None) => "no two logs that tell of the same requests were given to compare".to_owned(),
        ([], Some(_)) => "logs that tell of the same requests agree".to_owned(),
        (some, _) => some.join("; "),
    };
    Condition { met: unmet.is_empty(), text }
}
