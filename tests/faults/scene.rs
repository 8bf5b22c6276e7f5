//! A database with known content, and what becomes of that content once its files were touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keystile::auth::model::post::Post;
use keystile::auth::model::session::{Rotation, Session};
use keystile::auth::model::user::User;
use keystile::store::sled::{Durability, SledSettings, SledStore};
use keystile::store::{Store, StoreError};
use tempfile::TempDir;

use crate::fixture::{AnyStore, Make, at, settings};

/// How the server that wrote it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Closed,
    /// Killed right after its last answer.
    Killed,
}

/// A database that was left, and all that was acknowledged.
pub struct Scene {
    directory: TempDir,
    content: Content,
}

/// What was acknowledged.
#[derive(Clone, Default)]
struct Content {
    users: Vec<User>,
    deleted: Vec<User>,
    live: Vec<Session>,
    ended: Vec<Session>,
    posts: Vec<Post>,
    /// The length of each post, by which the databases of two scenes differ.
    post_bytes: usize,
}

/// What a start and all reads came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no start.
    Refused {
        /// With these words.
        line: String,
        /// These files were changed nevertheless.
        changed: Vec<PathBuf>,
    },
    /// All that was acknowledged is there.
    Served,
    /// Some of it was denied, and no answer was false.
    Denied,
    /// An answer was false.
    False(String),
}

fn fsynced(path: &Path) -> SledSettings {
    SledSettings { durability: Durability::Fsync, ..settings(path) }
}

impl Scene {
    /// A database of some lives of a server, of which only the last may be killed, with so many posts in each.
    pub async fn new(seed: u64, lives: &[usize], end: End) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let make = Make::seeded(seed);
        let post_bytes = 2000 + usize::try_from(seed % 100).unwrap() * 10;
        let mut content = Content { post_bytes, ..Content::default() };
        for (life, posts) in lives.iter().enumerate() {
            let store: AnyStore = Arc::new(SledStore::open(&fsynced(&data)).unwrap());
            content.grow(&make, &store, life, *posts).await;
            let is_last = life + 1 == lives.len();
            if is_last && end == End::Killed {
                copy(&data, &directory.path().join("left"));
            }
            store.close().await;
            if is_last && end == End::Closed {
                copy(&data, &directory.path().join("left"));
            }
        }
        Self { directory, content }
    }

    /// The files, by their path in the data directory.
    pub fn files(&self) -> Vec<PathBuf> {
        contents(&self.directory.path().join("left")).into_keys().collect()
    }

    /// The snapshot that sled made at its last start.
    pub fn snapshot(&self) -> PathBuf {
        let is_snapshot = |file: &PathBuf| file.to_string_lossy().contains("snap.");
        self.files().into_iter().find(is_snapshot).unwrap()
    }

    /// A file as it was left.
    pub fn read(&self, file: &Path) -> Vec<u8> {
        fs::read(self.directory.path().join("left").join(file)).unwrap()
    }

    /// What becomes of the database after `change` was made to its files.
    pub async fn after(&self, change: impl FnOnce(&Path)) -> Outcome {
        let copied = tempfile::tempdir().unwrap();
        let data = copied.path().join("data");
        copy(&self.directory.path().join("left"), &data);
        change(&data);
        let found = contents(&data);
        let store = match SledStore::open(&fsynced(&data)) {
            Ok(store) => store,
            Err(error) => {
                let left = contents(&data);
                let changed = left.iter().filter(|(file, bytes)| found.get(*file) != Some(bytes));
                let gone = found.keys().filter(|file| !left.contains_key(*file));
                let changed = changed.map(|(file, _)| file).chain(gone).cloned().collect();
                return Outcome::Refused { line: error.to_string(), changed };
            }
        };
        let content = self.content.clone();
        let judged = tokio::spawn(async move { content.judge(&store).await }).await;
        judged.unwrap_or(Outcome::Denied)
    }
}

impl Content {
    async fn grow(&mut self, make: &Make, store: &AnyStore, life: usize, posts: usize) {
        for number in 0..12 {
            let user = make.stored_user(store, &format!("user{life}-{number}")).await;
            for _ in 0..3 {
                let session = make.stored_session(store, &user, at(0)).await;
                let rotation = store.rotate(make.rotate(&session, at(1))).await.unwrap();
                let Rotation::Rotated(session) = rotation else { panic!("not rotated") };
                self.live.push(session);
            }
            self.users.push(user);
        }
        for number in 0..posts {
            let mut post = make.post(&self.users[number % self.users.len()], at(0));
            post.content = "x".repeat(self.post_bytes);
            store.create_post(post.clone()).await.unwrap();
            self.posts.push(post);
        }
        for _ in 0..12 {
            let session = self.live.remove(0);
            let ended = store.end_session(session.user, session.id, None, at(2), vec![]).await;
            assert_eq!(ended, Ok(true));
            self.ended.push(session);
        }
        let user = self.users.pop().unwrap();
        store
            .delete_user(user.id, keystile::auth::model::user::Expect::default(), vec![])
            .await
            .unwrap();
        let (lost, kept) =
            std::mem::take(&mut self.live).into_iter().partition(|s| s.user == user.id);
        self.live = kept;
        self.ended.extend::<Vec<_>>(lost);
        self.posts.retain(|post| post.author != user.id);
        self.deleted.push(user);
    }

    /// Reads all of it.
    async fn judge(&self, store: &SledStore) -> Outcome {
        let mut denied = false;
        let mut wrong = Vec::new();
        let mut note = |what: &str, id: String, read: Result<bool, StoreError>| match read {
            Ok(true) => {}
            Ok(false) => wrong.push(format!("{what} {id}")),
            Err(_) => denied = true,
        };
        for user in &self.users {
            let found = store.user(user.id).await.map(|found| found.as_ref() == Some(user));
            note("user lost", user.username.as_str().to_owned(), found);
            let found = store.user_by_name(&user.username).await;
            note(
                "name lost",
                user.username.as_str().to_owned(),
                found.map(|f| f.as_ref() == Some(user)),
            );
        }
        for user in &self.deleted {
            let found = store.user_by_name(&user.username).await;
            note(
                "user back",
                user.username.as_str().to_owned(),
                found.map(|found| found.is_none()),
            );
        }
        for session in &self.live {
            let found = store.session(session.user, session.id, at(3)).await;
            let is_there =
                |found: Option<(Session, User)>| found.is_some_and(|(s, _)| s == *session);
            note("session lost", session.id.to_string(), found.map(is_there));
        }
        for session in &self.ended {
            let found = store.session(session.user, session.id, at(3)).await;
            note("session back", session.id.to_string(), found.map(|found| found.is_none()));
        }
        for post in &self.posts {
            let found = store.post(post.id).await;
            let is_there = |found: Option<(Post, User)>| found.is_some_and(|(p, _)| p == *post);
            note("post lost", post.id.to_string(), found.map(is_there));
        }
        match wrong.first() {
            Some(first) => Outcome::False(format!("{first} and {} more", wrong.len() - 1)),
            None if denied => Outcome::Denied,
            None => Outcome::Served,
        }
    }
}

/// What is in the files of a data directory.
fn contents(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for directory in [data.to_owned(), data.join("db")] {
        let entries =
            fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.is_file()) {
            let name = path.strip_prefix(data).unwrap().to_owned();
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
