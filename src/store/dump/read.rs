//! Reads a dump, and believes nothing before its last line has proved it whole.
//!
//! A dump is read twice: [`survey`] judges all of it and notes which lines count, [`Contents::load`] gives
//! those on. What is kept meanwhile grows with the users and posts, not with what they hold.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;

use super::{Change, Counts, FORMAT, FORMAT_VERSION, Header, Key, Line, Trailer};
use crate::auth::model::id::{EventId, PostId, UserId};
use crate::auth::model::username::Username;
use crate::store::codec::hex;

/// The longest line, in bytes: a record has 4 KiB at most, and a byte of it six as JSON.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How many lines are read between two tellings.
const TELL_EVERY: u64 = 1000;

/// Why a dump is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It starts with something else.
    #[error("it is no dump of keystile")]
    Foreign,
    /// A later release has written it.
    #[error("it has format {found}, this release knows {FORMAT_VERSION}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It ends before its end.
    #[error("it was cut short: its last line is missing")]
    Cut,
    /// Something stands behind its end.
    #[error("it goes on after its last line")]
    Longer,
    /// It is whole, and not the one that was judged.
    #[error("it is another dump than the one that was judged")]
    Another,
    /// It is not what was written.
    #[error("it was changed after it was written: its checksum differs")]
    Edited,
    /// A line breaks a rule.
    #[error("line {line}: {what}")]
    Line {
        /// Which one, from 1.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads a dump line by line.
pub struct Reader<R> {
    source: R,
    counts: Counts,
    digest: Context,
    /// How many lines were read.
    line: u64,
    /// What the last line says of the others, once it was read and holds.
    sha256: Option<String>,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it is no dump, or of a later format.
    pub fn begin(source: R) -> Result<Self, DumpError> {
        let mut reader = Self {
            source,
            counts: Counts::default(),
            digest: Context::new(&SHA256),
            line: 0,
            sha256: None,
        };
        reader.header()?;
        Ok(reader)
    }

    /// The next change; nothing after the last one, by when the dump has proved whole.
    ///
    /// # Errors
    /// When it was cut short or edited, or a line breaks a rule.
    pub fn read(&mut self) -> Result<Option<Change>, DumpError> {
        if self.sha256.is_some() {
            return Ok(None);
        }
        let bytes = self.take_line()?;
        let line: Line =
            serde_json::from_slice(&bytes).map_err(|_| self.flaw("it cannot be read"))?;
        if let Line::Trailer(trailer) = line {
            self.sha256 = Some(self.prove(trailer)?);
            return Ok(None);
        }
        let change =
            line.into_change().ok_or_else(|| self.flaw("a field of it breaks its rule"))?;
        self.digest.update(&bytes);
        self.counts.add(&change);
        Ok(Some(change))
    }

    /// Reads the first line.
    fn header(&mut self) -> Result<(), DumpError> {
        #[derive(Deserialize)]
        struct AnyLine {
            header: AnyHeader,
        }
        #[derive(Deserialize)]
        struct AnyHeader {
            format: String,
            version: u32,
        }
        let bytes = self.take_line().map_err(|error| match error {
            DumpError::Io(error) => DumpError::Io(error),
            _ => DumpError::Foreign,
        })?;
        // A later format may say more than this release knows.
        let any: AnyLine = serde_json::from_slice(&bytes).map_err(|_| DumpError::Foreign)?;
        if any.header.format != FORMAT || any.header.version == 0 {
            return Err(DumpError::Foreign);
        }
        if any.header.version > FORMAT_VERSION {
            return Err(DumpError::Newer { found: any.header.version });
        }
        match serde_json::from_slice(&bytes) {
            Ok(Line::Header(Header { .. })) => self.digest.update(&bytes),
            _ => return Err(self.flaw("it cannot be read")),
        }
        Ok(())
    }

    /// The next line with its end.
    fn take_line(&mut self) -> Result<Vec<u8>, DumpError> {
        let mut bytes = Vec::new();
        let read = self.source.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        self.line += 1;
        if bytes.ends_with(b"\n") {
            Ok(bytes)
        } else if u64::try_from(read) == Ok(LINE_BYTES_MAX) {
            Err(self.flaw("it is too long"))
        } else {
            Err(DumpError::Cut)
        }
    }

    /// What the lines before `trailer` come to, if it says the same.
    fn prove(&mut self, trailer: Trailer) -> Result<String, DumpError> {
        let Trailer { users, posts, audit, removed, sha256 } = trailer;
        let is_same = sha256 == hex(self.digest.clone().finish().as_ref())
            && self.counts == Counts { users, posts, audit, removed };
        if !is_same {
            return Err(DumpError::Edited);
        }
        if self.source.fill_buf()?.is_empty() { Ok(sha256) } else { Err(DumpError::Longer) }
    }

    /// The flaw of the line that was read last.
    const fn flaw(&self, what: &'static str) -> DumpError {
        DumpError::Line { line: self.line, what }
    }
}

/// What a dump comes to, once the last line of each record has had its say.
#[derive(Debug, Default)]
pub struct Contents {
    /// Each user's name and the line that counts.
    users: HashMap<UserId, (Username, u64)>,
    /// Each post's author and the line that counts.
    posts: HashMap<PostId, (UserId, u64)>,
    removed_users: HashSet<UserId>,
    removed_events: HashSet<EventId>,
    /// By which the dump is known again.
    sha256: Option<String>,
}

/// Reads all of a dump and judges it, and tells now and then how many records it has read.
///
/// # Errors
/// When it is not one that was written whole, or its records contradict each other.
pub fn survey(source: impl BufRead, tell: &mut dyn FnMut(u64)) -> Result<Contents, DumpError> {
    let mut reader = Reader::begin(source)?;
    let mut contents = Contents::default();
    while let Some(change) = reader.read()? {
        contents.note(change, reader.line);
        if reader.line.is_multiple_of(TELL_EVERY) {
            tell(reader.line);
        }
    }
    contents.settle()?;
    contents.sha256 = reader.sha256;
    Ok(contents)
}

impl Contents {
    /// How many users there are.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// How many posts there are.
    #[must_use]
    pub fn posts(&self) -> usize {
        self.posts.len()
    }

    /// Reads the same dump again, and gives each record that stands at the end to `load`, once.
    ///
    /// # Errors
    /// When it is no longer the same dump, or `load` fails.
    pub fn load<E: From<DumpError>>(
        &self,
        source: impl BufRead,
        mut load: impl FnMut(Change) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::begin(source)?;
        while let Some(change) = reader.read()? {
            let line = reader.line;
            let counts = match &change {
                Change::User(user) => self.users.get(&user.id).is_some_and(|it| it.1 == line),
                Change::Post(post) => self.posts.get(&post.id).is_some_and(|it| it.1 == line),
                Change::Audit(event) => !self.removed_events.contains(&event.id),
                Change::Removed(_) => false,
            };
            if counts {
                load(change)?;
            }
        }
        if reader.sha256 == self.sha256 { Ok(()) } else { Err(DumpError::Another.into()) }
    }

    /// Notes what the change on this line does to those before it.
    fn note(&mut self, change: Change, line: u64) {
        match change {
            Change::User(user) => {
                self.users.insert(user.id, (user.username, line));
            }
            Change::Post(post) => {
                self.posts.insert(post.id, (post.author, line));
            }
            Change::Audit(event) => {
                self.removed_events.remove(&event.id);
            }
            Change::Removed(Key::User(id)) => {
                self.users.remove(&id);
                self.removed_users.insert(id);
            }
            Change::Removed(Key::Post(id)) => {
                self.posts.remove(&id);
            }
            Change::Removed(Key::Audit(id)) => {
                self.removed_events.insert(id);
            }
        }
    }

    /// Lets the posts of removed users go, and makes sure that the rest fits together.
    fn settle(&mut self) -> Result<(), DumpError> {
        let Self { users, posts, removed_users, .. } = self;
        posts
            .retain(|_, (author, _)| users.contains_key(author) || !removed_users.contains(author));
        let lost = posts.values().find(|(author, _)| !users.contains_key(author));
        if let Some(&(_, line)) = lost {
            return Err(DumpError::Line { line, what: "its author is not in the dump" });
        }
        let mut names = HashSet::new();
        match users.values().find(|(name, _)| !names.insert(name)) {
            Some(&(_, line)) => {
                Err(DumpError::Line { line, what: "its name is another user's too" })
            }
            None => Ok(()),
        }
    }
}
