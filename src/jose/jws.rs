//! Compact JWS (RFC 7515 section 7.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base64url::{decode, encode};
use crate::error::Error;
use crate::json;
use crate::jwk::{EcJwk, RsaJwk};
use crate::provider::{HolderKeys, NodeKeys, Primitives};

/// Most bytes of a statement that stands in other documents.
pub const MAX_STATEMENT: usize = 4096;

/// Most bytes of a protected header, as base64url.
pub const MAX_HEADER: usize = 512;

/// A kind of signed document.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its `typ`.
    pub typ: &'static str,
    /// Bytes of the longest. Of one that is longer nothing is looked at.
    pub longest: usize,
}

impl Kind {
    /// Of statements, which stand in other documents.
    pub const fn statement(typ: &'static str) -> Self {
        Self { typ, longest: MAX_STATEMENT }
    }
}

/// The protected header. Members that it does not list, `crit` among them, are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Header {
    /// `PS256` or `ES256`.
    pub alg: String,
    /// What kind of document it is, such as `hdms+jwt`. All of the protocol's have one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub typ: Option<String>,
    /// Thumbprint of the signing key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<String>,
}

/// A compact JWS in its parts, whatever its payload; nobody has checked its signature yet.
#[derive(Clone, Debug)]
pub struct Compact {
    header: Header,
    payload: Vec<u8>,
    signing_input: String,
    signature: Vec<u8>,
}

impl Compact {
    /// Takes a compact JWS apart. [`Error::AlgorithmRefused`] for every algorithm but PS256 and
    /// ES256; `malformed` for whatever else is wrong.
    pub fn parse(compact: &str, malformed: Error) -> Result<Self, Error> {
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(malformed)?;
        let header = parse_header(header, malformed)?;
        refuse_other_algorithms(&header, &["PS256", "ES256"])?;
        Ok(Self {
            header: json::read(header, malformed)?,
            // A further point is no base64url.
            payload: decode(payload).ok_or(malformed)?,
            signing_input: signing_input.to_owned(),
            signature: decode(signature).ok_or(malformed)?,
        })
    }

    /// Whether `key` has signed it with PS256: [`Error::SignatureInvalid`],
    /// [`Error::AlgorithmRefused`].
    pub async fn check_ps256(
        &self,
        key: &RsaJwk,
        primitives: &impl Primitives,
    ) -> Result<(), Error> {
        self.expect_algorithm("PS256")?;
        primitives.verify_ps256(key, self.signing_input.as_bytes(), &self.signature).await
    }

    /// The payload once `key` is seen to have signed it with PS256.
    pub async fn verify_ps256(
        self,
        key: &RsaJwk,
        primitives: &impl Primitives,
    ) -> Result<Vec<u8>, Error> {
        self.check_ps256(key, primitives).await?;
        Ok(self.payload)
    }

    /// The payload once `key` is seen to have signed it with ES256.
    pub async fn verify_es256(
        self,
        key: &EcJwk,
        primitives: &impl Primitives,
    ) -> Result<Vec<u8>, Error> {
        self.expect_algorithm("ES256")?;
        primitives.verify_es256(key, self.signing_input.as_bytes(), &self.signature).await?;
        Ok(self.payload)
    }

    fn expect_algorithm(&self, alg: &str) -> Result<(), Error> {
        if self.header.alg == alg { Ok(()) } else { Err(Error::AlgorithmRefused) }
    }
}

/// A document of the protocol whose signature nobody has checked yet: good for finding the key, for
/// nothing else.
#[derive(Clone, Debug)]
pub struct Unverified {
    compact: Compact,
    payload: Value,
}

impl Unverified {
    /// Takes a compact JWS of a JSON object apart, as [`Compact::parse`]; one of another kind, or
    /// longer than those of its kind may be, is `malformed` too.
    pub fn parse(compact: &str, kind: &Kind, malformed: Error) -> Result<Self, Error> {
        Self::parse_one_of(compact, std::slice::from_ref(kind), malformed)
    }

    /// As [`Unverified::parse`], of whichever of these kinds it is.
    pub fn parse_one_of(compact: &str, kinds: &[Kind], malformed: Error) -> Result<Self, Error> {
        let length = compact.len();
        if kinds.iter().all(|kind| length > kind.longest) {
            return Err(malformed);
        }
        let compact = Compact::parse(compact, malformed)?;
        let typ = compact.header.typ.as_deref();
        if !kinds.iter().any(|kind| typ == Some(kind.typ) && length <= kind.longest) {
            return Err(malformed);
        }
        Ok(Self { payload: parse_object(&compact.payload, malformed)?, compact })
    }

