//! `kill -9` while clients are at work: whatever was answered is there at the next start, what was not
//! answered is there as a whole or not at all, and the indexes agree.
//!
//! The server is killed at a random moment, or by `strace` as it enters a chosen system call: of a request
//! read (before the change is applied), of the log written (before it is flushed), synced, or an answer
//! sent; and while it starts for the first time, recovers from the kill before, compacts, or rotates its
//! keys. Without `strace` there is the random moment only, unless `KEYSTILE_TEST_REQUIRE_TOOLS` is 1.
//!
//! `KEYSTILE_CRASH_ROUNDS=1000` makes it long, `KEYSTILE_TEST_SEED` draws the same again.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../ledger/mod.rs"]
mod ledger;
#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::ledger::deed::Deed;
use crate::ledger::{Ledger, indexes_agree, number_from, strace};
use crate::support::dice::Dice;
use crate::support::{Server, Workplace, run, tools};

/// How many clients there are.
const CLIENTS: u64 = 4;
/// After how many rounds a new database is begun.
const ROUNDS_PER_DATABASE: usize = 25;
/// How many things are done in a round at most.
const DEEDS_MAX: usize = 60;
/// How many posts each client writes and deletes to age a database, so that its log is one of many segments.
const POSTS: usize = 40;
/// What a start or a compaction asks of the system at the store, and about how often.
const CALLS_AT_THE_STORE: [(&str, usize); 2] = [
    (
        "pread64,pwrite64,ftruncate,mkdir,rename,unlink,fsync,fdatasync,sync_file_range,flock,bind",
        45,
    ),
    ("write", 60),
];

/// When the server of a round is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// At any.
    Any,
    /// Entering one of so many system calls of this name.
    Entering(&'static str, usize),
    /// At any, and then while it recovers, so many times in a row.
    Recovering(usize),
    /// At any, and then while this command of `keystile` rewrites the database or the keys.
    Running(&'static [&'static str]),
}

/// The first ones need no `strace`.
const MOMENTS_WITHOUT_STRACE: usize = 2;

const MOMENTS: [Moment; 10] = [
    Moment::Any,
    Moment::Any,
    Moment::Entering("recvfrom", 40),
    Moment::Entering("pwrite64", 20),
    Moment::Entering("sync_file_range", 20),
    Moment::Entering("fdatasync", 30),
    Moment::Entering("sendto", 25),
    Moment::Recovering(2),
    Moment::Running(&["compact"]),
    Moment::Running(&["keys", "rotate"]),
];

#[test]
fn whatever_was_answered_survives_a_kill_at_any_moment() {
    let rounds = number_from("KEYSTILE_CRASH_ROUNDS", 50);
    let mut dice = Dice::from_environment();
    let moments = if tools::strace() { &MOMENTS[..] } else { &MOMENTS[..MOMENTS_WITHOUT_STRACE] };
    let (began, mut done) = (Instant::now(), 0);
    while done < rounds {
        let count = ROUNDS_PER_DATABASE.min(rounds - done);
        let deeds = live_through(count, moments, &mut dice);
        done += count;
        println!("{done} of {rounds} rounds, {deeds} deeds, {} s", began.elapsed().as_secs());
    }
}

