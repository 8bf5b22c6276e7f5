//! What a client does: each deed as the request that asks for it, and the status that answers it.

use serde_json::{Value, json};
use ureq::http::Method;

use super::state::{Account, Session, State};
use crate::support::client::{Answer, Client, Pair, encoded};

/// One thing to do to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Make the client's own administrator; the operator does this, on the command line.
    Found { name: String },
    /// Register a user.
    Register { name: String },
    /// Log in with the present password, which is refused while the user is disabled.
    Login { name: String },
    /// Exchange the current refresh token.
    Refresh { name: String, session: String },
    /// Present the refresh token that was just replaced, which gets the current pair again.
    Replay { name: String, session: String },
    /// Present a refresh token that was used up long ago, which is refused and ends the session.
    Reuse { name: String, session: String },
    /// Log out.
    Logout { name: String, session: String },
    /// Revoke the current refresh token.
    Revoke { name: String, session: String },
    /// Change one's own password; every other session ends.
    ChangePassword { name: String, session: String },
    /// Set the roles.
    SetRoles { name: String, roles: &'static [&'static str] },
    /// Disable, which ends every session, or enable.
    SetDisabled { name: String, disabled: bool },
    /// End all sessions but the one to keep, or all of them.
    EndSessions { name: String, keep: Option<String> },
    /// Delete the user.
    Delete { name: String },
    /// Write a post.
    Publish { name: String, session: String, bytes: usize },
    /// Delete a post.
    Unpublish { name: String, session: String, post: String },
}

/// What is sent as a body.
enum Body {
    None,
    Form(Vec<(&'static str, String)>),
    Json(Value),
}

/// A request, and the status of its one right answer.
struct Wanted {
    method: Method,
    path: String,
    bearer: Option<String>,
    body: Body,
    status: u16,
}

/// The `number`th password of every user.
pub fn password(number: usize) -> String {
    format!("correct horse battery {number}")
}

impl Deed {
    /// Asks for it, with `admin` as the token of an administrator. `key` marks the request on its way.
    ///
    /// The answer, and the one status that it may have; no answer if the server went away.
    pub fn ask(
        &self,
        client: &Client,
        (state, admin): (&State, Option<&str>),
        key: u64,
    ) -> (Option<Answer>, u16) {
        let wanted = self.wanted(state, admin);
        let mut call = client.call(wanted.method, &wanted.path).header(KEY, &key.to_string());
        if let Some(token) = &wanted.bearer {
            call = call.bearer(token);
        }
        let answered = match wanted.body {
            Body::None => call.try_send(),
            Body::Form(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, text)| (*name, &**text)).collect();
                call.try_body("application/x-www-form-urlencoded", &encoded(&fields))
            }
            Body::Json(value) => call.try_body("application/json", &value.to_string()),
        };
        (answered.ok(), wanted.status)
    }

    /// The name of the user it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Found { name }
            | Self::Register { name }
            | Self::Login { name }
            | Self::Refresh { name, .. }
            | Self::Replay { name, .. }
            | Self::Reuse { name, .. }
            | Self::Logout { name, .. }
            | Self::Revoke { name, .. }
            | Self::ChangePassword { name, .. }
            | Self::SetRoles { name, .. }
            | Self::SetDisabled { name, .. }
            | Self::EndSessions { name, .. }
            | Self::Delete { name }
            | Self::Publish { name, .. }
            | Self::Unpublish { name, .. } => name,
        }
    }

    fn wanted(&self, state: &State, admin: Option<&str>) -> Wanted {
        let account = || &state.accounts[self.name()];
        let session = |id: &String| &account().sessions[id];
        let holder = |id| Some(current(session(id)).access.clone());
        let user = || format!("/users/{}", account().id.as_deref().unwrap());
        let admin = || Some(admin.unwrap().to_owned());
        let edit = |change| wanted(Method::PATCH, &user(), admin(), Body::Json(change), 200);
        let post = |path, bearer, body, status| wanted(Method::POST, path, bearer, body, status);
        match self {
            Self::Found { .. } => unreachable!("the operator does this"),
            Self::Register { name } => {
                let account = json!({ "username": name, "password": password(0) });
                post("/auth/", None, Body::Json(account), 201)
            }
            Self::Login { name } => {
                let status = if account().disabled { 400 } else { 200 };
                post("/token", None, credentials(name, account()), status)
            }
            Self::Refresh { session: id, .. } => {
                post("/refresh", Some(current(session(id)).refresh.clone()), Body::None, 200)
            }
            Self::Replay { session: id, .. } => {
                let replaced = session(id).replaced().unwrap().refresh.clone();
                post("/refresh", Some(replaced), Body::None, 200)
            }
            Self::Reuse { session: id, .. } => {
                let spent = session(id).spent().unwrap().refresh.clone();
                post("/refresh", Some(spent), Body::None, 401)
            }
            Self::Logout { session, .. } => post("/logout", holder(session), Body::None, 200),
            Self::Revoke { session: id, .. } => {
                let form = vec![("token", current(session(id)).refresh.clone())];
                post("/revoke", None, Body::Form(form), 200)
            }
            Self::ChangePassword { session, .. } => {
                let (old, new) = (account().password, account().password + 1);
                let change =
                    json!({ "current_password": password(old), "new_password": password(new) });
                post("/users/me/password", holder(session), Body::Json(change), 204)
            }
            Self::SetRoles { roles, .. } => edit(json!({ "roles": roles })),
            Self::SetDisabled { disabled, .. } => edit(json!({ "disabled": disabled })),
            Self::EndSessions { keep: Some(id), .. } => {
                wanted(Method::DELETE, "/users/me/sessions", holder(id), Body::None, 204)
            }
            Self::EndSessions { keep: None, .. } => {
                let path = format!("{}/sessions", user());
                wanted(Method::DELETE, &path, admin(), Body::None, 204)
            }
            Self::Delete { .. } => wanted(Method::DELETE, &user(), admin(), Body::None, 204),
            Self::Unpublish { session, post, .. } => {
                let path = format!("/posts/{post}");
                wanted(Method::DELETE, &path, holder(session), Body::None, 204)
            }
            Self::Publish { name, session, bytes } => {
                let draft = json!({ "title": name, "content": "x".repeat(*bytes) });
                post("/posts", holder(session), Body::Json(draft), 201)
            }
        }
    }
}

/// The header that marks a deed's request.
pub const KEY: &str = "x-ledger";

fn current(session: &Session) -> &Pair {
    session.current().unwrap()
}

fn credentials(name: &str, account: &Account) -> Body {
    Body::Form(vec![("username", name.to_owned()), ("password", password(account.password))])
}

fn wanted(method: Method, path: &str, bearer: Option<String>, body: Body, status: u16) -> Wanted {
    Wanted { method, path: path.to_owned(), bearer, body, status }
}
