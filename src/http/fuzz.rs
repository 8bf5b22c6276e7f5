//! What must hold of requests, whatever bytes come in: their framing, their bodies, and who is said to have
//! sent them.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::http::{HeaderMap, HeaderName, HeaderValue, header};
use poem::{Body, Request, RequestBody};
use poem_openapi::{ApiExtractor, ExtractParamOptions, Object};
use tokio::runtime::Builder;

use super::body::form::{Field, Fields, FormBody, FormFields};
use super::body::json::JsonBody;
use super::body::text::Text;
use super::body::{CREDENTIALS_BYTES_MAX, MediaType, strict};
use super::framing::{Admitted, Framing, Refusal};
use super::problem::Problem;
use super::trust::{Ground, Perceived, Trust};
use super::{admit, bearer, urlencoded};

const BOUNDARY: &str = "0123456789abcdef";
const NAMES: [&str; 3] = ["username", "password", "scope"];

/// What became of a connection's bytes: how many were admitted, why no more, and where they end.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    bytes: usize,
    refusal: Option<Refusal>,
    is_between: bool,
    is_lost: bool,
}

/// However the bytes are cut, the verdict is the same. The first byte says into what pieces.
pub(crate) fn framing(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    // The end of a head, wherever it stands, so that no verdict is still to come.
    let bytes = [bytes, b"\r\n\r\n"].concat();
    let whole = follow(&bytes, bytes.len());
    assert!(whole.bytes <= bytes.len());
    assert_eq!(follow(&bytes, usize::from(*piece) + 1), whole);
    assert_eq!(follow(&bytes, 1), whole);
}

/// Shows `bytes` as a gate does, `piece` more of them each time: what was not admitted is shown again.
fn follow(bytes: &[u8], piece: usize) -> Verdict {
    let (mut framing, mut total, mut refusal) = (Framing::default(), 0, None);
    for end in (0..bytes.len()).step_by(piece).map(|start| bytes.len().min(start + piece)) {
        while let Some(shown) = bytes.get(total..end)
            && refusal.is_none()
        {
            let Admitted { bytes: admitted, refusal: reason } = framing.admit(shown);
            assert!(reason.is_none() || admitted == 0, "a refused request is let in");
            (total, refusal) = (total + admitted, reason);
            if admitted == 0 {
                break;
            }
        }
    }
    let (is_between, is_lost) = (framing.is_between(), framing.is_lost());
    Verdict { bytes: total, refusal, is_between, is_lost }
}

/// One field's value as a host, a media type and credentials: what is read of it is a part of it, and reads the
/// same again.
pub(crate) fn field(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    if let Some(name) = admit::name_of(bytes) {
        assert!(bytes.starts_with(name) && !name.is_empty());
        assert_eq!(admit::name_of(&[name, b":8000"].concat()), Some(name));
    }
    let is_media = |value: &HeaderValue, essence| {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.clone())]);
        MediaType::of(&headers).is_some_and(|media| media.is_utf8(essence))
    };
    let is_json = is_media(&value, "application/json");
    if let Ok(shouted) = HeaderValue::from_bytes(&bytes.to_ascii_uppercase()) {
        assert_eq!(is_media(&shouted, "application/json"), is_json);
    }
    if let Some(token) = credentials(value) {
        assert!(bytes.ends_with(token.as_bytes()), "a token is read that nobody sent");
        let again = HeaderValue::from_str(&format!("Bearer {token}")).ok().and_then(credentials);
        // A prefix that is left is one too many.
        assert!(token.contains(' ') || again == Some(token));
    }
}

/// The bearer token that the value of `Authorization` presents.
fn credentials(value: HeaderValue) -> Option<String> {
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
    bearer::presented(&headers).ok()?.map(str::to_owned)
}

/// What a client writes itself changes nothing, and the answer is the peer or what the header names. Each
/// line of the bytes is a header line.
pub(crate) fn proxy(bytes: &[u8]) {
    let Ok(network) = "10.0.0.0/8".parse() else { return };
    let trust = Trust { networks: vec![network], ..Trust::nobody() };
    let lines = bytes.split(|byte| *byte == b'\n');
    let headers: HeaderMap = lines.filter_map(forwarded).collect();
    let proxy = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    let client = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)));

    let found = trust.perceive(proxy, &headers).client;
    assert!(found == proxy || trust.hops(&headers).any(|hop| hop == found));
    let stranger = Perceived { client, ground: Ground::Stranger };
    assert_eq!(trust.perceive(client, &headers), stranger);
    let appended = [bytes, b", 203.0.113.9, 10.0.0.2"].concat();
    let appended: HeaderMap = forwarded(&appended).into_iter().collect();
    if !appended.is_empty() {
        let seen = Perceived { client, ground: Ground::Nearest };
        assert_eq!(trust.perceive(proxy, &appended), seen);
    }
}

