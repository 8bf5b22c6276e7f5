//! Keys made, used, retired and lost; secrets changed.

use super::*;
use crate::random::SeededRandom;
use crate::token::InvalidToken;
use crate::token::testing::{
    NOW, SECRET, TTL, access_claims, forge, part, refresh_claims, settings, start, tokens,
};

const OTHER_SECRET: &str = "a5b6c7d8e9fa0b1c2d3e4f50617283943f1c0f6cd1b7a2e94f5a7788c1d2e3f4";

fn stored(keys: Vec<StoredKey>) -> SigningKeys {
    SigningKeys { version: 1, keys }
}

#[test]
fn a_first_start_makes_keys_and_the_next_one_uses_them() {
    for algorithm in Algorithm::ALL {
        let first = start(&settings(algorithm), &SigningKeys::default(), NOW);
        let keys = first.store.unwrap();
        let purposes: Vec<_> = keys.iter().map(|key| key.purpose).collect();
        assert_eq!(purposes, [KeyPurpose::Access, KeyPurpose::Refresh]);
        let made = if algorithm.is_symmetric() { "EdDSA" } else { algorithm.name() };
        assert_eq!(keys[0].algorithm, made);
        let second = start(&settings(algorithm), &stored(keys), NOW);
        assert_eq!(second.store, None);
        let token = first.tokens.sign_access(&access_claims()).unwrap();
        assert!(second.tokens.verify_access(&token, NOW).is_ok());
        let token = first.tokens.sign_refresh(&refresh_claims()).unwrap();
        assert!(second.tokens.verify_refresh(&token, NOW).is_ok());
    }
}

#[test]
fn a_changed_algorithm_retires_the_old_key_until_its_last_token_has_expired() {
    let old = start(&settings(Algorithm::EdDsa), &SigningKeys::default(), NOW);
    let token = old.tokens.sign_access(&access_claims()).unwrap();
    let new = start(&settings(Algorithm::Es256), &stored(old.store.unwrap()), NOW);
    assert!(new.tokens.verify_access(&token, NOW).is_ok());
    let fresh = new.tokens.sign_access(&access_claims()).unwrap();
    assert_eq!(part(&fresh, 0)["alg"], "ES256");
    assert_eq!(new.tokens.jwk_set(NOW)["keys"].as_array().unwrap().len(), 2);
    let keys = new.store.unwrap();
    assert_eq!(keys.len(), 3);

    // The retired key is dead at its time, for a token seen before too, and gone at the next start.
    let end = NOW.after(ACCESS_TTL_MAX);
    assert_eq!(new.tokens.verify_access(&token, end), Err(InvalidToken::UnknownKey));
    let later = start(&settings(Algorithm::Es256), &stored(keys), end);
    assert_eq!(later.store.unwrap().len(), 2);
    assert_eq!(later.tokens.verify_access(&token, NOW), Err(InvalidToken::UnknownKey));
    assert!(later.tokens.verify_access(&fresh, NOW).is_ok());
}

#[test]
fn a_newer_key_signs_and_a_retired_one_verifies_whatever_their_order() {
    let first = start(&settings(Algorithm::EdDsa), &SigningKeys::default(), NOW);
    let token = first.tokens.sign_refresh(&refresh_claims()).unwrap();
    let other =
        prepare(&settings(Algorithm::EdDsa), &SigningKeys::default(), NOW, &SeededRandom::new(2));
    let mut keys = first.store.unwrap();
    for key in &mut keys {
        key.verifies_until = Some(NOW.after(TTL));
    }
    keys.extend(other.unwrap().store.unwrap());
    let rotated = start(&settings(Algorithm::EdDsa), &stored(keys), NOW).tokens;
    assert!(rotated.verify_refresh(&token, NOW).is_ok());
    let end = NOW.after(TTL);
    assert_eq!(rotated.verify_refresh(&token, end), Err(InvalidToken::UnknownKey));
    let fresh = rotated.sign_refresh(&refresh_claims()).unwrap();
    assert_ne!(part(&fresh, 0)["kid"], part(&token, 0)["kid"]);
    assert!(rotated.verify_refresh(&fresh, end).is_ok());
}

