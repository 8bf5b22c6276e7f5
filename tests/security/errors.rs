//! What a failure of ours answers, and what an answer repeats of its request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keystile::password::settings::HashSettings;
use poem::http::Method;
use serde_json::{Map, Value, json};

use crate::harness::access::operations;
use crate::harness::{DOCUMENT, NEW_PASSWORD, PASSWORD, TestServer};

/// Where randomness fails, whatever needs some fails, and nothing is stored or lost.
#[tokio::test]
async fn ky_09_without_randomness_nothing_is_made() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let pair = server.user("alice").await;
    let hash = server.stored("alice").await.password_hash;
    let change = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let new = json!({ "username": "bob", "password": PASSWORD });
    let post = json!({ "title": "Low tide", "content": "At six." });
    server.random.is_dry.store(true, Ordering::SeqCst);
    for answer in [
        server.register("bob").await,
        server.post("/users").bearer(&root.access).json(&new).await,
        server.login_with("alice", PASSWORD).await,
        server.refresh(&pair.refresh).await,
        server.post("/users/me/password").bearer(&pair.access).json(&change).await,
        server.post("/posts").bearer(&pair.access).json(&post).await,
    ] {
        assert!([500, 503].contains(&answer.status), "{}: {}", answer.what, answer.text);
    }
    server.random.is_dry.store(false, Ordering::SeqCst);
    assert_eq!(server.stored("alice").await.password_hash, hash);
    let sessions = server.get("/users/me/sessions").bearer(&pair.access).await.ok(200);
    assert_eq!(sessions.as_array().unwrap().len(), 1);
    server.register("bob").await.ok(201);
    let posts = server.get("/posts").await.ok(200);
    assert_eq!(posts["items"], json!([]));
    server.refresh(&pair.refresh).await.pair();
}

/// More passwords at once than there is room for: each is judged or refused, and none is let in unjudged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn er_07_a_password_that_cannot_be_judged_is_refused() {
    let slow =
        HashSettings { memory_kib: 19_456, workers: 1, queue: 1, ..HashSettings::insecure_fast() };
    let server = TestServer::with(|settings| settings.hashing = slow).await;
    server.register("alice").await.ok(201);
    let calls: Vec<_> = (0..40)
        .map(|index| {
            let server = Arc::clone(&server);
            let password = if index % 2 == 0 { PASSWORD } else { "hunter2 wrong" };
            tokio::spawn(async move { (index, server.login_with("alice", password).await) })
        })
        .collect();
    let mut refused = 0;
    for call in calls {
        let (index, answer) = call.await.unwrap();
        match answer.status {
            503 => refused += 1,
            200 => assert_eq!(index % 2, 0, "a wrong password was let in"),
            _ => assert_eq!((answer.status, index % 2), (400, 1), "{}", answer.text),
        }
    }
    assert!(refused > 0, "there was room for all of them");
    server.login("alice").await;
}

/// Line breaks wherever a client can put text; none of it becomes a header. (The harness sees to it that a
/// refusal repeats nothing.)
#[tokio::test]
async fn a114_a_line_break_makes_no_header() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let text = "hunter2\r\nSet-Cookie: x=hunter2";
    let coded = "hunter2%0d%0aSet-Cookie:%20x=hunter2";
    let mut answers = Vec::new();
    for field in ["username", "password", "scope", "client_id", "grant_type", "refresh_token"] {
        let rest = [("username", "root"), ("password", PASSWORD)];
        let rest = rest.into_iter().filter(|(name, _)| *name != field);
        let form: Vec<_> = [(field, text)].into_iter().chain(rest).collect();
        answers.push(server.post("/token").form(&form).await);
    }
    for path in [
        "/{}",
        "/{}/",
        "/users/me/{}/",
        "/users/{}",
        "/posts/{}",
        "/users?after={}",
        "/users?q={}",
        "/users?limit={}",
        "/verify?scope={}",
        "/verify?role={}",
        "/auth?{}",
        "/users/me/?{}",
    ] {
        let path = path.replace("{}", coded);
        answers.push(server.get(&path).bearer(&root.access).await);
        answers.push(server.get(&path).await);
    }
    for member in ["username", "email", "full_name", "hunter2\r\nSet-Cookie"] {
        let mut body = json!({ "username": "alice", "password": PASSWORD });
        body[member] = json!(text);
        answers.push(server.post("/auth/").json(&body).await);
    }
    for answer in answers {
        assert_eq!(answer.header("set-cookie"), None, "{}", answer.what);
        for value in answer.headers.values() {
            assert!(!value.as_bytes().contains(&b'\r'), "{}", answer.what);
        }
    }
}

