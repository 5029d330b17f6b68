//! The content of a record: what of it is concealed, and the order of its members.

use std::mem;

use serde_json::{Map, Value};

use super::sdjwt::{self, Concealer, token};
use crate::error::Error;
use crate::fhir::identifying;
use crate::provider::Randomness;

/// Conceals what leads to a person. Answers what stays visible, and the names of the members, in
/// their author's order, of every object from which some were taken, by JSON pointer.
pub(super) fn conceal<R: Randomness>(
    fhir: &Value,
    concealer: &mut Concealer<'_, R>,
) -> Result<(Value, Value), Error> {
    let mut concealment = Concealment { concealer, order: Map::new(), pointer: String::new() };
    let visible = concealment.value(fhir, "")?;
    Ok((visible, Value::Object(concealment.order)))
}

/// Gives members the order that [`conceal`] noted. What the order does not name goes last; a place
/// that isn't there, since it was not disclosed, is passed over. Names of FHIR have nothing in them that
/// pointers write in more than one way, so each object is ordered once.
pub(super) fn reorder(fhir: &mut Value, order: &Map<String, Value>) {
    for (pointer, names) in order {
        let object = fhir.pointer_mut(pointer).and_then(Value::as_object_mut);
        let (Some(object), Some(names)) = (object, names.as_array()) else { continue };
        let names = names.iter().filter_map(Value::as_str);
        let present = names.filter(|name| object.contains_key(*name));
        let mut ordered: Map<_, _> = present.map(|name| (name.into(), Value::Null)).collect();
        // Whatever is inserted where something is takes its place.
        ordered.extend(mem::take(object));
        *object = ordered;
    }
}

struct Concealment<'a, 'b, R> {
    concealer: &'a mut Concealer<'b, R>,
    order: Map<String, Value>,
    pointer: String,
}

impl<R: Randomness> Concealment<'_, '_, R> {
    /// What stays visible of `value`, which stands in a resource of type `resource`.
    fn value(&mut self, value: &Value, resource: &str) -> Result<Value, Error> {
        match value {
            Value::Object(members) => self.object(members, resource),
            Value::Array(elements) => {
                self.array(elements, |this, element| this.value(element, resource))
            }
            plain => Ok(plain.clone()),
        }
    }

    fn object(&mut self, members: &Map<String, Value>, resource: &str) -> Result<Value, Error> {
        let own = members.get("resourceType").and_then(Value::as_str);
        let resource = own.unwrap_or(resource);
        let mut visible = Map::new();
        let mut digests = Vec::new();
        for (name, value) in members {
            let is_list = name == "contained" || (name == "entry" && own == Some("Bundle"));
            if let (true, Value::Array(elements)) = (is_list, value) {
                let elements = self.below(name, |this| this.resources(elements, resource))?;
                visible.insert(name.clone(), elements);
            } else if identifying::reason(resource, own.is_some(), members, name, value).is_some() {
                digests.push(self.concealer.member(name, value.clone())?);
            } else {
                let value = self.below(name, |this| this.value(value, resource))?;
                visible.insert(name.clone(), value);
            }
        }
        if !digests.is_empty() {
            let names = members.keys().cloned().collect();
            self.order.insert(self.pointer.clone(), names);
        }
        Ok(Value::Object(sdjwt::object(visible, digests)))
    }

    /// Entries or contained resources: each a disclosure, with disclosures in it.
    fn resources(&mut self, elements: &[Value], resource: &str) -> Result<Value, Error> {
        self.array(elements, |this, element| {
            let visible = this.value(element, resource)?;
            this.concealer.element(visible)
        })
    }

    fn array(
        &mut self,
        elements: &[Value],
        mut each: impl FnMut(&mut Self, &Value) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        let mut array = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            array.push(self.below(&index.to_string(), |this| each(this, element))?);
        }
        Ok(Value::Array(array))
    }

    fn below<T>(
        &mut self,
        name: &str,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&token(name));
        let result = inner(self);
        self.pointer.truncate(length);
        result
    }
}
