//! Users, for administrators.

use std::collections::BTreeSet;
use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::types::{Example, MaybeUndefined};
use poem_openapi::{Object, OpenApi};

use super::account::{CreatedUser, Done, profile_change};
use super::answer::Answer;
use super::bearer::{Caller, Scope};
use super::body::json::CredentialsBody;
use super::body::text::{Secret, Text};
use super::examples;
use super::fail::{Conflict, Fail, Forbidden, NotFound, Unavailable, Unprocessable};
use super::origin::Origin;
use super::page::page_limit;
use super::problem::{Code, Problem};
use super::query::Query;
use super::tag::Tag;
use super::view::{SessionView, UserPage, UserView};
use crate::auth::Auth;
use crate::auth::model::id::UserId;
use crate::auth::policy::Acting;
use crate::auth::register::NewAccount;
use crate::auth::users::{NewUser, UserEdit, UserQuery};
use crate::password::Password;

/// Users, for administrators.
pub struct AdminApi;

/// A user to make.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct UserCreation {
    /// 1 to 64 of `a-z 0-9 . _ - @ +`, starting with a letter or digit; upper case is lowered.
    username: Text,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    password: Secret,
    /// Data only: not unique, no login name.
    email: Option<Text>,
    /// Data only.
    full_name: Option<Text>,
    /// Configured roles that are yours to give; the default ones when absent.
    roles: Option<Vec<Text>>,
    /// Whether the user starts disabled.
    disabled: Option<bool>,
}

impl Example for UserCreation {
    fn example() -> Self {
        Self {
            username: Text(examples::OTHER_USERNAME.to_owned()),
            password: Secret(examples::OTHER_PASSWORD.to_owned()),
            email: None,
            full_name: None,
            roles: Some(vec![Text("user".to_owned())]),
            disabled: Some(false),
        }
    }
}

/// What to change; null removes an e-mail address or a full name.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct UserPatch {
    /// The e-mail address.
    email: MaybeUndefined<Text>,
    /// The full name.
    full_name: MaybeUndefined<Text>,
    /// Disabling ends every session.
    disabled: Option<bool>,
    /// The whole set of roles.
    roles: Option<Vec<Text>>,
    /// A new password ends every session.
    password: Option<Secret>,
}

impl Example for UserPatch {
    fn example() -> Self {
        Self {
            email: MaybeUndefined::Undefined,
            full_name: MaybeUndefined::Value(Text(examples::FULL_NAME.to_owned())),
            disabled: None,
            roles: None,
            password: None,
        }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl AdminApi {
    /// List users
    #[oai(path = "/users", method = "get", operation_id = "list_users")]
    async fn list(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersRead")] caller: Caller,
        /// How many at most, 1 to 100
        limit: Query<Option<u32>>,
        /// The cursor of the page before
        after: Query<Option<String>>,
        /// Only usernames that start with this
        q: Query<Option<String>>,
    ) -> Result<Answer<UserPage>, Fail<(Forbidden, Unprocessable, Unavailable)>> {
        let query = UserQuery { prefix: q.0, after: after.0, limit: page_limit(limit.0)? };
        let page = auth.list_users(Acting::User(&caller), query).await?;
        let items = page.items.iter().map(UserView::from).collect();
        Ok(Answer(UserPage { items, next: page.next }))
    }

    /// Make a user
    #[oai(path = "/users", method = "post", operation_id = "add_user")]
    async fn add(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersWrite")] caller: Caller,
        body: CredentialsBody<UserCreation>,
        origin: Origin,
    ) -> Result<CreatedUser, Fail<(Forbidden, Conflict, Unprocessable, Unavailable)>> {
        let body = body.0;
        let new_user = NewUser {
            account: NewAccount {
                username: body.username.0,
                password: Password::new(body.password.0),
                email: body.email.map(Text::into_text),
                full_name: body.full_name.map(Text::into_text),
            },
            roles: body.roles.map(role_set),
            disabled: body.disabled.unwrap_or_default(),
        };
        let user = auth.add_user(Acting::User(&caller), new_user, &origin.0).await?;
        Ok(CreatedUser::User(Answer((&user).into())))
    }

    /// See a user
    #[oai(path = "/users/:id", method = "get", operation_id = "find_user")]
    async fn find(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersRead")] caller: Caller,
        /// The user's id
        id: Path<String>,
    ) -> Result<Answer<UserView>, Fail<(Forbidden, NotFound, Unavailable)>> {
        let user = auth.find_user(Acting::User(&caller), user_id(&id)?).await?;
        Ok(Answer((&user).into()))
    }

    /// Change a user
    #[oai(path = "/users/:id", method = "patch", operation_id = "edit_user")]
    async fn edit(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersWrite")] caller: Caller,
        /// The user's id
        id: Path<String>,
        body: CredentialsBody<UserPatch>,
        origin: Origin,
    ) -> Result<Answer<UserView>, Fail<(Forbidden, NotFound, Conflict, Unprocessable, Unavailable)>>
    {
        let body = body.0;
        let edit = UserEdit {
            profile: profile_change(body.email, body.full_name),
            disabled: body.disabled,
            roles: body.roles.map(role_set),
            password: body.password.map(|password| Password::new(password.0)),
        };
        let id = user_id(&id)?;
        let user = auth.edit_user(Acting::User(&caller), id, edit, &origin.0).await?;
        Ok(Answer((&user).into()))
    }

    /// Delete a user
    #[oai(path = "/users/:id", method = "delete", operation_id = "remove_user")]
    async fn remove(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersWrite")] caller: Caller,
        /// The user's id
        id: Path<String>,
        origin: Origin,
    ) -> Result<Done, Fail<(Forbidden, NotFound, Conflict, Unavailable)>> {
        auth.remove_user(Acting::User(&caller), user_id(&id)?, &origin.0).await?;
        Ok(Done::Done)
    }

    /// List a user's sessions
    #[oai(path = "/users/:id/sessions", method = "get", operation_id = "user_sessions")]
    async fn sessions(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersRead")] caller: Caller,
        /// The user's id
        id: Path<String>,
    ) -> Result<Answer<Vec<SessionView>>, Fail<(Forbidden, NotFound, Unavailable)>> {
        let sessions = auth.user_sessions(Acting::User(&caller), user_id(&id)?).await?;
        let own = caller.session().id;
        let views = sessions.iter().map(|session| SessionView::of(session, session.id == own));
        Ok(Answer(views.collect()))
    }

    /// End all sessions of a user
    #[oai(path = "/users/:id/sessions", method = "delete", operation_id = "end_user_sessions")]
    async fn end_sessions(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::UsersWrite")] caller: Caller,
        /// The user's id
        id: Path<String>,
        origin: Origin,
    ) -> Result<Done, Fail<(Forbidden, NotFound, Conflict, Unavailable)>> {
        auth.end_user_sessions(Acting::User(&caller), user_id(&id)?, &origin.0).await?;
        Ok(Done::Done)
    }
}

fn role_set(roles: Vec<Text>) -> BTreeSet<String> {
    roles.into_iter().map(Text::into_text).collect()
}

/// The id in the path; a text that is no id names nobody.
fn user_id(id: &Path<String>) -> Result<UserId, Problem> {
    id.0.parse().map_err(|_| Code::NotFound.into())
}
