//! What a client wants, as a request.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::clients::PASSWORD;
use crate::record::{Call, Token};
use crate::slot::{Held, Wish};
use crate::support::client::{self, Client, Pair, encoded};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A request that can be sent once.
pub struct Request {
    method: Method,
    path: String,
    bearer: Option<String>,
    body: Option<(&'static str, String)>,
}

impl Request {
    /// The request for what is wished for `username`.
    pub fn new(wish: &Wish, username: &str, admin: &str) -> Self {
        let account = || json!({ "username": username, "password": PASSWORD }).to_string();
        match wish {
            Wish::Register => Self::post("/auth/").with(JSON, account()),
            Wish::Login => Self::post("/token")
                .with(FORM, encoded(&[("username", username), ("password", PASSWORD)])),
            Wish::Use(call, held, pair) => Self::using(*call, &held.pairs[*pair].1),
            Wish::End(held, other) => {
                let path = format!("/users/me/sessions/{}", other.sid);
                Self::of(Method::DELETE, path).by(&newest(held).access)
            }
            Wish::List(held, _) => {
                Self::of(Method::GET, "/users/me/sessions".to_owned()).by(&newest(held).access)
            }
            Wish::Administer(call, user, id) => {
                let path = format!("/users/{id}");
                let set = |disabled: bool| json!({ "disabled": disabled }).to_string();
                let request = match call(*user) {
                    Call::Disable(_) => Self::of(Method::PATCH, path).with(JSON, set(true)),
                    Call::Enable(_) => Self::of(Method::PATCH, path).with(JSON, set(false)),
                    _ => Self::of(Method::DELETE, path),
                };
                request.by(admin)
            }
        }
    }

    fn using(call: fn(Token) -> Call, pair: &Pair) -> Self {
        let revoke = |token| Self::post("/revoke").with(FORM, encoded(&[("token", token)]));
        match call(Token { session: 0, pair: 0 }) {
            Call::Refresh(_) => Self::post("/refresh").by(&pair.refresh),
            Call::Logout(_) => Self::post("/logout").by(&pair.access),
            Call::RevokeAccess(_) => revoke(&pair.access),
            Call::RevokeRefresh(_) => revoke(&pair.refresh),
            _ => Self::of(Method::GET, "/users/me".to_owned()).by(&pair.access),
        }
    }

    fn of(method: Method, path: String) -> Self {
        Self { method, path, bearer: None, body: None }
    }

    fn post(path: &str) -> Self {
        Self::of(Method::POST, path.to_owned())
    }

    fn by(self, token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..self }
    }

    fn with(self, content_type: &'static str, body: String) -> Self {
        Self { body: Some((content_type, body)), ..self }
    }

    /// Sends it; an error is a server that is gone.
    pub fn send(&self, client: &Client) -> Result<client::Answer, ureq::Error> {
        let mut call = client.call(self.method.clone(), &self.path);
        if let Some(token) = &self.bearer {
            call = call.bearer(token);
        }
        match &self.body {
            Some((content_type, body)) => call.try_body(content_type, body),
            None => call.try_send(),
        }
    }
}

/// The JSON of an answer; null when there is none.
pub fn body(answer: &client::Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap_or_default()
}

fn newest(held: &Held) -> &Pair {
    &held.pairs[held.pairs.len() - 1].1
}
