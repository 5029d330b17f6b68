//! Records of format 1, which were issued until format 2 and open ever after. What did not lead to a
//! person stood in the open, and one disclosure gave all objects the order of their members.

use std::mem;

use serde_json::{Map, Value};

use super::MAX_BYTES;
use crate::jose::jws::Kind;

/// A record's signed JWT.
pub const KIND: Kind = Kind { typ: "hdms-record+sd-jwt", longest: MAX_BYTES };

/// Claims that may be disclosed; all else at the top level must stand in the open.
pub(super) const CONCEALED: &[&str] = &["sub", "case", "order"];

/// Gives members the order that `order` says: an object of the names of members, by the JSON pointer of
/// the object whose they are. What the order does not name goes last; a place that isn't there, since it
/// was not disclosed, is passed over. Names of FHIR have nothing in them that pointers write in more than
/// one way, so each object is ordered once.
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
