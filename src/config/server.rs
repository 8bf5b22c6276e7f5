//! `[server]`: where to listen, and the name by which clients know this server.

use std::net::IpAddr;
use std::time::Duration;

use super::ConfigError;
use super::key::{Key, Kind};
use super::listen::{self, Address};
use super::proxies::{self, Proxies};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[
    listen::LISTEN,
    listen::UNIX_MODE,
    Key::new("server.public_url", Kind::Text, "http://127.0.0.1:8000"),
    Key::new("server.behind_tls_proxy", Kind::Flag, "false"),
    proxies::TRUSTED,
    proxies::HEADER,
    Key::unset("server.allowed_hosts", Kind::List),
    Key::unset("server.cors_origins", Kind::List),
    Key::new("server.max_connections", Kind::Number, "1024"),
    Key::new("server.shutdown_timeout", Kind::Text, "8s"),
    Key::new("server.docs", Kind::Flag, "true"),
];

/// The section.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to accept connections; at least one address.
    pub listen: Vec<Address>,
    /// The mode of the Unix sockets among them.
    pub unix_mode: u32,
    /// What clients call this server.
    pub public_url: PublicUrl,
    /// Whether somebody in front of us speaks TLS, so that cleartext may leave the loopback.
    pub behind_tls_proxy: bool,
    /// Which proxies stand in front.
    pub proxies: Proxies,
    /// The only hosts that requests may name, without port; any if empty.
    pub allowed_hosts: Vec<String>,
    /// The origins whose scripts may read answers.
    pub cors_origins: Vec<String>,
    /// How many connections there may be at once.
    pub max_connections: u32,
    /// How long requests in flight are waited for.
    pub shutdown_timeout: Duration,
    /// Whether `/docs` and `/openapi.json` are served.
    pub docs: bool,
}

/// An origin: scheme, host and perhaps port, in the form that tokens carry as issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: String,
}

impl Server {
    pub(super) fn read(values: &Values, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let server = Self {
            listen: listen::addresses(values)?,
            unix_mode: listen::unix_mode(values)?,
            public_url: values.text("server.public_url", PublicUrl::parse)?,
            behind_tls_proxy: values.flag("server.behind_tls_proxy")?,
            proxies: Proxies::read(values)?,
            allowed_hosts: values.list("server.allowed_hosts", host)?,
            cors_origins: values.list("server.cors_origins", origin)?,
            max_connections: values.number("server.max_connections", 1..=1_000_000)?,
            shutdown_timeout: values.duration(
                "server.shutdown_timeout",
                Duration::from_millis(100)..=Duration::from_secs(600),
            )?,
            docs: values.flag("server.docs")?,
        };
        if !server.behind_tls_proxy && !server.listen.iter().all(Address::is_local) {
            return Err(values.refuse(
                listen::LISTEN.name,
                "cleartext on another address than loopback needs server.behind_tls_proxy = true",
            ));
        }
        warnings.extend(proxies::warnings(&server));
        Ok(server)
    }
}

impl PublicUrl {
    /// Parses `http://` or `https://`, a host in lower case, and perhaps a port; nothing may follow,
    /// since the issuer is compared as text (RFC 8414 §2, RFC 7519 §4.1.1).
    fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must look like https://auth.example.org, in lower case, without a path";
        let (scheme, authority) = text.split_once("://").ok_or(FORM)?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(FORM)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| FORM)?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or(FORM)?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let named = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':');
        let port_missing = authority.ends_with(':');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(named) || port_missing {
            return Err(FORM);
        }
        if !port.is_empty() && !port.parse::<u16>().is_ok_and(|number| number.to_string() == port) {
            return Err(FORM);
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err("must be https unless the host is loopback"),
            _ => return Err(FORM),
        }
        Ok(Self { text: text.to_owned(), host: host.to_owned() })
    }

    /// The whole URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without port and brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether clients reach this server by TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }
}

/// A host as a `Host` header has it, without a port.
fn host(text: &str) -> Result<String, &'static str> {
    let has_port = text.rsplit(']').next().is_some_and(|tail| tail.contains(':'));
    if has_port || PublicUrl::parse(&format!("https://{text}")).is_err() {
        return Err(
            "must be host names or addresses in lower case, without a port; IPv6 in brackets",
        );
    }
    Ok(text.to_owned())
}

