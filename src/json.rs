//! JSON as the protocol reads it: UTF-8, unique member names (RFC 8259 section 4 leaves doubled
//! ones open, and two readers must not see two contents), number texts and member order kept.

mod reader;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::error::Error;

/// Under this name serde_json keeps number texts; content that uses it could pose as a number.
const RESERVED: &str = "$serde_json::private::";

/// Parses a document that a stranger wrote; [`Error::NotJson`] when it is not JSON, names a member
/// twice, or nests deeper than 128.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::NotJson)?;
    serde_json::from_str::<Unique>(text).map_err(|_| Error::NotJson)?;
    if text.contains(RESERVED) {
        return Err(Error::NotJson);
    }
    let mut value = serde_json::from_str(text).map_err(|_| Error::NotJson)?;
    let numbers = number_texts(text);
    if numbers.iter().any(|number| number.contains(['e', 'E'])) {
        restore_numbers(&mut value, &mut numbers.into_iter());
    }
    Ok(value)
}

/// Reads a protocol struct from parsed JSON; `otherwise` when a field lacks or has another form.
pub fn read<T: DeserializeOwned>(value: Value, otherwise: Error) -> Result<T, Error> {
    T::deserialize(reader::Reader(value)).map_err(|_| otherwise)
}

/// The compact text of a protocol struct.
pub fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|_| Error::StoreCorrupt)
}

/// Reads what this node wrote into its own store.
pub fn stored<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // By the same way as everything else: a second one for each type would cost the worker 20 KB.
    read(serde_json::from_slice(bytes).map_err(|_| Error::StoreCorrupt)?, Error::StoreCorrupt)
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

/// A document whose member names are unique; keeps nothing of it.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with unique member names")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if !names.insert(name) {
                return Err(serde::de::Error::custom("a member name occurs twice"));
            }
            map.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

/// A member name. serde_json hands over borrowed what stood in the text (or is its own mark of a
/// number) and copies what had escapes: only a stranger escapes the reserved name.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name<'de>, E> {
        if name.starts_with(RESERVED) {
            return Err(E::custom("a reserved member name"));
        }
        Ok(Name(Cow::Owned(name.to_owned())))
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
