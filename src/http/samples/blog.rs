//! Signing up and logging in with an e-mail address and JSON, as the sample blog does.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::auth::Auth;
use crate::auth::login::Credentials;
use crate::auth::register::NewAccount;
use crate::http::body::json::CredentialsBody;
use crate::http::body::text::{Secret, Text};
use crate::http::examples;
use crate::http::fail::{
    BadRequest, Conflict, Fail, Forbidden, TooManyRequests, Unavailable, Unprocessable,
};
use crate::http::origin::Origin;
use crate::http::tag::Tag;
use crate::http::token::PairAnswer;
use crate::password::Password;

/// Signing up and logging in at the sample blog.
pub struct BlogApi;

/// A new reader; the e-mail address becomes the username.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct BlogSignup {
    /// The full name.
    fullname: Text,
    /// The e-mail address, with which to log in.
    email: Text,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    password: Secret,
}

impl Example for BlogSignup {
    fn example() -> Self {
        Self {
            fullname: Text(examples::FULL_NAME.to_owned()),
            email: Text(examples::EMAIL.to_owned()),
            password: Secret(examples::PASSWORD.to_owned()),
        }
    }
}

/// A returning reader.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct BlogLogin {
    /// The e-mail address.
    email: Text,
    /// The password.
    password: Secret,
}

impl Example for BlogLogin {
    fn example() -> Self {
        Self {
            email: Text(examples::EMAIL.to_owned()),
            password: Secret(examples::PASSWORD.to_owned()),
        }
    }
}

#[OpenApi(tag = "Tag::Samples")]
impl BlogApi {
    /// Sign up with an e-mail address
    #[oai(path = "/user/signup", method = "post", operation_id = "blog_signup")]
    async fn signup(
        &self,
        auth: Data<&Arc<Auth>>,
        body: CredentialsBody<BlogSignup>,
        origin: Origin,
    ) -> Result<PairAnswer, Fail<(Forbidden, Conflict, Unprocessable, TooManyRequests, Unavailable)>>
    {
        let account = NewAccount {
            username: body.0.email.0.clone(),
            password: Password::new(body.0.password.0),
            email: Some(body.0.email.0),
            full_name: Some(body.0.fullname.0),
        };
        Ok(PairAnswer::of(auth.sign_up(account, &origin.0).await?))
    }

    /// Log in with an e-mail address
    #[oai(path = "/user/login", method = "post", operation_id = "blog_login")]
    async fn login(
        &self,
        auth: Data<&Arc<Auth>>,
        body: CredentialsBody<BlogLogin>,
        origin: Origin,
    ) -> Result<PairAnswer, Fail<(BadRequest, TooManyRequests, Unavailable)>> {
        let credentials = Credentials {
            username: body.0.email.0,
            password: Password::new(body.0.password.0),
            scope: None,
        };
        Ok(PairAnswer::of(auth.login(credentials, &origin.0).await?))
    }
}
