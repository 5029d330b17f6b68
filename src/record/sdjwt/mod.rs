//! Selective disclosure for JWTs (RFC 9901): disclosures, their digests, the compact serialisation
//! and the verification rules of section 7. SHA-256 only. Who signed is checked elsewhere.

mod concealing;
mod decoys;
mod processing;

pub use concealing::{Concealer, Part, object, rounded};
pub use decoys::DecoySeed;
pub use processing::{Position, Processed, Profile, Withheld, process};

use std::collections::BinaryHeap;

use crate::error::Error;

/// Holds the digests of an object's concealed members.
pub(super) const DIGESTS: &str = "_sd";
/// Names the digest algorithm, at the top level only.
pub(super) const ALGORITHM: &str = "_sd_alg";
/// The only member of what stands in an array for a concealed element.
const ELEMENT: &str = "...";

/// A concealed member by this name says in which order its object's members are: an array of their names
/// and, for those that are concealed, of the numbers of their digests among the others of the object in
/// ascending order. Decoys are among them, so it says nothing of what is withheld.
pub const ORDER: &str = "$order";

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

/// The compact serialisation of `jwt` and disclosures, without key binding.
pub fn compact<'a>(jwt: &str, disclosures: impl Iterator<Item = &'a str>) -> String {
    let mut compact = format!("{jwt}~");
    for disclosure in disclosures {
        compact.push_str(disclosure);
        compact.push('~');
    }
    compact
}

/// Whether a member may not be called so: it could pose as something concealed.
fn is_reserved(name: &str) -> bool {
    name == DIGESTS || name == ELEMENT
}

/// The places of digests in their list, in the ascending order of the digests.
fn ascending(digests: impl Iterator<Item = String>) -> Vec<usize> {
    let digests: BinaryHeap<(String, usize)> = digests.zip(0..).collect();
    digests.into_sorted_vec().into_iter().map(|(_, place)| place).collect()
}
