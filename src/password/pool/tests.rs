//! The pool from outside: what is right and wrong, what is never computed, and who has to wait. Work is
//! counted, not timed.

use std::pin::Pin;
use std::task::Poll;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::*;
use crate::password::NotAPassword;
use crate::random::SeededRandom;

fn random() -> Arc<SeededRandom> {
    Arc::new(SeededRandom::new(1))
}

fn fast() -> Hasher {
    Hasher::start(&HashSettings::insecure_fast(), random()).unwrap()
}

/// A pool in which nothing ever begins.
fn stalled(queue: usize, queue_timeout: Duration) -> Hasher {
    let settings = HashSettings { queue, queue_timeout, ..HashSettings::insecure_fast() };
    Hasher::without_workers(&settings, random()).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

async fn verify(hasher: &Hasher, typed: &str, stored: &str) -> Verdict {
    let stored = PasswordHash::new(stored.to_owned());
    hasher.verify(password(typed), Some(stored)).await.unwrap()
}

async fn hash(hasher: &Hasher, text: &str) -> String {
    hasher.hash(password(text)).await.unwrap().expose().to_owned()
}

/// A PHC string of any parameters, as another system would have made it.
fn imported(text: &str, memory_kib: u32, iterations: u32, lanes: u32, tag_bytes: usize) -> String {
    let params = Params::new(memory_kib, iterations, lanes, Some(tag_bytes)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut tag = vec![0; tag_bytes];
    argon2.hash_password_into(text.as_bytes(), b"somesalt", &mut tag).unwrap();
    let (salt, tag) = (STANDARD_NO_PAD.encode(b"somesalt"), STANDARD_NO_PAD.encode(tag));
    format!("$argon2id$v=19$m={memory_kib},t={iterations},p={lanes}${salt}${tag}")
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<PasswordHash, HashError>> + Send + 'a>>;

/// A client that has taken its place and waits.
async fn waiting(hasher: &Hasher) -> Waiting<'_> {
    let mut client: Waiting<'_> = Box::pin(hasher.hash(password("correct horse")));
    std::future::poll_fn(|context| {
        assert!(client.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    client
}

#[tokio::test]
async fn the_right_password_is_right_and_another_is_wrong() {
    let hasher = fast();
    let stored = hash(&hasher, "correct horse").await;
    assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
    assert_eq!(verify(&hasher, "correct horse", &stored).await, Verdict::Right);
    for wrong in ["correct horsf", "Correct horse", "correct horse ", ""] {
        assert_eq!(verify(&hasher, wrong, &stored).await, Verdict::Wrong, "{wrong:?}");
    }
}

#[tokio::test]
async fn two_hashes_of_one_password_differ() {
    let hasher = fast();
    assert_ne!(hash(&hasher, "correct horse").await, hash(&hasher, "correct horse").await);
}

#[tokio::test]
async fn the_default_parameters_hash_and_verify() {
    let settings = HashSettings {
        memory_kib: 19_456,
        iterations: 2,
        insecure_any_strength: false,
        ..HashSettings::insecure_fast()
    };
    let hasher = Hasher::start(&settings, random()).unwrap();
    let stored = hash(&hasher, "correct horse").await;
    let [_, _, _, params, salt, tag] = stored.split('$').collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(params, "m=19456,t=2,p=1");
    assert_eq!(STANDARD_NO_PAD.decode(salt).unwrap().len(), 16);
    assert_eq!(STANDARD_NO_PAD.decode(tag).unwrap().len(), 32);
    assert_eq!(verify(&hasher, "correct horse", &stored).await, Verdict::Right);
    assert_eq!(verify(&hasher, "correct house", &stored).await, Verdict::Wrong);
}

#[tokio::test]
async fn weak_settings_start_no_pool() {
    let weak = HashSettings { insecure_any_strength: false, ..HashSettings::insecure_fast() };
    let refused = Hasher::start(&weak, random()).unwrap_err();
    assert!(matches!(refused, StartError::Settings(SettingsError::Weak)));
}

#[tokio::test]
async fn every_byte_of_a_long_password_counts() {
    let hasher = fast();
    let text = "a".repeat(1024);
    let stored = hash(&hasher, &text).await;
    assert_eq!(verify(&hasher, &text, &stored).await, Verdict::Right);
    for changed in [72, 999, 1023] {
        let mut other = text.clone();
        other.replace_range(changed..=changed, "b");
        assert_eq!(verify(&hasher, &other, &stored).await, Verdict::Wrong, "byte {changed}");
    }
    assert_eq!(verify(&hasher, &"a".repeat(1025), &stored).await, Verdict::Wrong);
}

#[tokio::test]
async fn a_text_that_cannot_be_a_password_is_not_set_and_matches_nothing() {
    let hasher = fast();
    let stored = hash(&hasher, "abc").await;
    for bad in ["abc\0def", "abc\0", "abc\n"] {
        let refused = hasher.hash(password(bad)).await.unwrap_err();
        assert_eq!(refused, HashError::NotAPassword(NotAPassword::Characters));
        let before = hasher.hashed();
        assert_eq!(verify(&hasher, bad, &stored).await, Verdict::Wrong, "{bad:?}");
        assert_eq!(hasher.hashed() - before, 1);
    }
    let before = hasher.hashed();
    let long = "a".repeat(20_000);
    let refused = hasher.hash(password(&long)).await.unwrap_err();
    assert_eq!(refused, HashError::NotAPassword(NotAPassword::TooLong));
    assert_eq!(verify(&hasher, &long, &stored).await, Verdict::Wrong);
    assert_eq!(hasher.hashed(), before);
}

#[tokio::test]
async fn spellings_of_one_password_verify_each_other() {
    let hasher = fast();
    let stored = hash(&hasher, "cafe\u{301}\u{a0}noir").await;
    assert_eq!(verify(&hasher, "caf\u{e9} noir", &stored).await, Verdict::Right);
    assert_eq!(verify(&hasher, "cafe\u{301} noir", &stored).await, Verdict::Right);
    assert_eq!(verify(&hasher, "cafe noir", &stored).await, Verdict::Wrong);
}

#[tokio::test]
async fn an_imported_hash_is_tried_as_typed_and_is_outdated_when_it_matches() {
    let hasher = fast();
    for stored in [
        imported("cafe\u{301}", 8, 1, 1, 32),
        imported("cafe\u{301}", 32, 2, 4, 16),
        bcrypt::hash("cafe\u{301}", 4).unwrap(),
    ] {
        let verdict = verify(&hasher, "cafe\u{301}", &stored).await;
        assert_eq!(verdict, Verdict::RightButOutdated, "{stored}");
        assert_eq!(verify(&hasher, "cafe", &stored).await, Verdict::Wrong, "{stored}");
    }
    let normal = imported("caf\u{e9}", 16, 1, 1, 32);
    assert_eq!(verify(&hasher, "cafe\u{301}", &normal).await, Verdict::RightButOutdated);
}

#[tokio::test]
async fn known_vectors_verify() {
    let hasher = fast();
    // From the reference implementation of Argon2 and from crypt_blowfish.
    for (text, stored) in [
        (
            "password",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
        (
            "caf\u{e9} noir",
            "$argon2id$v=19$m=4096,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg\
             $JOKpIe5Ix+GnshGE7DFzahvp2S/fVR6hM4UIGLUKNrA",
        ),
        ("correct horse", "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"),
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ] {
        assert_eq!(verify(&hasher, text, stored).await, Verdict::RightButOutdated, "{stored}");
        assert_eq!(verify(&hasher, "other", stored).await, Verdict::Wrong, "{stored}");
    }
}

#[tokio::test]
async fn bcrypt_of_every_version_verifies_as_the_old_systems_did() {
    let hasher = fast();
    let long = "a".repeat(72);
    let parts = bcrypt::hash_with_result(&long, 4).unwrap();
    for version in
        [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoX, bcrypt::Version::TwoY]
    {
        let stored = parts.format_for_version(version);
        assert_eq!(verify(&hasher, &long, &stored).await, Verdict::RightButOutdated);
        assert_eq!(verify(&hasher, &format!("{long}b"), &stored).await, Verdict::RightButOutdated);
        assert_eq!(verify(&hasher, &long[1..], &stored).await, Verdict::Wrong);
    }
    let short = bcrypt::hash("ab", 4).unwrap();
    assert_eq!(verify(&hasher, "ab", &short).await, Verdict::RightButOutdated);
    assert_eq!(verify(&hasher, "ab\0ab", &short).await, Verdict::Wrong);
}

#[tokio::test]
async fn hostile_stored_hashes_are_refused_before_they_are_computed() {
    let hasher = fast();
    let (salt, tag) = (STANDARD_NO_PAD.encode([7; 16]), STANDARD_NO_PAD.encode([9; 32]));
    let phc = |head: &str| format!("{head}${salt}${tag}");
    for hostile in [
        phc("$argon2id$v=19$m=4194304,t=2,p=1"),
        phc("$argon2id$v=19$m=65537,t=2,p=1"),
        phc("$argon2id$v=19$m=8,t=2147483648,p=1"),
        phc("$argon2id$v=19$m=8,t=11,p=1"),
        phc("$argon2id$v=19$m=65536,t=2,p=255"),
        phc("$argon2id$v=19$m=8,t=0,p=1"),
        phc("$argon2id$v=19$m=8,t=1,p=0"),
        phc("$argon2id$v=19$m=+8,t=1,p=1"),
        phc("$argon2id$v=19$m=08,t=1,p=1"),
        phc("$argon2id$v=19$m=8,t=1,p=1,keyid=AA"),
        phc("$argon2id$v=19$m=8,t=1"),
        phc("$argon2id$v=16$m=8,t=1,p=1"),
        phc("$argon2i$v=19$m=8,t=1,p=1"),
        phc("$argon2d$v=19$m=8,t=1,p=1"),
        format!("$argon2id$v=19$m=8,t=1,p=1${salt}"),
        format!("$argon2id$v=19$m=8,t=1,p=1${salt}$"),
        format!("$argon2id$v=19$m=8,t=1,p=1${salt}${tag}$"),
        format!("$argon2id$v=19$m=8,t=1,p=1$c2FsdA${tag}"),
        format!("$argon2id$v=19$m=8,t=1,p=1${salt}$dGFn"),
        "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/".to_owned(),
        "5f4dcc3b5aa765d61d8327deb882cf99".to_owned(),
        "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe".to_owned(),
        "$2b$05$\u{e9}CCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
        "correct horse".to_owned(),
        String::new(),
    ] {
        let before = hasher.hashed();
        assert_eq!(verify(&hasher, "correct horse", &hostile).await, Verdict::Wrong, "{hostile}");
        assert_eq!(hasher.hashed() - before, 1, "{hostile}");
    }
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let hasher = fast();
    let stored = hash(&hasher, "correct horse").await;
    for typed in ["wrong horse", "cafe\u{301}", "abc\0def", ""] {
        let before = hasher.hashed();
        assert_eq!(verify(&hasher, typed, &stored).await, Verdict::Wrong);
        let between = hasher.hashed();
        assert_eq!(hasher.verify(password(typed), None).await, Ok(Verdict::Wrong));
        assert_eq!(hasher.hashed() - between, between - before, "{typed:?}");
    }
}

#[tokio::test]
async fn nothing_is_hashed_at_start() {
    assert_eq!(fast().hashed(), 0);
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once() {
    let hasher = stalled(2, Duration::from_secs(60));
    let (_first, _second) = (waiting(&hasher).await, waiting(&hasher).await);
    assert_eq!(hasher.hash(password("correct horse")).await, Err(HashError::Busy));
    assert_eq!(hasher.verify(password("correct horse"), None).await, Err(HashError::Busy));
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let hasher = stalled(1, Duration::from_secs(60));
    let first = waiting(&hasher).await;
    assert_eq!(hasher.hash(password("correct horse")).await, Err(HashError::Busy));
    drop(first);
    drop(waiting(&hasher).await);
}

#[tokio::test]
async fn waiting_too_long_is_busy_and_frees_the_place() {
    let hasher = stalled(1, Duration::from_millis(1));
    for _ in 0..3 {
        assert_eq!(hasher.hash(password("correct horse")).await, Err(HashError::Busy));
    }
    assert!(hasher.0.shared.lock().waiting.is_empty());
}

#[tokio::test]
async fn nothing_is_computed_for_a_client_that_went_away() {
    let hasher = stalled(8, Duration::from_secs(60));
    drop(waiting(&hasher).await);
    let shared = Arc::clone(&hasher.0.shared);
    let worker = std::thread::spawn(move || shared.work());
    hash(&hasher, "correct horse").await;
    assert_eq!(hasher.hashed(), 1);
    drop(hasher);
    // The worker ends with the last clone of its pool.
    worker.join().unwrap();
}

#[tokio::test]
async fn a_panic_costs_one_password_and_not_the_worker() {
    let hasher = fast();
    let lost = hasher.run::<(), _>(|_, _| panic!("planted")).await;
    assert_eq!(lost, Err(HashError::Unavailable));
    hash(&hasher, "correct horse").await;
}

#[tokio::test]
async fn a_worker_keeps_its_own_memory_and_gives_back_what_is_more() {
    let own = HashSettings::insecure_fast().params().unwrap();
    let mut memory = Memory::for_params(&own);
    assert!(!memory.is_held());
    argon::hash(&own, "correct horse", [0; SALT_BYTES], &mut memory).unwrap();
    assert_eq!(memory.blocks_held(), 8);
    memory.give_back();
    assert!(!memory.is_held());
    argon::hash(&own, "correct horse", [0; SALT_BYTES], &mut memory).unwrap();
    assert!(memory.is_held());
    let large = Params::new(1024, 1, 1, Some(32)).unwrap();
    argon::hash(&large, "correct horse", [0; SALT_BYTES], &mut memory).unwrap();
    assert_eq!(memory.blocks_held(), 8);
}
