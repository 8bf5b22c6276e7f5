//! The OAuth endpoints: token, refresh, revoke, introspect (RFC 6749, RFC 7009, RFC 7662).

use std::sync::Arc;

use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use super::answer::Answer;
use super::bearer::{Caller, Presented, PresentedRefresh, Scope};
use super::body::form::{Field, Fields, FormBody, FormFields, OptionalFormBody};
use super::examples;
use super::fail::{BadRequest, Fail, Forbidden, TooManyRequests, Unauthorized, Unavailable};
use super::origin::Origin;
use super::problem::{Code, Problem};
use super::tag::Tag;
use super::view::{Message, TokenPairView};
use crate::auth::Auth;
use crate::auth::authenticate::Identity;
use crate::auth::login::Credentials;
use crate::auth::model::id::Jti;
use crate::auth::refresh::RefreshError;
use crate::password::Password;
use crate::token::claims::CLIENT_ID;

/// `client_id` and `client_secret` are bounded and not looked at.
const CLIENT_FIELD_BYTES_MAX: usize = 1024;

/// The OAuth endpoints.
pub struct TokenApi {
    /// Whether the password grant is offered.
    pub password_grant: bool,
}

/// What the token endpoint takes.
enum TokenRequest {
    Password { username: String, password: Password, scope: Option<String> },
    Refresh { token: String, scope: Option<String> },
}

impl FormFields for TokenRequest {
    const FIELDS: &'static [Field] = &[
        Field {
            example: Some("password"),
            ..Field::optional("grant_type", "`password` (when absent) or `refresh_token`")
        },
        Field {
            example: Some(examples::USERNAME),
            ..Field::optional("username", "For `password`")
        },
        Field {
            example: Some(examples::PASSWORD),
            secret: true,
            ..Field::optional("password", "For `password`")
        },
        Field::optional("refresh_token", "For `refresh_token`"),
        Field::optional("scope", "Scopes with single spaces between; all you may have when absent"),
        Field::optional("client_id", "Taken and not looked at"),
        Field { secret: true, ..Field::optional("client_secret", "Taken and not looked at") },
    ];
    const MULTIPART: bool = true;

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        for name in ["client_id", "client_secret"] {
            if fields.take(name).is_some_and(|value| value.len() > CLIENT_FIELD_BYTES_MAX) {
                return Err(Code::InvalidRequest.into());
            }
        }
        let scope = fields.take("scope");
        match fields.take("grant_type").as_deref() {
            None | Some("password") => Ok(Self::Password {
                username: fields.require("username")?,
                password: Password::new(fields.require("password")?),
                scope,
            }),
            Some("refresh_token") => {
                Ok(Self::Refresh { token: fields.require("refresh_token")?, scope })
            }
            Some(_) => Err(Code::UnsupportedGrantType.into()),
        }
    }
}

/// A token to look at or to end.
struct TokenForm {
    token: String,
}

impl FormFields for TokenForm {
    const FIELDS: &'static [Field] = &[
        Field {
            required: true,
            example: Some(examples::TOKEN),
            ..Field::optional("token", "The token")
        },
        Field::optional(
            "token_type_hint",
            "`access_token` or `refresh_token`; both are tried anyway",
        ),
        Field::optional("client_id", "Taken and not looked at"),
        Field { secret: true, ..Field::optional("client_secret", "Taken and not looked at") },
    ];

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self { token: fields.require("token")? })
    }
}

/// The state of a token (RFC 7662, 2.2); an inactive one says nothing more.
#[derive(Object, Default, Serialize)]
#[oai(rename = "Introspection", read_only_all)]
struct Introspection {
    /// Whether it is a live access token.
    active: bool,
    /// What it was granted and its user still has.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Whom it was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Always `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<String>,
    /// When it expires, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    /// When it was issued, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    /// From when it is good, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    /// The user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// Its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
}

/// A token pair, never to be cached (RFC 6749, 5.1).
#[derive(ApiResponse)]
pub enum PairAnswer {
    /// The token pair
    #[oai(status = 200)]
    Pair(Answer<TokenPairView>, #[oai(header = "Pragma")] String),
}

impl PairAnswer {
    /// The answer that carries `pair`.
    pub fn of(pair: impl Into<TokenPairView>) -> Self {
        Self::Pair(Answer(pair.into()), "no-cache".to_owned())
    }
}

type TokenAnswer = Result<PairAnswer, Fail<(BadRequest, TooManyRequests, Unavailable)>>;

#[OpenApi(tag = "Tag::Tokens")]
impl TokenApi {
    /// Get a token pair
    ///
    /// With username and password, or with a refresh token (RFC 6749, sections 4.3 and 6).
    #[oai(path = "/token", method = "post", operation_id = "token")]
    async fn token(
        &self,
        auth: Data<&Arc<Auth>>,
        form: FormBody<TokenRequest>,
        origin: Origin,
    ) -> TokenAnswer {
        self.grant(&auth, form.0, &origin).await
    }

