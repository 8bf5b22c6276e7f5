//! The configured HMAC secret, and the ones that everybody knows.
//!
//! Knows nothing of files or environment: the configuration hands over the text it found.

use std::collections::HashSet;
use std::fmt;

use zeroize::ZeroizeOnDrop;

use super::algorithm::Algorithm;

/// Fewer distinct bytes than this is no secret.
const DISTINCT_BYTES_MIN: usize = 8;

/// Secrets of tutorials, templates and jwt.io, in lower case. A secret made of one of them and little
/// else is as well known as the thing itself.
const WELL_KNOWN: [&str; 25] = [
    // The longer ones first, so that a shorter one does not leave the rest of a longer one standing.
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "a-valid-string-secret-that-is-at-least-384-bits-long",
    "a-string-secret-at-least-256-bits-long",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "deff1952d59f883ece260e8683fed21ab0ad9a53323eca4f",
    "0123456789abcdef",
    "please_please_update_me_please",
    "your_super_secret_key",
    "your-super-secret-key",
    "your-256-bit-secret",
    "your-384-bit-secret",
    "your-512-bit-secret",
    "super_secret_key",
    "super-secret-key",
    "your_secret_key",
    "your-secret-key",
    "mysecretkey",
    "my_secret_key",
    "my-secret-key",
    "supersecret",
    "jwt_secret",
    "changethis",
    "change_me",
    "changeme",
    "secret",
];

/// The secret of HS256, HS384 or HS512: UTF-8 text used as written, never decoded, as `PyJWT` and
/// `python-jose` use it.
#[derive(Clone, ZeroizeOnDrop)]
pub struct TokenSecret(String);

/// Why a text cannot be a secret; never says what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Shorter than the hash output (RFC 7518 §3.2).
    #[error("the secret is shorter than {min} bytes; make one with `openssl rand -hex 32`")]
    TooShort {
        /// The least length in bytes.
        min: usize,
    },
    /// Made of too few different bytes.
    #[error("the secret has fewer than 8 distinct bytes; make one with `openssl rand -hex 32`")]
    TooUniform,
    /// Known from samples, padded or repeated perhaps.
    #[error("the secret is known from samples; make one with `openssl rand -hex 32`")]
    WellKnown,
    /// A PEM block, which may be a public key.
    #[error("the secret is a PEM block, not a secret; make one with `openssl rand -hex 32`")]
    Pem,
}

impl TokenSecret {
    /// Checks that `text` can be a secret of `algorithm`.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn checked(text: String, algorithm: Algorithm) -> Result<Self, SecretError> {
        let secret = Self(text);
        let min = algorithm.secret_bytes_min();
        if secret.0.contains("-----BEGIN") {
            return Err(SecretError::Pem);
        }
        if is_well_known(&secret.0) {
            return Err(SecretError::WellKnown);
        }
        if secret.0.len() < min {
            return Err(SecretError::TooShort { min });
        }
        if distinct_bytes(&secret.0) < DISTINCT_BYTES_MIN {
            return Err(SecretError::TooUniform);
        }
        Ok(secret)
    }

    /// The key's bytes: the text as written.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenSecret")
    }
}

fn is_well_known(text: &str) -> bool {
    let text = zeroize::Zeroizing::new(text.to_lowercase());
    WELL_KNOWN.iter().any(|sample| {
        text.contains(sample)
            && distinct_bytes(&zeroize::Zeroizing::new(text.replace(sample, "")))
                < DISTINCT_BYTES_MIN
    })
}

fn distinct_bytes(text: &str) -> usize {
    text.bytes().collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "3f1c0f6cd1b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394";

    fn refusal(text: &str) -> Option<SecretError> {
        TokenSecret::checked(text.to_owned(), Algorithm::Hs256).err()
    }

    #[test]
    fn a_random_secret_serves_every_algorithm() {
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            assert!(TokenSecret::checked(GOOD.to_owned(), algorithm).is_ok());
        }
    }

    #[test]
    fn a_secret_is_at_least_as_long_as_the_hash_output() {
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            let min = algorithm.secret_bytes_min();
            let cut = |length: usize| TokenSecret::checked(GOOD[..length].to_owned(), algorithm);
            assert!(cut(min).is_ok());
            assert_eq!(cut(min - 1).err(), Some(SecretError::TooShort { min }));
        }
        assert_eq!(refusal(""), Some(SecretError::TooShort { min: 32 }));
    }

    #[test]
    fn a_secret_has_at_least_eight_distinct_bytes() {
        assert_eq!(refusal(&"abcdefg".repeat(8)), Some(SecretError::TooUniform));
        assert_eq!(refusal(&"abcdefgh".repeat(8)), None);
    }

    #[test]
    fn samples_are_refused_also_padded_or_repeated() {
        for sample in WELL_KNOWN {
            assert_eq!(refusal(sample), Some(SecretError::WellKnown), "{sample}");
            assert_eq!(refusal(&sample.to_uppercase()), Some(SecretError::WellKnown), "{sample}");
            assert_eq!(refusal(&sample.repeat(6)), Some(SecretError::WellKnown), "{sample}");
        }
        for padded in
            ["your-secret-key_____________________1234", "secret secret secret secret secret"]
        {
            assert_eq!(refusal(padded), Some(SecretError::WellKnown), "{padded}");
        }
        assert_eq!(refusal(&format!("secret-{GOOD}")), None);
        // What is left of it has to make a secret by itself.
        let uniform = format!("secret{}", "abcdefg".repeat(5));
        assert_eq!(refusal(&uniform), Some(SecretError::WellKnown));
        assert_eq!(refusal(&uniform.replace('g', "gh")), None);
    }

    #[test]
    fn a_public_key_is_no_secret() {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{GOOD}\n-----END PUBLIC KEY-----\n");
        assert_eq!(refusal(&pem), Some(SecretError::Pem));
    }

    #[test]
    fn debug_output_names_the_type_only() {
        let secret = TokenSecret::checked(GOOD.to_owned(), Algorithm::Hs256).unwrap();
        assert_eq!(format!("{secret:?}"), "TokenSecret");
    }
}
