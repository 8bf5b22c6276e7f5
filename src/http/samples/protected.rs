//! Two resources behind a token: one that echoes it, one for administrators.

use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use crate::auth::Forbidden as Missing;
use crate::auth::model::scope::ADMIN_ROLE;
use crate::http::answer::Answer;
use crate::http::bearer::Caller;
use crate::http::fail::{Fail, Forbidden};
use crate::http::tag::Tag;
use crate::http::view::Message;

/// Resources behind a token.
pub struct ProtectedApi;

/// The token that was sent.
#[derive(Object, Serialize)]
#[oai(rename = "Items", read_only_all)]
struct Items {
    /// The bearer token.
    token: String,
}

/// The token, never to be cached (RFC 6749 §5.1).
#[derive(ApiResponse)]
enum ItemsAnswer {
    /// The token that was sent
    #[oai(status = 200)]
    Items(Answer<Items>, #[oai(header = "Pragma")] String),
}

#[OpenApi(tag = "Tag::Samples")]
impl ProtectedApi {
    /// Get your own token back
    #[oai(path = "/items", method = "get", operation_id = "items")]
    async fn items(&self, caller: Caller) -> ItemsAnswer {
        let items = Items { token: caller.token().to_owned() };
        ItemsAnswer::Items(Answer(items), "no-cache".to_owned())
    }

    /// Get what only administrators get
    #[oai(path = "/admin", method = "get", operation_id = "admin")]
    async fn admin(&self, caller: Caller) -> Result<Answer<Message>, Fail<Forbidden>> {
        if !caller.has_role(ADMIN_ROLE) {
            return Err(Missing::Role.into());
        }
        Ok(Answer(Message::new("Admin data")))
    }
}
