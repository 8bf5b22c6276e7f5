//! [`Trust`]: whom to believe about where a request comes from.
//!
//! A header says what its sender likes, so it counts only when a trusted proxy sent it, and only as far as
//! trusted proxies wrote it: from its right end. Pure; knows no sockets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use poem::http::{HeaderMap, HeaderValue};

use crate::auth::model::network::Network;

/// The proxies in front, and the header by which they name their clients.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Where trusted proxies connect from.
    pub networks: Vec<Network>,
    /// Whether who connects over no network is one: a process of this machine.
    pub local: bool,
    /// The one header that is read.
    pub header: &'static str,
}

/// Where a request comes from, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perceived {
    /// The client's address; none for what came over no network.
    pub client: Option<IpAddr>,
    /// Why this one.
    pub ground: Ground,
}

/// Why an address is taken for the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The peer is no trusted proxy.
    Stranger,
    /// The peer is a trusted proxy, and names nobody.
    Unnamed,
    /// The header is there more than once.
    Repeated,
    /// The header has something else than an address where one is needed.
    Malformed,
    /// It is the nearest hop that is no trusted proxy.
    Nearest,
    /// All hops are trusted proxies, and it is the farthest.
    Farthest,
}

impl Trust {
    /// Trusts nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self { networks: vec![], local: false, header: "x-forwarded-for" }
    }

    /// Whether `peer` is a trusted proxy.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.local, |address| self.networks.iter().any(|net| net.contains(address)))
    }

    /// The client that `peer` connected for, or that it is.
    #[must_use]
    pub fn perceive(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Perceived {
        let peers = |ground| Perceived { client: peer, ground };
        if !self.trusts(peer) {
            return peers(Ground::Stranger);
        }
        let mut lines = headers.get_all(self.header).iter();
        let line = match (lines.next(), lines.next()) {
            (None, _) => return peers(Ground::Unnamed),
            (Some(line), None) => line,
            (Some(_), Some(_)) => return peers(Ground::Repeated),
        };
        let mut farthest = peers(Ground::Malformed);
        for hop in hops(line) {
            let Some(client) = hop else { return peers(Ground::Malformed) };
            if !self.trusts(hop) {
                return Perceived { client: hop, ground: Ground::Nearest };
            }
            farthest = Perceived { client: Some(client), ground: Ground::Farthest };
        }
        farthest
    }

    /// All that the header names, the nearest first; none for what is no address.
    pub fn hops<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + 'a {
        headers.get_all(self.header).iter().rev().flat_map(hops)
    }
}

fn hops(line: &HeaderValue) -> impl Iterator<Item = Option<IpAddr>> {
    line.as_bytes().rsplit(|byte| *byte == b',').map(address)
}

