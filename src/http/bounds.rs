//! The bounds of what a request may hold, as the OpenAPI document tells them: forms can check them before they
//! send, and generators of requests know what to expect.
//!
//! Knows no rule itself: what is refused, the domain decides.

use serde_json::{Map, Value};

use super::page;
use crate::auth::model::post::{CONTENT_BYTES_MAX, TITLE_CHARS_MAX};
use crate::auth::model::user::FULL_NAME_CHARS_MAX;
use crate::auth::model::username::{EMAIL_BYTES_MAX, USERNAME_CHARS_MAX};
use crate::password::PASSWORD_BYTES_MAX;
use crate::password::policy::MIN_LENGTH_FLOOR;

/// The texts that are set, by their names, with the least and the greatest number of characters; where bytes are
/// counted, fewer characters may be too many.
const TEXTS: [(&str, usize, usize); 8] = [
    ("username", 1, USERNAME_CHARS_MAX),
    ("password", MIN_LENGTH_FLOOR, PASSWORD_BYTES_MAX),
    ("new_password", MIN_LENGTH_FLOOR, PASSWORD_BYTES_MAX),
    ("email", 3, EMAIL_BYTES_MAX),
    ("full_name", 1, FULL_NAME_CHARS_MAX),
    ("fullname", 1, FULL_NAME_CHARS_MAX),
    ("title", 1, TITLE_CHARS_MAX),
    ("content", 1, CONTENT_BYTES_MAX),
];

/// Whose texts are compared, not set: any length is read.
const COMPARING: [&str; 2] = ["BlogLogin", "Confirmation"];

/// Adds them to a document.
pub fn add(document: &mut Value) {
    for (name, schema) in object(document, "/components/schemas") {
        if !COMPARING.contains(&name.as_str()) {
            object(schema, "/properties").for_each(|(name, property)| bound_text(name, property));
        }
    }
    let operations = object(document, "/paths").flat_map(|(_, path)| object(path, ""));
    let parameters = operations.filter_map(|(_, operation)| operation.get_mut("parameters"));
    for parameter in parameters.filter_map(Value::as_array_mut).flatten() {
        if parameter.get("name").is_some_and(|name| name == "limit") {
            set(parameter.get_mut("schema"), [("minimum", 1), ("maximum", page::MAX.into())]);
        }
    }
}

fn bound_text(name: &str, property: &mut Value) {
    let is_view = property.get("readOnly").is_some();
    let bounds = TEXTS.iter().find(|(known, ..)| !is_view && *known == name);
    if let Some((_, least, greatest)) = bounds {
        set(Some(property), [("minLength", *least as u64), ("maxLength", *greatest as u64)]);
    }
}

fn set<const N: usize>(schema: Option<&mut Value>, bounds: [(&str, u64); N]) {
    if let Some(schema) = schema.and_then(Value::as_object_mut) {
        schema.extend(bounds.map(|(name, bound)| (name.to_owned(), bound.into())));
    }
}

fn object<'a>(
    value: &'a mut Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> + use<'a> {
    value.pointer_mut(pointer).and_then(Value::as_object_mut).into_iter().flat_map(Map::iter_mut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_set_is_bounded_and_what_is_compared_or_answered_is_not() {
        let text = json!({ "type": "string" });
        let answered = json!({ "type": "string", "readOnly": true });
        let schema = |text: &Value| json!({ "properties": { "password": text, "email": text } });
        let mut document = json!({
            "paths": { "/users": { "get": { "parameters": [
                { "name": "limit", "schema": { "type": "integer" } },
                { "name": "after", "schema": text },
            ] } } },
            "components": { "schemas": {
                "Registration": schema(&text), "Confirmation": schema(&text), "User": schema(&answered),
            } },
        });
        add(&mut document);
        let schemas = &document["components"]["schemas"];
        let password = json!({ "type": "string", "minLength": 8, "maxLength": 1024 });
        assert_eq!(schemas["Registration"]["properties"]["password"], password);
        assert_eq!(schemas["Confirmation"], schema(&text));
        assert_eq!(schemas["User"], schema(&answered));
        let parameters = &document["paths"]["/users"]["get"]["parameters"];
        assert_eq!(
            parameters[0]["schema"],
            json!({ "type": "integer", "minimum": 1, "maximum": 100 })
        );
        assert_eq!(parameters[1]["schema"], text);
    }
}
