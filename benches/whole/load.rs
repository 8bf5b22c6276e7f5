//! The load generator: clients that each send a request as soon as the last one is answered.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::http::Connection;
use super::process::Process;

/// Something that can be kept busy while its CPU time is read.
pub trait Load {
    /// Where the work is done.
    fn process(&self) -> &Process;

    /// Keeps it busy for `span`; returns how long each operation took.
    fn drive(&mut self, runtime: &Runtime, span: Duration) -> Result<Vec<Duration>>;
}

/// A process that serves HTTP.
pub struct Served {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Makes the next request out of the body of an answer.
pub type Follow = fn(&[u8]) -> Result<Vec<u8>>;

/// One client of a server.
#[derive(Clone)]
pub struct Client {
    /// What it sends next.
    pub request: Vec<u8>,
    /// What it sends after the answer with this body; the same again if there is nothing to follow.
    pub follow: Option<Follow>,
}

/// The load of several clients on one server.
pub struct HttpLoad {
    served: Rc<Served>,
    clients: Vec<Client>,
}

impl HttpLoad {
    /// That of `clients` on `served`.
    pub fn on(served: &Rc<Served>, clients: Vec<Client>) -> Self {
        Self { served: Rc::clone(served), clients }
    }
}

impl Load for HttpLoad {
    fn process(&self) -> &Process {
        &self.served.process
    }

    fn drive(&mut self, runtime: &Runtime, span: Duration) -> Result<Vec<Duration>> {
        let address = self.served.address;
        runtime.block_on(async {
            let until = Instant::now() + span;
            let mut tasks = JoinSet::new();
            for client in self.clients.drain(..) {
                tasks.spawn(client.run(address, until));
            }
            let mut all = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                let (client, times) = ended??;
                self.clients.push(client);
                all.extend(times);
            }
            Ok(all)
        })
    }
}

impl Client {
    async fn run(mut self, address: SocketAddr, until: Instant) -> Result<(Self, Vec<Duration>)> {
        let mut connection = Connection::open(address).await?;
        let mut times = Vec::new();
        let mut sent = Instant::now();
        while sent < until {
            let body = connection.exchange(&self.request).await?;
            if let Some(follow) = self.follow {
                self.request = follow(body)?;
            }
            let answered = Instant::now();
            times.push(answered - sent);
            sent = answered;
        }
        Ok((self, times))
    }
}
