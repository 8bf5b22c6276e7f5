//! [`Text`] and [`Secret`]: JSON strings that are strings. The library's own `String` takes numbers and
//! booleans as well, so request objects have these instead.

use std::borrow::Cow;
use std::fmt;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::Value;
use zeroize::ZeroizeOnDrop;

use crate::password::Password;

macro_rules! texts {
    ($($(#[$doc:meta])* $visibility:vis $name:ident, $schema:expr;)+) => {$(
        $(#[$doc])*
        pub struct $name($visibility String);

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(stringify!($name))
            }
        }

        impl Type for $name {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                match value {
                    Some(Value::String(text)) => Ok(Self(text)),
                    _ => Err(ParseError::custom("not a string")),
                }
            }
        }

        /// For the examples of the document.
        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                Some(Value::String(self.0.clone()))
            }
        }
    )+};
}

texts! {
    /// A string of a request.
    #[derive(Clone, PartialEq, Eq)]
    pub Text, MetaSchema::new("string");
    /// A password of a request, which a page hides while it is typed; wiped when dropped.
    #[derive(ZeroizeOnDrop)]
    Secret, MetaSchema::new_with_format("string", "password");
}

impl Text {
    /// The string itself.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Secret {
    /// Takes the text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The password that was typed.
    #[must_use]
    pub fn into_password(mut self) -> Password {
        Password::new(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_string_is_taken_and_nothing_that_only_looks_like_one() {
        assert_eq!(Text::parse_from_json(Some(json!("7"))).unwrap().0, "7");
        for value in
            [None, Some(json!(7)), Some(json!(true)), Some(json!(null)), Some(json!(["a"]))]
        {
            assert!(Text::parse_from_json(value.clone()).is_err());
            assert!(Secret::parse_from_json(value).is_err());
        }
    }

    #[test]
    fn what_a_client_wrote_does_not_show_in_debug() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret");
        assert_eq!(format!("{:?}", Text("hunter2".to_owned())), "Text");
    }
}
