//! The real binary, serving in a directory of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The binary that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_keystile");

/// A running server, which is killed when it is dropped.
pub struct Keystile {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Keystile {
    /// Starts on any free port.
    pub fn start(directory: &TempDir) -> Self {
        Self::start_at(directory.path(), "127.0.0.1:0")
    }

    /// Starts in `directory` at `address`, without this process's environment, and waits until it listens.
    pub fn start_at(directory: &Path, address: &str) -> Self {
        let mut child = Command::new(BINARY)
            .args(["serve", "--listen", address])
            .current_dir(directory)
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("listening")).expect("the server listens");
        let (_, rest) = line.split_once("http://").unwrap();
        let address = rest.split_whitespace().next().unwrap().to_owned();
        // Whatever else it has to say is read, so that it never waits for its reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Keystile {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
