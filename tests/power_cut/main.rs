//! Power cuts: whatever was answered is there at the next start, whichever of the writes that were not synced
//! a power failure has left, lost or torn.
//!
//! A real server is recorded by `strace` while clients are at work, its first start and a second one
//! included. `disk` plays the record again on a disk that may fail, and draws what is left of it at many
//! moments; a fresh server is started on each such directory, and has to agree with the ledger of what its
//! clients had been answered by then. Skipped with a message where there is no `strace`, unless
//! `KEYSTILE_TEST_REQUIRE_TOOLS` is 1.
//!
//! `KEYSTILE_POWER_CUTS=5000` makes it long. `KEYSTILE_TEST_SEED` draws the same deeds and cuts again, but the
//! system's own timing is another; so a directory that was refused is kept, and named.

#![cfg(test)]

mod disk;
#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../ledger/mod.rs"]
mod ledger;
mod record;
#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod trace;

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Instant;

use crate::disk::failure::{Fate, Image};
use crate::ledger::deed::password;
use crate::ledger::{Ledger, indexes_agree, number_from};
use crate::record::{Record, Replay};
use crate::support::dice::Dice;
use crate::support::{Server, tools};

/// How many cuts are made of one record.
const CUTS_PER_RECORD: usize = 50;
/// And of the recovery from one of them.
const CUTS_PER_RECOVERY: usize = 17;
/// How many are made of one that must lose something.
const CUTS_THAT_LOSE: usize = 8;
/// How many servers are tried at a time.
const TRIALS: usize = 2;

/// A directory as a power cut left it, and what must be found in it.
struct State {
    image: Image,
    ledger: Ledger,
    dice: Dice,
    description: String,
}

/// What a power cut took, and what it left.
struct Loss {
    what: String,
    image: Image,
}

#[test]
fn whatever_was_answered_survives_a_power_cut() {
    if !tools::strace() {
        return;
    }
    let cuts = number_from("KEYSTILE_POWER_CUTS", 200);
    let mut dice = Dice::from_environment();
    let (began, mut done) = (Instant::now(), 0);
    while done < cuts {
        let record = if dice.percent(50) {
            Record::of_a_first_start(&[], &mut dice)
        } else {
            Record::of_an_old_database(&mut dice)
        };
        done += cut(&record, CUTS_PER_RECORD.min(cuts - done), &mut dice);
        let moment = record.moment(&mut dice);
        let image = Replay::until(&record, moment).disk.fail(fate(&mut dice), &mut dice);
        let recovery = Record::of_a_recovery(&image, record.ledger_at(moment));
        done += cut(&recovery, CUTS_PER_RECOVERY.min(cuts - done), &mut dice);
        println!("{done} of {cuts} cuts, {} s", began.elapsed().as_secs());
    }
}

/// Cuts the power so many times, none of which may lose anything.
#[track_caller]
fn cut(record: &Record, count: usize, dice: &mut Dice) -> usize {
    let cuts = (0..count).map(|_| (record.moment(dice), fate(dice))).collect();
    let lost = try_all(record, None, cuts, dice);
    assert!(lost.is_empty(), "{} of {count} cuts lost something: {}", lost.len(), keep(lost));
    count
}

#[test]
fn without_a_sync_the_same_cuts_lose_what_was_answered() {
    if !tools::strace() {
        return;
    }
    let mut dice = Dice::from_environment();
    let record = Record::of_a_first_start(&[("KEYSTILE_STORAGE__DURABILITY", "flush")], &mut dice);
    assert_loses(&record, None, &mut dice);
}

#[test]
fn with_a_sync_that_does_nothing_the_same_cuts_lose_what_was_answered() {
    if !tools::strace() {
        return;
    }
    let mut dice = Dice::from_environment();
    let record = Record::of_a_first_start(&[], &mut dice);
    for without in ["fdatasync", "fsync"] {
        assert_loses(&record, Some(without), &mut dice);
    }
}

#[track_caller]
fn assert_loses(record: &Record, without: Option<&'static str>, dice: &mut Dice) {
    let cuts = (0..CUTS_THAT_LOSE).map(|_| (record.answer(dice), Fate::Lost)).collect();
    let lost = try_all(record, without, cuts, dice);
    assert!(!lost.is_empty(), "no cut lost anything: this test could not fail");
    println!("as it must be, {} of {CUTS_THAT_LOSE} lose something: {}", lost.len(), lost[0].what);
}

fn fate(dice: &mut Dice) -> Fate {
    match dice.below(10) {
        0..=2 => Fate::Lost,
        3 => Fate::Kept,
        4..=6 => Fate::Late,
        _ => Fate::Each,
    }
}

/// What the servers started after these cuts did not show.
fn try_all(
    record: &Record,
    without: Option<&'static str>,
    mut cuts: Vec<(usize, Fate)>,
    dice: &mut Dice,
) -> Vec<Loss> {
    cuts.sort_unstable_by_key(|(moment, _)| *moment);
    let (sender, states) = mpsc::sync_channel::<State>(TRIALS);
    let states = Mutex::new(states);
    let next = || states.lock().unwrap().recv().ok();
    std::thread::scope(|scope| {
        let work = || std::iter::from_fn(next).filter_map(State::lost).collect::<Vec<_>>();
        let trials: Vec<_> = (0..TRIALS).map(|_| scope.spawn(work)).collect();
        let mut replay = Replay::new(record, without);
        for (moment, fate) in cuts {
            replay.play(moment);
            let image = replay.disk.fail(fate, dice);
            let (ledger, dice) = (record.ledger_at(moment), dice.fork());
            let risk = replay.disk.at_risk();
            let description =
                format!("{}, {risk} changes not safe, {fate:?}", record.describe(moment));
            sender.send(State { image, ledger, dice, description }).unwrap();
        }
        drop(sender);
        trials.into_iter().flat_map(|trial| trial.join().unwrap()).collect()
    })
}

impl State {
    /// What a server started on it does not show.
    fn lost(mut self) -> Option<Loss> {
        let lost = self.open().err()?;
        Some(Loss { what: format!("{}: {lost}", self.description), image: self.image })
    }

    fn open(&mut self) -> Result<(), String> {
        let workplace = Ledger::workplace();
        self.image.write(&workplace.path(""));
        let command = workplace.command(&["serve", "--listen", "127.0.0.1:0"]);
        let server = Server::try_start(command)
            .map_err(|ended| format!("it does not start: {}", ended.stderr))?;
        self.ledger.settle(&workplace, &server, &mut self.dice)?;
        if self.ledger.chapters.iter().all(|chapter| chapter.admin().is_none()) {
            server.client().register("afterwards", &password(0));
        }
        server.kill();
        indexes_agree(&workplace)
    }
}

/// Puts directories where they can be looked at, and tells what was lost in each.
fn keep(losses: Vec<Loss>) -> String {
    let tell = |loss: Loss| {
        let kept = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
        loss.image.write(&kept);
        format!("\n{}\n  kept in {}", loss.what.trim_end(), kept.display())
    };
    losses.into_iter().map(tell).collect()
}
