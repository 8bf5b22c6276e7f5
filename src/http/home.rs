//! `/`: a protected resource for programs, the way to `/docs` for a person in a browser.

use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi};

use super::answer::Answer;
use super::bearer::Caller;
use super::fail::{Fail, Unauthorized};
use super::problem::Code;
use super::tag::Tag;
use super::view::UserView;

/// `/`.
pub struct HomeApi {
    /// Whether `/docs` is there to send a browser to.
    pub docs: bool,
}

/// Somebody at the door.
enum Visitor {
    Caller(Box<Caller>),
    Browser,
}

impl<'a> ApiExtractor<'a> for Visitor {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Caller::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        Caller::security_schemes()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let accepts = request.headers().get(header::ACCEPT).and_then(|types| types.to_str().ok());
        let is_browser = accepts.is_some_and(|types| types.contains("text/html"));
        if is_browser && !request.headers().contains_key(header::AUTHORIZATION) {
            return Ok(Self::Browser);
        }
        let caller = Caller::from_request(request, body, options).await?;
        Ok(Self::Caller(Box::new(caller)))
    }
}

/// Who calls, or where to go.
#[derive(ApiResponse)]
enum Welcome {
    /// Your own account
    #[oai(status = 200)]
    User(Answer<UserView>),
    /// For a browser without a token
    #[oai(status = 303)]
    Docs(
        /// The documentation
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi(tag = "Tag::Samples")]
impl HomeApi {
    /// See your own account (another name of /users/me)
    #[oai(path = "/", method = "get", operation_id = "home")]
    async fn home(&self, visitor: Visitor) -> Result<Welcome, Fail<Unauthorized>> {
        match visitor {
            Visitor::Caller(caller) => Ok(Welcome::User(Answer(caller.user().into()))),
            Visitor::Browser if self.docs => Ok(Welcome::Docs("/docs".to_owned())),
            Visitor::Browser => Err(Code::NotAuthenticated.into()),
        }
    }
}
