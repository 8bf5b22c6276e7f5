//! A server in this process, and the few steps that every test starts with.

pub mod access;
mod answer;
mod call;
mod laws;
pub mod schema;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keystile::auth::model::attempts::AccountLimits;
use keystile::auth::model::id::UserId;
use keystile::auth::model::scope::{RoleScopes, Scopes};
use keystile::auth::model::user::{PasswordHash, User};
use keystile::auth::model::username::{NamePolicy, Username};
use keystile::auth::policy::{Acting, Operator, Policy, RESERVED_NAMES, Registration};
use keystile::auth::register::NewAccount;
use keystile::auth::users::NewUser;
use keystile::auth::{Auth, Origin, Parts};
use keystile::clock::{Clock, ManualClock, Timestamp};
use keystile::http::health::Heartbeat;
use keystile::http::trust::Trust;
use keystile::http::{self, Features};
use keystile::password::Password;
use keystile::password::policy::PasswordPolicy;
use keystile::password::pool::Hasher;
use keystile::password::settings::HashSettings;
use keystile::random::{Random, RandomError, SeededRandom};
use keystile::store::Store;
use keystile::store::sled::{Durability, SledSettings, SledStore};
use keystile::throttle::{Throttle, ThrottleSettings};
use keystile::token::algorithm::Algorithm;
use keystile::token::secret::TokenSecret;
use keystile::token::{TokenSettings, ring};
use poem::EndpointExt;
use poem::endpoint::BoxEndpoint;
use poem::test::TestClient;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::answer::{Answer, Pair};
pub use self::call::Call;
pub use self::laws::{DOCUMENT, EVERYTHING, document};
pub use self::watched::Watched;

/// Must be in no refusal: tests put it wherever something is refused.
pub const CANARY: &str = "hunter2";
/// Every user's password, unless a test says otherwise.
pub const PASSWORD: &str = "hunter2 at the harbour";
/// What a user changes it to.
pub const NEW_PASSWORD: &str = "hunter2 leaves the harbour";
/// When the tests take place.
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// The life of an access token.
pub const ACCESS_TTL: Duration = Duration::from_secs(900);
/// How long a session may idle.
pub const REFRESH_TTL: Duration = Duration::from_secs(7 * 86_400);
/// How long a session lives at most.
pub const SESSION_TTL: Duration = Duration::from_secs(30 * 86_400);
/// How long a replaced pair is borne with.
pub const GRACE: Duration = Duration::from_secs(30);
/// Who issues the tokens.
pub const ISSUER: &str = "https://id.example.com";
/// Where the server is found, which tokens need not name.
pub const PUBLIC_URL: &str = "https://login.example.com";
/// A secret for HS256.
pub const SECRET: &str = "2c7e151628aed2a6abf7158809cf4f3c-token-tests";

/// One second.
pub const SECOND: Duration = Duration::from_secs(1);

/// The last second before `span` is over.
pub fn just_before(span: Duration) -> Duration {
    span.checked_sub(SECOND).unwrap()
}

/// What a test may choose about its server.
pub struct Settings {
    /// Which routes there are.
    pub features: Features,
    /// The domain's rules.
    pub policy: Policy,
    /// What hashing costs.
    pub hashing: HashSettings,
    /// How often passwords may be wrong.
    pub throttle: Option<ThrottleSettings>,
    /// Signs the access tokens.
    pub algorithm: Algorithm,
    /// Where the randomness starts, and with it the keys.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            features: EVERYTHING,
            policy: policy(),
            hashing: HashSettings::insecure_fast(),
            throttle: Some(throttle()),
            algorithm: Algorithm::EdDsa,
            seed: 1,
        }
    }
}

