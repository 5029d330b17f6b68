//! Decoy digests (RFC 9901 section 4.2.5) that who knows their seed can tell from those of disclosures.
//! Whoever is to have a document whole learns the seed: then no digest can stand for something that is
//! withheld, to be shown to somebody else.

use crate::base64url;
use crate::error::Error;
use crate::provider::Randomness;

/// What a document's decoys are made from: base64url of 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct DecoySeed(String);

impl DecoySeed {
    /// A new one. [`Error::RandomnessFailed`].
    pub fn new(randomness: &impl Randomness) -> Result<Self, Error> {
        let mut random = [0; 32];
        randomness.fill(&mut random)?;
        Ok(Self(base64url::encode(random)))
    }

    /// Reads [`DecoySeed::as_str`]; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        is_digest(text).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The decoy with this number, from 0. A colon is no base64url, so no disclosure has this digest.
    pub fn decoy(&self, number: usize) -> String {
        base64url::digest(format!("hdms-decoy:{}:{number}", self.0))
    }
}

/// Whether a text is 32 bytes in base64url, as every digest is.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 43 && base64url::decode(text).is_some()
}
