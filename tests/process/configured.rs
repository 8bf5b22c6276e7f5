//! The configuration as an operator meets it: what stops the start, where a value came from, and that a
//! secret is never said aloud.

use crate::PASSWORD;
use crate::support::token::is_signed_with;
use crate::support::{Ended, Workplace, run};

const SECRET: &str = "9c7d1f3a5b8e2460c1d3f5a7b9e0d2c4f6a8b0c2d4e6f80123456789abcdef42";
const CHECK: [&str; 2] = ["config", "check"];

/// Checks a `config.toml`, a `.env` and environment variables.
fn check(file: &str, dotenv: &str, variables: &[(&str, &str)]) -> Ended {
    let workplace = Workplace::new();
    workplace.write("config.toml", file);
    workplace.write(".env", dotenv);
    let mut command = workplace.command(&CHECK);
    command.envs(variables.iter().copied());
    run(command, "")
}

/// Asserts that the start is refused in one line that contains all of `expected`.
#[track_caller]
fn assert_names(refused: &Ended, expected: &[&str]) {
    let line = refused.complaint();
    assert!(expected.iter().all(|part| line.contains(part)), "{expected:?}: {line}");
}

#[test]
fn what_is_wrong_is_named_with_its_source() {
    for (file, expected) in [
        ("[server]\nlisen = ['x']", ["server.lisen", "config.toml"]),
        ("[metrics]\nenabled = true", ["metrics", "config.toml"]),
        ("[server]\nlisten = 8000", ["server.listen", "config.toml"]),
        ("[storage]\ncache_mib = 'much'", ["storage.cache_mib", "config.toml"]),
        ("[tokens]\naccess_ttl = '8d'", ["tokens.access_ttl", "config.toml"]),
        ("[tokens]\naccess_ttl = '1h'\nrefresh_ttl = '30m'", ["tokens.access_ttl", "refresh_ttl"]),
        ("[tokens]\nalgorithm = 'HS256'", ["tokens.algorithm", "tokens.secret"]),
        ("[server]\npublic_url = 'http://example.org'", ["server.public_url", "config.toml"]),
        ("[server]\nlisten = '0.0.0.0:80'", ["server.", "behind_tls_proxy"]),
        ("[log]\nlevel = 'inof'", ["log.level", "config.toml"]),
        ("[server", ["config.toml", "line 1"]),
        ("[server]\ndocs = true\ndocs = true", ["line 3", "duplicate key"]),
    ] {
        assert_names(&check(file, "", &[]), &expected);
    }
    assert_names(
        &check("", "KEYSTILE_SERVER__LISEN=x", &[]),
        &[".env", "KEYSTILE_SERVER__LISEN", "no such setting"],
    );
    assert_names(&check("", "A=1\nKEYSTILE_SERVER__DOCS: false", &[]), &[".env", "line 2"]);
    assert_names(
        &check("", "", &[("KEYSTILE_SAMPLES__ENABLED", "maybe")]),
        &["samples.enabled", "environment variable KEYSTILE_SAMPLES__ENABLED"],
    );
    let missing = Workplace::new().run(&["config", "check", "--config", "missing.toml"]);
    assert_names(&missing, &["missing.toml", "No such file"]);
}

#[test]
fn the_same_stops_the_server() {
    let workplace = Workplace::new();
    workplace.write("config.toml", "[server]\nlisen = ['x']");
    assert_names(&workplace.run(&["serve"]), &["server.lisen", "config.toml"]);
    workplace.write("config.toml", "[tokens]\nsecret_file = 'secret'");
    workplace.write("secret", "your-secret-key\n");
    assert_names(&workplace.run(&["serve"]), &["tokens.secret_file", "config.toml"]);
    assert!(!workplace.data().exists());
}

#[test]
fn a_bad_secret_is_refused_without_being_said() {
    for secret in [
        "your-secret-key",
        "please_please_update_me_please",
        "xk3-short",
        "abababababababababababababababababab",
    ] {
        let file = format!("[tokens]\nsecret = '{secret}'");
        let dotenv = format!("SECRET_KEY={secret}\nALGORITHM=HS256\n");
        for (refused, source) in [
            (check(&file, "", &[]), "config.toml"),
            (check("", &dotenv, &[]), ".env, SECRET_KEY"),
            (check("", "", &[("SECRET_KEY", secret)]), "environment variable SECRET_KEY"),
            (check("", &dotenv.replace("SECRET_KEY", "secret"), &[]), ".env, secret"),
        ] {
            assert_names(&refused, &["tokens.secret", source, "openssl rand"]);
            assert!(!refused.stderr.contains(secret), "{}", refused.stderr);
        }
    }
    let previous = format!("[tokens]\nsecret = '{SECRET}'\nprevious_secrets = ['xk3-short']");
    assert_names(&check(&previous, "", &[]), &["tokens.previous_secrets", "config.toml"]);
}

