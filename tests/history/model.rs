//! The contract of one name and at most one session under it, as `api.md` words it: registration, login, refresh, and every way for a session to end.
//!
//! Written from the contract and not from the server's code. What it cannot know it leaves open: the pair that an
//! unanswered refresh made, and on which side of the grace's end a request was judged that came close to it.

use std::time::Duration;

use crate::linear::{Kind, Model, Step};
use crate::record::{Answer, Call, Id, Operation, Token};

/// How far the server's clock may be from ours between two readings, in microseconds.
const SLACK: u64 = 50_000;

/// The name: its user, if it is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name(Option<User>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct User {
    /// Unknown while only an unanswered registration has made it.
    id: Option<Id>,
    is_disabled: bool,
    /// The one session that is looked at, while it lives.
    session: Option<Session>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session {
    current: Pair,
    replaced: Option<Pair>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    /// Unknown while only an unanswered refresh has made it.
    id: Option<Id>,
    /// The operation that made it, from which the grace of the one before it counts.
    by: usize,
}

/// What the contract is applied to.
pub struct Contract<'a> {
    /// The operations: those on the name and its users, and those on the session.
    pub operations: &'a [Operation],
    /// The session; without one, only the name and its users are looked at.
    pub session: Option<Id>,
    /// How long what a refresh replaced stays good.
    pub grace: Duration,
}

/// What a token is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worth {
    Good,
    /// Too close to the end of the grace to say.
    Either,
    Bad,
}

impl Name {
    fn session(&self) -> Option<&Session> {
        self.0.as_ref()?.session.as_ref()
    }

    fn with(&self, session: Option<Session>) -> Self {
        Self(self.0.clone().map(|user| User { session, ..user }))
    }
}

fn change(state: Name) -> Vec<Step<Name>> {
    vec![Step { state, is_last: true, kind: Kind::Change }]
}

fn repeat(state: Name) -> Vec<Step<Name>> {
    vec![Step { state, is_last: true, kind: Kind::Repeat }]
}

fn seen(state: &Name) -> Vec<Step<Name>> {
    vec![Step { state: state.clone(), is_last: true, kind: Kind::Look }]
}

fn let_in(state: &Name) -> Vec<Step<Name>> {
    vec![Step { state: state.clone(), is_last: false, kind: Kind::Look }]
}

fn seen_if(state: &Name, holds: bool) -> Vec<Step<Name>> {
    if holds { seen(state) } else { vec![] }
}

impl Model for Contract<'_> {
    type State = Name;

    fn step(&self, state: &Name, index: usize, step: u8) -> Vec<Step<Name>> {
        let Operation { call, answer, .. } = self.operations[index];
        match call {
            Call::Register => register(state, answer),
            Call::Login => self.login(state, answer, index),
            Call::Refresh(token) => self.refresh(state, token, answer, index),
            Call::Check(token) => self.bearer(state, token, answer, index, seen),
            Call::Logout(token) if step == 0 => self.bearer(state, token, answer, index, let_in),
            Call::Logout(_) | Call::RevokeRefresh(_) => change(state.with(None)),
            Call::RevokeAccess(token) => self.revoke(state, token, index),
            Call::End(_) => end(state, answer),
            Call::Listed(_) => {
                seen_if(state, state.session().is_some() == (answer == Some(Answer::Done)))
            }
            Call::Disable(user) | Call::Enable(user) | Call::Delete(user) => {
                administer(state, call, user, answer)
            }
        }
    }
}

