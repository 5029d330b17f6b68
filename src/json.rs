//! JSON as the protocol reads it: UTF-8, unique member names (RFC 8259 section 4 leaves doubled
//! ones open, and two readers must not see two contents), number texts and member order kept.

mod reader;

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::error::Error;

/// Member names that serde_json keeps to itself: it marks number texts by one.
const RESERVED: &str = "$serde_json::private::";

/// Parses a document that a stranger wrote; [`Error::NotJson`] when it is not JSON, names a member
/// twice, or nests deeper than 128.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::NotJson)?;
    let Ok(Document::Value(mut value)) = serde_json::from_str(text) else {
        return Err(Error::NotJson);
    };
    let numbers = number_texts(text);
    if numbers.iter().any(|number| number.contains(['e', 'E'])) {
        restore_numbers(&mut value, &mut numbers.into_iter());
    }
    Ok(value)
}

/// Reads a protocol struct from parsed JSON; `otherwise` when a field lacks or has another form.
pub fn read<T: DeserializeOwned>(value: Value, otherwise: Error) -> Result<T, Error> {
    T::deserialize(reader::Reader::of(value)).map_err(|_| otherwise)
}

/// The compact text of a protocol struct.
pub fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|_| Error::StoreCorrupt)
}

/// A protocol struct as JSON that goes into another. By way of its text: serde_json's own would be
/// code of its own for each type.
pub fn value<T: Serialize>(value: &T) -> Result<Value, Error> {
    parse(&write(value)?)
}

/// Reads what this node wrote into its own store.
pub fn stored<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // By the same way as everything else: a second one for each type would cost the worker 20 KB.
    read(parse(bytes).map_err(|_| Error::StoreCorrupt)?, Error::StoreCorrupt)
}

/// The texts of all numbers of a valid document, in their order.
fn number_texts(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => at += string_length(&bytes[at..]),
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let is_part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                at += rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                numbers.push(&text[start..at]);
            }
            _ => at += 1,
        }
    }
    numbers
}

/// Length of the string literal that `bytes` begins with, quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Gives every number its own text again: serde_json writes all exponents as `e+5`.
fn restore_numbers<'a>(value: &mut Value, texts: &mut impl Iterator<Item = &'a str>) {
    match value {
        Value::Number(number) => {
            if let Some(text) = texts.next() {
                *number = Number::from_string_unchecked(text.to_owned());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| restore_numbers(item, texts)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| restore_numbers(member, texts));
        }
        _ => {}
    }
}

/// A document as serde_json hands it over, or the text of a number: an object with this text as its
/// only member. The text comes owned, and no string of a document does, so none can pose as one.
enum Document {
    Value(Value),
    NumberText(String),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

/// Takes every form, so that nothing is left to say about one that it does not: with serde's
/// sentences the worker would have to print floating point, which takes 10 KB.
struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with unique member names")
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Value(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Value(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Value(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(Document::Value(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Document, E> {
        Err(E::custom("a number without its text"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Document, E> {
        Ok(Document::Value(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Document, E> {
        Ok(Document::NumberText(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            let Document::Value(item) = item else { return Err(A::Error::custom("a lone text")) };
            items.push(item);
        }
        Ok(Document::Value(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = match map.next_value()? {
                Document::Value(value) => value,
                Document::NumberText(text) => {
                    return Ok(Document::Value(Number::from_string_unchecked(text).into()));
                }
            };
            // Whoever reads this value again would take it for a number.
            if name.starts_with(RESERVED) {
                return Err(A::Error::custom("a reserved member name"));
            }
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member name occurs twice"));
            }
        }
        Ok(Document::Value(Value::Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::error::Error;

    #[test]
    fn number_texts_and_member_order_survive() {
        for text in [
            r#"{"z":105.00,"a":1E5,"m":-0.0,"big":12345678901234567890123}"#,
            r#"[1e-7,0.10,{"b":1,"a":2}]"#,
            r#"["$serde_json::private::Number",-0,{"a":"$serde_json::private::Number"}]"#,
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_doubled_member_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"[{"x":{"b":1,"\u0062":2}}]"#] {
            assert_eq!(parse(text.as_bytes()), Err(Error::NotJson));
        }
    }

    #[test]
    fn content_can_not_pose_as_a_number() {
        for text in [
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"$serde_json::private::Numbe\u0072":"1"}"#,
            r#"{"$serde_json::private::Number":1}"#,
            r#"[{"a":1,"$serde_json::private::RawValue":"1"}]"#,
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Error::NotJson));
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [&b"\xff"[..], b"", b"{", b"{} x", b"NaN", b"{'a':1}"] {
            assert_eq!(parse(text), Err(Error::NotJson));
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), Err(Error::NotJson));
    }
}