#[test]
fn a_secret_that_contradicts_something_is_refused_without_being_said() {
    let file = format!("[tokens]\nsecret = '{SECRET}'\n");
    for (refused, expected) in [
        (check(&format!("{file}algorithm = 'EdDSA'"), "", &[]), "tokens.algorithm"),
        (check(&format!("{file}secret_file = 'x'"), "", &[]), "contradicts"),
        (check(&format!("{file}garbage"), "", &[]), "line 3"),
        (check("", &format!("SECRET_KEY='{SECRET}"), &[]), "quote"),
    ] {
        assert_names(&refused, &[expected]);
        assert!(!refused.stderr.contains(SECRET), "{}", refused.stderr);
    }
}

#[test]
fn the_dotenv_of_a_replaced_stack_is_the_secret_of_its_tokens() {
    for names in [["SECRET_KEY", "ALGORITHM"], ["secret", "algorithm"]] {
        let workplace = Workplace::new();
        let [secret, algorithm] = names;
        workplace.write(".env", &format!("DB_HOST=db\n{secret}={SECRET}\n{algorithm}=HS256\n"));
        let server = workplace.serve();
        server.client().register("alice", PASSWORD);
        let pair = server.client().login("alice", PASSWORD);
        assert!(is_signed_with(&pair.access, SECRET));
        assert!(!is_signed_with(&pair.refresh, SECRET), "refresh tokens have a key of their own");
        let keys = server.client().get("/.well-known/jwks.json").send().expect(200);
        assert_eq!(keys, serde_json::json!({ "keys": [] }));
    }
}

#[test]
fn later_layers_win_and_foreign_names_are_ignored() {
    let workplace = Workplace::new();
    workplace.write("config.toml", "[log]\nlevel = 'warn'\n[samples]\nenabled = false\n");
    workplace.write(".env", "KEYSTILE_LOG__LEVEL=error\nKEYSTILE_OAUTH__PASSWORD_GRANT=false\n");
    let mut command = workplace.command(&["config", "check", "--show", "--json", "--data", "here"]);
    command.env("KEYSTILE_LOG__LEVEL", "debug").env("KEYSTILE_PORT", "tcp://10.0.0.1:80");
    let shown: serde_json::Value = serde_json::from_str(run(command, "").output()).unwrap();
    let row = |key: &str| {
        let rows = shown.as_array().unwrap();
        let row = rows.iter().find(|row| row["key"] == key).unwrap();
        [row["value"].as_str().unwrap().to_owned(), row["source"].as_str().unwrap().to_owned()]
    };
    assert_eq!(row("log.level"), ["\"debug\"", "environment variable KEYSTILE_LOG__LEVEL"]);
    assert_eq!(row("oauth.password_grant"), ["false", ".env, KEYSTILE_OAUTH__PASSWORD_GRANT"]);
    assert_eq!(row("samples.enabled"), ["false", "config.toml"]);
    assert_eq!(row("storage.path"), ["\"here\"", "--data"]);
    assert_eq!(row("storage.cache_mib"), ["32", "built-in default"]);
}

#[test]
fn showing_the_configuration_masks_secrets() {
    let workplace = Workplace::new();
    let previous = SECRET.replace('9', "8");
    workplace.write(".env", &format!("SECRET_KEY={SECRET}\nALGORITHM=HS256\n"));
    workplace.write("config.toml", &format!("[tokens]\nprevious_secrets = ['{previous}']\n"));
    for arguments in [&["config", "check", "--show"][..], &["config", "check", "--show", "--json"]]
    {
        let shown = workplace.run(arguments);
        let text = shown.output();
        assert!(text.contains("tokens.secret") && text.contains("(set)"), "{text}");
        assert!(text.contains(".env, SECRET_KEY") && text.contains("HS256"), "{text}");
        assert!(!text.contains(SECRET) && !text.contains(&previous), "{text}");
    }
    assert_eq!(workplace.run(&CHECK).output(), "the configuration is valid\n");
}

#[test]
fn the_shipped_configuration_is_the_built_in_one() {
    let workplace = Workplace::new();
    let show = ["config", "check", "--show", "--json"];
    let values = |shown: &Ended| -> Vec<[serde_json::Value; 2]> {
        let rows: Vec<serde_json::Value> = serde_json::from_str(shown.output()).unwrap();
        rows.iter().map(|row| [row["key"].clone(), row["value"].clone()]).collect()
    };
    let built_in = values(&workplace.run(&show));
    workplace.write("config.toml", include_str!("../../config.toml"));
    assert_eq!(values(&workplace.run(&show)), built_in);
}