    /// Get a token pair (another name of /token)
    #[oai(path = "/authenticate", method = "post", operation_id = "authenticate")]
    async fn authenticate(
        &self,
        auth: Data<&Arc<Auth>>,
        form: FormBody<TokenRequest>,
        origin: Origin,
    ) -> TokenAnswer {
        self.grant(&auth, form.0, &origin).await
    }

    /// Get a token pair (another name of /token)
    #[oai(path = "/auth/token", method = "post", operation_id = "auth_token")]
    async fn auth_token(
        &self,
        auth: Data<&Arc<Auth>>,
        form: FormBody<TokenRequest>,
        origin: Origin,
    ) -> TokenAnswer {
        self.grant(&auth, form.0, &origin).await
    }

    /// Exchange a refresh token
    ///
    /// The bearer token of this operation is the refresh token. Both tokens are replaced; the same token
    /// again within the grace gets the same pair, and later ends the session.
    #[oai(path = "/refresh", method = "post", operation_id = "refresh")]
    async fn refresh(
        &self,
        auth: Data<&Arc<Auth>>,
        token: PresentedRefresh,
        origin: Origin,
    ) -> Result<PairAnswer, Fail<(Unauthorized, Unavailable)>> {
        let pair = auth.refresh(&token.0, None, &origin.0).await;
        let pair = pair.map_err(|error| match error {
            RefreshError::InvalidGrant(_) => {
                Problem::from(error).with_status(StatusCode::UNAUTHORIZED)
            }
            RefreshError::InvalidScope | RefreshError::Fault(_) => error.into(),
        })?;
        Ok(PairAnswer::of(pair))
    }

    /// Revoke a token
    ///
    /// Ends the session of a token of either kind (RFC 7009). Without a body, the bearer token itself is
    /// revoked. A token that is already dead is a success too.
    #[oai(path = "/revoke", method = "post", operation_id = "revoke")]
    async fn revoke(
        &self,
        auth: Data<&Arc<Auth>>,
        bearer: Presented,
        form: OptionalFormBody<TokenForm>,
        origin: Origin,
    ) -> Result<Answer<Message>, Fail<(BadRequest, TooManyRequests, Unavailable)>> {
        let token = match (form.0, bearer.0) {
            (Some(form), _) => form.token,
            (None, Some(bearer)) => bearer,
            (None, None) => {
                return Err(
                    Problem::new(Code::InvalidRequest, "There is no token to revoke.").into()
                );
            }
        };
        auth.revoke(&token, &origin.0).await?;
        Ok(Answer(Message::new("Token revoked")))
    }

    /// Ask about an access token
    ///
    /// RFC 7662. Anything but a live access token is `{"active":false}`.
    #[oai(path = "/introspect", method = "post", operation_id = "introspect")]
    async fn introspect(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Introspect")] caller: Caller,
        form: FormBody<TokenForm>,
        origin: Origin,
    ) -> Result<Answer<Introspection>, Fail<(Forbidden, TooManyRequests, Unavailable)>> {
        let holder = auth.introspect(&caller, &form.0.token, &origin.0).await?;
        Ok(Answer(holder.map_or_else(Introspection::default, |holder| active(&auth, &holder))))
    }
}

impl TokenApi {
    async fn grant(&self, auth: &Auth, request: TokenRequest, origin: &Origin) -> TokenAnswer {
        let pair = match request {
            TokenRequest::Password { .. } if !self.password_grant => {
                return Err(Code::UnsupportedGrantType.into());
            }
            TokenRequest::Password { username, password, scope } => {
                auth.login(Credentials { username, password, scope }, &origin.0).await?
            }
            TokenRequest::Refresh { token, scope } => {
                auth.refresh(&token, scope.as_deref(), &origin.0).await?
            }
        };
        Ok(PairAnswer::of(pair))
    }
}

fn active(auth: &Auth, holder: &Identity) -> Introspection {
    let claims = holder.claims();
    let policy = auth.policy();
    Introspection {
        active: true,
        scope: Some(holder.scopes().to_string()),
        client_id: Some(CLIENT_ID.to_owned()),
        username: Some(holder.user().username.to_string()),
        token_type: Some("Bearer".to_owned()),
        exp: Some(claims.expires_at.secs()),
        iat: Some(claims.issued_at.secs()),
        nbf: Some(claims.issued_at.secs()),
        sub: Some(claims.user.to_string()),
        aud: Some(policy.audience.clone()),
        iss: Some(policy.issuer.clone()),
        jti: Some(Jti { user: claims.user, nonce: claims.nonce }.to_string()),
        sid: Some(claims.session.to_string()),
    }
}