    /// The protected header, unverified.
    pub fn header(&self) -> &Header {
        &self.compact.header
    }

    /// The payload, unverified.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// What is to be verified, and the payload, still unverified.
    pub fn into_parts(self) -> (Compact, Value) {
        (self.compact, self.payload)
    }

    /// The payload once `key` is seen to have signed it with PS256.
    pub async fn verify_ps256(
        self,
        key: &RsaJwk,
        primitives: &impl Primitives,
    ) -> Result<Value, Error> {
        self.compact.verify_ps256(key, primitives).await?;
        Ok(self.payload)
    }

    /// The payload once `key` is seen to have signed it with ES256.
    pub async fn verify_es256(
        self,
        key: &EcJwk,
        primitives: &impl Primitives,
    ) -> Result<Value, Error> {
        self.compact.verify_es256(key, primitives).await?;
        Ok(self.payload)
    }
}

/// Signs `payload` with the node's signing key; answers the compact JWS.
pub async fn sign_ps256<T: Serialize>(
    typ: &str,
    kid: &str,
    payload: &T,
    keys: &impl NodeKeys,
) -> Result<String, Error> {
    sign_ps256_text(typ, kid, &json::write(payload)?, keys).await
}

/// Signs the text of a payload, as it is.
pub async fn sign_ps256_text(
    typ: &str,
    kid: &str,
    payload: &[u8],
    keys: &impl NodeKeys,
) -> Result<String, Error> {
    let header = Header { alg: "PS256".into(), typ: Some(typ.into()), kid: Some(kid.into()) };
    let input = signing_input(&header, payload)?;
    let signature = keys.sign_ps256(input.as_bytes()).await?;
    Ok(format!("{input}.{}", encode(signature)))
}

/// Signs `payload` with the node's request key; answers the compact JWS.
pub async fn sign_request<T: Serialize>(
    typ: &str,
    kid: &str,
    payload: &T,
    keys: &impl NodeKeys,
) -> Result<String, Error> {
    let header = Header { alg: "ES256".into(), typ: Some(typ.into()), kid: Some(kid.into()) };
    let input = signing_input(&header, &json::write(payload)?)?;
    let signature = keys.sign_request(input.as_bytes()).await?;
    Ok(format!("{input}.{}", encode(signature)))
}

