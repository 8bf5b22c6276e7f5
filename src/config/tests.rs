//! How the layers come together; each section's own rules are tested beside it.

use std::collections::BTreeMap;

use super::listen::Address;
use super::sources::{Environment, Sources};
use super::testing::{load, load_with, refusal};
use super::*;

/// The 64 characters that no message may repeat.
const CANARY: &str = "canary-0123-456789-canary-qwertz-uiop-canary-asdf-ghjkl-canary!!";

fn source_of(config: &Config, key: &str) -> String {
    config.describe().iter().find(|row| row.key == key).unwrap().source.clone()
}

#[track_caller]
fn refused(dotenv: &str, environment: &[(&str, &str)]) -> String {
    let message = load_with("", dotenv, environment).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn nothing_at_all_is_a_good_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources { directory: directory.path().to_owned(), ..Sources::default() };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.server.listen, [Address::Tcp("127.0.0.1:8000".parse().unwrap())]);
    assert_eq!(config.tokens.access_ttl.as_secs(), 900);
    assert!(config.describe().iter().all(|row| !row.source.is_empty()));
}

#[test]
fn later_layers_win() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text| std::fs::write(directory.path().join(name), text).unwrap();
    let mut sources = Sources { directory: directory.path().to_owned(), ..Sources::default() };
    let path = |sources: &Sources| {
        let config = Config::load(sources).unwrap();
        (config.storage.path.display().to_string(), source_of(&config, "storage.path"))
    };
    assert_eq!(path(&sources), ("data".into(), "built-in default".into()));
    write("config.toml", "[storage]\npath = 'file'");
    assert_eq!(path(&sources).0, "file");
    write(".env", "KEYSTILE_STORAGE__PATH=dotenv");
    let variable = "KEYSTILE_STORAGE__PATH";
    assert_eq!(path(&sources), ("dotenv".into(), format!(".env, {variable}")));
    sources.environment = [(variable, "environment")].into_iter().collect();
    assert_eq!(path(&sources), ("environment".into(), format!("environment variable {variable}")));
    sources.data = Some("flag".into());
    assert_eq!(path(&sources), ("flag".into(), "--data".into()));
}

#[test]
fn a_named_file_takes_the_place_of_the_usual_one_and_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), "[log]\nlevel = 'debug'").unwrap();
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[log]\nlevel = 'warn'").unwrap();
    let mut sources =
        Sources { directory: directory.path().to_owned(), file: Some(other), ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap().log.level, "warn");
    sources.file = Some(directory.path().join("missing.toml"));
    let message = Config::load(&sources).unwrap_err().to_string();
    assert!(message.contains("missing.toml: cannot be read"), "{message}");
}

#[test]
fn listen_flags_replace_the_list() {
    let listen = vec!["127.0.0.1:0".to_owned(), "[::1]:0".to_owned()];
    let directory = tempfile::tempdir().unwrap();
    let mut sources =
        Sources { directory: directory.path().to_owned(), listen, ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap().server.listen.len(), 2);
    sources.listen = vec!["nowhere".to_owned()];
    let message = Config::load(&sources).unwrap_err().to_string();
    assert!(message.starts_with("server.listen (--listen): "), "{message}");
}

#[test]
fn unknown_names_stop_the_start() {
    for file in [
        "[storage]\npaht = 'x'",
        "[metrics]\nenabled = true",
        "[metrics]",
        "[server.tls]",
        "[server]\nunix_mod = '0660'",
        "listen = ['127.0.0.1:1']",
        "server = 1",
        "[server]\n'listen.x' = 1",
    ] {
        assert!(refusal(file).contains("no such setting"), "{file}");
    }
    for variable in [
        "KEYSTILE_SERVER__LISTNE",
        "KEYSTILE_SERVICE__PORT",
        "KEYSTILE_METRICS__ENABLED",
        "KEYSTILE_tokens__secret",
        "KEYSTILE_SERVER__TLS__CERT_FILE",
    ] {
        let message = refused("", &[(variable, CANARY)]);
        assert!(message.contains(&format!("environment variable {variable}")), "{message}");
        let message = refused(&format!("{variable}={CANARY}"), &[]);
        assert!(message.contains(&format!(".env, {variable}")), "{message}");
    }
}

#[test]
fn names_that_are_not_ours_are_passed_over() {
    let foreign = [
        ("KEYSTILE_PORT", "tcp://10.0.0.1:8000"),
        ("KEYSTILE_SERVICE_HOST", "10.0.0.1"),
        ("KEYSTILE__X_PORT_8000_TCP", "x"),
        ("DATABASE__URL", "postgres://"),
        ("secret", "x"),
        ("algorithm", "x"),
        ("secret_key", "x"),
    ];
    let config = load_with("", "DATABASE_URL=postgres://a\nbroken line\nX=\"open\n", &foreign);
    assert!(config.unwrap().tokens.secret.is_none());
}

