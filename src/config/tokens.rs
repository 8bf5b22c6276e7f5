//! `[tokens]`: how tokens are signed, what they say of their issuer, and how long they live.
//!
//! Whether a secret is good enough for an algorithm is [`TokenSecret`]'s to say.

use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::key::{Key, Kind};
use super::secret::{self, SecretFile, SecretText};
use super::server::PublicUrl;
use super::storage::path;
use super::values::Values;
use crate::token::ACCESS_TTL_MAX;
use crate::token::algorithm::Algorithm;
use crate::token::secret::TokenSecret;

pub(super) const KEYS: &[Key] = &[
    Key::unset("tokens.algorithm", Kind::Text),
    Key::secret("tokens.secret", Kind::Text),
    Key::unset("tokens.secret_file", Kind::Text),
    Key::secret("tokens.previous_secrets", Kind::List),
    Key::unset("tokens.previous_secrets_file", Kind::Text),
    Key::unset("tokens.issuer", Kind::Text),
    Key::new("tokens.audience", Kind::Text, "keystile"),
    Key::new("tokens.access_ttl", Kind::Text, "15m"),
    Key::new("tokens.refresh_ttl", Kind::Text, "7d"),
    Key::new("tokens.session_ttl", Kind::Text, "30d"),
    Key::new("tokens.refresh_grace", Kind::Text, "30s"),
];

const SECOND: Duration = Duration::from_secs(1);
const REFRESH_GRACE_MAX: Duration = Duration::from_secs(60);
/// Ten years: longer is a mistake.
const SESSION_TTL_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
const PREVIOUS_SECRETS_MAX: usize = 16;

/// The section. Each time to live is in whole seconds.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// What new access tokens are signed with.
    pub algorithm: Algorithm,
    /// The secret of an HS* algorithm; none with the others.
    pub secret: Option<TokenSecret>,
    /// Secrets that verify only.
    pub previous_secrets: Vec<TokenSecret>,
    /// The `iss` of every token.
    pub issuer: String,
    /// The `aud` of access tokens.
    pub audience: String,
    /// How long an access token lives.
    pub access_ttl: Duration,
    /// How long a session lives without a refresh.
    pub refresh_ttl: Duration,
    /// How long a session lives at most.
    pub session_ttl: Duration,
    /// How long the replaced tokens of a refresh stay good; zero ends them at once.
    pub refresh_grace: Duration,
}

impl Tokens {
    pub(super) fn read(
        values: &Values,
        public_url: &PublicUrl,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let secret = secret(values, warnings)?;
        let algorithm = algorithm(values, secret.is_some())?;
        let checked = |(key, text): (&str, SecretText)| {
            TokenSecret::checked(text.expose().to_owned(), algorithm)
                .map_err(|error| values.refuse(key, &error.to_string()))
        };
        let previous = previous_secrets(values, secret.is_some(), warnings)?;
        let issuer = values.optional("tokens.issuer", name)?;
        let tokens = Self {
            algorithm,
            previous_secrets: previous.into_iter().map(checked).collect::<Result<_, _>>()?,
            secret: secret.map(checked).transpose()?,
            issuer: issuer.unwrap_or_else(|| public_url.as_str().to_owned()),
            audience: values.text("tokens.audience", name)?,
            access_ttl: ttl(values, "tokens.access_ttl", SECOND, ACCESS_TTL_MAX)?,
            refresh_ttl: ttl(values, "tokens.refresh_ttl", SECOND, SESSION_TTL_MAX)?,
            session_ttl: ttl(values, "tokens.session_ttl", SECOND, SESSION_TTL_MAX)?,
            refresh_grace: ttl(values, "tokens.refresh_grace", Duration::ZERO, REFRESH_GRACE_MAX)?,
        };
        if tokens.access_ttl >= tokens.refresh_ttl {
            return Err(values.refuse_either([
                ("tokens.access_ttl", "must be shorter than tokens.refresh_ttl"),
                ("tokens.refresh_ttl", "must be longer than tokens.access_ttl"),
            ]));
        }
        if tokens.refresh_ttl > tokens.session_ttl {
            return Err(values.refuse_either([
                ("tokens.refresh_ttl", "must not be longer than tokens.session_ttl"),
                ("tokens.session_ttl", "must not be shorter than tokens.refresh_ttl"),
            ]));
        }
        Ok(tokens)
    }
}

