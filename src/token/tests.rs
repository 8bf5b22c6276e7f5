//! Accept and reject, rule by rule. "The right key" is the configured secret, with which anything can be forged.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::claims::{AccessClaims, RefreshClaims};
use super::ring::{KeyError, Prepared, prepare};
use super::secret::TokenSecret;
use super::*;
use crate::random::SeededRandom;
use crate::store::{SigningKeys, StoredKey};

const SECRET: &str = "3f1c0f6cd1b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394";
const OTHER_SECRET: &str = "a5b6c7d8e9fa0b1c2d3e4f50617283943f1c0f6cd1b7a2e94f5a7788c1d2e3f4";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const TTL: Duration = Duration::from_secs(900);

fn settings(algorithm: Algorithm) -> TokenSettings {
    let secret = |text: &str| TokenSecret::checked(text.to_owned(), algorithm).unwrap();
    TokenSettings {
        algorithm,
        secret: algorithm.is_symmetric().then(|| secret(SECRET)),
        previous_secrets: Vec::new(),
        issuer: "https://id.example".to_owned(),
        audience: "api".to_owned(),
    }
}

fn start(settings: &TokenSettings, stored: &SigningKeys, now: Timestamp) -> Prepared {
    prepare(settings, stored, now, &SeededRandom::new(1)).unwrap()
}

fn tokens(algorithm: Algorithm) -> Tokens {
    start(&settings(algorithm), &SigningKeys::default(), NOW).tokens
}

fn stored(keys: Vec<StoredKey>) -> SigningKeys {
    SigningKeys { version: 1, keys }
}

fn access_claims() -> AccessClaims {
    let random = SeededRandom::new(5);
    AccessClaims {
        user: UserId::new(NOW, &random).unwrap(),
        session: SessionId::new(NOW, &random).unwrap(),
        nonce: Nonce::new(&random).unwrap(),
        issued_at: NOW,
        expires_at: NOW.after(TTL),
        scope: Scopes::parse("me posts:write").unwrap(),
        roles: BTreeSet::from(["user".to_owned()]),
    }
}

fn refresh_claims() -> RefreshClaims {
    let AccessClaims { user, session, nonce, issued_at, .. } = access_claims();
    RefreshClaims { user, session, nonce, issued_at, expires_at: NOW.after(TTL * 100) }
}

/// The decoded header or payload of a token.
#[track_caller]
fn part(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

/// A token of exactly these bytes, signed with the right key.
fn forge(header: &str, payload: &str) -> String {
    forge_with(hmac::HMAC_SHA256, SECRET.as_bytes(), header, payload)
}

fn forge_with(algorithm: hmac::Algorithm, key: &[u8], header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A server with HS256 and the header and claims of one of its access tokens.
fn white_box() -> (Tokens, Value, Value) {
    let tokens = tokens(Algorithm::Hs256);
    let token = tokens.sign_access(&access_claims()).unwrap();
    (tokens, part(&token, 0), part(&token, 1))
}

/// What becomes of a good access token whose header or claims are changed before signing.
#[track_caller]
fn with_header(change: impl FnOnce(&mut Value)) -> Result<Arc<AccessClaims>, InvalidToken> {
    let (tokens, mut header, claims) = white_box();
    change(&mut header);
    tokens.verify_access(&forge(&header.to_string(), &claims.to_string()), NOW)
}

#[track_caller]
fn with_claims(change: impl FnOnce(&mut Value)) -> Result<Arc<AccessClaims>, InvalidToken> {
    let (tokens, header, mut claims) = white_box();
    change(&mut claims);
    tokens.verify_access(&forge(&header.to_string(), &claims.to_string()), NOW)
}

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
        let set: JwkSet = serde_json::from_value(tokens.jwk_set()).unwrap();
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
        let set = tokens(algorithm).jwk_set();
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
fn neither_kind_passes_for_the_other() {
    for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
        let tokens = tokens(algorithm);
        let access = tokens.sign_access(&access_claims()).unwrap();
        let refresh = tokens.sign_refresh(&refresh_claims()).unwrap();
        assert_eq!(tokens.verify_access(&refresh, NOW), Err(InvalidToken::OtherKind));
        assert_eq!(tokens.verify_refresh(&access, NOW), Err(InvalidToken::OtherKind));
    }
}

#[test]
fn alg_none_is_refused_with_and_without_signature() {
    for none in ["none", "None", "nOnE", "NONE", ""] {
        assert!(with_header(|header| header["alg"] = json!(none)).is_err());
        let (tokens, mut header, claims) = white_box();
        header["alg"] = json!(none);
        let token = forge(&header.to_string(), &claims.to_string());
        let (message, _) = token.rsplit_once('.').unwrap();
        assert!(tokens.verify_access(&format!("{message}."), NOW).is_err());
        assert!(tokens.verify_access(message, NOW).is_err());
    }
}

#[test]
fn a_token_has_three_segments_none_of_them_empty() {
    let tokens = tokens(Algorithm::EdDsa);
    let good = tokens.sign_access(&access_claims()).unwrap();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for bad in [
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{good}.{signature}"),
        format!("{header}.{signature}.{payload}.{signature}.{signature}"),
        format!("{good}."),
        json!({ "payload": payload, "protected": header, "signature": signature }).to_string(),
        ".".repeat(4000),
        "..".to_owned(),
        String::new(),
    ] {
        assert_eq!(tokens.verify_access(&bad, NOW), Err(InvalidToken::Malformed), "{bad}");
        assert_eq!(tokens.verify_refresh(&bad, NOW), Err(InvalidToken::Malformed), "{bad}");
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let tokens = tokens(algorithm);
        let token = tokens.sign_access(&access_claims()).unwrap();
        let jwk = tokens.jwk_set()["keys"][0].clone();
        let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
        let raw = member("x").or_else(|| member("n")).unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(&raw)
        );
        let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": jwk["kid"] }).to_string();
        for key in [raw, pem.into_bytes(), jwk.to_string().into_bytes()] {
            let payload = part(&token, 1).to_string();
            let forged = forge_with(hmac::HMAC_SHA256, &key, &header, &payload);
            assert_eq!(tokens.verify_access(&forged, NOW), Err(InvalidToken::UnknownKey));
        }
    }
}

