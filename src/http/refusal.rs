//! Turns whatever `poem` refuses into a [`Problem`]. The library's own texts echo what was sent, so
//! none of them is passed on; only the class of the error is.

use poem::http::StatusCode;
use poem_openapi::error::{ParseParamError, ParsePathError};

use super::problem::{Code, Problem};

/// The problem that `error` stands for.
#[must_use]
pub fn problem_of(error: poem::Error) -> Problem {
    let error = match error.downcast::<Problem>() {
        Ok(problem) => return problem,
        Err(error) => error,
    };
    if let Some(parameter) = error.downcast_ref::<ParseParamError>() {
        let name = parameter.name;
        return Problem::new(
            Code::InvalidParameter,
            format!("The parameter `{name}` is not valid."),
        );
    }
    // An id that cannot be read names nothing, so it is unknown like any other.
    if error.is::<ParsePathError>() || error.is::<poem::error::ParsePathError>() {
        return Code::NotFound.into();
    }
    match error.status() {
        StatusCode::UNAUTHORIZED => Code::NotAuthenticated.into(),
        StatusCode::FORBIDDEN => Code::Forbidden.into(),
        StatusCode::NOT_FOUND => Code::NotFound.into(),
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed.into(),
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge.into(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType.into(),
        status if status.is_client_error() => Code::InvalidRequest.into(),
        _ => Problem::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use poem::error::{MethodNotAllowedError, NotFoundError, ReadBodyError};
    use poem_openapi::error::{AuthorizationError, ContentTypeError, ParseRequestPayloadError};

    use super::*;

    const CANARY: &str = "hunter2";

    fn code_of(error: impl Into<poem::Error>) -> Code {
        let problem = problem_of(error.into());
        assert!(!format!("{problem:?}").contains(CANARY));
        problem.code()
    }

    #[test]
    fn every_refusal_of_the_library_has_its_code_and_echoes_nothing() {
        let reason = || CANARY.to_owned();
        assert_eq!(code_of(NotFoundError), Code::NotFound);
        assert_eq!(code_of(MethodNotAllowedError), Code::MethodNotAllowed);
        assert_eq!(code_of(AuthorizationError), Code::NotAuthenticated);
        assert_eq!(code_of(ParsePathError { name: "id", reason: reason() }), Code::NotFound);
        assert_eq!(code_of(poem::error::ParsePathError), Code::NotFound);
        assert_eq!(
            code_of(ParseParamError { name: "n", reason: reason() }),
            Code::InvalidParameter
        );
        assert_eq!(code_of(ParseRequestPayloadError { reason: reason() }), Code::InvalidRequest);
        let unsupported = ContentTypeError::NotSupported { content_type: reason() };
        assert_eq!(code_of(unsupported), Code::UnsupportedMediaType);
        assert_eq!(code_of(ReadBodyError::PayloadTooLarge), Code::BodyTooLarge);
        assert_eq!(code_of(ReadBodyError::BodyHasBeenTaken), Code::Internal);
        assert_eq!(code_of(StatusCode::IM_A_TEAPOT), Code::InvalidRequest);
        assert_eq!(code_of(StatusCode::BAD_GATEWAY), Code::Internal);
    }

    #[test]
    fn our_own_problems_pass_unchanged() {
        assert_eq!(code_of(Problem::from(Code::LastAdmin)), Code::LastAdmin);
    }
}
