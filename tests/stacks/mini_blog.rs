//! Stack 3, the JWT mini-blog: signing up and logging in with JSON, and posts that anybody may read and
//! their author may write. It kept passwords as they were typed.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::Workplace;
use crate::support::client::{Answer, Client, Pair};
use crate::support::token::is_signed_with;
use crate::{PASSWORD, assert_refused, is_ulid, names, pair};

const SECRET: &str = "e7a1c94b0d6f2835a9c7e1b3d5f70892a4c6e8f0b1d3f5a7092b4d6f8ace1357";

fn sign_up(client: &Client, email: &str) -> Pair {
    let body = json!({ "fullname": "A Reader", "email": email, "password": PASSWORD });
    pair(&client.post("/user/signup").json(&body))
}

fn login(client: &Client, email: &str, password: &str) -> Answer {
    client.post("/user/login").json(&json!({ "email": email, "password": password }))
}

fn publish(client: &Client, access: &str, title: &str) -> Value {
    let post = json!({ "title": title, "content": "text" });
    client.post("/posts").bearer(access).json(&post).expect(201)
}

#[test]
fn a_reader_signs_up_logs_in_and_writes_with_the_dotenv_they_had() {
    let workplace = Workplace::new();
    workplace.write(".env", &format!("secret={SECRET}\nalgorithm=HS256\n"));
    let server = workplace.serve();
    let client = server.client();

    let signed_up = sign_up(client, "reader@example.org");
    assert!(is_signed_with(&signed_up.access, SECRET));
    let access = pair(&login(client, "reader@example.org", PASSWORD)).access;
    let me = client.get("/users/me").bearer(&access).send().expect(200);
    assert_eq!((&me["email"], &me["full_name"]), (&me["username"], &"A Reader".into()));

    let post = publish(client, &access, "first");
    let expected = ["author", "content", "created_at", "id", "title", "updated_at"];
    assert_eq!(names(&post), expected);
    assert_eq!(post["author"], "reader@example.org");
    assert!(is_ulid(post["id"].as_str().unwrap()));
    let path = format!("/posts/{}", post["id"].as_str().unwrap());
    assert_eq!(client.get(&path).send().expect(200), post);
    let second = publish(client, &access, "second");
    let page = client.get("/posts").send().expect(200);
    assert_eq!(page, json!({ "items": [second, post], "next": null }));
}

#[test]
fn an_author_changes_and_deletes_their_own_posts_only() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    let [author, other] =
        ["a@example.org", "b@example.org"].map(|email| sign_up(client, email).access);
    let post = publish(client, &author, "first");
    let path = format!("/posts/{}", post["id"].as_str().unwrap());
    let change = json!({ "title": "changed", "content": "text" });
    let put = |access: &str| client.call(Method::PUT, &path).bearer(access).json(&change);
    let delete = |access: &str| client.call(Method::DELETE, &path).bearer(access).send();

    put(&other).expect(403);
    delete(&other).expect(403);
    assert_eq!(client.get(&path).send().expect(200), post);
    assert_eq!(put(&author).expect(200)["title"], "changed");
    delete(&author).expect(204);
    client.get(&path).send().expect(404);
    delete(&author).expect(404);
}

#[test]
fn what_is_wrong_is_told_apart() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    sign_up(client, "a@example.org");
    let again = json!({ "fullname": "A", "email": "a@example.org", "password": PASSWORD });
    client.post("/user/signup").json(&again).expect(409);
    let wrong = login(client, "a@example.org", "not the password");
    assert_refused(&wrong, 400, "Incorrect username or password");
    let stranger = login(client, "nobody@example.org", PASSWORD);
    assert_refused(&stranger, 400, "Incorrect username or password");
    let post = json!({ "title": "t", "content": "c" });
    client.post("/posts").json(&post).expect(401);
    client.get("/posts/7").send().expect(404);
}
