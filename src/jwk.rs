//! Public keys as JWK (RFC 7517, RFC 7518 section 6) with their thumbprints (RFC 7638).

use serde::{Deserialize, Serialize};

use crate::base64url::{decode, digest, encode};
use crate::error::Error;

/// 65537, the only exponent accepted, as base64url.
const EXPONENT: &str = "AQAB";

/// A public RSA key of 2048 to 4096 bits with the exponent 65537. As a JWK that names an `alg` other
/// than PS256 and RSA-OAEP-256, it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RsaMembers", into = "RsaMembers")]
pub struct RsaJwk {
    modulus: Vec<u8>,
}

impl RsaJwk {
    /// From the modulus, big-endian without leading zeros. [`Error::KeyTooShort`] outside of 2048
    /// to 4096 bits, [`Error::KeyMalformed`] when it is even or begins with a zero.
    pub fn from_modulus(modulus: Vec<u8>) -> Result<Self, Error> {
        let (Some(&first), Some(&last)) = (modulus.first(), modulus.last()) else {
            return Err(Error::KeyMalformed);
        };
        if first == 0 || last % 2 == 0 {
            return Err(Error::KeyMalformed);
        }
        let bits = modulus.len() * 8 - first.leading_zeros() as usize;
        if !(2048..=4096).contains(&bits) {
            return Err(Error::KeyTooShort);
        }
        Ok(Self { modulus })
    }

    /// The modulus, big-endian.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent, big-endian: 65537.
    pub fn exponent(&self) -> &'static [u8] {
        &[1, 0, 1]
    }

    /// RFC 7638 SHA-256 thumbprint, base64url: the node id where this is a signing key, the `kid`
    /// where it is an encryption key.
    pub fn thumbprint(&self) -> String {
        let n = encode(&self.modulus);
        digest(format!(r#"{{"e":"{EXPONENT}","kty":"RSA","n":"{n}"}}"#))
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct RsaMembers {
    kty: String,
    n: String,
    e: String,
    #[serde(default, skip_serializing)]
    alg: Option<String>,
}

impl TryFrom<RsaMembers> for RsaJwk {
    type Error = Error;

    fn try_from(members: RsaMembers) -> Result<Self, Error> {
        let fits = matches!(members.alg.as_deref(), None | Some("PS256" | "RSA-OAEP-256"));
        if members.kty != "RSA" || !fits {
            return Err(Error::KeyMalformed);
        }
        if members.e != EXPONENT {
            return Err(Error::KeyTooShort);
        }
        Self::from_modulus(decode(&members.n).ok_or(Error::KeyMalformed)?)
    }
}

impl From<RsaJwk> for RsaMembers {
    fn from(key: RsaJwk) -> Self {
        Self { kty: "RSA".into(), n: encode(key.modulus), e: EXPONENT.into(), alg: None }
    }
}

/// A public P-256 key, with which a holder of a record proves the holding. A JWK whose `alg`, `use`
/// or `key_ops` say that it is for anything but ES256 signatures is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "EcMembers", into = "EcMembers")]
pub struct EcJwk {
    x: [u8; 32],
    y: [u8; 32],
}

impl EcJwk {
    /// From affine coordinates, big-endian. Whether the point is on the curve is checked where it
    /// is used.
    pub fn from_coordinates(x: [u8; 32], y: [u8; 32]) -> Self {
        Self { x, y }
    }

    /// The affine coordinates, big-endian.
    pub fn coordinates(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.x, &self.y)
    }

    /// The point in uncompressed SEC 1 form: 4, x, y.
    pub fn sec1(&self) -> Vec<u8> {
        [&[4], &self.x[..], &self.y[..]].concat()
    }

    /// RFC 7638 SHA-256 thumbprint, base64url.
    pub fn thumbprint(&self) -> String {
        let (x, y) = (encode(self.x), encode(self.y));
        digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct EcMembers {
    kty: String,
    crv: String,
    x: String,
    y: String,
    #[serde(default, skip_serializing)]
    alg: Option<String>,
    #[serde(default, skip_serializing, rename = "use")]
    usage: Option<String>,
    #[serde(default, skip_serializing)]
    key_ops: Option<Vec<String>>,
}

impl EcMembers {
    fn for_signatures(&self) -> bool {
        self.alg.as_deref().is_none_or(|alg| alg == "ES256")
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }
}

impl TryFrom<EcMembers> for EcJwk {
    type Error = Error;

    fn try_from(members: EcMembers) -> Result<Self, Error> {
        if members.kty != "EC" || members.crv != "P-256" || !members.for_signatures() {
            return Err(Error::KeyMalformed);
        }
        let coordinate = |text: &str| {
            decode(text).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::KeyMalformed)
        };
        Ok(Self { x: coordinate(&members.x)?, y: coordinate(&members.y)? })
    }
}

impl From<EcJwk> for EcMembers {
    fn from(key: EcJwk) -> Self {
        Self {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: encode(key.x),
            y: encode(key.y),
            alg: None,
            usage: None,
            key_ops: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EcJwk, RsaJwk};

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // RFC 7638 section 3.1, but for its `alg`, RS256.
        let jwk = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","kid":"2011-04-29"}"#;
        let key: RsaJwk = serde_json::from_str(jwk).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn keys_for_another_purpose_are_refused() {
        let n = super::encode([0xff; 256]);
        let rsa = |member: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB",{member}}}"#);
        let xy = super::encode([1; 32]);
        let ec = |member: &str| {
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{xy}","y":"{xy}",{member}}}"#)
        };
        for alg in ["PS256", "RSA-OAEP-256"] {
            serde_json::from_str::<RsaJwk>(&rsa(&format!(r#""alg":"{alg}""#))).unwrap();
        }
        for alg in ["RS256", "PS512", "RSA1_5", "HS256"] {
            let text = rsa(&format!(r#""alg":"{alg}""#));
            assert!(serde_json::from_str::<RsaJwk>(&text).is_err(), "{text}");
        }
        let fitting = r#""alg":"ES256","use":"sig","key_ops":["verify"],"ext":true"#;
        serde_json::from_str::<EcJwk>(&ec(fitting)).unwrap();
        for other in [r#""alg":"ECDH-ES""#, r#""use":"enc""#, r#""key_ops":["deriveKey"]"#] {
            assert!(serde_json::from_str::<EcJwk>(&ec(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn short_even_and_foreign_keys_are_refused() {
        let short = super::encode([0xff; 128]);
        let even = super::encode([0xfe; 256]);
        let odd = super::encode([0xff; 256]);
        for (n, e, kty) in [
            (&short, "AQAB", "RSA"),
            (&even, "AQAB", "RSA"),
            (&odd, "Aw", "RSA"),
            (&odd, "AQAB", "oct"),
        ] {
            let text = format!(r#"{{"kty":"{kty}","n":"{n}","e":"{e}"}}"#);
            assert!(serde_json::from_str::<RsaJwk>(&text).is_err(), "{text}");
        }
        assert!(
            serde_json::from_str::<EcJwk>(r#"{"kty":"EC","crv":"P-384","x":"","y":""}"#).is_err()
        );
    }
}
