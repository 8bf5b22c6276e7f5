//! Where an attempt comes from, as limits count it: what one party is likely to hold, not one address.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A source of attempts (LT-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// One IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address: a subscriber has all that follow.
    V6([u8; 8]),
    /// This machine's own: what came over no network.
    Local,
}

impl Source {
    /// The source that `address` belongs to.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let prefix = u64::try_from(address.to_bits() >> 64).unwrap_or_default();
                Self::V6(prefix.to_be_bytes())
            }
            None => Self::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Source {
        Source::of(Some(address.parse().unwrap()))
    }

    #[test]
    fn an_ipv4_address_is_a_source_of_its_own_however_it_is_written() {
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("192.0.2.1"), Source::of(None));
    }

    #[test]
    fn ipv6_addresses_of_one_64_are_one_source() {
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }
}
