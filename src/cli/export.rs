//! `keystile export`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::progress::Progress;
use super::reach::Reach;
use super::{Common, output};
use crate::admin::protocol::DumpEnd;
use crate::app::domain::Missing;

/// Where to.
#[derive(Args)]
pub struct ExportArgs {
    /// The file to write, or - for standard output. It holds password hashes: keep it like the data itself
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
        let mut aside = Aside::create(file).with_context(cannot)?;
        let end = reach.export(|text| {
            tell(text);
            aside.file.write_all(text.as_bytes()).with_context(cannot)
        })?;
        aside.finish(file).with_context(cannot)?;
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
struct Aside {
    file: File,
    path: PathBuf,
    is_finished: bool,
}

impl Aside {
    /// Makes it, open to nobody else.
    fn create(target: &Path) -> anyhow::Result<Self> {
        if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
            bail!("it is no file; standard output is -");
        }
        let mut name = target.file_name().context("it is no file name")?.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = target.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, is_finished: false })
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

impl Drop for Aside {
    fn drop(&mut self) {
        // Should it fail too, the name still says what is left.
        if !self.is_finished {
            fs::remove_file(&self.path).ok();
        }
    }
}
