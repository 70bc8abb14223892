//! Addresses, networks and whose they are.
//!
//! Where no data says to which autonomous system an address is registered, a /16 of IPv4 and a /32 of IPv6 stand in for it:
//! about what a registry hands to one holder, but a large holder has many, and a small one shares one with others.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::registration::Registration;

/// An address in a log. The name of a service that acted for somebody (`cloudtrail.amazonaws.com`, `AWS Internal`) is none.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let parsed = text.parse::<IpAddr>().ok();
    let parsed = parsed.or_else(|| text.parse::<SocketAddr>().ok().map(|both| both.ip()));
    parsed.map(|address| address.to_canonical())
}

/// Whether the address is one of the Internet's: private ones belong to no holder.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_shared = matches!(v4.octets(), [100, 64..128, _, _]);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

/// What stands in for the holder of an address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Network {
    V4([u8; 2]),
    V6([u16; 2]),
}

impl Network {
    /// That an address is in.
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(v6) => {
                let [a, b, ..] = v6.segments();
                Self::V6([a, b])
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4([a, b]) => write!(f, "{}/16", Ipv4Addr::new(a, b, 0, 0)),
            Self::V6([a, b]) => write!(f, "{}/32", Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)),
        }
    }
}

/// Whose an address is: the autonomous system that it is registered to, or what stands in for it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Holder {
    Block(Network),
    System(u32),
}

/// Autonomous systems of AWS: of its public regions and `GovCloud` (16509, 14618 and 8987 announce what customers bring,
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-byoip.html>), of its other networks, of the regions in China, which two
/// companies run, and of the European Sovereign Cloud. The others by their names in the package `@ip-location-db/asn`,
/// version 2.3.2026061719.
const AWS: [u32; 11] = [16_509, 14_618, 8_987, 7_224, 801, 21_664, 36_263, 62_785, 55_960, 135_629, 214_101];

impl Holder {
    /// Of an address.
    pub(super) fn of(address: IpAddr, registered: Option<&Registration>) -> Self {
        let asn = registered.and_then(|registered| registered.asn);
        asn.map_or_else(|| Self::Block(Network::of(address)), Self::System)
    }

    /// Whether it is a network of AWS's; of a block that is not known.
    pub(super) fn is_aws(self) -> bool {
        match self {
            Self::Block(_) => false,
            Self::System(asn) => AWS.contains(&asn),
        }
    }

    /// Whether data says whose it is.
    pub(super) fn is_system(self) -> bool {
        match self {
            Self::Block(_) => false,
            Self::System(_) => true,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(network) => network.fmt(f),
            Self::System(asn) => write!(f, "AS{asn}"),
        }
    }
}

/// The owner's own addresses.
#[derive(Debug)]
pub(crate) struct Known(Vec<Block>);

#[derive(Clone, Copy, Debug)]
enum Block {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Known {
    /// From texts; what is neither an address nor a block is left out.
    pub(crate) fn new(texts: &[String]) -> Self {
        Self(texts.iter().filter_map(|text| block(text.trim())).collect())
    }

    /// Whether an address is the owner's own.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| match (*block, address) {
            (Block::V4 { bits, mask }, IpAddr::V4(v4)) => v4.to_bits() & mask == bits,
            (Block::V6 { bits, mask }, IpAddr::V6(v6)) => v6.to_bits() & mask == bits,
            (Block::V4 { .. }, IpAddr::V6(_)) | (Block::V6 { .. }, IpAddr::V4(_)) => false,
        })
    }
}

/// Whether a text is an address or a block of them.
pub(crate) fn is_block(text: &str) -> bool {
    block(text.trim()).is_some()
}

fn block(text: &str) -> Option<Block> {
    let (base, length) = match text.split_once('/') {
        Some((base, length)) => (base, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    // Not made canonical: a mapped block counts its length from the start of IPv6.
    match base.parse::<IpAddr>().ok()? {
        IpAddr::V6(v6) if length.is_none() && v6.to_ipv4_mapped().is_some() => {
            Some(Block::V4 { bits: v6.to_ipv4_mapped()?.to_bits(), mask: u32::MAX })
        }
        IpAddr::V4(v4) => {
            let host = 32_u32.checked_sub(length.unwrap_or(32))?;
            let mask = u32::MAX.checked_shl(host).unwrap_or(0);
            Some(Block::V4 { bits: v4.to_bits() & mask, mask })
        }
        IpAddr::V6(v6) => {
            let host = 128_u32.checked_sub(length.unwrap_or(128))?;
            let mask = u128::MAX.checked_shl(host).unwrap_or(0);
            Some(Block::V6 { bits: v6.to_bits() & mask, mask })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_are_no_addresses() {
        for text in ["cloudtrail.amazonaws.com", "AWS Internal", "", " ", "1.2.3", "-", "::g"] {
            assert_eq!(address(text), None, "{text}");
        }
        for (text, is) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:443", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:DB8::1", "2001:db8::1"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), is);
        }
    }

    #[test]
    fn known_addresses_are_exact_or_blocks() {
        let texts = ["10.0.0.0/8", "203.0.113.9", "2001:db8::/32", "0.0.0.0/33", "x/8", "", "1.2.3.4/"]
            .map(str::to_owned);
        let known = Known::new(&texts);
        for (text, is) in [
            ("10.200.3.4", true),
            ("11.0.0.1", false),
            ("203.0.113.9", true),
            ("203.0.113.10", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("1.2.3.4", false),
        ] {
            assert_eq!(known.contains(address(text).unwrap()), is, "{text}");
        }
        assert!(Known::new(&["0.0.0.0/0".to_owned()]).contains(address("8.8.8.8").unwrap()));
        assert!(!Known::new(&["0.0.0.0/0".to_owned()]).contains(address("2001:db8::1").unwrap()));
        assert!(Known::new(&["::/0".to_owned()]).contains(address("2001:db8::1").unwrap()));
    }

    #[test]
    fn networks_are_told_by_their_block() {
        assert_eq!(Network::of(address("203.0.113.9").unwrap()).to_string(), "203.0.0.0/16");
        assert_eq!(Network::of(address("2001:db8:1::1").unwrap()).to_string(), "2001:db8::/32");
        assert!(!is_public(address("100.64.0.1").unwrap()));
        assert!(is_public(address("100.128.0.1").unwrap()));
    }
}
