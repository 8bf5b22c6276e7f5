//! The load: clients that do what they like to a few names at a time, with tokens old and new, and a server that
//! is killed and started again under them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::record::{Answer, Call, History, Numbers, Operation, Token};
use crate::request::{self, Request};
use crate::slot::{Held, News, Slot, Wish};
use crate::support::Workplace;
use crate::support::client::{Client, Pair};
use crate::support::dice::Dice;
use crate::support::token;

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse battery";
/// The administrator.
const ADMIN: &str = "root-admin";
/// How many ask at once.
const CLIENTS: usize = 8;
/// How many names they ask about in one life of the server.
const NAMES_AT_ONCE: usize = 10;
/// How many operations a name sees, about.
const OPS_PER_NAME: usize = 250;
/// How many operations the server lives through at most.
const OPS_PER_LIFE: usize = 400;

/// What to do.
pub struct Plan {
    /// Decides every choice, but not what happens at the same time.
    pub seed: u64,
    /// How many operations.
    pub ops: usize,
    /// The server's grace.
    pub grace: Duration,
}

/// What the clients share.
struct World {
    began: Instant,
    slots: Vec<Mutex<Slot>>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    history: History,
    users: Numbers<String>,
    sessions: Numbers<String>,
    pairs: Numbers<(String, String)>,
}

/// From one start of the server to its end.
struct Life {
    address: SocketAddr,
    /// The administrator's access token.
    admin: String,
    names: Vec<usize>,
    ops: usize,
    begun: AtomicUsize,
    /// The operation during which the server is killed.
    killed_at: Option<usize>,
    kill: mpsc::Sender<()>,
}

/// Has the clients do as planned; what they recorded.
pub fn run(plan: &Plan) -> History {
    let workplace = Workplace::new();
    let grace = plan.grace.as_secs();
    workplace.write(
        "config.toml",
        &format!(
            "[tokens]\nrefresh_grace = '{grace}s'\n[sessions]\nmax_per_user = 1000\n\
             [passwords]\nqueue = 64\nqueue_timeout = '10s'\n[log]\nlevel = 'error'\n\
             [throttle]\nenabled = false\n"
        ),
    );
    workplace.add_user(ADMIN, PASSWORD, "admin");
    let names = plan.ops.div_ceil(OPS_PER_NAME).max(NAMES_AT_ONCE);
    let slots = (0..names).map(Slot::new).collect();
    let world = World { began: Instant::now(), slots, record: Mutex::default() };
    let mut dice = Dice::new(plan.seed);
    let mut left = plan.ops;
    while left > 0 {
        left -= world.live(&workplace, &mut dice, left.min(OPS_PER_LIFE));
    }
    world.record.into_inner().unwrap().history
}

impl World {
    /// Starts the server, lets the clients at it, and ends it one way or the other; how much was begun.
    fn live(&self, workplace: &Workplace, dice: &mut Dice, ops: usize) -> usize {
        let server = workplace.serve();
        let admin = server.client().login(ADMIN, PASSWORD).access;
        let names = (0..NAMES_AT_ONCE).map(|_| dice.below(self.slots.len())).collect();
        let killed_at = (dice.below(4) > 0).then(|| dice.below(ops));
        let (kill, killing) = mpsc::channel();
        let (address, begun) = (server.address(), AtomicUsize::new(0));
        let life = Life { address, admin, names, ops, begun, killed_at, kill };
        std::thread::scope(|scope| {
            let Life { kill, .. } = &life;
            let ended = kill.clone();
            let clients = (0..CLIENTS).map(|number| {
                let (life, mut dice) = (&life, dice.fork());
                scope.spawn(move || self.client(number, life, &mut dice))
            });
            let clients: Vec<_> = clients.collect();
            scope.spawn(move || {
                let all = clients.into_iter().map(std::thread::ScopedJoinHandle::join);
                let is_sound = all.fold(true, |sound, client| sound & client.is_ok());
                let _ = ended.send(());
                assert!(is_sound, "a client failed");
            });
            // Killed in the middle, or after all are done.
            killing.recv().unwrap();
            if life.killed_at.is_some() { server.kill() } else { drop(server.stop()) }
        });
        self.record.lock().unwrap().bury(self.now(), life.killed_at.is_some());
        life.begun.load(Ordering::Relaxed).min(ops)
    }

