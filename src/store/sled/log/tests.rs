//! Logs closed in good order, torn, cut, flipped and emptied: what is passed over and what is refused.

use std::fs;
use std::os::unix::fs::FileExt;

use super::super::lease::settled_length;
use super::super::loose;
use super::super::segments::HEADER_BYTES;
use super::*;
use crate::store::sled::tally::Tally;

const COMMITS: u64 = 40;

/// A log of two segments and forty commits, closed in good order.
fn log() -> (tempfile::TempDir, Manifest) {
    let (directory, manifest) = (tempfile::tempdir().unwrap(), Manifest::unsealed("a".into()));
    let db = ::sled::open(directory.path()).unwrap();
    let tally = Tally::resume(&db, directory.path(), &manifest).unwrap();
    let filler = db.open_tree("filler").unwrap();
    for commit in 0..COMMITS {
        filler.insert(commit.to_be_bytes(), vec![1; 20_000]).unwrap();
        let (tree, batch) = tally.next();
        tree.apply_batch(batch).unwrap();
    }
    db.flush().unwrap();
    (directory, manifest)
}

fn flip(directory: &Path, at: usize) {
    let file = directory.join("db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_sound_log_holds_what_was_promised_and_no_more() {
    let (directory, manifest) = log();
    let inspect = |promised| inspect(directory.path(), &manifest, promised).unwrap();
    assert_eq!(inspect(COMMITS), Ok(Vec::new()));
    let lost = inspect(COMMITS + 1).unwrap_err();
    assert!(matches!(lost, Damage::Lost { found: COMMITS, .. }), "{lost}");
    // Replayed from a snapshot behind the last commit, it still does.
    settled_length(&directory.path().join("db"));
    drop(::sled::open(directory.path()).unwrap());
    assert_eq!(inspect(COMMITS), Ok(Vec::new()));
}

#[test]
fn a_damaged_message_loses_the_commits_after_it_and_none_before() {
    let (directory, manifest) = log();
    flip(directory.path(), 100_000);
    let lost = inspect(directory.path(), &manifest, COMMITS).unwrap().unwrap_err();
    let Damage::Lost { found, at, .. } = lost else { panic!("{lost}") };
    assert!((1..COMMITS).contains(&found), "{found}");
    assert!(at <= 100_000, "{at}");
    assert_eq!(inspect(directory.path(), &manifest, found).unwrap(), Ok(Vec::new()));
}

/// How many commits [`worn`] has, and how many trees one of them makes, so much that they stay where they are.
const WORN: u64 = 150;
const ONCE: u8 = 18;
const ONCE_AT: u64 = 60;

/// A log most of whose segments hold nothing that is not said anew later, and its length.
fn worn() -> (tempfile::TempDir, Manifest) {
    let (directory, manifest) = (tempfile::tempdir().unwrap(), Manifest::unsealed("a".into()));
    let db = ::sled::Config::new().path(directory.path()).flush_every_ms(None).open().unwrap();
    let tally = Tally::resume(&db, directory.path(), &manifest).unwrap();
    for commit in 0..WORN {
        for number in (0..ONCE).filter(|_| commit == ONCE_AT) {
            db.open_tree([number]).unwrap().insert("once", vec![1; 20_000]).unwrap();
        }
        db.insert("often", vec![u8::try_from(commit).unwrap(); 20_000]).unwrap();
        let (tree, batch) = tally.next();
        tree.apply_batch(batch).unwrap();
        db.flush().unwrap();
    }
    drop((tally, db));
    settled_length(&directory.path().join("db"));
    (directory, manifest)
}

/// Which commits of [`worn`] sled finds if its log is this; nothing if there is not all of each.
fn complete(log: &[u8], directory: &Path, manifest: &Manifest) -> Option<u64> {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(directory.join("conf"), copy.path().join("conf")).unwrap();
    fs::write(copy.path().join("db"), log).unwrap();
    let db = ::sled::Config::new().path(copy.path()).flush_every_ms(None).open().ok()?;
    let held = tally::held(&db, manifest).ok()?;
    let last = vec![u8::try_from(held.checked_sub(1)?).unwrap(); 20_000];
    let has = |number| db.open_tree(number).is_ok_and(|it| it.len() == 1);
    let is_complete = db.get("often").ok()?.is_some_and(|value| *value == last)
        && (held <= ONCE_AT || (0..ONCE).all(|number| has([number])));
    is_complete.then_some(held)
}

/// What [`worn`] has written, its segments in their order, and the first that is stable.
fn segments_of(directory: &Path) -> (Vec<u8>, Vec<Segment>, u64) {
    let path = directory.join("db");
    let segments = by_number(segments(&File::open(&path).unwrap()).unwrap()).unwrap();
    let stable = stable(&segments, 0);
    (fs::read(path).unwrap(), segments.into_values().collect(), stable)
}

fn holds_all(log: &[u8], directory: &Path, manifest: &Manifest) -> Result<Vec<u64>, Damage> {
    fs::write(directory.join("db"), log).unwrap();
    inspect(directory, manifest, WORN).unwrap()
}

#[test]
fn what_a_cut_of_the_power_left_loose_is_cut_off() {
    let (directory, manifest) = worn();
    let directory = directory.path();
    let (sound, segments, stable) = segments_of(directory);
    let [.., before, last_but_one, newest] = &segments[..] else { panic!("{segments:?}") };
    assert_eq!(last_but_one.number, stable, "what stands before is believed");
    let place = |segment: &Segment| usize::try_from(segment.at).unwrap();
    let torn = [(before, 300_000), (before, 50_000), (before, 0), (last_but_one, 0)];
    for (segment, at) in torn {
        let mut log = sound.clone();
        log[place(segment) + at..][..HEADER_BYTES].fill(0);
        let Err(Damage::Lost { found, .. }) = holds_all(&log, directory, &manifest) else {
            panic!("{segment:?} at {at}: it was answered and is not there")
        };
        let loose = inspect(directory, &manifest, found).unwrap().unwrap();
        let behind = if at > 0 { &[last_but_one, newest][..] } else { &[newest] };
        assert!(behind.iter().all(|it| loose.contains(&it.at)), "{segment:?} at {at}");
        assert_ne!(complete(&log, directory, &manifest), Some(found), "sled goes on behind it");
        loose::clear(&directory.join("db"), &loose).unwrap();
        log = fs::read(directory.join("db")).unwrap();
        assert_eq!(complete(&log, directory, &manifest), Some(found), "{segment:?} at {at}");
    }
}

#[test]
fn a_tear_before_the_last_three_segments_is_not_the_end_of_a_log() {
    let (directory, manifest) = worn();
    let (mut log, segments, _) = segments_of(directory.path());
    let [earlier, .., _, _, _] = &segments[..] else { panic!("{segments:?}") };
    let at = usize::try_from(earlier.at).unwrap() + HEADER_BYTES;
    log[at..][..HEADER_BYTES].fill(0);
    fs::write(directory.path().join("db"), log).unwrap();
    let inspected = inspect(directory.path(), &manifest, 1).unwrap();
    assert!(matches!(inspected, Err(Damage::Broken { .. })), "{inspected:?}");
}

#[test]
fn a_spent_segment_of_which_some_sectors_are_new_or_cleared_is_no_loss() {
    const SECTOR: usize = 512;
    let (directory, manifest) = worn();
    let directory = directory.path();
    let (sound, segments, stable) = segments_of(directory);
    let start = |segment: &Segment| usize::try_from(segment.at).unwrap();
    let new = &sound[start(segments.last().unwrap())..][..16 * SECTOR];
    let contents = [new, &[0; 16 * SECTOR]];
    let mut spent = 0;
    let below = segments.iter().filter(|segment| segment.number < stable);
    for (segment, content) in below.flat_map(|it| contents.map(|content| (it, content))) {
        // The first sector, which holds the header, is the old one.
        for written in [&[1][..], &[15], &[3, 4, 5], &[1, 3, 5, 7, 9, 11], &[8, 9, 10, 11, 12]] {
            let mut log = sound.clone();
            for at in written.iter().map(|sector| sector * SECTOR) {
                log[start(segment) + at..][..SECTOR].copy_from_slice(&content[at..][..SECTOR]);
            }
            let inspected = holds_all(&log, directory, &manifest);
            if let Err(damage) = inspected {
                assert!(matches!(damage, Damage::Broken { .. } | Damage::Lost { .. }));
            } else {
                assert_eq!(complete(&log, directory, &manifest), Some(WORN), "{segment:?}");
                spent += 1;
            }
        }
    }
    assert_eq!(spent, 2 * 5, "all of one segment");
}

#[test]
fn a_flipped_bit_is_found_or_it_is_no_loss() {
    let (directory, manifest) = worn();
    let directory = directory.path();
    let (sound, segments, stable) = segments_of(directory);
    let mut broken = 0;
    for at in (HEADER_BYTES + 5..sound.len()).step_by(99_991) {
        let mut log = sound.clone();
        log[at] ^= 1 << (at % 8);
        match holds_all(&log, directory, &manifest) {
            Ok(_) => assert_eq!(complete(&log, directory, &manifest), Some(WORN), "byte {at}"),
            Err(Damage::Broken { at: found }) => {
                assert!(found <= at as u64, "byte {at}");
                broken += 1;
            }
            Err(_) => {}
        }
    }
    assert!(broken > 0, "below {stable}: {segments:?}");
}

#[test]
fn a_log_without_the_segment_that_sled_replays_from_is_lost() {
    let (directory, manifest) = log();
    let file = File::options().write(true).open(directory.path().join("db")).unwrap();
    file.write_all_at(&vec![0; usize::try_from(SEGMENT_BYTES).unwrap()], 0).unwrap();
    let lost = inspect(directory.path(), &manifest, COMMITS).unwrap().unwrap_err();
    assert!(matches!(lost, Damage::Lost { found: 0, .. }), "{lost}");
}

#[test]
fn segments_are_replayed_as_far_as_they_hang_together() {
    let log = |segments: &[(u64, u64)]| -> BTreeMap<u64, Segment> {
        let segment = |(number, stable)| {
            let (number, stable) = (number * SEGMENT_BYTES, stable * SEGMENT_BYTES + 1000);
            (number, Segment { at: 0, number, stable })
        };
        segments.iter().copied().map(segment).collect()
    };
    for (segments, from, expected) in [
        (&[(0, 0), (1, 0), (2, 1)][..], 0, 0..3),
        (&[(0, 0), (3, 2), (4, 3)], 0, 0..5),
        (&[(0, 0), (2, 1), (4, 2)], 0, 0..3),
        (&[(0, 0), (2, 1)], 0, 0..0),
        (&[(0, 0), (2, 1)], 2, 2..3),
        (&[(0, 0), (2, 1)], 3, 3..3),
    ] {
        let range = replayed(&log(segments), from * SEGMENT_BYTES);
        let range = range.start / SEGMENT_BYTES..range.end / SEGMENT_BYTES;
        assert_eq!(range, expected, "{segments:?} from {from}");
    }
}

#[test]
fn a_damaged_header_is_no_end_of_the_log() {
    for at in [0, 4, 12, 19] {
        let (directory, manifest) = log();
        flip(directory.path(), at);
        let damage = inspect(directory.path(), &manifest, COMMITS).unwrap();
        assert_eq!(damage, Err(Damage::Header { at: 0 }), "byte {at}");
    }
}

#[test]
fn a_file_without_a_segment_is_no_log() {
    let (directory, manifest) = log();
    for promised in [0, COMMITS] {
        fs::write(directory.path().join("db"), vec![0; 2_000_000]).unwrap();
        let damage = inspect(directory.path(), &manifest, promised).unwrap();
        assert_eq!(damage, Err(Damage::Empty));
    }
}

#[test]
fn a_segment_that_is_there_twice_is_refused() {
    let (directory, manifest) = log();
    let file = directory.path().join("db");
    let mut bytes = fs::read(&file).unwrap();
    let length = usize::try_from(SEGMENT_BYTES).unwrap();
    bytes.copy_within(..HEADER_BYTES, length);
    fs::write(file, bytes).unwrap();
    let damage = inspect(directory.path(), &manifest, COMMITS).unwrap();
    assert_eq!(damage, Err(Damage::Twice { at: SEGMENT_BYTES }));
}
