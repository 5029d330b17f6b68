//! Compact JWE (RFC 7516 section 7.1), RSA-OAEP-256 with A256GCM and no other.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::jws::{parse_header, refuse_other_algorithms};
use crate::base64url::{decode, encode};
use crate::error::Error;
use crate::json;
use crate::jwk::RsaJwk;
use crate::provider::{NodeKeys, Primitives, Randomness};

const IV: usize = 12;
const TAG: usize = 16;
const KEY: usize = 32;

/// The protected header. Members that it does not list, `zip` and `crit` among them, are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct JweHeader {
    /// `RSA-OAEP-256`.
    pub alg: String,
    /// `A256GCM`.
    pub enc: String,
    /// What is inside: `JWT` in an envelope.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cty: Option<String>,
    /// Thumbprint of the recipient's encryption key; an envelope always has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<String>,
}

/// A JWE in its parts, still sealed.
#[derive(Clone, Debug)]
pub struct CompactJwe {
    header: JweHeader,
    aad: String,
    encrypted_key: Vec<u8>,
    iv: [u8; IV],
    ciphertext: Vec<u8>,
}

impl CompactJwe {
    /// Takes a compact JWE apart. [`Error::EnvelopeMalformed`] or [`Error::AlgorithmRefused`].
    pub fn parse(compact: &str) -> Result<Self, Error> {
        let malformed = Error::EnvelopeMalformed;
        let parts: Vec<&str> = compact.split('.').collect();
        let [aad, encrypted_key, iv, ciphertext, tag] = parts[..] else {
            return Err(malformed);
        };
        let header = parse_header(aad, malformed)?;
        refuse_other_algorithms(&header, &["RSA-OAEP-256"])?;
        if header.get("enc").and_then(|enc| enc.as_str()) != Some("A256GCM") {
            return Err(Error::AlgorithmRefused);
        }
        let header: JweHeader = json::read(header, malformed)?;
        let mut ciphertext = decode(ciphertext).ok_or(malformed)?;
        let tag = decode(tag).filter(|tag| tag.len() == TAG).ok_or(malformed)?;
        ciphertext.extend(tag);
        Ok(Self {
            header,
            aad: aad.to_owned(),
            encrypted_key: decode(encrypted_key).ok_or(malformed)?,
            iv: decode(iv).and_then(|iv| iv.try_into().ok()).ok_or(malformed)?,
            ciphertext,
        })
    }

    /// The protected header; it is authenticated only once decryption succeeds.
    pub fn header(&self) -> &JweHeader {
        &self.header
    }

    /// The plaintext. [`Error::WrongRecipientKey`] when none of the keys is the one that the header
    /// names; [`Error::DecryptionFailed`] whatever else the reason, so that nobody learns which part
    /// failed.
    pub async fn decrypt(
        self,
        keys: &impl NodeKeys,
        primitives: &impl Primitives,
    ) -> Result<Vec<u8>, Error> {
        let kid = self.header.kid.as_deref().unwrap_or_default();
        let key = Zeroizing::new(keys.decrypt_oaep(kid, &self.encrypted_key).await?);
        let key: &[u8; KEY] = key.as_slice().try_into().map_err(|_| Error::DecryptionFailed)?;
        primitives.open_gcm(key, &self.iv, self.aad.as_bytes(), self.ciphertext).await
    }
}

/// Characters of a compact JWE to `recipient` with this header, written without white space, and a
/// plaintext of so many octets.
pub fn compact_length(
    header: &JweHeader,
    recipient: &RsaJwk,
    plaintext: usize,
) -> Result<usize, Error> {
    let parts = [json::write(header)?.len(), recipient.modulus().len(), IV, plaintext, TAG];
    let encoded: usize = parts.iter().map(|octets| (octets * 4).div_ceil(3)).sum();
    Ok(encoded + parts.len() - 1)
}

