//! [`FormBody`]: the form of an OAuth endpoint, read as RFC 6749 §3.2 asks: repeated parameters are
//! refused, empty ones count as absent, unknown ones are ignored.

use poem::http::HeaderMap;
use poem::web::Multipart;
use poem::{Body, FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::{CREDENTIALS_BYTES_MAX, MediaType, is_plain, read};
use crate::http::problem::{Code, Problem};
use crate::http::urlencoded;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// A form, required.
#[derive(Debug)]
pub struct FormBody<T>(pub T);

/// A form, or no body at all, whatever media type the empty body claims.
#[derive(Debug)]
pub struct OptionalFormBody<T>(pub Option<T>);

/// One parameter of a form, as the document shows it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What Swagger UI fills in.
    pub example: Option<&'static str>,
    /// Whether the form is refused without it.
    pub required: bool,
    /// Whether a page hides what is typed.
    pub secret: bool,
}

impl Field {
    /// A parameter that may be absent, shown as it is typed.
    #[must_use]
    pub const fn optional(name: &'static str, about: &'static str) -> Self {
        Self { name, about, example: None, required: false, secret: false }
    }
}

/// What can be read from a form.
pub trait FormFields: Sized + Send {
    /// The parameters it knows.
    const FIELDS: &'static [Field];

    /// Whether `multipart/form-data` with text parts is taken too.
    const MULTIPART: bool = false;

    /// Takes the parameters out of `fields`.
    ///
    /// # Errors
    /// The [`Problem`] of the first parameter that is missing or malformed.
    fn from_fields(fields: &mut Fields) -> Result<Self, Problem>;
}

/// The known parameters that came with a request, none twice and none empty.
pub struct Fields(Vec<(&'static str, Option<String>)>);

impl std::fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Fields")
    }
}

impl Fields {
    /// The parameter `name`, if it came.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.iter_mut().find(|(known, _)| *known == name)?.1.take()
    }

    /// The parameter `name`.
    ///
    /// # Errors
    /// `invalid_request` when it did not come.
    pub fn require(&mut self, name: &'static str) -> Result<String, Problem> {
        let missing =
            || Problem::new(Code::InvalidRequest, format!("The parameter '{name}' is missing."));
        self.take(name).ok_or_else(missing)
    }

    /// Keeps `value` if `known` has `name`; an empty value is remembered as having come.
    fn keep(&mut self, known: &[Field], name: &str, value: String) -> Result<(), Problem> {
        let Some(field) = known.iter().find(|field| field.name == name) else { return Ok(()) };
        if self.0.iter().any(|(name, _)| *name == field.name) {
            return Err(Problem::new(Code::InvalidRequest, "A parameter came more than once."));
        }
        self.0.push((field.name, (!value.is_empty()).then_some(value)));
        Ok(())
    }
}

impl<'a, T: FormFields> ApiExtractor<'a> for FormBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(meta::<T>(true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = read(body, CREDENTIALS_BYTES_MAX).await?;
        Ok(Self(parse(request.headers(), bytes).await?))
    }
}

impl<'a, T: FormFields> ApiExtractor<'a> for OptionalFormBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(meta::<T>(false))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = read(body, CREDENTIALS_BYTES_MAX).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(parse(request.headers(), bytes).await?)))
    }
}

fn meta<T: FormFields>(required: bool) -> MetaRequest {
    let media = |content_type| MetaMediaType { content_type, schema: schema(T::FIELDS) };
    let mut content = vec![media(URLENCODED)];
    if T::MULTIPART {
        content.push(media(MULTIPART));
    }
    MetaRequest { description: None, content, required }
}

fn schema(fields: &[Field]) -> MetaSchemaRef {
    let property = |field: &Field| {
        let schema = MetaSchema {
            description: Some(field.about),
            // Without an example Swagger UI would fill in, and send, the word "string".
            example: Some(field.example.unwrap_or_default().into()),
            format: field.secret.then_some("password"),
            ..MetaSchema::new("string")
        };
        (field.name, MetaSchemaRef::Inline(Box::new(schema)))
    };
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        properties: fields.iter().map(property).collect(),
        required: fields.iter().filter(|field| field.required).map(|field| field.name).collect(),
        ..MetaSchema::new("object")
    }))
}

async fn parse<T: FormFields>(headers: &HeaderMap, bytes: Vec<u8>) -> Result<T, Problem> {
    let media = MediaType::of(headers).filter(|_| is_plain(headers));
    let mut fields = match media {
        Some(media) if media.is_utf8(URLENCODED) => urlencoded(T::FIELDS, &bytes)?,
        Some(media) if T::MULTIPART && media.essence == MULTIPART => {
            multipart(T::FIELDS, headers, bytes).await?
        }
        _ => return Err(Problem::new(Code::InvalidRequest, expected_media::<T>())),
    };
    T::from_fields(&mut fields)
}