impl Contract<'_> {
    /// The access token of a pair, judged by operation `index`.
    fn worth(&self, state: &Name, token: Token, index: usize) -> Worth {
        let Some(session) = state.session() else { return Worth::Bad };
        if session.current.id == Some(token.pair) {
            return Worth::Good;
        }
        match &session.replaced {
            Some(pair) if pair.id == Some(token.pair) => self.grace(session, index),
            _ => Worth::Bad,
        }
    }

    /// What was just replaced, judged by operation `index`.
    fn grace(&self, session: &Session, index: usize) -> Worth {
        let (rotation, now) = (&self.operations[session.current.by], &self.operations[index]);
        let grace = u64::try_from(self.grace.as_micros()).unwrap();
        if now.returned + SLACK < rotation.invoked + grace {
            Worth::Good
        } else if now.invoked > rotation.returned + grace + SLACK {
            Worth::Bad
        } else {
            Worth::Either
        }
    }

    /// A bearer is judged; what a good one gets is `good`.
    fn bearer(
        &self,
        state: &Name,
        token: Token,
        answer: Option<Answer>,
        index: usize,
        good: fn(&Name) -> Vec<Step<Name>>,
    ) -> Vec<Step<Name>> {
        let worth = self.worth(state, token, index);
        match answer {
            Some(Answer::Refused) => seen_if(state, worth != Worth::Good),
            _ if worth == Worth::Bad => vec![],
            _ => good(state),
        }
    }

    /// An unanswered login may have opened a session, but one that nobody has the tokens of.
    fn login(&self, state: &Name, answer: Option<Answer>, index: usize) -> Vec<Step<Name>> {
        let enabled = state.0.as_ref().filter(|user| !user.is_disabled);
        let Some(Answer::Pair { user, session, pair }) = answer else {
            return seen_if(state, answer.is_some() && enabled.is_none());
        };
        match enabled {
            Some(found) if found.id.is_none_or(|id| id == user) => {
                let mut found = User { id: Some(user), ..found.clone() };
                if self.session == Some(session) {
                    let current = Pair { id: Some(pair), by: index };
                    found.session = Some(Session { current, replaced: None });
                }
                change(Name(Some(found)))
            }
            _ => vec![],
        }
    }

    fn refresh(
        &self,
        state: &Name,
        token: Token,
        answer: Option<Answer>,
        index: usize,
    ) -> Vec<Step<Name>> {
        let Some(session) = state.session() else {
            return seen_if(state, answer == Some(Answer::Refused));
        };
        let next = match answer {
            Some(Answer::Pair { session, pair, .. }) if session == token.session => Some(pair),
            None => None,
            Some(Answer::Refused) => return self.refused_refresh(state, session, token, index),
            Some(_) => return vec![],
        };
        if session.current.id == Some(token.pair) {
            let current = Pair { id: next, by: index };
            let rotated = Session { current, replaced: Some(session.current.clone()) };
            return change(state.with(Some(rotated)));
        }
        if answer.is_none() {
            return self.refused_refresh(state, session, token, index);
        }
        let is_replayed = self.worth(state, token, index) != Worth::Bad
            && (session.current.id.is_none() || session.current.id == next);
        if !is_replayed {
            return vec![];
        }
        if session.current.id == next {
            return repeat(state.clone());
        }
        let current = Pair { id: next, by: session.current.by };
        change(state.with(Some(Session { current, ..session.clone() })))
    }

    /// A refresh of a live session that gets no pair: reuse, which ends it.
    fn refused_refresh(
        &self,
        state: &Name,
        session: &Session,
        token: Token,
        index: usize,
    ) -> Vec<Step<Name>> {
        let is_current = session.current.id == Some(token.pair);
        if is_current || self.worth(state, token, index) == Worth::Good {
            return vec![];
        }
        change(state.with(None))
    }

    /// Only a live access token ends its session, and the answer does not tell.
    fn revoke(&self, state: &Name, token: Token, index: usize) -> Vec<Step<Name>> {
        let ended = || change(state.with(None));
        match self.worth(state, token, index) {
            Worth::Good => ended(),
            Worth::Bad => change(state.clone()),
            Worth::Either => [ended(), change(state.clone())].concat(),
        }
    }
}

fn register(state: &Name, answer: Option<Answer>) -> Vec<Step<Name>> {
    let id = match answer {
        Some(Answer::User(id)) => Some(id),
        None => None,
        _ => return seen_if(state, state.0.is_some()),
    };
    if state.0.is_some() {
        return vec![];
    }
    change(Name(Some(User { id, is_disabled: false, session: None })))
}

fn end(state: &Name, answer: Option<Answer>) -> Vec<Step<Name>> {
    let lives = state.session().is_some();
    if answer.is_some_and(|answer| lives != (answer == Answer::Done)) {
        return vec![];
    }
    change(state.with(None))
}

fn administer(state: &Name, call: Call, user: Id, answer: Option<Answer>) -> Vec<Step<Name>> {
    let found = state.0.as_ref().filter(|found| found.id == Some(user));
    let Some(found) = found else {
        return seen_if(state, answer == Some(Answer::Refused));
    };
    if answer == Some(Answer::Refused) {
        return vec![];
    }
    change(Name(match call {
        Call::Disable(_) => Some(User { id: found.id, is_disabled: true, session: None }),
        Call::Enable(_) => Some(User { is_disabled: false, ..found.clone() }),
        _ => None,
    }))
}