fn algorithm(values: &Values, has_secret: bool) -> Result<Algorithm, ConfigError> {
    let named = values.optional("tokens.algorithm", str::parse::<Algorithm>)?;
    let problem = match (named, has_secret) {
        (None, true) => return Ok(Algorithm::Hs256),
        (None, false) => return Ok(Algorithm::EdDsa),
        (Some(algorithm), _) if algorithm.is_symmetric() == has_secret => return Ok(algorithm),
        (Some(_), true) => "does not sign with a secret, but tokens.secret is set",
        (Some(_), false) => "needs tokens.secret",
    };
    Err(values.refuse("tokens.algorithm", problem))
}

/// A secret's text, and the key that names it.
type Found = (&'static str, SecretText);

fn secret(values: &Values, warnings: &mut Vec<String>) -> Result<Option<Found>, ConfigError> {
    let (from_file, key) = ("tokens.secret_file", "tokens.secret");
    match secret_file(values, from_file, warnings)? {
        Some(file) => Ok(Some((from_file, file.text))),
        None => Ok(values.optional(key, SecretText::new)?.map(|text| (key, text))),
    }
}

fn previous_secrets(
    values: &Values,
    has_secret: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<Found>, ConfigError> {
    let from_file = "tokens.previous_secrets_file";
    let (key, secrets): (_, Vec<SecretText>) =
        if let Some(file) = secret_file(values, from_file, warnings)? {
            let lines = file.text.expose().lines();
            (from_file, lines.filter_map(|line| SecretText::new(line).ok()).collect())
        } else {
            let key = "tokens.previous_secrets";
            (key, values.list(key, SecretText::new)?)
        };
    if secrets.len() > PREVIOUS_SECRETS_MAX {
        return Err(values.refuse(key, "must be at most 16"));
    }
    if !secrets.is_empty() && !has_secret {
        return Err(values.refuse(key, "needs tokens.secret, which it was before"));
    }
    Ok(secrets.into_iter().map(|secret| (key, secret)).collect())
}

fn secret_file(
    values: &Values,
    key: &str,
    warnings: &mut Vec<String>,
) -> Result<Option<SecretFile>, ConfigError> {
    let Some(path) = values.optional::<PathBuf, _>(key, path)? else { return Ok(None) };
    let file = secret::read_file(&path).map_err(|error| values.refuse(key, &error.to_string()))?;
    if file.exposed {
        let path = path.display();
        warnings.push(format!("{key}: every user of this machine can read {path}"));
    }
    Ok(Some(file))
}

/// A `StringOrURI` (RFC 7519 §2) of a length and look that fit every header and log.
fn name(text: &str) -> Result<String, &'static str> {
    if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 255 visible ASCII characters")
}

/// Token times are whole seconds (RFC 7519 §2, `NumericDate`).
fn ttl(
    values: &Values,
    key: &str,
    least: Duration,
    most: Duration,
) -> Result<Duration, ConfigError> {
    let ttl = values.duration(key, least..=most)?;
    if ttl.subsec_nanos() != 0 {
        return Err(values.refuse(key, "must be whole seconds"));
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    const GOOD: &str = "3f1c0f6cd1b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394";
    const OLD: &str = "94b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f50617283943f1c0f6c";

    fn tokens(lines: &str) -> Tokens {
        load(&format!("[tokens]\n{lines}")).unwrap().tokens
    }

    fn refused(lines: &str) -> String {
        refusal(&format!("[tokens]\n{lines}"))
    }

    #[test]
    fn the_algorithm_follows_from_the_secret() {
        assert_eq!(tokens("").algorithm, Algorithm::EdDsa);
        assert_eq!(tokens(&format!("secret = '{GOOD}'")).algorithm, Algorithm::Hs256);
        let lines = format!("secret = '{GOOD}'\nalgorithm = 'HS512'");
        assert_eq!(tokens(&lines).algorithm, Algorithm::Hs512);
        assert_eq!(tokens("algorithm = 'RS256'").algorithm, Algorithm::Rs256);
    }

    #[test]
    fn secret_and_algorithm_must_go_together() {
        for lines in ["secret = 'x'\nalgorithm = 'EdDSA'", "algorithm = 'HS256'"] {
            assert!(refused(lines).contains("tokens.algorithm"), "{lines}");
        }
    }

    #[test]
    fn an_algorithm_that_nobody_signs_with_is_refused() {
        for bad in ["none", "hs256", "ES384", ""] {
            assert!(refused(&format!("algorithm = '{bad}'")).contains("HS256, HS384"), "{bad}");
        }
    }

    #[test]
    fn a_bad_secret_is_refused_by_key_and_source_and_never_quoted() {
        assert!(refused("secret = ''").ends_with("config.toml): is empty"));
        for bad in ["your-secret-key", "please_please_update_me_please", "k7Qz_short"] {
            let refusal = refused(&format!("secret = '{bad}'"));
            assert!(refusal.starts_with("tokens.secret (") && refusal.contains("config.toml"));
            assert!(refusal.contains("openssl rand -hex 32") && !refusal.contains(bad), "{bad}");
        }
    }

    #[test]
    fn previous_secrets_go_with_a_secret_and_are_judged_like_it() {
        let kept = tokens(&format!("secret = '{GOOD}'\nprevious_secrets = '{OLD}, {GOOD}'"));
        assert_eq!(kept.previous_secrets.len(), 2);
        assert!(refused(&format!("previous_secrets = ['{OLD}']")).contains("needs tokens.secret"));
        let weak = refused(&format!("secret = '{GOOD}'\nprevious_secrets = ['changeme']"));
        assert!(weak.starts_with("tokens.previous_secrets ("));
    }

    #[test]
    fn secret_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let secret = write("secret", &format!("{GOOD}\n"));
        let previous = write("previous", &format!("{OLD}\r\n\n{GOOD},\n"));
        let lines = format!("secret_file = '{secret}'\nprevious_secrets_file = '{previous}'");
        let tokens = tokens(&lines);
        assert!(tokens.secret.is_some());
        assert_eq!(tokens.previous_secrets.len(), 2);
        let weak = write("weak", "changeme");
        assert!(refused(&format!("secret_file = '{weak}'")).starts_with("tokens.secret_file ("));
        let missing = refused("secret_file = '/nonexistent/secret'");
        assert!(missing.starts_with("tokens.secret_file (") && missing.contains("config.toml): "));
    }

    #[test]
    fn times_to_live_are_ordered() {
        tokens("access_ttl = '59m'\nrefresh_ttl = '1h'\nsession_ttl = '1h'");
        for (lines, key) in [
            ("access_ttl = '1h'\nrefresh_ttl = '1h'", "tokens.access_ttl"),
            ("refresh_ttl = '5m'", "tokens.refresh_ttl"),
            ("refresh_ttl = '31d'", "tokens.refresh_ttl"),
            ("session_ttl = '6d'", "tokens.session_ttl"),
        ] {
            assert!(refused(lines).starts_with(key), "{lines}");
        }
    }

    #[test]
    fn times_to_live_have_bounds() {
        tokens("access_ttl = '60m'\nrefresh_grace = '0s'");
        tokens("refresh_grace = '60s'");
        for bad in [
            "access_ttl = '61m'",
            "access_ttl = '0s'",
            "access_ttl = '-1s'",
            "access_ttl = '1500ms'",
            "access_ttl = 900",
            "access_ttl = '900'",
            "refresh_ttl = '0s'",
            "session_ttl = '11y'",
            "session_ttl = '99999999999999999999y'",
            "refresh_grace = '61s'",
        ] {
            assert!(refused(bad).starts_with("tokens."), "{bad}");
        }
    }

    #[test]
    fn the_issuer_is_the_public_url_unless_given() {
        assert_eq!(tokens("").issuer, "http://127.0.0.1:8000");
        assert_eq!(tokens("issuer = 'me'").issuer, "me");
        for bad in ["issuer = ''", "issuer = 'a b'", "audience = ''", "audience = \"a\\n\""] {
            assert!(refused(bad).starts_with("tokens."), "{bad}");
        }
    }
}