fn forwarded(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_static("x-forwarded-for");
    Some((name, HeaderValue::from_bytes(line).ok()?))
}

/// What a request object is made of.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct Note {
    title: Text,
    pinned: Option<bool>,
    tags: Option<Vec<Text>>,
}

/// What is read strictly reads the same for everybody, and reads again when it is written anew.
pub(crate) fn json(bytes: &[u8]) {
    let strict = strict::parse(bytes);
    let note = extracted::<JsonBody<Note>>("application/json", bytes);
    assert!(strict.is_ok() || note.is_none(), "a body is taken that is not JSON");
    let (Ok(value), Ok(text)) = (strict, std::str::from_utf8(bytes)) else { return };
    assert_eq!(serde_json::from_slice(bytes).ok().as_ref(), Some(&value));
    assert_eq!(strict::parse_merging(text).ok().as_ref(), Some(&value));
    assert!(strict::parse(value.to_string().as_bytes()).is_ok());
}

/// A form with what [`NAMES`] names.
#[derive(Debug, PartialEq, Eq)]
struct Login([Option<String>; NAMES.len()]);

impl FormFields for Login {
    const FIELDS: &'static [Field] = &[
        Field::optional(NAMES[0], "a field"),
        Field::optional(NAMES[1], "a field"),
        Field::optional(NAMES[2], "a field"),
    ];
    const MULTIPART: bool = true;

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self(NAMES.map(|name| fields.take(name))))
    }
}

/// What one form says can be said in the other, and in its own way again.
pub(crate) fn urlencoded(bytes: &[u8]) {
    for (name, value) in urlencoded::pairs(bytes).flatten() {
        let coded = format!("{}={}", percent_encoded(&name), percent_encoded(&value));
        assert_eq!(urlencoded::pairs(coded.as_bytes()).collect::<Vec<_>>(), [Ok((name, value))]);
    }
    says_the_same(urlencoded_form(bytes));
}

/// As [`urlencoded`].
pub(crate) fn multipart(bytes: &[u8]) {
    says_the_same(multipart_form(bytes));
}

fn says_the_same(login: Option<Login>) {
    let Some(login) = login else { return };
    let fields = || NAMES.into_iter().zip(&login.0);
    let values = || fields().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs = values().map(|(name, value)| format!("{name}={}&", percent_encoded(value)));
    let coded: String = pairs.collect();
    if coded.len() <= CREDENTIALS_BYTES_MAX {
        assert_eq!(urlencoded_form(coded.as_bytes()).as_ref(), Some(&login));
    }
    if values().all(|(_, value)| !value.contains(BOUNDARY)) {
        let parts = values().map(|(name, value)| {
            let disposition = format!("Content-Disposition: form-data; name=\"{name}\"");
            format!("--{BOUNDARY}\r\n{disposition}\r\n\r\n{value}\r\n")
        });
        let body = parts.collect::<String>() + &format!("--{BOUNDARY}--\r\n");
        if body.len() <= CREDENTIALS_BYTES_MAX {
            assert_eq!(multipart_form(body.as_bytes()), Some(login));
        }
    }
}

fn urlencoded_form(bytes: &[u8]) -> Option<Login> {
    extracted::<FormBody<Login>>("application/x-www-form-urlencoded", bytes).map(|form| form.0)
}

fn multipart_form(bytes: &[u8]) -> Option<Login> {
    let media = format!("multipart/form-data; boundary={BOUNDARY}");
    extracted::<FormBody<Login>>(&media, bytes).map(|form| form.0)
}

fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What an operation is given of a body; nothing when it is refused.
fn extracted<T>(media: &str, bytes: &[u8]) -> Option<T>
where
    T: for<'a> ApiExtractor<'a, ParamType = (), ParamRawType = ()>,
{
    let request = Request::builder().content_type(media).finish();
    let mut body = RequestBody::new(Body::from(bytes.to_vec()));
    let extracted = T::from_request(&request, &mut body, ExtractParamOptions::default());
    wait_for(extracted)?.ok()
}

/// Bodies are there at once, so nothing but `future` has to run.
fn wait_for<F: Future>(future: F) -> Option<F::Output> {
    Builder::new_current_thread().build().ok().map(|runtime| runtime.block_on(future))
}
