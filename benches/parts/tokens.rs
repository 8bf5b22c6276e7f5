//! Making and judging tokens.

use std::collections::BTreeSet;
use std::hint::black_box;

use anyhow::Result;
use criterion::{BatchSize, Criterion};
use keystile::auth::model::id::{Nonce, SessionId, UserId};
use keystile::auth::model::scope::Scopes;
use keystile::random::SeededRandom;
use keystile::store::SigningKeys;
use keystile::token::algorithm::Algorithm;
use keystile::token::claims::{AccessClaims, RefreshClaims};
use keystile::token::{TokenSettings, Tokens, ring};

use super::{LIFE, NOW, SCOPE};

/// With a key pair of either kind that is fast enough for every request.
pub fn measure(criterion: &mut Criterion, random: &SeededRandom) -> Result<()> {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let tokens = make_tokens(algorithm, random)?;
        let access = access_claims(random)?;
        let seen = tokens.sign_access(&access)?;
        criterion.bench_function(&format!("{algorithm}: verify a token seen before"), |bencher| {
            bencher.iter(|| tokens.verify_access(black_box(&seen), NOW));
        });
        criterion.bench_function(&format!("{algorithm}: verify a new token"), |bencher| {
            // A token is new only once: a ring of them would be remembered in part.
            let new = || tokens.sign_access(&access_claims(random).ok()?).ok();
            let verify = |token: Option<String>| token.map(|new| tokens.verify_access(&new, NOW));
            bencher.iter_batched(new, verify, BatchSize::SmallInput);
        });
        let refresh = RefreshClaims {
            user: access.user,
            session: access.session,
            nonce: access.nonce,
            issued_at: NOW,
            expires_at: NOW.after(LIFE),
        };
        criterion.bench_function(&format!("{algorithm}: sign a pair"), |bencher| {
            bencher.iter(|| (tokens.sign_access(&access), tokens.sign_refresh(&refresh)));
        });
        let token = tokens.sign_refresh(&refresh)?;
        criterion.bench_function(&format!("{algorithm}: verify a refresh token"), |bencher| {
            bencher.iter(|| tokens.verify_refresh(black_box(&token), NOW));
        });
    }
    Ok(())
}

fn make_tokens(algorithm: Algorithm, random: &SeededRandom) -> Result<Tokens> {
    let settings = TokenSettings {
        algorithm,
        secret: None,
        previous_secrets: Vec::new(),
        issuer: "http://127.0.0.1:8000".to_owned(),
        audience: "keystile".to_owned(),
    };
    Ok(ring::prepare(&settings, &SigningKeys::default(), NOW, random)?.tokens)
}

fn access_claims(random: &SeededRandom) -> Result<AccessClaims> {
    Ok(AccessClaims {
        user: UserId::new(NOW, random)?,
        session: SessionId::new(NOW, random)?,
        nonce: Nonce::new(random)?,
        issued_at: NOW,
        expires_at: NOW.after(LIFE),
        scope: Scopes::parse(SCOPE)?,
        roles: BTreeSet::from(["user".to_owned()]),
    })
}
