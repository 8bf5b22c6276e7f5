//! Durable writing alone: many clients, one thread that appends what they hand it to a file and syncs it
//! before it answers, all that waits at once.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// About what the server writes for a refresh: a session.
const RECORD: [u8; 300] = [b'.'; 300];
/// As many steps as the server commits together at most.
const BATCH_MAX: usize = 256;

/// Whom to answer once the record is on disk.
type Done = Sender<()>;

/// Appends for `clients` threads whenever asked to.
pub fn serve(clients: usize) -> Result<()> {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR"))?;
    super::obey(|span| {
        let until = Instant::now() + span;
        let (queue, waiting) = channel::<Done>();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..clients)
                .map(|_| {
                    let queue = queue.clone();
                    scope.spawn(move || append(&queue, until))
                })
                .collect();
            // The writer ends with the last client.
            drop(queue);
            write(&waiting, &mut file)?;
            let mut all = Vec::new();
            for client in clients {
                all.extend(client.join().map_err(|_| anyhow!("a client panicked"))??);
            }
            Ok(all)
        })
    })
}

fn append(queue: &Sender<Done>, until: Instant) -> Result<Vec<Duration>> {
    let (done, answer) = channel();
    let mut times = Vec::new();
    let mut begun = Instant::now();
    while begun < until {
        queue.send(done.clone()).map_err(|_| anyhow!("the writer has ended"))?;
        answer.recv()?;
        let now = Instant::now();
        times.push(now - begun);
        begun = now;
    }
    Ok(times)
}

fn write(waiting: &Receiver<Done>, file: &mut File) -> Result<()> {
    while let Ok(first) = waiting.recv() {
        let batch: Vec<_> =
            std::iter::once(first).chain(waiting.try_iter().take(BATCH_MAX - 1)).collect();
        file.write_all(&RECORD.repeat(batch.len()))?;
        file.sync_data()?;
        for done in batch {
            // A client that has ended needs no answer.
            done.send(()).ok();
        }
    }
    Ok(())
}
