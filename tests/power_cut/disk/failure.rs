//! What a power failure makes of a disk: which of the changes that are not safe it takes, and what is left.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{Cause, Disk, Node, Place, ROOT, set};
use crate::support::dice::Dice;

/// How much of what is not safe gets lost.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// All of it.
    Lost,
    /// Nothing.
    Kept,
    /// Whatever came after some point; what came at that point is torn.
    Late,
    /// Each change for itself; some are torn.
    Each,
}

/// What becomes of one change.
enum Outcome {
    Lost,
    Kept,
    Torn,
}

impl Fate {
    /// That of the change by `cause`, where `last` is the point.
    fn of(self, cause: Cause, last: Option<Cause>, dice: &mut Dice) -> Outcome {
        match self {
            Self::Lost => Outcome::Lost,
            Self::Kept => Outcome::Kept,
            Self::Late => match Some(cause).cmp(&last) {
                Ordering::Less => Outcome::Kept,
                Ordering::Equal => Outcome::Torn,
                Ordering::Greater => Outcome::Lost,
            },
            Self::Each => match dice.below(3) {
                0 => Outcome::Lost,
                1 => Outcome::Kept,
                _ => Outcome::Torn,
            },
        }
    }
}

impl Disk {
    /// What a failure at this moment leaves, drawn by `dice`.
    pub fn fail(&self, fate: Fate, dice: &mut Dice) -> Image {
        let causes = self.pending.iter().map(|it| it.cause);
        let changes = self.files.iter().flat_map(|file| &file.pending).map(|it| it.cause);
        let mut causes: Vec<_> = causes.chain(changes).collect();
        causes.sort_unstable();
        let last = dice.pick(&causes).copied();
        let mut names = self.safe.clone();
        for it in &self.pending {
            // There is no half of a name.
            if !matches!(fate.of(it.cause, last, dice), Outcome::Lost) {
                set(&mut names, &it.change);
            }
        }
        let mut contents = Vec::new();
        for file in &self.files {
            let mut content = file.safe.clone();
            for it in &file.pending {
                match fate.of(it.cause, last, dice) {
                    Outcome::Lost => {}
                    Outcome::Kept => it.change.apply(&mut content),
                    Outcome::Torn => it.change.tear(&mut content, dice),
                }
            }
            contents.push((!file.is_directory).then_some(content));
        }
        Image { names, contents }
    }
}

/// Files as a failure left them.
#[derive(Debug)]
pub struct Image {
    pub(super) names: BTreeMap<Place, Node>,
    /// Nothing for a directory.
    pub(super) contents: Vec<Option<Vec<u8>>>,
}

impl Image {
    /// Puts them into the directory `at`.
    pub fn write(&self, at: &Path) {
        self.write_directory(ROOT, at);
    }

    fn write_directory(&self, node: Node, at: &Path) {
        let first = (node, OsString::new());
        for ((_, name), node) in self.names.range(first..).take_while(|((it, _), _)| *it == node) {
            let path = at.join(name);
            if let Some(content) = &self.contents[*node] {
                fs::write(&path, content).unwrap();
            } else {
                fs::create_dir(&path).unwrap();
                self.write_directory(*node, &path);
            }
        }
    }
}