#[test]
fn a_name_with_one_underscore_too_few_is_warned_of() {
    let environment = [("KEYSTILE_SERVER_LISTEN", "127.0.0.1:1"), ("KEYSTILE_SERVER_PORT", "1")];
    let warnings = load_with("", "", &environment).unwrap().warnings;
    let expected = "KEYSTILE_SERVER_LISTEN sets nothing; did you mean KEYSTILE_SERVER__LISTEN?";
    assert_eq!(warnings, [expected]);
    let file = load_with("", "KEYSTILE_SERVER_LISTEN=127.0.0.1:1\n", &[("", ""); 0]).unwrap();
    assert_eq!(file.warnings, [expected]);
}

/// A secret that starts with `start` and is good enough.
fn long(start: &str) -> String {
    format!("{start}-94b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f50617283943f1c0f6c")
}

fn secret_text(config: Config) -> String {
    String::from_utf8(config.tokens.secret.unwrap().as_bytes().to_vec()).unwrap()
}

#[test]
fn the_names_of_the_replaced_stacks_are_understood() {
    let (a, b, c) = (long("a"), long("b"), long("c"));
    let secret = |dotenv: &str, environment: &[(&str, &str)]| {
        let config = load_with("", dotenv, environment).unwrap();
        let algorithm = config.tokens.algorithm.name();
        (secret_text(config), algorithm)
    };
    let as_a = |algorithm| (a.clone(), algorithm);
    assert_eq!(secret(&format!("SECRET_KEY={a}\nALGORITHM=HS384"), &[]), as_a("HS384"));
    assert_eq!(secret(&format!("secret={a}\nalgorithm=HS512"), &[]), as_a("HS512"));
    assert_eq!(secret("", &[("SECRET_KEY", &a), ("ALGORITHM", "HS384")]), as_a("HS384"));
    let three = format!("SECRET_KEY={a}\nKEYSTILE_TOKENS__SECRET={b}\nsecret={c}");
    assert_eq!(secret(&three, &[]).0, b);
    assert_eq!(secret(&format!("secret={c}\nSECRET_KEY={a}"), &[]).0, a);
    assert_eq!(secret(&format!("KEYSTILE_TOKENS__SECRET={b}"), &[("SECRET_KEY", &a)]).0, a);
}

#[test]
fn what_looks_like_a_number_is_text_where_text_is_meant() {
    let digits = "31415926535897932384626433832795028841971";
    for text in
        [digits, "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]", "{a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8}"]
    {
        let config = load_with("", "", &[("SECRET_KEY", text)]).unwrap();
        assert_eq!(secret_text(config), text);
    }
    for text in ["12345", "true", "1e9"] {
        let config = load_with("", "", &[("KEYSTILE_TOKENS__AUDIENCE", text)]).unwrap();
        assert_eq!(config.tokens.audience, text);
    }
}

#[test]
fn variables_are_read_by_the_type_of_their_key() {
    let config = load_with(
        "",
        "KEYSTILE_STORAGE__CACHE_MIB=16\nKEYSTILE_ROLES__SCOPES__EDITOR=me, posts:write",
        &[
            ("KEYSTILE_SERVER__DOCS", "false"),
            ("KEYSTILE_SERVER__LISTEN", "127.0.0.1:1,[::1]:2"),
            ("KEYSTILE_ROLES__DEFAULT", "editor"),
        ],
    )
    .unwrap();
    assert_eq!(config.storage.cache_mib, 16);
    assert!(!config.server.docs);
    assert_eq!(config.server.listen.len(), 2);
    assert!(config.roles.scopes.has("editor"));
    for (name, value, problem) in [
        ("KEYSTILE_STORAGE__CACHE_MIB", "many", "must be a whole number"),
        ("KEYSTILE_SERVER__DOCS", "yes", "must be true or false"),
    ] {
        assert!(refused("", &[(name, value)]).ends_with(problem), "{name}");
    }
}

#[test]
fn wrong_types_in_the_file_stop_the_start() {
    load("[roles]\ndefault = 'user, editor'\nscopes.editor = []").unwrap();
    for file in [
        "[server]\ndocs = 'true'",
        "[server]\nlisten = [8000]",
        "[server]\nlisten = 8000",
        "[storage]\ncache_mib = '32'",
        "[storage.path]\nx = 1",
        "[tokens]\nsecret = 12345",
        "[tokens]\naccess_ttl = 900",
    ] {
        assert!(refusal(file).contains("config.toml): must be"), "{file}");
    }
}

