//! What is signed, what others can read of it, and what is remembered.

use std::collections::BTreeSet;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};

use super::claims::{Grant, Wire};
use super::testing::{NOW, access_claims, part, refresh_claims, tokens};
use super::*;

#[test]
fn every_algorithm_signs_and_verifies_both_kinds() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(algorithm);
        let access = tokens.sign_access(&access_claims()).unwrap();
        assert_eq!(*tokens.verify_access(&access, NOW).unwrap(), access_claims(), "{algorithm}");
        assert_eq!(part(&access, 0)["alg"], algorithm.name());
        let refresh = tokens.sign_refresh(&refresh_claims()).unwrap();
        assert_eq!(tokens.verify_refresh(&refresh, NOW), Ok(refresh_claims()), "{algorithm}");
        assert_eq!(part(&refresh, 0)["alg"], "HS256");
    }
}

#[test]
fn another_service_can_verify_with_the_jwk_set_alone() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let tokens = tokens(algorithm);
        let token = tokens.sign_access(&access_claims()).unwrap();
        let set: JwkSet = serde_json::from_value(tokens.jwk_set(NOW)).unwrap();
        let jwk = set.find(part(&token, 0)["kid"].as_str().unwrap()).unwrap();
        let mut validation = Validation::new(algorithm.jose());
        validation.set_audience(&["api"]);
        validation.set_issuer(&["https://id.example"]);
        let key = DecodingKey::from_jwk(jwk).unwrap();
        let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
        assert_eq!(read.claims, part(&token, 1));
    }
}

#[test]
fn the_jwk_set_holds_public_members_only() {
    for algorithm in Algorithm::ALL {
        let set = tokens(algorithm).jwk_set(NOW);
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), usize::from(!algorithm.is_symmetric()));
        for key in keys {
            let public = ["kty", "crv", "x", "y", "n", "e", "use", "alg", "kid"];
            let members = key.as_object().unwrap();
            assert!(members.keys().all(|member| public.contains(&member.as_str())), "{key}");
            assert_eq!(members["use"], "sig");
            assert_eq!(members["alg"], algorithm.name());
        }
    }
}

#[test]
fn an_access_token_carries_the_documented_claims() {
    let token = tokens(Algorithm::EdDsa).sign_access(&access_claims()).unwrap();
    let AccessClaims { user, session, nonce, .. } = access_claims();
    assert_eq!(part(&token, 0)["typ"], "at+jwt");
    let expected = json!({
        "iss": "https://id.example", "sub": user.to_string(), "aud": "api", "client_id": "keystile",
        "iat": NOW.secs(), "nbf": NOW.secs(), "exp": NOW.secs() + 900,
        "jti": format!("{user}:{nonce}"), "sid": session.to_string(), "grant": "access",
        "scope": "me posts:write", "roles": ["user"],
    });
    assert_eq!(part(&token, 1), expected);
}

#[test]
fn a_refresh_token_carries_the_documented_claims() {
    let token = tokens(Algorithm::EdDsa).sign_refresh(&refresh_claims()).unwrap();
    let RefreshClaims { user, session, nonce, .. } = refresh_claims();
    assert_eq!(part(&token, 0)["typ"], "rt+jwt");
    let expected = json!({
        "iss": "https://id.example", "sub": user.to_string(), "aud": "https://id.example",
        "client_id": "keystile", "iat": NOW.secs(), "nbf": NOW.secs(),
        "exp": NOW.secs() + 90_000, "jti": format!("{user}:{nonce}"),
        "sid": session.to_string(), "grant": "refresh",
    });
    assert_eq!(part(&token, 1), expected);
}

#[test]
fn equal_claims_give_equal_tokens() {
    let tokens = tokens(Algorithm::EdDsa);
    assert_eq!(tokens.sign_access(&access_claims()), tokens.sign_access(&access_claims()));
    assert_eq!(tokens.sign_refresh(&refresh_claims()), tokens.sign_refresh(&refresh_claims()));
}

#[test]
fn a_token_without_scope_or_roles_is_good() {
    let tokens = tokens(Algorithm::EdDsa);
    let bare = AccessClaims { scope: Scopes::default(), roles: [].into(), ..access_claims() };
    let token = tokens.sign_access(&bare).unwrap();
    assert_eq!(*tokens.verify_access(&token, NOW).unwrap(), bare);
}

#[test]
fn a_token_too_long_to_be_read_is_not_made() {
    let scope = (0..64).map(|index| format!("{index:064}")).collect();
    let claims = AccessClaims { scope, ..access_claims() };
    assert_eq!(tokens(Algorithm::EdDsa).sign_access(&claims), Err(SignError::TooLong));
}

#[test]
fn the_longest_token_that_is_made_is_read() {
    let tokens = tokens(Algorithm::EdDsa);
    let made = |length: usize| {
        let scope = "a".repeat(length);
        let claims = AccessClaims { scope: [scope].into_iter().collect(), ..access_claims() };
        tokens.sign_access(&claims).ok()
    };
    let longest = (2000..TOKEN_BYTES_MAX).map_while(made).last().unwrap();
    assert_eq!(longest.len(), TOKEN_BYTES_MAX);
    assert!(tokens.verify_access(&longest, NOW).is_ok());
}

#[test]
fn the_cache_remembers_good_tokens_only() {
    let tokens = tokens(Algorithm::EdDsa);
    let token = tokens.sign_access(&access_claims()).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    assert!(tokens.verify_access(&format!("{message}.AAAA"), NOW).is_err());
    assert!(tokens.verify_access(&token, access_claims().expires_at).is_err());
    assert_eq!(tokens.seen.len(), 0);
    let first = tokens.verify_access(&token, NOW).unwrap();
    let second = tokens.verify_access(&token, NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(tokens.seen.len(), 1);
}

#[test]
fn a_refresh_token_has_neither_scope_nor_roles() {
    let wire = || Wire::of_refresh(&refresh_claims(), "https://id.example");
    assert!(wire().into_refresh().is_some());
    assert!(Wire { scope: Some("me".to_owned()), ..wire() }.into_refresh().is_none());
    assert!(Wire { roles: Some(BTreeSet::new()), ..wire() }.into_refresh().is_none());
    assert!(Wire { grant: Grant::Access, ..wire() }.into_refresh().is_none());
}
