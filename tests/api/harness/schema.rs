//! Whether a value is what a schema of the document says; as much of OpenAPI as the document uses.

use serde_json::Value;

/// Fails with the first place where `value` is not of `schema`. No member may be undescribed.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(document, document.pointer(&reference[1..]).unwrap(), value);
    }
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    let fits = match schema["type"].as_str() {
        None => return Ok(()),
        Some("object") => return check_members(document, schema, value),
        Some("array") => {
            let elements = value.as_array().ok_or_else(|| format!("{value} is no array"))?;
            return elements
                .iter()
                .try_for_each(|element| check(document, &schema["items"], element));
        }
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some(other) => return Err(format!("an unknown type {other}")),
    };
    if fits { Ok(()) } else { Err(format!("{value} is not of {schema}")) }
}

fn check_members(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let members = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing"));
        }
    }
    members.iter().try_for_each(|(name, member)| match schema["properties"].get(name) {
        Some(schema) => check(document, schema, member).map_err(|wrong| format!("{name}: {wrong}")),
        None => Err(format!("{name} is not described")),
    })
}
