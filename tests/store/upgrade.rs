//! What an older release has written is opened by this one, and everything that was promised then still
//! holds: users, posts, passwords, and every token.
//!
//! `data/schema-<n>` is a database as a release of that schema has left it, and `data/schema-<n>.json` what
//! its server had answered by then. Its sessions expire some day, so the clock stands where it stood.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keystile::auth::authenticate::AuthenticateError;
use keystile::auth::login::{Credentials, LoginError};
use keystile::auth::model::attempts::{Account, AccountLimits};
use keystile::auth::model::id::UserId;
use keystile::auth::model::scope::RoleScopes;
use keystile::auth::model::username::{NamePolicy, Username};
use keystile::auth::policy::{Policy, Registration};
use keystile::auth::refresh::RefreshError;
use keystile::auth::{Auth, Origin, Parts};
use keystile::clock::{Clock, ManualClock, Timestamp};
use keystile::password::Password;
use keystile::password::policy::PasswordPolicy;
use keystile::password::pool::Hasher;
use keystile::password::settings::HashSettings;
use keystile::random::{Random, SeededRandom};
use keystile::store::Store;
use keystile::store::dump::survey;
use keystile::store::sled::{Load, SledStore, import};
use keystile::token::algorithm::Algorithm;
use keystile::token::{TokenSettings, ring};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{AnyStore, GRACE, IDLE, behind_its_back, settings};

/// The issuer of the tokens.
const ISSUER: &str = "http://127.0.0.1:8000";

/// Every schema there has been, this release's last.
const SCHEMAS: [u32; 3] = [1, 2, 3];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/data")
}

