//! The OpenAPI document of a server without the password grant: nothing in it asks for a username and a
//! password to get tokens with.

use serde_json::{Map, Value, json};

use super::bearer::scheme;

const ABOUT: &str = "A token server: users, sessions, JWT access and refresh tokens.\n\n\
    Passwords get no tokens here: to try it out, paste a token that you have under **Authorize**.";

/// Takes the password grant out of `document`.
pub fn edit(document: &mut Value) {
    if let Some(info) = object(document, "/info") {
        info.insert("description".to_owned(), ABOUT.into());
    }
    if let Some(schemes) = object(document, "/components/securitySchemes") {
        schemes.remove(scheme::OAUTH2);
    }
    let paths = object(document, "/paths").into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(security) = operation.get_mut("security").and_then(Value::as_array_mut) {
            security.retain(|needed| needed.get(scheme::OAUTH2).is_none());
        }
        let forms = object(operation, "/requestBody/content").into_iter().flat_map(Map::values_mut);
        let grants = forms.filter_map(|form| form.get_mut("schema")).filter_map(edit_form).count();
        if grants > 0
            && let Some(text) = operation.get_mut("description")
        {
            *text = "With a refresh token (RFC 6749, section 6).".into();
        }
    }
}

/// Leaves one grant in `form`, if that chooses between grants.
fn edit_form(form: &mut Value) -> Option<()> {
    let fields = object(form, "/properties")?;
    fields.get("grant_type")?;
    fields.retain(|name, _| !["username", "password"].contains(&name.as_str()));
    let grant_type = fields.get_mut("grant_type")?.as_object_mut()?;
    grant_type.insert("description".to_owned(), "Always `refresh_token`".into());
    grant_type.insert("example".to_owned(), "refresh_token".into());
    let token = fields.get_mut("refresh_token")?.as_object_mut()?;
    token.insert("description".to_owned(), "The refresh token".into());
    form.as_object_mut()?.insert("required".to_owned(), json!(["grant_type", "refresh_token"]));
    Some(())
}

fn object<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    value.pointer_mut(pointer)?.as_object_mut()
}
