//! Whether the time of an answer tells names apart: logins that fail, each for another reason, in turns over loopback.
//!
//! `cargo bench --bench timing` prints the medians and how far each is from the first one, in percent of what a hash
//! takes; it takes half a minute. `-- --samples N` takes others than 200 of each. No time is asserted here or
//! anywhere else: that the same is hashed for each, tests show.

#[expect(dead_code, reason = "the other benches use the rest")]
#[path = "../common/figures.rs"]
mod figures;
#[path = "../common/http.rs"]
mod http;
#[expect(dead_code, reason = "the other benches use the rest")]
#[path = "../common/process.rs"]
mod process;
#[expect(dead_code, reason = "the other benches use the rest")]
#[path = "../common/served.rs"]
mod served;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::figures::Times;
use self::http::{Connection, request, with_bearer};
use self::served::{DATA, Served};

const BINARY: &str = env!("CARGO_BIN_EXE_keystile");
const PASSWORD: &str = "seven lamps on the quay";
const SAMPLES: usize = 200;
/// The goal, in percent of what a hash takes.
const WITHIN: f64 = 5.0;

/// How many kinds of logins there are.
const KINDS: usize = 4;
/// What each is told by, and the name that it gives.
const LOGINS: [(&str, &str); KINDS] = [
    ("a user's wrong password", "known"),
    ("a name that nobody has", "nobody"),
    ("a disabled user's wrong password", "disabled"),
    ("a name that cannot be one", "no name"),
];

fn main() -> Result<()> {
    let samples = samples()?;
    let directory = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    for (name, role) in [("root", "admin"), ("known", "user"), ("disabled", "user")] {
        add(directory.path(), name, role)?;
    }
    // A throttle would answer without hashing.
    let settings = [("KEYSTILE_THROTTLE__ENABLED", "false"), ("KEYSTILE_LOG__LEVEL", "error")];
    let served = Served::start(Path::new(BINARY), directory.path(), &settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let times = runtime.block_on(measure(&served, samples))?;
    report(&mut std::io::stdout().lock(), samples, times)
}

fn samples() -> Result<usize> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    match (words.next().as_deref(), words.next(), words.next()) {
        (None, ..) => Ok(SAMPLES),
        (Some("--samples"), Some(count), None) => Ok(count
            .parse::<usize>()
            .ok()
            .filter(|&count| count > 0)
            .context("--samples takes a number")?),
        _ => bail!("takes nothing but --samples N"),
    }
}

/// Makes a user on the command line.
fn add(directory: &Path, name: &str, role: &str) -> Result<()> {
    let mut command = Command::new(BINARY);
    command.args(["users", "add", name, "--role", role, "--password-stdin", "--data", DATA]);
    let mut child =
        command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    writeln!(child.stdin.take().context("no input")?, "{PASSWORD}")?;
    ensure!(child.wait()?.success(), "{name} cannot be made");
    Ok(())
}

/// The times of each kind of login. Each kind is the first in its turn, so that none is always behind the same one.
async fn measure(served: &Served, samples: usize) -> Result<[Vec<Duration>; KINDS]> {
    let mut connection = Connection::open(served.address).await?;
    disable(&mut connection).await?;
    let mut times = LOGINS.map(|_| Vec::new());
    for sample in 0..samples {
        let mut kinds: Vec<_> = LOGINS.iter().zip(&mut times).collect();
        kinds.rotate_left(sample % KINDS);
        for ((_, name), times) in kinds {
            times.push(timed(&mut connection, &login(name, "a wrong password")).await?);
        }
    }
    Ok(times)
}

/// Has the administrator disable the user of that name.
async fn disable(connection: &mut Connection) -> Result<()> {
    let pair: Value =
        serde_json::from_slice(connection.exchange(&login("root", PASSWORD)).await?.success()?)?;
    let token = pair.get("access_token").and_then(Value::as_str).context("no token")?;
    let found = connection.exchange(&with_bearer("GET /users?q=disabled", token)).await?;
    let page: Value = serde_json::from_slice(found.success()?)?;
    let id = page.pointer("/items/0/id").and_then(Value::as_str).context("no such user")?;
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let patch = request(&format!("PATCH /users/{id}"), &headers, r#"{"disabled":true}"#);
    connection.exchange(&patch).await?.success().map(drop)
}

fn login(name: &str, password: &str) -> Vec<u8> {
    let form = |text: &str| text.replace(' ', "+");
    let body = format!("username={}&password={}", form(name), form(password));
    request("POST /token", "content-type: application/x-www-form-urlencoded\r\n", &body)
}

async fn timed(connection: &mut Connection, request: &[u8]) -> Result<Duration> {
    let asked = Instant::now();
    let status = connection.exchange(request).await?.status;
    let took = asked.elapsed();
    ensure!(status == 400, "a login that must fail is answered {status}");
    Ok(took)
}

/// Prints the medians, and how far each is from the first.
fn report(out: &mut impl Write, samples: usize, times: [Vec<Duration>; KINDS]) -> Result<()> {
    let medians = times.map(|times| Times::new(times).quantile(500));
    let first = medians.first().copied().context("nothing was measured")?;
    writeln!(
        out,
        "{:<40} {:>10} {:>9}",
        format!("{samples} logins of each, in turns"),
        "median ms",
        "apart"
    )?;
    for ((about, _), median) in LOGINS.iter().zip(medians) {
        let apart = (median - first) / first * 100.0;
        let verdict = if apart.abs() <= WITHIN { "" } else { "  more than 5 %" };
        writeln!(out, "{about:<40} {median:>10.2} {apart:>+8.1}%{verdict}")?;
    }
    Ok(())
}
