//! The one test that pays for a password hash of the default strength.

use keystile::password::settings::HashSettings;

use crate::harness::{PASSWORD, TestServer};

#[tokio::test]
async fn a_login_works_at_the_default_strength() {
    let server = TestServer::with(|settings| {
        settings.hashing = HashSettings {
            memory_kib: 19_456,
            iterations: 2,
            insecure_any_strength: false,
            ..HashSettings::insecure_fast()
        };
    });
    let server = server.await;
    let pair = server.user("alice").await;
    let hash = server.stored("alice").await.password_hash;
    assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(!hash.expose().contains(PASSWORD));
    assert!(server.accepts(&pair.access).await);
    server.login_with("alice", "hunter2 wrong").await.refused(400, "invalid_grant");
}