/// The members that the document gives to a body, all with this text.
fn filled(schema: &Value, text: &str) -> Map<String, Value> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    let members = schema["properties"].as_object().unwrap();
    members.keys().map(|name| (name.clone(), json!(text))).collect()
}

/// Markup in every parameter of every operation. (The harness sees to `nosniff` and to what is repeated.)
#[tokio::test]
async fn a115_markup_is_never_answered_as_a_page() {
    const MARKUP: &str = "<script>hunter2</script>";
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    for row in operations() {
        let operation = &DOCUMENT["paths"][row.path][row.method.to_lowercase()];
        let mut path = row.path.replace("{id}", "%3Cscript%3Ehunter2%3C%2Fscript%3E");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "query" {
                let mark = if path.contains('?') { "&" } else { "?" };
                let name = parameter["name"].as_str().unwrap();
                path.extend([mark, name, "=%3Cscript%3Ehunter2%3C%2Fscript%3E"]);
            }
        }
        if (row.method, row.path) == ("POST", "/logout") {
            continue;
        }
        let call = server.call(row.method.parse::<Method>().unwrap(), &path).bearer(&root.access);
        let content = &operation["requestBody"]["content"];
        let form = &content["application/x-www-form-urlencoded"]["schema"];
        let answer = if form.is_object() {
            let members = filled(form, MARKUP);
            let fields: Vec<_> = members.keys().map(|name| (name.as_str(), MARKUP)).collect();
            call.form(&fields).await
        } else if content.is_object() {
            call.json(&filled(&content["application/json"]["schema"], MARKUP).into()).await
        } else {
            call.await
        };
        let media = answer.header("content-type").unwrap_or("application/json");
        assert!(media.contains("json"), "{media}: {}", answer.what);
    }
}

/// What is slow for those who judge it character by character, again and again.
#[tokio::test]
async fn a122_long_and_odd_texts_cost_one_hash_at_most() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let marks = "e\u{301}\u{323}\u{30a}".repeat(2000);
    let plusses = format!("username=alice&password=x&scope={}", "+".repeat(16_000));
    let fields = "a=&".repeat(5000);
    let form = "application/x-www-form-urlencoded";
    let hashed = server.hasher.hashed();
    server.post("/token").body(form, plusses).await.refused(400, "invalid_scope");
    server.post("/token").body(form, fields).await.refused(400, "invalid_request");
    assert_eq!(server.hasher.hashed(), hashed);
    let body = json!({ "username": "bob", "password": marks });
    server.post("/auth/").json(&body).await.refused(422, "weak_password");
    server.login_with("alice", &marks[..2000]).await.refused(400, "invalid_grant");
    assert!(server.hasher.hashed() - hashed <= 1);
}

#[tokio::test]
async fn a157_the_metadata_are_the_configured_ones_whatever_host_is_asked() {
    let server = TestServer::start().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
        let expected = server.get(path).await.ok(200);
        for (name, value) in [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "host=evil.example;proto=http"),
            ("x-forwarded-proto", "http"),
        ] {
            let answer = server.get(path).header(name, value).await;
            assert_eq!(answer.ok(200), expected, "{name}");
            assert!(!answer.text.contains("evil"), "{name}");
        }
    }
}
