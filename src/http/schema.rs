//! Finishes the schemas of the OpenAPI document: which members are always there, which may be null, and
//! which objects take no others.

use serde_json::{Map, Value};

/// The views that leave out a member where others say null.
const OMITTING: [&str; 2] = ["Introspection", "Metadata"];

/// Says of every object which of its members may be null: the library knows only which are optional. A view
/// has all of its members; a request takes null for any member that it may leave out.
pub fn mark_nulls(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if let Some(schema) = schema.as_object_mut().filter(|_| !OMITTING.contains(&name.as_str()))
        {
            mark(schema);
        }
    }
}

fn mark(schema: &mut Map<String, Value>) {
    if let Some(example) = schema.get_mut("example").and_then(Value::as_object_mut) {
        example.retain(|_, value| !value.is_null());
    }
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        required.as_array().is_some_and(|names| names.iter().any(|known| known == name))
    };
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let is_view = properties.values().all(|property| property.get("readOnly").is_some());
    for (_, property) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
        if let Some(property) = property.as_object_mut() {
            property.insert("nullable".to_owned(), Value::Bool(true));
        }
    }
    if is_view {
        let names = properties.keys().cloned().map(Value::String).collect();
        schema.insert("required".to_owned(), Value::Array(names));
    }
}

/// Says of the object that `schema` refers to, and of those inside it, that they take no other members.
pub fn close(document: &mut Value, schema: &Value) {
    let mut open = vec![schema.clone()];
    while let Some(schema) = open.pop() {
        let reference =
            schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        let Some(target) = reference.and_then(|pointer| document.pointer_mut(pointer)) else {
            let inner =
                ["items", "allOf", "oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key));
            open.extend(inner.flat_map(|inner| match inner {
                Value::Array(schemas) => schemas.clone(),
                schema => vec![schema.clone()],
            }));
            continue;
        };
        let Some(target) = target.as_object_mut() else { continue };
        if target.get("type").is_some_and(|kind| kind == "object")
            && target.insert("additionalProperties".to_owned(), Value::Bool(false)).is_none()
        {
            let properties = target.get("properties").and_then(Value::as_object);
            open.extend(properties.into_iter().flat_map(|properties| properties.values().cloned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marked(name: &str, schema: &Value) -> Value {
        let mut document = json!({ "components": { "schemas": { name: schema } } });
        mark_nulls(&mut document);
        document["components"]["schemas"][name].take()
    }

    #[test]
    fn a_view_has_all_of_its_members_and_some_may_be_null() {
        let text = json!({ "type": "string", "readOnly": true });
        let view = json!({ "required": ["id"], "properties": { "id": text, "ip": text } });
        let user = marked("User", &view);
        assert_eq!(user["required"], json!(["id", "ip"]));
        assert_eq!(user["properties"]["ip"]["nullable"], true);
        assert_eq!(user["properties"]["id"].get("nullable"), None);
        assert_eq!(marked("Metadata", &view), view);
    }

    #[test]
    fn a_request_may_leave_out_what_may_be_null() {
        let text = json!({ "type": "string" });
        let request = json!({
            "required": ["id"],
            "properties": { "id": text, "email": text },
            "example": { "id": "a", "email": null },
        });
        let request = marked("Request", &request);
        assert_eq!(request["required"], json!(["id"]));
        assert_eq!(request["properties"]["email"]["nullable"], true);
        assert_eq!(request["example"], json!({ "id": "a" }));
    }

    #[test]
    fn an_object_without_members_requires_none() {
        assert_eq!(marked("Empty", &json!({ "type": "object" })), json!({ "type": "object" }));
    }
}
