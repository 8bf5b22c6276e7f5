//! One client: it does one thing at a time to users that are its own, and writes down what it did.
//!
//! So at any moment at most one of its deeds has no answer, and all else about its users is certain.

use std::time::Instant;

use serde_json::Value;

use super::deed::Deed;
use super::state::{Account, Session, State};
use crate::support::client::{Client, Pair};
use crate::support::dice::Dice;
use crate::support::token::claims;

/// How many users a client keeps, besides its administrator.
const ACCOUNTS_MAX: usize = 4;
/// How many sessions a user has, and how many posts.
const SESSIONS_MAX: usize = 4;
const POSTS_MAX: usize = 12;
/// How long a post is at most.
const POST_BYTES_MAX: usize = 3000;
/// How many deeds a chapter has room for.
const DEEDS_MAX: u64 = 1_000_000;

/// What one client did, and what must follow from it.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// What its users' names begin with.
    pub prefix: String,
    /// What is certain.
    pub state: State,
    /// The deed without an answer.
    pub pending: Option<(Deed, Instant)>,
    /// Everything that was begun, in order.
    pub history: Vec<Entry>,
    first_key: u64,
    names: usize,
}

/// A deed that was begun.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What marks its request.
    pub key: u64,
    /// The deed.
    pub deed: Deed,
    /// When it was begun.
    pub at: Instant,
    /// Its answer's `x-request-id` and body.
    pub answer: Option<(String, Value)>,
}

impl Chapter {
    /// The client of this number, which has done nothing yet.
    pub fn new(number: u64) -> Self {
        Self {
            prefix: format!("c{number}-"),
            state: State::default(),
            pending: None,
            history: Vec::new(),
            first_key: number * DEEDS_MAX,
            names: 0,
        }
    }

    /// The name of its administrator.
    pub fn root(&self) -> String {
        format!("{}root", self.prefix)
    }

    /// Notes that the operator has made its administrator.
    pub fn found(&mut self) {
        let deed = Deed::Found { name: self.root() };
        let (key, at) = (self.first_key, Instant::now());
        self.state.apply(&deed, at, None);
        self.history.push(Entry { key, deed, at, answer: None });
    }

    /// An access token of its administrator.
    pub fn admin(&self) -> Option<&str> {
        let root = self.state.accounts.get(&self.root())?;
        let session = root.sessions.values().find_map(|session| session.current());
        session.map(|pair| pair.access.as_str())
    }

    /// Does one thing after the other while it `may`, or until the server is gone.
    ///
    /// # Errors
    /// An answer that cannot be right.
    pub fn work(
        &mut self,
        client: &Client,
        dice: &mut Dice,
        may: impl Fn() -> bool,
    ) -> Result<(), String> {
        while self.pending.is_none() && may() {
            let deed = self.choose(dice);
            self.perform(client, deed)?;
        }
        Ok(())
    }

    /// Fills the log of the database: its administrator writes `posts` long ones, and deletes all but one.
    ///
    /// # Errors
    /// An answer that cannot be right.
    pub fn age(&mut self, client: &Client, posts: usize) -> Result<(), String> {
        let root = self.root();
        self.perform(client, Deed::Login { name: root.clone() })?;
        let session = self.state.accounts[&root].sessions.keys().next().unwrap().clone();
        for _ in 0..posts {
            let (name, session) = (root.clone(), session.clone());
            self.perform(client, Deed::Publish { name, session, bytes: POST_BYTES_MAX })?;
        }
        let written: Vec<_> = self.state.accounts[&root].posts.keys().skip(1).cloned().collect();
        for post in written {
            let (name, session) = (root.clone(), session.clone());
            self.perform(client, Deed::Unpublish { name, session, post })?;
        }
        Ok(())
    }

