//! Files and names, and what a power failure may leave of them, by what POSIX promises and no more:
//!
//! - The content of a file is safe once an `fsync` or `fdatasync` of it has returned that began after the
//!   write had returned. Until then each write and each change of length is there or not, independently
//!   of the others, or is torn: any of its 512-byte sectors are there.
//! - A name (created, renamed, removed) is safe once an `fsync` of its directory has returned that began after
//!   the change had returned. Until then each change is there or not; a rename is never half there.
//! - `sync_file_range` promises nothing. Nor does the end of a process: what it wrote stays as it was.
//!
//! Modes and times of files are not kept. What one failure takes of all that it may is drawn by [`failure`].

pub mod change;
pub mod failure;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path};

use self::change::Change;

/// The number of a file or directory.
type Node = usize;
/// Where a name stands.
type Place = (Node, OsString);
/// What stands at some places from now on, all at once.
type Naming = Vec<(Place, Option<Node>)>;
/// The number of the system call that makes a change.
type Cause = usize;

/// The directory at the root of everything.
const ROOT: Node = 0;

/// A change that may be lost.
#[derive(Clone, Debug)]
struct Pending<T> {
    cause: Cause,
    change: T,
    has_returned: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    safe: Vec<u8>,
    pending: Vec<Pending<Change>>,
    is_directory: bool,
}

/// Files and names, with what is safe and what is not.
#[derive(Clone, Debug)]
pub struct Disk {
    files: Vec<File>,
    /// As the running system sees them.
    names: BTreeMap<Place, Node>,
    safe: BTreeMap<Place, Node>,
    pending: Vec<Pending<Naming>>,
    /// What each `fsync` under way will have made safe.
    syncing: BTreeMap<Cause, (Node, BTreeSet<Cause>)>,
}

impl Disk {
    /// An empty directory.
    pub fn new() -> Self {
        Self {
            files: vec![File { is_directory: true, ..File::default() }],
            names: BTreeMap::new(),
            safe: BTreeMap::new(),
            pending: Vec::new(),
            syncing: BTreeMap::new(),
        }
    }

    /// A directory all of whose files are safe.
    pub fn holding(directory: &Path) -> Self {
        let mut disk = Self::new();
        disk.hold(directory, Path::new(""));
        disk.safe = disk.names.clone();
        disk.pending.clear();
        disk
    }

    fn hold(&mut self, root: &Path, directory: &Path) {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let (path, found) = (entry.unwrap().path(), directory);
            let name = found.join(path.file_name().unwrap());
            self.create(0, &name, path.is_dir());
            if path.is_dir() {
                self.hold(root, &name);
            } else {
                let file = self.find(&name).unwrap();
                self.files[file].safe = fs::read(&path).unwrap();
            }
        }
    }

    /// What stands at `path`.
    pub fn find(&self, path: &Path) -> Option<Node> {
        path.components().try_fold(ROOT, |node, part| match part {
            Component::Normal(name) => self.names.get(&(node, name.to_owned())).copied(),
            _ => None,
        })
    }

    /// A new file or directory at `path`.
    pub fn create(&mut self, cause: Cause, path: &Path, is_directory: bool) {
        let node = self.files.len();
        self.files.push(File { is_directory, ..File::default() });
        self.name(cause, vec![(path, Some(node))]);
    }

    /// Nothing at `path` any more.
    pub fn remove(&mut self, cause: Cause, path: &Path) {
        self.name(cause, vec![(path, None)]);
    }

    /// What stood at `from` stands at `to`.
    pub fn rename(&mut self, cause: Cause, from: &Path, to: &Path) {
        let node = self.find(from).unwrap();
        self.name(cause, vec![(from, None), (to, Some(node))]);
    }

    fn name(&mut self, cause: Cause, changes: Vec<(&Path, Option<Node>)>) {
        let place = |path: &Path| {
            let directory = self.find(path.parent().unwrap()).unwrap();
            (directory, path.file_name().unwrap().to_owned())
        };
        let change: Naming = changes.into_iter().map(|(path, node)| (place(path), node)).collect();
        set(&mut self.names, &change);
        self.pending.push(Pending { cause, change, has_returned: false });
    }

    /// A change of the content of `file`.
    pub fn change(&mut self, cause: Cause, file: Node, change: Change) {
        self.files[file].pending.push(Pending { cause, change, has_returned: false });
    }

    /// An `fsync` of `node` begins.
    pub fn sync(&mut self, cause: Cause, node: Node) {
        fn returned<T>(pending: &[Pending<T>]) -> BTreeSet<Cause> {
            pending.iter().filter(|it| it.has_returned).map(|it| it.cause).collect()
        }
        let file = &self.files[node];
        let covered =
            if file.is_directory { returned(&self.pending) } else { returned(&file.pending) };
        self.syncing.insert(cause, (node, covered));
    }

    /// The system call `cause` returns, having done what it was to do.
    pub fn end(&mut self, cause: Cause) {
        if let Some((node, covered)) = self.syncing.remove(&cause) {
            self.make_safe(node, &covered);
            return;
        }
        let changes = self.files.iter_mut().flat_map(|file| &mut file.pending);
        for change in changes.filter(|it| it.cause == cause) {
            change.has_returned = true;
        }
        for change in self.pending.iter_mut().filter(|it| it.cause == cause) {
            change.has_returned = true;
        }
    }

    fn make_safe(&mut self, node: Node, covered: &BTreeSet<Cause>) {
        let file = &mut self.files[node];
        if file.is_directory {
            let safe = self.pending.extract_if(.., |it| {
                covered.contains(&it.cause) && it.change.iter().any(|((at, _), _)| *at == node)
            });
            for pending in safe {
                set(&mut self.safe, &pending.change);
            }
        } else {
            for pending in file.pending.extract_if(.., |it| covered.contains(&it.cause)) {
                pending.change.apply(&mut file.safe);
            }
        }
    }

    /// How many changes are not safe now.
    pub fn at_risk(&self) -> usize {
        self.pending.len() + self.files.iter().map(|file| file.pending.len()).sum::<usize>()
    }
}

