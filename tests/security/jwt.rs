//! Tokens that somebody made who has the server's own key, or would like to.

use std::net::TcpListener;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keystile::token::algorithm::Algorithm;
use keystile::token::secret::TokenSecret;
use serde_json::{Value, json};

use crate::harness::{ISSUER, Pair, SECRET, TestServer};

/// The passwords that are tried first.
const WORDS: &str = include_str!("../../src/password/common.txt");

/// A server whose access tokens a shared secret signs.
async fn start() -> Arc<TestServer> {
    TestServer::with(|settings| settings.algorithm = Algorithm::Hs256).await
}

/// A token of this header and these claims, signed by the server's own key.
fn forged(header: &Value, claims: &str) -> String {
    let coded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", coded(&header.to_string()), coded(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The pair's access token with some claims changed.
fn with(pair: &Pair, changes: &Value) -> String {
    let mut claims = pair.access_claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    forged(&pair.access_header(), &claims.to_string())
}

#[tokio::test]
async fn a006_an_address_in_the_header_is_not_called() {
    let server = start().await;
    let pair = server.user("alice").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/key", listener.local_addr().unwrap());
    for member in ["jku", "x5u"] {
        let mut header = pair.access_header();
        assert!(server.accepts(&forged(&header, &pair.access_claims().to_string())).await);
        header[member] = json!(url);
        assert!(!server.accepts(&forged(&header, &pair.access_claims().to_string())).await);
    }
    let none = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(none, Err(std::io::ErrorKind::WouldBlock), "somebody connected");
}

/// The key is right and the claims are well formed, but no session says so.
#[tokio::test]
async fn a019_the_right_key_does_not_make_a_session() {
    let server = start().await;
    let (pair, other) = (server.user("alice").await, server.login("alice").await);
    let bob = server.user("bob").await;
    assert!(server.accepts(&with(&pair, &json!({}))).await);
    let (claims, others, bobs) = (pair.access_claims(), other.access_claims(), bob.access_claims());
    let user = claims["sub"].as_str().unwrap();
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let zeros = "0".repeat(32);
    for changes in [
        json!({ "sub": nobody, "jti": format!("{nobody}:{zeros}") }),
        json!({ "sub": bobs["sub"], "jti": bobs["jti"] }),
        json!({ "sub": bobs["sub"] }),
        json!({ "jti": others["jti"] }),
        json!({ "sid": others["sid"] }),
        json!({ "sid": bobs["sid"] }),
        json!({ "sid": nobody }),
        json!({ "jti": format!("{user}:{zeros}") }),
    ] {
        assert!(!server.accepts(&with(&pair, &changes)).await, "{changes}");
    }
    assert!(server.accepts(&pair.access).await && server.accepts(&bob.access).await);
}

#[tokio::test]
async fn id_07_an_alias_of_an_id_is_none_under_the_right_key_either() {
    let server = start().await;
    let pair = server.user("alice").await;
    let claims = pair.access_claims();
    let (sub, sid) = (claims["sub"].as_str().unwrap(), claims["sid"].as_str().unwrap());
    let jti = claims["jti"].as_str().unwrap();
    let lower = sub.to_ascii_lowercase();
    // The first character holds two bits too many: '8' reads as '0' where nobody looks.
    let alias = format!("8{}", &sid[1..]);
    for changes in [
        json!({ "sid": sid.to_ascii_lowercase() }),
        json!({ "sid": alias }),
        json!({ "sub": lower, "jti": jti.replace(sub, &lower) }),
        json!({ "jti": jti.replace(sub, &lower) }),
        json!({ "jti": jti.to_ascii_uppercase() }),
    ] {
        assert!(!server.accepts(&with(&pair, &changes)).await, "{changes}");
    }
}

#[tokio::test]
async fn a023_depth_and_length_within_the_claims_are_harmless() {
    let server = start().await;
    let pair = server.user("alice").await;
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let claims = pair.access_claims().to_string();
    let added = |name: &str, value: &str| {
        let claims = format!("{},\"{name}\":{value}}}", claims.trim_end_matches('}'));
        forged(&pair.access_header(), &claims)
    };
    for (name, value) in [
        ("scope", nested(100_000)),
        ("x", nested(100_000)),
        ("x", format!("\"{}\"", "x".repeat(1 << 20))),
    ] {
        let answer = server.get("/users/me").bearer(&added(name, &value)).await;
        answer.refused(431, "headers_too_large");
        let form = [("token", &*added(name, &value))];
        server.post("/revoke").form(&form).await.refused(413, "body_too_large");
    }
    // As deep as a token that is read can be.
    for levels in [1000, 1200] {
        let token = added("scope", &nested(levels));
        assert!(token.len() < 4096);
        assert!(!server.accepts(&token).await);
    }
    assert!(server.accepts(&pair.access).await);
}

/// An unknown claim is passed over, so that a later release may add one, and passing over is no recursion.
#[tokio::test]
async fn a023_a_claim_that_nobody_knows_is_passed_over_at_any_depth() {
    let server = start().await;
    let pair = server.user("alice").await;
    let claims = pair.access_claims().to_string();
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let claims = format!("{},\"x\":{deep}}}", claims.trim_end_matches('}'));
    let token = forged(&pair.access_header(), &claims);
    assert!(token.len() < 4096, "it is read at all");
    assert!(server.accepts(&token).await);
}

#[tokio::test]
async fn a027_a_storm_of_unknown_keys_reads_nothing() {
    let server = start().await;
    let pair = server.user("alice").await;
    let claims = pair.access_claims().to_string();
    // Whatever asks the store now is told that it is gone.
    server.store.close().await;
    server.get("/users/me").bearer(&pair.access).await.refused(503, "unavailable");
    for index in 0..10_000 {
        let mut header = pair.access_header();
        header["kid"] = json!(format!("{index:016}"));
        let answer = server.get("/users/me").bearer(&forged(&header, &claims)).await;
        answer.refused(401, "invalid_token");
    }
}

/// Guesses the secret of a captured token with every word of the list, as `hashcat` would.
#[tokio::test]
async fn a028_no_word_of_the_list_is_the_secret_of_a_captured_token() {
    let pair = start().await.user("alice").await;
    let (signed, signature) = pair.access.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let opens = |secret: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    };
    assert!(opens(SECRET), "the guess would be recognised");
    let mut words = 0;
    for word in WORDS.lines() {
        let repeated = word.repeat(32_usize.div_ceil(word.len()));
        for guess in [word, &repeated] {
            assert!(!opens(guess), "{guess}");
        }
        // None of them could have been the secret in the first place.
        TokenSecret::checked(word.to_owned(), Algorithm::Hs256).unwrap_err();
        words += 1;
    }
    assert!(words > 8000);
}

