//! Reads protocol structs from parsed JSON. Like the reader of serde_json, but for two things: a
//! struct is read from an object and from nothing else (serde_json takes an array of its fields,
//! too, and two readers must not see two contents), and its errors say nothing, as nobody may be
//! told what was in a refused document. Together they make the worker a fifth smaller; so does that
//! the members of a struct are looked up by their names and handed over in the order of its fields:
//! the code that serde derives for a sequence is a third of that for a map.

#[cfg(test)]
mod tests;

use std::fmt;
use std::slice::Iter;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Number, Value};

/// What a struct with `deny_unknown_fields` is called when it is read: serde tells no other way that
/// it is one.
const CLOSED: &str = "closed";

/// Under this name serde_json hands over the text of a number.
const NUMBER: &str = "$serde_json::private::Number";

/// The document is not of the expected form.
#[derive(Debug)]
pub(super) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed")
    }
}

impl std::error::Error for Malformed {}

impl Error for Malformed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Malformed
    }

    // Those of serde make up their sentences all the same, and so print floating point.
    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Malformed
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Malformed
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Malformed
    }
}

/// A document to be read, or a member that is not there.
pub(super) struct Reader(Option<Value>);

impl Reader {
    /// Of a document.
    pub(super) fn of(value: Value) -> Self {
        Self(Some(value))
    }

    fn value(self) -> Result<Value, Malformed> {
        self.0.ok_or(Malformed)
    }

    fn items(self) -> Result<Vec<Value>, Malformed> {
        let Value::Array(items) = self.value()? else { return Err(Malformed) };
        Ok(items)
    }
}

impl IntoDeserializer<'_, Malformed> for Reader {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Malformed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.value()? {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match number.as_u64() {
                Some(value) => visitor.visit_u64(value),
                None => visitor.visit_map(number_text(&number)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => sequence(items, visitor),
            Value::Object(members) => object(members, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_bool(self.value()?.as_bool().ok_or(Malformed)?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_u64(self.value()?.as_u64().ok_or(Malformed)?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let Value::String(text) = self.value()? else { return Err(Malformed) };
        visitor.visit_string(text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let absent = self.0.as_ref().is_none_or(Value::is_null);
        if absent { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        sequence(self.items()?, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let Value::Object(members) = self.value()? else { return Err(Malformed) };
        object(members, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        let mut fields = Fields::of(self, fields)?;
        let value = visitor.visit_seq(&mut fields)?;
        fields.end(name)?;
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_enum(Variant::of(self)?)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct
        identifier ignored_any
    }
}

/// The members of a struct, in the order of its fields. There is code of its own for every type
/// that is read; what they have in common is outside, as there are many.
struct Fields {
    names: Iter<'static, &'static str>,
    members: Map<String, Value>,
}

impl Fields {
    #[inline(never)]
    fn of(reader: Reader, names: &'static [&'static str]) -> Result<Self, Malformed> {
        let Value::Object(members) = reader.value()? else { return Err(Malformed) };
        Ok(Self { names: names.iter(), members })
    }

    #[inline(never)]
    fn take(&mut self) -> Reader {
        Reader(self.names.next().and_then(|name| self.members.remove(*name)))
    }

    #[inline(never)]
    fn end(self, name: &str) -> Result<(), Malformed> {
        if name == CLOSED && !self.members.is_empty() { Err(Malformed) } else { Ok(()) }
    }
}

impl<'de> SeqAccess<'de> for Fields {
    type Error = Malformed;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Malformed> {
        let reader = self.take();
        let absent = reader.0.is_none();
        match seed.deserialize(reader) {
            // Without an element serde takes the field's default, or refuses the struct.
            Err(Malformed) if absent => Ok(None),
            read => read.map(Some),
        }
    }
}

fn sequence<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, Malformed> {
    let mut items = SeqDeserializer::new(items.into_iter().map(Reader::of));
    let value = visitor.visit_seq(&mut items)?;
    items.end()?;
    Ok(value)
}

fn object<'de, V: Visitor<'de>>(
    members: Map<String, Value>,
    visitor: V,
) -> Result<V::Value, Malformed> {
    let mut members = Members { rest: members.into_iter(), name: String::new(), value: None };
    let value = visitor.visit_map(&mut members)?;
    if members.advance() { Err(Malformed) } else { Ok(value) }
}

/// The members of an object.
struct Members {
    rest: serde_json::map::IntoIter,
    name: String,
    value: Option<Value>,
}

impl Members {
    /// Whether there is another member.
    fn advance(&mut self) -> bool {
        let Some((name, value)) = self.rest.next() else { return false };
        (self.name, self.value) = (name, Some(value));
        true
    }

    fn take(&mut self) -> Result<Reader, Malformed> {
        self.value.take().map(Reader::of).ok_or(Malformed)
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Malformed> {
        if !self.advance() {
            return Ok(None);
        }
        seed.deserialize(StrDeserializer::new(&self.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Malformed> {
        seed.deserialize(self.take()?)
    }
}

/// A number as serde_json hands it to what keeps its text. Its own way there goes by floating
/// point, whose tables and code would cost the worker 15 KB.
fn number_text<'de>(number: &Number) -> impl MapAccess<'de, Error = Malformed> {
    MapDeserializer::new(std::iter::once((NUMBER, number.as_str().to_owned())))
}

/// A variant of an enum, `"name"` or `{"name": content}`.
struct Variant {
    name: String,
    content: Option<Value>,
}

impl Variant {
    #[inline(never)]
    fn of(reader: Reader) -> Result<Self, Malformed> {
        match reader.value()? {
            Value::String(name) => Ok(Self { name, content: None }),
            Value::Object(members) if members.len() == 1 => {
                let (name, content) = members.into_iter().next().ok_or(Malformed)?;
                Ok(Self { name, content: Some(content) })
            }
            _ => Err(Malformed),
        }
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Malformed;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Malformed> {
        Ok((seed.deserialize(StrDeserializer::<Malformed>::new(&self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Malformed;

    fn unit_variant(self) -> Result<(), Malformed> {
        if self.content.is_none() { Ok(()) } else { Err(Malformed) }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Malformed> {
        seed.deserialize(Reader(self.content))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        Reader(self.content).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        Reader(self.content).deserialize_struct("", fields, visitor)
    }
}
