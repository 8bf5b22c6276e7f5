//! Traffic of a steady rate: bearer checks of random sessions, and refreshes of others.
//!
//! A request that could not be sent when it was due, since the one before it was not answered, counts from
//! when it was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use keystile::random::{Random, SeededRandom};
use tokio::task::JoinSet;

use super::common::data::{Login, Signer};
use super::common::figures::Times;
use super::common::http::{Connection, with_bearer};
use super::common::served::Served;

/// How long the access tokens of the bench live.
pub const LIFE: Duration = Duration::from_secs(15 * 60);
/// Bearer checks a second.
pub const CHECKS_PER_SEC: u32 = 1000;
/// Refreshes a second, where there are sessions enough.
pub const REFRESHES_PER_SEC: u32 = 100;
/// For how many seconds of refreshes the sessions have to last, each being exchanged once: longer than the sweep of a
/// million takes.
const SECONDS_MAX: usize = 600;
/// Connections of each kind.
const CONNECTIONS: u32 = 32;

/// The sessions that requests are made of: the first half is checked, the second half exchanged, each once.
pub struct Supply {
    signer: Signer,
    logins: Vec<Login>,
    random: SeededRandom,
    exchanged: AtomicUsize,
}

/// One answer.
#[derive(Clone, Copy)]
pub struct Sample {
    /// When it was asked for, since the traffic began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

/// What came of the traffic.
#[derive(Default)]
pub struct Samples {
    /// Bearer checks.
    pub checks: Vec<Sample>,
    /// Refreshes.
    pub refreshes: Vec<Sample>,
}

/// What a connection asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Check,
    Refresh,
}

impl Supply {
    /// That of `logins`.
    pub const fn new(signer: Signer, logins: Vec<Login>) -> Self {
        let (random, exchanged) = (SeededRandom::new(2), AtomicUsize::new(0));
        Self { signer, logins, random, exchanged }
    }

    /// Every session's check, dealt out to `clients`.
    pub fn all_checks(&self, clients: usize) -> Result<Vec<Vec<Vec<u8>>>> {
        let mut dealt: Vec<_> = (0..clients).map(|_| Vec::new()).collect();
        for (index, login) in self.logins.iter().enumerate() {
            let token = self.signer.access(login, LIFE)?;
            let client = dealt.get_mut(index % clients).context("no clients")?;
            client.push(with_bearer("GET /users/me", &token));
        }
        Ok(dealt)
    }

    fn refreshes_per_sec(&self) -> Result<u32> {
        let lasting = u32::try_from(self.logins.len() / 2 / SECONDS_MAX)?;
        Ok(lasting.clamp(1, REFRESHES_PER_SEC))
    }

    fn request(&self, kind: Kind) -> Result<Vec<u8>> {
        let half = self.logins.len() / 2;
        match kind {
            Kind::Check => {
                let mut word = [0; 4];
                self.random.fill(&mut word)?;
                let login = self.logins.get(usize::try_from(u32::from_le_bytes(word))? % half);
                let token = self.signer.access(login.context("no session")?, LIFE)?;
                Ok(with_bearer("GET /users/me", &token))
            }
            Kind::Refresh => {
                let login = self.logins.get(half + self.exchanged.fetch_add(1, Ordering::Relaxed));
                let token = self.signer.refresh(login.context("every session is exchanged")?)?;
                Ok(with_bearer("POST /refresh", &token))
            }
        }
    }
}

/// Sends until `ended` is set.
pub async fn run(
    served: &Served,
    supply: &Arc<Supply>,
    ended: &Arc<AtomicBool>,
) -> Result<Samples> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    let refreshes = supply.refreshes_per_sec()?;
    for (kind, rate) in [(Kind::Check, CHECKS_PER_SEC), (Kind::Refresh, refreshes)] {
        for number in 0..CONNECTIONS {
            let connection = Connection::open(served.address).await?;
            let first = begun + Duration::from_secs(1) * number / rate;
            let step = Duration::from_secs(1) * CONNECTIONS / rate;
            let sent = send(kind, connection, Arc::clone(supply), (first, step), Arc::clone(ended));
            tasks.spawn(async move { sent.await.map(|times| (kind, times)) });
        }
    }
    let mut samples = Samples::default();
    while let Some(done) = tasks.join_next().await {
        let (kind, times) = done??;
        let of_kind = match kind {
            Kind::Check => &mut samples.checks,
            Kind::Refresh => &mut samples.refreshes,
        };
        of_kind.extend(times.into_iter().map(|(at, took)| Sample { at: at - begun, took }));
    }
    Ok(samples)
}

/// What of `samples` was asked for between `from` and `to`.
pub fn between(samples: &[Sample], from: Duration, to: Duration) -> Times {
    let within = samples.iter().filter(|sample| (from..to).contains(&sample.at));
    Times::new(within.map(|sample| sample.took).collect())
}

async fn send(
    kind: Kind,
    mut connection: Connection,
    supply: Arc<Supply>,
    (first, step): (Instant, Duration),
    ended: Arc<AtomicBool>,
) -> Result<Vec<(Instant, Duration)>> {
    let mut times = Vec::new();
    let mut due = first;
    while !ended.load(Ordering::Relaxed) {
        let request = supply.request(kind)?;
        let asked = if Instant::now() < due {
            tokio::time::sleep_until(due.into()).await;
            Instant::now()
        } else {
            due
        };
        connection.exchange(&request).await?.success()?;
        times.push((asked, asked.elapsed()));
        due += step;
    }
    Ok(times)
}
