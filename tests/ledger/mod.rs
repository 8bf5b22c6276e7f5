//! The ledger: clients that do random things to a real server, and what any server that comes after it
//! must show, however the first one ended.
//!
//! Each client is a [`chapter`](self::chapter) with users of its own, to whom it does one thing at a time;
//! many clients at once are what fills the writer's batches. What a deed changes stands in `state`, how it
//! is asked for in `deed`, and what is looked at afterwards in `check`.

pub mod chapter;
mod check;
pub mod deed;
mod state;
pub mod strace;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::chapter::Chapter;
use self::check::Listed;
use self::deed::{Deed, password};
use crate::support::client::Client;
use crate::support::dice::Dice;
use crate::support::{Server, Workplace, run};

/// What the server of a ledger is configured with: the cheapest hash there is, the longest grace, and a
/// sweeper that is always at work. Whether a password is right is asked about all the time.
const CONFIG: &str = "[tokens]\nrefresh_grace = '60s'\n[sessions]\nsweep_interval = '100ms'\n[log]\nlevel = 'error'\n\
                      [passwords]\nmemory_kib = 12288\niterations = 3\nworkers = 2\n\
                      [throttle]\nenabled = false\n";

/// What all clients did.
#[derive(Clone)]
pub struct Ledger {
    /// The clients.
    pub chapters: Vec<Chapter>,
}

impl Ledger {
    /// The ledger of `clients` that have done nothing yet.
    pub fn new(clients: u64) -> Self {
        Self { chapters: (0..clients).map(Chapter::new).collect() }
    }

    /// Whether nothing was done yet.
    pub fn is_blank(&self) -> bool {
        self.chapters.iter().all(|chapter| chapter.history.is_empty())
    }

    /// A place for a server that is cheap to drive.
    pub fn workplace() -> Workplace {
        let workplace = Workplace::new();
        workplace.write("config.toml", CONFIG);
        workplace
    }

    /// Makes the administrator of each client, by the operator's command.
    #[track_caller]
    pub fn found(&mut self, workplace: &Workplace) {
        for chapter in &mut self.chapters {
            workplace.add_user(&chapter.root(), &password(0), "admin");
            chapter.found();
        }
    }

    /// Has the clients do `deeds` things in all, and then calls `at_end` while others are still at it; or
    /// less, if the server goes away.
    #[track_caller]
    pub fn work(
        &mut self,
        client: &Client,
        dice: &mut Dice,
        deeds: usize,
        at_end: impl Fn() + Sync,
    ) {
        let (done, at_end) = (AtomicUsize::new(0), &at_end);
        let may = &|| {
            let number = done.fetch_add(1, Ordering::Relaxed);
            if number == deeds {
                at_end();
            }
            number < deeds
        };
        self.each(dice, |chapter, dice| chapter.work(client, dice, may)).unwrap();
    }

    /// Has every client fill the database's log with `posts` posts, nearly all of which are gone at the end.
    #[track_caller]
    pub fn age(&mut self, client: &Client, posts: usize, dice: &mut Dice) {
        self.each(dice, |chapter, _| chapter.age(client, posts)).unwrap();
    }

    /// Sees whether `server` shows all that was done, and settles what was left open.
    ///
    /// # Errors
    /// What it shows instead.
    pub fn settle(
        &mut self,
        workplace: &Workplace,
        server: &Server,
        dice: &mut Dice,
    ) -> Result<(), String> {
        let client = server.client();
        self.admit(workplace, client)?;
        let Some(admin) = self.chapters.iter().find_map(|chapter| chapter.admin()) else {
            return Ok(());
        };
        let listed = Listed::of(client, admin)?;
        for name in listed.names() {
            if !self.chapters.iter().any(|chapter| name.starts_with(&chapter.prefix)) {
                return Err(format!("nobody made the user {name}"));
            }
        }
        self.each(dice, |chapter, dice| check::settle(chapter, client, &listed, dice))
    }

    /// Has all clients do something at once.
    fn each(
        &mut self,
        dice: &mut Dice,
        deed: impl Fn(&mut Chapter, &mut Dice) -> Result<(), String> + Sync,
    ) -> Result<(), String> {
        let deed = &deed;
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let start = |chapter| {
                let mut dice = dice.fork();
                scope.spawn(move || deed(chapter, &mut dice))
            };
            let started: Vec<_> = self.chapters.iter_mut().map(start).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let wrong: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Logs every administrator in that can be, and finds out which of them are there if that is open.
    fn admit(&mut self, workplace: &Workplace, client: &Client) -> Result<(), String> {
        let is_open = |chapter: &Chapter| !chapter.state.accounts.contains_key(&chapter.root());
        let names = if self.chapters.iter().any(is_open) { names(workplace)? } else { [].into() };
        for chapter in &mut self.chapters {
            let name = chapter.root();
            if is_open(chapter) && names.contains(&name) {
                let Some((Deed::Found { .. }, at)) = chapter.pending.take() else {
                    return Err(format!("nobody made the user {name}"));
                };
                chapter.state.apply(&Deed::Found { name: name.clone() }, at, None);
            } else if is_open(chapter) {
                chapter.pending = None;
            }
            if !is_open(chapter) && chapter.admin().is_none() {
                let pending = chapter.pending.take();
                chapter.perform(client, Deed::Login { name })?;
                chapter.pending = pending;
            }
        }
        Ok(())
    }
}

/// The names of all users, as the operator sees them.
fn names(workplace: &Workplace) -> Result<BTreeSet<String>, String> {
    let ended = run(workplace.command(&["users", "list", "--json"]), "");
    if ended.status != Some(0) {
        return Err(format!("the users cannot be listed: {}", ended.stderr));
    }
    let users: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout).unwrap();
    Ok(users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect())
}

/// Sees whether the indexes of the database that no server has open agree.
///
/// # Errors
/// What does not agree.
pub fn indexes_agree(workplace: &Workplace) -> Result<(), String> {
    let ended = workplace.run(&["check"]);
    if ended.status == Some(0) { Ok(()) } else { Err(format!("the check says: {}", ended.stderr)) }
}

/// The number in the environment variable `name`, if it is set.
pub fn number_from(name: &str, otherwise: usize) -> usize {
    let given = std::env::var_os(name).map(|text| text.into_string().unwrap());
    given.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