/// What is lost is as if it had not been done: the data directory is one from before it.
#[test]
fn what_was_answered_and_is_gone_is_found_out() {
    /// Made of the administrator's name and sessions.
    type Lost = fn(String, &[String]) -> Deed;
    let losses: [(Lost, &str); 3] = [
        (|_, _| Deed::Register { name: "c0-lost".to_owned() }, "the users are"),
        (
            |name, sessions| Deed::Publish { name, session: sessions[0].clone(), bytes: 10 },
            "its posts are",
        ),
        (|name, sessions| Deed::Logout { name, session: sessions[1].clone() }, "its sessions are"),
    ];
    let copy = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
        assert!(done.success());
    };
    for (lost, complaint) in losses {
        let (workplace, mut ledger) = (Ledger::workplace(), Ledger::new(1));
        ledger.found(&workplace);
        let (name, kept) = (ledger.chapters[0].root(), workplace.path("kept"));
        let server = workplace.serve();
        for _ in 0..2 {
            let login = Deed::Login { name: name.clone() };
            ledger.chapters[0].perform(server.client(), login).unwrap();
        }
        server.stop();
        copy(&workplace.data(), &kept);

        let server = workplace.serve();
        let sessions = &ledger.chapters[0].state.accounts[&name].sessions;
        let sessions: Vec<_> = sessions.keys().cloned().collect();
        ledger.chapters[0].perform(server.client(), lost(name, &sessions)).unwrap();
        server.kill();
        std::fs::remove_dir_all(workplace.data()).unwrap();
        copy(&kept, &workplace.data());

        let server = workplace.serve();
        let problem = ledger.settle(&workplace, &server, &mut Dice::from_environment());
        let problem = problem.expect_err("nobody misses anything");
        assert!(problem.contains(complaint), "{problem}");
        server.kill();
    }
}

/// Kills the servers of one database so many times, from its first start on; what the clients did.
fn live_through(rounds: usize, moments: &[Moment], dice: &mut Dice) -> usize {
    let workplace = Ledger::workplace();
    let mut ledger = Ledger::new(CLIENTS);
    if moments.len() > MOMENTS_WITHOUT_STRACE {
        for _ in 0..dice.below(3) {
            die_while_starting(&workplace, dice);
        }
    }
    ledger.found(&workplace);
    if dice.percent(50) {
        let server = workplace.serve();
        ledger.age(server.client(), POSTS, dice);
        server.kill();
    }
    for round in 0..rounds {
        let moment = *dice.pick(moments).unwrap();
        die(&workplace, &mut ledger, moment, dice);
        revive(&workplace, &mut ledger, dice)
            .unwrap_or_else(|wrong| panic!("round {round}, killed at {moment:?}: {wrong}"));
    }
    ledger.chapters.iter().map(|chapter| chapter.history.len()).sum()
}

/// Starts the server, has the clients at work, and kills it.
fn die(workplace: &Workplace, ledger: &mut Ledger, moment: Moment, dice: &mut Dice) {
    let server = match moment {
        Moment::Any | Moment::Recovering(_) | Moment::Running(_) => workplace.serve(),
        Moment::Entering(calls, most) => {
            let nth = 1 + dice.below(most);
            let command = strace::killed_at(workplace, strace::SERVE, calls, nth);
            // It may be killed before it listens.
            let Ok(server) = Server::try_start(command) else { return };
            server
        }
    };
    let deeds = match moment {
        Moment::Entering(..) => DEEDS_MAX,
        _ => dice.below(DEEDS_MAX),
    };
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    ledger.work(server.client(), dice, deeds, || {
        // It may be dead already.
        let _ = kill_process(pid, Signal::KILL);
    });
    server.wait();
    match moment {
        Moment::Any | Moment::Entering(..) => {}
        Moment::Recovering(times) => (0..times).for_each(|_| die_while_starting(workplace, dice)),
        Moment::Running(command) => {
            let (calls, most) = *dice.pick(&CALLS_AT_THE_STORE).unwrap();
            let nth = 1 + dice.below(most);
            run(strace::killed_at(workplace, command, calls, nth), "");
        }
    }
}

fn die_while_starting(workplace: &Workplace, dice: &mut Dice) {
    let (calls, most) = *dice.pick(&CALLS_AT_THE_STORE).unwrap();
    let command = strace::killed_at(workplace, strace::SERVE, calls, 1 + dice.below(most));
    if let Ok(server) = Server::try_start(command) {
        server.kill();
    }
}

/// Starts the server again, and sees whether it shows what it must.
fn revive(workplace: &Workplace, ledger: &mut Ledger, dice: &mut Dice) -> Result<(), String> {
    if dice.percent(30) {
        indexes_agree(workplace)?;
    }
    let server = workplace.serve();
    ledger.settle(workplace, &server, dice)?;
    server.kill();
    indexes_agree(workplace)
}
