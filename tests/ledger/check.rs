//! Whether a server shows what the clients' deeds must have left: all of it, and nothing else.
//!
//! A deed without an answer was done or was not, so two states are right; half of it fits neither.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::chapter::Chapter;
use super::deed::{Deed, password};
use super::state::{Account, Dead, GRACE, Session, State};
use crate::support::client::{Answer, Call, Client, Pair};
use crate::support::dice::Dice;

/// How many of the tokens that died some time ago are tried, and of those that died last.
const DEAD_OLD: usize = 4;
const DEAD_LAST: usize = 8;
/// Beyond this many sessions nobody is logged in only to see whether that works.
const SESSIONS_MAX: usize = 10;

/// What a server lists, as an administrator sees it.
pub struct Listed {
    users: BTreeMap<String, Value>,
    posts: BTreeMap<String, Value>,
}

impl Listed {
    /// Has the server list all it has.
    ///
    /// # Errors
    /// It does not.
    pub fn of(client: &Client, admin: &str) -> Result<Self, String> {
        let by = |items: Vec<Value>, key: &str| {
            items.into_iter().map(|it| (it[key].as_str().unwrap().to_owned(), it)).collect()
        };
        Ok(Self {
            users: by(pages(client, "/users", admin)?, "username"),
            posts: by(pages(client, "/posts", admin)?, "id"),
        })
    }

    /// The names of all users.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.users.keys()
    }
}

fn pages(client: &Client, path: &str, admin: &str) -> Result<Vec<Value>, String> {
    let mut items = Vec::new();
    let mut next = format!("{path}?limit=100");
    loop {
        let mut page = fetch(client.get(&next).bearer(admin), 200)?;
        items.append(page["items"].as_array_mut().unwrap());
        let Some(after) = page["next"].as_str() else { return Ok(items) };
        next = format!("{path}?limit=100&after={after}");
    }
}

fn fetch(call: Call<'_>, status: u16) -> Result<Value, String> {
    let answer = call.try_send().map_err(|error| format!("no answer: {error}"))?;
    expect(&answer, status, "a list")?;
    Ok(answer.expect(status))
}

fn expect(answer: &Answer, status: u16, what: &str) -> Result<(), String> {
    if answer.status == status {
        Ok(())
    } else {
        Err(format!("{what}: {} instead of {status}: {}", answer.status, answer.text))
    }
}

/// Sees whether the server shows what `chapter` says, and settles what it left open.
///
/// # Errors
/// What the server shows instead.
pub fn settle(
    chapter: &mut Chapter,
    client: &Client,
    listed: &Listed,
    dice: &mut Dice,
) -> Result<(), String> {
    let pending = chapter.pending.take();
    let touched = pending.as_ref().map(|(deed, _)| deed.name().to_owned());
    let mut outcomes = Vec::new();
    if let Some((deed, at)) = pending {
        let mut done = chapter.state.clone();
        done.apply(&deed, at, None);
        match deed {
            // The state says by itself that both may be.
            Deed::Refresh { .. } => outcomes.push(done),
            // With no other session to end, only the password tells.
            Deed::ChangePassword { name, .. } => {
                let (old, was_done) = (chapter.state.clone(), logs_in(client, &name, &done)?);
                chapter.state = if was_done { done } else { old };
                let login = Deed::Login { name };
                chapter.perform(client, login)?;
                outcomes.push(chapter.state.clone());
            }
            _ => outcomes.extend([done, chapter.state.clone()]),
        }
    } else {
        outcomes.push(chapter.state.clone());
    }
    let mut refuted = Vec::new();
    for mut state in outcomes {
        match agree(&mut state, &chapter.prefix, client, listed, dice) {
            Ok(()) => {
                chapter.state = state;
                return use_it(chapter, touched.as_deref(), client, dice);
            }
            Err(reason) => refuted.push(reason),
        }
    }
    Err(refuted.join("; and if the last deed was not done: "))
}

