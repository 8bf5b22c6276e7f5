//! The keys of `[server]` that say which proxies stand in front, and what of them seems to be half done.

use std::net::IpAddr;

use super::ConfigError;
use super::key::{Key, Kind};
use super::listen::Address;
use super::server::Server;
use super::values::Values;
use crate::auth::model::network::Network;

pub(super) const TRUSTED: Key = Key::unset("server.trusted_proxies", Kind::List);
pub(super) const HEADER: Key = Key::new("server.client_ip_header", Kind::Text, FORWARDED_FOR);

const FORWARDED_FOR: &str = "x-forwarded-for";
/// The headers that may name clients. `Forwarded` is not one: proxies do not agree on how it is written.
const HEADERS: [&str; 2] = [FORWARDED_FOR, "x-real-ip"];

/// Who is believed when it says for whom it connects.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// Where trusted proxies connect from.
    pub networks: Vec<Network>,
    /// Whether those that connect over a Unix socket are trusted.
    pub local: bool,
    /// The one header by which they name their clients.
    pub header: &'static str,
}

impl Proxies {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let listed = values.list(TRUSTED.name, |text| match text {
            "unix" => Ok(None),
            network => network.parse().map(Some).map_err(|_| {
                "must be networks such as 10.0.0.0/8 or fd00::/8, addresses, or unix; never everybody"
            }),
        })?;
        let header = values.text(HEADER.name, |text| {
            let known = HEADERS.into_iter().find(|header| *header == text);
            known.ok_or("must be x-forwarded-for or x-real-ip")
        })?;
        let local = listed.contains(&None);
        Ok(Self { networks: listed.into_iter().flatten().collect(), local, header })
    }

    fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.local
    }

    /// Whether one of those who are trusted can connect to this loopback address: by IPv4, its peer may have another.
    fn trust_at(&self, loopback: IpAddr) -> bool {
        self.networks.iter().any(|network| match loopback {
            IpAddr::V4(_) => network.overlaps(&Network::LOOPBACK),
            IpAddr::V6(_) => network.contains(loopback),
        })
    }
}

