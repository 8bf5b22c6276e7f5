//! Registering, and one's own account.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::types::{Example, MaybeUndefined};
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::answer::Answer;
use super::bearer::{Caller, Scope};
use super::body::json::{CredentialsBody, JsonBody};
use super::body::text::{Secret, Text};
use super::examples;
use super::fail::{
    BadRequest, Conflict, Fail, Forbidden, TooManyRequests, Unauthorized, Unavailable,
    Unprocessable,
};
use super::origin::Origin;
use super::tag::Tag;
use super::view::UserView;
use crate::auth::Auth;
use crate::auth::account::ProfileChange;
use crate::auth::register::NewAccount;
use crate::password::Password;

/// Registering, and one's own account.
pub struct AccountApi;

/// A new account.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct Registration {
    /// 1 to 64 of `a-z 0-9 . _ - @ +`, starting with a letter or digit; upper case is lowered.
    username: Text,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    password: Secret,
    /// Data only: not unique, no login name.
    email: Option<Text>,
    /// Data only.
    full_name: Option<Text>,
}

impl Example for Registration {
    fn example() -> Self {
        Self {
            username: Text(examples::USERNAME.to_owned()),
            password: Secret(examples::PASSWORD.to_owned()),
            email: Some(Text(examples::EMAIL.to_owned())),
            full_name: Some(Text(examples::FULL_NAME.to_owned())),
        }
    }
}

/// What to change; null removes a value.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct ProfilePatch {
    /// The e-mail address.
    email: MaybeUndefined<Text>,
    /// The full name.
    full_name: MaybeUndefined<Text>,
}

impl Example for ProfilePatch {
    fn example() -> Self {
        Self {
            email: MaybeUndefined::Value(Text(examples::EMAIL.to_owned())),
            full_name: MaybeUndefined::Value(Text(examples::FULL_NAME.to_owned())),
        }
    }
}

/// A change of one's own password.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct PasswordChange {
    /// The password as it is now.
    current_password: Secret,
    /// The password as it is to be.
    new_password: Secret,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self {
            current_password: Secret(examples::PASSWORD.to_owned()),
            new_password: Secret(examples::NEW_PASSWORD.to_owned()),
        }
    }
}

/// One's own password, asked for once more.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct Confirmation {
    /// The password.
    password: Secret,
}

impl Example for Confirmation {
    fn example() -> Self {
        Self { password: Secret(examples::PASSWORD.to_owned()) }
    }
}

/// A user that was just made.
#[derive(ApiResponse)]
pub enum CreatedUser {
    /// The user
    #[oai(status = 201)]
    User(Answer<UserView>),
}

/// Nothing more to say.
#[derive(ApiResponse)]
pub enum Done {
    /// Done
    #[oai(status = 204)]
    Done,
}

type Registered =
    Result<CreatedUser, Fail<(Forbidden, Conflict, Unprocessable, TooManyRequests, Unavailable)>>;

#[OpenApi(tag = "Tag::Account")]
impl AccountApi {
    /// Register
    #[oai(path = "/auth", method = "post", operation_id = "register")]
    async fn register(
        &self,
        auth: Data<&Arc<Auth>>,
        body: CredentialsBody<Registration>,
        origin: Origin,
    ) -> Registered {
        make_account(&auth, body.0, origin).await
    }

    /// See your own account
    #[oai(path = "/users/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Caller) -> Answer<UserView> {
        Answer(caller.user().into())
    }

    /// Change your own profile
    #[oai(path = "/users/me", method = "patch", operation_id = "change_profile")]
    async fn change_profile(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
        body: JsonBody<ProfilePatch>,
        origin: Origin,
    ) -> Result<Answer<UserView>, Fail<(Unauthorized, Forbidden, Unprocessable, Unavailable)>> {
        let change = profile_change(body.0.email, body.0.full_name);
        let user = auth.change_profile(&caller, &change, &origin.0).await?;
        Ok(Answer((&user).into()))
    }

    /// Delete your own account
    ///
    /// Asks for the password once more. Every session ends and the username is free again.
    #[oai(path = "/users/me", method = "delete", operation_id = "delete_account")]
    async fn delete_account(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
        body: CredentialsBody<Confirmation>,
        origin: Origin,
    ) -> Result<
        Done,
        Fail<(BadRequest, Forbidden, Conflict, Unauthorized, TooManyRequests, Unavailable)>,
    > {
        let password = Password::new(body.0.password.0);
        auth.delete_account(&caller, password, &origin.0).await?;
        Ok(Done::Done)
    }

    /// Change your own password
    ///
    /// Every other session of yours ends in the same step; this one lives on.
    #[oai(path = "/users/me/password", method = "post", operation_id = "change_password")]
    async fn change_password(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
        body: CredentialsBody<PasswordChange>,
        origin: Origin,
    ) -> Result<
        Done,
        Fail<(
            BadRequest,
            Forbidden,
            Conflict,
            Unprocessable,
            Unauthorized,
            TooManyRequests,
            Unavailable,
        )>,
    > {
        let current = Password::new(body.0.current_password.0);
        let new = Password::new(body.0.new_password.0);
        auth.change_password(&caller, current, new, &origin.0).await?;
        Ok(Done::Done)
    }
}

async fn make_account(auth: &Auth, body: Registration, origin: Origin) -> Registered {
    let account = NewAccount {
        username: body.username.0,
        password: Password::new(body.password.0),
        email: body.email.map(Text::into_text),
        full_name: body.full_name.map(Text::into_text),
    };
    let user = auth.register(account, &origin.0).await?;
    Ok(CreatedUser::User(Answer((&user).into())))
}

/// The profile fields of a PATCH: absent leaves, null removes.
#[must_use]
pub fn profile_change(
    email: MaybeUndefined<Text>,
    full_name: MaybeUndefined<Text>,
) -> ProfileChange {
    let field = |value: MaybeUndefined<Text>| match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(text) => Some(Some(text.0)),
    };
    ProfileChange { email: field(email), full_name: field(full_name) }
}