#[test]
fn previous_secrets_verify_and_do_not_sign() {
    let before = tokens(Algorithm::Hs256);
    let secret = |text: &str| TokenSecret::checked(text.to_owned(), Algorithm::Hs256).unwrap();
    let mut changed =
        TokenSettings { secret: Some(secret(OTHER_SECRET)), ..settings(Algorithm::Hs256) };
    let (access, refresh) = (
        before.sign_access(&access_claims()).unwrap(),
        before.sign_refresh(&refresh_claims()).unwrap(),
    );
    let without = start(&changed, &SigningKeys::default(), NOW).tokens;
    assert_eq!(without.verify_access(&access, NOW), Err(InvalidToken::UnknownKey));
    assert_eq!(without.verify_refresh(&refresh, NOW), Err(InvalidToken::UnknownKey));
    changed.previous_secrets.push(secret(SECRET));
    let with = start(&changed, &SigningKeys::default(), NOW).tokens;
    assert!(with.verify_access(&access, NOW).is_ok());
    assert!(with.verify_refresh(&refresh, NOW).is_ok());
    assert_ne!(with.sign_access(&access_claims()).unwrap(), access);
}

#[test]
fn a_secret_signs_no_refresh_token_itself() {
    let tokens = tokens(Algorithm::Hs256);
    let token = tokens.sign_refresh(&refresh_claims()).unwrap();
    let forged = forge(&part(&token, 0).to_string(), &part(&token, 1).to_string());
    assert_eq!(tokens.verify_refresh(&forged, NOW), Err(InvalidToken::Signature));
}

#[test]
fn one_secret_has_another_kid_for_each_purpose_and_algorithm() {
    let tokens = tokens(Algorithm::Hs512);
    let access = tokens.sign_access(&access_claims()).unwrap();
    let kid = part(&access, 0)["kid"].as_str().unwrap().to_owned();
    assert_eq!(kid.len(), 16);
    assert_ne!(part(&tokens.sign_refresh(&refresh_claims()).unwrap(), 0)["kid"], kid);
    let hs256 = self::tokens(Algorithm::Hs256).sign_access(&access_claims()).unwrap();
    assert_ne!(part(&hs256, 0)["kid"], kid);
}

#[test]
fn algorithm_and_secret_must_fit() {
    let refusal = |settings: &TokenSettings| {
        prepare(settings, &SigningKeys::default(), NOW, &SeededRandom::new(1)).unwrap_err()
    };
    let without = TokenSettings { secret: None, ..settings(Algorithm::Hs384) };
    assert!(matches!(refusal(&without), KeyError::SecretMissing(Algorithm::Hs384)));
    let with = TokenSettings { algorithm: Algorithm::EdDsa, ..settings(Algorithm::Hs256) };
    assert!(matches!(refusal(&with), KeyError::SecretUnused(Algorithm::EdDsa)));
}

#[test]
fn lost_or_damaged_keys_stop_the_start_and_are_not_replaced() {
    let settings = settings(Algorithm::EdDsa);
    let keys = start(&settings, &SigningKeys::default(), NOW).store.unwrap();
    let refusal = |keys: &[StoredKey]| {
        prepare(&settings, &stored(keys.to_vec()), NOW, &SeededRandom::new(1)).unwrap_err()
    };
    for left in [&keys[..0], &keys[..1], &keys[1..]] {
        assert!(matches!(refusal(left), KeyError::Lost));
    }
    let mut damaged = keys.clone();
    damaged[0].secret.truncate(20);
    assert!(matches!(refusal(&damaged), KeyError::Unreadable { .. }));
    let mut damaged = keys.clone();
    damaged[1].secret[0] ^= 1;
    assert!(matches!(refusal(&damaged), KeyError::Unreadable { .. }));
    let mut damaged = keys;
    damaged[0].algorithm = "none".to_owned();
    assert!(matches!(refusal(&damaged), KeyError::Unreadable { .. }));
}

#[test]
fn debug_output_holds_no_key() {
    let prepared = start(&settings(Algorithm::Hs256), &SigningKeys::default(), NOW);
    let shown = format!("{prepared:?} {:?}", settings(Algorithm::Hs256));
    assert!(!shown.contains(SECRET) && !shown.contains(&SECRET[..16]), "{shown}");
}

/// How long old keys are kept in these tests.
const REMAINING: Remaining = Remaining { access: ACCESS_TTL_MAX, refresh: TTL };

