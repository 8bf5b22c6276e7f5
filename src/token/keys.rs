//! One signing key: how it is made, how it is named, how it signs and how its signatures are verified.
//!
//! Knows which kind of token it is for, but neither claims nor store.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use crate::clock::Timestamp;
use crate::random::{self, Random};
use crate::store::KeyPurpose;

/// How much of the HMAC names a symmetric key: 96 bits, 16 characters.
const SYMMETRIC_KID_BYTES: usize = 12;

/// What a token has beside its header and payload: two dots, and a signature of 64 bytes in most cases.
const TAIL_BYTES: usize = 92;

/// The material is no key of its algorithm, or could not be made.
#[derive(Debug)]
pub(super) struct BadKey;

impl From<Unspecified> for BadKey {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// A key pair parsed once; jsonwebtoken's own signer would parse it for every token.
enum Signer {
    Hmac(Box<hmac::Key>),
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A key of the ring. One algorithm belongs to it (RFC 8725 §3.1), whatever a header says.
pub(super) struct Key {
    pub kid: String,
    pub algorithm: Algorithm,
    /// When it was made, if anybody noted it.
    pub created_at: Option<Timestamp>,
    /// A retired key verifies until then.
    pub verifies_until: Option<Timestamp>,
    pub decoding: DecodingKey,
    /// The header of every token it signs, encoded.
    header: String,
    signer: Signer,
}

impl Key {
    /// The key of `material`: the bytes of a secret, or PKCS #8 DER.
    pub fn new(
        purpose: KeyPurpose,
        algorithm: Algorithm,
        material: &[u8],
        verifies_until: Option<Timestamp>,
    ) -> Result<Self, BadKey> {
        let (signer, decoding) = match algorithm {
            Algorithm::Hs256 => symmetric(hmac::HMAC_SHA256, material),
            Algorithm::Hs384 => symmetric(hmac::HMAC_SHA384, material),
            Algorithm::Hs512 => symmetric(hmac::HMAC_SHA512, material),
            Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Rs256 => pair(algorithm, material)?,
        };
        let kid = match &signer {
            Signer::Hmac(_) => symmetric_kid(purpose, algorithm, material)?,
            Signer::Ed25519(_) | Signer::P256(_) | Signer::Rsa(_) => {
                let jwk = Jwk::from_decoding_key(&decoding, Some(algorithm.jose()));
                let thumbprint = jwk.and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256));
                thumbprint.map_err(|_| BadKey)?
            }
        };
        let header = URL_SAFE_NO_PAD
            .encode(format!(r#"{{"typ":"{}","alg":"{algorithm}","kid":"{kid}"}}"#, typ(purpose)));
        Ok(Self { kid, algorithm, created_at: None, verifies_until, decoding, header, signer })
    }

    /// Signs `payload` as a compact JWS (RFC 7515 §7.1).
    pub fn sign(&self, payload: &[u8]) -> Result<String, Unspecified> {
        // Room for all of it at once: growing by and by would cost as much as the rest of this.
        let mut token =
            String::with_capacity(self.header.len() + payload.len() * 4 / 3 + TAIL_BYTES);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.signer.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Whether it verifies at `now`.
    pub fn verifies_at(&self, now: Timestamp) -> bool {
        self.verifies_until.is_none_or(|until| !until.is_past(now))
    }

    /// The public half as a JWK (RFC 7517); a symmetric key has none.
    pub fn jwk(&self) -> Option<Jwk> {
        if self.algorithm.is_symmetric() {
            return None;
        }
        let mut jwk = Jwk::from_decoding_key(&self.decoding, Some(self.algorithm.jose())).ok()?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(self.kid.clone());
        Some(jwk)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.kid)
    }
}

impl Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Ed25519(pair) => pair.try_sign(message).map(|made| made.as_ref().to_vec()),
            Self::P256(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|made| made.as_ref().to_vec())
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// The `typ` of a kind of token (RFC 9068 §2.1).
pub(super) const fn typ(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::Access => "at+jwt",
        KeyPurpose::Refresh => "rt+jwt",
    }
}

/// Makes the stored form of a new key of `algorithm`.
///
/// Secrets and Ed25519 seeds come from `random`. P-256 and RSA keys need more than bytes; they come from
/// AWS-LC, whose generator is seeded by the operating system.
pub(super) fn make(
    algorithm: Algorithm,
    random: &dyn Random,
) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    if algorithm == Algorithm::Es256 {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        return Ok(Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()));
    }
    if algorithm == Algorithm::Rs256 {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
        return Ok(Zeroizing::new(pair.as_der()?.as_ref().to_vec()));
    }
    let seed = Zeroizing::new(random::bytes::<32>(random).map_err(|_| BadKey)?);
    if algorithm == Algorithm::EdDsa {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| BadKey)?;
        return Ok(Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()));
    }
    Ok(Zeroizing::new(seed.to_vec()))
}

/// The refresh key that belongs to a configured secret (RFC 5869), so that one secret never signs both kinds.
pub(super) fn derive_refresh(secret: &[u8]) -> Result<Zeroizing<[u8; 32]>, BadKey> {
    let mut derived = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"keystile")
        .extract(secret)
        .expand(&[b"refresh token signing key, HS256"], hkdf::HKDF_SHA256)?
        .fill(derived.as_mut())?;
    Ok(derived)
}

fn symmetric(algorithm: hmac::Algorithm, secret: &[u8]) -> (Signer, DecodingKey) {
    (Signer::Hmac(Box::new(hmac::Key::new(algorithm, secret))), DecodingKey::from_secret(secret))
}

fn pair(algorithm: Algorithm, pkcs8: &[u8]) -> Result<(Signer, DecodingKey), BadKey> {
    if algorithm == Algorithm::Es256 {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| BadKey)?;
        let decoding = DecodingKey::from_ec_der(pair.public_key().as_ref());
        return Ok((Signer::P256(pair), decoding));
    }
    if algorithm == Algorithm::Rs256 {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| BadKey)?;
        let decoding = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        return Ok((Signer::Rsa(pair), decoding));
    }
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| BadKey)?;
    let decoding = DecodingKey::from_ed_der(pair.public_key().as_ref());
    Ok((Signer::Ed25519(pair), decoding))
}

/// Names a secret without telling anything of it. What it is for and with which algorithm goes in, so that
/// one name never means two keys.
fn symmetric_kid(
    purpose: KeyPurpose,
    algorithm: Algorithm,
    secret: &[u8],
) -> Result<String, BadKey> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("keystile kid {} {algorithm}", typ(purpose)).as_bytes());
    tag.as_ref().get(..SYMMETRIC_KID_BYTES).map(|cut| URL_SAFE_NO_PAD.encode(cut)).ok_or(BadKey)
}