/// Whether the password of `state` is that of the user, without a session left by the attempt.
fn logs_in(client: &Client, name: &str, state: &State) -> Result<bool, String> {
    let password = password(state.accounts[name].password);
    let answer = client.post("/token").form(&[("username", name), ("password", &password)]);
    match answer.status {
        200 => {
            let pair = Pair::of(&answer.expect(200));
            let out = client.post("/logout").bearer(&pair.access).send();
            expect(&out, 200, "the end of a session just opened").map(|()| true)
        }
        400 => Ok(false),
        _ => expect(&answer, 400, "a login").map(|()| false),
    }
}

/// Looks, without changing anything. What `state` did not know by itself, it knows afterwards.
fn agree(
    state: &mut State,
    prefix: &str,
    client: &Client,
    listed: &Listed,
    dice: &mut Dice,
) -> Result<(), String> {
    let theirs = listed.users.iter().filter(|(name, _)| name.starts_with(prefix));
    let names: BTreeSet<_> = theirs.map(|(name, _)| name.clone()).collect();
    let expected: BTreeSet<_> = state.accounts.keys().cloned().collect();
    if names != expected {
        return Err(format!("the users are {names:?}, not {expected:?}"));
    }
    let root = format!("{prefix}root");
    let admin = state.accounts.get(&root).and_then(|root| root.sessions.values().next());
    let admin = admin.and_then(Session::current).map(|pair| pair.access.clone());
    for (name, account) in &mut state.accounts {
        let said = |problem: String| format!("{name}: {problem}");
        profile(account, &listed.users[name]).map_err(said)?;
        if let Some(admin) = &admin {
            sessions(account, client, admin).map_err(said)?;
        }
        for session in account.sessions.values() {
            lives(session, client).map_err(said)?;
        }
        posts(name, account, listed).map_err(said)?;
    }
    dead(state, client, dice)
}

fn profile(account: &mut Account, user: &Value) -> Result<(), String> {
    let id = user["id"].as_str().unwrap();
    if account.id.get_or_insert_with(|| id.to_owned()) != id {
        return Err(format!("its id is {id}"));
    }
    let roles: Vec<_> = user["roles"].as_array().unwrap().iter().map(Value::as_str).collect();
    let expected: Vec<_> = account.roles.iter().copied().map(Some).collect();
    if roles != expected || user["disabled"] != account.disabled {
        let (roles, disabled) = (&account.roles, account.disabled);
        return Err(format!("it is {user}, not of roles {roles:?}, disabled {disabled}"));
    }
    Ok(())
}

fn sessions(account: &mut Account, client: &Client, admin: &str) -> Result<(), String> {
    let path = format!("/users/{}/sessions", account.id.as_deref().unwrap());
    let listed = fetch(client.get(&path).bearer(admin), 200)?;
    let ids = listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
    let ids: BTreeSet<_> = ids.collect();
    let known: BTreeSet<_> = account.sessions.keys().cloned().collect();
    let strangers: Vec<_> = ids.difference(&known).cloned().collect();
    if !known.is_subset(&ids) || strangers.len() != account.strangers {
        let more = account.strangers;
        return Err(format!("its sessions are {ids:?}, not {known:?} and {more} more"));
    }
    account.strangers = 0;
    account.sessions.extend(strangers.into_iter().map(|id| (id, Session::default())));
    Ok(())
}

fn lives(session: &Session, client: &Client) -> Result<(), String> {
    let good = |access: &str| match client.get("/users/me").bearer(access).try_send() {
        Ok(answer) => expect(&answer, 200, "a live session's token"),
        Err(error) => Err(format!("no answer: {error}")),
    };
    if let Some(current) = session.current()
        && session.doubt.is_none_or(|at| at.elapsed() < GRACE)
    {
        good(&current.access)?;
    }
    session.replaced().map_or(Ok(()), |replaced| good(&replaced.access))
}