#[test]
fn a_rotation_adds_a_key_of_each_kind_and_an_old_one_goes_at_its_time() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()) {
        let old = start(&settings(algorithm), &SigningKeys::default(), NOW);
        let (access, refresh) = (
            old.tokens.sign_access(&access_claims()).unwrap(),
            old.tokens.sign_refresh(&refresh_claims()).unwrap(),
        );
        let before = stored(old.store.unwrap());
        let random = SeededRandom::new(2);
        let (new, keys) = rotate(&old.tokens, &before, REMAINING, NOW, &random).unwrap();
        let firsts: Vec<_> = keys.iter().map(|key| (key.purpose, key.verifies_until)).collect();
        let (access_end, refresh_end) = (NOW.after(ACCESS_TTL_MAX), NOW.after(TTL));
        assert_eq!(
            firsts,
            [
                (KeyPurpose::Access, None),
                (KeyPurpose::Refresh, None),
                (KeyPurpose::Access, Some(access_end)),
                (KeyPurpose::Refresh, Some(refresh_end)),
            ]
        );
        let just_before = NOW.after(TTL.saturating_sub(Duration::from_millis(1)));
        assert!(new.verify_access(&access, just_before).is_ok());
        assert!(new.verify_refresh(&refresh, just_before).is_ok());
        assert_eq!(new.verify_refresh(&refresh, refresh_end), Err(InvalidToken::UnknownKey));
        assert_eq!(new.verify_access(&access, access_end), Err(InvalidToken::UnknownKey));
        // The next start finds all of them, and whatever is over by then is gone from the store too.
        let again = start(&settings(algorithm), &stored(keys.clone()), NOW);
        assert_eq!(again.store, None);
        assert!(again.tokens.verify_access(&access, NOW).is_ok());
        assert_eq!(again.tokens.keys(NOW), new.keys(NOW));
        assert_eq!(start(&settings(algorithm), &stored(keys), access_end).store.unwrap().len(), 2);
    }
}

#[test]
fn a_rotation_can_drop_every_older_key() {
    let old = start(&settings(Algorithm::EdDsa), &SigningKeys::default(), NOW);
    let token = old.tokens.sign_access(&access_claims()).unwrap();
    let before = stored(old.store.unwrap());
    let random = SeededRandom::new(2);
    let (second, keys) = rotate(&old.tokens, &before, REMAINING, NOW, &random).unwrap();
    let newer = second.sign_access(&access_claims()).unwrap();
    let dropped = rotate(&second, &stored(keys), Remaining::default(), NOW, &random).unwrap();
    let (third, keys) = dropped;
    assert_eq!((keys.len(), third.keys(NOW).len()), (2, 2));
    for token in [&token, &newer] {
        assert!(second.verify_access(token, NOW).is_ok());
        assert_eq!(third.verify_access(token, NOW), Err(InvalidToken::UnknownKey));
        assert!(!third.has_made(token, NOW));
    }
}

#[test]
fn rotating_again_and_again_is_refused_rather_than_losing_a_live_token() {
    let mut tokens = start(&settings(Algorithm::EdDsa), &SigningKeys::default(), NOW);
    let first = tokens.tokens.sign_refresh(&refresh_claims()).unwrap();
    let mut keys = tokens.store.take().unwrap();
    let (mut current, random) = (tokens.tokens, SeededRandom::new(2));
    for _ in 1..KEYS_MAX / 2 {
        let rotated = rotate(&current, &stored(keys), REMAINING, NOW, &random).unwrap();
        (current, keys) = rotated;
    }
    assert!(current.verify_refresh(&first, NOW).is_ok());
    let refused = rotate(&current, &stored(keys.clone()), REMAINING, NOW, &random);
    assert!(matches!(refused, Err(KeyError::TooMany)));
    let later = NOW.after(TTL);
    assert!(rotate(&current, &stored(keys.clone()), REMAINING, later, &random).is_ok());
    assert!(rotate(&current, &stored(keys), Remaining::default(), NOW, &random).is_ok());
}

#[test]
fn configured_and_lost_keys_do_not_rotate() {
    let random = SeededRandom::new(2);
    let configured = start(&settings(Algorithm::Hs256), &SigningKeys::default(), NOW);
    let keys = stored(configured.store.unwrap());
    let refused = rotate(&configured.tokens, &keys, REMAINING, NOW, &random);
    assert!(matches!(refused, Err(KeyError::Configured)));
    let tokens = tokens(Algorithm::EdDsa);
    for keys in [&keys.keys[..1], &keys.keys[1..]] {
        let refused = rotate(&tokens, &stored(keys.to_vec()), REMAINING, NOW, &random);
        assert!(matches!(refused, Err(KeyError::Lost)));
    }
}