/// A copy of the database of that schema, and what it must answer.
fn written_by(schema: u32) -> (TempDir, Value) {
    let name = format!("schema-{schema}");
    let directory = tempfile::tempdir().unwrap();
    copy(&data().join(&name), directory.path());
    let answers = fs::read(data().join(name).with_extension("json")).unwrap();
    (directory, serde_json::from_slice(&answers).unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn open(directory: &TempDir) -> AnyStore {
    Arc::new(SledStore::open(&settings(directory.path())).unwrap())
}

/// The domain over `store` at the time when the database was left.
async fn domain(store: AnyStore, answers: &Value) -> Auth {
    let now = Timestamp::from_secs(answers["made_at"].as_u64().unwrap());
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
    let keys = store.signing_keys().await.unwrap();
    let token_settings = TokenSettings {
        algorithm: Algorithm::EdDsa,
        secret: None,
        previous_secrets: vec![],
        issuer: ISSUER.to_owned(),
        audience: "keystile".to_owned(),
    };
    let prepared = ring::prepare(&token_settings, &keys, now, random.as_ref()).unwrap();
    assert!(prepared.store.is_none(), "the keys are not those that signed the tokens");
    Auth::new(Parts {
        store,
        clock: Arc::new(ManualClock::at(now)) as Arc<dyn Clock>,
        hasher: Hasher::start(&HashSettings::insecure_fast(), Arc::clone(&random)).unwrap(),
        random,
        throttle: None,
        passwords: PasswordPolicy::new(8, None),
        tokens: Arc::new(prepared.tokens).into(),
        policy: policy(),
    })
}

fn policy() -> Policy {
    Policy {
        names: NamePolicy::Ascii,
        reserved_names: std::collections::BTreeSet::new(),
        registration: Registration::Closed,
        default_roles: std::collections::BTreeSet::new(),
        role_scopes: Arc::new(RoleScopes::new(std::collections::BTreeMap::new())),
        hosts: std::collections::BTreeSet::new(),
        issuer: ISSUER.to_owned(),
        audience: "keystile".to_owned(),
        access_ttl: IDLE,
        refresh_ttl: IDLE * 24,
        session_ttl: IDLE * 24,
        refresh_grace: GRACE,
        sessions_per_user: 20,
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn all<'a>(answers: &'a Value, name: &str) -> &'a [Value] {
    answers[name].as_array().unwrap()
}

#[tokio::test]
async fn the_users_and_posts_of_an_older_release_are_there() {
    for schema in SCHEMAS {
        let (directory, answers) = written_by(schema);
        let store = open(&directory);
        let users = store.users(String::new(), None, 99).await.unwrap().items;
        assert_eq!(users.len(), all(&answers, "users").len());
        for (user, expected) in users.iter().zip(all(&answers, "users")) {
            assert_eq!(user.id.to_string(), text(expected, "id"));
            assert_eq!(user.username.as_str(), text(expected, "username"));
            assert_eq!(expected["email"], serde_json::json!(user.email));
            assert_eq!(user.full_name.as_deref(), expected["full_name"].as_str());
            assert_eq!(expected["disabled"], user.disabled);
            assert_eq!(expected["roles"], serde_json::json!(user.roles));
            assert_eq!(user.created_at.to_rfc3339(), text(expected, "created_at"));
        }
        for name in all(&answers, "deleted") {
            let name = Username::parse(name.as_str().unwrap(), NamePolicy::Ascii).unwrap();
            assert_eq!(store.user_by_name(&name).await, Ok(None));
        }
        let posts = store.posts(None, 99).await.unwrap().items;
        assert_eq!(posts.len(), all(&answers, "posts").len());
        for ((post, author), expected) in posts.iter().zip(all(&answers, "posts")) {
            assert_eq!(post.id.to_string(), text(expected, "id"));
            assert_eq!(author.username.as_str(), text(expected, "author"));
            assert_eq!(post.title, text(expected, "title"));
            assert_eq!(post.content, text(expected, "content"));
        }
        store.close().await;
    }
}

#[tokio::test]
async fn the_live_tokens_of_an_older_release_live_and_the_dead_ones_stay_dead() {
    for schema in SCHEMAS {
        let (directory, answers) = written_by(schema);
        let store = open(&directory);
        let auth = domain(Arc::clone(&store), &answers).await;
        let origin = Origin::default();
        for pair in all(&answers, "dead") {
            let opened = auth.authenticate(text(pair, "access_token")).await;
            assert!(matches!(opened, Err(AuthenticateError::Invalid)));
            let refreshed = auth.refresh(text(pair, "refresh_token"), None, &origin).await;
            assert!(matches!(refreshed, Err(RefreshError::InvalidGrant)));
        }
        // Replaced a few seconds before: still within the grace.
        let replaced = &answers["replaced"];
        auth.authenticate(text(replaced, "access_token")).await.unwrap();
        auth.refresh(text(replaced, "refresh_token"), None, &origin).await.unwrap();
        for pair in all(&answers, "live") {
            let identity = auth.authenticate(text(pair, "access_token")).await.unwrap();
            assert_eq!(identity.user().username.as_str(), text(pair, "username"));
            let next = auth.refresh(text(pair, "refresh_token"), None, &origin).await.unwrap();
            auth.authenticate(&next.access_token).await.unwrap();
        }
        store.close().await;
    }
}

#[tokio::test]
async fn the_passwords_of_an_older_release_are_right() {
    for schema in SCHEMAS {
        let (directory, answers) = written_by(schema);
        let store = open(&directory);
        let auth = domain(Arc::clone(&store), &answers).await;
        for user in all(&answers, "users") {
            let username = text(user, "username").to_owned();
            let password = Password::new(text(&answers["passwords"], &username).to_owned());
            let credentials = Credentials { username, password, scope: None };
            match auth.login(credentials, &Origin::default()).await {
                Ok(_) => assert_eq!(user["disabled"], false),
                Err(refused) => {
                    assert!(matches!(refused, LoginError::Inactive), "{refused}");
                    assert_eq!(user["disabled"], true);
                }
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn failures_that_an_older_release_has_counted_count() {
    let (directory, answers) = written_by(3);
    let store = open(&directory);
    for user in all(&answers, "users") {
        let account = Account::User(text(user, "id").parse().unwrap());
        let limits = AccountLimits {
            free_failures: 5,
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(1),
            lock_after: 3,
            known_for: Duration::from_secs(1),
        };
        let has_failed = all(&answers, "failed_at").contains(&user["username"]);
        let is_locked = store.attempts(account).await.unwrap().is_locked(&limits);
        assert_eq!(is_locked, has_failed, "{user}");
    }
    store.close().await;
}

#[tokio::test]
async fn an_upgrade_leaves_a_dump_of_what_was_there() {
    let (directory, answers) = written_by(1);
    let dump = directory.path().join("before-schema-3.jsonl");
    fs::write(dump.with_extension("jsonl.partial"), "of an upgrade that broke off").unwrap();
    let store = open(&directory);
    assert_eq!(fs::metadata(&dump).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&dump).unwrap();
    assert!(text.lines().next().unwrap().contains("\"schema\":1}"), "{text}");
    let contents = survey(text.as_bytes(), &mut |_| {}).unwrap();
    assert_eq!(contents.users(), all(&answers, "users").len());
    assert_eq!(contents.posts(), all(&answers, "posts").len());
    store.close().await;
    fs::remove_file(&dump).unwrap();
    open(&directory).close().await;
    assert!(!dump.exists(), "it was upgraded twice");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_stop_an_upgrade() {
    let (directory, answers) = written_by(1);
    behind_its_back(directory.path(), |db| {
        for table in ["user", "session", "post", "audit"] {
            let tree = db.open_tree(table).unwrap();
            let (key, _) = tree.last().unwrap().unwrap();
            tree.insert(key, b"garbage").unwrap();
        }
    });
    let store = open(&directory);
    let users = store.users(String::new(), None, 99).await.unwrap().items;
    assert_eq!(users.len(), all(&answers, "users").len() - 1);
    let auth = domain(Arc::clone(&store), &answers).await;
    let alice = &all(&answers, "live")[0];
    auth.authenticate(text(alice, "access_token")).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_dump_without_a_user_that_cannot_be_read_is_loaded() {
    let (_, answers) = written_by(1);
    for user in all(&answers, "users") {
        let (directory, _) = written_by(1);
        let id: UserId = text(user, "id").parse().unwrap();
        behind_its_back(directory.path(), |db| {
            db.open_tree("user").unwrap().insert(id.to_bytes(), b"garbage").unwrap();
        });
        open(&directory).close().await;
        let dump = fs::read_to_string(directory.path().join("before-schema-3.jsonl")).unwrap();
        let contents = survey(dump.as_bytes(), &mut |_| {}).unwrap();
        assert_eq!(contents.users(), all(&answers, "users").len() - 1);
        let load = Load { dump: dump.as_bytes(), contents: &contents, keys: vec![], audit: vec![] };
        let next = tempfile::tempdir().unwrap();
        import(&settings(next.path()), load, &mut |_| {}).unwrap();
        let store = open(&next);
        let posts = all(&answers, "posts").iter().filter(|post| post["author"] != user["username"]);
        assert_eq!(store.posts(None, 99).await.unwrap().items.len(), posts.count());
        store.close().await;
    }
}

#[tokio::test]
async fn an_upgrade_whose_dump_cannot_be_written_leaves_all_as_it_was() {
    let (directory, answers) = written_by(1);
    let manifest = || fs::read_to_string(directory.path().join("manifest.json")).unwrap();
    let as_values = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let before = as_values(&manifest());
    // No file takes the place of a directory that holds something.
    let dump = directory.path().join("before-schema-3.jsonl");
    fs::create_dir_all(dump.join("x")).unwrap();
    assert!(SledStore::open(&settings(directory.path())).is_err());
    assert!(!dump.with_extension("jsonl.partial").exists());
    let after = as_values(&manifest());
    assert_eq!((&after["schema"], &after["bytes_min"]), (&before["schema"], &before["bytes_min"]));
    fs::remove_dir_all(dump).unwrap();
    let store = open(&directory);
    let users = store.users(String::new(), None, 99).await.unwrap().items;
    assert_eq!(users.len(), all(&answers, "users").len());
    store.close().await;
}

#[tokio::test]
async fn an_upgraded_database_agrees_and_is_the_only_one_left() {
    for schema in SCHEMAS {
        let (directory, _) = written_by(schema);
        for _ in 0..2 {
            let store = SledStore::open(&settings(directory.path())).unwrap();
            assert!(!store.is_first_start());
            assert_eq!(store.check().await.unwrap().first, None);
            store.close().await;
            let manifest = fs::read(directory.path().join("manifest.json")).unwrap();
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["schema"], 3);
            let databases: Vec<_> = fs::read_dir(directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with("db"))
                .collect();
            assert_eq!(databases, [text(&manifest, "directory")]);
        }
    }
}
