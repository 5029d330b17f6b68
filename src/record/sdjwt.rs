//! Selective disclosure for JWTs (RFC 9901): disclosures, their digests, the compact serialisation
//! and the verification rules of section 7. SHA-256 only. Who signed is checked elsewhere.

use std::collections::BinaryHeap;

use serde_json::{Map, Value, json};

use crate::base64url;
use crate::error::Error;
use crate::json;
use crate::provider::Randomness;

/// Holds the digests of an object's concealed members.
const DIGESTS: &str = "_sd";
/// Names the digest algorithm, at the top level only.
pub(super) const ALGORITHM: &str = "_sd_alg";
/// The only member of what stands in an array for a concealed element.
const ELEMENT: &str = "...";
/// Disclosures may nest: what they build together is bounded as any other JSON is.
const DEPTH: usize = 128;

/// An SD-JWT, with or without a key binding, in its parts (RFC 9901 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The compact serialisation up to and including its last `~`: what a key binding signs.
    pub presented: &'a str,
    /// The JWT that the issuer signed.
    pub jwt: &'a str,
    /// The JWT with which the holder proves the holding.
    pub key_binding: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// Takes a compact serialisation apart; [`Error::RecordMalformed`] when it has no `~`.
    pub fn parse(compact: &'a str) -> Result<Self, Error> {
        let end = compact.rfind('~').ok_or(Error::RecordMalformed)? + 1;
        let (presented, key_binding) = compact.split_at(end);
        let jwt = presented.split('~').next().unwrap_or_default();
        Ok(Self { presented, jwt, key_binding: Some(key_binding).filter(|text| !text.is_empty()) })
    }

    /// The disclosures, encoded, in their order.
    pub fn disclosures(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let disclosures = self.presented.get(self.jwt.len() + 1..).unwrap_or_default();
        disclosures.split_terminator('~')
    }
}

/// Conceals while a document is issued; collects the disclosures.
pub struct Concealer<'a, R> {
    randomness: &'a R,
    disclosures: Vec<String>,
}

impl<'a, R: Randomness> Concealer<'a, R> {
    /// With nothing concealed yet.
    pub fn new(randomness: &'a R) -> Self {
        Self { randomness, disclosures: Vec::new() }
    }

    /// Conceals an object's member; answers its digest, for [`object`].
    pub fn member(&mut self, name: &str, value: Value) -> Result<String, Error> {
        let salt = self.salt()?;
        Ok(self.keep(vec![salt, name.into(), value]))
    }

    /// Conceals an array's element; answers what stands in its place.
    pub fn element(&mut self, value: Value) -> Result<Value, Error> {
        let salt = self.salt()?;
        let digest = self.keep(vec![salt, value]);
        Ok(json!({ ELEMENT: digest }))
    }

    /// The compact serialisation of `jwt` with everything that was concealed.
    pub fn compact(self, jwt: &str) -> String {
        compact(jwt, self.disclosures.iter().map(String::as_str))
    }

    fn keep(&mut self, content: Vec<Value>) -> String {
        let disclosure = base64url::encode(Value::Array(content).to_string());
        let digest = base64url::digest(&disclosure);
        self.disclosures.push(disclosure);
        digest
    }

    /// 128 bits (RFC 9901 section 9.3).
    fn salt(&self) -> Result<Value, Error> {
        let mut salt = [0; 16];
        self.randomness.fill(&mut salt)?;
        Ok(base64url::encode(salt).into())
    }
}

/// An object of the members that stay visible and the digests of those concealed, sorted so that
/// they don't tell the order (RFC 9901 section 4.2.4.1).
pub fn object(members: Map<String, Value>, digests: Vec<String>) -> Map<String, Value> {
    if digests.is_empty() {
        return members;
    }
    let digests = BinaryHeap::from(digests).into_sorted_vec();
    let mut object = Map::new();
    object.insert(DIGESTS.into(), digests.into());
    object.extend(members);
    object
}

/// The compact serialisation of `jwt` and disclosures, without key binding.
pub fn compact<'a>(jwt: &str, disclosures: impl Iterator<Item = &'a str>) -> String {
    let mut compact = format!("{jwt}~");
    for disclosure in disclosures {
        compact.push_str(disclosure);
        compact.push('~');
    }
    compact
}

/// Whether content may be issued: a member of a reserved name could pose as something concealed.
pub fn is_reserved(name: &str) -> bool {
    name == DIGESTS || name == ELEMENT
}

