//! The last stage of the Dockerfile, replayed into an empty directory from what `docker/stage.sh` laid out.
//!
//! Knows just the instructions that the Dockerfile has; any other one is refused, so that the image and
//! this directory cannot grow apart.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where the Dockerfile has `docker/stage.sh` put what the test is given.
const STAGED: &str = "/out/";

/// An image in a directory.
pub struct Image {
    root: TempDir,
    environment: Vec<(String, String)>,
    user: String,
    entrypoint: Vec<String>,
    command: Vec<String>,
    healthcheck: Vec<String>,
    volume: String,
}

impl Image {
    /// Replays the last stage of `dockerfile` with the files in `staged`. Only root can give files away.
    pub fn build(dockerfile: &str, staged: &Path) -> Self {
        let (_, stage) = dockerfile.rsplit_once("FROM ").unwrap();
        let mut lines = stage.lines();
        assert_eq!(lines.next(), Some("scratch"));
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut image = Self {
            root,
            environment: vec![],
            user: String::new(),
            entrypoint: vec![],
            command: vec![],
            healthcheck: vec![],
            volume: String::new(),
        };
        for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (instruction, rest) = line.split_once(' ').unwrap();
            image.replay(instruction, rest, staged);
        }
        image
    }

    fn replay(&mut self, instruction: &str, rest: &str, staged: &Path) {
        match instruction {
            "COPY" => self.copy(rest, staged),
            "ENV" => {
                let (name, value) = rest.split_once('=').unwrap();
                self.environment.push((name.to_owned(), value.to_owned()));
            }
            "USER" => rest.clone_into(&mut self.user),
            "VOLUME" => rest.clone_into(&mut self.volume),
            // A note to the reader of the image; the test has the server listen elsewhere.
            "EXPOSE" => {}
            "HEALTHCHECK" => {
                let (_, exec) = rest.split_once("CMD ").unwrap();
                self.healthcheck = words(exec);
            }
            "ENTRYPOINT" => self.entrypoint = words(rest),
            "CMD" => self.command = words(rest),
            other => panic!("this test cannot replay {other}"),
        }
    }

    fn copy(&self, rest: &str, staged: &Path) {
        let (flags, paths): (Vec<_>, Vec<_>) =
            rest.split_whitespace().partition(|word| word.starts_with("--"));
        let [from, to] = paths[..] else { panic!("COPY {rest}") };
        let from = staged.join(from.strip_prefix(STAGED).unwrap());
        let to = self.path(to);
        if from.is_dir() {
            assert_eq!(fs::read_dir(&from).unwrap().count(), 0, "{} is not empty", from.display());
            fs::create_dir_all(&to).unwrap();
        } else {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap();
        }
        if let Some(owner) = flags.iter().find_map(|flag| flag.strip_prefix("--chown=")) {
            let (user, group) = owner.split_once(':').unwrap();
            chown(&to, Some(user.parse().unwrap()), Some(group.parse().unwrap())).unwrap();
        }
    }

    /// Where a path of the image is.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    /// The directory that is kept when the container is replaced.
    pub fn volume(&self) -> PathBuf {
        self.path(&self.volume)
    }

    /// Every path in it, in order.
    pub fn content(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.root.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(self.root.path()).unwrap().display().to_string());
                if path.is_dir() {
                    directories.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// What the container runs.
    pub fn start(&self) -> Command {
        self.inside(&[&self.entrypoint[..], &self.command[..]].concat())
    }

    /// What tells whether the container is well.
    pub fn healthcheck(&self) -> Command {
        self.inside(&self.healthcheck)
    }

    /// A command as `docker exec` runs it: in the image, as its user, with its environment and no other.
    pub fn inside(&self, words: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(program("chroot"));
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--userspec", &self.user, "--groups", ""]).arg(self.root.path());
        command.args(words.iter().map(AsRef::as_ref));
        command
    }
}

/// An instruction's exec form.
fn words(exec: &str) -> Vec<String> {
    serde_json::from_str(exec).unwrap()
}

/// A program by this process's `PATH`, since the command that runs it has the image's.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    places.find(|place| place.is_file()).unwrap()
}
