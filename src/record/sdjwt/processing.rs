//! Putting disclosures in their places, where a document is read.

use std::collections::BinaryHeap;

use serde_json::{Map, Value};

use super::decoys::is_digest;
use super::{ALGORITHM, DIGESTS, ELEMENT, ORDER, ascending, is_reserved, rounded};
use crate::base64url;
use crate::error::Error;
use crate::json;

/// Disclosures may nest: what they build together is bounded as any other JSON is.
const DEPTH: usize = 128;

/// Characters of the shortest salt of [`Profile::Ordered`]: 128 bits (RFC 9901 section 9.3).
const SALT: usize = 22;

/// What is asked of a document beyond the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nothing.
    Plain,
    /// As [`super::Concealer`] issues: an object below the claims may have an [`ORDER`]; digests are of 43
    /// characters, and so many that their number tells a class only; salts are long, and each is used once.
    Ordered,
}

/// What a signed payload and its disclosures say.
#[derive(Debug)]
pub struct Processed {
    /// The claims, `_sd` and `_sd_alg` left out.
    pub claims: Map<String, Value>,
    /// Where each disclosure belongs, in the order in which they were given.
    pub positions: Vec<Position>,
    /// The digests that no disclosure was given for.
    pub withheld: Vec<Withheld>,
}

/// Where in the claims a disclosure belongs. The claims are element 0; the others are counted as they
/// stand: each before what is in it, and that before what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The object or array that it is of.
    pub within: usize,
    /// The element that it says; `None` when it says the order of an object.
    pub element: Option<usize>,
}

/// A decoy, or something that was not disclosed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withheld {
    /// Its digest.
    pub digest: String,
    /// The object or array that it is of, as in a [`Position`].
    pub within: usize,
}

/// Puts `disclosures` into the payload of a signed JWT (RFC 9901 section 7.1, steps 3 to 5). An object
/// has its members as its [`ORDER`] says, if the profile has such and it was disclosed; otherwise what
/// stood in the open comes first.
///
/// [`Error::RecordForged`] when a disclosure belongs to no digest; [`Error::RecordMalformed`] when
/// a digest occurs twice, a disclosure has another form than its place asks for or a name that is
/// reserved or taken, an order does not name each member once, the digests are not of SHA-256, it all
/// nests deeper than 128, or the profile asks for more.
pub fn process<'a>(
    payload: Map<String, Value>,
    disclosures: impl Iterator<Item = &'a str>,
    profile: Profile,
) -> Result<Processed, Error> {
    let mut payload = payload;
    if payload.shift_remove(ALGORITHM).is_some_and(|algorithm| algorithm != "sha-256") {
        return Err(Error::RecordMalformed);
    }
    let mut processing = Processing::new(disclosures, profile)?;
    let claims = processing.object(payload, 0, 0)?;
    let (positions, withheld) = processing.end()?;
    Ok(Processed { claims, positions, withheld })
}

/// What one disclosure says.
struct Disclosure {
    salt: String,
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
            Ok([Value::String(salt), Value::String(name), value]) if !is_reserved(&name) => {
                Ok(Self { salt, name: Some(name), value })
            }
            Ok(_) => Err(Error::RecordMalformed),
            Err(content) => match <[Value; 2]>::try_from(content) {
                Ok([Value::String(salt), value]) => Ok(Self { salt, name: None, value }),
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
    profile: Profile,
    /// Whether the salts are as the profile asks.
    well_salted: bool,
    /// Where the disclosure is that belongs to a digest, in the order of the digests.
    by_digest: Vec<(String, usize)>,
    /// Those that no digest met yet belongs to.
    disclosures: Vec<Option<Disclosure>>,
    positions: Vec<Option<Position>>,
    /// How many elements were met.
    elements: usize,
    /// The digests that were met, and whether each was disclosed.
    met: BinaryHeap<(Withheld, bool)>,
}

impl Processing {
    fn new<'a>(encoded: impl Iterator<Item = &'a str>, profile: Profile) -> Result<Self, Error> {
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
        let well_salted = profile == Profile::Plain || are_well_salted(&disclosures);
        let (positions, met) = (vec![None; disclosures.len()], BinaryHeap::new());
        Ok(Self { profile, well_salted, by_digest, disclosures, positions, elements: 0, met })
    }