#[test]
fn a_key_verifies_its_own_algorithm_only() {
    let (tokens, mut header, claims) = white_box();
    for (name, algorithm) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        header["alg"] = json!(name);
        let forged =
            forge_with(algorithm, SECRET.as_bytes(), &header.to_string(), &claims.to_string());
        assert_eq!(tokens.verify_access(&forged, NOW), Err(InvalidToken::UnknownKey));
    }
}

#[test]
fn a_header_has_no_other_members() {
    assert!(with_header(|_| ()).is_ok());
    for member in ["jku", "jwk", "x5u", "x5c", "x5t", "crit", "b64", "zip", "cty", "x"] {
        let refused = with_header(|header| header[member] = json!("https://evil.example"));
        assert_eq!(refused, Err(InvalidToken::Malformed), "{member}");
    }
    for member in ["alg", "typ", "kid"] {
        let refused = with_header(|header| {
            header.as_object_mut().unwrap().remove(member);
        });
        assert_eq!(refused, Err(InvalidToken::Malformed), "{member}");
        let refused = with_header(|header| header[member] = json!(["at+jwt"]));
        assert_eq!(refused, Err(InvalidToken::Malformed), "{member}");
    }
}

#[test]
fn a_repeated_header_member_or_claim_is_refused() {
    let (tokens, header, claims) = white_box();
    let (header, claims) = (header.to_string(), claims.to_string());
    assert!(tokens.verify_access(&forge(&header, &claims), NOW).is_ok());
    let twice = header.replacen('{', r#"{"typ":"at+jwt","#, 1);
    assert_eq!(tokens.verify_access(&forge(&twice, &claims), NOW), Err(InvalidToken::Malformed));
    for claim in ["iss", "sub", "aud", "exp", "jti", "sid", "grant", "scope", "roles"] {
        let value = &part(&forge(&header, &claims), 1)[claim];
        let twice = claims.replacen('{', &format!(r#"{{"{claim}":{value},"#), 1);
        let refused = tokens.verify_access(&forge(&header, &twice), NOW);
        assert_eq!(refused, Err(InvalidToken::Claims), "{claim}");
    }
}

#[test]
fn typ_is_that_of_an_access_token_in_any_case_and_with_its_prefix() {
    for good in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"] {
        assert!(with_header(|header| header["typ"] = json!(good)).is_ok(), "{good}");
    }
    for bad in ["JWT", "rt+jwt", "id_token", "", "application/", "text/at+jwt", "at+jwt "] {
        let refused = with_header(|header| header["typ"] = json!(bad));
        assert_eq!(refused, Err(InvalidToken::OtherKind), "{bad}");
    }
}

#[test]
fn a_kid_is_a_name_in_the_ring_and_nothing_else() {
    for bad in ["", "../../etc/passwd", "a b", "'--", "é", &"a".repeat(65)] {
        let refused = with_header(|header| header["kid"] = json!(bad));
        assert_eq!(refused, Err(InvalidToken::Malformed), "{bad}");
    }
    let unknown = with_header(|header| header["kid"] = json!("a".repeat(64)));
    assert_eq!(unknown, Err(InvalidToken::UnknownKey));
}

#[test]
fn a_changed_token_is_refused() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(algorithm);
        let good = tokens.sign_access(&access_claims()).unwrap();
        let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let mut claims = part(&good, 1);
        claims["roles"] = json!(["admin"]);
        let swapped = URL_SAFE_NO_PAD.encode(claims.to_string());
        let changed = format!("{header}.{swapped}.{signature}");
        assert_eq!(tokens.verify_access(&changed, NOW), Err(InvalidToken::Signature));
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for forged in [
            vec![0; bytes.len()],
            {
                bytes[0] ^= 1;
                bytes
            },
            vec![1],
        ] {
            let forged = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(forged));
            assert_eq!(tokens.verify_access(&forged, NOW), Err(InvalidToken::Signature));
        }
    }
}

