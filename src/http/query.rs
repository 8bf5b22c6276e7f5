//! [`Query`]: a parameter of the query that comes at most once. The library takes the first of several and
//! guesses at what is not URL coding, so that two readers of one URL could see two requests.

use poem::{Request, RequestBody};
use poem_openapi::param::Query as Lenient;
use poem_openapi::registry::{MetaParamIn, MetaSchemaRef, Registry};
use poem_openapi::types::ParseFromParameter;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::problem::{Code, Problem};
use super::urlencoded;

/// A parameter of the query.
pub struct Query<T>(pub T);

impl<'a, T: ParseFromParameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = T::IS_REQUIRED;

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn register(registry: &mut Registry) {
        Lenient::<T>::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Lenient::<T>::param_in()
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Lenient::<T>::param_schema_ref()
    }

    fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
        self.0.as_raw_value()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        let query = request.uri().query();
        if query.is_some_and(|query| is_ambiguous(query, options.name)) {
            let name = options.name;
            let detail = format!("The parameter `{name}` comes once, URL-encoded.");
            return Err(Problem::new(Code::InvalidParameter, detail).into());
        }
        Ok(Self(Lenient::from_request(request, body, options).await?.0))
    }
}

/// Whether `query` names `name` twice or cannot be decoded.
fn is_ambiguous(query: &str, name: &str) -> bool {
    let mut came = 0;
    urlencoded::pairs(query.as_bytes()).any(|pair| {
        came += usize::from(pair.as_ref().is_ok_and(|(known, _)| known == name));
        pair.is_err() || came > 1
    })
}
