//! The keys of `[server]` that say where to accept connections.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;
use crate::socket::PATH_BYTES_MAX;

pub(super) const LISTEN: Key = Key::new("server.listen", Kind::List, "127.0.0.1:8000");
pub(super) const UNIX_MODE: Key = Key::new("server.unix_mode", Kind::Text, "0660");

const LISTENERS_MAX: usize = 16;

/// Where connections are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// At an address with port.
    Tcp(SocketAddr),
    /// At a Unix socket, an absolute path.
    Unix(PathBuf),
}

impl Address {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str =
            "must be addresses with port such as 127.0.0.1:8000, or unix: and an absolute path";
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Tcp).map_err(|_| FORM);
        };
        if path.len() > PATH_BYTES_MAX {
            return Err("must name a Unix socket by at most 98 bytes");
        }
        let is_file = path.starts_with('/') && !path.ends_with(['/', '.']) && !path.contains('\0');
        if is_file { Ok(Self::Unix(path.into())) } else { Err(FORM) }
    }

    /// Whether what is said there stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// As the configuration names it.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// The addresses; at least one.
pub(super) fn addresses(values: &Values) -> Result<Vec<Address>, ConfigError> {
    let addresses = values.list(LISTEN.name, Address::parse)?;
    if (1..=LISTENERS_MAX).contains(&addresses.len()) {
        Ok(addresses)
    } else {
        Err(values.refuse(LISTEN.name, "must be from 1 to 16 addresses"))
    }
}

/// The mode of Unix sockets.
pub(super) fn unix_mode(values: &Values) -> Result<u32, ConfigError> {
    values.text(UNIX_MODE.name, |text| {
        let is_octal =
            matches!(text.len(), 3 | 4) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
        mode.filter(|mode| (0o600..=0o777).contains(mode))
            .ok_or("must be an octal mode such as 0660, in which the owner may read and write")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    #[test]
    fn addresses_and_unix_sockets_can_be_listened_on() {
        let listen = "[server]\nlisten = ['[::1]:1', 'unix:/run/keystile/http.sock']";
        let addresses = load(listen).unwrap().server.listen;
        assert_eq!(
            addresses,
            [
                Address::Tcp("[::1]:1".parse().unwrap()),
                Address::Unix("/run/keystile/http.sock".into())
            ]
        );
        let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["[::1]:1", "unix:/run/keystile/http.sock"]);
        let longest = "s".repeat(PATH_BYTES_MAX - 1);
        load(&format!("[server]\nlisten = 'unix:/{longest}'")).unwrap();
        let refused = refusal(&format!("[server]\nlisten = 'unix:/s{longest}'"));
        assert!(refused.contains(&format!("at most {PATH_BYTES_MAX} bytes")), "{refused}");
    }

    #[test]
    fn nothing_else_can_be_listened_on() {
        for listen in [
            "[]",
            "['8000']",
            "['localhost:8000']",
            "['127.0.0.1']",
            "['unix:']",
            "['unix:/']",
            "['unix:run/keystile.sock']",
            "['unix:/run/keystile/']",
            "['unix:/run/..']",
            "['unix:/run/.']",
            "[\"unix:/run/\\u0000\"]",
            "['unix://run/keystile.sock', '127.0.0.1']",
            "['Unix:/run/keystile.sock']",
            "['/run/keystile.sock']",
        ] {
            assert!(refusal(&format!("[server]\nlisten = {listen}")).contains("server.listen"));
        }
    }

    #[test]
    fn a_mode_is_octal_and_lets_the_owner_in() {
        assert_eq!(load("").unwrap().server.unix_mode, 0o660);
        for (text, mode) in [("0600", 0o600), ("666", 0o666), ("0777", 0o777)] {
            let loaded = load(&format!("[server]\nunix_mode = '{text}'")).unwrap();
            assert_eq!(loaded.server.unix_mode, mode);
        }
        for text in ["", "0", "0060", "0460", "+660", "0o660", "4660", "1000", "0680", "00660"] {
            let refused = refusal(&format!("[server]\nunix_mode = '{text}'"));
            assert!(refused.contains("server.unix_mode"), "{text}");
        }
        assert!(refusal("[server]\nunix_mode = 432").contains("must be a text"));
    }
}