#[test]
fn a_token_has_one_spelling() {
    let tokens = tokens(Algorithm::Hs256);
    let good = tokens.sign_access(&access_claims()).unwrap();
    let (rest, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 32 bytes end in a character with two spare bits, which three other characters share.
    let spare = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    for bad in [
        format!("{rest}{spare}"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        good.replace('.', "%2E"),
        good.replacen('.', "=.", 1),
        format!("{rest}+"),
        format!("{rest}/"),
    ] {
        assert_eq!(tokens.verify_access(&bad, NOW), Err(InvalidToken::Malformed), "{bad}");
    }
}

#[test]
fn an_oversized_token_is_refused_before_it_is_read() {
    let tokens = tokens(Algorithm::EdDsa);
    for length in [4097, 100_000, 1_000_000] {
        assert_eq!(tokens.verify_access(&"a".repeat(length), NOW), Err(InvalidToken::Malformed));
        assert_eq!(tokens.verify_refresh(&".".repeat(length), NOW), Err(InvalidToken::Malformed));
    }
}

#[test]
fn deep_nesting_in_a_claim_is_refused() {
    let (tokens, header, mut claims) = white_box();
    for claim in ["aud", "roles", "exp", "scope"] {
        let kept = claims.as_object_mut().unwrap().remove(claim).unwrap();
        let deep = format!(r#"{{"{claim}":{}{},"#, "[".repeat(900), "]".repeat(900));
        let payload = claims.to_string().replacen('{', &deep, 1);
        let refused = tokens.verify_access(&forge(&header.to_string(), &payload), NOW);
        assert_eq!(refused, Err(InvalidToken::Claims), "{claim}");
        claims[claim] = kept;
    }
}

#[test]
fn every_claim_is_required_and_has_one_type() {
    let claims = white_box().2;
    for claim in claims.as_object().unwrap().keys() {
        let missing = with_claims(|claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(missing, Err(InvalidToken::Claims), "{claim}");
        for other in [json!(null), json!({}), json!(true), json!(-1), json!(1.5)] {
            let refused = with_claims(|claims| claims[claim] = other.clone());
            assert_eq!(refused, Err(InvalidToken::Claims), "{claim}: {other}");
        }
    }
}

#[test]
fn times_are_whole_numbers_within_range() {
    for claim in ["iat", "nbf", "exp"] {
        for bad in [json!("1800000300"), json!(1_800_000_300.0), json!((1_u64 << 53) + 1)] {
            let refused = with_claims(|claims| claims[claim] = bad.clone());
            assert_eq!(refused, Err(InvalidToken::Claims), "{claim}: {bad}");
        }
    }
}

#[test]
fn the_audience_is_this_api_alone() {
    for good in [json!("api"), json!(["api"])] {
        assert!(with_claims(|claims| claims["aud"] = good.clone()).is_ok(), "{good}");
    }
    let foreign = [json!(7), json!([]), json!("x"), json!(["x"]), json!(["api", "x"])];
    for bad in foreign.into_iter().chain([json!("API"), json!(""), json!(["api", "api"])]) {
        let refused = with_claims(|claims| claims["aud"] = bad.clone());
        assert_eq!(refused, Err(InvalidToken::Claims), "{bad}");
    }
}

#[test]
fn the_issuer_is_ours_to_the_letter() {
    let ours = "https://id.example";
    assert!(with_claims(|claims| claims["iss"] = json!(ours)).is_ok());
    let foreign = [json!(3), json!("https://id.example/"), json!("HTTPS://ID.EXAMPLE")];
    for bad in foreign.into_iter().chain([json!(["evil", ours]), json!([ours]), json!("")]) {
        let refused = with_claims(|claims| claims["iss"] = bad.clone());
        assert_eq!(refused, Err(InvalidToken::Claims), "{bad}");
    }
}

#[test]
fn a_token_of_another_instance_with_the_same_secret_is_refused() {
    let tokens = tokens(Algorithm::Hs256);
    for (issuer, audience) in [("https://other.example", "api"), ("https://id.example", "x")] {
        let other = TokenSettings {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            ..settings(Algorithm::Hs256)
        };
        let other = start(&other, &SigningKeys::default(), NOW).tokens;
        let token = other.sign_access(&access_claims()).unwrap();
        assert_eq!(tokens.verify_access(&token, NOW), Err(InvalidToken::Claims));
    }
}

#[test]
fn the_jti_is_the_subjects() {
    let other = UserId::from_bytes([9; 16]).to_string();
    let refused = with_claims(|claims| claims["sub"] = json!(other));
    assert_eq!(refused, Err(InvalidToken::Claims));
    let refused = with_claims(|claims| claims["client_id"] = json!("other"));
    assert_eq!(refused, Err(InvalidToken::Claims));
    let refused = with_claims(|claims| claims["grant"] = json!("refresh"));
    assert_eq!(refused, Err(InvalidToken::Claims));
}

#[test]
fn a_token_is_expired_from_its_exp_on() {
    let tokens = tokens(Algorithm::EdDsa);
    let access = tokens.sign_access(&access_claims()).unwrap();
    let refresh = tokens.sign_refresh(&refresh_claims()).unwrap();
    let before = |end: Timestamp| Timestamp::from_millis(end.millis() - 1);
    // Asked twice: the second answer comes from the cache and follows the clock all the same.
    for _ in 0..2 {
        let end = access_claims().expires_at;
        assert!(tokens.verify_access(&access, before(end)).is_ok());
        assert_eq!(tokens.verify_access(&access, end), Err(InvalidToken::Expired));
        let late = end.after(Duration::from_secs(1));
        assert_eq!(tokens.verify_access(&access, late), Err(InvalidToken::Expired));
    }
    let end = refresh_claims().expires_at;
    assert!(tokens.verify_refresh(&refresh, before(end)).is_ok());
    assert_eq!(tokens.verify_refresh(&refresh, end), Err(InvalidToken::Expired));
}

#[test]
fn a_token_from_the_future_is_refused() {
    let now = NOW.secs();
    for claim in ["nbf", "iat"] {
        assert!(with_claims(|claims| claims[claim] = json!(now + 5)).is_ok());
        let refused = with_claims(|claims| claims[claim] = json!(now + 6));
        assert_eq!(refused, Err(InvalidToken::Early), "{claim}");
    }
    let tokens = tokens(Algorithm::EdDsa);
    let token = tokens.sign_access(&access_claims()).unwrap();
    assert!(tokens.verify_access(&token, NOW).is_ok());
    let earlier = |millis| Timestamp::from_millis(NOW.millis() - millis);
    assert!(tokens.verify_access(&token, earlier(5000)).is_ok());
    assert_eq!(tokens.verify_access(&token, earlier(5001)), Err(InvalidToken::Early));
}

#[test]
fn an_access_token_lives_no_longer_than_an_hour() {
    let now = NOW.secs();
    assert!(with_claims(|claims| claims["exp"] = json!(now + 3600)).is_ok());
    for exp in [now + 3601, now + 315_360_000] {
        let refused = with_claims(|claims| claims["exp"] = json!(exp));
        assert_eq!(refused, Err(InvalidToken::Claims));
    }
    let reversed = with_claims(|claims| {
        claims["iat"] = json!(now + 4);
        claims["exp"] = json!(now + 3);
    });
    assert_eq!(reversed, Err(InvalidToken::Claims));
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
    assert_eq!(new.tokens.jwk_set()["keys"].as_array().unwrap().len(), 2);
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
