//! Putting disclosures in their places, where a document is read.

use std::collections::BinaryHeap;

use serde_json::{Map, Value};

use super::{ALGORITHM, DIGESTS, ELEMENT, ORDER, ascending, is_reserved};
use crate::base64url;
use crate::error::Error;
use crate::json;

/// Disclosures may nest: what they build together is bounded as any other JSON is.
const DEPTH: usize = 128;

/// What a signed payload and its disclosures say.
#[derive(Debug)]
pub struct Processed {
    /// The claims, `_sd` and `_sd_alg` left out.
    pub claims: Map<String, Value>,
    /// Where each disclosure belongs, in the order in which they were given.
    pub places: Vec<Place>,
}

/// Where in the claims a disclosure belongs. The claims are element 0; the others are counted as they
/// stand: each before what is in it, and that before what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The object or array that it is of.
    pub within: usize,
    /// The element that it says; `None` when it says the order of an object.
    pub element: Option<usize>,
}

/// Puts `disclosures` into the payload of a signed JWT (RFC 9901 section 7.1, steps 3 to 5). Where
/// `ordered`, an object below the claims has its members as its [`ORDER`] says, if that was disclosed;
/// otherwise what stood in the open comes first.
///
/// [`Error::RecordForged`] when a disclosure belongs to no digest; [`Error::RecordMalformed`] when
/// a digest occurs twice, a disclosure has another form than its place asks for or a name that is
/// reserved or taken, an order does not name each member once, the digests are not of SHA-256, or it all
/// nests deeper than 128.
pub fn process<'a>(
    payload: Map<String, Value>,
    disclosures: impl Iterator<Item = &'a str>,
    ordered: bool,
) -> Result<Processed, Error> {
    let mut payload = payload;
    if payload.shift_remove(ALGORITHM).is_some_and(|algorithm| algorithm != "sha-256") {
        return Err(Error::RecordMalformed);
    }
    let mut processing = Processing::new(disclosures, ordered)?;
    let claims = processing.object(payload, 0, 0)?;
    Ok(Processed { claims, places: processing.end()? })
}

/// What one disclosure says.
struct Disclosure {
    /// `None` for an array's element.
    name: Option<String>,
    value: Value,
}

impl Disclosure {
    fn parse(encoded: &str) -> Result<Self, Error> {
        let bytes = base64url::decode(encoded).ok_or(Error::RecordMalformed)?;
        let Ok(Value::Array(content)) = json::parse(&bytes) else {
            return Err(Error::RecordMalformed);
        };
        match <[Value; 3]>::try_from(content) {
            Ok([Value::String(_), Value::String(name), value]) if !is_reserved(&name) => {
                Ok(Self { name: Some(name), value })
            }
            Ok(_) => Err(Error::RecordMalformed),
            Err(content) => match <[Value; 2]>::try_from(content) {
                Ok([Value::String(_), value]) => Ok(Self { name: None, value }),
                _ => Err(Error::RecordMalformed),
            },
        }
    }
}

/// A member of an object on its way to its place.
struct Member {
    name: String,
    value: Value,
    /// The disclosure that says it; `None` for one that stood in the open.
    number: Option<usize>,
}

struct Processing {
    ordered: bool,
    /// Where the disclosure is that belongs to a digest, in the order of the digests.
    by_digest: Vec<(String, usize)>,
    /// Those that no digest met yet belongs to.
    disclosures: Vec<Option<Disclosure>>,
    places: Vec<Option<Place>>,
    /// How many elements were met.
    elements: usize,
    met: BinaryHeap<String>,
}

