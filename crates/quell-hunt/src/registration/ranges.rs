//! Ranges of addresses as CSV, as <https://github.com/sapics/ip-location-db> has them: `first,last,country` or
//! `first,last,number,name`, both ends included, addresses in words or as numbers, no header.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::table::{Row, Table};
use super::{Overlaps, Registration};
use crate::format::csv;

/// A file of them.
#[derive(Debug)]
pub(super) struct Ranges {
    v4: Table<u32>,
    v6: Table<u128>,
    values: Vec<Registration>,
}

/// What each line says beside its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Country,
    System,
}

/// Both ends.
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

impl Ranges {
    /// Reads all lines.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, Option<Overlaps>), String> {
        let (mut v4, mut v6, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut places: BTreeMap<Registration, u32> = BTreeMap::new();
        let mut kind = None;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (text, line) in bytes.split(|byte| *byte == b'\n').zip(1_u32..) {
            if text.trim_ascii().is_empty() {
                continue;
            }
            let (range, registration) = row(text, &mut kind).map_err(|why| format!("line {line}: {why}"))?;
            let value = if let Some(value) = places.get(&registration) {
                *value
            } else {
                let value = u32::try_from(values.len()).map_err(|error| error.to_string())?;
                values.push(registration.clone());
                places.insert(registration, value);
                value
            };
            match range {
                Range::V4(first, last) => v4.push(Row { first, last, value, line }),
                Range::V6(first, last) => v6.push(Row { first, last, value, line }),
            }
        }
        if v4.is_empty() && v6.is_empty() {
            return Err("no line of it is a range of addresses".to_owned());
        }
        let ((v4, some), (v6, more)) = (Table::new(v4), Table::new(v6));
        let overlaps = match (some, more) {
            (Some(some), Some(more)) => Some(Overlaps { count: some.count + more.count, ..some }),
            (some, more) => some.or(more),
        };
        Ok((Self { v4, v6, values }, overlaps))
    }

    /// What is said of the range that an address is in.
    pub(super) fn find(&self, address: IpAddr) -> Option<&Registration> {
        let value = match address {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits()),
        }?;
        self.values.get(usize::try_from(value).ok()?)
    }

    /// Ranges, after those that overlap were cut.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

fn row(text: &[u8], kind: &mut Option<Kind>) -> Result<(Range, Registration), String> {
    let text =
        std::str::from_utf8(text).map_err(|_none| "it is not UTF-8; unpack the file first".to_owned())?;
    let fields = csv::fields(text.trim_ascii_end())?;
    let (range, found, registration) = match fields.as_slice() {
        [first, last, country] => (range(first, last)?, Kind::Country, in_country(country)?),
        [first, last, asn, name] => (range(first, last)?, Kind::System, system(asn, name)?),
        more => {
            let count = more.len();
            return Err(format!(
                "{count} columns; it should be three (first, last, country) or four (first, last, ASN, name)"
            ));
        }
    };
    if *kind.get_or_insert(found) != found {
        return Err("as many columns as in the lines before it are needed".to_owned());
    }
    Ok((range, registration))
}

fn range(first: &str, last: &str) -> Result<Range, String> {
    let (low, high) = (address(first)?, address(last)?);
    let range = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) if low <= high => Range::V4(low.to_bits(), high.to_bits()),
        (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => Range::V6(low.to_bits(), high.to_bits()),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            return Err(format!("the range ends ({last}) before it begins ({first})"));
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err("the range begins with one version of IP and ends with the other".to_owned());
        }
    };
    Ok(range)
}

/// Numbers that IPv4 has are of IPv4: no IPv6 address below `::1:0:0` is given to anybody (RFC 4291).
fn address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let number: u128 = text.parse().map_err(|_none| "the first two columns are not addresses".to_owned())?;
    Ok(u32::try_from(number).map_or_else(|_| IpAddr::V6(number.into()), |number| IpAddr::V4(number.into())))
}

fn in_country(text: &str) -> Result<Registration, String> {
    let country = country(text);
    if country.is_none() && !matches!(text.trim(), "" | "ZZ") {
        return Err("the third column is no country of two letters".to_owned());
    }
    Ok(Registration { country, ..Registration::default() })
}

/// Two letters; `ZZ` is what registries write for none.
pub(super) fn country(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) && text != "ZZ").then_some(text)
}

fn system(asn: &str, name: &str) -> Result<Registration, String> {
    let digits = asn.trim();
    let digits = digits.strip_prefix("AS").unwrap_or(digits);
    let asn: u32 =
        digits.parse().map_err(|_none| "the third column is no number of an autonomous system".to_owned())?;
    Ok(of_system(asn, name))
}

/// Zero is nobody's (RFC 7607).
pub(super) fn of_system(asn: u32, name: &str) -> Registration {
    let name = name.trim();
    Registration {
        asn: (asn != 0).then_some(asn),
        name: (asn != 0 && !name.is_empty()).then(|| name.to_owned()),
        country: None,
    }
}
