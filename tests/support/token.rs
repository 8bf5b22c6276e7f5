//! Tokens as a client sees them: three segments, of which the middle one says what they claim.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// What `token` claims, unverified.
pub fn claims(token: &str) -> Value {
    segment(token, 1)
}

/// The header of `token`.
pub fn header(token: &str) -> Value {
    segment(token, 0)
}

/// Whether `token` is signed by HS256 with the text `secret` as its key (RFC 7515 §5.2).
pub fn is_signed_with(token: &str, secret: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    header(token)["alg"] == "HS256" && hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
}

fn segment(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}
