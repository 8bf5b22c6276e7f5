//! A plain HTTP client: any status is an answer, and nothing is followed or kept unless the test does so.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request, header, request};

/// Calls one server.
pub struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            // A server may close a connection whose request it refused before the body was there.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(60)));
        Self { agent: config.build().into(), base: format!("http://{address}") }
    }

    /// A call to be completed.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        Call { agent: &self.agent, request }
    }

    /// A GET to be completed.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// A POST to be completed.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// What the server makes of the connection of a call of this administrator with these headers.
    #[track_caller]
    pub fn connection(&self, access: &str, headers: &[(&str, &str)]) -> Value {
        let call = self.get("/connection").bearer(access);
        headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().expect(200)
    }

    /// Registers a user.
    #[track_caller]
    pub fn register(&self, username: &str, password: &str) -> Value {
        let account = serde_json::json!({ "username": username, "password": password });
        self.post("/auth/").json(&account).expect(201)
    }

    /// Logs a user in.
    #[track_caller]
    pub fn login(&self, username: &str, password: &str) -> Pair {
        let form = [("username", username), ("password", password)];
        Pair::of(&self.post("/token").form(&form).expect(200))
    }

    /// The status of `GET /users/me` with this access token.
    pub fn status_with(&self, access: &str) -> u16 {
        self.get("/users/me").bearer(access).send().status
    }
}

/// Both tokens of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// For requests.
    pub access: String,
    /// For the next pair.
    pub refresh: String,
}

impl Pair {
    /// The tokens of a `TokenPair`.
    #[track_caller]
    pub fn of(answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// A request in the making.
pub struct Call<'a> {
    agent: &'a Agent,
    request: request::Builder,
}

impl Call<'_> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Adds a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends it without a body.
    pub fn send(self) -> Answer {
        self.try_send().unwrap()
    }

    /// Sends it without a body to a server that may be gone.
    pub fn try_send(self) -> Result<Answer, ureq::Error> {
        let is_get = self.request.method_ref() == Some(&Method::GET);
        let answered = if is_get {
            self.agent.run(self.request.body(()).unwrap())
        } else {
            // Says that its length is zero, where the library would begin a chunked body.
            self.agent.run(self.request.body("").unwrap())
        };
        Answer::of(answered)
    }

    /// Sends it with a URL-encoded form.
    pub fn form(self, fields: &[(&str, &str)]) -> Answer {
        self.body("application/x-www-form-urlencoded", &encoded(fields))
    }

    /// Sends it with JSON.
    pub fn json(self, value: &Value) -> Answer {
        self.body("application/json", &value.to_string())
    }

    /// Sends it with a body.
    pub fn body(self, content_type: &str, body: &str) -> Answer {
        self.try_body(content_type, body).unwrap()
    }

    /// Sends it with a body to a server that may be gone.
    pub fn try_body(self, content_type: &str, body: &str) -> Result<Answer, ureq::Error> {
        let call = self.header("content-type", content_type);
        Answer::of(call.agent.run(call.request.body(body.to_owned()).unwrap()))
    }
}

/// Any answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    fn of(
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Self, ureq::Error> {
        let (parts, mut body) = answered?.into_parts();
        let text = body.read_to_string()?;
        Ok(Self { status: parts.status.as_u16(), headers: parts.headers, text })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON of an answer that must have this status; null when there is none.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        let is_json =
            self.header(header::CONTENT_TYPE.as_str()).is_some_and(|t| t.contains("json"));
        if is_json { serde_json::from_str(&self.text).unwrap() } else { Value::Null }
    }
}

/// A form as `application/x-www-form-urlencoded`.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let escape =
        |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}
