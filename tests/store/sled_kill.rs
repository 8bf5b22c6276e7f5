//! The sled engine killed right after it acknowledged: nothing acknowledged is lost.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use keystile::auth::model::id::UserId;
use keystile::store::Store;
use keystile::store::sled::SledStore;

use crate::fixture::{Make, NOW, settings};

/// Names the directory to the test that plays the child.
const CHILD: &str = "KEYSTILE_TEST_KILLED";
/// Gives the child its seed.
const SEED: &str = "KEYSTILE_TEST_SEED";

#[tokio::test]
async fn a_store_killed_right_after_acknowledging_has_lost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<UserId> = vec![];
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sled_kill::until_it_is_killed", "--nocapture"])
            .env(CHILD, directory.path())
            .env(SEED, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ids =
            lines.filter_map(|line| Some(line.strip_prefix("ok ")?.parse::<UserId>().unwrap()));
        acknowledged.extend(ids.take(10 * round));
        child.kill().unwrap();
        child.wait().unwrap();

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

/// The child's part: adds users with a session each and reports them until it is killed.
#[tokio::test]
async fn until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let seed = std::env::var_os(SEED).unwrap().into_string().unwrap();
    let store = SledStore::open(&settings(path.as_ref())).unwrap();
    let make = Make::seeded(seed.parse().unwrap());
    for number in 0.. {
        let user = make.user(&format!("user{seed}-{number}"));
        store.create_user(user.clone(), vec![]).await.unwrap();
        let session = make.session(&user, NOW);
        store.open_session(session, 9, NOW, vec![]).await.unwrap();
        println!("\nok {}", user.id);
    }
}
