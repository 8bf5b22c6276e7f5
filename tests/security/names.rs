//! Names of every alphabet, where the configuration allows them.

use keystile::auth::model::user::Expect;
use keystile::auth::model::username::{NamePolicy, Username, UsernameError};
use serde_json::{Value, json};

use crate::harness::{Answer, PASSWORD, TestServer};

async fn register(server: &TestServer, name: &str) -> Answer {
    server.post("/auth/").json(&json!({ "username": name, "password": PASSWORD })).await
}

#[tokio::test]
async fn a062_by_default_a_name_is_ascii() {
    let server = TestServer::start().await;
    let long = "x".repeat(65);
    for name in
        ["", ".", "..", "a/../b", "a:b", "a b", "é", "Ａｄｍｉｎ", "\u{430}dmin", "-a", &long]
    {
        register(&server, name).await.refused(422, "invalid_value");
    }
    for name in ["a", "0", &long[..64], "a.b_c-d+e@f"] {
        register(&server, name).await.ok(201);
    }
}

/// What RFC 8265 makes one name is one name.
#[tokio::test]
async fn a062_spellings_of_a_unicode_name_are_one_name() {
    let server = TestServer::with(|settings| settings.policy.names = NamePolicy::Unicode).await;
    for (canonical, spellings) in [
        ("alina", &["Ａｌｉｎａ", "ALINA", "alina"][..]),
        ("ångström", &["\u{c5}ngstr\u{f6}m", "A\u{30a}ngstro\u{308}m", "\u{e5}ngstr\u{f6}m"]),
        ("admi\u{307}n", &["ADM\u{130}N"]),
    ] {
        for (index, spelling) in spellings.iter().enumerate() {
            let answer = register(&server, spelling).await;
            if index == 0 {
                let user: Value = answer.ok(201);
                assert_eq!(user["username"], canonical, "{spelling}");
            } else {
                answer.refused(409, "username_taken");
            }
            let pair = server.login_with(spelling, PASSWORD).await.pair();
            let me = server.get("/users/me").bearer(&pair.access).await.ok(200);
            assert_eq!(me["username"], canonical, "{spelling}");
        }
    }
}

#[tokio::test]
async fn a062_what_looks_like_another_or_like_nothing_is_no_name() {
    let server = TestServer::with(|settings| settings.policy.names = NamePolicy::Unicode).await;
    for c in [
        '\u{17f}',
        '\u{212a}',
        '\u{fb01}',
        '\u{200b}',
        '\u{200d}',
        '\u{202e}',
        '\0',
        '\u{a0}',
        '\u{ad}',
        '\u{feff}',
        '\u{2163}',
        '\u{b2}',
        '\u{1f600}',
        '\u{fe0f}',
        '\u{34f}',
        ':',
        '/',
    ] {
        for name in [format!("a{c}b"), format!("ab{c}"), format!("{c}ab")] {
            let answer = register(&server, &name).await;
            assert_eq!(answer.status, 422, "{:x}: {}", u32::from(c), answer.text);
        }
    }
    for name in [".", "..", "a/../b", "a:b"] {
        register(&server, name).await.refused(422, "invalid_value");
    }
}

/// Letters of another script look like those beside them (UTS 39 §5.1); what Japanese and Korean are written in
/// counts as one, and signs that every script uses as none.
#[tokio::test]
async fn id_01_a062_a_new_name_keeps_to_one_script() {
    let server = TestServer::with(|settings| settings.policy.names = NamePolicy::Unicode).await;
    let root = server.user_with("boss", &["admin"]).await;
    for name in [
        "\u{430}dmin",
        "admin\u{430}",
        "\u{440}\u{430}ypal",
        "\u{3bf}ffice",
        "\u{431}\u{43e}b",
        "alice-\u{431}\u{43e}\u{431}",
    ] {
        register(&server, name).await.refused(422, "invalid_value");
        let body = json!({ "username": name, "password": PASSWORD });
        let answer = server.post("/users").bearer(&root.access).json(&body).await;
        answer.refused(422, "invalid_value");
    }
    for name in [
        "alina",
        "j\u{fc}rgen_1",
        "\u{430}\u{43d}\u{43d}\u{430}.2",
        "\u{3bd}\u{3af}\u{3ba}\u{3bf}\u{3c2}",
        "\u{5c71}\u{7530}\u{3055}\u{3093}\u{30a2}",
        "\u{d55c}\u{6f22}",
        "2026",
        "1@+",
    ] {
        register(&server, name).await.ok(201);
    }
}

/// A name that was taken before the rule, or comes with a dump, stays good.
#[tokio::test]
async fn id_01_a_name_that_stands_is_looked_up_whatever_its_scripts() {
    let name = Username::parse("\u{430}dmin", NamePolicy::Unicode).unwrap();
    assert_eq!(name.check_new(), Err(UsernameError::Scripts));
    let server = TestServer::with(|settings| settings.policy.names = NamePolicy::Unicode).await;
    server.register("anna").await.ok(201);
    let mut user = server.stored("anna").await;
    server.store.delete_user(user.id, Expect::default(), vec![]).await.unwrap();
    user.username = name;
    server.store.create_user(user, None, vec![]).await.unwrap();
    let pair = server.login("\u{430}DMIN").await;
    assert!(server.accepts(&pair.access).await);
}

#[tokio::test]
async fn id_06_a_reserved_name_is_reserved_in_every_spelling() {
    let server = TestServer::with(|settings| settings.policy.names = NamePolicy::Unicode).await;
    for name in ["root", "ROOT", "Ｒｏｏｔ", "System", "ａnonymous", "ID.example.com"] {
        assert_eq!(register(&server, name).await.status, 422, "{name}");
    }
}