fn posts(name: &str, account: &mut Account, listed: &Listed) -> Result<(), String> {
    let theirs = listed.posts.iter().filter(|(_, post)| post["author"] == name);
    let found: BTreeMap<_, _> = theirs.map(|(id, post)| (id.clone(), post.clone())).collect();
    let is_there = |(id, post): (&String, &Value)| found.get(id) == Some(post);
    if !account.posts.iter().all(is_there)
        || found.len() != account.posts.len() + account.lost_posts
    {
        let (posts, more) = (&account.posts, account.lost_posts);
        return Err(format!("its posts are {found:?}, not {posts:?} and {more} more"));
    }
    (account.posts, account.lost_posts) = (found, 0);
    Ok(())
}

fn dead(state: &State, client: &Client, dice: &mut Dice) -> Result<(), String> {
    let (old, last) = state.dead.split_at(state.dead.len().saturating_sub(DEAD_LAST));
    let old: Vec<_> = (0..DEAD_OLD).filter_map(|_| dice.pick(old)).collect();
    for token in last.iter().chain(old) {
        let call = match token {
            Dead::Access(token) => client.get("/users/me").bearer(token),
            Dead::Refresh(token) => client.post("/refresh").bearer(token),
        };
        let answer = call.try_send().map_err(|error| format!("no answer: {error}"))?;
        expect(&answer, 401, "a token that was dead")?;
    }
    Ok(())
}

/// Does what must be possible: users log in, names are free, sessions go on.
fn use_it(
    chapter: &mut Chapter,
    touched: Option<&str>,
    client: &Client,
    dice: &mut Dice,
) -> Result<(), String> {
    let accounts: Vec<_> = chapter.state.accounts.keys().cloned().collect();
    let touched = touched.filter(|name| chapter.state.accounts.contains_key(*name));
    let drawn = dice.pick(&accounts).filter(|_| dice.percent(20)).cloned();
    for name in touched.map(str::to_owned).into_iter().chain(drawn) {
        if chapter.state.accounts[&name].sessions.len() < SESSIONS_MAX {
            do_now(chapter, client, Deed::Login { name })?;
        }
    }
    let sessions = chapter.state.accounts.iter().flat_map(|(name, account)| {
        account.sessions.iter().map(move |(id, session)| (name.clone(), id.clone(), session))
    });
    let (doubtful, sure): (Vec<_>, Vec<_>) = sessions
        .filter(|(_, _, session)| !session.pairs.is_empty())
        .map(|(name, id, session)| (name, id, session.doubt))
        .partition(|(_, _, doubt)| doubt.is_some());
    let root = chapter.root();
    let drawn = dice.pick(&sure).filter(|(name, _, _)| *name != root).cloned();
    for (name, session, doubt) in doubtful.into_iter().chain(drawn) {
        // Past the grace, an exchange that was done and whose answer was lost makes the next one a reuse.
        if doubt.is_none_or(|at| at.elapsed() < GRACE) {
            let is_replaced = chapter.state.accounts[&name].sessions[&session].replaced().is_some();
            if is_replaced {
                let (name, session) = (name.clone(), session.clone());
                do_now(chapter, client, Deed::Replay { name, session })?;
            }
            do_now(chapter, client, Deed::Refresh { name, session })?;
        }
    }
    let free: Vec<_> = chapter.state.free.iter().cloned().collect();
    match dice.pick(&free).filter(|_| dice.percent(20)) {
        Some(name) => do_now(chapter, client, Deed::Register { name: name.clone() }),
        None => Ok(()),
    }
}

fn do_now(chapter: &mut Chapter, client: &Client, deed: Deed) -> Result<(), String> {
    let what = format!("{deed:?}");
    chapter.perform(client, deed)?;
    if chapter.pending.is_none() { Ok(()) } else { Err(format!("{what}: no answer")) }
}
