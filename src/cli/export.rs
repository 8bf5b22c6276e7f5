//! `keystile export`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::progress::Progress;
use super::reach::Reach;
use super::{Common, output};
use crate::admin::protocol::DumpEnd;
use crate::app::data::DUMP_START;
use crate::app::domain::Missing;

/// Where to.
#[derive(Args)]
pub struct ExportArgs {
    /// The file to write, or - for standard output. A dump that is there is replaced, any other file is not.
    /// It holds password hashes: keep it like the data itself
    file: PathBuf,
}

/// Dumps users, posts and audit events.
///
/// # Errors
/// With the one line to print; the file is as it was then.
pub fn run(common: &Common, args: &ExportArgs) -> anyhow::Result<()> {
    let mut reach = Reach::open(common, Missing::Refuse)?;
    let mut progress = Progress::new("records exported");
    let mut lines = 0;
    let mut tell = |text: &str| {
        lines += text.lines().count() as u64;
        progress.tell(lines);
    };
    let file = args.file.as_path();
    let cannot = || format!("cannot write {}", file.display());
    let end = if file == Path::new("-") {
        // A reader that goes away early has no whole dump: a failure here, unlike elsewhere.
        let mut out = io::stdout().lock();
        let end = reach.export(|text| {
            tell(text);
            out.write_all(text.as_bytes()).context("cannot write to standard output")
        })?;
        out.flush().context("cannot write to standard output")?;
        end
    } else {
        let mut partial = PartialFile::create(file).with_context(cannot)?;
        let end = reach.export(|text| {
            tell(text);
            partial.write(text).with_context(cannot)
        })?;
        partial.finish(file).with_context(cannot)?;
        end
    };
    drop(progress);
    conclude(common, file, &end)
}

/// Says what was exported, where it is in nobody's way.
fn conclude(common: &Common, file: &Path, end: &DumpEnd) -> anyhow::Result<()> {
    let DumpEnd { records, left_out, sha256 } = end;
    if *left_out > 0 {
        output::say(&format!(
            "warning: {left_out} records cannot be read and are not in it; stop the server and run \
             `keystile check`"
        ));
    }
    if file == Path::new("-") {
        output::say(&format!("exported {records} records, sha256 {sha256}"));
        return Ok(());
    }
    if common.json {
        return Ok(output::json(end)?);
    }
    let file = file.display();
    Ok(output::line(&format!("exported {records} records to {file}, sha256 {sha256}"))?)
}

/// A file beside the one to write, so that there is never half of one; removed unless it is finished.
struct PartialFile {
    file: File,
    path: PathBuf,
    is_finished: bool,
}

impl PartialFile {
    /// Makes it, open to nobody else. One that a broken export has left goes: it holds password hashes.
    fn create(target: &Path) -> anyhow::Result<Self> {
        if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
            bail!("it is not a regular file; for standard output write -");
        }
        if !is_dump_or_nothing(target)? {
            bail!("it is there already and is no dump");
        }
        let mut name = target.file_name().context("it has no file name")?.to_owned();
        name.push(".partial");
        let path = target.with_file_name(name);
        let of = || path.display().to_string();
        remove_left_over(&path).with_context(of)?;
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = options.with_context(of)?;
        lock(&file).with_context(of)?;
        Ok(Self { file, path, is_finished: false })
    }

    /// Adds to it.
    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let written = self.file.write_all(text.as_bytes());
        written.with_context(|| self.path.display().to_string())
    }

    /// Gives it its name, durably.
    fn finish(&mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.is_finished = true;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Whether nothing is lost when `target` is replaced: a mistyped name must not cost a configuration or the data.
fn is_dump_or_nothing(target: &Path) -> anyhow::Result<bool> {
    let file = match File::open(target) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let mut start = Vec::new();
    file.take(DUMP_START.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == DUMP_START)
}

/// Removes what an export that was broken off has left; anything but a regular file stays.
fn remove_left_over(path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        lock(&File::open(path)?)?;
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Takes the file until it is closed, so that no other export takes it for left over. Not every file system
/// knows how.
fn lock(file: &File) -> anyhow::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => bail!("another export is writing it"),
        _ => Ok(()),
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Should it fail too, the name still says what is left.
        if !self.is_finished {
            fs::remove_file(&self.path).ok();
        }
    }
}
