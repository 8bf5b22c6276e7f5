//! What leaves the server as JSON: explicit views, so that no field of a record slips out.

use poem_openapi::Object;
use serde::Serialize;

use crate::auth::model::post::Post;
use crate::auth::model::session::Session;
use crate::auth::model::user::User;
use crate::auth::pair::TokenPair;

/// A user.
#[derive(Object, Serialize)]
#[oai(rename = "User", read_only_all)]
pub struct UserView {
    /// A ULID; never changes.
    pub id: String,
    /// The canonical login name.
    pub username: String,
    /// The e-mail address, if there is one.
    pub email: Option<String>,
    /// The full name, if there is one.
    pub full_name: Option<String>,
    /// Whether the user is kept out.
    pub disabled: bool,
    /// The roles, in order.
    pub roles: Vec<String>,
    /// RFC 3339.
    pub created_at: String,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.to_string(),
            email: user.email.as_ref().map(|email| email.as_str().to_owned()),
            full_name: user.full_name.clone(),
            disabled: user.disabled,
            roles: user.roles.iter().cloned().collect(),
            created_at: user.created_at.to_rfc3339(),
        }
    }
}

/// A page of users, by name.
#[derive(Object, Serialize)]
#[oai(rename = "UserPage", read_only_all)]
pub struct UserPage {
    /// The users.
    pub items: Vec<UserView>,
    /// Pass it as `after` to go on; null on the last page.
    pub next: Option<String>,
}

/// A login that lives.
#[derive(Object, Serialize)]
#[oai(rename = "Session", read_only_all)]
pub struct SessionView {
    /// A ULID; the `sid` of its tokens.
    pub id: String,
    /// When it was opened, RFC 3339.
    pub created_at: String,
    /// When it was last used, to the minute, RFC 3339.
    pub last_used_at: String,
    /// When it ends if it is not used, RFC 3339.
    pub expires_at: String,
    /// Where the login came from.
    pub ip: Option<String>,
    /// What the login came from.
    pub user_agent: Option<String>,
    /// What it was granted.
    pub scope: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionView {
    /// The view of `session`; `current` if it is the one that asks.
    #[must_use]
    pub fn of(session: &Session, current: bool) -> Self {
        Self {
            id: session.id.to_string(),
            created_at: session.created_at.to_rfc3339(),
            last_used_at: session.last_used_at.to_rfc3339(),
            expires_at: session.expires_at().to_rfc3339(),
            ip: session.ip.clone(),
            user_agent: session.user_agent.clone(),
            scope: session.scope.to_string(),
            current,
        }
    }
}

/// A post of the sample blog.
#[derive(Object, Serialize)]
#[oai(rename = "Post", read_only_all)]
pub struct PostView {
    /// A ULID.
    pub id: String,
    /// One line.
    pub title: String,
    /// The text.
    pub content: String,
    /// The author's username.
    pub author: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

impl PostView {
    /// The view of `post`, written by `author`.
    #[must_use]
    pub fn of(post: &Post, author: &User) -> Self {
        Self {
            id: post.id.to_string(),
            title: post.title.clone(),
            content: post.content.clone(),
            author: author.username.to_string(),
            created_at: post.created_at.to_rfc3339(),
            updated_at: post.updated_at.to_rfc3339(),
        }
    }
}

/// A page of posts, newest first.
#[derive(Object, Serialize)]
#[oai(rename = "PostPage", read_only_all)]
pub struct PostPage {
    /// The posts.
    pub items: Vec<PostView>,
    /// Pass it as `after` to go on; null on the last page.
    pub next: Option<String>,
}

/// A successful token answer (RFC 6749, 5.1).
#[derive(Object, Serialize)]
#[oai(rename = "TokenPair", read_only_all)]
pub struct TokenPairView {
    /// Opens the API, for `expires_in` seconds.
    pub access_token: String,
    /// Exchanged once for the next pair.
    pub refresh_token: String,
    /// Always `bearer`.
    pub token_type: String,
    /// The life left to the access token, in seconds.
    pub expires_in: u64,
    /// What the access token was granted.
    pub scope: String,
}

impl From<TokenPair> for TokenPairView {
    fn from(pair: TokenPair) -> Self {
        Self {
            access_token: pair.access_token,
            refresh_token: pair.refresh_token,
            token_type: "bearer".to_owned(),
            expires_in: pair.expires_in,
            scope: pair.scope.to_string(),
        }
    }
}

/// A short message.
#[derive(Object, Serialize)]
#[oai(rename = "Message", read_only_all)]
pub struct Message {
    /// The message.
    pub msg: String,
}

impl Message {
    /// The message `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { msg: text.to_owned() }
    }
}
