//! Compact JWS (RFC 7515 section 7.1) of JSON payloads.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jwk::{EcJwk, RsaJwk};
use super::{decode, encode};
use crate::error::Error;
use crate::json;
use crate::provider::{HolderKeys, NodeKeys, Primitives};

/// The protected header. Members that it does not list, `crit` among them, are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// `PS256` or `ES256`.
    pub alg: String,
    /// What kind of document it is, such as `hdms+jwt`.
    pub typ: String,
    /// Thumbprint of the signing key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<String>,
}

/// A JWS whose signature nobody has checked yet: good for finding the key, for nothing else.
#[derive(Clone, Debug)]
pub struct Unverified {
    header: Header,
    payload: Value,
    signing_input: String,
    signature: Vec<u8>,
}

impl Unverified {
    /// Takes a compact JWS apart. [`Error::AlgorithmRefused`] for every algorithm but PS256 and
    /// ES256; `malformed` for whatever else is wrong, a `typ` other than `typ` included.
    pub fn parse(compact: &str, typ: &str, malformed: Error) -> Result<Self, Error> {
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(malformed)?;
        if payload.contains('.') {
            return Err(malformed);
        }
        let header = parse_part(header, malformed)?;
        refuse_other_algorithms(&header, &["PS256", "ES256"])?;
        let header: Header = json::read(header, malformed)?;
        if header.typ != typ {
            return Err(malformed);
        }
        Ok(Self {
            header,
            payload: parse_part(payload, malformed)?,
            signing_input: signing_input.to_owned(),
            signature: decode(signature).ok_or(malformed)?,
        })
    }

    /// The protected header, unverified.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, unverified.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// The payload once `key` is seen to have signed it with PS256.
    pub async fn verify_ps256(
        self,
        key: &RsaJwk,
        primitives: &impl Primitives,
    ) -> Result<Value, Error> {
        self.expect_algorithm("PS256")?;
        primitives.verify_ps256(key, self.signing_input.as_bytes(), &self.signature).await?;
        Ok(self.payload)
    }

    /// The payload once `key` is seen to have signed it with ES256.
    pub async fn verify_es256(
        self,
        key: &EcJwk,
        primitives: &impl Primitives,
    ) -> Result<Value, Error> {
        self.expect_algorithm("ES256")?;
        primitives.verify_es256(key, self.signing_input.as_bytes(), &self.signature).await?;
        Ok(self.payload)
    }

    fn expect_algorithm(&self, alg: &str) -> Result<(), Error> {
        if self.header.alg == alg { Ok(()) } else { Err(Error::AlgorithmRefused) }
    }
}

/// Signs `payload` with the node's signing key; answers the compact JWS.
pub async fn sign_ps256<T: Serialize>(
    typ: &str,
    kid: &str,
    payload: &T,
    keys: &impl NodeKeys,
) -> Result<String, Error> {
    let header = Header { alg: "PS256".into(), typ: typ.into(), kid: Some(kid.into()) };
    let input = signing_input(&header, payload)?;
    let signature = keys.sign_ps256(input.as_bytes()).await?;
    Ok(format!("{input}.{}", encode(signature)))
}

/// Signs `payload` with a holder's key; answers the compact JWS.
pub async fn sign_es256<T: Serialize>(
    typ: &str,
    payload: &T,
    key: &EcJwk,
    keys: &impl HolderKeys,
) -> Result<String, Error> {
    let header = Header { alg: "ES256".into(), typ: typ.into(), kid: None };
    let input = signing_input(&header, payload)?;
    let signature = keys.sign_es256(key, input.as_bytes()).await?;
    Ok(format!("{input}.{}", encode(signature)))
}

/// [`Error::AlgorithmRefused`] unless `alg` is one of `accepted`; looked at before anything else of
/// the header, so that an attack by algorithm is called by its name.
pub(super) fn refuse_other_algorithms(header: &Value, accepted: &[&str]) -> Result<(), Error> {
    match header.get("alg").and_then(Value::as_str) {
        Some(alg) if accepted.contains(&alg) => Ok(()),
        _ => Err(Error::AlgorithmRefused),
    }
}

/// The JSON object behind one base64url part.
pub(super) fn parse_part(part: &str, malformed: Error) -> Result<Value, Error> {
    let bytes = decode(part).ok_or(malformed)?;
    match json::parse(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(malformed),
    }
}

fn signing_input<T: Serialize>(header: &Header, payload: &T) -> Result<String, Error> {
    Ok(format!("{}.{}", encode(json::write(header)?), encode(json::write(payload)?)))
}
