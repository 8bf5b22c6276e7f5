//! Clients of the server: what each of them sends over and over.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::common::data::{Login, Signer};
use super::common::figures::number;
use super::common::http::{Answer, Connection, request, with_bearer};
use super::common::load::{Client, Once};
use super::common::process::Process;
use super::common::served::Served;
use super::subject::{HttpLoad, Load};

/// How long the access tokens of the bench live, which is all of a run.
pub const LIFE: Duration = Duration::from_secs(40 * 60);
/// More tokens than any machine gets through in a second.
const TOKENS_PER_SEC: f64 = 40_000.0;
/// So many that a run's tokens of one session, each of another second, fit into the time one may live.
pub const LOGINS_PER_CLIENT: usize = 16;
const PASSWORD: &str = "correct horse battery staple";
const JSON: &str = "content-type: application/json\r\n";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// Sends the same request again and again.
#[derive(Clone)]
pub struct Repeat(pub Vec<u8>);

impl Client for Repeat {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.0)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        answer.success().map(drop)
    }
}

/// Exchanges each refresh token for the next.
pub struct Refresh(Vec<u8>);

impl Refresh {
    /// Starts with this one.
    pub fn from(token: &str) -> Self {
        Self(with_bearer("POST /refresh", token))
    }
}

impl Client for Refresh {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.0)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        let pair: Value = serde_json::from_slice(answer.success()?)?;
        let token = pair.get("refresh_token").and_then(Value::as_str);
        *self = Self::from(token.context("a pair without a refresh token")?);
        Ok(())
    }
}

/// Asks who it is, with an access token that has not been used before, every time.
pub struct FirstSeen {
    load: HttpLoad<Once>,
    signer: Signer,
    logins: Vec<Login>,
    /// How many tokens each login has had.
    used: u32,
}

impl FirstSeen {
    /// One client for each [`LOGINS_PER_CLIENT`] of `logins`.
    pub fn on(served: &Rc<Served>, signer: Signer, logins: Vec<Login>) -> Self {
        Self { load: HttpLoad::on(served, Vec::new()), signer, logins, used: 0 }
    }
}

impl Load for FirstSeen {
    fn process(&self) -> &Process {
        self.load.process()
    }

    /// Signs tokens that differ in nothing but when they expire, second by second.
    fn prepare(&mut self, span: Duration) -> Result<()> {
        let each = TOKENS_PER_SEC * span.as_secs_f64() / number(self.logins.len());
        let each = u32::try_from(Duration::from_secs_f64(each).as_secs())?;
        let mut clients = Vec::new();
        for logins in self.logins.chunks(LOGINS_PER_CLIENT) {
            let mut requests = Vec::new();
            for number in self.used..self.used + each {
                let life = LIFE.saturating_sub(Duration::from_secs(number.into()));
                for login in logins {
                    let token = self.signer.access(login, life)?;
                    requests.push(with_bearer("GET /users/me", &token));
                }
            }
            clients.push(Once::new(requests));
        }
        self.used += each;
        self.load.replace(clients);
        Ok(())
    }

    fn drive(&mut self, runtime: &Runtime, span: Duration) -> Result<Vec<Duration>> {
        self.load.drive(runtime, span)
    }
}

/// Registers `count` users; returns clients that log them in.
pub async fn logins(served: &Served, count: usize) -> Result<Vec<Repeat>> {
    let mut connection = Connection::open(served.address).await?;
    let mut clients = Vec::new();
    for number in 0..count {
        let name = format!("user-{number}");
        let body = json!({ "username": name, "password": PASSWORD }).to_string();
        connection.exchange(&request("POST /auth", JSON, &body)).await?.success()?;
        clients.push(Repeat(login(&name)));
    }
    Ok(clients)
}

/// Logs `name` in, whether there is such a user or not.
pub fn login(name: &str) -> Vec<u8> {
    let form = format!("username={name}&password={}", PASSWORD.replace(' ', "+"));
    request("POST /token", FORM, &form)
}
