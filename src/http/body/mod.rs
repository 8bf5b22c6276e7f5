//! Bodies: read within a limit and a deadline, then parsed strictly; nothing ambiguous gets through.
//!
//! Messages are fixed texts: what was sent is never repeated.

mod explain;
pub mod form;
pub mod json;
pub mod strict;
pub mod text;

use std::time::Duration;

use poem::error::ReadBodyError;
use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use zeroize::Zeroizing;

use super::problem::{Code, Problem};

/// Bytes that an endpoint taking credentials reads at most.
pub const CREDENTIALS_BYTES_MAX: usize = 16 * 1024;

/// Bytes that any other endpoint reads at most.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Takes the whole body off the connection before anything is answered, so that a refusal does not leave
/// half a request behind it and cost the client its kept-alive connection.
///
/// A length announced above the limit is refused unread, before a `100 Continue` invites it.
///
/// # Errors
/// `body_too_large`, `request_timeout`, `invalid_request` for chunks that are none; the connection ends with
/// these.
pub async fn receive(request: &mut Request) -> Result<(), Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced: Option<usize> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(Code::BodyTooLarge.into());
    }
    let body = request.take_body();
    if body.is_empty() {
        return Ok(());
    }
    let read = tokio::time::timeout(BODY_DEADLINE, body.into_bytes_limit(BODY_BYTES_MAX));
    match read.await.map_err(|_| Problem::from(Code::RequestTimeout))? {
        Ok(bytes) => request.set_body(bytes),
        Err(ReadBodyError::PayloadTooLarge) => return Err(Code::BodyTooLarge.into()),
        Err(_) => return Err(Problem::from(Code::InvalidRequest).and_close()),
    }
    Ok(())
}

/// The body that was received, if it has at most `limit` bytes; wiped when dropped, for it may hold a password.
async fn read(body: &mut RequestBody, limit: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let bytes = body.take().map_err(Problem::internal)?.into_vec().await;
    let bytes = Zeroizing::new(bytes.map_err(Problem::internal)?);
    if bytes.len() > limit { Err(Code::BodyTooLarge.into()) } else { Ok(bytes) }
}

/// The one media type a request names, lower-cased, with its parameters.
pub(super) struct MediaType {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// `None` when the header is missing, repeated or unreadable.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let mut parts = value.to_str().ok()?.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let parameters = parts
            .filter(|part| !part.trim().is_empty())
            .map(|part| {
                let (name, value) = part.split_once('=')?;
                let value = value.trim().trim_matches('"');
                Some((name.trim().to_ascii_lowercase(), value.to_ascii_lowercase()))
            })
            .collect::<Option<_>>()?;
        Some(Self { essence, parameters })
    }

    /// Whether this is `essence` in UTF-8, named or by default.
    pub(super) fn is_utf8(&self, essence: &str) -> bool {
        let utf8 = |(name, value): &(String, String)| name == "charset" && value == "utf-8";
        self.essence == essence && self.parameters.len() <= 1 && self.parameters.iter().all(utf8)
    }
}

/// Whether the body is as it was written: no coding has to be undone, so none can be a bomb.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().all(|coding| coding == "identity")
}
