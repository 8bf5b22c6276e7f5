//! The load generator: clients that each send a request as soon as the last one is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::http::{Answer, Connection};

/// One client of a server.
pub trait Client: Send + 'static {
    /// What it sends next; nothing when it is through.
    fn next(&mut self) -> Option<&[u8]>;

    /// Takes in the answer to that.
    fn answered(&mut self, answer: &Answer<'_>) -> Result<()>;
}

/// Sends each of its requests once.
pub struct Once {
    waiting: Vec<Vec<u8>>,
    sent: Vec<u8>,
}

impl Once {
    /// Sends `requests`, the last one first.
    pub const fn new(requests: Vec<Vec<u8>>) -> Self {
        Self { waiting: requests, sent: Vec::new() }
    }
}

impl Client for Once {
    fn next(&mut self) -> Option<&[u8]> {
        self.sent = self.waiting.pop()?;
        Some(&self.sent)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        answer.success().map(drop)
    }
}

/// Has every client send for `span`, unless it is through before, on a connection of its own; returns how
/// long each answer took.
pub async fn drive<C: Client>(
    address: SocketAddr,
    clients: &mut Vec<C>,
    span: Duration,
) -> Result<Vec<Duration>> {
    let until = Instant::now() + span;
    let mut tasks = JoinSet::new();
    for client in clients.drain(..) {
        tasks.spawn(run(client, address, until));
    }
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (client, times) = ended??;
        clients.push(client);
        all.extend(times);
    }
    Ok(all)
}

async fn run<C: Client>(
    mut client: C,
    address: SocketAddr,
    until: Instant,
) -> Result<(C, Vec<Duration>)> {
    let mut connection = Connection::open(address).await?;
    let mut times = Vec::new();
    while let Some(request) = client.next() {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        let answer = connection.exchange(request).await?;
        times.push(sent.elapsed());
        client.answered(&answer)?;
    }
    Ok((client, times))
}
