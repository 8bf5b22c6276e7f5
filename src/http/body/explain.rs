//! Why a JSON value is not the object an operation describes, in the words of the operation: its own member
//! names, never a name or a value that was sent.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::Value;

/// What keeps `value` from being a `T`; called once it is known not to be one.
pub fn explain<T: Type>(value: &Value) -> String {
    let mut registry = Registry::new();
    T::register(&mut registry);
    let schema = match T::schema_ref() {
        MetaSchemaRef::Inline(schema) => Some(*schema),
        MetaSchemaRef::Reference(name) => registry.schemas.remove(&name),
    };
    let (Some(schema), Some(members)) = (schema, value.as_object()) else {
        return "The body is not a JSON object.".to_owned();
    };
    if let Some(missing) = schema.required.iter().find(|name| !members.contains_key(**name)) {
        return format!("The field `{missing}` is missing.");
    }
    let is_known = |name: &String| schema.properties.iter().any(|(known, _)| known == name);
    if !members.keys().all(is_known) {
        let known: Vec<_> = schema.properties.iter().map(|(name, _)| format!("`{name}`")).collect();
        return format!("There is an unknown field; the fields are {}.", known.join(", "));
    }
    let mistyped = schema.properties.iter().find_map(|(name, property)| {
        let MetaSchemaRef::Inline(property) = property else { return None };
        Some((name, wanted(members.get(*name)?, property)?))
    });
    match mistyped {
        Some((name, wanted)) => format!("The field `{name}` must be {wanted}."),
        None => "A field has a value of the wrong type.".to_owned(),
    }
}

/// What `value` should be if it is not of the schema's type.
fn wanted(value: &Value, schema: &MetaSchema) -> Option<&'static str> {
    let (is_wanted, wanted) = match schema.ty {
        "string" => (value.is_string(), "a string"),
        "boolean" => (value.is_boolean(), "true or false"),
        "array" => {
            let items = value.as_array();
            let are_strings = items.is_some_and(|items| items.iter().all(Value::is_string));
            (are_strings, "a list of strings")
        }
        "integer" | "number" => (value.is_number(), "a number"),
        _ => return None,
    };
    (!is_wanted).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use poem_openapi::Object;
    use serde_json::json;

    use super::super::text::Text;
    use super::*;

    #[derive(Object)]
    #[oai(deny_unknown_fields)]
    struct Note {
        title: Text,
        pinned: Option<bool>,
        tags: Option<Vec<Text>>,
    }

    #[test]
    fn each_mistake_is_named_by_the_operations_own_names() {
        let expected = [
            (json!(["hunter2"]), "The body is not a JSON object."),
            (json!({ "pinned": true }), "The field `title` is missing."),
            (
                json!({ "title": "a", "hunter2": "hunter2" }),
                "There is an unknown field; the fields are `title`, `pinned`, `tags`.",
            ),
            (json!({ "title": 2 }), "The field `title` must be a string."),
            (
                json!({ "title": "a", "pinned": "hunter2" }),
                "The field `pinned` must be true or false.",
            ),
            (
                json!({ "title": "a", "tags": ["b", 2] }),
                "The field `tags` must be a list of strings.",
            ),
        ];
        for (value, text) in expected {
            assert_eq!(explain::<Note>(&value), text);
        }
        let Note { title, pinned, tags } =
            Note { title: Text(String::new()), pinned: None, tags: None };
        drop((title, pinned, tags));
    }
}