/// The default rules, with two roles besides: `manager` administers users and `gateway` introspects.
fn policy() -> Policy {
    let rows = [
        ("admin", "me posts:write users:read users:write introspect"),
        ("user", "me posts:write"),
        ("manager", "me posts:write users:read users:write"),
        ("gateway", "introspect"),
    ];
    let rows = rows.map(|(role, scope)| (role.to_owned(), Scopes::parse(scope).unwrap()));
    let hosts = BTreeSet::from(["id.example.com".to_owned()]);
    let reserved = RESERVED_NAMES.map(str::to_owned).into_iter().chain(hosts.iter().cloned());
    Policy {
        names: NamePolicy::Ascii,
        reserved_names: reserved.collect(),
        registration: Registration::Open,
        default_roles: roles(&["user"]),
        role_scopes: Arc::new(RoleScopes::new(BTreeMap::from(rows))),
        hosts,
        issuer: ISSUER.to_owned(),
        audience: "keystile".to_owned(),
        access_ttl: ACCESS_TTL,
        refresh_ttl: REFRESH_TTL,
        session_ttl: SESSION_TTL,
        refresh_grace: GRACE,
        sessions_per_user: 20,
    }
}

/// The default limits, but that tests may register whom they like.
pub fn throttle() -> ThrottleSettings {
    let rate = |number| NonZeroU32::new(number).unwrap();
    ThrottleSettings {
        account: AccountLimits {
            free_failures: 5,
            first_delay: SECOND,
            max_delay: Duration::from_secs(900),
            lock_after: 100,
            known_for: Duration::from_secs(30 * 86_400),
        },
        source_failures_per_minute: rate(60),
        failures_per_second: rate(200),
        registrations_per_hour: rate(10_000),
    }
}

/// A set of roles.
pub fn roles(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Randomness that a test can take away.
pub struct Tap {
    source: SeededRandom,
    /// Whether there is none.
    pub is_dry: AtomicBool,
    /// Whether there is none for whoever hashes.
    pub is_dry_for_hashes: AtomicBool,
}

impl Random for Tap {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let hashes =
            || std::thread::current().name().is_some_and(|name| name.starts_with("password-"));
        let is_dry = self.is_dry.load(Ordering::SeqCst)
            || (self.is_dry_for_hashes.load(Ordering::SeqCst) && hashes());
        if is_dry { Err(RandomError) } else { self.source.fill(bytes) }
    }
}

/// A server of its own for one test.
pub struct TestServer {
    client: TestClient<BoxEndpoint<'static>>,
    /// The domain, for what the operator does.
    pub auth: Arc<Auth>,
    /// The store below it.
    pub store: Arc<dyn Store>,
    /// The same, as whoever watches it.
    pub watched: Arc<Watched>,
    /// Moves when told to.
    pub clock: Arc<ManualClock>,
    /// Counts what it hashes.
    pub hasher: Hasher,
    /// Where everything random comes from.
    pub random: Arc<Tap>,
    document: Value,
    _directory: TempDir,
}

impl TestServer {
    /// A server with the default settings, to be shared between tasks.
    pub async fn start() -> Arc<Self> {
        Self::with(|_| {}).await
    }