    /// The positions, once each digest was met once and each disclosure has found its own, and what was
    /// withheld.
    fn end(self) -> Result<(Vec<Position>, Vec<Withheld>), Error> {
        let met = self.met.into_sorted_vec();
        if met.windows(2).any(|two| two[0].0.digest == two[1].0.digest) {
            return Err(Error::RecordMalformed);
        }
        let positions = self.positions.into_iter().collect::<Option<Vec<_>>>();
        let positions = positions.ok_or(Error::RecordForged)?;
        if !self.well_salted {
            return Err(Error::RecordMalformed);
        }
        let withheld = met.into_iter().filter(|(_, disclosed)| !disclosed);
        let withheld = withheld.map(|(withheld, _)| withheld).collect();
        Ok((positions, withheld))
    }

    /// That nothing but the class of a number can be told from so many digests. [`Error::RecordMalformed`].
    fn expect_rounded(&self, digests: usize) -> Result<(), Error> {
        let fits = self.profile == Profile::Plain || rounded(digests) == digests;
        if fits { Ok(()) } else { Err(Error::RecordMalformed) }
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
        self.expect_rounded(digests.len())?;
        let (concealed, order) = self.concealed(digests, this, depth)?;
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

    /// What belongs to the digests of object `this`, and its order, if it was disclosed.
    fn concealed(
        &mut self,
        digests: Vec<Value>,
        this: usize,
        depth: usize,
    ) -> Result<(Concealed, Option<Value>), Error> {
        let (mut concealed, mut order) = (Vec::with_capacity(digests.len()), None);
        let may_be_ordered = self.profile == Profile::Ordered && depth > 0;
        for digest in digests {
            let Value::String(digest) = digest else { return Err(Error::RecordMalformed) };
            match self.member(&digest, this)? {
                Some(Member { name, value, number: Some(number) })
                    if may_be_ordered && name == ORDER && order.is_none() =>
                {
                    self.positions[number] = Some(Position { within: this, element: None });
                    order = Some(value);
                }
                member => concealed.push((digest, member)),
            }
        }
        Ok((concealed, order))
    }

    fn array(
        &mut self,
        elements: Vec<Value>,
        this: usize,
        depth: usize,
    ) -> Result<Vec<Value>, Error> {
        let mut array = Vec::with_capacity(elements.len());
        let mut digests = 0;
        for element in elements {
            let (number, element) = match concealed(element) {
                Err(element) => (None, element),
                Ok(Value::String(digest)) => {
                    digests += 1;
                    let Some((number, disclosure)) = self.disclosed(&digest, this)? else {
                        continue;
                    };
                    if disclosure.name.is_some() {
                        return Err(Error::RecordMalformed);
                    }
                    (Some(number), disclosure.value)
                }
                Ok(_) => return Err(Error::RecordMalformed),
            };
            array.push(self.below(element, number, this, depth)?);
        }
        self.expect_rounded(digests)?;
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
            self.positions[number] = Some(Position { within, element: Some(this) });
        }
        self.value(value, this, depth + 1)
    }

    /// The member that a digest of object `within` stands for, if it was disclosed.
    fn member(&mut self, digest: &str, within: usize) -> Result<Option<Member>, Error> {
        let Some((number, Disclosure { name, value, .. })) = self.disclosed(digest, within)? else {
            return Ok(None);
        };
        let name = name.ok_or(Error::RecordMalformed)?;
        Ok(Some(Member { name, value, number: Some(number) }))
    }

    /// The disclosure that a digest met on the way belongs to, if it was given.
    fn disclosed(
        &mut self,
        digest: &str,
        within: usize,
    ) -> Result<Option<(usize, Disclosure)>, Error> {
        if self.profile == Profile::Ordered && !is_digest(digest) {
            return Err(Error::RecordMalformed);
        }
        let found = self.by_digest.binary_search_by(|(known, _)| known.as_str().cmp(digest));
        let number = found.ok().and_then(|at| self.by_digest.get(at)).map(|(_, number)| *number);
        let disclosure = number.and_then(|number| self.disclosures.get_mut(number)?.take());
        self.met.push((Withheld { digest: digest.to_owned(), within }, disclosure.is_some()));
        Ok(number.zip(disclosure))
    }
}

/// Whether each salt is long enough and was used once.
fn are_well_salted(disclosures: &[Option<Disclosure>]) -> bool {
    let salts = disclosures.iter().flatten().map(|disclosure| disclosure.salt.as_str());
    let salts = salts.collect::<BinaryHeap<_>>().into_sorted_vec();
    salts.iter().all(|salt| salt.len() >= SALT) && salts.windows(2).all(|two| two[0] != two[1])
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
