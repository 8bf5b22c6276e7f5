//! What a server must show after the deeds whose answers have arrived.
//!
//! Knows what a deed changes; not how it is asked for, nor how the server is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::deed::Deed;
use crate::support::client::Pair;
use crate::support::token::claims;

/// For how long a replaced pair stays good, with a margin for what was on its way (60 s are configured).
pub const GRACE: Duration = Duration::from_secs(50);

/// All that one client's deeds have made.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The users there are, by name.
    pub accounts: BTreeMap<String, Account>,
    /// The names of those that were deleted.
    pub free: BTreeSet<String>,
    /// Tokens that must never be good again, oldest first.
    pub dead: Vec<Dead>,
}

/// A token that is dead for good.
#[derive(Clone, Debug)]
pub enum Dead {
    /// An access token.
    Access(String),
    /// A refresh token of an ended session.
    Refresh(String),
}

/// A user.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id, unless the answer that had it was lost.
    pub id: Option<String>,
    /// Which of its passwords is the present one.
    pub password: usize,
    /// Its roles, in order.
    pub roles: Vec<&'static str>,
    /// Whether it is kept out.
    pub disabled: bool,
    /// Its live sessions.
    pub sessions: BTreeMap<String, Session>,
    /// How many live sessions it has whose login's answer was lost.
    pub strangers: usize,
    /// Its posts as they were answered, by id.
    pub posts: BTreeMap<String, Value>,
    /// How many posts it has whose answer was lost.
    pub lost_posts: usize,
}

/// A live session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Every pair it had, as far as answers arrived; the last one is current. None for a stranger's.
    pub pairs: Vec<Pair>,
    /// When its current pair was asked for, if it replaced one.
    pub moved_at: Option<Instant>,
    /// Since when there may be a later pair, whose answer was lost.
    pub doubt: Option<Instant>,
}

impl Account {
    fn new(id: Option<String>, roles: Vec<&'static str>) -> Self {
        Self {
            id,
            password: 0,
            roles,
            disabled: false,
            sessions: BTreeMap::new(),
            strangers: 0,
            posts: BTreeMap::new(),
            lost_posts: 0,
        }
    }
}

impl Session {
    /// The pair that its client holds.
    pub fn current(&self) -> Option<&Pair> {
        self.pairs.last()
    }

    /// The pair that the current one replaced, if it is surely good for some time yet.
    pub fn replaced(&self) -> Option<&Pair> {
        let is_graced = self.moved_at.is_some_and(|at| at.elapsed() < GRACE);
        let index = self.pairs.len().checked_sub(2).filter(|_| is_graced && self.doubt.is_none());
        index.map(|index| &self.pairs[index])
    }

    /// A pair that was replaced, and so was the one that replaced it.
    pub fn spent(&self) -> Option<&Pair> {
        self.pairs.len().checked_sub(3).map(|index| &self.pairs[index])
    }

    fn move_to(&mut self, pair: Pair, at: Instant) -> Option<Dead> {
        self.moved_at = Some(self.doubt.take().unwrap_or(at));
        self.pairs.push(pair);
        self.spent().map(|pair| Dead::Access(pair.access.clone()))
    }
}

impl State {
    /// Notes what `deed`, begun at `at`, has changed: as its answer says, or with the answer lost.
    pub fn apply(&mut self, deed: &Deed, at: Instant, answer: Option<&Value>) {
        match deed {
            Deed::Found { name } => self.register(name, None, vec!["admin"]),
            Deed::Register { name } => {
                let id = answer.map(|user| user["id"].as_str().unwrap().to_owned());
                self.register(name, id, vec!["user"]);
            }
            Deed::Login { name } if self.accounts[name].disabled => {}
            Deed::Login { name } => match answer {
                Some(answer) => self.open(name, Pair::of(answer)),
                None => self.account(name).strangers += 1,
            },
            Deed::Replay { .. } => {}
            Deed::Refresh { name, session } => {
                let session = self.account(name).sessions.get_mut(session).unwrap();
                match answer {
                    Some(answer) => {
                        let spent = session.move_to(Pair::of(answer), at);
                        self.dead.extend(spent);
                    }
                    None => drop(session.doubt.get_or_insert(at)),
                }
            }
            Deed::Reuse { name, session }
            | Deed::Logout { name, session }
            | Deed::Revoke { name, session } => self.end(name, |id| id == session),
            Deed::ChangePassword { name, session } => {
                self.account(name).password += 1;
                self.end(name, |id| id != session);
                self.account(name).strangers = 0;
            }
            Deed::SetRoles { name, roles } => self.account(name).roles = roles.to_vec(),
            Deed::SetDisabled { name, disabled: is_out } => {
                self.account(name).disabled = *is_out;
                if *is_out {
                    self.end_all(name);
                }
            }
            Deed::EndSessions { name, keep } => match keep {
                Some(keep) => self.end(name, |id| id != keep),
                None => self.end_all(name),
            },
            Deed::Delete { name } => {
                self.end_all(name);
                self.accounts.remove(name);
                self.free.insert(name.clone());
            }
            Deed::Unpublish { name, post, .. } => drop(self.account(name).posts.remove(post)),
            Deed::Publish { name, .. } => match answer {
                Some(post) => {
                    let id = post["id"].as_str().unwrap().to_owned();
                    self.account(name).posts.insert(id, post.clone());
                }
                None => self.account(name).lost_posts += 1,
            },
        }
    }

    fn account(&mut self, name: &str) -> &mut Account {
        self.accounts.get_mut(name).unwrap()
    }

    fn register(&mut self, name: &str, id: Option<String>, roles: Vec<&'static str>) {
        self.free.remove(name);
        self.accounts.insert(name.to_owned(), Account::new(id, roles));
    }

    fn open(&mut self, name: &str, pair: Pair) {
        let id = claims(&pair.access)["sid"].as_str().unwrap().to_owned();
        let session = Session { pairs: vec![pair], ..Session::default() };
        self.account(name).sessions.insert(id, session);
    }

    fn end_all(&mut self, name: &str) {
        self.end(name, |_| true);
        self.account(name).strangers = 0;
    }

    fn end(&mut self, name: &str, which: impl Fn(&String) -> bool) {
        let ended: Vec<_> = self.account(name).sessions.extract_if(.., |id, _| which(id)).collect();
        for pair in ended.into_iter().flat_map(|(_, session)| session.pairs) {
            self.dead.extend([Dead::Access(pair.access), Dead::Refresh(pair.refresh)]);
        }
    }
}