/// Signs `payload` with a holder's key; answers the compact JWS.
pub async fn sign_es256<T: Serialize>(
    typ: &str,
    payload: &T,
    key: &EcJwk,
    keys: &impl HolderKeys,
) -> Result<String, Error> {
    let header = Header { alg: "ES256".into(), typ: Some(typ.into()), kid: None };
    let input = signing_input(&header, &json::write(payload)?)?;
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

/// The JSON object behind a protected header.
pub(crate) fn parse_header(part: &str, malformed: Error) -> Result<Value, Error> {
    let part = Some(part).filter(|part| part.len() <= MAX_HEADER);
    parse_object(&part.and_then(decode).ok_or(malformed)?, malformed)
}

fn parse_object(bytes: &[u8], malformed: Error) -> Result<Value, Error> {
    match json::parse(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(malformed),
    }
}

fn signing_input(header: &Header, payload: &[u8]) -> Result<String, Error> {
    Ok(format!("{}.{}", encode(json::write(header)?), encode(payload)))
}

#[cfg(test)]
mod tests {
    use super::{
        Compact, Kind, MAX_HEADER, MAX_STATEMENT, Unverified, encode, sign_es256, sign_ps256,
    };
    use crate::error::Error;
    use crate::provider::HolderKeys;
    use crate::software::{Software, SoftwareHolders, SoftwareKeys};
    use crate::testing::SeededRandomness;
    use futures_lite::future::block_on;
    use serde_json::json;

    const MALFORMED: Error = Error::EnvelopeMalformed;
    const KIND: Kind = Kind::statement("t");

    #[test]
    fn a_signature_verifies_with_its_key_and_its_algorithm_only() {
        block_on(async {
            let randomness = SeededRandomness::new(1);
            let primitives = Software::new(randomness.clone());
            let keys = SoftwareKeys::generate(2048, randomness.clone()).unwrap();
            let holders = SoftwareHolders::new(randomness);
            let (node, other) = keys.public();
            let holder = holders.make_holder_key().await.unwrap();
            let payload = json!({"a": 1});
            let ps256 = sign_ps256("t", "k", &payload, &keys).await.unwrap();
            let es256 = sign_es256("t", &payload, &holder, &holders).await.unwrap();
            let parse = |compact| Unverified::parse(compact, &KIND, MALFORMED).unwrap();

            let verified = parse(&ps256).verify_ps256(node, &primitives).await;
            assert_eq!(verified, Ok(payload.clone()));
            let verified = parse(&es256).verify_es256(&holder, &primitives).await;
            assert_eq!(verified, Ok(payload));
            let answer = parse(&ps256).verify_ps256(other, &primitives).await;
            assert_eq!(answer, Err(Error::SignatureInvalid));
            let answer = parse(&es256).verify_ps256(node, &primitives).await;
            assert_eq!(answer, Err(Error::AlgorithmRefused));
            let answer = parse(&ps256).verify_es256(&holder, &primitives).await;
            assert_eq!(answer, Err(Error::AlgorithmRefused));
        });
    }

    #[test]
    fn every_other_algorithm_is_refused_by_name() {
        for alg in ["none", "None", "HS256", "RS256", "PS384", "ES384", "EdDSA", ""] {
            let header = encode(format!(r#"{{"alg":"{alg}","typ":"t"}}"#));
            for signature in ["", "AAAA"] {
                let answer = Compact::parse(&format!("{header}.e30.{signature}"), MALFORMED);
                assert_eq!(answer.err(), Some(Error::AlgorithmRefused), "{alg}");
            }
        }
        for header in [r#"{"typ":"t"}"#, r#"{"alg":256}"#, r#"{"alg":["PS256"]}"#] {
            let answer = Compact::parse(&format!("{}.e30.", encode(header)), MALFORMED);
            assert_eq!(answer.err(), Some(Error::AlgorithmRefused), "{header}");
        }
    }

    #[test]
    fn whatever_else_is_wrong_is_malformed() {
        let right = encode(r#"{"alg":"PS256","typ":"t"}"#);
        assert!(Unverified::parse(&format!("{right}.e30.AAAA"), &KIND, MALFORMED).is_ok());
        for header in [
            r#"{"alg":"PS256"}"#,
            r#"{"alg":"PS256","typ":"other"}"#,
            r#"{"alg":"PS256","typ":"t","crit":["exp"]}"#,
            r#"{"alg":"PS256","typ":"t","jwk":{}}"#,
            r#"{"alg":"PS256","alg":"none","typ":"t"}"#,
            r#"["PS256"]"#,
            "",
        ] {
            let compact = format!("{}.e30.AAAA", encode(header));
            let answer = Unverified::parse(&compact, &KIND, MALFORMED);
            assert_eq!(answer.err(), Some(MALFORMED), "{header}");
        }
        let list = encode("[]");
        for rest in [
            "",
            ".e30",
            "..AAAA",
            ".e30.AAAA.",
            ".e30.e30.AAAA",
            ".e30.AAA=",
            ".e30.AAB",
            ".e3 0.AAAA",
            &format!(".{list}.AAAA"),
        ] {
            let answer = Unverified::parse(&format!("{right}{rest}"), &KIND, MALFORMED);
            assert_eq!(answer.err(), Some(MALFORMED), "{rest}");
        }
    }

    #[test]
    fn what_is_longer_than_its_kind_or_its_header_may_be_is_malformed() {
        let header = |kid: usize| {
            let kid = "k".repeat(kid);
            encode(format!(r#"{{"alg":"PS256","typ":"t","kid":"{kid}"}}"#))
        };
        let parse = |header: &str, payload: usize| {
            let payload = encode(format!("{{}}{}", " ".repeat(payload)));
            let compact = format!("{header}.{payload}.AAAA");
            (compact.len(), Unverified::parse(&compact, &KIND, MALFORMED).err())
        };
        let (short, most) = (header(0), 3031);
        assert_eq!(parse(&short, most), (MAX_STATEMENT, None));
        assert_eq!(parse(&short, most + 1).1, Some(MALFORMED));
        let kid = (0..).take_while(|kid| header(*kid).len() <= MAX_HEADER).last().unwrap();
        assert_eq!(parse(&header(kid), 0).1, None);
        assert_eq!(parse(&header(kid + 1), 0).1, Some(MALFORMED));
    }
}
