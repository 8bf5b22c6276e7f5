//! [`JsonBody`]: the JSON object of an operation, read strictly.

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::explain::explain;
use super::{BODY_BYTES_MAX, CREDENTIALS_BYTES_MAX, MediaType, is_plain, read, strict};
use crate::http::problem::{Code, Problem};

const MEDIA_TYPE: &str = "application/json";

const NOT_JSON: &str = "The body is not JSON: one value, each key once, at most 16 levels deep.";

/// A JSON body of at most `LIMIT` bytes.
///
/// `T` is a `poem_openapi::Object` with `#[oai(deny_unknown_fields)]`, its strings of the types in
/// [`super::text`], and without validators: a value that breaks a rule is the domain's to refuse, with 422.
#[derive(Debug)]
pub struct JsonBody<T, const LIMIT: usize = BODY_BYTES_MAX>(pub T);

/// A JSON body that carries a password.
pub type CredentialsBody<T> = JsonBody<T, CREDENTIALS_BYTES_MAX>;

impl<'a, T: ParseFromJSON, const LIMIT: usize> ApiExtractor<'a> for JsonBody<T, LIMIT> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: MEDIA_TYPE, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(parse::<T>(request, body, LIMIT).await?))
    }
}

async fn parse<T: ParseFromJSON>(
    request: &Request,
    body: &mut RequestBody,
    limit: usize,
) -> Result<T, Problem> {
    let is_json = MediaType::of(request.headers()).is_some_and(|media| media.is_utf8(MEDIA_TYPE));
    if !is_json || !is_plain(request.headers()) {
        return Err(Code::UnsupportedMediaType.into());
    }
    let bytes = read(body, limit).await?;
    // The errors of both parsers quote the body, so neither is kept.
    let value = strict::parse(&bytes).map_err(|_| Problem::new(Code::InvalidBody, NOT_JSON))?;
    T::parse_from_json(Some(value)).map_err(|_| {
        let value = strict::parse(&bytes).unwrap_or_default();
        Problem::new(Code::InvalidBody, explain::<T>(&value))
    })
}

#[cfg(test)]
mod tests {
    use poem::http::StatusCode;
    use poem::test::TestResponse;
    use poem_openapi::payload::PlainText;
    use poem_openapi::{Object, OpenApi};

    use super::super::text::Text;
    use super::*;
    use crate::http::edge::tests::{client, refusal};

    #[derive(Object)]
    #[oai(deny_unknown_fields)]
    struct Note {
        title: Text,
        stars: Option<u8>,
    }

    struct Notes;

    #[OpenApi]
    #[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
    impl Notes {
        #[oai(path = "/notes", method = "post")]
        async fn add(&self, note: JsonBody<Note>) -> PlainText<String> {
            PlainText(format!("{}{}", note.0.title.0, note.0.stars.unwrap_or_default()))
        }

        #[oai(path = "/secrets", method = "post")]
        async fn hide(&self, note: CredentialsBody<Note>) -> PlainText<String> {
            PlainText(note.0.title.0)
        }
    }

    async fn send(path: &str, media: Option<&str>, body: impl Into<poem::Body>) -> TestResponse {
        let client = client(Notes);
        let request = client.post(path).body(body);
        match media {
            Some(media) => request.header("content-type", media).send().await,
            None => request.send().await,
        }
    }

    async fn refused(media: Option<&str>, body: impl Into<poem::Body>) -> (u16, String) {
        refusal(send("/notes", media, body).await).await
    }

    fn long(bytes: usize) -> String {
        let frame = r#"{"title":""}"#.len();
        format!(r#"{{"title":"{}"}}"#, "x".repeat(bytes - frame))
    }

    #[tokio::test]
    async fn a_well_formed_body_is_taken_in_the_one_media_type() {
        for media in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            let response = send("/notes", Some(media), r#"{"title":"a","stars":3}"#).await;
            response.assert_status_is_ok();
            response.assert_text("a3").await;
        }
    }

    #[tokio::test]
    async fn another_media_type_is_415() {
        let wrong = [
            None,
            Some("text/plain"),
            Some("application/hunter2+json"),
            Some("application/json; charset=utf-16"),
            Some("application/json; boundary=x"),
            Some("application/x-www-form-urlencoded"),
        ];
        for media in wrong {
            let (status, code) = refused(media, r#"{"title":"a"}"#).await;
            assert_eq!((status, code.as_str()), (415, "unsupported_media_type"), "{media:?}");
        }
    }

    #[tokio::test]
    async fn a_coded_body_is_415_and_never_inflated() {
        let client = client(Notes);
        let request = client.post("/notes").header("content-encoding", "gzip");
        let response = request.content_type(MEDIA_TYPE).body("hunter2").send().await;
        assert_eq!(refusal(response).await.0, 415);
    }

    #[tokio::test]
    async fn a_malformed_mistyped_or_unknown_member_is_400() {
        let wrong = [
            "",
            "null",
            "hunter2",
            r#"{"title":7}"#,
            r#"{"stars":1}"#,
            r#"{"title":"a","stars":"hunter2"}"#,
            r#"{"title":"a","stars":256}"#,
            r#"{"title":"a","hunter2":1}"#,
            r#"{"title":"a","title":"hunter2"}"#,
            r#"{"title":"a"} hunter2"#,
        ];
        for body in wrong {
            assert_eq!(
                refused(Some(MEDIA_TYPE), body).await,
                (400, "invalid_body".to_owned()),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn the_limit_is_kept_to_the_byte_announced_or_not() {
        for (path, limit) in [("/notes", BODY_BYTES_MAX), ("/secrets", CREDENTIALS_BYTES_MAX)] {
            send(path, Some(MEDIA_TYPE), long(limit)).await.assert_status_is_ok();
            let response = send(path, Some(MEDIA_TYPE), long(limit + 1)).await;
            response.assert_status(StatusCode::PAYLOAD_TOO_LARGE);
            response.assert_header("connection", "close");
            assert_eq!(refusal(response).await, (413, "body_too_large".to_owned()));

            let reader = std::io::Cursor::new(long(limit + 1));
            let chunked = send(path, Some(MEDIA_TYPE), poem::Body::from_async_read(reader)).await;
            chunked.assert_status(StatusCode::PAYLOAD_TOO_LARGE);

            let client = client(Notes);
            let announced = client.post(path).header("content-length", BODY_BYTES_MAX + 1);
            let response = announced.content_type(MEDIA_TYPE).body("{}").send().await;
            response.assert_status(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_408() {
        let (_open, reader) = tokio::io::duplex(1);
        let response = send("/notes", Some(MEDIA_TYPE), poem::Body::from_async_read(reader)).await;
        response.assert_header("connection", "close");
        assert_eq!(refusal(response).await, (408, "request_timeout".to_owned()));
    }
}
