//! Damaged files: a bit flipped, a file cut off, emptied, removed or another instance's.
//!
//! Whatever happens to one file, the start is refused with one line and the database left as it was found (but
//! for a log cut off after a kill), or all that was acknowledged is there, or what cannot be read is denied. Nothing vanishes and nothing that
//! has ended comes back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::scene::{End, Outcome, Scene, copy};
use crate::support::Workplace;
use crate::support::client::Client;
use crate::support::dice::Dice;
use crate::{PASSWORD, SEED, number, seed};

/// Names how many bits are flipped in each file, and at how many lengths it is cut off.
const FLIPS: &str = "KEYSTILE_FAULTS_FLIPS";
/// How many unless it says otherwise.
const FLIPS_DEFAULT: usize = 8;

fn flips() -> usize {
    number(FLIPS).map_or(FLIPS_DEFAULT, |flips| usize::try_from(flips).unwrap())
}

/// A short life of a server; a long one and a short one, of which sled replays only the second at the next
/// start; and two long ones.
async fn scenes(end: End) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for lives in [&[0][..], &[150, 0], &[300, 300]] {
        scenes.push(Scene::new(seed(), lives, end).await);
    }
    scenes
}

/// What came of each file, counted.
#[derive(Default)]
struct Tally(BTreeMap<(PathBuf, &'static str), usize>);

impl Tally {
    #[track_caller]
    fn add(&mut self, file: &Path, what: &str, outcome: Outcome) {
        let kind = match outcome {
            Outcome::Refused { line, changed } => {
                assert!(!line.contains('\n'), "{line}");
                let changed = changed.iter().find(|file| !file.ends_with("keystile.lock"));
                assert_eq!(changed, None, "{SEED}={} {what}: changed, {line}", seed());
                "refused"
            }
            Outcome::Served => "served",
            Outcome::Denied => "denied",
            Outcome::False(wrong) => panic!("{SEED}={} {what}: {wrong}", seed()),
        };
        *self.0.entry((file.to_owned(), kind)).or_default() += 1;
    }

    fn tell(&self) {
        for ((file, kind), count) in &self.0 {
            println!("{:30} {kind:8} {count}", file.display());
        }
    }
}

async fn flip_bits(scene: &Scene) {
    let (mut dice, mut tally) = (Dice::new(seed()), Tally::default());
    for file in scene.files() {
        let sound = scene.read(&file);
        for _ in 0..if sound.is_empty() { 0 } else { flips() } {
            let bit = dice.below(sound.len() * 8);
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let outcome = scene.after(|data| fs::write(data.join(&file), bytes).unwrap()).await;
            tally.add(&file, &format!("bit {bit} of {}", file.display()), outcome);
        }
    }
    tally.tell();
}

#[tokio::test]
async fn after_an_orderly_end_a_flipped_bit_makes_no_answer_false() {
    for scene in scenes(End::Closed).await {
        flip_bits(&scene).await;
    }
}

#[tokio::test]
async fn after_a_kill_a_flipped_bit_makes_no_answer_false() {
    for scene in scenes(End::Killed).await {
        flip_bits(&scene).await;
    }
}

async fn cut_off(scene: &Scene, end: End) {
    let (mut dice, mut tally) = (Dice::new(seed()), Tally::default());
    for file in scene.files() {
        let sound = scene.read(&file);
        let lengths = (0..flips()).map(|_| dice.below(sound.len() + 1));
        for length in lengths.chain([0, sound.len().saturating_sub(1)]) {
            let cut = &sound[..length];
            let mut outcome = scene.after(|data| fs::write(data.join(&file), cut).unwrap()).await;
            // Only an orderly end notes how long the log is; after a kill, it may be sled that misses a part.
            if let (Outcome::Refused { changed, .. }, End::Killed) = (&mut outcome, end)
                && file.ends_with("db/db")
            {
                changed.clear();
            }
            tally.add(&file, &format!("{length} bytes of {}", file.display()), outcome);
        }
        let outcome = scene.after(|data| fs::remove_file(data.join(&file)).unwrap()).await;
        tally.add(&file, &format!("{} removed", file.display()), outcome);
    }
    tally.tell();
}

#[tokio::test]
async fn a_file_cut_off_emptied_or_removed_makes_no_answer_false() {
    for end in [End::Closed, End::Killed] {
        for scene in scenes(end).await {
            cut_off(&scene, end).await;
        }
    }
}

#[tokio::test]
async fn a_file_of_another_instance_makes_no_answer_false() {
    for end in [End::Closed, End::Killed] {
        for (posts, scene) in
            [(150, 2), (100, 0)].into_iter().zip(scenes(end).await.into_iter().skip(1))
        {
            let other = Scene::new(seed() + 1, &[posts.0, posts.1], end).await;
            let mut tally = Tally::default();
            for file in other.files().into_iter().filter(|file| *file != other.snapshot()) {
                let bytes = other.read(&file);
                let outcome = scene.after(|data| fs::write(data.join(&file), bytes).unwrap()).await;
                tally.add(&file, &format!("{} swapped", file.display()), outcome);
            }
            let bytes = other.read(&other.snapshot());
            for name in [scene.snapshot(), other.snapshot()] {
                let swap = |data: &Path| {
                    fs::remove_file(data.join(scene.snapshot())).unwrap();
                    fs::write(data.join(&name), &bytes).unwrap();
                };
                let outcome = scene.after(swap).await;
                tally.add(&name, &format!("{} swapped", name.display()), outcome);
            }
            tally.tell();
        }
    }
}

/// How many posts there are, page by page, each with this content; nothing if a page is denied.
fn count_posts(client: &Client, content: &str) -> Option<usize> {
    let (mut count, mut path) = (0, "/posts?limit=100".to_owned());
    loop {
        let answer = client.get(&path).send();
        if answer.status == 503 {
            return None;
        }
        let page = answer.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["content"] == content), "a flipped bit is served");
        count += items.len();
        let Some(next) = page["next"].as_str() else { return Some(count) };
        path = format!("/posts?limit=100&after={next}");
    }
}

