//! `strace`, which makes system calls of a process fail or wait.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Runs `command` under it, with one rule of `--inject`.
pub fn wrap(command: &Command, rule: &str) -> Command {
    let call = rule.split(':').next().unwrap_or_default();
    let mut wrapped = Command::new("strace");
    wrapped.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    wrapped.arg(format!("trace={call}")).arg("-e").arg(format!("inject={rule}"));
    wrapped.arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped.env_clear();
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped
}

/// Is attached to a process until it is dropped.
pub struct Attached(Child);

impl Attached {
    /// Attaches to `process` with one rule of `--inject`.
    pub fn to(process: u32, rule: &str) -> Self {
        let call = rule.split(':').next().unwrap_or_default();
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={rule}"), "-p", &process.to_string()]);
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("attached")));
        assert!(said.is_some(), "strace did not attach");
        // It goes on to speak of each thread.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // It detaches at this signal; the process may have ended with it already.
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        drop(self.0.wait());
    }
}
