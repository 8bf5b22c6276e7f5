//! [`FormBody`]: the form of an OAuth endpoint, read as RFC 6749 §3.2 asks: repeated parameters are
//! refused, empty ones count as absent, unknown ones are ignored.

use poem::http::HeaderMap;
use poem::web::Multipart;
use poem::{Body, FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::{BODY_BYTES_MAX, CREDENTIALS_BYTES_MAX, MediaType, is_plain, read};
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

/// Whether the body is a URL-encoded form with a parameter `name`; it is left for whoever reads it.
///
/// # Errors
/// A defect of the operation: the body was taken before.
pub async fn names(
    headers: &HeaderMap,
    body: &mut RequestBody,
    name: &str,
) -> Result<bool, Problem> {
    if MediaType::of(headers).is_none_or(|media| media.essence != URLENCODED) {
        return Ok(false);
    }
    let bytes = read(body, BODY_BYTES_MAX).await?;
    let is_named = urlencoded::names(&bytes, name);
    *body = RequestBody::new(Body::from(bytes));
    Ok(is_named)
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
mod tests;