#[test]
fn a_secret_has_one_origin_in_a_layer_and_a_later_layer_replaces_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let (from_file, plain_text) = (long("from a file"), long("plain"));
    std::fs::write(&path, format!("{from_file}\n")).unwrap();
    let path = path.to_str().unwrap();
    let (plain, file) = ("KEYSTILE_TOKENS__SECRET", "KEYSTILE_TOKENS__SECRET_FILE");

    let message = refused("", &[(plain, CANARY), (file, path)]);
    assert!(message.contains("contradicts tokens.secret_file"), "{message}");
    let both =
        format!("[tokens]\nprevious_secrets = ['{CANARY}']\nprevious_secrets_file = '{path}'");
    assert!(refusal(&both).contains("contradicts tokens.previous_secrets_file"));

    let secret = |dotenv: &str, environment: &[(&str, &str)]| {
        secret_text(load_with("", dotenv, environment).unwrap())
    };
    assert_eq!(secret(&format!("SECRET_KEY={plain_text}"), &[(file, path)]), from_file);
    assert_eq!(secret(&format!("{file}=/nonexistent"), &[(plain, &plain_text)]), plain_text);
    assert_eq!(secret(&format!("SECRET_KEY={plain_text}\n{file}={path}"), &[]), from_file);
}

#[test]
fn no_message_and_no_view_repeats_a_secret() {
    let broken = format!("[tokens]\nsecret = \"{CANARY}");
    let unknown = format!("[tokens]\nsecrte = '{CANARY}'");
    let list = format!("[tokens]\nsecret = ['{CANARY}']");
    let contradiction = format!("[tokens]\nalgorithm = 'EdDSA'\nsecret = '{CANARY}'");
    for file in [broken, unknown, list, contradiction] {
        let error = load(&file).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("canary"), "{said}");
    }
    for dotenv in [format!("SECRET_KEY='{CANARY}"), format!("SECRET_KEY=${{{CANARY}}}")] {
        let message = refused(&dotenv, &[]);
        assert!(message.starts_with("SECRET_KEY (.env)") && !message.contains("canary"));
    }
    let environment = [("SECRET_KEY", CANARY), ("KEYSTILE_TOKENS__PREVIOUS_SECRETS", CANARY)];
    let config = load_with("", "", &environment).unwrap();
    let variables: Environment = environment.into_iter().collect();
    let said = format!("{config:?} {:?} {variables:?}", config.describe());
    assert!(!said.contains("canary"), "{said}");
    let row = config.describe().iter().find(|row| row.key == "tokens.secret").unwrap();
    assert_eq!(
        (row.value.as_str(), row.source.as_str()),
        ("(set)", "environment variable SECRET_KEY")
    );
}

#[test]
fn a_variable_that_is_not_text_stops_the_start_only_if_it_is_ours() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let directory = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        let environment = [(name, OsString::from_vec(vec![0xff]))].into_iter().collect();
        let directory = directory.path().to_owned();
        Config::load(&Sources { directory, environment, ..Sources::default() })
    };
    assert!(load("LS_COLORS").is_ok());
    let message = load("SECRET_KEY").unwrap_err().to_string();
    assert_eq!(message, "environment variable SECRET_KEY: is not UTF-8");
}

#[test]
fn a_secret_file_that_all_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, long("a secret")).unwrap();
    let file = format!("[tokens]\nsecret_file = '{}'", path.display());
    for (mode, warnings) in [(0o600, 0), (0o644, 1)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(load(&file).unwrap().warnings.len(), warnings, "{mode:o}");
    }
}

#[test]
fn a_view_shows_what_unset_keys_come_to() {
    let config = load("[server]\npublic_url = 'https://auth.example.org'").unwrap();
    let row = |key| config.describe().iter().find(|row| row.key == key).unwrap();
    assert_eq!(row("tokens.issuer").value, "\"https://auth.example.org\"");
    assert_eq!(row("tokens.algorithm").value, "\"EdDSA\"");
    assert_eq!(row("tokens.secret").value, "(none)");
    assert_eq!(row("server.listen").value, "[\"127.0.0.1:8000\"]");
}

/// `config.toml` of the repository shows each key once, with the default that is built in.
#[test]
fn the_file_in_the_repository_lists_every_key_with_its_default() {
    let text = include_str!("../../config.toml");
    let values = |text: &str| -> BTreeMap<String, String> {
        let config = load(text).unwrap();
        config.describe().iter().map(|row| (row.key.clone(), row.value.clone())).collect()
    };
    assert_eq!(values(text), values(""));

    let (mut listed, mut section, mut previous) = (Vec::new(), "", "");
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        if let Some((name, _)) = line.trim_start_matches("# ").split_once(" = ") {
            assert!(
                previous.starts_with("# ") && !previous.contains(" = "),
                "{name} is not explained"
            );
            let unset = key::all()
                .any(|key| key.name == format!("{section}.{name}") && key.default.is_none());
            assert_eq!(line.starts_with('#'), unset, "{name}");
            listed.push(format!("{section}.{name}"));
        }
        previous = line;
    }
    assert_eq!(listed, key::all().map(|key| key.name).collect::<Vec<_>>());
}