    fn client(&self, number: usize, life: &Life, dice: &mut Dice) {
        let client = Client::new(life.address);
        loop {
            let operation = life.begun.fetch_add(1, Ordering::Relaxed);
            if operation >= life.ops {
                return;
            }
            if life.killed_at == Some(operation) {
                life.kill.send(()).unwrap();
            }
            // A few names again and again, so that the clients get in each other's way, and the others now
            // and then, so that a grace is over before somebody comes back.
            let among = 1 + dice.below(life.names.len());
            let place = dice.below(among);
            let slot = &self.slots[life.names[place]];
            let (name, wish) = {
                let slot = slot.lock().unwrap();
                (slot.number, slot.choose(dice))
            };
            let username = format!("name{name}");
            let request = Request::new(&wish, &username, &life.admin);
            let invoked = self.now();
            let answered = request.send(&client);
            let returned = self.now();
            let is_gone = answered.is_err();
            let mut record = self.record.lock().unwrap();
            let read = answered.ok().map(|answer| (answer.status, request::body(&answer)));
            let entry = Entry { name, client: number, wish, invoked, returned };
            let learnt = record.enter(&entry, read, &username);
            drop(record);
            if let Some((call, answer, news)) = learnt {
                slot.lock().unwrap().learn(call, answer, news);
            }
            if is_gone {
                return;
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }
}

/// What is to be recorded.
struct Entry {
    name: usize,
    client: usize,
    wish: Wish,
    invoked: u64,
    returned: u64,
}

impl Record {
    /// The server is gone: what is unanswered can happen no more.
    fn bury(&mut self, now: u64, is_kill: bool) {
        if is_kill {
            self.history.kills.push(now);
        }
        for operation in self.history.names.values_mut().flatten() {
            if operation.answer.is_none() && operation.returned == u64::MAX {
                operation.returned = now;
            }
        }
    }

    /// Records an operation; what there is to learn from its answer.
    fn enter(
        &mut self,
        entry: &Entry,
        read: Option<(u16, Value)>,
        username: &str,
    ) -> Option<(Call, Answer, Option<News>)> {
        match (&entry.wish, &read) {
            (Wish::List(held, among), Some((status, body))) => {
                self.enter_list(entry, held, among, *status, body);
                return None;
            }
            (Wish::List(..), None) => return None,
            // Its bearer is one thing, and what it ends another.
            (Wish::End(held, _), Some((401, _))) => {
                self.push(entry, Call::Check(last(held)), Some(Answer::Refused));
                return None;
            }
            (Wish::End(held, _), Some(_)) => {
                self.push(entry, Call::Check(last(held)), Some(Answer::Done));
            }
            _ => {}
        }
        let call = match &entry.wish {
            Wish::Register => Call::Register,
            Wish::Login => Call::Login,
            Wish::Use(call, held, pair) => call(presented(held, *pair)),
            Wish::End(_, other) => Call::End(other.session),
            Wish::Administer(call, user, _) => call(*user),
            Wish::List(..) => unreachable!(),
        };
        let (answer, news) = match read {
            Some((status, body)) => {
                let (answer, news) = self.read(call, status, &body, username);
                (Some(answer), news)
            }
            None => (None, None),
        };
        self.push(entry, call, answer);
        Some((call, answer?, news))
    }

    fn push(&mut self, entry: &Entry, call: Call, answer: Option<Answer>) {
        let Entry { name, client, invoked, returned, .. } = *entry;
        let returned = if answer.is_some() { returned } else { u64::MAX };
        let operation = Operation { client, call, answer, invoked, returned };
        self.history.names.entry(name).or_default().push(operation);
    }

    fn enter_list(
        &mut self,
        entry: &Entry,
        held: &Held,
        among: &[Held],
        status: u16,
        body: &Value,
    ) {
        let check = if status == 200 { Answer::Done } else { Answer::Refused };
        self.push(entry, Call::Check(last(held)), Some(check));
        let Some(listed) = body.as_array().filter(|_| status == 200) else { return };
        for session in among {
            let is_listed = listed.iter().any(|listed| listed["id"] == session.sid.as_str());
            let answer = if is_listed { Answer::Done } else { Answer::Refused };
            self.push(entry, Call::Listed(session.session), Some(answer));
        }
    }

    fn read(
        &mut self,
        call: Call,
        status: u16,
        body: &Value,
        username: &str,
    ) -> (Answer, Option<News>) {
        match (call, status) {
            (Call::Register, 201) => {
                let user = body["id"].as_str().unwrap().to_owned();
                let pair = Pair { access: String::new(), refresh: String::new() };
                let news = News { user: user.clone(), session: String::new(), pair };
                (Answer::User(self.users.of(user)), Some(news))
            }
            (Call::Login | Call::Refresh(_), 200) => self.pair(Pair::of(body)),
            (Call::Check(_), 200) => {
                assert_eq!(body["username"], username);
                (Answer::Done, None)
            }
            (Call::End(..), 404) => (Answer::Missing, None),
            (Call::Register, 409)
            | (Call::Login, 400)
            | (Call::Refresh(_) | Call::Check(_) | Call::Logout(_) | Call::End(..), 401)
            | (Call::Disable(_) | Call::Enable(_) | Call::Delete(_), 404) => {
                (Answer::Refused, None)
            }
            (
                Call::Logout(_)
                | Call::RevokeAccess(_)
                | Call::RevokeRefresh(_)
                | Call::Disable(_)
                | Call::Enable(_),
                200,
            )
            | (Call::End(..) | Call::Delete(_), 204) => (Answer::Done, None),
            _ => panic!("{call}: {status} {body}"),
        }
    }

    fn pair(&mut self, pair: Pair) -> (Answer, Option<News>) {
        let [access, refresh] = [&pair.access, &pair.refresh].map(|token| token::claims(token));
        let text = |claims: &Value, name: &str| claims[name].as_str().unwrap().to_owned();
        for name in ["sub", "sid"] {
            assert_eq!(access[name], refresh[name]);
        }
        let (user, session) = (text(&access, "sub"), text(&access, "sid"));
        let answer = Answer::Pair {
            user: self.users.of(user.clone()),
            session: self.sessions.of(session.clone()),
            pair: self.pairs.of((text(&access, "jti"), text(&refresh, "jti"))),
        };
        (answer, Some(News { user, session, pair }))
    }
}

fn presented(held: &Held, pair: usize) -> Token {
    Token { session: held.session, pair: held.pairs[pair].0 }
}

fn last(held: &Held) -> Token {
    presented(held, held.pairs.len() - 1)
}