/// The real server, with bits flipped in what sled does not replay: found out when it is read.
#[test]
fn a_record_that_cannot_be_read_is_denied_and_the_server_ends() {
    const POSTS: usize = 900;
    const SEGMENT_BYTES: usize = 512 << 10;
    let workplace = Workplace::new();
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    let pair = server.client().login("alice", PASSWORD);
    let content = "x".repeat(3000);
    let post = json!({ "title": "a title", "content": &content });
    server.stop();
    // Each start makes a snapshot, so that the next does not replay what was written before.
    for _ in 0..3 {
        let server = workplace.serve();
        for _ in 0..POSTS / 3 {
            server.client().post("/posts").bearer(&pair.access).json(&post).expect(201);
        }
        server.stop();
    }

    let (mut dice, left) = (Dice::new(seed()), workplace.path("left"));
    let file = workplace.data().join("db/db");
    let sound = fs::read(&file).unwrap();
    fs::rename(workplace.data(), &left).unwrap();
    let (mut denied, mut tries) = (0, 0);
    // In the content of posts, a segment at a time: one that sled replays is refused at the start, which is the
    // other tests' matter, and most of what stands in the rest was written anew since.
    for (index, segment) in sound.chunks(SEGMENT_BYTES).enumerate() {
        drop(fs::remove_dir_all(workplace.data()));
        copy(&left, &workplace.data());
        let mut bytes = sound.clone();
        let contents = (100..segment.len()).step_by(500);
        let contents =
            contents.filter(|at| segment[at - 100..*at].iter().all(|byte| *byte == b'x'));
        for at in contents {
            bytes[index * SEGMENT_BYTES + at - 50] ^= 1 << dice.below(8);
        }
        tries += 1;
        fs::write(&file, bytes).unwrap();
        let Ok(server) = std::panic::catch_unwind(|| workplace.serve()) else { continue };
        if let Some(count) = count_posts(server.client(), &content) {
            assert_eq!(count, POSTS, "{SEED}={} segment {index}", seed());
            continue;
        }
        denied += 1;
        let ended = server.wait();
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("the store has failed"), "{}", ended.stderr);
    }
    println!("{denied} of {tries} denied");
    assert!(denied > 0, "no flipped bit was read");
}
