//! The size of the sled engine's file under steady churn: logins, refreshes and expiries at a constant number
//! of live sessions.
//!
//! Simulated time goes by far faster than real time, by which sled's own garbage collection works.
//! `KEYSTILE_CHURN_SESSIONS` and `KEYSTILE_CHURN_HOURS` make it as large and as long as wanted, and
//! `KEYSTILE_CHURN_RATE` says how many changes are made in a real second: what a server of 20,000 live sessions
//! has in a day are 8.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keystile::auth::model::session::{Rotation, Session};
use keystile::auth::model::user::User;
use keystile::clock::Timestamp;
use keystile::store::StoreError;
use keystile::store::sled::{SledStore, compact};
use tokio::task::JoinSet;

use crate::fixture::{AnyStore, Make, NOW, settings};

/// How often a session is refreshed, and how often in all.
const REFRESH_EVERY: u64 = 15 * 60;
const REFRESHES: u64 = 8;
/// How long a session lives after its last refresh.
const IDLE: u64 = 4 * 60 * 60;
/// How long a session lives in all.
const LIFE: u64 = REFRESHES * REFRESH_EVERY + IDLE;
/// How much simulated time one round covers.
const ROUND: u64 = 10;
/// How many changes are on their way at a time.
const AT_ONCE: usize = 64;

fn parameter(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |text| text.to_str().unwrap().parse().unwrap())
}

/// The work of simulated seconds, done by tasks.
struct Churn {
    store: AnyStore,
    make: Arc<Make>,
    users: Vec<User>,
    /// What is to be refreshed next at `.0`, for the `.1`th time: in order of time, since all wait equally.
    due: VecDeque<(u64, u64, Session)>,
    changes: u64,
}

impl Churn {
    async fn login(&mut self, second: u64, number: u64) {
        let user = &self.users[usize::try_from(number).unwrap() % self.users.len()];
        let session = timed(self.make.session(user, time(second)), second);
        let open = self.make.open(&session, 1000, time(second));
        self.store.open_session(open).await.unwrap();
        self.due.push_back((second + REFRESH_EVERY, 1, session));
        self.changes += 1;
    }

    /// Does what is due until `second`.
    async fn refresh(&mut self, second: u64) {
        let mut tasks: JoinSet<Result<(u64, u64, Session), StoreError>> = JoinSet::new();
        let mut done = Vec::new();
        while self.due.front().is_some_and(|(at, ..)| *at <= second) || !tasks.is_empty() {
            let is_due = self.due.front().is_some_and(|(at, ..)| *at <= second);
            if is_due && tasks.len() < AT_ONCE {
                let (at, count, session) = self.due.pop_front().unwrap();
                let mut rotate = self.make.rotate(&session, time(at));
                rotate.next.refresh_expires_at = time(at + IDLE);
                let store = Arc::clone(&self.store);
                tasks.spawn(async move {
                    match store.rotate(rotate).await? {
                        Rotation::Rotated(session) => Ok((at, count, session)),
                        other => panic!("{other:?}"),
                    }
                });
            } else {
                done.push(tasks.join_next().await.unwrap().unwrap().unwrap());
                self.changes += 1;
            }
        }
        done.sort_by_key(|(at, ..)| *at);
        let more = done.into_iter().filter(|(_, count, _)| *count < REFRESHES);
        self.due.extend(more.map(|(at, count, session)| (at + REFRESH_EVERY, count + 1, session)));
    }

    async fn sweep(&mut self, second: u64) {
        while !self.store.sweep(time(second), 256).await.unwrap().is_done {}
    }
}

fn time(second: u64) -> Timestamp {
    NOW.after(Duration::from_secs(second))
}

fn timed(mut session: Session, second: u64) -> Session {
    session.current.refresh_expires_at = time(second + IDLE);
    session.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64) churn".to_owned());
    session.ip = Some("198.51.100.23".to_owned());
    session
}

fn length(path: &Path) -> u64 {
    let name = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let directory = name.into_iter().find(|path| path.is_dir()).unwrap();
    std::fs::metadata(directory.join("db")).unwrap().len()
}

/// The memory that this process has in use, in MiB.
fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_stops_growing_under_steady_churn() {
    let live = parameter("KEYSTILE_CHURN_SESSIONS", 300);
    let hours = parameter("KEYSTILE_CHURN_HOURS", 12);
    let rate = parameter("KEYSTILE_CHURN_RATE", 1000);
    let directory = tempfile::tempdir().unwrap();
    let store: AnyStore = Arc::new(SledStore::open(&settings(directory.path())).unwrap());
    let make = Arc::new(Make::new());
    let mut users = Vec::new();
    for number in 0..(live / 4).max(1) {
        users.push(make.stored_user(&store, &format!("user{number}")).await);
    }
    let mut churn = Churn { store, make, users, due: VecDeque::new(), changes: 0 };
    let (mut logins, started) = (0, Instant::now());
    for second in (0..hours * 3600).step_by(usize::try_from(ROUND).unwrap()) {
        while logins * LIFE < second * live {
            churn.login(second, logins).await;
            logins += 1;
        }
        churn.refresh(second).await;
        churn.store.heartbeat(time(second)).await.unwrap();
        if second.is_multiple_of(60) {
            churn.sweep(second).await;
        }
        let due = Duration::from_millis(churn.changes * 1000 / rate);
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        if second.is_multiple_of(3600) {
            let bytes = length(directory.path());
            println!(
                "hour {:2}: {:7} changes, file {:9} bytes, {} MiB resident, {:.0} s",
                second / 3600,
                churn.changes,
                bytes,
                rss_mib(),
                started.elapsed().as_secs_f64(),
            );
        }
    }
    churn.store.close().await;
    drop(churn);
    let before = length(directory.path());
    let compacted = compact(&settings(directory.path()), &mut |_| ()).unwrap();
    println!("closed {before} bytes; {compacted:?}");
    // A few segments of 512 KiB are in use or free at any time, however little there is.
    let bound = 4 * compacted.bytes_after + (4 << 20);
    assert!(before <= bound, "{before} bytes of at most {bound}");
}
