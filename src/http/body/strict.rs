//! JSON without two readings (RFC 8259 §4): no key twice, no depth without end, nothing after the value.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Objects and arrays inside each other that a request body may have.
const DEPTH_MAX: usize = 16;

/// The one value that `text` holds.
///
/// # Errors
/// When `text` is not JSON in UTF-8, names a key twice, is deeper than 16, or goes on after the value.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let text = std::str::from_utf8(text).map_err(|_| de::Error::custom("not UTF-8"))?;
    read(text, Reader { depth_left: DEPTH_MAX, repeats: Repeats::Refused })
}

/// The one value that `text`, written by this very program, holds: objects under a repeated key become
/// one object, any other repeated value replaces the one before.
///
/// # Errors
/// When `text` is not JSON.
pub fn parse_merging(text: &str) -> Result<Value, serde_json::Error> {
    read(text, Reader { depth_left: usize::MAX, repeats: Repeats::Merged })
}

fn read(text: &str, reader: Reader) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = reader.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Reader {
    depth_left: usize,
    repeats: Repeats,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Refused,
    Merged,
}

impl Reader {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth_left, ..self })
    }
}

fn merge(into: &mut Map<String, Value>, key: String, value: Value) {
    match (into.get_mut(&key), value) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            more.into_iter().for_each(|(key, value)| merge(known, key, value));
        }
        (_, value) => {
            into.insert(key, value);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.repeats == Repeats::Refused && object.contains_key(&key) {
                return Err(de::Error::custom("a key came twice"));
            }
            merge(&mut object, key, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_value_is_read_as_it_stands() {
        let text = r#" {"a": [1, -2, 0.5, null, true], "b": {"a": "\u00e9"}} "#;
        let expected = json!({"a": [1, -2, 0.5, null, true], "b": {"a": "é"}});
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_key_named_twice_is_refused_at_any_depth_and_however_it_is_written() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn our_own_objects_under_one_key_become_one() {
        let merged = parse_merging(r#"{"p":{"a":{"x":1}},"p":{"a":{"y":2},"b":3},"q":1,"q":2}"#);
        assert_eq!(merged.unwrap(), json!({"p": {"a": {"x": 1, "y": 2}, "b": 3}, "q": 2}));
    }

    #[test]
    fn sixteen_levels_are_read_and_seventeen_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(16).as_bytes()).is_ok());
        assert!(parse(nested(17).as_bytes()).is_err());
        assert!(parse(nested(60_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_exactly_one_value_in_utf8_is_refused() {
        let bad: [&[u8]; 8] = [
            b"",
            b"{} {}",
            b"{}x",
            b"\xef\xbb\xbf{}",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"{'a':1}",
            b"[1,]",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
