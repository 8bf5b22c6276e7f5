//! Whom a request is meant for and how large its head may be: what every request must meet before its path
//! is looked at (RFC 9112 §3.2).

use poem::Request;
use poem::http::{HeaderName, HeaderValue, Method, Uri, header};

use super::framing::{REASON, REFUSED, Refusal};
use super::problem::{Code, Problem};

/// Header fields that a request may have.
pub const HEADERS_MAX: usize = 64;

/// Bytes that the names and values of a request's headers may have.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Checks the head of `request`, which must name one of the `allowed` hosts, or any if there is none.
///
/// # Errors
/// What the gate refused; `headers_too_large`; `invalid_request` unless there is exactly one valid `Host`;
/// `misdirected_request` if it is none of the allowed.
pub fn check(request: &Request, allowed: &[String]) -> Result<(), Problem> {
    let headers = request.headers();
    if request.method().as_str() == REFUSED {
        let reason = headers.get(REASON).and_then(|reason| reason.to_str().ok());
        return Err(Refusal::named(reason.unwrap_or_default()).into());
    }
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if headers.len() > HEADERS_MAX || headers.iter().map(bytes).sum::<usize>() > HEADER_BYTES_MAX {
        return Err(Code::HeadersTooLarge.into());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(bad_host()) };
    let name = name_of(host.as_bytes()).ok_or_else(bad_host)?;
    if request.method() != Method::CONNECT && !is_of(request.uri(), host.as_bytes()) {
        return Err(bad_host());
    }
    let is_allowed = |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(name);
    if allowed.is_empty() || allowed.iter().any(is_allowed) {
        Ok(())
    } else {
        Err(Code::Misdirected.into())
    }
}

fn bad_host() -> Problem {
    Problem::new(Code::InvalidRequest, "Send exactly one Host header, naming the host asked for.")
}

/// The host without its port, if both are well-formed (RFC 3986 §3.2.2, §3.2.3); a host of no characters is
/// no HTTP host (RFC 9110 §4.2.1).
pub(super) fn name_of(host: &[u8]) -> Option<&[u8]> {
    let name = if host.starts_with(b"[") {
        let end = host.iter().position(|byte| *byte == b']')?;
        let address = std::str::from_utf8(host.get(1..end)?).ok()?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        host.get(..=end)?
    } else {
        let name = host.split(|byte| *byte == b':').next()?;
        let is_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
        Some(name).filter(|name| !name.is_empty() && name.iter().all(is_name))?
    };
    let port = match host.get(name.len()..)? {
        [] => return Some(name),
        [b':', port @ ..] => std::str::from_utf8(port).ok()?,
        _ => return None,
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok());
    is_port.then_some(name)
}

/// Whether `uri` names this host, or none.
fn is_of(uri: &Uri, host: &[u8]) -> bool {
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(request: poem::RequestBuilder, allowed: &[&str]) -> Option<Code> {
        let allowed: Vec<_> = allowed.iter().map(|&host| host.to_owned()).collect();
        check(&request.finish(), &allowed).err().map(|problem| problem.code())
    }

    fn to(uri: &'static str, hosts: &[&str]) -> poem::RequestBuilder {
        let request = Request::builder().uri(Uri::from_static(uri));
        hosts.iter().fold(request, |request, host| request.header("host", *host))
    }

    #[test]
    fn a_well_formed_host_is_admitted() {
        for host in [
            "login.example.com",
            "LOGIN.example.com:8000",
            "localhost:",
            "127.0.0.1:65535",
            "[::1]",
            "[2001:db8::1]:443",
            "under_score",
        ] {
            assert_eq!(code(to("/", &[host]), &[]), None, "{host}");
        }
    }

    #[test]
    fn no_host_two_or_a_malformed_one_is_refused() {
        for hosts in [
            &[][..],
            &["a", "a"],
            &["a", "b"],
            &[""],
            &[":80"],
            &["a b"],
            &["a,b:80:81"],
            &["a:65536"],
            &["a:-1"],
            &["a:8O"],
            &["user@a"],
            &["a/b"],
            &["a?b"],
            &["http://a"],
            &["::1"],
            &["[::1"],
            &["[::1]x"],
            &["[a]"],
            &["\"a\""],
            &["a\t"],
        ] {
            assert_eq!(code(to("/", hosts), &[]), Some(Code::InvalidRequest), "{hosts:?}");
        }
    }

    #[test]
    fn a_target_with_an_authority_names_the_same_host() {
        assert_eq!(code(to("http://a.example:80/x", &["A.example:80"]), &[]), None);
        for host in ["a.example", "b.example:80"] {
            let request = to("http://a.example:80/x", &[host]);
            assert_eq!(code(request, &[]), Some(Code::InvalidRequest), "{host}");
        }
        let request = to("http://user@a.example/x", &["a.example"]);
        assert_eq!(code(request, &[]), Some(Code::InvalidRequest));
    }

    #[test]
    fn of_the_allowed_hosts_any_will_do_on_any_port() {
        let allowed = ["login.example.com", "[::1]"];
        for host in ["login.example.com", "Login.Example.com:8443", "[::1]:8000"] {
            assert_eq!(code(to("/", &[host]), &allowed), None, "{host}");
        }
        for host in ["example.com", "evil.login.example.com", "127.0.0.1", "[::2]"] {
            assert_eq!(code(to("/", &[host]), &allowed), Some(Code::Misdirected), "{host}");
        }
        assert_eq!(code(to("/", &[]), &allowed), Some(Code::InvalidRequest));
    }

    #[test]
    fn what_the_gate_refused_is_told_apart() {
        let refused = |reason: &str| {
            let method = Method::from_bytes(REFUSED.as_bytes()).unwrap();
            code(Request::builder().method(method).header(REASON, reason), &[])
        };
        assert_eq!(refused("late"), Some(Code::RequestTimeout));
        assert_eq!(refused("target-too-long"), Some(Code::UriTooLong));
        assert_eq!(refused("too-large"), Some(Code::HeadersTooLarge));
        assert_eq!(refused("ambiguous"), Some(Code::InvalidRequest));
        assert_eq!(refused("unheard of"), Some(Code::InvalidRequest));
    }
}
