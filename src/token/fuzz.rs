//! What must hold of tokens, whoever wrote them.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::ring::prepare;
use super::secret::TokenSecret;
use super::verify::Ring;
use super::{TokenSettings, Tokens};
use crate::clock::Timestamp;
use crate::random::SeededRandom;
use crate::store::SigningKeys;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Signed with a configured secret, so that a corpus has good tokens in it.
static TOKENS: LazyLock<Option<Tokens>> = LazyLock::new(|| {
    let secret = "3f1c0f6cd1b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394".to_owned();
    let settings = TokenSettings {
        algorithm: Algorithm::Hs256,
        secret: Some(TokenSecret::checked(secret, Algorithm::Hs256).ok()?),
        previous_secrets: vec![],
        issuer: "https://id.example".to_owned(),
        audience: "api".to_owned(),
    };
    let prepared = prepare(&settings, &SigningKeys::default(), NOW, &SeededRandom::new(1));
    prepared.ok().map(|prepared| prepared.tokens)
});

/// Bytes as a whole token, as a header that nobody signed, and as claims under a good signature: what is
/// accepted is of one kind, accepted again, and says the same when it is signed anew.
pub(crate) fn token(bytes: &[u8]) {
    let tokens = TOKENS.as_ref();
    assert!(tokens.is_some(), "there are no keys");
    let Some(tokens) = tokens else { return };
    if let Ok(text) = std::str::from_utf8(bytes) {
        judge(tokens, text);
    }
    let unsigned = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(bytes));
    assert!(!tokens.has_made(&unsigned, NOW), "what nobody signed was made here");
    judge(tokens, &unsigned);
    for ring in [&tokens.access, &tokens.refresh] {
        if let Some(signed) = signed(ring, bytes) {
            judge(tokens, &signed);
        }
    }
}

fn signed(ring: &Ring, payload: &[u8]) -> Option<String> {
    ring.signing()?.sign(payload).ok()
}

fn judge(tokens: &Tokens, token: &str) {
    let access = tokens.verify_access(token, NOW);
    let refresh = tokens.verify_refresh(token, NOW);
    assert!(access.is_err() || refresh.is_err(), "a token is of both kinds");
    assert!(tokens.has_made(token, NOW) || access.is_err() && refresh.is_err());
    // The second time the answer is a remembered one.
    assert_eq!(tokens.verify_access(token, NOW), access);
    if let Ok(claims) = access
        && let Ok(again) = tokens.sign_access(&claims)
    {
        assert_eq!(tokens.verify_access(&again, NOW), Ok(claims));
    }
    if let Ok(claims) = refresh
        && let Ok(again) = tokens.sign_refresh(&claims)
    {
        assert_eq!(tokens.verify_refresh(&again, NOW), Ok(claims));
    }
}
