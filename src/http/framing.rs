//! [`Framing`]: where the requests of one connection begin and end, told from its bytes alone.
//!
//! Judges each request's head before anybody else reads it, and knows as much of bodies as it takes to find
//! the next head. Whatever two readers could understand differently is refused (RFC 9112 §6.3, §11.2), a
//! line that ends with LF alone among it, which §2.2 would allow. Knows no sockets and no time.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use poem::http::{HeaderName, Method, Uri};

use super::problem::{Code, Problem};

/// Bytes of a head, from the request line to the empty line.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a request target.
const TARGET_BYTES_MAX: usize = 16 * 1024;

/// Header fields that hyper reads.
const FIELDS_MAX: usize = 100;

/// The largest length that hyper reads: those above it have other meanings there.
const LENGTH_MAX: u64 = u64::MAX - 2;

/// What a target is mostly made of, and every reader takes.
const PLAIN_TARGET: &[u8] = b"/-._~?=&%+,:;@!$'()*";

/// The method of the request that takes the place of a refused one, and that no client may use.
pub const REFUSED: &str = "REFUSED";

/// The field of that request that says why.
pub const REASON: HeaderName = HeaderName::from_static("reason");

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Framing {
    part: Part,
    /// Bytes of the unfinished head that were looked at.
    seen: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// A body with so many bytes to come.
    Sized(u64),
    Chunked(Chunk),
    /// A chunked body that cannot be followed.
    Lost,
}

/// Where in a chunked body the next byte is (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Start,
    Size(u64),
    Space(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    Line,
    Trailer,
    TrailerLf,
    EndLf,
}

/// What may become of bytes that came in.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How many of them may be read on. The rest is to be shown again with what follows it.
    pub bytes: usize,
    /// Why none of them may.
    pub refusal: Option<Refusal>,
}

/// Why a request's head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no head of HTTP/1.
    Malformed,
    /// It does not say clearly where its body ends.
    Ambiguous,
    /// Its target is too long.
    TargetTooLong,
    /// It is too large.
    TooLarge,
    /// It did not arrive in time.
    Late,
}

impl Framing {
    /// How much of `bytes` belongs to the request that begins or goes on with them; what follows its end is not
    /// looked at. Shown in whatever pieces, a connection's bytes are judged alike; only a malformed head that is
    /// not finished may be refused sooner or later.
    pub fn admit(&mut self, bytes: &[u8]) -> Admitted {
        let mut admitted = 0;
        while let rest @ [first, ..] = bytes.get(admitted..).unwrap_or_default() {
            (admitted, self.part) = match self.part {
                Part::Head => match self.head(rest) {
                    Ok(Some((length, part))) => {
                        self.seen = 0;
                        (admitted + length, part)
                    }
                    Ok(None) => {
                        self.seen = rest.len();
                        break;
                    }
                    Err(refusal) => return Admitted { bytes: 0, refusal: Some(refusal) },
                },
                Part::Sized(left) => match take(left, rest) {
                    (taken, 0) => (admitted + taken, Part::Head),
                    (taken, left) => (admitted + taken, Part::Sized(left)),
                },
                Part::Chunked(Chunk::Data(left)) => match take(left, rest) {
                    (taken, 0) => (admitted + taken, Part::Chunked(Chunk::DataCr)),
                    (taken, left) => (admitted + taken, Part::Chunked(Chunk::Data(left))),
                },
                Part::Chunked(chunk) => match chunk.after(*first) {
                    Some(part) => (admitted + 1, part),
                    None => (admitted, Part::Lost),
                },
                Part::Lost => break,
            };
            if self.part == Part::Head {
                break;
            }
        }
        Admitted { bytes: admitted, refusal: None }
    }

    /// Whether the last request that was admitted has come in whole.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.part == Part::Head
    }

    /// Whether nobody can say any more what the bytes mean.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.part == Part::Lost
    }

    /// The length of the head at the beginning of `bytes` and what follows it; nothing while it is unfinished.
    fn head(&self, bytes: &[u8]) -> Result<Option<(usize, Part)>, Refusal> {
        let bytes = bytes.get(..=HEAD_BYTES_MAX).unwrap_or(bytes);
        let is_too_large = |length| length > HEAD_BYTES_MAX;
        // One that drips in is parsed when its end is there, not with every drop.
        let fresh = bytes.get(self.seen.saturating_sub(3)..).unwrap_or_default();
        if self.seen > 0 && !is_too_large(bytes.len()) && !has_end(fresh) {
            return Ok(None);
        }
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(Status::Complete(length)) if !is_too_large(length) => {
                if bytes.get(..length).is_none_or(has_bare_lf) {
                    return Err(Refusal::Malformed);
                }
                Ok(Some((length, judge(&request)?)))
            }
            Ok(Status::Partial) if !is_too_large(bytes.len()) => Ok(None),
            Ok(_) if bytes.contains(&b'\n') => Err(Refusal::TooLarge),
            Ok(_) => Err(Refusal::TargetTooLong),
            Err(httparse::Error::TooManyHeaders) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::Malformed),
        }
    }
}