/// Puts `disclosures` into the payload of a signed JWT (RFC 9901 section 7.1, steps 3 to 5). Answers the
/// claims, `_sd` and `_sd_alg` left out, and tells `placed` of each disclosure its number and its place,
/// a JSON pointer (RFC 6901) into them: kept, all places may be far longer than all that was disclosed.
///
/// [`Error::RecordForged`] when a disclosure belongs to no digest; [`Error::RecordMalformed`] when
/// a digest occurs twice, a disclosure has another form than its place asks for or a name that is
/// reserved or taken, the digests are not of SHA-256, or it all nests deeper than 128.
pub fn process<'a>(
    payload: Map<String, Value>,
    disclosures: impl Iterator<Item = &'a str>,
    placed: &mut dyn FnMut(usize, &str),
) -> Result<Map<String, Value>, Error> {
    let mut payload = payload;
    if payload.shift_remove(ALGORITHM).is_some_and(|algorithm| algorithm != "sha-256") {
        return Err(Error::RecordMalformed);
    }
    let mut processing = Processing::new(disclosures, placed)?;
    let claims = processing.object(payload, 0)?;
    processing.end()?;
    Ok(claims)
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

struct Processing<'p> {
    /// Where the disclosure is that belongs to a digest, in the order of the digests.
    by_digest: Vec<(String, usize)>,
    /// Those that no digest met yet belongs to.
    disclosures: Vec<Option<Disclosure>>,
    met: BinaryHeap<String>,
    placed: &'p mut dyn FnMut(usize, &str),
    pointer: String,
}

impl<'p> Processing<'p> {
    fn new<'a>(
        encoded: impl Iterator<Item = &'a str>,
        placed: &'p mut dyn FnMut(usize, &str),
    ) -> Result<Self, Error> {
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
        let (met, pointer) = (BinaryHeap::new(), String::new());
        Ok(Self { by_digest, disclosures, met, placed, pointer })
    }

    /// Whether each digest was met once, and each disclosure has found its place.
    fn end(self) -> Result<(), Error> {
        if self.met.into_sorted_vec().windows(2).any(|two| two[0] == two[1]) {
            return Err(Error::RecordMalformed);
        }
        if self.disclosures.iter().any(Option::is_some) {
            return Err(Error::RecordForged);
        }
        Ok(())
    }

    fn value(&mut self, value: Value, depth: usize) -> Result<Value, Error> {
        match value {
            Value::Object(members) => self.object(members, depth).map(Value::Object),
            Value::Array(elements) => self.array(elements, depth).map(Value::Array),
            plain => Ok(plain),
        }
    }

    fn object(
        &mut self,
        mut members: Map<String, Value>,
        depth: usize,
    ) -> Result<Map<String, Value>, Error> {
        let digests = match members.shift_remove(DIGESTS) {
            None => Vec::new(),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(Error::RecordMalformed),
        };
        let mut object = Map::new();
        for (name, value) in members {
            if name == ELEMENT {
                return Err(Error::RecordMalformed);
            }
            let value = self.below(&name, None, value, depth)?;
            object.insert(name, value);
        }
        for digest in digests {
            let Some((number, disclosure)) = self.disclosed(digest)? else { continue };
            let name = disclosure.name.ok_or(Error::RecordMalformed)?;
            if object.contains_key(&name) {
                return Err(Error::RecordMalformed);
            }
            let value = self.below(&name, Some(number), disclosure.value, depth)?;
            object.insert(name, value);
        }
        Ok(object)
    }

    fn array(&mut self, elements: Vec<Value>, depth: usize) -> Result<Vec<Value>, Error> {
        let mut array = Vec::with_capacity(elements.len());
        for element in elements {
            let index = array.len().to_string();
            let (number, element) = match concealed(element) {
                Err(element) => (None, element),
                Ok(digest) => {
                    let Some((number, disclosure)) = self.disclosed(digest)? else { continue };
                    if disclosure.name.is_some() {
                        return Err(Error::RecordMalformed);
                    }
                    (Some(number), disclosure.value)
                }
            };
            array.push(self.below(&index, number, element, depth)?);
        }
        Ok(array)
    }

    /// The value of member or element `name`, which this disclosure says if any does, processed.
    fn below(
        &mut self,
        name: &str,
        number: Option<usize>,
        value: Value,
        depth: usize,
    ) -> Result<Value, Error> {
        if depth >= DEPTH {
            return Err(Error::RecordMalformed);
        }
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&token(name));
        if let Some(number) = number {
            (self.placed)(number, &self.pointer);
        }
        let value = self.value(value, depth + 1)?;
        self.pointer.truncate(length);
        Ok(value)
    }

    /// The disclosure that a digest met on the way belongs to, if it was given.
    fn disclosed(&mut self, digest: Value) -> Result<Option<(usize, Disclosure)>, Error> {
        let Value::String(digest) = digest else { return Err(Error::RecordMalformed) };
        let found = self.by_digest.binary_search_by(|(known, _)| known.cmp(&digest));
        self.met.push(digest);
        let number = found.ok().and_then(|found| Some(self.by_digest.get(found)?.1));
        Ok(number.and_then(|number| Some((number, self.disclosures.get_mut(number)?.take()?))))
    }
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

/// A member's name within a JSON pointer (RFC 6901 section 3).
pub(super) fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
