//! What is logged: one line per request, and never a secret.

use keystile::config::log::LogFormat;
use keystile::telemetry::Captured;
use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{DOCUMENT, Pair, TestServer};

/// Planted wherever something is submitted; none of them may show in the log.
const PLANTED: [&str; 8] = [
    "quiet-Zebra-password",
    "quiet-Zebra-successor",
    "Zebra-wrong-password",
    "zebra-in-a-query",
    "Zebra-client-secret",
    "Zebra-mail",
    "Zebra-body-member",
    "zebra-unknown-name",
];

/// Goes once through everything that takes a credential; returns the tokens that were handed out.
async fn visit(server: &TestServer) -> Vec<String> {
    let [password, successor, wrong, query, client, mail, member, unknown] = PLANTED;
    let account =
        json!({ "username": "alice", "password": password, "email": format!("{mail}@x") });
    server.post("/auth/").json(&account).await.ok(201);
    let mut pairs: Vec<Pair> = Vec::new();
    for path in ["/token", "/authenticate", "/auth/token"] {
        let form = [("username", "alice"), ("password", password), ("client_secret", client)];
        pairs.push(server.post(&format!("{path}?code={query}")).form(&form).await.pair());
        let form = [("username", unknown), ("password", wrong)];
        server.post(path).form(&form).await.refused(400, "invalid_grant");
        let form = [("username", unknown), ("username", wrong)];
        server.post(path).form(&form).await.refused(400, "invalid_request");
    }
    pairs.push(server.refresh(&pairs[0].refresh).await.pair());
    pairs.push(server.refresh(&pairs[3].refresh).await.pair());
    server.refresh(&pairs[0].refresh).await.refused(401, "invalid_grant");
    server.refresh(wrong).await.refused(401, "invalid_grant");
    let own = pairs[1].clone();
    for path in ["/users/me", "/verify", "/items/"] {
        let path = format!("{path}?access_token={query}");
        server.get(&path).bearer(&own.access).await.refused(400, "ambiguous_credentials");
        server.get(&path).await.refused(401, "not_authenticated");
    }
    server.get(&format!("/items/?q={query}")).bearer(&own.access).await.ok(200);
    server.get(&format!("/users/me?q={query}")).bearer(wrong).await.refused(401, "invalid_token");
    server.get("/users/me").header("authorization", &format!("Basic {client}")).await;
    server.get(&format!("/posts/{query}")).await.refused(404, "not_found");
    server.get(&format!("/{query}")).await.refused(404, "not_found");
    let change = json!({ "current_password": wrong, "new_password": successor });
    server.post("/users/me/password").bearer(&own.access).json(&change).await;
    let change = json!({ "current_password": password, "new_password": successor });
    server.post("/users/me/password").bearer(&own.access).json(&change).await.ok(204);
    let stray = json!({ member: member });
    server.patch("/users/me").bearer(&own.access).json(&stray).await.refused(400, "invalid_body");
    let gate = server.user_with("gate", &["gateway"]).await;
    let ask = server.post("/introspect").bearer(&gate.access);
    ask.form(&[("token", &own.access)]).await.ok(200);
    let blog = json!({ "fullname": "B", "email": format!("{mail}@blog"), "password": password });
    pairs.push(server.post("/user/signup").json(&blog).await.pair());
    let login = json!({ "email": format!("{mail}@blog"), "password": wrong });
    server.post("/user/login").json(&login).await.refused(400, "invalid_grant");
    server.post("/revoke").form(&[("token", &pairs[5].refresh)]).await.ok(200);
    server.post("/revoke").form(&[("token", wrong)]).await.ok(200);
    let leave = json!({ "password": successor });
    server.delete("/users/me").bearer(&own.access).json(&leave).await.ok(204);
    pairs.push(gate);
    pairs.into_iter().flat_map(|pair| [pair.access, pair.refresh]).collect()
}

/// The log of the whole process, every level of it, so that what threads and libraries say counts too.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let (captured, dispatch) = Captured::start(LogFormat::Json, "trace").unwrap();
    tracing::dispatcher::set_global_default(dispatch).unwrap();
    let server = TestServer::start().await;
    let tokens = visit(&server).await;
    let log = captured.text();
    assert!(log.contains("/users/me"), "nothing was captured");
    let planted = PLANTED.iter().map(|text| (*text).to_owned());
    let hashes = [server.stored("gate").await.password_hash.expose().to_owned()];
    for secret in planted.chain(tokens).chain(hashes) {
        assert!(!log.contains(&secret), "{secret} is in the log");
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!log.contains(signature), "the end of {secret} is in the log");
    }
    let lower = log.to_lowercase();
    for text in ["zebra", "authorization", "basic "] {
        let line = lower.lines().find(|line| line.contains(text));
        assert!(line.is_none(), "{text}: {line:?}");
    }
}

/// The lines of this thread while `paths` are asked for.
async fn lines_of(server: &TestServer, asked: &[(Method, &str)]) -> Vec<Value> {
    let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    for (method, path) in asked {
        server.call(method.clone(), path).await;
    }
    let text = captured.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("status").is_some()).collect()
}

#[tokio::test]
async fn each_request_has_one_line_with_its_template_and_never_its_path() {
    let server = TestServer::start().await;
    let asked = [
        (Method::GET, "/users/hunter2?hunter2=1"),
        (Method::GET, "/hunter2"),
        (Method::POST, "/token?hunter2"),
        (Method::GET, "/healthz"),
        (Method::GET, "/items"),
    ];
    let lines = lines_of(&server, &asked).await;
    let routes: Vec<_> = lines
        .iter()
        .map(|line| (line["route"].as_str().unwrap(), line["status"].as_u64().unwrap()))
        .collect();
    let expected = [("/users/{id}", 401), ("-", 404), ("/token", 400), ("/healthz", 200)];
    assert_eq!(routes[..4], expected);
    assert_eq!((lines.len(), lines[4]["status"].as_u64()), (5, Some(307)));
    for line in &lines {
        assert!(!line.to_string().contains("hunter2"), "{line}");
        assert_eq!(line["request_id"].as_str().unwrap().len(), 26);
        assert!(line["duration_ms"].is_number());
    }
}

#[test]
fn no_operation_takes_a_secret_in_its_query() {
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let secret = ["password", "token", "secret"].iter().any(|word| name.contains(word));
                assert!(!secret, "{name} of {path}");
            }
        }
    }
}