impl Chunk {
    /// What follows once `byte` was read; nothing if it must not stand here.
    fn after(self, byte: u8) -> Option<Part> {
        Some(Part::Chunked(match (self, byte) {
            (Self::Start, digit) => Self::Size(hex(digit)?),
            (Self::Size(size) | Self::Space(size) | Self::Extension(size), b'\r') => {
                Self::SizeLf(size)
            }
            (Self::Size(size) | Self::Space(size), b' ' | b'\t') => Self::Space(size),
            (Self::Size(size) | Self::Space(size), b';') => Self::Extension(size),
            (Self::Size(size), digit) => {
                Self::Size(size.checked_mul(16)?.checked_add(hex(digit)?)?)
            }
            (Self::Extension(_) | Self::Line | Self::Trailer, b'\n') => return None,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeLf(0) | Self::TrailerLf, b'\n') => Self::Line,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Start,
            (Self::Line, b'\r') => Self::EndLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::Line | Self::Trailer, _) => Self::Trailer,
            (Self::EndLf, b'\n') => return Some(Part::Head),
            _ => return None,
        }))
    }
}

impl Refusal {
    const ALL: [(&str, Self); 5] = [
        ("malformed", Self::Malformed),
        ("ambiguous", Self::Ambiguous),
        ("target-too-long", Self::TargetTooLong),
        ("too-large", Self::TooLarge),
        ("late", Self::Late),
    ];

    /// A request for the router in the place of the refused one, so that the refusal goes the way of all
    /// answers: after those to earlier requests, with its headers, its line in the log, and then the end.
    #[must_use]
    pub fn stand_in(self, path: &str) -> Vec<u8> {
        let named = Self::ALL.into_iter().find(|(_, refusal)| *refusal == self);
        let reason = named.map_or("", |(name, _)| name);
        format!("{REFUSED} {path} HTTP/1.1\r\n{REASON}: {reason}\r\nconnection: close\r\n\r\n")
            .into()
    }

    /// The refusal that a reason stands for.
    #[must_use]
    pub fn named(reason: &str) -> Self {
        let named = Self::ALL.into_iter().find(|(name, _)| *name == reason);
        named.map_or(Self::Malformed, |(_, refusal)| refusal)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::new(Code::InvalidRequest, "This is no HTTP/1.1 request."),
            Refusal::Ambiguous => Self::new(
                Code::InvalidRequest,
                "Content-Length or Transfer-Encoding is malformed, repeated or contradictory.",
            ),
            Refusal::TargetTooLong => Code::UriTooLong.into(),
            Refusal::TooLarge => Code::HeadersTooLarge.into(),
            Refusal::Late => Code::RequestTimeout.into(),
        }
    }
}

/// How much of a part with `left` bytes to come `bytes` has, and what is left then.
fn take(left: u64, bytes: &[u8]) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (taken, left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)))
}

fn hex(digit: u8) -> Option<u64> {
    char::from(digit).to_digit(16).map(u64::from)
}

/// Whether an empty line stands in `bytes`.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Whether a line of `head` ends with LF alone.
fn has_bare_lf(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').rev().skip(1).any(|line| !line.ends_with(b"\r"))
}

/// What follows a head that could be parsed.
fn judge(request: &httparse::Request<'_, '_>) -> Result<Part, Refusal> {
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed);
    };
    if target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    let is_method = method != REFUSED && Method::from_bytes(method.as_bytes()).is_ok();
    if !is_method || !is_target(target.as_bytes()) {
        return Err(Refusal::Malformed);
    }
    body(request.headers, version)
}

/// Whether hyper reads the target, so that it has nothing to refuse by itself.
fn is_target(target: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || PLAIN_TARGET.contains(byte);
    target.starts_with(b"/") && target.iter().all(is_plain) || Uri::try_from(target).is_ok()
}

/// The body that the fields announce: a length, perhaps repeated, or chunks, and nothing else.
fn body(fields: &[Header<'_>], version: u8) -> Result<Part, Refusal> {
    let (mut length, mut is_chunked) = (None, false);
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            let announced = digits(field.value).ok_or(Refusal::Ambiguous)?;
            if length.replace(announced).is_some_and(|earlier| earlier != announced) {
                return Err(Refusal::Ambiguous);
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            // No coding but this one would be undone, and HTTP/1.0 has none.
            if is_chunked || version == 0 || !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Ambiguous);
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(Refusal::Ambiguous),
        (None, true) => Ok(Part::Chunked(Chunk::Start)),
        (Some(0) | None, false) => Ok(Part::Head),
        (Some(length), false) => Ok(Part::Sized(length)),
    }
}

/// A length in decimal digits alone (RFC 9110 §8.6).
fn digits(value: &[u8]) -> Option<u64> {
    let are_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length: u64 = std::str::from_utf8(value).ok().filter(|_| are_digits)?.parse().ok()?;
    (length <= LENGTH_MAX).then_some(length)
}

#[cfg(test)]
mod tests;
