//! Concealing, where a document is issued: salted disclosures, decoys that round their number up, and
//! the order of an object's members.

use std::collections::BinaryHeap;

use serde_json::{Map, Value, json};

use super::{DIGESTS, DecoySeed, ELEMENT, ORDER, ascending, compact};
use crate::base64url;
use crate::error::Error;
use crate::provider::Randomness;

/// A member of an object, with whatever is concealed below it.
pub enum Part {
    /// It stays visible.
    Visible(Value),
    /// It becomes a disclosure.
    Concealed(Value),
}

/// Where a member's place in its object's order comes from.
enum Slot {
    Name(String),
    /// Its digest, by its number among those that were made.
    Digest(usize),
}

/// Every author writes it first, so a decoy before it would be known as one.
const FIRST: &str = "resourceType";

/// Conceals while a document is issued; collects the disclosures.
pub struct Concealer<'a, R> {
    randomness: &'a R,
    seed: DecoySeed,
    /// How many decoys were made.
    decoys: usize,
    disclosures: Vec<String>,
    /// Bytes that the compact serialisation has left.
    room: usize,
}

impl<'a, R: Randomness> Concealer<'a, R> {
    /// With nothing concealed yet, and room for so many bytes of disclosures. [`Error::RandomnessFailed`].
    pub fn new(randomness: &'a R, room: usize) -> Result<Self, Error> {
        let seed = DecoySeed::new(randomness)?;
        Ok(Self { randomness, seed, decoys: 0, disclosures: Vec::new(), room })
    }

    /// What its decoys are made from.
    pub fn seed(&self) -> &DecoySeed {
        &self.seed
    }

    /// Conceals an object's member; answers its digest, for [`object`]. [`Error::RecordTooLarge`].
    pub fn member(&mut self, name: &str, value: Value) -> Result<String, Error> {
        let salt = self.salt()?;
        self.keep(vec![salt, name.into(), value])
    }

    /// Conceals an array's element; answers what stands in its place. [`Error::RecordTooLarge`].
    pub fn element(&mut self, value: Value) -> Result<Value, Error> {
        let salt = self.salt()?;
        let digest = self.keep(vec![salt, value])?;
        Ok(json!({ ELEMENT: digest }))
    }

    /// An object with some of its members concealed, their number rounded up and their order kept.
    /// [`Error::RecordTooLarge`].
    pub fn object(
        &mut self,
        members: impl IntoIterator<Item = (String, Part)>,
    ) -> Result<Map<String, Value>, Error> {
        let (mut visible, mut digests, mut slots) = (Map::new(), Vec::new(), Vec::new());
        for (name, part) in members {
            match part {
                Part::Visible(value) => {
                    slots.push(Slot::Name(name.clone()));
                    visible.insert(name, value);
                }
                Part::Concealed(value) => {
                    slots.push(Slot::Digest(digests.len()));
                    digests.push(self.member(&name, value)?);
                }
            }
        }
        if digests.is_empty() {
            return Ok(visible);
        }
        let is_ordered = slots.len() > 1;
        let others = rounded(digests.len() + usize::from(is_ordered)) - usize::from(is_ordered);
        self.fill_up(&mut digests, others);
        if is_ordered {
            let order = self.order(slots, &digests)?;
            digests.push(self.member(ORDER, order)?);
        }
        Ok(object(visible, digests))
    }

    /// An array with each of its elements concealed and their number rounded up. [`Error::RecordTooLarge`].
    pub fn array(&mut self, elements: Vec<Value>) -> Result<Value, Error> {
        let decoys = rounded(elements.len()) - elements.len();
        let elements: Result<Vec<_>, _> =
            elements.into_iter().map(|element| self.element(element)).collect();
        let mut elements = elements?;
        for _ in 0..decoys {
            let decoy = json!({ ELEMENT: self.decoy() });
            elements.insert(self.below(elements.len() + 1)?, decoy);
        }
        Ok(elements.into())
    }

    /// Adds decoys to an object's digests until there are `count`.
    pub fn fill_up(&mut self, digests: &mut Vec<String>, count: usize) {
        while digests.len() < count {
            digests.push(self.decoy());
        }
    }

    /// The compact serialisation of `jwt` with everything that was concealed.
    pub fn compact(self, jwt: &str) -> String {
        compact(jwt, self.disclosures.iter().map(String::as_str))
    }

    /// What [`ORDER`] says: the slots in their order, and among them, at random, the decoys, which are the
    /// digests that no slot names; behind a leading [`FIRST`].
    fn order(&self, slots: Vec<Slot>, digests: &[String]) -> Result<Value, Error> {
        let mut numbers = vec![0; digests.len()];
        for (number, made) in ascending(digests.iter().cloned()).into_iter().enumerate() {
            numbers[made] = number;
        }
        let first = matches!(slots.first(), Some(Slot::Name(name)) if name == FIRST);
        let first = usize::from(first);
        let mut decoys = digests.len();
        let mut order: Vec<Value> = Vec::with_capacity(slots.len());
        for slot in slots {
            match slot {
                Slot::Name(name) => order.push(name.into()),
                Slot::Digest(made) => {
                    decoys -= 1;
                    order.push(numbers[made].into());
                }
            }
        }
        for number in &numbers[digests.len() - decoys..] {
            let place = first + self.below(order.len() + 1 - first)?;
            order.insert(place, (*number).into());
        }
        Ok(order.into())
    }

    fn keep(&mut self, content: Vec<Value>) -> Result<String, Error> {
        let disclosure = base64url::encode(Value::Array(content).to_string());
        let digest = base64url::digest(&disclosure);
        self.room = self.room.checked_sub(disclosure.len() + 1).ok_or(Error::RecordTooLarge)?;
        self.disclosures.push(disclosure);
        Ok(digest)
    }

    /// 128 bits (RFC 9901 section 9.3).
    fn salt(&self) -> Result<Value, Error> {
        let mut salt = [0; 16];
        self.randomness.fill(&mut salt)?;
        Ok(base64url::encode(salt).into())
    }

    /// A digest that nothing belongs to.
    fn decoy(&mut self) -> String {
        self.decoys += 1;
        self.seed.decoy(self.decoys - 1)
    }

    /// A random number below `bound`.
    fn below(&self, bound: usize) -> Result<usize, Error> {
        let mut random = [0; 4];
        self.randomness.fill(&mut random)?;
        Ok(u32::from_be_bytes(random) as usize % bound)
    }
}

/// To how many digests so many are rounded up: the next power of two, from 16 on the next multiple of it.
pub fn rounded(count: usize) -> usize {
    match count {
        0 => 0,
        1..=16 => count.next_power_of_two(),
        _ => count.next_multiple_of(16),
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
