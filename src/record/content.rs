//! What of a record's content is concealed, and how finely: each member of a resource and each element of
//! it, what leads to a person at whatever depth, and of who or where a person is every part.

use serde_json::{Map, Value};

use super::sdjwt::{Concealer, Part};
use crate::error::Error;
use crate::fhir::identifying::{self, Reason};
use crate::provider::Randomness;

/// How finely a place is divided; a resource is always divided anew, wherever it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Division {
    /// What leads to a person is a disclosure.
    Identifying,
    /// Every part is a disclosure: of who or where a person is.
    Parts,
    /// No part is: of what leads to a person otherwise.
    Whole,
}

impl Division {
    /// Of what stands in a member that leads to a person for this reason, or for none.
    fn below(self, reason: Option<Reason>) -> Self {
        match reason {
            Some(Reason::Person | Reason::Place) => Division::Parts,
            Some(_) => Division::Whole,
            None => self,
        }
    }
}

/// Conceals `fhir` but for its structure; answers what stays visible.
pub(super) fn conceal<R: Randomness>(
    fhir: &Value,
    concealer: &mut Concealer<'_, R>,
) -> Result<Value, Error> {
    Concealment { concealer }.value(fhir, "", Division::Whole)
}

struct Concealment<'a, 'b, R> {
    concealer: &'a mut Concealer<'b, R>,
}

impl<R: Randomness> Concealment<'_, '_, R> {
    /// What stays visible of `value`, which stands in a resource of type `resource`.
    fn value(&mut self, value: &Value, resource: &str, division: Division) -> Result<Value, Error> {
        match value {
            Value::Object(members) => self.object(members, resource, division),
            Value::Array(elements) => {
                let elements = self.elements(elements, resource, division)?;
                match division {
                    Division::Parts => self.concealer.array(elements),
                    _ => Ok(elements.into()),
                }
            }
            plain => Ok(plain.clone()),
        }
    }

    fn object(
        &mut self,
        members: &Map<String, Value>,
        resource: &str,
        division: Division,
    ) -> Result<Value, Error> {
        let own = members.get("resourceType").and_then(Value::as_str);
        let resource = own.unwrap_or(resource);
        let division = own.map_or(division, |_| Division::Identifying);
        let mut parts = Vec::with_capacity(members.len());
        for (name, value) in members {
            let reason = Some(division)
                .filter(|division| *division == Division::Identifying)
                .and_then(|_| identifying::reason(resource, own.is_some(), members, name, value));
            let below = division.below(reason);
            let part = if own.is_some() && name == "resourceType" {
                Part::Visible(value.clone())
            } else if own.is_some() {
                Part::Concealed(self.member(value, resource, below)?)
            } else if reason.is_some() || division == Division::Parts {
                Part::Concealed(self.value(value, resource, below)?)
            } else {
                Part::Visible(self.value(value, resource, below)?)
            };
            parts.push((name.clone(), part));
        }
        self.concealer.object(parts).map(Value::Object)
    }

    /// A resource's own member, of which each element is a disclosure too.
    fn member(
        &mut self,
        value: &Value,
        resource: &str,
        division: Division,
    ) -> Result<Value, Error> {
        match value {
            Value::Array(elements) => {
                let elements = self.elements(elements, resource, division)?;
                self.concealer.array(elements)
            }
            other => self.value(other, resource, division),
        }
    }

    fn elements(
        &mut self,
        elements: &[Value],
        resource: &str,
        division: Division,
    ) -> Result<Vec<Value>, Error> {
        elements.iter().map(|element| self.value(element, resource, division)).collect()
    }
}
