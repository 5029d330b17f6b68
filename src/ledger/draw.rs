//! The draw of a case's notary, so that neither side can choose and both can check. In the request's
//! entry the patient names what the draw goes by, before the hospital has done anything: the network's
//! manifest, whose notaries are drawn from, the hospital's signing key, and a random value. The
//! hospital adds the one signature that this key makes over the entry by RSASSA-PKCS1-v1_5. A hash of
//! both ranks the notaries; the first is the case's, and the next only where the first is gone.

use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::leaf::{Commitment, base64url};
use super::{Entry, EntryKind};
use crate::base64url::{decode, encode};
use crate::card::SigningKeys;
use crate::error::Error;
use crate::ids::NodeId;
use crate::log::Hash;
use crate::network::Manifest;
use crate::provider::{CLOCK_SKEW, NodeKeys, Primitives, Randomness};

/// What the hospital signs begins with it.
const SIGNED: &str = "hdms-notary-draw/v2";

/// What ranks a notary begins with it.
const RANKED: &str = "hdms-notary-rank/v2";

/// How long a notary must have been silent before the next in rank counts, seconds.
pub const SILENCE: u64 = 24 * 3600;

/// Most notaries that may have been passed over.
const MOST_PASSED: usize = 100;

/// 32 unpredictable bytes of the patient's, as base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DrawValue(pub [u8; 32]);

/// A signature by RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2), as base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DrawSignature(pub Vec<u8>);

base64url!(DrawValue, DrawSignature);

/// The patient's part of the draw, in a case's first entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Draw {
    /// Number of the network's manifest that the request goes by.
    pub number: u64,
    /// SHA-256 of that manifest's JWT.
    pub manifest: Commitment,
    /// Thumbprint of the hospital's signing key, by that manifest's map.
    pub key: NodeId,
    /// Drawn by the patient.
    pub value: DrawValue,
}

/// The hospital's part: with it everybody who knows the entry finds the case's notary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Drawn {
    /// By the key that the entry names.
    pub signature: DrawSignature,
    /// Who came before the case's notary in rank, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub passed: Vec<Passed>,
}

/// A notary that was passed over, and why: one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Passed {
    /// Which.
    pub notary: NodeId,
    /// It is none any more: number of a later manifest, which does not name it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delisted: Option<u64>,
    /// It has answered nothing for [`SILENCE`]: when the entry was deposited there first, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub silent: Option<u64>,
}

impl Draw {
    /// By the manifest with this number and JWT, and the hospital's key with this thumbprint.
    pub fn new(
        number: u64,
        manifest: &str,
        key: String,
        randomness: &impl Randomness,
    ) -> Result<Self, Error> {
        let mut value = [0; 32];
        randomness.fill(&mut value)?;
        let manifest = Commitment(crate::network::leaf(manifest));
        Ok(Self { number, manifest, key: key.parse()?, value: DrawValue(value) })
    }

    /// Whether this is the manifest that the draw goes by.
    pub fn goes_by(&self, manifest: &str) -> bool {
        self.manifest.0 == crate::network::leaf(manifest)
    }

    /// The notaries of the draw's manifest in rank, with the hospital's signature.
    pub fn ranked(&self, notaries: &[NodeId], signature: &DrawSignature) -> Vec<NodeId> {
        let (value, signature) = (encode(self.value.0), encode(&signature.0));
        let rank = |notary: &NodeId| -> Hash {
            let parts = [RANKED, &value, &signature, notary.as_ref()];
            Sha256::digest(parts.join("\n")).into()
        };
        // A heap sorts in less code than the library's sort, and there are few.
        let ranks: BinaryHeap<_> = notaries.iter().map(|notary| (rank(notary), notary)).collect();
        ranks.into_sorted_vec().into_iter().map(|(_, notary)| notary.clone()).collect()
    }
}