/// An address, perhaps in brackets and with a port, as proxies write it.
fn address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?.trim_matches([' ', '\t']);
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = if let Some(inner) = bracketed {
        IpAddr::V6(inner.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(address) = text.parse() {
        address
    } else {
        text.parse::<SocketAddr>().ok()?.ip()
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn trust() -> Trust {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        Trust { networks: networks.to_vec(), ..Trust::nobody() }
    }

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        });
        lines.fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    /// Who is perceived when `peer` sends this `X-Forwarded-For`.
    fn perceive(peer: &str, line: &[u8]) -> (String, Ground) {
        let headers = headers(&[("x-forwarded-for", line)]);
        let Perceived { client, ground } = trust().perceive(Some(peer.parse().unwrap()), &headers);
        (client.unwrap().to_string(), ground)
    }

    #[test]
    fn ht_09_a_stranger_is_who_it_is_whatever_it_says() {
        for line in ["1.1.1.1", "10.0.0.2", "127.0.0.1", "1.1.1.1, 10.0.0.2", "x"] {
            let perceived = perceive("203.0.113.9", line.as_bytes());
            assert_eq!(perceived, ("203.0.113.9".to_owned(), Ground::Stranger));
        }
    }

    #[test]
    fn ht_09_of_what_a_trusted_proxy_says_the_nearest_stranger_counts() {
        for (line, client) in [
            ("1.1.1.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("6.6.6.6,1.1.1.1,10.0.0.2, 10.9.9.9", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1, fd00::1", "1.1.1.1"),
            ("1.1.1.1:4711", "1.1.1.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("::ffff:1.1.1.1", "1.1.1.1"),
            (" \t1.1.1.1\t ", "1.1.1.1"),
            // What a client invents stands to the left of what the proxy saw.
            ("<script>, 1.1.1.1", "1.1.1.1"),
            (", , 1.1.1.1", "1.1.1.1"),
        ] {
            assert_eq!(perceive(PROXY, line.as_bytes()), (client.to_owned(), Ground::Nearest));
        }
        let garbage = perceive(PROXY, b"\xff\xfe\x80, 1.1.1.1");
        assert_eq!(garbage, ("1.1.1.1".to_owned(), Ground::Nearest));
        let many = format!("{}1.1.1.1", "6.6.6.6, ".repeat(1000));
        assert_eq!(perceive(PROXY, many.as_bytes()).0, "1.1.1.1");
        let through = format!("6.6.6.6, 1.1.1.1{}", ", 10.0.0.2".repeat(1000));
        assert_eq!(perceive(PROXY, through.as_bytes()).0, "1.1.1.1");
    }

    #[test]
    fn where_all_are_trusted_the_farthest_counts() {
        let perceived = perceive(PROXY, b"10.0.0.3, fd00::2, 10.0.0.2");
        assert_eq!(perceived, ("10.0.0.3".to_owned(), Ground::Farthest));
    }

    #[test]
    fn ht_10_what_is_malformed_falls_back_to_the_peer() {
        for line in [
            "",
            ",",
            "1.1.1.1,",
            "x",
            "unknown",
            "_hidden",
            "1.1.1",
            "1.1.1.1.1",
            "01.1.1.1",
            "256.1.1.1",
            "1.1.1.1:",
            "1.1.1.1:65536",
            "[1.1.1.1]",
            "[::1",
            "::1]",
            "[[::1]]",
            "1.1.1.1 x",
            "for=1.1.1.1",
            "\"1.1.1.1\"",
            "1.1.1.1;2.2.2.2",
            "1.1.1.1, x",
            "1.1.1.1, , 10.0.0.2",
            "1.1.1.1, evil, 10.0.0.2",
            "fe80::1%eth0",
            "%31.1.1.1",
        ] {
            let perceived = perceive(PROXY, line.as_bytes());
            assert_eq!(perceived, (PROXY.to_owned(), Ground::Malformed), "{line:?}");
        }
        for line in [&b"\xff"[..], b"1.1.1.1\xa0", "\u{661}.1.1.1".as_bytes()] {
            assert_eq!(perceive(PROXY, line).1, Ground::Malformed);
        }
    }

    #[test]
    fn ht_10_a_header_that_comes_twice_falls_back_to_the_peer() {
        let peer = Some(PROXY.parse().unwrap());
        let name = "x-forwarded-for";
        for second in [&b"1.1.1.1"[..], b"2.2.2.2", b""] {
            let headers = headers(&[(name, b"1.1.1.1"), (name, second)]);
            let perceived = trust().perceive(peer, &headers);
            assert_eq!(perceived, Perceived { client: peer, ground: Ground::Repeated });
        }
    }

    #[test]
    fn no_other_header_is_read() {
        let peer = Some(PROXY.parse().unwrap());
        let others = headers(&[
            ("x-real-ip", b"1.1.1.1"),
            ("x_real_ip", b"1.1.1.1"),
            ("x_forwarded_for", b"1.1.1.1"),
            ("forwarded", b"for=1.1.1.1"),
            ("x-client-ip", b"1.1.1.1"),
        ]);
        let perceived = trust().perceive(peer, &others);
        assert_eq!(perceived, Perceived { client: peer, ground: Ground::Unnamed });
        let trust = Trust { header: "x-real-ip", ..trust() };
        assert_eq!(trust.perceive(peer, &others).client, Some("1.1.1.1".parse().unwrap()));
    }

    #[test]
    fn who_connects_over_no_network_is_believed_if_that_is_trusted() {
        let headers = headers(&[("x-forwarded-for", b"1.1.1.1")]);
        let nobody = Perceived { client: None, ground: Ground::Stranger };
        assert_eq!(trust().perceive(None, &headers), nobody);
        let trust = Trust { local: true, ..Trust::nobody() };
        assert_eq!(trust.perceive(None, &headers).client, Some("1.1.1.1".parse().unwrap()));
        assert_eq!(trust.perceive(None, &HeaderMap::new()).ground, Ground::Unnamed);
    }

    #[test]
    fn all_that_was_named_is_told_from_the_nearest_on() {
        let name = "x-forwarded-for";
        let headers = headers(&[(name, b"1.1.1.1, x"), (name, b"[::2]:1")]);
        let expected = [Some("::2"), None, Some("1.1.1.1")];
        let expected = expected.map(|hop| hop.map(|hop| hop.parse().unwrap()));
        assert_eq!(trust().hops(&headers).collect::<Vec<_>>(), expected);
    }

    fn element() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<IpAddr>().prop_map(|address| address.to_string()),
            any::<SocketAddr>().prop_map(|address| address.to_string()),
            (0..255_u8).prop_map(|last| format!("10.0.0.{last}")),
            "[ -~]{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_itself_changes_nothing(
            forged in proptest::collection::vec(element(), 0..8),
            client: IpAddr,
            proxies in 0..4_u8,
        ) {
            prop_assume!(!trust().trusts(Some(client)));
            let seen = std::iter::once(client.to_string());
            let appended = seen.chain((0..proxies).map(|last| format!("10.0.0.{last}")));
            let line = forged.into_iter().chain(appended).collect::<Vec<_>>().join(", ");
            let perceived = perceive(PROXY, line.as_bytes());
            prop_assert_eq!(perceived, (client.to_canonical().to_string(), Ground::Nearest));
        }

        #[test]
        fn whatever_is_sent_the_answer_is_the_peer_or_what_the_header_names(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..3),
        ) {
            let mut headers = HeaderMap::new();
            for line in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
                headers.append("x-forwarded-for", line);
            }
            let peer = Some(PROXY.parse().unwrap());
            let client = trust().perceive(peer, &headers).client;
            prop_assert!(client == peer || trust().hops(&headers).any(|hop| hop == client));
        }
    }
}
