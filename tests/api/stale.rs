//! Requests that were let in before their caller lost the authority for them: what was judged by then must
//! not be written any more.

use std::sync::Arc;

use keystile::auth::Origin;
use keystile::auth::account::AccountError;
use keystile::auth::authenticate::Identity;
use keystile::auth::policy::Acting;
use keystile::auth::posts::{Draft, PostsError};
use keystile::auth::register::{NewAccount, RegisterError};
use keystile::auth::users::{NewUser, UserEdit, UsersError};
use keystile::password::Password;
use serde_json::json;

use crate::harness::{NEW_PASSWORD, PASSWORD, Pair, TestServer, roles};

/// The caller as a request sees it that is let in now.
async fn let_in(server: &TestServer, pair: &Pair) -> Identity {
    server.auth.authenticate(&pair.access).await.unwrap()
}

async fn edit(server: &TestServer, pair: &Pair, name: &str, body: serde_json::Value) -> u16 {
    let path = format!("/users/{}", server.id_of(name).await);
    server.patch(&path).bearer(&pair.access).json(&body).await.status
}

#[tokio::test]
async fn a_user_who_was_disabled_meanwhile_changes_nobody() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let caller = let_in(&server, &server.user_with("ann", &["admin"]).await).await;
    let (ann, ben) = (caller.user().id, server.add("ben", &["user"]).await.id);
    let (acting, origin) = (Acting::User(&caller), Origin::default());
    let enable = || UserEdit { disabled: Some(false), ..UserEdit::default() };
    assert!(server.auth.edit_user(acting, ann, enable(), &origin).await.is_ok());
    assert_eq!(edit(&server, &root, "ann", json!({ "disabled": true })).await, 200);
    for target in [ann, ben] {
        let edited = server.auth.edit_user(acting, target, enable(), &origin).await;
        assert!(matches!(edited, Err(UsersError::Conflict)), "{edited:?}");
        let removed = server.auth.remove_user(acting, target, &origin).await;
        assert!(matches!(removed, Err(UsersError::Conflict)), "{removed:?}");
        let ended = server.auth.end_user_sessions(acting, target, &origin).await;
        assert!(matches!(ended, Err(UsersError::Conflict)), "{ended:?}");
    }
    assert!(server.stored("ann").await.disabled);
}

#[tokio::test]
async fn a_user_who_was_demoted_meanwhile_changes_no_post_of_others() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let caller = let_in(&server, &server.user_with("ann", &["admin"]).await).await;
    let ben = server.user("ben").await;
    let text = json!({ "title": "t", "content": "c" });
    let post = server.post("/posts").bearer(&ben.access).json(&text).await.ok(201);
    let id = post["id"].as_str().unwrap().parse().unwrap();
    let draft = || Draft { title: "u".to_owned(), content: "d".to_owned() };
    assert!(server.auth.edit_post(&caller, id, draft()).await.is_ok());
    assert_eq!(edit(&server, &root, "ann", json!({ "roles": ["user"] })).await, 200);
    let edited = server.auth.edit_post(&caller, id, draft()).await;
    assert!(matches!(edited, Err(PostsError::Gone)), "{:?}", edited.map(drop));
    let removed = server.auth.delete_post(&caller, id).await;
    assert!(matches!(removed, Err(PostsError::Gone)), "{removed:?}");
    server.get(&format!("/posts/{id}")).await.ok(200);
}

#[tokio::test]
async fn a_user_who_was_demoted_meanwhile_makes_nobody() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let pair = server.user_with("ann", &["admin"]).await;
    let caller = let_in(&server, &pair).await;
    let add = async |name: &str| {
        let account = NewAccount {
            username: name.to_owned(),
            password: Password::new(PASSWORD.to_owned()),
            email: None,
            full_name: None,
        };
        let new_user = NewUser { account, roles: Some(roles(&["admin"])), disabled: false };
        server.auth.add_user(Acting::User(&caller), new_user, &Origin::default()).await
    };
    assert!(add("ben").await.is_ok());
    assert_eq!(edit(&server, &root, "ann", json!({ "roles": ["user"] })).await, 200);
    let added = add("carl").await;
    assert!(matches!(added, Err(UsersError::Conflict)), "{added:?}");
    let taken = add("ben").await;
    assert!(matches!(taken, Err(UsersError::Account(RegisterError::Taken))), "{taken:?}");
    server.register("carl").await.ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demotion_is_not_undone_by_a_request_of_the_demoted() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    for round in 0..16 {
        let name = format!("ann{round}");
        let pair = server.user_with(&name, &["admin"]).await;
        let keep = {
            let (server, name) = (Arc::clone(&server), name.clone());
            tokio::spawn(
                async move { edit(&server, &pair, &name, json!({ "roles": ["admin"] })).await },
            )
        };
        let demoted = edit(&server, &root, &name, json!({ "roles": ["user"] })).await;
        keep.await.unwrap();
        assert_eq!(demoted, 200);
        assert_eq!(server.stored(&name).await.roles, roles(&["user"]));
    }
}

#[tokio::test]
async fn an_account_is_not_deleted_with_a_password_that_was_changed_meanwhile() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let caller = let_in(&server, &pair).await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    server.post("/users/me/password").bearer(&pair.access).json(&body).await.ok(204);
    let (password, origin) = (Password::new(PASSWORD.to_owned()), Origin::default());
    let deleted = server.auth.delete_account(&caller, password, &origin).await;
    assert!(matches!(deleted, Err(AccountError::Conflict)), "{deleted:?}");
    let body = json!({ "password": NEW_PASSWORD });
    server.delete("/users/me").bearer(&pair.access).json(&body).await.ok(204);
}

#[tokio::test]
async fn an_account_is_not_deleted_by_a_user_who_was_disabled_meanwhile() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let caller = let_in(&server, &server.user("alice").await).await;
    assert_eq!(edit(&server, &root, "alice", json!({ "disabled": true })).await, 200);
    let (password, origin) = (Password::new(PASSWORD.to_owned()), Origin::default());
    let deleted = server.auth.delete_account(&caller, password, &origin).await;
    assert!(matches!(deleted, Err(AccountError::Conflict)), "{deleted:?}");
    assert!(server.stored("alice").await.disabled);
}
