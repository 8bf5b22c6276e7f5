//! Reaching the data, whether a server runs on it or not: through its socket, or by taking its lock.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::runtime::{self, Runtime};

use super::{Common, load_config, output};
use crate::admin::client::Client;
use crate::admin::protocol::{DumpEnd, Reply, Request};
use crate::admin::{Answer, next_reply, perform};
use crate::app::domain::{self, ClockRule, Domain, Missing};
use crate::auth::policy::Operator;
use crate::config::Config;

/// How long a server that is starting or stopping is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// A way to have commands carried out.
pub enum Reach {
    /// By the server that runs on the data directory.
    Running(Client),
    /// By this process, which holds the data directory's lock.
    Stopped {
        /// The opened domain.
        domain: Domain,
        /// What it runs on.
        runtime: Runtime,
    },
}

impl Reach {
    /// Connects to the running server or opens the data, trying both while a server starts or stops.
    ///
    /// # Errors
    /// When neither is to be had: another user's data, damaged data, a lock held by a silent process.
    pub fn open(common: &Common, missing: Missing) -> anyhow::Result<Self> {
        let config = load_config(common, &[])?;
        let data = &config.storage.path;
        patiently(|| match connect(data)? {
            Some(client) => Ok(Self::Running(client)),
            None => Self::open_stopped(&config, missing),
        })
    }

    fn open_stopped(config: &Config, missing: Missing) -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let domain = runtime.block_on(domain::open(config, ClockRule::Check, missing))?;
        if domain.is_first_start {
            output::say(&format!("new data directory {}", config.storage.path.display()));
        }
        Ok(Self::Stopped { domain, runtime })
    }

    /// Has one command carried out.
    ///
    /// # Errors
    /// With the refusal's one line, or when the server cannot be asked.
    pub fn call(&mut self, request: Request) -> anyhow::Result<Reply> {
        let answer = match self {
            Self::Running(client) => client.call(&request).context(SILENT)?,
            Self::Stopped { domain, runtime } => {
                let done = runtime.block_on(perform(&domain.auth, &Operator::checked(), request));
                match done? {
                    Answer::One(reply) => Ok(reply),
                    Answer::Dump(_) => bail!(UNEXPECTED),
                }
            }
        };
        Ok(answer?)
    }

    /// Has a dump made, and gives its text on piece by piece.
    ///
    /// # Errors
    /// When it is refused or breaks off, or `take` fails.
    pub fn export(
        &mut self,
        mut take: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<DumpEnd> {
        match self {
            Self::Running(client) => {
                let mut reply = client.call(&Request::Export).context(SILENT)??;
                loop {
                    if let Some(end) = end_or_take(reply, &mut take)? {
                        return Ok(end);
                    }
                    reply = client.reply().context("the server broke the dump off")??;
                }
            }
            Self::Stopped { domain, runtime } => runtime.block_on(async {
                let begun = perform(&domain.auth, &Operator::checked(), Request::Export).await?;
                let Answer::Dump(mut dump) = begun else { bail!(UNEXPECTED) };
                while let Some(reply) = next_reply(&mut dump).await? {
                    if let Some(end) = end_or_take(reply, &mut take)? {
                        return Ok(end);
                    }
                }
                bail!(UNEXPECTED)
            }),
        }
    }
}

/// What is to say when the server does not.
const SILENT: &str = "the server did not answer";
/// What is to say to a reply of another kind.
pub const UNEXPECTED: &str = "the server answered something else; is it of another version?";

/// What ends a dump, or nothing when it was given on and more follows.
fn end_or_take(
    reply: Reply,
    take: &mut impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Option<DumpEnd>> {
    match reply {
        Reply::DumpPiece { text } => take(&text.0).map(|()| None),
        Reply::DumpEnd(end) => Ok(Some(end)),
        _ => bail!(UNEXPECTED),
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Self::Stopped { domain, runtime } = self {
            runtime.block_on(domain.store.close());
        }
    }
}

/// Does `work` on the data directory, while no server runs on it.
///
/// # Errors
/// When a server does, or `work` fails.
pub fn at_rest<T>(
    config: &Config,
    mut work: impl AsyncFnMut(&Config) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let data = &config.storage.path;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    patiently(|| match connect(data)? {
        Some(_) => bail!("a server runs on {}; stop it first", data.display()),
        None => runtime.block_on(work(config)),
    })
}

/// Tries again for a while as long as another process holds the data: a server that starts or stops.
fn patiently<T>(mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(error) if domain::is_locked(&error) && started.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// A connection to the server on `data`; nothing when none listens there and this user may open the files.
fn connect(data: &Path) -> anyhow::Result<Option<Client>> {
    let connected = Client::connect(data);
    if !matches!(connected, Ok(Some(_))) {
        refuse_strangers(data)?;
    }
    connected.with_context(|| format!("cannot open the admin socket in {}", data.display()))
}

/// Files made by anybody but the owner, root too, would lock the server out of its own data.
fn refuse_strangers(data: &Path) -> anyhow::Result<()> {
    let Ok(metadata) = std::fs::metadata(data) else { return Ok(()) };
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        let data = data.display();
        bail!(
            "{data} belongs to another user; run this as its owner: sudo -u '#{owner}' keystile ..."
        );
    }
    Ok(())
}