/// An origin as browsers send it: without the port that its scheme has anyway.
fn origin(text: &str) -> Result<String, &'static str> {
    let origin = PublicUrl::parse(text)?;
    let usual_port = if origin.is_https() { ":443" } else { ":80" };
    if text.ends_with(usual_port) {
        return Err("must be without the port that the scheme has anyway");
    }
    Ok(origin.text)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        for (text, host) in [
            ("http://127.0.0.1:8000", "127.0.0.1"),
            ("http://localhost", "localhost"),
            ("http://[::1]:8000", "::1"),
            ("https://auth.example.org", "auth.example.org"),
            ("https://10.0.0.1:8443", "10.0.0.1"),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.host()), (text, host));
        }
    }

    #[test]
    fn anything_but_an_origin_is_no_public_url() {
        for text in [
            "",
            "auth.example.org",
            "ftp://auth.example.org",
            "https://",
            "https://auth.example.org/",
            "https://auth.example.org/a",
            "https://auth.example.org?a",
            "https://auth.example.org#a",
            "https://user@auth.example.org",
            "https://Auth.example.org",
            "https://auth.example.org:",
            "https://auth.example.org:0x1",
            "https://auth.example.org:70000",
            "https://auth.example.org:+443",
            "https://a b",
            "https://[::1",
            "https://[::1]8000",
            "https://[auth]",
            "https://::1",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn http_is_for_loopback_hosts_only() {
        for text in ["http://auth.example.org", "http://10.0.0.1", "http://127.0.0.1.example.org"] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cleartext_stays_on_loopback_unless_a_proxy_speaks_tls() {
        for address in ["127.0.0.1:0", "[::1]:8000", "[::ffff:127.0.0.1]:8000", "unix:/run/a"] {
            load(&format!("[server]\nlisten = ['{address}']")).unwrap();
        }
        for address in ["0.0.0.0:8000", "[::]:8000", "192.0.2.1:80"] {
            let listen = format!("[server]\nlisten = ['127.0.0.1:1', '{address}']");
            assert!(refusal(&listen).contains("server.behind_tls_proxy"), "{address}");
            load(&format!("{listen}\nbehind_tls_proxy = true")).unwrap();
        }
    }

    #[test]
    fn allowed_hosts_are_names_or_addresses_without_a_port() {
        let allowed = "[server]\nallowed_hosts = ['login.example.org', '192.0.2.1', '[::1]']";
        let hosts = load(allowed).unwrap().server.allowed_hosts;
        assert_eq!(hosts, ["login.example.org", "192.0.2.1", "[::1]"]);
        assert!(load("").unwrap().server.allowed_hosts.is_empty());
        for host in ["", "*", "Login.example.org", "a:80", "[::1]:80", "::1", "https://a", "a/b"] {
            let refused = refusal(&format!("[server]\nallowed_hosts = ['{host}']"));
            assert!(refused.contains("server.allowed_hosts"), "{host}");
        }
    }

    #[test]
    fn cors_origins_are_as_browsers_send_them() {
        let listed =
            "[server]\ncors_origins = ['https://app.example.org', 'http://localhost:3000']";
        let origins = load(listed).unwrap().server.cors_origins;
        assert_eq!(origins, ["https://app.example.org", "http://localhost:3000"]);
        assert!(load("").unwrap().server.cors_origins.is_empty());
        for origin in [
            "*",
            "null",
            "",
            "app.example.org",
            "https://App.example.org",
            "https://app.example.org/",
            "https://app.example.org:443",
            "http://localhost:80",
            "http://app.example.org",
            "https://*.example.org",
            "https://user@app.example.org",
        ] {
            let refused = refusal(&format!("[server]\ncors_origins = ['{origin}']"));
            assert!(refused.contains("server.cors_origins"), "{origin}");
        }
    }

    #[test]
    fn there_is_room_for_a_connection_at_least() {
        assert_eq!(load("").unwrap().server.max_connections, 1024);
        assert_eq!(load("[server]\nmax_connections = 1").unwrap().server.max_connections, 1);
        assert!(refusal("[server]\nmax_connections = 0").contains("server.max_connections"));
    }
}
