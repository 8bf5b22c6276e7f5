//! `keystile serve`: starts the server and stays until a signal ends it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, ServeArgs, load_config, output};
use crate::app::App;
use crate::app::domain::ClockRule;
use crate::auth::Origin;
use crate::auth::audit::Incident;
use crate::auth::model::audit::Actor;
use crate::config::listen::Address;
use crate::config::{Config, Shown};
use crate::telemetry::{self, LeftOut};

/// How often it is told what is left out of the log.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// With the one line to print, when the start is refused or the store fails.
pub fn run(common: &Common, args: &ServeArgs) -> anyhow::Result<()> {
    let config = load_config(common, &args.listen)?;
    let logging = telemetry::init(config.log.format, &config.log.level)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let clock = if args.accept_clock { ClockRule::Accept } else { ClockRule::Check };
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.spawn(keep_telling(logging.left_out()));
    let served = runtime.block_on(async {
        let shutdown = stop_signal()?;
        let app = App::start(&config, clock).await?;
        announce(common, &config, &app);
        // Not before: whoever is refused a start reads one line.
        telemetry::engine::follow();
        tell(Incident::ConfigLoaded);
        tell(Incident::ServerStarted);
        app.run_until(shutdown).await
    });
    if served.is_ok() {
        tell(Incident::ServerStopped);
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    logging.left_out().tell();
    drop(logging);
    served
}

/// Tells every few seconds what is left out of the log.
async fn keep_telling(left_out: Arc<LeftOut>) {
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        left_out.tell();
    }
}

fn tell(incident: Incident) {
    incident.tell((Actor::Server, None), &Origin::default());
}

/// Says where everything is, in a few lines a person reads at the first start.
fn announce(common: &Common, config: &Config, app: &App) {
    output::say(&format!("Keystile {}", env!("CARGO_PKG_VERSION")));
    for address in app.addresses() {
        let line = match address {
            Address::Tcp(tcp) if config.server.docs => {
                format!("http://{tcp}   Swagger UI: http://{tcp}/docs")
            }
            Address::Tcp(tcp) => format!("http://{tcp}"),
            Address::Unix(_) => address.to_string(),
        };
        output::say(&format!("  listening  {line}"));
    }
    if config.server.behind_tls_proxy {
        output::say("  cleartext  server.behind_tls_proxy is set: a proxy must add TLS in front");
    }
    let made = if app.is_first_start() { " (new, with a new signing key)" } else { "" };
    output::say(&format!("  data       {}{made}", app.data_dir().display()));
    let (workers, mib) = app.hashing();
    output::say(&format!("  passwords  {workers} hashing at a time, at most {mib} MiB"));
    if !app.has_users() {
        output::say(&format!(
            "  no users   add one: {} users add alice --role admin",
            itself(common, config)
        ));
    }
}

/// This program as it was called, with the flags that lead another command to the same data: also one that is
/// started where this one's environment does not hold.
fn itself(common: &Common, config: &Config) -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "keystile".into());
    let mut words = vec![Path::new(&program).display().to_string()];
    let is_ours = |row: &Shown| row.key == "storage.path" && row.source.starts_with("environment");
    let path = config.describe().iter().any(is_ours).then_some(&config.storage.path);
    let data = common.data.as_ref().or(path);
    for (flag, path) in [("--config", common.config.as_ref()), ("--data", data)] {
        words.extend(path.map(|path| format!("{flag} {}", path.display())));
    }
    words.join(" ")
}

/// Resolves at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let (first, asked) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match first.take() {
                Some(first) => drop(first.send(())),
                None => std::process::exit(1),
            }
        }
    });
    Ok(async move { drop(asked.await) })
}
