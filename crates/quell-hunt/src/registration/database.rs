//! The `MaxMind` DB format (<https://maxmind.github.io/MaxMind-DB/>), whoever made the file.

use std::net::IpAddr;

use jiff::Timestamp;
use maxminddb::Reader;
use serde_json::Value;

use super::Registration;
use super::ranges::{country, of_system};

/// Stands before the metadata, in the last 128 KiB.
pub(super) const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
const TAIL: usize = 128 << 10;

/// A file of it.
#[derive(Debug)]
pub(super) struct Database(Reader<Vec<u8>>);

/// Whether it is one.
pub(super) fn is(bytes: &[u8]) -> bool {
    let tail = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default();
    memchr::memmem::find(tail, MARK).is_some()
}

impl Database {
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        Reader::from_source(bytes).map(Self).map_err(|error| error.to_string())
    }

    /// The type that it says it has.
    pub(super) fn name(&self) -> &str {
        &self.0.metadata().database_type
    }

    pub(super) fn built(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.0.metadata().build_epoch).ok()?;
        Timestamp::from_second(seconds).ok().filter(|at| *at != Timestamp::UNIX_EPOCH)
    }

    /// What is said of an address: by the names of `GeoLite2` (<https://dev.maxmind.com/geoip/docs/databases/>), and `country_code`
    /// of ip-location-db. The country of registration goes before the one where users are thought to be.
    pub(super) fn find(&self, address: IpAddr) -> Result<Option<Registration>, String> {
        // A file of IPv4 alone has nothing to say of IPv6.
        if address.is_ipv6() && self.0.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.0.lookup(address).and_then(|found| found.decode::<Value>());
        let Some(record) = found.map_err(|error| format!("{address} cannot be looked up: {error}"))? else {
            return Ok(None);
        };
        let text = |path: &str| record.pointer(path).and_then(Value::as_str);
        let asn = record.pointer("/autonomous_system_number").and_then(Value::as_u64);
        let asn = asn.and_then(|asn| u32::try_from(asn).ok()).unwrap_or(0);
        let mut all = of_system(asn, text("/autonomous_system_organization").unwrap_or_default());
        let countries = ["/registered_country/iso_code", "/country_code", "/country/iso_code"];
        all.country = countries.into_iter().filter_map(text).find_map(country);
        Ok((all != Registration::default()).then_some(all))
    }
}