fn set(names: &mut BTreeMap<Place, Node>, change: &[(Place, Option<Node>)]) {
    for (place, node) in change {
        names.remove(place);
        names.extend(node.map(|node| (place.clone(), node)));
    }
}

#[cfg(test)]
mod tests {
    use super::change::SECTOR;
    use super::failure::Fate;
    use super::*;
    use crate::support::dice::Dice;

    const DATA: &str = "data";

    /// A file of a synced name and synced content, in which three sectors are then overwritten.
    fn disk() -> (Disk, Node) {
        let (mut disk, path) = (Disk::new(), Path::new(DATA));
        disk.create(0, path, false);
        disk.end(0);
        let file = disk.find(path).unwrap();
        disk.change(1, file, Change::Write(0, vec![1; 3 * SECTOR]));
        disk.end(1);
        for (cause, node) in [(2, ROOT), (3, file)] {
            disk.sync(cause, node);
            disk.end(cause);
        }
        disk.change(4, file, Change::Write(0, vec![2; 3 * SECTOR]));
        (disk, file)
    }

    fn content(disk: &Disk, fate: Fate, seed: u64) -> Option<Vec<u8>> {
        let image = disk.fail(fate, &mut Dice::new(seed));
        let node = image.names.get(&(ROOT, DATA.into()))?;
        image.contents[*node].clone()
    }

    #[test]
    fn what_is_synced_stays_and_what_is_not_may_go() {
        let (disk, _) = disk();
        assert_eq!(disk.at_risk(), 1);
        assert_eq!(content(&disk, Fate::Lost, 0).unwrap(), [1; 3 * SECTOR]);
        assert_eq!(content(&disk, Fate::Kept, 0).unwrap(), [2; 3 * SECTOR]);
    }

    #[test]
    fn a_sync_covers_only_what_had_returned_before_it_began() {
        let (mut disk, file) = disk();
        disk.sync(5, file);
        disk.end(4);
        disk.end(5);
        assert_eq!(content(&disk, Fate::Lost, 0).unwrap(), [1; 3 * SECTOR]);
        disk.sync(6, file);
        assert_eq!(content(&disk, Fate::Lost, 0).unwrap(), [1; 3 * SECTOR]);
        disk.end(6);
        assert_eq!(content(&disk, Fate::Lost, 0).unwrap(), [2; 3 * SECTOR]);
    }

    #[test]
    fn a_write_is_torn_at_sectors_and_nowhere_else() {
        let (disk, _) = disk();
        let states = (0..100).filter_map(|seed| content(&disk, Fate::Each, seed));
        let mut seen = BTreeSet::new();
        for state in states {
            assert!(state.chunks(SECTOR).all(|sector| sector.iter().all(|it| *it == sector[0])));
            seen.insert(state.chunks(SECTOR).map(|sector| sector[0]).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8, "every combination comes up: {seen:?}");
    }

    #[test]
    fn a_name_needs_a_sync_of_its_directory_and_a_rename_is_never_half_there() {
        let (mut disk, file) = disk();
        let (from, to) = (Path::new(DATA), Path::new("renamed"));
        disk.rename(5, from, to);
        disk.end(5);
        disk.sync(6, file);
        disk.end(6);
        let names = |disk: &Disk, seed| {
            let image = disk.fail(Fate::Each, &mut Dice::new(seed));
            image.names.into_keys().map(|(_, name)| name).collect::<Vec<_>>()
        };
        let seen: BTreeSet<_> = (0..20).map(|seed| names(&disk, seed)).collect();
        assert_eq!(seen, [vec![DATA.into()], vec!["renamed".into()]].into());
        disk.sync(7, ROOT);
        disk.end(7);
        assert!((0..20).all(|seed| names(&disk, seed) == ["renamed"]));
    }
}
