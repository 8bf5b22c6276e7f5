//! The sled engine killed right after it acknowledged: nothing acknowledged is lost.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use keystile::auth::model::id::UserId;
use keystile::store::Store;
use keystile::store::sled::{OpenError, SledStore};

use crate::fixture::{Make, NOW, settings};

/// Names the directory to the test that plays the child.
const CHILD: &str = "KEYSTILE_TEST_KILLED";
/// Gives the child its seed.
const SEED: &str = "KEYSTILE_TEST_SEED";

/// Runs [`until_it_is_killed`] in a process that is killed after `count` acknowledgements.
fn killed_after(path: &Path, seed: usize, count: usize) -> Vec<UserId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sled_kill::until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ids = lines.filter_map(|line| Some(line.strip_prefix("ok ")?.parse::<UserId>().unwrap()));
    let acknowledged = ids.take(count).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged
}

#[tokio::test]
async fn a_store_killed_right_after_acknowledging_has_lost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![];
    for round in 1..=5 {
        acknowledged.extend(killed_after(directory.path(), round, 10 * round));
        let store = SledStore::open(&settings(directory.path())).unwrap();
        for id in &acknowledged {
            let user = store.user(*id).await.unwrap().unwrap();
            let by_name = store.user_by_name(&user.username).await;
            assert_eq!(by_name, Ok(Some(user)), "the indexes agree");
            assert_eq!(store.sessions_of(*id, NOW).await.unwrap().len(), 1);
        }
        store.close().await;
    }
    assert_eq!(acknowledged.len(), 150);
}

#[tokio::test]
async fn a_database_emptied_after_a_kill_does_not_come_up_as_a_fresh_one() {
    let directory = tempfile::tempdir().unwrap();
    killed_after(directory.path(), 1, 10);
    let file = directory.path().join("db/db");
    for length in [100, 0] {
        File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
        let opened = SledStore::open(&settings(directory.path()));
        assert!(matches!(opened, Err(OpenError::Damaged { .. })));
        assert_eq!(std::fs::metadata(&file).unwrap().len(), length, "it was written to");
    }
}

/// The child's part: adds users with a session each and reports them until it is killed.
#[tokio::test]
async fn until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let seed = std::env::var_os(SEED).unwrap().into_string().unwrap();
    let store = SledStore::open(&settings(path.as_ref())).unwrap();
    let make = Make::seeded(seed.parse().unwrap());
    for number in 0.. {
        let user = make.user(&format!("user{seed}-{number}"));
        store.create_user(user.clone(), None, vec![]).await.unwrap();
        let session = make.session(&user, NOW);
        store.open_session(make.open(&session, 9, NOW)).await.unwrap();
        println!("\nok {}", user.id);
    }
}
