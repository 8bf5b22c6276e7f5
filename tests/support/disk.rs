//! A small file system of a test's own, for disks that are full or cannot be written.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::tools::require;

/// A small file system; unmounted when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// One of so many MiB at `path`. Nothing where that is not allowed; says so.
    pub fn new(path: PathBuf, mib: usize) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "keystile-test"]);
        let done = mount.arg(&path).stderr(Stdio::null()).status();
        let done = done.is_ok_and(|status| status.success());
        require("mounting a small file system", done).then_some(Self(path))
    }

    /// The path of `name` on it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Mounts it anew, `how` being an option of `mount`.
    pub fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
