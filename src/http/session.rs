//! Logout, and one's own sessions.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::account::Done;
use super::answer::Answer;
use super::bearer::{Caller, Scope};
use super::fail::{Fail, Forbidden, NotFound, Unauthorized, Unavailable};
use super::origin::Origin;
use super::problem::Code;
use super::query::Query;
use super::tag::Tag;
use super::view::SessionView;
use crate::auth::Auth;
use crate::auth::sessions::Ending;

/// Logout, and one's own sessions.
pub struct SessionApi;

/// An empty object.
#[derive(Object, Serialize)]
#[oai(rename = "Empty", read_only_all)]
struct Empty {}

#[OpenApi(tag = "Tag::Sessions")]
impl SessionApi {
    /// Log out
    ///
    /// The whole session ends at once, both its tokens with it.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(
        &self,
        auth: Data<&Arc<Auth>>,
        caller: Caller,
        origin: Origin,
    ) -> Result<Answer<Empty>, Fail<Unavailable>> {
        auth.logout(&caller, &origin.0).await?;
        Ok(Answer(Empty {}))
    }

    /// List your own sessions
    #[oai(path = "/users/me/sessions", method = "get", operation_id = "own_sessions")]
    async fn list(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
    ) -> Result<Answer<Vec<SessionView>>, Fail<(Forbidden, Unavailable)>> {
        let sessions = auth.own_sessions(&caller).await?;
        let own = caller.session().id;
        let views = sessions.iter().map(|session| SessionView::of(session, session.id == own));
        Ok(Answer(views.collect()))
    }

    /// End your other sessions
    #[oai(path = "/users/me/sessions", method = "delete", operation_id = "end_own_sessions")]
    async fn end_all(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
        /// Whether this session ends too
        #[oai(default)]
        current: Query<bool>,
        origin: Origin,
    ) -> Result<Done, Fail<(Unauthorized, Forbidden, Unavailable)>> {
        let ending = if current.0 { Ending::All } else { Ending::Others };
        auth.end_own_sessions(&caller, ending, &origin.0).await?;
        Ok(Done::Done)
    }

    /// End one of your own sessions
    #[oai(path = "/users/me/sessions/:id", method = "delete", operation_id = "end_own_session")]
    async fn end_one(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::Me")] caller: Caller,
        /// The session's id
        id: Path<String>,
        origin: Origin,
    ) -> Result<Done, Fail<(Forbidden, NotFound, Unavailable)>> {
        let session = id.0.parse().map_err(|_| Code::NotFound)?;
        auth.end_own_session(&caller, session, &origin.0).await?;
        Ok(Done::Done)
    }
}