/// What can stand, and is hardly meant.
pub(super) fn warnings(server: &Server) -> Vec<String> {
    let proxies = &server.proxies;
    let is_proxied = server.behind_tls_proxy || server.public_url.is_https();
    let is_on_unix = server.listen.iter().any(|address| matches!(address, Address::Unix(_)));
    let is_reached = server.listen.iter().any(|address| match address {
        Address::Tcp(tcp) => !address.is_local() || proxies.trust_at(tcp.ip().to_canonical()),
        Address::Unix(_) => proxies.local,
    });
    let is_open_to_all = server.unix_mode & 0o002 != 0;
    let host = |allowed: &String| allowed.trim_matches(['[', ']']) == server.public_url.host();
    let found = [
        (
            proxies.is_empty() && is_proxied,
            "server.trusted_proxies: lists none, so that all who come through the TLS proxy count as one client",
        ),
        (
            proxies.is_empty() && proxies.header != FORWARDED_FOR,
            "server.client_ip_header: is not read while server.trusted_proxies lists none",
        ),
        (
            is_on_unix && !proxies.local,
            "server.trusted_proxies: lacks unix, so that all who connect over a Unix socket count as one client",
        ),
        (
            is_on_unix && proxies.local && is_open_to_all,
            "server.unix_mode: lets every user of this machine connect, and server.trusted_proxies believes them all",
        ),
        (
            !proxies.is_empty() && !is_reached,
            "server.trusted_proxies: lists nobody who can connect where server.listen says",
        ),
        (
            !server.allowed_hosts.is_empty() && !server.allowed_hosts.iter().any(host),
            "server.allowed_hosts: lacks the host of server.public_url",
        ),
    ];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{load, refusal};

    fn warnings(lines: &str) -> Vec<String> {
        load(&format!("[server]\n{lines}")).unwrap().warnings
    }

    #[test]
    fn proxies_are_networks_addresses_or_unix() {
        let text = "[server]\ntrusted_proxies = ['10.0.0.0/8', 'fd00::/8', '127.0.0.1', 'unix']";
        let proxies = load(text).unwrap().server.proxies;
        assert_eq!((proxies.networks.len(), proxies.local), (3, true));
        let trusts = |address: &str| {
            proxies.networks.iter().any(|network| network.contains(address.parse().unwrap()))
        };
        assert!(trusts("10.9.9.9"));
        assert!(!trusts("127.0.0.2"));
        assert!(load("").unwrap().server.proxies.is_empty());
        for listed in ["0.0.0.0/0", "::/0", "*", "10.0.0.1/8", "proxy.example.org", "Unix", ""] {
            let refused = refusal(&format!("[server]\ntrusted_proxies = ['{listed}']"));
            assert!(refused.contains("server.trusted_proxies"), "{listed}");
        }
    }

    #[test]
    fn the_header_is_one_of_two() {
        assert_eq!(load("").unwrap().server.proxies.header, "x-forwarded-for");
        let real_ip = "[server]\nclient_ip_header = 'x-real-ip'";
        assert_eq!(load(real_ip).unwrap().server.proxies.header, "x-real-ip");
        for header in ["", "forwarded", "X-Forwarded-For", "x_real_ip", "authorization"] {
            let refused = refusal(&format!("[server]\nclient_ip_header = '{header}'"));
            assert!(refused.contains("server.client_ip_header"), "{header}");
        }
    }

    #[test]
    fn trust_that_is_half_configured_is_warned_of() {
        for lines in [
            "",
            "trusted_proxies = '127.0.0.1'",
            "trusted_proxies = '127.0.0.9'",
            "trusted_proxies = 'unix'\nlisten = ['unix:/run/a', '127.0.0.1:1']",
            "listen = ['unix:/run/a', '127.0.0.1:1']\ntrusted_proxies = ['127.0.0.1', 'unix']",
            "unix_mode = '0666'",
            "trusted_proxies = '10.0.0.0/8'\nbehind_tls_proxy = true\nlisten = '0.0.0.0:8000'",
            "trusted_proxies = '::1'\nlisten = '[::1]:8000'\nclient_ip_header = 'x-real-ip'",
            "allowed_hosts = ['a.example.org', '127.0.0.1']",
            "allowed_hosts = '[::1]'\npublic_url = 'http://[::1]:8000'",
            "client_ip_header = 'x-forwarded-for'",
        ] {
            assert_eq!(warnings(lines), [""; 0], "{lines}");
        }
        for (lines, key) in [
            ("behind_tls_proxy = true", "server.trusted_proxies"),
            ("public_url = 'https://a.example.org'", "server.trusted_proxies"),
            ("client_ip_header = 'x-real-ip'", "server.client_ip_header"),
            ("trusted_proxies = '10.0.0.0/8'", "server.trusted_proxies"),
            ("trusted_proxies = 'unix'", "server.trusted_proxies"),
            ("trusted_proxies = '::1'", "server.trusted_proxies"),
            ("trusted_proxies = '127.0.0.9'\nlisten = '[::1]:8000'", "server.trusted_proxies"),
            ("listen = 'unix:/run/a'", "server.trusted_proxies: lacks unix"),
            (
                "listen = ['unix:/run/a', '127.0.0.1:1']\ntrusted_proxies = '127.0.0.1'",
                "server.trusted_proxies: lacks unix",
            ),
            (
                "listen = 'unix:/run/a'\ntrusted_proxies = 'unix'\nunix_mode = '0666'",
                "server.unix_mode",
            ),
            ("allowed_hosts = 'a.example.org'", "server.allowed_hosts"),
        ] {
            let warnings = warnings(lines);
            assert_eq!(warnings.len(), 1, "{lines}: {warnings:?}");
            assert!(warnings[0].starts_with(key), "{warnings:?}");
        }
    }
}
