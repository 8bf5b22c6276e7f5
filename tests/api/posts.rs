//! Posts: anybody reads, the author and administrators write.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Pair, SECOND, TestServer};

fn text(title: &str) -> Value {
    json!({ "title": title, "content": "A text." })
}

async fn write(server: &TestServer, pair: &Pair, title: &str) -> Value {
    server.wait(SECOND);
    server.post("/posts").bearer(&pair.access).json(&text(title)).await.ok(201)
}

fn path(post: &Value) -> String {
    format!("/posts/{}", post["id"].as_str().unwrap())
}

async fn titles(server: &TestServer, query: &str) -> (Vec<String>, Value) {
    let page = server.get(&format!("/posts{query}")).await.ok(200);
    let title = |post: &Value| post["title"].as_str().unwrap().to_owned();
    (page["items"].as_array().unwrap().iter().map(title).collect(), page["next"].clone())
}

#[tokio::test]
async fn a_post_is_written_and_read_by_anybody() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let post = server.post("/posts").bearer(&alice.access).json(&text("Hello")).await.ok(201);
    assert_eq!((&post["title"], &post["content"]), (&json!("Hello"), &json!("A text.")));
    assert_eq!(post["author"], "alice");
    assert_eq!(post["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(post["created_at"], post["updated_at"]);
    assert_eq!(post.as_object().unwrap().len(), 6);
    assert_eq!(server.get(&path(&post)).await.ok(200), post);
    assert_eq!(server.get("/posts").await.ok(200)["items"], json!([post]));
}

#[tokio::test]
async fn posts_are_listed_newest_first_in_pages() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    assert_eq!(titles(&server, "").await, (vec![], Value::Null));
    for title in ["1", "2", "3", "4", "5"] {
        write(&server, &alice, title).await;
    }
    let (first, next) = titles(&server, "?limit=2").await;
    assert_eq!(first, ["5", "4"]);
    write(&server, &alice, "6").await;
    let after = format!("?limit=2&after={}", next.as_str().unwrap());
    let (second, next) = titles(&server, &after).await;
    assert_eq!(second, ["3", "2"], "a new post moves no page");
    let after = format!("?limit=2&after={}", next.as_str().unwrap());
    assert_eq!(titles(&server, &after).await, (vec!["1".to_owned()], Value::Null));
}

#[tokio::test]
async fn a_limit_or_cursor_that_is_none_is_refused() {
    let server = TestServer::start().await;
    for query in ["limit=0", "limit=101", "limit=hunter2", "after=hunter2", "after="] {
        server.get(&format!("/posts?{query}")).await.refused(422, "invalid_parameter");
    }
    for query in ["limit=1", "limit=100", "after=01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        server.get(&format!("/posts?{query}")).await.ok(200);
    }
}

#[tokio::test]
async fn the_author_changes_and_deletes_a_post() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let post = write(&server, &alice, "Hello").await;
    server.wait(SECOND);
    let put = server.put(&path(&post)).bearer(&alice.access).json(&text("Bye"));
    let changed = put.await.ok(200);
    assert_eq!((&changed["title"], &changed["id"]), (&json!("Bye"), &post["id"]));
    assert_eq!(changed["created_at"], post["created_at"]);
    assert_ne!(changed["updated_at"], post["updated_at"]);
    server.delete(&path(&post)).bearer(&alice.access).await.ok(204);
    server.get(&path(&post)).await.refused(404, "not_found");
    server.delete(&path(&post)).bearer(&alice.access).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_stranger_changes_no_post_and_an_administrator_does() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let (manager, root) = (
        server.user_with("manager", &["manager"]).await,
        server.user_with("root", &["admin"]).await,
    );
    let post = write(&server, &alice, "Hello").await;
    for stranger in [&bob, &manager] {
        let put = server.put(&path(&post)).bearer(&stranger.access).json(&text("hunter2"));
        put.await.refused(403, "forbidden");
        let delete = server.delete(&path(&post)).bearer(&stranger.access);
        delete
            .header("x-user-id", alice.access_claims()["sub"].as_str().unwrap())
            .await
            .refused(403, "forbidden");
    }
    assert_eq!(server.get(&path(&post)).await.ok(200), post);
    let changed = server.put(&path(&post)).bearer(&root.access).json(&text("Seen")).await.ok(200);
    assert_eq!((&changed["title"], &changed["author"]), (&json!("Seen"), &json!("alice")));
    server.delete(&path(&post)).bearer(&root.access).await.ok(204);
}

#[tokio::test]
async fn each_rule_of_a_text_is_named() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let post = write(&server, &alice, "Hello").await;
    let good = [("t", "c"), (&"é".repeat(200), "c"), ("t", &"x".repeat(3000)), ("t", "two\nlines")];
    for (title, content) in good {
        let body = json!({ "title": title, "content": content });
        server.post("/posts").bearer(&alice.access).json(&body).await.ok(201);
    }
    let (long_title, long_content) = ("é".repeat(201), "x".repeat(3001));
    for (title, content, rule) in [
        ("", "c", "title"),
        (" ", "c", "title"),
        (long_title.as_str(), "c", "title"),
        ("hunter2\nx", "c", "title"),
        ("t", "", "content"),
        ("t", long_content.as_str(), "content"),
    ] {
        let body = json!({ "title": title, "content": content });
        for call in [server.post("/posts"), server.put(&path(&post))] {
            let body = call.bearer(&alice.access).json(&body).await.refused(422, "invalid_value");
            assert!(body["detail"].as_str().unwrap().to_lowercase().contains(rule));
        }
    }
    assert_eq!(server.get(&path(&post)).await.ok(200), post);
}

#[tokio::test]
async fn an_unknown_post_is_not_found() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    for id in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "hunter2", "0"] {
        let path = format!("/posts/{id}");
        server.get(&path).await.refused(404, "not_found");
        let put = server.put(&path).bearer(&alice.access).json(&text("t"));
        put.await.refused(404, "not_found");
        server.delete(&path).bearer(&alice.access).await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn writing_takes_the_scope_and_no_say_in_the_author() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let post = write(&server, &alice, "Hello").await;
    let form = [("username", "alice"), ("password", PASSWORD), ("scope", "me")];
    let narrow = server.post("/token").form(&form).await.pair();
    for call in [server.post("/posts"), server.put(&path(&post))] {
        let answer = call.bearer(&narrow.access).json(&text("t")).await;
        answer.refused(403, "insufficient_scope");
    }
    let delete = server.delete(&path(&post)).bearer(&narrow.access);
    delete.await.refused(403, "insufficient_scope");
    for member in ["author", "author_id", "id", "created_at"] {
        let body = json!({ "title": "t", "content": "c", member: "hunter2" });
        let answer = server.post("/posts").bearer(&alice.access).json(&body).await;
        answer.refused(400, "invalid_body");
    }
}

#[tokio::test]
async fn the_posts_of_a_deleted_author_are_hidden_at_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let root = server.user_with("root", &["admin"]).await;
    let gone = write(&server, &alice, "Hers").await;
    write(&server, &bob, "His").await;
    let user = format!("/users/{}", server.id_of("alice").await);
    server.delete(&user).bearer(&root.access).await.ok(204);
    assert_eq!(titles(&server, "").await.0, ["His"]);
    server.get(&path(&gone)).await.refused(404, "not_found");
    let put = server.put(&path(&gone)).bearer(&root.access).json(&text("t"));
    put.await.refused(404, "not_found");
    server.user("alice").await;
    assert_eq!(titles(&server, "").await.0, ["His"], "a namesake inherits nothing");
}
