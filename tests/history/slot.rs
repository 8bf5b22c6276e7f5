//! What the clients know about a name, and what they choose to do with it.

use std::sync::Mutex;

use crate::record::{Answer, Call, Id, Token};
use crate::support::client::Pair;
use crate::support::dice::Dice;

/// How many sessions of a name are kept alive.
const SESSIONS_MAX: usize = 2;
/// How many ended ones are still tried.
const ENDED_MAX: usize = 3;

/// A session whose tokens the clients have.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its id.
    pub sid: String,
    /// Its number.
    pub session: Id,
    /// Its pairs, oldest first.
    pub pairs: Vec<(Id, Pair)>,
}

/// A name.
#[derive(Debug)]
pub struct Slot {
    /// Its number.
    pub number: usize,
    user: Option<(Id, String)>,
    is_disabled: bool,
    live: Vec<Held>,
    ended: Vec<Held>,
}

/// What a client wants to do.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Register the name.
    Register,
    /// Log in under it.
    Login,
    /// Something with a pair of this session.
    Use(fn(Token) -> Call, Held, usize),
    /// End the second session with a pair of the first.
    End(Held, Held),
    /// List the sessions with a pair of the first; these may be in it.
    List(Held, Vec<Held>),
    /// Change the user.
    Administer(fn(Id) -> Call, Id, String),
}

impl Slot {
    /// A name that nobody has taken.
    pub fn new(number: usize) -> Mutex<Self> {
        let (live, ended) = (Vec::new(), Vec::new());
        Mutex::new(Self { number, user: None, is_disabled: false, live, ended })
    }

    /// What to do next.
    pub fn choose(&self, dice: &mut Dice) -> Wish {
        let Some((user, id)) = self.user.clone() else {
            return if dice.below(3) == 0 { Wish::Login } else { Wish::Register };
        };
        let administer = |call| Wish::Administer(call, user, id.clone());
        let roll = dice.below(1000);
        match roll {
            0..4 => return administer(Call::Delete),
            4..10 => return administer(Call::Disable),
            10..14 => return administer(Call::Enable),
            14..18 => return Wish::Register,
            18..60 => {
                if let Some(held) = dice.pick(&self.ended) {
                    return old(dice, held);
                }
            }
            _ if self.is_disabled && roll < 400 => return administer(Call::Enable),
            _ => {}
        }
        match dice.pick(&self.live) {
            Some(_) if self.live.len() < SESSIONS_MAX && roll > 960 => Wish::Login,
            Some(held) => self.with(dice, held),
            None => dice.pick(&self.ended).map_or(Wish::Login, |held| {
                if dice.below(3) == 0 { old(dice, held) } else { Wish::Login }
            }),
        }
    }

    fn with(&self, dice: &mut Dice, held: &Held) -> Wish {
        let last = held.pairs.len() - 1;
        let held = held.clone();
        match dice.below(1000) {
            0..560 => Wish::Use(Call::Refresh, held, last),
            560..620 => Wish::Use(Call::Refresh, held, last.saturating_sub(1)),
            620..780 => Wish::Use(Call::Check, held, last),
            780..860 => Wish::Use(Call::Check, held, last.saturating_sub(1)),
            860..910 => Wish::List(held, self.live.clone()),
            910..925 => Wish::Use(Call::Logout, held, last),
            925..940 => Wish::Use(Call::RevokeAccess, held, last.saturating_sub(dice.below(2))),
            940..955 => Wish::Use(Call::RevokeRefresh, held, last.saturating_sub(dice.below(2))),
            955..985 => {
                let other = dice.pick(&self.live).unwrap_or(&held).clone();
                Wish::End(held, other)
            }
            _ => old(dice, &held),
        }
    }

    /// Takes note of an answer.
    pub fn learn(&mut self, call: Call, answer: Answer, news: Option<News>) {
        match (call, answer) {
            (Call::Register, Answer::User(user)) => {
                let id = news.map(|News { user, .. }| user).unwrap_or_default();
                self.taken(user, id);
            }
            (_, Answer::Pair { user, session, pair }) => {
                let Some(news) = news else { return };
                self.taken(user, news.user);
                self.keep(session, news.session, pair, news.pair);
            }
            (Call::Login, Answer::Refused) | (Call::Disable(_), Answer::Done) => {
                self.is_disabled = true;
            }
            (Call::Enable(_), Answer::Done) => self.is_disabled = false,
            (Call::Delete(_), Answer::Done)
            | (Call::Disable(_) | Call::Enable(_) | Call::Delete(_), Answer::Refused) => {
                self.user = None;
            }
            (Call::Logout(token) | Call::RevokeAccess(token) | Call::RevokeRefresh(token), _)
            | (Call::Refresh(token), Answer::Refused) => self.ended(token.session),
            (Call::End(session), Answer::Done | Answer::Missing) => self.ended(session),
            (Call::Check(token), Answer::Refused) => {
                let is_last = |held: &Held| held.pairs.last().is_some_and(|p| p.0 == token.pair);
                if self.live.iter().any(|h| h.session == token.session && is_last(h)) {
                    self.ended(token.session);
                }
            }
            _ => {}
        }
    }

    fn taken(&mut self, user: Id, id: String) {
        if self.user.as_ref().is_none_or(|(known, _)| *known != user) {
            self.user = Some((user, id));
            let live = std::mem::take(&mut self.live);
            self.ended.extend(live);
        }
        self.is_disabled = false;
    }

    fn keep(&mut self, session: Id, sid: String, number: Id, pair: Pair) {
        match self.live.iter_mut().find(|held| held.session == session) {
            Some(held) if held.pairs.iter().any(|(known, _)| *known == number) => {}
            Some(held) => held.pairs.push((number, pair)),
            None => self.live.push(Held { sid, session, pairs: vec![(number, pair)] }),
        }
    }

    fn ended(&mut self, session: Id) {
        let (ended, live) =
            std::mem::take(&mut self.live).into_iter().partition(|held| held.session == session);
        self.live = live;
        self.ended.extend::<Vec<_>>(ended);
        let surplus = self.ended.len().saturating_sub(ENDED_MAX);
        self.ended.drain(..surplus);
    }
}

/// What an answer brought.
pub struct News {
    /// A user's id.
    pub user: String,
    /// A session's id.
    pub session: String,
    /// Its tokens.
    pub pair: Pair,
}

/// Something that must not work any more, or only just.
fn old(dice: &mut Dice, held: &Held) -> Wish {
    let calls: [fn(Token) -> Call; 3] = [Call::Check, Call::Refresh, Call::Check];
    Wish::Use(calls[dice.below(calls.len())], held.clone(), dice.below(held.pairs.len()))
}