const fn expected_media<T: FormFields>() -> &'static str {
    if T::MULTIPART {
        "The body must be application/x-www-form-urlencoded or multipart/form-data, in UTF-8."
    } else {
        "The body must be application/x-www-form-urlencoded, in UTF-8."
    }
}

fn malformed<E>(_: E) -> Problem {
    Problem::new(Code::InvalidRequest, "The form is malformed.")
}

fn urlencoded(known: &[Field], bytes: &[u8]) -> Result<Fields, Problem> {
    let mut fields = Fields(Vec::new());
    for pair in urlencoded::pairs(bytes) {
        let (name, value) = pair.map_err(malformed)?;
        fields.keep(known, &name, value)?;
    }
    Ok(fields)
}

async fn multipart(
    known: &[Field],
    headers: &HeaderMap,
    bytes: Vec<u8>,
) -> Result<Fields, Problem> {
    let mut request = Request::default();
    request.headers_mut().clone_from(headers);
    let mut body = RequestBody::new(Body::from(bytes));
    let mut parts =
        <Multipart as FromRequest>::from_request(&request, &mut body).await.map_err(malformed)?;
    let mut fields = Fields(Vec::new());
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        let is_text = part.content_type().is_none_or(|media| media == "text/plain");
        if part.file_name().is_some() || !is_text {
            return Err(Problem::new(Code::InvalidRequest, "The form takes text fields only."));
        }
        let name = part.name().ok_or(()).map_err(malformed)?.to_owned();
        let bytes = part.bytes().await.map_err(malformed)?;
        let value = urlencoded::text(bytes).map_err(malformed)?;
        fields.keep(known, &name, value)?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use poem::test::TestResponse;
    use poem_openapi::OpenApi;
    use poem_openapi::payload::PlainText;

    use super::*;
    use crate::http::edge::tests::{client, refusal};

    struct Login {
        username: String,
        password: String,
        scope: Option<String>,
    }

    const fn field(name: &'static str, required: bool) -> Field {
        Field { name, about: "a field", example: Some("alice"), required, secret: false }
    }

    impl FormFields for Login {
        const FIELDS: &'static [Field] =
            &[field("username", true), field("password", true), field("scope", false)];
        const MULTIPART: bool = true;

        fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
            Ok(Self {
                username: fields.require("username")?,
                password: fields.require("password")?,
                scope: fields.take("scope"),
            })
        }
    }

    struct Token(String);

    impl FormFields for Token {
        const FIELDS: &'static [Field] = &[field("token", true)];

        fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
            fields.require("token").map(Self)
        }
    }

    struct Api;

    #[OpenApi]
    #[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
    impl Api {
        #[oai(path = "/token", method = "post")]
        async fn token(&self, form: FormBody<Login>) -> PlainText<String> {
            let Login { username, password, scope } = form.0;
            PlainText(format!("{username}|{password}|{scope:?}"))
        }

        #[oai(path = "/revoke", method = "post")]
        async fn revoke(&self, form: OptionalFormBody<Token>) -> PlainText<String> {
            PlainText(form.0.map_or_else(|| "no body".to_owned(), |token| token.0))
        }
    }

    async fn send(path: &str, media: Option<&str>, body: impl Into<Body>) -> TestResponse {
        let client = client(Api);
        let request = client.post(path).body(body);
        match media {
            Some(media) => request.header("content-type", media).send().await,
            None => request.send().await,
        }
    }

    async fn accepted(media: &str, body: impl Into<Body>) -> String {
        let response = send("/token", Some(media), body).await;
        response.assert_status_is_ok();
        response.0.into_body().into_string().await.unwrap()
    }

    #[track_caller]
    fn assert_invalid_request(body: &serde_json::Value, about: &str) {
        assert_eq!(body["status"], 400, "{about}");
        assert_eq!(body["code"], "invalid_request", "{about}");
        assert_eq!(body["error"], "invalid_request", "{about}");
        assert_eq!(body["error_description"], body["detail"], "{about}");
        assert!(!body.to_string().contains("hunter2"), "{about}");
    }

    async fn assert_refused(path: &str, media: Option<&str>, body: impl Into<Body>, about: &str) {
        let response = send(path, media, body).await;
        response.assert_header("cache-control", "no-store");
        response.assert_header("pragma", "no-cache");
        response.assert_content_type("application/json");
        assert_invalid_request(&response.0.into_body().into_json().await.unwrap(), about);
    }

    fn part(disposition: &str, value: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
    }

    const FORM_DATA: &str = "multipart/form-data; boundary=B";

    #[tokio::test]
    async fn a_form_is_decoded_and_its_empty_and_unknown_parameters_do_not_count() {
        let body = "x=1&x=2&username=al%69ce&scope=&&password=a+b%2B%C3%A9%3D=";
        for media in [URLENCODED, "application/x-www-form-urlencoded;charset=UTF-8"] {
            assert_eq!(accepted(media, body).await, "alice|a b+é==|None");
        }
    }

    #[tokio::test]
    async fn text_parts_are_read_like_a_form() {
        let body = part("name=\"username\"", "alice")
            + &part("name=\"password\"", "a+b%20")
            + &part("name=\"other\"", "1")
            + "--B--\r\n";
        assert_eq!(accepted(FORM_DATA, body).await, "alice|a+b%20|None");
    }

    #[tokio::test]
    async fn a_malformed_form_is_invalid_request() {
        let wrong: [&[u8]; 12] = [
            b"",
            b"username=alice",
            b"username=alice&password=",
            b"username=alice&password=hunter2&password=hunter2",
            b"username=alice&password=hunter2&scope=&scope=",
            b"username=alice&password=hunter2&user%6eame=alice",
            b"username=alice&password=hunter2%",
            b"username=alice&password=hunter2%2",
            b"username=alice&password=hunter2%zz",
            b"username=alice&password=hunter2%+1",
            b"username=alice&password=hunter2%ff",
            b"username=alice&password=hunter2&x=%00",
        ];
        for body in wrong {
            let about = String::from_utf8_lossy(body).into_owned();
            assert_refused("/token", Some(URLENCODED), body, &about).await;
        }
    }

    #[tokio::test]
    async fn a_part_that_is_a_file_or_comes_twice_is_invalid_request() {
        let user = part("name=\"username\"", "alice");
        let password = part("name=\"password\"", "hunter2");
        let wrong = [
            user.clone() + &part("name=\"password\"; filename=\"p\"", "hunter2"),
            user.clone() + &password + &password,
            user.clone()
                + "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\
                Content-Type: application/json\r\n\r\nhunter2\r\n",
            user.clone() + &part("name=\"password\"", "hunter2\0"),
            user + &part("filename*=x", "hunter2"),
        ];
        for body in wrong {
            assert_refused("/token", Some(FORM_DATA), body.clone() + "--B--\r\n", &body).await;
        }
        assert_refused("/token", Some(FORM_DATA), password, "not closed").await;
        assert_refused("/token", Some(MULTIPART), "hunter2", "no boundary").await;
    }

    #[tokio::test]
    async fn another_media_type_is_invalid_request() {
        let body = "username=alice&password=hunter2";
        let wrong = [
            None,
            Some("application/json"),
            Some("text/plain"),
            Some("application/x+x-www-form-urlencoded"),
            Some("application/x-www-form-urlencoded; charset=utf-16"),
        ];
        for media in wrong {
            assert_refused("/token", media, body, &format!("{media:?}")).await;
        }
        let token = part("name=\"token\"", "hunter2") + "--B--\r\n";
        assert_refused("/revoke", Some(FORM_DATA), token, "multipart where it is not offered")
            .await;
    }

    #[tokio::test]
    async fn no_body_is_told_from_an_empty_form() {
        for media in [None, Some(URLENCODED), Some("application/json")] {
            send("/revoke", media, "").await.assert_text("no body").await;
        }
        send("/revoke", Some(URLENCODED), "token=t").await.assert_text("t").await;
        assert_refused("/revoke", Some(URLENCODED), "token=", "an empty token").await;
        assert_refused("/token", None, "", "nothing where a form is required").await;
    }

    #[tokio::test]
    async fn a_form_above_the_limit_is_413() {
        let body = format!("username={}", "x".repeat(CREDENTIALS_BYTES_MAX));
        let (status, code) = refusal(send("/token", Some(URLENCODED), body).await).await;
        assert_eq!((status, code.as_str()), (413, "body_too_large"));
    }

    #[test]
    fn a_parameter_without_an_example_is_shown_empty() {
        let fields = [Field { example: None, ..field("refresh_token", false) }];
        let schema = serde_json::to_value(schema(&fields)).unwrap();
        assert_eq!(schema["properties"]["refresh_token"]["example"], "");
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let fields = urlencoded(Login::FIELDS, b"password=hunter2").unwrap();
        assert_eq!(format!("{fields:?}"), "Fields");
    }
}
