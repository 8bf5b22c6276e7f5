//! Registering, and one's own account.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::{Example, MaybeUndefined};
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::bearer::{Caller, Scope};
use super::body::json::{CredentialsBody, JsonBody};
use super::examples;
use super::fail::{
    BadRequest, Conflict, Fail, Forbidden, Unauthorized, Unavailable, Unprocessable,
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
    username: String,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    #[oai(write_only)]
    password: String,
    /// Data only: not unique, no login name.
    email: Option<String>,
    /// Data only.
    full_name: Option<String>,
}

impl Example for Registration {
    fn example() -> Self {
        Self {
            username: examples::USERNAME.to_owned(),
            password: examples::PASSWORD.to_owned(),
            email: Some(examples::EMAIL.to_owned()),
            full_name: Some(examples::FULL_NAME.to_owned()),
        }
    }
}

/// What to change; null removes a value.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct ProfilePatch {
    /// The e-mail address.
    email: MaybeUndefined<String>,
    /// The full name.
    full_name: MaybeUndefined<String>,
}

impl Example for ProfilePatch {
    fn example() -> Self {
        Self {
            email: MaybeUndefined::Value(examples::EMAIL.to_owned()),
            full_name: MaybeUndefined::Value(examples::FULL_NAME.to_owned()),
        }
    }
}

/// A change of one's own password.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct PasswordChange {
    /// The password as it is now.
    #[oai(write_only)]
    current_password: String,
    /// The password as it is to be.
    #[oai(write_only)]
    new_password: String,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self {
            current_password: examples::PASSWORD.to_owned(),
            new_password: examples::NEW_PASSWORD.to_owned(),
        }
    }
}

/// One's own password, asked for once more.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct Confirmation {
    /// The password.
    #[oai(write_only)]
    password: String,
}

impl Example for Confirmation {
    fn example() -> Self {
        Self { password: examples::PASSWORD.to_owned() }
    }
}

/// A user that was just made.
#[derive(ApiResponse)]
pub enum CreatedUser {
    /// The user
    #[oai(status = 201)]
    User(Json<UserView>),
}

/// Nothing more to say.
#[derive(ApiResponse)]
pub enum Done {
    /// Done
    #[oai(status = 204)]
    Done,
}

type Registered = Result<CreatedUser, Fail<(Forbidden, Conflict, Unprocessable, Unavailable)>>;

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
    async fn me(&self, caller: Caller) -> Json<UserView> {
        Json(caller.user().into())
    }

    /// Change your own profile
    #[oai(path = "/users/me", method = "patch", operation_id = "change_profile")]
    async fn change_profile(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
        body: JsonBody<ProfilePatch>,
        origin: Origin,
    ) -> Result<Json<UserView>, Fail<(Forbidden, Conflict, Unprocessable, Unauthorized, Unavailable)>>
    {
        let change = profile_change(body.0.email, body.0.full_name);
        let user = auth.change_profile(&caller, &change, &origin.0).await?;
        Ok(Json((&user).into()))
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
    ) -> Result<Done, Fail<(BadRequest, Forbidden, Conflict, Unauthorized, Unavailable)>> {
        let password = Password::new(body.0.password);
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
        Fail<(BadRequest, Forbidden, Conflict, Unprocessable, Unauthorized, Unavailable)>,
    > {
        let current = Password::new(body.0.current_password);
        let new = Password::new(body.0.new_password);
        auth.change_password(&caller, current, new, &origin.0).await?;
        Ok(Done::Done)
    }
}

async fn make_account(auth: &Auth, body: Registration, origin: Origin) -> Registered {
    let account = NewAccount {
        username: body.username,
        password: Password::new(body.password),
        email: body.email,
        full_name: body.full_name,
    };
    let user = auth.register(account, &origin.0).await?;
    Ok(CreatedUser::User(Json((&user).into())))
}

/// The profile fields of a PATCH: absent leaves, null removes.
pub fn profile_change(
    email: MaybeUndefined<String>,
    full_name: MaybeUndefined<String>,
) -> ProfileChange {
    let field = |value| match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(text) => Some(Some(text)),
    };
    ProfileChange { email: field(email), full_name: field(full_name) }
}