/// Encrypts `plaintext` to `recipient`; `cty` as in [`JweHeader`]. Answers the compact JWE.
pub async fn encrypt(
    plaintext: Vec<u8>,
    cty: Option<&str>,
    recipient: &RsaJwk,
    primitives: &impl Primitives,
    randomness: &impl Randomness,
) -> Result<String, Error> {
    let header = JweHeader {
        alg: "RSA-OAEP-256".into(),
        enc: "A256GCM".into(),
        cty: cty.map(Into::into),
        kid: Some(recipient.thumbprint()),
    };
    let aad = encode(json::write(&header)?);
    let mut key = Zeroizing::new([0; KEY]);
    let mut iv = [0; IV];
    randomness.fill(key.as_mut())?;
    randomness.fill(&mut iv)?;
    let encrypted_key = primitives.encrypt_oaep(recipient, key.as_ref()).await?;
    let sealed = primitives.seal_gcm(&key, &iv, aad.as_bytes(), plaintext).await?;
    let (ciphertext, tag) = sealed.split_at(sealed.len().saturating_sub(TAG));
    Ok([aad, encode(encrypted_key), encode(iv), encode(ciphertext), encode(tag)].join("."))
}

#[cfg(test)]
mod tests {
    use super::{CompactJwe, encode, encrypt};
    use crate::error::Error;
    use crate::software::{Software, SoftwareKeys};
    use crate::testing::SeededRandomness;
    use futures_lite::future::block_on;

    #[test]
    fn what_is_sealed_opens_until_any_bit_of_it_changes() {
        block_on(async {
            let randomness = SeededRandomness::new(1);
            let primitives = Software::new(randomness.clone());
            let keys = SoftwareKeys::generate(2048, randomness.clone()).unwrap();
            let recipient = keys.public().1;
            let plaintext = b"a result".to_vec();
            let compact =
                encrypt(plaintext.clone(), Some("JWT"), recipient, &primitives, &randomness)
                    .await
                    .unwrap();
            let sealed = CompactJwe::parse(&compact).unwrap();
            assert_eq!(sealed.header().kid, Some(recipient.thumbprint()));
            assert_eq!(sealed.decrypt(&keys, &primitives).await, Ok(plaintext));

            // One bit of each part; of the header, where a letter of `kid` becomes another.
            let parts: Vec<&str> = compact.split('.').collect();
            for altered in 0..5 {
                let mut bytes = super::decode(parts[altered]).unwrap();
                let place = bytes.len() - 4;
                bytes[place] ^= 1;
                let text = encode(bytes);
                let mut parts = parts.clone();
                parts[altered] = &text;
                let sealed = CompactJwe::parse(&parts.join(".")).unwrap();
                let answer = sealed.decrypt(&keys, &primitives).await;
                let error = [Error::WrongRecipientKey, Error::DecryptionFailed][altered.min(1)];
                assert_eq!(answer, Err(error), "part {altered}");
            }
        });
    }

    fn parse(header: &str, rest: &str) -> Option<Error> {
        CompactJwe::parse(&format!("{}{rest}", encode(header))).err()
    }

    const RIGHT: &str = r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"k"}"#;
    const REST: &str = ".AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn every_other_algorithm_is_refused_by_name() {
        assert_eq!(parse(RIGHT, REST), None);
        for (alg, enc) in [
            ("RSA1_5", "A256GCM"),
            ("RSA-OAEP", "A256GCM"),
            ("dir", "A256GCM"),
            ("none", "A256GCM"),
            ("RSA-OAEP-256", "A128GCM"),
            ("RSA-OAEP-256", "A256CBC-HS512"),
            ("RSA-OAEP-256", ""),
        ] {
            let header = format!(r#"{{"alg":"{alg}","enc":"{enc}"}}"#);
            assert_eq!(parse(&header, REST), Some(Error::AlgorithmRefused), "{header}");
        }
        assert_eq!(parse(r#"{"alg":"RSA-OAEP-256"}"#, REST), Some(Error::AlgorithmRefused));
    }

    #[test]
    fn whatever_else_is_wrong_is_malformed() {
        for header in [
            r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","zip":"DEF"}"#,
            r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","crit":["exp"]}"#,
            r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","enc":"A256GCM"}"#,
            r#"["RSA-OAEP-256"]"#,
            "",
        ] {
            assert_eq!(parse(header, REST), Some(Error::EnvelopeMalformed), "{header}");
        }
        for rest in [
            "",
            ".AAAA.AAAAAAAAAAAAAAAA.AAAA",
            ".AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA.",
            ".AAAA.AAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
            ".AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAA",
            ".AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAB",
            ".AA=.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(parse(RIGHT, rest), Some(Error::EnvelopeMalformed), "{rest}");
        }
    }
}
