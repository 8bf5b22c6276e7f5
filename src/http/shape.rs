//! [`Shape`]: which of the two forms a refusal takes, by the path that was asked for.

use serde_json::{Value, json};

/// The paths that answer in RFC 6749's terms.
const OAUTH_PATHS: [&str; 6] =
    ["/token", "/authenticate", "/auth/token", "/refresh", "/revoke", "/introspect"];

/// Which of the two shapes a path answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `application/problem+json`.
    Problem,
    /// `application/json` with `error` and `error_description`.
    OAuth,
}

impl Shape {
    /// The shape of the operation at `path`.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if OAUTH_PATHS.contains(&path) { Self::OAuth } else { Self::Problem }
    }

    /// The media type of this shape.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::OAuth => "application/json",
        }
    }

    /// The name of this shape's schema in the OpenAPI document.
    #[must_use]
    pub const fn schema_name(self) -> &'static str {
        match self {
            Self::Problem => "Problem",
            Self::OAuth => "OAuthProblem",
        }
    }

    /// This shape's schema.
    #[must_use]
    pub fn schema(self) -> Value {
        let mut properties = json!({
            "type": { "type": "string", "format": "uri", "description": "Names the kind of problem; stable." },
            "title": { "type": "string", "description": "The kind of problem in words." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What went wrong, for people." },
            "code": { "type": "string", "description": "What went wrong, for programs; stable." },
            "request_id": { "type": "string", "description": "Finds this request in the server's log." },
        });
        if self == Self::OAuth
            && let Some(members) = properties.as_object_mut()
        {
            members.insert(
                "error".into(),
                json!({ "type": "string", "description": "RFC 6749, 5.2." }),
            );
            members.insert(
                "error_description".into(),
                json!({ "type": "string", "description": "The detail in RFC 6749's characters." }),
            );
        }
        let required: Vec<&String> =
            properties.as_object().into_iter().flat_map(|p| p.keys()).collect();
        json!({ "type": "object", "required": required, "properties": properties })
    }
}
