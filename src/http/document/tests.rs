//! The document of a service that has one of everything.

use poem_openapi::auth::Bearer;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{OAuthScopes, Object, OpenApi, OpenApiService, SecurityScheme};

use super::*;
use crate::http::body::form::{Field, Fields, FormBody, FormFields};
use crate::http::body::json::JsonBody;
use crate::http::fail::{Conflict, Fail, Unavailable};
use crate::http::problem::Problem;
use crate::http::routes::Routes;

#[derive(OAuthScopes)]
enum Scope {
    /// Read users.
    #[oai(rename = "users:read")]
    UsersRead,
}

#[derive(SecurityScheme)]
#[oai(ty = "bearer")]
struct Access(Bearer);

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Inner {
    zeta: Option<String>,
    alpha: String,
}

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Outer {
    inner: Vec<Inner>,
}

#[derive(Object)]
struct Answer {
    id: u32,
}

struct Login;

impl FormFields for Login {
    const FIELDS: &'static [Field] = &[Field {
        name: "username",
        about: "The name.",
        example: Some("alice"),
        required: true,
        secret: false,
    }];
    const MULTIPART: bool = true;

    fn from_fields(_: &mut Fields) -> Result<Self, Problem> {
        Ok(Self)
    }
}

struct Reads;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
impl Reads {
    #[oai(path = "/users/:id", method = "get")]
    async fn find(
        &self,
        #[oai(scope = "Scope::UsersRead")] access: Access,
        id: Path<u32>,
        limit: Query<Option<u32>>,
    ) -> Json<Answer> {
        drop((access.0, limit.0));
        Json(Answer { id: id.0 })
    }
}

struct Ping;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
impl Ping {
    #[oai(path = "/ping/", method = "get")]
    async fn ping(&self) {}
}

struct Writes;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
impl Writes {
    #[oai(path = "/users/:id", method = "patch")]
    async fn change(
        &self,
        id: Path<u32>,
        body: JsonBody<Outer>,
    ) -> Result<Json<Answer>, Fail<(Conflict, Unavailable)>> {
        drop(body.0.inner.into_iter().map(|inner| (inner.zeta, inner.alpha)));
        Ok(Json(Answer { id: id.0 }))
    }

    #[oai(path = "/token", method = "post")]
    async fn token(&self, form: FormBody<Login>) -> Json<Answer> {
        let Login = form.0;
        Json(Answer { id: 0 })
    }
}

const SLASHED: &[Slashed] = &[
    Slashed { path: "/ping/", bare_serves: false },
    Slashed { path: "/absent/", bare_serves: false },
];

fn document() -> Value {
    let spec = OpenApiService::new((Reads, Writes, Ping), "demo", "1").spec();
    let document = finish(&spec, SLASHED, true).unwrap();
    assert_eq!(document, finish(&spec, SLASHED, true).unwrap());
    serde_json::from_str(&document).unwrap()
}

fn routes() -> Routes {
    Routes::of(&<(Reads, Writes, Ping)>::meta(), SLASHED)
}

fn statuses(operation: &Value) -> Vec<&str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn operations_of_two_types_on_one_path_are_both_kept() {
    let json = document();
    assert!(json["paths"]["/users/{id}"]["get"].is_object());
    assert!(json["paths"]["/users/{id}"]["patch"].is_object());
    assert_eq!(routes().allow("/users/7").as_deref(), Some("GET, HEAD, PATCH"));
}

#[test]
fn an_operation_lists_its_own_refusals_and_those_of_what_it_takes() {
    let json = document();
    let get = &json["paths"]["/users/{id}"]["get"];
    assert_eq!(statuses(get), ["200", "400", "401", "403", "404", "422", "431", "500", "503"]);
    let patch = &json["paths"]["/users/{id}"]["patch"];
    let expected = ["200", "400", "404", "408", "409", "413", "415", "431", "500", "503"];
    assert_eq!(statuses(patch), expected);
    assert_eq!(
        statuses(&json["paths"]["/token"]["post"]),
        ["200", "400", "408", "413", "431", "500", "503"]
    );
}

#[test]
fn refusals_have_the_shape_of_their_path_and_their_headers() {
    let json = document();
    let unauthorized = &json["paths"]["/users/{id}"]["get"]["responses"]["401"];
    let schema = &unauthorized["content"]["application/problem+json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/Problem");
    assert!(unauthorized["headers"]["WWW-Authenticate"].is_object());
    let busy = &json["paths"]["/users/{id}"]["patch"]["responses"]["503"];
    assert!(busy["headers"]["Retry-After"].is_object());
    assert_eq!(busy["description"], "Service Unavailable");
    let bad = &json["paths"]["/token"]["post"]["responses"]["400"];
    assert_eq!(
        bad["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/OAuthProblem"
    );
    assert!(json["components"]["schemas"]["OAuthProblem"]["properties"]["error"].is_object());
}

#[test]
fn tags_stand_in_the_order_of_their_operations() {
    let operation = |tag| json!({ "get": { "tags": [tag], "responses": {} } });
    let spec = json!({
        "tags": [{ "name": "a" }, { "name": "z" }],
        "paths": { "/one": operation("z"), "/two": operation("a"), "/three": operation("z") },
    });
    let finished = finish(&spec.to_string(), &[], true).unwrap();
    let document: Value = serde_json::from_str(&finished).unwrap();
    assert_eq!(document["tags"], json!([{ "name": "z" }, { "name": "a" }]));
}

#[test]
fn a_path_gets_its_slash_back() {
    let json = document();
    assert!(json["paths"].get("/ping").is_none());
    assert_eq!(routes().allow("/ping/").as_deref(), Some("GET, HEAD"));
}

#[test]
fn a_bearer_requirement_lists_no_scopes() {
    let json = document();
    assert_eq!(json["paths"]["/users/{id}"]["get"]["security"], json!([{ "Access": [] }]));
}

#[test]
fn what_a_body_refuses_the_document_says_and_nothing_more() {
    let json = document();
    let schemas = &json["components"]["schemas"];
    assert_eq!(schemas["Outer"]["additionalProperties"], false);
    assert_eq!(schemas["Inner"]["additionalProperties"], false);
    assert!(schemas["Answer"].get("additionalProperties").is_none());
    let members: Vec<_> = schemas["Inner"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["zeta", "alpha"], "members stay in the order they were declared in");
}

#[test]
fn a_form_is_described_with_examples_in_both_media_types() {
    let json = document();
    let content = &json["paths"]["/token"]["post"]["requestBody"]["content"];
    for media in ["application/x-www-form-urlencoded", "multipart/form-data"] {
        let schema = &content[media]["schema"];
        assert_eq!(schema["required"], json!(["username"]), "{media}");
        assert_eq!(schema["properties"]["username"]["example"], "alice", "{media}");
        assert_eq!(schema["properties"]["username"]["description"], "The name.", "{media}");
    }
}
