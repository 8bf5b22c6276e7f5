//! Reject beside accept, rule by rule. "The right key" is the configured secret, with which anything can be forged.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::auth::model::id::UserId;
use crate::store::SigningKeys;
use crate::token::algorithm::Algorithm;
use crate::token::claims::AccessClaims;
use crate::token::testing::{
    NOW, SECRET, access_claims, forge, forge_with, part, refresh_claims, settings, start, tokens,
};
use crate::token::{TokenSettings, Tokens};

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
        let jwk = tokens.jwk_set(NOW)["keys"][0].clone();
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
    let foreign = ["JWT", "rt+jwt", "id_token", "", "application/", "text/at+jwt", "at+jwt "];
    for bad in foreign.into_iter().chain(["applicationsat+jwt"]) {
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
