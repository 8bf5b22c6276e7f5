//! [`Network`]: addresses that share their first bits, as CIDR writes them.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A part of the addresses of one family, never all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

/// What was given is no such network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be networks such as 10.0.0.0/8 or fd00::/8, or addresses")]
pub struct NetworkError;

impl Network {
    /// Where a host reaches itself by IPv4 (RFC 1122 §3.2.1.3).
    pub const LOOPBACK: Self = Self { first: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };

    /// Whether the two have addresses in common: one of them is part of the other then.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether `address` is one of the network's.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shared = match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(other)) => {
                (first.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(first), IpAddr::V6(other)) => {
                (first.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        shared >= self.prefix
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Takes an address, or one with a prefix beyond which it has no bits: `10.1.0.0/8` is more likely a slip
    /// than meant. An IPv4 address in IPv6's form is IPv4.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let written: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let first = written.to_canonical();
        let (bits, host_bits) = match first {
            IpAddr::V4(first) => (u32::BITS, first.to_bits().trailing_zeros()),
            IpAddr::V6(first) => (u128::BITS, first.to_bits().trailing_zeros()),
        };
        let mapped = if written == first { 0 } else { u128::BITS - u32::BITS };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let prefix: u32 = digits.parse().map_err(|_| NetworkError)?;
                prefix.checked_sub(mapped).ok_or(NetworkError)?
            }
            Some(_) => return Err(NetworkError),
            None => bits,
        };
        if !(1..=bits).contains(&prefix) || host_bits < bits - prefix {
            return Err(NetworkError);
        }
        Ok(Self { first, prefix })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_belong_to_it_up_to_its_last() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]),
            ("192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.6", "::c000:207"]),
            ("::ffff:10.0.0.0/104", ["10.0.0.0", "10.9.9.9"], ["11.0.0.0", "::a00:0"]),
            ("128.0.0.0/1", ["128.0.0.0", "255.255.255.255"], ["127.255.255.255", "8000::"]),
            ("fd00::/8", ["fd00::", "fdff::1"], ["fc00::", "fe00::"]),
            ("::1", ["::1", "::1"], ["::2", "127.0.0.1"]),
        ] {
            assert!(inside.iter().all(|address| contains(network, address)), "{network}");
            assert!(!outside.iter().any(|address| contains(network, address)), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_or_everything_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/0",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
            "::ffff:10.0.0.0/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "fd00::1/8",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "010.0.0.0/8",
            "localhost",
            "*",
            "[::1]",
            "fe80::1%1",
            "10.0.0.0/99999999999",
            " 10.0.0.0/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_network_has_its_own_first_address_and_not_that_with_another_first_bit(
            bits: u128, prefix in 1..=128_u32, is_v4: bool,
        ) {
            let flip = |address: IpAddr| match address {
                IpAddr::V4(address) => IpAddr::from((address.to_bits() ^ 1 << 31).to_be_bytes()),
                IpAddr::V6(address) => IpAddr::from((address.to_bits() ^ 1 << 127).to_be_bytes()),
            };
            let (first, prefix) = if is_v4 {
                let prefix = prefix.div_ceil(4);
                let bits = u32::try_from(bits >> 96).unwrap();
                (IpAddr::from((bits & !0 << (32 - prefix)).to_be_bytes()), prefix)
            } else {
                (IpAddr::from((bits & !0 << (128 - prefix)).to_be_bytes()), prefix)
            };
            let network: Network = format!("{first}/{prefix}").parse().unwrap();
            prop_assert!(network.contains(first) && !network.contains(flip(first)));
        }
    }
}
