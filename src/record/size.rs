//! How much room a record takes, before anybody signs it.

use serde_json::Value;

use super::sdjwt::Concealer;
use super::{Content, KIND, MAX_BYTES, conceal};
use crate::base64url;
use crate::error::Error;
use crate::fhir::facts::Facts;
use crate::jwk::EcJwk;
use crate::provider::{Randomness, Timestamp};

/// A node id, a case's id and a time, as long as they get.
const NODE: &str = "-------------------------------------------";
const CASE: &str = "------------------------------------";
const ISSUED: Timestamp = Timestamp(9_999_999_999_000);

/// Bytes of a signature by the largest key, 4096 bits.
const SIGNATURE: usize = 512;

/// An age as long as they get: whose it is, is not known here.
const AGE: u32 = 999;

/// Bytes of a record of this content, whoever signs it: with the largest key exactly these, or as many
/// less as its patient's age, ids and time of issue are shorter.
///
/// [`Error::RecordTooLarge`] when it is more than [`MAX_BYTES`].
pub fn size(fhir: &Value) -> Result<usize, Error> {
    let holder = EcJwk::from_coordinates([0; 32], [0; 32]);
    let content = Content {
        author: NODE,
        patient: NODE,
        case: CASE,
        holder: Some(&holder),
        issued: ISSUED,
        born: None,
        fhir,
    };
    let mut concealer = Concealer::new(&Zeros, MAX_BYTES)?;
    let facts = Facts { age: Some(AGE), ..Facts::of(fhir, None) };
    let payload = Value::Object(conceal(&content, facts, &mut concealer)?).to_string();
    let header = format!(r#"{{"alg":"PS256","typ":"{}","kid":"{NODE}"}}"#, KIND.typ);
    let [header, payload, signature] =
        [header.as_bytes(), payload.as_bytes(), &[0; SIGNATURE]].map(base64url::encode);
    let bytes = concealer.compact(&format!("{header}.{payload}.{signature}")).len();
    if bytes <= MAX_BYTES { Ok(bytes) } else { Err(Error::RecordTooLarge) }
}

/// Only lengths matter here.
struct Zeros;

impl Randomness for Zeros {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(0);
        Ok(())
    }
}
