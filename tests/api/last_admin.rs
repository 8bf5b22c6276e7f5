//! The last administrator cannot be lost, whoever asks and however.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{PASSWORD, Pair, TestServer};

/// The status of an edit of the user `name`; a 409 must be for this reason.
async fn edit(
    server: &TestServer,
    name: &str,
    pair: &Pair,
    body: serde_json::Value,
    refusal: &str,
) -> u16 {
    let path = format!("/users/{}", server.id_of(name).await);
    let answer = server.patch(&path).bearer(&pair.access).json(&body).await;
    if answer.status == 409 {
        answer.refused(409, refusal);
    }
    answer.status
}

#[tokio::test]
async fn the_last_administrator_stays_however_it_is_tried() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    server.add("off", &["admin"]).await;
    assert_eq!(edit(&server, "off", &root, json!({ "disabled": true }), "none").await, 200);
    for body in [
        json!({ "disabled": true }),
        json!({ "roles": [] }),
        json!({ "roles": [], "disabled": false }),
    ] {
        assert_eq!(edit(&server, "root", &root, body, "last_admin").await, 409);
    }
    let path = format!("/users/{}", server.id_of("root").await);
    server.delete(&path).bearer(&root.access).await.refused(409, "last_admin");
    let body = json!({ "password": PASSWORD });
    let answer = server.delete("/users/me").bearer(&root.access).json(&body).await;
    answer.refused(409, "last_admin");
    server.get("/admin").bearer(&root.access).await.ok(200);
}

#[tokio::test]
async fn beside_another_an_administrator_can_go() {
    for way in ["disable", "demote", "delete", "leave"] {
        let server = TestServer::start().await;
        let root = server.user_with("root", &["admin"]).await;
        server.add("other", &["admin"]).await;
        let path = format!("/users/{}", server.id_of("root").await);
        let answer = match way {
            "disable" => {
                server.patch(&path).bearer(&root.access).json(&json!({ "disabled": true }))
            }
            "demote" => server.patch(&path).bearer(&root.access).json(&json!({ "roles": [] })),
            "delete" => server.delete(&path).bearer(&root.access),
            _ => {
                let body = json!({ "password": PASSWORD });
                server.delete("/users/me").bearer(&root.access).json(&body)
            }
        };
        assert!(answer.await.status < 300, "{way}");
    }
}

/// Each demotes the other at the same moment; one of the two steps must be refused: whoever asked for it
/// is no administrator any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_demoting_each_other_leave_one() {
    for _ in 0..8 {
        let server = TestServer::start().await;
        let pairs =
            [server.user_with("ann", &["admin"]).await, server.user_with("ben", &["admin"]).await];
        let tasks: Vec<_> = [("ben", pairs[0].clone()), ("ann", pairs[1].clone())]
            .into_iter()
            .map(|(target, pair)| {
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    edit(&server, target, &pair, json!({ "roles": ["user"] }), "conflict").await
                })
            })
            .collect();
        let mut statuses = Vec::new();
        for task in tasks {
            statuses.push(task.await.unwrap());
        }
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }
}