impl Processing {
    fn new<'a>(encoded: impl Iterator<Item = &'a str>, ordered: bool) -> Result<Self, Error> {
        let mut by_digest = BinaryHeap::new();
        let mut disclosures = Vec::new();
        for text in encoded {
            by_digest.push((base64url::digest(text), disclosures.len()));
            disclosures.push(Some(Disclosure::parse(text)?));
        }
        let by_digest = by_digest.into_sorted_vec();
        if by_digest.windows(2).any(|two| two[0].0 == two[1].0) {
            return Err(Error::RecordForged);
        }
        let places = vec![None; disclosures.len()];
        Ok(Self { ordered, by_digest, disclosures, places, elements: 0, met: BinaryHeap::new() })
    }

    /// The places, once each digest was met once and each disclosure has found its own.
    fn end(self) -> Result<Vec<Place>, Error> {
        if self.met.into_sorted_vec().windows(2).any(|two| two[0] == two[1]) {
            return Err(Error::RecordMalformed);
        }
        self.places.into_iter().collect::<Option<_>>().ok_or(Error::RecordForged)
    }

    fn value(&mut self, value: Value, this: usize, depth: usize) -> Result<Value, Error> {
        match value {
            Value::Object(members) => self.object(members, this, depth).map(Value::Object),
            Value::Array(elements) => self.array(elements, this, depth).map(Value::Array),
            plain => Ok(plain),
        }
    }

    fn object(
        &mut self,
        mut members: Map<String, Value>,
        this: usize,
        depth: usize,
    ) -> Result<Map<String, Value>, Error> {
        let digests = match members.shift_remove(DIGESTS) {
            None => Vec::new(),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(Error::RecordMalformed),
        };
        let (mut concealed, mut order) = (Vec::with_capacity(digests.len()), None);
        for digest in digests {
            let Value::String(digest) = digest else { return Err(Error::RecordMalformed) };
            let member = self.member(&digest)?;
            match member {
                Some(Member { name, value, number: Some(number) })
                    if self.ordered && depth > 0 && name == ORDER && order.is_none() =>
                {
                    self.places[number] = Some(Place { within: this, element: None });
                    order = Some(value);
                }
                member => concealed.push((digest, member)),
            }
        }
        let members = match order {
            Some(order) => in_order(members, concealed, order)?,
            None => one_after_another(members, concealed),
        };
        let mut object = Map::new();
        for Member { name, value, number } in members {
            if name == ELEMENT || object.contains_key(&name) {
                return Err(Error::RecordMalformed);
            }
            let value = self.below(value, number, this, depth)?;
            object.insert(name, value);
        }
        Ok(object)
    }

    fn array(
        &mut self,
        elements: Vec<Value>,
        this: usize,
        depth: usize,
    ) -> Result<Vec<Value>, Error> {
        let mut array = Vec::with_capacity(elements.len());
        for element in elements {
            let (number, element) = match concealed(element) {
                Err(element) => (None, element),
                Ok(Value::String(digest)) => {
                    let Some((number, disclosure)) = self.disclosed(&digest) else { continue };
                    if disclosure.name.is_some() {
                        return Err(Error::RecordMalformed);
                    }
                    (Some(number), disclosure.value)
                }
                Ok(_) => return Err(Error::RecordMalformed),
            };
            array.push(self.below(element, number, this, depth)?);
        }
        Ok(array)
    }

    /// An element of object or array `within`, which this disclosure says if any does, processed.
    fn below(
        &mut self,
        value: Value,
        number: Option<usize>,
        within: usize,
        depth: usize,
    ) -> Result<Value, Error> {
        if depth >= DEPTH {
            return Err(Error::RecordMalformed);
        }
        self.elements += 1;
        let this = self.elements;
        if let Some(number) = number {
            self.places[number] = Some(Place { within, element: Some(this) });
        }
        self.value(value, this, depth + 1)
    }

    /// The member that an object's digest stands for, if it was disclosed.
    fn member(&mut self, digest: &str) -> Result<Option<Member>, Error> {
        let Some((number, Disclosure { name, value })) = self.disclosed(digest) else {
            return Ok(None);
        };
        let name = name.ok_or(Error::RecordMalformed)?;
        Ok(Some(Member { name, value, number: Some(number) }))
    }

    /// The disclosure that a digest met on the way belongs to, if it was given.
    fn disclosed(&mut self, digest: &str) -> Option<(usize, Disclosure)> {
        self.met.push(digest.to_owned());
        let found = self.by_digest.binary_search_by(|(known, _)| known.as_str().cmp(digest));
        let number = self.by_digest.get(found.ok()?)?.1;
        Some((number, self.disclosures.get_mut(number)?.take()?))
    }
}

/// Digests of an object with the members that were disclosed.
type Concealed = Vec<(String, Option<Member>)>;

/// What stands in the open, then what was disclosed.
fn one_after_another(visible: Map<String, Value>, concealed: Concealed) -> Vec<Member> {
    let visible = visible.into_iter().map(|(name, value)| Member { name, value, number: None });
    visible.chain(concealed.into_iter().filter_map(|(_, member)| member)).collect()
}

/// All of them as `order` says. [`Error::RecordMalformed`] unless it names each once.
fn in_order(
    mut visible: Map<String, Value>,
    mut concealed: Concealed,
    order: Value,
) -> Result<Vec<Member>, Error> {
    let malformed = Error::RecordMalformed;
    let Value::Array(order) = order else { return Err(malformed) };
    if order.len() != visible.len() + concealed.len() {
        return Err(malformed);
    }
    let ascending = ascending(concealed.iter().map(|(digest, _)| digest.clone()));
    let mut numbered: Vec<_> =
        ascending.into_iter().map(|at| Some(concealed[at].1.take())).collect();
    let mut members = Vec::with_capacity(order.len());
    for slot in order {
        match slot {
            Value::String(name) => {
                let value = visible.swap_remove(&name).ok_or(malformed)?;
                members.push(Member { name, value, number: None });
            }
            Value::Number(number) => {
                let number = number.as_u64().and_then(|number| usize::try_from(number).ok());
                let slot = number.and_then(|number| numbered.get_mut(number));
                members.extend(slot.and_then(Option::take).ok_or(malformed)?);
            }
            _ => return Err(malformed),
        }
    }
    Ok(members)
}

/// The digest that stands for a concealed element, or the element when it is none.
fn concealed(element: Value) -> Result<Value, Value> {
    match element {
        Value::Object(mut members) if members.len() == 1 => {
            members.shift_remove(ELEMENT).ok_or(Value::Object(members))
        }
        other => Err(other),
    }
}
