//! Finishes the OpenAPI document: what `poem-openapi` cannot say about an operation, but the edge, the
//! body readers and the bearer check do to every one of them.
//!
//! Deterministic, so that the document can be compared between builds.

use serde_json::{Map, Value, json};

use super::body::strict;
use super::bounds;
use super::refresh_only;
use super::routes::{Slashed, published};
use super::schema;
use super::shape::Shape;

/// Finishes `spec`, the text of `OpenApiService::spec`; the paths in `slashed` get their slash back, and
/// the password grant is left out where it is not on offer.
///
/// # Errors
/// When `spec` is not JSON.
pub fn finish(
    spec: &str,
    slashed: &[Slashed],
    password_grant: bool,
) -> Result<String, serde_json::Error> {
    // The library repeats a path that two of its API types share.
    let mut document = strict::parse_merging(spec)?;
    if !password_grant {
        refresh_only::edit(&mut document);
    }
    add_slashes(&mut document, slashed);
    let mut bodies = Vec::new();
    let schemes = scopeless_schemes(&document);
    for (path, operations) in members(&mut document, "/paths") {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            finish_operation(path, operation, &schemes);
            bodies.extend(json_body(operation).cloned());
        }
    }
    for body in bodies {
        schema::close(&mut document, &body);
    }
    schema::mark_nulls(&mut document);
    bounds::add(&mut document);
    order_tags(&mut document);
    if let Some(schemas) = object(&mut document, &["components", "schemas"]) {
        for shape in [Shape::Problem, Shape::OAuth] {
            schemas.insert(shape.schema_name().to_owned(), shape.schema());
        }
    }
    serde_json::to_string_pretty(&document)
}

/// Puts the groups of operations in the order of their first operations, as the pages show them; the library
/// sorts them by name.
fn order_tags(document: &mut Value) {
    let operations = document.get("paths").and_then(Value::as_object).into_iter();
    let operations = operations.flat_map(Map::values).filter_map(Value::as_object);
    let tags =
        operations.flat_map(Map::values).filter_map(|operation| operation.pointer("/tags/0"));
    let order: Vec<Value> = tags.cloned().collect();
    if let Some(tags) = document.get_mut("tags").and_then(Value::as_array_mut) {
        tags.sort_by_key(|tag| order.iter().position(|first| tag.get("name") == Some(first)));
    }
}

/// Renames the paths, their order kept.
fn add_slashes(document: &mut Value, slashed: &[Slashed]) {
    if let Some(paths) = object(document, &["paths"]) {
        *paths = std::mem::take(paths)
            .into_iter()
            .map(|(path, operations)| (published(path, slashed), operations))
            .collect();
    }
}

fn finish_operation(path: &str, operation: &mut Value, scopeless: &[String]) {
    let mut statuses = edge_statuses(path, operation);
    for requirement in
        operation.get_mut("security").and_then(Value::as_array_mut).into_iter().flatten()
    {
        for (scheme, scopes) in requirement.as_object_mut().into_iter().flatten() {
            if scopeless.contains(scheme) {
                *scopes = json!([]);
            }
        }
    }
    let Some(responses) = object(operation, &["responses"]) else { return };
    statuses.retain(|status| !responses.contains_key(*status));
    responses.extend(statuses.into_iter().map(|status| (status.to_owned(), json!({}))));
    responses.sort_keys();
    for (status, response) in responses {
        finish_response(Shape::of(path), status, response);
    }
}

/// The statuses that an operation answers without its own code having a part in it.
fn edge_statuses(path: &str, operation: &Value) -> Vec<&'static str> {
    let mut statuses = vec!["400", "431", "500", "503"];
    let requirements = operation.get("security").and_then(Value::as_array);
    let requirements = requirements.map_or(&[][..], Vec::as_slice);
    if !requirements.is_empty() {
        let is_optional = |requirement: &Value| requirement.as_object().is_some_and(Map::is_empty);
        if !requirements.iter().any(is_optional) {
            statuses.push("401");
        }
        let has_scopes =
            |scopes: &Value| scopes.as_array().is_some_and(|scopes| !scopes.is_empty());
        if requirements.iter().filter_map(Value::as_object).flat_map(Map::values).any(has_scopes) {
            statuses.push("403");
        }
    }
    if operation.get("requestBody").is_some() {
        statuses.extend(["408", "413"]);
        if Shape::of(path) == Shape::Problem {
            statuses.push("415");
        }
    }
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let is_text = parameter.pointer("/schema/type").is_some_and(|kind| kind == "string");
        if parameter.get("in").is_some_and(|place| place == "path") {
            statuses.push("404");
        } else if !is_text {
            statuses.push("422");
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// Gives a response its words, and a refusal its one shape and its headers.
fn finish_response(shape: Shape, status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let reason = status.parse::<u16>().ok().and_then(|status| {
        let status = poem::http::StatusCode::from_u16(status).ok()?;
        status.canonical_reason()
    });
    let described =
        response.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if !described {
        response.insert("description".to_owned(), reason.unwrap_or("Answer").into());
    }
    if status < "400" {
        return;
    }
    let schema = json!({ "$ref": format!("#/components/schemas/{}", shape.schema_name()) });
    response.insert("content".to_owned(), json!({ shape.media_type(): { "schema": schema } }));
    let header = match status {
        "401" => ("WWW-Authenticate", json!({ "type": "string" }), "The challenge of RFC 6750."),
        "429" | "503" => ("Retry-After", json!({ "type": "integer" }), "Seconds to wait."),
        _ => return,
    };
    let (name, schema, about) = header;
    response
        .insert("headers".to_owned(), json!({ name: { "description": about, "schema": schema } }));
}

/// The schemes whose requirements must not list scopes: all but OAuth 2 and `OpenID` Connect
/// (OpenAPI 3.0.0, Security Requirement Object).
fn scopeless_schemes(document: &Value) -> Vec<String> {
    let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
    let scopeless = |scheme: &Value| {
        scheme.get("type").is_some_and(|kind| kind != "oauth2" && kind != "openIdConnect")
    };
    let schemes = schemes.into_iter().flatten().filter(|(_, scheme)| scopeless(scheme));
    schemes.map(|(name, _)| name.clone()).collect()
}

fn json_body(operation: &Value) -> Option<&Value> {
    operation.pointer("/requestBody/content/application~1json/schema")
}

/// The members of the object at `pointer`.
fn members<'a>(
    value: &'a mut Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    value.pointer_mut(pointer).and_then(Value::as_object_mut).into_iter().flatten()
}

/// The object under `keys`, made if it is missing.
fn object<'a>(value: &'a mut Value, keys: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut object = value.as_object_mut()?;
    for key in keys {
        object = object.entry(*key).or_insert_with(|| json!({})).as_object_mut()?;
    }
    Some(object)
}

#[cfg(test)]
mod tests;
