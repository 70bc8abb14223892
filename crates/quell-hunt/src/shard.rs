//! A part of the objects, for many machines that share a hunt: each object is in exactly one shard, by its name alone, so
//! that nobody has to agree on anything but the number of shards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// More would be fewer objects a machine than it takes to list them.
const MOST: u32 = 100_000;

/// Shard `index` of `of`, counted from 0 as the indexed jobs of Kubernetes (`JOB_COMPLETION_INDEX`) and the array jobs of AWS
/// Batch (`AWS_BATCH_JOB_ARRAY_INDEX`) do; written `0/8` to `7/8`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u32,
    of: u32,
}

/// Why a text names no shard.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not a shard: INDEX/COUNT, from 0/COUNT to COUNT-1/COUNT, with a count of 1 to {MOST}")]
pub struct BadShard(String);

impl Shard {
    /// Its place, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether an object of this name is in it: the first eight bytes of the name's SHA-256, as a big-endian number, modulo
    /// the count.
    pub fn holds(self, name: &str) -> bool {
        let hash = Sha256::digest(name);
        let number = hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        number % u64::from(self.of) == u64::from(self.index)
    }
}

impl FromStr for Shard {
    type Err = BadShard;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number =
            |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|it| it.is_ascii_digit()));
        let parts = text.split_once('/').and_then(|(index, of)| Some((number(index)?, number(of)?)));
        match parts {
            Some((index, of)) if index < of && of <= MOST => Ok(Self { index, of }),
            _ => Err(BadShard(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = BadShard;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_exactly_one_shard() {
        let shards: Vec<Shard> = (0..7).map(|index| format!("{index}/7").parse().unwrap()).collect();
        let mut counts = vec![0_u32; shards.len()];
        for number in 0..7000 {
            let name = format!("AWSLogs/1/{number}.json.gz");
            let holders: Vec<usize> = (0..shards.len()).filter(|at| shards[*at].holds(&name)).collect();
            assert_eq!(holders.len(), 1);
            counts[holders[0]] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        // Fixed for good: shards of different versions must fit together.
        assert!("3/4".parse::<Shard>().unwrap().holds("a") == (0xca97_8112_ca1b_bdca_u64 % 4 == 3));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for bad in ["", "1", "1/1", "8/8", "-1/3", "+1/3", "1/0", "a/b", "1/2/3", "0/100001", "99999999999/2"]
        {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        assert_eq!("0/1".parse::<Shard>().unwrap().to_string(), "0/1");
    }
}