/// What the hospital signs of a case's first entry. [`Error::NotDrawn`] for any other.
fn signed(entry: &Entry) -> Result<String, Error> {
    let (Some(draw), Some(secret)) = (&entry.draw, entry.case_secret) else {
        return Err(Error::NotDrawn);
    };
    if entry.kind != EntryKind::Request || entry.is_former() {
        return Err(Error::NotDrawn);
    }
    let number = draw.number.to_string();
    let [secret, manifest] = [secret, draw.manifest].map(String::from);
    let value = String::from(draw.value);
    let parts = [
        SIGNED,
        entry.case.as_ref(),
        entry.id.as_ref(),
        entry.author.as_ref(),
        entry.counterparty.as_ref(),
        entry.verification_key.as_ref(),
        &secret,
        &number,
        &manifest,
        draw.key.as_ref(),
        &value,
    ];
    Ok(parts.join("\n"))
}

impl Drawn {
    /// The hospital's part, by its signing key. [`Error::NotDrawn`], [`Error::PlatformUnsupported`].
    pub async fn sign(entry: &Entry, keys: &impl NodeKeys) -> Result<Self, Error> {
        let signature = DrawSignature(keys.sign_pkcs1(signed(entry)?.as_bytes()).await?);
        Ok(Self { signature, passed: Vec::new() })
    }
}

/// A draw of which the hospital's signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDraw {
    draw: Draw,
    drawn: Drawn,
}

impl VerifiedDraw {
    /// Checks that the key which the entry names has signed, and that it is one of the hospital's.
    /// [`Error::NotDrawn`].
    pub async fn verify(
        entry: &Entry,
        drawn: Drawn,
        hospital: &SigningKeys,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let (message, draw) = (signed(entry)?, entry.draw.clone().ok_or(Error::NotDrawn)?);
        let is_hospitals = *hospital.node() == entry.counterparty;
        if drawn.passed.len() > MOST_PASSED {
            return Err(Error::NotDrawn);
        }
        let key = hospital.with_thumbprint(draw.key.as_ref()).filter(|_| is_hospitals);
        let (key, signature) = (key.ok_or(Error::NotDrawn)?, &drawn.signature.0);
        let holds = primitives.verify_pkcs1(key, message.as_bytes(), signature).await;
        holds.map_err(|error| match error {
            Error::SignatureInvalid => Error::NotDrawn,
            other => other,
        })?;
        Ok(Self { draw, drawn })
    }

    /// The patient's part.
    pub fn draw(&self) -> &Draw {
        &self.draw
    }

    /// Who came before the case's notary in rank, and why each was passed over.
    pub fn passed(&self) -> &[Passed] {
        &self.drawn.passed
    }

    /// Numbers of the manifests that are said to name a notary no more, and which notary.
    pub fn delisted(&self) -> impl Iterator<Item = (u64, &NodeId)> {
        let passed = self.drawn.passed.iter();
        passed.filter_map(|passed| Some((passed.delisted?, &passed.notary)))
    }

    /// That `notary` is the case's, of those that the draw's manifest names: the first in rank that
    /// was not passed over, each of those for its 24 hours, none of which began before `begun`. Whether
    /// the others are delisted is for [`VerifiedDraw::delisted`]. [`Error::NotDrawn`].
    pub fn expect(
        &self,
        notary: &NodeId,
        notaries: &[NodeId],
        (begun, now): (u64, u64),
    ) -> Result<(), Error> {
        let Drawn { signature, passed } = &self.drawn;
        let ranked = self.draw.ranked(notaries, signature);
        let mut earliest = begun.saturating_sub(CLOCK_SKEW);
        for (passed, ranked) in passed.iter().zip(&ranked) {
            match (passed.delisted, passed.silent) {
                (Some(_), None) => {}
                (None, Some(since)) if since >= earliest => {
                    earliest = since.saturating_add(SILENCE);
                }
                _ => return Err(Error::NotDrawn),
            }
            if passed.notary != *ranked {
                return Err(Error::NotDrawn);
            }
        }
        let is_due = earliest <= now.saturating_add(CLOCK_SKEW);
        let is_drawn = ranked.get(passed.len()) == Some(notary);
        if is_due && is_drawn { Ok(()) } else { Err(Error::NotDrawn) }
    }
}

impl Manifest {
    /// Whether a draw's notary is delisted by this later manifest. [`Error::NotDrawn`].
    pub fn expect_delisted(&self, notary: &NodeId, draw: &Draw) -> Result<(), Error> {
        let is_later = self.number > draw.number;
        if is_later && !self.notaries.contains(notary) { Ok(()) } else { Err(Error::NotDrawn) }
    }
}