    /// Does `deed`; it is pending if there is no answer.
    ///
    /// # Errors
    /// An answer that cannot be right.
    pub fn perform(&mut self, client: &Client, deed: Deed) -> Result<(), String> {
        let key = self.first_key + u64::try_from(self.history.len()).unwrap();
        let at = Instant::now();
        let (answered, status) = deed.ask(client, (&self.state, self.admin()), key);
        let mut entry = Entry { key, deed, at, answer: None };
        if let Some(answer) = answered {
            if answer.status != status {
                let (found, text, deed) = (answer.status, answer.text, entry.deed);
                return Err(format!("{deed:?}: {found} instead of {status}: {text}"));
            }
            let body = answer.expect(status);
            self.state.apply(&entry.deed, at, Some(&body));
            if let Deed::Replay { name, session } = &entry.deed {
                // Roles are those of now, so the tokens may differ, but not what makes them single.
                let single = |pair: &Pair| {
                    [&pair.access, &pair.refresh].map(|token| claims(token)["jti"].clone())
                };
                let current = self.state.accounts[name].sessions[session].current();
                if current.map(single) != Some(single(&Pair::of(&body))) {
                    return Err(format!("{name}: the same token was exchanged for another pair"));
                }
            }
            let id = answer.header("x-request-id").unwrap_or_default().to_owned();
            entry.answer = Some((id, body));
        } else {
            self.pending = Some((entry.deed.clone(), at));
        }
        self.history.push(entry);
        Ok(())
    }

    fn choose(&mut self, dice: &mut Dice) -> Deed {
        let root = self.root();
        if self.admin().is_none() {
            return Deed::Login { name: root };
        }
        let others: Vec<_> =
            self.state.accounts.iter().filter(|(name, _)| **name != root).collect();
        let Some(&(name, account)) = dice.pick(&others).filter(|_| {
            others.len() >= ACCOUNTS_MAX || !dice.percent(if others.len() < 2 { 60 } else { 10 })
        }) else {
            return self.register(dice);
        };
        let name = name.clone();
        on_account(name, account, dice, others.len() >= ACCOUNTS_MAX)
    }

    /// A new name, or one that has become free.
    fn register(&mut self, dice: &mut Dice) -> Deed {
        let free: Vec<_> = self.state.free.iter().cloned().collect();
        let name = dice.pick(&free).filter(|_| dice.percent(30)).cloned();
        let name = name.unwrap_or_else(|| {
            self.names += 1;
            format!("{}user{}", self.prefix, self.names)
        });
        Deed::Register { name }
    }
}

fn on_account(name: String, account: &Account, dice: &mut Dice, is_full: bool) -> Deed {
    let roll = dice.below(100);
    if account.disabled {
        return match roll {
            0..=69 => Deed::SetDisabled { name, disabled: false },
            70..=84 => Deed::Login { name },
            _ => Deed::Delete { name },
        };
    }
    // One in doubt may be over once its grace has passed.
    let sure = |session: &Session| !session.pairs.is_empty() && session.doubt.is_none();
    let known: Vec<_> = account.sessions.iter().filter(|(_, it)| sure(it)).collect();
    let Some(&(session, pairs)) = dice.pick(&known) else {
        return if roll < 90 { Deed::Login { name } } else { Deed::Delete { name } };
    };
    let session = session.clone();
    match roll {
        0..=23 => Deed::Refresh { name, session },
        24..=37 if account.sessions.len() < SESSIONS_MAX => Deed::Login { name },
        24..=44 => Deed::Logout { name, session },
        45..=51 => Deed::Revoke { name, session },
        52..=54 if pairs.spent().is_some() => Deed::Reuse { name, session },
        52..=59 => Deed::ChangePassword { name, session },
        60..=66 => {
            let is_admin = account.roles.contains(&"admin");
            let roles: &[_] = if is_admin { &["user"] } else { &["admin", "user"] };
            Deed::SetRoles { name, roles }
        }
        67..=72 => Deed::SetDisabled { name, disabled: true },
        73..=76 => Deed::EndSessions { name, keep: None },
        77..=80 => Deed::EndSessions { name, keep: Some(session) },
        81..=86 if is_full => Deed::Delete { name },
        _ => match account.posts.keys().next() {
            Some(post) if account.posts.len() >= POSTS_MAX || roll.is_multiple_of(4) => {
                Deed::Unpublish { name, session, post: post.clone() }
            }
            _ => Deed::Publish { name, session, bytes: 1 + dice.below(POST_BYTES_MAX) },
        },
    }
}
