//! The real binary, started in a directory of its own with nothing but `PATH` in its environment.
//!
//! Knows how to start it, to end it and to wait for it, and what it has said; what it answers is
//! [`client`]'s, what the tokens say [`token`]'s, what is drawn [`dice`]'s, and what else a test needs [`tools`]'s.

pub mod client;
pub mod dice;
pub mod disk;
pub mod token;
pub mod tools;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use self::client::Client;

/// How long anything here may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Hashing as cheap as is allowed.
pub const CHEAP_HASHES: &str = "[passwords]\nmemory_kib = 12288\niterations = 3\n";

/// A working directory, where the binary finds its configuration and keeps its data.
pub struct Workplace(TempDir);

impl Workplace {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The data directory, unless it is configured otherwise.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file into it that nobody else can read.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The binary with `arguments`, to be changed before it is started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keystile"));
        clean(&mut command, self.0.path());
        command.args(arguments);
        command
    }

    /// Runs a command of the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments), "")
    }

    /// Makes a user on the command line, whether a server runs or not.
    #[track_caller]
    pub fn add_user(&self, name: &str, password: &str, role: &str) {
        let arguments = ["users", "add", name, "--role", role, "--password-stdin"];
        let added = run(self.command(&arguments), &format!("{password}\n"));
        assert_eq!(added.status, Some(0), "{}", added.stderr);
    }

    /// Starts the server on a free port and waits until it listens.
    #[track_caller]
    pub fn serve(&self) -> Server {
        Server::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

/// Takes the environment of the tests from a command and gives it a directory.
pub fn clean(command: &mut Command, directory: &Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.current_dir(directory).env_clear().env("PATH", path);
}

/// What a process that has ended leaves.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; none after a signal.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    fn new(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self { status: status.code(), signal: status.signal(), stdout, stderr }
    }

    /// The one line of a command that was refused or failed.
    #[track_caller]
    pub fn complaint(&self) -> &str {
        assert_eq!((self.status, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n') && line.starts_with("keystile: "), "{line}");
        line
    }

    /// The standard output of a command that did what it was told.
    #[track_caller]
    pub fn output(&self) -> &str {
        assert_eq!(self.status, Some(0), "{self:?}");
        &self.stdout
    }
}

/// Runs a command to its end with `input` on its standard input.
pub fn run(mut command: Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let watchdog = watch(pid(&child));
    // One that does not read its input may be gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    drop(watchdog);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended::new(output.status, text(output.stdout), text(output.stderr))
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    client: Client,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts `command`, and waits until it has said where it listens: connections are taken by then.
    #[track_caller]
    pub fn start(command: Command) -> Self {
        let started = Self::try_start(command);
        started.unwrap_or_else(|ended| panic!("the server did not start: {}", ended.stderr))
    }

    /// Starts `command`, which may end before it listens.
    pub fn try_start(mut command: Command) -> Result<Self, Ended> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
                // Nobody need listen any more.
                drop(sender.send(line));
            }
            text
        });
        let watchdog = watch(pid(&child));
        let found = lines.iter().find_map(|line| address(&line));
        drop(watchdog);
        let Some(address) = found else {
            let status = child.wait().unwrap();
            return Err(Ended::new(status, String::new(), log.join().unwrap()));
        };
        Ok(Self { child, address, client: Client::new(address), lines, log: Some(log) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it, with connections of its own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line of its standard error contains `text`.
    #[track_caller]
    pub fn await_line(&self, text: &str) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("it never said {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let watchdog = watch(pid(&self.child));
        let status = self.child.wait().unwrap();
        drop(watchdog);
        let stderr = self.log.take().unwrap().join().unwrap();
        Ended::new(status, String::new(), stderr)
    }

    /// Ends it in an orderly way.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        let ended = self.wait();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        ended
    }

    /// Kills it, as a power cut would for all that the process knows.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        // The test that fails is told what its server had to say.
        if let Some(log) = self.log.take().filter(|_| std::thread::panicking()) {
            println!("{}", log.join().unwrap_or_default());
        }
    }
}

/// The address in the line that says where the server listens.
pub fn address(line: &str) -> Option<SocketAddr> {
    let url = line.trim_start().strip_prefix("listening  http://")?;
    url.split_whitespace().next()?.parse().ok()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Kills the process unless what is returned is dropped in time, so that no test waits for ever.
#[must_use]
pub fn watch(pid: Pid) -> mpsc::Sender<()> {
    let (watched, done) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    watched
}