    /// A server with settings that `choose` changes.
    pub async fn with(choose: impl FnOnce(&mut Settings)) -> Arc<Self> {
        let mut settings = Settings::default();
        choose(&mut settings);
        let directory = tempfile::tempdir().unwrap();
        let watched = Arc::new(Watched::new(Arc::new(open(&directory))));
        let store = Arc::clone(&watched) as Arc<dyn Store>;
        let clock = Arc::new(ManualClock::at(NOW));
        let tap = Arc::new(Tap {
            source: SeededRandom::new(settings.seed),
            is_dry: AtomicBool::default(),
            is_dry_for_hashes: AtomicBool::default(),
        });
        let random: Arc<dyn Random> = Arc::clone(&tap) as Arc<dyn Random>;
        let hasher = Hasher::start(&settings.hashing, Arc::clone(&random)).unwrap();
        let keys = store.signing_keys().await.unwrap();
        let prepared =
            ring::prepare(&token_settings(&settings), &keys, NOW, random.as_ref()).unwrap();
        store.replace_signing_keys(0, prepared.store.unwrap(), vec![]).await.unwrap();
        let name_key = store.throttle_key([7; 32]).await.unwrap();
        let steady = Arc::clone(&clock) as Arc<dyn Clock>;
        let throttle = settings.throttle.map(|limits| Throttle::new(&limits, &name_key, &steady));
        let auth = Arc::new(Auth::new(Parts {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::clone(&random),
            hasher: hasher.clone(),
            throttle: throttle.map(Arc::new),
            passwords: PasswordPolicy::new(8, None),
            tokens: Arc::new(prepared.tokens).into(),
            policy: settings.policy,
        }));
        let application = http::application(http::Parts {
            auth: Arc::clone(&auth),
            heartbeat: Arc::new(Heartbeat::default()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random,
            public_url: PUBLIC_URL.to_owned(),
            https: true,
            allowed_hosts: vec![],
            trust: Trust::nobody(),
            cors_origins: vec![],
            features: settings.features,
        });
        let client =
            TestClient::new(application.boxed()).default_header("host", "login.example.com");
        let document = document(settings.features);
        Arc::new(Self {
            client,
            auth,
            store,
            watched,
            clock,
            hasher,
            random: tap,
            document,
            _directory: directory,
        })
    }

    /// Moves the clock.
    pub fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Registers `name` with the usual password.
    #[track_caller]
    pub fn register<'a>(&'a self, name: &str) -> Call<'a> {
        self.post("/auth/").json(&json!({ "username": name, "password": PASSWORD }))
    }

    /// Logs `name` in with the usual password.
    pub async fn login(&self, name: &str) -> Pair {
        self.login_with(name, PASSWORD).await.pair()
    }

    /// Tries a password.
    #[track_caller]
    pub fn login_with<'a>(&'a self, name: &str, password: &str) -> Call<'a> {
        self.post("/token").form(&[("username", name), ("password", password)])
    }

    /// A registered user with a session.
    pub async fn user(&self, name: &str) -> Pair {
        self.register(name).await.ok(201);
        self.login(name).await
    }

    /// A user of these roles, made by the operator, with a session.
    pub async fn user_with(&self, name: &str, names: &[&str]) -> Pair {
        self.add(name, names).await;
        self.login(name).await
    }

    /// A user of these roles, made by the operator.
    pub async fn add(&self, name: &str, names: &[&str]) -> User {
        let account = NewAccount {
            username: name.to_owned(),
            password: Password::new(PASSWORD.to_owned()),
            email: None,
            full_name: None,
        };
        let new_user = NewUser { account, roles: Some(roles(names)), disabled: false };
        let (operator, origin) = (Operator::checked(), Origin::default());
        let added = self.auth.add_user(Acting::Operator(&operator), new_user, &origin);
        added.await.unwrap()
    }

    /// The user `name` as stored.
    pub async fn stored(&self, name: &str) -> User {
        let name = Username::parse(name, NamePolicy::Ascii).unwrap();
        self.store.user_by_name(&name).await.unwrap().unwrap()
    }

    /// Puts a user with this very hash into the store, as an import does.
    pub async fn import(&self, name: &str, password_hash: PasswordHash) {
        let template = self.add(&format!("template-of-{name}"), &["user"]).await;
        let user = User {
            id: UserId::new(NOW, self.random.as_ref()).unwrap(),
            username: Username::parse(name, NamePolicy::Ascii).unwrap(),
            password_hash,
            ..template
        };
        self.store.create_user(user, None, vec![]).await.unwrap();
    }

    /// The id of the user `name`.
    pub async fn id_of(&self, name: &str) -> String {
        self.stored(name).await.id.to_string()
    }

    /// Whether this access token still opens something.
    pub async fn accepts(&self, access: &str) -> bool {
        let answer = self.get("/users/me").bearer(access).await;
        if answer.status == 401 {
            answer.refused(401, "invalid_token");
            return false;
        }
        answer.ok(200);
        true
    }

    /// Exchanges a refresh token at `/refresh`.
    #[track_caller]
    pub fn refresh<'a>(&'a self, token: &str) -> Call<'a> {
        self.post("/refresh").bearer(token)
    }
}

fn open(directory: &TempDir) -> SledStore {
    SledStore::open(&SledSettings {
        path: directory.path().to_owned(),
        cache_bytes: 8 << 20,
        durability: Durability::Flush,
        min_free_bytes: 0,
    })
    .unwrap()
}

fn token_settings(settings: &Settings) -> TokenSettings {
    let algorithm = settings.algorithm;
    let secret = || TokenSecret::checked(SECRET.to_owned(), algorithm).unwrap();
    TokenSettings {
        algorithm,
        secret: algorithm.is_symmetric().then(secret),
        previous_secrets: vec![],
        issuer: settings.policy.issuer.clone(),
        audience: settings.policy.audience.clone(),
    }
}
