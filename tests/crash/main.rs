//! `kill -9` while clients are at work: whatever was answered is there at the next start, what was not
//! answered is there as a whole or not at all, and the indexes agree.
#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

use crate::support::dice::Dice;
use crate::support::ledger::Ledger;

#[test]
fn the_ledger_agrees_with_a_server_that_was_killed() {
    let mut dice = Dice::from_environment();
    let workplace = Ledger::workplace();
    let mut ledger = Ledger::new(4);
    ledger.found(&workplace);
    for round in 0..8 {
        let began = std::time::Instant::now();
        let server = workplace.serve();
        let started = began.elapsed();
        ledger.settle(&workplace, &server, &mut dice).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let settled = began.elapsed();
        let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
        let after = std::time::Duration::from_millis(u64::try_from(100 + dice.below(400)).unwrap());
        let killer = std::thread::spawn(move || {
            std::thread::sleep(after);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        ledger.work(server.client(), &mut dice, usize::MAX);
        killer.join().unwrap();
        println!("round {round}: {started:?} {settled:?} {:?} deeds {}", began.elapsed(), ledger.chapters.iter().map(|c| c.history.len()).sum::<usize>());
        drop(server);
    }
}