#[tokio::test]
async fn rv_11_a_token_for_another_audience_is_inactive_though_its_key_is_ours() {
    let server = start().await;
    let gate = server.user_with("gate", &["gateway"]).await;
    let pair = server.user("alice").await;
    let ask = async |token: &str| {
        let call = server.post("/introspect").bearer(&gate.access).form(&[("token", token)]);
        call.await
    };
    let live = ask(&with(&pair, &json!({}))).await.ok(200);
    assert_eq!(live["active"], true);
    for audience in [json!("other"), json!(["keystile", "other"]), json!(ISSUER), json!([])] {
        let answer = ask(&with(&pair, &json!({ "aud": audience }))).await;
        assert_eq!(answer.text, "{\"active\":false}", "{audience}");
    }
}

#[tokio::test]
async fn a103_every_dead_token_is_inactive_in_the_same_bytes() {
    let server = start().await;
    let gate = server.user_with("gate", &["gateway"]).await;
    let (pair, ended) = (server.user("alice").await, server.login("alice").await);
    server.post("/logout").bearer(&ended.access).await.ok(200);
    let claims = pair.access_claims();
    let dead = [
        "hunter2".to_owned(),
        with(&pair, &json!({ "aud": "other" })),
        with(&pair, &json!({ "iss": "https://other.example" })),
        with(&pair, &json!({ "exp": claims["iat"] })),
        with(&pair, &json!({ "sid": "01ARZ3NDEKTSV4RRFFQ69G5FAV" })),
        ended.access,
        ended.refresh,
        pair.refresh.clone(),
        claims["jti"].as_str().unwrap().to_owned(),
        claims["sid"].as_str().unwrap().to_owned(),
    ];
    let mut headers = Vec::new();
    for token in dead {
        let call = server.post("/introspect").bearer(&gate.access).form(&[("token", &token)]);
        let answer = call.await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "{\"active\":false}"));
        let names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        headers.push(names);
    }
    headers.dedup();
    assert_eq!(headers.len(), 1, "{headers:?}");
}
