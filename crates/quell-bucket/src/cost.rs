//! What it costs to read a bucket, before it is read.

use crate::address::Kind;
use crate::count::Requests;

/// A listing has at most this many objects a page, in all stores
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>).
pub const PAGE: u64 = 1000;

/// Above this many objects, or bytes, from buckets somebody has to agree first.
pub const MANY_OBJECTS: u64 = 100_000;
/// See [`MANY_OBJECTS`].
pub const MANY_BYTES: u64 = 50_000_000_000;

/// List prices in billionths of a US dollar, without free quotas and discounts.
struct Price {
    list: u64,
    get: u64,
    /// A GB (10⁹ bytes) that leaves the store's region for the internet.
    out: u64,
    source: &'static str,
}

/// S3 Standard, and transfer out of the first 10 TB of a month, in us-east-1.
const S3: Price = Price {
    list: 5_000,
    get: 400,
    out: 90_000_000,
    source: "list price of S3 Standard in us-east-1, 2025, https://aws.amazon.com/s3/pricing/",
};

/// Standard storage in us-east1, by Google's own example.
const GCS: Price = Price {
    list: 5_000,
    get: 400,
    out: 120_000_000,
    source: "list price of Standard storage in us-east1, 2025, https://cloud.google.com/storage/pricing-examples",
};

/// What a reading costs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// Requests for objects, in one pass over the logs.
    pub gets: u64,
    /// Pages of listings, which were asked for already.
    pub lists: u64,
    /// Bytes of objects.
    pub bytes: u64,
}

/// A price in US dollars.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dollars {
    /// All requests, in billionths of a dollar.
    pub requests: u64,
    /// The bytes, if they leave the region: in it they cost nothing.
    pub transfer: u64,
    /// Whose price it is, and when.
    pub source: &'static str,
}

impl Cost {
    /// For objects that were listed by these requests.
    pub fn new(objects: u64, bytes: u64, listed: Requests) -> Self {
        Self { gets: objects, lists: listed.lists, bytes }
    }

    /// Whether somebody should agree to it.
    pub fn is_large(&self) -> bool {
        self.gets > MANY_OBJECTS || self.bytes > MANY_BYTES
    }

    /// What it costs by the list; `None` for a store whose prices depend on too much.
    pub fn dollars(&self, kind: Kind) -> Option<Dollars> {
        let price = match kind {
            Kind::S3 => &S3,
            Kind::Gcs => &GCS,
            // Redundancy and tier decide, and neither is known from outside.
            Kind::Azure => return None,
        };
        let requests =
            self.gets.saturating_mul(price.get).saturating_add(self.lists.saturating_mul(price.list));
        let transfer = u128::from(self.bytes) * u128::from(price.out) / 1_000_000_000;
        let transfer = u64::try_from(transfer).unwrap_or(u64::MAX);
        Some(Dollars { requests, transfer, source: price.source })
    }
}

/// Dollars with four digits behind the point, of billionths.
pub fn dollars(billionths: u64) -> String {
    let tenths_of_cents = billionths.div_ceil(100_000);
    format!("${}.{:04}", tenths_of_cents / 10_000, tenths_of_cents % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terabyte_of_small_objects_costs_what_was_worked_out_by_hand() {
        // 10⁸ GETs at $0.0004 a thousand are $40, 10⁵ pages at $0.005 a thousand are 50 cents, 1 TB out is $90.
        let cost = Cost { gets: 100_000_000, lists: 100_000, bytes: 1_000_000_000_000 };
        let price = cost.dollars(Kind::S3).unwrap();
        assert_eq!(
            (dollars(price.requests).as_str(), dollars(price.transfer).as_str()),
            ("$40.5000", "$90.0000")
        );
        assert!(cost.is_large() && !Cost { gets: MANY_OBJECTS, lists: 1, bytes: MANY_BYTES }.is_large());
        assert_eq!(cost.dollars(Kind::Azure), None);
        assert_eq!(dollars(1), "$0.0001");
    }

    #[test]
    fn google_s_own_example_comes_out() {
        let cost = Cost { gets: 50_000, lists: 10_000, bytes: 1_000_000_000 };
        let price = cost.dollars(Kind::Gcs).unwrap();
        assert_eq!(
            (dollars(price.requests).as_str(), dollars(price.transfer).as_str()),
            ("$0.0700", "$0.1200")
        );
    }
}
